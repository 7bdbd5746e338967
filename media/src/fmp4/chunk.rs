//! One CMAF chunk: a movie fragment box and its media data.

use bytes::{BufMut, Bytes, BytesMut};

use super::Error;
use crate::TrackKind;

/// `default-base-is-moof` and `default-sample-flags-present` (ISO/IEC 14496-12 §8.8.7.1).
const TFHD_FLAGS: u32 = 0x02_0000 | 0x20;
/// Data offset, duration and size of each sample (§8.8.8.1).
const TRUN_SOUND: u32 = 0x1 | 0x100 | 0x200;
/// The same, and flags and composition offset of each sample.
const TRUN_PICTURES: u32 = TRUN_SOUND | 0x400 | 0x800;

/// Sample flags (§8.8.3.1): depends on no other sample.
const SYNC: u32 = 0x0200_0000;
/// Sample flags: depends on others, and decoding cannot start here.
const NOT_SYNC: u32 = 0x0101_0000;

const MOOF_FIXED: usize = 8 + 16 + 8 + 20 + 20 + 20;
const MDAT_HEADER: usize = 8;

/// One frame of a chunk.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Ticks until the next frame is decoded.
    pub duration: u32,
    /// Ticks from decoding to showing.
    pub composition_offset: i32,
    /// Whether decoding can start here.
    pub key: bool,
    /// The coded bytes.
    pub data: Bytes,
}

/// What stands in one `moof` and `mdat`.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// What kind of track.
    pub kind: TrackKind,
    /// Counts the chunks of the track, from one.
    pub sequence: u32,
    /// When the first sample is decoded, in ticks.
    pub base_time: u64,
    /// The frames in decode order.
    pub samples: &'a [Sample],
}

impl Chunk<'_> {
    /// Writes it: the frames are copied once, into one buffer of the exact size.
    ///
    /// # Errors
    /// When it would pass four gigabytes.
    pub fn write(&self) -> Result<Bytes, Error> {
        let (trun_flags, entry) = match self.kind {
            TrackKind::Video => (TRUN_PICTURES, 16),
            TrackKind::Audio => (TRUN_SOUND, 8),
        };
        let moof = MOOF_FIXED + self.samples.len() * entry;
        let media: usize = self.samples.iter().map(|sample| sample.data.len()).sum();
        let total = moof + MDAT_HEADER + media;
        let size = |len: usize| u32::try_from(len).map_err(|_| Error::TooLarge);
        size(total)?;

        let mut out = BytesMut::with_capacity(total);
        out.put_u32(size(moof)?);
        out.put_slice(b"moof");
        out.put_slice(&[0, 0, 0, 16, b'm', b'f', b'h', b'd', 0, 0, 0, 0]);
        out.put_u32(self.sequence);
        out.put_u32(size(moof - 24)?);
        out.put_slice(b"traf");

        out.put_slice(&[0, 0, 0, 20, b't', b'f', b'h', b'd']);
        out.put_u32(TFHD_FLAGS);
        out.put_u32(super::track_id(self.kind));
        out.put_u32(match self.kind {
            TrackKind::Video => NOT_SYNC,
            TrackKind::Audio => SYNC,
        });

        out.put_slice(&[0, 0, 0, 20, b't', b'f', b'd', b't', 1, 0, 0, 0]);
        out.put_u64(self.base_time);

        out.put_u32(size(20 + self.samples.len() * entry)?);
        out.put_slice(b"trun");
        // Version 1: composition offsets are signed.
        out.put_u32(1 << 24 | trun_flags);
        out.put_u32(size(self.samples.len())?);
        out.put_u32(size(moof + MDAT_HEADER)?);
        for sample in self.samples {
            out.put_u32(sample.duration);
            out.put_u32(size(sample.data.len())?);
            if self.kind == TrackKind::Video {
                out.put_u32(if sample.key { SYNC } else { NOT_SYNC });
                out.put_i32(sample.composition_offset);
            }
        }

        out.put_u32(size(MDAT_HEADER + media)?);
        out.put_slice(b"mdat");
        for sample in self.samples {
            out.put_slice(&sample.data);
        }
        debug_assert_eq!(out.len(), total, "the size is computed, not guessed");
        Ok(out.freeze())
    }
}

#[cfg(test)]
mod tests {
    use mp4_atom::{Decode, Mdat, Moof};

    use super::*;

    fn sample(key: bool, composition_offset: i32, data: &'static [u8]) -> Sample {
        Sample {
            duration: 3000,
            composition_offset,
            key,
            data: Bytes::from_static(data),
        }
    }

    #[test]
    fn an_independent_reader_finds_what_was_written() {
        let samples = [sample(true, 6000, b"keyframe"), sample(false, -3000, b"b")];
        let chunk = Chunk {
            kind: TrackKind::Video,
            sequence: 7,
            base_time: 1 << 33,
            samples: &samples,
        };
        let bytes = chunk.write().unwrap();
        let mut rest = &bytes[..];
        let moof = Moof::decode(&mut rest).unwrap();
        assert_eq!(moof.mfhd.sequence_number, 7);
        let traf = &moof.traf[0];
        assert_eq!(traf.tfdt.as_ref().unwrap().base_media_decode_time, 1 << 33);
        let trun = &traf.trun[0];
        let moof_len = bytes.len() - rest.len();
        assert_eq!(trun.data_offset, Some(i32::try_from(moof_len + 8).unwrap()));
        let read: Vec<_> = trun
            .samples
            .iter()
            .map(|e| (e.duration, e.size, e.flags, e.cts))
            .collect();
        assert_eq!(read[0], (Some(3000), Some(8), Some(SYNC), Some(6000)));
        assert_eq!(read[1], (Some(3000), Some(1), Some(NOT_SYNC), Some(-3000)));
        assert_eq!(Mdat::decode(&mut rest).unwrap().data, b"keyframeb");
        assert!(rest.is_empty());
    }

    #[test]
    fn sound_has_no_flags_of_its_own() {
        let samples = [sample(true, 0, b"aac"), sample(true, 0, b"more")];
        let chunk = Chunk {
            kind: TrackKind::Audio,
            sequence: 1,
            base_time: 0,
            samples: &samples,
        };
        let bytes = chunk.write().unwrap();
        let moof = Moof::decode(&mut &bytes[..]).unwrap();
        assert_eq!(moof.traf[0].tfhd.default_sample_flags, Some(SYNC));
        assert_eq!(
            moof.traf[0].trun[0].samples.iter().nth(1).unwrap().size,
            Some(4)
        );
    }
}
