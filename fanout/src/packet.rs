//! The item of a derived log: bytes as they stand on the wire, made once for everybody.

use std::sync::Arc;

use bytes::Bytes;

use crate::compressed::Compressed;
use crate::window::{Limits, Meta};

/// What a derived log keeps: enough for a reader who joins at the latest keyframe. Readers that
/// fall behind more than that skip.
pub const DERIVED_WINDOW: Limits = Limits {
    items: 4_096,
    bytes: 16 * 1024 * 1024,
    span_micros: 20_000_000,
};

/// Bytes for two kinds of readers: those of a plain stream, and those to whom each piece comes in a
/// frame (WebSocket), whose header stands in front.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    bytes: Bytes,
    /// How many bytes the header of the frame has.
    lead: usize,
}

impl Encoded {
    /// Bytes that are the same for everybody.
    pub const fn plain(bytes: Bytes) -> Self {
        Self { bytes, lead: 0 }
    }

    /// Bytes of which the first `lead` are the header of a frame around the rest.
    pub fn framed(bytes: Bytes, lead: usize) -> Self {
        let lead = lead.min(bytes.len());
        Self { bytes, lead }
    }

    /// As a reader of frames gets them, or one of a plain stream.
    pub fn as_slice(&self, framed: bool) -> &[u8] {
        &self.bytes[if framed { 0 } else { self.lead }..]
    }

    /// The same, shared.
    pub fn to_bytes(&self, framed: bool) -> Bytes {
        self.bytes.slice(if framed { 0 } else { self.lead }..)
    }
}

/// What a packet is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A picture.
    Picture,
    /// Sound.
    Sound,
    /// Something else that belongs to the stream.
    Other,
    /// An item of a room, or word of items that nobody is given.
    Line(Line),
}

/// Where an item of a room stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which of the room's lanes.
    pub lane: u8,
    /// Which item of the lane, or the first of a gap.
    pub from: u64,
    /// The item after it, or after the gap.
    pub to: u64,
    /// Whether it is word of items that nobody is given.
    pub is_gap: bool,
    /// Whether a reader who falls behind may be spared it, if it is told so.
    pub droppable: bool,
}

/// Items of one lane that a reader was spared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Which lane.
    pub lane: u8,
    /// The first item missed.
    pub from: u64,
    /// The first item after the gap.
    pub to: u64,
}

/// Makes one frame of pieces.
pub type Join = fn(&[&[u8]]) -> Bytes;

/// How bytes stand on a reader's wire.
#[derive(Clone, Debug)]
pub enum Form {
    /// One after another.
    Plain,
    /// Each piece in the frame that it brings along.
    Framed,
    /// Everything that is written at once in one frame, which this makes.
    Joined(Join),
    /// The same, and what many get alike is compressed.
    Compressed(Join, Compressed),
}

impl Form {
    /// Whether the reader gets the frames that pieces bring along.
    pub const fn is_framed(&self) -> bool {
        matches!(self, Self::Framed)
    }

    /// What makes one frame of all that is written at once, if anything does.
    pub const fn join(&self) -> Option<Join> {
        match self {
            Self::Plain | Self::Framed => None,
            Self::Joined(join) | Self::Compressed(join, _) => Some(*join),
        }
    }
}

/// What a decoder needs before a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Counts the set-ups of a log.
    pub number: u64,
    /// All of it.
    pub whole: Encoded,
    /// What is new since the set-up before.
    pub change: Encoded,
}

/// One item of a derived log.
#[derive(Clone, Debug)]
pub struct Packet {
    /// What is written.
    pub encoded: Encoded,
    /// What a reader must have been written before, in its own bytes.
    pub setup: Arc<Setup>,
    /// What it is about.
    pub role: Role,
    /// Whether a reader can begin here.
    pub key: bool,
    /// Whether it is worth a write of its own. What is not waits for the next that is, a little.
    pub flush: bool,
    /// Its time on the log's clock, in microseconds.
    pub at_micros: i64,
}

impl Packet {
    /// For [`Log::new`](crate::Log::new).
    pub fn measure(&self) -> Meta {
        Meta {
            size_bytes: self.encoded.bytes.len() + std::mem::size_of::<Self>(),
            at_micros: self.at_micros,
            key: self.key,
        }
    }

    /// What has to be written before this packet to a reader that was set up by `number`.
    pub fn setup_since(&self, number: Option<u64>) -> Option<&Encoded> {
        match number {
            Some(number) if number == self.setup.number => None,
            Some(number) if number + 1 == self.setup.number => Some(&self.setup.change),
            _ => Some(&self.setup.whole),
        }
    }
}
