//! Tells other programs what happens to a channel, by webhooks as Standard Webhooks has them.
//!
//! - [`config`]: what can be set.
//! - [`event`]: what can be told.
//! - [`signature`]: how a receiver knows that it is we who tell it. Pure.
//! - [`address`]: which addresses may be reached. Pure.
//! - [`schedule`]: when a delivery is tried again, and when no more. Pure.
//! - [`gathering`]: many danmaku in one delivery. Pure.
//! - `post`: one attempt.
//! - `sending`: what waits, a few at a time.
//!
//! What is to be told is in the database before it is tried, and goes on after a restart. Whoever
//! tells us something waits for none of that: what does not fit is dropped and counted.

pub mod address;
pub mod config;
pub mod event;
pub mod gathering;
mod post;
pub mod schedule;
mod sending;
pub mod signature;

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use kit::bus::Bus;
use kit::clock;
use kit::drain::Drain;
use media::WallTime;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{Notify, Semaphore, mpsc};
use uuid::Uuid;
use wire::{ChannelId, Event};

use crate::secrets::ServerKey;
use crate::store::Store;
use crate::store::webhooks::{Attempt, NewDelivery, Webhook};
pub use config::WebhooksConfig;
pub use event::Kind;
use gathering::{Batch, Gathering};
pub use post::NoAnswer;
use post::Sender;

/// What may wait to be gathered.
const WAITING_MAX: usize = 8_192;

/// Deliveries that may wait for one webhook. Of danmaku, no more are kept then.
const WAITING_PER_WEBHOOK: i64 = 1_000;

/// Tests that are sent at once.
const TESTS_MAX: usize = 8;

/// How long what ended is listed.
const LISTED_FOR: Duration = Duration::from_hours(7 * 24);

/// Tells other programs what happens.
pub struct Webhooks {
    store: Store,
    server_key: ServerKey,
    config: WebhooksConfig,
    sender: Sender,
    heard: mpsc::Sender<Heard>,
    /// What anybody wants to be told.
    wanted: RwLock<HashSet<(ChannelId, Kind)>>,
    /// Rung when something is to be sent.
    bell: Notify,
    tests: Semaphore,
}

impl std::fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhooks").finish_non_exhaustive()
    }
}

/// Something that happened.
struct Heard {
    channel: ChannelId,
    kind: Kind,
    item: Value,
}

/// What is heard and not yet gathered.
#[derive(Debug)]
pub struct Ear(mpsc::Receiver<Heard>);

