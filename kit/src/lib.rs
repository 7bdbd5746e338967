//! What every role needs.
//!
//! - [`bus`]: events between services, in process.
//! - [`clock`]: the wall clock, the only place that reads it.
//! - [`config`]: one documented TOML file, environment over file, flags over environment.
//! - [`database`]: the embedded database and its migrations.
//! - [`drain`]: the graceful end.
//! - [`open_files`]: how many sockets the process may have.
//! - [`stream`]: the live broadcasts of this node and their track logs.
//! - [`telemetry`]: logs and metrics.

pub mod bus;
pub mod clock;
pub mod config;
pub mod database;
pub mod drain;
pub mod open_files;
pub mod stream;
pub mod telemetry;
