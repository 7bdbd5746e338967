//! What one service tells the others.

use serde::{Deserialize, Serialize};

use crate::{BroadcastId, ChannelId};

/// Something that happened to a stream. Times are microseconds since the Unix epoch.
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
    },
}
