//! ICE, DTLS and SRTP of one session as one: datagrams in, packets out, and the other way round.

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;

use crate::ice::{Heard, Ice, Path, is_stun};
use crate::rtp;
use crate::secure::{self, Credentials, Secure, Step};
use crate::srtp::Sealed;

/// Sources whose packets are opened, of one session. A peer has a handful.
const SOURCES_MAX: usize = 16;

/// How often something may be tried that says it is of another source. The library begins to keep
/// a state for each before it knows whether its packet is whole.
const STRANGERS_MAX: u32 = 256;

/// What came of a datagram.
#[derive(Debug)]
pub enum Received {
    /// Nothing for anybody else.
    Nothing,
    /// Media can go both ways from now on.
    Ready,
    /// An RTP packet, opened.
    Rtp(BytesMut),
    /// A compound of RTCP packets, opened.
    Rtcp(BytesMut),
    /// The peer has ended the session.
    Closed,
}

/// What is to be sent.
#[derive(Debug)]
pub struct Transmit {
    /// Where to.
    pub path: Path,
    /// The datagram.
    pub bytes: Vec<u8>,
}

/// One session's.
#[derive(Debug)]
pub struct Transport {
    ice: Ice,
    secure: Secure,
    sealed: Option<Box<Sealed>>,
    credentials: Arc<Credentials>,
    sources: Vec<u32>,
    strangers: u32,
    out: Vec<Transmit>,
    /// Datagrams that nobody of this session sealed.
    forged: u64,
}

impl Transport {
    /// A session that nobody has found yet.
    pub const fn new(ice: Ice, secure: Secure, credentials: Arc<Credentials>) -> Self {
        Self {
            ice,
            secure,
            sealed: None,
            credentials,
            sources: Vec::new(),
            strangers: 0,
            out: Vec::new(),
            forged: 0,
        }
    }

    /// Its passive half of ICE.
    pub const fn ice(&self) -> &Ice {
        &self.ice
    }

    /// See [`ice`](Self::ice).
    pub const fn ice_mut(&mut self) -> &mut Ice {
        &mut self.ice
    }

    /// Whether media can go both ways.
    pub const fn is_ready(&self) -> bool {
        self.sealed.is_some()
    }

