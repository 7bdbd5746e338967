//! RTMP without I/O: bytes in, bytes and events out.
//!
//! Nothing here knows a socket, a clock or an async runtime; the time and the seed of what must be
//! random are handed in. The layers, from the wire up:
//!
//! - [`handshake`]: the three packets each side sends first.
//! - [`chunk`]: messages cut into chunks and put together again, within limits.
//! - [`message`]: what the messages mean.
//! - [`session`]: a publisher's or a player's connection as the server sees it.
//! - [`play`]: media for players, cut into chunks once for all of them.
//! - [`client`]: the same connection from the peer's side, for load and tests.
//!
//! A peer is nobody known until its key has been checked, so every layer has a bound on what
//! it keeps, and every refusal says which rule was broken.
//!
//! Formats: Adobe, "Real-Time Messaging Protocol Chunk Stream" and "RTMP Commands Messages", 1.0,
//! 2012; where encoders differ from them, what OBS, FFmpeg and librtmp do.

pub mod chunk;
pub mod client;
pub mod handshake;
mod key;
pub mod message;
pub mod play;
pub mod session;

pub use key::{Secret, StreamKey};
