//! The shards: one thread each, with its own socket on the port that all share. A session belongs
//! to one of them. What the system gives to another is handed on: who a peer's first datagram is
//! for stands in it, and the rest comes the same way.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fanout::{Listener, Log};
use media::TrackKind;
use mio::{Events, Interest, Poll, Token, Waker};
use sfu_core::Packet;
use sfu_core::ice::{self, Path};
use sfu_core::transport::{Received, Transport};
use slab::Slab;

use crate::burst::Burst;
use crate::connection::{Arrived, Connection, Heard};
use crate::exit::Exit;
use crate::publisher::{Over, Publisher};
use crate::publishing::Leaving;
use crate::socket::Port;
use crate::stats::Dump;
use crate::viewer::{Viewer, Way};

const WAKE: Token = Token(0);
const PORT: Token = Token(1);
/// The first of those that connections have.
const CONNECTIONS: usize = 2;

/// Connections that a session may have: a browser tries one of each of its networks.
const CONNECTIONS_MAX: usize = 4;

/// How often publishers are looked after, who wait for what is missing, and viewers that catch up.
const TICK: Duration = Duration::from_millis(5);

/// How often all others are.
const SWEEP_EVERY: Duration = Duration::from_millis(100);

/// How long packets gather that end no picture.
const GATHER: Duration = Duration::from_millis(3);

/// Reads of the socket in one turn.
const READS_MAX: usize = 8;

/// Peers of other shards that are remembered by where they are.
const ELSEWHERE_MAX: usize = 20_000;

/// Datagrams that wait for another shard, at most; what is too many is lost as on the way.
const HANDED_MAX: usize = 4_096;

/// Digits of a user name fragment that name the shard.
const SHARD_DIGITS: usize = 2;

/// What a session is for.
pub(crate) enum Role {
    /// Somebody sends.
    Publisher(Box<Publisher>),
    /// Somebody watches.
    Viewer(Box<Viewer>),
}

/// A session on its way to its shard.
pub(crate) struct Newcomer {
    /// Its name.
    pub(crate) id: Arc<str>,
    /// How it is reached.
    pub(crate) transport: Transport,
    /// What it is for.
    pub(crate) role: Role,
    /// When it must be ready.
    pub(crate) ready_by: Instant,
    /// Given back when it is over.
    pub(crate) slot: Box<dyn std::any::Any + Send>,
}

/// What a shard is asked for.
pub(crate) enum Command {
    /// Serve this session.
    Begin(Box<Newcomer>),
    /// End a session, for this reason.
    End(Arc<str>, Leaving),
    /// Begin ICE anew: our name and password, and the peer's name.
    Restart(Arc<str>, [String; 3]),
    /// A connection for one of the sessions.
    Adopt(Box<Arrived>),
    /// Tell how a session is.
    Dump(Arc<str>, tokio::sync::oneshot::Sender<Dump>),
}

/// A datagram that came to the wrong shard.
struct Handed {
    path: Path,
    local: Option<IpAddr>,
    bytes: Box<[u8]>,
}

#[derive(Default)]
struct Inbox {
    commands: Vec<Command>,
    handed: Vec<Handed>,
    rung: Vec<u64>,
    ends: bool,
}

/// What a shard shares with the rest of the process.
pub(crate) struct Shared {
    waker: Waker,
    inbox: Mutex<Inbox>,
    sessions: AtomicUsize,
    restarts: AtomicUsize,
}

impl Shared {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        // What is in it is whole between any two statements.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // It fails only if the shard is gone, and then nobody is to be woken.
        let _ = self.waker.wake();
    }

    /// Asks the shard for something.
    pub(crate) fn ask(&self, command: Command) {
        self.inbox().commands.push(command);
        self.wake();
    }

    fn hand(&self, handed: Handed) {
        let mut inbox = self.inbox();
        if inbox.handed.len() < HANDED_MAX {
            inbox.handed.push(handed);
        }
        drop(inbox);
        self.wake();
    }
}

/// Leaves word with a shard that a log has more to read.
struct Bell {
    log: u64,
    shared: Arc<Shared>,
    rung: AtomicBool,
}

impl Listener for Bell {
    fn appended(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.shared.inbox().rung.push(self.log);
            self.shared.wake();
        }
    }
}

