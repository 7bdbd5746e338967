//! The rooms of this server, and the way into them.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use cluster::Cluster;
use fanout::shard::{Body, Entry as Begin, Falling, Guest, Shards};
use fanout::{Batches, Compressed, Form, Log, Packet, Position};
use futures_util::future::join_all;
use kit::bus::Bus;
use kit::clock;
use kit::stream::{Broadcast, Phase, Streams};
use kit::websocket::{self, Deflate, deflate};
use tokio::net::TcpStream;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use wire::room_token::RoomKey;
use wire::{BroadcastId, ChannelId, Handle, Person};

use crate::committer::{Audience, Committer, Entry, Quotas, Rooms};
use crate::config::Config;
use crate::connection::Connection;
use crate::emotes::Emotes;
use crate::item::{self, Event, Item, Name, State};
use crate::keeper::Keeper;
use crate::lane::{Lane, PerLane, Places};
use crate::limits::{Limits, Seat};
use crate::nodes::{Couriers, What, subject};
use crate::protocol::{self, Encoding, Told, Welcome};
use crate::reader::{Events, Reader};
use crate::room::{Holder, Joined, RESUME_MAX, Room};
use crate::saying::{KEY_KEPT, NotSaid, Saying};
use crate::store::{Mark, Replay, Store};

/// How often counts are told, if they change.
const COUNTS_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked for rooms that nobody is in.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// How long it may take to give rooms up.
const RELEASE_WITHIN: Duration = Duration::from_secs(2);

/// How long it is believed which channel a handle is.
const BELIEVED_FOR: Duration = Duration::from_secs(30);

/// Handles that are believed at once.
const BELIEVED_MAX: usize = 10_000;

/// Items of a lane that a room has at hand when it opens.
const AT_HAND: u32 = 500;

/// Items of control or money that one who returns is read from the store.
const READ_MAX: u64 = 10_000;

/// Items in one frame for somebody who comes.
const FRAME_ITEMS: usize = 500;

/// Who knows the channels.
pub trait Channels: Send + Sync {
    /// The channel of a handle, or of one that it had.
    fn find<'a>(&'a self, handle: &'a Handle) -> Answer<'a, Option<ChannelId>>;
    /// The emotes of a channel.
    fn emotes(&self, channel: ChannelId) -> Answer<'_, Emotes>;
}

/// What somebody knows, if nothing fails.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = anyhow::Result<T>> + Send + 'a>>;

/// What a client asks for who wants to come in.
#[derive(Clone, Debug)]
pub struct Request {
    /// The handle of the channel.
    pub room: String,
    /// Where it was, as it wrote it.
    pub since: String,
    /// What it sent as `Sec-WebSocket-Protocol`.
    pub protocols: String,
    /// What it sent as `Sec-WebSocket-Extensions`.
    pub extensions: String,
    /// What it sent as `Sec-WebSocket-Key`.
    pub websocket_key: String,
    /// The site whose page asks, if it is one.
    pub origin: Option<String>,
    /// Where this server is for the client, without a slash at the end.
    pub ours: Option<String>,
    /// Its address.
    pub client: SocketAddr,
}

/// Why a client does not come in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEntry {
    /// It speaks no encoding of ours.
    #[error("ask for the subprotocol barrage.v1.msgpack or barrage.v1.json")]
    Subprotocol,
    /// Its page is of another site.
    #[error("pages of {0} may not open rooms here; chat.allowed_origins names those that may")]
    Origin(String),
    /// It does not tell where it was in a way that can be read.
    #[error("{0}")]
    Since(#[from] crate::lane::ParsePlacesError),
    /// There is no such channel.
    #[error("there is no channel @{0}")]
    Room(String),
    /// There are too many connections from its address.
    #[error("too many connections from your address")]
    TooMany,
    /// What is needed to let it in does not answer.
    #[error("rooms cannot be opened now; come again in a moment")]
    Unavailable,
}

