//! One connection of a shard: a socket, a cursor on a derived log, and what waits to be written.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};

use super::talk::{Account, Talk, Why};
use crate::cursor::{Bounds, Cursor, Lag, Read, Start};
use crate::log::Log;
use crate::packet::{Packet, Role};

/// How much of a log is taken hold of at once for a reader that is not at its end. It is what a
/// reader that stops can keep from being forgotten, besides the packet it is in.
const GATHER_BYTES: usize = 64 * 1024;
const GATHER_PACKETS: usize = 48;

/// Own words that may wait for a peer that does not read them.
const WORDS_MAX: usize = 64 * 1024;

/// A reader that takes less than this in [`Limits::stall`] counts as stopped.
const PROGRESS_BYTES: u64 = 16 * 1024;

/// A reader that keeps up gets everything, also what a publisher sends all at once. Only what has
/// left the log is gone.
const KEEPING_UP: Lag = Lag::SkipToKey(Bounds::WINDOW);

/// Where a reader begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Entry {
    /// With the latest keyframe, at once.
    #[default]
    Now,
    /// With the next keyframe.
    NextKey,
    /// With sound at once and pictures from the next keyframe. What stands still until then is for
    /// the head to say.
    Sound,
}

/// How far a reader may fall behind, and how long it may stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Behind more than this, a reader that does not take everything at once skips to the latest
    /// keyframe.
    pub lag: Duration,
    /// A reader that takes next to nothing for so long is dropped.
    pub stall: Duration,
}

/// What is handed to a shard.
pub struct Guest<S> {
    /// The connection, non-blocking, with everything read that was not for [`talk`](Self::talk).
    pub socket: S,
    /// What it reads.
    pub log: Log<Packet>,
    /// Where it begins.
    pub entry: Entry,
    /// Whether each packet comes in its frame.
    pub framed: bool,
    /// Written before the first packet.
    pub head: Bytes,
    /// The number of the set-up that stands in the head, if one does.
    pub setup: Option<u64>,
    /// Its protocol.
    pub talk: Box<dyn Talk>,
}

impl<S> Guest<S> {
    /// The same on another form of the socket.
    pub(super) fn map<T>(self, form: impl FnOnce(S) -> T) -> Guest<T> {
        let Self {
            socket,
            log,
            entry,
            framed,
            head,
            setup,
            talk,
        } = self;
        Guest {
            socket: form(socket),
            log,
            entry,
            framed,
            head,
            setup,
            talk,
        }
    }
}

impl<S> std::fmt::Debug for Guest<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guest")
            .field("log", &self.log.id())
            .field("entry", &self.entry)
            .field("framed", &self.framed)
            .finish_non_exhaustive()
    }
}

/// How far writing came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// Everything there is has been written.
    Caught,
    /// The socket takes no more now.
    Blocked,
    /// Everything has been written, and no more will come.
    End,
}

/// Everything has been given out, the last words too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended;

/// What several readers are to be written, ready for one system call each.
///
/// The packets are put together once for everybody: a plain write of one piece costs the system
/// less than a vectored one of three, each of thousands of times.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    from: u64,
    packets: &'a [Packet],
    /// The set-up of all of it; none if they differ.
    setup: Option<u64>,
    plain: OnceCell<Bytes>,
    framed: OnceCell<Bytes>,
}

impl<'a> Batch<'a> {
    /// `packets` stand at `from` and the offsets after it.
    pub(super) fn new(from: u64, packets: &'a [Packet]) -> Self {
        let numbers = || packets.iter().map(|packet| packet.setup.number);
        let setup = numbers()
            .next()
            .filter(|first| numbers().all(|number| number == *first));
        Self {
            from,
            packets,
            setup,
            plain: OnceCell::new(),
            framed: OnceCell::new(),
        }
    }

    /// All of it, as readers of frames get it or others.
    fn bytes(&self, framed: bool) -> &Bytes {
        let cell = if framed { &self.framed } else { &self.plain };
        cell.get_or_init(|| match self.packets {
            [packet] => packet.encoded.to_bytes(framed),
            packets => {
                let pieces = packets.iter().map(|packet| packet.encoded.as_slice(framed));
                pieces.collect::<Vec<_>>().concat().into()
            }
        })
    }
}

