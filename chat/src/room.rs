//! A room's lanes, and the derived logs that shards write to its connections.
//!
//! There is one derived log for each encoding. The items of all lanes stand on it in one order, so
//! that one cursor reads them all; each keeps the position that it has on its own lane.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use cluster::{Elsewhere, Here};
use fanout::{Batches, Encoded, Gap, Limits, Line, Log, Packet, Position, Role, Setup, Writer};
use wire::{BroadcastId, ChannelId, NodeId};

use crate::danmaku::Danmaku;
use crate::emotes::Emotes;
use crate::item::{self, Event, Item};
use crate::lane::{Lane, PerLane, Places};
use crate::mods::{Mods, Seat};
use crate::people::People;
use crate::protocol::{Encoding, Told, encode_item};
use crate::sampler::{Sampler, Weight};

/// What a room keeps at hand for those who fall behind, return or come.
const WINDOW: Limits = Limits {
    items: 8_192,
    bytes: 4 * 1024 * 1024,
    span_micros: i64::MAX,
};

/// Danmaku that can be answered or deleted.
const SAID_MAX: usize = 1_000;

/// Gifts that whoever comes is given, and how many more while they are pinned.
const GIFTS_LAST: usize = 20;
const PINNED_MAX: usize = 50;

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
    /// Likes that other nodes have not been told of.
    fresh_likes: AtomicU64,
    closed: AtomicBool,
    holder: Mutex<Holder>,
    elsewhere: Mutex<Elsewhere>,
    /// Since when its holder cannot be reached, in milliseconds since the Unix epoch; zero when it can.
    cut_since: AtomicI64,
    /// Who is signed in.
    pub(crate) people: Arc<People>,
}

#[derive(Debug)]
struct State {
    /// Where each lane is: the position of the next item.
    places: PerLane<Position>,
    feeds: [Feed; Encoding::ALL.len()],
    /// What was said last.
    said: VecDeque<(u64, Danmaku)>,
    /// What was given last, and what is still pinned.
    gifts: VecDeque<Given>,
    /// Deleted items of the chat lane that may still be at hand.
    deleted: HashSet<u64>,
    /// Which danmaku everybody is shown.
    sampler: Sampler,
    /// Items of the chat lane that nobody is given, and has not been told so.
    untold: Option<Gap>,
    /// How many danmaku everybody was shown since the last count, and how many not.
    sampled: (u64, u64),
    /// Viewers and likes as they were told last.
    told: (u64, u64),
    /// A broadcast and its MediaTime zero, as they were told last.
    told_clock: Option<(BroadcastId, i64)>,
    /// What its control lane said last of its broadcast.
    broadcast: Option<item::Broadcast>,
    emotes: Arc<Emotes>,
    mods: Mods,
}

/// Which node writes to a room's durable lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// This one, with the fencing number that the database checks.
    Here(u64),
    /// Another; this one is told what it writes.
    Other(NodeId),
}

/// Something before what was carried is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missing;

/// The derived log of one encoding.
#[derive(Debug)]
struct Feed {
    log: Log<Packet>,
    writer: Writer<Packet>,
    setup: Arc<Setup>,
    batches: Arc<Batches>,
}

/// A gift that whoever comes is given.
#[derive(Debug)]
struct Given {
    seq: u64,
    at_ms: i64,
    pinned_until_ms: i64,
    pieces: [Bytes; Encoding::ALL.len()],
}

/// What somebody who comes is given, cut at one moment.
#[derive(Debug)]
pub struct Joined {
    /// What is read from here on.
    pub log: Log<Packet>,
    /// Where in it.
    pub start: u64,
    /// Frames of it that are compressed.
    pub batches: Arc<Batches>,
    /// Where the lanes are at that moment.
    pub places: PerLane<Position>,
    /// What was missed, encoded, oldest first.
    pub missed: Vec<Bytes>,
    /// What was missed and is not at hand.
    pub gaps: Vec<Gap>,
}

