//! One thread with a share of a room's viewers.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use bytes::{Buf as _, Bytes};
use mio::event::Event;
use mio::{Events, Poll, Token};
use slab::Slab;

use super::member::{Dialect, Hearing, Member, Places};
use super::tally::Tally;
use crate::http::{UPGRADE, get};
use crate::place::Place;
use crate::tell::Arrivals;
use crate::times::Window;
use crate::usage::Turn;
use crate::wire::Wire;

const READ_BYTES: usize = 256 * 1024;
const EVENTS: usize = 1024;
const TICK: Duration = Duration::from_millis(50);
/// Connections that are being made at once: a server's queue of those who come is not endless.
const CONNECTING_MAX: usize = 256;
/// All has been heard when nothing came for this long after the window.
const QUIET: Duration = Duration::from_millis(800);
/// And it is not waited for longer than this.
const DRAIN_MAX: Duration = Duration::from_secs(20);
const SUBPROTOCOL: &str = "Sec-WebSocket-Protocol: barrage.v1.msgpack\r\n";

/// What a row has to do.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) place: Place,
    pub(crate) dialect: Dialect,
    /// When each viewer comes, in order.
    pub(crate) arrivals: VecDeque<Instant>,
    /// So many of them look at every message.
    pub(crate) looks: usize,
    pub(crate) window: Window,
    /// When everybody is cut off, and comes back at once.
    pub(crate) cut_at: Option<Instant>,
    pub(crate) progress: Arc<Progress>,
}

/// What is told while it runs.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) arrivals: Arrivals,
    /// Plain messages that were said.
    pub(crate) said: AtomicUsize,
}

/// What came of a row.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    /// What the thread had of its processor within the window.
    pub(crate) turn: Option<Turn>,
}

struct Connection {
    wire: Wire,
    member: usize,
    unwritten: Bytes,
}

pub(crate) struct Row {
    plan: Plan,
    poll: Poll,
    connections: Slab<Connection>,
    members: Vec<Member>,
    /// Those who want to come: who, and where they were.
    coming: VecDeque<(usize, Option<String>)>,
    connecting: usize,
    tally: Tally,
    buffer: Vec<u8>,
    read_at: Instant,
}

impl Row {
    pub(crate) fn new(plan: Plan) -> anyhow::Result<Self> {
        Ok(Self {
            poll: Poll::new().context("failed to make a poll")?,
            connections: Slab::new(),
            members: Vec::with_capacity(plan.arrivals.len()),
            coming: VecDeque::new(),
            connecting: 0,
            tally: Tally::default(),
            buffer: vec![0; READ_BYTES],
            read_at: Instant::now(),
            plan,
        })
    }

    /// Runs until all that was said in the window has been heard.
    pub(crate) fn run(mut self) -> anyhow::Result<Outcome> {
        let mut events = Events::with_capacity(EVENTS);
        let (mut before, mut turn) = (None, None);
        loop {
            let now = Instant::now();
            if self.is_over(now) {
                break;
            }
            if before.is_none() && now >= self.plan.window.from {
                before = Turn::of_this_thread();
            }
            if turn.is_none() && now >= self.plan.window.until {
                turn = before.and_then(|before| Some(Turn::of_this_thread()?.since(before)));
            }
            if self.plan.cut_at.is_some_and(|at| at <= now) {
                self.cut(now);
            }
            self.let_in(now);
            match self.poll.poll(&mut events, Some(self.wait(now))) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
            for event in &events {
                self.serve(event);
            }
        }
        self.close();
        Ok(Outcome {
            tally: self.tally,
            turn,
        })
    }

    fn is_over(&self, now: Instant) -> bool {
        let nobody_comes = self.plan.arrivals.is_empty() && self.coming.is_empty();
        if nobody_comes && self.connections.is_empty() {
            return true;
        }
        let until = self.plan.window.until;
        let quiet = now.saturating_duration_since(self.read_at.max(until));
        now >= until + DRAIN_MAX || (now >= until && quiet >= QUIET)
    }

    /// Polls take whole milliseconds and round them up; who is to come in the middle of one is worth
    /// a few turns for nothing.
    fn wait(&self, now: Instant) -> Duration {
        if !self.coming.is_empty() && self.connecting < CONNECTING_MAX {
            return Duration::ZERO;
        }
        let next = [self.plan.arrivals.front().copied(), self.plan.cut_at];
        let next = next.into_iter().flatten().min().unwrap_or(now + TICK);
        let wait = next.min(now + TICK).saturating_duration_since(now);
        Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
    }

    fn let_in(&mut self, now: Instant) {
        while let Some(due) = self.plan.arrivals.pop_front_if(|due| *due <= now) {
            let number = self.members.len();
            let looks = number < self.plan.looks;
            let member = Member::new(self.plan.dialect, looks, due);
            self.members.push(member);
            self.coming.push_back((number, None));
        }
        while self.connecting < CONNECTING_MAX
            && let Some((member, since)) = self.coming.pop_front()
        {
            if let Err(error) = self.connect(member, since) {
                self.leave(member, &error);
            }
        }
    }

