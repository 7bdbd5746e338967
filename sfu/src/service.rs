//! Sessions: made by an offer, kept by name, ended by whoever has it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use fanout::{Lag, Start};
use kit::rendition::{self, Renditions};
use kit::stream::{Broadcast, Phase, Streams};
use media::{TrackConfig, TrackKind, VideoConfig};
use sfu_core::answer::{self, Agreement, Identity, Role, Sources};
use sfu_core::ice::Ice;
use sfu_core::offer::Offer;
use sfu_core::secure::{Credentials, Secure};
use sfu_core::transport::Transport;
use wire::{BroadcastId, NodeId};

use crate::config::Config;
use crate::connection;
use crate::problem::Problem;
use crate::publisher::{Publisher, Rules};
use crate::publishing::{Leaving, OnExit, Permit, Stage};
use crate::seen::{Seen, Told};
use crate::shard::{self, Command, Newcomer, Shards};
use crate::socket;
use crate::stats::Dump;
use crate::tracks::Registry;
use crate::turn;
use crate::viewer::{self, Viewer};

/// How long a shard may take to tell of a session.
const DUMP_WITHIN: Duration = Duration::from_secs(1);

/// How long the first picture of a broadcast is waited for before a viewer is answered.
const FIRST_PICTURE: Duration = Duration::from_millis(500);

/// A session as the rest of the process knows it.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) shard: usize,
    pub(crate) peer: IpAddr,
    pub(crate) publishes: bool,
    /// The key it was made with, hashed; whoever changes it has to show the same.
    pub(crate) key: Option<[u8; 32]>,
    /// What a viewer's page has told.
    pub(crate) told: Told,
    /// The peer's ICE user name fragment, and how often it began anew.
    pub(crate) remote_ufrag: String,
    pub(crate) generation: u32,
}

/// A session that was made.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) id: Arc<str>,
    pub(crate) answer: String,
}

/// Who asks for a session, and what it is given.
struct Asked {
    role: Role,
    peer: IpAddr,
    /// The key of a publisher, hashed.
    key: Option<[u8; 32]>,
    /// What is sent; of a viewer alone.
    sources: Sources,
}

type Sessions = Arc<Mutex<HashMap<Arc<str>, Known>>>;

/// WebRTC of this node.
pub struct Service {
    config: Config,
    node: NodeId,
    streams: Arc<Streams>,
    stage: Arc<dyn Stage>,
    registry: Arc<Registry>,
    credentials: Arc<Credentials>,
    shards: Arc<Shards>,
    /// Who takes connections.
    door: tokio::task::AbortHandle,
    at: SocketAddr,
    /// Where peers elsewhere find us.
    addresses: Vec<IpAddr>,
    sessions: Sessions,
    /// What publishers are held to.
    rules: Rules,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.door.abort();
    }
}

/// Frees a session's place when its shard lets go of it.
struct Slot {
    id: Arc<str>,
    sessions: Sessions,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.remove(&self.id);
    }
}

