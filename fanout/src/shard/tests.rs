//! Seats against a plain model, on a socket that takes as much as it is told to; then real sockets.

use std::io::{self, ErrorKind, IoSlice, Read as _, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use proptest::prelude::*;

use super::seat::{Batch, Flow, Seat};
use super::*;
use crate::{
    Compressed, Encoded, Form, Gap, Limits as Window, Line, Log, Packet, Role, Setup, Writer,
};

const LIMITS: Limits = Limits {
    lag: Duration::from_millis(500),
    stall: Duration::from_secs(20),
};

/// Longer than anything here takes when it works.
const DEADLINE: Duration = Duration::from_secs(20);

/// Does as it is told, says so, and tells how it ended.
struct Obedient(mpsc::Sender<Account>);

impl Talk for Obedient {
    fn hear(&mut self, bytes: &[u8]) -> Heard {
        let then = match bytes {
            b"leave" => Then::Leave,
            b"pause" => Then::Pause,
            b"resume" => Then::Resume,
            b"panic" => panic!("told to"),
            _ => Then::GoOn,
        };
        Heard {
            answer: marked(b'O', 0, 0),
            then,
        }
    }

    fn farewell(&mut self, _why: Why) -> Bytes {
        marked(b'Z', 0, 0)
    }

    fn gaps(&mut self, gaps: &[Gap]) -> Bytes {
        let ends = gaps.iter().flat_map(|gap| [gap.from, gap.to]);
        let words: Vec<Bytes> = ends.map(|end| marked(b'G', end, 0)).collect();
        words.concat().into()
    }

    fn over(&mut self, account: Account) {
        // A test that no longer listens has seen enough.
        let _ = self.0.send(account);
    }
}

/// A mark, a number, and so many bytes of padding, which are counted.
fn marked(mark: u8, number: u64, padding: usize) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(mark);
    bytes.put_u64(number);
    bytes.put_u32(u32::try_from(padding).unwrap());
    bytes.put_bytes(0xAA, padding);
    bytes.freeze()
}

fn framed(mark: u8, number: u64, padding: usize) -> Encoded {
    let inner = marked(mark, number, padding);
    let mut bytes = BytesMut::from(&b"FR"[..]);
    bytes.extend_from_slice(&inner);
    Encoded::framed(bytes.freeze(), 2)
}

/// What was written, taken apart: marks and numbers. A piece cut off at the end is left out.
fn read_back(mut bytes: &[u8], in_frames: bool) -> Vec<(u8, u64)> {
    let mut pieces = Vec::new();
    loop {
        let mut rest = bytes;
        // The head and the last words come without a frame.
        if in_frames && rest.starts_with(b"FR") {
            rest = &rest[2..];
        }
        let Some((head, after)) = rest.split_at_checked(13) else {
            return pieces;
        };
        let padding = u32::from_be_bytes(head[9..].try_into().unwrap()) as usize;
        if after.len() < padding {
            return pieces;
        }
        pieces.push((head[0], u64::from_be_bytes(head[1..9].try_into().unwrap())));
        bytes = &after[padding..];
    }
}

/// A log whose packets are numbered as they stand in it.
struct Source {
    log: Log<Packet>,
    writer: Writer<Packet>,
    setup: Arc<Setup>,
    all: Vec<(bool, u64)>,
    at_micros: i64,
}

impl Source {
    fn new(window: Window) -> Self {
        let log = Log::new(0, window, Packet::measure);
        let writer = log.writer();
        Self {
            log,
            writer,
            setup: Arc::new(setup(0)),
            all: Vec::new(),
            at_micros: 0,
        }
    }

    fn append(&mut self, key: bool, padding: usize) {
        let number = self.all.len() as u64;
        self.all.push((key, self.setup.number));
        self.at_micros += 33_000;
        let packet = Packet {
            encoded: framed(if key { b'K' } else { b'P' }, number, padding),
            setup: Arc::clone(&self.setup),
            role: Role::Picture,
            key,
            flush: true,
            at_micros: self.at_micros,
        };
        self.writer.append(packet).unwrap();
    }

    fn change_setup(&mut self) {
        self.setup = Arc::new(setup(self.setup.number + 1));
    }
}

