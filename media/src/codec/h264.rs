//! H.264 as a server must read it: parameter sets, decoder configuration records and the NAL units
//! of an access unit (ITU-T H.264, ISO/IEC 14496-15 §5). Nothing is decoded.
//!
//! Every count that the input announces is checked against a limit of the standard before it is
//! used, and every read is bounded by the input.

use bytes::{BufMut, Bytes, BytesMut};

use crate::VideoConfig;

mod bits;
mod sps;

pub use sps::{FrameRate, Sps};

/// Bytes of the length in front of each NAL unit, in the one form that frames have here.
pub const LENGTH_BYTES: usize = 4;

/// Most sequence parameter sets a record can announce (a 5-bit count).
const SPS_MAX: u8 = 31;

const NAL_SLICE: u8 = 1;
const NAL_IDR: u8 = 5;
const NAL_SEI: u8 = 6;
const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;

/// SEI payload type of a recovery point (H.264 §D.1.8).
const SEI_RECOVERY_POINT: u32 = 6;

/// Why bytes are not the H.264 they were announced as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It ends in the middle of something.
    #[error("the data ends too early")]
    Truncated,
    /// The record is of a version nobody has defined.
    #[error("unknown version {0} of the decoder configuration record")]
    Version(u8),
    /// Lengths of three bytes are not allowed by the format.
    #[error("NAL unit lengths of three bytes do not exist")]
    LengthSize,
    /// The record carries no sequence or no picture parameter set.
    #[error("the decoder configuration record has no {0} parameter set")]
    NoParameterSet(&'static str),
    /// A parameter set is not of the type its place demands.
    #[error("NAL unit of type {0} where a parameter set should be")]
    NotAParameterSet(u8),
    /// A value is outside what the standard allows.
    #[error("{0} is outside what the standard allows")]
    OutOfRange(&'static str),
    /// The access unit has no NAL unit.
    #[error("an access unit without NAL units")]
    Empty,
    /// A NAL unit or frame is too large to be told in four bytes.
    #[error("the access unit is too large")]
    TooLarge,
}

/// A decoder configuration record as a publisher sent it, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The set-up, with its record normalised to 4-byte lengths.
    pub config: VideoConfig,
    /// How many bytes the publisher's frames have in front of each NAL unit: 1, 2 or 4. Unless 4,
    /// frames must pass through [`to_four_byte_lengths`].
    pub length_size: u8,
}

/// Reads an `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 §5.3.3.1).
///
/// The record in the result is written anew: 4-byte lengths, profile and level as the first
/// sequence parameter set has them, the chroma fields of the high profiles always present, nothing
/// behind them.
///
/// # Errors
/// When it is cut short, carries no parameter sets, or they are not what the standard allows.
pub fn parse_record(record: &[u8]) -> Result<Record, Error> {
    let mut rest = Slice(record);
    let version = rest.u8()?;
    if version != 1 {
        return Err(Error::Version(version));
    }
    rest.take(3)?;
    let length_size = (rest.u8()? & 3) + 1;
    if length_size == 3 {
        return Err(Error::LengthSize);
    }
    let sps_count = rest.u8()? & SPS_MAX;
    let sps_sets = parameter_sets(&mut rest, sps_count, NAL_SPS)?;
    let pps_count = rest.u8()?;
    let pps_sets = parameter_sets(&mut rest, pps_count, NAL_PPS)?;
    let first = *sps_sets.first().ok_or(Error::NoParameterSet("sequence"))?;
    if pps_sets.is_empty() {
        return Err(Error::NoParameterSet("picture"));
    }
    let sps = Sps::parse(first)?;
    let record = write_record(&sps, &sps_sets, &pps_sets)?;
    Ok(Record {
        config: VideoConfig::H264 { record, sps },
        length_size,
    })
}

