//! A conversation heard in every way that it can be cut up, and the ways to break the rules.

use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;

use super::*;

const MESSAGE_MAX: usize = 4_000;

const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// A frame as clients send it.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = frame(first, payload.len());
    out[1] |= 0x80;
    out.put_slice(&MASK);
    let bytes = payload.iter().zip(MASK.iter().cycle());
    out.extend(bytes.map(|(byte, mask)| byte ^ mask));
    out.to_vec()
}

fn deflated(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() * 2 + 100);
    Compress::new(Compression::default(), false)
        .compress_vec(payload, &mut out, FlushCompress::Sync)
        .unwrap();
    out.truncate(out.len() - 4);
    out
}

/// Everything heard of what came in these pieces, and how it ended if it did.
fn heard<'a>(
    inflates: bool,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Message>, Option<u16>) {
    let mut conversation = Conversation::new(MESSAGE_MAX).inflating(inflates);
    let mut messages = Vec::new();
    for piece in pieces {
        conversation.push(piece);
        loop {
            match conversation.hear() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(Over) => return (messages, closed(&conversation.said())),
            }
        }
    }
    (messages, None)
}

/// The code of the close frame that is the last thing said.
fn closed(said: &[u8]) -> Option<u16> {
    let at = said.iter().rposition(|byte| *byte == 0x88)?;
    let code = said.get(at + 2..at + 4)?;
    Some(u16::from_be_bytes([code[0], code[1]]))
}

#[test]
fn a_message_in_endless_pieces_of_nothing_is_too_long() {
    let begin = masked(0x01, b"{");
    let nothing = masked(0x00, b"").repeat(100);
    let pieces = std::iter::once(&begin[..]).chain(std::iter::repeat(&nothing[..]));
    assert_eq!(heard(false, pieces), (Vec::new(), Some(1009)));
    // Pieces of a byte each are slow, and allowed.
    let text = [b'a'; MESSAGE_MAX];
    let mut frames = masked(0x01, b"");
    for byte in text {
        frames.extend(masked(0x00, &[byte]));
    }
    frames.extend(masked(0x80, b""));
    let pieces = frames.chunks(64);
    assert_eq!(heard(false, pieces).0.len(), 1);
}

/// What a peer says: text or not, compressed or not, and where it is cut into frames.
#[derive(Clone, Debug)]
struct Part {
    text: bool,
    compressed: bool,
    payload: Vec<u8>,
    cuts: Vec<prop::sample::Index>,
    ping: Option<u8>,
}

impl Part {
    /// Its frames, with a ping between any two if there is one.
    fn frames(&self) -> Vec<u8> {
        let body = if self.compressed {
            deflated(&self.payload)
        } else {
            self.payload.clone()
        };
        let mut cuts: Vec<usize> = self
            .cuts
            .iter()
            .map(|cut| cut.index(body.len() + 1))
            .collect();
        cuts.sort_unstable();
        cuts.push(body.len());
        let mut first = if self.text { 1 } else { 2 };
        if self.compressed {
            first |= 0x40;
        }
        let (mut out, mut from) = (Vec::new(), 0);
        for (number, to) in cuts.iter().enumerate() {
            let is_last = number + 1 == cuts.len();
            let fin = if is_last { 0x80 } else { 0 };
            out.extend(masked(first | fin, &body[from..*to]));
            if let (Some(ping), false) = (self.ping, is_last) {
                out.extend(masked(0x89, &[ping]));
            }
            (first, from) = (0, *to);
        }
        out
    }

    fn messages(&self) -> Vec<Message> {
        let ping = |ping: u8| Message::Ping(vec![ping].into());
        let pings = self.ping.into_iter().map(ping);
        let mut messages: Vec<Message> = pings.cycle().take(self.cuts.len()).collect();
        messages.push(if self.text {
            Message::text(String::from_utf8(self.payload.clone()).unwrap())
        } else {
            Message::binary(self.payload.clone())
        });
        messages
    }
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let payload = prop_oneof![
        "[a-c弹]{0,300}".prop_map(String::into_bytes),
        prop::collection::vec(Just(b'x'), 0..MESSAGE_MAX),
    ];
    let cuts = prop::collection::vec(any::<prop::sample::Index>(), 0..5);
    let part = (
        any::<bool>(),
        any::<bool>(),
        payload,
        cuts,
        any::<Option<u8>>(),
    );
    let part = part.prop_map(|(text, compressed, payload, cuts, ping)| Part {
        text,
        compressed,
        payload,
        cuts,
        ping,
    });
    prop::collection::vec(part, 1..6)
}

