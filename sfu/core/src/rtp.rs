//! RTP packet headers (RFC 3550 §5.1) and header extensions (RFC 8285).

use media::MediaTime;

/// Bytes of a header without sources and extensions.
pub const HEADER_BYTES: usize = 12;

/// The profiles of header extensions with elements of one and of two bytes in front.
const ONE_BYTE: u16 = 0xbede;
const TWO_BYTE: u16 = 0x1000;

/// A header, as far as anybody here asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The marker bit.
    pub marker: bool,
    /// The payload type.
    pub payload_type: u8,
    /// The sequence number.
    pub sequence: u16,
    /// The timestamp.
    pub timestamp: u32,
    /// The source.
    pub ssrc: u32,
    /// Where the payload begins.
    pub length: usize,
    has_padding: bool,
    profile: u16,
    extensions: &'a [u8],
}

impl<'a> Header<'a> {
    /// Reads a header; `None` if `packet` is too short for what it announces, or is no RTP.
    pub fn parse(packet: &'a [u8]) -> Option<Self> {
        let [first, second, a, b, c, d, e, f, g, h, i, j, rest @ ..] = packet else {
            return None;
        };
        if first >> 6 != 2 {
            return None;
        }
        let sources = usize::from(first & 0x0f) * 4;
        let mut length = HEADER_BYTES + sources;
        let (mut profile, mut extensions) = (0, &rest[..0]);
        if first & 0x10 != 0 {
            let [p, q, r, s, body @ ..] = rest.get(sources..)? else {
                return None;
            };
            let words = usize::from(u16::from_be_bytes([*r, *s]));
            profile = u16::from_be_bytes([*p, *q]);
            extensions = body.get(..words * 4)?;
            length += 4 + words * 4;
        }
        (packet.len() >= length).then_some(Self {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence: u16::from_be_bytes([*a, *b]),
            timestamp: u32::from_be_bytes([*c, *d, *e, *f]),
            ssrc: u32::from_be_bytes([*g, *h, *i, *j]),
            length,
            has_padding: first & 0x20 != 0,
            profile,
            extensions,
        })
    }

    /// The payload of a packet that has been opened, without its padding.
    pub fn payload<'p>(&self, packet: &'p [u8]) -> Option<&'p [u8]> {
        let payload = packet.get(self.length..)?;
        if !self.has_padding {
            return Some(payload);
        }
        let padding = usize::from(*payload.last()?);
        payload.get(..payload.len().checked_sub(padding)?)
    }

    /// The value of the header extension that was agreed on as `id`.
    pub fn extension(&self, id: u8) -> Option<&'a [u8]> {
        let mut rest = self.extensions;
        loop {
            let (&first, after) = rest.split_first()?;
            // Padding between elements.
            if first == 0 {
                rest = after;
                continue;
            }
            let (found, length, body) = if self.profile == ONE_BYTE {
                (first >> 4, usize::from(first & 0x0f) + 1, after)
            } else if self.profile & 0xfff0 == TWO_BYTE {
                let (&length, body) = after.split_first()?;
                (first, usize::from(length), body)
            } else {
                return None;
            };
            let value = body.get(..length)?;
            if found == id {
                return Some(value);
            }
            rest = &body[length..];
        }
    }
}

/// A moment by a clock of `rate` ticks a second, as timestamps have it: modulo 2^32.
pub fn timestamp(at: MediaTime, rate: u32) -> u32 {
    (at.ticks(rate) & 0xffff_ffff) as u32
}

/// Whether a datagram is RTCP and not RTP (RFC 5761 §4).
pub fn is_rtcp(datagram: &[u8]) -> bool {
    datagram
        .get(1)
        .is_some_and(|kind| (192..=223).contains(kind))
}

/// Writes a header without sources and extensions.
pub fn write_header(
    out: &mut Vec<u8>,
    kind: u8,
    marker: bool,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
) {
    out.push(0x80);
    out.push(kind | u8::from(marker) << 7);
    out.extend_from_slice(&sequence.to_be_bytes());
    out.extend_from_slice(&timestamp.to_be_bytes());
    out.extend_from_slice(&ssrc.to_be_bytes());
}

/// Continues 16-bit sequence numbers, or 32-bit timestamps, beyond their wraps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwrapped<const BITS: u32> {
    last: Option<i64>,
}

impl<const BITS: u32> Unwrapped<BITS> {
    /// The number nearest to the newest so far that reads as `value`.
    pub fn unwrap(&mut self, value: u32) -> i64 {
        let span = 1i64 << BITS;
        let Some(last) = self.last else {
            self.last = Some(i64::from(value));
            return i64::from(value);
        };
        let ahead = (i64::from(value) - last).rem_euclid(span);
        let number = last
            + if ahead < span / 2 {
                ahead
            } else {
                ahead - span
            };
        self.last = Some(last.max(number));
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let mut packet = Vec::new();
        write_header(&mut packet, 111, true, 65_535, 4_000_000_000, 7);
        packet.extend_from_slice(b"payload");
        let header = Header::parse(&packet).unwrap();
        assert_eq!((header.payload_type, header.marker), (111, true));
        assert_eq!(
            (header.sequence, header.timestamp, header.ssrc),
            (65_535, 4_000_000_000, 7)
        );
        assert_eq!(header.payload(&packet), Some(&b"payload"[..]));
    }

    #[test]
    fn extensions_and_padding_are_found() {
        let mut packet = vec![0xb0, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        packet.extend_from_slice(&[0xbe, 0xde, 0, 2, 0x31, 0xab, 0xcd, 0, 0x50, 9, 0, 0]);
        packet.extend_from_slice(&[1, 2, 3, 0, 2]);
        let header = Header::parse(&packet).unwrap();
        assert_eq!(header.extension(3), Some(&[0xab, 0xcd][..]));
        assert_eq!(header.extension(5), Some(&[9][..]));
        assert_eq!(header.extension(4), None);
        assert_eq!(header.payload(&packet), Some(&[1, 2, 3][..]));
    }

    #[test]
    fn numbers_go_on_beyond_their_wraps_in_both_directions() {
        let mut numbers = Unwrapped::<16>::default();
        assert_eq!(numbers.unwrap(65_534), 65_534);
        assert_eq!(numbers.unwrap(1), 65_537);
        assert_eq!(numbers.unwrap(65_535), 65_535, "a late one");
        assert_eq!(numbers.unwrap(2), 65_538);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(packet in proptest::collection::vec(any::<u8>(), 0..64), id in 0u8..16) {
            if let Some(header) = Header::parse(&packet) {
                let _ = (header.payload(&packet), header.extension(id));
            }
        }
    }
}
