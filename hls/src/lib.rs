//! The CMAF packager and LL-HLS.
//!
//! A pure core — no runtime, no clock, no socket — and a thin shell around it.
//!
//! Core:
//! - [`packager`]: frames in, parts and segments out.
//! - [`presentation`]: what there is to fetch of one broadcast.
//! - [`playlist`]: how it is told.
//! - `rules` (tests and feature `rules`): an independent reader that checks playlists against
//!   RFC 8216bis.
//!
//! Shell:
//! - [`service`]: a task for each live broadcast that feeds its packager.
//! - [`router`]: the addresses, blocking requests, bodies and headers.

pub mod config;
mod live;
pub mod packager;
pub mod playlist;
pub mod presentation;
pub mod router;
#[cfg(any(test, feature = "rules"))]
pub mod rules;
pub mod service;
#[cfg(test)]
mod testing;
mod viewers;

pub use config::Config;
pub use live::Stats;
pub use service::Service;
