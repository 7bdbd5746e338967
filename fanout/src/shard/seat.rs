//! One connection of a shard: a socket, a cursor on a derived log, and what waits to be written.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};

use super::mailbox::{Mail, Mailbox};
use super::talk::{Account, Talk, Why};
use crate::cursor::{Bounds, Cursor, Lag, Read, Start};
use crate::log::Log;
use crate::packet::{Form, Gap, Join, Packet, Role};
use crate::window::Window;

/// How much of a log is taken hold of at once for a reader that is not at its end. It is what a
/// reader that stops can keep from being forgotten, besides the packet it is in.
const GATHER_BYTES: usize = 64 * 1024;
const GATHER_PACKETS: usize = 48;

/// Own words that may wait for a peer that does not read them.
const WORDS_MAX: usize = 64 * 1024;

/// A reader that takes less than this in [`Limits::stall`] counts as stopped.
const PROGRESS_BYTES: u64 = 16 * 1024;

/// Packets that go into one frame of a reader to whom they come joined.
const JOIN_PACKETS: usize = 512;

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
    /// With the packet at an offset of the log.
    At(u64),
}

/// What becomes of a reader that falls behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Falling {
    /// It goes on from the latest keyframe.
    #[default]
    ToKey,
    /// It is spared what may be dropped and told so, and gets the rest; when what it must not miss
    /// has left the log, it is let go.
    Thinned,
}

impl Falling {
    /// A reader that keeps up gets everything, also what a publisher sends all at once. Only what
    /// has left the log is gone.
    const fn keeping_up(self) -> Lag {
        match self {
            Self::ToKey => Lag::SkipToKey(Bounds::WINDOW),
            Self::Thinned => Lag::End(Bounds::WINDOW),
        }
    }
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
    /// How packets stand on its wire.
    pub form: Form,
    /// What becomes of it when it falls behind.
    pub falling: Falling,
    /// Written before the first packet.
    pub head: Bytes,
    /// The number of the set-up that stands in the head, if one does.
    pub setup: Option<u64>,
    /// Its protocol.
    pub talk: Box<dyn Talk>,
    /// What is for it alone.
    pub mailbox: Option<Arc<Mailbox>>,
}

impl<S> Guest<S> {
    /// The same on another form of the socket.
    pub(super) fn map<T>(self, to: impl FnOnce(S) -> T) -> Guest<T> {
        let Self {
            socket,
            log,
            entry,
            form,
            falling,
            head,
            setup,
            talk,
            mailbox,
        } = self;
        Guest {
            socket: to(socket),
            log,
            entry,
            form,
            falling,
            head,
            setup,
            talk,
            mailbox,
        }
    }
}

impl<S> std::fmt::Debug for Guest<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guest")
            .field("log", &self.log.id())
            .field("entry", &self.entry)
            .field("form", &self.form)
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
    joined: OnceCell<Bytes>,
    compressed: OnceCell<Bytes>,
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
            joined: OnceCell::new(),
            compressed: OnceCell::new(),
        }
    }

    /// All of it, as a reader gets it.
    fn bytes(&self, form: &Form) -> &Bytes {
        let framed = form.is_framed();
        let pieces = || {
            let pieces = self.packets.iter();
            let pieces = pieces.map(move |packet| packet.encoded.as_slice(framed));
            pieces.collect::<Vec<_>>()
        };
        match form {
            Form::Plain => &self.plain,
            Form::Framed => &self.framed,
            // All who read a log joined have it joined alike, and compressed.
            Form::Joined(join) => return self.joined.get_or_init(|| join(&pieces())),
            Form::Compressed(join, by) => {
                let joined = self.joined.get_or_init(|| join(&pieces()));
                if !by.is_fit(joined) {
                    return joined;
                }
                return self.compressed.get_or_init(|| (by.compress)(joined));
            }
        }
        .get_or_init(|| match self.packets {
            [packet] => packet.encoded.to_bytes(framed),
            _ => pieces().concat().into(),
        })
    }
}

