//! What stands on a lane.

use std::collections::BTreeMap;

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
    /// Somebody has given a gift. Money lane.
    Gift(Box<Gift>),
    /// A gift was taken back. Money lane.
    TakenBack {
        /// The how many-th entry of the ledger this is.
        seq: u64,
        /// The how many-th the gift was.
        of: u64,
    },
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
    /// Nothing can be given, or again something. Ambient lane.
    Gifting {
        /// Since when, in milliseconds since the Unix epoch; none when it works.
        down_since_ms: Option<i64>,
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
            Self::Gift(_) | Self::TakenBack { .. } => Lane::Money,
            Self::Removed(_) => Lane::Mods,
            Self::Clock { .. }
            | Self::Count { .. }
            | Self::Joined { .. }
            | Self::Followed { .. }
            | Self::Shared { .. }
            | Self::Gifting { .. }
            | Self::Degraded { .. } => Lane::Ambient,
        }
    }
}

impl Event {
    /// The how many-th entry of the ledger it tells of: a room is told of each once.
    pub fn seq(&self) -> Option<u64> {
        match self {
            Self::Gift(gift) => Some(gift.seq),
            Self::TakenBack { seq, .. } => Some(*seq),
            Self::Danmaku(_)
            | Self::Deleted { .. }
            | Self::Broadcast(_)
            | Self::Emotes
            | Self::Removed(_)
            | Self::Clock { .. }
            | Self::Count { .. }
            | Self::Joined { .. }
            | Self::Followed { .. }
            | Self::Shared { .. }
            | Self::Gifting { .. }
            | Self::Degraded { .. } => None,
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

/// A gift that is in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gift {
    /// The how many-th entry of the ledger it is.
    pub seq: u64,
    /// Who gave it.
    pub by: Person,
    /// What.
    pub gift: Given,
    /// How many.
    pub count: u32,
    /// What all of them cost, in coins.
    pub coins: u64,
    /// Which combo it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub combo: Option<Combo>,
    /// What was said with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// How long that is to be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_ms: Option<u64>,
    /// To which broadcast, if one was on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b: Option<BroadcastId>,
    /// At which picture of it, in microseconds of MediaTime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mt: Option<i64>,
}

/// What was given, as the catalogue described it then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// Its name for programs.
    pub id: String,
    /// Its names for people, by language.
    pub name: BTreeMap<String, String>,
    /// How much it makes of itself: 1 to 4.
    pub tier: u8,
    /// What is seen of it.
    pub effect: String,
    /// A character that stands for it.
    pub glyph: String,
}

/// Gifts of one kind that somebody gave in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Combo {
    /// What its sender calls it.
    pub id: String,
    /// How many there are up to and with this one.
    pub n: u64,
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
