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

/// What stands in front of a payload, as far as anybody here asks for it.
struct Described<'a> {
    begins: bool,
    /// The spatial layer.
    layer: u8,
    /// Those of the layers, if they are told here.
    sizes: Sizes,
    rest: &'a [u8],
}

/// The picture in payloads: a frame, or one for each spatial layer.
pub(super) fn picture(payloads: &[Bytes]) -> Option<Picture> {
    let mut data = BytesMut::new();
    let mut begins = Vec::new();
    let (mut layer, mut sizes) = (0, Vec::new());
    for payload in payloads {
        let Some(described) = take_apart(payload) else {
            continue;
        };
        if described.begins {
            begins.push(data.len());
        }
        layer = layer.max(described.layer);
        if !described.sizes.is_empty() {
            sizes = described.sizes;
        }
        data.extend_from_slice(described.rest);
    }
    // What comes before the beginning was lost with it.
    if begins.first() != Some(&0) || begins.len() > FRAMES_MAX || data.is_empty() {
        return None;
    }
    let mut header = KeyHeader::parse(&data);
    // The frame tells its own size, and the largest layer is what is shown.
    if let (Some(header), Some(&(width, height))) = (&mut header, sizes.get(usize::from(layer)))
        && (width > header.width || height > header.height)
    {
        (header.width, header.height) = (width, height);
    }
    let config = header.map(VideoConfig::Vp9);
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

/// What a payload's descriptor says, and what stands behind it.
fn take_apart(payload: &[u8]) -> Option<Described<'_>> {
    let (&flags, mut rest) = payload.split_first()?;
    let (mut layer, mut sizes) = (0, Vec::new());
    if flags & PICTURE_ID != 0 {
        let long = rest.first()? & 0x80 != 0;
        rest = rest.get(if long { 2 } else { 1 }..)?;
    }
    if flags & LAYERS != 0 {
        let tells_base = flags & FLEXIBLE == 0;
        layer = rest.first()? >> 1 & 7;
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
        (sizes, rest) = structure(rest)?;
    }
    (!rest.is_empty()).then_some(Described {
        begins: flags & BEGINS != 0,
        layer,
        sizes,
        rest,
    })
}

/// Pixels across and down of each layer.
type Sizes = Vec<(u32, u32)>;

/// The sizes of a scalability structure (§4.2.1), and what stands behind it.
fn structure(structure: &[u8]) -> Option<(Sizes, &[u8])> {
    let (&head, mut rest) = structure.split_first()?;
    let mut sizes = Vec::new();
    if head & 0x10 != 0 {
        let (told, after) = rest.split_at_checked((usize::from(head >> 5) + 1) * 4)?;
        let word = |a, b| u32::from(u16::from_be_bytes([a, b]));
        sizes = told
            .chunks_exact(4)
            .map(|size| (word(size[0], size[1]), word(size[2], size[3])))
            .collect();
        rest = after;
    }
    if head & 0x08 != 0 {
        let (&pictures, after) = rest.split_first()?;
        rest = after;
        for _ in 0..pictures {
            let (&picture, after) = rest.split_first()?;
            rest = after.get(usize::from(picture >> 2 & 3)..)?;
        }
    }
    Some((sizes, rest))
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
    fn of_layers_the_largest_that_is_there_is_told() {
        // Three layers, each twice the one before; of the second picture the uppermost is left out.
        let structure = [0x50, 0, 160, 0, 90, 1, 64, 0, 180, 2, 128, 1, 104];
        let payload = |layer: u8, more: &[u8], frame: &[u8]| {
            let flags = if more.is_empty() { 0x28 } else { 0x2a };
            Bytes::from([&[flags, layer << 1, 0], more, frame].concat())
        };
        let base = payload(0, &structure, &FRAME);
        let upper = |layer| payload(layer, &[], &[0x86, 1, 2]);
        let size = |payloads: &[Bytes]| picture(payloads).unwrap().config.unwrap().resolution();
        // The frame itself says 640 by 360, so what is larger counts.
        assert_eq!(size(&[base.clone(), upper(1), upper(2)]), (640, 360));
        let large = [&structure[..9], &[5, 0, 2, 208]].concat();
        let base = payload(0, &large, &FRAME);
        assert_eq!(size(&[base.clone(), upper(1), upper(2)]), (1_280, 720));
        assert_eq!(size(&[base, upper(1)]), (640, 360));
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