/// The set-up for pictures whose parameter sets come among them, as they do over RTP.
///
/// # Errors
/// When either is missing, or not what the standard allows.
pub fn from_parameter_sets(sps_set: &[u8], pps_set: &[u8]) -> Result<VideoConfig, Error> {
    for (set, wanted) in [(sps_set, NAL_SPS), (pps_set, NAL_PPS)] {
        let header = *set.first().ok_or(Error::Truncated)?;
        if header & 0x1f != wanted {
            return Err(Error::NotAParameterSet(header & 0x1f));
        }
    }
    let sps = Sps::parse(sps_set)?;
    let record = write_record(&sps, &[sps_set], &[pps_set])?;
    Ok(VideoConfig::H264 { record, sps })
}

/// The parameter sets of a record that [`parse_record`] wrote: sequence, then picture.
pub fn parameter_sets_of(record: &[u8]) -> Vec<&[u8]> {
    let mut rest = Slice(record);
    let mut read = || -> Result<Vec<&[u8]>, Error> {
        rest.take(5)?;
        let count = rest.u8()? & SPS_MAX;
        let mut sets = parameter_sets(&mut rest, count, NAL_SPS)?;
        let count = rest.u8()?;
        sets.append(&mut parameter_sets(&mut rest, count, NAL_PPS)?);
        Ok(sets)
    };
    read().unwrap_or_default()
}

fn parameter_sets<'a>(
    rest: &mut Slice<'a>,
    count: u8,
    nal_type: u8,
) -> Result<Vec<&'a [u8]>, Error> {
    let mut sets = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let len = usize::from(rest.u16()?);
        let nal = rest.take(len)?;
        let header = *nal.first().ok_or(Error::Truncated)?;
        if header & 0x1f != nal_type {
            return Err(Error::NotAParameterSet(header & 0x1f));
        }
        sets.push(nal);
    }
    Ok(sets)
}

fn write_record(sps: &Sps, sps_sets: &[&[u8]], pps_sets: &[&[u8]]) -> Result<Bytes, Error> {
    let count = |sets: &[&[u8]]| u8::try_from(sets.len()).map_err(|_| Error::TooLarge);
    let mut out = BytesMut::new();
    out.put_u8(1);
    out.put_slice(&[sps.profile_idc, sps.constraint_flags, sps.level_idc, 0xff]);
    for (head, sets) in [
        (0xe0 | count(sps_sets)?, sps_sets),
        (count(pps_sets)?, pps_sets),
    ] {
        out.put_u8(head);
        for set in sets {
            out.put_u16(u16::try_from(set.len()).map_err(|_| Error::TooLarge)?);
            out.put_slice(set);
        }
    }
    if sps.has_chroma_fields() {
        out.put_u8(0xfc | sps.chroma_format_idc);
        out.put_u8(0xf8 | (sps.bit_depth_luma - 8));
        out.put_u8(0xf8 | (sps.bit_depth_chroma - 8));
        out.put_u8(0);
    }
    Ok(out.freeze())
}

/// What a look at the NAL units of an access unit tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccessUnit {
    /// It has a slice of an IDR picture: decoding can start here and nothing later refers behind it.
    pub idr: bool,
    /// It carries a recovery point: decoding can start here and becomes right soon after.
    pub recovery_point: bool,
    /// It has a picture at all, not only parameter sets or messages.
    pub picture: bool,
}

impl AccessUnit {
    /// Whether decoding can start here.
    pub const fn is_keyframe(&self) -> bool {
        self.idr || (self.picture && self.recovery_point)
    }
}

/// Checks that an access unit is whole NAL units with 4-byte lengths, and tells what is in it.
///
/// # Errors
/// When a length reaches behind the end, or there is no NAL unit.
pub fn inspect(access_unit: &[u8]) -> Result<AccessUnit, Error> {
    let mut found = AccessUnit::default();
    let mut any = false;
    for nal in NalUnits::new(access_unit, 4) {
        let nal = nal?;
        let Some(&header) = nal.first() else { continue };
        any = true;
        match header & 0x1f {
            NAL_IDR => {
                found.idr = true;
                found.picture = true;
            }
            NAL_SLICE..=4 => found.picture = true,
            NAL_SEI => found.recovery_point |= has_recovery_point(nal),
            _ => {}
        }
    }
    if any { Ok(found) } else { Err(Error::Empty) }
}

