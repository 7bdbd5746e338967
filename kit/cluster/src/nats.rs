//! The bus and the owners over NATS: what may be lost goes over its core, what is carried over
//! JetStream, and who owns what stands in two of its key-value buckets. One tells which nodes are
//! there, and forgets those that say nothing; the other tells whose things are, and forgets nothing.
//! So a node gives one sign of life, however much it owns.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use async_nats::connection::State;
use async_nats::jetstream::consumer::{DeliverPolicy, push};
use async_nats::jetstream::kv::{CreateErrorKind, Operation, Store, UpdateErrorKind};
use async_nats::jetstream::{self, stream};
use async_nats::{Client, ConnectOptions, Event};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use wire::NodeId;

use crate::config::ClusterConfig;
use crate::{Bus, Feed, Heard, LEASE, Later, NoAnswer, Owner, Owners, Question};

/// How long another node may take to answer: as long as it may take to keep what is said, and more, so
/// that what it keeps is not answered as if it did not.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// How long NATS may take for what it does itself.
const WITHIN: Duration = Duration::from_secs(1);

/// How often this node gives a sign of life: three may be lost.
const BEAT_EVERY: Duration = Duration::from_millis(1_250);

/// After this, what did not work is tried again.
const AGAIN: Duration = Duration::from_millis(250);

/// Messages that wait to be sent; more are dropped, which those who follow find out.
const WAITING_MAX: usize = 4_096;

/// Messages of a feed that wait to be heard.
const FEED_MAX: usize = 1_024;

/// Questions that wait.
const QUESTIONS_MAX: usize = 256;

/// How long what was carried stays, for those who are interrupted.
const CARRIED_KEPT: Duration = Duration::from_mins(2);

/// And how much of it.
const CARRIED_BYTES_MAX: i64 = 256 * 1024 * 1024;

/// Under this the first node of a cluster notes which key it has.
const KEY: &str = "server-key";

/// How much of who owns what there is room for.
const BUCKET_BYTES_MAX: i64 = 64 * 1024 * 1024;

/// For how long NATS knows a message that comes again.
const DUPLICATES: Duration = Duration::from_mins(2);

/// A connection to NATS that comes back by itself.
pub struct Nats {
    link: Link,
    out: mpsc::Sender<Out>,
    up: watch::Receiver<bool>,
}

impl std::fmt::Debug for Nats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nats").finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct Link {
    client: Client,
    jetstream: jetstream::Context,
    cluster: Arc<str>,
    node: NodeId,
    /// Those that were found, by their names.
    buckets: Arc<Mutex<HashMap<&'static str, Store>>>,
}

/// Something on its way.
enum Out {
    Tell(String, Bytes),
    Carry(String, Bytes),
}

impl Nats {
    /// Connects, and makes what it needs there.
    ///
    /// # Errors
    /// When NATS does not answer, has no JetStream, or the other nodes have another key.
    pub async fn connect(config: &ClusterConfig, node: NodeId, key: &str) -> anyhow::Result<Self> {
        let (state, up) = watch::channel(true);
        let options = ConnectOptions::new()
            .name(format!("barrage {node}"))
            .connection_timeout(Duration::from_secs(2))
            .request_timeout(Some(ANSWER_WITHIN))
            .ping_interval(Duration::from_secs(2))
            .reconnect_delay_callback(|_| AGAIN)
            .event_callback(move |event| {
                note(&event, &state);
                async {}
            });
        let servers: Vec<_> = config.nats.url.split(',').map(str::trim).collect();
        let client = options.connect(servers).await;
        let client = client.context("NATS does not answer; see `cluster.nats.url`")?;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(WITHIN);
        let link = Link {
            client,
            jetstream,
            cluster: config.name.as_str().into(),
            node,
            buckets: Arc::default(),
        };
        let made = "NATS has no JetStream; start it with -js";
        link.rooms().await.context(made)?;
        link.beat().await.context(made)?;
        link.check_key(key).await?;
        tokio::spawn(link.clone().keep_beating());
        let (out, waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(link.clone().send(waiting));
        Ok(Self { link, out, up })
    }

    fn put(&self, what: Out) {
        if self.out.try_send(what).is_err() {
            metrics::counter!("barrage_nats_dropped_total").increment(1);
        }
    }
}

fn note(event: &Event, state: &watch::Sender<bool>) {
    match event {
        Event::Connected => {
            state.send_replace(true);
            tracing::info!("NATS is there");
        }
        Event::Disconnected | Event::Closed => {
            state.send_replace(false);
            tracing::warn!("NATS is gone: rooms of other nodes stand still until it is back");
        }
        Event::LameDuckMode
        | Event::Draining
        | Event::SlowConsumer(_)
        | Event::ServerError(_)
        | Event::ClientError(_) => tracing::debug!(%event, "NATS"),
    }
    metrics::gauge!("barrage_nats_ok").set(f64::from(u8::from(*state.borrow())));
}

impl Link {
    fn subject(&self, kind: &str, name: &str) -> String {
        format!("{}.{kind}.{name}", self.cluster)
    }

