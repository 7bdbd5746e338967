//! Many times and how they are spread, and the time in which they are taken.

use std::fmt;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

/// Microseconds up to an hour, with three digits.
#[derive(Clone, Debug)]
pub(crate) struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("the bounds are in order"))
    }
}

impl Times {
    pub(crate) fn add(&mut self, us: u64) {
        self.0.saturating_record(us);
    }

    pub(crate) fn add_duration(&mut self, time: Duration) {
        self.add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.0 += &other.0;
    }

    pub(crate) const fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }
}

/// When the figures of a running crowd are taken: everyone has joined, nobody leaves yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) from: Instant,
    pub(crate) until: Instant,
}

impl Window {
    pub(crate) fn has(&self, now: Instant) -> bool {
        self.from <= now && now < self.until
    }
}

/// Times in milliseconds; nothing but the count if there are none.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) count: u64,
    pub(crate) p50: Option<f64>,
    pub(crate) p90: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) max: Option<f64>,
}

impl Spread {
    pub(crate) fn of(times: &Times) -> Self {
        let times = times.histogram();
        let at = |share: f64| {
            let ms = |us: u64| (us as f64) / 1000.0;
            (!times.is_empty()).then(|| ms(times.value_at_quantile(share)))
        };
        Self {
            count: times.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: at(1.0),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.p50, self.p99, self.max) {
            (Some(p50), Some(p99), Some(max)) => {
                write!(f, "p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms")
            }
            _ => f.write_str("nothing to measure"),
        }
    }
}
