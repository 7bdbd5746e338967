//! What goes over the wire, in either encoding. docs/protocol.md describes it for whoever writes a
//! client.
//!
//! Both encodings have the same shape: what the server sends is a list of maps, what a client sends
//! is one map. What a map is about stands in `t`.

use bytes::{BufMut as _, Bytes, BytesMut};
use fanout::{Gap, Position};
use serde::{Deserialize, Serialize};
use wire::Person;

use crate::danmaku::{Colour, Mode, Size};
use crate::item::{Broadcast, Item};
use crate::lane::{Lane, PerLane};

/// Longest message of a client.
pub const MESSAGE_MAX: usize = 8 * 1024;

/// How deep a client's message may be nested.
const DEPTH_MAX: usize = 8;

/// Longest explanation of what cannot be read, in characters.
const WHY_MAX: usize = 200;

/// How values stand on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// MessagePack with names, in binary messages.
    Msgpack,
    /// JSON, in text messages.
    Json,
}

impl Encoding {
    /// Each of them.
    pub const ALL: [Self; 2] = [Self::Msgpack, Self::Json];

    /// The WebSocket subprotocol that means it.
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Msgpack => "barrage.v1.msgpack",
            Self::Json => "barrage.v1.json",
        }
    }

    /// The first encoding that a client names in `Sec-WebSocket-Protocol` and that is ours.
    pub fn choose(named: &str) -> Option<Self> {
        named.split(',').find_map(|name| {
            Self::ALL
                .into_iter()
                .find(|encoding| encoding.subprotocol() == name.trim())
        })
    }

    /// One value of a list, without its frame.
    pub fn encode(self, value: &impl Serialize) -> Bytes {
        match self {
            Self::Msgpack => {
                let mut bytes = Vec::new();
                // Identities are text in both.
                let mut serializer = rmp_serde::Serializer::new(&mut bytes)
                    .with_struct_map()
                    .with_human_readable();
                value.serialize(&mut serializer).ok().map(|()| bytes)
            }
            Self::Json => serde_json::to_vec(value).ok(),
        }
        .expect("what we say is plain data")
        .into()
    }

    /// A message of one value, in its frame.
    pub fn message(self, value: &impl Serialize) -> Bytes {
        self.join(&[&self.encode(value)])
    }

    /// A message of values that are encoded, in one frame (RFC 6455 §5.2).
    pub fn join(self, pieces: &[&[u8]]) -> Bytes {
        match self {
            Self::Msgpack => join_msgpack(pieces),
            Self::Json => join_json(pieces),
        }
    }

    /// The same, for derived logs.
    pub const fn joiner(self) -> fn(&[&[u8]]) -> Bytes {
        match self {
            Self::Msgpack => join_msgpack,
            Self::Json => join_json,
        }
    }

    /// The number of a message that cannot be read, if it has one: who sent it waits for an answer to it.
    pub fn number_of(self, bytes: &[u8]) -> Option<u64> {
        let numbered = match self {
            Self::Json => serde_json::from_slice(bytes).ok(),
            Self::Msgpack => {
                let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
                reader.set_max_depth(DEPTH_MAX);
                Numbered::deserialize(&mut reader).ok()
            }
        };
        numbered.map(|Numbered { id }| id)
    }

    /// Reads what a client says.
    ///
    /// # Errors
    /// When it is none of the things that can be said; the text tells where.
    pub fn decode(self, bytes: &[u8]) -> Result<Said, String> {
        match self {
            Self::Json => serde_json::from_slice(bytes).map_err(|error| why(&error)),
            Self::Msgpack => {
                let mut reader =
                    rmp_serde::Deserializer::from_read_ref(bytes).with_human_readable();
                reader.set_max_depth(DEPTH_MAX);
                Said::deserialize(&mut reader).map_err(|error| why(&error))
            }
        }
    }
}

/// What is left of a message that cannot be read.
#[derive(Deserialize)]
struct Numbered {
    id: u64,
}

/// Why something cannot be read, without all of what was said.
fn why(error: &impl std::fmt::Display) -> String {
    error.to_string().chars().take(WHY_MAX).collect()
}

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

