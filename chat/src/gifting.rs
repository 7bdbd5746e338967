//! Gifts: what somebody gives on a connection is taken to who keeps the ledger, and what is in it comes
//! back to the room and to those whose balance it changes.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use cluster::{Bus, Heard};
use fanout::shard::Mailbox;
use kit::clock;
use serde::{Deserialize, Serialize};
use tokio::runtime;
use tokio::sync::{Semaphore, oneshot};
use wire::{BroadcastId, ChannelId, Person, UserId};

use crate::committer::{Answer, Entry, Rooms as _};
use crate::item::Event;
use crate::nodes::{pack, unpack};
use crate::protocol::{Encoding, ErrorCode, Give, Told, Wallet};
use crate::saying::NotSaid;
use crate::service::{Service, Shared};

/// Gifts that are on their way at once.
const GIVING_MAX: usize = 4_096;

/// What nodes tell each other of balances.
const WALLETS: &str = "wallets";

/// How long a room may take to keep what it is told.
const KEPT_WITHIN: Duration = Duration::from_secs(5);

/// Who keeps the ledger.
pub trait Gifts: Send + Sync {
    /// Gives something, once for each key.
    fn give<'a>(
        &'a self,
        channel: ChannelId,
        person: &'a Person,
        give: Give,
        picture: Option<(BroadcastId, i64)>,
    ) -> Pin<Box<dyn Future<Output = Result<Given, NotGiven>> + Send + 'a>>;
}

/// A gift is in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// The how many-th entry of it this is.
    pub seq: u64,
    /// What its sender has now.
    pub wallet: Wallet,
}

/// Why a gift is not given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotGiven {
    /// For programs.
    pub code: ErrorCode,
    /// For people who write programs.
    pub message: String,
    /// When it is worth trying again.
    pub retry: Option<Duration>,
}

/// What the rooms know of gifts.
pub(crate) struct Gifting {
    gifts: Option<Arc<dyn Gifts>>,
    /// Shards, which hear of gifts, are no threads of it.
    runtime: runtime::Handle,
    slots: Arc<Semaphore>,
    /// In milliseconds since the Unix epoch; zero while something can be given.
    down_since_ms: AtomicI64,
    own: Own,
}

/// Connections by whose they are.
type Own = Arc<Mutex<HashMap<UserId, Vec<Seat>>>>;

#[derive(Debug)]
struct Seat {
    mailbox: Weak<Mailbox>,
    encoding: Encoding,
}

/// A connection is somebody's for as long as this is kept.
pub(crate) struct Mine {
    own: Own,
    user: UserId,
    mailbox: Weak<Mailbox>,
}

impl Mine {
    /// Whose it is.
    pub(crate) const fn user(&self) -> UserId {
        self.user
    }
}

impl Drop for Mine {
    fn drop(&mut self) {
        let mut own = lock(&self.own);
        if let Some(seats) = own.get_mut(&self.user) {
            seats.retain(|seat| !Weak::ptr_eq(&seat.mailbox, &self.mailbox));
            if seats.is_empty() {
                own.remove(&self.user);
            }
        }
    }
}

