//! What there is to fetch of one broadcast: renditions of segments of parts. Pure state, filled by
//! the packager, read by playlists and requests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use media::{TrackConfig, TrackKind, WallTime};

use crate::config::Config;

/// Segments held at most, whatever their size: a publisher that forces a cut at every frame meets
/// this bound first.
const SEGMENTS_MAX: usize = 4096;

/// A partial segment: one CMAF chunk.
#[derive(Clone, Debug)]
pub struct Part {
    /// The chunk.
    pub data: Bytes,
    /// Its duration as playlists declare it, in microseconds.
    pub duration_us: i64,
    /// Whether it begins with a frame where decoding can start.
    pub independent: bool,
}

/// A media segment, complete or being filled.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Media sequence number.
    pub msn: u64,
    /// Number of the init segment its frames need.
    pub init: u64,
    /// When its first frame is shown.
    pub shown_at: WallTime,
    /// Whether it does not continue the one before.
    pub discontinuity: bool,
    /// Discontinuities of the broadcast up to here, this one included.
    pub discontinuities: u64,
    /// Its parts so far. None at all in a complete segment is a gap: this rendition has nothing
    /// for that time.
    pub parts: Vec<Part>,
    /// Its duration as playlists declare it, in microseconds: that of its parts together.
    pub duration_us: i64,
    /// Frames in it.
    pub frames: u64,
    /// Bytes in it.
    pub bytes: usize,
    /// Whether nothing will be added.
    pub complete: bool,
    /// Once off the playlist: how long it must stay fetchable, on the rendition's own clock.
    pub(crate) keep_until_us: i64,
}

impl Segment {
    /// Whether the rendition has nothing for its time.
    pub const fn is_gap(&self) -> bool {
        self.complete && self.parts.is_empty()
    }
}

/// A place in a rendition: a part of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// Media sequence number.
    pub msn: u64,
    /// Index of the part within the segment.
    pub part: u64,
}

/// Where something asked for is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup<T> {
    /// Here.
    Here(T),
    /// It is what comes next.
    Next,
    /// It is gone, or has never been announced.
    Nowhere,
}

/// One track as it is served.
#[derive(Debug)]
pub struct Rendition {
    /// Which track.
    pub kind: TrackKind,
    /// The set-up of its newest frames.
    pub config: Arc<TrackConfig>,
    inits: BTreeMap<u64, Bytes>,
    /// Oldest first: those off the playlist, those on it, and perhaps one being filled.
    segments: VecDeque<Segment>,
    /// How many of the segments, from the oldest, are off the playlist.
    unlisted: usize,
    listed_us: i64,
    listed_bytes: usize,
    bytes: usize,
    /// Declared time of everything so far: the rendition's own clock.
    elapsed_us: i64,
    ended: bool,
    version: u64,
    parts_total: u64,
}

impl Rendition {
    pub(crate) fn new(kind: TrackKind, config: Arc<TrackConfig>) -> Self {
        Self {
            kind,
            config,
            inits: BTreeMap::new(),
            segments: VecDeque::new(),
            unlisted: 0,
            listed_us: 0,
            listed_bytes: 0,
            bytes: 0,
            elapsed_us: 0,
            ended: false,
            version: 0,
            parts_total: 0,
        }
    }

    /// The segments of the playlist, oldest first, the last perhaps still being filled.
    pub fn listed(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.segments.range(self.unlisted..)
    }

    /// Counts the changes that a playlist shows.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Parts so far, also those no longer held.
    pub const fn parts_total(&self) -> u64 {
        self.parts_total
    }

    /// Whether nothing will be added.
    pub const fn is_ended(&self) -> bool {
        self.ended
    }

    /// Bytes of media held.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is anything to play.
    pub fn has_parts(&self) -> bool {
        self.segments
            .iter()
            .any(|segment| !segment.parts.is_empty())
    }

    /// The part that comes next, also after the end.
    pub fn next_part(&self) -> Edge {
        match self.segments.back() {
            None => Edge { msn: 0, part: 0 },
            Some(last) if last.complete => Edge {
                msn: last.msn + 1,
                part: 0,
            },
            Some(last) => Edge {
                msn: last.msn,
                part: last.parts.len() as u64,
            },
        }
    }

    /// The newest segment that a playlist shows and its newest part, if it has any.
    pub fn newest(&self) -> Option<(u64, Option<u64>)> {
        let newest = self
            .listed()
            .rev()
            .find(|segment| segment.complete || !segment.parts.is_empty())?;
        Some((newest.msn, (newest.parts.len() as u64).checked_sub(1)))
    }

    /// The init segment numbered `number`.
    pub fn init(&self, number: u64) -> Option<Bytes> {
        self.inits.get(&number).cloned()
    }

    /// A held segment, complete or not.
    pub fn segment(&self, msn: u64) -> Option<&Segment> {
        let first = self.segments.front()?.msn;
        self.segments
            .get(usize::try_from(msn.checked_sub(first)?).ok()?)
    }

