//! One session: its transport, what it is for, and the ways on which it is reached.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use sfu_core::ice::Path;
use sfu_core::transport::Transport;

use super::Role;
use super::history::History;
use super::tally::Tally;
use crate::burst::Burst;
use crate::connection::Connection;
use crate::exit::Exit;
use crate::publishing::Leaving;
use crate::socket::Port;
use crate::stats::{Dump, UpStats};
use crate::viewer::{Viewer, Way};

/// A session that a shard serves.
pub(super) struct Session {
    pub(super) id: Arc<str>,
    pub(super) transport: Transport,
    pub(super) role: Role,
    /// Where the peer was heard from, and where it sends to, for answers to come from there.
    pub(super) paths: Vec<(Path, Option<IpAddr>)>,
    pub(super) connections: Vec<Connection>,
    pub(super) made_at: Instant,
    pub(super) ready_by: Option<Instant>,
    pub(super) began: bool,
    pub(super) history: History,
    pub(super) tally: Tally,
    pub(super) _slot: Box<dyn std::any::Any + Send>,
}

impl Session {
    /// Remembers which way it goes, if that is another than before.
    pub(super) fn note_path(&mut self, now: Instant, before: Option<Path>) {
        if let Some(path) = self
            .transport
            .ice()
            .path()
            .filter(|path| before != Some(*path))
        {
            self.history
                .note(now, format!("reached at {}", name_of(path)));
        }
    }

    /// Adds to the metrics what is new of it.
    pub(super) fn add_up(&mut self, now: Instant) {
        match &self.role {
            Role::Publisher(publisher) => {
                let tracks: Vec<UpStats> = publisher.streams().collect();
                self.tally.add_up(now, &tracks);
            }
            Role::Viewer(viewer) => self.tally.add_down(now, &viewer.stats()),
        }
    }

    /// The viewer, if it is one whose place is known, and the way to it.
    pub(super) fn viewer<'a>(
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
            Path::Tcp(peer) => Exit::Connection(connection_to(&mut self.connections, peer)?),
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
pub(super) fn local_of(paths: &[(Path, Option<IpAddr>)], path: Path) -> Option<IpAddr> {
    let found = paths.iter().find(|(known, _)| *known == path)?;
    found.1
}

/// The connection with `peer`, among a session's.
pub(super) fn connection_to(all: &mut [Connection], peer: SocketAddr) -> Option<&mut Connection> {
    all.iter_mut().find(|one| one.peer == peer)
}

fn name_of(path: Path) -> String {
    match path {
        Path::Udp(peer) => format!("udp {peer}"),
        Path::Tcp(peer) => format!("tcp {peer}"),
    }
}

/// Whoever it was for leaves.
pub(super) fn leave(mut session: Session, how: Leaving) {
    session.add_up(Instant::now());
    if let Role::Publisher(mut publisher) = session.role {
        publisher.leave(how);
    }
}

/// How it is.
pub(super) fn dump(session: &Session, shard: usize, now: Instant) -> Dump {
    let path = session.transport.ice().path();
    let ice = session.transport.ice();
    let seconds = |since| now.saturating_duration_since(since).as_secs_f64();
    let state = match (path.is_some(), session.transport.is_ready()) {
        (_, true) => "ready",
        (true, false) => "shaking",
        (false, false) => "checking",
    };
    let mut dump = Dump {
        id: session.id.to_string(),
        publishes: matches!(session.role, Role::Publisher(_)),
        channel: String::new(),
        state,
        peer: path.map(name_of),
        paths: session
            .paths
            .iter()
            .map(|(path, _)| name_of(*path))
            .collect(),
        ufrag: ice.ufrag().to_owned(),
        silent_s: seconds(ice.heard_at()),
        cipher: session.transport.cipher(),
        history: session.history.events(),
        age_s: seconds(session.made_at),
        shard,
        forged: session.transport.forged(),
        up: Vec::new(),
        down: Vec::new(),
        seen: None,
    };
    match &session.role {
        Role::Publisher(publisher) => {
            if publisher.is_silent() {
                dump.state = "silent";
            }
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
