//! What the nodes of a cluster tell each other of rooms: what somebody says to the node that holds the
//! room, and what stands on its lanes from there to the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cluster::Cluster;
use kit::clock;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::runtime;
use tokio::sync::mpsc;
use tokio::time::timeout;
use wire::{BroadcastId, ChannelId, NodeId, UserId};

use crate::committer::Entry;
use crate::item::{Event, Item};
use crate::room::Holder;
use crate::saying::NotSaid;

/// What nodes ask each other about here.
pub(crate) const ROOMS: &str = "rooms";

/// Entries that wait for another node.
const WAITING_MAX: usize = 4_096;

/// A holder that takes longer to answer counts as one that cannot be reached, until it does.
const PATIENCE: Duration = Duration::from_millis(900);

/// Entries that are handed over at once. A message over NATS has a megabyte at most.
const BATCH_MAX: usize = 128;

/// What stands on a room's durable lanes, as its holder put it down.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Carried {
    pub(crate) epoch: u64,
    /// Each with whether everybody is given it.
    pub(crate) items: Vec<(Item, bool)>,
}

/// What nodes tell each other of a room besides.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Aside {
    pub(crate) by: NodeId,
    pub(crate) what: What,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum What {
    /// The epoch and the next positions of its durable lanes, by their numbers, and since when nothing can
    /// be kept. From its holder, again and again.
    Tails(u64, Vec<(u8, u64)>, Option<i64>),
    /// People who came, follow the channel, or passed it on.
    News(Box<Event>),
    /// When a broadcast's MediaTime zero was, in milliseconds since the Unix epoch.
    Clock(BroadcastId, i64),
}

/// What a node asks the holder of rooms.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Question {
    /// To keep these, in order; the answer has what came of each.
    Keep(Vec<Forwarded>),
    /// To open a room that it owns. There is nothing to answer.
    Open(ChannelId),
}

/// Something that is to be kept by the holder of its room.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Forwarded {
    pub(crate) room: ChannelId,
    pub(crate) event: Event,
    pub(crate) noted: Option<Event>,
    pub(crate) author: Option<UserId>,
    pub(crate) key: Option<String>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Came {
    /// It stands there.
    Kept(u64),
    /// It is too much at once; how long to wait, in milliseconds.
    TooFast(u64),
    /// The same is being said at this moment.
    Twice,
    /// It is not kept, or nobody knows.
    Not,
}

impl From<Result<u64, NotSaid>> for Came {
    fn from(came: Result<u64, NotSaid>) -> Self {
        match came {
            Ok(offset) => Self::Kept(offset),
            Err(NotSaid::TooFast(wait)) => {
                Self::TooFast(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
            }
            Err(NotSaid::Twice) => Self::Twice,
            Err(
                NotSaid::Unfit(_) | NotSaid::NotThere | NotSaid::Otherwise | NotSaid::Unavailable,
            ) => Self::Not,
        }
    }
}

impl From<Came> for Result<u64, NotSaid> {
    fn from(came: Came) -> Self {
        match came {
            Came::Kept(offset) => Ok(offset),
            Came::TooFast(ms) => Err(NotSaid::TooFast(Duration::from_millis(ms))),
            Came::Twice => Err(NotSaid::Twice),
            Came::Not => Err(NotSaid::Unavailable),
        }
    }
}

/// As nodes write to each other.
pub(crate) fn pack(what: &impl Serialize) -> Bytes {
    let mut bytes = Vec::new();
    // Events know their kind by a name, and identities are text wherever they stand in them.
    let mut serializer = rmp_serde::Serializer::new(&mut bytes)
        .with_struct_map()
        .with_human_readable();
    what.serialize(&mut serializer)
        .expect("what we say is plain data");
    bytes.into()
}

pub(crate) fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes).with_human_readable();
    match T::deserialize(&mut reader) {
        Ok(what) => Some(what),
        Err(error) => {
            tracing::warn!(%error, "another node says what this one cannot read");
            None
        }
    }
}

/// Those who bring what is said to the nodes that hold the rooms, one to each.
#[derive(Debug)]
pub(crate) struct Couriers {
    cluster: Cluster,
    /// Shards, which hand over what is said, are no threads of it.
    runtime: runtime::Handle,
    ways: Mutex<HashMap<NodeId, mpsc::Sender<Entry>>>,
}

