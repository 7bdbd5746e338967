//! The logs that somebody here reads, and what is new of them for everybody who does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fanout::{Listener, Log};
use media::TrackKind;
use sfu_core::Packet;

use super::Worker;
use crate::publishing::Leaving;
use crate::shard::{Role, Shared};

/// How long packets gather that end no picture.
const GATHER: Duration = Duration::from_millis(3);

/// Leaves word with a shard that a log has more to read.
struct Bell {
    log: u64,
    shared: Arc<Shared>,
    rung: AtomicBool,
}

impl Listener for Bell {
    fn appended(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.shared.inbox().rung.push(self.log);
            self.shared.wake();
        }
    }
}

/// A log that somebody here reads.
pub(super) struct Feed {
    log: Log<Packet>,
    kind: TrackKind,
    bell: Arc<Bell>,
    pub(super) seats: Vec<usize>,
    /// How far those at the end are.
    seen: u64,
    pub(super) due: Option<Instant>,
}

impl Drop for Feed {
    fn drop(&mut self) {
        let listener: Arc<dyn Listener> = Arc::clone(&self.bell) as _;
        self.log.stop_listening(&listener);
    }
}

impl Worker {
    pub(super) fn join(&mut self, at: usize, kind: TrackKind) {
        let Role::Viewer(viewer) = &self.sessions[at].role else {
            return;
        };
        let log = &viewer.tracks.track(kind).log;
        let feed = self.feeds.entry(log.id()).or_insert_with(|| {
            let bell = Arc::new(Bell {
                log: log.id(),
                shared: Arc::clone(&self.shared),
                rung: AtomicBool::new(false),
            });
            log.listen(Arc::clone(&bell) as Arc<dyn Listener>);
            Feed {
                log: log.clone(),
                kind,
                bell,
                seats: Vec::new(),
                seen: log.look(|window, _| window.end()),
                due: None,
            }
        });
        feed.seats.push(at);
    }

    pub(super) fn on_ring(&mut self, now: Instant, log: u64) {
        let Some(feed) = self.feeds.get_mut(&log) else {
            return;
        };
        feed.bell.rung.store(false, Ordering::Release);
        // A picture goes out in one go; what ends none waits for its end, though not for long.
        let (ended, whole) = feed.log.look(|window, ended| {
            let newest = window.get(window.end().wrapping_sub(1));
            (ended, newest.is_some_and(|packet| packet.marker))
        });
        let soon = if whole || feed.kind == TrackKind::Audio {
            now
        } else {
            now + GATHER
        };
        feed.due = Some(feed.due.map_or(soon, |due| due.min(soon)));
        if ended {
            let over = feed.seats.clone();
            for at in over {
                if let Some(session) = self.sessions.get_mut(at) {
                    session.transport.close(now);
                }
                self.transmit(at);
                self.remove(at, Leaving::Finished, "the broadcast is over");
            }
        }
    }

    pub(super) fn write_due(&mut self, now: Instant) {
        let due: Vec<u64> = self
            .feeds
            .iter()
            .filter(|(_, feed)| feed.due.is_some_and(|due| due <= now))
            .map(|(log, _)| *log)
            .collect();
        for log in due {
            self.write(log);
        }
    }

    fn write(&mut self, log: u64) {
        let Some(feed) = self.feeds.get_mut(&log) else {
            return;
        };
        feed.due = None;
        let (packets, end) = feed.log.look(|window, _| {
            let from = feed.seen.max(window.first());
            let new = (from..window.end()).filter_map(|offset| window.get(offset).cloned());
            (new.collect::<Vec<Packet>>(), window.end())
        });
        feed.seen = end;
        if packets.is_empty() {
            return;
        }
        for &at in &feed.seats {
            let Some(session) = self.sessions.get_mut(at) else {
                continue;
            };
            let Some((viewer, mut way)) = session.viewer(&self.port, &mut self.burst) else {
                continue;
            };
            viewer.write_live(feed.kind, &packets, &mut way);
        }
    }

    /// Sends a viewer what it lacks; who lacks more then is behind.
    pub(super) fn catch_up(&mut self, now: Instant, at: usize) {
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        if let Some((viewer, mut way)) = session.viewer(&self.port, &mut self.burst) {
            // What those at the end have been sent already is the end.
            viewer.catch_up(now, &mut way, |log| {
                self.feeds.get(&log).map(|feed| feed.seen)
            });
        }
        if let Role::Viewer(viewer) = &session.role
            && viewer.is_behind()
        {
            self.behind.push(at);
        }
    }
}