    /// What is carried stands here.
    async fn rooms(&self) -> anyhow::Result<stream::Stream> {
        let config = stream::Config {
            name: format!("{}_carried", self.cluster),
            subjects: vec![self.subject("carried", "*")],
            max_age: CARRIED_KEPT,
            max_bytes: CARRIED_BYTES_MAX,
            discard: stream::DiscardPolicy::Old,
            storage: stream::StorageType::File,
            ..stream::Config::default()
        };
        Ok(self.jetstream.get_or_create_stream(config).await?)
    }

    /// Finds or makes a bucket, or takes the one that was found before.
    async fn bucket(&self, name: &'static str, max_age: Duration) -> anyhow::Result<Store> {
        if let Some(known) = self.buckets().get(name) {
            return Ok(known.clone());
        }
        let found = self.find_bucket(name, max_age).await?;
        self.buckets().insert(name, found.clone());
        Ok(found)
    }

    fn buckets(&self) -> MutexGuard<'_, HashMap<&'static str, Store>> {
        // It is whole between any two statements.
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn find_bucket(&self, name: &str, max_age: Duration) -> anyhow::Result<Store> {
        let bucket = format!("{}_{name}", self.cluster);
        if let Ok(found) = self.jetstream.get_key_value(&bucket).await {
            return Ok(found);
        }
        // As the client makes one (NATS ADR-8), except that it first asks for the account in words
        // that servers before 2.10 do not answer, and that each read asks the bucket's leader.
        let config = stream::Config {
            name: format!("KV_{bucket}"),
            subjects: vec![format!("$KV.{bucket}.>")],
            max_messages_per_subject: 1,
            max_age,
            max_bytes: BUCKET_BYTES_MAX,
            duplicate_window: max_age.min(DUPLICATES),
            discard: stream::DiscardPolicy::New,
            allow_rollup: true,
            deny_delete: true,
            storage: stream::StorageType::File,
            ..stream::Config::default()
        };
        self.jetstream.get_or_create_stream(config).await?;
        Ok(self.jetstream.get_key_value(&bucket).await?)
    }

    async fn nodes(&self) -> anyhow::Result<Store> {
        self.bucket("nodes", LEASE).await
    }

    async fn owners(&self) -> anyhow::Result<Store> {
        self.bucket("owners", Duration::ZERO).await
    }

    /// What one node signs, the others must believe.
    async fn check_key(&self, key: &str) -> anyhow::Result<()> {
        let owners = self.owners().await?;
        let key = Bytes::from(key.to_owned());
        // Who comes first says which it is.
        let _ = owners.create(KEY, key.clone()).await;
        if owners.get(KEY).await? == Some(key.clone()) {
            return Ok(());
        }
        let mut nodes = self.nodes().await?.keys().await?;
        while let Some(node) = nodes.next().await {
            anyhow::ensure!(
                node? == self.node.to_string(),
                "the other nodes of the cluster {} have another key: copy the file server.key of \
                 one of them into this one's data directory",
                self.cluster
            );
        }
        // Nobody is left who would not believe it.
        owners.put(KEY, key).await?;
        Ok(())
    }

    /// Gives a sign of life.
    async fn beat(&self) -> anyhow::Result<()> {
        let nodes = self.nodes().await?;
        nodes.put(self.node.to_string(), Bytes::new()).await?;
        Ok(())
    }

    async fn keep_beating(self) {
        let mut beats = interval(BEAT_EVERY);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            match timeout(WITHIN, self.beat()).await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => tracing::debug!(%error, "no sign of life could be given"),
                Err(_) => tracing::debug!("a sign of life took too long"),
            }
            // A NATS that has lost what it kept has no buckets any more: they are looked for anew.
            self.buckets().clear();
        }
    }

