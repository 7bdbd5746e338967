//! A publisher's session: packets in, forwarded as they come, and put together for everybody who
//! does not watch over WebRTC.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use media::TrackKind;
use sfu_core::answer::Agreement;
use sfu_core::assemble::{Assembler, Output};
use sfu_core::offer::Offered;
use sfu_core::rtcp::{self, Arrivals, Said};
use sfu_core::rtp::{self, Header, Unwrapped};
use sfu_core::up::{Place, UpTrack};
use sfu_core::{Codec, Packet};

use crate::publishing::{Leaving, OnExit, Permit, Publishing};
use crate::rate::Rate;
use crate::tracks::{Clock, Forwarding, Registry};

/// How often it is told how packets come, and what is needed for its estimate of the path.
const REPORT_EVERY: Duration = Duration::from_secs(1);
const ARRIVALS_EVERY: Duration = Duration::from_millis(50);

/// Keyframes are asked for this seldom, whoever wants them.
const KEY_EVERY: Duration = Duration::from_millis(500);

/// A source that took the place of another must have had this long without it.
const SILENT: Duration = Duration::from_secs(1);

/// How fast a track is put right: by one part in so many of the time that passes on it. Sound and pictures
/// keep their distance while both are moved.
const SLEW_SHARE: i64 = 40;

/// Clocks that claim to be further apart than this are wrong.
const SKEW_MAX_MICROS: i64 = 10_000_000;

/// What publishers are held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// A keyframe is asked for when the last is older than this.
    pub key_interval: Duration,
    /// A publisher that sends no media for so long is silent: its broadcast waits, for it or for
    /// another.
    pub silence: Duration,
}

/// Why a publisher's session is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// Somebody else is on stage.
    Taken,
    /// It sends nothing, and nobody waits for it.
    Silent,
    /// What it sends cannot be used, for this reason.
    Unusable(String),
}

/// From a source's timestamps to microseconds on the publisher's clock, which its tracks share.
#[derive(Debug)]
struct SourceClock {
    rate: i64,
    timestamps: Unwrapped<32>,
    /// A timestamp, and where it stands.
    origin: Option<(i64, i64)>,
    /// The latest timestamp so far.
    latest: i64,
    /// What is to be added to where it stands, in small steps.
    owed_micros: i64,
    /// By how much the other track is moved before this one is.
    held_micros: i64,
    /// By its last sender report: a timestamp, and its wall time in microseconds.
    reported: Option<(i64, i64)>,
}

impl SourceClock {
    fn new(rate: u32) -> Self {
        Self {
            rate: i64::from(rate),
            timestamps: Unwrapped::default(),
            origin: None,
            latest: i64::MIN,
            owed_micros: 0,
            held_micros: 0,
            reported: None,
        }
    }

    fn ticks_to_micros(&self, ticks: i64) -> i64 {
        i64::try_from(i128::from(ticks) * 1_000_000 / i128::from(self.rate)).unwrap_or(0)
    }

    /// Where a timestamp without wraps stands; the first stands at `arrived`. Nothing is taken after it
    /// has arrived: what would stand later shows how long the first was under way.
    fn place(&mut self, timestamp: i64, arrived: i64) -> i64 {
        let (at, micros) = *self.origin.get_or_insert((timestamp, arrived));
        let ahead = micros + self.ticks_to_micros(timestamp - at) - arrived;
        if ahead > 0 {
            self.owed_micros = self.owed_micros.min(-ahead);
        }
        let passed = timestamp.saturating_sub(self.latest.max(at)).max(0);
        self.latest = self.latest.max(timestamp);
        let most = self.ticks_to_micros(passed) / SLEW_SHARE;
        let held = most.min(self.held_micros);
        self.held_micros -= held;
        let step = self.owed_micros.clamp(held - most, most - held);
        self.owed_micros -= step;
        self.origin = Some((at, micros + step));
        micros + step + self.ticks_to_micros(timestamp - at)
    }

    /// The wall time of its origin, by its own reports.
    fn wall_of_origin(&self) -> Option<(i64, i64)> {
        let ((at, micros), (reported, wall)) = (self.origin?, self.reported?);
        Some((wall - self.ticks_to_micros(reported - at), micros))
    }
}

/// How a source continues a track.
#[derive(Clone, Copy, Debug)]
struct Renumber {
    /// What is added to its numbers.
    numbers: i64,
    /// What is added to its timestamps.
    timestamps: u32,
    /// The first number that nobody before it had.
    from: i64,
}

