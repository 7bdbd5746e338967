//! What one service tells the others.

use serde::{Deserialize, Serialize};

use crate::{BroadcastId, ChannelId, Person};

/// Something that happened to a channel. Times are microseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A channel went live: a broadcast began.
    BroadcastStarted {
        /// Whose.
        channel: ChannelId,
        /// Which.
        broadcast: BroadcastId,
        /// When.
        at: i64,
    },
    /// The publisher vanished; the broadcast waits for it for its grace time.
    PublisherLost {
        /// Whose.
        channel: ChannelId,
        /// Which.
        broadcast: BroadcastId,
        /// When.
        at: i64,
    },
    /// A publisher came back, or another took over, and the broadcast continues.
    PublisherReturned {
        /// Whose.
        channel: ChannelId,
        /// Which.
        broadcast: BroadcastId,
        /// When.
        at: i64,
    },
    /// The broadcast is over.
    BroadcastEnded {
        /// Whose.
        channel: ChannelId,
        /// Which.
        broadcast: BroadcastId,
        /// When.
        at: i64,
        /// How it came to that.
        how: Ended,
    },
    /// Somebody follows the channel, for the first time.
    Followed {
        /// Which.
        channel: ChannelId,
        /// Who.
        by: Person,
        /// How many follow it now.
        followers: u64,
        /// When.
        at: i64,
    },
    /// An emote of the channel is new or gone.
    EmotesChanged {
        /// Whose.
        channel: ChannelId,
    },
}

/// How a broadcast came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The publisher said that it was done.
    Finished,
    /// The publisher vanished and did not return in time.
    Lost,
    /// The publisher was shown out, as when its key is revoked, and no other came in time.
    ShownOut,
    /// What the publisher sent cannot be broadcast.
    Unusable,
    /// Somebody with the right to do so ended it.
    Stopped,
    /// The server ended.
    ServerEnded,
    /// The server was killed, and the broadcast not continued after its next start.
    ServerLost,
}

impl Ended {
    /// Its name, as programs read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Lost => "lost",
            Self::ShownOut => "shown_out",
            Self::Unusable => "unusable",
            Self::Stopped => "stopped",
            Self::ServerEnded => "server_ended",
            Self::ServerLost => "server_lost",
        }
    }
}
