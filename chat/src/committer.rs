//! Puts what is said into the store before anybody hears it: whatever has gathered while the last
//! transaction went on goes into the next one, so that a busy moment costs few of them and a quiet
//! one no delay.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cluster::{Cell, Cluster};
use fanout::shard::Mailbox;
use kit::clock;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use wire::{ChannelId, UserId};

use crate::item::{Event, Item};
use crate::lane::{Lane, PerLane};
use crate::nodes::{Carried, pack, subject};
use crate::protocol::{Encoding, ErrorCode, Told};
use crate::room::{Holder, Room};
use crate::saying::NotSaid;
use crate::store::{CommitError, Row, Store};

/// What may wait to be kept.
const WAITING_MAX: usize = 4_096;

/// What is kept in one transaction.
const BATCH_MAX: usize = 512;

/// What is carried to other nodes in one message.
const CARRIED_MAX: usize = 128;

/// How long a transaction may take.
const COMMIT_WITHIN: Duration = Duration::from_secs(1);

/// When nothing is said for this long, it is looked whether it could be kept.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// How long nothing is tried after one has failed.
const REST: Duration = Duration::from_secs(1);

/// Something that is to be kept.
pub(crate) struct Entry {
    pub(crate) room: Arc<Room>,
    pub(crate) event: Event,
    /// What those are told of it who keep order; it is kept with it.
    pub(crate) noted: Option<Event>,
    pub(crate) author: Option<UserId>,
    /// By which its author can say it again without its being kept twice.
    pub(crate) key: Option<String>,
    pub(crate) answer: Option<Answer>,
}

/// Who is told what came of it.
pub(crate) enum Answer {
    /// Somebody in the room.
    Member {
        mailbox: Arc<Mailbox>,
        encoding: Encoding,
        id: u64,
    },
    /// A program, or another node. Who is told nothing, for that it is not kept.
    Program(oneshot::Sender<Result<u64, NotSaid>>),
}

impl Entry {
    /// What is to be kept, in this order, each with the key under which it is said.
    fn events(&self) -> impl Iterator<Item = (&Event, Option<&String>)> {
        let said = (&self.event, self.key.as_ref());
        let noted = self.noted.iter().map(|noted| (noted, None));
        std::iter::once(said).chain(noted)
    }

    /// Tells where it stands, or why it does not.
    pub(crate) fn came(self, came: Result<u64, NotSaid>) {
        match self.answer {
            None => {}
            // It may have stopped waiting.
            Some(Answer::Program(told)) => drop(told.send(came)),
            Some(Answer::Member {
                mailbox,
                encoding,
                id,
            }) => mailbox.post(match came {
                Ok(p) => encoding.message(&Told::Ack { id, p }),
                Err(NotSaid::TooFast(wait)) => too_fast(encoding, id, wait),
                Err(_) => unavailable(encoding, id),
            }),
        }
    }
}

fn too_fast(encoding: Encoding, id: u64, wait: Duration) -> Bytes {
    let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    encoding.message(&Told::Error {
        id: Some(id),
        code: ErrorCode::TooFast,
        message: NotSaid::TooFast(wait).to_string(),
        retry_ms: Some(ms.saturating_add(1)),
    })
}

/// What somebody is told whose words cannot be kept.
pub(crate) fn unavailable(encoding: Encoding, id: u64) -> Bytes {
    encoding.message(&Told::Error {
        id: Some(id),
        code: ErrorCode::Unavailable,
        message: "what is said cannot be kept now".into(),
        retry_ms: Some(u64::try_from(REST.as_millis()).unwrap_or(u64::MAX)),
    })
}

/// The way to the committer.
#[derive(Clone, Debug)]
pub(crate) struct Committer {
    entries: mpsc::Sender<Entry>,
    health: Arc<Health>,
}

/// Since when nothing can be kept, in milliseconds since the Unix epoch; zero when it can.
#[derive(Debug, Default)]
struct Health(AtomicI64);

impl Health {
    fn down_since_ms(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|since| *since != 0)
    }
}

