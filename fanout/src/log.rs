//! A log that threads share: one writer at a time, any number of readers that can wait.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::cursor::{Cursor, Lag, Read, Start};
use crate::window::{Limits, Meta, Position, Window};

/// Why an append was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// Another writer has taken the log over since.
    Fenced,
    /// The log has ended.
    Ended,
}

impl std::fmt::Display for AppendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Fenced => "another writer has taken the log over",
            Self::Ended => "the log has ended",
        })
    }
}

impl std::error::Error for AppendError {}

/// Tells logs of one process apart.
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// Somebody who is told that a log has more to read. Called by whoever appends, on its thread, so
/// it does no more than to leave word.
pub trait Listener: Send + Sync {
    /// Something was appended, or the log has ended.
    fn appended(&self);
}

/// A handle on a log; clones name the same one.
#[derive(Debug)]
pub struct Log<T> {
    shared: Arc<Shared<T>>,
}

#[derive(Debug)]
struct Shared<T> {
    id: u64,
    state: Mutex<State<T>>,
    appended: Notify,
    measure: fn(&T) -> Meta,
}

struct State<T> {
    window: Window<T>,
    /// Number of the writer that may append; grows with each takeover.
    fence: u64,
    ended: bool,
    /// Shared as a whole, so that an append takes hold of all of them with one count.
    listeners: Arc<[Arc<dyn Listener>]>,
}

impl<T: fmt::Debug> fmt::Debug for State<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("window", &self.window)
            .field("fence", &self.fence)
            .field("ended", &self.ended)
            .field("listeners", &self.listeners.len())
            .finish()
    }
}

impl<T> Clone for Log<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T: Clone> Log<T> {
    /// An empty log; `measure` tells what it must know of an item.
    pub fn new(epoch: u64, limits: Limits, measure: fn(&T) -> Meta) -> Self {
        let state = State {
            window: Window::new(epoch, limits),
            fence: 0,
            ended: false,
            listeners: Arc::new([]),
        };
        Self {
            shared: Arc::new(Shared {
                id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
                state: Mutex::new(state),
                appended: Notify::new(),
                measure,
            }),
        }
    }

    /// The right to append. Whoever held it before is fenced off from now on.
    pub fn writer(&self) -> Writer<T> {
        let mut state = self.shared.lock();
        state.fence += 1;
        Writer {
            log: self.clone(),
            fence: state.fence,
        }
    }

    /// A reader from `start` on, which treats falling behind as `lag` says.
    pub fn reader(&self, start: Start, lag: Lag) -> Reader<T> {
        let cursor = Cursor::new(&self.shared.lock().window, start, lag);
        Reader {
            log: self.clone(),
            cursor,
        }
    }

    /// Ends the log, whoever writes it: readers get what is held and then its end.
    pub fn end(&self) {
        let listeners = {
            let mut state = self.shared.lock();
            state.ended = true;
            Arc::clone(&state.listeners)
        };
        self.shared.tell(&listeners);
    }

    /// What tells this log from every other of the process.
    pub fn id(&self) -> u64 {
        self.shared.id
    }

    /// Tells `listener` of every append from now on, and of the end.
    pub fn listen(&self, listener: Arc<dyn Listener>) {
        let mut state = self.shared.lock();
        let more = state.listeners.iter().cloned().chain([listener]);
        state.listeners = more.collect();
    }

    /// Tells `listener` no more.
    pub fn stop_listening(&self, listener: &Arc<dyn Listener>) {
        let mut state = self.shared.lock();
        let others = state.listeners.iter();
        let others = others.filter(|one| !Arc::ptr_eq(one, listener)).cloned();
        state.listeners = others.collect();
    }

    /// Completes at the next append from when it is first polled or enabled, or at the end.
    pub fn appended(&self) -> Notified<'_> {
        self.shared.appended.notified()
    }

    /// Whether anybody listens.
    pub fn is_listened_to(&self) -> bool {
        !self.shared.lock().listeners.is_empty()
    }

    /// Looks at what is held, and at whether the log has ended; nobody appends meanwhile.
    pub fn look<R>(&self, look: impl FnOnce(&Window<T>, bool) -> R) -> R {
        let state = self.shared.lock();
        look(&state.window, state.ended)
    }

    /// The newest item.
    pub fn last(&self) -> Option<T> {
        let state = self.shared.lock();
        state
            .window
            .get(state.window.end().wrapping_sub(1))
            .cloned()
    }

    /// Bytes held in memory.
    pub fn bytes(&self) -> usize {
        self.shared.lock().window.bytes()
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // The state is whole between any two statements that can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, listeners: &[Arc<dyn Listener>]) {
        self.appended.notify_waiters();
        for listener in listeners {
            listener.appended();
        }
    }
}

/// The right to append to a log, until another takes it over.
#[derive(Debug)]
pub struct Writer<T> {
    log: Log<T>,
    fence: u64,
}

impl<T: Clone> Writer<T> {
    /// Adds an item at the end and wakes whoever waits for it.
    ///
    /// # Errors
    /// When another writer has taken over, or the log has ended.
    pub fn append(&self, item: T) -> Result<Position, AppendError> {
        let shared = &self.log.shared;
        let meta = (shared.measure)(&item);
        let (position, listeners) = {
            let mut state = shared.lock();
            if state.ended {
                return Err(AppendError::Ended);
            }
            if state.fence != self.fence {
                return Err(AppendError::Fenced);
            }
            (state.window.push(meta, item), Arc::clone(&state.listeners))
        };
        shared.tell(&listeners);
        Ok(position)
    }
}

/// A cursor on a shared log.
#[derive(Debug)]
pub struct Reader<T> {
    log: Log<T>,
    cursor: Cursor,
}

impl<T: Clone> Reader<T> {
    /// The next step if there is one now.
    pub fn try_read(&mut self) -> Option<Read<T>> {
        self.cursor.read(&self.log.shared.lock().window)
    }

    /// The next step, waiting for it; `None` once the log has ended and everything is read, or
    /// after [`Read::TooSlow`].
    ///
    /// Cancel safe: a dropped call has read nothing.
    pub async fn read(&mut self) -> Option<Read<T>> {
        let shared = Arc::clone(&self.log.shared);
        let mut stopped = false;
        loop {
            let appended = shared.appended.notified();
            tokio::pin!(appended);
            // Registered before looking, so that an append in between is not missed.
            appended.as_mut().enable();
            {
                let state = shared.lock();
                if let Some(step) = self.cursor.read(&state.window) {
                    return Some(step);
                }
                stopped |= state.ended || self.cursor.is_stopped();
            }
            if stopped {
                return None;
            }
            appended.await;
        }
    }
}
