//! Packets of pictures, put in order again: which pictures came whole, and what is missing. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sfu_core::rtp::Unwrapped;

use crate::stamp::Stamp;

/// How long a player waits for what is missing: browsers show no picture much later.
const WAIT: Duration = Duration::from_millis(500);

/// How long after one question the next goes out, besides the time there and back.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Packets that are waited for, at most; with more missing the stream has jumped.
const MISSING_MAX: i64 = 1_000;

/// What a packet says of its picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    pub(super) stamp: Option<Stamp>,
}

/// A picture that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) stamp: Option<Stamp>,
    /// Whether all of it came.
    pub(super) whole: bool,
}

#[derive(Debug)]
struct Missing {
    since: Instant,
    asked_at: Option<Instant>,
}

/// What came of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Packets that did not come in time.
    pub(super) missed: u64,
    /// Packets that did not come at first, and then did.
    pub(super) repaired: u64,
    /// Packets that came again although they were there.
    pub(super) repeated: u64,
}

/// The pictures of one viewer.
#[derive(Debug)]
pub(super) struct Pictures {
    numbers: Unwrapped<16>,
    next: Option<i64>,
    waiting: BTreeMap<i64, Piece>,
    missing: BTreeMap<i64, Missing>,
    /// The picture that is being put together: its timestamp, and what is known of it.
    current: Option<(u32, Picture)>,
    /// Something was left out since the last packet.
    torn: bool,
    asks: bool,
    pub(super) counts: Counts,
}

impl Pictures {
    /// None so far. `asks` tells whether what is missing is asked for, and waited for.
    pub(super) fn new(asks: bool) -> Self {
        Self {
            numbers: Unwrapped::default(),
            next: None,
            waiting: BTreeMap::new(),
            missing: BTreeMap::new(),
            current: None,
            torn: false,
            asks,
            counts: Counts::default(),
        }
    }

    /// Takes a packet; what is over goes to `done`.
    pub(super) fn push(
        &mut self,
        now: Instant,
        sequence: u16,
        piece: Piece,
        done: &mut impl FnMut(Picture),
    ) {
        let number = self.numbers.unwrap(u32::from(sequence));
        let next = *self.next.get_or_insert(number);
        if number == next {
            self.counts.repaired += u64::from(self.missing.remove(&number).is_some());
            self.next = Some(number + 1);
            self.take(piece, done);
            return self.go_on(done);
        }
        if number < next || self.waiting.contains_key(&number) {
            self.counts.repeated += 1;
            return;
        }
        self.counts.repaired += u64::from(self.missing.remove(&number).is_some());
        if number - next > MISSING_MAX {
            self.counts.missed += self.missing.len() as u64;
            self.missing.clear();
            self.waiting.clear();
            self.torn = true;
            self.next = Some(number + 1);
            return self.take(piece, done);
        }
        let newest = self
            .waiting
            .last_key_value()
            .map_or(next - 1, |(at, _)| *at);
        for missing in newest + 1..number {
            let asked_at = None;
            self.missing.insert(
                missing,
                Missing {
                    since: now,
                    asked_at,
                },
            );
        }
        self.waiting.insert(number, piece);
        if !self.asks {
            self.give_up_until(now, done);
        }
    }

    /// Gives up what was waited for long enough.
    pub(super) fn give_up(&mut self, now: Instant, done: &mut impl FnMut(Picture)) {
        if let Some(late) = now.checked_sub(WAIT) {
            self.give_up_until(late, done);
        }
    }

    fn give_up_until(&mut self, until: Instant, done: &mut impl FnMut(Picture)) {
        while let Some((&number, missing)) = self.missing.first_key_value()
            && missing.since <= until
        {
            self.missing.remove(&number);
            self.counts.missed += 1;
            self.torn = true;
            self.next = Some(number + 1);
            self.go_on(done);
        }
    }

