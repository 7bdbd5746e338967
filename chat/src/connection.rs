//! One viewer's side of the conversation.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fanout::shard::{Account, Heard, Mailbox, Talk, Then, Why};
use fanout::{Gap, Position};
use governor::DefaultDirectRateLimiter;
use governor::clock::{Clock as _, DefaultClock};
use kit::clock;
use kit::websocket::{Conversation, Message};
use wire::room_token::BadToken;
use wire::{Badge, Person, RoomClaims};

use crate::committer::{Answer, Entry, unavailable};
use crate::gifting::Mine;
use crate::item::{Event, Name, Removed};
use crate::limits::{self, Seat};
use crate::mods;
use crate::people::Here;
use crate::protocol::{self, At, Encoding, ErrorCode, Give, Said, Send, Told};
use crate::room::{Presence, Room};
use crate::saying::NotSaid;
use crate::service::Shared;

/// Who says nothing for this long is asked for a sign of life.
const PING_AFTER: Duration = Duration::from_secs(25);

/// And is given up after this.
const SILENT_MAX: Duration = Duration::from_secs(60);

/// Of one connection, the room hears no oftener than this that it passes the channel on.
const SHARE_EVERY: Duration = Duration::from_mins(1);

/// Things said beyond the limit before the connection is ended.
const PATIENCE: u32 = 100;

/// How a connection is ended, as WebSocket close codes. docs/protocol.md has the table.
mod code {
    /// The server ends; another one will be there.
    pub(super) const DRAINED: u16 = 4100;
    /// The client read too slowly.
    pub(super) const SLOW: u16 = 4101;
    /// The room begins anew.
    pub(super) const ANEW: u16 = 4102;
    /// Something in the server was wrong.
    pub(super) const BROKEN: u16 = 4103;
    /// The client gave no sign of life.
    pub(super) const SILENT: u16 = 4104;
    /// The client says far too much.
    pub(super) const FLOODING: u16 = 4300;
}

/// A connection.
pub(crate) struct Connection {
    pub(crate) shared: Arc<Shared>,
    pub(crate) room: Arc<Room>,
    pub(crate) encoding: Encoding,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) client: SocketAddr,
    conversation: Conversation,
    claims: Option<Box<RoomClaims>>,
    here: Option<Here>,
    mine: Option<Mine>,
    /// It hears the mods' lane.
    keeps_order: Option<Arc<mods::Seat>>,
    limit: DefaultDirectRateLimiter,
    beyond: u32,
    heard_at: Instant,
    shared_at: Option<Instant>,
    pinged: bool,
    _presence: Presence,
    _seat: Seat,
    _slot: Box<dyn std::marker::Send>,
}

/// What a message comes to.
type Outcome = Result<Option<Bytes>, Refused>;

/// Why nothing comes of a message.
struct Refused {
    id: Option<u64>,
    code: ErrorCode,
    message: String,
    retry: Option<Duration>,
}

impl Refused {
    fn new(id: Option<u64>, code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            id,
            code,
            message: message.into(),
            retry: None,
        }
    }

    fn of(id: u64, why: NotSaid) -> Self {
        let code = match why {
            NotSaid::Unfit(_) => ErrorCode::Unfit,
            NotSaid::NotThere => ErrorCode::NotThere,
            NotSaid::TooFast(wait) => return Self::too_fast(Some(id), wait),
            NotSaid::Twice | NotSaid::Otherwise | NotSaid::Unavailable => ErrorCode::Unavailable,
        };
        Self::new(Some(id), code, why.to_string())
    }

    fn too_fast(id: Option<u64>, wait: Duration) -> Self {
        Self {
            retry: Some(wait),
            ..Self::new(id, ErrorCode::TooFast, "this is too much at once")
        }
    }
}

