//! The DTLS handshake of a session (RFC 5763), and the SRTP keys that come out of it (RFC 5764).

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use ring::digest;
use rtc_crypto::RTCCryptoProvider;
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, HandshakeConfig};
use rtc_dtls::crypto::Certificate;
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_shared::TransportProtocol;
use rtc_srtp::protection_profile::ProtectionProfile;

use crate::hello::Hello;
use crate::srtp::{Keys, Sealed};

/// How long a flight of the handshake is waited for before it is sent again.
const FLIGHT: Duration = Duration::from_millis(200);

/// What a handshake message may have, headers not counted: any path carries it.
const MTU: usize = 1200;

/// Cheapest first of those that are safe: a packet costs a third of what it does with the last.
const PROFILES: [(SrtpProtectionProfile, ProtectionProfile); 3] = [
    (
        SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
        ProtectionProfile::AeadAes128Gcm,
    ),
    (
        SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm,
        ProtectionProfile::AeadAes256Gcm,
    ),
    (
        SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
        ProtectionProfile::Aes128CmHmacSha1_80,
    ),
];

/// The one that is agreed on with whoever can do it.
const CHEAPEST: SrtpProtectionProfile = PROFILES[0].0;

/// Most datagrams, records and bytes of a handshake. An honest one has a tenth of that; the library
/// keeps what it is given.
const DATAGRAMS_MAX: u32 = 64;
const RECORDS_MAX: u32 = 256;
const BYTES_MAX: usize = 64 * 1024;

/// Content types and header length of records (RFC 6347 §4.1).
const CONTENTS: std::ops::RangeInclusive<u8> = 20..=23;
const HANDSHAKE: u8 = 22;
const RECORD_HEADER: usize = 13;

/// Header length of messages of the handshake (RFC 6347 §4.2.2).
const MESSAGE_HEADER: usize = 12;

/// Label of the keys (RFC 5764 §4.2).
const LABEL: &str = "EXTRACTOR-dtls_srtp";

/// The library tells associations apart by address; a session has one, wherever its peer is.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// Why there is no secure session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The handshake cannot be gone on with.
    #[error("the DTLS handshake failed: {0}")]
    Handshake(String),
    /// Somebody else than who made the offer shook hands.
    #[error("the certificate is not the one of the offer")]
    Fingerprint,
    /// The peer agreed to no way of sealing packets that is known.
    #[error("the peer agreed to no SRTP profile")]
    Profile,
    /// The keys cannot be had.
    #[error("no keys: {0}")]
    Keys(String),
}

/// Where cryptography comes from.
pub fn provider() -> Arc<dyn RTCCryptoProvider> {
    rtc_crypto::default_provider().expect("one is compiled in")
}

/// The certificate that every session of a process shows, and how hands are shaken with it.
pub struct Credentials {
    provider: Arc<dyn RTCCryptoProvider>,
    accept: Arc<HandshakeConfig>,
    /// For peers that can do the cheapest, though they would choose another.
    accept_cheapest: Arc<HandshakeConfig>,
    connect: Arc<HandshakeConfig>,
    fingerprint: [u8; 32],
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Credentials {
    /// Makes a certificate. Peers know it by its fingerprint alone, so nobody has to sign it.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate() -> Result<Self, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::Keys(error.to_string());
        let provider = provider();
        let certificate =
            Certificate::generate_self_signed(vec!["barrage".to_owned()], provider.crypto())
                .map_err(|error| failed(&error))?;
        let der = certificate.certificate.first().expect("one was made");
        let fingerprint = sha256(der);
        let config = |is_client, profiles: &[(SrtpProtectionProfile, ProtectionProfile)]| {
            let builder = ConfigBuilder::default()
                .with_crypto_provider(Arc::clone(&provider))
                .with_certificates(vec![certificate.clone()])
                .with_srtp_protection_profiles(profiles.iter().map(|(agreed, _)| *agreed).collect())
                .with_client_auth(ClientAuthType::RequireAnyClientCert)
                // Who it is, is known by the fingerprint.
                .with_insecure_skip_verify(true)
                .with_flight_interval(FLIGHT)
                .with_mtu(MTU);
            builder.build(is_client, Some(PEER)).map(Arc::new)
        };
        Ok(Self {
            accept: config(false, &PROFILES).map_err(|error| failed(&error))?,
            accept_cheapest: config(false, &PROFILES[..1]).map_err(|error| failed(&error))?,
            connect: config(true, &PROFILES).map_err(|error| failed(&error))?,
            provider,
            fingerprint,
        })
    }