/// The rooms of this server.
pub struct Service {
    shared: Arc<Shared>,
    shards: Arc<Shards>,
    channels: Arc<dyn Channels>,
    believed: Mutex<HashMap<Handle, (ChannelId, Instant)>>,
    /// One room is opened at a time, so that none is opened twice.
    opening: tokio::sync::Mutex<()>,
    /// The server ends: no room is opened any more.
    leaving: AtomicBool,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

/// What every connection needs.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) key: RoomKey,
    pub(crate) limits: Limits,
    pub(crate) committer: Committer,
    pub(crate) saying: Saying,
    pub(crate) cluster: Cluster,
    couriers: Couriers,
    streams: Arc<Streams>,
    pub(crate) store: Store,
    rooms: Arc<Open>,
    public_url: Option<String>,
}

/// The rooms that are open.
#[derive(Default)]
struct Open(Mutex<OpenRooms>);

#[derive(Default)]
struct OpenRooms {
    rooms: HashMap<ChannelId, Arc<Room>>,
    /// Rooms of which nobody knows what their lanes hold.
    unproven: HashSet<ChannelId>,
}

impl Open {
    fn lock(&self) -> MutexGuard<'_, OpenRooms> {
        // It is whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rooms for Open {
    fn all(&self) -> Vec<Arc<Room>> {
        self.lock().rooms.values().cloned().collect()
    }

    fn abandon(&self, room: &Arc<Room>) {
        self.lock().unproven.insert(room.id);
        self.lose(room);
    }

    fn lose(&self, room: &Arc<Room>) {
        let mut open = self.lock();
        // Another may be open in its place by now.
        if open
            .rooms
            .get(&room.id)
            .is_some_and(|now| Arc::ptr_eq(now, room))
        {
            open.rooms.remove(&room.id);
        }
        room.close();
    }
}

/// What the service stands on.
pub struct Entrance {
    /// What writes to connections.
    pub shards: Arc<Shards>,
    /// Who knows the channels.
    pub channels: Arc<dyn Channels>,
    /// Who hears of what is kept in any room.
    pub audience: Option<Arc<dyn Audience>>,
    /// What is live.
    pub streams: Arc<Streams>,
    /// What room tokens are signed with.
    pub key: RoomKey,
    /// The address that people open, without a slash at the end, if it is configured.
    pub public_url: Option<String>,
    /// The other nodes.
    pub cluster: Cluster,
}

impl Service {
    /// Starts with no room open.
    pub fn new(config: Config, store: Store, entrance: Entrance) -> Arc<Self> {
        let Entrance {
            shards,
            channels,
            audience,
            streams,
            key,
            public_url,
            cluster,
        } = entrance;
        let rooms = Arc::new(Open::default());
        let all = Arc::clone(&rooms) as Arc<dyn Rooms>;
        let shared = Shared {
            key,
            limits: Limits::new(&config),
            committer: Committer::start(
                store.clone(),
                all,
                audience,
                cluster.clone(),
                quotas(&config),
            ),
            couriers: Couriers::new(cluster.clone()),
            cluster,
            streams,
            store,
            saying: Saying::default(),
            rooms,
            public_url,
            config,
        };
        Arc::new(Self {
            shared: Arc::new(shared),
            shards,
            channels,
            believed: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            leaving: AtomicBool::new(false),
        })
    }

    /// Looks whether a client may come in, and into which room.
    ///
    /// # Errors
    /// When it may not.
    pub async fn admit(&self, request: &Request) -> Result<Admission, NoEntry> {
        let encoding = Encoding::choose(&request.protocols).ok_or(NoEntry::Subprotocol)?;
        self.let_in(request, encoding).await
    }

    /// Looks whether a client may read a room over server-sent events. Of a request, only what is of a
    /// WebSocket may be missing.
    ///
    /// # Errors
    /// When it may not.
    pub async fn admit_reader(&self, request: &Request) -> Result<Admission, NoEntry> {
        self.let_in(request, Encoding::Json).await
    }

    async fn let_in(&self, request: &Request, encoding: Encoding) -> Result<Admission, NoEntry> {
        self.check_origin(request)?;
        let places = request.since.parse()?;
        let seat = self.shared.limits.enter(request.client);
        let seat = seat.ok_or(NoEntry::TooMany)?;
        let deflate = if self.shared.config.compression {
            Deflate::choose(&request.extensions)
        } else {
            None
        };
        let nobody = || NoEntry::Room(request.room.chars().take(64).collect());
        let handle: Handle = request.room.parse().map_err(|_| nobody())?;
        let room = self.room(&handle).await?.ok_or_else(nobody)?;
        Ok(Admission {
            shared: Arc::clone(&self.shared),
            shards: Arc::clone(&self.shards),
            room,
            handle,
            encoding,
            places,
            seat,
            client: request.client,
            accept: websocket::accept_key(&request.websocket_key),
            agreed: deflate.map(Deflate::answer),
            deflate,
        })
    }

