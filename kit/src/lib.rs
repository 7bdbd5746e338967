//! What every role needs.
//!
//! - [`base64`]: bytes as Base64.
//! - [`bus`]: events between services, in process.
//! - [`client`]: who makes a request.
//! - [`clock`]: the wall clock, the only place that reads it.
//! - [`config`]: one documented TOML file, environment over file, flags over environment.
//! - [`database`]: SQLite or PostgreSQL, and the schema.
//! - [`drain`]: the graceful end.
//! - [`open_files`]: how many sockets the process may have.
//! - [`private_file`]: files that only the server's user can read.
//! - [`proxies`], [`proxy_protocol`]: who may say for whom they ask.
//! - [`rendition`]: a track in another codec, made by an ffmpeg child while somebody needs it.
//! - [`stream`]: the live broadcasts of this node and their track logs.
//! - [`telemetry`]: logs and metrics.
//! - [`mod@tls`]: the certificates of listeners.
//! - [`mod@websocket`]: our side of a WebSocket, a package of its own.

pub mod base64;
pub mod bus;
pub mod client;
pub mod clock;
pub mod config;
pub mod database;
pub mod drain;
pub mod open_files;
pub mod private_file;
pub mod proxies;
pub mod proxy_protocol;
pub mod rendition;
pub mod stream;
pub mod telemetry;
pub mod tls;

pub use websocket;
