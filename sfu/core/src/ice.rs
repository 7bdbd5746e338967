//! The passive half of ICE: we are found and never look (ICE-lite, RFC 8445 §2.5), over datagrams
//! and connections alike. Nothing is answered that was not signed with our password.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rtc_crypto::RTCCrypto;
use rtc_stun::attributes::{
    ATTR_ERROR_CODE, ATTR_ICE_CONTROLLED, ATTR_USE_CANDIDATE, ATTR_USERNAME,
};
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, Message, Setter as _};
use rtc_stun::xoraddr::XorMappedAddress;

/// A peer that has not asked for this long is gone (RFC 7675 §5.1).
pub const SILENT_MAX: Duration = Duration::from_secs(30);

/// Addresses that are remembered as the peer's besides the one in use: it may check several before
/// it chooses.
const CHECKED_MAX: usize = 8;

/// How the error for two who both want to be asked reads (RFC 8445 §7.3.1.1).
const ROLE_CONFLICT: &[u8] = b"\0\0\x04\x57Role Conflict";

/// A way on which datagrams come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// UDP, with the peer at this address.
    Udp(SocketAddr),
    /// A TCP connection with the peer at this address.
    Tcp(SocketAddr),
}

impl Path {
    /// The peer's address.
    pub const fn peer(self) -> SocketAddr {
        match self {
            Self::Udp(peer) | Self::Tcp(peer) => peer,
        }
    }
}

/// Our user name fragment in a binding request: who it is for.
pub fn addressee(datagram: &[u8]) -> Option<&str> {
    if !is_stun(datagram) {
        return None;
    }
    let mut rest = datagram.get(20..)?;
    while let [a, b, c, d, body @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*c, *d]));
        if u16::from_be_bytes([*a, *b]) == ATTR_USERNAME.value() {
            let name = std::str::from_utf8(body.get(..length)?).ok()?;
            return name.split(':').next();
        }
        rest = body.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// Whether a datagram is STUN (RFC 7983 §7).
pub fn is_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| *first < 4) && rtc_stun::message::is_stun_message(datagram)
}

/// What a datagram did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing: it was not for us, or not signed.
    Nothing,
    /// The peer can be reached here.
    Checked,
    /// The peer wants everything sent here from now on.
    Chosen,
}

/// One session's half.
#[derive(Debug)]
pub struct Ice {
    ufrag: String,
    password: String,
    remote_ufrag: String,
    checked: Vec<Path>,
    chosen: Option<Path>,
    heard_at: Instant,
}

impl Ice {
    /// A session that nobody has found yet.
    pub fn new(ufrag: String, password: String, remote_ufrag: String, now: Instant) -> Self {
        Self {
            ufrag,
            password,
            remote_ufrag,
            checked: Vec::new(),
            chosen: None,
            heard_at: now,
        }
    }

    /// Begins anew with other credentials; what was chosen stays in use until something else is
    /// (RFC 8445 §9). The peer has asked for it, and has as long as ever to be heard.
    pub fn restart(&mut self, now: Instant, ufrag: String, password: String, remote_ufrag: String) {
        (self.ufrag, self.password, self.remote_ufrag) = (ufrag, password, remote_ufrag);
        self.checked.clear();
        self.heard_at = now;
    }

    /// Our user name fragment.
    pub fn ufrag(&self) -> &str {
        &self.ufrag
    }

    /// Where to send to: what the peer chose, or where it was heard from until it does.
    pub fn path(&self) -> Option<Path> {
        self.chosen.or_else(|| self.checked.last().copied())
    }

    /// Whether what comes on `path` may be the peer's.
    pub fn knows(&self, path: Path) -> bool {
        self.chosen == Some(path) || self.checked.contains(&path)
    }

    /// When the peer was heard of last.
    pub const fn heard_at(&self) -> Instant {
        self.heard_at
    }

