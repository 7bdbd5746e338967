//! What crosses services: identities, events and room tokens. Plain data; no behaviour beyond reading
//! and writing itself.

pub mod emote;
pub mod event;
pub mod handle;
pub mod hex;
pub mod id;
pub mod person;
pub mod room_token;
pub mod text;

pub use emote::EmoteCode;
pub use event::{Ended, Event};
pub use handle::Handle;
pub use id::{
    AgencyId, BroadcastId, ChannelId, EmoteId, NodeId, RoomId, SessionId, StreamId, StreamKeyId,
    TrackId, UserId,
};
pub use person::{Badge, Person, RoomClaims};
