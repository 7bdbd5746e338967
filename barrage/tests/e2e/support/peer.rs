//! A WebRTC peer by hand: it publishes or watches, and loses what the test wants lost.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode, header};
use serde_json::Value;
use sfu_core::ice::{self, Ice, Path};
use sfu_core::rtp;
use sfu_core::secure::{Credentials, Secure};
use sfu_core::transport::{Received, Transport};
use tokio::net::UdpSocket;

use super::Server;
use super::waiting::within;

const OUR_UFRAG: &str = "tests";
const OUR_PASSWORD: &str = "a-password-for-the-tests";

/// The payload types that offers of a [`Peer`] name.
pub(crate) const OPUS: u8 = 111;
pub(crate) const H264: u8 = 102;
pub(crate) const H264_RTX: u8 = 103;
pub(crate) const VP8: u8 = 96;

/// Sources that a publisher announces.
pub(crate) const AUDIO_SSRC: u32 = 1111;
pub(crate) const VIDEO_SSRC: u32 = 2222;
pub(crate) const RTX_SSRC: u32 = 3333;

/// An offer of sound in Opus and pictures in H.264.
pub(crate) fn offer(direction: &str, fingerprint: &[u8; 32]) -> String {
    let print: Vec<String> = fingerprint
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    let transport = format!(
        "c=IN IP4 0.0.0.0\r\na=ice-ufrag:{OUR_UFRAG}\r\na=ice-pwd:{OUR_PASSWORD}\r\n\
         a=fingerprint:sha-256 {}\r\na=setup:active\r\na=rtcp-mux\r\na={direction}\r\n",
        print.join(":")
    );
    format!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF {OPUS}\r\n{transport}a=mid:0\r\na=rtpmap:{OPUS} opus/48000/2\r\n\
         a=ssrc:{AUDIO_SSRC} cname:t\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF {H264} {H264_RTX}\r\n{transport}a=mid:1\r\n\
         a=rtpmap:{H264} H264/90000\r\na=rtcp-fb:{H264} nack\r\na=rtcp-fb:{H264} nack pli\r\n\
         a=fmtp:{H264} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n\
         a=rtpmap:{H264_RTX} rtx/90000\r\na=fmtp:{H264_RTX} apt={H264}\r\n\
         a=ssrc-group:FID {VIDEO_SSRC} {RTX_SSRC}\r\na=ssrc:{VIDEO_SSRC} cname:t\r\na=ssrc:{RTX_SSRC} cname:t\r\n"
    )
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

/// A session whose media flows.
pub(crate) struct Peer {
    pub(crate) socket: UdpSocket,
    pub(crate) transport: Transport,
    pub(crate) server: SocketAddr,
    pub(crate) location: String,
    pub(crate) answer: String,
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

    pub(crate) async fn try_publish(server: &Server, key: &str) -> Result<Self, Refused> {
        Self::make(server, "/whip", Some(key), "sendonly").await
    }

    pub(crate) async fn watch(server: &Server, handle: &str) -> Self {
        let path = format!("/whep/{handle}");
        let made = Self::make(server, &path, None, "recvonly").await;
        made.unwrap_or_else(|refused| panic!("{refused:?}"))
    }

    async fn make(
        server: &Server,
        path: &str,
        key: Option<&str>,
        direction: &str,
    ) -> Result<Self, Refused> {
        let credentials = Arc::new(Credentials::generate().unwrap());
        let offer = offer(direction, credentials.fingerprint());
        let (location, answer) = ask(server, path, key, offer).await?;
        let now = Instant::now();
        let ours = Ice::new(OUR_UFRAG.into(), OUR_PASSWORD.into(), "server".into(), now);
        let fingerprint = fingerprint_of(&answer);
        let secure = Secure::new(Arc::clone(&credentials), fingerprint, true);
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut peer = Self {
            socket,
            transport: Transport::new(ours, secure, credentials),
            server: candidate_of(&answer),
            location,
            answer,
            heard: VecDeque::new(),
            loses: Box::new(|| false),
            indexes: [10; 3],
        };
        peer.connect().await;
        Ok(peer)
    }

    fn path(&self) -> Path {
        Path::Udp(self.server)
    }

    /// What a browser's half of ICE sends.
    pub(crate) fn check(&self) -> Vec<u8> {
        let provider = sfu_core::secure::provider();
        let name = format!("{}:{OUR_UFRAG}", value_of(&self.answer, "a=ice-ufrag:"));
        let password = value_of(&self.answer, "a=ice-pwd:");
        ice::request(&name, &password, [7; 12], provider.crypto()).unwrap()
    }

    async fn connect(&mut self) {
        let provider = sfu_core::secure::provider();
        self.socket
            .send_to(&self.check(), self.server)
            .await
            .unwrap();
        // Its own half of ICE lets nobody in who did not ask: so that the server may answer.
        let found = format!("{OUR_UFRAG}:server");
        let found = ice::request(&found, OUR_PASSWORD, [8; 12], provider.crypto()).unwrap();
        self.transport
            .handle(Instant::now(), self.path(), &found)
            .unwrap();
        within("the handshake", async {
            while !self.transport.is_ready() {
                self.flush().await;
                self.receive().await;
            }
        })
        .await;
        self.flush().await;
        assert!(matches!(self.heard.pop_back(), Some(Received::Ready)));
    }

    pub(crate) async fn flush(&mut self) {
        for transmit in self.transport.take_transmits() {
            // The reply to our own question goes nowhere.
            if !ice::is_stun(&transmit.bytes) {
                self.socket
                    .send_to(&transmit.bytes, self.server)
                    .await
                    .unwrap();
            }
        }
    }

    async fn receive(&mut self) {
        let mut datagram = vec![0; 4096];
        let (length, _) = self.socket.recv_from(&mut datagram).await.unwrap();
        let datagram = &datagram[..length];
        let media = datagram[0] >= 128;
        if media && !rtp::is_rtcp(datagram) && (self.loses)() {
            return;
        }
        let path = self.path();
        let received = self
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
        self.socket.send_to(&sealed, self.server).await.unwrap();
    }

    /// Seals the next packet of a source.
    pub(crate) fn seal(&mut self, of: Sent, payload: &[u8]) -> Vec<u8> {
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
        let start = packet.len();
        packet.extend_from_slice(payload);
        assert!(
            self.transport
                .seal_rtp(&mut packet, 0, start, of.ssrc, index)
        );
        packet
    }

    pub(crate) async fn say(&mut self, compound: &[u8]) {
        self.transport.send_rtcp(compound);
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

fn value_of(answer: &str, name: &str) -> String {
    let line = answer.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {answer}"))
        .to_owned()
}

fn fingerprint_of(answer: &str) -> [u8; 32] {
    let text = value_of(answer, "a=fingerprint:sha-256 ");
    let bytes: Vec<u8> = text
        .split(':')
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect();
    bytes.try_into().unwrap()
}

fn candidate_of(answer: &str) -> SocketAddr {
    let words = value_of(answer, "a=candidate:1 1 udp ");
    let words: Vec<&str> = words.split(' ').collect();
    format!("{}:{}", words[1], words[2]).parse().unwrap()
}