/// The shards of this process.
pub(crate) struct Shards {
    all: Vec<Arc<Shared>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Shards {
    /// Starts a shard on each socket.
    pub(crate) fn start(sockets: Vec<UdpSocket>) -> io::Result<Self> {
        let polls: Vec<Poll> = sockets
            .iter()
            .map(|_| Poll::new())
            .collect::<io::Result<_>>()?;
        let all = polls.iter().map(|poll| {
            Ok(Arc::new(Shared {
                waker: Waker::new(poll.registry(), WAKE)?,
                inbox: Mutex::default(),
                sessions: AtomicUsize::new(0),
                restarts: AtomicUsize::new(0),
            }))
        });
        let all: Vec<Arc<Shared>> = all.collect::<io::Result<_>>()?;
        let mut threads = Vec::new();
        for (number, (socket, poll)) in sockets.into_iter().zip(polls).enumerate() {
            let mut port = Port::new(socket)?;
            poll.registry()
                .register(&mut port.socket, PORT, Interest::READABLE)?;
            let worker = Worker::new(number, poll, port, all.clone());
            let thread = std::thread::Builder::new()
                .name(format!("webrtc-{number}"))
                .spawn(move || keep_running(worker))?;
            threads.push(thread);
        }
        Ok(Self {
            all,
            threads: Mutex::new(threads),
        })
    }

    /// The shard with the fewest sessions, and its number. It counts the newcomer at once, so that
    /// many who come together are spread out.
    pub(crate) fn choose(&self) -> (usize, Arc<Shared>) {
        let load = |shared: &&Arc<Shared>| shared.sessions.load(Ordering::Relaxed);
        let found = self
            .all
            .iter()
            .enumerate()
            .min_by_key(|(_, shared)| load(shared));
        let (number, shared) = found.expect("there is at least one");
        shared.sessions.fetch_add(1, Ordering::Relaxed);
        (number, Arc::clone(shared))
    }

    /// Gives a connection to the shard whose session it is for.
    pub(crate) fn adopt(&self, arrived: Arrived) {
        let shard = ice::addressee(&arrived.first).and_then(shard_of);
        if let Some(shard) = shard.and_then(|shard| self.all.get(shard)) {
            shard.ask(Command::Adopt(Box::new(arrived)));
        }
    }

    /// A shard by its number.
    pub(crate) fn get(&self, number: usize) -> Option<&Arc<Shared>> {
        self.all.get(number)
    }

    /// Sessions of each shard, and how often it began anew because something in it was wrong.
    pub(crate) fn counts(&self) -> Vec<(usize, usize)> {
        let each = self.all.iter().map(|shared| {
            let sessions = shared.sessions.load(Ordering::Relaxed);
            (sessions, shared.restarts.load(Ordering::Relaxed))
        });
        each.collect()
    }

    /// Says farewell to every peer, and returns when that is done. Blocks.
    pub(crate) fn end(&self) {
        for shared in &self.all {
            shared.inbox().ends = true;
            shared.wake();
        }
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            // A panic has been told where it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        self.end();
    }
}

/// The user name fragment of a session: its shard, and what nobody guesses.
pub(crate) fn ufrag(shard: usize) -> String {
    format!(
        "{shard:0width$x}{:012x}",
        rand::random::<u64>() >> 16,
        width = SHARD_DIGITS
    )
}

fn shard_of(ufrag: &str) -> Option<usize> {
    usize::from_str_radix(ufrag.get(..SHARD_DIGITS)?, 16).ok()
}

/// Runs a shard to its end. A panic costs the sessions it had and nobody who comes later.
fn keep_running(mut worker: Worker) {
    while catch_unwind(AssertUnwindSafe(|| worker.run())).is_err() {
        while catch_unwind(AssertUnwindSafe(|| worker.begin_anew())).is_err() {}
    }
}

/// A log that somebody here reads.
struct Feed {
    log: Log<Packet>,
    kind: TrackKind,
    bell: Arc<Bell>,
    seats: Vec<usize>,
    /// How far those at the end are.
    seen: u64,
    due: Option<Instant>,
}

impl Drop for Feed {
    fn drop(&mut self) {
        let listener: Arc<dyn Listener> = Arc::clone(&self.bell) as _;
        self.log.stop_listening(&listener);
    }
}

struct Session {
    id: Arc<str>,
    transport: Transport,
    role: Role,
    /// Where the peer was heard from, and where it sends to, for answers to come from there.
    paths: Vec<(Path, Option<IpAddr>)>,
    connections: Vec<Connection>,
    made_at: Instant,
    ready_by: Option<Instant>,
    began: bool,
    _slot: Box<dyn std::any::Any + Send>,
}

impl Session {
    /// The viewer, if it is one whose place is known, and the way to it.
    fn viewer<'a>(
        &'a mut self,
        port: &'a Port,
        burst: &'a mut Burst,
    ) -> Option<(&'a mut Viewer, Way<'a>)> {
        let (Role::Viewer(viewer), Some(path)) = (&mut self.role, self.transport.ice().path())
        else {
            return None;
        };
        let exit = match path {
            Path::Udp(to) => Exit::Port {
                port,
                to,
                from: local_of(&self.paths, path),
            },
            Path::Tcp(peer) => {
                let mut all = self.connections.iter_mut();
                Exit::Connection(all.find(|one| one.peer == peer)?)
            }
        };
        let way = Way {
            transport: &mut self.transport,
            exit,
            burst,
        };
        Some((viewer, way))
    }
}

