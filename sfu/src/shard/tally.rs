//! What sessions add to the metrics, all together: there are too many for each to have its own.

use std::time::{Duration, Instant};

use crate::stats::{DownStats, UpStats};

/// How often each session is added up.
const EVERY: Duration = Duration::from_secs(5);

/// The counts of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    packets: u64,
    bytes: u64,
    lost: u64,
    repaired: u64,
}

impl Counts {
    /// What has come since; of a track that has begun anew, what it has.
    const fn since(self, before: Self) -> Self {
        if self.packets < before.packets {
            return self;
        }
        Self {
            packets: self.packets - before.packets,
            bytes: self.bytes.saturating_sub(before.bytes),
            lost: self.lost.saturating_sub(before.lost),
            repaired: self.repaired.saturating_sub(before.repaired),
        }
    }
}

/// What of one session is in the metrics already.
#[derive(Debug)]
pub(super) struct Tally {
    due: Instant,
    told: Counts,
}

impl Tally {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            due: now + EVERY,
            told: Counts::default(),
        }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.due
    }

    /// Adds a publisher's tracks.
    pub(super) fn add_up(&mut self, now: Instant, tracks: &[UpStats]) {
        let mut counts = Counts::default();
        for track in tracks {
            counts.packets += track.packets;
            counts.bytes += track.bytes;
            counts.lost += track.lost;
            counts.repaired += track.repaired;
            tell_times("in", track.jitter_ms, track.round_trip_ms);
        }
        self.tell(now, "in", counts);
    }

    /// Adds a viewer's tracks.
    pub(super) fn add_down(&mut self, now: Instant, tracks: &[DownStats]) {
        let mut counts = Counts::default();
        for track in tracks {
            counts.packets += track.packets;
            counts.bytes += track.bytes;
            counts.lost += track.lost;
            counts.repaired += track.repaired;
            tell_times("out", track.jitter_ms, track.round_trip_ms);
        }
        self.tell(now, "out", counts);
    }

    fn tell(&mut self, now: Instant, direction: &'static str, counts: Counts) {
        self.due = now + EVERY;
        let new = counts.since(std::mem::replace(&mut self.told, counts));
        for (name, more) in [
            ("barrage_webrtc_packets_total", new.packets),
            ("barrage_webrtc_bytes_total", new.bytes),
            ("barrage_webrtc_lost_packets_total", new.lost),
            ("barrage_webrtc_repaired_packets_total", new.repaired),
        ] {
            metrics::counter!(name, "direction" => direction).increment(more);
        }
    }
}

fn tell_times(direction: &'static str, jitter_ms: f64, round_trip_ms: Option<f64>) {
    let jitter = metrics::histogram!("barrage_webrtc_jitter_seconds", "direction" => direction);
    jitter.record(jitter_ms / 1000.0);
    if let Some(round_trip_ms) = round_trip_ms {
        let name = "barrage_webrtc_round_trip_seconds";
        metrics::histogram!(name, "direction" => direction).record(round_trip_ms / 1000.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_not_told_again_and_a_new_track_counts_from_nothing() {
        let counts = |packets, lost| Counts {
            packets,
            lost,
            ..Counts::default()
        };
        assert_eq!(counts(9, 2).since(counts(4, 1)), counts(5, 1));
        assert_eq!(
            counts(9, 1).since(counts(9, 2)),
            counts(0, 0),
            "it came after all"
        );
        assert_eq!(counts(3, 1).since(counts(9, 2)), counts(3, 1));
    }
}
