//! A room's lanes, and the derived logs that shards write to its connections.
//!
//! There is one derived log for each encoding. The items of all lanes stand on it in one order, so
//! that one cursor reads them all; each keeps the position that it has on its own lane.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use fanout::{Encoded, Gap, Limits, Line, Log, Packet, Position, Role, Setup, Writer};
use wire::ChannelId;

use crate::danmaku::Danmaku;
use crate::item::{Event, Item};
use crate::lane::{Lane, PerLane, Places};
use crate::protocol::{Encoding, encode_item};

/// What a room keeps at hand for those who fall behind, return or come.
const WINDOW: Limits = Limits {
    items: 8_192,
    bytes: 4 * 1024 * 1024,
    span_micros: i64::MAX,
};

/// Danmaku that can be answered or deleted.
const SAID_MAX: usize = 1_000;

/// Items of a durable lane that one who returns is read from the store. Of what is more, chat
/// declares a gap.
pub(crate) const RESUME_MAX: u64 = 1_000;

/// A room.
#[derive(Debug)]
pub struct Room {
    /// Whose it is.
    pub id: ChannelId,
    state: Mutex<State>,
    viewers: AtomicU64,
    likes: AtomicU64,
    closed: AtomicBool,
}

#[derive(Debug)]
struct State {
    /// Where each lane is: the position of the next item.
    places: PerLane<Position>,
    feeds: [Feed; Encoding::ALL.len()],
    /// What was said last.
    said: VecDeque<(u64, Danmaku)>,
    /// Deleted items of the chat lane that may still be at hand.
    deleted: HashSet<u64>,
    /// Viewers and likes as they were told last.
    told: (u64, u64),
}

/// The derived log of one encoding.
#[derive(Debug)]
struct Feed {
    log: Log<Packet>,
    writer: Writer<Packet>,
    setup: Arc<Setup>,
}

/// What somebody who comes is given, cut at one moment.
#[derive(Debug)]
pub struct Joined {
    /// What is read from here on.
    pub log: Log<Packet>,
    /// Where in it.
    pub start: u64,
    /// Where the lanes are at that moment.
    pub places: PerLane<Position>,
    /// What was missed, encoded, oldest first.
    pub missed: Vec<Bytes>,
    /// What was missed and is not at hand.
    pub gaps: Vec<Gap>,
}

impl Room {
    /// A room whose lanes are at `places`, with the last items of each, oldest first.
    pub fn new(id: ChannelId, places: PerLane<Position>, last: Vec<Item>) -> Self {
        let feeds = Encoding::ALL.map(|_| Feed::new());
        let mut state = State {
            places,
            feeds,
            said: VecDeque::new(),
            deleted: HashSet::new(),
            told: (0, 0),
        };
        for item in last {
            state.put(item);
        }
        Self {
            id,
            state: Mutex::new(state),
            viewers: AtomicU64::new(0),
            likes: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while something is put down leaves a lane short of it, not broken.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a lane is: the position of the next item.
    pub fn place(&self, lane: Lane) -> Position {
        *self.state().places.get(lane)
    }

    /// Puts items down that are kept, or of a lane that is kept nowhere. Whoever calls this is the
    /// only writer of these lanes, and has numbered the items.
    pub(crate) fn append(&self, items: Vec<Item>) {
        let mut state = self.state();
        for item in items {
            state.places.get_mut(item.lane).offset = item.offset + 1;
            if let Event::Deleted { of } = item.event {
                state.deleted.insert(of);
                state.said.retain(|(offset, _)| *offset != of);
            }
            state.put(item);
        }
    }

    /// Puts something down on the ambient lane.
    pub fn tell(&self, event: Event, at_ms: i64) {
        let mut state = self.state();
        let place = state.places.get_mut(Lane::Ambient);
        let offset = place.offset;
        place.offset += 1;
        state.put(Item {
            lane: Lane::Ambient,
            offset,
            at_ms,
            event,
        });
    }

    /// Tells how many are here and like it, if that has changed.
    pub fn tell_counts(&self, at_ms: i64) {
        let now = (self.viewers(), self.likes());
        let before = std::mem::replace(&mut self.state().told, now);
        if before != now {
            let (viewers, likes) = now;
            self.tell(Event::Count { viewers, likes }, at_ms);
        }
    }

    /// How many are here.
    pub fn viewers(&self) -> u64 {
        self.viewers.load(Ordering::Relaxed)
    }

    /// Likes since the broadcast began.
    pub fn likes(&self) -> u64 {
        self.likes.load(Ordering::Relaxed)
    }

    /// Somebody likes it.
    pub fn like(&self) {
        self.likes.fetch_add(1, Ordering::Relaxed);
    }

    /// A broadcast begins.
    pub fn forget_likes(&self) {
        self.likes.store(0, Ordering::Relaxed);
    }

    /// Something that was said lately.
    pub fn said(&self, offset: u64) -> Option<Danmaku> {
        let state = self.state();
        let at = state
            .said
            .binary_search_by_key(&offset, |(offset, _)| *offset);
        state.said.get(at.ok()?).map(|(_, danmaku)| danmaku.clone())
    }

    /// Lets somebody in who was at `places`. Who knows nothing of the chat is given the last
    /// `history` of it.
    pub fn join(&self, encoding: Encoding, places: &Places, history: usize) -> Joined {
        let state = self.state();
        let wanted = PerLane::from_fn(|lane| {
            let now = state.places.get(lane);
            let was = places.get(lane).filter(|was| was.epoch == now.epoch);
            // Nobody has seen what is not there yet.
            was.map(|was| was.offset.min(now.offset))
        });
        let feed = &state.feeds[encoding as usize];
        let (mut missed, start) = feed.log.look(|window, _| {
            let missed = state.look_back(window, &wanted, history);
            (missed, window.end())
        });
        missed.pieces.reverse();
        Joined {
            log: feed.log.clone(),
            start,
            places: state.places,
            missed: missed.pieces,
            gaps: missed.gaps,
        }
    }

    /// Ends every connection: what the lanes hold is no longer known.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        for feed in &self.state().feeds {
            feed.log.end();
        }
    }

