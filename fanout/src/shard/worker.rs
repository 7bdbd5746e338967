//! The loop of a shard.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind, Read as _};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::net::sockopt::set_socket_linger;
use slab::Slab;

use super::seat::{Batch, Falling, Flow, Guest, Seat};
use super::socket::bound_unsent;
use super::talk::{Heard, Then, Why};
use super::{Bell, Config, End, Inbox, Shared};
use crate::log::{Listener, Log};
use crate::pace::Pace;
use crate::packet::Packet;

/// The token of the shard's own waker.
pub(super) const WAKE: Token = Token(usize::MAX);

/// Events taken from the system at once.
const EVENTS: usize = 1024;

/// How long sound waits for a picture to go out with.
const HOLD: Duration = Duration::from_millis(50);

/// How often it is looked for readers that have stopped.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How long a peer may take to close its side after the last words.
const LINGER: Duration = Duration::from_secs(1);

/// One read takes at most this much off a socket.
const READ_BYTES: usize = 16 * 1024;

/// Reads of one connection in one turn; what is left waits for the next, and others have theirs.
const READS_MAX: usize = 8;

/// Packets that go into one write of a reader that keeps up, of media and of a room. One that has
/// more to read takes hold of them by itself.
const BATCH_PACKETS: u64 = 64;
const BATCH_LINES: u64 = 512;

/// What is said in a room waits no longer than this for more.
const ROOM_GATHER_MAX: Duration = Duration::from_millis(50);

/// Readers that are written to before others have a turn, about a millisecond's work.
const TURN: usize = if cfg!(test) { 2 } else { 64 };

/// Newcomers that are let in before others have a turn.
const ADMITS: usize = if cfg!(test) { 1 } else { 16 };

/// A log that somebody here reads.
struct Feed {
    log: Log<Packet>,
    bell: Arc<Bell>,
    /// Who reads it.
    seats: Vec<usize>,
    /// How far the readers that keep up are.
    seen: u64,
    /// When what is new is to be written.
    due: Option<Instant>,
    flushed_at: Instant,
    /// What becomes of its readers when they fall behind: tells a room from media.
    falling: Falling,
}

impl Feed {
    /// How long packets gather now.
    fn window(&self, pace: &Pace) -> Duration {
        match self.falling {
            Falling::ToKey => pace.window(),
            Falling::Thinned => pace.window().min(ROOM_GATHER_MAX),
        }
    }

    /// How many packets go into one write.
    const fn batch_max(&self) -> u64 {
        match self.falling {
            Falling::ToKey => BATCH_PACKETS,
            Falling::Thinned => BATCH_LINES,
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let listener: Arc<dyn Listener> = Arc::clone(&self.bell) as _;
        self.log.stop_listening(&listener);
    }
}

/// A connection, and when it must be gone if everything has been said.
struct Place {
    seat: Seat<TcpStream>,
    /// Where it stands among the feed's seats.
    index: usize,
    closing: Option<Instant>,
}

pub(super) struct Worker {
    poll: Poll,
    shared: Arc<Shared>,
    config: Config,
    pace: Pace,
    places: Slab<Place>,
    feeds: HashMap<u64, Feed>,
    /// Connections that had more to read when their turn was over.
    unread: Vec<usize>,
    buffer: Box<[u8]>,
    /// Who is to be admitted.
    arriving: VecDeque<Guest<std::net::TcpStream>>,
    told_to_end: Option<End>,
    end: Option<End>,
    swept_at: Instant,
}

impl Worker {
    pub(super) fn new(poll: Poll, shared: Arc<Shared>, config: Config) -> Self {
        Self {
            poll,
            shared,
            config,
            pace: Pace::new(config.pace),
            places: Slab::new(),
            feeds: HashMap::new(),
            unread: Vec::new(),
            buffer: vec![0; READ_BYTES].into(),
            arriving: VecDeque::new(),
            told_to_end: None,
            end: None,
            swept_at: Instant::now(),
        }
    }