/// A connection in its place.
pub(super) struct Seat<S> {
    pub(super) socket: S,
    pub(super) log: Log<Packet>,
    pub(super) talk: Box<dyn Talk>,
    cursor: Cursor,
    limits: Limits,
    framed: bool,
    /// Which set-up its decoder has.
    setup: Option<u64>,
    /// What goes out before anything else: own words, and packets that were taken hold of.
    queue: VecDeque<Bytes>,
    /// Own words in the queue, and what has been written of it since it was empty.
    words: usize,
    /// No pictures until a keyframe.
    sound_only: bool,
    paused: bool,
    /// Set once the last words are in the queue.
    pub(super) leaving: Option<Why>,
    blocked: bool,
    /// Since when, and since how many bytes, progress is watched.
    watched: (Instant, u64),
    written: u64,
    skipped: u64,
}

impl<S> Seat<S> {
    pub(super) fn new(guest: Guest<S>, limits: Limits, now: Instant) -> Self {
        let start = match guest.entry {
            Entry::Now => Start::LatestKey,
            Entry::NextKey => Start::NextKey,
            Entry::Sound => Start::Live,
        };
        let cursor = guest
            .log
            .look(|window, _| Cursor::new(window, start, KEEPING_UP));
        let mut seat = Self {
            socket: guest.socket,
            log: guest.log,
            talk: guest.talk,
            cursor,
            limits,
            framed: guest.framed,
            setup: guest.setup,
            queue: VecDeque::new(),
            words: 0,
            sound_only: guest.entry == Entry::Sound,
            paused: false,
            leaving: None,
            blocked: false,
            watched: (now, 0),
            written: 0,
            skipped: 0,
        };
        seat.push(guest.head);
        seat
    }

    fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.queue.push_back(bytes);
        }
    }

    /// Adds own words; false if too many wait already.
    #[must_use]
    pub(super) fn say(&mut self, words: Bytes) -> bool {
        self.words += words.len();
        self.push(words);
        self.words <= WORDS_MAX
    }

    /// Says the last words; nothing follows them.
    pub(super) fn leave(&mut self, why: Why) {
        if self.leaving.is_none() {
            let words = self.talk.farewell(why);
            self.push(words);
            self.leaving = Some(why);
        }
    }

    pub(super) const fn pause(&mut self) {
        self.paused = true;
    }

    /// Goes on from the latest place to start.
    pub(super) fn resume(&mut self) {
        if !std::mem::take(&mut self.paused) {
            return;
        }
        self.cursor = self
            .log
            .look(|window, _| Cursor::new(window, Start::LatestKey, KEEPING_UP));
    }

    /// The reader does not take everything at once: from here on it may be left behind.
    pub(super) fn fall_behind(&mut self) {
        self.cursor.set_lag(Lag::SkipToKey(Bounds {
            items: u64::MAX,
            span_micros: i64::try_from(self.limits.lag.as_micros()).unwrap_or(i64::MAX),
        }));
    }

    /// The reader has everything there is.
    const fn keep_up(&mut self) {
        self.cursor.set_lag(KEEPING_UP);
    }

    /// The next bytes for whoever writes them by other means; none if there are none now.
    pub(super) fn piece(&mut self) -> Result<Option<Bytes>, Ended> {
        if self.queue.is_empty() && self.leaving.is_none() {
            let ended = self.gather();
            if ended && self.queue.is_empty() {
                self.leave(Why::Ended);
            }
        }
        let piece = self.queue.pop_front();
        match &piece {
            Some(piece) => self.written += piece.len() as u64,
            None if self.leaving.is_some() => return Err(Ended),
            None => self.keep_up(),
        }
        if self.queue.is_empty() {
            self.words = 0;
        }
        Ok(piece)
    }

    pub(super) const fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Whether the peer has taken next to nothing for too long. To be asked now and then.
    pub(super) fn has_stopped(&mut self, now: Instant) -> bool {
        let (since, written) = self.watched;
        if !self.blocked || self.written - written >= PROGRESS_BYTES {
            self.watched = (now, self.written);
            return false;
        }
        now.duration_since(since) >= self.limits.stall
    }

    pub(super) fn account(&self, why: Why) -> Account {
        Account {
            why: self.leaving.unwrap_or(why),
            written: self.written,
            skipped: self.skipped,
        }
    }

    /// Takes hold of the next packets. Tells whether the log has ended and nothing is left of it.
    fn gather(&mut self) -> bool {
        let log = self.log.clone();
        log.look(|window, ended| {
            if self.paused {
                return ended;
            }
            let mut taken = 0;
            while taken < GATHER_BYTES && self.queue.len() < GATHER_PACKETS {
                match self.cursor.read(window) {
                    Some(Read::Item(_, packet)) => {
                        taken += self.take(&packet);
                    }
                    Some(Read::Gap { from, to }) => {
                        self.skipped += to.offset.saturating_sub(from.offset);
                    }
                    Some(Read::TooSlow(_)) | None => return ended && self.queue.is_empty(),
                }
            }
            false
        })
    }

    /// Queues a packet with what its decoder needs before it. Tells how many bytes that is.
    fn take(&mut self, packet: &Packet) -> usize {
        if self.sound_only && packet.role == Role::Picture {
            if !packet.key {
                return 0;
            }
            self.sound_only = false;
        }
        let mut taken = 0;
        let setup = packet.setup_since(self.setup);
        for encoded in setup.into_iter().chain([&packet.encoded]) {
            let bytes = encoded.to_bytes(self.framed);
            taken += bytes.len();
            self.push(bytes);
        }
        self.setup = Some(packet.setup.number);
        taken
    }
}

