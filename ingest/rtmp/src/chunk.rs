//! The chunk stream: messages cut into chunks, so that a large one does not hold up the others.
//!
//! [`Reader`] puts messages together out of the chunks of a peer nobody has vouched for; [`Writer`]
//! cuts ours.

mod reader;
mod writer;

use std::fmt;

use bytes::Bytes;

pub use reader::{Error, Limits, Reader};
pub use writer::Writer;

/// The chunk size of both directions until somebody says otherwise.
pub const CHUNK_SIZE_INITIAL: u32 = 128;

/// The largest chunk size there can be for us. A larger one would let one message hold up all
/// others, and no encoder needs it.
pub const CHUNK_SIZE_MAX: u32 = 1024 * 1024;

/// The chunk stream that protocol control messages come on.
pub const CONTROL_CHUNK_STREAM: u32 = 2;

/// A timestamp of this or more does not fit its 24 bits and follows in 32.
const EXTENDED_TIMESTAMP: u32 = 0xFF_FFFF;

/// The types of messages that steer the chunk stream itself.
pub(crate) const TYPE_SET_CHUNK_SIZE: u8 = 1;
pub(crate) const TYPE_ABORT: u8 = 2;

/// A whole message, whatever it means.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// What number of chunk stream it came on.
    pub chunk_stream: u32,
    /// Its type.
    pub kind: u8,
    /// The message stream it belongs to; 0 is the connection itself.
    pub stream: u32,
    /// Milliseconds on the sender's clock.
    pub timestamp: u32,
    /// Its body.
    pub payload: Bytes,
}

impl fmt::Debug for Message {
    /// Without the payload: it may hold a stream key, and is mostly long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("chunk_stream", &self.chunk_stream)
            .field("kind", &self.kind)
            .field("stream", &self.stream)
            .field("timestamp", &self.timestamp)
            .field("payload_bytes", &self.payload.len())
            .finish()
    }
}
