//! The three packets each side sends before the first chunk.
//!
//! The server answers both kinds of client: those that expect an echo (FFmpeg, OBS), and those that
//! sign their packet with a digest, in either of the two places a digest can stand (Flash, some
//! hardware encoders). What the client sends last is not checked: no server does, and encoders get
//! it wrong. The client here makes the simple handshake alone.
//!
//! The random bytes keep nothing secret; they fill packets that must not repeat.

use bytes::{BufMut, BytesMut};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// The version that is not encrypted.
const VERSION: u8 = 3;
/// How long each packet is, but for the version byte in front of the first.
pub const PACKET_BYTES: usize = 1536;
const DIGEST_BYTES: usize = 32;

/// What the client signs with.
const CLIENT_KEY: &[u8] = b"Genuine Adobe Flash Player 001";
/// What the server signs with; the client checks the last packet against the longer form.
const SERVER_KEY: &[u8] = b"Genuine Adobe Flash Media Server 001";
const KEY_TAIL: [u8; 32] = [
    0xF0, 0xEE, 0xC2, 0x4A, 0x80, 0x68, 0xBE, 0xE8, 0x2E, 0x00, 0xD0, 0xD1, 0x02, 0x9E, 0x7E, 0x57,
    0x6E, 0xEC, 0x5D, 0x2D, 0x29, 0x80, 0x6F, 0xAB, 0x93, 0xB8, 0xE6, 0x36, 0xCF, 0xEB, 0x31, 0xAE,
];
/// Any version but zero tells the client that the answer is signed; this one is a Flash server's.
const SIGNED_SERVER_VERSION: [u8; 4] = [4, 5, 0, 1];

/// Where the offset of the digest stands, one for each scheme.
const OFFSETS_AT: [usize; 2] = [8, 772];
/// The offset is a sum of four bytes, modulo what leaves room for the digest.
const OFFSET_MODULUS: usize = 728;

/// Why a peer does not speak RTMP.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The first byte is not the version.
    #[error("not RTMP: the first byte is {0:#04x} and not {VERSION:#04x}")]
    Version(u8),
}

/// How far a handshake has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More bytes are needed.
    Going,
    /// Chunks follow.
    Done,
}

/// The server's side.
#[derive(Debug)]
pub struct Server {
    received: BytesMut,
    random: Random,
    answered: bool,
}

impl Server {
    /// A handshake that waits for the client.
    pub fn new(seed: [u8; 32]) -> Self {
        Self {
            received: BytesMut::new(),
            random: Random::new(seed),
            answered: false,
        }
    }

    /// Takes from the front of `input` what belongs to the handshake, and appends the answer to
    /// `out` when it is due.
    pub fn read(&mut self, input: &mut &[u8], out: &mut BytesMut) -> Result<Progress, Error> {
        if !self.answered {
            take(&mut self.received, input, 1 + PACKET_BYTES);
            match self.received.first() {
                Some(&VERSION) | None => {}
                Some(&other) => return Err(Error::Version(other)),
            }
            let Some(c1) = packet(&self.received, 1) else {
                return Ok(Progress::Going);
            };
            self.random.answer(c1, out);
            self.received.clear();
            self.answered = true;
        }
        take(&mut self.received, input, PACKET_BYTES);
        if self.received.len() < PACKET_BYTES {
            return Ok(Progress::Going);
        }
        self.received = BytesMut::new();
        Ok(Progress::Done)
    }
}

/// The client's side, simple.
#[derive(Debug)]
pub struct Client {
    received: BytesMut,
}

impl Client {
    /// Appends what the client sends first to `out`.
    pub fn new(seed: [u8; 32], out: &mut BytesMut) -> Self {
        let mut c1 = [0; PACKET_BYTES];
        Random::new(seed).fill(&mut c1[8..]);
        out.put_u8(VERSION);
        out.put_slice(&c1);
        Self {
            received: BytesMut::new(),
        }
    }

