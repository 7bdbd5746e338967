//! AV1 out of its payloads (RTP Payload Format For AV1, version 1.0).

use bytes::{Bytes, BytesMut};
use media::VideoConfig;
use media::codec::av1;

use super::Picture;

/// Flags of the aggregation header (§4.4): the first element goes on from the packet before, the last
/// goes on in the packet after.
const CONTINUES: u8 = 0x80;
const IS_CONTINUED: u8 = 0x40;

/// The picture in payloads.
pub(super) fn picture(payloads: &[Bytes]) -> Option<Picture> {
    let mut picture = av1::Picture::default();
    let mut begun: Option<BytesMut> = None;
    for payload in payloads {
        let (&head, rest) = payload.split_first()?;
        let elements = elements(head >> 4 & 3, rest)?;
        let last = elements.len().checked_sub(1)?;
        for (index, element) in elements.into_iter().enumerate() {
            let goes_on = index == 0 && head & CONTINUES != 0;
            let is_cut = index == last && head & IS_CONTINUED != 0;
            let mut unit = if goes_on {
                // Its beginning was lost.
                begun.take()?
            } else {
                BytesMut::new()
            };
            unit.extend_from_slice(element);
            if is_cut {
                begun = Some(unit);
            } else {
                picture.add(&unit);
            }
        }
    }
    let whole = picture.finish()?;
    let config = whole.sequence.filter(|_| whole.key);
    Some(Picture {
        key: whole.key,
        config: config.map(|(unit, sequence)| VideoConfig::Av1 { unit, sequence }),
        data: whole.data,
    })
}

/// The elements of a payload. Each stands behind its length; if their number is told, the last does
/// without.
fn elements(count: u8, mut rest: &[u8]) -> Option<Vec<&[u8]>> {
    let mut elements = Vec::new();
    while !rest.is_empty() {
        if elements.len() + 1 == usize::from(count) {
            elements.push(rest);
            return Some(elements);
        }
        let (length, after) = av1::read_leb128(rest)?;
        elements.push(after.get(..length)?);
        rest = &after[length..];
    }
    Some(elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEQUENCE: [u8; 12] = [
        0x08, 0x00, 0x00, 0x00, 0x0c, 0xc4, 0xff, 0x67, 0x36, 0xbe, 0x40, 0x10,
    ];

    #[test]
    fn units_are_put_together_across_packets() {
        // Two elements: the sequence header behind its length, and a frame that goes on.
        let first = [&[0x68, 12], &SEQUENCE[..], &[0x30, 0x10, 1]].concat();
        let second = vec![0x90, 2, 3];
        let found = picture(&[first.into(), second.clone().into()]).unwrap();
        assert!(found.key);
        assert_eq!(found.config.unwrap().resolution(), (640, 360));
        assert_eq!(found.data[13..], [0x32, 4, 0x10, 1, 2, 3]);
        assert!(picture(&[second.into()]).is_none());
    }
}
