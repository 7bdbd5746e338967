//! VP9 ("VP9 Bitstream & Decoding Process Specification"), as far as a server must read it: the
//! uncompressed header of a keyframe, and the index behind frames that are one picture.

use bytes::{BufMut as _, BytesMut};

use super::bits::Bits;

/// Two bits that every frame begins with.
const FRAME_MARKER: u32 = 2;
const SYNC_CODE: u32 = 0x49_83_42;
const COLOR_SPACE_RGB: u8 = 7;

/// Most frames that an index tells of.
pub const FRAMES_MAX: usize = 8;

/// Largest picture in luma samples, most of them a second, and the level (annex A).
const LEVELS: [(u64, u64, u8); 12] = [
    (36_864, 829_440, 10),
    (73_728, 2_764_800, 11),
    (122_880, 4_608_000, 20),
    (245_760, 9_216_000, 21),
    (552_960, 20_736_000, 30),
    (983_040, 36_864_000, 31),
    (2_228_224, 83_558_400, 40),
    (2_228_224, 160_432_128, 41),
    (8_912_896, 311_951_360, 50),
    (8_912_896, 588_251_136, 51),
    (8_912_896, 1_176_502_272, 52),
    (35_651_584, 1_176_502_272, 60),
];

/// Pictures a second that the level allows for: a keyframe does not say how many there are.
const RATE_ASSUMED: u64 = 60;

/// What a keyframe says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHeader {
    /// Profile: which bit depths and subsamplings there may be.
    pub profile: u8,
    /// Bits of a sample.
    pub bit_depth: u8,
    /// How the colours are sampled, as the `vpcC` box has it: 1 for 4:2:0, 2 for 4:2:2, 3 for 4:4:4.
    pub chroma_subsampling: u8,
    /// Whether samples take every value.
    pub full_range: bool,
    /// Primaries, transfer and matrix, as ISO/IEC 23091-2 numbers them.
    pub colours: [u8; 3],
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

impl KeyHeader {
    /// Reads the beginning of a frame; `None` unless it is a keyframe that is shown as it is.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(frame);
        let profile = begin(&mut bits)?;
        // It refers to a frame from before, or is no keyframe.
        if bits.flag()? || bits.flag()? {
            return None;
        }
        let _show_and_resilience = bits.take(2)?;
        if bits.take(24)? != SYNC_CODE {
            return None;
        }
        let bit_depth = match profile {
            0 | 1 => 8,
            _ if bits.flag()? => 12,
            _ => 10,
        };
        let space = bits.small(3)?;
        let (full_range, chroma_subsampling) = if space == COLOR_SPACE_RGB {
            if profile & 1 == 0 || bits.flag()? {
                return None;
            }
            (true, 3)
        } else {
            (bits.flag()?, subsampling(&mut bits, profile)?)
        };
        let width = bits.take(16)? + 1;
        let height = bits.take(16)? + 1;
        Some(Self {
            profile,
            bit_depth,
            chroma_subsampling,
            full_range,
            colours: colours(space),
            width,
            height,
        })
    }

    /// The level, ten times its number, that takes pictures of this size.
    pub fn level(&self) -> u8 {
        let size = u64::from(self.width) * u64::from(self.height);
        let fits =
            |(most, rate, _): &&(u64, u64, u8)| size <= *most && size * RATE_ASSUMED <= *rate;
        LEVELS.iter().find(fits).map_or(62, |(_, _, level)| *level)
    }

    /// The codec as the VP codec binding for ISO media files writes it, such as `vp09.00.31.08`.
    pub fn codec_string(&self) -> String {
        let (profile, level, depth) = (self.profile, self.level(), self.bit_depth);
        format!("vp09.{profile:02}.{level:02}.{depth:02}")
    }
}

/// Whether decoding can start with a frame.
pub fn is_key(frame: &[u8]) -> bool {
    let mut bits = Bits::new(frame);
    begin(&mut bits).is_some() && bits.flag() == Some(false) && bits.flag() == Some(false)
}

/// The marker and the profile.
fn begin(bits: &mut Bits<'_>) -> Option<u8> {
    if bits.take(2)? != FRAME_MARKER {
        return None;
    }
    let (low, high) = (bits.small(1)?, bits.small(1)?);
    let profile = high << 1 | low;
    (profile < 3 || !bits.flag()?).then_some(profile)
}

fn subsampling(bits: &mut Bits<'_>, profile: u8) -> Option<u8> {
    if profile & 1 == 0 {
        return Some(1);
    }
    let (across, down) = (bits.flag()?, bits.flag()?);
    let _reserved = bits.flag()?;
    match (across, down) {
        (true, false) => Some(2),
        (false, false) => Some(3),
        // 4:2:0 is of the other profiles, and the box has no word for 4:4:0.
        (_, true) => None,
    }
}

const fn colours(space: u8) -> [u8; 3] {
    match space {
        1 | 3 => [6, 6, 6],
        2 => [1, 1, 1],
        4 => [7, 7, 7],
        5 => [9, 14, 9],
        COLOR_SPACE_RGB => [1, 13, 0],
        _ => [2, 2, 2],
    }
}

/// Adds the index that makes one picture of the frames in `out`, whose sizes are given (annex B). One
/// frame needs none.
pub fn write_index(out: &mut BytesMut, sizes: &[usize]) {
    if !(2..=FRAMES_MAX).contains(&sizes.len()) {
        return;
    }
    // Sizes of four bytes; their count and that of the frames are told one less.
    let marker = 0b1100_0000 | 3 << 3 | (sizes.len() - 1) as u8;
    out.put_u8(marker);
    for size in sizes {
        out.put_u32_le(u32::try_from(*size).unwrap_or(u32::MAX));
    }
    out.put_u8(marker);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As libvpx writes it: profile 0, BT.601 colours, 640 by 360.
    const KEY: [u8; 10] = [0x82, 0x49, 0x83, 0x42, 0x20, 0x27, 0xf0, 0x16, 0x70, 0x00];

    #[test]
    fn a_keyframe_tells_what_a_decoder_needs() {
        let header = KeyHeader::parse(&KEY).unwrap();
        assert_eq!((header.width, header.height), (640, 360));
        assert_eq!((header.profile, header.bit_depth), (0, 8));
        assert_eq!(header.colours, [6, 6, 6]);
        assert_eq!(header.codec_string(), "vp09.00.30.08");
        let large = KeyHeader {
            width: 1920,
            height: 1080,
            ..header
        };
        assert_eq!(large.codec_string(), "vp09.00.41.08");
        assert!(is_key(&KEY));
        // The same as any other frame.
        assert!(!is_key(&[0x86, 0x49]) && KeyHeader::parse(&[0x86, 0x49, 0x83, 0x42]).is_none());
    }

    #[test]
    fn frames_of_one_picture_are_told_apart_by_an_index() {
        let mut out = BytesMut::from(&[1, 2, 3][..]);
        write_index(&mut out, &[1, 2]);
        assert_eq!(out[3..], [0xd9, 1, 0, 0, 0, 2, 0, 0, 0, 0xd9]);
        write_index(&mut out, &[13]);
        assert_eq!(out.len(), 13);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            if let Some(header) = KeyHeader::parse(&bytes) {
                prop_assert!(header.width > 0 && header.height > 0);
                prop_assert!(is_key(&bytes));
            }
        }
    }
}
