//! The packager: frames of both tracks in, parts and segments out.
//!
//! Pure: no clock, no socket, no runtime. Names and boundaries come from the frames alone, so that
//! the same frames make the same files. It publishes into a [`Presentation`]; what a playlist looks
//! like it does not know.
//!
//! Pictures lead: their keyframes decide where segments begin, and sound follows by presentation
//! time, so that a media sequence number means the same time in both renditions. Sound waits until
//! the pictures have come as far; if they do not come at all, or stop, sound leads.

use std::sync::Arc;

use media::{Frame, MediaTime, TrackConfig, TrackKind, VideoConfig, WallTime, fmp4};

use crate::config::Config;
use crate::presentation::Presentation;
use lane::{Held, Lane, Queued};
use timeline::Timeline;

mod cadence;
mod lane;
#[cfg(test)]
mod tests;
mod timeline;

/// A time between frames above this is a pause: the frame before keeps its typical duration and the
/// segment ends there.
const PAUSE_US: i64 = 1_000_000;

/// How far sound may be ahead of pictures that have come before, before it goes on without them.
const STALL_US: i64 = 1_500_000;

/// How long one track is waited for while the other comes.
const ABSENT_US: i64 = 1_000_000;

/// How long a track that was announced, or has begun, is waited for.
const OVERDUE_US: i64 = 3_000_000;

/// How much above the target duration a segment may be and still round to it (RFC 8216bis
/// §4.4.3.1), with room for a frame of the other track.
const TARGET_SLACK_US: i64 = 400_000;

/// Frames that may wait for a decision. More means that their timestamps do not advance.
const QUEUE_MAX: usize = 512;

/// Which tracks are known to come, or not to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// Pictures.
    pub video: Option<bool>,
    /// Sound.
    pub audio: Option<bool>,
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames left out: before the first keyframe, or out of order.
    pub dropped_frames: u64,
    /// Frames of sound from before the first picture.
    pub prelude_frames: u64,
    /// Frames that were gone from their log before they were read.
    pub gap_frames: u64,
    /// Segments begun without a keyframe because the group of pictures was too long or a frame
    /// irregular.
    pub cuts_without_key: u64,
    /// Times that the broadcast did not continue what was before.
    pub discontinuities: u64,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Packager {
    config: Config,
    announced: Announced,
    video: Lane,
    audio: Lane,
    timeline: Timeline,
    part_target_us: Option<i64>,
    ready: bool,
    stats: Stats,
    /// Pictures are useless until the next keyframe.
    awaits_key: bool,
    /// Run and decoder set-up of the newest frame of each track.
    last: [Option<(u32, Arc<TrackConfig>)>; 2],
    /// The next frame of the track does not continue the one before.
    broken: [bool; 2],
    ended: bool,
}

impl Packager {
    /// For a broadcast whose time zero was at `began_at`.
    pub fn new(config: Config, began_at: WallTime) -> Self {
        Self {
            config,
            announced: Announced::default(),
            video: Lane::new(TrackKind::Video, began_at),
            audio: Lane::new(TrackKind::Audio, began_at),
            timeline: Timeline::default(),
            part_target_us: None,
            ready: false,
            stats: Stats::default(),
            awaits_key: true,
            last: [None, None],
            broken: [false; 2],
            ended: false,
        }
    }

    /// For one that another server packaged until `at`. Every number counts on from the milliseconds
    /// so far: a segment has at least one, so none of them has been given before.
    #[must_use]
    pub fn resuming_at(mut self, at: MediaTime) -> Self {
        let first = u64::try_from(at.as_millis()).unwrap_or(0);
        self.timeline.first = first;
        self.video.first_init = first;
        self.audio.first_init = first;
        self
    }

