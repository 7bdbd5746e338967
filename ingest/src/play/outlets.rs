//! The derived logs of live broadcasts. Each is made when somebody comes to watch, and forgotten
//! some time after the last has gone.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fanout::{DERIVED_WINDOW, Log, Packet};
use kit::rendition::Renditions;
use kit::stream::Broadcast;
use tokio::time::Instant;
use wire::BroadcastId;

use super::Encoding;
use super::muxer::mux;

/// How long a derived log is kept for nobody: who reloads a page finds it filled.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// The derived logs there are.
#[derive(Debug)]
pub struct Outlets {
    open: Mutex<HashMap<(BroadcastId, Encoding), Outlet>>,
    renditions: Arc<Renditions>,
}

#[derive(Clone, Debug)]
struct Outlet {
    log: Log<Packet>,
    viewers: Arc<AtomicU64>,
}

/// A viewer's place: while it lives the viewer is counted, and the log is filled.
#[derive(Debug)]
pub struct Ticket {
    viewers: Arc<AtomicU64>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.viewers.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Outlets {
    /// None yet; `renditions` has sound that players do not know in a codec that they know.
    pub fn new(renditions: Arc<Renditions>) -> Arc<Self> {
        Arc::new(Self {
            open: Mutex::default(),
            renditions,
        })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<(BroadcastId, Encoding), Outlet>> {
        // The map is whole between any two statements.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The derived log of a broadcast, and a viewer's place at it.
    pub fn tune_in(
        self: &Arc<Self>,
        broadcast: &Arc<Broadcast>,
        encoding: Encoding,
    ) -> (Log<Packet>, Ticket) {
        let mut open = self.open();
        let outlet = open.entry((broadcast.id, encoding)).or_insert_with(|| {
            let log = Log::new(0, DERIVED_WINDOW, Packet::measure);
            let viewers = Arc::default();
            let keeper = Keeper {
                outlets: Arc::clone(self),
                key: (broadcast.id, encoding),
                viewers: Arc::clone(&viewers),
            };
            tokio::spawn(keeper.fill(Arc::clone(broadcast), log.clone()));
            Outlet { log, viewers }
        });
        outlet.viewers.fetch_add(1, Ordering::AcqRel);
        let ticket = Ticket {
            viewers: Arc::clone(&outlet.viewers),
        };
        (outlet.log.clone(), ticket)
    }

    /// How many watch a broadcast in one encoding.
    pub fn viewers(&self, broadcast: BroadcastId, encoding: Encoding) -> u64 {
        let open = self.open();
        let outlet = open.get(&(broadcast, encoding));
        outlet.map_or(0, |outlet| outlet.viewers.load(Ordering::Acquire))
    }
}

/// Fills one derived log.
struct Keeper {
    outlets: Arc<Outlets>,
    key: (BroadcastId, Encoding),
    viewers: Arc<AtomicU64>,
}

impl Keeper {
    async fn fill(self, broadcast: Arc<Broadcast>, log: Log<Packet>) {
        tokio::select! {
            () = mux(broadcast, &self.outlets.renditions, self.key.1, log.writer()) => {
                self.outlets.open().remove(&self.key);
            }
            () = self.until_deserted() => {}
        }
        log.end();
    }

    /// Returns once nobody has watched for a while, and nobody can come any more.
    async fn until_deserted(&self) {
        let mut deserted_since = None;
        let mut ticks = tokio::time::interval(KEPT_FOR / 4);
        loop {
            ticks.tick().await;
            // Under the lock, so that nobody comes between looking and closing.
            let mut open = self.outlets.open();
            if self.viewers.load(Ordering::Acquire) > 0 {
                deserted_since = None;
                continue;
            }
            let since = *deserted_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= KEPT_FOR {
                open.remove(&self.key);
                return;
            }
        }
    }
}
