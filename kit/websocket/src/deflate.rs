//! Compressed messages: permessage-deflate (RFC 7692). Every message is compressed by itself, without
//! what came before it, in both directions: a connection keeps nothing between messages, and what
//! is compressed once is good for everybody.

use bytes::{BufMut as _, Bytes};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::{Fault, frame};

/// The extension's name.
const NAME: &str = "permessage-deflate";

/// The bit of a frame's first byte which says that its message is compressed (RSV1).
pub(crate) const COMPRESSED: u8 = 0x40;

/// How a compressed message would end, and what is left off (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];

/// What was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate {
    /// How far back the client can look while inflating, as a power of two, if that is little.
    window_bits: Option<u8>,
}

impl Deflate {
    /// The first offer in a client's `Sec-WebSocket-Extensions` that can be met.
    pub fn choose(offers: &str) -> Option<Self> {
        split(offers, ',').find_map(Self::accept)
    }

    /// One offer, unless something in it is unknown, wrong, or there twice (RFC 7692 §7.1).
    fn accept(offer: &str) -> Option<Self> {
        let mut parts = split(offer, ';');
        if parts.next() != Some(NAME) {
            return None;
        }
        let mut named = Vec::new();
        let mut window_bits = None;
        for parameter in parts {
            let (name, value) = match parameter.split_once('=') {
                Some((name, value)) => (name.trim(), Some(unquoted(value.trim()))),
                None => (parameter, None),
            };
            if named.contains(&name) {
                return None;
            }
            named.push(name);
            match (name, value) {
                (
                    "server_no_context_takeover"
                    | "client_no_context_takeover"
                    | "client_max_window_bits",
                    None,
                ) => {}
                ("client_max_window_bits", Some(value)) => {
                    bits(value)?;
                }
                ("server_max_window_bits", Some(value)) => window_bits = Some(bits(value)?),
                _ => return None,
            }
        }
        Some(Self { window_bits })
    }

    /// What is answered to the offer.
    pub fn answer(self) -> String {
        let bits = self.window_bits;
        let bits = bits.map(|bits| format!("; server_max_window_bits={bits}"));
        let bits = bits.unwrap_or_default();
        format!("{NAME}; server_no_context_takeover; client_no_context_takeover{bits}")
    }

    /// Longest message that may be compressed: in a longer one, something may repeat what is
    /// farther back than the client can look.
    pub fn longest(self) -> usize {
        self.window_bits.map_or(usize::MAX, |bits| 1 << bits)
    }
}

/// The parts of a header between separators that are not in quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let is_separator = move |found| {
        quoted ^= found == '"';
        found == separator && !quoted
    };
    text.split(is_separator).map(str::trim)
}

fn unquoted(value: &str) -> &str {
    let inner = value.strip_prefix('"');
    let inner = inner.and_then(|value| value.strip_suffix('"'));
    inner.unwrap_or(value)
}

/// A window's size as a power of two, written without anything before it.
fn bits(value: &str) -> Option<u8> {
    (8..=15).find(|bits| value == bits.to_string())
}

/// Compresses a message that is one frame of [`frame`]. It comes back as it is where that makes
/// it no smaller.
pub fn compress(message: &Bytes) -> Bytes {
    let first = message[0];
    let payload = match message[1] {
        126 => &message[4..],
        127 => &message[10..],
        _ => &message[2..],
    };
    // What does not fit is no smaller.
    let mut out = Vec::with_capacity(payload.len() + TAIL.len());
    // Somebody waits for this, and the best that can be had saves a tenth more.
    let mut compress = Compress::new(Compression::fast(), false);
    let done = compress.compress_vec(payload, &mut out, FlushCompress::Sync);
    let is_whole = compress.total_in() == payload.len() as u64 && out.len() < out.capacity();
    match out.strip_suffix(&TAIL) {
        Some(body) if done.is_ok() && is_whole && body.len() < payload.len() => {
            let mut message = frame(first | COMPRESSED, body.len());
            message.put_slice(body);
            message.freeze()
        }
        _ => message.clone(),
    }
}