    /// Runs until it is told to end.
    pub(super) fn run(&mut self) {
        let mut events = Events::with_capacity(EVENTS);
        let mut worked_until = Instant::now();
        loop {
            // 1. Wait.
            let timeout = self.timeout(worked_until);
            if let Err(error) = self.poll.poll(&mut events, Some(timeout))
                && error.kind() != ErrorKind::Interrupted
            {
                // The system's own bookkeeping is broken; the connections cannot be served.
                self.end = Some(End::Now);
            }
            let woke = Instant::now();
            // 2. Hear: sockets first, whose numbers are good until somebody new comes.
            for event in &events {
                if event.token() != WAKE {
                    self.on_event(
                        event.token().0,
                        event.is_readable(),
                        event.is_writable(),
                        woke,
                    );
                }
            }
            for at in std::mem::take(&mut self.unread) {
                self.on_event(at, true, false, woke);
            }
            self.take_inbox(woke);
            // 3. Write what is due.
            self.write_due(woke);
            self.sweep(woke);
            if self.is_over() {
                return;
            }
            let now = Instant::now();
            self.pace.note(woke - worked_until, now - woke);
            self.tell();
            worked_until = now;
        }
    }

    /// Forgets the connections, which something wrong has left in an unknown state, and is as new.
    /// To be called again if it panics: each call has fewer of them before it.
    pub(super) fn begin_anew(&mut self) {
        self.feeds.clear();
        self.unread.clear();
        while let Some(at) = self.places.iter().next().map(|(at, _)| at) {
            self.remove(at, Why::Broken);
        }
        self.shared.restarts.fetch_add(1, Ordering::Relaxed);
    }

    fn timeout(&self, now: Instant) -> Duration {
        if !(self.unread.is_empty() && self.arriving.is_empty()) {
            return Duration::ZERO;
        }
        let due = self.feeds.values().filter_map(|feed| feed.due).min();
        due.map_or(SWEEP_EVERY, |due| {
            due.saturating_duration_since(now).min(SWEEP_EVERY)
        })
    }

    fn tell(&self) {
        let micros = u64::try_from(self.pace.window().as_micros()).unwrap_or(u64::MAX);
        self.shared.window_micros.store(micros, Ordering::Relaxed);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share between nothing and one"
        )]
        let percent = (self.pace.load() * 100.0) as usize;
        self.shared.load_percent.store(percent, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        match self.end {
            None => false,
            Some(End::Farewell) => self.places.is_empty() && self.arriving.is_empty(),
            Some(End::Now) => true,
        }
    }

    // ---- coming and going ------------------------------------------------------------------------

    fn take_inbox(&mut self, now: Instant) {
        let Inbox {
            guests,
            rung,
            mail,
            end,
        } = std::mem::take(&mut *self.shared.inbox());
        // Kept where a panic does not lose them.
        self.arriving.extend(guests);
        self.told_to_end = self.told_to_end.or(end);
        self.admit_some(now);
        for log in rung {
            self.on_ring(log, now);
        }
        for at in mail {
            self.deliver(at, now);
        }
        if let Some(end) = self.told_to_end.take()
            && self.end.is_none()
        {
            self.end = Some(end);
            while !self.arriving.is_empty() {
                self.admit_some(now);
            }
            let all: Vec<usize> = self.places.iter().map(|(at, _)| at).collect();
            for at in all {
                self.farewell(at, Why::Drained, now);
            }
        }
    }

    /// Lets some in. The others come after the next writes: each is given what has gathered since
    /// the last keyframe, and those who are here wait for that.
    fn admit_some(&mut self, now: Instant) {
        for _ in 0..ADMITS {
            let Some(guest) = self.arriving.pop_front() else {
                return;
            };
            self.admit(guest, now);
        }
    }

    fn admit(&mut self, guest: Guest<std::net::TcpStream>, now: Instant) {
        // Without it everything works, with more memory in the system.
        let _ = bound_unsent(&guest.socket);
        let guest = guest.map(TcpStream::from_std);
        let entry = self.places.vacant_entry();
        let at = entry.key();
        entry.insert(Place {
            seat: Seat::new(guest, self.config.limits, now),
            index: 0,
            closing: None,
        });
        self.join(at, now);
        let place = &mut self.places[at];
        let registered = self.poll.registry().register(
            &mut place.seat.socket,
            Token(at),
            Interest::READABLE | Interest::WRITABLE,
        );
        if registered.is_err() {
            self.remove(at, Why::Gone);
            return;
        }
        if let Some(mailbox) = self.places[at].seat.mailbox.clone() {
            mailbox.seat(&self.shared, at);
        }
        if self.end.is_some() {
            self.farewell(at, Why::Drained, now);
        } else {
            let flow = self.places[at].seat.pump();
            self.follow(at, flow, now);
        }
    }

