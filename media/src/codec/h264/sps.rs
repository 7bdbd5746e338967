//! The sequence parameter set (H.264 §7.3.2.1.1 and Annex E).

use super::bits::{Bits, without_emulation_prevention};
use super::{Error, NAL_SPS};

/// Widest and highest picture, in macroblocks: level 6.2 allows 16 880 samples either way.
const MACROBLOCKS_MAX: u32 = 1055;

/// Aspect ratios by `aspect_ratio_idc` (table E-1), from 1 on.
const SAMPLE_ASPECTS: [(u16, u16); 16] = [
    (1, 1),
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
];
const ASPECT_EXTENDED: u8 = 255;

/// Profiles whose parameter sets carry the chroma format and scaling matrices (§7.3.2.1.1).
const HIGH_PROFILES: [u8; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// Frames per second as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRate {
    /// Frames in `denominator` seconds.
    pub numerator: u32,
    /// Seconds; never zero.
    pub denominator: u32,
}

impl FrameRate {
    /// As a float.
    pub fn fps(self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator)
    }
}

/// What a sequence parameter set says, as far as anybody here asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sps {
    /// Width in luma samples, after cropping.
    pub width: u32,
    /// Height in luma samples, after cropping.
    pub height: u32,
    /// Width and height of one sample, when told and not square.
    pub sample_aspect: Option<(u16, u16)>,
    /// Profile.
    pub profile_idc: u8,
    /// The eight constraint flags and reserved bits between profile and level.
    pub constraint_flags: u8,
    /// Level times ten.
    pub level_idc: u8,
    /// 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format_idc: u8,
    /// Bits a luma sample.
    pub bit_depth_luma: u8,
    /// Bits a chroma sample.
    pub bit_depth_chroma: u8,
    /// The frame rate that the timing information declares, if any. Publishers are known to lie.
    pub frame_rate: Option<FrameRate>,
}

impl Sps {
    /// Reads a NAL unit of type 7, header byte included.
    ///
    /// Timing and aspect stand at the end, in the usability information; if that part is damaged
    /// they are left out, because decoders do without it too.
    ///
    /// # Errors
    /// When it is cut short or a value is outside what the standard allows.
    pub fn parse(nal: &[u8]) -> Result<Self, Error> {
        let header = *nal.first().ok_or(Error::Truncated)?;
        if header & 0x1f != NAL_SPS {
            return Err(Error::NotAParameterSet(header & 0x1f));
        }
        let payload = without_emulation_prevention(&nal[1..]);
        let mut bits = Bits::new(&payload);
        let profile_idc = bits.u8()?;
        let constraint_flags = bits.u8()?;
        let level_idc = bits.u8()?;
        bits.ue("seq_parameter_set_id", 31)?;
        let chroma = if HIGH_PROFILES.contains(&profile_idc) {
            Chroma::parse(&mut bits)?
        } else {
            Chroma::BASELINE
        };
        bits.ue("log2_max_frame_num_minus4", 12)?;
        picture_order(&mut bits)?;
        bits.ue("max_num_ref_frames", 16)?;
        bits.flag()?;
        let (width, height) = dimensions(&mut bits, &chroma)?;
        let usability = Usability::parse(&mut bits).unwrap_or_default();
        Ok(Self {
            width,
            height,
            sample_aspect: usability.sample_aspect,
            profile_idc,
            constraint_flags,
            level_idc,
            chroma_format_idc: chroma.format_idc,
            bit_depth_luma: chroma.bit_depth_luma,
            bit_depth_chroma: chroma.bit_depth_chroma,
            frame_rate: usability.frame_rate,
        })
    }

    /// The codec as RFC 6381 writes it, such as `avc1.64001f`.
    pub fn codec_string(&self) -> String {
        format!(
            "avc1.{:02x}{:02x}{:02x}",
            self.profile_idc, self.constraint_flags, self.level_idc
        )
    }

    /// Whether a decoder configuration record of this profile ends with the chroma fields
    /// (ISO/IEC 14496-15 §5.3.3.1.2).
    pub(super) const fn has_chroma_fields(&self) -> bool {
        matches!(self.profile_idc, 100 | 110 | 122 | 144 | 244)
    }
}

struct Chroma {
    format_idc: u8,
    separate_planes: bool,
    bit_depth_luma: u8,
    bit_depth_chroma: u8,
}

