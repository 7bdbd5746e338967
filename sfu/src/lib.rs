//! WebRTC: publishers over WHIP (RFC 9725), viewers over WHEP, on one port.
//!
//! The protocol itself, without I/O, is the package `sfu-core`. Here is the shell around it:
//! - [`config`]: what can be set.
//! - [`service`]: sessions, and the addresses at which they are made and ended.
//! - `shard`: the threads that serve them, each with a socket of its own on the port.
//! - `connection`: peers that come over TCP.
//! - `publisher`, `viewer`: what a session does.
//! - [`tracks`]: the packets of what is live, which viewers read.
//! - `making`: those that are made of frames.
//! - [`opened`]: a publisher and a viewer without a shard, for the fuzzer.
//! - [`publishing`]: what publishers need of the rest of the server.
//! - `turn`: servers that help peers out of their networks.
//! - `rate`: how much goes by.
//! - `seen`: what viewers' pages say they saw.
//! - [`stats`]: what is told of sessions.

mod burst;
pub mod config;
mod connection;
mod exit;
mod making;
pub mod opened;
mod problem;
mod publisher;
pub mod publishing;
mod rate;
mod router;
mod seen;
pub mod service;
mod shard;
mod socket;
pub mod stats;
pub mod tracks;
mod turn;
mod viewer;

pub use config::Config;
pub use publisher::Rules;
pub use seen::Seen;
pub use service::Service;