    fn join(&mut self, at: usize, now: Instant) {
        let falling = self.places[at].seat.falling;
        let log = &self.places[at].seat.log;
        let feed = self.feeds.entry(log.id()).or_insert_with(|| {
            let bell = Arc::new(Bell {
                log: log.id(),
                shared: Arc::clone(&self.shared),
                rung: AtomicBool::new(false),
            });
            log.listen(Arc::clone(&bell) as Arc<dyn Listener>);
            Feed {
                log: log.clone(),
                bell,
                seats: Vec::new(),
                seen: log.look(|window, _| window.end()),
                due: None,
                flushed_at: now,
                falling,
            }
        });
        let index = feed.seats.len();
        feed.seats.push(at);
        self.places[at].index = index;
    }

    /// Writes what came for one connection alone. Its number may be another's by now, who is then
    /// given what is its own a little earlier.
    fn deliver(&mut self, at: usize, now: Instant) {
        let Some(place) = self.places.get_mut(at) else {
            return;
        };
        if !place.seat.take_mail() {
            return self.farewell(at, Why::Flooded, now);
        }
        let flow = place.seat.pump();
        self.follow(at, flow, now);
    }

    /// Ends a connection. `why` counts unless it was told to leave for another reason.
    fn remove(&mut self, at: usize, why: Why) {
        let Some(mut place) = self.places.try_remove(at) else {
            return;
        };
        let account = place.seat.account(why);
        if matches!(account.why, Why::Stopped | Why::Flooded) {
            // It will not read what the system still holds for it; without this, that is kept and
            // offered for minutes. A socket that cannot be told is closed all the same.
            let _ = set_socket_linger(&place.seat.socket, Some(Duration::ZERO));
        }
        // Closing the socket does the same.
        let _ = self.poll.registry().deregister(&mut place.seat.socket);
        self.shared.connections.fetch_sub(1, Ordering::Relaxed);
        let log = place.seat.log.id();
        if let Some(feed) = self.feeds.get_mut(&log) {
            feed.seats.swap_remove(place.index);
            if let Some(&moved) = feed.seats.get(place.index) {
                self.places[moved].index = place.index;
            }
            if feed.seats.is_empty() {
                self.feeds.remove(&log);
            }
        }
        place.seat.talk.over(account);
    }

    /// Does what a write's outcome asks for.
    fn follow(&mut self, at: usize, flow: io::Result<Flow>, now: Instant) {
        let Some(place) = self.places.get_mut(at) else {
            return;
        };
        match flow {
            Ok(Flow::Caught | Flow::Blocked) => {}
            Ok(Flow::End) => match place.seat.leaving {
                None => self.farewell(at, Why::Ended, now),
                Some(why) => {
                    // Everything is said; the peer may still read it.
                    if place.closing.is_none() {
                        place.closing = Some(now + LINGER);
                        if place.seat.socket.shutdown(Shutdown::Write).is_err() {
                            self.remove(at, why);
                        }
                    }
                }
            },
            Err(_) => self.remove(at, Why::Gone),
        }
    }

    /// Says the last words, and closes once they are written.
    fn farewell(&mut self, at: usize, why: Why, now: Instant) {
        let Some(place) = self.places.get_mut(at) else {
            return;
        };
        place.seat.leave(why);
        let flow = place.seat.pump();
        self.follow(at, flow, now);
    }

    // ---- hearing ---------------------------------------------------------------------------------

    fn on_event(&mut self, at: usize, readable: bool, writable: bool, now: Instant) {
        if writable
            && let Some(place) = self.places.get_mut(at)
            && place.seat.is_blocked()
        {
            let flow = place.seat.unblock();
            self.follow(at, flow, now);
        }
        if readable {
            self.read(at, now);
        }
    }

    fn read(&mut self, at: usize, now: Instant) {
        for _ in 0..READS_MAX {
            let Some(place) = self.places.get_mut(at) else {
                return;
            };
            match place.seat.socket.read(&mut self.buffer) {
                Ok(0) => return self.remove(at, Why::Gone),
                // Whoever has heard the last words has nothing more to say.
                Ok(_) if place.seat.leaving.is_some() => {}
                Ok(length) => self.hear(at, length, now),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.remove(at, Why::Gone),
            }
        }
        self.unread.push(at);
    }

    fn hear(&mut self, at: usize, length: usize, now: Instant) {
        let heard = self.places[at].seat.talk.hear(&self.buffer[..length]);
        self.answer(at, heard, now);
    }