/// What the committer tells of rooms.
pub(crate) trait Rooms: Send + Sync + 'static {
    /// Every room.
    fn all(&self) -> Vec<Arc<Room>>;
    /// Nobody knows what a room's lanes hold.
    fn abandon(&self, room: &Arc<Room>);
    /// Another node holds a room now.
    fn lose(&self, room: &Arc<Room>);
}

/// How much may be said on all nodes together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quotas {
    /// By somebody: once in this time, and so much at once.
    pub(crate) user: (Duration, u32),
    /// In a room.
    pub(crate) room: (Duration, u32),
}

/// Who hears of what is kept, besides those who are in the rooms.
pub trait Audience: Send + Sync {
    /// This is kept now. Everybody else waits until this returns.
    fn kept(&self, rows: &[Row]);
}

impl Committer {
    /// Starts it.
    pub(crate) fn start(
        store: Store,
        rooms: Arc<dyn Rooms>,
        audience: Option<Arc<dyn Audience>>,
        cluster: Cluster,
        quotas: Quotas,
    ) -> Self {
        let (entries, waiting) = mpsc::channel(WAITING_MAX);
        let health = Arc::new(Health::default());
        let task = Task {
            store,
            rooms,
            audience,
            cluster,
            quotas,
            health: Arc::clone(&health),
            rests_until: None,
        };
        tokio::spawn(task.run(waiting));
        Self { entries, health }
    }

    /// Has something kept; what came of it is answered later. Tells whether there is room for it.
    #[must_use]
    pub(crate) fn keep(&self, entry: Entry) -> bool {
        self.entries.try_send(entry).is_ok()
    }

    /// Since when nothing can be kept, in milliseconds since the Unix epoch.
    pub(crate) fn down_since_ms(&self) -> Option<i64> {
        self.health.down_since_ms()
    }
}

struct Task {
    store: Store,
    rooms: Arc<dyn Rooms>,
    audience: Option<Arc<dyn Audience>>,
    cluster: Cluster,
    quotas: Quotas,
    health: Arc<Health>,
    rests_until: Option<Instant>,
}

impl Task {
    async fn run(mut self, mut waiting: mpsc::Receiver<Entry>) {
        let mut batch = Vec::new();
        loop {
            match timeout(IDLE_MAX, waiting.recv_many(&mut batch, BATCH_MAX)).await {
                Ok(0) => return,
                Ok(_) => self.commit(std::mem::take(&mut batch)).await,
                Err(_) => self.look().await,
            }
        }
    }

    /// While nobody says anything: whether it could be kept.
    async fn look(&mut self) {
        if self.rests() || self.rooms.all().is_empty() {
            return;
        }
        let works = if self.health.down_since_ms().is_some() {
            timeout(COMMIT_WITHIN, self.store.try_to_write()).await
        } else {
            // A turn to write tells enough, and costs no disk.
            let turn = timeout(COMMIT_WITHIN, self.store.begin()).await;
            turn.map(|begun| begun.map(drop))
        };
        match works {
            Ok(Ok(())) => self.set_health(true),
            Ok(Err(error)) => {
                tracing::debug!(%error, "nothing can be kept");
                self.rest();
            }
            Err(_) => self.rest(),
        }
    }

    fn rests(&self) -> bool {
        self.rests_until.is_some_and(|until| Instant::now() < until)
    }

    async fn commit(&mut self, batch: Vec<Entry>) {
        let mut batch = self.within_limits(batch).await;
        // Once for each room of the batch that another node holds, and once for the others.
        while let Some(again) = self.try_commit(&mut batch).await {
            match again {
                Again::Lost(lost) => {
                    tracing::warn!(room.id = %lost, "another node holds a room");
                    for entry in &batch {
                        if entry.room.id == lost {
                            self.rooms.lose(&entry.room);
                        }
                    }
                }
                Again::Without(known) => batch = without(batch, &known),
            }
        }
    }