/// Gives an access unit 4-byte lengths; one that has them already is checked and shared, not copied.
///
/// # Errors
/// When a length reaches behind the end, or there is no NAL unit.
pub fn to_four_byte_lengths(access_unit: &Bytes, length_size: u8) -> Result<Bytes, Error> {
    let mut count = 0;
    let mut payload = 0;
    for nal in NalUnits::new(access_unit, length_size) {
        count += 1;
        payload += nal?.len();
    }
    if count == 0 {
        return Err(Error::Empty);
    }
    if usize::from(length_size) == LENGTH_BYTES {
        return Ok(access_unit.clone());
    }
    let mut out = BytesMut::with_capacity(payload + count * LENGTH_BYTES);
    for nal in NalUnits::new(access_unit, length_size) {
        let nal = nal?;
        out.put_u32(u32::try_from(nal.len()).map_err(|_| Error::TooLarge)?);
        out.put_slice(nal);
    }
    Ok(out.freeze())
}

/// The NAL units of an access unit in length-prefixed form, without their lengths. Ends after the
/// first error.
#[derive(Clone, Debug)]
pub struct NalUnits<'a> {
    rest: &'a [u8],
    length_size: usize,
}

impl<'a> NalUnits<'a> {
    /// Over `access_unit`, whose lengths have `length_size` bytes each (1, 2 or 4).
    pub fn new(access_unit: &'a [u8], length_size: u8) -> Self {
        Self {
            rest: access_unit,
            length_size: usize::from(length_size.clamp(1, 4)),
        }
    }

    fn step(&mut self) -> Result<&'a [u8], Error> {
        let mut rest = Slice(self.rest);
        let len = rest
            .take(self.length_size)?
            .iter()
            .fold(0_usize, |n, &b| n << 8 | usize::from(b));
        let nal = rest.take(len)?;
        self.rest = rest.0;
        Ok(nal)
    }
}

impl<'a> Iterator for NalUnits<'a> {
    type Item = Result<&'a [u8], Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.rest = &[];
        }
        Some(step)
    }
}

/// Whether an SEI NAL unit carries a recovery point. What cannot be read counts as none: messages
/// are not needed for decoding.
fn has_recovery_point(nal: &[u8]) -> bool {
    let rbsp = bits::without_emulation_prevention(nal.get(1..).unwrap_or_default());
    let mut rest = Slice(&rbsp);
    // Each message has a type and a size, each a run of 0xff bytes and one more (§7.3.2.3.1).
    let number = |rest: &mut Slice<'_>| -> Option<u32> {
        let mut sum = 0_u32;
        loop {
            let byte = rest.u8().ok()?;
            sum = sum.checked_add(u32::from(byte))?;
            if byte != 0xff {
                return Some(sum);
            }
        }
    };
    // One byte of trailing bits ends the NAL unit.
    while rest.0.len() > 1 {
        let Some(kind) = number(&mut rest) else {
            return false;
        };
        let Some(size) = number(&mut rest) else {
            return false;
        };
        if kind == SEI_RECOVERY_POINT {
            return true;
        }
        if rest
            .take(usize::try_from(size).unwrap_or(usize::MAX))
            .is_err()
        {
            return false;
        }
    }
    false
}

/// A slice that is read from the front, with bounds.
struct Slice<'a>(&'a [u8]);

