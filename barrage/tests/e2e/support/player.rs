//! A viewer over HTTP-FLV, WebSocket-FLV or RTMP, who looks at every tag.

use std::collections::VecDeque;

use bytes::{Buf as _, Bytes, BytesMut};
use ingest::rtmp::Secret;
use ingest::rtmp::client::{Config, Event, Output, Purpose, Session};
use media::flv::{Reader, Tag, TagKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::server::{CHANNEL, Server};
use super::waiting::within;

/// Tags longer than this are not sent here.
const TAG_BYTES_MAX: usize = 1024 * 1024;

/// The example key of RFC 6455 §1.3, and its answer.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// By which protocol somebody watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Http,
    WebSocket,
    Rtmp,
}

impl Over {
    pub(crate) const ALL: [Self; 3] = [Self::Http, Self::WebSocket, Self::Rtmp];
}

/// A viewer.
pub(crate) struct Player {
    stream: TcpStream,
    unread: BytesMut,
    protocol: Protocol,
    tags: VecDeque<Tag>,
    /// The payloads of WebSocket control frames: opcode and bytes.
    pub(crate) controls: Vec<(u8, Bytes)>,
    /// What an RTMP server said besides media.
    pub(crate) events: Vec<Event>,
    over: bool,
}

enum Protocol {
    Http(Reader),
    WebSocket(Reader),
    Rtmp(Box<Session>),
}

impl Player {
    /// Watches the first channel; fails if that cannot be watched.
    pub(crate) async fn tune_in(server: &Server, over: Over, query: &str) -> Self {
        match over {
            Over::Http | Over::WebSocket => Self::over_http(server, over, query).await,
            Over::Rtmp => {
                let mut player = Self::over_rtmp(server, &format!("{CHANNEL}{query}")).await;
                while !player.events.contains(&Event::Playing) {
                    assert!(player.read().await, "refused: {:?}", player.events);
                }
                player
            }
        }
    }

    async fn over_http(server: &Server, over: Over, query: &str) -> Self {
        let mut stream = dial(server.http).await;
        let upgrade = if over == Over::WebSocket {
            format!(
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
            )
        } else {
            String::new()
        };
        let request =
            format!("GET /live/{CHANNEL}.flv{query} HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("it is read");
        let mut unread = BytesMut::new();
        let head = loop {
            if let Some(at) = unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break unread.split_to(at + 4);
            }
            let read = within("an answer", stream.read_buf(&mut unread)).await;
            assert!(
                read.expect("the connection holds") > 0,
                "closed: {unread:?}"
            );
        };
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let reader = Reader::new(TAG_BYTES_MAX);
        let protocol = if over == Over::WebSocket {
            assert!(head.starts_with("http/1.1 101 "), "{head}");
            assert!(head.contains(&ACCEPT.to_ascii_lowercase()), "{head}");
            Protocol::WebSocket(reader)
        } else {
            assert!(head.starts_with("http/1.1 200 "), "{head}");
            assert!(head.contains("content-type: video/x-flv"), "{head}");
            Protocol::Http(reader)
        };
        let mut player = Self::new(stream, unread, protocol);
        player.take_in();
        player
    }

    /// Asks to play `name` over RTMP; what comes of it is in [`events`](Self::events).
    pub(crate) async fn over_rtmp(server: &Server, name: &str) -> Self {
        let config = Config {
            purpose: Purpose::Play,
            app: "live".into(),
            tc_url: format!("rtmp://{}/live", server.rtmp),
            key: Secret::new(name),
            encoder: "barrage tests".into(),
            chunk_size: 128,
        };
        let session = Box::new(Session::new(config, [9; 32]));
        let stream = dial(server.rtmp).await;
        let mut player = Self::new(stream, BytesMut::new(), Protocol::Rtmp(session));
        player.answer().await;
        player
    }

    fn new(stream: TcpStream, unread: BytesMut, protocol: Protocol) -> Self {
        Self {
            stream,
            unread,
            protocol,
            tags: VecDeque::new(),
            controls: Vec::new(),
            events: Vec::new(),
            over: false,
        }
    }