/// Where on this machine a peer on `path` sends to.
fn local_of(paths: &[(Path, Option<IpAddr>)], path: Path) -> Option<IpAddr> {
    let found = paths.iter().find(|(known, _)| *known == path)?;
    found.1
}

struct Worker {
    number: usize,
    poll: Poll,
    port: Port,
    shared: Arc<Shared>,
    others: Vec<Arc<Shared>>,
    sessions: Slab<Session>,
    by_id: HashMap<Arc<str>, usize>,
    by_ufrag: HashMap<String, usize>,
    by_path: HashMap<Path, usize>,
    elsewhere: HashMap<Path, usize>,
    feeds: HashMap<u64, Feed>,
    /// Whose each connection is, by its token.
    connections: Slab<(usize, SocketAddr)>,
    /// Connections of which not everything has been read.
    unread: Vec<Token>,
    burst: Burst,
    /// Those who are looked after at each tick: who publishes, and who watches and is behind.
    publishers: Vec<usize>,
    behind: Vec<usize>,
    swept_at: Instant,
    ticked_at: Instant,
    ends: bool,
}

impl Worker {
    fn new(number: usize, poll: Poll, port: Port, all: Vec<Arc<Shared>>) -> Self {
        Self {
            number,
            poll,
            port,
            shared: Arc::clone(&all[number]),
            others: all,
            sessions: Slab::new(),
            by_id: HashMap::new(),
            by_ufrag: HashMap::new(),
            by_path: HashMap::new(),
            elsewhere: HashMap::new(),
            feeds: HashMap::new(),
            connections: Slab::new(),
            unread: Vec::new(),
            burst: Burst::default(),
            publishers: Vec::new(),
            behind: Vec::new(),
            swept_at: Instant::now(),
            ticked_at: Instant::now(),
            ends: false,
        }
    }

    fn run(&mut self) {
        let mut events = Events::with_capacity(64);
        let mut unread = false;
        while !self.ends {
            // 1. Wait.
            let timeout = if unread || !self.unread.is_empty() {
                Duration::ZERO
            } else {
                self.timeout()
            };
            if let Err(error) = self.poll.poll(&mut events, Some(timeout))
                && error.kind() != io::ErrorKind::Interrupted
            {
                // The system's own bookkeeping is broken; nobody can be served.
                tracing::error!(%error, "a WebRTC shard cannot wait for its socket");
                self.ends = true;
            }
            // 2. Hear.
            if unread || events.iter().any(|event| event.token() == PORT) {
                unread = self.receive();
            }
            self.serve_connections(&events);
            self.take_inbox();
            // 3. Write what is due.
            let now = Instant::now();
            self.write_due(now);
            if now >= self.ticked_at + TICK && self.is_ticking() {
                self.ticked_at = now;
                self.tick(now);
            }
            if now >= self.swept_at + SWEEP_EVERY {
                self.swept_at = now;
                self.sweep(now);
            }
        }
        self.farewell();
    }

    /// Forgets the sessions, which something wrong has left in an unknown state.
    fn begin_anew(&mut self) {
        self.feeds.clear();
        self.by_id.clear();
        self.by_ufrag.clear();
        self.by_path.clear();
        self.connections.clear();
        self.unread.clear();
        self.publishers.clear();
        self.behind.clear();
        self.burst = Burst::default();
        while let Some(at) = self.sessions.iter().next().map(|(at, _)| at) {
            let session = self.sessions.remove(at);
            self.shared.sessions.fetch_sub(1, Ordering::Relaxed);
            leave(session, Leaving::Vanished);
        }
        self.shared.restarts.fetch_add(1, Ordering::Relaxed);
    }

