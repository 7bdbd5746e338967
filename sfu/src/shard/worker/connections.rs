//! Connections of those who cannot send datagrams.

use std::net::SocketAddr;
use std::time::Instant;

use mio::{Events, Interest, Token};
use sfu_core::ice::{self, Path};

use super::Worker;
use crate::connection::{Arrived, Connection, Heard};
use crate::shard::session::connection_to;
use crate::shard::{CONNECTIONS, Handed};

/// Connections that a session may have: a browser tries one of each of its networks.
const CONNECTIONS_MAX: usize = 4;

impl Worker {
    /// Gives a connection to the session that its first words are for.
    pub(super) fn adopt(&mut self, now: Instant, arrived: Arrived) {
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
        // Whose first words are not signed has no business here, and takes nobody's place.
        if !session.transport.is_signed(&first) {
            return;
        }
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
        // Whoever wants to be asked is told that nobody asks here, and has no path.
        let session = self.sessions.get(at);
        if !session.is_some_and(|session| session.transport.ice().knows(Path::Tcp(peer))) {
            self.disconnect(token);
        }
        self.unread.push(token);
    }

    fn on_framed(&mut self, now: Instant, at: usize, peer: SocketAddr, datagram: &[u8]) {
        let handed = Handed {
            path: Path::Tcp(peer),
            local: None,
            arrived: now,
            bytes: datagram.into(),
        };
        self.on_datagram(now, at, &handed);
    }

    pub(super) fn serve_connections(&mut self, events: &Events) {
        let mut readable = std::mem::take(&mut self.unread);
        for event in events {
            let Some(number) = event.token().0.checked_sub(CONNECTIONS) else {
                continue;
            };
            readable.push(event.token());
            if event.is_writable()
                && let Some(&(at, peer)) = self.connections.get(number)
                && let Some(session) = self.sessions.get_mut(at)
                && let Some(one) = connection_to(&mut session.connections, peer)
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
}