    async fn send(self, mut waiting: mpsc::Receiver<Out>) {
        while let Some(out) = waiting.recv().await {
            match out {
                Out::Tell(subject, message) => {
                    // Only a client that was closed refuses.
                    let _ = self.client.publish(subject, message).await;
                }
                Out::Carry(subject, message) => {
                    match self.jetstream.publish(subject, message).await {
                        Ok(carried) => drop(tokio::spawn(async move {
                            if carried.await.is_err() {
                                metrics::counter!("barrage_nats_uncarried_total").increment(1);
                            }
                        })),
                        Err(_) => metrics::counter!("barrage_nats_uncarried_total").increment(1),
                    }
                }
            }
        }
    }

    async fn is_there(&self, node: NodeId) -> anyhow::Result<bool> {
        let entry = self.nodes().await?.entry(node.to_string()).await?;
        Ok(entry.is_some_and(|entry| entry.operation == Operation::Put))
    }

    async fn claim(&self, what: &str) -> anyhow::Result<Owner> {
        let owners = self.owners().await?;
        let ours = Bytes::from(self.node.to_string());
        let Some(entry) = owners.entry(what).await? else {
            return match owners.create(what, ours).await {
                Ok(_) => Ok(Owner::Ours),
                Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {
                    anyhow::bail!("another node was quicker; it is seen in a moment")
                }
                Err(error) => Err(error.into()),
            };
        };
        let owner: Option<NodeId> = std::str::from_utf8(&entry.value)
            .ok()
            .and_then(|text| text.parse().ok());
        let owner = owner.filter(|_| entry.operation == Operation::Put);
        match owner {
            Some(owner) if owner == self.node => return Ok(Owner::Ours),
            Some(owner) if self.is_there(owner).await? => return Ok(Owner::Other(owner)),
            Some(_) | None => {}
        }
        match owners.update(what, ours, entry.revision).await {
            Ok(_) => Ok(Owner::Ours),
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => {
                anyhow::bail!("another node was quicker; it is seen in a moment")
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn release(&self, what: &str) -> anyhow::Result<()> {
        let owners = self.owners().await?;
        let Some(entry) = owners.entry(what).await? else {
            return Ok(());
        };
        if *entry.value == *self.node.to_string().as_bytes() {
            owners
                .delete_expect_revision(what, Some(entry.revision))
                .await?;
        }
        Ok(())
    }

    async fn listen(self, subject: String, feed: mpsc::Sender<Heard>) {
        loop {
            if let Ok(mut messages) = self.client.subscribe(subject.clone()).await {
                if feed.send(Heard::Interrupted).await.is_err() {
                    return;
                }
                while let Some(message) = heard(&mut messages, &feed).await {
                    if feed.send(Heard::Message(message.payload)).await.is_err() {
                        return;
                    }
                }
            }
            if feed.is_closed() {
                return;
            }
            sleep(AGAIN).await;
        }
    }

    async fn follow(self, subject: String, feed: mpsc::Sender<Heard>) {
        while !feed.is_closed() {
            if let Err(error) = self.follow_once(&subject, &feed).await {
                tracing::debug!(%error, "what is carried is followed anew");
            }
            sleep(AGAIN).await;
        }
    }

    async fn follow_once(&self, subject: &str, feed: &mpsc::Sender<Heard>) -> anyhow::Result<()> {
        let config = push::OrderedConfig {
            deliver_subject: self.client.new_inbox(),
            filter_subject: subject.to_owned(),
            deliver_policy: DeliverPolicy::New,
            ..push::OrderedConfig::default()
        };
        let consumer = self.rooms().await?.create_consumer(config).await?;
        let mut messages = consumer.messages().await?;
        if feed.send(Heard::Interrupted).await.is_err() {
            return Ok(());
        }
        while let Some(message) = heard(&mut messages, feed).await {
            let message = message?;
            let message = Heard::Message(message.message.payload);
            if feed.send(message).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn hear_questions(self, about: String, questions: mpsc::Sender<Question>) {
        let subject = self.subject("node", &format!("{}.{about}", self.node));
        loop {
            let Ok(mut asked) = self.client.subscribe(subject.clone()).await else {
                sleep(AGAIN).await;
                continue;
            };
            while let Some(message) = asked.next().await {
                let Some(reply) = message.reply else {
                    continue;
                };
                let (answer, answered) = oneshot::channel();
                let question = Question {
                    question: message.payload,
                    answer,
                };
                if questions.send(question).await.is_err() {
                    return;
                }
                let client = self.client.clone();
                tokio::spawn(async move {
                    if let Ok(answer) = answered.await {
                        // Who asked asks again or gives up.
                        let _ = client.publish(reply, answer).await;
                    }
                });
            }
        }
    }
}

/// The next message; none when there are no more, or nobody listens to them.
async fn heard<S: futures_util::Stream + Unpin>(
    messages: &mut S,
    feed: &mpsc::Sender<Heard>,
) -> Option<S::Item> {
    tokio::select! {
        message = messages.next() => message,
        () = feed.closed() => None,
    }
}

impl Bus for Nats {
    fn tell(&self, subject: &str, message: Bytes) {
        self.put(Out::Tell(self.link.subject("told", subject), message));
    }

    fn carry(&self, subject: &str, message: Bytes) {
        self.put(Out::Carry(self.link.subject("carried", subject), message));
    }

    fn listen(&self, subject: &str) -> Feed {
        let (sender, feed) = mpsc::channel(FEED_MAX);
        let subject = self.link.subject("told", subject);
        tokio::spawn(self.link.clone().listen(subject, sender));
        feed
    }

    fn follow(&self, subject: &str) -> Feed {
        let (sender, feed) = mpsc::channel(FEED_MAX);
        let subject = self.link.subject("carried", subject);
        tokio::spawn(self.link.clone().follow(subject, sender));
        feed
    }

    fn ask(
        &self,
        node: NodeId,
        about: &str,
        question: Bytes,
    ) -> Later<'_, Result<Bytes, NoAnswer>> {
        let subject = self.link.subject("node", &format!("{node}.{about}"));
        Box::pin(async move {
            // The client would send it when it is connected again, and nobody waits for it then.
            if self.link.client.connection_state() != State::Connected {
                return Err(NoAnswer);
            }
            let answer = self.link.client.request(subject, question);
            match timeout(ANSWER_WITHIN, answer).await {
                Ok(Ok(answer)) => Ok(answer.payload),
                Ok(Err(_)) | Err(_) => Err(NoAnswer),
            }
        })
    }

    fn questions(&self, about: &str) -> mpsc::Receiver<Question> {
        let (sender, questions) = mpsc::channel(QUESTIONS_MAX);
        tokio::spawn(self.link.clone().hear_questions(about.to_owned(), sender));
        questions
    }

    fn up(&self) -> watch::Receiver<bool> {
        self.up.clone()
    }
}

impl Owners for Nats {
    fn claim<'a>(&'a self, what: &'a str) -> Later<'a, anyhow::Result<Owner>> {
        Box::pin(async move {
            let claimed = timeout(WITHIN, self.link.claim(what)).await;
            claimed.context("NATS does not tell whose it is")?
        })
    }

    fn release<'a>(&'a self, what: &'a str) -> Later<'a, ()> {
        Box::pin(async move {
            if let Ok(Err(error)) = timeout(WITHIN, self.link.release(what)).await {
                tracing::debug!(%error, "it stays ours until somebody asks for it");
            }
        })
    }
}
