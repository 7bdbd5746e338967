//! HTTP and OpenAPI, and what it is about: people, channels, stream keys, broadcasts.
//!
//! - [`secrets`]: the server's own key and what is sealed under it.
//! - [`password`]: argon2id, off the async threads and few at a time.
//! - [`store`]: the database.
//! - [`first_run`]: what a server is born with.
//! - [`keyring`]: whose stream key this is.
//! - [`history`]: notes when broadcasts begin and end.
//! - [`delivery`]: what the API asks of those who serve viewers.
//! - [`routes`]: the routes and their OpenAPI description.

pub mod delivery;
pub mod error;
pub mod first_run;
pub mod history;
pub mod keyring;
pub mod password;
pub mod routes;
pub mod secrets;
pub mod store;

pub use error::ApiError;
pub use routes::{AppState, router};
pub use store::Store;

/// The schema, brought up to date at every start.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");
