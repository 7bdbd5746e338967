//! What the nodes of a cluster share, each behind a small trait: a bus, who owns what, who is where,
//! and how much anybody may do.
//!
//! - [`alone`]: a node without others, where each of them has a short answer.
//! - [`nats`]: the bus and the owners.
//! - [`redis`](mod@redis): presence and limits.
//!
//! Nothing here is where something is kept: what must not be lost is in the database before the bus
//! carries it, and ownership only says who should write. Whether somebody may is decided by the
//! fencing number that the database checks.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};
use wire::{Handle, NodeId};

pub mod alone;
pub mod config;
pub mod nats;
pub mod redis;

pub use config::{ClusterConfig, NatsConfig, RedisConfig};

/// What a trait object answers later.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What this node shares with the others.
#[derive(Clone)]
pub struct Cluster {
    /// Which one this is.
    pub node: NodeId,
    /// What nodes tell each other.
    pub bus: Arc<dyn Bus>,
    /// Who owns what.
    pub owners: Arc<dyn Owners>,
    /// Who is where.
    pub presence: Arc<dyn Presence>,
    /// How much anybody may do.
    pub limits: Arc<dyn Limits>,
    alone: bool,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("node", &self.node)
            .field("alone", &self.alone)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// A node without others.
    pub fn alone(node: NodeId) -> Self {
        let all = Arc::new(alone::Alone::default());
        Self {
            node,
            bus: Arc::clone(&all) as Arc<dyn Bus>,
            owners: Arc::clone(&all) as Arc<dyn Owners>,
            presence: Arc::clone(&all) as Arc<dyn Presence>,
            limits: all,
            alone: true,
        }
    }

    /// A node among those that the settings name, or alone where they name none. `key` is the same
    /// on all of them.
    ///
    /// # Errors
    /// When NATS or Redis do not answer, or the other nodes have another key.
    pub async fn join(config: &ClusterConfig, node: NodeId, key: &str) -> anyhow::Result<Self> {
        if !config.is_on() {
            return Ok(Self::alone(node));
        }
        let nats = Arc::new(nats::Nats::connect(config, node, key).await?);
        let redis = Arc::new(redis::Redis::connect(config, node).await?);
        Ok(Self {
            node,
            bus: Arc::clone(&nats) as Arc<dyn Bus>,
            owners: nats,
            presence: Arc::clone(&redis) as Arc<dyn Presence>,
            limits: redis,
            alone: false,
        })
    }

    /// Whether there are no others, and never will be.
    pub const fn is_alone(&self) -> bool {
        self.alone
    }
}

/// What nodes tell each other. A subject is one word of letters, digits and hyphens.
pub trait Bus: Send + Sync {
    /// Tells the others who [`listen`](Self::listen) now. It may be lost.
    fn tell(&self, subject: &str, message: Bytes);
    /// Tells the others who [`follow`](Self::follow), in order. When some of it is lost after all,
    /// they hear that they were [interrupted](Heard::Interrupted), or find it by its positions.
    fn carry(&self, subject: &str, message: Bytes);
    /// Hears what others tell.
    fn listen(&self, subject: &str) -> Feed;
    /// Hears what others have carried.
    fn follow(&self, subject: &str) -> Feed;
    /// Asks another node, which answers what is asked about this.
    fn ask(&self, node: NodeId, about: &str, question: Bytes)
    -> Later<'_, Result<Bytes, NoAnswer>>;
    /// What other nodes ask this one about something. There is one such feed for each.
    fn questions(&self, about: &str) -> mpsc::Receiver<Question>;
    /// Whether the others can be reached, as it changes.
    fn up(&self) -> watch::Receiver<bool>;
}

/// What is heard of a subject, until it is dropped. It ends at once where nobody will ever tell.
pub type Feed = mpsc::Receiver<Heard>;

/// Something heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A message.
    Message(Bytes),
    /// The feed begins, or begins anew: some may have been missed before this.
    Interrupted,
}

/// What another node asks.
#[derive(Debug)]
pub struct Question {
    /// What.
    pub question: Bytes,
    /// Who waits for the answer.
    pub answer: oneshot::Sender<Bytes>,
}

/// A node does not answer: it is gone, cannot be reached, or took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAnswer;

/// Whose something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This node's.
    Ours,
    /// Another's.
    Other(NodeId),
}

/// Who owns what. An owner that is gone loses it within [`LEASE`].
pub trait Owners: Send + Sync {
    /// Who owns something; this node from now on, if nobody else does.
    fn claim<'a>(&'a self, what: &'a str) -> Later<'a, anyhow::Result<Owner>>;
    /// Gives up what is ours.
    fn release<'a>(&'a self, what: &'a str) -> Later<'a, ()>;
}

/// How long a node that gives no sign of life counts as there.
pub const LEASE: Duration = Duration::from_secs(5);

/// How many are in a room on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Here {
    /// Which room.
    pub room: String,
    /// Connections.
    pub viewers: u64,
    /// Likes since this was told last.
    pub likes: u64,
    /// Who is signed in.
    pub people: Crowd,
}

/// People: how many, and some of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crowd {
    /// How many.
    pub count: u64,
    /// Handles and names of some.
    pub some: Vec<(Handle, String)>,
}

/// What is known of a room from other nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elsewhere {
    /// Connections on other nodes.
    pub viewers: u64,
    /// Who is signed in there.
    pub people: Crowd,
    /// Likes on all nodes.
    pub likes: u64,
}

/// Who is where.
pub trait Presence: Send + Sync {
    /// Tells how many are here in some rooms, and answers for each how many are elsewhere; nothing
    /// when nobody else can be asked.
    fn meet(&self, rooms: Vec<Here>) -> Later<'_, anyhow::Result<Vec<Elsewhere>>>;
    /// Likes of a room begin anew.
    fn forget_likes<'a>(&'a self, room: &'a str) -> Later<'a, ()>;
}

/// Something that may be done so often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// By whom, and what.
    pub key: String,
    /// Once in this time, over a long time.
    pub every: Duration,
    /// And so often at once.
    pub burst: u32,
}

/// How much anybody may do on all nodes together.
pub trait Limits: Send + Sync {
    /// Takes one from each, in order; tells how long to wait for each, zero when it may be done.
    /// When nobody can be asked, each node's own limit is all there is.
    fn take<'a>(&'a self, cells: &'a [Cell]) -> Later<'a, Vec<Duration>>;
}
