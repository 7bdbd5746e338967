//! A number and a time in every picture, by which a viewer knows what it missed and how long each
//! picture was under way.
//!
//! They stand in an SEI message "user data, unregistered" (ITU-T H.264 annex D.2.7) in front of the
//! picture, which decoders pass over and servers carry along. Its payload is hexadecimal text: no
//! two zero bytes follow each other, so nothing has to be escaped.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{BufMut as _, Bytes, BytesMut};
use media::flv::Video;

/// What tells our message from those of encoders.
const UUID: [u8; 16] = *b"\xb4rrage-load\x1fstmp";
const TEXT_BYTES: usize = 24;
const NAL_SEI: u8 = 6;
const NAL_ACCESS_UNIT_DELIMITER: u8 = 9;
const SEI_USER_DATA_UNREGISTERED: u8 = 5;
const RBSP_STOP: u8 = 0x80;
/// The header of a video tag of H.264: frame type and codec, packet type, composition time.
const TAG_HEADER_BYTES: usize = 5;
const LENGTH_BYTES: usize = 4;
/// How far into a frame a stamp may stand: encoders put little before the picture.
const LOOK_BYTES: usize = 256;

/// What stands in a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// How many pictures were sent before it.
    pub(crate) number: u32,
    /// When it was sent, in microseconds since the Unix epoch.
    pub(crate) sent_us: u64,
}

/// The time that stamps carry.
pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    })
}

impl Stamp {
    /// The body of a video tag with the stamp in it. Nothing for a body that is no H.264 frame with
    /// NAL lengths of four bytes.
    pub(crate) fn put(self, body: &Bytes) -> Option<Bytes> {
        let Ok(Video::H264Frame { data, .. }) = Video::parse(body) else {
            return None;
        };
        if body.len() - data.len() != TAG_HEADER_BYTES {
            return None;
        }
        let at = TAG_HEADER_BYTES + delimiter_bytes(&data)?;
        let mut stamped = BytesMut::with_capacity(body.len() + 64);
        stamped.put_slice(&body[..at]);
        self.write(&mut stamped);
        stamped.put_slice(&body[at..]);
        Some(stamped.freeze())
    }

    fn write(self, out: &mut BytesMut) {
        let text = format!("{:08x}{:016x}", self.number, self.sent_us);
        let payload = UUID.len() + TEXT_BYTES;
        out.put_u32(u32::try_from(payload + 4).unwrap_or(0));
        out.put_slice(&[NAL_SEI, SEI_USER_DATA_UNREGISTERED]);
        out.put_u8(u8::try_from(payload).unwrap_or(0));
        out.put_slice(&UUID);
        out.put_slice(text.as_bytes());
        out.put_u8(RBSP_STOP);
    }

    /// The stamp of one frame.
    pub(crate) fn of_frame(frame: &[u8]) -> Option<Self> {
        Self::all(&frame[..frame.len().min(LOOK_BYTES)]).next()
    }

    /// All stamps in bytes that carry frames, in order.
    pub(crate) fn all(bytes: &[u8]) -> impl Iterator<Item = Self> {
        memchr::memmem::find_iter(bytes, &UUID).filter_map(|at| {
            let text = bytes.get(at + UUID.len()..at + UUID.len() + TEXT_BYTES)?;
            let text = std::str::from_utf8(text).ok()?;
            let (number, sent) = text.split_at_checked(8)?;
            Some(Self {
                number: u32::from_str_radix(number, 16).ok()?,
                sent_us: u64::from_str_radix(sent, 16).ok()?,
            })
        })
    }
}

/// How long the delimiter is that has to stay the first of an access unit.
fn delimiter_bytes(data: &[u8]) -> Option<usize> {
    let (length, rest) = data.split_first_chunk::<LENGTH_BYTES>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    if length > rest.len() {
        return None;
    }
    let is_delimiter = rest.first().map(|byte| byte & 0x1F) == Some(NAL_ACCESS_UNIT_DELIMITER);
    Some(if is_delimiter {
        LENGTH_BYTES + length
    } else {
        0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        number: 7,
        sent_us: 1_795_000_000_123_456,
    };

    fn nals(body: &[u8]) -> Vec<u8> {
        let mut rest = &body[TAG_HEADER_BYTES..];
        let mut kinds = Vec::new();
        while let Some((length, more)) = rest.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            kinds.push(more[0] & 0x1F);
            rest = &more[length..];
        }
        kinds
    }

    #[test]
    fn a_stamp_is_a_unit_of_its_own_before_the_picture_and_after_a_delimiter() {
        let plain = Bytes::from_static(b"\x17\x01\0\0\0\0\0\0\x02\x65\x88");
        let stamped = STAMP.put(&plain).unwrap();
        assert_eq!(nals(&stamped), [6, 5]);
        assert_eq!(Stamp::of_frame(&stamped), Some(STAMP));

        let delimited = Bytes::from_static(b"\x27\x01\0\0\0\0\0\0\x02\x09\xf0\0\0\0\x02\x41\x9a");
        assert_eq!(nals(&STAMP.put(&delimited).unwrap()), [9, 6, 1]);
    }

    #[test]
    fn nothing_in_a_stamp_has_to_be_escaped() {
        let stamped = STAMP
            .put(&Bytes::from_static(b"\x17\x01\0\0\0\0\0\0\x01\x65"))
            .unwrap();
        let unit = &stamped[TAG_HEADER_BYTES + LENGTH_BYTES..];
        assert!(unit.windows(3).take(44).all(|three| three[..2] != [0, 0]));
    }

    #[test]
    fn what_is_no_picture_or_lies_about_its_length_gets_no_stamp() {
        for body in [
            &b""[..],
            b"\x17\0\0\0\0\x01",
            b"\xaf\x01\x21",
            b"\x17\x01\0\0\0\0\0\xff\xff\x65",
            b"\x17\x01\0\0\0",
        ] {
            assert_eq!(
                STAMP.put(&Bytes::copy_from_slice(body)),
                None,
                "{body:02x?}"
            );
        }
    }

    #[test]
    fn the_stamps_of_a_part_come_in_order_and_torn_ones_not_at_all() {
        let mut part = BytesMut::from(&b"moof"[..]);
        for number in 0..3 {
            Stamp { number, ..STAMP }.write(&mut part);
            part.put_slice(&[0; 40]);
        }
        part.put_slice(&UUID);
        part.put_slice(b"zzzzzzzz");
        let numbers: Vec<_> = Stamp::all(&part).map(|stamp| stamp.number).collect();
        assert_eq!(numbers, [0, 1, 2]);
    }
}
