//! What those are told who keep order in a room, and nobody else.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use fanout::shard::Mailbox;
use fanout::{Gap, Position};

use crate::item::Item;
use crate::lane::Lane;
use crate::protocol::{Encoding, Told};

/// Items at hand for those who return; what is older, they are told they miss.
const AT_HAND: usize = 500;

/// Items that one is given who was not here before.
const HISTORY: usize = 50;

/// The mods' lane of a room, and who hears it.
#[derive(Debug, Default)]
pub(crate) struct Mods {
    last: VecDeque<Item>,
    seats: Vec<Weak<Seat>>,
}

/// A connection hears the lane for as long as this is kept.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) encoding: Encoding,
}

impl Mods {
    /// Keeps at hand what was told before.
    pub(crate) fn remember(&mut self, item: Item) {
        self.last.push_back(item);
        if self.last.len() > AT_HAND {
            self.last.pop_front();
        }
    }

    /// Tells something.
    pub(crate) fn tell(&mut self, item: Item) {
        self.seats.retain(|seat| {
            let seat = seat.upgrade();
            if let Some(seat) = &seat {
                seat.mailbox.post(seat.encoding.message(&item));
            }
            seat.is_some()
        });
        self.remember(item);
    }

    /// Somebody hears it from now on; gives what they missed since `wanted`, or the last of it.
    /// `next` is where the lane is.
    pub(crate) fn join(
        &mut self,
        seat: &Arc<Seat>,
        next: Position,
        wanted: Option<Position>,
    ) -> Vec<Bytes> {
        self.seats.push(Arc::downgrade(seat));
        let wanted = wanted.filter(|wanted| wanted.epoch == next.epoch);
        let encoding = seat.encoding;
        let Some(wanted) = wanted else {
            let known = self.last.len().saturating_sub(HISTORY);
            let history = self.last.iter().skip(known);
            return history.map(|item| encoding.encode(item)).collect();
        };
        let oldest = self.last.front().map_or(next.offset, |item| item.offset);
        let gap = (wanted.offset < oldest).then(|| {
            encoding.encode(&Told::gap(Gap {
                lane: Lane::Mods.number(),
                from: wanted.offset,
                to: oldest,
            }))
        });
        let missed = self.last.iter();
        let missed = missed.filter(|item| item.offset >= wanted.offset);
        let missed = missed.map(|item| encoding.encode(item));
        gap.into_iter().chain(missed).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::item::{Event, Name, Removed};

    fn removed(offset: u64) -> Item {
        let name = |handle: &str| Name {
            handle: handle.parse().unwrap(),
            name: String::new(),
        };
        Item {
            lane: Lane::Mods,
            offset,
            at_ms: 0,
            event: Event::Removed(Removed {
                of: offset,
                by: name("ann"),
                whose: name("bob"),
                text: "spam".into(),
            }),
        }
    }

    /// What one is given who returns when so many were told, of whom the last are at hand.
    fn given(told: u64, epoch: u64, offset: u64) -> Vec<(String, u64)> {
        let mut mods = Mods::default();
        for offset in 0..told {
            mods.tell(removed(offset));
        }
        let seat = Arc::new(Seat {
            mailbox: Arc::default(),
            encoding: Encoding::Json,
        });
        let next = Position {
            epoch: 7,
            offset: told,
        };
        let given = mods.join(&seat, next, Some(Position { epoch, offset }));
        let given = given.iter().map(|piece| {
            let value: Value = serde_json::from_slice(piece).unwrap();
            let place = value["p"].as_u64().or(value["to"].as_u64());
            (value["t"].as_str().unwrap().to_owned(), place.unwrap())
        });
        given.collect()
    }

    #[test]
    fn who_returns_is_given_what_was_missed_or_told_that_it_is_not_at_hand() {
        let item = |p| ("removed".to_owned(), p);
        assert_eq!(given(3, 7, 1), [item(1), item(2)]);
        assert_eq!(given(3, 7, 3), []);
        let far = given(510, 7, 2);
        assert_eq!((&far[0], &far[1]), (&("gap".into(), 10), &item(10)));
        assert_eq!(far.len(), 501);
        // Of another life of the lane, nothing is known of the place.
        assert_eq!(given(60, 6, 59).len(), 50);
    }
}
