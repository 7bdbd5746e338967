//! One viewer in a room, without its connection: what it is told, reconciled with what there was.

use std::time::Instant;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::mark::Mark;
use super::tally::Tally;
use crate::http::{Answer, Piece};
use crate::stamp::now_us;
use crate::times::Window;
use crate::websocket::Frames;

/// Of a message that is only counted, so much is looked at: enough for whatever comes alone.
const GLANCE_BYTES: usize = 512;
/// Longest message taken.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
const LANES: [&str; 4] = ["control", "money", "chat", "ambient"];

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Rooms of Barrage, in MessagePack.
    Barrage,
    /// Each message is what was said, and nothing besides.
    Plain,
}

/// The next item of each lane.
pub(crate) type Places = [u64; LANES.len()];

/// A viewer.
#[derive(Debug)]
pub(crate) struct Member {
    dialect: Dialect,
    /// Whether it looks at every message, or only counts them.
    looks: bool,
    /// When it was to come: what the server is late for counts.
    due: Instant,
    reading: Reading,
    /// Where the lanes were when it came first.
    from: Option<Places>,
    epochs: Places,
    /// What it has to hear before it knows all that it missed.
    behind: Option<Places>,
    next: Places,
    /// Whether what comes now was not there before it came.
    live: bool,
    /// Items since it came first.
    delivered: u64,
    declared: u64,
    repeated: u64,
    last_number: Option<u32>,
    joined_us: u64,
}

#[derive(Debug, Default)]
struct Reading {
    answer: Answer,
    upgraded: bool,
    frames: Frames,
    message: Vec<u8>,
    length: usize,
}

/// A map that the server sends; what is not looked at is left out.
#[derive(Debug, Deserialize)]
struct Told<'a> {
    t: &'a str,
    #[serde(default)]
    l: Option<&'a str>,
    #[serde(default)]
    p: Option<u64>,
    #[serde(default)]
    text: Option<&'a str>,
    #[serde(default)]
    from: Option<u64>,
    #[serde(default)]
    to: Option<u64>,
    #[serde(default)]
    lanes: Option<Lanes>,
}

#[derive(Debug, Deserialize)]
struct Lanes {
    control: At,
    money: At,
    chat: At,
    ambient: At,
}

#[derive(Debug, Deserialize)]
struct At {
    e: u64,
    p: u64,
}

/// What came of a viewer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reconciled {
    pub(crate) delivered: u64,
    pub(crate) declared: u64,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
}

/// Where what is heard is noted.
pub(crate) struct Hearing<'a> {
    pub(crate) tally: &'a mut Tally,
    pub(crate) window: Window,
    pub(crate) now: Instant,
}

impl Member {
    pub(crate) fn new(dialect: Dialect, looks: bool, due: Instant) -> Self {
        Self {
            dialect,
            looks,
            due,
            reading: Reading::default(),
            from: None,
            epochs: Places::default(),
            behind: None,
            next: Places::default(),
            live: false,
            delivered: 0,
            declared: 0,
            repeated: 0,
            last_number: None,
            joined_us: 0,
        }
    }

    pub(crate) const fn has_joined(&self) -> bool {
        self.from.is_some()
    }

    /// Whether it has heard all that was said before it came, or came back.
    pub(crate) const fn is_whole(&self) -> bool {
        self.from.is_some() && self.behind.is_none()
    }

    /// Items since it came first.
    pub(crate) const fn heard(&self) -> u64 {
        self.delivered
    }

    /// It has to come again, from `due` on; tells where it was, as a request says it.
    pub(crate) fn return_at(&mut self, due: Instant) -> Option<String> {
        self.reading = Reading::default();
        self.live = false;
        self.due = due;
        self.behind = self.from.map(|_| [u64::MAX; LANES.len()]);
        self.from?;
        let lanes = LANES.iter().zip(self.epochs).zip(self.next);
        let since: Vec<String> = lanes
            .map(|((lane, epoch), next)| format!("{lane}:{epoch}:{next}"))
            .collect();
        Some(since.join(","))
    }