    /// A page of another site would speak with the cookies and the address of its visitors.
    fn check_origin(&self, request: &Request) -> Result<(), NoEntry> {
        let Some(origin) = &request.origin else {
            return Ok(());
        };
        let mut ours = [&request.ours, &self.shared.public_url].into_iter();
        let allowed = &self.shared.config.allowed_origins;
        if ours.any(|ours| ours.as_ref() == Some(origin)) || allowed.contains(origin) {
            return Ok(());
        }
        Err(NoEntry::Origin(origin.chars().take(100).collect()))
    }

    async fn room(&self, handle: &Handle) -> Result<Option<Arc<Room>>, NoEntry> {
        let Some(channel) = self.channel(handle).await? else {
            return Ok(None);
        };
        self.room_of(channel).await.map(Some)
    }

    pub(crate) async fn room_of(&self, channel: ChannelId) -> Result<Arc<Room>, NoEntry> {
        let found = || self.shared.rooms.lock().rooms.get(&channel).cloned();
        if let Some(room) = found() {
            return Ok(room);
        }
        let _opening = self.opening.lock().await;
        if let Some(room) = found() {
            return Ok(room);
        }
        if self.leaving.load(Ordering::Relaxed) {
            return Err(NoEntry::Unavailable);
        }
        self.open(channel).await.map_err(|error| {
            tracing::warn!(%error, channel.id = %channel, "failed to open a room");
            NoEntry::Unavailable
        })
    }

    async fn channel(&self, handle: &Handle) -> Result<Option<ChannelId>, NoEntry> {
        let believed = self.believed().get(handle).copied();
        if let Some((channel, since)) = believed
            && since.elapsed() < BELIEVED_FOR
        {
            return Ok(Some(channel));
        }
        match self.channels.find(handle).await {
            Ok(Some(channel)) => {
                let mut all = self.believed();
                if all.len() >= BELIEVED_MAX {
                    all.clear();
                }
                all.insert(handle.clone(), (channel, Instant::now()));
                Ok(Some(channel))
            }
            Ok(None) => {
                self.believed().remove(handle);
                Ok(None)
            }
            // What was true a while ago is better than nothing.
            Err(_) if believed.is_some() => Ok(believed.map(|(channel, _)| channel)),
            Err(error) => {
                tracing::warn!(%error, "failed to look up a channel");
                Err(NoEntry::Unavailable)
            }
        }
    }