fn lock(own: &Own) -> MutexGuard<'_, HashMap<UserId, Vec<Seat>>> {
    // It is whole between any two statements.
    own.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gifting {
    /// On the runtime of whoever calls this.
    pub(crate) fn new(gifts: Option<Arc<dyn Gifts>>) -> Self {
        Self {
            gifts,
            runtime: runtime::Handle::current(),
            slots: Arc::new(Semaphore::new(GIVING_MAX)),
            down_since_ms: AtomicI64::new(0),
            own: Own::default(),
        }
    }

    /// Since when nothing can be given, in milliseconds since the Unix epoch.
    pub(crate) fn down_since_ms(&self) -> Option<i64> {
        Some(self.down_since_ms.load(Ordering::Relaxed)).filter(|since| *since != 0)
    }

    /// From now on a connection hears what is somebody's alone.
    pub(crate) fn sit(&self, user: UserId, mailbox: &Arc<Mailbox>, encoding: Encoding) -> Mine {
        let mailbox = Arc::downgrade(mailbox);
        let seat = Seat {
            mailbox: Weak::clone(&mailbox),
            encoding,
        };
        lock(&self.own).entry(user).or_default().push(seat);
        Mine {
            own: Arc::clone(&self.own),
            user,
            mailbox,
        }
    }

    /// Takes a gift on its way; what came of it is told later. Tells why not, if it is not.
    pub(crate) fn give(
        &self,
        channel: ChannelId,
        person: Person,
        give: Give,
        picture: Option<(BroadcastId, i64)>,
        (mailbox, encoding): (Arc<Mailbox>, Encoding),
    ) -> Result<(), NotGiven> {
        let unavailable = |message: &str| NotGiven {
            code: ErrorCode::Unavailable,
            message: message.into(),
            retry: Some(Duration::from_secs(1)),
        };
        let gifts = self.gifts.as_ref();
        let gifts = gifts.ok_or_else(|| unavailable("nothing can be given here"))?;
        let slot = Arc::clone(&self.slots).try_acquire_owned();
        let slot = slot.map_err(|_| unavailable("too much is being given"))?;
        let gifts = Arc::clone(gifts);
        self.runtime.spawn(async move {
            let id = give.id;
            let given = gifts.give(channel, &person, give, picture).await;
            mailbox.post(match given {
                Ok(Given { seq, wallet }) => encoding.message(&Told::Given { id, seq, wallet }),
                Err(not) => encoding.message(&not.told(id)),
            });
            drop(slot);
        });
        Ok(())
    }

    /// Tells somebody's connections on this node what they have.
    fn tell_wallet(&self, user: UserId, wallet: Wallet) {
        let own = lock(&self.own);
        for seat in own.get(&user).into_iter().flatten() {
            if let Some(mailbox) = seat.mailbox.upgrade() {
                mailbox.post(seat.encoding.message(&Told::Wallet { wallet }));
            }
        }
    }
}

impl NotGiven {
    /// As its sender is told of it.
    pub(crate) fn told(&self, id: u64) -> Told<'static> {
        let ms = |wait: Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Told::Error {
            id: Some(id),
            code: self.code,
            message: self.message.clone(),
            retry_ms: self.retry.map(|wait| ms(wait).saturating_add(1)),
        }
    }
}

/// What a node tells the others of somebody's balance.
#[derive(Debug, Serialize, Deserialize)]
struct Changed {
    user: UserId,
    wallet: Wallet,
}

impl Service {
    /// Tells a channel's room what is in the ledger, in this order; answers for each whether the room
    /// keeps it. Each entry of the ledger is kept once, however often it is told.
    pub async fn tell_of_ledger(&self, channel: ChannelId, events: Vec<Event>) -> Vec<bool> {
        let Ok(room) = self.room_of(channel).await else {
            return vec![false; events.len()];
        };
        let answers = events.into_iter().map(|event| {
            let (told, kept) = oneshot::channel();
            let entry = Entry {
                room: Arc::clone(&room),
                event,
                noted: None,
                author: None,
                key: None,
                answer: Some(Answer::Program(told)),
            };
            self.shared.keep(entry).then_some(kept)
        });
        let answers: Vec<_> = answers.collect();
        let mut kept = Vec::with_capacity(answers.len());
        for answer in answers {
            kept.push(match answer {
                Some(answer) => is_kept(answer).await,
                None => false,
            });
        }
        kept
    }

    /// Tells somebody what they have, in every room and on every node.
    pub fn tell_wallet(&self, user: UserId, wallet: Wallet) {
        self.shared.gifting.tell_wallet(user, wallet);
        if !self.shared.cluster.is_alone() {
            let changed = pack(&Changed { user, wallet });
            self.shared.cluster.bus.tell(WALLETS, changed);
        }
    }

    /// Tells every room since when nothing can be given, in milliseconds since the Unix epoch.
    pub fn tell_gifting(&self, down_since_ms: Option<i64>) {
        let since = down_since_ms.unwrap_or_default();
        let gifting = &self.shared.gifting;
        gifting.down_since_ms.store(since, Ordering::Relaxed);
        let now_ms = clock::now().as_millis();
        for room in self.shared.rooms.all() {
            room.tell(Event::Gifting { down_since_ms }, now_ms);
        }
    }
}

async fn is_kept(answer: oneshot::Receiver<Result<u64, NotSaid>>) -> bool {
    let kept = tokio::time::timeout(KEPT_WITHIN, answer).await;
    matches!(kept, Ok(Ok(Ok(_))))
}

/// Hears from the other nodes what somebody here has.
pub(crate) async fn hear_wallets(shared: Arc<Shared>) {
    let mut feed = Bus::listen(&*shared.cluster.bus, WALLETS);
    while let Some(heard) = feed.recv().await {
        let Heard::Message(message) = heard else {
            continue;
        };
        if let Some(Changed { user, wallet }) = unpack(&message) {
            shared.gifting.tell_wallet(user, wallet);
        }
    }
}
