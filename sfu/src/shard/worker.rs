//! What a shard does: hears, looks after its sessions as time goes by, and writes what is due.

mod connections;
mod datagrams;
mod feeds;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use sfu_core::ice::Path;
use slab::Slab;

use super::history::History;
use super::session::{Session, dump, leave};
use super::tally::Tally;
use super::{CONNECTIONS, Command, Newcomer, PORT, Role, Shared};
use crate::burst::Burst;
use crate::publishing::Leaving;
use crate::socket::Port;
use feeds::Feed;

/// How often publishers are looked after, who wait for what is missing, and viewers that catch up.
const TICK: Duration = Duration::from_millis(5);

/// How often all others are.
const SWEEP_EVERY: Duration = Duration::from_millis(100);

/// Runs a shard to its end. A panic costs the sessions it had and nobody who comes later.
pub(super) fn keep_running(mut worker: Worker) {
    while catch_unwind(AssertUnwindSafe(|| worker.run())).is_err() {
        while catch_unwind(AssertUnwindSafe(|| worker.begin_anew())).is_err() {}
    }
}

pub(super) struct Worker {
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
    pub(super) fn new(number: usize, poll: Poll, port: Port, all: Vec<Arc<Shared>>) -> Self {
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
                let ice = session.transport.ice_mut();
                ice.restart(now, ufrag, password, remote);
                session.history.note(now, "began ICE anew");
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
            history: History::new(now),
            tally: Tally::new(now),
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
            if session.began && session.tally.is_due(now) {
                session.add_up(now);
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
