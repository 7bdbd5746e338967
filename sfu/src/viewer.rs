//! A viewer's session: a cursor on each packet log of a broadcast.

use std::ops::Range;
use std::time::{Duration, Instant};

use fanout::Log;
use media::{MediaTime, TrackKind};
use sfu_core::answer::{Agreement, Sources};
use sfu_core::down::DownTrack;
use sfu_core::offer::Offered;
use sfu_core::rtcp::{self, Said};
use sfu_core::transport::Transport;
use sfu_core::{Codec, Packet, rtp};

use crate::burst::Burst;
use crate::exit::Exit;
use crate::rate::Rate;
use crate::stats::DownStats;
use crate::tracks::{Hold, Track};

/// A keyframe older than this is not begun with if a new one can be had.
const KEY_AGE_MICROS: i64 = 3_000_000;

/// One older than this is not begun with at all: the time since would not be there within three
/// seconds.
pub(crate) const KEY_AGE_MAX_MICROS: i64 = 9_000_000;

/// How much faster than live the past is sent to who comes late: it is there within a fraction of
/// its length, and the path is not flooded.
const CATCH_UP_SPEED: f64 = 4.0;

/// What is sent at once of it.
const CATCH_UP_BURST: Duration = Duration::from_millis(250);

/// How often somebody is begun anew with the latest keyframe because pictures were lost.
const RESTART_EVERY: Duration = Duration::from_secs(1);

/// How often it is told what time the timestamps mean.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Where a leg stands in its log.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    /// Nothing was sent yet; the next keyframe begins it.
    Seeking,
    /// On its way to the end, which it has not reached.
    Behind {
        next: u64,
        /// When it began, and at which time of the log.
        since: Instant,
        from_micros: i64,
    },
    /// At the end.
    Live,
}

impl Place {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Seeking => "seeking",
            Self::Behind { .. } => "behind",
            Self::Live => "live",
        }
    }
}

/// One track of a viewer.
#[derive(Debug)]
pub(crate) struct Leg {
    kind: TrackKind,
    down: DownTrack,
    offered: Vec<Offered>,
    place: Place,
    codec: Option<Codec>,
    rate: Rate,
    restarted_at: Option<Instant>,
}

impl Leg {
    fn format(&self, codec: Codec) -> Option<(u8, Option<u8>)> {
        let found = self.offered.iter().find(|one| one.codec == codec)?;
        Some((found.payload_type, found.rtx))
    }
}

/// Who packets are for and how they get there.
pub(crate) struct Way<'a> {
    pub(crate) transport: &'a mut Transport,
    pub(crate) exit: Exit<'a>,
    pub(crate) burst: &'a mut Burst,
}

impl Way<'_> {
    /// Seals what stands behind `start` of the burst, and adds it.
    fn add(&mut self, start: usize, written: sfu_core::down::Written) {
        let bytes = self.burst.bytes();
        let sealed =
            self.transport
                .seal_rtp(bytes, start, written.payload, written.ssrc, written.index);
        if sealed {
            let unsent = self.burst.added(start, &mut self.exit);
            tell_unsent(unsent);
        } else {
            bytes.truncate(start);
        }
    }

    pub(crate) fn flush(&mut self) {
        let unsent = self.burst.flush(&mut self.exit);
        tell_unsent(unsent);
    }
}

fn tell_unsent(packets: usize) {
    if packets > 0 {
        metrics::counter!("barrage_webrtc_unsent_packets_total").increment(packets as u64);
    }
}

/// A viewer.
#[derive(Debug)]
pub(crate) struct Viewer {
    pub(crate) tracks: Hold,
    legs: Vec<Leg>,
    report_at: Instant,
}

impl Viewer {
    /// Nothing is sent yet; its packets will be numbered from near `first` on.
    pub(crate) fn new(
        tracks: Hold,
        agreement: &Agreement,
        sources: Sources,
        profile: Option<[u8; 3]>,
        first: u16,
        now: Instant,
    ) -> Self {
        let legs = agreement.tracks.iter().map(|agreed| {
            let (ssrc, rtx) = match agreed.kind {
                TrackKind::Audio => (sources.audio, sources.audio),
                TrackKind::Video => (sources.video, sources.video_rtx),
            };
            let rate = agreed
                .codecs
                .first()
                .map_or(90_000, |one| one.codec.clock_rate());
            let mut offered = agreed.codecs.clone();
            if let Some(profile) = profile {
                // The first that says it can show this profile; who says no such thing may still.
                offered.sort_by_key(|one| {
                    one.codec == Codec::H264 && !sfu_core::answer::profile_fits(one, profile)
                });
            }
            Leg {
                kind: agreed.kind,
                down: DownTrack::new(ssrc, rtx, rate, first),
                offered,
                place: Place::Seeking,
                codec: None,
                rate: Rate::new(now),
                restarted_at: None,
            }
        });
        Self {
            legs: legs.collect(),
            tracks,
            report_at: now,
        }
    }

