//! The ledger as the server knows it: whichever node owns it, whatever state it is in. The owner has the
//! gate, tells of what is in the ledger and releases what was earned; the other nodes ask it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster::{Cluster, Owner, Question};
use gifts_core::seal::SealKey;
use kit::clock;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use wire::NodeId;

use crate::config::Config;
use crate::gate::{Accepted, Gate, Order, Refused};
use crate::payment::Till;
use crate::reading::Reading;
use crate::relay::{self, Crier};
use crate::release;
use crate::store::place::Place;

/// What nodes ask each other about here, and what is owned.
const LEDGER: &str = "ledger";

/// How often it is looked whose the ledger is.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often old answers are forgotten.
const PRUNE_EVERY: Duration = Duration::from_hours(1);

/// How long the owner may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The ledger.
pub struct Ledger {
    place: Place,
    reading: Reading,
    cluster: Cluster,
    config: Config,
    seal_key: Arc<SealKey>,
    whose: watch::Sender<Whose>,
    down_since_ms: watch::Sender<Option<i64>>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").finish_non_exhaustive()
    }
}

/// Who has the ledger.
#[derive(Clone, Debug)]
enum Whose {
    Ours(Gate),
    Other(NodeId),
    Nobodys,
}

/// What a node asks the owner.
#[derive(Debug, Serialize, Deserialize)]
enum Asked {
    /// To do this.
    Perform(Box<Order>),
    /// Since when nothing can be kept.
    Health,
}

