//! What a track carries, and what a decoder needs before its first frame.

use bytes::Bytes;

use crate::codec::{aac, av1, h264, opus, vp9};

/// The two kinds of track a stream has today, at most one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrackKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

impl TrackKind {
    /// `video` or `audio`, as it stands in paths, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
        }
    }
}

/// How a decoder is set up for a track. Frames point at the one they were coded under, so that a
/// change of codec, resolution or sample rate is seen by comparing two frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrackConfig {
    /// A video track.
    Video(VideoConfig),
    /// An audio track.
    Audio(AudioConfig),
}

impl TrackConfig {
    /// Which kind of track this sets up.
    pub const fn kind(&self) -> TrackKind {
        match self {
            Self::Video(_) => TrackKind::Video,
            Self::Audio(_) => TrackKind::Audio,
        }
    }

    /// The codec as RFC 6381 writes it, such as `avc1.64001f` or `mp4a.40.2`.
    pub fn codec_string(&self) -> String {
        match self {
            Self::Video(video) => video.codec_string(),
            Self::Audio(audio) => audio.codec_string(),
        }
    }
}

/// A decoder set-up for pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VideoConfig {
    /// H.264 in length-prefixed form (ISO/IEC 14496-15 §5).
    H264 {
        /// The `AVCDecoderConfigurationRecord`, as it stands in an `avcC` box.
        record: Bytes,
        /// What its first sequence parameter set says.
        sps: h264::Sps,
    },
    /// VP8, one frame a picture (RFC 6386).
    Vp8 {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
    },
    /// VP9, with an index behind the frames of a picture if they are several.
    Vp9(vp9::KeyHeader),
    /// AV1 as it stands in the samples of ISO media files.
    Av1 {
        /// The sequence header, as a unit with its size.
        unit: Bytes,
        /// What it says.
        sequence: av1::Sequence,
    },
}

impl VideoConfig {
    /// Displayed width and height in pixels.
    pub const fn resolution(&self) -> (u32, u32) {
        match self {
            Self::H264 { sps, .. } => (sps.width, sps.height),
            Self::Vp8 { width, height } => (*width, *height),
            Self::Vp9(header) => (header.width, header.height),
            Self::Av1 { sequence, .. } => (sequence.width, sequence.height),
        }
    }

    /// The codec as RFC 6381 writes it.
    pub fn codec_string(&self) -> String {
        match self {
            Self::H264 { sps, .. } => sps.codec_string(),
            Self::Vp8 { .. } => "vp8".to_owned(),
            Self::Vp9(header) => header.codec_string(),
            Self::Av1 { sequence, .. } => sequence.codec_string(),
        }
    }
}

/// A decoder set-up for sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AudioConfig {
    /// AAC in raw frames, without ADTS headers.
    Aac {
        /// The `AudioSpecificConfig` (ISO/IEC 14496-3 §1.6.2.1), as it stands in an `esds` box.
        record: Bytes,
        /// What it says.
        asc: aac::AudioSpecificConfig,
    },
    /// Opus packets (RFC 6716).
    Opus {
        /// Channels.
        channels: u8,
        /// Samples at 48 kHz that one packet decodes to, per channel.
        samples_per_frame: u32,
    },
}

impl AudioConfig {
    /// Samples per second and channel.
    pub const fn sample_rate(&self) -> u32 {
        match self {
            Self::Aac { asc, .. } => asc.sample_rate,
            Self::Opus { .. } => opus::SAMPLE_RATE,
        }
    }

    /// Channels.
    pub const fn channels(&self) -> u8 {
        match self {
            Self::Aac { asc, .. } => asc.channels,
            Self::Opus { channels, .. } => *channels,
        }
    }

    /// Samples that one frame decodes to, per channel.
    pub const fn samples_per_frame(&self) -> u32 {
        match self {
            Self::Aac { asc, .. } => asc.samples_per_frame,
            Self::Opus {
                samples_per_frame, ..
            } => *samples_per_frame,
        }
    }

    /// The codec as RFC 6381 writes it.
    pub fn codec_string(&self) -> String {
        match self {
            Self::Aac { asc, .. } => asc.codec_string(),
            Self::Opus { .. } => "opus".to_owned(),
        }
    }
}
