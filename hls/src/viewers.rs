//! How many people watch: distinct players that fetched a playlist lately.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Players of one broadcast, told apart by a keyed hash of address and program. Two of the same
/// program behind one address count as one; the count stays at its bound when there are more.
#[derive(Debug)]
pub(crate) struct Viewers {
    seen: Mutex<HashMap<u64, Instant>>,
    keys: RandomState,
    max: usize,
    lasts: Duration,
}

impl Viewers {
    /// Counts up to `max` of them, each for `lasts` after it was last seen.
    pub(crate) fn new(max: usize, lasts: Duration) -> Self {
        Self {
            seen: Mutex::default(),
            keys: RandomState::new(),
            max,
            lasts,
        }
    }

    /// Notes that a player fetched a playlist.
    pub(crate) fn note(&self, address: Option<IpAddr>, program: &[u8]) {
        let key = self.keys.hash_one((address, program));
        let now = Instant::now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = seen.get_mut(&key) {
            *last = now;
            return;
        }
        if seen.len() >= self.max {
            seen.retain(|_, last| now.duration_since(*last) <= self.lasts);
        }
        if seen.len() < self.max {
            seen.insert(key, now);
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        let now = Instant::now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, last| now.duration_since(*last) <= self.lasts);
        seen.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_player_counts_once_and_for_a_while() {
        let viewers = Viewers::new(3, Duration::from_secs(12));
        let address = |last| Some(IpAddr::from([10, 0, 0, last]));
        viewers.note(address(1), b"Safari");
        viewers.note(address(1), b"Safari");
        viewers.note(address(1), b"Firefox");
        assert_eq!(viewers.count(), 2);
        tokio::time::advance(Duration::from_secs(10)).await;
        viewers.note(address(2), b"Safari");
        viewers.note(address(3), b"Safari");
        assert_eq!(viewers.count(), 3, "it stays at its bound");
        tokio::time::advance(Duration::from_secs(5)).await;
        viewers.note(address(3), b"Safari");
        assert_eq!(viewers.count(), 2);
    }
}
