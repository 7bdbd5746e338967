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

/// A jump of numbers beyond this is another stream under the same source.
const JUMP: i64 = 3_000;

#[derive(Clone, Copy, Debug)]
struct Missing {
    since: Instant,
    asked_at: Option<Instant>,
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
                let since = Missing {
                    since: now,
                    asked_at: None,
                    times: 0,
                };
                self.missing.insert(gap, since);
            }
            self.highest = number;
        } else if self.missing.remove(&number).is_some() {
            self.repaired += u64::from(again);
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

    /// What is to be asked for again now; `round_trip` is how long an answer takes.
    pub fn nacks(&mut self, now: Instant, round_trip: Duration) -> Vec<u16> {
        let pause = round_trip.max(Duration::from_millis(20)) * 3 / 2;
        self.missing.retain(|_, missing| {
            now.saturating_duration_since(missing.since) < WANTED && missing.times < ASKED_MAX
        });
        let due = self.missing.iter_mut().filter(|(_, missing)| {
            missing.asked_at.map_or_else(
                || now.saturating_duration_since(missing.since) >= REORDERED,
                |asked| now.saturating_duration_since(asked) >= pause,
            )
        });
        due.map(|(number, missing)| {
            missing.asked_at = Some(now);
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

    const RTT: Duration = Duration::from_millis(50);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn what_is_missing_is_asked_for_again_and_not_for_ever() {
        let now = Instant::now();
        let mut track = UpTrack::new(1, 90_000, now);
        assert_eq!(track.receive(now, 65_534, 0, false), Place::At(65_534));
        assert_eq!(track.receive(now, 2, 0, false), Place::At(65_538));
        assert!(
            track.nacks(now, RTT).is_empty(),
            "they may have been overtaken"
        );
        assert_eq!(track.nacks(now + ms(8), RTT), [65_535, 0, 1]);
        assert!(
            track.nacks(now + ms(50), RTT).is_empty(),
            "the answer is under way"
        );
        assert_eq!(track.receive(now + ms(60), 0, 0, true), Place::At(65_536));
        assert_eq!(track.receive(now + ms(60), 0, 0, true), Place::Useless);
        assert_eq!(track.nacks(now + ms(84), RTT), [65_535, 1]);
        assert_eq!(track.repaired(), 1);
        assert!(track.nacks(now + WANTED, RTT).is_empty() && !track.is_missing_any());
        let report = track.report(now + WANTED).unwrap();
        assert_eq!(
            (report.lost, report.fraction_lost, report.highest),
            (2, 102, 65_538)
        );
        assert_eq!(track.counts(), (3, 2));
        assert_eq!(track.report(now).unwrap().fraction_lost, 0, "nothing since");
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