impl Couriers {
    /// On the runtime of whoever calls this.
    pub(crate) fn new(cluster: Cluster) -> Self {
        Self {
            cluster,
            runtime: runtime::Handle::current(),
            ways: Mutex::default(),
        }
    }

    /// Has something kept by a node; what came of it is answered later. Tells whether there is room
    /// for it.
    #[must_use]
    pub(crate) fn keep(&self, holder: NodeId, entry: Entry) -> bool {
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        let way = ways.entry(holder).or_insert_with(|| {
            let (way, waiting) = mpsc::channel(WAITING_MAX);
            self.runtime
                .spawn(run(self.cluster.clone(), holder, waiting));
            way
        });
        way.try_send(entry).is_ok()
    }

    /// Nobody brings anything any more to nodes that hold nothing now.
    pub(crate) fn retain(&self, holds: impl Fn(NodeId) -> bool) {
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        ways.retain(|holder, _| holds(*holder));
    }
}

/// Whatever has gathered while the last was on its way is brought together, so that it stays in
/// order and a busy moment costs few questions.
async fn run(cluster: Cluster, holder: NodeId, mut waiting: mpsc::Receiver<Entry>) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let batch = std::mem::take(&mut batch);
        let question: Vec<_> = batch.iter().map(forwarded).collect();
        let mut asked = cluster
            .bus
            .ask(holder, ROOMS, pack(&Question::Keep(question)));
        let answer = match timeout(PATIENCE, &mut asked).await {
            Ok(answer) => answer,
            Err(_) => {
                tell_cut(&batch, holder, true);
                asked.await
            }
        };
        let answer: Option<Vec<Came>> = answer.ok().and_then(|answer| unpack(&answer));
        let came = answer.unwrap_or_default();
        // What is not kept there is as bad as what does not get there, until its holder says otherwise.
        tell_cut(&batch, holder, came.is_empty() || came.contains(&Came::Not));
        let came = came.into_iter();
        for (entry, came) in batch
            .into_iter()
            .zip(came.chain(std::iter::repeat(Came::Not)))
        {
            entry.came(came.into());
        }
    }
}

/// Tells rooms whether their holder can be reached, as far as it is still this one.
fn tell_cut(batch: &[Entry], holder: NodeId, is_cut: bool) {
    let now_ms = clock::now().as_millis();
    for entry in batch {
        if entry.room.holder() == Holder::Other(holder) {
            entry.room.set_cut(is_cut, now_ms);
        }
    }
}

fn forwarded(entry: &Entry) -> Forwarded {
    Forwarded {
        room: entry.room.id,
        event: entry.event.clone(),
        noted: entry.noted.clone(),
        author: entry.author,
        key: entry.key.clone(),
    }
}

/// The subject of a room, and what it is owned as.
pub(crate) fn subject(room: ChannelId) -> Arc<str> {
    room.to_string().into()
}

#[cfg(test)]
mod tests {
    use wire::Handle;

    use super::*;
    use crate::item::Name;
    use crate::lane::Lane;

    #[test]
    fn what_nodes_write_they_can_read() {
        let handle: Handle = "ann".parse().unwrap();
        let item = Item {
            lane: Lane::Control,
            offset: 7,
            at_ms: 9,
            event: Event::Broadcast(crate::item::Broadcast {
                b: BroadcastId::new(),
                state: crate::item::State::Live,
                zero_ms: 5,
            }),
        };
        let carried = Carried {
            epoch: 3,
            items: vec![(item.clone(), true)],
        };
        let read: Carried = unpack(&pack(&carried)).unwrap();
        assert_eq!((read.epoch, read.items), (3, vec![(item, true)]));
        let joined = Event::Joined {
            count: 1,
            named: vec![Name {
                handle,
                name: String::new(),
            }],
        };
        let aside = Aside {
            by: NodeId::new(),
            what: What::News(Box::new(joined.clone())),
        };
        let read: Aside = unpack(&pack(&aside)).unwrap();
        assert!(matches!(read.what, What::News(read) if *read == joined));
        let came = vec![Came::Kept(3), Came::TooFast(20), Came::Twice, Came::Not];
        assert_eq!(unpack::<Vec<Came>>(&pack(&came)), Some(came));
        assert!(unpack::<Carried>(b"\xc1nothing").is_none());
    }
}