fn setup(number: u64) -> Setup {
    Setup {
        number,
        whole: framed(b'S', number, 30),
        change: framed(b'C', number, 5),
    }
}

const WINDOW: Window = Window {
    items: 40,
    bytes: 1 << 20,
    span_micros: 1_000_000,
};

/// Nothing leaves it here.
const ROOMY: Window = Window {
    items: 10_000,
    span_micros: i64::MAX,
    ..WINDOW
};

/// A socket that takes so much, and then no more.
#[derive(Default)]
struct Pipe {
    taken: Vec<u8>,
    room: usize,
}

/// One that takes so many bytes.
const fn pipe(room: usize) -> Pipe {
    Pipe {
        taken: Vec::new(),
        room,
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.room == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let before = self.taken.len();
        for piece in pieces {
            let length = piece.len().min(self.room);
            self.taken.extend_from_slice(&piece[..length]);
            self.room -= length;
        }
        Ok(self.taken.len() - before)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn guest<S>(
    socket: S,
    log: &Log<Packet>,
    entry: Entry,
    framed: bool,
) -> (Guest<S>, mpsc::Receiver<Account>) {
    let (tell, told) = mpsc::channel();
    let guest = Guest {
        socket,
        log: log.clone(),
        entry,
        form: if framed { Form::Framed } else { Form::Plain },
        falling: Falling::ToKey,
        head: marked(b'H', 0, 100),
        setup: None,
        talk: Box::new(Obedient(tell)),
        mailbox: None,
    };
    (guest, told)
}

#[test]
fn who_pauses_shortly_goes_on_where_it_was_and_never_back() {
    let mut source = Source::new(WINDOW);
    source.append(true, 0);
    source.append(false, 0);
    let (guest, _told) = guest(pipe(usize::MAX), &source.log, Entry::Now, false);
    let mut seat = Seat::new(guest, LIMITS, Instant::now());
    assert_eq!(seat.pump().unwrap(), Flow::Caught);
    seat.pause();
    source.append(false, 0);
    seat.resume();
    assert_eq!(seat.pump().unwrap(), Flow::Caught);
    seat.pause();
    source.append(false, 0);
    source.append(true, 0);
    source.append(false, 0);
    seat.resume();
    assert_eq!(seat.pump().unwrap(), Flow::Caught);
    let numbers: Vec<u64> = read_back(&seat.socket.taken, false)
        .into_iter()
        .filter(|(mark, _)| matches!(mark, b'K' | b'P'))
        .map(|(_, number)| number)
        .collect();
    assert_eq!(numbers, [0, 1, 2, 4, 5]);
}

/// A room's log: items of a lane that may be dropped and of one that may not, in turns.
struct Lanes {
    source: Source,
    next: [u64; 2],
}

impl Lanes {
    fn new() -> Self {
        Self {
            source: Source::new(Window {
                span_micros: i64::MAX,
                ..WINDOW
            }),
            next: [0; 2],
        }
    }

    fn append(&mut self, lane: u8) {
        let offset = self.next[usize::from(lane)];
        self.next[usize::from(lane)] += 1;
        self.source.at_micros += 100_000;
        let packet = Packet {
            encoded: Encoded::plain(marked(b'a' + lane, offset, 0)),
            setup: Arc::clone(&self.source.setup),
            role: Role::Line(Line {
                lane,
                from: offset,
                to: offset + 1,
                is_gap: false,
                droppable: lane == 1,
            }),
            key: false,
            flush: true,
            at_micros: self.source.at_micros,
        };
        self.source.writer.append(packet).unwrap();
    }

    fn guest(&self, socket: Pipe) -> (Guest<Pipe>, Arc<Mailbox>) {
        let (guest, _) = guest(socket, &self.source.log, Entry::At(0), false);
        let mailbox = Arc::new(Mailbox::default());
        let guest = Guest {
            form: Form::Joined(|pieces| pieces.concat().into()),
            falling: Falling::Thinned,
            head: Bytes::new(),
            setup: Some(0),
            mailbox: Some(Arc::clone(&mailbox)),
            ..guest
        };
        (guest, mailbox)
    }
}

#[test]
fn who_falls_behind_in_a_room_misses_only_what_may_be_dropped_and_is_told() {
    let mut lanes = Lanes::new();
    let mut seat = Seat::new(lanes.guest(pipe(0)).0, LIMITS, Instant::now());
    lanes.append(1);
    assert_eq!(seat.pump().unwrap(), Flow::Blocked);
    for _ in 0..10 {
        lanes.append(0);
        lanes.append(1);
    }
    seat.socket.room = usize::MAX;
    assert_eq!(seat.unblock().unwrap(), Flow::Caught);
    let mut expected = vec![(b'b', 0)];
    expected.extend((0..10).map(|offset| (b'a', offset)));
    // The talk says where the gap begins and ends.
    expected.extend([(b'G', 1), (b'G', 11)]);
    assert_eq!(read_back(&seat.socket.taken, false), expected);
    lanes.append(1);
    assert_eq!(seat.pump().unwrap(), Flow::Caught);
    assert_eq!(
        read_back(&seat.socket.taken, false).last(),
        Some(&(b'b', 11))
    );
}

/// Everything in one piece.
fn join(pieces: &[&[u8]]) -> Bytes {
    pieces.concat().into()
}

/// What "compressed" is here.
fn squeezed(frame: &[u8]) -> Bytes {
    [b"~", frame].concat().into()
}

#[test]
fn what_many_get_alike_is_compressed_once() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let by = |longest| Compressed {
        compress: |frame| {
            MADE.fetch_add(1, Ordering::Relaxed);
            squeezed(frame)
        },
        longest,
        batches: Arc::default(),
    };
    let mut lanes = Lanes::new();
    let forms = [
        Form::Compressed(join, by(usize::MAX)),
        Form::Compressed(join, by(usize::MAX)),
        // Its decoder cannot look back so far.
        Form::Compressed(join, by(20)),
        Form::Joined(join),
    ];
    let mut seats = forms.map(|form| {
        let (guest, _) = lanes.guest(pipe(usize::MAX));
        Seat::new(Guest { form, ..guest }, LIMITS, Instant::now())
    });
    lanes.append(0);
    lanes.append(1);
    let packets = lanes.source.log.look(|window, _| {
        let packets = (0..2).filter_map(|at| window.get(at).cloned());
        packets.collect::<Vec<_>>()
    });
    let batch = Batch::new(0, &packets);
    for seat in &mut seats {
        assert_eq!(seat.write_batch(&batch).unwrap(), Flow::Caught);
    }
    let plain = [marked(b'a', 0, 0), marked(b'b', 0, 0)].concat();
    assert_eq!(seats[0].socket.taken, squeezed(&plain));
    assert_eq!(seats[1].socket.taken, squeezed(&plain));
    assert_eq!(seats[2].socket.taken, plain);
    assert_eq!(seats[3].socket.taken, plain);
    assert_eq!(MADE.load(Ordering::Relaxed), 1);
    // What one is written alone comes as it is.
    lanes.append(0);
    assert_eq!(seats[0].pump().unwrap(), Flow::Caught);
    assert!(seats[0].socket.taken.ends_with(&marked(b'a', 1, 0)));
    assert_eq!(MADE.load(Ordering::Relaxed), 1);
}

#[test]
fn who_is_not_written_to_by_a_shard_shares_what_is_compressed_too() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let by = Compressed {
        compress: |frame| {
            MADE.fetch_add(1, Ordering::Relaxed);
            squeezed(frame)
        },
        longest: usize::MAX,
        batches: Arc::default(),
    };
    let mut lanes = Lanes::new();
    let [mut early, mut late] = [by.clone(), by].map(|by| {
        let (guest, _) = lanes.guest(pipe(0));
        let form = Form::Compressed(join, by);
        Seat::new(Guest { form, ..guest }, LIMITS, Instant::now())
    });
    let piece = |seat: &mut Seat<Pipe>| seat.piece().unwrap();
    assert_eq!(piece(&mut early), None);
    lanes.append(0);
    lanes.append(1);
    let first = squeezed(&[marked(b'a', 0, 0), marked(b'b', 0, 0)].concat());
    assert_eq!(piece(&mut early), Some(first.clone()));
    assert_eq!(piece(&mut early), None);
    lanes.append(0);
    let second = squeezed(&marked(b'a', 1, 0));
    for seat in [&mut early, &mut late] {
        let pieces: Vec<Bytes> = std::iter::from_fn(|| piece(seat)).collect();
        let all = [first.clone(), second.clone()];
        assert!(all.ends_with(&pieces), "{pieces:?}");
    }
    assert_eq!(MADE.load(Ordering::Relaxed), 2);
    // Who has fallen behind reads at a place of its own.
    lanes.append(1);
    late.fall_behind();
    assert_eq!(piece(&mut late), Some(marked(b'b', 1, 0)));
    assert_eq!(MADE.load(Ordering::Relaxed), 2);
}