    /// Whether the peer has been silent for too long.
    pub fn is_silent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard_at) > SILENT_MAX
    }

    /// Notes that the peer sent something that only it can have sealed. Some that publish never ask
    /// again once they were answered.
    pub const fn note_heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// Forgets a connection that is closed.
    pub fn forget(&mut self, path: Path) {
        self.checked.retain(|known| *known != path);
        self.chosen = self.chosen.filter(|chosen| *chosen != path);
    }

    /// Takes a path for the peer's without being asked on it: as one who asks does.
    pub const fn settle(&mut self, path: Path) {
        self.chosen = Some(path);
    }

    /// Whether a datagram is a question to this session that only the peer can have signed.
    pub fn is_signed(&self, datagram: &[u8], crypto: &dyn RTCCrypto) -> bool {
        is_stun(datagram) && self.signed_request(datagram, crypto).is_some()
    }

    /// Takes a STUN datagram; what is to be answered, to where it came from, goes into `answer`.
    pub fn handle(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &[u8],
        crypto: &dyn RTCCrypto,
        answer: &mut Vec<u8>,
    ) -> Heard {
        let Some(request) = self.signed_request(datagram, crypto) else {
            return Heard::Nothing;
        };
        let reply = if request.contains(ATTR_ICE_CONTROLLED) {
            // We never ask, so the peer has to (RFC 8445 §6.1.1).
            self.reply(&request, crypto, |reply| {
                reply.set_type(BINDING_ERROR);
                reply.add(ATTR_ERROR_CODE, ROLE_CONFLICT);
                Some(())
            })
        } else {
            self.reply(&request, crypto, |reply| {
                reply.set_type(BINDING_SUCCESS);
                let peer = path.peer();
                let mapped = XorMappedAddress {
                    ip: peer.ip().to_canonical(),
                    port: peer.port(),
                };
                mapped.add_to(reply).ok()
            })
        };
        let Some(reply) = reply else {
            return Heard::Nothing;
        };
        answer.extend_from_slice(&reply.raw);
        if reply.typ == BINDING_ERROR {
            return Heard::Nothing;
        }
        self.heard_at = now;
        if !self.checked.contains(&path) {
            if self.checked.len() == CHECKED_MAX {
                self.checked.remove(0);
            }
            self.checked.push(path);
        }
        if request.contains(ATTR_USE_CANDIDATE) && self.chosen != Some(path) {
            self.chosen = Some(path);
            return Heard::Chosen;
        }
        Heard::Checked
    }

    fn signed_request(&self, datagram: &[u8], crypto: &dyn RTCCrypto) -> Option<Message> {
        let mut request = Message::new();
        request.raw = datagram.to_vec();
        request.decode().ok()?;
        if request.typ != BINDING_REQUEST {
            return None;
        }
        let name = request.get(ATTR_USERNAME).ok()?;
        let expected = format!("{}:{}", self.ufrag, self.remote_ufrag);
        if name != expected.as_bytes() {
            return None;
        }
        MessageIntegrity::check(&mut request, self.password.as_bytes(), crypto).ok()?;
        FINGERPRINT.check(&request).ok()?;
        Some(request)
    }

    fn reply(
        &self,
        request: &Message,
        crypto: &dyn RTCCrypto,
        fill: impl FnOnce(&mut Message) -> Option<()>,
    ) -> Option<Message> {
        let mut reply = Message::new();
        reply.transaction_id = request.transaction_id;
        reply.write_header();
        fill(&mut reply)?;
        let password = self.password.clone().into_bytes();
        let signed = MessageIntegrity::new_raw_integrity_with_provider(password, crypto);
        signed.add_to(&mut reply).ok()?;
        FINGERPRINT.add_to(&mut reply).ok()?;
        Some(reply)
    }
}

