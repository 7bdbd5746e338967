//! HTTP and OpenAPI, and what it is about: people, channels, stream keys, broadcasts.
//!
//! - [`config`]: what can be set of accounts and mail.
//! - [`secrets`]: the server's own key and what is sealed under it.
//! - [`password`]: argon2id, off the async threads and few at a time.
//! - [`scope`]: what an API token may do.
//! - [`text`]: texts that people write, cleaned and bounded.
//! - [`store`]: the database.
//! - [`door`]: who comes in.
//! - [`mail`]: a few texts by SMTP.
//! - [`first_run`]: what a server is born with.
//! - [`seed`]: accounts and tokens in bulk, for load testers.
//! - [`backup`]: the whole database in one file, and back.
//! - [`keyring`]: whose stream key this is.
//! - [`history`]: notes when broadcasts begin and end.
//! - [`watched`]: what viewers are told of while the database does not answer.
//! - [`thumbnails`]: still pictures of what is live.
//! - [`picture`]: pictures that people upload, read within bounds and written anew.
//! - [`emotes`]: pictures that stand for a code in what is said.
//! - [`delivery`], [`publishers`]: what the API asks of those who serve viewers and take publishers.
//! - [`giving`]: takes what somebody gives to the ledger.
//! - [`webhooks`]: tells other programs what happens to a channel.
//! - [`payments`]: coins are bought, and what payment providers tell becomes what the ledger has.
//! - [`routes`]: the routes and their OpenAPI description.

pub mod backup;
pub mod config;
pub mod delivery;
pub mod door;
pub mod emotes;
pub mod error;
pub mod first_run;
pub mod giving;
pub mod history;
pub mod keyring;
pub mod mail;
pub mod password;
pub mod payments;
pub mod picture;
pub mod publishers;
pub mod rooms;
pub mod routes;
pub mod scope;
pub mod secrets;
pub mod seed;
pub mod store;
pub mod text;
pub mod thumbnails;
pub mod unfit;
pub mod watched;
pub mod webhooks;

pub use error::ApiError;
pub use routes::problems::Webrtc;
pub use routes::{AppState, router};
pub use store::Store;

/// The schema, brought up to date at every start.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");
