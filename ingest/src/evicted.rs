//! Who was replaced of late. Encoders reconnect by themselves: without this, two of them with one
//! key would throw each other out without end, instead of the later one staying. Pure.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use wire::StreamKeyId;

/// How long one that was replaced, and came back no sooner than that, may not replace another.
pub const FOR: Duration = Duration::from_mins(1);

/// Remembered at most; of more the oldest are forgotten.
const MAX: usize = 1024;

/// A publisher, as far as it can be told when it comes back.
pub type Who = (StreamKeyId, IpAddr);

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Evicted {
    /// Oldest first.
    noted: VecDeque<(Instant, Who)>,
}

impl Evicted {
    /// `who` was replaced.
    pub fn note(&mut self, who: Who, now: Instant) {
        self.noted
            .retain(|(at, noted)| *noted != who && now < *at + FOR);
        if self.noted.len() >= MAX {
            self.noted.pop_front();
        }
        self.noted.push_back((now, who));
    }

    /// Whether `who` was replaced of late. Each time it tries, it has to wait as long again.
    pub fn has(&mut self, who: Who, now: Instant) -> bool {
        let has = self
            .noted
            .iter()
            .any(|(at, noted)| *noted == who && now < *at + FOR);
        if has {
            self.note(who, now);
        }
        has
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(last: u8) -> Who {
        (StreamKeyId::new(), [127, 0, 0, last].into())
    }

    #[test]
    fn one_that_keeps_trying_is_kept_out_and_one_that_waited_is_not() {
        let (mut evicted, now, one) = (Evicted::default(), Instant::now(), who(1));
        assert!(!evicted.has(one, now));
        evicted.note(one, now);
        assert!(!evicted.has(who(1), now), "another key");
        let mut at = now;
        for _ in 0..5 {
            at += FOR - Duration::from_secs(1);
            assert!(evicted.has(one, at));
        }
        assert!(!evicted.has(one, at + FOR));
    }

    #[test]
    fn no_more_than_so_many_are_remembered() {
        let (mut evicted, now) = (Evicted::default(), Instant::now());
        let first = who(1);
        evicted.note(first, now);
        (0..MAX).for_each(|_| evicted.note(who(2), now));
        assert_eq!(evicted.noted.len(), MAX);
        assert!(!evicted.has(first, now));
    }
}