/// One track.
struct Stream {
    kind: TrackKind,
    codec: Codec,
    up: UpTrack,
    assembler: Assembler,
    clock: SourceClock,
    heard_at: Instant,
    /// Bytes of payload so far.
    bytes: u64,
    rate: Rate,
    /// What its numbers and timestamps are on the track.
    renumber: Option<Renumber>,
    /// When the latest keyframe came, and its timestamp.
    last_key: Option<(Instant, u32)>,
    /// When the very first packet came, and its timestamp: the rest of a keyframe may be long under way.
    first: (Instant, u32),
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}

/// A publisher.
pub(crate) struct Publisher {
    permit: Box<dyn Permit>,
    on_exit: Option<OnExit>,
    registry: Arc<Registry>,
    runtime: tokio::runtime::Handle,
    on_stage: Option<(Box<dyn Publishing>, Forwarding)>,
    agreement: Agreement,
    streams: Vec<Stream>,
    arrivals: Arrivals,
    ssrc: u32,
    began: Instant,
    /// From the publisher's clock to the broadcast's timeline, once a frame was placed.
    offset_micros: Option<i64>,
    rules: Rules,
    heard_at: Instant,
    /// Whether it has sent nothing for so long that its broadcast waits.
    is_silent: bool,
    asked_key_at: Option<Instant>,
    wants_key: bool,
    reported_at: Instant,
    arrivals_at: Instant,
}

impl Publisher {
    pub(crate) fn new(
        permit: Box<dyn Permit>,
        on_exit: OnExit,
        registry: Arc<Registry>,
        agreement: Agreement,
        ssrc: u32,
        rules: Rules,
        now: Instant,
    ) -> Self {
        Self {
            permit,
            on_exit: Some(on_exit),
            registry,
            runtime: tokio::runtime::Handle::current(),
            on_stage: None,
            agreement,
            streams: Vec::new(),
            arrivals: Arrivals::new(now),
            ssrc,
            began: now,
            offset_micros: None,
            rules,
            heard_at: now,
            is_silent: false,
            asked_key_at: None,
            wants_key: false,
            reported_at: now,
            arrivals_at: now,
        }
    }

    /// Comes on stage: media can flow.
    pub(crate) fn enter(&mut self, now: Instant) -> Result<(), Over> {
        let Some(on_exit) = self.on_exit.take() else {
            return Ok(());
        };
        self.heard_at = now;
        let _runtime = self.runtime.enter();
        let publishing = self.permit.enter(on_exit).map_err(|_| Over::Taken)?;
        let broadcast = publishing.broadcast();
        broadcast.announce(kit::stream::Announced {
            video: Some(self.has(TrackKind::Video)),
            audio: Some(self.has(TrackKind::Audio)),
        });
        let forwarding = self.registry.forward(broadcast);
        self.on_stage = Some((publishing, forwarding));
        Ok(())
    }

    /// Goes on after a silence, with what comes now and from a keyframe on: the rest is not waited for.
    fn resume(&mut self) -> Result<(), Over> {
        let Some((publishing, _)) = &mut self.on_stage else {
            return Ok(());
        };
        let _runtime = self.runtime.enter();
        publishing.resume().map_err(|_| Over::Taken)?;
        self.is_silent = false;
        self.wants_key = true;
        for stream in &mut self.streams {
            stream.assembler = Assembler::new(stream.codec);
        }
        Ok(())
    }

    fn has(&self, kind: TrackKind) -> bool {
        self.agreement.tracks.iter().any(|track| track.kind == kind)
    }

    /// Leaves the stage.
    pub(crate) fn leave(&mut self, how: Leaving) {
        if let Some((mut publishing, forwarding)) = self.on_stage.take() {
            let _runtime = self.runtime.enter();
            drop(forwarding);
            publishing.leave(how);
        }
    }

    /// What a payload type means, and whether it is of repairs.
    fn meaning(&self, payload_type: u8) -> Option<(TrackKind, Codec, bool)> {
        let all = self.agreement.tracks.iter();
        let mut all = all.flat_map(|track| track.codecs.iter().map(|one| (track.kind, one)));
        all.find_map(|(kind, one): (TrackKind, &Offered)| {
            if one.payload_type == payload_type {
                return Some((kind, one.codec, false));
            }
            (one.rtx == Some(payload_type)).then_some((kind, one.codec, true))
        })
    }