impl Room {
    /// A room whose lanes are at `places`, with the last items of each, oldest first. It shows
    /// everybody so many danmaku a second.
    pub fn new(
        id: ChannelId,
        places: PerLane<Position>,
        last: Vec<Item>,
        shown_per_second: u32,
    ) -> Self {
        let feeds = Encoding::ALL.map(|_| Feed::new());
        let mut state = State {
            places,
            feeds,
            said: VecDeque::new(),
            gifts: VecDeque::new(),
            deleted: HashSet::new(),
            sampler: Sampler::new(shown_per_second, places.get(Lane::Chat).epoch),
            untold: None,
            sampled: (0, 0),
            told: (0, 0),
            told_clock: None,
            broadcast: None,
            emotes: Arc::default(),
            mods: Mods::default(),
        };
        for item in last {
            if item.lane.is_shared() {
                state.remember(&item);
                state.put(&item);
            } else {
                state.mods.remember(item);
            }
        }
        Self {
            id,
            state: Mutex::new(state),
            viewers: AtomicU64::new(0),
            likes: AtomicU64::new(0),
            fresh_likes: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            holder: Mutex::new(Holder::Here(0)),
            elsewhere: Mutex::default(),
            cut_since: AtomicI64::new(0),
            people: Arc::default(),
        }
    }