impl std::fmt::Debug for Heard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Heard")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl Webhooks {
    /// Knows what anybody wants to be told; nothing is sent before it [runs](Self::run).
    ///
    /// # Errors
    /// When the database fails, or the system's certificates cannot be read.
    pub async fn new(
        store: Store,
        server_key: ServerKey,
        config: WebhooksConfig,
    ) -> anyhow::Result<(Arc<Self>, Ear)> {
        let (heard, ear) = mpsc::channel(WAITING_MAX);
        let webhooks = Self {
            sender: Sender::new(&config)?,
            store,
            server_key,
            config,
            heard,
            wanted: RwLock::default(),
            bell: Notify::new(),
            tests: Semaphore::new(TESTS_MAX),
        };
        webhooks.look_again().await?;
        Ok((Arc::new(webhooks), Ear(ear)))
    }

    /// Webhooks of one channel.
    pub fn per_channel(&self) -> i64 {
        self.config.per_channel.into()
    }

    /// Whether an address may be told at all, as far as it says so itself.
    ///
    /// # Errors
    /// When it may not.
    pub fn check(&self, url: &str) -> Result<(), address::BadTarget> {
        self.sender.check(url)
    }

    /// Looks anew what anybody wants to be told.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn look_again(&self) -> sqlx::Result<()> {
        let webhooks = self.store.enabled_webhooks().await?;
        let wanted = webhooks.iter().flat_map(|webhook| {
            let kinds = webhook.events.iter();
            kinds.map(|kind| (webhook.channel, *kind))
        });
        let wanted = wanted.collect();
        *self.wanted.write().unwrap_or_else(PoisonError::into_inner) = wanted;
        Ok(())
    }

    /// Whether anybody wants to be told.
    pub fn wants(&self, channel: ChannelId, kind: Kind) -> bool {
        let wanted = self.wanted.read().unwrap_or_else(PoisonError::into_inner);
        wanted.contains(&(channel, kind))
    }

    /// Something happened. Nobody waits for what comes of it.
    pub fn hear(&self, channel: ChannelId, kind: Kind, item: Value) {
        let heard = Heard {
            channel,
            kind,
            item,
        };
        if self.heard.try_send(heard).is_err() {
            drop_events(1);
        }
    }

    /// Gathers and sends until the end; what is heard until then is kept before it returns.
    pub fn run(
        self: Arc<Self>,
        ear: Ear,
        bus: &Bus,
        drain: Drain,
    ) -> impl Future<Output = ()> + use<> {
        // Subscribed now, not at the first poll: what begins in between would be missed.
        let events = bus.subscribe();
        async move {
            let sending = tokio::spawn(sending::run(Arc::clone(&self)));
            self.gather(ear, events, drain).await;
            // What is under way is tried once more after the next start, under the same identity.
            sending.abort();
        }
    }

    async fn gather(&self, Ear(mut ear): Ear, mut events: Receiver<Event>, mut drain: Drain) {
        let mut gathering = Gathering::default();
        loop {
            let ready = gathering.next_at();
            let pause = async {
                match ready {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(heard) = ear.recv() => self.take(&mut gathering, heard).await,
                event = events.recv() => match event {
                    Ok(event) => self.on_event(&event).await,
                    Err(RecvError::Lagged(missed)) => {
                        tracing::warn!(missed, "webhooks are not told of every broadcast");
                    }
                    Err(RecvError::Closed) => return,
                },
                () = pause => {
                    for batch in gathering.ready(Instant::now()) {
                        self.keep(batch).await;
                    }
                }
                () = drain.signaled() => break,
            }
        }
        loop {
            match events.try_recv() {
                Ok(event) => self.on_event(&event).await,
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        while let Ok(heard) = ear.try_recv() {
            self.take(&mut gathering, heard).await;
        }
        for batch in gathering.all() {
            self.keep(batch).await;
        }
    }

    async fn take(&self, gathering: &mut Gathering, heard: Heard) {
        let Heard {
            channel,
            kind,
            item,
        } = heard;
        if let Some(full) = gathering.add(channel, kind, item, Instant::now()) {
            self.keep(full).await;
        }
    }

    async fn on_event(&self, event: &Event) {
        let (channel, kind, item) = match event {
            Event::BroadcastStarted {
                channel,
                broadcast,
                at,
            } => (
                *channel,
                Kind::BroadcastStarted,
                json!({ "id": broadcast, "started_at": event::time(*at) }),
            ),
            Event::BroadcastEnded {
                channel,
                broadcast,
                at,
                how,
            } => (
                *channel,
                Kind::BroadcastEnded,
                json!({ "id": broadcast, "ended_at": event::time(*at), "ended_how": how }),
            ),
            Event::Followed {
                channel,
                by,
                followers,
                at,
            } => (
                *channel,
                Kind::Followed,
                json!({ "by": by, "followers": followers, "at": event::time(*at) }),
            ),
            Event::PublisherLost { .. }
            | Event::PublisherReturned { .. }
            | Event::EmotesChanged { .. } => return,
        };
        if self.wants(channel, kind) {
            self.keep(Batch {
                channel,
                kind,
                items: vec![item],
            })
            .await;
        }
    }

    /// Puts a batch into the database, once for each who wants it.
    async fn keep(&self, batch: Batch) {
        let count = batch.items.len();
        if let Err(error) = self.try_keep(batch).await {
            tracing::warn!(%error, "failed to keep what webhooks are to be told");
            drop_events(count);
        }
        self.bell.notify_one();
    }

    async fn try_keep(&self, batch: Batch) -> sqlx::Result<()> {
        let Batch {
            channel,
            kind,
            items,
        } = batch;
        let found = self.store.channels_by_id(&[channel]).await?;
        let Some(channel) = found.first() else {
            return Ok(());
        };
        let webhooks = self.store.webhooks(channel.id).await?;
        let wanting = webhooks
            .iter()
            .filter(|webhook| webhook.disabled.is_none() && webhook.events.contains(&kind));
        let now = clock::now();
        let events = items.len();
        let body = event::body(kind, channel, items, now);
        for webhook in wanting {
            let delivery = NewDelivery {
                id: Uuid::now_v7(),
                webhook: webhook.id,
                kind,
                events: i64::try_from(events).unwrap_or(i64::MAX),
                body: &body,
            };
            // Broadcasts are few, and whoever listens to them wants each.
            let max = kind.is_batched().then_some(WAITING_PER_WEBHOOK);
            if !self.store.keep_delivery(&delivery, max, now).await? {
                drop_events(events);
            }
        }
        Ok(())
    }

    /// Tries once to tell `webhook` that it is being tested. Tells how it went.
    ///
    /// # Errors
    /// When the database fails; `None` when too many tests are under way.
    pub async fn test(&self, webhook: &Webhook) -> sqlx::Result<Option<Uuid>> {
        let Ok(_turn) = self.tests.try_acquire() else {
            return Ok(None);
        };
        let found = self.store.channels_by_id(&[webhook.channel]).await?;
        let Some(channel) = found.first() else {
            return Ok(None);
        };
        let now = clock::now();
        let body = event::body(Kind::Test, channel, Vec::new(), now);
        let delivery = NewDelivery {
            id: Uuid::now_v7(),
            webhook: webhook.id,
            kind: Kind::Test,
            events: 0,
            body: &body,
        };
        self.store.note_test(&delivery, now).await?;
        let attempt = self.attempt(webhook, delivery.id, &body).await;
        let result = sending::result_of(&attempt);
        self.store
            .attempted(webhook.id, delivery.id, &attempt, None, clock::now())
            .await?;
        sending::count(result);
        if attempt.is_success() && webhook.disabled.is_some() {
            self.store.enable_webhook(webhook.id).await?;
            self.look_again().await?;
            tracing::info!(webhook.id = %webhook.id, "enabled a webhook: it answers again");
        }
        Ok(Some(delivery.id))
    }

    /// One POST, signed.
    async fn attempt(&self, webhook: &Webhook, id: Uuid, body: &str) -> Attempt {
        let Some(secret) = self.secret(webhook) else {
            return Attempt::failed(NoAnswer::SecretLost);
        };
        let now_s = clock::now().as_micros() / 1_000_000;
        let headers = signature::headers(&secret, &id.to_string(), now_s, body);
        self.sender.post(&webhook.url, &headers, body).await
    }

    fn secret(&self, webhook: &Webhook) -> Option<signature::Secret> {
        let text = self
            .server_key
            .open(&webhook.sealed, &webhook.id.to_string())?;
        signature::Secret::from_hex(&text)
    }

    /// Forgets deliveries that are over and old.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_old(&self, now: WallTime) -> sqlx::Result<()> {
        self.store.forget_deliveries(now - LISTED_FOR).await
    }
}

fn drop_events(count: usize) {
    metrics::counter!("barrage_webhook_dropped_events_total").increment(count as u64);
}