    /// Takes a packet, which came at `arrived`: what the publisher's estimate of the path stands on
    /// is when packets arrive, not when somebody has time for them.
    pub(crate) fn on_rtp(
        &mut self,
        now: Instant,
        arrived: Instant,
        packet: &[u8],
    ) -> Result<(), Over> {
        let Some(header) = Header::parse(packet) else {
            return Ok(());
        };
        self.heard_at = now;
        if self.is_silent {
            self.resume()?;
        }
        self.note_arrival(arrived, &header);
        let Some((kind, codec, again)) = self.meaning(header.payload_type) else {
            return Ok(());
        };
        let Some(mut payload) = header.payload(packet) else {
            return Ok(());
        };
        let mut sequence = header.sequence;
        if again {
            // RFC 4588 §4: the original number, then the original payload.
            let [a, b, original @ ..] = payload else {
                return Ok(());
            };
            sequence = u16::from_be_bytes([*a, *b]);
            payload = original;
        }
        // Padding alone probes the path.
        if payload.is_empty() {
            self.note_probe(now, &header, again, sequence);
            return Ok(());
        }
        let Some(index) = self.stream(now, kind, codec, &header, again) else {
            return Ok(());
        };
        let stream = &mut self.streams[index];
        stream.heard_at = now;
        let number = match stream.up.receive(now, sequence, header.timestamp, again) {
            Place::At(number) => number,
            Place::Anew(number) => {
                stream.renumber = None;
                stream.assembler = Assembler::new(codec);
                number
            }
            Place::Useless => return Ok(()),
        };
        stream.bytes += payload.len() as u64;
        let payload = Bytes::copy_from_slice(payload);
        self.forward(now, index, number, &header, &payload);
        let stream = &mut self.streams[index];
        stream
            .assembler
            .push(now, number, header.timestamp, header.marker, payload);
        self.assemble(now, index)
    }

    fn note_arrival(&mut self, arrived: Instant, header: &Header<'_>) {
        let id = self
            .agreement
            .tracks
            .iter()
            .find_map(|track| track.transport_cc);
        let value = id.and_then(|id| header.extension(id));
        if let Some([a, b]) = value {
            self.arrivals.note(arrived, u16::from_be_bytes([*a, *b]));
        }
    }

    fn note_probe(&mut self, now: Instant, header: &Header<'_>, again: bool, sequence: u16) {
        if again {
            return;
        }
        let mut all = self.streams.iter();
        let Some(index) = all.position(|one| one.up.ssrc() == header.ssrc) else {
            return;
        };
        let stream = &mut self.streams[index];
        // It has a number of the stream, which nobody is to wait for: viewers are sent it too.
        if let Place::At(number) = stream.up.receive(now, sequence, header.timestamp, false) {
            let nothing = Bytes::new();
            let stream = &mut self.streams[index];
            stream
                .assembler
                .push(now, number, header.timestamp, false, nothing.clone());
            if stream.kind == TrackKind::Video {
                self.forward(now, index, number, header, &nothing);
            }
        }
    }

    /// The stream that a packet belongs to.
    fn stream(
        &mut self,
        now: Instant,
        kind: TrackKind,
        codec: Codec,
        header: &Header<'_>,
        again: bool,
    ) -> Option<usize> {
        let ssrc = header.ssrc;
        let found = self.streams.iter().position(|one| one.kind == kind);
        let Some(index) = found else {
            if again {
                return None;
            }
            self.streams.push(Self::begin(now, kind, codec, header));
            self.wants_key |= kind == TrackKind::Video;
            return Some(self.streams.len() - 1);
        };
        let stream = &self.streams[index];
        if again || (stream.up.ssrc() == ssrc && stream.codec == codec) {
            return Some(index);
        }
        // Another source, or another codec under the same.
        let same = stream.up.ssrc() == ssrc;
        if !same && now.saturating_duration_since(stream.heard_at) < SILENT {
            return None;
        }
        self.streams[index] = Self::begin(now, kind, codec, header);
        self.wants_key |= kind == TrackKind::Video;
        Some(index)
    }

    fn begin(now: Instant, kind: TrackKind, codec: Codec, header: &Header<'_>) -> Stream {
        tracing::info!(
            track = kind.as_str(),
            codec = codec.as_str(),
            "a track begins"
        );
        Stream {
            kind,
            codec,
            up: UpTrack::new(header.ssrc, codec.clock_rate(), now),
            assembler: Assembler::new(codec),
            clock: SourceClock::new(codec.clock_rate()),
            heard_at: now,
            bytes: 0,
            rate: Rate::new(now),
            renumber: None,
            last_key: None,
            first: (now, header.timestamp),
        }
    }