    /// Does what something heard asks for.
    fn answer(&mut self, at: usize, heard: Heard, now: Instant) {
        let place = &mut self.places[at];
        if !place.seat.say(heard.answer) {
            return self.remove(at, Why::Flooded);
        }
        match heard.then {
            Then::GoOn => {}
            Then::Pause => place.seat.pause(),
            Then::Resume => place.seat.resume(),
            Then::Leave => return self.farewell(at, Why::Told, now),
        }
        let flow = place.seat.pump();
        self.follow(at, flow, now);
    }

    // ---- writing ---------------------------------------------------------------------------------

    /// A log has more: decides when it is written.
    fn on_ring(&mut self, log: u64, now: Instant) {
        let Some(feed) = self.feeds.get_mut(&log) else {
            return;
        };
        // Before looking: what is appended from here on rings again.
        feed.bell.rung.store(false, Ordering::Release);
        let seen = feed.seen;
        let flush = feed.log.look(|window, ended| {
            let from = seen.max(window.first());
            ended
                || (from..window.end()).any(|at| window.get(at).is_some_and(|packet| packet.flush))
        });
        let due = if flush {
            (feed.flushed_at + feed.window(&self.pace)).max(now)
        } else {
            now + HOLD
        };
        feed.due = Some(feed.due.map_or(due, |other| other.min(due)));
    }

    fn write_due(&mut self, now: Instant) {
        let due: Vec<u64> = self
            .feeds
            .iter()
            .filter(|(_, feed)| feed.due.is_some_and(|due| due <= now))
            .map(|(&log, _)| log)
            .collect();
        for log in due {
            self.write_feed(log, now);
        }
    }

    /// Writes what is new in a log to everybody who reads it here.
    fn write_feed(&mut self, log: u64, now: Instant) {
        let Some(feed) = self.feeds.get_mut(&log) else {
            return;
        };
        feed.due = None;
        feed.flushed_at = now;
        let batch_max = feed.batch_max();
        let seen = feed.seen;
        let (from, packets, more, ended) = feed.log.look(|window, ended| {
            let from = seen.max(window.first());
            let to = window.end().min(from + batch_max);
            let packets: Vec<Packet> = (from..to)
                .filter_map(|at| window.get(at).cloned())
                .collect();
            (from, packets, to < window.end(), ended)
        });
        feed.seen = from + packets.len() as u64;
        if more {
            feed.due = Some(now);
        }
        let count = feed.seats.len();
        let batch = Batch::new(from, &packets);
        let mut outcomes = Vec::new();
        for turn in (0..count).step_by(TURN) {
            if turn > 0 {
                self.make_way(now);
            }
            // Nobody leaves meanwhile, and who comes stands behind those there are.
            let Some(feed) = self.feeds.get(&log) else {
                break;
            };
            for &at in &feed.seats[turn..count.min(turn + TURN)] {
                let seat = &mut self.places[at].seat;
                // A log that has ended has an end to be found out by each.
                let flow = if ended {
                    seat.pump()
                } else {
                    seat.write_batch(&batch)
                };
                if !matches!(flow, Ok(Flow::Caught | Flow::Blocked)) {
                    outcomes.push((at, flow));
                }
            }
        }
        for (at, flow) in outcomes {
            self.follow(at, flow, now);
        }
    }

    /// Between the writes to many: whoever has just come gets the first picture, and other threads
    /// that wait for this core, such as those that let people in, their turn.
    fn make_way(&mut self, now: Instant) {
        std::thread::yield_now();
        let guests = std::mem::take(&mut self.shared.inbox().guests);
        self.arriving.extend(guests);
        self.admit_some(now);
    }

    // ---- now and then ----------------------------------------------------------------------------

    fn sweep(&mut self, now: Instant) {
        if now.duration_since(self.swept_at) < SWEEP_EVERY {
            return;
        }
        self.swept_at = now;
        let mut gone = Vec::new();
        for (at, place) in &mut self.places {
            let over = match place.closing {
                Some(until) => until <= now,
                None => place.seat.has_stopped(now),
            };
            if over {
                gone.push(at);
            }
        }
        for at in gone {
            self.remove(at, Why::Stopped);
        }
        let staying: Vec<usize> = self.places.iter().map(|(at, _)| at).collect();
        for at in staying {
            let Some(place) = self.places.get_mut(at) else {
                continue;
            };
            if place.seat.leaving.is_none() {
                let heard = place.seat.talk.tick(now);
                if heard != Heard::default() {
                    self.answer(at, heard, now);
                }
            }
        }
    }
}
