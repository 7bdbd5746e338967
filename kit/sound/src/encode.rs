//! Samples into frames.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use fdk_aac::enc::{
    AudioObjectType, BitRate, ChannelMode, Encoder as Fdk, EncoderParams, Transport,
};
use media::codec::aac::AudioSpecificConfig;
use media::{AudioConfig, MediaTime, TrackConfig};
use opus::{Application, Bitrate, Channels, Encoder as Opus};

use crate::coder::Coded;
use crate::line::{Line, lasts};
use crate::{Error, RATE, of_fdk, of_opus};

/// Bits a second.
const OPUS_BPS: i32 = 128_000;
const AAC_BPS: u32 = 160_000;

/// Samples of a packet of Opus: 20 ms.
const OPUS_SAMPLES: u32 = 960;

/// More than any frame takes.
const FRAME_BYTES_MAX: usize = 8 * 1024;

/// What is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// Packets of 20 ms.
    Opus,
    /// AAC LC.
    Aac,
}

/// Encodes one track.
pub(crate) struct Encoder {
    library: Library,
    config: Arc<TrackConfig>,
    /// Samples of a frame, per channel.
    pub(crate) length: usize,
    /// How much earlier than what went in a frame begins.
    delay_micros: i64,
    /// Where frames stand that went in and have not come out.
    under_way: VecDeque<i64>,
    frame: Vec<i16>,
    bytes: Vec<u8>,
}

enum Library {
    Fdk(Fdk),
    Opus(Opus),
}

impl Encoder {
    pub(crate) fn new(to: To) -> Result<Self, Error> {
        let (library, config, length, delay) = match to {
            To::Opus => opus()?,
            To::Aac => fdk()?,
        };
        Ok(Self {
            library,
            config: Arc::new(TrackConfig::Audio(config)),
            length: length as usize,
            delay_micros: lasts(delay.into()),
            under_way: VecDeque::new(),
            frame: Vec::new(),
            bytes: vec![0; FRAME_BYTES_MAX],
        })
    }

    /// Takes what there is of whole frames. The first may give nothing yet.
    pub(crate) fn take(&mut self, line: &mut Line, coded: &mut Vec<Coded>) -> Result<(), Error> {
        while let Some(stands) = line.cut(self.length, &mut self.frame) {
            self.under_way.push_back(stands - self.delay_micros);
            let length = self.encode()?;
            if length == 0 {
                continue;
            }
            let Some(micros) = self.under_way.pop_front() else {
                continue;
            };
            coded.push(Coded {
                at: MediaTime::from_micros(micros),
                config: Arc::clone(&self.config),
                data: Bytes::copy_from_slice(&self.bytes[..length]),
            });
        }
        Ok(())
    }

    fn encode(&mut self) -> Result<usize, Error> {
        let (samples, bytes) = (&self.frame, &mut self.bytes);
        match &mut self.library {
            Library::Opus(opus) => opus.encode(samples, bytes).map_err(of_opus),
            Library::Fdk(fdk) => {
                let made = fdk.encode(samples, bytes).map_err(of_fdk)?;
                if made.input_consumed == samples.len() {
                    Ok(made.output_size)
                } else {
                    Err(of_fdk("it has not taken all of a frame in"))
                }
            }
        }
    }
}

/// A library, what it makes, and how long its frames and its delay are in samples.
type Made = (Library, AudioConfig, u32, u32);

fn opus() -> Result<Made, Error> {
    let made = Opus::new(RATE, Channels::Stereo, Application::Audio);
    let mut opus = made.map_err(of_opus)?;
    opus.set_bitrate(Bitrate::Bits(OPUS_BPS)).map_err(of_opus)?;
    let delay = opus.get_lookahead().map_err(of_opus)?.unsigned_abs();
    let config = AudioConfig::Opus {
        channels: 2,
        samples_per_frame: OPUS_SAMPLES,
    };
    Ok((Library::Opus(opus), config, OPUS_SAMPLES, delay))
}

fn fdk() -> Result<Made, Error> {
    let made = Fdk::new(EncoderParams {
        bit_rate: BitRate::Cbr(AAC_BPS),
        sample_rate: RATE,
        transport: Transport::Raw,
        channels: ChannelMode::Stereo,
        audio_object_type: AudioObjectType::Mpeg4LowComplexity,
    });
    let fdk = made.map_err(of_fdk)?;
    let info = fdk.info().map_err(of_fdk)?;
    let record = info.confBuf.get(..info.confSize as usize);
    let record = Bytes::copy_from_slice(record.unwrap_or_default());
    let asc = AudioSpecificConfig::parse(&record).map_err(of_fdk)?;
    let config = AudioConfig::Aac { record, asc };
    Ok((Library::Fdk(fdk), config, info.frameLength, info.nDelay))
}
