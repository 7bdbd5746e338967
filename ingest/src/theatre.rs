//! Performs what the [`stage`](crate::stage) says: broadcasts begin, continue and end, and
//! everybody who must know is told.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use kit::bus::Bus;
use kit::clock;
use kit::drain::Drain;
use kit::stream::{Broadcast, Phase, Protocol, Streams};
use tokio::sync::Notify;
use wire::{BroadcastId, ChannelId, Ended, Event, StreamId, StreamKeyId};

use crate::config::Config;
use crate::evicted::{Evicted, Who};
use crate::gate::{Permit, SecondPublisher};
use crate::publisher::Publisher;
use crate::stage::{Entry, Leaving, Stage};

/// Somebody is there and stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("somebody else publishes to the channel")]
pub struct Taken;

/// How a publisher on stage is told to go.
#[derive(Debug, Default)]
pub struct Exit {
    told: Notify,
    why: Mutex<Option<Why>>,
}

/// Why a publisher has to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Another took over.
    TakenOver,
    /// Somebody with the right to do so showed it out; the broadcast waits for another.
    ShownOut(String),
    /// Somebody with the right to do so ended the broadcast.
    Ended(String),
}

impl Exit {
    fn tell(&self, why: Why) {
        let mut told = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        // The first reason is the true one: what comes after finds nobody on stage.
        told.get_or_insert(why);
        self.told.notify_one();
    }

    /// Waits until the publisher is told to go, and gives the reason.
    ///
    /// Cancel safe.
    pub async fn told(&self) -> Why {
        self.told.notified().await;
        let why = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        why.clone().unwrap_or(Why::TakenOver)
    }
}

/// A publisher on stage.
#[derive(Debug)]
struct Player {
    who: Who,
    exit: Arc<Exit>,
}

/// Where publishers of every protocol come on stage.
#[derive(Debug)]
pub struct Theatre {
    config: Config,
    streams: Arc<Streams>,
    bus: Bus,
    cast: Mutex<Cast>,
    /// Wakes the task that ends broadcasts whose grace is over.
    waiting_changed: Notify,
}

#[derive(Debug)]
struct Cast {
    stage: Stage,
    players: HashMap<StreamId, Player>,
    evicted: Evicted,
}

impl Cast {
    /// What becomes of a second publisher. Who was replaced of late does not replace another.
    fn rule(&mut self, permit: &Permit, peer: IpAddr) -> SecondPublisher {
        if self.evicted.has((permit.key, peer), Instant::now()) {
            SecondPublisher::Refuse
        } else {
            permit.second_publisher
        }
    }
}

impl Theatre {
    /// An empty one.
    pub fn new(config: Config, streams: Arc<Streams>, bus: Bus) -> Self {
        let cast = Cast {
            stage: Stage::new(config.grace()),
            players: HashMap::new(),
            evicted: Evicted::default(),
        };
        Self {
            config,
            streams,
            bus,
            cast: Mutex::new(cast),
            waiting_changed: Notify::new(),
        }
    }

    fn cast(&self) -> MutexGuard<'_, Cast> {
        // A panic under this lock would leave at worst a publisher on stage that is gone.
        self.cast.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody is on stage who would stay if another, at `peer`, came.
    pub fn is_taken(&self, permit: &Permit, peer: IpAddr) -> bool {
        let mut cast = self.cast();
        let rule = cast.rule(permit, peer);
        cast.stage.is_taken(permit.channel, rule)
    }

    /// Puts `stream` of somebody at `peer`, who comes over `protocol`, on stage. `exit` is told when it has to go.
    ///
    /// # Errors
    /// When somebody is there and stays.
    pub fn enter(
        &self,
        permit: &Permit,
        peer: IpAddr,
        stream: StreamId,
        exit: &Arc<Exit>,
        protocol: Protocol,
    ) -> Result<Publisher, Taken> {
        let mut cast = self.cast();
        let (who, now) = ((permit.key, peer), Instant::now());
        let rule = cast.rule(permit, peer);
        let broadcast = match cast.stage.enter(permit.channel, stream, rule) {
            Entry::Begin => {
                let broadcast = Arc::new(Broadcast::new(
                    BroadcastId::new(),
                    permit.channel,
                    permit.handle.clone(),
                    clock::now(),
                ));
                cast.stage.begin(Arc::clone(&broadcast), stream);
                self.streams.begin(Arc::clone(&broadcast));
                self.tell(&broadcast, |channel, broadcast, at| {
                    Event::BroadcastStarted {
                        channel,
                        broadcast,
                        at,
                    }
                });
                broadcast
            }
            Entry::Continue { broadcast, silent } => {
                if let Some(player) = silent.and_then(|silent| cast.players.remove(&silent)) {
                    player.exit.tell(Why::TakenOver);
                }
                self.returned(&broadcast);
                broadcast
            }
            Entry::TakeOver { broadcast, evicted } => {
                if let Some(player) = cast.players.remove(&evicted) {
                    player.exit.tell(Why::TakenOver);
                    cast.evicted.note(player.who, now);
                }
                self.returned(&broadcast);
                broadcast
            }
            Entry::Taken => return Err(Taken),
        };
        let player = Player {
            who,
            exit: Arc::clone(exit),
        };
        cast.players.insert(stream, player);
        broadcast.update_stats(|stats| stats.protocol = protocol);
        broadcast.set_transcodes(permit.transcodes);
        // Still under the lock: of two who take over, the later one fences the earlier one off.
        Ok(Publisher::new(broadcast, self.config.caps))
    }

