//! A WebRTC peer by hand: it publishes or watches, and loses what the test wants lost.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf as _, BytesMut};
use reqwest::{Method, StatusCode, header};
use serde_json::Value;
use sfu_core::Codec;
use sfu_core::caller::{Call, Caller, H264, Sources, Wish};
use sfu_core::rtp;
use sfu_core::secure::Credentials;
use sfu_core::transport::Received;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::Server;
use super::waiting::within;

const OUR_UFRAG: &str = "tests";
const OUR_PASSWORD: &str = "a-password-for-the-tests";

/// A payload type that no offer of a [`Peer`] names.
pub(crate) const VP8: u8 = 96;

/// Sources that a publisher announces.
pub(crate) const AUDIO_SSRC: u32 = 1111;
pub(crate) const VIDEO_SSRC: u32 = 2222;
pub(crate) const RTX_SSRC: u32 = 3333;

/// An offer of sound in Opus and pictures in H.264, of one who sends or of one who watches.
pub(crate) fn offer(sends: bool) -> String {
    caller().offer(wish(sends))
}

fn caller() -> Caller {
    let credentials = Arc::new(Credentials::generate().unwrap());
    Caller::new(credentials, OUR_UFRAG.into(), OUR_PASSWORD.into())
}

fn wish(sends: bool) -> Wish {
    Wish {
        sends: sends.then_some(Sources {
            audio: AUDIO_SSRC,
            video: VIDEO_SSRC,
            video_rtx: RTX_SSRC,
        }),
        repairs: true,
        numbered: false,
    }
}

/// An answer over HTTP that is not a session.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// Asks for a session.
pub(crate) async fn ask(
    server: &Server,
    path: &str,
    key: Option<&str>,
    offer: String,
) -> Result<(String, String), Refused> {
    let mut request = server.client.request(Method::POST, server.url(path));
    request = request
        .header(header::CONTENT_TYPE, "application/sdp")
        .body(offer);
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    let answer = within(path, request.send())
        .await
        .expect("the server answers");
    let status = answer.status();
    if status != StatusCode::CREATED {
        let kind = answer.headers().get(header::CONTENT_TYPE).cloned();
        assert_eq!(kind.unwrap(), "application/problem+json", "{status}");
        return Err(Refused {
            status: status.as_u16(),
            body: answer.json().await.expect("a problem is JSON"),
        });
    }
    let location = answer.headers()[header::LOCATION]
        .to_str()
        .unwrap()
        .to_owned();
    Ok((location, answer.text().await.unwrap()))
}

/// What datagrams go over.
enum Link {
    Udp(UdpSocket),
    /// Each behind its length (RFC 4571).
    Tcp(TcpStream, BytesMut),
}

impl Link {
    async fn to(server: SocketAddr, over_tcp: bool) -> Self {
        if over_tcp {
            return Self::Tcp(TcpStream::connect(server).await.unwrap(), BytesMut::new());
        }
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(server).await.unwrap();
        Self::Udp(socket)
    }

    async fn send(&mut self, datagram: &[u8]) {
        match self {
            Self::Udp(socket) => {
                socket.send(datagram).await.unwrap();
            }
            Self::Tcp(stream, _) => {
                let length = u16::try_from(datagram.len()).unwrap();
                let framed = [&length.to_be_bytes()[..], datagram].concat();
                stream.write_all(&framed).await.unwrap();
            }
        }
    }

    /// The next datagram. Cancel safe.
    async fn receive(&mut self) -> Vec<u8> {
        match self {
            Self::Udp(socket) => {
                let mut datagram = vec![0; 4096];
                let length = socket.recv(&mut datagram).await.unwrap();
                datagram.truncate(length);
                datagram
            }
            Self::Tcp(stream, unread) => loop {
                if let Some((length, rest)) = unread.split_first_chunk()
                    && let Some(datagram) = rest.get(..usize::from(u16::from_be_bytes(*length)))
                {
                    let datagram = datagram.to_vec();
                    unread.advance(2 + datagram.len());
                    return datagram;
                }
                let read = stream.read_buf(unread).await.unwrap();
                assert!(read > 0, "the server closed the connection");
            },
        }
    }
}

/// How a peer differs from others.
#[derive(Clone, Copy)]
struct Manner {
    sends: bool,
    over_tcp: bool,
    codec: Codec,
}

