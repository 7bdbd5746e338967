//! What goes on in rooms beside what is said: what happens to their channels, who is on other nodes, and
//! rooms that nobody is in any more.

use std::collections::hash_map;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use kit::bus::Bus;
use kit::clock;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use wire::{ChannelId, Person};

use crate::committer::{Entry, Rooms as _};
use crate::gifting;
use crate::item::{self, Event, Name, State};
use crate::nodes::{ROOMS, What, subject};
use crate::room::{Holder, Room};
use crate::saying::KEY_KEPT;
use crate::service::Service;

/// How often counts are told, if they change.
const COUNTS_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked for rooms that nobody is in.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// How long it may take to give rooms up.
const RELEASE_WITHIN: Duration = Duration::from_secs(2);

impl Service {
    /// What goes on beside the connections.
    pub fn upkeep(self: &Arc<Self>, bus: &Bus) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let service = Arc::clone(self);
        tasks.spawn(async move {
            let mut ticks = tokio::time::interval(COUNTS_EVERY);
            loop {
                ticks.tick().await;
                service.meet().await;
                service.tell_counts();
            }
        });
        let (service, mut questions) = (Arc::clone(self), self.shared.cluster.bus.questions(ROOMS));
        tasks.spawn(async move {
            // One node asks one thing at a time, so that these are few.
            while let Some(question) = questions.recv().await {
                tokio::spawn(Arc::clone(&service).answer(question));
            }
        });
        let service = Arc::clone(self);
        tasks.spawn(async move {
            let mut ticks = tokio::time::interval(SWEEP_EVERY);
            loop {
                ticks.tick().await;
                service.shared.limits.forget_idle();
                service.openings.forget_idle();
                service.close_empty().await;
                service.forget_keys().await;
            }
        });
        let (service, mut events) = (Arc::clone(self), bus.subscribe());
        tasks.spawn(async move {
            loop {
                match events.recv().await {
                    Ok(event) => service.on_event(&event).await,
                    // The rooms hear of the next change; the page asks the API besides.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                }
            }
        });
        tasks.spawn(Arc::clone(self).follow_emotes(bus.subscribe()));
        tasks.spawn(gifting::hear_wallets(Arc::clone(&self.shared)));
        tasks
    }

