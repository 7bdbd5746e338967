//! Many danmaku in one delivery: those of a channel gather until they are many or a moment has passed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use wire::ChannelId;

use super::event::Kind;

/// Most in one delivery.
const BATCH_MAX: usize = 100;

/// How long the first of a batch waits for others.
const GATHERS_FOR: Duration = Duration::from_secs(1);

/// Things of one kind that happened to a channel, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    pub(super) channel: ChannelId,
    pub(super) kind: Kind,
    pub(super) items: Vec<Value>,
}

/// What has happened and is not told yet.
#[derive(Debug, Default)]
pub struct Gathering {
    open: HashMap<(ChannelId, Kind), (Instant, Vec<Value>)>,
}

impl Gathering {
    /// Something more. Gives the batch if it is full.
    pub(super) fn add(
        &mut self,
        channel: ChannelId,
        kind: Kind,
        item: Value,
        now: Instant,
    ) -> Option<Batch> {
        let open = self.open.entry((channel, kind));
        let (_, items) = open.or_insert_with(|| (now + GATHERS_FOR, Vec::new()));
        items.push(item);
        if items.len() < BATCH_MAX {
            return None;
        }
        let (_, items) = self.open.remove(&(channel, kind))?;
        Some(Batch {
            channel,
            kind,
            items,
        })
    }

    /// When the next batch is ready.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.open.values().map(|(at, _)| *at).min()
    }

    /// The batches that are ready.
    pub(super) fn ready(&mut self, now: Instant) -> Vec<Batch> {
        let ready = self.open.extract_if(|_, (at, _)| *at <= now);
        ready.map(batch).collect()
    }

    /// Every batch, ready or not.
    pub(super) fn all(&mut self) -> Vec<Batch> {
        self.open.drain().map(batch).collect()
    }
}

fn batch(((channel, kind), (_, items)): ((ChannelId, Kind), (Instant, Vec<Value>))) -> Batch {
    Batch {
        channel,
        kind,
        items,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_within_a_second_goes_together() {
        let mut gathering = Gathering::default();
        let (ann, bob, begin) = (ChannelId::new(), ChannelId::new(), Instant::now());
        assert_eq!(gathering.next_at(), None);
        for number in 0..3 {
            let now = begin + Duration::from_millis(number * 300);
            let full = gathering.add(ann, Kind::DanmakuSent, number.into(), now);
            assert_eq!(full, None);
        }
        gathering.add(bob, Kind::DanmakuSent, 9.into(), begin + GATHERS_FOR / 2);
        gathering.add(ann, Kind::DanmakuDeleted, 1.into(), begin + GATHERS_FOR / 2);
        assert_eq!(gathering.next_at(), Some(begin + GATHERS_FOR));
        assert!(gathering.ready(begin + GATHERS_FOR / 2).is_empty());
        let ready = gathering.ready(begin + GATHERS_FOR);
        let expected = Batch {
            channel: ann,
            kind: Kind::DanmakuSent,
            items: vec![0.into(), 1.into(), 2.into()],
        };
        assert_eq!(ready, [expected]);
        assert_eq!(gathering.all().len(), 2);
        assert_eq!(gathering.next_at(), None);
    }

    #[test]
    fn what_is_many_goes_at_once() {
        let mut gathering = Gathering::default();
        let (ann, now) = (ChannelId::new(), Instant::now());
        let mut add = |number: usize| gathering.add(ann, Kind::DanmakuSent, number.into(), now);
        assert!((1..BATCH_MAX).all(|number| add(number).is_none()));
        assert_eq!(add(0).map(|batch| batch.items.len()), Some(BATCH_MAX));
        assert_eq!(add(1), None);
    }
}