    /// The SHA-256 of the certificate.
    pub const fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// Where cryptography comes from.
    pub fn provider(&self) -> &dyn RTCCryptoProvider {
        &*self.provider
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let hash = digest::digest(&digest::SHA256, bytes);
    hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// What came of a datagram.
#[derive(Debug)]
pub enum Step {
    /// The handshake goes on.
    Nothing,
    /// This is nothing a peer says, and was passed over.
    Broken,
    /// It is done.
    Done(Box<Sealed>),
    /// The peer has ended the session.
    Closed,
}

/// The handshake of one session.
pub struct Secure {
    credentials: Arc<Credentials>,
    endpoint: Endpoint,
    fingerprint: [u8; 32],
    we_connect: bool,
    /// The peer's first words, until they are whole.
    hello: Option<Hello>,
    spent: Spent,
}

/// What the peer has had of its handshake.
#[derive(Debug, Default)]
struct Spent {
    datagrams: u32,
    records: u32,
    bytes: usize,
    /// When hands had been shaken, and when the peer last repeated itself since.
    done_at: Option<Instant>,
    repeated_at: Option<Instant>,
}

impl Spent {
    /// Counts a datagram; tells whether it is to be looked at, or that it is too much.
    fn count(&mut self, now: Instant, datagram: &[u8]) -> Result<bool, Error> {
        let (mut records, mut shakes, mut rest) = (0, false, datagram);
        while let Some((header, body)) = rest.split_at_checked(RECORD_HEADER) {
            records += 1;
            shakes |= header[0] == HANDSHAKE;
            let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
            rest = body.get(length..).unwrap_or_default();
        }
        if self.done_at.is_some() {
            // It may have missed our last word, and say its own again.
            let lately = |at: Instant| now.saturating_duration_since(at) < FLIGHT;
            if shakes && (records > 4 || self.repeated_at.is_some_and(lately)) {
                return Ok(false);
            }
            if shakes {
                self.repeated_at = Some(now);
                self.records += records;
            }
            return Ok(self.records <= RECORDS_MAX * 2);
        }
        self.datagrams += 1;
        self.records += records;
        self.bytes += datagram.len();
        if self.datagrams > DATAGRAMS_MAX || self.records > RECORDS_MAX || self.bytes > BYTES_MAX {
            return Err(Error::Handshake("it has no end".to_owned()));
        }
        Ok(true)
    }
}

impl std::fmt::Debug for Secure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secure").finish_non_exhaustive()
    }
}

impl Secure {
    /// A session with whoever has the certificate of `fingerprint`.
    pub fn new(credentials: Arc<Credentials>, fingerprint: [u8; 32], we_connect: bool) -> Self {
        let accept = (!we_connect).then(|| Arc::clone(&credentials.accept));
        Self {
            endpoint: Endpoint::new(PEER, TransportProtocol::UDP, accept),
            credentials,
            fingerprint,
            we_connect,
            hello: (!we_connect).then(Hello::default),
            spent: Spent::default(),
        }
    }

    /// Begins the handshake, if it is ours to begin.
    ///
    /// # Errors
    /// When it cannot be begun.
    pub fn begin(&mut self, now: Instant) -> Result<(), Error> {
        if !self.we_connect || self.endpoint.get_connection_state(PEER).is_some() {
            return Ok(());
        }
        let config = Arc::clone(&self.credentials.connect);
        let begun = self.endpoint.connect(now, PEER, config, None);
        begun.map_err(|error| Error::Handshake(error.to_string()))
    }

    /// Takes a datagram of the peer.
    ///
    /// # Errors
    /// When there will be no secure session with it.
    pub fn handle(&mut self, now: Instant, datagram: &[u8]) -> Result<Step, Error> {
        if !is_well_formed(datagram) {
            return Ok(Step::Broken);
        }
        if !self.spent.count(now, datagram)? {
            return Ok(Step::Nothing);
        }
        let mut events = Ok(Vec::new());
        // The library lets the peer choose, and browsers choose what costs three times as much.
        match &mut self.hello {
            Some(hello) => {
                let Some(offered) = hello.take(datagram) else {
                    return Ok(Step::Nothing);
                };
                let held = self.hello.take().map(Hello::into_held);
                if offered.contains(&(CHEAPEST as u16)) {
                    let config = Arc::clone(&self.credentials.accept_cheapest);
                    self.endpoint.set_server_config(Some(config));
                }
                for datagram in held.unwrap_or_default() {
                    events = self
                        .endpoint
                        .read(now, PEER, None, BytesMut::from(&datagram[..]));
                }
            }
            None => {
                events = self
                    .endpoint
                    .read(now, PEER, None, BytesMut::from(datagram))
            }
        }
        let events = events.map_err(|error| Error::Handshake(error.to_string()))?;
        let mut step = Step::Nothing;
        for event in events {
            match event {
                EndpointEvent::HandshakeComplete => {
                    self.spent.done_at = Some(now);
                    step = Step::Done(Box::new(self.keys()?));
                }
                EndpointEvent::PeerClosed => return Ok(Step::Closed),
                // Data channels are not offered to anybody.
                EndpointEvent::ApplicationData(_) => {}
                _ => {}
            }
        }
        Ok(step)
    }