    /// Puts a packet into the track's log, as it is.
    fn forward(
        &mut self,
        now: Instant,
        index: usize,
        number: i64,
        header: &Header<'_>,
        payload: &Bytes,
    ) {
        let Some((publishing, forwarding)) = &self.on_stage else {
            return;
        };
        let stream = &mut self.streams[index];
        // Of the parameter sets and the slices of a keyframe, what comes first begins it.
        let goes_on = stream
            .last_key
            .is_some_and(|(_, key)| key == header.timestamp);
        let key = stream.codec.begins_key(payload) && !goes_on;
        if key && stream.kind == TrackKind::Video {
            stream.last_key = Some((now, header.timestamp));
        }
        let track = forwarding.tracks.track(stream.kind);
        let elapsed = publishing.broadcast().elapsed();
        let renumber = *stream.renumber.get_or_insert_with(|| {
            let (next, last) = track.next();
            // Whatever was there before, time has passed since.
            let wall = rtp::timestamp(elapsed, stream.codec.clock_rate());
            let ahead = wall.wrapping_sub(last).cast_signed();
            let begin = if next == 0 || ahead > 0 {
                wall
            } else {
                last.wrapping_add(1)
            };
            // Room for what was overtaken by the first; viewers who are there see no gap.
            let room = if next == 0 { 1 << 10 } else { 0 };
            Renumber {
                numbers: next.cast_signed() + room - number,
                timestamps: begin.wrapping_sub(header.timestamp),
                from: next.cast_signed(),
            }
        });
        let timestamps = renumber.timestamps;
        // A number is never used twice: viewers' packets are sealed by it.
        let number = number.checked_add(renumber.numbers);
        let number = number.filter(|number| *number >= renumber.from);
        let Some(number) = number.and_then(|number| u64::try_from(number).ok()) else {
            return;
        };
        let packet = Packet {
            number,
            timestamp: header.timestamp.wrapping_add(timestamps),
            at: elapsed,
            codec: stream.codec,
            marker: header.marker,
            key: key || stream.kind == TrackKind::Audio,
            payload: payload.clone(),
        };
        // Fenced off: somebody else publishes, and this session is about to hear of it.
        let _ = track.append(forwarding.writer(stream.kind), packet);
    }

    /// Hands over what is whole.
    pub(crate) fn assemble(&mut self, now: Instant, index: usize) -> Result<(), Over> {
        let Some((publishing, forwarding)) = &mut self.on_stage else {
            return Ok(());
        };
        let stream = &mut self.streams[index];
        while let Some(output) = stream.assembler.poll(now) {
            let unit = match output {
                Output::Unit(unit) => unit,
                Output::Lost => {
                    self.wants_key |= stream.kind == TrackKind::Video;
                    publishing.lost();
                    continue;
                }
            };
            let timestamp = unit.timestamp;
            let first = stream.clock.origin.is_none() && stream.first.1 == timestamp;
            let arrived = if first { stream.first.0 } else { now };
            let arrived = arrived.saturating_duration_since(self.began).as_micros();
            let arrived = i64::try_from(arrived).unwrap_or(i64::MAX);
            let unwrapped = stream.clock.timestamps.unwrap(timestamp);
            let micros = stream.clock.place(unwrapped, arrived);
            let at = publishing.add(micros, unit);
            let at = at.map_err(Over::Unusable)?;
            self.offset_micros = Some(at.as_micros() - micros);
            if let Some(Renumber { timestamps, .. }) = stream.renumber {
                forwarding.tracks.track(stream.kind).set_clock(Clock {
                    timestamp: timestamp.wrapping_add(timestamps),
                    at,
                });
            }
        }
        Ok(())
    }

    /// Takes reports.
    pub(crate) fn on_rtcp(&mut self, now: Instant, compound: &[u8]) {
        let mut reports = Vec::new();
        rtcp::parse(compound, |said| {
            if let Said::SenderReport {
                ssrc,
                ntp,
                timestamp,
            } = said
            {
                reports.push((ssrc, ntp, timestamp));
            }
        });
        for (ssrc, ntp, timestamp) in reports {
            let Some(stream) = self.streams.iter_mut().find(|one| one.up.ssrc() == ssrc) else {
                continue;
            };
            stream.up.note_sender_report(now, ntp);
            if stream.clock.origin.is_some() {
                let at = stream.clock.timestamps.unwrap(timestamp);
                let wall = (u128::from(ntp) * 1_000_000) >> 32;
                stream.clock.reported = Some((at, i64::try_from(wall).unwrap_or(0)));
            }
            self.align();
        }
    }

