//! The bounded stretch of a log that is kept in memory.

use std::collections::VecDeque;

/// Where an item stands in a log. Offsets count up by one within an epoch; a new epoch begins when
/// what stood before it can no longer be proven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Which life of the log.
    pub epoch: u64,
    /// Which item of that life, from zero.
    pub offset: u64,
}

/// What a log must know of an item to bound its window and to place a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Bytes the item holds in memory.
    pub size_bytes: usize,
    /// When it happened, in microseconds on the log's own clock.
    pub at_micros: i64,
    /// Whether a reader that knows nothing of the items before can start here.
    pub key: bool,
}

/// How much of a log stays in memory. The oldest items leave as soon as any bound is passed; the
/// newest one always stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most items.
    pub items: usize,
    /// Most bytes, as told by [`Meta::size_bytes`].
    pub bytes: usize,
    /// Longest stretch of time, in microseconds between oldest and newest.
    pub span_micros: i64,
}

/// The items that a log still holds, at consecutive positions of one epoch.
#[derive(Debug)]
pub struct Window<T> {
    epoch: u64,
    /// Offset of the oldest item held, or of the next to come when none is.
    first: u64,
    items: VecDeque<(Meta, T)>,
    bytes: usize,
    limits: Limits,
    /// Offset of the newest item where reading can start, held or not.
    last_key: Option<u64>,
}

impl<T> Window<T> {
    /// An empty window of a log's life `epoch`.
    pub const fn new(epoch: u64, limits: Limits) -> Self {
        Self {
            epoch,
            first: 0,
            items: VecDeque::new(),
            bytes: 0,
            limits,
            last_key: None,
        }
    }

    /// Adds an item at the end and lets go of what no longer fits. Returns where it stands.
    pub fn push(&mut self, meta: Meta, item: T) -> Position {
        let offset = self.end();
        if meta.key {
            self.last_key = Some(offset);
        }
        self.bytes = self.bytes.saturating_add(meta.size_bytes);
        self.items.push_back((meta, item));
        while self.items.len() > 1 && self.exceeds(meta.at_micros) {
            self.drop_oldest();
        }
        Position {
            epoch: self.epoch,
            offset,
        }
    }

    fn exceeds(&self, newest_micros: i64) -> bool {
        let oldest = self
            .items
            .front()
            .map_or(newest_micros, |(meta, _)| meta.at_micros);
        self.items.len() > self.limits.items
            || self.bytes > self.limits.bytes
            || newest_micros.saturating_sub(oldest) > self.limits.span_micros
    }

    fn drop_oldest(&mut self) {
        if let Some((meta, _)) = self.items.pop_front() {
            self.bytes -= meta.size_bytes;
            self.first += 1;
        }
    }

    /// The item at `offset`, if it is still held and has come.
    pub fn get(&self, offset: u64) -> Option<&T> {
        self.entry(offset).map(|(_, item)| item)
    }

    /// What is known of the item at `offset`.
    pub fn meta(&self, offset: u64) -> Option<Meta> {
        self.entry(offset).map(|(meta, _)| *meta)
    }

    fn entry(&self, offset: u64) -> Option<&(Meta, T)> {
        let index = usize::try_from(offset.checked_sub(self.first)?).ok()?;
        self.items.get(index)
    }

    /// Offset of the oldest item held; equals [`end`](Self::end) when none is.
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// Offset that the next item will get.
    pub fn end(&self) -> u64 {
        self.first + self.items.len() as u64
    }

    /// Offset of the newest item where reading can start, if it is still held.
    pub fn last_key(&self) -> Option<u64> {
        self.last_key.filter(|&offset| offset >= self.first)
    }

    /// Bytes held.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Items held.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Which life of the log this is.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }
}