    /// Which node writes to it.
    pub(crate) fn holder(&self) -> Holder {
        *self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_holder(&self, holder: Holder) {
        *self.holder.lock().unwrap_or_else(PoisonError::into_inner) = holder;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while something is put down leaves a lane short of it, not broken.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a lane is: the position of the next item.
    pub fn place(&self, lane: Lane) -> Position {
        *self.state().places.get(lane)
    }

    /// Puts items down that are kept. Whoever calls this is the only writer of these lanes, and has
    /// numbered the items. Of too many danmaku everybody is given some; the others reach who said
    /// them and whom they mention. Tells which everybody is given.
    pub(crate) fn append(&self, items: Vec<Item>) -> Vec<bool> {
        let mut state = self.state();
        let (mut shown, mut spared) = (Vec::with_capacity(items.len()), Vec::new());
        for item in items {
            let shows = state.shows(&item);
            shown.push(shows);
            spared.extend(state.take(item, shows));
        }
        drop(state);
        self.give(&spared);
        shown
    }

    /// Puts down what another node has put down, and whether everybody is given it. What stands here
    /// already is passed over.
    ///
    /// # Errors
    /// When something before it is missing; what is not missing anything is put down.
    pub(crate) fn follow(&self, carried: Vec<(Item, bool)>) -> Result<(), Missing> {
        let mut state = self.state();
        let (mut spared, mut missing) = (Vec::new(), false);
        for (item, shows) in carried {
            let next = state.places.get(item.lane).offset;
            missing |= item.offset > next;
            if item.offset == next {
                state.count(&item, shows);
                spared.extend(state.take(item, shows));
            }
        }
        drop(state);
        self.give(&spared);
        if missing { Err(Missing) } else { Ok(()) }
    }

    /// What was put down on one lane up to `to` and did not get here.
    pub(crate) fn catch_up(&self, lane: Lane, to: u64, items: Vec<Item>) {
        let next = self.place(lane).offset;
        let items = items.into_iter().filter(|item| item.offset >= next);
        self.append(items.collect());
        // What was deleted meanwhile is not among them.
        let mut state = self.state();
        let place = state.places.get_mut(lane);
        place.offset = place.offset.max(to);
    }

    fn give(&self, spared: &[Item]) {
        for item in spared {
            if let Event::Danmaku(danmaku) = &item.event {
                self.people.give(item, &danmaku.concerns());
            }
        }
    }

    /// Somebody hears the mods' lane from now on, for as long as they keep the seat; tells where it is,
    /// and what they missed since `wanted`, encoded.
    pub(crate) fn keep_order(
        &self,
        seat: &Arc<Seat>,
        wanted: Option<Position>,
    ) -> (Position, Vec<Bytes>) {
        let mut state = self.state();
        let next = *state.places.get(Lane::Mods);
        (next, state.mods.join(seat, next, wanted))
    }

    /// How its broadcast is, as its control lane said last.
    pub(crate) fn broadcast(&self) -> Option<item::Broadcast> {
        self.state().broadcast.clone()
    }

    /// Since when its holder cannot be reached, in milliseconds since the Unix epoch.
    pub(crate) fn cut_since_ms(&self) -> Option<i64> {
        Some(self.cut_since.load(Ordering::Relaxed)).filter(|since| *since != 0)
    }

    /// Its holder can be reached, or not any more.
    pub(crate) fn set_cut(&self, is_cut: bool, at_ms: i64) {
        let before = if is_cut {
            let set =
                (self.cut_since).compare_exchange(0, at_ms, Ordering::Relaxed, Ordering::Relaxed);
            set.unwrap_or_else(|before| before)
        } else {
            self.cut_since.swap(0, Ordering::Relaxed)
        };
        if (before != 0) != is_cut {
            let chat_since_ms = is_cut.then_some(at_ms);
            self.tell(Event::Degraded { chat_since_ms }, at_ms);
        }
    }

    /// Puts something down on the ambient lane.
    pub fn tell(&self, event: Event, at_ms: i64) {
        let mut state = self.state();
        let place = state.places.get_mut(Lane::Ambient);
        let offset = place.offset;
        place.offset += 1;
        state.put(&Item {
            lane: Lane::Ambient,
            offset,
            at_ms,
            event,
        });
    }

    /// Tells what has changed since the last time: how many are here, like it and were shown what
    /// was said; and who came, follows and passed it on. Gives the last.
    pub fn tell_counts(&self, at_ms: i64) -> Vec<Event> {
        let now = (self.everybody(), self.likes());
        let (changed, (kept, dropped)) = {
            let mut state = self.state();
            state.tell_what_was_passed_over(at_ms);
            let sampled = std::mem::take(&mut state.sampled);
            let before = std::mem::replace(&mut state.told, now);
            let sampled = if sampled.1 == 0 { (0, 0) } else { sampled };
            (before != now || sampled.1 > 0, sampled)
        };
        if changed {
            let (viewers, likes) = now;
            let count = Event::Count {
                viewers,
                likes,
                kept,
                dropped,
            };
            self.tell(count, at_ms);
        }
        let news = self.people.news();
        for news in &news {
            self.tell(news.clone(), at_ms);
        }
        news
    }

    /// Tells when the MediaTime zero of the broadcast was, if that is known better than before.
    pub fn tell_clock(&self, b: BroadcastId, zero_ms: i64, at_ms: i64) {
        let now = Some((b, zero_ms));
        let before = std::mem::replace(&mut self.state().told_clock, now);
        if before != now {
            self.tell(Event::Clock { b, zero_ms }, at_ms);
        }
    }

    /// How many are here, on this node.
    pub fn viewers(&self) -> u64 {
        self.viewers.load(Ordering::Relaxed)
    }

    /// How many are here on all nodes.
    pub fn everybody(&self) -> u64 {
        self.viewers() + self.elsewhere().viewers
    }

    fn elsewhere(&self) -> MutexGuard<'_, Elsewhere> {
        self.elsewhere
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What other nodes are told of it.
    pub(crate) fn here(&self) -> Here {
        let likes = self.fresh_likes.swap(0, Ordering::Relaxed);
        self.likes.fetch_add(likes, Ordering::Relaxed);
        Here {
            room: self.id.to_string(),
            viewers: self.viewers(),
            likes,
            people: self.people.crowd(),
        }
    }

    /// Nobody was told of these likes after all.
    pub(crate) fn keep_likes(&self, likes: u64) {
        self.likes.fetch_sub(likes, Ordering::Relaxed);
        self.fresh_likes.fetch_add(likes, Ordering::Relaxed);
    }

    /// What other nodes tell of it.
    pub(crate) fn set_elsewhere(&self, elsewhere: Elsewhere) {
        self.likes.store(elsewhere.likes, Ordering::Relaxed);
        *self.elsewhere() = elsewhere;
    }

    /// Nobody tells of other nodes; nobody there counts.
    pub(crate) fn forget_elsewhere(&self) {
        *self.elsewhere() = Elsewhere::default();
    }

    /// How many people are signed in on all nodes, and at most `limit` of them, whom chance chooses
    /// when they are more.
    pub(crate) fn some_people(&self, limit: usize) -> (usize, Vec<item::Name>) {
        let (mut count, mut some) = self.people.some(limit);
        let elsewhere = self.elsewhere();
        for (handle, name) in &elsewhere.people.some {
            // Who is on two nodes is one of those here.
            if some.iter().any(|one| one.handle == *handle) {
                count = count.saturating_sub(1);
            } else if some.len() < limit {
                some.push(item::Name {
                    handle: handle.clone(),
                    name: name.clone(),
                });
            }
        }
        count += usize::try_from(elsewhere.people.count).unwrap_or(usize::MAX);
        (count, some)
    }

    /// Likes since the broadcast began.
    pub fn likes(&self) -> u64 {
        self.likes.load(Ordering::Relaxed) + self.fresh_likes.load(Ordering::Relaxed)
    }

    /// Somebody likes it.
    pub fn like(&self) {
        self.fresh_likes.fetch_add(1, Ordering::Relaxed);
    }

    /// A broadcast begins.
    pub fn forget_likes(&self) {
        self.fresh_likes.store(0, Ordering::Relaxed);
        self.likes.store(0, Ordering::Relaxed);
    }

    /// The emotes of its channel.
    pub fn emotes(&self) -> Arc<Emotes> {
        Arc::clone(&self.state().emotes)
    }

    /// Tells it which emotes its channel has, and whether those are others than before.
    pub fn set_emotes(&self, emotes: Emotes) -> bool {
        let mut state = self.state();
        let changed = *state.emotes != emotes;
        state.emotes = Arc::new(emotes);
        changed
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
    /// `history` of it, and who knows nothing of gifts the last of those and all that are pinned.
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
            let missed = state.look_back(window, encoding, &wanted, history);
            (missed, window.end())
        });
        missed.pieces.reverse();
        Joined {
            log: feed.log.clone(),
            start,
            batches: Arc::clone(&feed.batches),
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

impl Presence {
    /// Where.
    pub(crate) fn room(&self) -> &Room {
        &self.0
    }
}

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
    /// Puts an item down at its place. Gives it back if not everybody is given it.
    fn take(&mut self, item: Item, shows: bool) -> Option<Item> {
        self.places.get_mut(item.lane).offset = item.offset + 1;
        if !item.lane.is_shared() {
            self.mods.tell(item);
            return None;
        }
        if let Event::Deleted { of } = item.event {
            self.deleted.insert(of);
            self.said.retain(|(offset, _)| *offset != of);
        }
        self.remember(&item);
        if shows {
            self.put(&item);
            return None;
        }
        self.pass_over(item.offset);
        Some(item)
    }

    /// Keeps at hand what can be answered or deleted, and how the broadcast is.
    fn remember(&mut self, item: &Item) {
        if let Event::Broadcast(broadcast) = &item.event {
            // An older one may end after a newer has begun on another node; later identities are greater.
            let is_older = |now: &item::Broadcast| broadcast.b < now.b;
            if !self.broadcast.as_ref().is_some_and(is_older) {
                self.broadcast = Some(broadcast.clone());
            }
        }
        let Event::Danmaku(danmaku) = &item.event else {
            return;
        };
        self.said.push_back((item.offset, danmaku.clone()));
        if self.said.len() > SAID_MAX {
            self.said.pop_front();
        }
        // What has left the window needs no note that it was deleted.
        if self.deleted.len() > WINDOW.items {
            let oldest = item.offset.saturating_sub(WINDOW.items as u64);
            self.deleted.retain(|offset| *offset >= oldest);
        }
    }

    /// Whether everybody is given an item.
    fn shows(&mut self, item: &Item) -> bool {
        let Event::Danmaku(danmaku) = &item.event else {
            return true;
        };
        let weight = Weight::of(danmaku);
        let shown = self.sampler.picks(item.offset, weight, item.at_ms);
        self.count(item, shown);
        shown
    }

    fn count(&mut self, item: &Item, shown: bool) {
        let (kept, dropped) = &mut self.sampled;
        if matches!(item.event, Event::Danmaku(_)) {
            *(if shown { kept } else { dropped }) += 1;
        }
    }

    /// Nobody is given this item of the chat lane.
    fn pass_over(&mut self, offset: u64) {
        let untold = self.untold.get_or_insert(Gap {
            lane: Lane::Chat.number(),
            from: offset,
            to: offset,
        });
        untold.to = offset + 1;
    }

    /// Declares the gap that is open.
    fn tell_what_was_passed_over(&mut self, at_ms: i64) {
        let Some(gap) = self.untold.take() else {
            return;
        };
        let line = Line {
            lane: gap.lane,
            from: gap.from,
            to: gap.to,
            is_gap: true,
            droppable: true,
        };
        let at_micros = at_ms.saturating_mul(1_000);
        for (feed, encoding) in self.feeds.iter().zip(Encoding::ALL) {
            let told = Told::Gap {
                l: Lane::Chat,
                from: gap.from,
                to: gap.to,
                sampled: true,
            };
            feed.put(line, encoding.encode(&told), at_micros);
        }
    }

    /// Puts an item on the derived logs.
    fn put(&mut self, item: &Item) {
        if item.lane == Lane::Chat {
            self.tell_what_was_passed_over(item.at_ms);
        }
        let line = Line {
            lane: item.lane.number(),
            from: item.offset,
            to: item.offset + 1,
            is_gap: false,
            droppable: item.lane.is_droppable(),
        };
        let at_micros = item.at_ms.saturating_mul(1_000);
        let pieces = encode_item(item);
        self.note_gift(item, &pieces);
        for (feed, piece) in self.feeds.iter().zip(pieces) {
            feed.put(line, piece, at_micros);
        }
    }

    fn note_gift(&mut self, item: &Item, pieces: &[Bytes; Encoding::ALL.len()]) {
        if let Event::TakenBack { of, .. } = &item.event {
            self.gifts.retain(|given| given.seq != *of);
        }
        let Event::Gift(gift) = &item.event else {
            return;
        };
        let pinned_ms = gift.pinned_ms.unwrap_or(0);
        let pinned_ms = i64::try_from(pinned_ms).unwrap_or(i64::MAX);
        self.gifts.push_back(Given {
            seq: gift.seq,
            at_ms: item.at_ms,
            pinned_until_ms: item.at_ms.saturating_add(pinned_ms),
            pieces: pieces.clone(),
        });
        if self.gifts.len() > GIFTS_LAST {
            let is_over = |given: &Given| given.pinned_until_ms <= item.at_ms;
            let over = self.gifts.iter().position(is_over);
            if over.is_some() || self.gifts.len() > GIFTS_LAST + PINNED_MAX {
                self.gifts.remove(over.unwrap_or(0));
            }
        }
    }

    fn look_back(
        &self,
        window: &fanout::Window<Packet>,
        encoding: Encoding,
        wanted: &PerLane<Option<u64>>,
        history: usize,
    ) -> LookedBack {
        let mut pieces = Vec::new();
        let wants_gifts = history > 0 && wanted.get(Lane::Money).is_none();
        let gifts = self.gifts.iter().rev().filter(|_| wants_gifts);
        let mut gifts = gifts.peekable();
        let piece = |given: &Given| given.pieces[encoding as usize].clone();
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
            *oldest.get_mut(lane) = line.from;
            if lane == Lane::Chat && self.deleted.contains(&line.from) {
                continue;
            }
            let is_missed = wanted.get(lane).is_some_and(|from| line.to > from);
            let is_history = lane == Lane::Chat && history > 0 && !line.is_gap;
            if is_history {
                history -= 1;
            }
            if is_missed || is_history {
                let is_later = |given: &&Given| given.at_ms > packet.at_micros / 1_000;
                pieces.extend(std::iter::from_fn(|| gifts.next_if(is_later)).map(piece));
                pieces.push(packet.encoded.to_bytes(false));
            }
        }
        pieces.extend(gifts.map(piece));
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
            batches: Arc::default(),
            // Nothing has to be said before an item.
            setup: Arc::new(Setup {
                number: 0,
                whole: Encoded::default(),
                change: Encoded::default(),
            }),
        }
    }

