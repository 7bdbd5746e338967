//! One thread with a share of the viewers: a poll loop, so that thousands cost little beside the
//! server that is measured.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use bytes::{Buf as _, Bytes};
use mio::event::Event;
use mio::{Events, Poll, Token};
use slab::Slab;

use super::talk::{self, Talk};
use super::tally::{Seat, Seen, Tally};
use super::target::Target;
use crate::stamp::now_us;
use crate::tell::Arrivals;
use crate::times::Window;
use crate::usage::Turn;
use crate::wire::Wire;

const READ_BYTES: usize = 256 * 1024;
const EVENTS: usize = 1024;
const ENDED: &str = "the server ended the stream";
/// How often what has no event of its own is looked after.
const TICK: Duration = Duration::from_millis(100);

/// What a row has to do.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) target: Target,
    /// When each viewer comes, in order.
    pub(crate) arrivals: VecDeque<Instant>,
    /// So many of the first viewers stop reading as soon as they have joined.
    pub(crate) stopped: usize,
    /// When figures are taken; the end of it is the end of the row.
    pub(crate) window: Window,
    pub(crate) progress: Arc<Arrivals>,
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
    talk: Box<dyn Talk>,
    viewer: usize,
    unwritten: Bytes,
}

pub(crate) struct Row {
    plan: Plan,
    poll: Poll,
    connections: Slab<Connection>,
    seats: Vec<Seat>,
    tally: Tally,
    buffer: Vec<u8>,
    may_stop: usize,
}

impl Row {
    pub(crate) fn new(plan: Plan) -> anyhow::Result<Self> {
        Ok(Self {
            poll: Poll::new().context("failed to make a poll")?,
            connections: Slab::new(),
            seats: Vec::with_capacity(plan.arrivals.len()),
            tally: Tally::default(),
            buffer: vec![0; READ_BYTES],
            may_stop: plan.stopped,
            plan,
        })
    }

    /// Runs until the end of the window.
    pub(crate) fn run(mut self) -> anyhow::Result<Outcome> {
        let mut events = Events::with_capacity(EVENTS);
        let mut before = None;
        loop {
            let now = Instant::now();
            let nobody_is_left = self.plan.arrivals.is_empty() && self.connections.is_empty();
            if now >= self.plan.window.until || nobody_is_left {
                break;
            }
            if before.is_none() && now >= self.plan.window.from {
                before = Turn::of_this_thread();
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
        let turn = before.and_then(|before| Some(Turn::of_this_thread()?.since(before)));
        self.close(Instant::now());
        Ok(Outcome {
            tally: self.tally,
            turn,
        })
    }

    /// How long nothing has to be done. Polls take whole milliseconds and round them up; who is to
    /// come in the middle of one is worth a few turns for nothing.
    fn wait(&self, now: Instant) -> Duration {
        let next = self.plan.arrivals.front().copied();
        let until = next.unwrap_or(self.plan.window.until).min(now + TICK);
        let wait = until.saturating_duration_since(now);
        Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
    }

    fn let_in(&mut self, now: Instant) {
        while let Some(due) = self.plan.arrivals.pop_front_if(|due| *due <= now) {
            self.seats.push(Seat::new(due));
            let viewer = self.seats.len() - 1;
            let talk = talk::begin(&self.plan.target).context("it does not go over TCP");
            if let Err(error) = talk.and_then(|talk| self.connect(viewer, talk)) {
                self.leave(viewer, &error);
            }
        }
    }

    fn connect(&mut self, viewer: usize, talk: Box<dyn Talk>) -> anyhow::Result<()> {
        let entry = self.connections.vacant_entry();
        let token = Token(entry.key());
        let wire = Wire::dial(&self.plan.target.place, self.poll.registry(), token)?;
        entry.insert(Connection {
            wire,
            talk,
            viewer,
            unwritten: Bytes::new(),
        });
        Ok(())
    }

    fn serve(&mut self, event: &Event) {
        let key = event.token().0;
        let Some(viewer) = self
            .connections
            .get(key)
            .map(|connection| connection.viewer)
        else {
            return;
        };
        if let Err(error) = self.read_and_write(key, event) {
            self.leave(viewer, &error);
        }
    }

    fn read_and_write(&mut self, key: usize, event: &Event) -> anyhow::Result<()> {
        let connection = &mut self.connections[key];
        let seat = &mut self.seats[connection.viewer];
        if seat.stopped_at.is_some() {
            // It would not notice by reading.
            if event.is_read_closed() || event.is_error() {
                bail!(ENDED);
            }
            return Ok(());
        }
        if event.is_writable() {
            connection.write()?;
        }
        loop {
            let read = connection.wire.read(&mut self.buffer);
            let length = match read {
                Ok(0) => bail!(ENDED),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("the connection broke"),
            };
            let had_joined = seat.has_joined();
            let now = Instant::now();
            let mut seen = Seen {
                seat,
                tally: &mut self.tally,
                window: self.plan.window,
                now,
                now_us: now_us(),
            };
            if seen.window.has(now) {
                seen.tally.window_bytes += length as u64;
                seen.tally.window_reads += 1;
            }
            connection
                .talk
                .handle_input(&self.buffer[..length], &mut seen)?;
            connection.write()?;
            if !had_joined && seat.has_joined() {
                self.plan.progress.joined.fetch_add(1, Ordering::Relaxed);
                if self.may_stop > 0 {
                    self.may_stop -= 1;
                    seat.stopped_at = Some(now);
                    return Ok(());
                }
            }
            if connection.talk.is_over() {
                bail!(ENDED);
            }
            // A plain socket that gives less than it might is empty, and says so when it no longer is.
            if length < READ_BYTES && matches!(connection.wire, Wire::Plain(_)) {
                break;
            }
        }
        let viewer = connection.viewer;
        while let Some(talk) = self.connections[key].talk.poll_further() {
            self.connect(viewer, talk)?;
        }
        Ok(())
    }

    /// One viewer's connections end before the time is over.
    fn leave(&mut self, viewer: usize, error: &anyhow::Error) {
        self.connections
            .retain(|_, connection| connection.viewer != viewer);
        let seat = &mut self.seats[viewer];
        seat.gone = true;
        if let Some(stopped_at) = seat.stopped_at {
            self.tally
                .stopped_dropped
                .add_duration(stopped_at.elapsed());
            return;
        }
        if seat.has_joined() {
            self.tally.lost += 1;
        } else {
            self.tally.failed += 1;
            self.plan.progress.failed.fetch_add(1, Ordering::Relaxed);
        }
        self.tally.errors.add(error);
    }

    /// The time is over.
    fn close(&mut self, now: Instant) {
        for seat in self
            .seats
            .iter()
            .filter(|seat| !seat.gone && seat.stopped_at.is_none())
        {
            if !seat.has_joined() {
                self.tally.failed += 1;
                self.tally.errors.add(&anyhow!("no picture came in time"));
            } else if seat.is_starved(now) {
                self.tally.starved += 1;
            }
        }
        self.tally.failed += self.plan.arrivals.len();
    }
}

impl Connection {
    fn write(&mut self) -> anyhow::Result<()> {
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
            match self.talk.poll_transmit() {
                Some(bytes) => self.unwritten = bytes,
                None => return Ok(()),
            }
        }
    }
}