    /// Whether a leg has to be looked after by itself.
    pub(crate) fn is_behind(&self) -> bool {
        let mut places = self.legs.iter().map(|leg| leg.place);
        places.any(|place| matches!(place, Place::Behind { .. }))
    }

    /// The logs it reads.
    pub(crate) fn kinds(&self) -> Vec<TrackKind> {
        self.legs.iter().map(|leg| leg.kind).collect()
    }

    /// Media can flow: begins with the latest keyframe and with sound as it comes.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.tracks.begin_watching();
        for leg in &mut self.legs {
            let track = self.tracks.track(leg.kind);
            match leg.kind {
                TrackKind::Audio => leg.place = Place::Live,
                TrackKind::Video => {
                    leg.place = begin_at(track, now, self.tracks.is_forwarded());
                    if leg.place == Place::Seeking {
                        track.want_key();
                    }
                }
            }
        }
    }

    /// Sends what is new of a log.
    pub(crate) fn write_live(&mut self, kind: TrackKind, packets: &[Packet], way: &mut Way<'_>) {
        let Some(leg) = self.legs.iter_mut().find(|leg| leg.kind == kind) else {
            return;
        };
        for packet in packets {
            if leg.place == Place::Seeking && packet.key {
                leg.place = Place::Live;
            }
            if leg.place == Place::Live {
                send(leg, packet, None, way);
            }
        }
        way.flush();
    }

    /// Sends on to those legs that are behind. `seen` tells how far those at the end of a log have
    /// been sent it: who gets there is one of them.
    pub(crate) fn catch_up(
        &mut self,
        now: Instant,
        way: &mut Way<'_>,
        seen: impl Fn(u64) -> Option<u64>,
    ) {
        for leg in &mut self.legs {
            let Place::Behind {
                mut next,
                since,
                from_micros,
            } = leg.place
            else {
                continue;
            };
            let track = self.tracks.track(leg.kind);
            let Some(end) = seen(track.log.id()) else {
                continue;
            };
            let elapsed = (now.saturating_duration_since(since) + CATCH_UP_BURST).as_secs_f64();
            #[expect(clippy::cast_possible_truncation, reason = "minutes at most")]
            let until = from_micros + (elapsed * CATCH_UP_SPEED * 1e6) as i64;
            let (batch, sent_to, live) = due(&track.log, next..end, until);
            for packet in &batch {
                send(leg, packet, live, way);
            }
            next = sent_to;
            leg.place = if next >= end {
                Place::Live
            } else {
                Place::Behind {
                    next,
                    since,
                    from_micros,
                }
            };
        }
        way.flush();
    }

    /// Takes reports and requests.
    pub(crate) fn on_rtcp(&mut self, now: Instant, compound: &[u8], way: &mut Way<'_>) {
        let mut all = Vec::new();
        rtcp::parse(compound, |said| all.push(said));
        for said in all {
            match said {
                Said::Report(block) => {
                    let middle = (ntp_now() >> 16) as u32;
                    let mut legs = self.legs.iter_mut();
                    if let Some(leg) = legs.find(|leg| leg.down.ssrc() == block.ssrc) {
                        leg.down.note_report(&block, middle);
                    }
                }
                Said::Nack { ssrc, sequences } => self.repair(now, ssrc, &sequences, way),
                Said::KeyframeWanted { ssrc } => self.on_lost_pictures(now, ssrc),
                Said::SenderReport { .. } | Said::Bye => {}
            }
        }
        way.flush();
    }

    fn repair(&mut self, now: Instant, ssrc: u32, sequences: &[u16], way: &mut Way<'_>) {
        let Some(leg) = self.legs.iter_mut().find(|leg| leg.down.ssrc() == ssrc) else {
            return;
        };
        let track = self.tracks.track(leg.kind);
        for &sequence in sequences {
            if !leg.down.may_ask(now) {
                return;
            }
            let Some(number) = leg.down.asked_for(sequence) else {
                continue;
            };
            let Some(packet) = track.find(number) else {
                leg.down.note_unrepaired();
                continue;
            };
            // Without a source for repairs what was lost is lost.
            let Some((_, Some(rtx))) = leg.format(packet.codec) else {
                leg.down.note_unrepaired();
                continue;
            };
            if !leg.down.may_repair(now, number, packet.payload.len()) {
                continue;
            }
            let bytes = way.burst.bytes();
            let start = bytes.len();
            let written = leg.down.write_again(&packet, rtx, sequence, bytes);
            way.add(start, written);
        }
    }

    /// A keyframe is needed: of the publisher, if that can be asked, otherwise the latest again.
    fn on_lost_pictures(&mut self, now: Instant, ssrc: u32) {
        let Some(leg) = self.legs.iter_mut().find(|leg| leg.down.ssrc() == ssrc) else {
            return;
        };
        let track = self.tracks.track(leg.kind);
        if self.tracks.is_forwarded() {
            track.want_key();
            return;
        }
        let lately = |at: Instant| now.saturating_duration_since(at) < RESTART_EVERY;
        if leg.place != Place::Live || leg.restarted_at.is_some_and(lately) {
            return;
        }
        leg.restarted_at = Some(now);
        leg.down.skip();
        leg.place = begin_at(track, now, false);
    }

    /// What time the timestamps mean, when it is time to tell.
    pub(crate) fn poll_rtcp(&mut self, now: Instant) -> Vec<u8> {
        let mut out = Vec::new();
        if now < self.report_at {
            return out;
        }
        self.report_at = now + REPORT_EVERY;
        for leg in &mut self.legs {
            leg.rate.note(now, leg.down.fares().bytes);
        }
        let zero = self.tracks.broadcast.zero_at();
        let wall = kit::clock::now();
        for leg in &self.legs {
            let Some(clock) = self.tracks.track(leg.kind).clock() else {
                continue;
            };
            // What the timestamp of a picture taken just now would be.
            let since = MediaTime::from_micros(wall.since(zero + clock.at));
            let ticks = rtp::timestamp(since, leg.down.clock_rate());
            let timestamp = clock.timestamp.wrapping_add(ticks);
            let ntp = rtcp::ntp(wall.as_micros());
            if let Some(report) = leg.down.sender_report(ntp, timestamp) {
                rtcp::write_sender_report(&mut out, &report);
            }
        }
        out
    }

    /// How each track goes.
    pub(crate) fn stats(&self) -> Vec<DownStats> {
        let each = self.legs.iter().map(|leg| {
            let fares = leg.down.fares();
            DownStats {
                kind: leg.kind.as_str(),
                codec: leg.codec.map(Codec::as_str),
                ssrc: leg.down.ssrc(),
                place: leg.place.as_str(),
                packets: fares.packets,
                bytes: fares.bytes,
                lost: fares.lost,
                bitrate_bps: leg.rate.bps(),
                repaired: fares.repaired,
                unrepaired: fares.unrepaired,
                loss: fares.loss,
                jitter_ms: fares.jitter.as_secs_f64() * 1000.0,
                round_trip_ms: fares.round_trip.map(|time| time.as_secs_f64() * 1000.0),
            }
        });
        each.collect()
    }
}