    /// Takes up a broadcast that another server left; it waits for its publisher.
    pub fn take_up(&self, broadcast: Broadcast) {
        tracing::info!(
            broadcast.id = %broadcast.id,
            channel = %broadcast.handle,
            grace_ms = self.config.grace_ms,
            "a server before this one broadcast; the broadcast waits for its publisher"
        );
        let broadcast = Arc::new(broadcast);
        self.cast()
            .stage
            .wait(Arc::clone(&broadcast), Instant::now());
        self.streams.begin(broadcast);
        self.waiting_changed.notify_one();
    }

    fn returned(&self, broadcast: &Broadcast) {
        tracing::info!(
            broadcast.id = %broadcast.id,
            channel = %broadcast.handle,
            "a publisher is back; the broadcast continues"
        );
        broadcast.set_phase(Phase::Live);
        self.tell(broadcast, |channel, broadcast, at| {
            Event::PublisherReturned {
                channel,
                broadcast,
                at,
            }
        });
    }

    /// `stream` sends nothing, and is connected all the same: its broadcast waits as if it had
    /// vanished, and it may [`resume`](Self::resume) unless somebody else comes before. Tells whether
    /// it is waited for.
    pub fn fall_silent(&self, broadcast: &Broadcast, stream: StreamId) -> bool {
        let mut cast = self.cast();
        let waits = cast
            .stage
            .fall_silent(Instant::now(), broadcast.channel, stream);
        if waits {
            self.lost(broadcast, Leaving::Vanished);
        }
        waits
    }

    /// `stream` was silent and goes on.
    ///
    /// # Errors
    /// When its broadcast has not waited for it.
    pub fn resume(&self, broadcast: &Arc<Broadcast>, stream: StreamId) -> Result<Publisher, Taken> {
        let mut cast = self.cast();
        let resumed = cast.stage.resume(broadcast.channel, stream);
        let broadcast = resumed.ok_or(Taken)?;
        self.returned(&broadcast);
        Ok(Publisher::new(broadcast, self.config.caps))
    }

    fn lost(&self, broadcast: &Broadcast, how: Leaving) {
        tracing::info!(
            broadcast.id = %broadcast.id,
            channel = %broadcast.handle,
            grace_ms = self.config.grace_ms,
            ?how,
            "the publisher is gone; the broadcast waits for one"
        );
        broadcast.wait(how == Leaving::ShownOut);
        self.tell(broadcast, |channel, broadcast, at| Event::PublisherLost {
            channel,
            broadcast,
            at,
        });
        self.waiting_changed.notify_one();
    }

    /// Takes `stream` off stage; nothing happens if it was replaced before.
    pub fn leave(&self, broadcast: &Broadcast, stream: StreamId, how: Leaving) {
        let mut cast = self.cast();
        cast.players.remove(&stream);
        match cast
            .stage
            .leave(Instant::now(), broadcast.channel, stream, how)
        {
            Ok(Some((ended, how))) => self.end(&ended, how),
            Ok(None) => self.lost(broadcast, how),
            Err(_) => {}
        }
    }

    /// Shows out whoever publishes by `key`. Tells whether somebody did.
    pub fn show_out(&self, key: StreamKeyId, reason: &str) -> bool {
        let cast = self.cast();
        let mut found = false;
        for player in cast.players.values().filter(|player| player.who.0 == key) {
            player.exit.tell(Why::ShownOut(reason.to_owned()));
            found = true;
        }
        found
    }

    /// Ends the broadcast of a channel at once. Tells whether there was one.
    pub fn end_channel(&self, channel: ChannelId, reason: &str) -> bool {
        let mut cast = self.cast();
        let Some((broadcast, stream)) = cast.stage.end(channel) else {
            return false;
        };
        if let Some(player) = stream.and_then(|stream| cast.players.remove(&stream)) {
            player.exit.tell(Why::Ended(reason.to_owned()));
        }
        self.end(&broadcast, Ended::Stopped);
        true
    }

    fn end(&self, broadcast: &Broadcast, how: Ended) {
        tracing::info!(
            how = how.as_str(),
            broadcast.id = %broadcast.id,
            channel = %broadcast.handle,
            duration = %broadcast.elapsed(),
            "broadcast ended"
        );
        self.streams.end(broadcast);
        self.tell(broadcast, |channel, broadcast, at| Event::BroadcastEnded {
            channel,
            broadcast,
            at,
            how,
        });
    }

    fn tell(
        &self,
        broadcast: &Broadcast,
        event: impl FnOnce(ChannelId, BroadcastId, i64) -> Event,
    ) {
        self.bus.publish(event(
            broadcast.channel,
            broadcast.id,
            clock::now().as_micros(),
        ));
    }

    /// Ends broadcasts whose grace is over, until the server ends.
    pub async fn keep_time(&self, mut drain: Drain) {
        loop {
            let next = self.cast().stage.next_expiry();
            let expiry = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = expiry => {
                    self.expire();
                }
                () = self.waiting_changed.notified() => {}
                () = drain.signaled() => return,
            }
        }
    }

    fn expire(&self) {
        let mut cast = self.cast();
        for over in cast.stage.expire(Instant::now()) {
            if let Some(player) = over.silent.and_then(|stream| cast.players.remove(&stream)) {
                player
                    .exit
                    .tell(Why::Ended("it was silent for too long".to_owned()));
            }
            self.end(&over.broadcast, over.how);
        }
    }

    /// Ends every broadcast: the server ends.
    pub fn close(&self) {
        let all = self.cast().stage.clear();
        all.iter()
            .for_each(|broadcast| self.end(broadcast, Ended::ServerEnded));
    }
}
