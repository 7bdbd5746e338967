//! FLV: files and streams of tags, and the bodies of those tags, which RTMP carries as messages.
//!
//! [`Reader`] takes a stream apart and [`header`] and [`write_tag`] put one together; [`Video`],
//! [`Audio`] and [`Metadata`] say what the body of one tag is. Coded bytes are shared with the body
//! they stand in and never copied; what they mean is a matter for [`codec`](crate::codec).
//!
//! Formats: Adobe, "Video File Format Specification Version 10", annex E; Veovera, "Enhanced RTMP"
//! v1 and v2.

use crate::{AudioConfig, TrackConfig, VideoConfig};

mod body;
mod metadata;
mod stream;

pub use body::{
    Audio, Codec, Error, Video, aac_frame, aac_sequence_header, avc_end_of_sequence, avc_frame,
    avc_sequence_header,
};
pub use metadata::Metadata;
pub use stream::{
    HEADER_BYTES, Reader, StreamError, TAG_HEADER_BYTES, Tag, TagKind, header, write_tag,
};

/// Whether players of FLV and RTMP know how a track is coded. Enhanced RTMP has words for more, which
/// few of them understand.
pub const fn is_known(config: &TrackConfig) -> bool {
    matches!(
        config,
        TrackConfig::Video(VideoConfig::H264 { .. }) | TrackConfig::Audio(AudioConfig::Aac { .. })
    )
}
