//! Packets sealed and opened (RFC 3711; with AES-GCM, RFC 7714).
//!
//! What goes out to many is sealed where it stands, in the buffer that it is sent from. The rest is
//! left to the library.

use bytes::BytesMut;
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rtc_crypto::{BlockCipherAlgorithm, RTCCrypto};
use rtc_shared::error::{Error, Result};
use rtc_srtp::context::Context;
use rtc_srtp::option::{srtcp_replay_protection, srtp_replay_protection};
use rtc_srtp::protection_profile::ProtectionProfile;

/// Packets behind the newest that are still taken; older ones count as replayed.
const REPLAY_WINDOW: usize = 1024;

/// Bytes of the tag that AES-GCM adds.
pub const GCM_TAG_BYTES: usize = 16;

/// Most bytes that sealing adds to a packet.
pub const OVERHEAD_MAX: usize = GCM_TAG_BYTES + 4;

const GCM_SALT_BYTES: usize = 12;

/// Labels of the keys that are derived (RFC 3711 §4.3.2).
const LABEL_ENCRYPTION: u8 = 0;
const LABEL_SALT: u8 = 2;

/// The master keys of a session.
pub struct Keys<'a> {
    profile: ProtectionProfile,
    local_key: &'a [u8],
    local_salt: &'a [u8],
    remote_key: &'a [u8],
    remote_salt: &'a [u8],
}

impl<'a> Keys<'a> {
    /// Splits keying material (RFC 5764 §4.2): keys of client and server, then their salts.
    pub fn split(profile: ProtectionProfile, material: &'a [u8], client: bool) -> Option<Self> {
        let (key, salt) = (profile.key_len(), profile.salt_len());
        let (client_key, rest) = material.split_at_checked(key)?;
        let (server_key, rest) = rest.split_at_checked(key)?;
        let (client_salt, rest) = rest.split_at_checked(salt)?;
        let (server_salt, _) = rest.split_at_checked(salt)?;
        let of_client = (client_key, client_salt);
        let of_server = (server_key, server_salt);
        let (local, remote) = if client {
            (of_client, of_server)
        } else {
            (of_server, of_client)
        };
        Some(Self {
            profile,
            local_key: local.0,
            local_salt: local.1,
            remote_key: remote.0,
            remote_salt: remote.1,
        })
    }
}

/// Both directions of a session.
pub struct Sealed {
    gcm: Option<Gcm>,
    outbound: Context,
    inbound: Context,
    profile: ProtectionProfile,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealed")
            .field("gcm", &self.gcm.is_some())
            .finish_non_exhaustive()
    }
}

impl Sealed {
    /// What packets are sealed with.
    pub const fn cipher(&self) -> &'static str {
        match self.profile {
            ProtectionProfile::AeadAes128Gcm => "AES-128-GCM",
            ProtectionProfile::AeadAes256Gcm => "AES-256-GCM",
            // The last that is agreed on.
            ProtectionProfile::Aes128CmHmacSha1_80 | _ => "AES-128-CM with HMAC-SHA1",
        }
    }

    /// With these keys.
    ///
    /// # Errors
    /// When they are not what the profile demands.
    pub fn new(keys: &Keys<'_>, crypto: &dyn RTCCrypto) -> Result<Self> {
        let outbound = Context::new(
            keys.local_key,
            keys.local_salt,
            keys.profile,
            None,
            None,
            crypto,
        )?;
        let inbound = Context::new(
            keys.remote_key,
            keys.remote_salt,
            keys.profile,
            Some(srtp_replay_protection(REPLAY_WINDOW)),
            Some(srtcp_replay_protection(REPLAY_WINDOW)),
            crypto,
        )?;
        Ok(Self {
            gcm: Gcm::new(keys, crypto)?,
            outbound,
            inbound,
            profile: keys.profile,
        })
    }

    /// Seals the packet that begins at `start` of `buffer` and has its payload from `payload` on.
    /// `index` is its sequence number without wraps.
    ///
    /// # Errors
    /// When the keys have sealed all they may.
    pub fn seal_rtp(
        &mut self,
        buffer: &mut Vec<u8>,
        start: usize,
        payload: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<()> {
        if let Some(gcm) = &self.gcm {
            return gcm.seal(buffer, start, payload, ssrc, index);
        }
        let sealed = self.outbound.encrypt_rtp(&buffer[start..])?;
        buffer.truncate(start);
        buffer.extend_from_slice(&sealed);
        Ok(())
    }

    /// Seals a compound of reports.
    ///
    /// # Errors
    /// When it is none, or the keys have sealed all they may.
    pub fn seal_rtcp(&mut self, reports: &[u8]) -> Result<BytesMut> {
        self.outbound.encrypt_rtcp(reports)
    }

    /// Opens a packet. Its source must be one that is known: each has a state of its own from the
    /// first packet on, sealed rightly or not.
    ///
    /// # Errors
    /// When it was sealed by somebody else, or has come before.
    pub fn open_rtp(&mut self, packet: &[u8]) -> Result<BytesMut> {
        self.inbound.decrypt_rtp(packet)
    }

    /// Opens a compound of reports.
    ///
    /// # Errors
    /// As of packets.
    pub fn open_rtcp(&mut self, reports: &[u8]) -> Result<BytesMut> {
        self.inbound.decrypt_rtcp(reports)
    }
}