    async fn follow_emotes(self: Arc<Self>, mut events: Receiver<wire::Event>) {
        loop {
            match events.recv().await {
                Ok(wire::Event::EmotesChanged { channel }) => self.renew_emotes(channel).await,
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => {
                    for room in self.shared.rooms.all() {
                        self.renew_emotes(room.id).await;
                    }
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Asks anew which emotes the channel of a room has, and tells the room if they are others.
    async fn renew_emotes(&self, channel: ChannelId) {
        self.open_for_others(channel).await;
        // A room that is being opened may have asked before they changed.
        let _opening = self.openings.take(channel).await;
        let Some(room) = self.shared.rooms.lock().rooms.get(&channel).cloned() else {
            return;
        };
        let emotes = match self.channels.emotes(channel).await {
            Ok(emotes) => emotes,
            Err(error) => {
                tracing::warn!(%error, channel.id = %channel, "a room keeps the emotes it had");
                return;
            }
        };
        if room.set_emotes(emotes) {
            self.tell_durably(room, Event::Emotes);
        }
    }

    /// Has something kept and told that nobody in particular says.
    fn tell_durably(&self, room: Arc<Room>, event: Event) {
        let channel = room.id;
        let entry = Entry {
            room,
            event,
            noted: None,
            author: None,
            key: None,
            answer: None,
        };
        if !self.shared.keep(entry) {
            tracing::warn!(channel.id = %channel, "a room does not hear of its channel");
        }
    }

    /// On many nodes, somebody may be in a room elsewhere that is not open here, and must hear of its
    /// channel from here.
    async fn open_for_others(&self, channel: ChannelId) {
        if !self.shared.cluster.is_alone() && self.room_of(channel).await.is_err() {
            tracing::warn!(channel.id = %channel, "a room does not hear of its channel");
        }
    }

    /// Tells the other nodes how many are here, and hears how many are there.
    async fn meet(&self) {
        if self.shared.cluster.is_alone() {
            return;
        }
        let rooms = self.shared.rooms.all();
        let here: Vec<_> = rooms.iter().map(|room| room.here()).collect();
        let likes: Vec<u64> = here.iter().map(|here| here.likes).collect();
        let met = self.shared.cluster.presence.meet(here).await;
        let met = met.unwrap_or_else(|error| {
            tracing::debug!(%error, "nobody tells who is on other nodes");
            Vec::new()
        });
        let mut met = met.into_iter();
        for (room, likes) in rooms.into_iter().zip(likes) {
            match met.next() {
                Some(elsewhere) => room.set_elsewhere(elsewhere),
                None => {
                    room.keep_likes(likes);
                    room.forget_elsewhere();
                }
            }
        }
    }

    fn tell_counts(&self) {
        let now_ms = clock::now().as_millis();
        let (mut viewers, rooms) = (0, self.shared.rooms.all());
        for room in &rooms {
            for news in room.tell_counts(now_ms) {
                let news = What::News(Box::new(news));
                self.shared.tell_nodes(room.id, news);
            }
            if let Some(live) = self.shared.live(room.id) {
                room.tell_clock(live.id, live.zero_at().as_millis(), now_ms);
            }
            viewers += room.viewers();
        }
        if !self.shared.cluster.is_alone() {
            for live in self.shared.streams.all() {
                let clock = What::Clock(live.id, live.zero_at().as_millis());
                self.shared.tell_nodes(live.channel, clock);
            }
        }
        metrics::gauge!("barrage_chat_rooms").set(rooms.len() as f64);
        metrics::gauge!("barrage_chat_connections").set(viewers as f64);
    }

    async fn forget_keys(&self) {
        let kept_ms = i64::try_from(KEY_KEPT.as_millis()).unwrap_or(i64::MAX);
        let before_ms = clock::now().as_millis().saturating_sub(kept_ms);
        if let Err(error) = self.shared.store.forget_keys(before_ms).await {
            tracing::debug!(%error, "failed to forget old keys");
        }
    }

    /// Forgets rooms that nobody is in.
    async fn close_empty(&self) {
        let empty: Vec<ChannelId> = {
            let open = self.shared.rooms.lock();
            let empty = open.rooms.iter().filter(|(_, room)| is_empty(room));
            let channels = empty.map(|(channel, _)| *channel);
            // What counts for a broadcast counts until it ends.
            let over = |channel: &ChannelId| self.shared.live(*channel).is_none();
            channels.filter(over).collect()
        };
        join_all(
            empty
                .into_iter()
                .map(|channel| self.close_if_empty(channel)),
        )
        .await;
        let holds = |node| {
            let rooms = self.shared.rooms.all();
            rooms
                .iter()
                .any(|room| room.holder() == Holder::Other(node))
        };
        self.shared.couriers.retain(holds);
    }

    async fn close_if_empty(&self, channel: ChannelId) {
        // It is not opened again before it is known that it is not ours any more.
        let _opening = self.openings.take(channel).await;
        let room = match self.shared.rooms.lock().rooms.entry(channel) {
            hash_map::Entry::Occupied(room) if is_empty(room.get()) => room.remove(),
            hash_map::Entry::Occupied(_) | hash_map::Entry::Vacant(_) => return,
        };
        self.release(&room).await;
    }

    /// Ends the rooms of this server, which ends; other nodes may hold them.
    pub async fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
        let rooms = std::mem::take(&mut self.shared.rooms.lock().rooms);
        join_all(rooms.values().map(|room| self.release(room))).await;
    }

    async fn release(&self, room: &Room) {
        room.close();
        if matches!(room.holder(), Holder::Here(_)) {
            let subject = subject(room.id);
            let released = self.shared.cluster.owners.release(&subject);
            // What is not given up is opened again when somebody asks for it.
            let _ = tokio::time::timeout(RELEASE_WITHIN, released).await;
        }
    }

    /// Tells the room who follows its channel. Where it is not open here, it may be elsewhere.
    fn on_followed(&self, channel: ChannelId, by: &Person, followers: u64) {
        let name = Name::from(by);
        let room = self.shared.rooms.lock().rooms.get(&channel).cloned();
        if let Some(room) = room {
            room.people.follow(name, followers);
            return;
        }
        let followed = Event::Followed {
            count: 1,
            named: vec![name],
            followers,
        };
        let news = What::News(Box::new(followed));
        self.shared.tell_nodes(channel, news);
    }

    /// Tells the room of what happens to its broadcast.
    async fn on_event(&self, event: &wire::Event) {
        let (channel, b, state) = match event {
            wire::Event::BroadcastStarted {
                channel, broadcast, ..
            }
            | wire::Event::PublisherReturned {
                channel, broadcast, ..
            } => (*channel, *broadcast, State::Live),
            wire::Event::PublisherLost {
                channel, broadcast, ..
            } => (*channel, *broadcast, State::Waiting),
            wire::Event::BroadcastEnded {
                channel, broadcast, ..
            } => (*channel, *broadcast, State::Ended),
            wire::Event::Followed {
                channel,
                by,
                followers,
                ..
            } => return self.on_followed(*channel, by, *followers),
            wire::Event::EmotesChanged { .. } => return,
        };
        self.open_for_others(channel).await;
        let room = self.shared.rooms.lock().rooms.get(&channel).cloned();
        let Some(room) = room else {
            return;
        };
        if matches!(event, wire::Event::BroadcastStarted { .. }) {
            room.forget_likes();
            let likes = &self.shared.cluster.presence;
            likes.forget_likes(&subject(channel)).await;
        }
        let live = self.shared.streams.of_channel(channel);
        let live = live.filter(|live| live.id == b);
        let told = room.broadcast().filter(|told| told.b == b);
        let zero_ms = live
            .map(|live| live.zero_at().as_millis())
            .or_else(|| Some(told?.zero_ms));
        let zero_ms = zero_ms.unwrap_or_else(|| clock::now().as_millis());
        let broadcast = item::Broadcast { b, state, zero_ms };
        self.tell_durably(room, Event::Broadcast(broadcast));
    }
}

/// Whoever comes in or has something on its way holds on to the room.
fn is_empty(room: &Arc<Room>) -> bool {
    room.viewers() == 0 && Arc::strong_count(room) == 1
}
