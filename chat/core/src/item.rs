//! What stands on a lane.

use serde::{Deserialize, Serialize};
use wire::{BroadcastId, Handle, Person};

use crate::danmaku::Danmaku;
use crate::lane::Lane;

/// Something that happens in a room. Its name on the wire stands in `t`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum Event {
    /// Somebody says something. Chat lane.
    Danmaku(Danmaku),
    /// Something on the chat lane is to be seen no more. Control lane.
    Deleted {
        /// Where it stands there.
        of: u64,
    },
    /// The channel goes live, loses its publisher, gets it back, or ends. Control lane.
    Broadcast(Broadcast),
    /// The channel has other emotes than before. Control lane.
    Emotes,
    /// Somebody has deleted something. Mods' lane.
    Removed(Removed),
    /// Which wall time a broadcast's MediaTime zero has, as it is known better. Ambient lane.
    Clock {
        /// Of which broadcast.
        b: BroadcastId,
        /// In milliseconds since the Unix epoch.
        zero_ms: i64,
    },
    /// How many are here. Ambient lane.
    Count {
        /// Connections to the room.
        viewers: u64,
        /// Likes since the broadcast began.
        likes: u64,
        /// Danmaku that everybody was shown since the last count, if some were not.
        #[serde(default, skip_serializing_if = "is_zero")]
        kept: u64,
        /// And those that not everybody was shown, because there were too many.
        #[serde(default, skip_serializing_if = "is_zero")]
        dropped: u64,
    },
    /// People came in who are signed in. Ambient lane.
    Joined {
        /// How many.
        count: u64,
        /// Some of them.
        named: Vec<Name>,
    },
    /// People follow the channel who never did. Ambient lane.
    Followed {
        /// How many.
        count: u64,
        /// Some of them.
        named: Vec<Name>,
        /// How many follow it now.
        followers: u64,
    },
    /// People pass the channel on to others. Ambient lane.
    Shared {
        /// How many.
        count: u64,
        /// Some of those who are signed in.
        named: Vec<Name>,
    },
    /// Something does not work, or works again. Ambient lane.
    Degraded {
        /// Since when nothing can be said, in milliseconds since the Unix epoch; none when it works.
        chat_since_ms: Option<i64>,
    },
}

impl Event {
    /// On which lane it belongs.
    pub const fn lane(&self) -> Lane {
        match self {
            Self::Danmaku(_) => Lane::Chat,
            Self::Deleted { .. } | Self::Broadcast(_) | Self::Emotes => Lane::Control,
            Self::Removed(_) => Lane::Mods,
            Self::Clock { .. }
            | Self::Count { .. }
            | Self::Joined { .. }
            | Self::Followed { .. }
            | Self::Shared { .. }
            | Self::Degraded { .. } => Lane::Ambient,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What somebody is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// Their handle.
    pub handle: Handle,
    /// Their name for people; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

impl From<&Person> for Name {
    fn from(person: &Person) -> Self {
        Self {
            handle: person.handle.clone(),
            name: person.name.clone(),
        }
    }
}

/// What was deleted, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Where it stands on the chat lane.
    pub of: u64,
    /// Who deleted it.
    pub by: Name,
    /// Who said it.
    pub whose: Name,
    /// What was said.
    pub text: String,
}

/// How a broadcast is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broadcast {
    /// Which.
    pub b: BroadcastId,
    /// How it is.
    pub state: State,
    /// The wall time of its MediaTime zero, in milliseconds since the Unix epoch.
    pub zero_ms: i64,
}

/// How a broadcast is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Somebody publishes.
    Live,
    /// The publisher is waited for.
    Waiting,
    /// It is over.
    Ended,
}

/// Something on a lane, with its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// On which lane.
    #[serde(rename = "l")]
    pub lane: Lane,
    /// Where.
    #[serde(rename = "p")]
    pub offset: u64,
    /// When, in milliseconds since the Unix epoch.
    #[serde(rename = "at")]
    pub at_ms: i64,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}
