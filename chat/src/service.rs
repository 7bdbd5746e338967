//! The rooms of this server, and the way into them.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cluster::Cluster;
use fanout::Position;
use fanout::shard::Shards;
use kit::clock;
use kit::stream::{Broadcast, Phase, Streams};
use kit::websocket::{self, Deflate};
use tokio::sync::OwnedMutexGuard;
use wire::room_token::RoomKey;
use wire::{BroadcastId, ChannelId, Handle, Person};

use crate::admission::Admission;
use crate::committer::{Audience, Committer, Entry, Quotas, Rooms};
use crate::config::Config;
use crate::emotes::Emotes;
use crate::gifting::{Gifting, Gifts};
use crate::item::{self, Item, Name, State};
use crate::keeper::Keeper;
use crate::lane::Lane;
use crate::limits::Limits;
use crate::nodes::Couriers;
use crate::protocol::{self, Encoding};
use crate::room::{Holder, Room};
use crate::saying::{NotSaid, Saying};
use crate::store::{Mark, Replay, Store};

/// How long it is believed which channel a handle is.
const BELIEVED_FOR: Duration = Duration::from_secs(30);

/// Handles that are believed at once.
const BELIEVED_MAX: usize = 10_000;

/// Items of a lane that a room has at hand when it opens.
const AT_HAND: u32 = 500;

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
    pub(crate) shared: Arc<Shared>,
    shards: Arc<Shards>,
    pub(crate) channels: Arc<dyn Channels>,
    believed: Mutex<HashMap<Handle, (ChannelId, Instant)>>,
    pub(crate) openings: Openings,
    /// The server ends: no room is opened any more.
    pub(crate) leaving: AtomicBool,
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
    pub(crate) couriers: Couriers,
    pub(crate) gifting: Gifting,
    pub(crate) streams: Arc<Streams>,
    pub(crate) store: Store,
    pub(crate) rooms: Arc<Open>,
    public_url: Option<String>,
}

/// Channels whose rooms are being opened or given up: one at a time, so that none is opened twice.
#[derive(Default)]
pub(crate) struct Openings(Mutex<HashMap<ChannelId, Arc<tokio::sync::Mutex<()>>>>);

impl Openings {
    /// Waits until nobody else opens this room or gives it up.
    pub(crate) async fn take(&self, channel: ChannelId) -> OwnedMutexGuard<()> {
        let one = Arc::clone(self.lock().entry(channel).or_default());
        one.lock_owned().await
    }

    /// Forgets those that nobody is at.
    pub(crate) fn forget_idle(&self) {
        self.lock().retain(|_, one| Arc::strong_count(one) > 1);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ChannelId, Arc<tokio::sync::Mutex<()>>>> {
        // It is whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rooms that are open.
#[derive(Default)]
pub(crate) struct Open(Mutex<OpenRooms>);

#[derive(Default)]
pub(crate) struct OpenRooms {
    pub(crate) rooms: HashMap<ChannelId, Arc<Room>>,
    /// Rooms of which nobody knows what their lanes hold.
    unproven: HashSet<ChannelId>,
}

impl Open {
    pub(crate) fn lock(&self) -> MutexGuard<'_, OpenRooms> {
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
    /// Who keeps the ledger, if anything can be given.
    pub gifts: Option<Arc<dyn Gifts>>,
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
            gifts,
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
            gifting: Gifting::new(gifts),
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
            openings: Openings::default(),
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
        self.shared.reach(&room, &places).await;
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
        let _opening = self.openings.take(channel).await;
        if let Some(room) = found() {
            return Ok(room);
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
            anyhow::ensure!(!self.leaving.load(Ordering::Relaxed), "the server ends");
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

    /// Which picture is the last of a channel's broadcast, if one is on and its room is open: microseconds of
    /// MediaTime.
    pub fn picture(&self, channel: ChannelId) -> Option<(BroadcastId, i64)> {
        let room = self.shared.rooms.lock().rooms.get(&channel).cloned()?;
        self.shared.edge(&room)
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
    pub(crate) fn down_since_ms(&self, room: &Room) -> Option<i64> {
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

    pub(crate) fn live(&self, channel: ChannelId) -> Option<Arc<Broadcast>> {
        let live = self.streams.of_channel(channel);
        live.filter(|live| live.phase() != Phase::Ended)
    }

    /// A broadcast that another node has, as the room has been told.
    fn elsewhere(&self, room: &Room) -> Option<item::Broadcast> {
        let told = room.broadcast().filter(|_| !self.cluster.is_alone());
        told.filter(|told| told.state != State::Ended)
    }

    /// How a channel's broadcast is, as its room is told.
    pub(crate) fn broadcast(&self, room: &Room) -> Option<item::Broadcast> {
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
