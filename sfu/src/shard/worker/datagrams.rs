//! Datagrams: whose each is, and what it does to the session.

use std::time::Instant;

use sfu_core::ice::{self, Path};
use sfu_core::transport::Received;

use super::Worker;
use crate::publisher::Over;
use crate::publishing::Leaving;
use crate::shard::session::{connection_to, local_of};
use crate::shard::{Handed, Role, shard_of};

/// Reads of the socket in one turn.
const READS_MAX: usize = 8;

/// Peers of other shards that are remembered by where they are.
const ELSEWHERE_MAX: usize = 20_000;

impl Worker {
    /// Takes datagrams; tells whether there may be more.
    pub(super) fn receive(&mut self) -> bool {
        for _ in 0..READS_MAX {
            let mut all: Vec<Handed> = Vec::new();
            let received = self.port.receive(|peer, local, arrived, datagram| {
                all.push(Handed {
                    path: Path::Udp(peer),
                    local,
                    arrived,
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
    pub(super) fn route(&mut self, now: Instant, handed: Handed, may_hand: bool) {
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

    pub(super) fn on_datagram(&mut self, now: Instant, at: usize, handed: &Handed) {
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        let before = session.transport.ice().path();
        let received = session.transport.handle(now, handed.path, &handed.bytes);
        session.note_path(now, before);
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
                Role::Publisher(publisher) => publisher.on_rtp(now, handed.arrived, &packet),
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
        let cipher = session.transport.cipher().unwrap_or_default();
        session.history.note(
            now,
            format!("shook hands; packets are sealed with {cipher}"),
        );
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

    pub(super) fn on_over(&mut self, now: Instant, at: usize, over: &Over) {
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
    pub(super) fn transmit(&mut self, at: usize) {
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
                    if let Some(connection) = connection_to(&mut session.connections, peer) {
                        // Without room it is lost, and said again.
                        connection.add(&transmit.bytes);
                        connection.flush();
                    }
                }
            }
        }
    }
}