    /// Where it is on each lane, as far as it looks.
    pub(crate) fn places(&self) -> Option<Places> {
        (self.looks && self.from.is_some()).then_some(self.next)
    }

    /// What to answer now.
    pub(crate) fn poll_transmit(&mut self) -> Option<bytes::Bytes> {
        self.reading.frames.poll_transmit()
    }

    /// Takes what was read.
    pub(crate) fn handle_input(
        &mut self,
        bytes: &[u8],
        hearing: &mut Hearing<'_>,
    ) -> anyhow::Result<()> {
        if self.reading.upgraded {
            return self.read(bytes, hearing);
        }
        self.reading.answer.push(bytes);
        while let Some(piece) = self.reading.answer.next()? {
            match piece {
                Piece::Head(101) => {
                    self.reading.upgraded = true;
                    if self.dialect == Dialect::Plain {
                        self.join(Places::default(), hearing);
                    }
                }
                Piece::Head(status) => bail!("the server answered {status}"),
                Piece::Body(bytes) => self.read(&bytes, hearing)?,
                Piece::End => bail!("the server ended the connection"),
            }
        }
        Ok(())
    }

    fn read(&mut self, bytes: &[u8], hearing: &mut Hearing<'_>) -> anyhow::Result<()> {
        let mut frames = std::mem::take(&mut self.reading.frames);
        let mut outcome = Ok(());
        frames.handle_input(bytes, |piece, ends| {
            if outcome.is_ok() {
                outcome = self.piece(piece, ends, hearing);
            }
        })?;
        let closed = frames.is_closed();
        self.reading.frames = frames;
        outcome?;
        if closed {
            bail!("the server ended the connection");
        }
        Ok(())
    }

    fn piece(&mut self, piece: &[u8], ends: bool, hearing: &mut Hearing<'_>) -> anyhow::Result<()> {
        let Reading {
            message, length, ..
        } = &mut self.reading;
        *length += piece.len();
        if ends && message.is_empty() {
            let length = std::mem::take(length);
            return self.message(piece, length, hearing);
        }
        let wanted = if self.looks || !self.live {
            MESSAGE_BYTES_MAX
        } else {
            GLANCE_BYTES
        };
        let room = wanted.saturating_sub(message.len());
        message.extend_from_slice(&piece[..piece.len().min(room)]);
        if *length > MESSAGE_BYTES_MAX {
            bail!("a message of more than {MESSAGE_BYTES_MAX} bytes");
        }
        if ends {
            let length = std::mem::take(length);
            let mut whole = std::mem::take(message);
            let outcome = self.message(&whole, length, hearing);
            whole.clear();
            if self.looks {
                self.reading.message = whole;
            }
            return outcome;
        }
        Ok(())
    }

    /// A message: whole, or the beginning of it where it is only counted.
    fn message(
        &mut self,
        bytes: &[u8],
        length: usize,
        hearing: &mut Hearing<'_>,
    ) -> anyhow::Result<()> {
        if self.dialect == Dialect::Plain {
            self.delivered += 1;
            if self.looks {
                self.mark(bytes, hearing);
            }
            return Ok(());
        }
        let only_counted = self.live && !self.looks;
        if only_counted && (length > GLANCE_BYTES || !has_gap(bytes)) {
            self.delivered += array_length(bytes).context("not a list of items")?;
            return Ok(());
        }
        let told: Vec<Told<'_>> =
            rmp_serde::from_slice(bytes).context("the server says what cannot be read")?;
        for told in told {
            self.told(&told, hearing);
        }
        Ok(())
    }

    fn told(&mut self, told: &Told<'_>, hearing: &mut Hearing<'_>) {
        if let Some(lanes) = &told.lanes {
            self.welcome(lanes, hearing);
            return;
        }
        let lane = told.l.and_then(lane_number);
        match (told.t, lane, told.p) {
            ("gap", Some(lane), _) => {
                let (Some(from), Some(to)) = (told.from, told.to) else {
                    return;
                };
                let from = from.max(self.next[lane]);
                self.declared += to.saturating_sub(from);
                self.next[lane] = self.next[lane].max(to);
            }
            (_, Some(lane), Some(p)) => self.item(lane, p, told, hearing),
            _ => return,
        }
        self.look_whether_whole(hearing);
    }

