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
                EndpointEvent::HandshakeComplete => step = Step::Done(Box::new(self.keys()?)),
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
