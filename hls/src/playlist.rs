//! Playlists as text (RFC 8216bis). Pure: a presentation in, a string out.

use std::fmt::Write as _;

use jiff::Timestamp;
use media::{TrackConfig, TrackKind, WallTime};
use wire::BroadcastId;

use crate::config::Config;
use crate::presentation::{Presentation, Rendition, Segment};

/// The lowest version that has `EXT-X-SKIP` (§8).
const VERSION: u32 = 9;

/// How many target durations of parts a playlist lists (§4.4.4.9).
const PARTS_TARGETS: i64 = 3;
/// How far from the end segments may be skipped, in target durations: six at least (§4.4.3.8).
const SKIP_TARGETS: i64 = 6;
/// How far from the end players without parts stay, in target durations: three at least.
const HOLD_BACK_TARGETS: i64 = 3;
/// How far from the end players with parts stay, in part targets (§4.4.3.8).
const PART_HOLD_BACK_TARGETS: i64 = 3;

/// Measured frame rates this near to a whole number, in thousandths of it, are taken for it.
const FRAME_RATE_SLACK: f64 = 0.000_5;

/// Which form of a media playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// Everything.
    Full,
    /// The old segments skipped, for players that have them.
    Delta,
}

/// The media playlist of one track. `None` while it has nothing to play.
///
/// A delta update is the full playlist when there is nothing to skip.
pub fn media(
    presentation: &Presentation<'_>,
    kind: TrackKind,
    form: Form,
    config: &Config,
) -> Option<String> {
    let rendition = presentation.rendition(kind)?;
    let segments: Vec<&Segment> = rendition
        .listed()
        .filter(|s| s.complete || !s.parts.is_empty())
        .collect();
    let first = segments.first()?;
    let mut out = String::with_capacity(4096);
    head(&mut out, presentation, first, kind, config);

    let total_us: i64 = segments.iter().map(|segment| segment.duration_us).sum();
    let mut end_us = 0;
    let mut init = None;
    let skipped = match form {
        Form::Full => 0,
        Form::Delta => skippable(&segments, total_us, config),
    };
    if skipped > 0 {
        line(
            &mut out,
            format_args!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}"),
        );
    }
    for (index, segment) in segments.iter().enumerate() {
        let start_us = end_us;
        end_us += segment.duration_us;
        if index >= skipped {
            let recent = total_us - start_us <= config.target_us() * PARTS_TARGETS;
            let map = init != Some(segment.init);
            body(&mut out, kind, segment, map, recent || !segment.complete);
        }
        init = Some(segment.init);
    }
    tail(&mut out, presentation, rendition);
    Some(out)
}

fn head(
    out: &mut String,
    presentation: &Presentation<'_>,
    first: &Segment,
    kind: TrackKind,
    config: &Config,
) {
    let target_us = config.target_us();
    let part_us = presentation.part_target_us;
    line(out, format_args!("#EXTM3U"));
    line(out, format_args!("#EXT-X-VERSION:{VERSION}"));
    line(
        out,
        format_args!("#EXT-X-TARGETDURATION:{}", config.target_duration_s),
    );
    line(
        out,
        format_args!(
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={},CAN-SKIP-UNTIL={},HOLD-BACK={}",
            Seconds(part_us * PART_HOLD_BACK_TARGETS, 3),
            Seconds(target_us * SKIP_TARGETS, 1),
            Seconds(target_us * HOLD_BACK_TARGETS, 1),
        ),
    );
    line(
        out,
        format_args!("#EXT-X-PART-INF:PART-TARGET={}", Seconds(part_us, 3)),
    );
    match kind {
        // Every frame of sound can be decoded by itself; pictures cut without a keyframe cannot.
        TrackKind::Audio => line(out, format_args!("#EXT-X-INDEPENDENT-SEGMENTS")),
        TrackKind::Video => {}
    }
    line(out, format_args!("#EXT-X-MEDIA-SEQUENCE:{}", first.msn));
    let before = first.discontinuities - u64::from(first.discontinuity);
    line(out, format_args!("#EXT-X-DISCONTINUITY-SEQUENCE:{before}"));
}

