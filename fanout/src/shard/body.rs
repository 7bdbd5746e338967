//! A reader whose bytes are written by somebody else: what stands between a derived log and a
//! connection that is no plain socket. It reads as the shards' own readers do.

use std::time::Instant;

use bytes::Bytes;

use super::seat::{Ended, Guest, Limits, Seat};
use super::talk::{Heard, Then, Why};

/// Such a reader. What it falls behind by is up to whoever asks it for more.
pub struct Body {
    seat: Seat<()>,
    limits: Limits,
    /// When it had given out everything.
    caught_at: Instant,
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body")
            .field("log", &self.seat.log.id())
            .finish_non_exhaustive()
    }
}

impl Body {
    /// A reader within the limits of those of the shards.
    pub fn new(guest: Guest<()>, limits: Limits) -> Self {
        let now = Instant::now();
        Self {
            seat: Seat::new(guest, limits, now),
            limits,
            caught_at: now,
        }
    }

    /// The next bytes if there are any now; none at the end.
    ///
    /// # Errors
    /// When everything has been given out, the last words too.
    pub fn try_next(&mut self) -> Result<Option<Bytes>, Ended> {
        if !self.seat.take_mail() {
            self.end(Why::Flooded);
        }
        if self.caught_at.elapsed() > self.limits.lag {
            self.seat.fall_behind();
        }
        let piece = self.seat.piece()?;
        if piece.is_none() {
            self.caught_at = Instant::now();
        }
        Ok(piece)
    }

    /// The next bytes, waiting for them; `None` at the end.
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<Bytes> {
        let log = self.seat.log.clone();
        let mailbox = self.seat.mailbox.clone();
        loop {
            let appended = log.appended();
            tokio::pin!(appended);
            // Registered before looking, so that an append in between is not missed.
            appended.as_mut().enable();
            match self.try_next() {
                Ok(Some(piece)) => return Some(piece),
                Ok(None) => {}
                Err(Ended) => return None,
            }
            let posted = async {
                match &mailbox {
                    Some(mailbox) => mailbox.posted().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = appended => {}
                () = posted => {}
            }
        }
    }

    /// Takes what the peer sent.
    pub fn hear(&mut self, bytes: &[u8]) {
        let heard = self.seat.talk.hear(bytes);
        self.answer(heard);
    }

    /// To be called about once a second.
    pub fn tick(&mut self) {
        let heard = self.seat.talk.tick(Instant::now());
        self.answer(heard);
    }

    fn answer(&mut self, heard: Heard) {
        if !self.seat.say(heard.answer) {
            self.end(Why::Flooded);
            return;
        }
        match heard.then {
            Then::GoOn => {}
            Then::Pause => self.seat.pause(),
            Then::Resume => self.seat.resume(),
            Then::Leave => self.end(Why::Told),
        }
    }

    /// Ends it: the last words come next.
    pub fn end(&mut self, why: Why) {
        self.seat.leave(why);
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let account = self.seat.account(Why::Gone);
        self.seat.talk.over(account);
    }
}