    /// What is to be asked for now, with a peer so far away.
    pub(super) fn nacks(&mut self, now: Instant, round_trip: Duration) -> Vec<u16> {
        let again = round_trip + ASK_EVERY;
        let mut wanted = Vec::new();
        for (number, missing) in &mut self.missing {
            if self.asks && missing.asked_at.is_none_or(|at| now >= at + again) {
                missing.asked_at = Some(now);
                wanted.push((number & 0xffff) as u16);
            }
        }
        wanted
    }

    /// Whether something is waited for.
    pub(super) fn is_waiting(&self) -> bool {
        !self.missing.is_empty()
    }

    fn go_on(&mut self, done: &mut impl FnMut(Picture)) {
        while let Some(next) = self.next
            && let Some(piece) = self.waiting.remove(&next)
        {
            self.next = Some(next + 1);
            self.take(piece, done);
        }
    }

    /// Takes the next packet in order.
    fn take(&mut self, piece: Piece, done: &mut impl FnMut(Picture)) {
        let torn = std::mem::take(&mut self.torn);
        if let Some((timestamp, mut picture)) = self.current.take() {
            if timestamp == piece.timestamp {
                picture.whole &= !torn;
                picture.stamp = picture.stamp.or(piece.stamp);
                return self.finish(piece, picture, done);
            }
            // Its end was left out.
            picture.whole = false;
            done(picture);
        }
        let picture = Picture {
            stamp: piece.stamp,
            whole: !torn,
        };
        self.finish(piece, picture, done);
    }

    fn finish(&mut self, piece: Piece, picture: Picture, done: &mut impl FnMut(Picture)) {
        if piece.marker {
            done(picture);
        } else {
            self.current = Some((piece.timestamp, picture));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three packets to a picture; tells of each picture whether it was whole.
    fn see(asks: bool, order: &[u16]) -> (Vec<bool>, Counts) {
        let now = Instant::now();
        let (mut pictures, mut whole) = (Pictures::new(asks), Vec::new());
        let mut done = |picture: Picture| whole.push(picture.whole);
        for &number in order {
            let piece = Piece {
                timestamp: u32::from(number / 3),
                marker: number % 3 == 2,
                stamp: None,
            };
            pictures.push(now, number, piece, &mut done);
        }
        pictures.give_up(now + WAIT, &mut done);
        (whole, pictures.counts)
    }

    fn counts(missed: u64, repaired: u64, repeated: u64) -> Counts {
        Counts {
            missed,
            repaired,
            repeated,
        }
    }

    #[test]
    fn what_comes_late_is_put_where_it_belongs() {
        let late = see(true, &[0, 1, 2, 3, 5, 6, 7, 8, 4]);
        assert_eq!(late, (vec![true; 3], counts(0, 1, 0)));
        let again = see(true, &[0, 1, 1, 2, 0]);
        assert_eq!(again, (vec![true], counts(0, 0, 2)));
    }

    #[test]
    fn a_picture_that_lacks_something_is_torn_and_no_other() {
        for asks in [true, false] {
            let middle = see(asks, &[0, 1, 2, 3, 5, 6, 7, 8]);
            assert_eq!(middle, (vec![true, false, true], counts(1, 0, 0)));
            let all_of_one = see(asks, &[0, 1, 2, 6, 7, 8]);
            assert_eq!(all_of_one.1, counts(3, 0, 0));
            assert_eq!(all_of_one.0.iter().filter(|whole| **whole).count(), 1);
            let end = see(asks, &[0, 1, 3, 4, 5, 6, 7, 8]);
            assert_eq!(end, (vec![false, false, true], counts(1, 0, 0)));
        }
    }

    #[test]
    fn what_is_missing_is_asked_for_once_in_a_round_trip() {
        let now = Instant::now();
        let mut pictures = Pictures::new(true);
        let piece = Piece {
            timestamp: 0,
            marker: false,
            stamp: None,
        };
        for number in [65_534, 1] {
            pictures.push(now, number, piece, &mut |_| {});
        }
        let far = Duration::from_millis(100);
        assert_eq!(pictures.nacks(now, far), [65_535, 0]);
        assert!(pictures.nacks(now + far, far).is_empty());
        assert_eq!(pictures.nacks(now + far * 2, far).len(), 2);
    }
}
