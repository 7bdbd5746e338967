//! One track on its way through the packager: it gathers frames into parts and parts into segments,
//! where it is told to cut.

use std::collections::VecDeque;
use std::sync::Arc;

use media::fmp4::{self, Chunk, Sample};
use media::{Frame, MediaTime, TrackConfig, TrackKind, WallTime};

use super::timeline::Cut;
use crate::config::Config;
use crate::presentation::{Part, Rendition, Segment};

/// Timestamps of sound that are this near to where the samples before end are taken to mean just
/// there: publishers tell them in whole milliseconds.
const SOUND_ROUNDING_US: i64 = 3_000;

/// Most frames and bytes of a part. Only timestamps that hardly advance can lead there.
const PART_FRAMES_MAX: usize = 1024;
const PART_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The frame a track has come to: its duration is known when the next one comes.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) frame: Frame,
    /// When it is decoded, on the track's timescale.
    pub(super) ticks: i64,
}

/// A frame that waits for its turn.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) frame: Frame,
    /// Whether it does not continue the frame before.
    pub(super) discontinuity: bool,
}

/// The part that is being gathered.
#[derive(Debug, Default)]
struct Gathering {
    samples: Vec<Sample>,
    start_ticks: i64,
    /// When it begins on the presentation's clock.
    shown_at: MediaTime,
    declared_us: i64,
    bytes: usize,
}

/// The segment that is being filled.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) cut: Cut,
    /// Decoding time from which its nominal length counts, once it has a frame: of that frame, or
    /// of the keyframe that an earlier segment began with. So a segment cut between keyframes
    /// does not put off the cut at the next.
    pub(super) counts_from: Option<MediaTime>,
    /// Set when the next frame must begin another segment.
    pub(super) full: bool,
    /// Set when it was begun because the track was missing, not by a frame of it.
    pub(super) filled: bool,
    begun: bool,
}

/// A track.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) kind: TrackKind,
    pub(super) queue: VecDeque<Queued>,
    pub(super) held: Option<Held>,
    pub(super) open: Option<Open>,
    pub(super) rendition: Option<Rendition>,
    /// Decoding time of the first and of the newest frame taken in.
    pub(super) first: Option<MediaTime>,
    pub(super) newest: Option<MediaTime>,
    /// The typical duration of a frame.
    pub(super) typical_us: i64,
    /// Decoding time of the newest keyframe that a segment began with.
    key_cut_at: Option<MediaTime>,
    /// How much later than decoded the newest keyframe is shown.
    delay_us: i64,
    part: Gathering,
    init: Option<(Arc<TrackConfig>, u64)>,
    /// Number of the first init segment.
    pub(super) first_init: u64,
    /// The wall time of `MediaTime` zero.
    pub(super) began_at: WallTime,
    sequence: u32,
}

impl Lane {
    pub(super) fn new(kind: TrackKind, began_at: WallTime) -> Self {
        Self {
            kind,
            queue: VecDeque::new(),
            held: None,
            open: None,
            rendition: None,
            first: None,
            newest: None,
            typical_us: 33_333,
            key_cut_at: None,
            delay_us: 0,
            part: Gathering::default(),
            init: None,
            first_init: 0,
            began_at,
            sequence: 0,
        }
    }

    /// How long it has been coming.
    pub(super) fn span_us(&self) -> i64 {
        self.newest
            .zip(self.first)
            .map_or(0, |(newest, first)| newest.since(first))
    }

    /// Whether a part of it can be fetched.
    pub(super) fn has_parts(&self) -> bool {
        self.rendition.as_ref().is_some_and(Rendition::has_parts)
    }

    /// Declared duration of what is gathered of a part.
    pub(super) const fn gathered_us(&self) -> i64 {
        self.part.declared_us
    }

    /// Whether the part that is gathered has all it can take, though not in time.
    pub(super) fn is_stuffed(&self) -> bool {
        self.part.samples.len() >= PART_FRAMES_MAX || self.part.bytes >= PART_BYTES_MAX
    }

    /// Whether a frame needs another init segment than the frames before it.
    pub(super) fn changes_config(&self, frame: &Frame) -> bool {
        self.init
            .as_ref()
            .is_some_and(|(config, _)| *config != frame.config)
    }

    /// When `frame` is decoded, in ticks. Sound goes on where it ended if that is where it claims
    /// to be, give or take its rounding.
    pub(super) fn ticks(&self, frame: &Frame, continues: Option<&Held>) -> i64 {
        let timescale = fmp4::timescale(&frame.config);
        let told = frame.dts.ticks(timescale).max(0);
        let Some(before) = continues else { return told };
        let told = told.max(before.ticks);
        let TrackConfig::Audio(audio) = frame.config.as_ref() else {
            return told;
        };
        let expected = before.ticks + i64::from(audio.samples_per_frame());
        let slack = MediaTime::from_micros(SOUND_ROUNDING_US).ticks(timescale);
        if (told - expected).abs() <= slack {
            expected
        } else {
            told
        }
    }