    /// Takes from the front of `input` what belongs to the handshake, and appends the answer to
    /// `out` when it is due.
    pub fn read(&mut self, input: &mut &[u8], out: &mut BytesMut) -> Result<Progress, Error> {
        take(&mut self.received, input, 1 + 2 * PACKET_BYTES);
        match self.received.first() {
            Some(&VERSION) | None => {}
            Some(&other) => return Err(Error::Version(other)),
        }
        if self.received.len() < 1 + 2 * PACKET_BYTES {
            return Ok(Progress::Going);
        }
        if let Some(s1) = packet(&self.received, 1) {
            out.put_slice(s1);
        }
        self.received = BytesMut::new();
        Ok(Progress::Done)
    }
}

/// Moves bytes until `to` holds `up_to` of them.
fn take(to: &mut BytesMut, input: &mut &[u8], up_to: usize) {
    let taken = up_to.saturating_sub(to.len()).min(input.len());
    let (head, rest) = input.split_at(taken);
    to.extend_from_slice(head);
    *input = rest;
}

fn packet(bytes: &[u8], at: usize) -> Option<&[u8; PACKET_BYTES]> {
    bytes.get(at..)?.first_chunk()
}

/// Where the digest stands in a packet, by the scheme whose offset begins at `offset_at`.
fn digest_at(packet: &[u8; PACKET_BYTES], offset_at: usize) -> usize {
    let sum: usize = packet[offset_at..offset_at + 4]
        .iter()
        .map(|byte| usize::from(*byte))
        .sum();
    offset_at + 4 + sum % OFFSET_MODULUS
}

