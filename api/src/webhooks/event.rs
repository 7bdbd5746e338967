//! What other programs can be told.

use jiff::Timestamp;
use media::WallTime;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::store::channels::Channel;

/// What a delivery is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum Kind {
    /// The channel went live.
    #[serde(rename = "broadcast.started")]
    BroadcastStarted,
    /// The broadcast is over.
    #[serde(rename = "broadcast.ended")]
    BroadcastEnded,
    /// Somebody follows the channel who never did.
    #[serde(rename = "channel.followed")]
    Followed,
    /// Danmaku were said, up to 100 in one delivery.
    #[serde(rename = "danmaku.sent")]
    DanmakuSent,
    /// Danmaku were deleted, up to 100 in one delivery.
    #[serde(rename = "danmaku.deleted")]
    DanmakuDeleted,
    /// Somebody tests the webhook. Nobody can ask for these.
    #[serde(rename = "webhook.test")]
    Test,
}

impl Kind {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BroadcastStarted => "broadcast.started",
            Self::BroadcastEnded => "broadcast.ended",
            Self::Followed => "channel.followed",
            Self::DanmakuSent => "danmaku.sent",
            Self::DanmakuDeleted => "danmaku.deleted",
            Self::Test => "webhook.test",
        }
    }

    /// Whether many of them go into one delivery.
    pub const fn is_batched(self) -> bool {
        matches!(self, Self::DanmakuSent | Self::DanmakuDeleted)
    }
}

/// What is sent.
pub(super) fn body(kind: Kind, channel: &Channel, items: Vec<Value>, now: WallTime) -> String {
    let mut data = json!({
        "channel": { "id": channel.id, "handle": channel.handle, "name": channel.name },
    });
    match kind {
        Kind::BroadcastStarted | Kind::BroadcastEnded => {
            let mut broadcast = items.into_iter().next().unwrap_or_default();
            broadcast["title"] = channel.title.clone().into();
            data["broadcast"] = broadcast;
        }
        Kind::Followed => data["follow"] = items.into_iter().next().unwrap_or_default(),
        Kind::DanmakuSent | Kind::DanmakuDeleted => data["items"] = items.into(),
        Kind::Test => {}
    }
    json!({ "type": kind, "timestamp": time(now.as_micros()), "data": data }).to_string()
}

/// A time as it stands in what is sent.
pub(super) fn time(micros: i64) -> Value {
    let time = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
    time.to_string().into()
}
