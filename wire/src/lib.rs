//! What crosses services: identities and events. Plain data; no behaviour beyond reading and
//! writing itself.

pub mod emote;
pub mod event;
pub mod handle;
pub mod id;
pub mod person;
pub mod text;

pub use emote::EmoteCode;
pub use event::{Ended, Event};
pub use handle::Handle;
pub use id::{
    BroadcastId, ChannelId, EmoteId, NodeId, RoomId, SessionId, StreamId, StreamKeyId, TrackId,
    UserId,
};
pub use person::{Badge, Person, RoomClaims};