    fn believed(&self) -> MutexGuard<'_, HashMap<Handle, (ChannelId, Instant)>> {
        self.believed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn open(&self, channel: ChannelId) -> anyhow::Result<Arc<Room>> {
        let (shared, store) = (&self.shared, &self.shared.store);
        // Heard before it is read where the lanes are, so that nothing falls in between.
        let feeds = shared.feeds(channel);
        let proven = !shared.rooms.lock().unproven.contains(&channel);
        let (mut places, holder) = shared.hold(channel, proven).await?;
        // Nothing of this lane outlives the room.
        *places.get_mut(Lane::Ambient) = Position {
            epoch: clock::now().as_millis().unsigned_abs(),
            offset: 0,
        };
        let mut last: Vec<Item> = Vec::new();
        for lane in Lane::ALL.into_iter().filter(|lane| lane.is_durable()) {
            let Position { epoch, offset: to } = *places.get(lane);
            let from = Position { epoch, offset: 0 };
            last.extend(store.items(channel, lane, from, to, AT_HAND).await?);
        }
        // Stable, so that each lane stays in its order.
        last.sort_by_key(|item| item.at_ms);
        let shown = self.shared.config.shown_per_second;
        let room = Room::new(channel, places, last, shown);
        room.set_emotes(self.channels.emotes(channel).await?);
        room.set_holder(holder);
        let room = Arc::new(room);
        {
            let mut open = shared.rooms.lock();
            open.unproven.remove(&channel);
            open.rooms.insert(channel, Arc::clone(&room));
        }
        if !shared.cluster.is_alone() {
            let channels = Arc::clone(&self.channels);
            let keeper = Keeper::new(Arc::clone(shared), channels, &room, feeds);
            tokio::spawn(keeper.run());
        }
        Ok(room)
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

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
        let (service, mut questions) = (Arc::clone(self), self.shared.cluster.bus.questions());
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
        let _opening = self.opening.lock().await;
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

    /// Says something in a channel's room for a program, once for each key; tells its place on the
    /// chat lane.
    ///
    /// # Errors
    /// When it cannot be said, or not now.
    pub async fn say(
        &self,
        channel: ChannelId,
        person: &Person,
        send: protocol::Send,
        key: Option<String>,
    ) -> Result<u64, NotSaid> {
        let room = self.room_of(channel).await;
        let room = room.map_err(|_| NotSaid::Unavailable)?;
        self.shared.say(room, person, send, key).await
    }

    /// How many people are signed in in a channel's room, and at most `limit` of them, whom chance
    /// chooses when they are more.
    pub fn people(&self, channel: ChannelId, limit: usize) -> (usize, Vec<Name>) {
        let room = self.shared.rooms.lock().rooms.get(&channel).cloned();
        room.map_or_else(Default::default, |room| room.some_people(limit))
    }

    /// The danmaku of a broadcast by their pictures: see [`Store::replay`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn replay(
        &self,
        channel: ChannelId,
        broadcast: BroadcastId,
        pictures: Range<i64>,
        after: Option<Mark>,
        limit: u32,
    ) -> anyhow::Result<Replay> {
        let store = &self.shared.store;
        store
            .replay(channel, broadcast, pictures, after, limit)
            .await
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
        // None is opened again before it is known that it is not ours any more.
        let _opening = self.opening.lock().await;
        let mut empty = Vec::new();
        self.shared.rooms.lock().rooms.retain(|_, room| {
            // Whoever comes in or has something on its way holds on to the room.
            let stays = room.viewers() > 0 || Arc::strong_count(room) > 1;
            if !stays {
                empty.push(Arc::clone(room));
            }
            stays
        });
        self.release(empty).await;
        let holds = |node| {
            let rooms = self.shared.rooms.all();
            rooms
                .iter()
                .any(|room| room.holder() == Holder::Other(node))
        };
        self.shared.couriers.retain(holds);
    }

    /// Ends the rooms of this server, which ends; other nodes may hold them.
    pub async fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
        let _opening = self.opening.lock().await;
        let rooms = std::mem::take(&mut self.shared.rooms.lock().rooms);
        self.release(rooms.into_values().collect()).await;
    }

    async fn release(&self, rooms: Vec<Arc<Room>>) {
        for room in &rooms {
            room.close();
        }
        let ours = rooms
            .iter()
            .filter(|room| matches!(room.holder(), Holder::Here(_)));
        let owners = &self.shared.cluster.owners;
        let released = ours.map(|room| async { owners.release(&subject(room.id)).await });
        // What is not given up is opened again when somebody asks for it.
        let _ = tokio::time::timeout(RELEASE_WITHIN, join_all(released)).await;
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
        let zero_ms = live.filter(|live| live.id == b).map_or_else(
            || clock::now().as_millis(),
            |live| live.zero_at().as_millis(),
        );
        let broadcast = item::Broadcast { b, state, zero_ms };
        self.tell_durably(room, Event::Broadcast(broadcast));
    }
}

impl Shared {
    /// Has something kept by whoever holds its room; what came of it is answered later. Tells whether
    /// there is room for it.
    #[must_use]
    pub(crate) fn keep(&self, entry: Entry) -> bool {
        match entry.room.holder() {
            Holder::Here(_) => self.committer.keep(entry),
            Holder::Other(node) => self.couriers.keep(node, entry),
        }
    }

    /// Another node holds a room now, or its lanes have begun anew there.
    pub(crate) fn lose(&self, room: &Arc<Room>) {
        self.rooms.lose(room);
    }

    /// Since when nothing can be said in a room, in milliseconds since the Unix epoch.
    fn down_since_ms(&self, room: &Room) -> Option<i64> {
        let kept = self.committer.down_since_ms();
        kept.or_else(|| room.cut_since_ms())
    }