    /// What there is to fetch.
    pub fn presentation(&self) -> Presentation<'_> {
        Presentation {
            video: self
                .video
                .rendition
                .as_ref()
                .filter(|rendition| rendition.has_parts()),
            audio: self
                .audio
                .rendition
                .as_ref()
                .filter(|rendition| rendition.has_parts()),
            part_target_us: self.target_us(),
            ready: self.ready,
        }
    }

    /// Number of the first segment.
    pub const fn first_msn(&self) -> u64 {
        self.timeline.first
    }

    /// What has happened so far.
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// Whether nothing more will come.
    pub const fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether a keyframe has come.
    pub const fn has_key(&self) -> bool {
        self.video.first.is_some()
    }

    /// Notes which tracks the publisher said it would send.
    pub const fn announce(&mut self, announced: Announced) {
        self.announced = announced;
    }

    /// Takes in a frame.
    pub fn push(&mut self, frame: Frame) {
        self.anchor(&frame);
        let kind = frame.config.kind();
        let index = kind as usize;
        let same = |(run, config): &(u32, Arc<TrackConfig>)| {
            *run == frame.run && (Arc::ptr_eq(config, &frame.config) || *config == frame.config)
        };
        let continues = self.last[index].as_ref().is_none_or(same) && !self.broken[index];
        let (lane, started) = match kind {
            TrackKind::Video => (&mut self.video, true),
            TrackKind::Audio => (&mut self.audio, false),
        };
        let discontinuity = lane.newest.is_some() && !continues;
        self.awaits_key |= started && discontinuity;
        // Frames whose times do not advance would fill a part without end.
        let backwards = !discontinuity && lane.newest.is_some_and(|newest| frame.dts < newest);
        let stuffed = lane.is_stuffed();
        self.awaits_key |= started && (backwards || stuffed);
        if self.ended || backwards || stuffed || (started && self.awaits_key && !frame.key) {
            self.stats.dropped_frames += 1;
            return;
        }
        if started {
            self.awaits_key = false;
        }
        self.last[index] = Some((frame.run, Arc::clone(&frame.config)));
        self.broken[index] = false;
        lane.first.get_or_insert(frame.dts);
        lane.newest = Some(frame.dts);
        lane.queue.push_back(Queued {
            frame,
            discontinuity,
        });
        self.advance();
    }

    /// Notes that `frames` of a track are missing here.
    pub fn gap(&mut self, kind: TrackKind, frames: u64) {
        self.stats.gap_frames += frames;
        self.broken[kind as usize] = true;
    }

    /// Nothing more will come.
    pub fn end(&mut self) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.advance();
        for kind in [TrackKind::Video, TrackKind::Audio] {
            self.place_held(kind, None);
            let config = self.config.clone();
            self.lane(kind).end(&config);
        }
        self.settle_tracks();
    }

    const fn lane(&mut self, kind: TrackKind) -> &mut Lane {
        match kind {
            TrackKind::Video => &mut self.video,
            TrackKind::Audio => &mut self.audio,
        }
    }

    /// Does whatever the frames so far allow.
    fn advance(&mut self) {
        if self.part_target_us.is_none() && !self.measure_cadence() {
            return;
        }
        while let Some(queued) = self.video.queue.pop_front() {
            self.take(TrackKind::Video, queued);
        }
        while self
            .audio
            .queue
            .front()
            .is_some_and(|next| self.is_due(&next.frame))
        {
            if let Some(queued) = self.audio.queue.pop_front() {
                self.take(TrackKind::Audio, queued);
            }
        }
        self.fill(TrackKind::Audio, self.video.newest);
        self.fill(TrackKind::Video, self.audio.newest);
        self.settle_tracks();
    }

    /// Fixes the part target as soon as one part's worth of frames has come.
    fn measure_cadence(&mut self) -> bool {
        let nominal_us = self.config.part_us();
        let enough_us = nominal_us * 37 / 40;
        let sound_us = self
            .audio
            .queue
            .front()
            .map(|next| duration_of_sound(&next.frame));
        let lane = if self.has_key() {
            &self.video
        } else {
            &self.audio
        };
        let crowded =
            lane.queue.len() >= QUEUE_MAX || lane.queue.iter().skip(1).any(|q| q.discontinuity);
        let waited = self.ended || crowded || (self.has_key() && self.sound_is_ahead());
        if lane.queue.is_empty() || (lane.span_us() < enough_us && !waited) {
            return false;
        }
        let (must, wish) = if self.has_key() {
            let first = lane.queue.front().map(|queued| &queued.frame);
            let times: Vec<i64> = lane
                .queue
                .iter()
                .take_while(|queued| first.is_some_and(|first| first.run == queued.frame.run))
                .map(|queued| queued.frame.dts.as_micros())
                .collect();
            let declared = first.and_then(declared_duration);
            let measured = cadence::frame_duration(&times);
            let picture_us = match (measured, declared) {
                // What the stream says of itself is more exact, if it is true.
                (Some(measured), Some(declared)) if (measured - declared).abs() * 50 < measured => {
                    declared
                }
                (Some(measured), _) => measured,
                (None, Some(declared)) => declared,
                (None, None) => self.video.typical_us,
            };
            self.video.typical_us = picture_us;
            let likely = match (sound_us, self.announced.audio) {
                (Some(_), _) | (None, Some(false)) => Vec::new(),
                (None, _) => cadence::LIKELY_SOUND_US.to_vec(),
            };
            (
                [Some(picture_us), sound_us]
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>(),
                likely,
            )
        } else if self.sound_is_alone() {
            let likely = match self.announced.video {
                Some(false) => Vec::new(),
                Some(true) | None => cadence::LIKELY_PICTURES_US.to_vec(),
            };
            (sound_us.into_iter().collect(), likely)
        } else {
            return false;
        };
        let target = cadence::part_target(nominal_us, self.config.target_us(), &must, &wish);
        self.part_target_us = Some(target);
        true
    }

    fn sound_is_ahead(&self) -> bool {
        let ahead_us = match (self.audio.newest, self.video.newest) {
            (Some(audio), Some(video)) => audio.since(video),
            (Some(_), None) | (None, _) => 0,
        };
        ahead_us > STALL_US.max(self.video.typical_us * 5 / 2) || self.audio.queue.len() > QUEUE_MAX
    }

    /// No pictures come, and it is time to go on without.
    fn sound_is_alone(&self) -> bool {
        !self.has_key()
            && (self.announced.video == Some(false)
                || self.audio.open.is_some()
                || self.ended
                || self.audio.span_us() >= ABSENT_US
                || self.audio.queue.len() > QUEUE_MAX)
    }

    /// Whether it is known which segment a frame of sound belongs to.
    fn is_due(&self, sound: &Frame) -> bool {
        let Some(pictures) = self.video.newest else {
            return self.sound_is_alone();
        };
        let run = self.video.held.as_ref().map_or(0, |held| held.frame.run);
        // Every cut to come is at a frame that is decoded no earlier than the newest.
        (sound.pts < pictures && sound.run <= run) || self.ended || self.sound_is_ahead()
    }

    /// Whether a track may decide where a segment begins now.
    fn leads(&self, kind: TrackKind) -> bool {
        let up_to_date = match (self.timeline.last(), self.lane_ref(kind).open.as_ref()) {
            (Some(last), Some(open)) => last.msn == open.cut.msn,
            (None, _) => true,
            (Some(_), None) => kind == TrackKind::Video,
        };
        up_to_date
            && match kind {
                TrackKind::Video => true,
                TrackKind::Audio => self.sound_is_alone() || self.sound_is_ahead(),
            }
    }

    const fn lane_ref(&self, kind: TrackKind) -> &Lane {
        match kind {
            TrackKind::Video => &self.video,
            TrackKind::Audio => &self.audio,
        }
    }

    /// The longest that a segment may be.
    fn longest_us(&self) -> i64 {
        self.config.target_us() + TARGET_SLACK_US
    }

    fn target_us(&self) -> i64 {
        self.part_target_us.unwrap_or_else(|| self.config.part_us())
    }

    /// Gives the frame before its duration, decides which segment `queued` belongs to, and holds it.
    fn take(&mut self, kind: TrackKind, queued: Queued) {
        let Queued {
            frame,
            discontinuity,
        } = queued;
        let paused = self.pause_before(kind, &frame, discontinuity);
        let continues = !discontinuity && !paused;
        let lane = self.lane_ref(kind);
        let ticks = lane.ticks(&frame, lane.held.as_ref().filter(|_| continues));
        let before = lane
            .held
            .as_ref()
            .map(|held| held.frame.pts + lane.typical_us);
        self.place_held(kind, continues.then_some(ticks));
        if paused
            && kind == TrackKind::Video
            && let Some(before) = before
        {
            self.bridge_pause(before, &frame);
        }
        if self.begin_segment(kind, &frame, discontinuity, paused) {
            self.lane(kind).held = Some(Held { frame, ticks });
        } else {
            // Sound from before the first picture belongs to no segment and is missed by nobody.
            if self.is_prelude(kind) {
                self.stats.prelude_frames += 1;
            } else {
                self.stats.dropped_frames += 1;
            }
            self.awaits_key |= kind == TrackKind::Video;
        }
    }

    fn is_prelude(&self, kind: TrackKind) -> bool {
        let begun = self.audio.rendition.as_ref();
        kind == TrackKind::Audio && begun.is_none_or(|rendition| !rendition.has_parts())
    }

    /// The wall time of `MediaTime` zero. It does not change once there are parts.
    pub const fn zero_at(&self) -> WallTime {
        self.video.began_at
    }

    /// Sets the wall time of `MediaTime` zero while nothing has been told yet. An encoder that sends
    /// its first second at once was ahead of its stamps when the broadcast began: no frame is shown
    /// before it was captured, so the one that came earliest by its stamp tells the true zero.
    fn anchor(&mut self, frame: &Frame) {
        if self.part_target_us.is_some() {
            return;
        }
        let ahead_us = (self.video.began_at + frame.dts).since(frame.captured_at);
        if ahead_us > 0 {
            let began_at = WallTime::from_micros(self.video.began_at.as_micros() - ahead_us);
            self.video.began_at = began_at;
            self.audio.began_at = began_at;
        }
    }

    fn pause_before(&self, kind: TrackKind, frame: &Frame, discontinuity: bool) -> bool {
        let lane = self.lane_ref(kind);
        let longest = PAUSE_US
            .max(lane.typical_us * 3)
            .min(self.config.target_us());
        !discontinuity
            && lane
                .held
                .as_ref()
                .is_some_and(|held| frame.dts.since(held.frame.dts) > longest)
    }

    /// Puts the held frame into its part. It lasts until `end_ticks`; if that is not known, as long
    /// as is typical.
    fn place_held(&mut self, kind: TrackKind, end_ticks: Option<i64>) {
        let target_us = self.target_us();
        let leads = self.leads(kind);
        let lane = self.lane(kind);
        let Some(held) = lane.held.take() else { return };
        let timescale = fmp4::timescale(&held.frame.config);
        if kind == TrackKind::Audio {
            lane.typical_us = duration_of_sound(&held.frame);
        }
        let typical = MediaTime::from_micros(lane.typical_us)
            .ticks(timescale)
            .max(1);
        let end = end_ticks.unwrap_or(held.ticks + typical);
        let duration_us = to_micros(end, timescale) - to_micros(held.ticks, timescale);
        if end_ticks.is_some() && kind == TrackKind::Video && duration_us < lane.typical_us * 2 {
            lane.typical_us = (lane.typical_us * 7 + duration_us) / 8;
        }

        let shortest_us = (target_us * cadence::PART_MIN_PERCENT + 99) / 100;
        let gathered_us = lane.gathered_us();
        if gathered_us > 0 && gathered_us + duration_us > target_us && leads {
            // Too short without this frame and too long with it: only the last part of a segment
            // may be that short.
            self.cut_at(kind, &held.frame, false);
        }
        let lane = self.lane(kind);
        let room_us = (target_us - lane.gathered_us()).max(0);
        lane.gather(held, end, duration_us.min(room_us));
        let overlong = duration_us > room_us;
        if lane.gathered_us() >= shortest_us || overlong {
            lane.flush_part();
            self.end_full_segment(kind, leads, overlong);
        }
    }

    /// After a part: marks the segment as full if another part would be too much.
    fn end_full_segment(&mut self, kind: TrackKind, leads: bool, overlong: bool) {
        let longest_us = self.longest_us();
        let target_us = self.target_us();
        let segment_us = self.config.segment_us();
        let alone = kind == TrackKind::Audio && self.sound_is_alone();
        let lane = self.lane(kind);
        let declared_us = lane
            .rendition
            .as_ref()
            .and_then(|rendition| rendition.listed().next_back())
            .map_or(0, |segment| segment.duration_us);
        let frame_us = lane.typical_us;
        let Some(open) = &mut lane.open else { return };
        open.full |= leads
            && (overlong
                || declared_us + target_us + frame_us > longest_us
                || (alone && declared_us + frame_us / 2 >= segment_us));
    }

    /// Decides which segment `frame` belongs to; false if none.
    fn begin_segment(
        &mut self,
        kind: TrackKind,
        frame: &Frame,
        discontinuity: bool,
        paused: bool,
    ) -> bool {
        let followed = self.follow(kind, frame);
        let leads = self.leads(kind);
        let nominal_us = self.config.segment_us();
        let lane = self.lane_ref(kind);
        let Some(open) = &lane.open else {
            // The first frame of the track, before any cut.
            if leads {
                self.cut_at(kind, frame, discontinuity);
            }
            return leads;
        };
        let starts = !followed && {
            let elapsed_us = open.counts_from.map_or(0, |from| frame.dts.since(from));
            let by_key = kind == TrackKind::Video
                && frame.key
                && elapsed_us + lane.typical_us / 2 >= nominal_us;
            discontinuity || open.full || by_key || (paused && kind == TrackKind::Video)
        };
        let foreign = frame.run != open.cut.run || lane.changes_config(frame);
        let late = open.filled && frame.dts < open.cut.at;
        if leads && (starts || (foreign && !followed)) && !late {
            self.cut_at(kind, frame, discontinuity);
            return true;
        }
        // Sound of another run, or pictures of a time that was declared a gap, belong nowhere.
        !late && (!foreign || followed)
    }

    /// Moves a track on to the segment that `frame` has reached; what lies between is a gap.
    fn follow(&mut self, kind: TrackKind, frame: &Frame) -> bool {
        let (longest_us, config) = (self.longest_us(), self.config.clone());
        let Some(msn) = self.lane_ref(kind).open.as_ref().map(|open| open.cut.msn) else {
            // Pictures that come late begin a segment of their own.
            let late = kind == TrackKind::Video && self.timeline.last().is_some();
            let reached = self.timeline.reached_by(frame).filter(|_| !late);
            if let Some(cut) = reached {
                self.lane(kind).cut(cut, longest_us, &config);
            }
            return reached.is_some();
        };
        let mut moved = false;
        let mut next = msn + 1;
        while let Some(cut) = self
            .timeline
            .get(next)
            .filter(|cut| cut.is_reached_by(frame))
        {
            self.lane(kind).cut(cut, longest_us, &config);
            next += 1;
            moved = true;
        }
        moved
    }

    /// Begins a segment with `frame`, for both tracks.
    fn cut_at(&mut self, kind: TrackKind, frame: &Frame, discontinuity: bool) {
        let at = self.lane_ref(kind).shown_at(frame);
        let cut = self.timeline.cut(at, frame.run, discontinuity);
        self.stats.discontinuities += u64::from(cut.discontinuity);
        self.stats.cuts_without_key += u64::from(kind == TrackKind::Video && !frame.key);
        let (longest_us, config) = (self.longest_us(), self.config.clone());
        self.lane(kind).cut(cut, longest_us, &config);
    }

    /// A pause of the pictures through which sound may have gone on: if both sides of it in one
    /// segment would be too long for the sound, the pause becomes a segment that has no pictures.
    fn bridge_pause(&mut self, before: MediaTime, frame: &Frame) {
        let Some(last) = self
            .timeline
            .last()
            .filter(|_| self.leads(TrackKind::Video))
        else {
            return;
        };
        let longest_us = self.longest_us();
        let pause_us = frame.pts.since(before);
        if frame.pts.since(last.at) > longest_us && (1..=longest_us).contains(&pause_us) {
            let cut = self.timeline.cut(before, last.run, false);
            let config = self.config.clone();
            self.video.cut(cut, longest_us, &config);
        }
    }

    /// Declares gaps where a track is missing while the other goes on, so that its playlist does
    /// too.
    fn fill(&mut self, kind: TrackKind, other: Option<MediaTime>) {
        let Some(other) = other else { return };
        let overdue = other - self.config.target_us();
        let (longest_us, config) = (self.longest_us(), self.config.clone());
        while let Some(open) = self.lane_ref(kind).open.as_ref() {
            let next = open.cut.msn + 1;
            let lane = self.lane_ref(kind);
            let missing =
                lane.queue.is_empty() && lane.newest.is_some_and(|newest| newest < overdue);
            let Some(cut) = self
                .timeline
                .get(next)
                .filter(|cut| missing && cut.at <= overdue)
            else {
                return;
            };
            self.place_held(kind, None);
            let lane = self.lane(kind);
            lane.cut(cut, longest_us, &config);
            if let Some(open) = &mut lane.open {
                open.filled = true;
            }
        }
    }

    /// Decides whether it is known which tracks there are.
    fn settle_tracks(&mut self) {
        let pictures = self.video.has_parts();
        let sound = self.audio.has_parts();
        let enough = match (pictures, sound) {
            (true, true) => true,
            (true, false) if self.announced.audio == Some(false) || self.ended => true,
            (true, false) if self.audio.newest.is_none() => self.video.span_us() >= ABSENT_US,
            (true, false) => self.video.span_us() >= OVERDUE_US,
            (false, true) => !self.has_key() || self.ended,
            (false, false) => false,
        };
        self.ready |= enough;
    }
}

/// How long a frame of sound lasts; typical for pictures.
fn duration_of_sound(frame: &Frame) -> i64 {
    match frame.config.as_ref() {
        TrackConfig::Audio(audio) => {
            i64::from(audio.samples_per_frame()) * 1_000_000 / i64::from(audio.sample_rate().max(1))
        }
        TrackConfig::Video(_) => 33_333,
    }
}

/// What the decoder set-up says of the duration of a frame, within reason.
fn declared_duration(frame: &Frame) -> Option<i64> {
    match frame.config.as_ref() {
        TrackConfig::Video(VideoConfig::H264 { sps, .. }) => {
            let rate = sps.frame_rate?;
            let us = i64::from(rate.denominator) * 1_000_000 / i64::from(rate.numerator);
            (4_000..=4_000_000).contains(&us).then_some(us)
        }
        TrackConfig::Video(_) | TrackConfig::Audio(_) => None,
    }
}

fn to_micros(ticks: i64, timescale: u32) -> i64 {
    let micros = i128::from(ticks) * 1_000_000 / i128::from(timescale.max(1));
    i64::try_from(micros).unwrap_or(i64::MAX)
}