/// How many of the oldest segments lie before the skip boundary (§6.2.5.1).
fn skippable(segments: &[&Segment], total_us: i64, config: &Config) -> usize {
    let boundary_us = total_us - config.target_us() * SKIP_TARGETS;
    let mut end_us = 0;
    segments
        .iter()
        .take_while(|segment| {
            end_us += segment.duration_us;
            end_us <= boundary_us
        })
        .count()
}

fn body(out: &mut String, kind: TrackKind, segment: &Segment, map: bool, parts: bool) {
    let (dir, msn) = (kind.as_str(), segment.msn);
    if segment.discontinuity {
        line(out, format_args!("#EXT-X-DISCONTINUITY"));
    }
    if map {
        line(
            out,
            format_args!("#EXT-X-MAP:URI=\"{dir}/init-{}.mp4\"", segment.init),
        );
    }
    line(
        out,
        format_args!("#EXT-X-PROGRAM-DATE-TIME:{}", DateTime(segment.shown_at)),
    );
    if parts {
        for (index, part) in segment.parts.iter().enumerate() {
            let duration = Seconds(part.duration_us, 6);
            let independent = if part.independent {
                ",INDEPENDENT=YES"
            } else {
                ""
            };
            line(
                out,
                format_args!(
                    "#EXT-X-PART:DURATION={duration},URI=\"{dir}/{msn}.{index}.m4s\"{independent}"
                ),
            );
        }
    }
    if segment.is_gap() {
        line(out, format_args!("#EXT-X-GAP"));
    }
    if segment.complete {
        line(
            out,
            format_args!("#EXTINF:{},", Seconds(segment.duration_us, 6)),
        );
        line(out, format_args!("{dir}/{msn}.m4s"));
    }
}

fn tail(out: &mut String, presentation: &Presentation<'_>, rendition: &Rendition) {
    if rendition.is_ended() {
        line(out, format_args!("#EXT-X-ENDLIST"));
        return;
    }
    let next = rendition.next_part();
    let dir = rendition.kind.as_str();
    line(
        out,
        format_args!(
            "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{dir}/{}.{}.m4s\"",
            next.msn, next.part
        ),
    );
    let other = match rendition.kind {
        TrackKind::Video => TrackKind::Audio,
        TrackKind::Audio => TrackKind::Video,
    };
    if let Some((msn, part)) = presentation.rendition(other).and_then(Rendition::newest) {
        let uri = other.as_str();
        let part = part
            .map(|part| format!(",LAST-PART={part}"))
            .unwrap_or_default();
        line(
            out,
            format_args!("#EXT-X-RENDITION-REPORT:URI=\"{uri}.m3u8\",LAST-MSN={msn}{part}"),
        );
    }
}

/// The multivariant playlist: one variant, sound as a rendition of its own beside pictures.
/// `None` while it is not known which tracks there are.
pub fn multivariant(presentation: &Presentation<'_>, broadcast: BroadcastId) -> Option<String> {
    let main = presentation
        .video
        .or(presentation.audio)
        .filter(|_| presentation.ready)?;
    let beside = presentation.audio.filter(|_| presentation.video.is_some());
    let mut out = String::with_capacity(512);
    line(&mut out, format_args!("#EXTM3U"));
    line(&mut out, format_args!("#EXT-X-VERSION:{VERSION}"));
    if let Some(audio) = beside {
        let channels = match audio.config.as_ref() {
            TrackConfig::Audio(audio) => audio.channels(),
            TrackConfig::Video(_) => 0,
        };
        line(
            &mut out,
            format_args!(
                "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"main\",DEFAULT=YES,\
                 AUTOSELECT=YES,CHANNELS=\"{channels}\",URI=\"../b/{broadcast}/audio.m3u8\""
            ),
        );
    }
    let rates = [Some(main), beside].into_iter().flatten().map(BitRate::of);
    let rate = rates.fold(BitRate::default(), |sum, rate| BitRate {
        peak: sum.peak + rate.peak,
        average: sum.average + rate.average,
    });
    let _ = write!(
        out,
        "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={}",
        rate.peak, rate.average
    );
    let _ = write!(out, ",CODECS=\"{}", main.config.codec_string());
    if let Some(audio) = beside {
        let _ = write!(out, ",{}", audio.config.codec_string());
    }
    out.push('"');
    if let TrackConfig::Video(video) = main.config.as_ref() {
        let (width, height) = video.resolution();
        let _ = write!(out, ",RESOLUTION={width}x{height}");
        if let Some(fps) = frame_rate(main) {
            let _ = write!(out, ",FRAME-RATE={fps:.3}");
        }
    }
    if beside.is_some() {
        out.push_str(",AUDIO=\"audio\"");
    }
    let kind = main.kind.as_str();
    line(&mut out, format_args!("\n../b/{broadcast}/{kind}.m3u8"));
    Some(out)
}

