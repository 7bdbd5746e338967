//! Frames into samples.

use fdk_aac::dec::{Decoder as Fdk, Transport};
use media::AudioConfig;
use opus::{Channels, Decoder as Opus};

use crate::{CHANNELS, Error, RATE, of_fdk, of_opus};

/// Most samples of a frame, of both channels: 120 ms of Opus are more than any frame of AAC.
const SAMPLES_MAX: usize = 5_760 * CHANNELS;

/// Decodes one track.
pub(crate) struct Decoder {
    library: Library,
    samples: Vec<i16>,
}

enum Library {
    Fdk(Fdk),
    Opus(Opus),
}

/// What a frame decodes to.
pub(crate) struct Decoded<'a> {
    pub(crate) rate: u32,
    /// How much later than the frame it sounds, in its own samples.
    pub(crate) delay: u32,
    /// Both channels, one after the other.
    pub(crate) samples: &'a [i16],
}

impl Decoder {
    pub(crate) fn new(config: &AudioConfig) -> Result<Self, Error> {
        let library = match config {
            AudioConfig::Aac { record, .. } => {
                let mut fdk = Fdk::new(Transport::Raw);
                // One channel becomes two, and many become two.
                fdk.set_min_output_channels(CHANNELS).map_err(of_fdk)?;
                fdk.set_max_output_channels(CHANNELS).map_err(of_fdk)?;
                fdk.config_raw(record).map_err(of_fdk)?;
                Library::Fdk(fdk)
            }
            AudioConfig::Opus { .. } => {
                Library::Opus(Opus::new(RATE, Channels::Stereo).map_err(of_opus)?)
            }
        };
        Ok(Self {
            library,
            samples: vec![0; SAMPLES_MAX],
        })
    }

    /// Decodes a frame; fails for one that is broken, and goes on with the next.
    pub(crate) fn decode(&mut self, frame: &[u8]) -> Result<Decoded<'_>, Error> {
        match &mut self.library {
            Library::Fdk(fdk) => {
                fdk.fill(frame).map_err(of_fdk)?;
                fdk.decode_frame(&mut self.samples).map_err(of_fdk)?;
                let info = fdk.stream_info();
                let channels = usize::try_from(info.numChannels).unwrap_or(0);
                if channels != CHANNELS {
                    return Err(of_fdk("sound that is not made of two channels"));
                }
                let (rate, delay) = (info.sampleRate.unsigned_abs(), info.outputDelay);
                let samples = self.samples.get(..fdk.decoded_frame_size());
                Ok(Decoded {
                    rate,
                    delay,
                    samples: samples.ok_or_else(|| of_fdk("a frame that is too long"))?,
                })
            }
            Library::Opus(opus) => {
                let decoded = opus.decode(frame, &mut self.samples, false);
                let count = decoded.map_err(of_opus)? * CHANNELS;
                Ok(Decoded {
                    rate: RATE,
                    delay: 0,
                    samples: &self.samples[..count],
                })
            }
        }
    }
}
