//! Media for players: messages cut into chunks once, for everybody who plays.
//!
//! Every message begins with a full header and stands on one message stream, so that a player can
//! be sent any of them after any other.

use bytes::{Bytes, BytesMut};

use super::message::{Sender, kind};

/// The chunk size that players are told: a keyframe is a few chunks, most other frames are one.
pub const CHUNK_SIZE: u32 = 60_000;

/// The message stream that players play on, which is the first that they create.
pub const STREAM: u32 = 1;

const DATA_CHUNK_STREAM: u32 = 5;
const AUDIO_CHUNK_STREAM: u32 = 6;
const VIDEO_CHUNK_STREAM: u32 = 7;

/// Makes messages for players.
#[derive(Clone, Debug)]
pub struct Packer {
    sender: Sender,
}

impl Default for Packer {
    fn default() -> Self {
        Self::new()
    }
}

impl Packer {
    /// A packer for players who have been told the chunk size.
    pub fn new() -> Self {
        Self {
            // Every player's session says it to that player.
            sender: Sender::with_chunk_size(CHUNK_SIZE),
        }
    }

    /// Appends the body of a video tag.
    pub fn video(&self, out: &mut BytesMut, timestamp: u32, body: &[u8]) {
        let (chunk_stream, kind) = (VIDEO_CHUNK_STREAM, kind::VIDEO);
        self.sender
            .media(out, chunk_stream, kind, STREAM, timestamp, body);
    }

    /// Appends the body of an audio tag.
    pub fn audio(&self, out: &mut BytesMut, timestamp: u32, body: &[u8]) {
        let (chunk_stream, kind) = (AUDIO_CHUNK_STREAM, kind::AUDIO);
        self.sender
            .media(out, chunk_stream, kind, STREAM, timestamp, body);
    }

    /// Appends the body of a script tag.
    pub fn script(&self, out: &mut BytesMut, timestamp: u32, body: &[u8]) {
        self.sender
            .media(out, DATA_CHUNK_STREAM, kind::DATA, STREAM, timestamp, body);
    }

    /// Nothing comes for now, for want of a publisher.
    pub fn dry(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.sender.stream_dry(&mut out, STREAM);
        out.freeze()
    }

    /// The publisher is back.
    pub fn begin(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.sender.stream_begin(&mut out, STREAM);
        out.freeze()
    }
}
