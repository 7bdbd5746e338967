//! What became of a session so far, for whoever has to find out why it is as it is.

use std::collections::VecDeque;
use std::time::Instant;

use crate::stats::Event;

/// What is remembered of one session.
const EVENTS_MAX: usize = 32;

/// The latest events of one session.
#[derive(Debug)]
pub(super) struct History {
    began: Instant,
    events: VecDeque<Event>,
}

impl History {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            began: now,
            events: VecDeque::new(),
        }
    }

    /// Remembers what happened; said twice in a row it is remembered once.
    pub(super) fn note(&mut self, now: Instant, what: impl Into<String>) {
        let what = what.into();
        if self.events.back().is_some_and(|last| last.what == what) {
            return;
        }
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        let at_s = now.saturating_duration_since(self.began).as_secs_f64();
        self.events.push_back(Event { at_s, what });
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.events.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_latest_are_kept_and_repetitions_are_one() {
        let now = Instant::now();
        let mut history = History::new(now);
        for nth in 0..100 {
            let at = now + Duration::from_secs(nth);
            history.note(at, format!("path {nth}"));
            history.note(at, format!("path {nth}"));
        }
        let events = history.events();
        assert_eq!(events.len(), EVENTS_MAX);
        assert_eq!((events[0].at_s, events[0].what.as_str()), (68.0, "path 68"));
        assert_eq!(events[EVENTS_MAX - 1].what, "path 99");
    }
}
