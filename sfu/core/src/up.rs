//! A track on its way in: its packets are numbered without wraps, what is missing is asked for
//! again, and how they come is reported.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::rtcp::ReportBlock;
use crate::rtp::Unwrapped;

/// How long a packet may be late before it is asked for: others overtake it on the way.
const REORDERED: Duration = Duration::from_millis(8);

/// How often a packet is asked for, and for how long: later nobody waits for it.
const ASKED_MAX: u8 = 8;
const WANTED: Duration = Duration::from_millis(800);

/// Packets that are missing at once. More mean that the path is gone, and a keyframe is what helps.
const MISSING_MAX: usize = 512;

/// What the round trip is taken for before anything was asked for.
const ROUND_TRIP: Duration = Duration::from_millis(50);

/// How much one measurement counts (RFC 6298 §2.3 smooths in the same way).
const SMOOTHING: u32 = 8;

/// A jump of numbers beyond this is another stream under the same source.
const JUMP: i64 = 3_000;

#[derive(Clone, Copy, Debug)]
struct Missing {
    since: Instant,
    /// When it was asked for first and last.
    asked: Option<(Instant, Instant)>,
    times: u8,
}

/// Where a packet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It came for the first time; its number without wraps.
    At(i64),
    /// It came before, or nobody waits for it any more.
    Useless,
    /// The source began anew; its number without wraps.
    Anew(i64),
}

/// One source.
#[derive(Debug)]
pub struct UpTrack {
    ssrc: u32,
    clock_rate: u32,
    numbers: Unwrapped<16>,
    first: Option<i64>,
    highest: i64,
    missing: BTreeMap<i64, Missing>,
    received: i64,
    /// At the last report.
    reported: (i64, i64),
    jitter: f64,
    transit: Option<f64>,
    began: Instant,
    sender_report: Option<(u32, Instant)>,
    repaired: u64,
    round_trip: Option<Duration>,
    /// The share lost between the last two reports.
    loss: f64,
}

impl UpTrack {
    /// A source of which nothing came yet.
    pub fn new(ssrc: u32, clock_rate: u32, now: Instant) -> Self {
        Self {
            ssrc,
            clock_rate,
            numbers: Unwrapped::default(),
            first: None,
            highest: 0,
            missing: BTreeMap::new(),
            received: 0,
            reported: (0, 0),
            jitter: 0.0,
            transit: None,
            began: now,
            sender_report: None,
            repaired: 0,
            round_trip: None,
            loss: 0.0,
        }
    }

    /// The source.
    pub const fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Takes a packet; `again` if it was asked for, so that the way it took says nothing.
    pub fn receive(&mut self, now: Instant, sequence: u16, timestamp: u32, again: bool) -> Place {
        let number = self.numbers.unwrap(u32::from(sequence));
        let Some(first) = self.first else {
            // So that what overtook its predecessors leaves room for them.
            self.begin(number);
            self.note_arrival(now, timestamp);
            return Place::At(number);
        };
        if (number - self.highest).abs() > JUMP {
            if again {
                return Place::Useless;
            }
            self.missing.clear();
            self.begin(number);
            return Place::Anew(number);
        }
        if number > self.highest {
            let newest = number - MISSING_MAX as i64;
            for gap in (self.highest + 1).max(newest)..number {
                if self.missing.len() == MISSING_MAX {
                    self.missing.pop_first();
                }
                let missing = Missing {
                    since: now,
                    asked: None,
                    times: 0,
                };
                self.missing.insert(gap, missing);
            }
            self.highest = number;
        } else if let Some(missing) = self.missing.remove(&number) {
            if again {
                self.repaired += 1;
                self.measure(now, &missing);
            }
        } else if number >= first {
            return Place::Useless;
        } else {
            self.first = Some(number);
        }
        self.received += 1;
        if !again {
            self.note_arrival(now, timestamp);
        }
        Place::At(number)
    }

    const fn begin(&mut self, number: i64) {
        self.first = Some(number);
        self.highest = number;
        self.received = 1;
        self.reported = (0, 0);
    }

    /// How long an answer took is how long the way there and back is. We send a publisher nothing that
    /// it would report on, and nobody asks on our side of ICE.
    fn measure(&mut self, now: Instant, missing: &Missing) {
        let Some((first, _)) = missing.asked else {
            return;
        };
        let took = now.saturating_duration_since(first);
        let known = self.round_trip.unwrap_or(ROUND_TRIP);
        // Which of several questions was answered is not known. An answer to the first shows that
        // they follow each other too soon; to a later one, that something was lost on the way.
        self.round_trip = Some(match self.round_trip {
            None => took,
            Some(_) if missing.times == 1 || took > known => {
                (known * (SMOOTHING - 1) + took) / SMOOTHING
            }
            Some(known) => known,
        });
    }

    /// The time there and back, once an answer has shown it.
    pub const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// RFC 3550 §A.8.
    fn note_arrival(&mut self, now: Instant, timestamp: u32) {
        let arrival = now.saturating_duration_since(self.began).as_secs_f64();
        let transit = arrival * f64::from(self.clock_rate) - f64::from(timestamp);
        if let Some(before) = self.transit.replace(transit) {
            let d = (transit - before).abs();
            // A timestamp that went round says nothing.
            if d < f64::from(self.clock_rate) {
                self.jitter += (d - self.jitter) / 16.0;
            }
        }
    }

    /// Notes a sender report, which the next report of ours answers.
    pub const fn note_sender_report(&mut self, now: Instant, ntp: u64) {
        self.sender_report = Some(((ntp >> 16) as u32, now));
    }