    /// Puts sound and pictures beside each other, as the publisher's reports have them. The one that
    /// stands too late gives way: it began with what was longer under way. The other is not moved meanwhile.
    fn align(&mut self) {
        let find = |kind| self.streams.iter().position(|one| one.kind == kind);
        let (Some(video), Some(audio)) = (find(TrackKind::Video), find(TrackKind::Audio)) else {
            return;
        };
        let of_video = self.streams[video].clock.wall_of_origin();
        let of_audio = self.streams[audio].clock.wall_of_origin();
        let (Some((wall_v, micros_v)), Some((wall_a, micros_a))) = (of_video, of_audio) else {
            return;
        };
        let owed = (wall_a - wall_v) - (micros_a - micros_v);
        if owed.abs() > SKEW_MAX_MICROS {
            return;
        }
        let (late, early) = if owed > 0 {
            (video, audio)
        } else {
            (audio, video)
        };
        self.streams[late].clock.owed_micros = -owed.abs();
        self.streams[late].clock.held_micros = 0;
        self.streams[early].clock.held_micros = owed.abs();
    }

    /// What is to be said to the publisher now, if anything is.
    pub(crate) fn poll_rtcp(&mut self, now: Instant) -> Vec<u8> {
        let mut out = Vec::new();
        let media = self.streams.first().map_or(0, |stream| stream.up.ssrc());
        if now >= self.reported_at + REPORT_EVERY {
            self.reported_at = now;
            for stream in &mut self.streams {
                stream.rate.note(now, stream.bytes);
            }
            let blocks = self
                .streams
                .iter_mut()
                .filter_map(|stream| stream.up.report(now));
            let blocks: Vec<_> = blocks.collect();
            if !blocks.is_empty() {
                rtcp::write_receiver_report(&mut out, self.ssrc, &blocks);
            }
        }
        for stream in &mut self.streams {
            let lost = stream.up.nacks(now);
            // Sound that comes too late is not waited for.
            if !lost.is_empty() && stream.kind == TrackKind::Video {
                rtcp::write_nack(&mut out, self.ssrc, stream.up.ssrc(), &lost);
            }
        }
        if !self.is_silent {
            self.ask_for_key(now, &mut out);
        }
        // Last, because it may be padded (RFC 3550 §6.4.1).
        if now >= self.arrivals_at + ARRIVALS_EVERY {
            self.arrivals_at = now;
            self.arrivals.write(&mut out, self.ssrc, media);
        }
        out
    }

    fn ask_for_key(&mut self, now: Instant, out: &mut Vec<u8>) {
        let Some(video) = self.streams.iter().find(|one| one.kind == TrackKind::Video) else {
            return;
        };
        if let Some((_, forwarding)) = &self.on_stage {
            self.wants_key |= forwarding.tracks.video.take_key_wanted();
        }
        // Segments begin with keyframes.
        let old = |at: Instant| now.saturating_duration_since(at) >= self.rules.key_interval;
        let wanted = self.wants_key || video.last_key.is_none_or(|(at, _)| old(at));
        let lately = |at: Instant| now.saturating_duration_since(at) < KEY_EVERY;
        if wanted && !self.asked_key_at.is_some_and(lately) {
            self.wants_key = false;
            self.asked_key_at = Some(now);
            rtcp::write_pli(out, self.ssrc, video.up.ssrc());
        }
    }

    /// Lets go of what was waited for long enough.
    pub(crate) fn tick(&mut self, now: Instant) -> Result<(), Over> {
        for index in 0..self.streams.len() {
            self.assemble(now, index)?;
        }
        let silent = now.saturating_duration_since(self.heard_at) >= self.rules.silence;
        if !silent || self.is_silent {
            return Ok(());
        }
        // The session is kept: its peer may be on its way to another network, and is there as long as
        // it is heard of (RFC 7675 §5.1) and the broadcast waits.
        let _runtime = self.runtime.enter();
        let on_stage = self.on_stage.as_mut();
        self.is_silent = on_stage.is_some_and(|(publishing, _)| publishing.fall_silent());
        if self.is_silent {
            Ok(())
        } else {
            Err(Over::Silent)
        }
    }

    /// Whether it has sent nothing for so long that its broadcast waits.
    pub(crate) const fn is_silent(&self) -> bool {
        self.is_silent
    }