impl Connection {
    pub(crate) fn new(
        shared: Arc<Shared>,
        room: Arc<Room>,
        (encoding, inflates): (Encoding, bool),
        client: SocketAddr,
        seat: Seat,
        slot: Box<dyn std::marker::Send>,
    ) -> Self {
        Self {
            _presence: room.enter(),
            limit: limits::of_connection(&shared.config),
            shared,
            room,
            encoding,
            mailbox: Arc::default(),
            client,
            conversation: Conversation::new(protocol::MESSAGE_MAX).inflating(inflates),
            claims: None,
            here: None,
            mine: None,
            keeps_order: None,
            beyond: 0,
            heard_at: Instant::now(),
            shared_at: None,
            pinged: false,
            _seat: seat,
            _slot: slot,
        }
    }

    /// Takes one message; tells what to answer.
    fn take(&mut self, message: &Message) -> Option<Bytes> {
        let bytes: &[u8] = match (message, self.encoding) {
            (Message::Text(text), Encoding::Json) => text.as_bytes(),
            (Message::Binary(bytes), Encoding::Msgpack) => bytes,
            (Message::Text(_), Encoding::Msgpack) | (Message::Binary(_), Encoding::Json) => {
                let text = "messages are text with JSON, and binary with MessagePack";
                return Some(self.refuse(&Refused::new(None, ErrorCode::BadMessage, text)));
            }
            // Those tungstenite answers; they count as any other.
            (
                Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_),
                Encoding::Json | Encoding::Msgpack,
            ) => return None,
        };
        let outcome = match self.encoding.decode(bytes) {
            Ok(said) => self.said(said),
            Err(why) => {
                let id = self.encoding.number_of(bytes);
                Err(Refused::new(id, ErrorCode::BadMessage, why))
            }
        };
        match outcome {
            Ok(answer) => answer,
            Err(refused) => Some(self.refuse(&refused)),
        }
    }

    fn refuse(&self, refused: &Refused) -> Bytes {
        self.encoding.message(&Told::Error {
            id: refused.id,
            code: refused.code,
            message: refused.message.clone(),
            retry_ms: refused
                .retry
                // Rounded up: who comes back then is let through.
                .map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX) + 1),
        })
    }

    fn said(&mut self, said: Said) -> Outcome {
        match said {
            Said::Auth { token, mods } => self.auth(&token, mods),
            Said::Send(send) => self.send(send),
            Said::Delete { id, of } => self.delete(id, of),
            Said::Give(give) => self.give(give),
            Said::Like => {
                if self.shared.limits.may_like(self.client) {
                    self.room.like();
                }
                Ok(None)
            }
            Said::Share => {
                self.share();
                Ok(None)
            }
        }
    }

    /// Once in a while: the room hears of it.
    fn share(&mut self) {
        let lately = |at: Instant| at.elapsed() < SHARE_EVERY;
        if self.shared_at.is_some_and(lately) || !self.shared.limits.may_share(self.client) {
            return;
        }
        self.shared_at = Some(Instant::now());
        let claims = self.claims.as_ref();
        let name = claims.map(|claims| Name::from(&claims.person));
        self.room.people.share(name);
    }

    fn auth(&mut self, token: &str, mods: Option<At>) -> Outcome {
        let bad = |text: &str| Refused::new(None, ErrorCode::BadToken, text);
        let claims = match self.shared.key.verify(token, clock::now().as_micros()) {
            Ok(claims) => claims,
            Err(BadToken::Forged) => return Err(bad("this is not a token of this server")),
            Err(BadToken::Expired) => return Err(bad("the token has expired")),
        };
        if claims.room != self.room.id {
            return Err(bad("the token is for another room"));
        }
        let is_here = |here: &Here| *here.handle() == claims.person.handle;
        if !self.here.as_ref().is_some_and(is_here) {
            let people = &self.room.people;
            self.here = Some(people.come(&claims.person, &self.mailbox, self.encoding));
        }
        let user = claims.person.id;
        if self.mine.as_ref().map(Mine::user) != Some(user) {
            let gifting = &self.shared.gifting;
            self.mine = Some(gifting.sit(user, &self.mailbox, self.encoding));
        }
        let may_moderate = may_moderate(&claims.person);
        self.claims = Some(Box::new(claims));
        if !may_moderate {
            self.keeps_order = None;
        } else if self.keeps_order.is_none() {
            return Ok(Some(self.keep_order(mods)));
        }
        Ok(Some(self.encoding.message(&self.you(None))))
    }

    /// Begins to hear the mods' lane.
    fn keep_order(&mut self, wanted: Option<At>) -> Bytes {
        let seat = Arc::new(mods::Seat {
            mailbox: Arc::clone(&self.mailbox),
            encoding: self.encoding,
        });
        let (next, missed) = self.room.keep_order(&seat, wanted.map(Position::from));
        self.keeps_order = Some(seat);
        let you = self.encoding.encode(&self.you(Some(next.into())));
        let told = std::iter::once(&you).chain(&missed);
        let told: Vec<&[u8]> = told.map(|piece| &piece[..]).collect();
        self.encoding.join(&told)
    }

    fn you(&self, mods: Option<At>) -> Told<'_> {
        Told::You {
            person: self.claims.as_ref().map(|claims| &claims.person),
            until_ms: self.claims.as_ref().map(|claims| claims.until / 1_000),
            mods,
        }
    }

    fn person(&self, id: u64) -> Result<&Person, Refused> {
        let claims = self.claims.as_ref().ok_or_else(|| {
            let text = "who is not signed in may only read";
            Refused::new(Some(id), ErrorCode::NotSignedIn, text)
        })?;
        Ok(&claims.person)
    }

    fn send(&self, send: Send) -> Outcome {
        let id = send.id;
        let person = self.person(id)?;
        let danmaku = self.shared.danmaku(&self.room, person, send);
        let danmaku = danmaku.map_err(|why| Refused::of(id, why))?;
        Ok(self.keep(Event::Danmaku(danmaku), None, id))
    }

    fn give(&self, give: Give) -> Outcome {
        let id = give.id;
        let person = self.person(id)?.clone();
        let picture = self.shared.picture(&self.room, give.mt);
        let way = (Arc::clone(&self.mailbox), self.encoding);
        let given = self
            .shared
            .gifting
            .give(self.room.id, person, give, picture, way);
        Ok(given.err().map(|not| self.encoding.message(&not.told(id))))
    }

    fn delete(&self, id: u64, of: u64) -> Outcome {
        let person = self.person(id)?;
        let said = self.room.said(of).ok_or_else(|| {
            let text = "it is not there, or not any more";
            Refused::new(Some(id), ErrorCode::NotThere, text)
        })?;
        if said.by.id != person.id && !may_moderate(person) {
            let text = "it is somebody else's";
            return Err(Refused::new(Some(id), ErrorCode::NotAllowed, text));
        }
        let removed = Removed {
            of,
            by: Name::from(person),
            whose: Name::from(&said.by),
            text: said.text,
        };
        let noted = Some(Event::Removed(removed));
        Ok(self.keep(Event::Deleted { of }, noted, id))
    }

    /// Hands something over to be kept; what came of it comes later, unless nothing does.
    fn keep(&self, event: Event, noted: Option<Event>, id: u64) -> Option<Bytes> {
        let entry = Entry {
            room: Arc::clone(&self.room),
            event,
            noted,
            author: self.claims.as_ref().map(|claims| claims.person.id),
            key: None,
            answer: Some(Answer::Member {
                mailbox: Arc::clone(&self.mailbox),
                encoding: self.encoding,
                id,
            }),
        };
        let kept = self.shared.keep(entry);
        (!kept).then(|| unavailable(self.encoding, id))
    }

    /// Whether there is still patience with somebody who says too much.
    fn is_within_limits(&mut self) -> Result<(), Option<Duration>> {
        let Err(until) = self.limit.check() else {
            self.beyond = 0;
            return Ok(());
        };
        self.beyond += 1;
        let wait = until.wait_time_from(DefaultClock::default().now());
        Err((self.beyond < PATIENCE).then_some(wait))
    }

    fn closing(&mut self, mut answer: Vec<u8>, code: u16, reason: &str) -> Heard {
        self.conversation.close(code, reason);
        answer.extend_from_slice(&self.conversation.said());
        Heard {
            answer: answer.into(),
            then: Then::Leave,
        }
    }
}

