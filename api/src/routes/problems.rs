//! What is the matter with a broadcast, by name, so that its streamer can be told the remedy.

use kit::stream::{Broadcast, Phase, Stats, TrackStats};
use media::{MediaTime, TrackConfig, VideoConfig, fmp4};
use serde::Serialize;
use utoipa::ToSchema;

use crate::delivery::Transcoding;

/// How long a broadcast may take before what is missing from it is missed.
const SETTLED: MediaTime = MediaTime::from_millis(5_000);

/// Keyframes further apart than this keep viewers waiting, in milliseconds.
const KEYFRAMES_APART_MAX_MS: u64 = 4_500;

/// Fewer pictures a second than this are seen as stuttering.
const FPS_MIN: f64 = 20.0;

/// Fewer bits for each pixel of each picture than this are seen as blocks.
const fn bits_per_pixel_min(config: &VideoConfig) -> f64 {
    match config {
        VideoConfig::H264 { .. } | VideoConfig::Vp8 { .. } => 0.01,
        VideoConfig::Vp9(_) | VideoConfig::Av1 { .. } => 0.005,
    }
}

/// Something that viewers notice, or soon will.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Problem {
    /// The publisher vanished and may return.
    PublisherGone,
    /// The publisher was shown out, because its stream key was revoked or replaced.
    KeyRevoked,
    /// There is no picture.
    NoPicture,
    /// Only viewers over WebRTC have pictures: players of LL-HLS and FLV do not take their codec.
    PicturesInWebrtcAlone {
        /// What they are coded in.
        #[schema(example = "vp8")]
        codec: &'static str,
    },
    /// There is no sound.
    NoSound,
    /// Keyframes are far apart: viewers wait for the next one.
    KeyframesFarApart {
        /// Milliseconds between the last two.
        interval_ms: u64,
    },
    /// There are few pictures a second.
    FewFrames {
        /// How many.
        fps: f64,
    },
    /// There are few bits for a picture of this size.
    FewBits {
        /// Bits a second.
        bitrate_bps: u64,
        /// Bits a second that would suffice.
        wanted_bps: u64,
    },
    /// Pictures are shown in another order than decoded: viewers over WebRTC are sent elsewhere.
    BFrames {
        /// Whether the channel could have them made anew.
        could_transcode: bool,
    },
    /// The channel wants its pictures made anew, and there is no room for more of such.
    TranscodingNoRoom,
    /// Its pictures are made anew slower than they come: viewers over WebRTC see them stand still.
    TranscodingSlow,
    /// Its pictures cannot be made anew.
    TranscodingFails,
    /// Frames came that could not be used.
    FramesDropped {
        /// How many so far.
        frames: u64,
    },
}

/// What this server does over WebRTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Webrtc {
    /// Whether it shows what is live.
    pub shows_live: bool,
    /// Whether pictures may be made anew for its viewers.
    pub transcodes_pictures: bool,
}

/// What is the matter with `broadcast`, worst first.
pub fn of(
    broadcast: &Broadcast,
    stats: &Stats,
    webrtc: Webrtc,
    transcoding: Transcoding,
) -> Vec<Problem> {
    if broadcast.is_shown_out() {
        return vec![Problem::KeyRevoked];
    }
    if broadcast.phase() != Phase::Live {
        return vec![Problem::PublisherGone];
    }
    if broadcast.elapsed() < SETTLED {
        return Vec::new();
    }
    let mut problems = Vec::new();
    match &stats.video {
        None => problems.push(Problem::NoPicture),
        Some(video) => {
            if !fmp4::carries(&video.config) {
                problems.push(Problem::PicturesInWebrtcAlone { codec: "vp8" });
            }
            problems.extend(of_pictures(video));
        }
    }
    if stats.audio.is_none() {
        problems.push(Problem::NoSound);
    }
    if webrtc.shows_live && broadcast.is_reordered() {
        problems.extend(of_order(broadcast.transcodes(), webrtc, transcoding));
    }
    // Sound from before the first picture is left out of every broadcast; that is none.
    if stats.dropped_frames > 50 {
        problems.push(Problem::FramesDropped {
            frames: stats.dropped_frames,
        });
    }
    problems
}

/// What is the matter with pictures that are shown in another order than decoded.
const fn of_order(wanted: bool, webrtc: Webrtc, transcoding: Transcoding) -> Option<Problem> {
    if !(wanted && webrtc.transcodes_pictures) {
        return Some(Problem::BFrames {
            could_transcode: webrtc.transcodes_pictures,
        });
    }
    match transcoding {
        Transcoding::Well => None,
        Transcoding::NoRoom => Some(Problem::TranscodingNoRoom),
        Transcoding::Slow => Some(Problem::TranscodingSlow),
        Transcoding::Fails => Some(Problem::TranscodingFails),
    }
}

/// Whether viewers over WebRTC are given pictures that are made anew of the publisher's.
pub fn makes_anew(broadcast: &Broadcast, webrtc: Webrtc) -> bool {
    webrtc.transcodes_pictures && broadcast.transcodes() && broadcast.is_reordered()
}

fn of_pictures(video: &TrackStats) -> Vec<Problem> {
    let mut problems = Vec::new();
    if video.keyframe_interval_ms > KEYFRAMES_APART_MAX_MS {
        problems.push(Problem::KeyframesFarApart {
            interval_ms: video.keyframe_interval_ms,
        });
    }
    if video.fps > 0.0 && video.fps < FPS_MIN {
        problems.push(Problem::FewFrames {
            fps: (video.fps * 10.0).round() / 10.0,
        });
    }
    if let TrackConfig::Video(config) = &*video.config {
        let (width, height) = config.resolution();
        let pixels = f64::from(width) * f64::from(height) * video.fps;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "pixels a second times a small factor, and never negative"
        )]
        let wanted_bps = (pixels * bits_per_pixel_min(config)) as u64;
        // A still picture takes few bits rightly; only large ones are told.
        if width >= 1280 && video.bitrate_bps > 0 && video.bitrate_bps < wanted_bps {
            problems.push(Problem::FewBits {
                bitrate_bps: video.bitrate_bps,
                wanted_bps,
            });
        }
    }
    problems
}