    fn item(&mut self, lane: usize, p: u64, told: &Told<'_>, hearing: &mut Hearing<'_>) {
        let Some(from) = self.from else { return };
        // The history that it is shown is not new.
        if p < from[lane] {
            return;
        }
        if p < self.next[lane] {
            self.repeated += 1;
            return;
        }
        self.delivered += 1;
        // Whoever only counts is not told which they were.
        if self.looks || !self.live {
            self.next[lane] = p + 1;
        }
        let was_there = self.behind.is_some_and(|behind| p < behind[lane]);
        self.live |= !was_there;
        if let Some(text) = told.text.filter(|_| !was_there) {
            self.mark(text.as_bytes(), hearing);
        }
    }

    fn mark(&mut self, text: &[u8], hearing: &mut Hearing<'_>) {
        let Some(mark) = Mark::of(text) else { return };
        if self.dialect == Dialect::Plain {
            self.repeated += u64::from(self.last_number.is_some_and(|last| mark.number <= last));
            self.last_number = Some(mark.number);
        }
        if mark.said_us >= self.joined_us && hearing.window.has(hearing.now) {
            let took = now_us().saturating_sub(mark.said_us);
            hearing.tally.latencies.add(took);
        }
    }

    fn welcome(&mut self, lanes: &Lanes, hearing: &mut Hearing<'_>) {
        let at = [&lanes.control, &lanes.money, &lanes.chat, &lanes.ambient];
        let places = at.map(|at| at.p);
        let epochs = at.map(|at| at.e);
        if self.from.is_none() {
            self.epochs = epochs;
            self.join(places, hearing);
            return;
        }
        for lane in 0..LANES.len() {
            if epochs[lane] != self.epochs[lane] {
                // What was not heard of the old life cannot be known; the lane counts anew.
                self.next[lane] = places[lane];
                self.from = self.from.map(|mut from| {
                    from[lane] = places[lane];
                    from
                });
                hearing.tally.epochs += 1;
            }
        }
        self.epochs = epochs;
        self.behind = Some(places);
        self.look_whether_whole(hearing);
    }

    fn join(&mut self, places: Places, hearing: &mut Hearing<'_>) {
        self.from = Some(places);
        self.next = places;
        self.joined_us = now_us();
        hearing.tally.joined += 1;
        let took = hearing.now.saturating_duration_since(self.due);
        hearing.tally.joins.add_duration(took);
        hearing.tally.last_join = hearing.tally.last_join.max(Some(hearing.now));
    }

    fn look_whether_whole(&mut self, hearing: &mut Hearing<'_>) {
        let Some(behind) = self.behind else { return };
        if self.next.iter().zip(behind).all(|(next, to)| *next >= to) {
            self.behind = None;
            let took = hearing.now.saturating_duration_since(self.due);
            hearing.tally.returns.add_duration(took);
        }
    }

    /// What it heard beside what there was: up to `places`, or `said` plain messages.
    pub(crate) fn reconcile(&self, places: &Places, said: u64) -> Reconciled {
        let Some(from) = self.from else {
            return Reconciled::default();
        };
        let there = match self.dialect {
            Dialect::Plain => said,
            Dialect::Barrage => (places.iter().zip(from))
                .map(|(to, from)| to.saturating_sub(from))
                .sum(),
        };
        let heard = self.delivered + self.declared;
        Reconciled {
            delivered: self.delivered,
            declared: self.declared,
            lost: there.saturating_sub(heard),
            repeated: self.repeated + heard.saturating_sub(there),
        }
    }
}

fn lane_number(name: &str) -> Option<usize> {
    LANES.iter().position(|lane| *lane == name)
}