fn join_msgpack(pieces: &[&[u8]]) -> Bytes {
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    let mut head = [0; 3];
    // The formats of arrays: up to 15 items, and up to 65535.
    let head: &[u8] = match pieces.len() {
        count @ 0..=15 => {
            head[0] = 0x90 | count as u8;
            &head[..1]
        }
        count => {
            head[0] = 0xDC;
            head[1..].copy_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
            &head
        }
    };
    let mut out = websocket::frame(BINARY, head.len() + length);
    out.put_slice(head);
    for piece in pieces {
        out.put_slice(piece);
    }
    out.freeze()
}

fn join_json(pieces: &[&[u8]]) -> Bytes {
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    let mut out = websocket::frame(TEXT, 2 + length + pieces.len().saturating_sub(1));
    put_list(&mut out, pieces);
    out.freeze()
}

/// Values that are encoded as JSON as one server-sent event (HTML Living Standard §9.2.5). JSON as we
/// write it has no line breaks.
pub fn join_events(pieces: &[&[u8]]) -> Bytes {
    let mut out = BytesMut::from(&b"data: "[..]);
    put_list(&mut out, pieces);
    out.put_slice(b"\n\n");
    out.freeze()
}

fn put_list(out: &mut BytesMut, pieces: &[&[u8]]) {
    out.put_u8(b'[');
    for (number, piece) in pieces.iter().enumerate() {
        if number > 0 {
            out.put_u8(b',');
        }
        out.put_slice(piece);
    }
    out.put_u8(b']');
}

/// A frame that asks the peer for a sign of life.
pub const PING: &[u8] = &[0x89, 0];

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum Said {
    /// Who it is. To be said again before the token expires.
    Auth {
        /// A room token.
        token: String,
        /// The next item of the mods' lane that it wants, if it knows where it was.
        #[serde(default)]
        mods: Option<At>,
    },
    /// A danmaku.
    Send(Send),
    /// To be seen no more.
    Delete {
        /// To name it in the answer.
        id: u64,
        /// Where it stands on the chat lane.
        of: u64,
    },
    /// A gift.
    Give(Give),
    /// The broadcast is liked.
    Like,
    /// Passes the channel on to others.
    Share,
}

/// A danmaku as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Send {
    /// To name it in the answer.
    pub id: u64,
    /// What.
    pub text: String,
    /// Where it moves.
    #[serde(default)]
    pub mode: Mode,
    /// In which colour.
    #[serde(default)]
    pub colour: Colour,
    /// How large.
    #[serde(default)]
    pub size: Size,
    /// At which picture its sender is: microseconds of MediaTime.
    #[serde(default)]
    pub mt: Option<i64>,
    /// What it answers, by its place on the chat lane.
    #[serde(default)]
    pub reply: Option<u64>,
}

/// A gift as it is given.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Give {
    /// To name it in the answer.
    pub id: u64,
    /// What its sender calls it: the same again is the same gift.
    pub key: String,
    /// What.
    pub gift: String,
    /// How many.
    #[serde(default = "one")]
    pub count: u32,
    /// For how many coins, where its sender says that.
    #[serde(default)]
    pub coins: Option<u32>,
    /// The combo that it belongs to.
    #[serde(default)]
    pub combo: Option<String>,
    /// What is said with it.
    #[serde(default)]
    pub text: Option<String>,
    /// At which picture its sender is: microseconds of MediaTime.
    #[serde(default)]
    pub mt: Option<i64>,
}

const fn one() -> u32 {
    1
}

/// What somebody has. A later version is newer; each kind of coins has its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wallet {
    /// Coins that were paid for.
    pub coins: i64,
    /// Coins that were given away.
    pub promo: i64,
    /// Of the first.
    pub version: i64,
    /// Of the second.
    pub promo_version: i64,
    /// Whether nothing can be spent.
    pub frozen: bool,
}

