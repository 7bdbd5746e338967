//! Shards: one loop each, with its own sockets, which writes derived logs to those who read them.
//!
//! - `seat`: one connection; what is written to it next. Pure but for its socket.
//! - `mailbox`: what is for one connection alone.
//! - `socket`: what the system keeps for a peer.
//! - `talk`: the side of a connection that is not packets.
//! - `worker`: the loop: wait, hear, write.
//! - `body`: the same for connections that are no plain sockets: TLS, HTTP/2.
//!
//! An append wakes a shard once, however many readers it has there. The shard then writes what is
//! new to each of them from the same bytes: one system call for a reader that keeps up, no copy,
//! no task, no channel.

mod body;
mod mailbox;
mod seat;
mod socket;
mod talk;
mod worker;

use std::io;
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::{Poll, Waker};

pub use body::Body;
pub use mailbox::Mailbox;
pub use seat::{Ended, Entry, Falling, Guest, Limits};
pub use socket::bound_unsent;
pub use talk::{Account, Heard, Talk, Then, Why};

use crate::log::Listener;
use crate::pace;
use worker::Worker;

/// How shards are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many.
    pub count: usize,
    /// How long packets may gather before they are written.
    pub pace: pace::Bounds,
    /// What a reader may do.
    pub limits: Limits,
}

/// What a shard tells of itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stats {
    /// Connections it has.
    pub connections: usize,
    /// How long packets gather now.
    pub window: Duration,
    /// The share of its time for which it is busy.
    pub load: f64,
    /// How often it began anew because something in it was wrong.
    pub restarts: usize,
}

/// The shards of this process. Dropping it ends them at once; [`drain`](Self::drain) says farewell.
#[derive(Debug)]
pub struct Shards {
    shards: Vec<Shard>,
    limits: Limits,
}

#[derive(Debug)]
struct Shard {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What a shard shares with the rest of the process.
#[derive(Debug)]
struct Shared {
    waker: Waker,
    inbox: Mutex<Inbox>,
    connections: AtomicUsize,
    window_micros: AtomicU64,
    load_percent: AtomicUsize,
    restarts: AtomicUsize,
}

/// What waits for the shard's next turn.
#[derive(Debug, Default)]
struct Inbox {
    guests: Vec<Guest<TcpStream>>,
    /// Logs, by their numbers, that have more to read.
    rung: Vec<u64>,
    /// Connections, by their numbers, that have mail.
    mail: Vec<usize>,
    end: Option<End>,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Farewell,
    Now,
}

impl Shared {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        // What is in it is whole between any two statements.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // It fails only if the shard is gone, and then nobody is to be woken.
        let _ = self.waker.wake();
    }
}

/// Leaves word with a shard that a log has more to read.
struct Bell {
    log: u64,
    shared: Arc<Shared>,
    rung: std::sync::atomic::AtomicBool,
}

impl Listener for Bell {
    fn appended(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.shared.inbox().rung.push(self.log);
            self.shared.wake();
        }
    }
}

impl Shards {
    /// Starts the shards, each on a thread of its own.
    ///
    /// # Errors
    /// When the system gives no thread or no way to wait for sockets.
    pub fn start(config: Config) -> io::Result<Self> {
        let shards = (0..config.count.max(1)).map(|number| Shard::start(number, config));
        Ok(Self {
            shards: shards.collect::<io::Result<_>>()?,
            limits: config.limits,
        })
    }

    /// Gives a connection to the shard that has the fewest.
    pub fn seat(&self, guest: Guest<TcpStream>) {
        let fewest = self
            .shards
            .iter()
            .min_by_key(|shard| shard.shared.connections.load(Ordering::Relaxed));
        if let Some(shard) = fewest {
            // Counted here, so that many who come at once are spread out.
            shard.shared.connections.fetch_add(1, Ordering::Relaxed);
            shard.shared.inbox().guests.push(guest);
            shard.shared.wake();
        }
    }

    /// What a reader may do, here and elsewhere.
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// What each shard tells of itself.
    pub fn stats(&self) -> Vec<Stats> {
        let stats = self.shards.iter().map(|shard| {
            let shared = &shard.shared;
            Stats {
                connections: shared.connections.load(Ordering::Relaxed),
                window: Duration::from_micros(shared.window_micros.load(Ordering::Relaxed)),
                load: shared.load_percent.load(Ordering::Relaxed) as f64 / 100.0,
                restarts: shared.restarts.load(Ordering::Relaxed),
            }
        });
        stats.collect()
    }

    /// Says farewell to every connection, and returns when the last is gone. Blocks; a peer that
    /// does not read holds it up for a second.
    pub fn drain(&self) {
        self.end(End::Farewell);
    }

    fn end(&self, end: End) {
        for shard in &self.shards {
            shard.shared.inbox().end = Some(end);
            shard.shared.wake();
        }
        for shard in &self.shards {
            let thread = shard.thread.lock();
            let thread = thread.unwrap_or_else(PoisonError::into_inner).take();
            if let Some(thread) = thread {
                // A panic has been told where it happened.
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        self.end(End::Now);
    }
}

impl Shard {
    fn start(number: usize, config: Config) -> io::Result<Self> {
        let poll = Poll::new()?;
        let shared = Arc::new(Shared {
            waker: Waker::new(poll.registry(), worker::WAKE)?,
            inbox: Mutex::default(),
            connections: AtomicUsize::new(0),
            window_micros: AtomicU64::new(0),
            load_percent: AtomicUsize::new(0),
            restarts: AtomicUsize::new(0),
        });
        let worker = Worker::new(poll, Arc::clone(&shared), config);
        let thread = std::thread::Builder::new()
            .name(format!("shard-{number}"))
            .spawn(move || keep_running(worker))?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }
}

/// Runs a shard to its end. A panic costs the connections it had at that moment and nobody who comes
/// later, nor the process.
fn keep_running(mut worker: Worker) {
    while catch_unwind(AssertUnwindSafe(|| worker.run())).is_err() {
        // Whoever panics again while being shown out stays uncounted.
        while catch_unwind(AssertUnwindSafe(|| worker.begin_anew())).is_err() {}
    }
}

#[cfg(test)]
mod tests;
