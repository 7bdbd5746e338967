//! Publishers: RTMP in, track logs out; and viewers over TCP: RTMP, HTTP-FLV, WebSocket-FLV.
//!
//! Pure, on times that are handed in:
//! - [`rtmp`]: the protocol, bytes in, bytes and events out; a package of its own.
//! - [`timeline`]: from a publisher's stamps to the broadcast's `MediaTime`.
//! - [`stage`]: who publishes to which channel; takeover, grace, end.
//! - [`evicted`]: who was replaced of late, and does not replace another by itself.
//! - [`meter`]: rate, bitrate and keyframe interval of a track.
//!
//! The shell around it:
//! - [`config`]: what can be set.
//! - [`gate`]: who may publish; asked of whoever knows the keys.
//! - [`publisher`]: from message bodies to frames in the track logs.
//! - [`theatre`]: performs what the stage says.
//! - [`server`]: the listener, and one task a connection.
//! - [`play`]: viewers, whose connections are handed to shards.

pub mod config;
pub mod evicted;
pub mod gate;
pub mod meter;
pub mod play;
pub mod publisher;
pub mod server;
pub mod stage;
pub mod theatre;
pub mod timeline;

pub use rtmp_core as rtmp;

pub use config::{Caps, Config, RtmpConfig};
pub use play::Play;
pub use server::Server;
