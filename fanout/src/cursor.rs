//! A reader's place in a log, and what it does when it falls behind.

use crate::window::{Position, Window};

/// Where a new cursor begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest item still held.
    Oldest,
    /// With the newest item where reading can start; with the next such item if none is held.
    LatestKey,
    /// With the next item to come where reading can start.
    NextKey,
    /// With the next item to come.
    Live,
    /// At an offset read before; what has left the window since is told as a gap.
    At(u64),
}

/// How far behind the end a cursor may fall before its policy acts. Whatever has left the log's
/// window counts as too far in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Most items between the cursor and the end.
    pub items: u64,
    /// Longest time between the next item and the newest, in microseconds.
    pub span_micros: i64,
}

impl Bounds {
    /// Nothing but the window itself bounds the cursor.
    pub const WINDOW: Self = Self {
        items: u64::MAX,
        span_micros: i64::MAX,
    };
}

/// What a cursor does when it has fallen behind its [`Bounds`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lag {
    /// Viewers of media: go on from the newest item where reading can start.
    SkipToKey(Bounds),
    /// Readers of chat: go on with the next item to come.
    SkipToLive(Bounds),
    /// Packager and recorder: read every item that is still held; only what has left the window is
    /// missing.
    Record,
    /// Readers for whom a gap would be a lie: end.
    End(Bounds),
}

/// What reading one step gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read<T> {
    /// The next item.
    Item(Position, T),
    /// The items from `from` up to, not including, `to` are passed over.
    Gap {
        /// First item missed.
        from: Position,
        /// First item after the gap.
        to: Position,
    },
    /// The cursor fell behind and its policy was to end there. Nothing more will be read.
    TooSlow(Position),
}

/// A position in a log and a policy for falling behind.
#[derive(Clone, Debug)]
pub struct Cursor {
    next: u64,
    lag: Lag,
    /// Set while what comes next is useless until an item where reading can start.
    seeking_key: bool,
    stopped: bool,
}

impl Cursor {
    /// A cursor on `window`.
    pub fn new<T>(window: &Window<T>, start: Start, lag: Lag) -> Self {
        let (next, seeking_key) = match start {
            Start::Oldest => (window.first(), false),
            Start::NextKey => (window.end(), true),
            Start::Live => (window.end(), false),
            Start::At(offset) => (offset.min(window.end()), false),
            Start::LatestKey => match window.last_key() {
                Some(key) => (key, false),
                None => (window.end(), true),
            },
        };
        Self {
            next,
            lag,
            seeking_key,
            stopped: false,
        }
    }

    /// Offset of the item that is read next.
    pub const fn next_offset(&self) -> u64 {
        self.next
    }

    /// Whether the cursor reads on at exactly `offset`.
    pub const fn is_at(&self, offset: u64) -> bool {
        self.next == offset && !self.seeking_key && !self.stopped
    }

    /// Goes on at `offset`: what stands before it was read by other means.
    pub const fn go_on_at(&mut self, offset: u64) {
        self.next = offset;
    }

    /// Another policy from here on.
    pub const fn set_lag(&mut self, lag: Lag) {
        self.lag = lag;
    }

    /// Whether the policy has ended the cursor.
    pub const fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Reads one step; `None` when the cursor has everything there is.
    pub fn read<T: Clone>(&mut self, window: &Window<T>) -> Option<Read<T>> {
        if self.stopped {
            return None;
        }
        if let Some(step) = self.apply_lag(window) {
            return Some(step);
        }
        if self.seeking_key {
            // Nothing was shown yet, so what is passed over here is no gap in anything.
            let end = window.end();
            self.next = (self.next..end)
                .find(|&offset| window.meta(offset).is_some_and(|meta| meta.key))
                .unwrap_or(end);
            self.seeking_key = self.next == end;
        }
        let item = window.get(self.next)?.clone();
        let at = position(window, self.next);
        self.next += 1;
        Some(Read::Item(at, item))
    }

    fn apply_lag<T>(&mut self, window: &Window<T>) -> Option<Read<T>> {
        let lost = self.next < window.first();
        let target = match self.lag {
            Lag::Record if lost => window.first(),
            Lag::SkipToKey(bounds) if lost || self.exceeds(window, bounds) => {
                match window.last_key().filter(|&key| key > self.next) {
                    Some(key) => key,
                    // No later place to start is held: keep reading what is, if anything is.
                    None if lost => {
                        self.seeking_key = true;
                        window.end()
                    }
                    None => return None,
                }
            }
            Lag::SkipToLive(bounds) if lost || self.exceeds(window, bounds) => window.end(),
            Lag::End(bounds) if lost || self.exceeds(window, bounds) => {
                self.stopped = true;
                return Some(Read::TooSlow(position(window, self.next)));
            }
            Lag::Record | Lag::SkipToKey(_) | Lag::SkipToLive(_) | Lag::End(_) => return None,
        };
        let gap = Read::Gap {
            from: position(window, self.next),
            to: position(window, target),
        };
        self.next = target;
        Some(gap)
    }

    /// Whether the cursor is further behind than `bounds`. What has left the window is not looked at.
    pub fn exceeds<T>(&self, window: &Window<T>, bounds: Bounds) -> bool {
        let end = window.end();
        if end.saturating_sub(self.next) > bounds.items {
            return true;
        }
        let (Some(next), Some(newest)) = (window.meta(self.next), window.meta(end.wrapping_sub(1)))
        else {
            return false;
        };
        newest.at_micros.saturating_sub(next.at_micros) > bounds.span_micros
    }
}

fn position<T>(window: &Window<T>, offset: u64) -> Position {
    Position {
        epoch: window.epoch(),
        offset,
    }
}