    /// Which picture a danmaku is about: where its sender says it is, within what can be.
    pub(crate) fn picture(&self, room: &Room, claimed: Option<i64>) -> Option<(BroadcastId, i64)> {
        let (b, edge) = self.edge(room)?;
        let delay = i64::try_from(self.config.delay_max_ms).unwrap_or(i64::MAX / 1_000) * 1_000;
        let earliest = edge.saturating_sub(delay).max(0);
        Some((b, claimed.unwrap_or(edge).clamp(earliest, edge.max(0))))
    }

    /// How far a room's broadcast is, in microseconds of MediaTime.
    fn edge(&self, room: &Room) -> Option<(BroadcastId, i64)> {
        if let Some(live) = self.live(room.id) {
            return Some((live.id, live.edge().as_micros()));
        }
        let item::Broadcast { b, zero_ms, .. } = self.elsewhere(room)?;
        Some((b, (clock::now().as_millis() - zero_ms) * 1_000))
    }

    fn live(&self, channel: ChannelId) -> Option<Arc<Broadcast>> {
        let live = self.streams.of_channel(channel);
        live.filter(|live| live.phase() != Phase::Ended)
    }

    /// A broadcast that another node has, as the room has been told.
    fn elsewhere(&self, room: &Room) -> Option<item::Broadcast> {
        let told = room.broadcast().filter(|_| !self.cluster.is_alone());
        told.filter(|told| told.state != State::Ended)
    }

    /// How a channel's broadcast is, as its room is told.
    fn broadcast(&self, room: &Room) -> Option<item::Broadcast> {
        let Some(live) = self.live(room.id) else {
            return self.elsewhere(room);
        };
        Some(item::Broadcast {
            b: live.id,
            state: match live.phase() {
                Phase::Live => State::Live,
                Phase::Waiting => State::Waiting,
                Phase::Ended => State::Ended,
            },
            zero_ms: live.zero_at().as_millis(),
        })
    }
}

/// What may be said on all nodes together: as much as on one.
fn quotas(config: &Config) -> Quotas {
    let room = config.room_per_second.max(1);
    Quotas {
        user: (
            Duration::from_mins(1) / config.user_per_minute.max(1),
            config.user_burst.max(1),
        ),
        room: (Duration::from_secs(1) / room, room),
    }
}

/// A client that may come in.
pub struct Admission {
    shared: Arc<Shared>,
    shards: Arc<Shards>,
    room: Arc<Room>,
    handle: Handle,
    encoding: Encoding,
    places: Places,
    seat: Seat,
    client: SocketAddr,
    accept: String,
    deflate: Option<Deflate>,
    /// What is answered about it.
    agreed: Option<String>,
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admission")
            .field("room", &self.handle)
            .finish_non_exhaustive()
    }
}

impl Admission {
    /// The headers with which the WebSocket is agreed to (RFC 6455 §4.2.2).
    pub fn headers(&self) -> Vec<(&'static str, &str)> {
        let agreed = self.agreed.as_deref();
        let extensions = agreed.map(|agreed| ("sec-websocket-extensions", agreed));
        let headers = [
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-accept", &*self.accept),
            ("sec-websocket-protocol", self.encoding.subprotocol()),
        ];
        headers.into_iter().chain(extensions).collect()
    }

