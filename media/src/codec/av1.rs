//! AV1 ("AV1 Bitstream & Decoding Process Specification"), as far as a server must read it: open
//! bitstream units, and what a sequence header says.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::bits::Bits;

const OBU_SEQUENCE_HEADER: u8 = 1;
const OBU_TEMPORAL_DELIMITER: u8 = 2;
const OBU_FRAME_HEADER: u8 = 3;
const OBU_FRAME: u8 = 6;
const OBU_TILE_LIST: u8 = 8;
const OBU_PADDING: u8 = 15;

const HAS_EXTENSION: u8 = 0x04;
const HAS_SIZE: u8 = 0x02;

/// Most bytes of a number in LEB128 (§4.10.5).
const LEB128_BYTES_MAX: usize = 8;

/// Largest sequence header that is read; they have some twenty bytes.
const SEQUENCE_BYTES_MAX: usize = 1024;

/// What a sequence header says (§5.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Profile.
    pub profile: u8,
    /// Level, as an index.
    pub level: u8,
    /// The higher of two tiers.
    pub high_tier: bool,
    /// More than eight bits a sample.
    pub high_bit_depth: bool,
    /// And that is twelve.
    pub twelve_bit: bool,
    /// No colours.
    pub monochrome: bool,
    /// Half as many samples of colour across.
    pub subsampled_x: bool,
    /// Half as many samples of colour down.
    pub subsampled_y: bool,
    /// Where samples of colour stand.
    pub chroma_position: u8,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

impl Sequence {
    /// Reads the body of a sequence header.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(body);
        let profile = bits.small(3)?;
        let _still = bits.flag()?;
        let reduced = bits.flag()?;
        let (level, high_tier) = if reduced {
            (bits.small(5)?, false)
        } else {
            operating_points(&mut bits)?
        };
        let width_bits = bits.take(4)? + 1;
        let height_bits = bits.take(4)? + 1;
        let width = bits.take(width_bits)? + 1;
        let height = bits.take(height_bits)? + 1;
        pass_over_tools(&mut bits, reduced)?;
        let mut sequence = Self {
            profile,
            level,
            high_tier,
            high_bit_depth: bits.flag()?,
            twelve_bit: false,
            monochrome: false,
            subsampled_x: true,
            subsampled_y: true,
            chroma_position: 0,
            width,
            height,
        };
        sequence.colours(&mut bits)?;
        Some(sequence)
    }

    /// §5.5.2, behind its first bit.
    fn colours(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        self.twelve_bit = self.profile == 2 && self.high_bit_depth && bits.flag()?;
        self.monochrome = self.profile != 1 && bits.flag()?;
        let described = bits.flag()?;
        let colours = if described {
            bits.take(24)?
        } else {
            0x02_02_02
        };
        if self.monochrome {
            return Some(());
        }
        // sRGB, which has neither range nor subsampling to tell.
        if colours == 0x01_0d_00 {
            (self.subsampled_x, self.subsampled_y) = (false, false);
            return Some(());
        }
        let _full_range = bits.flag()?;
        (self.subsampled_x, self.subsampled_y) = match self.profile {
            0 => (true, true),
            1 => (false, false),
            _ if self.twelve_bit => {
                let across = bits.flag()?;
                (across, across && bits.flag()?)
            }
            _ => (true, false),
        };
        if self.subsampled_x && self.subsampled_y {
            self.chroma_position = bits.small(2)?;
        }
        Some(())
    }

    /// Bits of a sample.
    pub const fn bit_depth(&self) -> u8 {
        match (self.high_bit_depth, self.twelve_bit) {
            (false, _) => 8,
            (true, false) => 10,
            (true, true) => 12,
        }
    }

    /// The codec as the AV1 binding for ISO media files writes it, such as `av01.0.04M.08`.
    pub fn codec_string(&self) -> String {
        let tier = if self.high_tier { 'H' } else { 'M' };
        let (profile, level, depth) = (self.profile, self.level, self.bit_depth());
        format!("av01.{profile}.{level:02}{tier}.{depth:02}")
    }
}

/// Level and tier of the first operating point, and past all of them.
fn operating_points(bits: &mut Bits<'_>) -> Option<(u8, bool)> {
    let mut delay_bits = None;
    if bits.flag()? {
        let _ticks = (bits.take(32)?, bits.take(32)?);
        if bits.flag()? {
            pass_over_uvlc(bits)?;
        }
        if bits.flag()? {
            delay_bits = Some(bits.take(5)? + 1);
            let _rest = (bits.take(32)?, bits.take(10)?);
        }
    }
    let tells_delay = bits.flag()?;
    let count = bits.take(5)? + 1;
    let mut first = None;
    for _ in 0..count {
        let _layers = bits.take(12)?;
        let level = bits.small(5)?;
        let high_tier = level > 7 && bits.flag()?;
        first.get_or_insert((level, high_tier));
        if let Some(delay_bits) = delay_bits
            && bits.flag()?
        {
            let _delays = (bits.take(delay_bits)?, bits.take(delay_bits)?, bits.flag()?);
        }
        if tells_delay && bits.flag()? {
            bits.take(4)?;
        }
    }
    first
}

/// §4.10.3.
fn pass_over_uvlc(bits: &mut Bits<'_>) -> Option<()> {
    let mut zeros = 0;
    while !bits.flag()? {
        zeros += 1;
    }
    if zeros < 32 {
        bits.take(zeros)?;
    }
    Some(())
}

