//! One packet of a track, as all its viewers share it.

use bytes::Bytes;
use media::MediaTime;

use crate::Codec;

/// An RTP packet without what differs from viewer to viewer.
///
/// Cloning copies no media.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Its sequence number on the track, without wraps. A packet that came late has a smaller
    /// number than the one before it in the log.
    pub number: u64,
    /// Its RTP timestamp, by the track's clock; wraps.
    pub timestamp: u32,
    /// When it is shown, about: for bounds, not for players.
    pub at: MediaTime,
    /// How it is coded.
    pub codec: Codec,
    /// The last packet of a picture; of sound, the first after silence.
    pub marker: bool,
    /// Whether a decoder can start here: the first packet of a keyframe.
    pub key: bool,
    /// The RTP payload.
    pub payload: Bytes,
}