    /// Where `frame` stands on the presentation's clock as the first of a segment. Without a
    /// keyframe there are frames decoded later and shown earlier: what counts is how much later
    /// than decoded keyframes are shown.
    pub(super) fn shown_at(&self, frame: &Frame) -> MediaTime {
        if frame.key {
            frame.pts
        } else {
            frame.dts + self.delay_us
        }
    }

    /// Adds a frame that ends at `end_ticks`, declared as `declared_us`.
    pub(super) fn gather(&mut self, held: Held, end_ticks: i64, declared_us: i64) {
        let Held { frame, ticks } = held;
        if frame.key {
            self.delay_us = frame.pts.since(frame.dts).max(0);
        }
        if self.part.samples.is_empty() {
            self.part.start_ticks = ticks;
            self.part.shown_at = self.shown_at(&frame);
        }
        if let Some(open) = &mut self.open
            && open.counts_from.is_none()
        {
            if frame.key {
                self.key_cut_at = Some(frame.dts);
            }
            open.counts_from = self.key_cut_at.or(Some(frame.dts));
        }
        self.part.declared_us += declared_us;
        self.part.bytes += frame.data.len();
        let composition = match self.kind {
            TrackKind::Video => frame.pts.ticks(fmp4::timescale(&frame.config)) - ticks,
            TrackKind::Audio => 0,
        };
        if self.init.is_none() || self.changes_config(&frame) {
            self.use_config(&frame.config);
        }
        self.part.samples.push(Sample {
            duration: u32::try_from(end_ticks - ticks).unwrap_or(0),
            composition_offset: i32::try_from(composition).unwrap_or(0),
            key: frame.key,
            data: frame.data,
        });
    }

    fn use_config(&mut self, config: &Arc<TrackConfig>) {
        let number = self
            .init
            .as_ref()
            .map_or(self.first_init, |(_, number)| number + 1);
        let rendition = self
            .rendition
            .get_or_insert_with(|| Rendition::new(self.kind, Arc::clone(config)));
        match fmp4::init_segment(config) {
            Ok(init) => rendition.add_init(number, init),
            // Nobody can play it; the rest of the broadcast goes on.
            Err(error) => tracing::warn!(%error, track = self.kind.as_str(), "no init segment"),
        }
        rendition.config = Arc::clone(config);
        self.init = Some((Arc::clone(config), number));
    }

    /// Publishes what is gathered as a part, if anything is.
    pub(super) fn flush_part(&mut self) {
        let part = std::mem::take(&mut self.part);
        let Some(first) = part.samples.first() else {
            return;
        };
        let independent = first.key;
        self.sequence = self.sequence.wrapping_add(1);
        let chunk = Chunk {
            kind: self.kind,
            sequence: self.sequence,
            base_time: u64::try_from(part.start_ticks).unwrap_or(0),
            samples: &part.samples,
        };
        let data = match chunk.write() {
            Ok(data) => data,
            Err(error) => {
                tracing::warn!(%error, track = self.kind.as_str(), "a part is lost");
                return;
            }
        };
        self.begin_segment(part.shown_at);
        let frames = part.samples.len() as u64;
        if let Some(rendition) = &mut self.rendition {
            rendition.add_part(
                Part {
                    data,
                    duration_us: part.declared_us,
                    independent,
                },
                frames,
            );
        }
    }

    fn begin_segment(&mut self, shown_at: MediaTime) {
        let (Some(open), Some(rendition)) = (&mut self.open, &mut self.rendition) else {
            return;
        };
        if open.begun {
            return;
        }
        open.begun = true;
        rendition.begin(Segment {
            msn: open.cut.msn,
            init: self
                .init
                .as_ref()
                .map_or(self.first_init, |(_, number)| *number),
            shown_at: self.began_at + shown_at,
            discontinuity: open.cut.discontinuity,
            discontinuities: open.cut.discontinuities,
            parts: Vec::new(),
            duration_us: 0,
            frames: 0,
            bytes: 0,
            complete: false,
            keep_until_us: 0,
        });
    }

    /// Completes the segment and begins the one of `cut`. If it has nothing it becomes a gap of at
    /// most `longest_us`.
    pub(super) fn cut(&mut self, cut: Cut, longest_us: i64, config: &Config) {
        self.flush_part();
        if let Some(open) = self.open.as_ref().map(|open| open.cut) {
            self.begin_segment(open.at);
            let gap_us = cut.at.since(open.at).clamp(1_000, longest_us);
            if let Some(rendition) = &mut self.rendition {
                rendition.complete(gap_us, config);
            }
        }
        self.open = Some(Open {
            cut,
            counts_from: None,
            full: false,
            filled: false,
            begun: false,
        });
    }

    /// Publishes what is left: nothing more will come.
    pub(super) fn end(&mut self, config: &Config) {
        self.flush_part();
        if let Some(rendition) = &mut self.rendition {
            rendition.end(config);
        }
    }
}