    fn is_ticking(&self) -> bool {
        !self.publishers.is_empty() || !self.behind.is_empty()
    }

    fn timeout(&self) -> Duration {
        let now = Instant::now();
        let sweep = (self.swept_at + SWEEP_EVERY).saturating_duration_since(now);
        let tick = if self.is_ticking() {
            (self.ticked_at + TICK).saturating_duration_since(now)
        } else {
            sweep
        };
        let due = self.feeds.values().filter_map(|feed| feed.due).min();
        let due = due.map_or(sweep, |due| due.saturating_duration_since(now));
        sweep.min(tick).min(due)
    }

    // ---- what comes ------------------------------------------------------------------------------

    /// Takes datagrams; tells whether there may be more.
    fn receive(&mut self) -> bool {
        for _ in 0..READS_MAX {
            let mut all: Vec<Handed> = Vec::new();
            let received = self.port.receive(|peer, local, datagram| {
                all.push(Handed {
                    path: Path::Udp(peer),
                    local,
                    bytes: datagram.into(),
                });
            });
            let now = Instant::now();
            for handed in all {
                self.route(now, handed, true);
            }
            match received {
                Ok(true) => {}
                // An error is of one datagram that was sent, such as that nobody was there.
                Ok(false) | Err(_) => return false,
            }
        }
        true
    }

    /// Gives a datagram to the session, or to the shard, that it is for. What was handed on once is
    /// not handed on again.
    fn route(&mut self, now: Instant, handed: Handed, may_hand: bool) {
        if let Some(&at) = self.by_path.get(&handed.path)
            && !ice::is_stun(&handed.bytes)
        {
            return self.on_datagram(now, at, &handed);
        }
        if let Some(ufrag) = ice::addressee(&handed.bytes) {
            // Who has just been made a session, or had it changed, may be here before word of that.
            self.take_commands(now);
            if let Some(&at) = self.by_ufrag.get(ufrag) {
                return self.on_datagram(now, at, &handed);
            }
            let shard = shard_of(ufrag).filter(|shard| *shard != self.number);
            if let Some(shard) = shard.filter(|shard| may_hand && *shard < self.others.len()) {
                if self.elsewhere.len() >= ELSEWHERE_MAX
                    && let Some(some) = self.elsewhere.keys().next().copied()
                {
                    self.elsewhere.remove(&some);
                }
                self.elsewhere.insert(handed.path, shard);
                self.others[shard].hand(handed);
            }
            return;
        }
        if may_hand && let Some(&shard) = self.elsewhere.get(&handed.path) {
            self.others[shard].hand(handed);
        }
    }

    fn on_datagram(&mut self, now: Instant, at: usize, handed: &Handed) {
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        let received = session.transport.handle(now, handed.path, &handed.bytes);
        if session.transport.ice().knows(handed.path) {
            let found = session
                .paths
                .iter_mut()
                .find(|(path, _)| *path == handed.path);
            match found {
                Some((_, local)) => *local = handed.local.or(*local),
                None => {
                    let ice = session.transport.ice();
                    session.paths.retain(|(path, _)| {
                        let known = ice.knows(*path);
                        if !known && self.by_path.get(path) == Some(&at) {
                            self.by_path.remove(path);
                        }
                        known
                    });
                    session.paths.push((handed.path, handed.local));
                    self.by_path.insert(handed.path, at);
                }
            }
            // Its signed questions say whose it is, whoever else claimed it.
            if ice::is_stun(&handed.bytes) {
                self.by_path.insert(handed.path, at);
            }
        }
        let over = match received {
            Ok(Received::Nothing) => Ok(()),
            Ok(Received::Ready) => {
                // Our last word of the handshake first: without it the peer can open nothing.
                self.transmit(at);
                self.on_ready(now, at);
                return self.transmit(at);
            }
            Ok(Received::Rtp(packet)) => match &mut session.role {
                Role::Publisher(publisher) => publisher.on_rtp(now, &packet),
                Role::Viewer(_) => Ok(()),
            },
            Ok(Received::Rtcp(compound)) => {
                self.on_rtcp(now, at, &compound);
                Ok(())
            }
            Ok(Received::Closed) => {
                self.transmit(at);
                return self.remove(at, Leaving::Finished, "the peer ended it");
            }
            Err(error) => {
                self.transmit(at);
                return self.remove(at, Leaving::Vanished, &error.to_string());
            }
        };
        self.transmit(at);
        if let Err(over) = over {
            self.on_over(now, at, &over);
        }
    }

