//! A session of a peer that was let in: both sides of it, with nothing but memory between them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use sfu_core::ice::{self, Ice, Path};
use sfu_core::secure::{Credentials, Error, Secure};
use sfu_core::transport::{Received, Transport};

use crate::webrtc::credentials;

const PASSWORD: &str = "a-password-of-enough-letters";

/// Both sides. The peer has asked rightly, so its handshake is listened to.
pub(crate) struct Pairing {
    path: Path,
    pub(crate) server: Transport,
    pub(crate) peer: Transport,
    /// What the peer has said and the server has not heard.
    under_way: VecDeque<Vec<u8>>,
}

impl Pairing {
    /// Of a peer that begins the handshake, or of one that leaves it to the server.
    pub(crate) fn new(now: Instant, peer_begins: bool) -> Self {
        let path = Path::Udp(SocketAddr::from(([192, 0, 2, 9], 5000)));
        let (of_server, of_peer) = (credentials(), credentials_of_peer());
        let side = |[ours, theirs]: [&Arc<Credentials>; 2], [own, other]: [&str; 2], begins| {
            let ice = Ice::new(own.into(), PASSWORD.into(), other.into(), now);
            let secure = Secure::new(Arc::clone(ours), *theirs.fingerprint(), begins);
            Transport::new(ice, secure, Arc::clone(ours))
        };
        let mut pairing = Self {
            path,
            server: side([&of_server, &of_peer], ["server", "peer"], !peer_begins),
            peer: side([&of_peer, &of_server], ["peer", "server"], peer_begins),
            under_way: VecDeque::new(),
        };
        let provider = sfu_core::secure::provider();
        let check = ice::request("server:peer", PASSWORD, [1; 12], provider.crypto());
        let check = check.expect("short names");
        if peer_begins {
            let begun = pairing.peer.dial(now, path, check);
            begun.expect("a handshake can be begun");
        } else {
            pairing.peer.ice_mut().settle(path);
            pairing.under_way.push_back(check);
        }
        let check = pairing.next().expect("the peer asks");
        pairing.hears(now, &check).expect("a question ends nothing");
        pairing
    }

    /// A server's side with which hands were shaken.
    pub(crate) fn shaken(now: Instant) -> Transport {
        let mut pairing = Self::new(now, true);
        while let Some(datagram) = pairing.next() {
            pairing
                .hears(now, &datagram)
                .expect("both keep to the rules");
            pairing.answer(now);
        }
        assert!(pairing.server.is_ready() && pairing.peer.is_ready());
        pairing.server
    }

    /// The next datagram that the peer has said.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        let said = self.peer.take_transmits().into_iter();
        self.under_way.extend(said.map(|transmit| transmit.bytes));
        self.under_way.pop_front()
    }

    /// The server takes a datagram.
    pub(crate) fn hears(&mut self, now: Instant, datagram: &[u8]) -> Result<Received, Error> {
        self.server.handle(now, self.path, datagram)
    }

    /// The peer takes what the server says. Tells how many bytes that were.
    pub(crate) fn answer(&mut self, now: Instant) -> usize {
        let mut bytes = 0;
        for transmit in self.server.take_transmits() {
            bytes += transmit.bytes.len();
            // What it makes of answers to what it never said is its own affair.
            let _ = self.peer.handle(now, transmit.path, &transmit.bytes);
        }
        bytes
    }
}

fn credentials_of_peer() -> Arc<Credentials> {
    static ONE: OnceLock<Arc<Credentials>> = OnceLock::new();
    let made = ONE.get_or_init(|| Arc::new(Credentials::generate().expect("randomness")));
    Arc::clone(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hands_are_shaken_whoever_begins() {
        for peer_begins in [true, false] {
            let now = Instant::now();
            let mut pairing = Pairing::new(now, peer_begins);
            pairing.answer(now);
            while let Some(datagram) = pairing.next() {
                pairing
                    .hears(now, &datagram)
                    .expect("both keep to the rules");
                pairing.answer(now);
            }
            assert!(pairing.server.is_ready() && pairing.peer.is_ready());
        }
    }
}