    /// Hands a plain connection to a shard, with the whole answer.
    ///
    /// # Errors
    /// When the socket is broken.
    pub async fn serve(self, socket: TcpStream, slot: Box<dyn Send>) -> io::Result<()> {
        let socket = socket.into_std()?;
        let mut head = BytesMut::from(&b"HTTP/1.1 101 Switching Protocols\r\n"[..]);
        for (name, value) in self.headers() {
            head.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        let shards = Arc::clone(&self.shards);
        shards.seat(self.guest(socket, head, slot).await);
        Ok(())
    }

    /// What follows the handshake, for a connection that is no plain socket.
    pub async fn body(self, slot: Box<dyn Send>) -> Body {
        let limits = self.shards.limits();
        Body::new(self.guest((), BytesMut::new(), slot).await, limits)
    }

    /// The events of the room, for somebody who only reads.
    pub async fn events(self, slot: Box<dyn Send>) -> Events {
        let (limits, since) = (self.shards.limits(), self.places);
        let begin = self.begin(protocol::join_events).await;
        let reader = Reader {
            presence: self.room.enter(),
            _seat: self.seat,
            _slot: slot,
            ticks: 0,
        };
        let guest = Guest {
            socket: (),
            log: begin.log,
            entry: Begin::At(begin.start),
            form: Form::Joined(protocol::join_events),
            falling: Falling::Thinned,
            head: begin.head.freeze(),
            setup: Some(0),
            mailbox: None,
            talk: Box::new(reader),
        };
        Events::new(Body::new(guest, limits), since)
    }

    /// What somebody is told first, and where they read on.
    async fn begin(&self, join: fn(&[&[u8]]) -> Bytes) -> First {
        let Self {
            shared,
            room,
            handle,
            encoding,
            places,
            ..
        } = self;
        let joined = room.join(*encoding, places, shared.config.history);
        let welcome = encoding.encode(&Told::Welcome(Welcome {
            room: handle.as_str(),
            lanes: (&joined.places).into(),
            broadcast: shared.broadcast(room),
            server_ms: clock::now().as_millis(),
            text_max: shared.config.text_max,
            viewers: room.everybody() + 1,
            likes: room.likes(),
            chat_down_since_ms: shared.down_since_ms(room),
        }));
        let mut head = BytesMut::from(&join(&[&welcome])[..]);
        let Joined {
            log,
            start,
            batches,
            places,
            missed,
            gaps,
        } = joined;
        let mut pieces = read_back(&shared.store, room, *encoding, &places, gaps).await;
        pieces.extend(missed);
        for frame in pieces.chunks(FRAME_ITEMS) {
            let frame: Vec<&[u8]> = frame.iter().map(|piece| &piece[..]).collect();
            head.extend_from_slice(&join(&frame));
        }
        First {
            log,
            start,
            batches,
            head,
        }
    }

    async fn guest<S>(self, socket: S, mut head: BytesMut, slot: Box<dyn Send>) -> Guest<S> {
        let First {
            log,
            start,
            batches,
            head: first,
        } = self.begin(self.encoding.joiner()).await;
        head.extend_from_slice(&first);
        let Self {
            shared,
            room,
            encoding,
            deflate,
            ..
        } = self;
        let form = match deflate {
            None => Form::Joined(encoding.joiner()),
            Some(deflate) => {
                let by = Compressed {
                    compress: deflate::compress,
                    longest: deflate.longest(),
                    batches,
                };
                Form::Compressed(encoding.joiner(), by)
            }
        };
        let wire = (encoding, deflate.is_some());
        let connection = Connection::new(shared, room, wire, self.client, self.seat, slot);
        Guest {
            socket,
            log,
            entry: Begin::At(start),
            form,
            falling: Falling::Thinned,
            head: head.freeze(),
            setup: Some(0),
            mailbox: Some(Arc::clone(&connection.mailbox)),
            talk: Box::new(connection),
        }
    }
}

/// What somebody who comes in begins with.
struct First {
    log: Log<Packet>,
    start: u64,
    batches: Arc<Batches>,
    head: BytesMut,
}

/// What was missed and is no longer at hand, from the store; what cannot be had is declared.
async fn read_back(
    store: &Store,
    room: &Room,
    encoding: Encoding,
    places: &PerLane<Position>,
    gaps: Vec<fanout::Gap>,
) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    for gap in gaps {
        let Some(lane) = Lane::of_number(i64::from(gap.lane)) else {
            continue;
        };
        let most = match lane {
            Lane::Control | Lane::Money => READ_MAX,
            Lane::Chat => RESUME_MAX,
            Lane::Ambient | Lane::Mods => 0,
        };
        let from = gap.from.max(gap.to.saturating_sub(most));
        let start = Position {
            epoch: places.get(lane).epoch,
            offset: from,
        };
        let read = if most == 0 {
            Ok(Vec::new())
        } else {
            let limit = u32::try_from(most).unwrap_or(u32::MAX);
            store.items(room.id, lane, start, gap.to, limit).await
        };
        let to = match &read {
            Ok(_) if most > 0 => from,
            Ok(_) => gap.to,
            Err(error) => {
                tracing::warn!(%error, room.id = %room.id, "failed to read a lane back");
                gap.to
            }
        };
        if gap.from < to {
            pieces.push(encoding.encode(&Told::gap(fanout::Gap { to, ..gap })));
        }
        let items = read.unwrap_or_default();
        pieces.extend(items.iter().map(|item| encoding.encode(item)));
    }
    pieces
}