    fn on_ready(&mut self, now: Instant, at: usize) {
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        session.ready_by = None;
        if std::mem::replace(&mut session.began, true) {
            return;
        }
        tracing::debug!(session.id = %session.id, "media can flow");
        match &mut session.role {
            Role::Publisher(publisher) => {
                if let Err(over) = publisher.enter(now) {
                    self.on_over(now, at, &over);
                }
            }
            Role::Viewer(viewer) => {
                viewer.begin(now);
                let kinds = viewer.kinds();
                let logs = kinds.iter().map(|kind| viewer.tracks.track(*kind).log.id());
                let logs: Vec<u64> = logs.collect();
                for kind in kinds {
                    self.join(at, kind);
                }
                self.catch_up(now, at);
                // One that has ended meanwhile rings no more.
                for log in logs {
                    self.on_ring(now, log);
                }
            }
        }
    }

    fn on_over(&mut self, now: Instant, at: usize, over: &Over) {
        let (how, why) = match over {
            Over::Taken => (Leaving::Finished, "somebody else publishes to the channel"),
            Over::Silent => (Leaving::Vanished, "the publisher sends nothing"),
            Over::Unusable(why) => (Leaving::Unusable, why.as_str()),
        };
        if let Some(session) = self.sessions.get_mut(at) {
            session.transport.close(now);
        }
        self.transmit(at);
        self.remove(at, how, why);
    }

    fn on_rtcp(&mut self, now: Instant, at: usize, compound: &[u8]) {
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        if let Role::Publisher(publisher) = &mut session.role {
            return publisher.on_rtcp(now, compound);
        }
        if let Some((viewer, mut way)) = session.viewer(&self.port, &mut self.burst) {
            viewer.on_rtcp(now, compound, &mut way);
            if viewer.is_behind() && !self.behind.contains(&at) {
                self.behind.push(at);
            }
        }
    }

    /// Sends what the session has to say besides media.
    fn transmit(&mut self, at: usize) {
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        for transmit in session.transport.take_transmits() {
            match transmit.path {
                Path::Udp(peer) => {
                    let local = local_of(&session.paths, transmit.path);
                    self.port.send(peer, local, &transmit.bytes, None);
                }
                Path::Tcp(peer) => {
                    let mut all = session.connections.iter_mut();
                    if let Some(connection) = all.find(|one| one.peer == peer) {
                        // Without room it is lost, and said again.
                        connection.add(&transmit.bytes);
                        connection.flush();
                    }
                }
            }
        }
    }

    // ---- connections -----------------------------------------------------------------------------

    /// Gives a connection to the session that its first words are for.
    fn adopt(&mut self, now: Instant, arrived: Arrived) {
        let Arrived {
            stream,
            peer,
            first,
        } = arrived;
        let found = ice::addressee(&first).and_then(|ufrag| self.by_ufrag.get(ufrag).copied());
        let Some(at) = found else { return };
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        if session.connections.len() == CONNECTIONS_MAX {
            // The oldest that is not in use: one of a network that is gone tells nobody.
            let path = session.transport.ice().path();
            let mut all = session.connections.iter();
            let unused = all.find(|one| path != Some(Path::Tcp(one.peer)));
            if let Some(token) = unused.map(|one| one.token) {
                self.disconnect(token);
            }
        }
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        let entry = self.connections.vacant_entry();
        let token = Token(entry.key() + CONNECTIONS);
        let mut connection = Connection::new(stream, peer, token);
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered = self
            .poll
            .registry()
            .register(&mut connection.stream, token, interest);
        if registered.is_err() {
            return;
        }
        entry.insert((at, peer));
        session.connections.push(connection);
        self.on_framed(now, at, peer, &first);
        // Whose first words are not signed has no business here.
        let knows = |session: &Session| session.transport.ice().knows(Path::Tcp(peer));
        if !self.sessions.get(at).is_some_and(knows) {
            self.disconnect(token);
        }
        self.unread.push(token);
    }

