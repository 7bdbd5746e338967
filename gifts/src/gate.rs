//! The only way into the ledger. One task owns it: whatever has gathered while the last transaction of the
//! database went on is decided together and kept in the next one, so that a crowd costs few of them, and an
//! account that everybody pays into is written once for all. The next batch is decided while one is kept.
//!
//! Nothing is answered before it is kept. Who is told that it is [unknown](Refused::Unknown) whether
//! something was kept asks the same again: it is done once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use gifts_core::{Command, Micros, Rejection};
use kit::clock;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::store::{Store, StoreError};

mod decide;
mod task;

/// How many commands may wait.
const WAITING_MAX: usize = 4_096;

/// How many bytes they may have.
const WAITING_BYTES_MAX: usize = 8 << 20;

/// How many rows of the outbox that have arrived may wait to be noted.
const SENT_MAX: usize = 4_096;

/// How many bytes what everybody is told of a transaction may have.
const PUBLIC_BYTES_MAX: usize = 4_096;

/// How long a key may be, and what it is a key within.
const KEY_BYTES_MAX: usize = 255;

/// A command, and what belongs to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// What is asked for.
    pub command: Command,
    /// Under which the answer is kept, whatever it is: the same request is answered the same.
    pub key: Option<Key>,
    /// What everybody may be told of it, once it is kept.
    pub public: Option<Value>,
}

/// What its sender calls a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Key {
    /// Whose request, and of which kind.
    pub scope: String,
    /// The name.
    pub word: String,
}

/// Something is in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Which transaction.
    pub id: String,
    /// The how many-th of all.
    pub number: i64,
    /// Since when.
    pub at: Micros,
    /// Whether it was before it was asked for now.
    pub is_replay: bool,
    /// What those have now whom it concerns. For them alone.
    pub balances: Vec<Balance>,
}

/// What somebody has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// On which account.
    pub account: String,
    /// How much.
    pub balance: i64,
    /// How much of it is not kept for something.
    pub available: i64,
    /// A later one has a greater version.
    pub version: i64,
    /// Whether nothing may be taken from it.
    #[serde(default)]
    pub is_frozen: bool,
}

/// Something is not in the ledger, or not known to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refused {
    /// It may not be. The code never changes its meaning.
    #[error("{message}")]
    #[expect(missing_docs, reason = "as of a rejection")]
    Rejected { code: String, message: String },
    /// Another request was made under this key.
    #[error("something else was asked for under this key")]
    KeyReused,
    /// The key or what everybody is told is too long.
    #[error("the key or the public part is too long, or empty")]
    TooLarge,
    /// Too much waits already. Nothing was done.
    #[error("the ledger has too much to do")]
    Busy,
    /// The database does not answer. Nothing was done.
    #[error("the ledger cannot be written to now")]
    Unavailable,
    /// The database did not answer in time. It is done or not; who asks the same again is told.
    #[error("whether it is in the ledger is not known")]
    Unknown,
    /// Another node has the ledger. Nothing was done.
    #[error("another node has the ledger")]
    Fenced,
    /// The database holds it against its rules, which the rules of the ledger should have known. Nothing was
    /// done.
    #[error("the database refuses it")]
    Impossible,
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected {
            code: rejection.as_str().to_owned(),
            message: rejection.to_string(),
        }
    }
}

/// A command that waits.
struct Entry {
    order: Order,
    answer: oneshot::Sender<Result<Accepted, Refused>>,
    /// Its share of the bytes that may wait.
    _bytes: OwnedSemaphorePermit,
}

/// What others are to know of the task.
#[derive(Debug, Default)]
struct Signs {
    /// Since when nothing can be kept, in milliseconds since the Unix epoch; zero while it can.
    down_since_ms: AtomicI64,
    /// Something new is in the outbox.
    has_told: Notify,
}

impl Signs {
    fn set_health(&self, works: bool) {
        let since = &self.down_since_ms;
        if works {
            since.store(0, Ordering::Relaxed);
        } else {
            let now_ms = clock::now().as_millis();
            // The first failure counts.
            let _ = since.compare_exchange(0, now_ms, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

/// The way in.
#[derive(Clone, Debug)]
pub struct Gate {
    entries: mpsc::Sender<Entry>,
    sent: mpsc::Sender<i64>,
    bytes: Arc<Semaphore>,
    signs: Arc<Signs>,
    fence: i64,
}

impl Gate {
    /// Takes the ledger over: whoever had it before is refused from now on. The task ends when the last of
    /// the handles is dropped, or another takes the ledger over.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open<S: Store>(store: S) -> Result<(Self, JoinHandle<()>), StoreError> {
        let opened = store.open().await?;
        let (entries, waiting) = mpsc::channel(WAITING_MAX);
        let (sent, noted) = mpsc::channel(SENT_MAX);
        let signs = Arc::<Signs>::default();
        let task = task::Task::new(store, opened, Arc::clone(&signs), noted);
        let task = tokio::spawn(task.run(waiting));
        let gate = Self {
            entries,
            sent,
            signs,
            bytes: Arc::new(Semaphore::new(WAITING_BYTES_MAX)),
            fence: opened.fence,
        };
        Ok((gate, task))
    }

    /// The fencing number of this owner.
    pub const fn fence(&self) -> i64 {
        self.fence
    }

    /// Since when nothing can be kept, in milliseconds since the Unix epoch. Without anybody asking for
    /// anything it is known within a second.
    pub fn down_since_ms(&self) -> Option<i64> {
        Some(self.signs.down_since_ms.load(Ordering::Relaxed)).filter(|since| *since != 0)
    }

    /// Waits until something new is in the outbox.
    pub async fn has_told(&self) {
        self.signs.has_told.notified().await;
    }

    /// Has noted, with whatever is kept next, that what the outbox tells of a transaction has arrived.
    pub async fn note_sent(&self, number: i64) {
        // Whoever has the ledger by now sends it once more.
        let _ = self.sent.send(number).await;
    }

    /// Whether it still leads somewhere: another node may have the ledger.
    pub fn is_open(&self) -> bool {
        !self.entries.is_closed()
    }

    /// Asks for something, and waits until it is kept or refused.
    ///
    /// # Errors
    /// When it is not in the ledger, or not known to be.
    pub async fn perform(&self, order: Order) -> Result<Accepted, Refused> {
        let size = order.size().ok_or(Refused::TooLarge)?;
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(size);
        let bytes = bytes.map_err(|_| Refused::Busy)?;
        let (answer, answered) = oneshot::channel();
        let entry = Entry {
            order,
            answer,
            _bytes: bytes,
        };
        self.entries.try_send(entry).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refused::Busy,
            mpsc::error::TrySendError::Closed(_) => Refused::Fenced,
        })?;
        // Whoever would have answered is gone.
        answered.await.unwrap_or(Err(Refused::Unknown))
    }
}

impl Order {
    /// How many bytes it has, if it is not too large.
    fn size(&self) -> Option<u32> {
        let mut size = size_of::<Entry>();
        if let Some(Key { scope, word }) = &self.key {
            for text in [scope, word] {
                if text.is_empty() || text.len() > KEY_BYTES_MAX {
                    return None;
                }
                size += text.len();
            }
        }
        if let Some(public) = &self.public {
            let len = public.to_string().len();
            if len > PUBLIC_BYTES_MAX {
                return None;
            }
            size += len;
        }
        u32::try_from(size).ok()
    }
}