/// What the server says to one client alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum Told<'a> {
    /// The first thing it says.
    Welcome(Welcome<'a>),
    /// Who the client is now; none if it may only read.
    You {
        /// Who.
        person: Option<&'a Person>,
        /// Until when, in milliseconds since the Unix epoch.
        until_ms: Option<i64>,
        /// Where the mods' lane is, for one who hears it: its last items follow, or those that were missed.
        #[serde(skip_serializing_if = "Option::is_none")]
        mods: Option<At>,
    },
    /// What was asked for is done, and kept.
    Ack {
        /// What.
        id: u64,
        /// Where it stands, on the lane that it went to.
        p: u64,
    },
    /// The gift is in the ledger, and everybody hears of it.
    Given {
        /// Which.
        id: u64,
        /// The how many-th entry of the ledger it is.
        seq: u64,
        /// What its sender has now.
        wallet: Wallet,
    },
    /// What the one has now who is signed in here.
    Wallet {
        /// This much.
        wallet: Wallet,
    },
    /// What was asked for is not done.
    Error {
        /// What, if it had a number.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        /// Why, for programs.
        code: ErrorCode,
        /// Why, for people who write programs.
        message: String,
        /// When it is worth trying again, in milliseconds from now.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_ms: Option<u64>,
    },
    /// An item that not everybody is given and this client is, since it is about somebody who is
    /// signed in on it. It moves no position.
    Yours {
        /// What.
        item: &'a Item,
    },
    /// Items of a lane that the client does not get.
    Gap {
        /// Which lane.
        l: Lane,
        /// The first item missed.
        from: u64,
        /// The first item after the gap.
        to: u64,
        /// Whether everybody is spared them, because too much is said.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        sampled: bool,
    },
}

impl Told<'_> {
    /// A gap as a derived log knows it.
    pub fn gap(gap: Gap) -> Self {
        Told::Gap {
            l: Lane::of_number(i64::from(gap.lane)).unwrap_or(Lane::Ambient),
            from: gap.from,
            to: gap.to,
            sampled: false,
        }
    }
}

/// What a client is told first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Welcome<'a> {
    /// The channel's handle.
    pub room: &'a str,
    /// Where the lanes are: what follows this message begins there, lane by lane.
    pub lanes: Lanes,
    /// What is on, if anything is.
    pub broadcast: Option<Broadcast>,
    /// The server's time, in milliseconds since the Unix epoch.
    pub server_ms: i64,
    /// Longest danmaku, in characters as people count them.
    pub text_max: usize,
    /// How many are here.
    pub viewers: u64,
    /// Likes since the broadcast began.
    pub likes: u64,
    /// Since when nothing can be said; none when it works.
    pub chat_down_since_ms: Option<i64>,
    /// Since when nothing can be given; none when it works.
    pub gifting_down_since_ms: Option<i64>,
}

/// Where each lane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Lanes {
    control: At,
    money: At,
    chat: At,
    ambient: At,
}

/// A place on a lane, as it is written in a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    /// Which life of the lane.
    pub e: u64,
    /// The next item.
    pub p: u64,
}

impl From<At> for Position {
    fn from(at: At) -> Self {
        Self {
            epoch: at.e,
            offset: at.p,
        }
    }
}

impl From<Position> for At {
    fn from(position: Position) -> Self {
        Self {
            e: position.epoch,
            p: position.offset,
        }
    }
}

impl From<&PerLane<Position>> for Lanes {
    fn from(places: &PerLane<Position>) -> Self {
        let at = |lane| At::from(*places.get(lane));
        Self {
            control: at(Lane::Control),
            money: at(Lane::Money),
            chat: at(Lane::Chat),
            ambient: at(Lane::Ambient),
        }
    }
}

/// Why something is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// It is none of the things that can be said.
    BadMessage,
    /// The token is not good, or not for this room.
    BadToken,
    /// Who is not signed in may only read.
    NotSignedIn,
    /// The text cannot be said.
    Unfit,
    /// Too much at once.
    TooFast,
    /// It is not there, or not any more.
    NotThere,
    /// It is somebody else's.
    NotAllowed,
    /// What is said or given cannot be kept now.
    Unavailable,
    /// There are too few coins.
    CannotPay,
    /// There are no more of it.
    SoldOut,
    /// Something else was given under this key.
    Used,
}