impl Manner {
    const WATCHES: Self = Self {
        sends: false,
        over_tcp: false,
        codec: Codec::H264,
    };
    const SENDS: Self = Self {
        sends: true,
        ..Self::WATCHES
    };
}

/// A session whose media flows.
pub(crate) struct Peer {
    link: Link,
    pub(crate) call: Call,
    pub(crate) location: String,
    pub(crate) answer: String,
    /// Of pictures.
    pub(crate) codec: Codec,
    heard: VecDeque<Received>,
    /// Whether the next datagram of media is lost on its way here.
    pub(crate) loses: Box<dyn FnMut() -> bool + Send>,
    indexes: [u64; 3],
}

impl Peer {
    pub(crate) async fn publish(server: &Server) -> Self {
        let made = Self::try_publish(server, &server.key).await;
        made.unwrap_or_else(|refused| panic!("{refused:?}"))
    }

    /// Publishes without a single datagram.
    pub(crate) async fn publish_over_tcp(server: &Server) -> Self {
        let manner = Manner {
            over_tcp: true,
            ..Manner::SENDS
        };
        let made = Self::make(server, "/whip", Some(&server.key), manner).await;
        made.unwrap_or_else(|refused| panic!("{refused:?}"))
    }

    /// Watches without a single datagram.
    pub(crate) async fn watch_over_tcp(server: &Server, handle: &str) -> Self {
        let path = format!("/whep/{handle}");
        let manner = Manner {
            over_tcp: true,
            ..Manner::WATCHES
        };
        let made = Self::make(server, &path, None, manner).await;
        made.unwrap_or_else(|refused| panic!("{refused:?}"))
    }

    /// Publishes pictures in another codec than H.264, under the same payload type.
    pub(crate) async fn publish_in(server: &Server, codec: Codec) -> Self {
        let manner = Manner {
            codec,
            ..Manner::SENDS
        };
        let made = Self::make(server, "/whip", Some(&server.key), manner).await;
        made.unwrap_or_else(|refused| panic!("{refused:?}"))
    }

    pub(crate) async fn try_publish(server: &Server, key: &str) -> Result<Self, Refused> {
        Self::make(server, "/whip", Some(key), Manner::SENDS).await
    }

    pub(crate) async fn watch(server: &Server, handle: &str) -> Self {
        let path = format!("/whep/{handle}");
        let made = Self::make(server, &path, None, Manner::WATCHES).await;
        made.unwrap_or_else(|refused| panic!("{refused:?}"))
    }

    /// Watches pictures in another codec than H.264, under the same payload type.
    pub(crate) async fn watch_in(server: &Server, handle: &str, codec: Codec) -> Self {
        let path = format!("/whep/{handle}");
        let manner = Manner {
            codec,
            ..Manner::WATCHES
        };
        let made = Self::make(server, &path, None, manner).await;
        made.unwrap_or_else(|refused| panic!("{refused:?}"))
    }

    async fn make(
        server: &Server,
        path: &str,
        key: Option<&str>,
        manner: Manner,
    ) -> Result<Self, Refused> {
        let caller = caller();
        let offer = caller.offer(wish(manner.sends)).replace(
            &format!("a=rtpmap:{H264} H264/"),
            &format!("a=rtpmap:{H264} {}/", manner.codec.as_str()),
        );
        let (location, answer) = ask(server, path, key, offer).await?;
        let call = caller.call(Instant::now(), &answer).unwrap();
        let passive = format!(
            "{} {} typ host tcptype passive",
            call.server.ip(),
            call.server.port()
        );
        assert!(answer.contains(&passive), "{answer}");
        let mut peer = Self {
            link: Link::to(call.server, manner.over_tcp).await,
            call,
            location,
            answer,
            codec: manner.codec,
            heard: VecDeque::new(),
            loses: Box::new(|| false),
            indexes: [10; 3],
        };
        peer.connect().await;
        Ok(peer)
    }

    /// What a browser's half of ICE sends.
    pub(crate) fn check(&self) -> Vec<u8> {
        self.call.check([7; 12]).unwrap()
    }