/// The digest over a packet but for the place of the digest itself.
fn digest(packet: &[u8; PACKET_BYTES], at: usize, key: &[u8]) -> [u8; DIGEST_BYTES] {
    hmac(key, &[&packet[..at], &packet[at + DIGEST_BYTES..]])
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; DIGEST_BYTES] {
    let mut mac =
        <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The scheme and the digest of a packet that is signed with `key`.
fn find_digest(packet: &[u8; PACKET_BYTES], key: &[u8]) -> Option<(usize, [u8; DIGEST_BYTES])> {
    OFFSETS_AT.into_iter().find_map(|offset_at| {
        let at = digest_at(packet, offset_at);
        let expected = digest(packet, at, key);
        (packet[at..at + DIGEST_BYTES] == expected).then_some((offset_at, expected))
    })
}

/// Bytes out of a seed, as many as are wanted.
#[derive(Debug)]
struct Random {
    seed: [u8; 32],
    counter: u64,
}

impl Random {
    const fn new(seed: [u8; 32]) -> Self {
        Self { seed, counter: 0 }
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(DIGEST_BYTES) {
            let block = Sha256::new()
                .chain_update(self.seed)
                .chain_update(self.counter.to_be_bytes());
            part.copy_from_slice(&block.finalize()[..part.len()]);
            self.counter += 1;
        }
    }

    /// The server's three packets in answer to the client's first.
    fn answer(&mut self, c1: &[u8; PACKET_BYTES], out: &mut BytesMut) {
        let mut s1 = [0; PACKET_BYTES];
        self.fill(&mut s1[8..]);
        let mut s2 = *c1;
        // A client that does not sign says so by the version zero, or does not know any better.
        let signed = if c1[4..8] == [0; 4] {
            None
        } else {
            find_digest(c1, CLIENT_KEY)
        };
        if let Some((offset_at, client_digest)) = signed {
            s1[4..8].copy_from_slice(&SIGNED_SERVER_VERSION);
            let at = digest_at(&s1, offset_at);
            let signature = digest(&s1, at, SERVER_KEY);
            s1[at..at + DIGEST_BYTES].copy_from_slice(&signature);

            self.fill(&mut s2);
            let key = hmac(&[SERVER_KEY, &KEY_TAIL].concat(), &[&client_digest]);
            let (body, signature) = s2.split_at_mut(PACKET_BYTES - DIGEST_BYTES);
            signature.copy_from_slice(&hmac(&key, &[body]));
        }
        out.reserve(1 + 2 * PACKET_BYTES);
        out.put_u8(VERSION);
        out.put_slice(&s1);
        out.put_slice(&s2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: [u8; 32] = [7; 32];

    /// A first packet as a client that signs makes it, by either scheme.
    fn signed_c1(offset_at: usize) -> [u8; PACKET_BYTES] {
        let mut c1 = [0; PACKET_BYTES];
        Random::new([9; 32]).fill(&mut c1);
        c1[4..8].copy_from_slice(&[128, 0, 7, 2]);
        let at = digest_at(&c1, offset_at);
        let signature = digest(&c1, at, CLIENT_KEY);
        c1[at..at + DIGEST_BYTES].copy_from_slice(&signature);
        c1
    }

    fn answer_to(c1: &[u8; PACKET_BYTES]) -> (Server, BytesMut) {
        let mut server = Server::new(SEED);
        let mut out = BytesMut::new();
        let first = [&[VERSION], &c1[..]].concat();
        assert_eq!(server.read(&mut &first[..], &mut out), Ok(Progress::Going));
        assert_eq!(out.len(), 1 + 2 * PACKET_BYTES);
        (server, out)
    }

    #[test]
    fn client_and_server_shake_hands_one_byte_at_a_time() {
        let mut to_server = BytesMut::new();
        let mut client = Client::new([1; 32], &mut to_server);
        let mut server = Server::new(SEED);
        let mut to_client = BytesMut::new();
        for byte in to_server.split().chunks(1) {
            assert_eq!(
                server.read(&mut &*byte, &mut to_client),
                Ok(Progress::Going)
            );
        }
        let mut progress = Progress::Going;
        for byte in to_client.split().chunks(1) {
            progress = client.read(&mut &*byte, &mut to_server).unwrap();
        }
        assert_eq!(progress, Progress::Done);
        assert_eq!(to_server.len(), PACKET_BYTES);
        to_server.put_slice(b"chunks");
        let mut input = &to_server[..];
        assert_eq!(server.read(&mut input, &mut to_client), Ok(Progress::Done));
        assert_eq!((input, to_client.len()), (&b"chunks"[..], 0));
    }

    #[test]
    fn a_client_that_does_not_sign_gets_its_packet_back() {
        let mut c1 = [0; PACKET_BYTES];
        c1[8..].fill(3);
        let (_, out) = answer_to(&c1);
        assert_eq!(packet(&out, 1 + PACKET_BYTES), Some(&c1));
        // A version alone is no signature.
        c1[4..8].copy_from_slice(&[9, 0, 124, 2]);
        let (_, out) = answer_to(&c1);
        assert_eq!(packet(&out, 1 + PACKET_BYTES), Some(&c1));
    }

    #[test]
    fn a_client_that_signs_gets_an_answer_signed_by_the_same_scheme() {
        for offset_at in OFFSETS_AT {
            let c1 = signed_c1(offset_at);
            let (_, out) = answer_to(&c1);
            let s1 = packet(&out, 1).unwrap();
            assert_eq!(
                find_digest(s1, SERVER_KEY).map(|(scheme, _)| scheme),
                Some(offset_at)
            );
            let s2 = packet(&out, 1 + PACKET_BYTES).unwrap();
            let (_, client_digest) = find_digest(&c1, CLIENT_KEY).unwrap();
            let key = hmac(&[SERVER_KEY, &KEY_TAIL].concat(), &[&client_digest]);
            let (body, signature) = s2.split_at(PACKET_BYTES - DIGEST_BYTES);
            assert_eq!(signature, hmac(&key, &[body]));
        }
    }

    #[test]
    fn a_digest_fits_the_packet_wherever_its_offset_points() {
        let mut c1 = [0xFF; PACKET_BYTES];
        for offset_at in OFFSETS_AT {
            for sum in 0..=1020usize {
                for (i, byte) in c1[offset_at..offset_at + 4].iter_mut().enumerate() {
                    *byte = u8::try_from((sum / 4) + usize::from(sum % 4 > i)).unwrap_or(0xFF);
                }
                assert!(digest_at(&c1, offset_at) + DIGEST_BYTES <= PACKET_BYTES);
            }
        }
    }

    #[test]
    fn what_is_not_rtmp_is_refused_at_its_first_byte() {
        let mut out = BytesMut::new();
        let mut server = Server::new(SEED);
        assert_eq!(
            server.read(&mut &b"GET / HTTP/1.1"[..], &mut out),
            Err(Error::Version(b'G'))
        );
        let mut server = Server::new(SEED);
        assert_eq!(server.read(&mut &[6][..], &mut out), Err(Error::Version(6)));
        assert!(out.is_empty());
    }
}
