//! What the API asks of rooms.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wire::{BroadcastId, ChannelId, Handle, Person};

use crate::unfit::Unfit;

/// What somebody is called.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Name {
    /// Their handle.
    #[schema(value_type = String, example = "ann")]
    pub handle: Handle,
    /// Their name for people; may be empty.
    pub name: String,
}

/// A danmaku that a program says. What is left out is as most are.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// What. One line.
    #[schema(example = "A new poll is open: !vote")]
    pub text: String,
    /// Where it moves: `scroll`, `top`, `bottom` or `reverse`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "top")]
    pub mode: Option<String>,
    /// Its colour, 0xRRGGBB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 16777215)]
    pub colour: Option<u32>,
    /// How large: `small`, `normal` or `large`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// What it answers, by its place on the chat lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<u64>,
}

/// Why something is not said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotSaid {
    /// What it is said with is none of what can be; the text tells.
    Unreadable(String),
    /// A value is not acceptable.
    Unfit(&'static str, Unfit),
    /// It is too much at once; later it can be said.
    TooFast(Duration),
    /// It cannot be kept now.
    Unavailable,
}

/// Which danmaku of a broadcast are wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// In whose room.
    pub channel: ChannelId,
    /// Of which broadcast.
    pub broadcast: BroadcastId,
    /// Of which pictures, in microseconds of MediaTime.
    pub pictures: Range<i64>,
    /// After which of them, as an answer before has told.
    pub after: Option<String>,
    /// How many at most.
    pub limit: u32,
}

/// Danmaku of a broadcast.
#[derive(Debug, Serialize, ToSchema)]
pub struct Replay {
    /// By their pictures, as they stand on the chat lane: docs/protocol.md tells their fields.
    #[schema(value_type = Vec<Object>)]
    pub items: Vec<serde_json::Value>,
    /// There may be more: ask again with this as `after`.
    pub next: Option<String>,
}

/// What comes later.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The rooms of channels.
pub trait Rooms: Send + Sync + 'static {
    /// How many people are signed in in a room, and at most `limit` of them.
    fn people(&self, channel: ChannelId, limit: usize) -> (usize, Vec<Name>);

    /// Says something, once for each key; tells its place on the chat lane.
    fn say<'a>(
        &'a self,
        channel: ChannelId,
        person: &'a Person,
        words: Words,
        key: Option<String>,
    ) -> Later<'a, Result<u64, NotSaid>>;

    /// Which picture is the last of a channel's broadcast, if one is on: microseconds of MediaTime.
    fn picture(&self, channel: ChannelId) -> Option<(BroadcastId, i64)>;

    /// Danmaku of a broadcast by their pictures; `None` if `after` is none of ours.
    fn replay(&self, wanted: Wanted) -> Later<'_, anyhow::Result<Option<Replay>>>;
}