    /// Begins ICE anew, from another address than before.
    pub(crate) async fn restart(&mut self, server: &Server, key: &str) {
        let ours = "again";
        let fragment = format!("a=ice-ufrag:{ours}\r\na=ice-pwd:{OUR_PASSWORD}\r\na=mid:0\r\n");
        let request = server
            .client
            .request(Method::PATCH, server.url(&self.location))
            .header(header::CONTENT_TYPE, "application/trickle-ice-sdpfrag")
            .header(header::IF_MATCH, "*")
            .bearer_auth(key)
            .body(fragment);
        let answer = within("an answer", request.send()).await.unwrap();
        assert_eq!(answer.status(), 200);
        let fragment = answer.text().await.unwrap();
        self.call.restart(ours, &fragment).unwrap();
        self.link = Link::to(self.call.server, false).await;
        self.link.send(&self.check()).await;
        within("the server is found", self.link.receive()).await;
    }

    /// Says that it is still there, as browsers do every few seconds (RFC 7675).
    pub(crate) async fn stay(&mut self) {
        let check = self.check();
        self.link.send(&check).await;
    }

    async fn connect(&mut self) {
        within("the handshake", async {
            while !self.call.transport.is_ready() {
                self.flush().await;
                self.receive().await;
            }
        })
        .await;
        self.flush().await;
        assert!(matches!(self.heard.pop_back(), Some(Received::Ready)));
    }

    pub(crate) async fn flush(&mut self) {
        for transmit in self.call.transport.take_transmits() {
            self.link.send(&transmit.bytes).await;
        }
    }

    async fn receive(&mut self) {
        let datagram = &self.link.receive().await[..];
        let media = datagram[0] >= 128;
        if media && !rtp::is_rtcp(datagram) && (self.loses)() {
            return;
        }
        let path = self.call.path();
        let received = self
            .call
            .transport
            .handle(Instant::now(), path, datagram)
            .unwrap();
        if !matches!(received, Received::Nothing) {
            self.heard.push_back(received);
        }
    }

    /// The next thing that is heard.
    pub(crate) async fn hear(&mut self) -> Received {
        loop {
            if let Some(received) = self.heard.pop_front() {
                return received;
            }
            self.receive().await;
        }
    }

    /// The next thing that is heard within so long.
    pub(crate) async fn hear_within(&mut self, time: Duration) -> Option<Received> {
        tokio::time::timeout(time, self.hear()).await.ok()
    }

    /// Sends a packet of a source.
    pub(crate) async fn send(&mut self, of: Sent, payload: &[u8]) {
        let sealed = self.seal(of, payload);
        self.link.send(&sealed).await;
    }

    /// Sends padding alone, as who finds out what a path carries does where nothing can be sent again.
    pub(crate) async fn probe(&mut self, timestamp: u32) {
        let of = Sent {
            ssrc: VIDEO_SSRC,
            kind: H264,
            timestamp,
            marker: false,
        };
        let mut padding = [0; 200];
        padding[199] = 200;
        let sealed = self.seal_with(0x20, of, &padding);
        self.link.send(&sealed).await;
    }

    /// Seals the next packet of a source.
    pub(crate) fn seal(&mut self, of: Sent, payload: &[u8]) -> Vec<u8> {
        self.seal_with(0, of, payload)
    }

    /// The same with more flags in front.
    fn seal_with(&mut self, flags: u8, of: Sent, payload: &[u8]) -> Vec<u8> {
        let slot = match of.ssrc {
            AUDIO_SSRC => 0,
            VIDEO_SSRC => 1,
            _ => 2,
        };
        let index = self.indexes[slot];
        self.indexes[slot] += 1;
        let mut packet = Vec::new();
        let sequence = (index & 0xffff) as u16;
        rtp::write_header(
            &mut packet,
            of.kind,
            of.marker,
            sequence,
            of.timestamp,
            of.ssrc,
        );
        packet[0] |= flags;
        let start = packet.len();
        packet.extend_from_slice(payload);
        assert!(
            self.call
                .transport
                .seal_rtp(&mut packet, 0, start, of.ssrc, index)
        );
        packet
    }

    pub(crate) async fn say(&mut self, compound: &[u8]) {
        self.call.transport.send_rtcp(compound);
        self.flush().await;
    }

    /// Ends the session over HTTP.
    pub(crate) async fn end(&self, server: &Server, key: Option<&str>) -> u16 {
        let mut request = server
            .client
            .request(Method::DELETE, server.url(&self.location));
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        within("the end", request.send())
            .await
            .unwrap()
            .status()
            .as_u16()
    }
}

/// What a packet says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) ssrc: u32,
    pub(crate) kind: u8,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
}
