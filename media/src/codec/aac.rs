//! AAC as a server must read it: the `AudioSpecificConfig` (ISO/IEC 14496-3 §1.6.2.1).

/// Sample rates by index (table 1.18).
const SAMPLE_RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];
/// The index that says an explicit rate follows.
const RATE_EXPLICIT: u32 = 15;
/// What an explicit rate may be. Above is nothing that anybody plays.
const RATES_EXPLICIT: std::ops::RangeInclusive<u32> = 4_000..=192_000;

/// Object types (table 1.17).
const MAIN: u8 = 1;
const LTP: u8 = 4;
const SBR: u8 = 5;
const PS: u8 = 29;
const ESCAPE: u8 = 31;

/// Sync words of the backward compatible extensions (§1.6.5).
const SYNC_SBR: u32 = 0x2b7;
const SYNC_PS: u32 = 0x548;

/// Channels by channel configuration (table 1.19), from 1 on.
const CHANNELS: [u8; 7] = [1, 2, 3, 4, 5, 6, 8];

/// Why bytes are not a set-up that can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It ends in the middle of something.
    #[error("the configuration ends too early")]
    Truncated,
    /// An object type that browsers do not play.
    #[error("AAC object type {0} is not supported")]
    ObjectType(u8),
    /// A reserved or absurd sample rate.
    #[error("the sample rate is not supported")]
    SampleRate,
    /// A channel set-up in a program config element, or a reserved one.
    #[error("AAC channel configuration {0} is not supported")]
    Channels(u8),
}

/// What an `AudioSpecificConfig` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioSpecificConfig {
    /// What the frames are coded as, below any extension: 2 for AAC-LC.
    pub object_type: u8,
    /// Samples per second and channel that come out of the decoder, spectral band replication
    /// included where it is signalled.
    pub sample_rate: u32,
    /// Channels that come out of the decoder; parametric stereo makes two of one.
    pub channels: u8,
    /// Samples per channel that one frame decodes to, at `sample_rate`.
    pub samples_per_frame: u32,
    /// Spectral band replication is signalled (HE-AAC).
    pub sbr: bool,
    /// Parametric stereo is signalled (HE-AAC v2).
    pub ps: bool,
}

impl AudioSpecificConfig {
    /// Reads one.
    ///
    /// # Errors
    /// When it is cut short, or says something that browsers do not play.
    pub fn parse(data: &[u8]) -> Result<Self, Error> {
        let mut bits = Bits { data, at: 0 };
        let mut object_type = bits.object_type()?;
        let core_rate = bits.sample_rate()?;
        let channel_config = bits.u8(4)?;
        let mut sbr = object_type == SBR || object_type == PS;
        let mut ps = object_type == PS;
        let mut output_rate = core_rate;
        if sbr {
            output_rate = bits.sample_rate()?;
            object_type = bits.object_type()?;
        }
        if !(MAIN..=LTP).contains(&object_type) {
            return Err(Error::ObjectType(object_type));
        }
        let core_samples = bits.general_audio()?;
        let channels = usize::from(channel_config)
            .checked_sub(1)
            .and_then(|index| CHANNELS.get(index).copied())
            .ok_or(Error::Channels(channel_config))?;
        if !sbr && let Ok(Some(extension)) = bits.extension() {
            sbr = true;
            output_rate = extension.rate;
            ps = extension.ps;
        }
        // Replication doubles the rate, or keeps it when it runs "down-sampled" (§4.6.18).
        let doubled = sbr && output_rate == core_rate * 2;
        Ok(Self {
            object_type,
            sample_rate: if doubled { output_rate } else { core_rate },
            channels: if ps && channels == 1 { 2 } else { channels },
            samples_per_frame: if doubled {
                core_samples * 2
            } else {
                core_samples
            },
            sbr,
            ps,
        })
    }

    /// The codec as RFC 6381 writes it, such as `mp4a.40.2`.
    pub fn codec_string(&self) -> String {
        let object_type = match (self.ps, self.sbr) {
            (true, _) => PS,
            (false, true) => SBR,
            (false, false) => self.object_type,
        };
        format!("mp4a.40.{object_type}")
    }
}

struct Extension {
    rate: u32,
    ps: bool,
}

struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bits(&mut self, count: u32) -> Result<u32, Error> {
        let mut value = 0;
        for _ in 0..count {
            let byte = *self.data.get(self.at / 8).ok_or(Error::Truncated)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Ok(value)
    }

    fn u8(&mut self, count: u32) -> Result<u8, Error> {
        Ok(self.bits(count)?.to_be_bytes()[3])
    }

    fn object_type(&mut self) -> Result<u8, Error> {
        match self.u8(5)? {
            ESCAPE => Ok(32 + self.u8(6)?),
            object_type => Ok(object_type),
        }
    }

    fn sample_rate(&mut self) -> Result<u32, Error> {
        match self.bits(4)? {
            RATE_EXPLICIT => {
                let rate = self.bits(24)?;
                RATES_EXPLICIT
                    .contains(&rate)
                    .then_some(rate)
                    .ok_or(Error::SampleRate)
            }
            index => SAMPLE_RATES
                .get(index as usize)
                .copied()
                .ok_or(Error::SampleRate),
        }
    }

    /// The `GASpecificConfig` up to what depends on the object type (§4.4.1): samples a frame.
    fn general_audio(&mut self) -> Result<u32, Error> {
        let short = self.bits(1)? == 1;
        if self.bits(1)? == 1 {
            self.bits(14)?;
        }
        self.bits(1)?;
        Ok(if short { 960 } else { 1024 })
    }

    /// The backward compatible signalling behind the configuration, if there is one (§1.6.6.2).
    fn extension(&mut self) -> Result<Option<Extension>, Error> {
        if self.bits(11)? != SYNC_SBR || self.object_type()? != SBR || self.bits(1)? == 0 {
            return Ok(None);
        }
        let rate = self.sample_rate()?;
        let ps = matches!(self.bits(11), Ok(SYNC_PS)) && matches!(self.bits(1), Ok(1));
        Ok(Some(Extension { rate, ps }))
    }
}