    /// The next tag; none once the server has closed the connection.
    pub(crate) async fn tag(&mut self) -> Option<Tag> {
        loop {
            if let Some(tag) = self.tags.pop_front() {
                return Some(tag);
            }
            if self.over || !self.read().await {
                return None;
            }
        }
    }

    /// The next picture or sound that is no set-up.
    pub(crate) async fn frame(&mut self) -> Option<Tag> {
        loop {
            let tag = self.tag().await?;
            if tag.kind != TagKind::Script && tag.body[1] != 0 {
                return Some(tag);
            }
        }
    }

    /// Everything up to the end of the connection.
    pub(crate) async fn rest(&mut self) -> Vec<Tag> {
        let mut tags = Vec::new();
        while let Some(tag) = self.tag().await {
            tags.push(tag);
        }
        tags
    }

    /// Reads once; false at the end.
    pub(crate) async fn read(&mut self) -> bool {
        let read = within(
            "the server sends something",
            self.stream.read_buf(&mut self.unread),
        )
        .await;
        if !matches!(read, Ok(1..)) {
            self.over = true;
            return false;
        }
        self.take_in();
        self.answer().await;
        true
    }

    /// Sends bytes as they are.
    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        let said = self.stream.write_all(bytes).await;
        said.expect("the server reads");
    }

    /// Sends a command about what is played.
    pub(crate) async fn control(&mut self, name: &str, arguments: Vec<media::amf0::Value>) {
        if let Protocol::Rtmp(session) = &mut self.protocol {
            session.control_play(name, arguments);
        }
        self.answer().await;
    }

    fn take_in(&mut self) {
        match &mut self.protocol {
            Protocol::Http(reader) => reader.push(&self.unread.split()),
            Protocol::WebSocket(reader) => {
                while let Some((opcode, payload)) = next_message(&mut self.unread) {
                    if opcode == 2 {
                        reader.push(&payload);
                    } else {
                        self.controls.push((opcode, payload));
                    }
                }
            }
            Protocol::Rtmp(session) => {
                let heard = session.handle_input(&self.unread.split());
                heard.expect("the server keeps to the protocol");
            }
        }
        if let Protocol::Http(reader) | Protocol::WebSocket(reader) = &mut self.protocol {
            while let Some(tag) = reader.next_tag().expect("FLV") {
                self.tags.push_back(tag);
            }
        }
    }

    async fn answer(&mut self) {
        let Protocol::Rtmp(session) = &mut self.protocol else {
            return;
        };
        while let Some(output) = session.poll_output() {
            match output {
                Output::Transmit(bytes) => {
                    // A server that has said goodbye does not listen any more.
                    let _ = self.stream.write_all(&bytes).await;
                }
                Output::Event(Event::Media {
                    kind,
                    timestamp,
                    body,
                }) => self.tags.push_back(Tag {
                    kind,
                    timestamp,
                    body,
                }),
                Output::Event(event) => self.events.push(event),
            }
        }
    }
}

async fn dial(to: std::net::SocketAddr) -> TcpStream {
    let stream = within("the server accepts", TcpStream::connect(to)).await;
    let stream = stream.expect("the server accepts");
    stream.set_nodelay(true).expect("a socket can be set");
    stream
}

/// One whole message of a server: its opcode and what is in it.
fn next_message(bytes: &mut BytesMut) -> Option<(u8, Bytes)> {
    let &[first, length] = bytes.first_chunk::<2>()?;
    assert_eq!(first & 0xF0, 0x80, "every message is one frame");
    let (head, length) = match length {
        126 => (
            4,
            usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
        ),
        127 => (
            10,
            usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).ok()?,
        ),
        length => {
            assert!(length < 126, "a server does not mask");
            (2, usize::from(length))
        }
    };
    if bytes.len() < head + length {
        return None;
    }
    bytes.advance(head);
    Some((first & 0x0F, bytes.split_to(length).freeze()))
}