    /// Whether it has been closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Counts a viewer for as long as what is returned is kept.
    pub(crate) fn enter(self: &Arc<Self>) -> Presence {
        self.viewers.fetch_add(1, Ordering::Relaxed);
        Presence(Arc::clone(self))
    }
}

/// Somebody who is here.
#[derive(Debug)]
pub(crate) struct Presence(Arc<Room>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.viewers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What was found looking back: the newest first.
struct LookedBack {
    pieces: Vec<Bytes>,
    gaps: Vec<Gap>,
}

impl State {
    /// Puts an item on the derived logs.
    fn put(&mut self, item: Item) {
        let pieces = encode_item(&item);
        for (feed, piece) in self.feeds.iter().zip(pieces) {
            feed.put(&item, piece);
        }
        if let Event::Danmaku(danmaku) = item.event {
            self.said.push_back((item.offset, danmaku));
            if self.said.len() > SAID_MAX {
                self.said.pop_front();
            }
            // What has left the window needs no note that it was deleted.
            if self.deleted.len() > WINDOW.items {
                let oldest = item.offset.saturating_sub(WINDOW.items as u64);
                self.deleted.retain(|offset| *offset >= oldest);
            }
        }
    }

    fn look_back(
        &self,
        window: &fanout::Window<Packet>,
        wanted: &PerLane<Option<u64>>,
        history: usize,
    ) -> LookedBack {
        let mut pieces = Vec::new();
        // The oldest item of each lane that is at hand.
        let mut oldest = PerLane::from_fn(|lane| self.places.get(lane).offset);
        let mut history = if wanted.get(Lane::Chat).is_none() {
            history
        } else {
            0
        };
        for packet in (window.first()..window.end())
            .rev()
            .filter_map(|at| window.get(at))
        {
            let satisfied = |lane| {
                wanted
                    .get(lane)
                    .is_none_or(|from| *oldest.get(lane) <= from)
            };
            if history == 0 && Lane::ALL.into_iter().all(satisfied) {
                break;
            }
            let Role::Line(line) = packet.role else {
                continue;
            };
            let Some(lane) = Lane::of_number(i64::from(line.lane)) else {
                continue;
            };
            *oldest.get_mut(lane) = line.offset;
            if lane == Lane::Chat && self.deleted.contains(&line.offset) {
                continue;
            }
            let is_missed = wanted.get(lane).is_some_and(|from| line.offset >= from);
            let is_history = lane == Lane::Chat && history > 0;
            if is_history {
                history -= 1;
            }
            if is_missed || is_history {
                pieces.push(packet.encoded.to_bytes(false));
            }
        }
        let gaps = Lane::ALL.into_iter().filter_map(|lane| {
            let (from, to) = ((*wanted.get(lane))?, *oldest.get(lane));
            let lane = lane.number();
            (from < to).then_some(Gap { lane, from, to })
        });
        LookedBack {
            gaps: gaps.collect(),
            pieces,
        }
    }
}

impl Feed {
    fn new() -> Self {
        let log = Log::new(0, WINDOW, Packet::measure);
        Self {
            writer: log.writer(),
            log,
            // Nothing has to be said before an item.
            setup: Arc::new(Setup {
                number: 0,
                whole: Encoded::default(),
                change: Encoded::default(),
            }),
        }
    }

    fn put(&self, item: &Item, piece: Bytes) {
        let line = Line {
            lane: item.lane.number(),
            offset: item.offset,
            droppable: item.lane.is_droppable(),
        };
        let packet = Packet {
            encoded: Encoded::plain(piece),
            setup: Arc::clone(&self.setup),
            role: Role::Line(line),
            key: false,
            flush: true,
            at_micros: item.at_ms.saturating_mul(1_000),
        };
        // It is refused only once the room is closed, and then nobody reads it.
        let _ = self.writer.append(packet);
    }
}