    fn on_framed(&mut self, now: Instant, at: usize, peer: SocketAddr, datagram: &[u8]) {
        let handed = Handed {
            path: Path::Tcp(peer),
            local: None,
            bytes: datagram.into(),
        };
        self.on_datagram(now, at, &handed);
    }

    fn serve_connections(&mut self, events: &Events) {
        let mut readable = std::mem::take(&mut self.unread);
        for event in events {
            let Some(number) = event.token().0.checked_sub(CONNECTIONS) else {
                continue;
            };
            readable.push(event.token());
            if event.is_writable()
                && let Some(&(at, peer)) = self.connections.get(number)
                && let Some(session) = self.sessions.get_mut(at)
                && let Some(one) = session.connections.iter_mut().find(|one| one.peer == peer)
            {
                one.flush();
            }
        }
        for token in readable {
            self.read_connection(token);
        }
    }

    fn read_connection(&mut self, token: Token) {
        let Some(&(at, peer)) = self.connections.get(token.0 - CONNECTIONS) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        let mut all = session.connections.iter_mut();
        let Some(connection) = all.find(|one| one.token == token) else {
            return;
        };
        let mut datagrams: Vec<Box<[u8]>> = Vec::new();
        let heard = connection.receive(|datagram| datagrams.push(datagram.into()));
        let now = Instant::now();
        for datagram in datagrams {
            self.on_framed(now, at, peer, &datagram);
        }
        match heard {
            Heard::All => {}
            Heard::More => self.unread.push(token),
            Heard::Closed => self.disconnect(token),
        }
    }

    /// A connection is over; its session goes on if it has another way, or finds one in time.
    fn disconnect(&mut self, token: Token) {
        let Some((at, peer)) = self.connections.try_remove(token.0 - CONNECTIONS) else {
            return;
        };
        let path = Path::Tcp(peer);
        if self.by_path.get(&path) == Some(&at) {
            self.by_path.remove(&path);
        }
        if let Some(session) = self.sessions.get_mut(at) {
            session.connections.retain(|one| one.token != token);
            session.paths.retain(|(known, _)| *known != path);
            session.transport.ice_mut().forget(path);
        }
    }

    // ---- coming and going ------------------------------------------------------------------------

    fn take_commands(&mut self, now: Instant) {
        let commands = std::mem::take(&mut self.shared.inbox().commands);
        for command in commands {
            self.obey(now, command);
        }
    }

    fn take_inbox(&mut self) {
        let now = Instant::now();
        self.take_commands(now);
        let (handed, rung) = {
            let mut inbox = self.shared.inbox();
            self.ends |= inbox.ends;
            (
                std::mem::take(&mut inbox.handed),
                std::mem::take(&mut inbox.rung),
            )
        };
        for handed in handed {
            self.route(now, handed, false);
        }
        for log in rung {
            self.on_ring(now, log);
        }
    }

    fn obey(&mut self, now: Instant, command: Command) {
        match command {
            Command::Begin(newcomer) => self.begin(now, *newcomer),
            Command::End(id, how) => {
                let Some(&at) = self.by_id.get(&id) else {
                    return;
                };
                if let Some(session) = self.sessions.get_mut(at) {
                    session.transport.close(now);
                }
                self.transmit(at);
                self.remove(at, how, "it was ended");
            }
            Command::Restart(id, [ufrag, password, remote]) => {
                let Some(&at) = self.by_id.get(&id) else {
                    return;
                };
                let Some(session) = self.sessions.get_mut(at) else {
                    return;
                };
                self.by_ufrag.remove(session.transport.ice().ufrag());
                self.by_ufrag.insert(ufrag.clone(), at);
                session.transport.ice_mut().restart(ufrag, password, remote);
            }
            Command::Adopt(arrived) => self.adopt(now, *arrived),
            Command::Dump(id, answer) => {
                let at = self.by_id.get(&id);
                if let Some(session) = at.and_then(|at| self.sessions.get(*at)) {
                    // Whoever asked may have gone.
                    let _ = answer.send(dump(session, self.number, now));
                }
            }
        }
    }

    fn begin(&mut self, now: Instant, newcomer: Newcomer) {
        let Newcomer {
            id,
            transport,
            role,
            ready_by,
            slot,
        } = newcomer;
        let publishes = matches!(role, Role::Publisher(_));
        let ufrag = transport.ice().ufrag().to_owned();
        let at = self.sessions.insert(Session {
            id: Arc::clone(&id),
            transport,
            role,
            paths: Vec::new(),
            connections: Vec::new(),
            made_at: now,
            ready_by: Some(ready_by),
            began: false,
            _slot: slot,
        });
        if publishes {
            self.publishers.push(at);
        }
        self.by_ufrag.insert(ufrag, at);
        self.by_id.insert(id, at);
    }