#[test]
fn who_misses_what_must_not_be_missed_is_let_go() {
    let mut lanes = Lanes::new();
    let mut seat = Seat::new(lanes.guest(pipe(0)).0, LIMITS, Instant::now());
    lanes.append(0);
    assert_eq!(seat.pump().unwrap(), Flow::Blocked);
    for _ in 0..WINDOW.items + 1 {
        lanes.append(0);
    }
    seat.socket.room = usize::MAX;
    assert_eq!(seat.unblock().unwrap(), Flow::End);
    assert_eq!(read_back(&seat.socket.taken, false), [(b'a', 0), (b'Z', 0)]);
    assert_eq!(seat.account(Why::Gone).why, Why::Behind);
}

#[test]
fn what_is_for_one_alone_comes_to_it_and_too_much_of_it_ends_it() {
    let lanes = Lanes::new();
    let (guest, mailbox) = lanes.guest(pipe(usize::MAX));
    let mut seat = Seat::new(guest, LIMITS, Instant::now());
    mailbox.post(marked(b'M', 1, 0));
    mailbox.post(marked(b'M', 2, 0));
    assert!(seat.take_mail());
    assert_eq!(seat.pump().unwrap(), Flow::Caught);
    assert_eq!(read_back(&seat.socket.taken, false), [(b'M', 1), (b'M', 2)]);
    seat.socket.room = 0;
    for number in 0..2_000 {
        mailbox.post(marked(b'M', number, 100));
    }
    assert!(!seat.take_mail());
    mailbox.end(marked(b'L', 0, 0));
    assert!(seat.take_mail());
    seat.socket.room = usize::MAX;
    assert_eq!(seat.unblock().unwrap(), Flow::End);
    assert_eq!(
        read_back(&seat.socket.taken, false).last(),
        Some(&(b'L', 0))
    );
}

