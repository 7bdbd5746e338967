//! Puts what is said into the store before anybody hears it: whatever has gathered while the last
//! transaction went on goes into the next one, so that a busy moment costs few of them and a quiet
//! one no delay.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fanout::shard::Mailbox;
use kit::clock;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use wire::{ChannelId, UserId};

use crate::item::{Event, Item};
use crate::lane::PerLane;
use crate::protocol::{Encoding, ErrorCode, Told};
use crate::room::Room;
use crate::store::{CommitError, Row, Store};

/// What may wait to be kept.
const WAITING_MAX: usize = 4_096;

/// What is kept in one transaction.
const BATCH_MAX: usize = 512;

/// How long a transaction may take.
const COMMIT_WITHIN: Duration = Duration::from_secs(1);

/// How long nothing is tried after one has failed.
const REST: Duration = Duration::from_secs(1);

/// Something that is to be kept.
pub(crate) struct Entry {
    pub(crate) room: Arc<Room>,
    pub(crate) event: Event,
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
    /// A program; it is told where, unless it is not kept.
    Program(oneshot::Sender<u64>),
}

impl Answer {
    fn kept(self, offset: u64) {
        match self {
            Self::Member {
                mailbox,
                encoding,
                id,
            } => mailbox.post(encoding.message(&Told::Ack { id, p: offset })),
            // It may have stopped waiting.
            Self::Program(told) => drop(told.send(offset)),
        }
    }

    fn not_kept(self) {
        match self {
            Self::Member {
                mailbox,
                encoding,
                id,
            } => mailbox.post(unavailable(encoding, id)),
            Self::Program(told) => drop(told),
        }
    }
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

/// What the committer tells of rooms.
pub(crate) trait Rooms: Send + Sync + 'static {
    /// Every room.
    fn all(&self) -> Vec<Arc<Room>>;
    /// Nobody knows what a room's lanes hold.
    fn abandon(&self, room: &Arc<Room>);
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
    ) -> Self {
        let (entries, waiting) = mpsc::channel(WAITING_MAX);
        let health = Arc::new(Health::default());
        let task = Task {
            store,
            rooms,
            audience,
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
        Some(self.health.0.load(Ordering::Relaxed)).filter(|since| *since != 0)
    }
}

struct Task {
    store: Store,
    rooms: Arc<dyn Rooms>,
    audience: Option<Arc<dyn Audience>>,
    health: Arc<Health>,
    rests_until: Option<Instant>,
}

impl Task {
    async fn run(mut self, mut waiting: mpsc::Receiver<Entry>) {
        let mut batch = Vec::new();
        while waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
            self.commit(std::mem::take(&mut batch)).await;
        }
    }

    async fn commit(&mut self, batch: Vec<Entry>) {
        let (batch, closed): (Vec<_>, _) =
            batch.into_iter().partition(|entry| !entry.room.is_closed());
        refuse(closed);
        if self.rests_until.is_some_and(|until| Instant::now() < until) {
            return refuse(batch);
        }
        let rows = number(&batch);
        let began = Instant::now();
        let committed = timeout(COMMIT_WITHIN, self.store.commit(&rows)).await;
        metrics::histogram!("barrage_chat_commit_seconds").record(began.elapsed().as_secs_f64());
        match committed {
            Ok(Ok(())) => {
                self.set_health(true);
                metrics::counter!("barrage_chat_items_total").increment(rows.len() as u64);
                if let Some(audience) = &self.audience {
                    audience.kept(&rows);
                }
                deliver(batch, rows);
            }
            Ok(Err(CommitError::Failed(error))) => {
                tracing::warn!(%error, "failed to keep what was said");
                self.rest();
                refuse(batch);
            }
            Ok(Err(CommitError::Unknown(error))) => {
                tracing::warn!(%error, "what was said may be kept or not: its rooms begin anew");
                self.give_up(batch);
            }
            Err(_) => {
                tracing::warn!("keeping what was said takes too long: its rooms begin anew");
                self.give_up(batch);
            }
        }
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

/// Gives each entry its place.
fn number(batch: &[Entry]) -> Vec<Row> {
    let now_ms = clock::now().as_millis();
    let mut counts: HashMap<ChannelId, PerLane<u64>> = HashMap::new();
    let rows = batch.iter().map(|entry| {
        let lane = entry.event.lane();
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
                event: entry.event.clone(),
            },
            author: entry.author,
            key: entry.key.clone(),
        }
    });
    rows.collect()
}

/// Lets everybody hear what is kept, those who said it last.
fn deliver(batch: Vec<Entry>, rows: Vec<Row>) {
    let mut rooms: HashMap<ChannelId, (Arc<Room>, Vec<Item>)> = HashMap::new();
    let mut answers = Vec::new();
    for (entry, row) in batch.into_iter().zip(rows) {
        answers.extend(entry.answer.map(|answer| (answer, row.item.offset)));
        let (_, items) = rooms
            .entry(row.channel)
            .or_insert_with(|| (entry.room, Vec::new()));
        items.push(row.item);
    }
    for (room, items) in rooms.into_values() {
        room.append(items);
    }
    for (answer, offset) in answers {
        answer.kept(offset);
    }
}

fn refuse(batch: Vec<Entry>) {
    for answer in batch.into_iter().filter_map(|entry| entry.answer) {
        answer.not_kept();
    }
}