    fn remove(&mut self, at: usize, how: Leaving, why: &str) {
        let Some(session) = self.sessions.try_remove(at) else {
            return;
        };
        tracing::info!(session.id = %session.id, why, "a WebRTC session is over");
        self.shared.sessions.fetch_sub(1, Ordering::Relaxed);
        self.by_id.remove(&session.id);
        self.by_ufrag.remove(session.transport.ice().ufrag());
        for (path, _) in &session.paths {
            if self.by_path.get(path) == Some(&at) {
                self.by_path.remove(path);
            }
        }
        for connection in &session.connections {
            self.connections
                .try_remove(connection.token.0 - CONNECTIONS);
        }
        match &session.role {
            Role::Publisher(_) => self.publishers.retain(|one| *one != at),
            Role::Viewer(viewer) => {
                self.behind.retain(|one| *one != at);
                for kind in viewer.kinds() {
                    let log = viewer.tracks.track(kind).log.id();
                    if let Some(feed) = self.feeds.get_mut(&log) {
                        feed.seats.retain(|seat| *seat != at);
                        if feed.seats.is_empty() {
                            self.feeds.remove(&log);
                        }
                    }
                }
            }
        }
        leave(session, how);
    }

    fn farewell(&mut self) {
        let now = Instant::now();
        let all: Vec<usize> = self.sessions.iter().map(|(at, _)| at).collect();
        for at in all {
            self.sessions[at].transport.close(now);
            self.transmit(at);
            self.remove(at, Leaving::Drained, "the server ends");
        }
    }

    // ---- what goes -------------------------------------------------------------------------------

    fn join(&mut self, at: usize, kind: TrackKind) {
        let Role::Viewer(viewer) = &self.sessions[at].role else {
            return;
        };
        let log = &viewer.tracks.track(kind).log;
        let feed = self.feeds.entry(log.id()).or_insert_with(|| {
            let bell = Arc::new(Bell {
                log: log.id(),
                shared: Arc::clone(&self.shared),
                rung: AtomicBool::new(false),
            });
            log.listen(Arc::clone(&bell) as Arc<dyn Listener>);
            Feed {
                log: log.clone(),
                kind,
                bell,
                seats: Vec::new(),
                seen: log.look(|window, _| window.end()),
                due: None,
            }
        });
        feed.seats.push(at);
    }

    fn on_ring(&mut self, now: Instant, log: u64) {
        let Some(feed) = self.feeds.get_mut(&log) else {
            return;
        };
        feed.bell.rung.store(false, Ordering::Release);
        // A picture goes out in one go; what ends none waits for its end, though not for long.
        let (ended, whole) = feed.log.look(|window, ended| {
            let newest = window.get(window.end().wrapping_sub(1));
            (ended, newest.is_some_and(|packet| packet.marker))
        });
        let soon = if whole || feed.kind == TrackKind::Audio {
            now
        } else {
            now + GATHER
        };
        feed.due = Some(feed.due.map_or(soon, |due| due.min(soon)));
        if ended {
            let over = feed.seats.clone();
            for at in over {
                if let Some(session) = self.sessions.get_mut(at) {
                    session.transport.close(now);
                }
                self.transmit(at);
                self.remove(at, Leaving::Finished, "the broadcast is over");
            }
        }
    }

    fn write_due(&mut self, now: Instant) {
        let due: Vec<u64> = self
            .feeds
            .iter()
            .filter(|(_, feed)| feed.due.is_some_and(|due| due <= now))
            .map(|(log, _)| *log)
            .collect();
        for log in due {
            self.write(log);
        }
    }

    fn write(&mut self, log: u64) {
        let Some(feed) = self.feeds.get_mut(&log) else {
            return;
        };
        feed.due = None;
        let (packets, end) = feed.log.look(|window, _| {
            let from = feed.seen.max(window.first());
            let new = (from..window.end()).filter_map(|offset| window.get(offset).cloned());
            (new.collect::<Vec<Packet>>(), window.end())
        });
        feed.seen = end;
        if packets.is_empty() {
            return;
        }
        for &at in &feed.seats {
            let Some(session) = self.sessions.get_mut(at) else {
                continue;
            };
            let Some((viewer, mut way)) = session.viewer(&self.port, &mut self.burst) else {
                continue;
            };
            viewer.write_live(feed.kind, &packets, &mut way);
        }
    }

