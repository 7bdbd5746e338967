//! The Barrage server: configuration in, [`App`] out.
//!
//! - [`cli`]: what the command line takes.
//! - [`config`]: every setting of every role.
//! - [`app`]: puts the roles together, runs them, ends them.
//! - [`http`]: the listener for pages, API and HLS.
//! - [`assets`]: the web app, embedded.
//! - [`wiring`]: the small traits through which roles know each other.
//! - [`runtime`]: what a running server tells of itself.
//! - [`demo`]: a publisher to look at.

pub mod app;
pub mod assets;
pub mod cli;
pub mod config;
pub mod demo;
pub mod http;
pub mod runtime;
pub mod wiring;

pub use app::App;
pub use config::Config;