    fn keys(&self) -> Result<Sealed, Error> {
        let state = self.endpoint.get_connection_state(PEER);
        let state = state.ok_or_else(|| Error::Handshake("no association".to_owned()))?;
        let shown = state.peer_certificates.first().map(|der| sha256(der));
        if shown != Some(self.fingerprint) {
            return Err(Error::Fingerprint);
        }
        let agreed = state.srtp_protection_profile();
        let profile = PROFILES.iter().find(|(known, _)| *known == agreed);
        let (_, profile) = *profile.ok_or(Error::Profile)?;
        let length = 2 * (profile.key_len() + profile.salt_len());
        let material = state
            .export_keying_material(LABEL, &[], length)
            .map_err(|error| Error::Keys(error.to_string()))?;
        let material = material.into_bytes();
        let keys = Keys::split(profile, &material, self.we_connect);
        let keys = keys.ok_or_else(|| Error::Keys("too few bytes".to_owned()))?;
        let sealed = Sealed::new(&keys, self.credentials.provider.crypto());
        sealed.map_err(|error| Error::Keys(error.to_string()))
    }

    /// The next datagram for the peer.
    pub fn poll_transmit(&mut self) -> Option<BytesMut> {
        self.endpoint
            .poll_transmit()
            .map(|transmit| transmit.message)
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.endpoint.poll_timeout(&PEER)
    }

    /// Sends again what was not answered.
    ///
    /// # Errors
    /// When it was sent often enough.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if self.endpoint.get_connection_state(PEER).is_none() {
            return Ok(());
        }
        let handled = self.endpoint.handle_timeout(PEER, now);
        handled.map_err(|error| Error::Handshake(error.to_string()))
    }

    /// Tells the peer that the session is over.
    pub fn close(&mut self, now: Instant) {
        self.endpoint.stop(now, PEER);
    }
}

/// Whether a datagram is whole records, and those that nobody sealed whole fragments of a handshake.
/// Anything else can be anybody's, and is to be passed over (RFC 6347 §4.1.2.7); the library would
/// give the handshake up.
fn is_well_formed(datagram: &[u8]) -> bool {
    let mut rest = datagram;
    while !rest.is_empty() {
        let Some((header, body)) = rest.split_at_checked(RECORD_HEADER) else {
            return false;
        };
        let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
        let Some((record, after)) = body.split_at_checked(length) else {
            return false;
        };
        let is_open = header[3..5] == [0, 0];
        if !CONTENTS.contains(&header[0])
            || header[1] != 0xfe
            || (is_open && header[0] == HANDSHAKE && !are_fragments(record))
        {
            return false;
        }
        rest = after;
    }
    true
}

fn are_fragments(mut record: &[u8]) -> bool {
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
    };
    while !record.is_empty() {
        let Some((header, body)) = record.split_at_checked(MESSAGE_HEADER) else {
            return false;
        };
        let (length, at, here) = (
            number(&header[1..4]),
            number(&header[6..9]),
            number(&header[9..]),
        );
        if at + here > length || here > body.len() {
            return false;
        }
        record = &body[here..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_whole_or_passed_over() {
        let hello = [
            &[22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, 14][..],
            &[1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 7, 7],
        ];
        let hello = hello.concat();
        let sealed = [22, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 0, 2, 9, 9];
        assert!(is_well_formed(&hello) && is_well_formed(&sealed));
        assert!(is_well_formed(&[&hello[..], &sealed].concat()));
        assert!((1..hello.len()).all(|end| !is_well_formed(&hello[..end])));
        for (at, byte) in [(0, 19), (1, 3), (12, 13), (16, 1), (24, 3), (21, 1)] {
            let mut broken = hello.clone();
            broken[at] = byte;
            assert!(!is_well_formed(&broken), "{at}");
        }
    }

    #[test]
    fn a_handshake_without_end_is_given_up() {
        let now = Instant::now();
        let credentials = Arc::new(Credentials::generate().unwrap());
        let mut secure = Secure::new(credentials, [0; 32], false);
        // Fragments of one byte each of a message that never becomes whole.
        let mut datagram = Vec::new();
        for at in 1..40u8 {
            datagram.extend_from_slice(&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, at, 0, 13]);
            datagram.extend_from_slice(&[11, 0, 255, 0, 0, 9, 0, 200, at, 0, 0, 1, 7]);
        }
        let taken = (0..100)
            .take_while(|_| secure.handle(now, &datagram).is_ok())
            .count();
        assert!(taken < 10, "{taken}");
    }

    #[test]
    fn who_has_shaken_hands_may_repeat_itself_now_and_then() {
        let now = Instant::now();
        let mut spent = Spent {
            done_at: Some(now),
            ..Spent::default()
        };
        let again = [22, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0];
        assert_eq!(spent.count(now, &again), Ok(true));
        assert_eq!(spent.count(now, &again), Ok(false));
        assert_eq!(spent.count(now + FLIGHT, &again), Ok(true));
        let closed = [21, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0];
        assert_eq!(spent.count(now + FLIGHT, &closed), Ok(true));
    }
}