    /// Sends a viewer what it lacks; who lacks more then is behind.
    fn catch_up(&mut self, now: Instant, at: usize) {
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        if let Some((viewer, mut way)) = session.viewer(&self.port, &mut self.burst) {
            // What those at the end have been sent already is the end.
            viewer.catch_up(now, &mut way, |log| {
                self.feeds.get(&log).map(|feed| feed.seen)
            });
        }
        if let Role::Viewer(viewer) = &session.role
            && viewer.is_behind()
        {
            self.behind.push(at);
        }
    }

    // ---- as time goes by -------------------------------------------------------------------------

    fn tick(&mut self, now: Instant) {
        for at in self.publishers.clone() {
            let Some(session) = self.sessions.get_mut(at) else {
                continue;
            };
            let Role::Publisher(publisher) = &mut session.role else {
                continue;
            };
            if !session.began {
                continue;
            }
            let over = publisher.tick(now);
            let said = publisher.poll_rtcp(now);
            if !said.is_empty() {
                session.transport.send_rtcp(&said);
            }
            self.transmit(at);
            if let Err(over) = over {
                self.on_over(now, at, &over);
            }
        }
        for at in std::mem::take(&mut self.behind) {
            self.catch_up(now, at);
        }
    }

    fn sweep(&mut self, now: Instant) {
        let all: Vec<usize> = self.sessions.iter().map(|(at, _)| at).collect();
        for at in all {
            let Some(session) = self.sessions.get_mut(at) else {
                continue;
            };
            if session.ready_by.is_some_and(|by| by <= now) {
                self.remove(at, Leaving::Vanished, "the peer was not found in time");
                continue;
            }
            if session.transport.ice().is_silent(now) {
                self.remove(at, Leaving::Vanished, "the peer is silent");
                continue;
            }
            if session
                .transport
                .poll_timeout()
                .is_some_and(|due| due <= now)
                && let Err(error) = session.transport.handle_timeout(now)
            {
                self.remove(at, Leaving::Vanished, &error.to_string());
                continue;
            }
            if let Role::Viewer(viewer) = &mut session.role
                && session.began
            {
                let said = viewer.poll_rtcp(now);
                if !said.is_empty() {
                    session.transport.send_rtcp(&said);
                }
            }
            self.transmit(at);
        }
    }
}

fn leave(session: Session, how: Leaving) {
    if let Role::Publisher(mut publisher) = session.role {
        publisher.leave(how);
    }
}

fn dump(session: &Session, shard: usize, now: Instant) -> Dump {
    let path = session.transport.ice().path();
    let peer = path.map(|path| match path {
        Path::Udp(peer) => format!("udp {peer}"),
        Path::Tcp(peer) => format!("tcp {peer}"),
    });
    let state = match (path.is_some(), session.transport.is_ready()) {
        (_, true) => "ready",
        (true, false) => "shaking",
        (false, false) => "checking",
    };
    let mut dump = Dump {
        publishes: matches!(session.role, Role::Publisher(_)),
        channel: String::new(),
        state,
        peer,
        age_s: now.saturating_duration_since(session.made_at).as_secs_f64(),
        shard,
        forged: session.transport.forged(),
        up: Vec::new(),
        down: Vec::new(),
        seen: None,
    };
    match &session.role {
        Role::Publisher(publisher) => {
            publisher.handle().as_str().clone_into(&mut dump.channel);
            dump.up = publisher.streams().collect();
        }
        Role::Viewer(viewer) => {
            viewer
                .tracks
                .broadcast
                .handle
                .as_str()
                .clone_into(&mut dump.channel);
            dump.down = viewer.stats();
        }
    }
    dump
}

/// Where a socket listens, for those who are to find it.
pub(crate) fn port_of(sockets: &[UdpSocket]) -> io::Result<SocketAddr> {
    sockets[0].local_addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_tells_its_shard() {
        for shard in [0, 1, 63] {
            let name = ufrag(shard);
            assert_eq!(shard_of(&name), Some(shard));
            assert!(name.len() >= 4 && name.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
        assert_eq!(shard_of("x"), None);
    }
}
