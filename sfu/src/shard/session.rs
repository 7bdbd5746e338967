//! One session: its transport, what it is for, and the ways on which it is reached.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use sfu_core::ice::Path;
use sfu_core::transport::Transport;

use super::Role;
use crate::burst::Burst;
use crate::connection::Connection;
use crate::exit::Exit;
use crate::publishing::Leaving;
use crate::socket::Port;
use crate::stats::Dump;
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
    pub(super) _slot: Box<dyn std::any::Any + Send>,
}

impl Session {
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

/// Whoever it was for leaves.
pub(super) fn leave(session: Session, how: Leaving) {
    if let Role::Publisher(mut publisher) = session.role {
        publisher.leave(how);
    }
}

/// How it is.
pub(super) fn dump(session: &Session, shard: usize, now: Instant) -> Dump {
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