proptest! {
    #[test]
    fn what_is_said_is_heard_however_it_is_cut(
        parts in parts(),
        splits in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let bytes: Vec<u8> = parts.iter().flat_map(Part::frames).collect();
        let expected: Vec<Message> = parts.iter().flat_map(Part::messages).collect();
        let mut splits: Vec<usize> = splits.iter().map(|at| at.index(bytes.len())).collect();
        splits.extend([0, bytes.len()]);
        splits.sort_unstable();
        let pieces = splits.windows(2).map(|ends| &bytes[ends[0]..ends[1]]);
        prop_assert_eq!(heard(true, pieces), (expected.clone(), None));
        prop_assert_eq!(heard(true, bytes.chunks(1)), (expected.clone(), None));
        // Who agreed on nothing is told so at the first compressed message.
        if !parts.iter().any(|part| part.compressed) {
            prop_assert_eq!(heard(false, [&bytes[..]]), (expected, None));
        } else {
            prop_assert_eq!(heard(false, [&bytes[..]]).1, Some(1002));
        }
    }

    #[test]
    fn any_bytes_are_survived_and_their_cuts_make_no_difference(
        bytes in prop::collection::vec(
            prop_oneof![any::<u8>(), prop::sample::select(vec![0x01, 0x81, 0xC1, 0x41, 0x80, 0x00, 0x85])],
            0..300,
        ),
        inflates: bool,
    ) {
        let whole = heard(inflates, [&bytes[..]]);
        prop_assert_eq!(&heard(inflates, bytes.chunks(1)), &whole);
        prop_assert_eq!(&heard(inflates, bytes.chunks(7)), &whole);
    }
}

#[test]
fn who_breaks_the_rules_is_told_which() {
    let compressed = deflated(&[b'x'; 2_000]);
    let (half, other) = compressed.split_at(compressed.len() / 2);
    let unmasked = {
        let mut out = frame(0xC1, compressed.len());
        out.put_slice(&compressed);
        out.to_vec()
    };
    let bomb = deflated(&vec![0; 100_000]);
    let empty = [0, 0, 0, 0xFF, 0xFF].repeat(400);
    let cases: &[(&str, u16, Vec<u8>)] = &[
        ("a compressed frame without a mask", 1002, unmasked),
        ("RSV2", 1002, masked(0xA1, b"x")),
        ("RSV3 on a compressed one", 1002, masked(0xD1, &compressed)),
        ("a compressed ping", 1002, masked(0xC9, b"x")),
        ("a continuation of nothing", 1002, masked(0x80, b"x")),
        (
            "a compressed continuation of nothing",
            1002,
            masked(0xC0, half),
        ),
        (
            "RSV1 on a continuation",
            1002,
            [masked(0x41, half), masked(0xC0, other)].concat(),
        ),
        (
            "text within a compressed message",
            1002,
            [masked(0x41, half), masked(0x81, b"x")].concat(),
        ),
        (
            "a compressed message within another",
            1002,
            [masked(0x41, half), masked(0xC1, &compressed)].concat(),
        ),
        (
            "a compressed message within a plain one",
            1002,
            [masked(0x01, b"x"), masked(0xC1, &compressed)].concat(),
        ),
        ("an opcode that is none", 1002, masked(0x83, b"x")),
        ("a control opcode that is none", 1002, masked(0x8B, b"x")),
        ("a compressed opcode that is none", 1002, masked(0xC3, half)),
        ("a ping in fragments", 1002, masked(0x09, b"x")),
        ("a long ping", 1002, masked(0x89, &[0; 126])),
        ("half a close code", 1002, masked(0x88, &[3])),
        ("what cannot be inflated", 1007, masked(0xC1, &[0xFF; 9])),
        (
            "compressed text that is not UTF-8",
            1007,
            masked(0xC1, &deflated(b"\xF0\x9F")),
        ),
        (
            "text that is not UTF-8 across fragments",
            1007,
            [masked(0x01, b"\xE5"), masked(0x80, b"\xBC")].concat(),
        ),
        ("a long message", 1009, masked(0x82, &[0; MESSAGE_MAX + 1])),
        (
            "a long one in fragments",
            1009,
            [masked(0x02, &[0; MESSAGE_MAX]), masked(0x80, &[0])].concat(),
        ),
        (
            "the head of an absurdly long one",
            1009,
            b"\x82\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\0\0\0\0".to_vec(),
        ),
        (
            "the same, compressed",
            1009,
            b"\xC2\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\0\0\0\0".to_vec(),
        ),
        ("a bomb", 1009, masked(0xC2, &bomb)),
        (
            "a bomb in fragments",
            1009,
            [masked(0x42, &bomb[..20]), masked(0x80, &bomb[20..])].concat(),
        ),
        (
            "a message of blocks with nothing in them",
            1009,
            [masked(0x42, &empty), masked(0x00, &empty).repeat(9)].concat(),
        ),
    ];
    for (what, code, bytes) in cases {
        let bytes = [
            masked(0x81, b"before"),
            bytes.clone(),
            masked(0x81, b"after"),
        ]
        .concat();
        for pieces in [1, 3, usize::MAX] {
            let pieces = bytes.chunks(pieces.min(bytes.len()));
            let expected = vec![Message::text("before")];
            assert_eq!(heard(true, pieces), (expected, Some(*code)), "{what}");
        }
    }
}

#[test]
fn a_bomb_of_many_messages_is_inflated_one_at_a_time() {
    // Each is as long as it may be.
    let message = masked(0xC2, &deflated(&[0; MESSAGE_MAX]));
    let mut conversation = Conversation::new(MESSAGE_MAX).inflating(true);
    conversation.push(&message.repeat(1_000));
    for _ in 0..1_000 {
        assert!(matches!(conversation.hear(), Ok(Some(Message::Binary(_)))));
        assert!(conversation.protocol().get_ref().waiting() <= MESSAGE_MAX + 14);
    }
    assert_eq!(conversation.hear(), Ok(None));
}