/// How many things a list in MessagePack has.
fn array_length(bytes: &[u8]) -> Option<u64> {
    Some(match *bytes {
        [first @ 0x90..=0x9F, ..] => u64::from(first & 0x0F),
        [0xDC, a, b, ..] => u64::from(u16::from_be_bytes([a, b])),
        [0xDD, a, b, c, d, ..] => u64::from(u32::from_be_bytes([a, b, c, d])),
        _ => return None,
    })
}

/// Whether it may speak of a gap, which always comes alone.
fn has_gap(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, b"\xA3gap").is_some()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    fn frame(maps: &Value) -> Vec<u8> {
        let body = rmp_serde::to_vec_named(maps).unwrap();
        let mut frame = vec![0x82, 126];
        frame.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        frame.extend(body);
        frame
    }

    fn item(p: u64) -> Value {
        json!({"l": "chat", "p": p, "t": "danmaku", "text": Mark::now(0).text(30)})
    }

    fn welcome(chat: u64) -> Value {
        let at = |p| json!({"e": 7, "p": p});
        json!({"t": "welcome", "lanes":
            {"control": at(0), "money": at(0), "chat": at(chat), "ambient": at(0)}})
    }

    struct Room {
        member: Member,
        tally: Tally,
    }

    impl Room {
        fn new(looks: bool) -> Self {
            let mut member = Member::new(Dialect::Barrage, looks, Instant::now());
            member.reading.upgraded = true;
            Self {
                member,
                tally: Tally::default(),
            }
        }

        fn hear(&mut self, maps: &Value) {
            let now = Instant::now();
            let mut hearing = Hearing {
                tally: &mut self.tally,
                window: Window {
                    from: now,
                    until: now + Duration::from_secs(9),
                },
                now,
            };
            let bytes = frame(maps);
            for some in bytes.chunks(11) {
                self.member.handle_input(some, &mut hearing).unwrap();
            }
        }

        fn reconcile(&self, chat: u64) -> (u64, u64, u64, u64) {
            let done = self.member.reconcile(&[0, 0, chat, 0], 0);
            (done.delivered, done.declared, done.lost, done.repeated)
        }
    }

    #[test]
    fn what_comes_what_is_declared_and_what_is_lost_are_told_apart() {
        for looks in [true, false] {
            let mut room = Room::new(looks);
            // The history is from before.
            room.hear(&json!([welcome(5), item(3), item(4)]));
            room.hear(&json!([item(5)]));
            let many: Vec<Value> = (6..40).map(item).collect();
            room.hear(&json!(many));
            assert_eq!(room.reconcile(40), (35, 0, 0, 0), "{looks}");
            room.hear(&json!([{"t": "gap", "l": "chat", "from": 40, "to": 45}]));
            room.hear(&json!([item(45)]));
            assert_eq!(room.reconcile(46), (36, 5, 0, 0), "{looks}");
            assert_eq!(room.reconcile(48), (36, 5, 2, 0), "{looks}");
        }
    }

    #[test]
    fn repetitions_are_seen() {
        let mut room = Room::new(true);
        room.hear(&json!([welcome(0)]));
        room.hear(&json!([item(0), item(1), item(1)]));
        assert_eq!(room.reconcile(2), (2, 0, 0, 1));
        assert_eq!(room.tally.latencies.histogram().len(), 2);
    }

    #[test]
    fn who_returns_is_whole_once_all_that_was_missed_is_there() {
        let mut room = Room::new(true);
        room.hear(&json!([welcome(0), item(0)]));
        let since = room.member.return_at(Instant::now()).unwrap();
        assert_eq!(since, "control:7:0,money:7:0,chat:7:1,ambient:7:0");
        room.member.reading.upgraded = true;
        room.hear(&json!([welcome(4), {"t": "gap", "l": "chat", "from": 1, "to": 3}]));
        assert!(!room.member.is_whole());
        room.hear(&json!([item(3)]));
        assert!(room.member.is_whole());
        assert_eq!(room.reconcile(4), (2, 2, 0, 0));
        assert_eq!(room.tally.returns.histogram().len(), 1);
    }
}