/// Where somebody begins who comes now.
fn begin_at(track: &Track, now: Instant, can_ask: bool) -> Place {
    track.log.look(|window, _| {
        let Some(key) = window.last_key() else {
            return Place::Seeking;
        };
        let at = |offset| window.meta(offset).map(|meta| meta.at_micros);
        let (Some(from), Some(newest)) = (at(key), at(window.end().wrapping_sub(1))) else {
            return Place::Seeking;
        };
        if newest - from
            > if can_ask {
                KEY_AGE_MICROS
            } else {
                KEY_AGE_MAX_MICROS
            }
        {
            return Place::Seeking;
        }
        Place::Behind {
            next: key,
            since: now,
            from_micros: from,
        }
    })
}

/// What is to be sent of a stretch of a log up to the time `until`, how far that goes, and the
/// log's newest timestamp.
fn due(log: &Log<Packet>, stretch: Range<u64>, until: i64) -> (Vec<Packet>, u64, Option<u32>) {
    log.look(|window, _| {
        let from = stretch.start.max(window.first());
        let due = (from..stretch.end).map_while(|offset| {
            let meta = window.meta(offset)?;
            (meta.at_micros <= until).then(|| window.get(offset).cloned())?
        });
        let due: Vec<Packet> = due.collect();
        let newest = window.get(window.end().wrapping_sub(1));
        let sent_to = from + due.len() as u64;
        (due, sent_to, newest.map(|packet| packet.timestamp))
    })
}

fn send(leg: &mut Leg, packet: &Packet, live: Option<u32>, way: &mut Way<'_>) {
    let Some((payload_type, _)) = leg.format(packet.codec) else {
        return;
    };
    leg.codec = Some(packet.codec);
    let bytes = way.burst.bytes();
    let start = bytes.len();
    if let Some(written) = leg.down.write(packet, payload_type, live, bytes) {
        way.add(start, written);
    }
}

/// The stream's clock runs as the wall's does, so that both ends of a round trip are read off it.
fn ntp_now() -> u64 {
    rtcp::ntp(kit::clock::now().as_micros())
}
