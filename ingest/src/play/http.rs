//! Viewers over HTTP and WebSocket: what they are told first, and what they may say.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use fanout::Form;
use fanout::shard::{Account, Body, Falling, Guest, Heard, Talk, Then, Why};
use kit::rendition::Renditions;
use kit::stream::Broadcast;
use kit::websocket;
use media::flv::is_known;
use tokio::net::TcpStream;

use super::encoding::flv_header;
use super::opening::opening;
use super::sound::is_heard;
use super::websocket::WebSocket;
use super::{Encoding, Held, Play, Start, tell_over};

/// What a viewer over HTTP may say after its request. A pipelined request is not answered, because
/// the answer to the first has no end.
const HEARD_MAX: usize = 64 * 1024;

/// What a viewer asks for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What it wants to watch.
    pub broadcast: Arc<Broadcast>,
    /// Where it wants to begin.
    pub start: Start,
    /// What it said to have a WebSocket.
    pub websocket_key: Option<String>,
}

impl Play {
    /// Hands a connection to a shard, with its whole answer. `slot` is its place among those that
    /// are allowed at once.
    ///
    /// # Errors
    /// When the socket is broken.
    pub async fn serve(
        &self,
        socket: TcpStream,
        asked: Asked,
        client: SocketAddr,
        slot: Box<dyn Send>,
    ) -> io::Result<()> {
        let head = response_head(asked.websocket_key.as_deref());
        let socket = socket.into_std()?;
        let guest = self.guest(socket, asked, head, client, slot).await;
        self.shards.seat(guest);
        Ok(())
    }

    /// The stream for a connection that is no plain socket: the body of an answer, or what follows
    /// the handshake of a WebSocket.
    pub async fn body(&self, asked: Asked, client: SocketAddr, slot: Box<dyn Send>) -> Body {
        let guest = self.guest((), asked, BytesMut::new(), client, slot).await;
        Body::new(guest, self.shards.limits())
    }

    async fn guest<S>(
        &self,
        socket: S,
        asked: Asked,
        mut head: BytesMut,
        client: SocketAddr,
        slot: Box<dyn Send>,
    ) -> Guest<S> {
        let framed = asked.websocket_key.is_some();
        let (log, ticket) = self.outlets.tune_in(&asked.broadcast, Encoding::Flv);
        let opening = opening(&asked.broadcast, Encoding::Flv, asked.start, &log).await;
        let (video, audio) = tracks_of(&asked.broadcast, &self.renditions).await;
        head.extend_from_slice(flv_header(video, audio).as_slice(framed));
        for encoded in &opening.words {
            head.extend_from_slice(encoded.as_slice(framed));
        }
        let held = Held {
            client,
            _ticket: ticket,
            _slot: slot,
        };
        let talk: Box<dyn Talk> = if framed {
            Box::new(WebSocket::new(held))
        } else {
            Box::new(Plain { held, heard: 0 })
        };
        Guest {
            socket,
            log,
            entry: opening.entry,
            form: if framed { Form::Framed } else { Form::Plain },
            falling: Falling::ToKey,
            head: head.freeze(),
            setup: opening.setup,
            talk,
            mailbox: None,
        }
    }
}

/// Whether there are pictures and sound, as far as is known.
async fn tracks_of(broadcast: &Arc<Broadcast>, renditions: &Arc<Renditions>) -> (bool, bool) {
    let announced = broadcast.announced();
    let video = match broadcast.video.last() {
        Some(picture) => is_known(&picture.config),
        None => announced.video == Some(true),
    };
    let audio = is_heard(broadcast, renditions).await;
    // Of a stream of which nothing is known yet, either may come.
    if video || audio {
        (video, audio)
    } else {
        (true, true)
    }
}

fn response_head(websocket_key: Option<&str>) -> BytesMut {
    let head = match websocket_key {
        Some(key) => format!(
            "HTTP/1.1 101 Switching Protocols\r\n\
             upgrade: websocket\r\n\
             connection: Upgrade\r\n\
             sec-websocket-accept: {}\r\n\r\n",
            websocket::accept_key(key)
        ),
        None => {
            let mut head = format!(
                "HTTP/1.1 200 OK\r\n\
                 date: {}\r\n\
                 connection: close\r\n",
                httpdate::fmt_http_date(SystemTime::now())
            );
            for (name, value) in HEADERS {
                head.push_str(name);
                head.push_str(": ");
                head.push_str(value);
                head.push_str("\r\n");
            }
            head.push_str("\r\n");
            head
        }
    };
    BytesMut::from(head.as_bytes())
}

/// What an answer with FLV in it says of itself.
pub const HEADERS: [(&str, &str); 5] = [
    ("content-type", "video/x-flv"),
    ("cache-control", "no-store"),
    ("access-control-allow-origin", "*"),
    ("x-content-type-options", "nosniff"),
    // A proxy that gathers the answer up would add seconds.
    ("x-accel-buffering", "no"),
];

/// A viewer over plain HTTP, who has nothing to say.
struct Plain {
    held: Held,
    heard: usize,
}

impl Talk for Plain {
    fn hear(&mut self, bytes: &[u8]) -> Heard {
        self.heard = self.heard.saturating_add(bytes.len());
        Heard {
            answer: Bytes::new(),
            then: if self.heard > HEARD_MAX {
                Then::Leave
            } else {
                Then::GoOn
            },
        }
    }

    fn farewell(&mut self, _why: Why) -> Bytes {
        Bytes::new()
    }

    fn over(&mut self, account: Account) {
        tell_over("flv", self.held.client, account);
    }
}
