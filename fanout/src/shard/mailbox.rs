//! A connection's personal log: what is for it alone, from whichever thread.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::Shared;

/// Bytes that may wait for the shard to take them. A reader for whom more comes is let go.
const WAITING_MAX: usize = 64 * 1024;

/// Something for one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mail {
    /// To be written before anything that is not written yet.
    Words(Bytes),
    /// The last words: the connection ends after them.
    Leave(Bytes),
}

/// Where to leave it.
#[derive(Default)]
pub struct Mailbox {
    state: Mutex<State>,
    seat: OnceLock<Address>,
    /// For whoever writes by other means than a shard.
    posted: Notify,
}

#[derive(Default)]
struct State {
    mail: Vec<Mail>,
    bytes: usize,
    lost: bool,
}

/// Where the connection sits.
struct Address {
    shared: Arc<Shared>,
    at: usize,
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}

impl Mailbox {
    /// Has `words` written to the connection. What is too much ends it.
    pub fn post(&self, words: Bytes) {
        self.leave_mail(Mail::Words(words));
    }

    /// Ends the connection with these last words.
    pub fn end(&self, words: Bytes) {
        self.leave_mail(Mail::Leave(words));
    }

    fn leave_mail(&self, mail: Mail) {
        let ring = {
            let mut state = self.state();
            let (Mail::Words(words) | Mail::Leave(words)) = &mail;
            if state.bytes + words.len() > WAITING_MAX {
                state.lost = true;
            } else {
                state.bytes += words.len();
                state.mail.push(mail);
            }
            // Whoever came first has rung.
            state.mail.len() <= 1 || state.lost
        };
        if ring {
            self.ring();
        }
    }

    fn ring(&self) {
        self.posted.notify_one();
        if let Some(Address { shared, at }) = self.seat.get() {
            shared.inbox().mail.push(*at);
            shared.wake();
        }
    }

    /// Tells it where its connection sits; what has come before is delivered.
    pub(super) fn seat(&self, shared: &Arc<Shared>, at: usize) {
        let shared = Arc::clone(shared);
        // A connection sits down once.
        let _ = self.seat.set(Address { shared, at });
        if !self.state().mail.is_empty() {
            self.ring();
        }
    }

    /// What has come, and whether something was lost because it was too much.
    pub(super) fn take(&self) -> (Vec<Mail>, bool) {
        let mut state = self.state();
        state.bytes = 0;
        (mem::take(&mut state.mail), mem::take(&mut state.lost))
    }

    /// Completes when something has come since the last time.
    pub(super) async fn posted(&self) {
        self.posted.notified().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // It is whole between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