/// One item in each encoding.
pub fn encode_item(item: &Item) -> [Bytes; Encoding::ALL.len()] {
    Encoding::ALL.map(|encoding| encoding.encode(item))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::item::Event;

    fn item(offset: u64) -> Item {
        Item {
            lane: Lane::Ambient,
            offset,
            at_ms: 1_763_772_000_000,
            event: Event::Count {
                viewers: 3,
                likes: 0,
                kept: 0,
                dropped: 0,
            },
        }
    }

    /// What a client reads of a frame.
    fn unframed(bytes: &[u8]) -> &[u8] {
        match bytes[1] {
            126 => {
                assert_eq!(
                    usize::from(u16::from_be_bytes([bytes[2], bytes[3]])),
                    bytes.len() - 4
                );
                &bytes[4..]
            }
            127 => &bytes[10..],
            length => {
                assert_eq!(usize::from(length), bytes.len() - 2);
                &bytes[2..]
            }
        }
    }

    #[test]
    fn a_message_is_a_list_of_its_pieces_whatever_their_number() {
        for count in [0, 1, 15, 16, 300, 2_000] {
            let items: Vec<Item> = (0..count).map(item).collect();
            for encoding in Encoding::ALL {
                let pieces: Vec<Bytes> = items.iter().map(|item| encoding.encode(item)).collect();
                let pieces: Vec<&[u8]> = pieces.iter().map(|piece| &piece[..]).collect();
                let message = encoding.join(&pieces);
                let body = unframed(&message);
                let read: Vec<Item> = match encoding {
                    Encoding::Json => serde_json::from_slice(body).unwrap(),
                    Encoding::Msgpack => rmp_serde::from_slice(body).unwrap(),
                };
                assert_eq!(read, items);
            }
        }
    }

    #[test]
    fn an_item_stands_on_the_wire_as_the_document_says() {
        let json = Encoding::Json.encode(&item(7));
        assert_eq!(
            std::str::from_utf8(&json).unwrap(),
            r#"{"l":"ambient","p":7,"at":1763772000000,"t":"count","viewers":3,"likes":0}"#
        );
    }

    #[test]
    fn what_a_client_says_is_read_in_both() {
        let json = r#"{"t":"send","id":1,"text":"hi","mode":"top","colour":255}"#;
        let said = Encoding::Json.decode(json.as_bytes()).unwrap();
        let Said::Send(send) = &said else {
            panic!("{said:?}")
        };
        assert_eq!(
            (send.mode, send.size, send.mt),
            (Mode::Top, Size::Normal, None)
        );
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        let msgpack = rmp_serde::to_vec_named(&value).unwrap();
        assert_eq!(Encoding::Msgpack.decode(&msgpack), Ok(said));
        for bad in [
            r#"{"t":"shout"}"#,
            r#"{"t":"send","id":1}"#,
            "[]",
            "",
            r#"{"t":"send","id":1,"text":"x","colour":16777216}"#,
        ] {
            assert!(Encoding::Json.decode(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn who_says_what_cannot_be_read_is_not_told_all_of_it_again() {
        let said = serde_json::json!({ "t": "\u{7}".repeat(1_000) });
        let why = Encoding::Json.decode(said.to_string().as_bytes());
        assert_eq!(why.unwrap_err().chars().count(), WHY_MAX);
    }

    #[test]
    fn a_nest_of_arrays_is_refused_before_it_costs_anything() {
        let mut nest = vec![0x81, 0xA1, b't'];
        nest.extend([0x91; 4_000]);
        assert!(Encoding::Msgpack.decode(&nest).is_err());
        // An array that says it has four thousand million items.
        assert!(
            Encoding::Msgpack
                .decode(&[0xDD, 0xFF, 0xFF, 0xFF, 0xFF])
                .is_err()
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for encoding in Encoding::ALL {
                let _ = encoding.decode(&bytes);
            }
        }
    }
}