/// Whether somebody may delete what others say.
fn may_moderate(person: &Person) -> bool {
    let may = |badge: &Badge| match badge {
        Badge::Host | Badge::Moderator | Badge::Operator => true,
    };
    person.badges.iter().any(may)
}

/// With which code and words a connection is ended.
pub(crate) const fn ending(why: Why) -> (u16, &'static str) {
    match why {
        Why::Drained => (code::DRAINED, "the server is going down"),
        Why::Behind | Why::Flooded | Why::Stopped => (code::SLOW, "too slow"),
        Why::Ended => (code::ANEW, "the room begins anew"),
        Why::Broken => (code::BROKEN, "something went wrong here"),
        Why::Gone | Why::Told => (1000, ""),
    }
}

/// Counts a connection that is over.
pub(crate) fn tell_account(account: &Account) {
    let why = account.why.as_str();
    metrics::counter!("barrage_chat_connections_left_total", "why" => why).increment(1);
    metrics::counter!("barrage_chat_sent_bytes_total").increment(account.written);
    metrics::counter!("barrage_chat_spared_items_total").increment(account.skipped);
}

impl Talk for Connection {
    fn hear(&mut self, bytes: &[u8]) -> Heard {
        self.heard_at = Instant::now();
        self.pinged = false;
        self.conversation.push(bytes);
        let mut answer = Vec::new();
        let then = loop {
            match self.conversation.hear() {
                Ok(Some(message)) => match self.is_within_limits() {
                    Ok(()) => answer.extend(self.take(&message).unwrap_or_default()),
                    Err(Some(wait)) => {
                        answer.extend(self.refuse(&Refused::too_fast(None, wait)));
                    }
                    Err(None) => {
                        return self.closing(answer, code::FLOODING, "this is too much");
                    }
                },
                Ok(None) => break Then::GoOn,
                Err(_) => break Then::Leave,
            }
        };
        answer.extend_from_slice(&self.conversation.said());
        Heard {
            answer: answer.into(),
            then,
        }
    }