#[derive(Clone, Debug)]
enum Step {
    Append {
        key: bool,
        padding: usize,
    },
    ChangeSetup,
    /// The shard writes what is new to all.
    Pass,
    Join {
        entry: Entry,
        framed: bool,
        fast: bool,
    },
    Room {
        who: prop::sample::Index,
        bytes: usize,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    let entry = prop_oneof![Just(Entry::Now), Just(Entry::NextKey)];
    prop_oneof![
        8 => (prop::bool::weighted(0.15), 0usize..4_000)
            .prop_map(|(key, padding)| Step::Append { key, padding }),
        1 => Just(Step::ChangeSetup),
        6 => Just(Step::Pass),
        2 => (entry, any::<bool>(), any::<bool>())
            .prop_map(|(entry, framed, fast)| Step::Join { entry, framed, fast }),
        4 => (any::<prop::sample::Index>(), 1usize..8_000)
            .prop_map(|(who, bytes)| Step::Room { who, bytes }),
    ]
}

struct Viewer {
    seat: Seat<Pipe>,
    framed: bool,
    /// Takes everything at once.
    fast: bool,
    joined_at: usize,
}

/// What a viewer has been written is what the rules say: whole packets, in order, each decodable.
fn check(viewer: &Viewer, source: &Source, over: bool) -> Result<(), TestCaseError> {
    let pieces = read_back(&viewer.seat.socket.taken, viewer.framed);
    let mut setup = None;
    let mut last: Option<u64> = None;
    let mut missed = 0;
    for (at, &(mark, number)) in pieces.iter().enumerate() {
        match mark {
            b'H' => prop_assert_eq!(at, 0),
            b'S' => setup = Some(number),
            b'C' => {
                prop_assert_eq!(setup, Some(number - 1), "a change without what it changes");
                setup = Some(number);
            }
            b'K' | b'P' => {
                let (key, needs) = source.all[usize::try_from(number).unwrap()];
                prop_assert_eq!(setup, Some(needs), "packet {} under another set-up", number);
                match last {
                    None => prop_assert!(key, "began with {} which is no key", number),
                    Some(last) => {
                        prop_assert!(number > last, "{} after {}", number, last);
                        prop_assert!(number == last + 1 || key, "after a gap came {}", number);
                        missed += number - last - 1;
                    }
                }
                last = Some(number);
            }
            other => prop_assert!(false, "mark {}", other),
        }
    }
    prop_assert!(
        !viewer.fast || missed == 0,
        "who keeps up missed {}",
        missed
    );
    if over && viewer.fast && source.all[viewer.joined_at..].iter().any(|(key, _)| *key) {
        prop_assert_eq!(
            last,
            Some(source.all.len() as u64 - 1),
            "the end is missing"
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nobody_is_written_anything_torn_twice_or_undecodable(steps in prop::collection::vec(any_step(), 1..200)) {
        let now = Instant::now();
        let mut source = Source::new(WINDOW);
        let mut viewers: Vec<Viewer> = Vec::new();
        let mut seen = 0;
        let pass = |source: &Source, viewers: &mut Vec<Viewer>, seen: &mut u64| {
            let (from, packets) = source.log.look(|window, _| {
                let from = (*seen).max(window.first());
                let packets: Vec<Packet> = (from..window.end()).map(|at| window.get(at).unwrap().clone()).collect();
                (from, packets)
            });
            *seen = from + packets.len() as u64;
            let batch = Batch::new(from, &packets);
            for viewer in viewers {
                let flow = viewer.seat.write_batch(&batch).unwrap();
                assert!(flow != Flow::End);
            }
        };
        for step in steps {
            match step {
                Step::Append { key, padding } => {
                    source.append(key, padding);
                    // Whoever keeps up is written to before the window has moved on.
                    if source.all.len().is_multiple_of(8) {
                        pass(&source, &mut viewers, &mut seen);
                    }
                }
                Step::ChangeSetup => source.change_setup(),
                Step::Pass => pass(&source, &mut viewers, &mut seen),
                Step::Join { entry, framed, fast } => {
                    let room = if fast { usize::MAX } else { 500 };
                    let pipe = Pipe { room, ..Pipe::default() };
                    let (guest, _) = guest(pipe, &source.log, entry, framed);
                    let mut seat = Seat::new(guest, LIMITS, now);
                    seat.pump().unwrap();
                    viewers.push(Viewer { seat, framed, fast, joined_at: source.all.len() });
                }
                Step::Room { who, bytes } => {
                    if viewers.is_empty() {
                        continue;
                    }
                    let viewer = who.get(&viewers);
                    if viewer.fast {
                        continue;
                    }
                    let at = who.index(viewers.len());
                    viewers[at].seat.socket.room += bytes;
                    viewers[at].seat.unblock().unwrap();
                }
            }
            for viewer in &viewers {
                check(viewer, &source, false)?;
            }
        }
        pass(&source, &mut viewers, &mut seen);
        source.log.end();
        for viewer in &mut viewers {
            viewer.seat.socket.room = usize::MAX;
            prop_assert_eq!(viewer.seat.unblock().unwrap(), Flow::End);
            check(viewer, &source, true)?;
        }
    }
}

#[test]
fn a_reader_that_stopped_keeps_little_and_skips_to_a_keyframe_when_it_is_back() {
    let mut source = Source::new(WINDOW);
    source.append(true, 1_000);
    let pipe = Pipe {
        room: 600,
        ..Pipe::default()
    };
    let (guest, _told) = guest(pipe, &source.log, Entry::Now, false);
    let mut seat = Seat::new(guest, LIMITS, Instant::now());
    assert_eq!(seat.pump().unwrap(), Flow::Blocked);
    for number in 1..100 {
        source.append(number % 30 == 0, 1_000);
    }
    seat.socket.room = usize::MAX;
    assert_eq!(seat.unblock().unwrap(), Flow::Caught);
    let numbers: Vec<u64> = read_back(&seat.socket.taken, false)
        .into_iter()
        .filter(|(mark, _)| b"KP".contains(mark))
        .map(|(_, number)| number)
        .collect();
    assert_eq!(numbers[..2], [0, 90]);
    assert_eq!(numbers.len(), 11);
    assert_eq!(seat.account(Why::Gone).skipped, 89);
}

#[test]
fn a_reader_that_takes_a_byte_now_and_then_has_stopped_all_the_same() {
    let mut source = Source::new(WINDOW);
    source.append(true, 1_000);
    let now = Instant::now();
    let pipe = Pipe {
        room: 1,
        ..Pipe::default()
    };
    let (guest, _told) = guest(pipe, &source.log, Entry::Now, false);
    let mut seat = Seat::new(guest, LIMITS, now);
    seat.pump().unwrap();
    for second in 1..20 {
        seat.socket.room = 1;
        seat.unblock().unwrap();
        assert!(!seat.has_stopped(now + Duration::from_secs(second)));
    }
    assert!(seat.has_stopped(now + LIMITS.stall));
}

#[test]
fn sound_comes_at_once_and_pictures_from_the_next_keyframe() {
    let mut source = Source::new(WINDOW);
    source.append(true, 10);
    let pipe = Pipe {
        room: usize::MAX,
        ..Pipe::default()
    };
    let (guest, _told) = guest(pipe, &source.log, Entry::Sound, false);
    let mut seat = Seat::new(guest, LIMITS, Instant::now());
    seat.pump().unwrap();
    source.append(false, 10);
    let sound = Packet {
        encoded: framed(b'A', 1, 3),
        setup: Arc::clone(&source.setup),
        role: Role::Sound,
        key: false,
        flush: false,
        at_micros: source.at_micros,
    };
    source.writer.append(sound).unwrap();
    source.append(true, 10);
    source.append(false, 10);
    seat.pump().unwrap();
    let marks: Vec<u8> = read_back(&seat.socket.taken, false)
        .into_iter()
        .map(|(mark, _)| mark)
        .collect();
    assert_eq!(marks, b"HSAKP");
}

#[tokio::test]
async fn a_body_reads_as_a_seat_does_and_tells_the_end() {
    let mut source = Source::new(WINDOW);
    source.append(true, 10);
    let (guest, told) = guest((), &source.log, Entry::Now, true);
    let mut body = Body::new(guest, LIMITS);
    let mut bytes = Vec::new();
    while let Ok(Some(piece)) = body.try_next() {
        bytes.extend_from_slice(&piece);
    }
    let waiting = tokio::spawn(async move {
        while let Some(piece) = body.next().await {
            bytes.extend_from_slice(&piece);
        }
        bytes
    });
    source.append(false, 10);
    source.change_setup();
    source.append(false, 10);
    source.log.end();
    let bytes = waiting.await.unwrap();
    let marks: Vec<u8> = read_back(&bytes, true)
        .into_iter()
        .map(|(mark, _)| mark)
        .collect();
    assert_eq!(marks, b"HSKPCPZ");
    assert_eq!(told.try_recv().unwrap().why, Why::Ended);
}

// ---- real sockets ------------------------------------------------------------------------------

fn start(count: usize, limits: Limits) -> Shards {
    Shards::start(Config {
        count,
        pace: pace::Bounds {
            min: Duration::ZERO,
            max: Duration::from_millis(100),
        },
        limits,
    })
    .unwrap()
}

/// Two ends of a connection: the one to be served, and the one that reads.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let reader = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    reader.set_read_timeout(Some(DEADLINE)).unwrap();
    let (served, _) = listener.accept().unwrap();
    served.set_nonblocking(true).unwrap();
    (served, reader)
}

fn seat(shards: &Shards, log: &Log<Packet>) -> (TcpStream, mpsc::Receiver<Account>) {
    let (served, reader) = connection();
    let (guest, told) = guest(served, log, Entry::Now, false);
    shards.seat(guest);
    (reader, told)
}

fn read_all(mut reader: TcpStream) -> Vec<(u8, u64)> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    read_back(&bytes, false)
}

#[test]
fn everybody_on_every_shard_gets_every_packet_and_the_last_words() {
    // Sent all at once, which is more than a reader that falls behind may miss.
    let shards = start(2, LIMITS);
    let mut source = Source::new(ROOMY);
    source.append(true, 100);
    let viewers: Vec<_> = (0..60).map(|_| seat(&shards, &source.log)).collect();
    for number in 1..300 {
        source.append(number % 50 == 0, 300);
    }
    source.log.end();
    for (reader, told) in viewers {
        let pieces = read_all(reader);
        let numbers: Vec<u64> = pieces
            .iter()
            .filter(|(mark, _)| b"KP".contains(mark))
            .map(|(_, number)| *number)
            .collect();
        let first = numbers[0];
        assert!(numbers.iter().copied().eq(first..300), "{numbers:?}");
        assert_eq!(pieces.last(), Some(&(b'Z', 0)));
        let account = told.recv_timeout(DEADLINE).unwrap();
        assert_eq!((account.why, account.skipped), (Why::Ended, 0));
    }
    let stats = shards.stats();
    assert!(
        stats.iter().all(|shard| shard.connections == 0),
        "{stats:?}"
    );
    assert!(!source.log.is_listened_to());
}

#[test]
fn who_says_so_is_paused_resumed_and_shown_out() {
    let shards = start(1, LIMITS);
    let mut source = Source::new(WINDOW);
    source.append(true, 10);
    let (mut reader, told) = seat(&shards, &source.log);
    let mut pieces = |mark: u8| {
        let mut seen = Vec::new();
        loop {
            let mut head = [0; 13];
            reader.read_exact(&mut head).unwrap();
            let padding = u32::from_be_bytes(head[9..].try_into().unwrap());
            reader.read_exact(&mut vec![0; padding as usize]).unwrap();
            seen.push(head[0]);
            if head[0] == mark {
                return (seen, reader.try_clone().unwrap());
            }
        }
    };
    let (seen, mut peer) = pieces(b'K');
    assert_eq!(seen, b"HSK");
    peer.write_all(b"pause").unwrap();
    pieces(b'O');
    source.append(false, 10);
    source.append(true, 10);
    source.append(false, 10);
    peer.write_all(b"resume").unwrap();
    // It goes on from the latest keyframe; what came while it was paused is not told.
    assert_eq!(pieces(b'O').0, b"O");
    assert_eq!(pieces(b'P').0, b"KP");
    peer.write_all(b"leave").unwrap();
    assert_eq!(pieces(b'Z').0, b"OZ");
    assert_eq!(told.recv_timeout(DEADLINE).unwrap().why, Why::Told);
}

#[test]
fn who_goes_away_leaves_nothing_behind() {
    let shards = start(1, LIMITS);
    let mut source = Source::new(WINDOW);
    source.append(true, 10);
    let (reader, told) = seat(&shards, &source.log);
    drop(reader);
    assert_eq!(told.recv_timeout(DEADLINE).unwrap().why, Why::Gone);
    assert!(!source.log.is_listened_to());
}

#[test]
fn those_who_stay_get_everything_while_others_come_and_go() {
    let shards = start(1, LIMITS);
    let mut source = Source::new(ROOMY);
    source.append(true, 10);
    let mut staying = Vec::new();
    for round in 0..20 {
        let (leaving, told) = seat(&shards, &source.log);
        staying.push(seat(&shards, &source.log));
        if round % 3 == 0 {
            staying.swap(0, round / 2);
        }
        source.append(false, 10);
        drop(leaving);
        assert_eq!(told.recv_timeout(DEADLINE).unwrap().why, Why::Gone);
        source.append(false, 10);
    }
    source.log.end();
    for (reader, told) in staying {
        let pieces = read_all(reader);
        let numbers = pieces.iter().filter(|(mark, _)| b"KP".contains(mark));
        assert!(numbers.map(|(_, number)| *number).eq(0..41), "{pieces:?}");
        assert_eq!(told.recv_timeout(DEADLINE).unwrap().why, Why::Ended);
    }
}

#[test]
fn who_stops_reading_is_dropped_and_others_are_not_disturbed() {
    let shards = start(
        1,
        Limits {
            stall: Duration::from_secs(2),
            lag: DEADLINE,
        },
    );
    let mut source = Source::new(Window {
        bytes: 64 << 20,
        ..WINDOW
    });
    source.append(true, 1_000_000);
    let (mut stopped, told) = seat(&shards, &source.log);
    let (mut reader, _other) = seat(&shards, &source.log);
    let watching = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        read_back(&bytes, false)
    });
    let account = loop {
        source.append(true, 1_000_000);
        match told.recv_timeout(Duration::from_millis(50)) {
            Ok(account) => break account,
            Err(error) => assert_eq!(error, mpsc::RecvTimeoutError::Timeout),
        }
        assert!(source.all.len() < 600, "never dropped");
    };
    assert_eq!(account.why, Why::Stopped);
    // The system does not go on holding for it what it did not take.
    let error = stopped.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    source.log.end();
    let pieces = watching.join().unwrap();
    let numbers = pieces.iter().filter(|(mark, _)| *mark == b'K');
    let numbers: Vec<u64> = numbers.map(|(_, number)| *number).collect();
    // Another may have been appended before it was seated.
    assert!(numbers[0] <= 1, "{numbers:?}");
    assert!(
        numbers
            .iter()
            .copied()
            .eq(numbers[0]..source.all.len() as u64),
        "{numbers:?}"
    );
}