    /// What is to be asked for again now.
    pub fn nacks(&mut self, now: Instant) -> Vec<u16> {
        let round_trip = self.round_trip.unwrap_or(ROUND_TRIP);
        let pause = round_trip.max(Duration::from_millis(20)) * 3 / 2;
        self.missing.retain(|_, missing| {
            now.saturating_duration_since(missing.since) < WANTED && missing.times < ASKED_MAX
        });
        let due = self.missing.iter_mut().filter(|(_, missing)| {
            missing.asked.map_or_else(
                || now.saturating_duration_since(missing.since) >= REORDERED,
                |(_, last)| now.saturating_duration_since(last) >= pause,
            )
        });
        due.map(|(number, missing)| {
            let first = missing.asked.map_or(now, |(first, _)| first);
            missing.asked = Some((first, now));
            missing.times += 1;
            (number & 0xffff) as u16
        })
        .collect()
    }

    /// Whether anything is missing that may come yet.
    pub fn is_missing_any(&self) -> bool {
        !self.missing.is_empty()
    }

    /// Packets that came because they were asked for.
    pub const fn repaired(&self) -> u64 {
        self.repaired
    }

    /// Packets that came, and those that did not.
    pub fn counts(&self) -> (u64, u64) {
        let expected = self.first.map_or(0, |first| self.highest - first + 1);
        let lost = (expected - self.received).max(0);
        (self.received.unsigned_abs(), lost.unsigned_abs())
    }

    /// The share that was lost of late.
    pub const fn loss(&self) -> f64 {
        self.loss
    }

    /// How uneven packets come.
    pub fn jitter(&self) -> Duration {
        Duration::from_secs_f64(self.jitter / f64::from(self.clock_rate.max(1)))
    }

    /// How packets came since the last time.
    pub fn report(&mut self, now: Instant) -> Option<ReportBlock> {
        let first = self.first?;
        let expected = self.highest - first + 1;
        let (expected_before, received_before) = self.reported;
        self.reported = (expected, self.received);
        let expected_now = expected - expected_before;
        let lost_now = (expected_now - (self.received - received_before)).max(0);
        self.loss = lost_now as f64 / expected_now.max(1) as f64;
        let (last_sr, delay) = self.sender_report.map_or((0, 0), |(ntp, at)| {
            let delay = now.saturating_duration_since(at).as_micros() * 65_536 / 1_000_000;
            (ntp, u32::try_from(delay).unwrap_or(u32::MAX))
        });
        Some(ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: u8::try_from(lost_now * 256 / expected_now.max(1)).unwrap_or(255),
            lost: i32::try_from(expected - self.received).unwrap_or(i32::MAX),
            highest: (self.highest & 0xffff_ffff) as u32,
            jitter: self.jitter as u32,
            last_sr,
            delay,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn what_is_missing_is_asked_for_again_and_not_for_ever() {
        let now = Instant::now();
        let mut track = UpTrack::new(1, 90_000, now);
        assert_eq!(track.receive(now, 65_534, 0, false), Place::At(65_534));
        assert_eq!(track.receive(now, 2, 0, false), Place::At(65_538));
        assert!(track.nacks(now).is_empty(), "they may have been overtaken");
        assert_eq!(track.nacks(now + ms(8)), [65_535, 0, 1]);
        assert!(
            track.nacks(now + ms(50)).is_empty(),
            "the answer is under way"
        );
        assert_eq!(track.receive(now + ms(60), 0, 0, true), Place::At(65_536));
        assert_eq!(track.receive(now + ms(60), 0, 0, true), Place::Useless);
        assert_eq!(track.round_trip(), Some(ms(52)));
        assert_eq!(track.nacks(now + ms(86)), [65_535, 1]);
        assert_eq!(track.repaired(), 1);
        assert!(track.nacks(now + WANTED).is_empty() && !track.is_missing_any());
        let report = track.report(now + WANTED).unwrap();
        assert_eq!(
            (report.lost, report.fraction_lost, report.highest),
            (2, 102, 65_538)
        );
        assert_eq!(track.counts(), (3, 2));
        assert_eq!(track.report(now).unwrap().fraction_lost, 0, "nothing since");
    }

    /// Loses every second packet, for as long as asked for, of a publisher who is `way` away.
    fn asked(way: Duration) -> (UpTrack, usize) {
        let began = Instant::now();
        let mut track = UpTrack::new(1, 90_000, began);
        let (mut under_way, mut asked) = (Vec::new(), 0);
        for at in 0..6_000u64 {
            let now = began + ms(at);
            if at % 40 == 0 && at < 5_000 {
                track.receive(now, (at / 20) as u16, 0, false);
            }
            let missing = track.nacks(now);
            asked += missing.len();
            under_way.extend(missing.into_iter().map(|sequence| (now + way, sequence)));
            under_way.retain(|(due, sequence)| {
                if *due <= now {
                    track.receive(now, *sequence, 0, true);
                }
                *due > now
            });
        }
        (track, asked)
    }

    #[test]
    fn how_long_answers_take_is_learnt_and_decides_when_to_ask_again() {
        let (near, asked_near) = asked(ms(10));
        assert_eq!(near.round_trip(), Some(ms(10)));
        assert_eq!(asked_near, 124, "each once");
        let (far, asked_far) = asked(ms(300));
        let learnt = far.round_trip().unwrap();
        assert!((ms(290)..=ms(310)).contains(&learnt), "{learnt:?}");
        // Until the first answer came, each was asked for several times.
        assert!(asked_far < 160, "{asked_far}");
        assert_eq!(far.repaired(), 124);
    }

    #[test]
    fn a_source_that_begins_anew_is_no_loss() {
        let now = Instant::now();
        let mut track = UpTrack::new(1, 90_000, now);
        track.receive(now, 10, 0, false);
        assert!(matches!(
            track.receive(now, 30_000, 0, false),
            Place::Anew(_)
        ));
        assert!(!track.is_missing_any());
    }
}