    fn tick(&mut self, now: Instant) -> Heard {
        let silent = now.saturating_duration_since(self.heard_at);
        if silent > SILENT_MAX {
            return self.closing(Vec::new(), code::SILENT, "no sign of life");
        }
        let mut answer = Vec::new();
        if silent > PING_AFTER && !self.pinged {
            self.pinged = true;
            answer.extend_from_slice(protocol::PING);
        }
        let until = self.claims.as_ref().map(|claims| claims.until);
        if until.is_some_and(|until| until <= clock::now().as_micros()) {
            self.claims = None;
            self.here = None;
            self.mine = None;
            self.keeps_order = None;
            answer.extend_from_slice(&self.encoding.message(&self.you(None)));
        }
        Heard {
            answer: answer.into(),
            then: Then::GoOn,
        }
    }

    fn gaps(&mut self, gaps: &[Gap]) -> Bytes {
        let gaps = gaps
            .iter()
            .map(|gap| self.encoding.encode(&Told::gap(*gap)));
        let gaps: Vec<Bytes> = gaps.collect();
        let gaps: Vec<&[u8]> = gaps.iter().map(|gap| &gap[..]).collect();
        self.encoding.join(&gaps)
    }

    fn farewell(&mut self, why: Why) -> Bytes {
        let (code, reason) = ending(why);
        self.conversation.close(code, reason);
        self.conversation.said()
    }

    fn over(&mut self, account: Account) {
        let why = account.why.as_str();
        tell_account(&account);
        tracing::debug!(
            client.addr = %self.client,
            room.id = %self.room.id,
            why,
            written_bytes = account.written,
            "a connection to a room ended"
        );
    }
}
