//! The side of a connection that is not packets: what the peer says, and what it is told.

use std::time::Instant;

use bytes::Bytes;

use crate::packet::Gap;

/// What is to be done about something the peer said.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// To be written before the next packet.
    pub answer: Bytes,
    /// What follows from it.
    pub then: Then,
}

/// What follows from something the peer said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Then {
    /// Nothing.
    #[default]
    GoOn,
    /// It wants no packets for now.
    Pause,
    /// It wants packets again, from the latest place to start.
    Resume,
    /// The connection is over once the answer is written.
    Leave,
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// The log has ended and everything is written.
    Ended,
    /// The peer went away.
    Gone,
    /// The peer said something that ends it.
    Told,
    /// The peer took next to nothing for too long.
    Stopped,
    /// The peer makes us say more than it reads.
    Flooded,
    /// The peer is so far behind that what it must not miss is no longer at hand.
    Behind,
    /// The server ends.
    Drained,
    /// Something in the shard was wrong, and it began anew without its connections.
    Broken,
}

impl Why {
    /// Each of them.
    pub const ALL: [Self; 8] = [
        Self::Ended,
        Self::Gone,
        Self::Told,
        Self::Stopped,
        Self::Flooded,
        Self::Behind,
        Self::Drained,
        Self::Broken,
    ];

    /// As it stands in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Gone => "gone",
            Self::Told => "told",
            Self::Stopped => "stopped",
            Self::Flooded => "flooded",
            Self::Behind => "behind",
            Self::Drained => "drained",
            Self::Broken => "broken",
        }
    }
}

/// What came of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Why it ended.
    pub why: Why,
    /// Bytes that were written.
    pub written: u64,
    /// Packets passed over because it was too slow.
    pub skipped: u64,
}

/// One peer's protocol. It is dropped when the connection is over, and with it whatever it holds.
pub trait Talk: Send {
    /// Takes what the peer sent.
    fn hear(&mut self, bytes: &[u8]) -> Heard;

    /// The last words, before the connection ends from our side.
    fn farewell(&mut self, why: Why) -> Bytes;

    /// Looked after about once a second, whether or not anything happens.
    fn tick(&mut self, _now: Instant) -> Heard {
        Heard::default()
    }

    /// What a reader is told who was spared these items of a room.
    fn gaps(&mut self, _gaps: &[Gap]) -> Bytes {
        Bytes::new()
    }

    /// Told at the very end.
    fn over(&mut self, account: Account);
}