/// The header that stands before a frame of `length` bytes in a stream without a container (ADTS,
/// ISO/IEC 14496-3 §1.A.3.2), for a decoder set up by `record`. `None` for what such a header cannot
/// tell.
pub fn adts_header(record: &[u8], length: usize) -> Option<[u8; 7]> {
    let [first, second, ..] = *record else {
        return None;
    };
    let rate = (first & 7) << 1 | second >> 7;
    let channels = second >> 3 & 0x0f;
    let total = u16::try_from(length + 7)
        .ok()
        .filter(|total| *total < 1 << 13)?;
    if rate > 12 || !(1..=7).contains(&channels) {
        return None;
    }
    // AAC-LC below any extension, which decoders find in the frames.
    let [high, low] = total.to_be_bytes();
    Some([
        0xff,
        0xf1,
        1 << 6 | rate << 2 | channels >> 2,
        (channels & 3) << 6 | high >> 3,
        high << 5 | low >> 3,
        low << 5 | 0x1f,
        0xfc,
    ])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(data: &[u8]) -> AudioSpecificConfig {
        AudioSpecificConfig::parse(data).unwrap()
    }

    #[test]
    fn the_usual_configurations_are_read() {
        let stereo_48k = parse(&[0x11, 0x90]);
        assert_eq!((stereo_48k.sample_rate, stereo_48k.channels), (48_000, 2));
        assert_eq!(stereo_48k.samples_per_frame, 1024);
        assert_eq!(stereo_48k.codec_string(), "mp4a.40.2");
        let mono_44k = parse(&[0x12, 0x08]);
        assert_eq!((mono_44k.sample_rate, mono_44k.channels), (44_100, 1));
        // As OBS sends it: AAC-LC with an extension that says there is no replication.
        let obs = parse(&[0x11, 0x90, 0x56, 0xe5, 0x00]);
        assert_eq!((obs.sbr, obs.sample_rate), (false, 48_000));
        let surround = parse(&[0x11, 0xb8]);
        assert_eq!(surround.channels, 8);
    }

    #[test]
    fn band_replication_is_understood_in_both_signallings() {
        // Explicit: type 5, core 24 kHz mono, output 48 kHz, then AAC-LC.
        let explicit = parse(&[0x2b, 0x09, 0x88, 0x00]);
        assert_eq!(
            (explicit.sample_rate, explicit.samples_per_frame),
            (48_000, 2048)
        );
        assert_eq!(explicit.codec_string(), "mp4a.40.5");
        // Backward compatible: AAC-LC at 22.05 kHz, then the sync word and 44.1 kHz.
        let compatible = parse(&[0x13, 0x90, 0x56, 0xe5, 0xa0]);
        assert_eq!(
            (compatible.sample_rate, compatible.samples_per_frame),
            (44_100, 2048)
        );
        // Parametric stereo makes two channels of one.
        let stereo = parse(&[0xeb, 0x09, 0x88, 0x00]);
        assert_eq!(
            (stereo.channels, stereo.codec_string().as_str()),
            (2, "mp4a.40.29")
        );
    }

    #[test]
    fn explicit_rates_are_bounded() {
        // AAC-LC, index 15, 37 800 Hz, stereo.
        let mut value: u64 = 0b00010;
        for (part, width) in [(15_u64, 4), (37_800, 24), (2, 4), (0, 3)] {
            value = value << width | part;
        }
        let bytes = value.to_be_bytes();
        assert_eq!(parse(&bytes[3..]).sample_rate, 37_800);
        let zero = [0x17, 0x80, 0x00, 0x00, 0x10];
        assert_eq!(AudioSpecificConfig::parse(&zero), Err(Error::SampleRate));
    }

    #[test]
    fn what_browsers_do_not_play_is_refused_by_name() {
        assert_eq!(AudioSpecificConfig::parse(&[]), Err(Error::Truncated));
        assert_eq!(AudioSpecificConfig::parse(&[0x11]), Err(Error::Truncated));
        assert_eq!(
            AudioSpecificConfig::parse(&[0x11, 0x80]),
            Err(Error::Channels(0))
        );
        // Enhanced low delay.
        assert_eq!(
            AudioSpecificConfig::parse(&[0xf8, 0xe6, 0x40, 0]),
            Err(Error::ObjectType(39))
        );
        assert_eq!(
            AudioSpecificConfig::parse(&[0x16, 0x90]),
            Err(Error::SampleRate)
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(data in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(asc) = AudioSpecificConfig::parse(&data) {
                prop_assert!(asc.sample_rate > 0 && asc.channels > 0 && asc.samples_per_frame > 0);
            }
        }
    }

    #[test]
    fn a_frame_without_a_container_tells_its_length() {
        // AAC-LC, 44.1 kHz, two channels; then 48 kHz with its extension to 96 kHz.
        assert_eq!(
            adts_header(&[0x12, 0x10], 100),
            Some([0xff, 0xf1, 0x50, 0x80, 0x0d, 0x7f, 0xfc])
        );
        assert!(adts_header(&[0x29, 0x90, 0x08], 100).is_some());
        for (record, length) in [(&[0x12][..], 1), (&[0x17, 0x80], 1), (&[0x12, 0x10], 9000)] {
            assert_eq!(adts_header(record, length), None);
        }
    }
}