/// What stands between the size of pictures and their colours.
fn pass_over_tools(bits: &mut Bits<'_>, reduced: bool) -> Option<()> {
    if !reduced && bits.flag()? {
        bits.take(7)?;
    }
    bits.take(3)?;
    if !reduced {
        bits.take(4)?;
        let order_hint = bits.flag()?;
        if order_hint {
            bits.take(2)?;
        }
        let screen_content = bits.flag()? || bits.flag()?;
        if screen_content && !bits.flag()? {
            bits.take(1)?;
        }
        if order_hint {
            bits.take(3)?;
        }
    }
    bits.take(3)?;
    Some(())
}

/// Puts the units of one picture together.
#[derive(Debug, Default)]
pub struct Picture {
    data: BytesMut,
    sequence: Option<(Bytes, Sequence)>,
    key: Option<bool>,
}

impl Picture {
    /// Adds a unit, with its size or without. What a file leaves out is left out (the AV1 binding for
    /// ISO media files, §2.4), and what is broken.
    pub fn add(&mut self, unit: &[u8]) {
        let Some((header, extension, body)) = take_apart(unit) else {
            return;
        };
        let kind = header >> 3 & 0x0f;
        if matches!(kind, OBU_TEMPORAL_DELIMITER | OBU_TILE_LIST | OBU_PADDING) {
            return;
        }
        let at = self.data.len();
        self.data.put_u8(header | HAS_SIZE);
        self.data.extend(extension);
        write_leb128(&mut self.data, body.len());
        self.data.put_slice(body);
        match kind {
            OBU_SEQUENCE_HEADER if body.len() <= SEQUENCE_BYTES_MAX => {
                let whole = Bytes::copy_from_slice(&self.data[at..]);
                self.sequence = Sequence::parse(body).map(|sequence| (whole, sequence));
            }
            OBU_FRAME_HEADER | OBU_FRAME => {
                // Neither shown again nor of another type: the first three bits.
                let key = body.first().is_some_and(|first| first & 0xe0 == 0);
                self.key.get_or_insert(key);
            }
            _ => {}
        }
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// All of it; `None` without a frame.
    pub fn finish(self) -> Option<Whole> {
        Some(Whole {
            key: self.key? && self.sequence.is_some(),
            data: self.data.freeze(),
            sequence: self.sequence,
        })
    }
}

/// A picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Its units.
    pub data: Bytes,
    /// Whether decoding can start with it.
    pub key: bool,
    /// The sequence header among them: as a unit, and what it says.
    pub sequence: Option<(Bytes, Sequence)>,
}

/// A unit's header, its extension, and its body.
fn take_apart(unit: &[u8]) -> Option<(u8, Option<u8>, &[u8])> {
    let (&header, mut rest) = unit.split_first()?;
    // A forbidden bit.
    if header & 0x80 != 0 {
        return None;
    }
    let mut extension = None;
    if header & HAS_EXTENSION != 0 {
        let (&byte, after) = rest.split_first()?;
        (extension, rest) = (Some(byte), after);
    }
    if header & HAS_SIZE != 0 {
        let (size, after) = read_leb128(rest)?;
        rest = after.get(..size)?;
    }
    Some((header, extension, rest))
}

/// A number in LEB128, and what follows it.
pub fn read_leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().take(LEB128_BYTES_MAX).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, &bytes[index + 1..]));
        }
    }
    None
}

fn write_leb128(out: &mut BytesMut, mut value: usize) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.put_u8(low);
            return;
        }
        out.put_u8(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As libaom writes it for 640 by 360.
    const SEQUENCE: [u8; 13] = [
        0x0a, 0x0b, 0x00, 0x00, 0x00, 0x0c, 0xc4, 0xff, 0x67, 0x36, 0xbe, 0x40, 0x10,
    ];

    #[test]
    fn a_keyframe_tells_what_a_decoder_needs() {
        let mut picture = Picture::default();
        picture.add(&[0x12, 0x00]);
        // Without its size, as it stands in packets.
        picture.add(&[&[0x08], &SEQUENCE[2..]].concat());
        picture.add(&[0x30, 0x10, 0x00, 0x85]);
        let whole = picture.finish().unwrap();
        assert!(whole.key);
        assert_eq!(
            whole.data,
            [&SEQUENCE[..], &[0x32, 3, 0x10, 0x00, 0x85]].concat()
        );
        let (unit, sequence) = whole.sequence.unwrap();
        assert_eq!(unit, SEQUENCE[..]);
        assert_eq!((sequence.width, sequence.height), (640, 360));
        assert_eq!(sequence.codec_string(), "av01.0.01M.08");
        let mut other = Picture::default();
        other.add(&[0x30, 0x30, 0x00]);
        assert!(!other.finish().unwrap().key);
        assert!(Picture::default().finish().is_none());
    }

    #[test]
    fn any_number_is_read_as_it_was_written() {
        for value in [0, 1, 127, 128, 300, 1 << 20, 1 << 35] {
            let mut out = BytesMut::new();
            write_leb128(&mut out, value);
            out.put_u8(9);
            assert_eq!(read_leb128(&out), Some((value, &[9][..])));
        }
        assert_eq!(read_leb128(&[0xff; 9]), None);
        assert_eq!(read_leb128(&[0x80]), None);
    }

    proptest! {
        #[test]
        fn any_units_are_taken(units in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8)) {
            let mut picture = Picture::default();
            for unit in &units {
                picture.add(unit);
            }
            let length = picture.len();
            if let Some(whole) = picture.finish() {
                prop_assert_eq!(whole.data.len(), length);
                prop_assert!(!whole.key || whole.sequence.is_some());
            }
        }
    }
}
