//! Who says something, and what they can show for it.

use serde::{Deserialize, Serialize};

use crate::{ChannelId, Handle, UserId};

/// What stands beside a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Badge {
    /// The channel's owner.
    Host,
    /// A moderator of the channel.
    Moderator,
    /// An operator of the server.
    Operator,
}

/// Somebody as others see them in a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Who.
    pub id: UserId,
    /// Their handle.
    pub handle: Handle,
    /// Their name for people; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What stands beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub badges: Vec<Badge>,
}

/// What a room token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomClaims {
    /// In which channel's room it is good.
    pub room: ChannelId,
    /// Who shows it.
    pub person: Person,
    /// Until when, in microseconds since the Unix epoch.
    pub until: i64,
}