    /// A part.
    pub fn part(&self, at: Edge) -> Lookup<Bytes> {
        if at == self.next_part() && !self.ended {
            return Lookup::Next;
        }
        let part = usize::try_from(at.part)
            .ok()
            .and_then(|i| self.segment(at.msn)?.parts.get(i));
        part.map_or(Lookup::Nowhere, |part| Lookup::Here(part.data.clone()))
    }

    /// Whether the playlist shows what a blocking request waits for: a whole segment, or one of
    /// its parts (RFC 8216bis §6.2.5.2).
    pub fn shows(&self, msn: u64, part: Option<u64>) -> bool {
        let next = self.next_part();
        let Some(part) = part else {
            return self.ended || msn < next.msn;
        };
        if self.ended || (Edge { msn, part }) < next {
            // A part that a complete segment does not have means the first of the next segment.
            let beyond = self
                .segment(msn)
                .is_some_and(|s| s.complete && part >= s.parts.len() as u64);
            return self.ended
                || !beyond
                || next
                    > (Edge {
                        msn: msn + 1,
                        part: 0,
                    });
        }
        false
    }

    pub(crate) fn add_init(&mut self, number: u64, init: Bytes) {
        self.inits.insert(number, init);
    }

    pub(crate) fn begin(&mut self, segment: Segment) {
        self.segments.push_back(segment);
    }

    /// Adds a part to the segment that is being filled.
    pub(crate) fn add_part(&mut self, part: Part, frames: u64) {
        let segment = self
            .segments
            .back_mut()
            .expect("a part is added to a segment begun before");
        self.bytes += part.data.len();
        self.listed_bytes += part.data.len();
        self.listed_us += part.duration_us;
        self.elapsed_us += part.duration_us;
        segment.bytes += part.data.len();
        segment.duration_us += part.duration_us;
        segment.frames += frames;
        segment.parts.push(part);
        self.parts_total += 1;
        self.version += 1;
    }

    /// Completes the segment that is being filled. Without parts it becomes a gap of `gap_us`.
    pub(crate) fn complete(&mut self, gap_us: i64, config: &Config) {
        let Some(segment) = self.segments.back_mut().filter(|segment| !segment.complete) else {
            return;
        };
        segment.complete = true;
        if segment.parts.is_empty() {
            segment.duration_us = gap_us;
            self.listed_us += gap_us;
            self.elapsed_us += gap_us;
        }
        self.version += 1;
        self.trim(config);
    }

    /// Nothing will be added: what was begun and has nothing is forgotten.
    pub(crate) fn end(&mut self, config: &Config) {
        if self
            .segments
            .back()
            .is_some_and(|last| !last.complete && last.parts.is_empty())
        {
            self.segments.pop_back();
        }
        self.complete(0, config);
        self.ended = true;
        self.version += 1;
    }

    /// Takes the oldest segments off the playlist when it is longer than it should be, and forgets
    /// those that have been off it long enough.
    fn trim(&mut self, config: &Config) {
        let least_us = config.target_us() * 3;
        while let Some(oldest) = self.segments.get(self.unlisted) {
            let rest_us = self.listed_us - oldest.duration_us;
            let listed = self.segments.len() - self.unlisted;
            // What leaves the playlist stays fetchable for about as long again: half the room each.
            let crowded = self.listed_bytes > config.window_bytes / 2 || listed > SEGMENTS_MAX / 2;
            let drop = rest_us >= config.window_us() || (crowded && rest_us >= least_us);
            if !drop || listed <= 1 {
                break;
            }
            // §6.2.2: the segment's own duration and that of the longest playlist that had it.
            let keep_until_us = self.elapsed_us + oldest.duration_us + self.listed_us;
            self.listed_us = rest_us;
            self.listed_bytes -= oldest.bytes;
            self.segments[self.unlisted].keep_until_us = keep_until_us;
            self.unlisted += 1;
        }
        while self.unlisted > 0
            && (self.segments[0].keep_until_us <= self.elapsed_us
                || self.bytes > config.window_bytes
                || self.segments.len() > SEGMENTS_MAX)
        {
            if let Some(gone) = self.segments.pop_front() {
                self.bytes -= gone.bytes;
            }
            self.unlisted -= 1;
        }
        if let Some(oldest) = self.segments.front() {
            let init = oldest.init;
            self.inits.retain(|&number, _| number >= init);
        }
    }
}

/// Everything there is of one broadcast.
#[derive(Clone, Copy, Debug)]
pub struct Presentation<'a> {
    /// Pictures, once there is a part of them.
    pub video: Option<&'a Rendition>,
    /// Sound, once there is a part of it.
    pub audio: Option<&'a Rendition>,
    /// `PART-TARGET` in microseconds: measured before the first part, then it never changes.
    pub part_target_us: i64,
    /// Whether it is known which tracks there are, and each has a part.
    pub ready: bool,
}

impl<'a> Presentation<'a> {
    /// One of the two renditions.
    pub const fn rendition(&self, kind: TrackKind) -> Option<&'a Rendition> {
        match kind {
            TrackKind::Video => self.video,
            TrackKind::Audio => self.audio,
        }
    }
}
