//! VP9 out of its payloads (RFC 9628).

use bytes::{Bytes, BytesMut};
use media::VideoConfig;
use media::codec::vp9::{self, FRAMES_MAX, KeyHeader};

use super::Picture;

/// Flags of the payload descriptor (§4.2).
const PICTURE_ID: u8 = 0x80;
const INTER_PICTURE: u8 = 0x40;
const LAYERS: u8 = 0x20;
const FLEXIBLE: u8 = 0x10;
const BEGINS: u8 = 0x08;
const STRUCTURE: u8 = 0x02;

/// Most pictures that one refers to in flexible mode.
const REFERENCES_MAX: usize = 3;

/// The picture in payloads: a frame, or one for each spatial layer.
pub(super) fn picture(payloads: &[Bytes]) -> Option<Picture> {
    let mut data = BytesMut::new();
    let mut begins = Vec::new();
    for payload in payloads {
        let Some((flags, rest)) = take_apart(payload) else {
            continue;
        };
        if flags & BEGINS != 0 {
            begins.push(data.len());
        }
        data.extend_from_slice(rest);
    }
    // What comes before the beginning was lost with it.
    if begins.first() != Some(&0) || begins.len() > FRAMES_MAX || data.is_empty() {
        return None;
    }
    let config = KeyHeader::parse(&data).map(VideoConfig::Vp9);
    if vp9::is_key(&data) && config.is_none() {
        return None;
    }
    let ends = begins.iter().skip(1).copied().chain([data.len()]);
    let sizes: Vec<usize> = begins
        .iter()
        .zip(ends)
        .map(|(from, to)| to - from)
        .collect();
    vp9::write_index(&mut data, &sizes);
    Some(Picture {
        key: config.is_some(),
        config,
        data: data.freeze(),
    })
}

/// The flags of a payload, and what stands behind its descriptor.
fn take_apart(payload: &[u8]) -> Option<(u8, &[u8])> {
    let (&flags, mut rest) = payload.split_first()?;
    if flags & PICTURE_ID != 0 {
        let long = rest.first()? & 0x80 != 0;
        rest = rest.get(if long { 2 } else { 1 }..)?;
    }
    if flags & LAYERS != 0 {
        let tells_base = flags & FLEXIBLE == 0;
        rest = rest.get(if tells_base { 2 } else { 1 }..)?;
    }
    if flags & FLEXIBLE != 0 && flags & INTER_PICTURE != 0 {
        for _ in 0..REFERENCES_MAX {
            let (&reference, after) = rest.split_first()?;
            rest = after;
            if reference & 1 == 0 {
                break;
            }
        }
    }
    if flags & STRUCTURE != 0 {
        rest = past_structure(rest)?;
    }
    (!rest.is_empty()).then_some((flags, rest))
}

/// What stands behind a scalability structure (§4.2.1).
fn past_structure(structure: &[u8]) -> Option<&[u8]> {
    let (&head, mut rest) = structure.split_first()?;
    if head & 0x10 != 0 {
        let layers = usize::from(head >> 5) + 1;
        rest = rest.get(layers * 4..)?;
    }
    if head & 0x08 != 0 {
        let (&pictures, after) = rest.split_first()?;
        rest = after;
        for _ in 0..pictures {
            let (&picture, after) = rest.split_first()?;
            rest = after.get(usize::from(picture >> 2 & 3)..)?;
        }
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: [u8; 10] = [0x82, 0x49, 0x83, 0x42, 0x20, 0x27, 0xf0, 0x16, 0x70, 0x00];

    #[test]
    fn a_frame_is_put_together_without_its_descriptors() {
        // As browsers begin: flexible mode off, a number of fifteen bits, layers, a structure of one
        // layer with its size and one picture that refers to the one before.
        let begin = [
            0xab, 0x81, 0x02, 0x00, 0x07, 0x18, 0x02, 0x80, 0x01, 0x68, 0x01, 0x04, 0x01,
        ];
        let first = [&begin[..], &FRAME[..6]].concat();
        let second = [&[0xa4, 0x81, 0x02, 0x00, 0x07], &FRAME[6..]].concat();
        let picture = picture(&[first.into(), second.into()]).unwrap();
        assert_eq!(picture.data, FRAME[..]);
        assert_eq!(picture.config.unwrap().codec_string(), "vp09.00.30.08");
    }

    #[test]
    fn layers_of_one_picture_have_an_index_behind_them() {
        let base = [&[0x0c], &FRAME[..]].concat();
        let upper = [&[0x0c], &[0x86, 1, 2][..]].concat();
        let picture = picture(&[base.into(), upper.into()]).unwrap();
        assert_eq!(picture.data.len(), 13 + 10);
        assert_eq!(picture.data[13..18], [0xd9, 10, 0, 0, 0]);
    }
}