/// Inflates a message, to so many bytes at most.
pub(crate) fn inflate(mut message: Vec<u8>, max: usize) -> Result<Vec<u8>, Fault> {
    message.extend_from_slice(&TAIL);
    let mut inflate = Decompress::new(false);
    let mut out = vec![0; (message.len() * 4).min(max + 1)];
    let (mut read, mut written) = (0, 0);
    loop {
        let before = (inflate.total_in(), inflate.total_out());
        let status = inflate
            .decompress(&message[read..], &mut out[written..], FlushDecompress::None)
            .map_err(|_| Fault::Garbled)?;
        // Neither is longer than what there is.
        let took = (inflate.total_in() - before.0) as usize;
        let gave = (inflate.total_out() - before.1) as usize;
        (read, written) = (read + took, written + gave);
        if written > max {
            return Err(Fault::TooLong);
        }
        if written == out.len() {
            out.resize((written * 2).max(256).min(max + 1), 0);
        } else if read == message.len() || (took, gave) == (0, 0) {
            break;
        }
        // A block that says it is the last is followed by others all the same (RFC 7692 §7.2.3.4).
        if status == Status::StreamEnd {
            inflate.reset(false);
        }
    }
    out.truncate(written);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_offer_that_can_be_met_is_taken() {
        let window = |window_bits| Some(Deflate { window_bits });
        for (offers, chosen) in [
            ("permessage-deflate", window(None)),
            ("permessage-deflate; client_max_window_bits", window(None)),
            (
                "permessage-deflate;client_max_window_bits=8 ; server_max_window_bits = \"12\"",
                window(Some(12)),
            ),
            (
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
                window(None),
            ),
            // What cannot be met is passed over.
            (
                "x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=7, permessage-deflate; server_max_window_bits=9, permessage-deflate",
                window(Some(9)),
            ),
            ("", None),
            ("permessage-bzip2", None),
            ("x; y=\"a, permessage-deflate, b\"", None),
            ("permessage-deflate; mode=fast", None),
            ("permessage-deflate; server_max_window_bits", None),
            ("permessage-deflate; server_max_window_bits=16", None),
            ("permessage-deflate; server_max_window_bits=08", None),
            ("permessage-deflate; server_max_window_bits=+9", None),
            ("permessage-deflate; client_max_window_bits=", None),
            ("permessage-deflate; client_max_window_bits=99", None),
            ("permessage-deflate; server_no_context_takeover=1", None),
            ("permessage-deflate; client_no_context_takeover=true", None),
            (
                "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
                None,
            ),
            ("permessage-deflate;", None),
        ] {
            assert_eq!(Deflate::choose(offers), chosen, "{offers}");
        }
        let answer = Deflate::choose("permessage-deflate; server_max_window_bits=10").unwrap();
        assert_eq!(
            answer.answer(),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10"
        );
        assert_eq!(answer.longest(), 1024);
    }

    #[test]
    fn a_bomb_is_inflated_to_the_limit_and_no_further() {
        let mut bomb = Vec::with_capacity(1 << 20);
        let mut compress = Compress::new(Compression::best(), false);
        let zeros = vec![0; 64 << 20];
        compress
            .compress_vec(&zeros, &mut bomb, FlushCompress::Sync)
            .unwrap();
        assert!(bomb.len() < 100_000, "{}", bomb.len());
        assert_eq!(inflate(bomb, 8192), Err(Fault::TooLong));
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        // RFC 7692 §7.2.3.1, §7.2.3.3 (no compression), §7.2.3.4 (a last block), §7.2.3.5 (two blocks).
        for example in [
            &[0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00][..],
            &[
                0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00,
            ],
            &[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00],
            &[
                0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00,
            ],
        ] {
            assert_eq!(inflate(example.to_vec(), 5), Ok(b"Hello".to_vec()));
            assert_eq!(inflate(example.to_vec(), 4), Err(Fault::TooLong));
        }
        // Nothing, which is one byte (§7.2.3.6).
        assert_eq!(inflate(vec![0], 0), Ok(Vec::new()));
        assert_eq!(inflate(vec![0xFF, 0xFF], 100), Err(Fault::Garbled));
    }

    /// Text that repeats itself now and then.
    fn texts() -> impl Strategy<Value = Vec<u8>> {
        let words = prop::collection::vec("[a-e]{1,9}|弹幕| {1,40}", 0..400);
        words.prop_map(|words| words.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn what_is_compressed_is_smaller_or_as_it_was(
            payload in prop_oneof![texts(), prop::collection::vec(any::<u8>(), 0..3_000)],
        ) {
            let mut plain = frame(0x81, payload.len());
            plain.put_slice(&payload);
            let plain = plain.freeze();
            let message = compress(&plain);
            prop_assert!(message.len() <= plain.len());
            if message[0] & COMPRESSED == 0 {
                prop_assert_eq!(message, plain);
                return Ok(());
            }
            let head = if message[1] == 126 { 4 } else { 2 };
            let max = payload.len();
            prop_assert_eq!(inflate(message[head..].to_vec(), max).unwrap(), payload);
            prop_assert_eq!(inflate(message[head..].to_vec(), max - 1), Err(Fault::TooLong));
        }
    }
}
