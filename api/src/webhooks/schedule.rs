//! When a delivery is tried again.

use std::time::Duration;

use media::WallTime;

use super::config::WebhooksConfig;

/// Each pause is so many times the one before.
const FACTOR: u32 = 3;

/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_hours(4);

/// When a delivery that was made at `made_at` and has failed `failures` times is tried again, if it is.
/// `jitter`, from 0 to 1, keeps those who failed together from coming together.
pub(super) fn next(
    config: &WebhooksConfig,
    made_at: WallTime,
    failures: u32,
    now: WallTime,
    jitter: f64,
) -> Option<WallTime> {
    let first = Duration::from_millis(config.retry_first_ms);
    let times = FACTOR.checked_pow(failures.saturating_sub(1));
    let pause = times.and_then(|times| first.checked_mul(times));
    let pause = pause.unwrap_or(PAUSE_MAX).min(PAUSE_MAX);
    let at = now + pause.mul_f64(0.75 + jitter.clamp(0.0, 1.0) / 2.0);
    (at <= made_at + Duration::from_secs(config.retry_for_s)).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn pauses_grow_up_to_a_day() {
        let config = WebhooksConfig::default();
        let made_at = WallTime::from_micros(0);
        let (mut now, mut pauses) = (made_at, Vec::new());
        for failures in 1.. {
            let Some(at) = next(&config, made_at, failures, now, 0.5) else {
                break;
            };
            pauses.push(at.since(now) / SECOND);
            now = at;
        }
        assert_eq!(pauses[..6], [5, 15, 45, 135, 405, 1_215]);
        assert!(pauses[8..].iter().all(|pause| *pause == 4 * 60 * 60));
        assert!(now.since(made_at) > 20 * 60 * 60 * SECOND, "{now:?}");
        assert!(now.since(made_at) <= 24 * 60 * 60 * SECOND, "{now:?}");
    }

    #[test]
    fn those_who_failed_together_come_apart() {
        let config = WebhooksConfig::default();
        let zero = WallTime::from_micros(0);
        let at = |jitter| {
            next(&config, zero, 1, zero, jitter)
                .expect("again")
                .as_micros()
        };
        assert_eq!((at(0.0), at(1.0)), (3_750_000, 6_250_000));
        assert!(next(&config, zero, u32::MAX, zero, 0.0).is_some());
    }
}
