//! How fast frames come, and the part target that fits them.

/// A part's shortest allowed duration, in hundredths of the part target (RFC 8216bis §4.4.4.9).
pub(super) const PART_MIN_PERCENT: i64 = 85;

/// What a part of a regular cadence should be, in thousandths of the part target: the middle
/// between the two bounds, so that jitter has the same room on both sides. The smaller the target,
/// the smaller the hold-back that players keep from the live edge.
const PART_IDEAL_PERMILLE: i64 = 925;

/// Rounded timestamps move either end of a part by up to a millisecond.
const ROUNDING_US: i64 = 1_500;

/// More room than this share of the part target is worth nothing more.
const MARGIN_WORTH_PERCENT: i64 = 6;

/// What an unmet wish costs, in microseconds that parts are off the nominal duration.
const WISH_COST_US: i64 = 30_000;

/// Frame rates in use, as numerator and denominator. A measured cadence this near to one of them is
/// taken for it.
const RATES: [(i64, i64); 16] = [
    (1, 1),
    (2, 1),
    (5, 1),
    (10, 1),
    (12, 1),
    (15, 1),
    (20, 1),
    (24_000, 1001),
    (24, 1),
    (25, 1),
    (30, 1),
    (48, 1),
    (50, 1),
    (60, 1),
    (100, 1),
    (120, 1),
];

/// Frame durations of sound that may come later than the pictures: AAC at 48 and 44.1 kHz.
pub(super) const LIKELY_SOUND_US: [i64; 2] = [21_333, 23_220];
/// Frame durations of pictures that may come later than the sound.
pub(super) const LIKELY_PICTURES_US: [i64; 5] = [33_333, 40_000, 16_667, 41_667, 20_000];

/// The typical time between frames, from their decoding times; `None` with fewer than two of them.
pub(super) fn frame_duration(dts_us: &[i64]) -> Option<i64> {
    let mut intervals: Vec<i64> = dts_us
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .filter(|&us| us > 0)
        .collect();
    intervals.sort_unstable();
    let median = *intervals.get(intervals.len() / 2)?;
    // Intervals told in whole milliseconds average to the truth; outliers are dropped frames.
    let regular = intervals
        .iter()
        .filter(|&&us| (us - median).abs() <= (median / 4).max(1000));
    let (sum, count) = regular.fold((0, 0), |(sum, count), us| (sum + us, count + 1));
    let mean = sum / count;
    let slack = 1_000 / count + 200;
    let exact = RATES
        .iter()
        .map(|(frames, seconds)| seconds * 1_000_000 / frames);
    Some(
        exact
            .min_by_key(|us| (us - mean).abs())
            .filter(|us| (us - mean).abs() <= slack)
            .unwrap_or(mean),
    )
}

/// How far the duration of a part of whole frames can be from both bounds, at best; negative when
/// no number of frames fits between them.
fn margin(frame_us: i64, target_us: i64) -> i64 {
    let shortest = target_us * PART_MIN_PERCENT / 100;
    let count = (shortest / frame_us).max(1);
    let room = |frames: i64| (frames * frame_us - shortest).min(target_us - frames * frame_us);
    (count..count + 3).map(room).max().unwrap_or(i64::MIN)
}

/// Chooses `PART-TARGET`, in whole milliseconds told as microseconds.
///
/// Parts of whole frames of every duration in `must` fit between 85 % of it and itself, with room
/// for rounded timestamps; those in `wish` too where that costs little. Among those it is the one
/// whose parts come nearest to `nominal_us`. Frames longer than `longest_us` cannot be fitted.
pub(super) fn part_target(nominal_us: i64, longest_us: i64, must: &[i64], wish: &[i64]) -> i64 {
    let slowest = must.iter().copied().max().unwrap_or(nominal_us);
    let last = (slowest.max(nominal_us) * 5 / 2).min(longest_us) / 1000;
    let first = (nominal_us / 2 / 1000).min(last);
    let cost = |target_us: i64| {
        let room = must
            .iter()
            .map(|&us| margin(us, target_us))
            .min()
            .unwrap_or(i64::MAX);
        let unmet = wish
            .iter()
            .filter(|&&us| margin(us, target_us) < ROUNDING_US)
            .count();
        let off = (target_us * PART_IDEAL_PERMILLE / 1000 - nominal_us).abs();
        let worth = room.min(target_us * MARGIN_WORTH_PERCENT / 100) * 2;
        let unmet_us = i64::try_from(unmet)
            .unwrap_or(i64::MAX)
            .saturating_mul(WISH_COST_US);
        // What must fit comes first; if nothing fits all, the nearest miss.
        ((ROUNDING_US - room).max(0), off + unmet_us - worth)
    };
    (first..=last)
        .map(|ms| ms * 1000)
        .min_by_key(|&us| cost(us))
        .unwrap_or(longest_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounded(numerator: i64, denominator: i64, count: i64) -> Vec<i64> {
        (0..count)
            .map(|i| i * 1000 * denominator / numerator * 1000)
            .collect()
    }

    #[test]
    fn a_cadence_is_recognised_from_one_part_of_rounded_timestamps() {
        assert_eq!(frame_duration(&rounded(30, 1, 7)), Some(33_333));
        assert_eq!(frame_duration(&rounded(60, 1, 13)), Some(16_666));
        assert_eq!(frame_duration(&rounded(25, 1, 6)), Some(40_000));
        assert_eq!(frame_duration(&rounded(24, 1, 6)), Some(41_666));
        assert_eq!(frame_duration(&rounded(1, 1, 2)), Some(1_000_000));
        assert_eq!(frame_duration(&[5]), None);
        assert_eq!(frame_duration(&[5, 5, 5]), None);
        // One dropped frame does not fool it.
        assert_eq!(
            frame_duration(&[0, 33_000, 100_000, 133_000, 167_000]),
            Some(33_333)
        );
    }

    #[test]
    fn whole_frames_of_both_tracks_fit_the_part_target() {
        let sounds = [21_333, 23_220, 42_667, 46_440, 64_000];
        for fps in [
            5_i64, 6, 7, 8, 10, 12, 15, 20, 23, 24, 25, 30, 48, 50, 60, 90, 120, 144,
        ] {
            let picture = 1_000_000 / fps;
            for sound in sounds {
                let target = part_target(200_000, 4_000_000, &[picture, sound], &[]);
                for frame in [picture, sound] {
                    assert!(
                        margin(frame, target) >= ROUNDING_US,
                        "{fps} fps, {frame} in {target}"
                    );
                }
                assert!((150_000..=420_000).contains(&target), "{fps} fps: {target}");
            }
        }
    }

    #[test]
    fn the_usual_rates_get_parts_near_the_nominal() {
        for picture in [16_667, 20_000, 33_333, 33_367, 40_000, 41_667] {
            let target = part_target(200_000, 4_000_000, &[picture], &LIKELY_SOUND_US);
            assert!((205_000..=235_000).contains(&target), "{picture}: {target}");
            assert!(
                LIKELY_SOUND_US
                    .iter()
                    .all(|&us| margin(us, target) >= ROUNDING_US)
            );
        }
    }

    #[test]
    fn slow_pictures_make_parts_of_one_frame() {
        for fps in 1..=4 {
            let target = part_target(200_000, 4_000_000, &[1_000_000 / fps, 21_333], &[]);
            assert!(
                (1_000_000 / fps..1_150_000 / fps).contains(&target),
                "{fps} fps: {target}"
            );
        }
        // Slower than the target duration allows: the longest there is.
        assert!(part_target(200_000, 4_000_000, &[9_000_000], &[]) <= 4_000_000);
    }
}
