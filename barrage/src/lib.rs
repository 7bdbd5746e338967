//! The Barrage server: configuration in, [`App`] out.
//!
//! - [`cli`]: what the command line takes.
//! - [`config`]: every setting of every role.
//! - [`app`]: puts the roles together, runs them, ends them.
//! - [`admin`]: what an operator does on the server's machine.
//! - [`ledger`]: what an operator does with the ledger.
//! - [`http`]: the listeners for pages, API, media and rooms.
//! - [`flv`]: HTTP-FLV and WebSocket-FLV for connections that no shard can have.
//! - [`rooms`]: rooms for connections that no shard can have.
//! - [`upgrade`]: WebSockets of such connections.
//! - [`headers`]: what every answer tells browsers to be careful about.
//! - [`renames`]: sends those who ask by a former handle to the present one.
//! - [`assets`]: the web app, embedded.
//! - [`counts`]: every metric by its name.
//! - [`wiring`]: the small traits through which roles know each other.
//! - [`runtime`]: what a running server tells of itself.
//! - [`demo`]: a publisher to look at.

pub mod admin;
pub mod app;
pub mod assets;
pub mod cli;
pub mod config;
pub mod counts;
pub mod demo;
pub mod flv;
pub mod headers;
pub mod http;
pub mod ledger;
pub mod renames;
pub mod rooms;
pub mod runtime;
pub mod upgrade;
pub mod wiring;

pub use app::App;
pub use config::Config;
