//! One access unit or audio frame: the item of a track log.

use std::sync::Arc;

use bytes::Bytes;

use crate::{MediaTime, TrackConfig, WallTime};

/// One access unit (video) or audio frame, shared by everybody who reads it.
///
/// Cloning costs two reference counts and copies no media.
#[derive(Clone, Debug)]
pub struct Frame {
    /// When it is shown.
    pub pts: MediaTime,
    /// When it is decoded; never earlier than the frame before it on the same track.
    pub dts: MediaTime,
    /// Whether decoding can start here. Always true for audio.
    pub key: bool,
    /// When its last byte reached the server.
    pub captured_at: WallTime,
    /// Counts the discontinuities of the stream up to here: when it differs from the frame before,
    /// the publisher came back, its clock jumped or its codec changed.
    pub run: u32,
    /// The decoder set-up it was coded under; changes only together with `run`.
    pub config: Arc<TrackConfig>,
    /// The coded bytes: length-prefixed NAL units (4 bytes each) for H.264, one frame for VP8, one
    /// picture for VP9, units with their sizes and without delimiters for AV1, one raw frame for AAC,
    /// one packet for Opus.
    pub data: Bytes,
}
