//! What a viewer's page says it saw: what no server can know.

use std::time::{Duration, Instant};

use serde::Deserialize;

/// How often a page may tell.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Since the session began, as the page's browser counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// How often the picture stood still.
    pub freezes: u32,
    /// For how long, all together, in milliseconds.
    pub frozen_ms: u32,
    /// Pictures that came and were not shown.
    pub dropped: u32,
}

/// What one page has told so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    made_at: Instant,
    told_at: Option<Instant>,
    seen: Option<Seen>,
}

impl Told {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            made_at: now,
            told_at: None,
            seen: None,
        }
    }

    pub(crate) const fn seen(&self) -> Option<Seen> {
        self.seen
    }

    /// Takes what a page tells; gives what is new in it. A page that tells too often, or of more than
    /// there was time for, is not believed.
    pub(crate) fn take(&mut self, now: Instant, told: Seen) -> Option<Seen> {
        if self.told_at.is_some_and(|at| now < at + TELL_EVERY) {
            return None;
        }
        let age = now.saturating_duration_since(self.made_at);
        // Clocks may differ a little.
        let most = age.as_millis() + 1_000;
        if [told.freezes, told.frozen_ms, told.dropped]
            .iter()
            .any(|count| u128::from(*count) > most)
        {
            return None;
        }
        self.told_at = Some(now);
        let before = self.seen.replace(told).unwrap_or_default();
        Some(Seen {
            freezes: told.freezes.saturating_sub(before.freezes),
            frozen_ms: told.frozen_ms.saturating_sub(before.frozen_ms),
            dropped: told.dropped.saturating_sub(before.dropped),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seen(freezes: u32, frozen_ms: u32) -> Seen {
        Seen {
            freezes,
            frozen_ms,
            dropped: 0,
        }
    }

    #[test]
    fn only_what_is_new_counts() {
        let now = Instant::now();
        let mut told = Told::new(now);
        let later = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(told.take(later(10), seen(2, 700)), Some(seen(2, 700)));
        assert_eq!(told.take(later(20), seen(3, 900)), Some(seen(1, 200)));
        assert_eq!(told.take(later(30), seen(3, 900)), Some(seen(0, 0)));
        assert_eq!(told.seen(), Some(seen(3, 900)));
    }

    #[test]
    fn a_page_is_not_believed_more_than_there_was_time_for() {
        let now = Instant::now();
        let mut told = Told::new(now);
        let later = now + Duration::from_secs(5);
        assert_eq!(told.take(later, seen(1, 60_000)), None);
        assert_eq!(told.take(later, seen(1, 4_000)), Some(seen(1, 4_000)));
        assert_eq!(told.take(later, seen(2, 4_500)), None, "too often");
    }
}
