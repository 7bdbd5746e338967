//! Access units cut into packets.

use bytes::{BufMut as _, Bytes, BytesMut};
use media::codec::h264;

/// Most bytes of a payload: with all headers and tags a packet then fits any path in use.
pub const PAYLOAD_MAX: usize = 1_160;

const NAL_STAP_A: u8 = 24;
const NAL_FU_A: u8 = 28;

/// The payloads of an H.264 access unit with 4-byte lengths (RFC 6184), behind the parameter sets
/// that are to come before it.
///
/// What is cut is cut into pieces of equal size, so that the packets of a picture can be sent in
/// one go.
pub fn h264(access_unit: &Bytes, parameter_sets: &[&[u8]]) -> Vec<Bytes> {
    let mut payloads = Vec::with_capacity(access_unit.len() / PAYLOAD_MAX + 2);
    if !parameter_sets.is_empty() {
        together(parameter_sets, &mut payloads);
    }
    for unit in h264::NalUnits::new(access_unit, 4) {
        let Ok(unit) = unit else { break };
        match unit.first().map(|header| header & 0x1f) {
            // Delimiters and filler; and sets that came with the picture are there already.
            None | Some(9 | 12) => {}
            Some(7 | 8) if !parameter_sets.is_empty() => {}
            Some(_) if unit.len() <= PAYLOAD_MAX => payloads.push(access_unit.slice_ref(unit)),
            Some(_) => fragments(unit, &mut payloads),
        }
    }
    payloads
}

/// Units in one packet (§5.7.1), or each in its own if they do not fit.
fn together(units: &[&[u8]], payloads: &mut Vec<Bytes>) {
    let size = 1 + units.iter().map(|unit| unit.len() + 2).sum::<usize>();
    if size > PAYLOAD_MAX {
        payloads.extend(units.iter().map(|unit| Bytes::copy_from_slice(unit)));
        return;
    }
    let importance = units.iter().filter_map(|unit| unit.first());
    let importance = importance.map(|header| header & 0x60).max().unwrap_or(0);
    let mut out = BytesMut::with_capacity(size);
    out.put_u8(importance | NAL_STAP_A);
    for unit in units {
        // It fits into a payload, and so its length into two bytes.
        out.put_u16(unit.len() as u16);
        out.put_slice(unit);
    }
    payloads.push(out.freeze());
}

/// A unit in pieces (§5.8).
fn fragments(unit: &[u8], payloads: &mut Vec<Bytes>) {
    let Some((&header, body)) = unit.split_first() else {
        return;
    };
    let count = body.len().div_ceil(PAYLOAD_MAX - 2);
    let size = body.len().div_ceil(count);
    // One piece of memory for all of them.
    let mut out = BytesMut::with_capacity(body.len() + count * 2);
    for (index, piece) in body.chunks(size).enumerate() {
        let first = u8::from(index == 0) << 7;
        let last = u8::from(index + 1 == count) << 6;
        out.put_u8(header & 0xe0 | NAL_FU_A);
        out.put_u8(first | last | header & 0x1f);
        out.put_slice(piece);
    }
    let mut rest = out.freeze();
    while !rest.is_empty() {
        payloads.push(rest.split_to(rest.len().min(size + 2)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_cut_into_equal_pieces() {
        let mut picture = BytesMut::new();
        picture.put_u32(3_001);
        picture.put_u8(0x65);
        picture.put_bytes(7, 3_000);
        let payloads = h264(&picture.freeze(), &[&[0x67, 1, 2], &[0x68, 3]]);
        assert_eq!(payloads[0], [0x78, 0, 3, 0x67, 1, 2, 0, 2, 0x68, 3][..]);
        let sizes: Vec<usize> = payloads.iter().map(Bytes::len).collect();
        assert_eq!(sizes, [10, 1_002, 1_002, 1_002]);
        let heads: Vec<u8> = payloads[1..].iter().map(|payload| payload[1]).collect();
        assert_eq!(heads, [0x85, 0x05, 0x45]);
    }

    #[test]
    fn what_fits_is_not_cut_or_copied() {
        let picture = Bytes::from_static(&[0, 0, 0, 2, 9, 0x10, 0, 0, 0, 2, 0x41, 1]);
        let payloads = h264(&picture, &[]);
        assert_eq!(payloads, [Bytes::from_static(&[0x41, 1])]);
        assert_eq!(payloads[0].as_ptr(), picture[10..].as_ptr());
    }
}
