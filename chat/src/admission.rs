//! The way of a client into a room, once it may come in: the answer to its handshake, and what it is
//! told first.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use fanout::shard::{Body, Entry as Begin, Falling, Guest, Shards};
use fanout::{Batches, Compressed, Form, Log, Packet, Position};
use kit::clock;
use kit::websocket::{Deflate, deflate};
use tokio::net::TcpStream;
use wire::Handle;

use crate::connection::Connection;
use crate::lane::{Lane, PerLane, Places};
use crate::limits::Seat;
use crate::protocol::{self, Encoding, Told, Welcome};
use crate::reader::{Events, Reader};
use crate::room::{Joined, RESUME_MAX, Room};
use crate::service::Shared;
use crate::store::Store;

/// Items of control or money that one who returns is read from the store.
const READ_MAX: u64 = 10_000;

/// Items in one frame for somebody who comes.
const FRAME_ITEMS: usize = 500;

/// A client that may come in.
pub struct Admission {
    pub(crate) shared: Arc<Shared>,
    pub(crate) shards: Arc<Shards>,
    pub(crate) room: Arc<Room>,
    pub(crate) handle: Handle,
    pub(crate) encoding: Encoding,
    pub(crate) places: Places,
    pub(crate) seat: Seat,
    pub(crate) client: SocketAddr,
    pub(crate) accept: String,
    pub(crate) deflate: Option<Deflate>,
    /// What is answered about it.
    pub(crate) agreed: Option<String>,
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admission")
            .field("room", &self.handle)
            .finish_non_exhaustive()
    }
}

impl Admission {
    /// The headers with which the WebSocket is agreed to (RFC 6455 §4.2.2).
    pub fn headers(&self) -> Vec<(&'static str, &str)> {
        let agreed = self.agreed.as_deref();
        let extensions = agreed.map(|agreed| ("sec-websocket-extensions", agreed));
        let headers = [
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-accept", &*self.accept),
            ("sec-websocket-protocol", self.encoding.subprotocol()),
        ];
        headers.into_iter().chain(extensions).collect()
    }

    /// Hands a plain connection to a shard, with the whole answer.
    ///
    /// # Errors
    /// When the socket is broken.
    pub async fn serve(self, socket: TcpStream, slot: Box<dyn Send>) -> io::Result<()> {
        let socket = socket.into_std()?;
        let mut head = BytesMut::from(&b"HTTP/1.1 101 Switching Protocols\r\n"[..]);
        for (name, value) in self.headers() {
            head.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        let shards = Arc::clone(&self.shards);
        shards.seat(self.guest(socket, head, slot).await);
        Ok(())
    }

    /// What follows the handshake, for a connection that is no plain socket.
    pub async fn body(self, slot: Box<dyn Send>) -> Body {
        let limits = self.shards.limits();
        Body::new(self.guest((), BytesMut::new(), slot).await, limits)
    }

    /// The events of the room, for somebody who only reads.
    pub async fn events(self, slot: Box<dyn Send>) -> Events {
        let (limits, since) = (self.shards.limits(), self.places);
        let begin = self.begin(protocol::join_events).await;
        let reader = Reader {
            presence: self.room.enter(),
            _seat: self.seat,
            _slot: slot,
            ticks: 0,
        };
        let guest = Guest {
            socket: (),
            log: begin.log,
            entry: Begin::At(begin.start),
            form: Form::Joined(protocol::join_events),
            falling: Falling::Thinned,
            head: begin.head.freeze(),
            setup: Some(0),
            mailbox: None,
            talk: Box::new(reader),
        };
        Events::new(Body::new(guest, limits), since)
    }

    /// What somebody is told first, and where they read on.
    async fn begin(&self, join: fn(&[&[u8]]) -> Bytes) -> First {
        let Self {
            shared,
            room,
            handle,
            encoding,
            places,
            ..
        } = self;
        let joined = room.join(*encoding, places, shared.config.history);
        let welcome = encoding.encode(&Told::Welcome(Welcome {
            room: handle.as_str(),
            lanes: (&joined.places).into(),
            broadcast: shared.broadcast(room),
            server_ms: clock::now().as_millis(),
            text_max: shared.config.text_max,
            viewers: room.everybody() + 1,
            likes: room.likes(),
            chat_down_since_ms: shared.down_since_ms(room),
            gifting_down_since_ms: shared.gifting.down_since_ms(),
        }));
        let mut head = BytesMut::from(&join(&[&welcome])[..]);
        let Joined {
            log,
            start,
            batches,
            places,
            missed,
            gaps,
        } = joined;
        let mut pieces = read_back(&shared.store, room, *encoding, &places, gaps).await;
        pieces.extend(missed);
        for frame in pieces.chunks(FRAME_ITEMS) {
            let frame: Vec<&[u8]> = frame.iter().map(|piece| &piece[..]).collect();
            head.extend_from_slice(&join(&frame));
        }
        First {
            log,
            start,
            batches,
            head,
        }
    }

    async fn guest<S>(self, socket: S, mut head: BytesMut, slot: Box<dyn Send>) -> Guest<S> {
        let First {
            log,
            start,
            batches,
            head: first,
        } = self.begin(self.encoding.joiner()).await;
        head.extend_from_slice(&first);
        let Self {
            shared,
            room,
            encoding,
            deflate,
            ..
        } = self;
        let form = match deflate {
            None => Form::Joined(encoding.joiner()),
            Some(deflate) => {
                let by = Compressed {
                    compress: deflate::compress,
                    longest: deflate.longest(),
                    batches,
                };
                Form::Compressed(encoding.joiner(), by)
            }
        };
        let wire = (encoding, deflate.is_some());
        let connection = Connection::new(shared, room, wire, self.client, self.seat, slot);
        Guest {
            socket,
            log,
            entry: Begin::At(start),
            form,
            falling: Falling::Thinned,
            head: head.freeze(),
            setup: Some(0),
            mailbox: Some(Arc::clone(&connection.mailbox)),
            talk: Box::new(connection),
        }
    }
}

/// What somebody who comes in begins with.
struct First {
    log: Log<Packet>,
    start: u64,
    batches: Arc<Batches>,
    head: BytesMut,
}

/// What was missed and is no longer at hand, from the store; what cannot be had is declared.
async fn read_back(
    store: &Store,
    room: &Room,
    encoding: Encoding,
    places: &PerLane<Position>,
    gaps: Vec<fanout::Gap>,
) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    for gap in gaps {
        let Some(lane) = Lane::of_number(i64::from(gap.lane)) else {
            continue;
        };
        let most = match lane {
            Lane::Control | Lane::Money => READ_MAX,
            Lane::Chat => RESUME_MAX,
            Lane::Ambient | Lane::Mods => 0,
        };
        let from = gap.from.max(gap.to.saturating_sub(most));
        let start = Position {
            epoch: places.get(lane).epoch,
            offset: from,
        };
        let read = if most == 0 {
            Ok(Vec::new())
        } else {
            let limit = u32::try_from(most).unwrap_or(u32::MAX);
            store.items(room.id, lane, start, gap.to, limit).await
        };
        let to = match &read {
            Ok(_) if most > 0 => from,
            Ok(_) => gap.to,
            Err(error) => {
                tracing::warn!(%error, room.id = %room.id, "failed to read a lane back");
                gap.to
            }
        };
        if gap.from < to {
            pieces.push(encoding.encode(&Told::gap(fanout::Gap { to, ..gap })));
        }
        let items = read.unwrap_or_default();
        pieces.extend(items.iter().map(|item| encoding.encode(item)));
    }
    pieces
}