/// AES-GCM in place.
struct Gcm {
    key: LessSafeKey,
    salt: [u8; GCM_SALT_BYTES],
}

impl Gcm {
    fn new(keys: &Keys<'_>, crypto: &dyn RTCCrypto) -> Result<Option<Self>> {
        if !matches!(
            keys.profile,
            ProtectionProfile::AeadAes128Gcm | ProtectionProfile::AeadAes256Gcm
        ) {
            return Ok(None);
        }
        let algorithm = match keys.local_key.len() {
            16 => &AES_128_GCM,
            _ => &AES_256_GCM,
        };
        let mut key = [0; 32];
        let key = &mut key[..keys.local_key.len()];
        derive(keys, LABEL_ENCRYPTION, key, crypto)?;
        let mut salt = [0; GCM_SALT_BYTES];
        derive(keys, LABEL_SALT, &mut salt, crypto)?;
        let key = UnboundKey::new(algorithm, key).map_err(failed)?;
        Ok(Some(Self {
            key: LessSafeKey::new(key),
            salt,
        }))
    }

    fn seal(
        &self,
        buffer: &mut Vec<u8>,
        start: usize,
        payload: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<()> {
        // RFC 7714 §8.1: two zero bytes, source, roll-over counter, sequence number.
        let mut nonce = [0; GCM_SALT_BYTES];
        nonce[2..6].copy_from_slice(&ssrc.to_be_bytes());
        nonce[6..].copy_from_slice(&index.to_be_bytes()[2..]);
        for (byte, salt) in nonce.iter_mut().zip(self.salt) {
            *byte ^= salt;
        }
        let (header, body) = buffer[start..].split_at_mut(payload - start);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(&*header), body);
        let tag = sealed.map_err(failed)?;
        buffer.extend_from_slice(tag.as_ref());
        Ok(())
    }
}

fn failed(error: ring::error::Unspecified) -> Error {
    Error::Crypto(error.to_string())
}

/// Derives a session key (RFC 3711 §4.3.3, RFC 6188 §3): the cipher run over a counter.
fn derive(keys: &Keys<'_>, label: u8, out: &mut [u8], crypto: &dyn RTCCrypto) -> Result<()> {
    let cipher = match keys.local_key.len() {
        16 => BlockCipherAlgorithm::Aes128,
        _ => BlockCipherAlgorithm::Aes256,
    };
    let mut input = [0; 16];
    let salt = &keys.local_salt[..keys.local_salt.len().min(14)];
    input[..salt.len()].copy_from_slice(salt);
    input[7] ^= label;
    for (counter, piece) in (0u8..).zip(out.chunks_mut(16)) {
        let mut block = input;
        block[15] = counter;
        let encrypted = crypto.block_encrypt(cipher, keys.local_key, &mut block);
        encrypted.map_err(|error| Error::Crypto(error.to_string()))?;
        piece.copy_from_slice(&block[..piece.len()]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp;

    fn pair(profile: ProtectionProfile) -> (Sealed, Sealed) {
        let provider = crate::secure::provider();
        let length = 2 * (profile.key_len() + profile.salt_len());
        let material: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
        let [client, server] = [true, false].map(|client| {
            let keys = Keys::split(profile, &material, client).unwrap();
            Sealed::new(&keys, provider.crypto()).unwrap()
        });
        (client, server)
    }

    fn packet(sequence: u16) -> Vec<u8> {
        let mut packet = vec![0xff; 3];
        rtp::write_header(&mut packet, 96, true, sequence, 1234, 0xcafe);
        packet.extend_from_slice(b"pictures");
        packet
    }

    /// What is sealed here is opened by the library, over the wraps of sequence numbers.
    #[test]
    fn what_one_seals_the_other_opens_and_only_once() {
        for profile in [
            ProtectionProfile::AeadAes128Gcm,
            ProtectionProfile::AeadAes256Gcm,
            ProtectionProfile::Aes128CmHmacSha1_80,
        ] {
            let (mut client, mut server) = pair(profile);
            for index in 65_533u64..65_540 {
                let sequence = u16::try_from(index & 0xffff).unwrap();
                let mut buffer = packet(sequence);
                let plain = buffer[3..].to_vec();
                client
                    .seal_rtp(&mut buffer, 3, 3 + rtp::HEADER_BYTES, 0xcafe, index)
                    .unwrap();
                assert_eq!(
                    server.open_rtp(&buffer[3..]).unwrap(),
                    plain,
                    "{profile:?} {index}"
                );
                assert!(server.open_rtp(&buffer[3..]).is_err(), "a replay");
                let mut forged = packet(sequence.wrapping_add(100));
                forged.extend_from_slice(&[0; 16]);
                assert!(server.open_rtp(&forged[3..]).is_err());
            }
            let report = [0x80, 201, 0, 1, 0, 0, 0, 7];
            let sealed = server.seal_rtcp(&report).unwrap();
            assert_eq!(client.open_rtcp(&sealed).unwrap(), &report[..]);
            assert!(client.open_rtcp(&sealed).is_err(), "a replay");
        }
    }
}