    /// Keeps a batch, and answers all of it; or tells why it is to be tried again.
    async fn try_commit(&mut self, batch: &mut Vec<Entry>) -> Option<Again> {
        let mut fences = BTreeMap::new();
        let (open, closed): (Vec<_>, _) = std::mem::take(batch).into_iter().partition(|entry| {
            let Holder::Here(fence) = entry.room.holder() else {
                return false;
            };
            // Another may be open in the place of one that is closed, with a fence of its own.
            let is_open = !entry.room.is_closed();
            if is_open {
                fences.insert(entry.room.id, fence);
            }
            is_open
        });
        refuse(closed);
        if open.is_empty() {
            return None;
        }
        if self.rests() {
            refuse(open);
            return None;
        }
        let rows = number(&open);
        let began = Instant::now();
        // Whoever did not get so far has kept nothing.
        let transaction = match timeout(COMMIT_WITHIN, self.store.begin()).await {
            Ok(Ok(transaction)) => transaction,
            Ok(Err(error)) => return self.fail(open, &error.to_string()),
            Err(_) => return self.fail(open, "the database is too busy"),
        };
        let committed = timeout(COMMIT_WITHIN, Store::commit(transaction, &rows, &fences)).await;
        metrics::histogram!("barrage_chat_commit_seconds").record(began.elapsed().as_secs_f64());
        match committed {
            Ok(Ok(())) => {
                self.set_health(true);
                metrics::counter!("barrage_chat_items_total").increment(rows.len() as u64);
                if let Some(audience) = &self.audience {
                    audience.kept(&rows);
                }
                deliver(&self.cluster, open, rows);
            }
            Ok(Err(CommitError::Fenced(room))) => {
                *batch = open;
                return Some(Again::Lost(room));
            }
            Ok(Err(CommitError::Known(known))) => {
                *batch = open;
                return Some(Again::Without(known));
            }
            Ok(Err(CommitError::Failed(error))) => {
                return self.fail(open, &error.to_string());
            }
            Ok(Err(CommitError::Unknown(error))) => {
                tracing::warn!(%error, "what was said may be kept or not: its rooms begin anew");
                self.give_up(open);
            }
            Err(_) => {
                tracing::warn!("keeping what was said takes too long: its rooms begin anew");
                self.give_up(open);
            }
        }
        None
    }

    /// Nothing of a batch is kept.
    fn fail(&mut self, batch: Vec<Entry>, why: &str) -> Option<Again> {
        tracing::warn!(error = why, "failed to keep what was said");
        self.rest();
        refuse(batch);
        None
    }

    /// What is not too much on all nodes together. A node's own limits were asked before.
    async fn within_limits(&self, batch: Vec<Entry>) -> Vec<Entry> {
        if self.cluster.is_alone() {
            return batch;
        }
        let cells: Vec<_> = batch.iter().flat_map(|entry| self.cells(entry)).collect();
        if cells.is_empty() {
            return batch;
        }
        let waits = self.cluster.limits.take(&cells).await;
        let mut waits = waits.into_iter();
        let mut within = Vec::with_capacity(batch.len());
        for entry in batch {
            let mut wait = Duration::ZERO;
            for _ in self.cells(&entry) {
                wait = wait.max(waits.next().unwrap_or_default());
            }
            if wait.is_zero() {
                within.push(entry);
            } else {
                entry.came(Err(NotSaid::TooFast(wait)));
            }
        }
        within
    }

    fn cells(&self, entry: &Entry) -> Vec<Cell> {
        let (Event::Danmaku(_), Some(author)) = (&entry.event, entry.author) else {
            return Vec::new();
        };
        let cell = |key, (every, burst)| Cell { key, every, burst };
        vec![
            cell(format!("user-{author}"), self.quotas.user),
            cell(format!("room-{}", entry.room.id), self.quotas.room),
        ]
    }

    /// Nobody knows whether a batch is kept.
    fn give_up(&mut self, batch: Vec<Entry>) {
        self.rest();
        for entry in &batch {
            self.rooms.abandon(&entry.room);
        }
        refuse(batch);
    }

