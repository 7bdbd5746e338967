//! Samples with their times, cut anew. Where sound stands is told by each frame that comes in, not counted.

use std::collections::VecDeque;

use crate::{CHANNELS, RATE};

/// How far the time of a frame may be from where the one before it ends; what is further is another
/// beginning. Publishers round to milliseconds, or to more.
const LOOSE_MICROS: i64 = 15_000;

/// Samples that wait to be cut.
#[derive(Debug, Default)]
pub(crate) struct Line {
    samples: VecDeque<i16>,
    /// How many came before the first that waits, of each channel.
    passed: u64,
    /// How many have come.
    came: u64,
    /// Where samples stand: a number of them, and a time in microseconds.
    marks: VecDeque<(u64, i64)>,
}

impl Line {
    /// Whether something at `micros` does not follow what is there.
    pub(crate) fn breaks(&self, micros: i64) -> bool {
        self.end()
            .is_some_and(|end| (micros - end).abs() > LOOSE_MICROS)
    }

    /// Where what is there ends.
    pub(crate) fn end(&self) -> Option<i64> {
        let (at, micros) = *self.marks.back()?;
        Some(micros + lasts(self.came - at))
    }

    /// Says where the next sample stands.
    pub(crate) fn mark(&mut self, micros: i64) {
        self.marks.push_back((self.came, micros));
    }

    pub(crate) fn push(&mut self, samples: &[i16]) {
        self.samples.extend(samples);
        self.came += (samples.len() / CHANNELS) as u64;
    }

    /// Fills up with silence what is too short for a frame of `length`; forgets it if there is no time for
    /// that before `micros`.
    pub(crate) fn fill_up(&mut self, length: usize, micros: i64) {
        let waiting = self.samples.len() / CHANNELS;
        let missing = (length - waiting % length) % length;
        let end = self.end().unwrap_or(micros);
        if end + lasts(missing as u64) <= micros + LOOSE_MICROS {
            self.samples.resize((waiting + missing) * CHANNELS, 0);
            self.came += missing as u64;
        } else {
            self.samples.clear();
            self.passed = self.came;
        }
    }

    /// The next frame, with where it stands.
    pub(crate) fn cut(&mut self, length: usize, frame: &mut Vec<i16>) -> Option<i64> {
        if self.samples.len() < length * CHANNELS {
            return None;
        }
        while self.marks.get(1).is_some_and(|(at, _)| *at <= self.passed) {
            self.marks.pop_front();
        }
        let (at, micros) = *self.marks.front()?;
        let stands = micros + lasts(self.passed - at);
        frame.clear();
        frame.extend(self.samples.drain(..length * CHANNELS));
        self.passed += length as u64;
        Some(stands)
    }
}

/// How long so many samples last, in microseconds.
pub(crate) fn lasts(samples: u64) -> i64 {
    let micros = u128::from(samples) * 1_000_000 / u128::from(RATE);
    i64::try_from(micros).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut_all(line: &mut Line) -> Vec<i64> {
        let mut frame = Vec::new();
        std::iter::from_fn(|| line.cut(960, &mut frame)).collect()
    }

    #[test]
    fn frames_stand_where_what_they_are_made_of_stood() {
        let mut line = Line::default();
        let mut all = Vec::new();
        for index in 0..100 {
            // A clock that loses a thousandth.
            let at = index * 21_333 * 999 / 1_000;
            assert!(!line.breaks(at));
            line.mark(at);
            line.push(&[0; 2_048]);
            all.extend(cut_all(&mut line));
        }
        let steps: Vec<i64> = all.windows(2).map(|two| two[1] - two[0]).collect();
        assert!(steps.iter().all(|step| (19_950..=20_000).contains(step)));
        let last = all.len() as i64 - 1;
        assert!((all[all.len() - 1] - last * 19_980).abs() < 50);
    }

    #[test]
    fn what_is_missing_moves_nothing() {
        let mut line = Line::default();
        line.mark(0);
        line.push(&[1; 2_048]);
        assert!(line.breaks(60_000) && line.breaks(0) && !line.breaks(25_000));
        line.fill_up(960, 60_000);
        line.mark(60_000);
        line.push(&[2; 2_048]);
        assert_eq!(cut_all(&mut line), [0, 20_000, 60_000]);
        // No time for silence: what is too short for a frame is forgotten.
        line.fill_up(960, 81_000 - LOOSE_MICROS);
        line.mark(90_000);
        line.push(&[3; 1_920]);
        assert_eq!(cut_all(&mut line), [90_000]);
    }
}