/// Writes a binding request, as one who looks for such a session does.
///
/// # Errors
/// When the names are longer than STUN can tell.
pub fn request(
    username: &str,
    password: &str,
    transaction: [u8; 12],
    crypto: &dyn RTCCrypto,
) -> Result<Vec<u8>, rtc_shared::error::Error> {
    let mut request = Message::new();
    request.transaction_id = rtc_stun::message::TransactionId(transaction);
    request.write_header();
    request.set_type(BINDING_REQUEST);
    request.add(ATTR_USERNAME, username.as_bytes());
    request.add(
        rtc_stun::attributes::ATTR_PRIORITY,
        &0x6e00_01ff_u32.to_be_bytes(),
    );
    request.add(rtc_stun::attributes::ATTR_ICE_CONTROLLING, &[0; 8]);
    request.add(ATTR_USE_CANDIDATE, &[]);
    let signed = MessageIntegrity::new_raw_integrity_with_provider(password.as_bytes(), crypto);
    signed.add_to(&mut request)?;
    FINGERPRINT.add_to(&mut request)?;
    Ok(request.raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PASSWORD: &str = "ours-ours-ours-ours-ours";

    fn session(now: Instant) -> Ice {
        Ice::new("node1".into(), PASSWORD.into(), "them".into(), now)
    }

    fn path(port: u16) -> Path {
        Path::Udp(SocketAddr::from(([192, 0, 2, 1], port)))
    }

    #[test]
    fn whoever_knows_the_password_is_answered_and_chosen() {
        let provider = crate::secure::provider();
        let crypto = provider.crypto();
        let now = Instant::now();
        let mut ice = session(now);
        let asked = request("node1:them", PASSWORD, [7; 12], crypto).unwrap();
        assert_eq!(addressee(&asked), Some("node1"));
        let mut answer = Vec::new();
        assert_eq!(
            ice.handle(now, path(5), &asked, crypto, &mut answer),
            Heard::Chosen
        );
        assert_eq!(ice.path(), Some(path(5)));
        let mut reply = Message::new();
        reply.raw = answer;
        reply.decode().unwrap();
        assert_eq!(
            (reply.typ, reply.transaction_id.0),
            (BINDING_SUCCESS, [7; 12])
        );
        assert!(MessageIntegrity::check(&mut reply, PASSWORD.as_bytes(), crypto).is_ok());
        assert!(!ice.is_silent(now + SILENT_MAX));
        assert!(ice.is_silent(now + SILENT_MAX + Duration::from_millis(1)));
    }

    #[test]
    fn nobody_else_is_answered() {
        let provider = crate::secure::provider();
        let crypto = provider.crypto();
        let now = Instant::now();
        let mut ice = session(now);
        let whole = request("node1:them", PASSWORD, [7; 12], crypto).unwrap();
        let mut broken = whole.clone();
        broken[21] ^= 1;
        for asked in [
            request("node1:they", PASSWORD, [7; 12], crypto).unwrap(),
            request("node2:them", PASSWORD, [7; 12], crypto).unwrap(),
            request("node1:them", "another password here", [7; 12], crypto).unwrap(),
            whole[..whole.len() - 8].to_vec(),
            broken,
        ] {
            let mut answer = Vec::new();
            assert!(!ice.is_signed(&asked, crypto));
            assert_eq!(
                ice.handle(now, path(5), &asked, crypto, &mut answer),
                Heard::Nothing
            );
            assert!(answer.is_empty() && ice.path().is_none());
        }
        assert!(ice.is_signed(&whole, crypto));
    }

    #[test]
    fn who_begins_anew_has_time_to_be_found_under_the_new_names_alone() {
        let provider = crate::secure::provider();
        let crypto = provider.crypto();
        let now = Instant::now();
        let mut ice = session(now);
        let old = request("node1:them", PASSWORD, [7; 12], crypto).unwrap();
        ice.handle(now, path(5), &old, crypto, &mut Vec::new());
        let later = now + SILENT_MAX;
        let password = "another of ours, and as long";
        ice.restart(later, "node2".into(), password.into(), "they".into());
        assert!(!ice.is_silent(later + SILENT_MAX));
        assert_eq!(ice.path(), Some(path(5)), "until another is chosen");
        assert!(!ice.is_signed(&old, crypto));
        let new = request("node2:they", password, [8; 12], crypto).unwrap();
        ice.handle(later, path(6), &new, crypto, &mut Vec::new());
        assert_eq!(ice.path(), Some(path(6)));
    }

    proptest! {
        #[test]
        fn any_datagram_is_taken(mut datagram in proptest::collection::vec(any::<u8>(), 0..120)) {
            let provider = crate::secure::provider();
            if datagram.len() >= 8 {
                datagram[0] &= 3;
                datagram[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
            }
            let _ = addressee(&datagram);
            let mut answer = Vec::new();
            let now = Instant::now();
            session(now).handle(now, path(1), &datagram, provider.crypto(), &mut answer);
            prop_assert!(answer.is_empty());
        }
    }
}