/// A connection in its place.
pub(super) struct Seat<S> {
    pub(super) socket: S,
    pub(super) log: Log<Packet>,
    pub(super) talk: Box<dyn Talk>,
    pub(super) mailbox: Option<Arc<Mailbox>>,
    cursor: Cursor,
    limits: Limits,
    form: Form,
    pub(super) falling: Falling,
    /// It did not take everything at once, and has not caught up since.
    behind: bool,
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
            Entry::At(offset) => Start::At(offset),
        };
        let lag = guest.falling.keeping_up();
        let cursor = guest.log.look(|window, _| Cursor::new(window, start, lag));
        let mut seat = Self {
            socket: guest.socket,
            log: guest.log,
            talk: guest.talk,
            mailbox: guest.mailbox,
            cursor,
            limits,
            form: guest.form,
            falling: guest.falling,
            behind: false,
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

    /// Goes on from the latest place to start, or from where it was if there is no later one.
    pub(super) fn resume(&mut self) {
        if !std::mem::take(&mut self.paused) {
            return;
        }
        let (lag, next) = (self.falling.keeping_up(), self.cursor.next_offset());
        self.cursor = self.log.look(|window, _| {
            let later = window.last_key().filter(|&key| key >= next);
            let start = match later {
                None if next >= window.first() => Start::At(next),
                Some(_) | None => Start::LatestKey,
            };
            Cursor::new(window, start, lag)
        });
    }

    /// The reader does not take everything at once: from here on it may be left behind.
    pub(super) fn fall_behind(&mut self) {
        self.behind = true;
        match self.falling {
            Falling::ToKey => self.cursor.set_lag(Lag::SkipToKey(self.bounds())),
            Falling::Thinned => {}
        }
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            items: u64::MAX,
            span_micros: i64::try_from(self.limits.lag.as_micros()).unwrap_or(i64::MAX),
        }
    }

    /// The reader has everything there is.
    const fn keep_up(&mut self) {
        self.behind = false;
        self.cursor.set_lag(self.falling.keeping_up());
    }

    /// Takes what came for this reader alone; false if it is too much.
    #[must_use]
    pub(super) fn take_mail(&mut self) -> bool {
        let Some(mailbox) = self.mailbox.clone() else {
            return true;
        };
        let (mail, lost) = mailbox.take();
        for one in mail {
            match one {
                Mail::Words(words) => {
                    if !self.say(words) {
                        return false;
                    }
                }
                Mail::Leave(words) if self.leaving.is_none() => {
                    self.push(words);
                    self.leaving = Some(Why::Told);
                }
                Mail::Leave(_) => {}
            }
        }
        !lost
    }

    /// The next bytes for whoever writes them by other means; none if there are none now.
    pub(super) fn piece(&mut self) -> Result<Option<Bytes>, Ended> {
        if self.queue.is_empty() && self.leaving.is_none() {
            let ended = !self.take_batch() && self.gather();
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

    /// Takes hold of what everybody gets compressed who keeps up, if this reader is one of them.
    fn take_batch(&mut self) -> bool {
        let Form::Compressed(join, by) = &self.form else {
            return false;
        };
        if self.behind || self.paused {
            return false;
        }
        let batch = by.batch(&self.log, self.cursor.next_offset(), *join);
        let Some((frame, next)) = batch else {
            return false;
        };
        self.cursor.go_on_at(next);
        self.push(frame);
        true
    }

    /// Takes hold of the next packets. Tells whether the log has ended and nothing is left of it.
    fn gather(&mut self) -> bool {
        if let Some(join) = self.form.join() {
            return self.gather_joined(join);
        }
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
                    Some(Read::TooSlow(_)) => {
                        self.leave(Why::Behind);
                        return false;
                    }
                    None => return ended && self.queue.is_empty(),
                }
            }
            false
        })
    }

    /// The same for a reader to whom packets come joined: they need no set-up.
    fn gather_joined(&mut self, join: Join) -> bool {
        let log = self.log.clone();
        log.look(|window, ended| {
            let (mut packets, gaps) = self.thin(window);
            let mut taken = 0;
            while taken < GATHER_BYTES && packets.len() < JOIN_PACKETS {
                match self.cursor.read(window) {
                    Some(Read::Item(_, packet)) => {
                        taken += packet.encoded.as_slice(false).len();
                        packets.push(packet);
                    }
                    // Its policy knows no gaps.
                    Some(Read::Gap { .. }) | None => break,
                    Some(Read::TooSlow(_)) => {
                        self.leave(Why::Behind);
                        return false;
                    }
                }
            }
            if !packets.is_empty() {
                let pieces = packets.iter().map(|packet| packet.encoded.as_slice(false));
                self.push(join(&pieces.collect::<Vec<_>>()));
            }
            if !gaps.is_empty() {
                self.skipped += gaps.iter().map(|gap| gap.to - gap.from).sum::<u64>();
                let words = self.talk.gaps(&gaps);
                self.push(words);
            }
            ended && self.queue.is_empty() && self.cursor.next_offset() >= window.end()
        })
    }

    /// If the reader is too far behind, passes over what it may be spared: gives what it may not,
    /// and what it was spared.
    fn thin(&mut self, window: &Window<Packet>) -> (Vec<Packet>, Vec<Gap>) {
        let next = self.cursor.next_offset();
        let (mut kept, mut gaps) = (Vec::new(), Vec::<Gap>::new());
        let too_far = self.behind && self.cursor.exceeds(window, self.bounds());
        if !too_far {
            return (kept, gaps);
        }
        for packet in (next..window.end()).filter_map(|at| window.get(at)) {
            let line = match packet.role {
                Role::Line(line) if line.droppable => line,
                Role::Picture | Role::Sound | Role::Other | Role::Line(_) => {
                    kept.push(packet.clone());
                    continue;
                }
            };
            match gaps.iter_mut().find(|gap| gap.lane == line.lane) {
                Some(gap) => gap.to = line.to,
                None => gaps.push(Gap {
                    lane: line.lane,
                    from: line.from,
                    to: line.to,
                }),
            }
        }
        self.cursor.go_on_at(window.end());
        (kept, gaps)
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
            let bytes = encoded.to_bytes(self.form.is_framed());
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
        let bytes = batch.bytes(&self.form);
        match self.socket.write(bytes) {
            Ok(written) => {
                self.cursor
                    .go_on_at(batch.from + batch.packets.len() as u64);
                self.written += written as u64;
                if written == bytes.len() {
                    return Ok(Flow::Caught);
                }
                // The rest is taken hold of; trying once more arms the socket's event.
                self.keep_rest(batch, written);
                self.pump()
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(self.block()),
            Err(error) if error.kind() == ErrorKind::Interrupted => self.pump(),
            Err(error) => Err(error),
        }
    }

    /// Takes hold of what is left of a batch after so many bytes of it.
    fn keep_rest(&mut self, batch: &Batch<'_>, mut written: usize) {
        if self.form.join().is_some() {
            let rest = batch.bytes(&self.form).slice(written..);
            return self.push(rest);
        }
        for packet in batch.packets {
            let mut bytes = packet.encoded.to_bytes(self.form.is_framed());
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