impl<S: Write> Seat<S> {
    /// Writes a batch that many readers get; whoever is not just before it, at its own pace.
    pub(super) fn write_batch(&mut self, batch: &Batch<'_>) -> io::Result<Flow> {
        if self.blocked {
            return Ok(Flow::Blocked);
        }
        let in_step = self.queue.is_empty()
            && self.cursor.is_at(batch.from)
            && self.setup.is_some()
            && self.setup == batch.setup
            && !(self.paused || self.sound_only || self.leaving.is_some());
        if !in_step {
            return self.pump();
        }
        let bytes = batch.bytes(self.framed);
        match self.socket.write(bytes) {
            Ok(written) => {
                self.cursor
                    .go_on_at(batch.from + batch.packets.len() as u64);
                self.written += written as u64;
                if written == bytes.len() {
                    return Ok(Flow::Caught);
                }
                // The rest is taken hold of; trying once more arms the socket's event.
                self.keep_rest(batch.packets, written);
                self.pump()
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(self.block()),
            Err(error) if error.kind() == ErrorKind::Interrupted => self.pump(),
            Err(error) => Err(error),
        }
    }

    /// Takes hold of what is left of `packets` after so many bytes of them.
    fn keep_rest(&mut self, packets: &[Packet], mut written: usize) {
        for packet in packets {
            let mut bytes = packet.encoded.to_bytes(self.framed);
            let taken = written.min(bytes.len());
            written -= taken;
            bytes.advance(taken);
            self.push(bytes);
        }
    }

    /// The socket takes something again.
    pub(super) fn unblock(&mut self) -> io::Result<Flow> {
        self.blocked = false;
        self.pump()
    }

    fn block(&mut self) -> Flow {
        self.blocked = true;
        self.fall_behind();
        Flow::Blocked
    }

    /// Writes whatever there is for this reader, as far as the socket takes it.
    pub(super) fn pump(&mut self) -> io::Result<Flow> {
        if self.blocked {
            return Ok(Flow::Blocked);
        }
        loop {
            if self.queue.is_empty() {
                if self.leaving.is_some() {
                    return Ok(Flow::End);
                }
                let ended = self.gather();
                if self.queue.is_empty() {
                    if ended {
                        return Ok(Flow::End);
                    }
                    self.keep_up();
                    return Ok(Flow::Caught);
                }
            }
            let mut pieces = [IoSlice::new(&[]); GATHER_PACKETS];
            let count = self.queue.len().min(GATHER_PACKETS);
            for (piece, bytes) in pieces.iter_mut().zip(&self.queue) {
                *piece = IoSlice::new(bytes);
            }
            match self.socket.write_vectored(&pieces[..count]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => self.consume(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(self.block()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn consume(&mut self, mut written: usize) {
        self.written += written as u64;
        while let Some(front) = self.queue.front_mut() {
            if written < front.len() {
                front.advance(written);
                return;
            }
            written -= front.len();
            self.queue.pop_front();
        }
        self.words = 0;
    }
}
