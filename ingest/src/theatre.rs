//! Performs what the [`stage`](crate::stage) says: broadcasts begin, continue and end, and
//! everybody who must know is told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use kit::bus::Bus;
use kit::clock;
use kit::drain::Drain;
use kit::stream::{Broadcast, Phase, Streams};
use tokio::sync::Notify;
use wire::{BroadcastId, Event, StreamId};

use crate::config::Config;
use crate::gate::Permit;
use crate::publisher::Publisher;
use crate::stage::{Entry, Leaving, Stage};

/// Somebody is there and stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("somebody else publishes to the channel")]
pub struct Taken;

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
    /// How each publisher on stage is told that it was replaced.
    exits: HashMap<StreamId, Arc<Notify>>,
}

impl Theatre {
    /// An empty one.
    pub fn new(config: Config, streams: Arc<Streams>, bus: Bus) -> Self {
        let cast = Cast {
            stage: Stage::new(config.grace()),
            exits: HashMap::new(),
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

    /// Puts `stream` on stage. `exit` is notified when it is replaced.
    ///
    /// # Errors
    /// When somebody is there and stays.
    pub fn enter(
        &self,
        permit: &Permit,
        stream: StreamId,
        exit: &Arc<Notify>,
    ) -> Result<Publisher, Taken> {
        let mut cast = self.cast();
        let broadcast = match cast
            .stage
            .enter(permit.channel, stream, permit.second_publisher)
        {
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
            Entry::Continue(broadcast) => {
                self.returned(&broadcast);
                broadcast
            }
            Entry::TakeOver { broadcast, evicted } => {
                if let Some(exit) = cast.exits.remove(&evicted) {
                    exit.notify_one();
                }
                self.returned(&broadcast);
                broadcast
            }
            Entry::Taken => return Err(Taken),
        };
        cast.exits.insert(stream, Arc::clone(exit));
        // Still under the lock: of two who take over, the later one fences the earlier one off.
        Ok(Publisher::new(broadcast, self.config.caps))
    }

    fn returned(&self, broadcast: &Broadcast) {
        broadcast.set_phase(Phase::Live);
        self.tell(broadcast, |channel, broadcast, at| {
            Event::PublisherReturned {
                channel,
                broadcast,
                at,
            }
        });
    }

    /// Takes `stream` off stage; nothing happens if it was replaced before.
    pub fn leave(&self, broadcast: &Broadcast, stream: StreamId, how: Leaving) {
        let mut cast = self.cast();
        cast.exits.remove(&stream);
        match cast
            .stage
            .leave(Instant::now(), broadcast.channel, stream, how)
        {
            Ok(Some(ended)) => self.end(&ended),
            Ok(None) => {
                broadcast.set_phase(Phase::Waiting);
                self.tell(broadcast, |channel, broadcast, at| Event::PublisherLost {
                    channel,
                    broadcast,
                    at,
                });
                self.waiting_changed.notify_one();
            }
            Err(_) => {}
        }
    }

    fn end(&self, broadcast: &Broadcast) {
        tracing::info!(
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
        });
    }

    fn tell(
        &self,
        broadcast: &Broadcast,
        event: impl FnOnce(wire::ChannelId, BroadcastId, i64) -> Event,
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
                    let over = self.cast().stage.expire(Instant::now());
                    over.iter().for_each(|broadcast| self.end(broadcast));
                }
                () = self.waiting_changed.notified() => {}
                () = drain.signaled() => return,
            }
        }
    }

    /// Ends every broadcast: the server ends.
    pub fn close(&self) {
        let all = self.cast().stage.clear();
        all.iter().for_each(|broadcast| self.end(broadcast));
    }
}