    /// What it publishes to, once it is on stage.
    pub(crate) fn broadcast(&self) -> Option<&Arc<kit::stream::Broadcast>> {
        let (publishing, _) = self.on_stage.as_ref()?;
        Some(publishing.broadcast())
    }

    /// Bytes that wait to be put together to frames.
    pub(crate) fn waiting_bytes(&self) -> usize {
        let each = self.streams.iter();
        each.map(|stream| stream.assembler.bytes()).sum()
    }

    /// The channel's handle.
    pub(crate) fn handle(&self) -> &wire::Handle {
        self.permit.handle()
    }

    /// Its tracks: kind, codec, packets that came and that did not, repaired ones, jitter.
    pub(crate) fn streams(&self) -> impl Iterator<Item = crate::stats::UpStats> + '_ {
        self.streams.iter().map(|stream| {
            let (received, lost) = stream.up.counts();
            crate::stats::UpStats {
                kind: stream.kind.as_str(),
                codec: stream.codec.as_str(),
                ssrc: stream.up.ssrc(),
                packets: received,
                bytes: stream.bytes,
                lost,
                loss: stream.up.loss(),
                bitrate_bps: stream.rate.bps(),
                repaired: stream.up.repaired(),
                jitter_ms: stream.up.jitter().as_secs_f64() * 1000.0,
                round_trip_ms: stream
                    .up
                    .round_trip()
                    .map(|time| time.as_secs_f64() * 1000.0),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_put_right_never_jumps() {
        let mut clock = SourceClock::new(48_000);
        assert_eq!(clock.place(1_000, 7_000), 7_000);
        clock.owed_micros = -1_200;
        let placed: Vec<i64> = (1..5)
            .map(|i| clock.place(1_000 + i * 960, i64::MAX))
            .collect();
        assert_eq!(placed, [26_500, 46_000, 65_800, 85_800]);
        clock.reported = Some((1_000 + 48_000, 5_000_000));
        assert_eq!(clock.wall_of_origin(), Some((4_000_000, 5_800)));
    }

    /// How late the last of frames stands that are taken within so many milliseconds, `every` apart. Those of
    /// the first 300 ms come at once.
    fn lateness(clock: &mut SourceClock, taken_ms: std::ops::Range<i64>, every: usize) -> i64 {
        let mut late = 0;
        for taken in taken_ms.step_by(every) {
            let micros = clock.place(taken * clock.rate / 1_000, taken.max(300) * 1_000);
            late = micros - taken * 1_000;
        }
        late
    }

    #[test]
    fn sound_and_pictures_that_both_began_late_keep_their_distance_until_they_are_right() {
        let (mut video, mut audio) = (SourceClock::new(90_000), SourceClock::new(48_000));
        // The first picture is under way for longer still.
        video.place(0, 350_000);
        let mut apart = |video: &mut SourceClock, taken_ms: std::ops::Range<i64>| {
            (lateness(video, taken_ms.clone(), 40) - lateness(&mut audio, taken_ms, 20)) / 1_000
        };
        assert_eq!(apart(&mut video, 0..2_000), 50);
        assert_eq!(apart(&mut video, 2_000..4_000), 50);
        assert_eq!(apart(&mut video, 4_000..20_000), 0);
        assert_eq!(video.owed_micros, 0);
    }

    #[test]
    fn the_one_that_stands_right_waits_for_the_other() {
        let (mut video, mut audio) = (SourceClock::new(90_000), SourceClock::new(48_000));
        video.place(0, 350_000);
        // A report tells.
        audio.held_micros = 50_000;
        let of_video = lateness(&mut video, 0..3_000, 40);
        assert_eq!((of_video - lateness(&mut audio, 0..3_000, 20)) / 1_000, 0);
        assert!(of_video > 200_000, "both are late still");
    }

    #[test]
    fn a_first_picture_that_was_long_under_way_does_not_put_the_rest_into_the_future() {
        let mut clock = SourceClock::new(90_000);
        // Taken at nothing, and here after 300 ms; the others take 40 ms.
        clock.place(0, 300_000);
        let mut ahead = Vec::new();
        for picture in 1..1_000 {
            let arrived = picture * 33_000 + 40_000;
            ahead.push(clock.place(picture * 2_970, arrived) - arrived);
        }
        assert!(ahead[0] > 200_000);
        assert!(ahead.windows(2).all(|two| two[1] <= two[0]));
        assert_eq!(ahead.last(), Some(&0));
    }
}
