//! Which danmaku of a room everybody is shown when there are more than people can read. Pure: time
//! comes from outside, and chance from a seed.

use crate::danmaku::Danmaku;

/// Over how long it is reckoned how much is said, in seconds.
const SPAN_S: f64 = 1.0;

/// Chance is a little more generous than what may be shown, so that all of that is used.
const AMPLE: f64 = 1.1;

/// Chooses as many a second as it may, fairly: each by its weight, at the moment it comes.
#[derive(Clone, Debug)]
pub(crate) struct Sampler {
    /// Most a second.
    most: f64,
    seed: u64,
    /// What is said a second, by weight.
    rate: f64,
    /// How many may be shown at this moment.
    budget: f64,
    at_ms: i64,
}

/// How much a danmaku counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Weight {
    /// It is shown in any case.
    Always,
    /// Twice is twice as likely.
    Of(f64),
}

impl Weight {
    /// Who runs the room is always heard, and what is said to somebody sooner than what is said to
    /// nobody.
    pub(crate) fn of(danmaku: &Danmaku) -> Self {
        if !danmaku.by.badges.is_empty() {
            return Self::Always;
        }
        let to_somebody = danmaku.reply.is_some() || !danmaku.mentions.is_empty();
        Self::Of(if to_somebody { 2.0 } else { 1.0 })
    }
}

impl Sampler {
    /// Lets through at most so many a second; the same seed chooses the same.
    pub(crate) fn new(most: u32, seed: u64) -> Self {
        let most = f64::from(most);
        Self {
            most,
            seed,
            rate: 0.0,
            budget: most,
            at_ms: i64::MIN,
        }
    }

    /// Whether the danmaku at `place` is shown, which is said at `at_ms`.
    pub(crate) fn picks(&mut self, place: u64, weight: Weight, at_ms: i64) -> bool {
        self.go_on_to(at_ms);
        let w = match weight {
            Weight::Always => 1.0,
            Weight::Of(w) => w,
        };
        self.rate += w / SPAN_S;
        let picked = match weight {
            Weight::Always => true,
            Weight::Of(w) => {
                let likely = AMPLE * self.most * w / self.rate;
                self.budget >= 1.0 && chance(self.seed ^ place) < likely
            }
        };
        if picked {
            // Who is heard in any case takes from the others, and not for ever.
            self.budget = (self.budget - 1.0).max(-self.most);
        }
        picked
    }

    fn go_on_to(&mut self, at_ms: i64) {
        let passed_s = at_ms.saturating_sub(self.at_ms).max(0) as f64 / 1_000.0;
        self.at_ms = self.at_ms.max(at_ms);
        self.rate *= (-passed_s / SPAN_S).exp();
        self.budget = (self.budget + self.most * passed_s).min(self.most);
    }
}

/// A number from 0 up to 1, evenly spread, the same for the same seed (SplitMix64).
fn chance(seed: u64) -> f64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    (z >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How many of `rate` a second are shown in ten seconds, after a second to learn.
    fn shown(sampler: &mut Sampler, rate: u64, weight: Weight) -> usize {
        let at = |place: u64| i64::try_from(place * 1_000 / rate).unwrap();
        (0..11 * rate)
            .filter(|place| sampler.picks(*place, weight, at(*place)) && *place >= rate)
            .count()
    }

    #[test]
    fn a_room_that_can_be_read_is_shown_whole() {
        let mut sampler = Sampler::new(100, 7);
        assert_eq!(shown(&mut sampler, 90, Weight::Of(1.0)), 900);
    }

    #[test]
    fn of_more_so_many_are_shown_as_may_be() {
        for rate in [200, 1_000, 5_000] {
            let shown = shown(&mut Sampler::new(100, 7), rate, Weight::Of(1.0));
            assert!((850..=1_000).contains(&shown), "{shown} of {rate} a second");
        }
    }

    #[test]
    fn the_same_seed_chooses_the_same_and_another_seed_others() {
        let choose = |seed| {
            let mut sampler = Sampler::new(10, seed);
            let picks = |place: u64| {
                let at_ms = i64::try_from(place * 10).unwrap();
                sampler.picks(place, Weight::Of(1.0), at_ms)
            };
            (0..500).map(picks).collect::<Vec<_>>()
        };
        assert_eq!(choose(1), choose(1));
        assert_ne!(choose(1), choose(2));
    }

    #[test]
    fn weight_counts_and_some_are_always_shown() {
        let mut sampler = Sampler::new(100, 7);
        let (mut light, mut heavy) = (0, 0);
        for place in 0..20_000_u64 {
            let at_ms = i64::try_from(place).unwrap();
            let is_heavy = place % 2 == 0;
            let weight = Weight::Of(if is_heavy { 2.0 } else { 1.0 });
            let picked = usize::from(sampler.picks(place, weight, at_ms));
            *(if is_heavy { &mut heavy } else { &mut light }) += picked;
            if place % 1_000 == 999 {
                assert!(sampler.picks(place, Weight::Always, at_ms));
            }
        }
        let ratio =
            f64::from(u32::try_from(heavy).unwrap()) / f64::from(u32::try_from(light).unwrap());
        assert!((1.7..2.3).contains(&ratio), "{heavy} and {light}");
    }

    proptest! {
        #[test]
        fn no_second_shows_more_than_two_seconds_may(
            steps in prop::collection::vec((0_i64..50, 1_u32..4), 1..400),
        ) {
            let mut sampler = Sampler::new(20, 3);
            let (mut at_ms, mut shown) = (0, Vec::new());
            for (place, (wait, weight)) in steps.into_iter().enumerate() {
                at_ms += wait;
                if sampler.picks(place as u64, Weight::Of(f64::from(weight)), at_ms) {
                    shown.push(at_ms);
                }
            }
            // The budget of a second that has gathered, and that of the second itself.
            for (from, at) in shown.iter().enumerate() {
                let within = shown[from..].iter().take_while(|t| **t - at < 1_000).count();
                prop_assert!(within <= 41, "{within}");
            }
        }
    }
}