    fn connect(&mut self, member: usize, since: Option<String>) -> anyhow::Result<()> {
        let place = &self.plan.place;
        let mut path = place.path();
        if let Some(since) = since {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str("since=");
            path.push_str(&since);
        }
        let mut headers = UPGRADE.to_owned();
        if self.plan.dialect == Dialect::Barrage {
            headers.push_str(SUBPROTOCOL);
        }
        let entry = self.connections.vacant_entry();
        let wire = Wire::dial(place, self.poll.registry(), Token(entry.key()))?;
        entry.insert(Connection {
            wire,
            member,
            unwritten: get(&path, place.host(), &headers),
        });
        self.connecting += 1;
        Ok(())
    }

    /// Everybody is cut off, and wants to come back.
    fn cut(&mut self, now: Instant) {
        self.plan.cut_at = None;
        self.connecting = 0;
        let connections: Vec<Connection> = self.connections.drain().collect();
        for connection in connections {
            connection.wire.cut();
            let since = self.members[connection.member].return_at(now);
            self.coming.push_back((connection.member, since));
        }
    }

    fn serve(&mut self, event: &Event) {
        let key = event.token().0;
        let Some(connection) = self.connections.get(key) else {
            return;
        };
        let member = connection.member;
        if let Err(error) = self.read_and_write(key, event) {
            self.connections.remove(key);
            if !self.members[member].is_whole() {
                self.connecting = self.connecting.saturating_sub(1);
            }
            self.leave(member, &error);
        }
    }

    fn read_and_write(&mut self, key: usize, event: &Event) -> anyhow::Result<()> {
        let connection = &mut self.connections[key];
        let member = &mut self.members[connection.member];
        if event.is_writable() {
            connection.write(member)?;
        }
        loop {
            let length = match connection.wire.read(&mut self.buffer) {
                Ok(0) => bail!("the server ended the connection"),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("the connection broke"),
            };
            let now = Instant::now();
            self.read_at = now;
            let (had_joined, was_whole) = (member.has_joined(), member.is_whole());
            let before = member.heard();
            let mut hearing = Hearing {
                tally: &mut self.tally,
                window: self.plan.window,
                now,
            };
            member.handle_input(&self.buffer[..length], &mut hearing)?;
            if self.plan.window.has(now) {
                self.tally.window_bytes += length as u64;
                self.tally.window_reads += 1;
                self.tally.window_items += member.heard() - before;
            }
            if !had_joined && member.has_joined() {
                self.plan
                    .progress
                    .arrivals
                    .joined
                    .fetch_add(1, Ordering::Relaxed);
            }
            if !was_whole && member.is_whole() {
                self.connecting = self.connecting.saturating_sub(1);
            }
            connection.write(member)?;
            // A plain socket that gives less than it might is empty, and says so when it no longer is.
            if length < READ_BYTES && matches!(connection.wire, Wire::Plain(_)) {
                return Ok(());
            }
        }
    }

    /// One viewer's connection ends before the time is over.
    fn leave(&mut self, member: usize, error: &anyhow::Error) {
        if self.members[member].has_joined() {
            self.tally.lost += 1;
        } else {
            self.tally.failed += 1;
            self.plan
                .progress
                .arrivals
                .failed
                .fetch_add(1, Ordering::Relaxed);
        }
        self.tally.errors.add(error);
    }

    /// The time is over: what did each hear of what there was?
    fn close(&mut self) {
        let mut places = Places::default();
        for member in self.members.iter().filter_map(Member::places) {
            for (most, place) in places.iter_mut().zip(member) {
                *most = place.max(*most);
            }
        }
        let said = self.plan.progress.said.load(Ordering::Relaxed) as u64;
        for (_, connection) in &self.connections {
            let member = &self.members[connection.member];
            if member.has_joined() {
                self.tally.items.add(member.reconcile(&places, said));
            } else {
                self.tally.failed += 1;
                self.tally.errors.add(&anyhow!("no welcome came in time"));
            }
        }
        self.tally.failed += self.plan.arrivals.len() + self.coming.len();
    }
}

impl Connection {
    fn write(&mut self, member: &mut Member) -> anyhow::Result<()> {
        loop {
            while self.unwritten.has_remaining() {
                match self.wire.write(&self.unwritten) {
                    Ok(length) => self.unwritten.advance(length),
                    // Before the connection is there, a write says so by one of these.
                    Err(error)
                        if matches!(
                            error.kind(),
                            ErrorKind::WouldBlock | ErrorKind::NotConnected
                        ) =>
                    {
                        return Ok(());
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error).context("the connection broke"),
                }
            }
            match member.poll_transmit() {
                Some(bytes) => self.unwritten = bytes,
                None => return Ok(()),
            }
        }
    }
}