impl Service {
    /// Opens the port and starts the threads; nothing if it is turned off.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub fn start(
        config: Config,
        node: NodeId,
        streams: Arc<Streams>,
        renditions: Arc<Renditions>,
        stage: Arc<dyn Stage>,
        rules: Rules,
    ) -> anyhow::Result<Option<Arc<Self>>> {
        if config.listen.is_empty() {
            return Ok(None);
        }
        let listen: SocketAddr = config
            .listen
            .parse()
            .context("webrtc.listen is no address")?;
        let opened = socket::bind(listen, config.threads()).with_context(|| {
            format!("failed to listen on webrtc.listen = {listen} (is another server running?)")
        })?;
        let socket::Opened { sockets, listener } = opened;
        let at = shard::port_of(&sockets)?;
        let mut addresses = config.public_addresses.clone();
        if addresses.is_empty() {
            addresses = if at.ip().is_unspecified() {
                socket::own_addresses()
            } else {
                vec![at.ip()]
            };
        }
        if at.is_ipv4() {
            addresses.retain(IpAddr::is_ipv4);
        }
        let credentials = Credentials::generate().context("failed to make a certificate")?;
        tell_metrics();
        let shards = Shards::start(sockets).context("failed to start the WebRTC shards")?;
        let shards = Arc::new(shards);
        let adopting = Arc::clone(&shards);
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let door = tokio::spawn(connection::accept(listener, move |arrived| {
            adopting.adopt(arrived);
        }));
        Ok(Some(Arc::new(Self {
            shards,
            door: door.abort_handle(),
            node,
            streams,
            stage,
            registry: Registry::new(renditions),
            config,
            credentials: Arc::new(credentials),
            at,
            addresses,
            sessions: Arc::default(),
            rules,
        })))
    }

    /// Where it listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.at
    }

    /// Viewers of a broadcast over WebRTC.
    pub fn viewers(&self, broadcast: BroadcastId) -> u64 {
        self.registry.viewers(broadcast) as u64
    }

    /// Sessions of each shard, and how often it began anew because something in it was wrong.
    pub fn shards(&self) -> Vec<(usize, usize)> {
        self.shards.counts()
    }

    /// Ends every session. Blocks until peers have been told.
    pub fn end(&self) {
        self.door.abort();
        self.shards.end();
    }

    pub(crate) fn stage(&self) -> &dyn Stage {
        &*self.stage
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, HashMap<Arc<str>, Known>> {
        // Entries are whole between any two statements.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The candidates that a peer is told: for one on this machine, its own address first.
    pub(crate) fn candidates(&self, peer: IpAddr) -> Vec<SocketAddr> {
        let port = self.at.port();
        let local =
            peer.is_loopback() && (self.at.ip().is_unspecified() || self.at.ip().is_loopback());
        let first = local.then_some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let mut all: Vec<IpAddr> = first
            .into_iter()
            .chain(self.addresses.iter().copied())
            .collect();
        all.dedup();
        all.into_iter()
            .map(|ip| SocketAddr::new(ip, port))
            .collect()
    }

    /// What a session is told of servers that help its peer out of its network.
    pub(crate) fn ice_servers(&self, session: &str) -> Vec<String> {
        let now = kit::clock::now().as_micros() / 1_000_000;
        turn::links(&self.config, u64::try_from(now).unwrap_or(0), session)
    }

    /// Makes a session for somebody who publishes.
    pub(crate) fn publish(
        self: &Arc<Self>,
        permit: Box<dyn Permit>,
        key: [u8; 32],
        peer: IpAddr,
        offer: &str,
    ) -> Result<Made, Problem> {
        let offer = Offer::parse(offer).map_err(Problem::Offer)?;
        let agreement = answer::agree(&offer, Role::Publisher);
        if agreement.tracks.is_empty() {
            return Err(Problem::NothingToDo("published"));
        }
        if permit.is_taken() {
            return Err(Problem::Taken);
        }
        let now = Instant::now();
        let (registry, rules) = (Arc::clone(&self.registry), self.rules);
        let asked = Asked {
            role: Role::Publisher,
            peer,
            key: Some(key),
            sources: Sources::default(),
        };
        self.make(&offer, &agreement, asked, |id| {
            let on_exit = self.on_exit(id);
            let agreement = agreement.clone();
            let ssrc = rand::random();
            let publisher = Publisher::new(permit, on_exit, registry, agreement, ssrc, rules, now);
            shard::Role::Publisher(Box::new(publisher))
        })
    }

    fn on_exit(self: &Arc<Self>, id: &Arc<str>) -> OnExit {
        let (service, id) = (Arc::downgrade(self), Arc::clone(id));
        Box::new(move |reason| {
            let Some(service) = service.upgrade() else {
                return;
            };
            tracing::info!(session.id = %id, reason, "the publisher is told to go");
            service.end_session(&id, Leaving::ToldToGo);
        })
    }

    /// Makes a session for somebody who watches.
    pub(crate) async fn watch(
        self: &Arc<Self>,
        handle: &str,
        peer: IpAddr,
        offer: &str,
    ) -> Result<Made, Problem> {
        let broadcast = self.streams.of_handle(handle).ok_or(Problem::NotLive)?;
        let offer = Offer::parse(offer).map_err(Problem::Offer)?;
        let agreement = answer::agree(&offer, Role::Viewer);
        if agreement.tracks.is_empty() {
            return Err(Problem::NothingToDo("watched"));
        }
        let tracks = self.registry.hold(&broadcast);
        if !tracks.is_forwarded() {
            first_picture(&broadcast).await;
        }
        let forwarded = tracks.is_forwarded();
        if !forwarded && !self.registry.can_show(&broadcast) {
            return Err(Problem::Reordered);
        }
        check_codec(&broadcast, &tracks, &agreement)?;
        if !forwarded && !broadcast.is_reordered() && is_keyframe_old(&broadcast) {
            return Err(Problem::KeyframeOld);
        }
        let sources = Sources {
            audio: rand::random(),
            video: rand::random(),
            video_rtx: rand::random(),
        };
        let profile = profile_of(&broadcast);
        let now = Instant::now();
        let first = rand::random();
        let viewer = Viewer::new(tracks, &agreement, sources, profile, first, now);
        let asked = Asked {
            role: Role::Viewer,
            peer,
            key: None,
            sources,
        };
        self.make(&offer, &agreement, asked, |_| {
            shard::Role::Viewer(Box::new(viewer))
        })
    }

    /// Makes a session; `fill` makes what it is for, once its name is known.
    fn make(
        self: &Arc<Self>,
        offer: &Offer,
        agreement: &Agreement,
        asked: Asked,
        fill: impl FnOnce(&Arc<str>) -> shard::Role,
    ) -> Result<Made, Problem> {
        let Asked {
            role,
            peer,
            key,
            sources,
        } = asked;
        let id: Arc<str> = self.new_id().into();
        let slot = {
            let mut known = self.known();
            let here = known.values().filter(|one| one.peer == peer).count();
            if known.len() >= self.config.max_sessions
                || here >= self.config.max_sessions_per_address
            {
                metrics::counter!("barrage_webrtc_refused_total").increment(1);
                return Err(Problem::TooMany);
            }
            let entry = Known {
                shard: 0,
                peer,
                publishes: role == Role::Publisher,
                key,
                told: Told::new(Instant::now()),
                remote_ufrag: offer.ufrag.clone(),
                generation: 0,
            };
            known.insert(Arc::clone(&id), entry);
            Slot {
                id: Arc::clone(&id),
                sessions: Arc::clone(&self.sessions),
            }
        };
        let (number, shard) = self.shards.choose();
        if let Some(known) = self.known().get_mut(&id) {
            known.shard = number;
        }
        let now = Instant::now();
        let (ufrag, password) = (shard::ufrag(number, &self.node_digits()), new_password());
        let ice = Ice::new(ufrag.clone(), password.clone(), offer.ufrag.clone(), now);
        let credentials = Arc::clone(&self.credentials);
        let secure = Secure::new(
            Arc::clone(&credentials),
            offer.fingerprint,
            agreement.we_connect,
        );
        let candidates = self.candidates(peer);
        let identity = Identity {
            ufrag: &ufrag,
            password: &password,
            fingerprint: self.credentials.fingerprint(),
            at: &candidates,
        };
        let answer = answer::write(offer, agreement, role, &identity, sources);
        let newcomer = Newcomer {
            id: Arc::clone(&id),
            transport: Transport::new(ice, secure, credentials),
            role: fill(&id),
            ready_by: now + Duration::from_millis(self.config.connect_timeout_ms),
            slot: Box::new(slot),
        };
        tracing::info!(
            session.id = %id,
            client.addr = %peer,
            publishes = role == Role::Publisher,
            "a WebRTC session is made"
        );
        metrics::counter!("barrage_webrtc_sessions_total").increment(1);
        shard.ask(Command::Begin(Box::new(newcomer)));
        Ok(Made { id, answer })
    }

    /// The name of a session: of this node, and not to be guessed.
    fn new_id(&self) -> String {
        format!("{}-{:032x}", self.node_digits(), rand::random::<u128>())
    }

    /// The digits of the node's identity that were drawn at random.
    fn node_digits(&self) -> String {
        let node = self.node.to_string();
        node.rsplit('-').next().unwrap_or_default().to_owned()
    }

    /// Takes what a viewer's page says it saw. Tells whether there is such a viewer.
    pub(crate) fn note_seen(&self, id: &str, seen: Seen) -> bool {
        let mut known = self.known();
        let Some(viewer) = known.get_mut(id).filter(|known| !known.publishes) else {
            return false;
        };
        if let Some(new) = viewer.told.take(Instant::now(), seen) {
            metrics::counter!("barrage_webrtc_freezes_total").increment(new.freezes.into());
            metrics::counter!("barrage_webrtc_frozen_milliseconds_total")
                .increment(new.frozen_ms.into());
        }
        true
    }

    /// Ends a session. Tells whether there was one.
    pub(crate) fn end_session(&self, id: &str, how: Leaving) -> bool {
        let found = self
            .known()
            .get_key_value(id)
            .map(|(id, known)| (Arc::clone(id), known.shard));
        let Some((id, shard)) = found else {
            return false;
        };
        if let Some(shard) = self.shards.get(shard) {
            shard.ask(Command::End(id, how));
        }
        true
    }

    /// Begins ICE of a session anew; gives our name and password.
    pub(crate) fn restart(&self, id: &str, remote_ufrag: String) -> Option<(String, String, u32)> {
        let (id, number, generation) = {
            let mut known = self.known();
            let id = known.get_key_value(id).map(|(id, _)| Arc::clone(id))?;
            let entry = known.get_mut(&id)?;
            entry.generation += 1;
            entry.remote_ufrag.clone_from(&remote_ufrag);
            (id, entry.shard, entry.generation)
        };
        let (ufrag, password) = (shard::ufrag(number, &self.node_digits()), new_password());
        let names = [ufrag.clone(), password.clone(), remote_ufrag];
        self.shards.get(number)?.ask(Command::Restart(id, names));
        Some((ufrag, password, generation))
    }

    /// How one session is; `None` if there is none of this name.
    pub async fn dump(&self, id: &str) -> Option<Dump> {
        let asked = {
            let known = self.known();
            let (id, known) = known.get_key_value(id)?;
            self.ask_for_dump(id, known)?
        };
        let until = tokio::time::Instant::now() + DUMP_WITHIN;
        asked.told(until).await
    }

    /// How sessions are, at most `limit` of them.
    pub async fn dumps(&self, limit: usize) -> Vec<Dump> {
        let asked: Vec<Asking> = {
            let known = self.known();
            let some = known.iter().take(limit);
            some.filter_map(|(id, known)| self.ask_for_dump(id, known))
                .collect()
        };
        let until = tokio::time::Instant::now() + DUMP_WITHIN;
        let mut dumps = Vec::new();
        for one in asked {
            // One that ended meanwhile tells nothing.
            dumps.extend(one.told(until).await);
        }
        dumps
    }

    fn ask_for_dump(&self, id: &Arc<str>, known: &Known) -> Option<Asking> {
        let (answer, told) = tokio::sync::oneshot::channel();
        let shard = self.shards.get(known.shard)?;
        shard.ask(Command::Dump(Arc::clone(id), answer));
        Some(Asking {
            told,
            seen: known.told.seen(),
        })
    }
}

/// A shard that was asked how a session is.
struct Asking {
    told: tokio::sync::oneshot::Receiver<Dump>,
    seen: Option<Seen>,
}

impl Asking {
    async fn told(self, until: tokio::time::Instant) -> Option<Dump> {
        let dump = tokio::time::timeout_at(until, self.told).await.ok()?.ok()?;
        Some(Dump {
            seen: self.seen,
            ..dump
        })
    }
}

/// Waits until it is known what pictures are to be sent, if they are about to come.
async fn first_picture(broadcast: &Broadcast) {
    if broadcast.announced().video == Some(false) || broadcast.phase() != Phase::Live {
        return;
    }
    let mut pictures = broadcast.video.reader(Start::LatestKey, Lag::Record);
    // Without one, what comes is sent if it can be.
    let _ = tokio::time::timeout(FIRST_PICTURE, pictures.read()).await;
}

/// Whether the viewer can be sent the pictures there are. Those that come later are sent if it can.
fn check_codec(
    broadcast: &Broadcast,
    tracks: &crate::tracks::Tracks,
    agreement: &Agreement,
) -> Result<(), Problem> {
    let forwarded = tracks.video.log.last().map(|packet| packet.codec);
    let codec = forwarded.or_else(|| match &*broadcast.video.last()?.config {
        TrackConfig::Video(VideoConfig::H264 { .. }) => Some(sfu_core::Codec::H264),
        TrackConfig::Video(VideoConfig::Vp8 { .. }) => Some(sfu_core::Codec::Vp8),
        TrackConfig::Video(VideoConfig::Vp9(_)) => Some(sfu_core::Codec::Vp9),
        TrackConfig::Video(VideoConfig::Av1 { .. }) => Some(sfu_core::Codec::Av1),
        TrackConfig::Audio(_) => None,
    });
    let Some(codec) = codec else { return Ok(()) };
    let mut video = agreement
        .tracks
        .iter()
        .filter(|track| track.kind == TrackKind::Video);
    let Some(video) = video.next() else {
        return Ok(());
    };
    if video.codecs.iter().any(|one| one.codec == codec) {
        Ok(())
    } else {
        Err(Problem::Codec(codec.as_str()))
    }
}

/// Whether pictures come, and there was no keyframe for so long that nobody can begin.
fn is_keyframe_old(broadcast: &Broadcast) -> bool {
    broadcast.video.look(|window, _| {
        let at = |offset| window.meta(offset).map(|meta| meta.at_micros);
        let Some(newest) = at(window.end().wrapping_sub(1)) else {
            return false;
        };
        let key = window.last_key().and_then(at);
        key.is_none_or(|key| newest - key > viewer::KEY_AGE_MAX_MICROS)
    })
}

/// Profile, constraints and level of the pictures.
fn profile_of(broadcast: &Broadcast) -> Option<[u8; 3]> {
    if broadcast.is_reordered() {
        return Some(rendition::PROFILE);
    }
    match &*broadcast.video.last()?.config {
        TrackConfig::Video(VideoConfig::H264 { record, .. }) => record.get(1..4)?.try_into().ok(),
        TrackConfig::Video(_) | TrackConfig::Audio(_) => None,
    }
}

fn new_password() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Tells every metric from the start: one that appears only with its first event cannot be watched.
fn tell_metrics() {
    metrics::counter!("barrage_webrtc_sessions_total").increment(0);
    metrics::counter!("barrage_webrtc_refused_total").increment(0);
    metrics::counter!("barrage_webrtc_unsent_packets_total").increment(0);
    metrics::counter!("barrage_webrtc_freezes_total").increment(0);
    metrics::counter!("barrage_webrtc_frozen_milliseconds_total").increment(0);
}