    /// What packets are sealed with, once hands were shaken.
    pub fn cipher(&self) -> Option<&'static str> {
        self.sealed.as_ref().map(|sealed| sealed.cipher())
    }

    /// Datagrams on the peer's path that were not sealed by it.
    pub const fn forged(&self) -> u64 {
        self.forged
    }

    /// Begins with a server that waits to be asked, which `check` does.
    ///
    /// # Errors
    /// When no handshake can be begun.
    pub fn dial(&mut self, now: Instant, path: Path, check: Vec<u8>) -> Result<(), secure::Error> {
        self.ice.settle(path);
        self.out.push(Transmit { path, bytes: check });
        self.secure.begin(now)?;
        self.flush();
        Ok(())
    }

    /// Asks once more whether the server is there and wants to go on (RFC 7675).
    pub fn ask_again(&mut self, check: Vec<u8>) {
        if let Some(path) = self.ice.path() {
            self.out.push(Transmit { path, bytes: check });
        }
    }

    /// Whether a datagram is a question that only the peer can have signed.
    pub fn is_signed(&self, datagram: &[u8]) -> bool {
        let crypto = self.credentials.provider().crypto();
        self.ice.is_signed(datagram, crypto)
    }

    /// Takes a datagram that came on `path`.
    ///
    /// # Errors
    /// When there will be no session with the peer.
    pub fn handle(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &[u8],
    ) -> Result<Received, secure::Error> {
        if is_stun(datagram) {
            let mut bytes = Vec::new();
            let crypto = self.credentials.provider().crypto();
            let heard = self.ice.handle(now, path, datagram, crypto, &mut bytes);
            if !bytes.is_empty() {
                self.out.push(Transmit { path, bytes });
            }
            if heard != Heard::Nothing {
                self.secure.begin(now)?;
                self.flush();
            }
            return Ok(Received::Nothing);
        }
        if !self.ice.knows(path) {
            return Ok(Received::Nothing);
        }
        match datagram.first() {
            // RFC 7983 §7.
            Some(20..=63) => self.shake(now, datagram),
            Some(128..=191) => Ok(self.open(now, datagram)),
            _ => Ok(Received::Nothing),
        }
    }

    fn shake(&mut self, now: Instant, datagram: &[u8]) -> Result<Received, secure::Error> {
        let step = self.secure.handle(now, datagram);
        self.forged += u64::from(matches!(step, Ok(Step::Broken)));
        // What the peer is to be told of a failure goes out all the same.
        self.flush();
        match step {
            Ok(Step::Nothing | Step::Broken) => Ok(Received::Nothing),
            Ok(Step::Done(sealed)) => {
                self.sealed = Some(sealed);
                Ok(Received::Ready)
            }
            Ok(Step::Closed) => Ok(Received::Closed),
            // Anybody can put a broken record on the path; a session that stands goes on.
            Err(_) if self.sealed.is_some() => Ok(Received::Nothing),
            Err(error) => Err(error),
        }
    }

    fn open(&mut self, now: Instant, datagram: &[u8]) -> Received {
        let Some(sealed) = &mut self.sealed else {
            return Received::Nothing;
        };
        let is_rtcp = rtp::is_rtcp(datagram);
        // The source: of reports the fifth byte on, of packets the ninth.
        let at = if is_rtcp { 4 } else { 8 };
        let Some(ssrc) = datagram.get(at..at + 4) else {
            return Received::Nothing;
        };
        let ssrc = u32::from_be_bytes(ssrc.try_into().expect("it has four bytes"));
        let known = self.sources.contains(&ssrc);
        if !known && (self.sources.len() == SOURCES_MAX || self.strangers == STRANGERS_MAX) {
            self.forged += 1;
            return Received::Nothing;
        }
        let opened = if is_rtcp {
            sealed.open_rtcp(datagram).map(Received::Rtcp)
        } else {
            sealed.open_rtp(datagram).map(Received::Rtp)
        };
        match opened {
            Ok(received) => {
                self.ice.note_heard(now);
                if !known {
                    self.sources.push(ssrc);
                }
                received
            }
            Err(_) => {
                self.forged += 1;
                self.strangers += u32::from(!known);
                Received::Nothing
            }
        }
    }

    /// Seals a packet where it stands; see [`Sealed::seal_rtp`]. Tells whether it could.
    pub fn seal_rtp(
        &mut self,
        buffer: &mut Vec<u8>,
        start: usize,
        payload: usize,
        ssrc: u32,
        index: u64,
    ) -> bool {
        let Some(sealed) = &mut self.sealed else {
            return false;
        };
        sealed.seal_rtp(buffer, start, payload, ssrc, index).is_ok()
    }

    /// Sends a compound of RTCP packets.
    pub fn send_rtcp(&mut self, reports: &[u8]) {
        let (Some(path), Some(sealed)) = (self.ice.path(), &mut self.sealed) else {
            return;
        };
        if let Ok(bytes) = sealed.seal_rtcp(reports) {
            self.out.push(Transmit {
                path,
                bytes: bytes.to_vec(),
            });
        }
    }

    /// What is to be sent, in order.
    pub fn take_transmits(&mut self) -> Vec<Transmit> {
        std::mem::take(&mut self.out)
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.secure.poll_timeout()
    }

    /// Sends again what was not answered.
    ///
    /// # Errors
    /// When there will be no session with the peer.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), secure::Error> {
        self.secure.handle_timeout(now)?;
        self.flush();
        Ok(())
    }

    /// Tells the peer that the session is over.
    pub fn close(&mut self, now: Instant) {
        self.secure.close(now);
        self.flush();
    }

    fn flush(&mut self) {
        while let Some(bytes) = self.secure.poll_transmit() {
            if let Some(path) = self.ice.path() {
                self.out.push(Transmit {
                    path,
                    bytes: bytes.to_vec(),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ice;
    use std::net::SocketAddr;

    const PASSWORD: &str = "the password of the server";

    /// Someone who connects, and the server, with nothing but memory between them.
    struct Pair {
        now: Instant,
        path: Path,
        client: Transport,
        server: Transport,
    }

    fn pair(fingerprint: Option<[u8; 32]>) -> Pair {
        let now = Instant::now();
        let [of_client, of_server] = [(); 2].map(|()| Arc::new(Credentials::generate().unwrap()));
        let known = fingerprint.unwrap_or(*of_client.fingerprint());
        let server = Ice::new("server".into(), PASSWORD.into(), "client".into(), now);
        let server = Transport::new(
            server,
            Secure::new(Arc::clone(&of_server), known, false),
            Arc::clone(&of_server),
        );
        // It listens for nobody, so its own half of ICE is whatever the test makes it.
        let client = Ice::new("client".into(), PASSWORD.into(), "server".into(), now);
        let client = Transport::new(
            client,
            Secure::new(Arc::clone(&of_client), *of_server.fingerprint(), true),
            of_client,
        );
        Pair {
            now,
            path: Path::Udp(SocketAddr::from(([192, 0, 2, 9], 4000))),
            client,
            server,
        }
    }

    impl Pair {
        fn ask(&mut self, from: Path) {
            let provider = crate::secure::provider();
            let crypto = provider.crypto();
            let asked = ice::request("server:client", PASSWORD, [1; 12], crypto).unwrap();
            self.server.handle(self.now, from, &asked).unwrap();
            let found = ice::request("client:server", PASSWORD, [2; 12], crypto).unwrap();
            self.client.handle(self.now, from, &found).unwrap();
        }

        /// Carries datagrams to and fro until there are none; tells how often somebody was ready.
        fn carry(&mut self) -> Result<usize, secure::Error> {
            let mut ready = 0;
            loop {
                let to_server = self.client.take_transmits();
                let to_client = self.server.take_transmits();
                if to_server.is_empty() && to_client.is_empty() {
                    return Ok(ready);
                }
                for transmit in to_server {
                    let received = self
                        .server
                        .handle(self.now, transmit.path, &transmit.bytes)?;
                    ready += usize::from(matches!(received, Received::Ready));
                }
                for transmit in to_client {
                    let received = self
                        .client
                        .handle(self.now, transmit.path, &transmit.bytes)?;
                    ready += usize::from(matches!(received, Received::Ready));
                }
            }
        }
    }

    fn packet(ssrc: u32, sequence: u16) -> Vec<u8> {
        let mut packet = Vec::new();
        rtp::write_header(&mut packet, 96, true, sequence, 0, ssrc);
        packet.extend_from_slice(b"pictures");
        packet
    }

    #[test]
    fn two_shake_hands_and_packets_go_both_ways() {
        let mut pair = pair(None);
        pair.ask(pair.path);
        assert_eq!(pair.carry().unwrap(), 2);
        let mut sealed = packet(5, 9);
        assert!(
            pair.client
                .seal_rtp(&mut sealed, 0, rtp::HEADER_BYTES, 5, 9)
        );
        let received = pair.server.handle(pair.now, pair.path, &sealed).unwrap();
        let Received::Rtp(opened) = received else {
            panic!("{received:?}");
        };
        assert_eq!(opened, packet(5, 9));
        let again = pair.server.handle(pair.now, pair.path, &sealed).unwrap();
        assert!(matches!(again, Received::Nothing), "a replay");
        assert_eq!(pair.server.forged(), 1);
        let elsewhere = Path::Udp(SocketAddr::from(([192, 0, 2, 66], 1)));
        let from_elsewhere = pair.server.handle(pair.now, elsewhere, &sealed).unwrap();
        assert!(matches!(from_elsewhere, Received::Nothing));
        assert_eq!(pair.server.forged(), 1, "not even looked at");
        pair.client.close(pair.now);
        let farewell = pair.client.take_transmits();
        let last = pair
            .server
            .handle(pair.now, pair.path, &farewell[0].bytes)
            .unwrap();
        assert!(matches!(last, Received::Closed));
    }

    #[test]
    fn somebody_with_another_certificate_is_no_peer() {
        let mut pair = pair(Some([7; 32]));
        pair.ask(pair.path);
        assert_eq!(pair.carry(), Err(secure::Error::Fingerprint));
        assert!(!pair.server.is_ready());
    }

    #[test]
    fn what_others_put_on_the_path_does_not_end_a_handshake() {
        let mut pair = pair(None);
        pair.ask(pair.path);
        let noise: Vec<u8> = (0..60).map(|n: u8| n.wrapping_mul(37)).collect();
        let broken = [&[22, 0xfe, 0xfd][..], &noise].concat();
        for to_server in pair.client.take_transmits() {
            let heard = pair.server.handle(pair.now, pair.path, &broken).unwrap();
            assert!(matches!(heard, Received::Nothing));
            let _ = pair
                .server
                .handle(pair.now, to_server.path, &to_server.bytes)
                .unwrap();
            pair.server.handle(pair.now, pair.path, &broken).unwrap();
        }
        assert_eq!(pair.carry().unwrap(), 2);
        assert!(pair.server.forged() >= 2);
    }

    #[test]
    fn nothing_is_said_to_whoever_did_not_ask_rightly() {
        let mut pair = pair(None);
        pair.client.secure.begin(pair.now).unwrap();
        let hello = pair.client.secure.poll_transmit().unwrap();
        let received = pair.server.handle(pair.now, pair.path, &hello).unwrap();
        assert!(matches!(received, Received::Nothing));
        assert!(pair.server.take_transmits().is_empty());
    }

    #[test]
    fn a_hand_that_is_not_taken_is_offered_again_and_then_withdrawn() {
        let mut pair = pair(None);
        pair.ask(pair.path);
        let first = pair.client.take_transmits();
        assert!(!first.is_empty());
        let (mut again, mut failed) = (0, false);
        for _ in 0..20 {
            let Some(at) = pair.client.poll_timeout() else {
                break;
            };
            if pair.client.handle_timeout(at).is_err() {
                failed = true;
                break;
            }
            again += pair.client.take_transmits().len();
        }
        assert!(again >= 3 && failed, "{again} {failed}");
    }

    #[test]
    fn sources_nobody_announced_are_kept_within_bounds() {
        let mut pair = pair(None);
        pair.ask(pair.path);
        pair.carry().unwrap();
        for ssrc in 0..10_000 {
            let mut forged = packet(ssrc, 1);
            forged.extend_from_slice(&[0; 16]);
            pair.server.handle(pair.now, pair.path, &forged).unwrap();
        }
        assert_eq!(pair.server.forged(), 10_000);
        assert_eq!(pair.server.strangers, STRANGERS_MAX);
    }
}
