//! The shards: one thread each, with its own socket on the port that all share. A session belongs
//! to one of them. What the system gives to another is handed on: who a peer's first datagram is
//! for stands in it, and the rest comes the same way.
//!
//! Here is what the rest of the process asks of them; `worker` is what they do.

mod history;
mod session;
mod tally;
mod worker;

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use mio::{Interest, Poll, Token, Waker};
use sfu_core::ice::{self, Path};
use sfu_core::transport::Transport;

use crate::connection::Arrived;
use crate::publisher::Publisher;
use crate::publishing::Leaving;
use crate::socket::Port;
use crate::stats::Dump;
use crate::viewer::Viewer;
use worker::{Worker, keep_running};

const WAKE: Token = Token(0);
const PORT: Token = Token(1);
/// The first of those that connections have.
const CONNECTIONS: usize = 2;

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
    arrived: Instant,
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

/// The user name fragment of a session: its shard, its node, and what nobody guesses.
pub(crate) fn ufrag(shard: usize, node: &str) -> String {
    format!(
        "{shard:0width$x}{node}{:012x}",
        rand::random::<u64>() >> 16,
        width = SHARD_DIGITS
    )
}

fn shard_of(ufrag: &str) -> Option<usize> {
    usize::from_str_radix(ufrag.get(..SHARD_DIGITS)?, 16).ok()
}

/// Where a socket listens, for those who are to find it.
pub(crate) fn port_of(sockets: &[UdpSocket]) -> io::Result<SocketAddr> {
    sockets[0].local_addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_tells_its_shard_and_node() {
        for shard in [0, 1, 63] {
            let name = ufrag(shard, "0123456789ab");
            assert_eq!(shard_of(&name), Some(shard));
            assert!(name[SHARD_DIGITS..].starts_with("0123456789ab"));
            assert!(name.len() >= 4 && name.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
        assert_eq!(shard_of("x"), None);
    }
}