impl Ledger {
    /// Opens it, and takes it over if no other node has it. It is sealed with this key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open(
        place: Place,
        cluster: Cluster,
        config: Config,
        seal_key: SealKey,
    ) -> anyhow::Result<Arc<Self>> {
        let reading = Reading::open(&place).await?;
        let ledger = Self {
            place,
            reading,
            cluster,
            config,
            seal_key: Arc::new(seal_key),
            whose: watch::Sender::new(Whose::Nobodys),
            down_since_ms: watch::Sender::new(None),
        };
        let whose = ledger.find().await?;
        ledger.whose.send_replace(whose);
        Ok(Arc::new(ledger))
    }

    /// Asks for something, and waits until it is kept or refused.
    ///
    /// # Errors
    /// When it is not in the ledger, or not known to be.
    pub async fn perform(&self, order: Order) -> Result<Accepted, Refused> {
        let whose = self.whose.borrow().clone();
        let done = match whose {
            Whose::Ours(gate) => gate.perform(order).await,
            Whose::Other(node) => self.ask(node, &Asked::Perform(Box::new(order))).await,
            Whose::Nobodys => Err(Refused::Unavailable),
        };
        // In a moment another node answers, or this one again.
        if done == Err(Refused::Fenced) {
            return Err(Refused::Unavailable);
        }
        done
    }

    /// What is in it.
    pub const fn reading(&self) -> &Reading {
        &self.reading
    }

    /// What is set of it.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Since when nothing can be kept, in milliseconds since the Unix epoch.
    pub fn down_since_ms(&self) -> Option<i64> {
        *self.down_since_ms.borrow()
    }

    /// Goes on until it is dropped: looks whose the ledger is, and does what its owner does.
    pub fn run(self: &Arc<Self>, crier: &Arc<dyn Crier>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(self).answer());
        tasks.spawn(Arc::clone(self).keep(Arc::clone(crier)));
        tasks
    }

    /// Lets another node have it.
    pub async fn leave(&self) {
        self.whose.send_replace(Whose::Nobodys);
        self.cluster.owners.release(LEDGER).await;
    }

    /// Whose it is; ours from now on if it is nobody's.
    async fn find(&self) -> anyhow::Result<Whose> {
        if let Owner::Other(node) = self.cluster.owners.claim(LEDGER).await? {
            return Ok(Whose::Other(node));
        }
        let (gate, _) = self.place.open_gate().await?;
        tracing::info!(ledger.fence = gate.fence(), "the ledger is ours");
        Ok(Whose::Ours(gate))
    }

    async fn keep(self: Arc<Self>, crier: Arc<dyn Crier>) {
        let mut work = JoinSet::new();
        let mut at_work = None;
        loop {
            self.look().await;
            let whose = self.whose.borrow().clone();
            let ours = if let Whose::Ours(gate) = &whose {
                Some(gate.fence())
            } else {
                None
            };
            if ours != at_work {
                work.shutdown().await;
                at_work = ours;
                if let Whose::Ours(gate) = &whose {
                    let crier = Arc::clone(&crier);
                    work.spawn(relay::run(gate.clone(), self.reading.clone(), crier));
                    let days = self.config.hold_days;
                    work.spawn(release::run(gate.clone(), self.reading.clone(), days));
                    let (place, key) = (self.place.clone(), Arc::clone(&self.seal_key));
                    let every = Duration::from_secs(self.config.seal_every_s.into());
                    work.spawn(place.keep_sealed(key, gate.fence(), every));
                    work.spawn(self.place.clone().keep_pruned(PRUNE_EVERY));
                }
            }
            self.tell_health(&whose, &*crier).await;
            sleep(LOOK_EVERY).await;
        }
    }

    /// Looks whose it is now.
    async fn look(&self) {
        let has_gate = matches!(&*self.whose.borrow(), Whose::Ours(gate) if gate.is_open());
        if self.cluster.is_alone() && has_gate {
            return;
        }
        let now = match self.cluster.owners.claim(LEDGER).await {
            Ok(Owner::Ours) if has_gate => return,
            Ok(Owner::Ours) => self.find().await,
            Ok(Owner::Other(node)) => Ok(Whose::Other(node)),
            // Whether somebody may write is decided by the fence.
            Err(_) if has_gate => return,
            Err(error) => Err(error),
        };
        let now = now.unwrap_or_else(|error| {
            tracing::warn!(%error, "nobody knows whose the ledger is");
            Whose::Nobodys
        });
        self.whose.send_replace(now);
    }

    async fn tell_health(&self, whose: &Whose, crier: &dyn Crier) {
        let since = match whose {
            Whose::Ours(gate) => gate.down_since_ms(),
            Whose::Other(node) => {
                let health: Option<Option<i64>> = self.inquire(*node, &Asked::Health).await;
                health.unwrap_or_else(|| Some(clock::now().as_millis()))
            }
            Whose::Nobodys => Some(clock::now().as_millis()),
        };
        let changed = self.down_since_ms.send_if_modified(|known| {
            let changed = known.is_some() != since.is_some();
            if changed {
                *known = since;
            }
            changed
        });
        metrics::gauge!("barrage_ledger_ok").set(if since.is_none() { 1.0 } else { 0.0 });
        if changed {
            crier.tell_health(since);
        }
    }

    async fn ask(&self, node: NodeId, asked: &Asked) -> Result<Accepted, Refused> {
        self.inquire(node, asked)
            .await
            .unwrap_or(Err(Refused::Unknown))
    }

    async fn inquire<T: DeserializeOwned>(&self, node: NodeId, asked: &Asked) -> Option<T> {
        let asked = self.cluster.bus.ask(node, LEDGER, pack(asked));
        let answer = timeout(ANSWER_WITHIN, asked).await.ok()?.ok()?;
        rmp_serde::from_slice(&answer).ok()
    }

    /// Answers the other nodes.
    async fn answer(self: Arc<Self>) {
        let mut questions: mpsc::Receiver<Question> = self.cluster.bus.questions(LEDGER);
        while let Some(Question { question, answer }) = questions.recv().await {
            let ledger = Arc::clone(&self);
            tokio::spawn(async move {
                let said = match rmp_serde::from_slice(&question) {
                    Ok(Asked::Perform(order)) => pack(&ledger.perform_here(*order).await),
                    Ok(Asked::Health) => pack(&ledger.down_since_ms()),
                    Err(error) => {
                        tracing::warn!(%error, "another node asks what this one cannot read");
                        return;
                    }
                };
                // Who asked may have stopped waiting.
                let _ = answer.send(said);
            });
        }
    }

    /// Does what another node asks, which believes that the ledger is ours.
    async fn perform_here(&self, order: Order) -> Result<Accepted, Refused> {
        let whose = self.whose.borrow().clone();
        match whose {
            Whose::Ours(gate) => gate.perform(order).await,
            Whose::Other(_) | Whose::Nobodys => Err(Refused::Unavailable),
        }
    }
}

impl Till for Ledger {
    fn perform(
        &self,
        order: Order,
    ) -> Pin<Box<dyn Future<Output = Result<Accepted, Refused>> + Send + '_>> {
        Box::pin(Self::perform(self, order))
    }
}

fn pack(what: &impl Serialize) -> Bytes {
    rmp_serde::to_vec_named(what)
        .expect("what we say is plain data")
        .into()
}
