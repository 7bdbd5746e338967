//! Somebody who only reads, over server-sent events (HTML Living Standard §9.2).

use std::fmt::Write as _;
use std::time::Instant;

use bytes::Bytes;
use fanout::shard::{Account, Body, Heard, Talk, Then, Why};
use fanout::{Gap, Position};
use serde::Deserialize;
use serde_json::json;

use crate::connection::{ending, tell_account};
use crate::lane::{Lane, Places};
use crate::limits::Seat;
use crate::protocol::{self, Encoding, Told};
use crate::room::Presence;

/// Ticks of a second between signs of life.
const ALIVE_EVERY: u32 = 15;

/// The reader's side of a connection, which says nothing.
pub(crate) struct Reader {
    pub(crate) presence: Presence,
    pub(crate) _seat: Seat,
    pub(crate) _slot: Box<dyn Send>,
    pub(crate) ticks: u32,
}

impl Talk for Reader {
    fn hear(&mut self, _bytes: &[u8]) -> Heard {
        Heard::default()
    }

    fn tick(&mut self, _now: Instant) -> Heard {
        self.ticks += 1;
        if !self.ticks.is_multiple_of(ALIVE_EVERY) {
            return Heard::default();
        }
        Heard {
            answer: Bytes::from_static(b":\n\n"),
            then: Then::GoOn,
        }
    }

    fn gaps(&mut self, gaps: &[Gap]) -> Bytes {
        let gaps = gaps
            .iter()
            .map(|gap| Encoding::Json.encode(&Told::gap(*gap)));
        let gaps: Vec<Bytes> = gaps.collect();
        let gaps: Vec<&[u8]> = gaps.iter().map(|gap| &gap[..]).collect();
        protocol::join_events(&gaps)
    }

    fn farewell(&mut self, why: Why) -> Bytes {
        let (code, reason) = ending(why);
        let over = json!({ "t": "over", "code": code, "reason": reason });
        protocol::join_events(&[over.to_string().as_bytes()])
    }

    fn over(&mut self, account: Account) {
        tell_account(&account);
        tracing::debug!(
            room.id = %self.presence.room().id,
            why = account.why.as_str(),
            written_bytes = account.written,
            "a reader of a room left"
        );
    }
}

/// The events of a room, each with where a reader is after it.
#[derive(Debug)]
pub struct Events {
    body: Body,
    /// Where it was before.
    since: Places,
    places: Places,
}

/// What moves a reader on.
#[derive(Deserialize)]
struct Step {
    #[serde(rename = "l")]
    lane: Option<Lane>,
    #[serde(rename = "p")]
    place: Option<u64>,
    to: Option<u64>,
    lanes: Option<Lanes>,
}

#[derive(Deserialize)]
struct Lanes {
    control: At,
    money: At,
    chat: At,
}

#[derive(Deserialize)]
struct At {
    #[serde(rename = "e")]
    epoch: u64,
    #[serde(rename = "p")]
    place: u64,
}

impl Events {
    pub(crate) fn new(body: Body, since: Places) -> Self {
        Self {
            body,
            since,
            places: Places::default(),
        }
    }

    /// The next bytes, waiting for them; `None` at the end.
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<Bytes> {
        let piece = self.body.next().await?;
        Some(self.numbered(&piece))
    }

    /// To be called about once a second.
    pub fn tick(&mut self) {
        self.body.tick();
    }

    /// The peer has stopped reading, and is given up.
    pub fn give_up(&mut self) {
        self.body.end(Why::Stopped);
    }

    /// Events with their positions. A piece holds whole ones.
    fn numbered(&mut self, piece: &[u8]) -> Bytes {
        // It is JSON of ours, between words of ours.
        let text = String::from_utf8_lossy(piece);
        let mut out = String::with_capacity(text.len() + 64);
        for event in text.split_inclusive("\n\n") {
            if let Some(list) = event.strip_prefix("data: ") {
                self.step(list);
                out.push_str("id: ");
                self.write_places(&mut out);
                out.push('\n');
            }
            out.push_str(event);
        }
        out.into()
    }

    fn step(&mut self, list: &str) {
        let steps: Vec<Step> = serde_json::from_str(list).unwrap_or_default();
        for step in steps {
            if let Some(Lanes {
                control,
                money,
                chat,
            }) = step.lanes
            {
                let lanes = [
                    (Lane::Control, control),
                    (Lane::Money, money),
                    (Lane::Chat, chat),
                ];
                for (lane, now) in lanes {
                    let since = self
                        .since
                        .get(lane)
                        .filter(|since| since.epoch == now.epoch);
                    let now = Position {
                        epoch: now.epoch,
                        offset: now.place,
                    };
                    // What it missed comes after the welcome.
                    *self.places.get_mut(lane) = Some(since.unwrap_or(now));
                }
            }
            let (Some(lane), Some(next)) = (step.lane, step.to.or(step.place.map(|p| p + 1)))
            else {
                continue;
            };
            if let Some(place) = self.places.get_mut(lane) {
                place.offset = place.offset.max(next);
            }
        }
    }

    fn write_places(&self, out: &mut String) {
        let mut comma = "";
        for lane in Lane::ALL {
            if let Some(Position { epoch, offset }) = self.places.get(lane) {
                // Writing into a text does not fail.
                let _ = write!(out, "{comma}{lane}:{epoch}:{offset}");
                comma = ",";
            }
        }
    }
}
