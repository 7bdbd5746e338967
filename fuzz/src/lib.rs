//! One function for each parser that reads what strangers send, for the fuzzer and for the replay
//! of its corpus in ordinary tests.
//!
//! A function returns, or it panics because a promise was broken: that pieces are read as the
//! whole, that limits hold, that what was read can be written and read again.
//!
//! - [`handshake`], [`chunk`], [`session`]: RTMP, from the wire up.
//! - [`amf0`], [`amf3`]: the values in its commands.
//! - [`flv`]: tags and their bodies.
//! - [`fn@websocket`]: frames, and messages that are compressed.
//! - [`said`], [`room_token`], [`since`]: what members of rooms send.
//! - [`offer`], [`webrtc`]: session descriptions, and datagrams of peers.
//! - [`dtls`], [`opened`]: handshakes on a path that was let in, and what comes over it sealed.
//! - [`webhook`]: what a payment provider is said to have told.
//! - [`seeds`]: what the corpora begin with.

mod amf;
mod dtls;
mod flv;
mod opened;
mod pairing;
mod room;
mod rtmp;
pub mod seeds;
mod webhook;
mod webrtc;
mod websocket;

pub use amf::{amf0, amf3};
pub use dtls::dtls;
pub use flv::flv;
pub use opened::opened;
pub use room::{room_token, said, since};
pub use rtmp::{chunk, handshake, session};
pub use webhook::webhook;
pub use webrtc::{offer, webrtc};
pub use websocket::websocket;

/// What runs a target on one input.
pub type Run = fn(&[u8]);

/// A function for each target, by the name of its corpus.
pub const TARGETS: [(&str, Run); 15] = [
    ("amf0", amf0),
    ("amf3", amf3),
    ("chunk", chunk),
    ("dtls", dtls),
    ("flv", flv),
    ("handshake", handshake),
    ("offer", offer),
    ("opened", opened),
    ("room_token", room_token),
    ("said", said),
    ("session", session),
    ("since", since),
    ("webhook", webhook),
    ("webrtc", webrtc),
    ("websocket", websocket),
];

/// The first byte of an input says how long the pieces are that the rest arrives in.
fn pieces(data: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = data.split_first()?;
    Some((usize::from(*first) + 1, rest))
}
