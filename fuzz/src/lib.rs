//! One function for each parser that reads what strangers send, for the fuzzer and for the replay
//! of its corpus in ordinary tests.
//!
//! A function returns, or it panics because a promise was broken: that pieces are read as the
//! whole, that limits hold, that what was read can be written and read again.
//!
//! - [`handshake`], [`chunk`], [`session`]: RTMP, from the wire up.
//! - [`amf0`], [`amf3`]: the values in its commands.
//! - [`flv`]: tags and their bodies.
//! - [`seeds`]: what the corpora begin with.

mod amf;
mod flv;
mod rtmp;
pub mod seeds;

pub use amf::{amf0, amf3};
pub use flv::flv;
pub use rtmp::{chunk, handshake, session};

/// What runs a target on one input.
pub type Run = fn(&[u8]);

/// A function for each target, by the name of its corpus.
pub const TARGETS: [(&str, Run); 6] = [
    ("amf0", amf0),
    ("amf3", amf3),
    ("chunk", chunk),
    ("flv", flv),
    ("handshake", handshake),
    ("session", session),
];

/// The first byte of an input says how long the pieces are that the rest arrives in.
fn pieces(data: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = data.split_first()?;
    Some((usize::from(*first) + 1, rest))
}
