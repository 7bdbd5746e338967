//! How much goes by.

use std::time::{Duration, Instant};

/// Over how long it is measured.
const SPAN: Duration = Duration::from_secs(1);

/// Bits a second of late, from a count of bytes that only grows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    at: Instant,
    bytes: u64,
    bps: u64,
}

impl Rate {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            at: now,
            bytes: 0,
            bps: 0,
        }
    }

    /// Takes the count, now and then.
    pub(crate) fn note(&mut self, now: Instant, bytes: u64) {
        let span = now.saturating_duration_since(self.at);
        if span < SPAN {
            return;
        }
        let bits = u128::from(bytes.saturating_sub(self.bytes)) * 8_000 / span.as_millis();
        self.bps = u64::try_from(bits).unwrap_or(u64::MAX);
        (self.at, self.bytes) = (now, bytes);
    }

    pub(crate) const fn bps(&self) -> u64 {
        self.bps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_of_late_and_not_of_all_the_time() {
        let now = Instant::now();
        let mut rate = Rate::new(now);
        rate.note(now + SPAN, 250_000);
        assert_eq!(rate.bps(), 2_000_000);
        rate.note(now + SPAN * 3 / 2, 900_000);
        assert_eq!(rate.bps(), 2_000_000);
        rate.note(now + SPAN * 3, 250_000);
        assert_eq!(rate.bps(), 0);
    }
}