impl Chroma {
    /// What profiles imply that do not tell.
    const BASELINE: Self = Self {
        format_idc: 1,
        separate_planes: false,
        bit_depth_luma: 8,
        bit_depth_chroma: 8,
    };

    fn parse(bits: &mut Bits<'_>) -> Result<Self, Error> {
        let low_byte = |value: u32| value.to_be_bytes()[3];
        let format_idc = low_byte(bits.ue("chroma_format_idc", 3)?);
        let separate_planes = format_idc == 3 && bits.flag()?;
        let bit_depth_luma = 8 + low_byte(bits.ue("bit_depth_luma_minus8", 6)?);
        let bit_depth_chroma = 8 + low_byte(bits.ue("bit_depth_chroma_minus8", 6)?);
        bits.flag()?;
        if bits.flag()? {
            for list in 0..if format_idc == 3 { 12 } else { 8 } {
                if bits.flag()? {
                    skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
        Ok(Self {
            format_idc,
            separate_planes,
            bit_depth_luma,
            bit_depth_chroma,
        })
    }

    /// Luma samples that one step of cropping removes, across and down (§7.4.2.1.1).
    const fn crop_unit(&self) -> (u32, u32) {
        match (self.format_idc, self.separate_planes) {
            (1, _) => (2, 2),
            (2, _) => (2, 1),
            _ => (1, 1),
        }
    }
}

/// §7.3.2.1.1.1.
fn skip_scaling_list(bits: &mut Bits<'_>, size: u32) -> Result<(), Error> {
    let mut last = 8_i32;
    for _ in 0..size {
        let next = (last + bits.se("delta_scale")?.rem_euclid(256)).rem_euclid(256);
        if next == 0 {
            break;
        }
        last = next;
    }
    Ok(())
}

fn picture_order(bits: &mut Bits<'_>) -> Result<(), Error> {
    match bits.ue("pic_order_cnt_type", 2)? {
        0 => {
            bits.ue("log2_max_pic_order_cnt_lsb_minus4", 12)?;
        }
        1 => {
            bits.flag()?;
            bits.se("offset_for_non_ref_pic")?;
            bits.se("offset_for_top_to_bottom_field")?;
            for _ in 0..bits.ue("num_ref_frames_in_pic_order_cnt_cycle", 255)? {
                bits.se("offset_for_ref_frame")?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn dimensions(bits: &mut Bits<'_>, chroma: &Chroma) -> Result<(u32, u32), Error> {
    let columns = 1 + bits.ue("pic_width_in_mbs_minus1", MACROBLOCKS_MAX - 1)?;
    let rows = 1 + bits.ue("pic_height_in_map_units_minus1", MACROBLOCKS_MAX - 1)?;
    let frames_only = bits.flag()?;
    if !frames_only {
        bits.flag()?;
    }
    bits.flag()?;
    // A map unit of field-coded pictures is two macroblocks high.
    let field_factor = if frames_only { 1 } else { 2 };
    let (mut width, mut height) = (columns * 16, rows * 16 * field_factor);
    if bits.flag()? {
        let (unit_x, unit_y) = chroma.crop_unit();
        let mut crop = |unit: u32, size: u32| -> Result<u32, Error> {
            let steps = bits.ue("frame_crop_offset", size)? + bits.ue("frame_crop_offset", size)?;
            let rest = size.checked_sub(steps * unit).filter(|&rest| rest > 0);
            rest.ok_or(Error::OutOfRange("frame_crop_offset"))
        };
        width = crop(unit_x, width)?;
        height = crop(unit_y * field_factor, height)?;
    }
    Ok((width, height))
}

/// The first half of the video usability information (§E.1.1).
#[derive(Default)]
struct Usability {
    sample_aspect: Option<(u16, u16)>,
    frame_rate: Option<FrameRate>,
}

impl Usability {
    fn parse(bits: &mut Bits<'_>) -> Result<Self, Error> {
        let mut this = Self::default();
        if !bits.flag()? {
            return Ok(this);
        }
        if bits.flag()? {
            let aspect = match bits.u8()? {
                ASPECT_EXTENDED => {
                    let mut half = || -> Result<u16, Error> {
                        Ok(u16::from(bits.u8()?) << 8 | u16::from(bits.u8()?))
                    };
                    Some((half()?, half()?))
                }
                index => index
                    .checked_sub(1)
                    .and_then(|index| SAMPLE_ASPECTS.get(usize::from(index)).copied()),
            };
            this.sample_aspect = aspect.filter(|&(x, y)| x != y && x > 0 && y > 0);
        }
        if bits.flag()? {
            bits.flag()?;
        }
        if bits.flag()? {
            bits.bits(4)?;
            if bits.flag()? {
                bits.bits(24)?;
            }
        }
        if bits.flag()? {
            bits.ue("chroma_sample_loc_type", 5)?;
            bits.ue("chroma_sample_loc_type", 5)?;
        }
        if bits.flag()? {
            let units_in_tick = bits.bits(32)?;
            let time_scale = bits.bits(32)?;
            // A tick is a field: two of them make a frame (§E.2.1).
            this.frame_rate = units_in_tick
                .checked_mul(2)
                .filter(|&denominator| denominator > 0 && time_scale > 0)
                .map(|denominator| FrameRate {
                    numerator: time_scale,
                    denominator,
                });
        }
        Ok(this)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes bits for tests: each item a value and its width, or an Exp-Golomb number.
    #[derive(Default)]
    struct Writer(Vec<bool>);

    impl Writer {
        fn bits(&mut self, value: u32, count: u32) -> &mut Self {
            self.0.extend((0..count).rev().map(|i| value >> i & 1 == 1));
            self
        }

        fn ue(&mut self, value: u32) -> &mut Self {
            let len = 32 - (value + 1).leading_zeros();
            self.bits(0, len - 1).bits(value + 1, len)
        }

        fn nal(&self) -> Vec<u8> {
            let mut out = vec![0x67];
            for chunk in self.0.chunks(8) {
                let byte = chunk
                    .iter()
                    .enumerate()
                    .fold(0, |b, (i, &bit)| b | u8::from(bit) << (7 - i));
                out.push(byte);
            }
            out
        }
    }

    #[test]
    fn cropping_interlacing_and_scaling_lists_are_understood() {
        let mut w = Writer::default();
        w.bits(100, 8).bits(0, 8).bits(40, 8).ue(0);
        // 4:2:0, 8 bits, a scaling matrix whose first list is sent and ends at once.
        w.ue(1).ue(0).ue(0).bits(0, 1).bits(1, 1).bits(1, 1);
        // delta_scale −8 makes the next scale zero: the list ends.
        w.ue(16).bits(0, 7);
        w.ue(0).ue(2).ue(4).bits(0, 1);
        // 1920 × 1080 interlaced: 120 columns, 34 map units of 32 rows, cropped by 2 × 4 rows.
        w.ue(119).ue(33).bits(0, 1).bits(1, 1).bits(1, 1);
        w.bits(1, 1).ue(0).ue(0).ue(0).ue(2);
        // Usability: 4:3 samples, 25 frames a second.
        w.bits(1, 1)
            .bits(1, 1)
            .bits(14, 8)
            .bits(0, 3)
            .bits(1, 1)
            .bits(1, 32)
            .bits(50, 32)
            .bits(1, 1);
        let sps = Sps::parse(&w.nal()).unwrap();
        assert_eq!((sps.width, sps.height), (1920, 1080));
        assert_eq!(sps.sample_aspect, Some((4, 3)));
        assert_eq!(sps.frame_rate.unwrap().fps(), 25.0);
        assert_eq!(sps.codec_string(), "avc1.640028");
    }

    #[test]
    fn a_picture_cropped_to_nothing_is_refused() {
        let mut w = Writer::default();
        w.bits(66, 8)
            .bits(0xc0, 8)
            .bits(30, 8)
            .ue(0)
            .ue(0)
            .ue(2)
            .ue(1)
            .bits(0, 1);
        w.ue(0)
            .ue(0)
            .bits(1, 1)
            .bits(1, 1)
            .bits(1, 1)
            .ue(4)
            .ue(4)
            .ue(0)
            .ue(0)
            .bits(0, 1);
        assert_eq!(
            Sps::parse(&w.nal()),
            Err(Error::OutOfRange("frame_crop_offset"))
        );
    }

    #[test]
    fn absurd_dimensions_are_refused() {
        let mut w = Writer::default();
        w.bits(66, 8)
            .bits(0xc0, 8)
            .bits(30, 8)
            .ue(0)
            .ue(0)
            .ue(2)
            .ue(1)
            .bits(0, 1);
        w.ue(100_000).ue(100_000);
        assert_eq!(
            Sps::parse(&w.nal()),
            Err(Error::OutOfRange("pic_width_in_mbs_minus1"))
        );
    }
}
