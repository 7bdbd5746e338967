//! Samples of any rate into those that Opus counts in, by a windowed sinc for each of the places where one
//! can stand between two others.

use crate::{CHANNELS, Error, RATE};

/// Samples that one is made of.
const TAPS: usize = 32;

/// Most places between two samples. 11 025 Hz have 640, and no usual rate has more.
const PLACES_MAX: u32 = 1_000;

/// What is passed on, as a part of what the lower rate can have.
const CUTOFF: f64 = 0.94;

/// From one rate to [`RATE`].
pub(crate) struct Resampler {
    pub(crate) rate: u32,
    /// How far the next sample stands behind the first that is held: whole samples, and places.
    whole: usize,
    place: u32,
    places: u32,
    /// Places that each sample is further than the one before.
    step: u32,
    /// For each place what the samples around it count.
    weights: Vec<[f32; TAPS]>,
    held: Vec<[f32; CHANNELS]>,
}

impl Resampler {
    pub(crate) fn new(rate: u32) -> Result<Self, Error> {
        let common = common_divisor(rate, RATE);
        let (places, step) = (RATE / common.max(1), rate / common.max(1));
        if rate < 8_000 || places > PLACES_MAX || step > PLACES_MAX * 2 {
            return Err(Error::Rate(rate));
        }
        let cutoff = CUTOFF * (f64::from(RATE) / f64::from(rate)).min(1.0);
        let weights = (0..places)
            .map(|place| weights(f64::from(place) / f64::from(places), cutoff))
            .collect();
        Ok(Self {
            rate,
            whole: 0,
            place: 0,
            places,
            step,
            weights,
            // The first stands in the middle of what comes before it and after.
            held: vec![[0.0; CHANNELS]; TAPS / 2 - 1],
        })
    }

    /// How much earlier than the next sample that comes in the next stands that is made.
    pub(crate) fn behind_micros(&self) -> i64 {
        let held = self.held.len() - (self.whole + TAPS / 2 - 1);
        let places = held as u64 * u64::from(self.places) - u64::from(self.place);
        let micros = places * 1_000_000 / (u64::from(self.places) * u64::from(self.rate));
        micros.cast_signed()
    }

    /// Takes samples and gives those that are made of them: the first stands where the first stood, though
    /// the last can only be told when some more have come.
    pub(crate) fn push(&mut self, samples: &[i16], out: &mut Vec<i16>) {
        let pairs = samples.chunks_exact(CHANNELS);
        self.held
            .extend(pairs.map(|pair| [f32::from(pair[0]), f32::from(pair[1])]));
        while let Some(around) = self.held.get(self.whole..self.whole + TAPS) {
            let weights = &self.weights[self.place as usize];
            let mut sums = [0.0_f32; CHANNELS];
            for (pair, weight) in around.iter().zip(weights) {
                sums[0] += pair[0] * weight;
                sums[1] += pair[1] * weight;
            }
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a float becomes the nearest number that there is"
            )]
            out.extend(sums.map(|sum| sum.round() as i16));
            self.place += self.step;
            self.whole += (self.place / self.places) as usize;
            self.place %= self.places;
        }
        let past = self.whole.min(self.held.len());
        self.held.drain(..past);
        self.whole -= past;
    }
}

/// What the samples around a place count, of which one in the middle stands before it by that part of a
/// sample.
fn weights(part: f64, cutoff: f64) -> [f32; TAPS] {
    let half = TAPS as f64 / 2.0;
    let mut weights = [0.0; TAPS];
    for (index, weight) in weights.iter_mut().enumerate() {
        let away = index as f64 - (half - 1.0) - part;
        let angle = std::f64::consts::PI * away * cutoff;
        let sinc = if angle.abs() < 1e-9 {
            1.0
        } else {
            angle.sin() / angle
        };
        // Blackman's window.
        let turn = std::f64::consts::PI * away / half;
        let window = 0.42 + 0.5 * turn.cos() + 0.08 * (2.0 * turn).cos();
        *weight = if away.abs() < half {
            sinc * window
        } else {
            0.0
        };
    }
    let sum: f64 = weights.iter().sum();
    #[expect(clippy::cast_possible_truncation, reason = "as exact as samples are")]
    weights.map(|weight| (weight / sum) as f32)
}

const fn common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tone of `pitch` Hz at `rate`, for a second.
    fn tone(pitch: f64, rate: u32) -> Vec<i16> {
        let at = |index: u32| f64::from(index) / f64::from(rate);
        let value = |t: f64| (t * pitch * std::f64::consts::TAU).sin() * 10_000.0;
        (0..rate)
            .flat_map(|index| [value(at(index)) as i16; CHANNELS])
            .collect()
    }

    #[test]
    fn a_tone_stays_the_same_and_where_it_was() {
        for rate in [
            8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 88_200, 96_000,
        ] {
            let mut resampler = Resampler::new(rate).unwrap();
            let mut made = Vec::new();
            for piece in tone(440.0, rate).chunks(2_048) {
                resampler.push(piece, &mut made);
            }
            let wanted = tone(440.0, RATE);
            let missing = wanted.len() - made.len();
            assert!(missing <= TAPS * 12 * CHANNELS, "{rate}: {missing}");
            let middle = 4_000..made.len();
            let worst = middle.map(|at| (wanted[at] - made[at]).abs()).max();
            assert!(worst.unwrap() < 100, "{rate}: {worst:?}");
        }
    }

    #[test]
    fn rates_that_nobody_records_at_are_refused() {
        for rate in [0, 1, 7_350, 44_101, u32::MAX] {
            assert_eq!(Resampler::new(rate).err(), Some(Error::Rate(rate)));
        }
    }
}
