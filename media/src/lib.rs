//! Media in its pure form: time, tracks, frames, codecs and containers.
//!
//! Nothing here knows a socket, a clock or an async runtime: bytes go in, values come out, and
//! every parser has a bound on what it allocates and how deep it recurses.
//!
//! - [`time`]: `MediaTime`, the one timeline of a broadcast, and `WallTime`.
//! - [`track`]: what a track carries and how a decoder is set up for it.
//! - [`frame`]: one access unit or audio frame.
//! - [`codec`]: H.264, VP8, VP9, AV1, AAC and Opus, as far as a server must read them.
//! - [`amf0`], [`amf3`]: the value encodings of RTMP and FLV script data.
//! - [`flv`]: FLV tags, which are also the bodies of RTMP media messages.
//! - [`fmp4`]: CMAF init segments and chunks.

pub mod amf0;
pub mod amf3;
pub mod codec;
pub mod flv;
pub mod fmp4;
pub mod frame;
pub mod time;
pub mod track;

pub use frame::Frame;
pub use time::{MediaTime, WallTime};
pub use track::{AudioConfig, TrackConfig, TrackKind, VideoConfig};
