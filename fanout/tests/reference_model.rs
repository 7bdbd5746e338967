//! A log and its cursors against a plain model: a vector that forgets nothing, and rules written
//! down a second time without any cleverness.

use fanout::{Bounds, Lag, Limits, Log, Meta, Read, Reader, Start};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Item {
    number: u64,
    size: usize,
    at: i64,
    key: bool,
}

fn measure(item: &Item) -> Meta {
    Meta {
        size_bytes: item.size,
        at_micros: item.at,
        key: item.key,
    }
}

/// Everything that was ever appended.
struct Model {
    limits: Limits,
    all: Vec<Item>,
}

impl Model {
    /// Offset of the oldest item that must still be held: the longest tail that fits every bound.
    fn first(&self) -> usize {
        let fits = |from: usize| {
            let tail = &self.all[from..];
            let bytes: usize = tail.iter().map(|item| item.size).sum();
            let span = tail[tail.len() - 1].at - tail[0].at;
            tail.len() <= self.limits.items
                && bytes <= self.limits.bytes
                && span <= self.limits.span_micros
        };
        // What has left never comes back, so the bounds are applied append by append.
        (0..self.all.len())
            .find(|&from| fits(from))
            .unwrap_or(self.all.len().saturating_sub(1))
    }
}

/// A cursor's rules, written down plainly.
struct ModelCursor {
    next: usize,
    lag: Lag,
    seeking: bool,
    stopped: bool,
}

impl ModelCursor {
    fn read(&mut self, model: &Model, first: usize) -> Option<Read<Item>> {
        if self.stopped {
            return None;
        }
        let end = model.all.len();
        let lost = self.next < first;
        let behind = |bounds: Bounds| {
            lost || (end - self.next) as u64 > bounds.items
                || (self.next < end
                    && model.all[end - 1].at - model.all[self.next].at > bounds.span_micros)
        };
        let last_key = (first..end).rev().find(|&offset| model.all[offset].key);
        let jump = match self.lag {
            Lag::Record => lost.then_some(first),
            Lag::SkipToLive(bounds) => behind(bounds).then_some(end),
            Lag::SkipToKey(bounds) if behind(bounds) => match last_key {
                Some(key) if key > self.next => Some(key),
                _ if lost => {
                    self.seeking = true;
                    Some(end)
                }
                _ => None,
            },
            Lag::SkipToKey(_) => None,
            Lag::End(bounds) => {
                if behind(bounds) {
                    self.stopped = true;
                    return Some(Read::TooSlow(position(self.next)));
                }
                None
            }
        };
        if let Some(to) = jump {
            let gap = Read::Gap {
                from: position(self.next),
                to: position(to),
            };
            self.next = to;
            return Some(gap);
        }
        while self.seeking && self.next < end {
            if model.all[self.next].key {
                self.seeking = false;
            } else {
                self.next += 1;
            }
        }
        let item = *model.all.get(self.next)?;
        self.next += 1;
        Some(Read::Item(position(self.next - 1), item))
    }
}

fn position(offset: usize) -> fanout::Position {
    fanout::Position {
        epoch: 7,
        offset: offset as u64,
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append { size: usize, after: i64, key: bool },
    Read { reader: usize, steps: usize },
    Join { start: Start, lag: Lag },
}

fn bounds() -> impl Strategy<Value = Bounds> {
    (0u64..30, 0i64..300).prop_map(|(items, span_micros)| Bounds { items, span_micros })
}

fn lag() -> impl Strategy<Value = Lag> {
    prop_oneof![
        Just(Lag::Record),
        bounds().prop_map(Lag::SkipToKey),
        bounds().prop_map(Lag::SkipToLive),
        bounds().prop_map(Lag::End),
        Just(Lag::SkipToKey(Bounds::WINDOW)),
        Just(Lag::SkipToLive(Bounds::WINDOW)),
    ]
}

fn start() -> impl Strategy<Value = Start> {
    prop_oneof![
        Just(Start::Oldest),
        Just(Start::LatestKey),
        Just(Start::NextKey),
        Just(Start::Live),
        (0u64..100).prop_map(Start::At),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0usize..40, 0i64..40, prop::bool::weighted(0.2))
            .prop_map(|(size, after, key)| Step::Append { size, after, key }),
        4 => (0usize..8, 1usize..20).prop_map(|(reader, steps)| Step::Read { reader, steps }),
        1 => (start(), lag()).prop_map(|(start, lag)| Step::Join { start, lag }),
    ]
}

fn join(model: &Model, first: usize, start: Start, lag: Lag) -> ModelCursor {
    let end = model.all.len();
    let key = (first..end).rev().find(|&offset| model.all[offset].key);
    let (next, seeking) = match start {
        Start::Oldest => (first, false),
        Start::Live => (end, false),
        Start::LatestKey => (key.unwrap_or(end), key.is_none()),
        Start::NextKey => (end, true),
        Start::At(offset) => ((offset as usize).min(end), false),
    };
    ModelCursor {
        next,
        lag,
        seeking,
        stopped: false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn a_log_and_its_cursors_do_what_the_model_says(
        items in 1usize..20,
        bytes in 1usize..300,
        span_micros in 0i64..400,
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let limits = Limits { items, bytes, span_micros };
        let log = Log::new(7, limits, measure);
        let writer = log.writer();
        let mut model = Model { limits, all: Vec::new() };
        let mut first = 0;
        let mut readers: Vec<(Reader<Item>, ModelCursor)> = Vec::new();
        for step in steps {
            match step {
                Step::Append { size, after, key } => {
                    let at = model.all.last().map_or(0, |item| item.at) + after;
                    let item = Item { number: model.all.len() as u64, size, at, key };
                    let written = writer.append(item).unwrap();
                    prop_assert_eq!(written, position(model.all.len()));
                    model.all.push(item);
                    first = first.max(model.first());
                    let held: usize = model.all[first..].iter().map(|item| item.size).sum();
                    prop_assert_eq!(log.bytes(), held);
                }
                Step::Join { start, lag } => {
                    readers.push((log.reader(start, lag), join(&model, first, start, lag)));
                }
                Step::Read { reader, steps } => {
                    let Some((reader, cursor)) = readers.get_mut(reader) else { continue };
                    for _ in 0..steps {
                        prop_assert_eq!(reader.try_read(), cursor.read(&model, first));
                    }
                }
            }
        }
    }
}
