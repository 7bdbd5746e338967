//! CMAF (ISO/IEC 23000-19): init segments and chunks of one track each.
//!
//! - [`init`]: `ftyp` and `moov`, by the `mp4-atom` crate.
//! - [`chunk`]: one `moof` and `mdat`, written by hand in one buffer of the exact size.

pub mod chunk;
pub mod init;

pub use chunk::{Chunk, Sample};
pub use init::init_segment;

use crate::{TrackConfig, TrackKind, VideoConfig};

/// Why a set-up or its frames cannot be put into CMAF.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A box could not be written.
    #[error("failed to write an init segment: {0}")]
    Box(#[from] mp4_atom::Error),
    /// More than four gigabytes of media, or a time out of range, in one chunk.
    #[error("the frames of a chunk do not fit it")]
    TooLarge,
    /// A codec that players do not take out of ISO media files.
    #[error("{0} does not stand in CMAF")]
    Codec(&'static str),
    /// A picture or a sample rate that the sample entry cannot tell.
    #[error("{0} does not fit a sample entry")]
    OutOfRange(&'static str),
}

/// Ticks per second of video tracks: divides by every frame rate in use.
pub const VIDEO_TIMESCALE: u32 = 90_000;

/// Whether a track can be put into CMAF. Players take VP8 out of WebM alone.
pub const fn carries(config: &TrackConfig) -> bool {
    !matches!(config, TrackConfig::Video(VideoConfig::Vp8 { .. }))
}

/// Ticks per second of a track.
pub const fn timescale(config: &TrackConfig) -> u32 {
    match config {
        TrackConfig::Video(_) => VIDEO_TIMESCALE,
        TrackConfig::Audio(audio) => audio.sample_rate(),
    }
}

/// The number a track has in its own files.
pub const fn track_id(kind: TrackKind) -> u32 {
    match kind {
        TrackKind::Video => 1,
        TrackKind::Audio => 2,
    }
}