    fn rest(&mut self) {
        self.rests_until = Some(Instant::now() + REST);
        self.set_health(false);
    }

    fn set_health(&self, works: bool) {
        let now_ms = clock::now().as_millis();
        let since = &self.health.0;
        let changed = if works {
            since.swap(0, Ordering::Relaxed) != 0
        } else {
            let set = since.compare_exchange(0, now_ms, Ordering::Relaxed, Ordering::Relaxed);
            set.is_ok()
        };
        metrics::gauge!("barrage_chat_ok").set(f64::from(u8::from(works)));
        if changed {
            let chat_since_ms = (!works).then_some(now_ms);
            for room in self.rooms.all() {
                room.tell(Event::Degraded { chat_since_ms }, now_ms);
            }
        }
    }
}

/// Why a batch is to be tried again.
enum Again {
    /// Another node holds this room.
    Lost(ChannelId),
    /// This of it is kept, by its number in the ledger, with its place.
    Without(HashMap<(ChannelId, u64), u64>),
}

/// What of a batch is not kept yet. Who tells of the ledger what its room has heard is answered.
fn without(batch: Vec<Entry>, known: &HashMap<(ChannelId, u64), u64>) -> Vec<Entry> {
    let mut left = Vec::with_capacity(batch.len());
    for entry in batch {
        let seq = entry.event.seq();
        match seq.and_then(|seq| known.get(&(entry.room.id, seq))) {
            Some(place) => entry.came(Ok(*place)),
            None => left.push(entry),
        }
    }
    left
}

/// Gives each entry its place.
fn number(batch: &[Entry]) -> Vec<Row> {
    let now_ms = clock::now().as_millis();
    let mut counts: HashMap<ChannelId, PerLane<u64>> = HashMap::new();
    let events = batch.iter().flat_map(|entry| {
        let events = entry.events();
        events.map(move |(event, key)| (entry, event, key))
    });
    let rows = events.map(|(entry, event, key)| {
        let lane = event.lane();
        let place = entry.room.place(lane);
        let count = counts.entry(entry.room.id).or_default().get_mut(lane);
        let offset = place.offset + *count;
        *count += 1;
        Row {
            channel: entry.room.id,
            epoch: place.epoch,
            item: Item {
                lane,
                offset,
                at_ms: now_ms,
                event: event.clone(),
            },
            author: entry.author,
            key: key.cloned(),
        }
    });
    rows.collect()
}

/// Lets everybody hear what is kept, those who said it last.
fn deliver(cluster: &Cluster, batch: Vec<Entry>, rows: Vec<Row>) {
    let mut rooms: HashMap<ChannelId, (Arc<Room>, Vec<Item>)> = HashMap::new();
    let mut kept = Vec::new();
    let mut rows = rows.into_iter();
    for entry in batch {
        let (_, items) = rooms
            .entry(entry.room.id)
            .or_insert_with(|| (Arc::clone(&entry.room), Vec::new()));
        let first = items.len();
        items.extend(
            rows.by_ref()
                .take(entry.events().count())
                .map(|row| row.item),
        );
        let offset = items[first].offset;
        kept.push((entry, offset));
    }
    for (room, items) in rooms.into_values() {
        let copies = if cluster.is_alone() {
            Vec::new()
        } else {
            items.clone()
        };
        let shown = room.append(items);
        carry(cluster, &room, copies.into_iter().zip(shown).collect());
    }
    for (entry, offset) in kept {
        entry.came(Ok(offset));
    }
}

/// Brings what was put down to the other nodes, in pieces that fit into a message.
fn carry(cluster: &Cluster, room: &Room, mut items: Vec<(Item, bool)>) {
    let epoch = room.place(Lane::Chat).epoch;
    while !items.is_empty() {
        let later = items.split_off(items.len().min(CARRIED_MAX));
        let carried = Carried { epoch, items };
        cluster.bus.carry(&subject(room.id), pack(&carried));
        items = later;
    }
}

fn refuse(batch: Vec<Entry>) {
    for entry in batch {
        entry.came(Err(NotSaid::Unavailable));
    }
}