impl<'a> Slice<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (head, tail) = self.0.split_at_checked(len).ok_or(Error::Truncated)?;
        self.0 = tail;
        Ok(head)
    }

    fn u8(&mut self) -> Result<u8, Error> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, Error> {
        Ok(u16::from(self.u8()?) << 8 | u16::from(self.u8()?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 1280x720, High@3.1, 30 fps, as x264 writes it.
    const SPS_720P: &[u8] = &[
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03,
        0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
    ];
    const PPS: &[u8] = &[0x68, 0xeb, 0xec, 0xb2, 0x2c];

    fn record(length_size: u8) -> Vec<u8> {
        let mut out = vec![1, 0x64, 0, 0x1f, 0xfc | (length_size - 1), 0xe1, 0, 26];
        out.extend_from_slice(SPS_720P);
        out.extend_from_slice(&[1, 0, 5]);
        out.extend_from_slice(PPS);
        out
    }

    #[test]
    fn a_record_is_read_and_written_anew_with_four_byte_lengths() {
        for length_size in [1, 2, 4] {
            let read = parse_record(&record(length_size)).unwrap();
            assert_eq!(read.length_size, length_size);
            let VideoConfig::H264 { record, sps } = &read.config else {
                unreachable!("it is H.264")
            };
            assert_eq!((sps.width, sps.height), (1280, 720));
            assert_eq!(sps.codec_string(), "avc1.64001f");
            assert_eq!(sps.frame_rate.map(|rate| rate.fps()), Some(30.0));
            assert_eq!(record[4], 0xff);
            assert_eq!(&record[record.len() - 4..], [0xfd, 0xf8, 0xf8, 0]);
            let again = parse_record(record).unwrap();
            assert_eq!(again.config, read.config, "normalising is idempotent");
        }
        assert_eq!(parse_record(&record(3)), Err(Error::LengthSize));
    }

    #[test]
    fn a_record_cut_short_anywhere_is_refused() {
        let whole = record(4);
        for len in 0..whole.len() {
            assert!(parse_record(&whole[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn short_lengths_are_rewritten_and_long_ones_shared() {
        let two = Bytes::from_static(&[0, 2, 0x65, 1, 0, 1, 0x41]);
        let four = to_four_byte_lengths(&two, 2).unwrap();
        assert_eq!(&four[..], [0, 0, 0, 2, 0x65, 1, 0, 0, 0, 1, 0x41]);
        let same = to_four_byte_lengths(&four, 4).unwrap();
        assert_eq!(same.as_ptr(), four.as_ptr());
        assert_eq!(to_four_byte_lengths(&two, 4), Err(Error::Truncated));
        assert_eq!(to_four_byte_lengths(&Bytes::new(), 4), Err(Error::Empty));
    }

    #[test]
    fn keyframes_are_told_by_idr_or_recovery_point() {
        let idr = [0, 0, 0, 2, 0x65, 0x88];
        assert!(inspect(&idr).unwrap().is_keyframe());
        let plain = [0, 0, 0, 2, 0x41, 0x9a];
        assert!(!inspect(&plain).unwrap().is_keyframe());
        let recovery = [0, 0, 0, 5, 0x06, 6, 1, 0xc4, 0x80, 0, 0, 0, 2, 0x41, 0x9a];
        assert!(inspect(&recovery).unwrap().is_keyframe());
        let user_data = [0, 0, 0, 5, 0x06, 5, 1, 6, 0x80, 0, 0, 0, 2, 0x41, 0x9a];
        assert!(!inspect(&user_data).unwrap().is_keyframe());
        assert_eq!(inspect(&[0xff, 0xff, 0xff, 0xff, 1]), Err(Error::Truncated));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parsers_panic(data in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = parse_record(&data);
            let _ = Sps::parse(&data);
            let _ = inspect(&data);
            for length_size in [1, 2, 4] {
                let _ = to_four_byte_lengths(&Bytes::copy_from_slice(&data), length_size);
            }
        }

        #[test]
        fn a_damaged_parameter_set_never_panics(
            at in 1..SPS_720P.len(), value in any::<u8>(), len in 0..=SPS_720P.len()
        ) {
            let mut damaged = SPS_720P.to_vec();
            damaged[at] = value;
            let _ = Sps::parse(&damaged[..len]);
        }
    }
}