/// Bits per second of a rendition: of its fullest segment and over all of them. Until one is
/// complete, of what there is of the first.
#[derive(Clone, Copy, Debug, Default)]
struct BitRate {
    peak: u64,
    average: u64,
}

impl BitRate {
    fn of(rendition: &Rendition) -> Self {
        let complete = || rendition.listed().filter(|s| s.complete && !s.is_gap());
        let first = complete().next().is_none();
        let (mut peak, mut bytes, mut us) = (0, 0_u64, 0_u64);
        // The last segment before a cut may be a few frames of which one is a keyframe.
        let least_us = complete().map(|s| s.duration_us).max().unwrap_or(0) / 2;
        for segment in rendition
            .listed()
            .filter(|s| first || (s.complete && !s.is_gap()))
        {
            let segment_us = u64::try_from(segment.duration_us).unwrap_or(0);
            let segment_bytes = segment.bytes as u64;
            bytes += segment_bytes;
            us += segment_us;
            if segment.duration_us >= least_us {
                peak = peak.max(per_second(segment_bytes, segment_us));
            }
        }
        let average = per_second(bytes, us);
        Self {
            peak: peak.max(average),
            average,
        }
    }
}

fn per_second(bytes: u64, us: u64) -> u64 {
    (bytes * 8)
        .saturating_mul(1_000_000)
        .checked_div(us)
        .unwrap_or(0)
}

/// Frames a second, measured over the listed segments.
#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds of a window and its frames are small"
)]
fn frame_rate(rendition: &Rendition) -> Option<f64> {
    let (frames, us) = rendition.listed().fold((0_u64, 0_i64), |(frames, us), s| {
        (frames + s.frames, us + s.duration_us)
    });
    let fps = (us > 0).then(|| frames as f64 * 1e6 / us as f64)?;
    let ntsc = (fps * 1.001).round() / 1.001;
    let near = [fps.round(), ntsc]
        .into_iter()
        .min_by(|a, b| (a - fps).abs().total_cmp(&(b - fps).abs()))?;
    Some(if (near - fps).abs() <= fps * FRAME_RATE_SLACK {
        near
    } else {
        fps
    })
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(text);
    out.push('\n');
}

/// Microseconds as seconds with so many decimals.
struct Seconds(i64, u32);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(us, decimals) = *self;
        let fraction = us.rem_euclid(1_000_000) / 10_i64.pow(6 - decimals.min(6));
        write!(
            f,
            "{}.{fraction:0width$}",
            us.div_euclid(1_000_000),
            width = decimals as usize
        )
    }
}

/// A wall time as ISO 8601 with milliseconds.
struct DateTime(WallTime);

impl std::fmt::Display for DateTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = Timestamp::from_microsecond(self.0.as_micros()).unwrap_or(Timestamp::UNIX_EPOCH);
        write!(f, "{time:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_the_standard_wants_them() {
        assert_eq!(Seconds(216_000, 3).to_string(), "0.216");
        assert_eq!(Seconds(2_002_033, 6).to_string(), "2.002033");
        assert_eq!(Seconds(24_000_000, 1).to_string(), "24.0");
        let time = WallTime::from_micros(1_763_700_000_000_000 + 7_654);
        assert_eq!(DateTime(time).to_string(), "2025-11-21T04:40:00.007Z");
    }
}