    fn put(&self, line: Line, piece: Bytes, at_micros: i64) {
        let packet = Packet {
            encoded: Encoded::plain(piece),
            setup: Arc::clone(&self.setup),
            role: Role::Line(line),
            key: false,
            flush: true,
            at_micros,
        };
        // It is refused only once the room is closed, and then nobody reads it.
        let _ = self.writer.append(packet);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use wire::{Person, UserId};

    use super::*;
    use crate::danmaku::{Colour, Mode, Size};

    /// Danmaku a second.
    const SHOWN: u32 = 1_000;

    fn danmaku(offset: u64) -> Item {
        let by = Person {
            id: UserId::new(),
            handle: "ann".parse().unwrap(),
            name: String::new(),
            badges: Vec::new(),
        };
        Item {
            lane: Lane::Chat,
            offset,
            at_ms: 0,
            event: Event::Danmaku(Danmaku {
                by,
                text: format!("#{offset}"),
                mode: Mode::Scroll,
                colour: Colour::default(),
                size: Size::Normal,
                b: None,
                mt: None,
                reply: None,
                mentions: Vec::new(),
                emotes: Default::default(),
            }),
        }
    }

    fn gift(offset: u64, at_ms: i64, pinned_ms: Option<u64>) -> Item {
        let gift = json!({
            "seq": offset,
            "by": { "id": UserId::new(), "handle": "ann" },
            "gift": { "id": "rose", "name": {}, "tier": 1, "effect": "float", "glyph": "🌹" },
            "count": 1,
            "coins": 1,
            "pinned_ms": pinned_ms,
        });
        Item {
            lane: Lane::Money,
            offset,
            at_ms,
            event: Event::Gift(Box::new(serde_json::from_value(gift).unwrap())),
        }
    }

    fn deleted(offset: u64, of: u64) -> Item {
        Item {
            lane: Lane::Control,
            offset,
            at_ms: 0,
            event: Event::Deleted { of },
        }
    }

    fn empty_room() -> Room {
        let places = PerLane::from_fn(|_| Position {
            epoch: 7,
            offset: 0,
        });
        Room::new(ChannelId::new(), places, Vec::new(), SHOWN)
    }

    /// Lanes and places of what somebody is given who comes.
    fn given(room: &Room, places: &str, history: usize) -> Vec<(Lane, u64)> {
        let places = places.parse().unwrap();
        let joined = room.join(Encoding::Json, &places, history);
        let items = joined.missed.iter();
        let items = items.map(|bytes| serde_json::from_slice::<Item>(bytes).unwrap());
        items.map(|item| (item.lane, item.offset)).collect()
    }

    #[test]
    fn who_comes_is_given_the_last_of_the_chat_and_nothing_deleted() {
        let room = empty_room();
        room.append((0..5).map(danmaku).collect());
        room.append(vec![deleted(0, 3)]);
        let chat = |offsets: &[u64]| -> Vec<_> {
            let offsets = offsets.iter();
            offsets.map(|offset| (Lane::Chat, *offset)).collect()
        };
        assert_eq!(given(&room, "", 2), chat(&[2, 4]));
        assert_eq!(given(&room, "", 9), chat(&[0, 1, 2, 4]));
        assert!(room.said(3).is_none());
        assert_eq!(room.said(4).map(|said| said.text), Some("#4".into()));
        // Of another life, nothing is known of the places.
        assert_eq!(given(&room, "chat:6:2", 1), chat(&[4]));
    }

    #[test]
    fn who_comes_is_given_the_last_gifts_and_what_is_pinned() {
        let room = empty_room();
        let last = GIFTS_LAST as u64;
        room.append(vec![gift(0, 0, Some(60_000)), danmaku(0)]);
        room.append((1..=last + 2).map(|n| gift(n, 1_000, None)).collect());
        let money = |offsets: &mut dyn Iterator<Item = u64>| -> Vec<_> {
            offsets.map(|offset| (Lane::Money, offset)).collect()
        };
        let mut expected = money(&mut (4..=last + 2));
        expected.splice(0..0, [(Lane::Money, 0), (Lane::Chat, 0)]);
        // What is pinned came before what was said.
        assert_eq!(given(&room, "", 9), expected);
        assert_eq!(given(&room, "money:7:3", 0), money(&mut (3..=last + 2)));
        assert_eq!(given(&room, "", 0), []);
        room.append(vec![Item {
            event: Event::TakenBack { seq: 99, of: 0 },
            ..gift(last + 3, 2_000, None)
        }]);
        assert_eq!(given(&room, "chat:7:1", 9), expected[2..]);
        // The pin is over.
        room.append(vec![gift(last + 4, 61_000, None)]);
        assert_eq!(given(&room, "chat:7:1", 9).len(), GIFTS_LAST);
    }

    #[test]
    fn what_is_not_at_hand_is_told_as_a_gap() {
        let places = PerLane::from_fn(|_| Position {
            epoch: 7,
            offset: 100,
        });
        let last = (90..100).map(danmaku).collect();
        let room = Room::new(ChannelId::new(), places, last, SHOWN);
        let places = "chat:7:80,control:7:99,money:7:100".parse().unwrap();
        let joined = room.join(Encoding::Msgpack, &places, 50);
        assert_eq!(joined.missed.len(), 10);
        let gap = |lane: Lane, from, to| Gap {
            lane: lane.number(),
            from,
            to,
        };
        assert_eq!(
            joined.gaps,
            [gap(Lane::Control, 99, 100), gap(Lane::Chat, 80, 90)]
        );
    }

    #[test]
    fn of_too_many_some_are_given_and_the_others_declared() {
        let room = empty_room();
        let said = 20 * u64::from(SHOWN);
        // All within a moment.
        for offset in 0..said {
            room.append(vec![danmaku(offset)]);
        }
        room.tell_counts(0);
        let (log, _) = {
            let joined = room.join(Encoding::Json, &Places::default(), 0);
            (joined.log, joined.start)
        };
        let (mut next, mut shown) = (None, 0);
        log.look(|window, _| {
            for packet in (window.first()..window.end()).filter_map(|at| window.get(at)) {
                let Role::Line(line) = packet.role else {
                    continue;
                };
                if line.lane != Lane::Chat.number() {
                    continue;
                }
                assert_eq!(line.from, next.unwrap_or(line.from), "nothing undeclared");
                next = Some(line.to);
                shown += u32::from(!line.is_gap);
            }
        });
        assert_eq!(next, Some(said));
        assert!(shown > 0 && shown <= SHOWN, "{shown}");
        // All can be answered, also what few have seen.
        assert!(room.said(said - 1).is_some());
        // Word of what nobody was given is no history.
        let history = given(&room, "", 3);
        assert_eq!(history.len(), 3);
        let (kept, dropped) = counts(&room);
        assert_eq!(kept + dropped, said);
    }

    /// What the last count said of danmaku that were shown and that were not.
    fn counts(room: &Room) -> (u64, u64) {
        let joined = room.join(Encoding::Json, &Places::default(), 0);
        joined.log.look(|window, _| {
            let packets = (window.first()..window.end()).rev();
            let packets = packets.filter_map(|at| window.get(at));
            let mut items = packets
                .filter_map(|packet| serde_json::from_slice(packet.encoded.as_slice(false)).ok());
            let count = items.find_map(|item: Item| {
                if let Event::Count { kept, dropped, .. } = item.event {
                    Some((kept, dropped))
                } else {
                    None
                }
            });
            count.unwrap()
        })
    }

    proptest! {
        #[test]
        fn who_returns_is_given_all_that_came_meanwhile_in_order(
            steps in prop::collection::vec(any::<bool>(), 0..60),
            cut in 0usize..60,
        ) {
            let room = empty_room();
            let mut next = PerLane::<u64>::default();
            let (mut at, mut expected) = (PerLane::<u64>::default(), Vec::new());
            for (number, is_chat) in steps.iter().enumerate() {
                if number == cut {
                    at = next;
                    expected.clear();
                }
                let lane = if *is_chat { Lane::Chat } else { Lane::Control };
                let offset = next.get_mut(lane);
                room.append(vec![if *is_chat { danmaku(*offset) } else { deleted(*offset, 9_999) }]);
                expected.push((lane, *offset));
                *offset += 1;
            }
            if cut >= steps.len() {
                at = next;
                expected.clear();
            }
            let places = format!("chat:7:{},control:7:{}", at.get(Lane::Chat), at.get(Lane::Control));
            prop_assert_eq!(given(&room, &places, 50), expected);
        }
    }
}