#[test]
fn who_reads_late_still_gets_the_end() {
    let shards = start(1, LIMITS);
    let mut source = Source::new(ROOMY);
    // As much as the system takes before anybody reads.
    source.append(true, 50_000);
    let (reader, told) = seat(&shards, &source.log);
    source.log.end();
    // Not a byte is read until the shard has given up waiting for the reader to close.
    assert_eq!(told.recv_timeout(DEADLINE).unwrap().why, Why::Ended);
    let marks: Vec<u8> = read_all(reader).into_iter().map(|(mark, _)| mark).collect();
    assert_eq!(marks, b"HSKZ");
}

#[test]
fn a_panic_costs_those_who_are_there_and_nobody_who_comes_later() {
    let shards = start(1, LIMITS);
    let mut source = Source::new(ROOMY);
    source.append(true, 10);
    let (mut culprit, told) = seat(&shards, &source.log);
    let (mut other, told_other) = seat(&shards, &source.log);
    other.read_exact(&mut [0; 1]).unwrap();
    culprit.write_all(b"panic").unwrap();
    assert_eq!(told.recv_timeout(DEADLINE).unwrap().why, Why::Broken);
    assert_eq!(told_other.recv_timeout(DEADLINE).unwrap().why, Why::Broken);
    // It is closed.
    other.read_to_end(&mut Vec::new()).unwrap();

    let (reader, told) = seat(&shards, &source.log);
    source.append(false, 10);
    source.log.end();
    let marks: Vec<u8> = read_all(reader).into_iter().map(|(mark, _)| mark).collect();
    assert_eq!(marks, b"HSKPZ");
    assert_eq!(told.recv_timeout(DEADLINE).unwrap().why, Why::Ended);
    let stats = shards.stats();
    assert_eq!((stats[0].restarts, stats[0].connections), (1, 0));
}

#[test]
fn a_drain_says_farewell_to_everybody() {
    let shards = start(2, LIMITS);
    let mut source = Source::new(WINDOW);
    source.append(true, 10);
    let viewers: Vec<_> = (0..6).map(|_| seat(&shards, &source.log)).collect();
    let reading: Vec<_> = viewers
        .into_iter()
        .map(|(reader, told)| {
            std::thread::spawn(move || (read_all(reader), told.recv_timeout(DEADLINE).unwrap()))
        })
        .collect();
    shards.drain();
    for viewer in reading {
        let (pieces, account) = viewer.join().unwrap();
        assert_eq!(pieces.last(), Some(&(b'Z', 0)));
        assert_eq!(account.why, Why::Drained);
    }
}
