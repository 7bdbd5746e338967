//! Both halves of making one codec of another.

use std::sync::Arc;

use bytes::Bytes;
use media::{AudioConfig, MediaTime, TrackConfig};

use crate::decode::Decoder;
use crate::encode::{Encoder, To};
use crate::line::Line;
use crate::resample::Resampler;
use crate::{Error, RATE};

/// Frames on end that cannot be decoded; more are no accident.
const BROKEN_MAX: u32 = 100;

/// A frame that came out.
#[derive(Clone, Debug)]
pub struct Coded {
    /// Where it stands.
    pub at: MediaTime,
    /// How it is coded.
    pub config: Arc<TrackConfig>,
    /// The coded bytes.
    pub data: Bytes,
}

/// Makes one codec of another.
pub struct Coder {
    decoder: Decoder,
    /// Where samples come at another rate than they go.
    resampler: Option<Resampler>,
    line: Line,
    encoder: Encoder,
    /// Where the newest that came out stands.
    newest: Option<MediaTime>,
    broken: u32,
    resampled: Vec<i16>,
}

impl Coder {
    /// Of what comes under `from`.
    ///
    /// # Errors
    /// When a library does not know it.
    pub fn new(from: &AudioConfig, to: To) -> Result<Self, Error> {
        Ok(Self {
            decoder: Decoder::new(from)?,
            resampler: None,
            line: Line::default(),
            encoder: Encoder::new(to)?,
            newest: None,
            broken: 0,
            resampled: Vec::new(),
        })
    }

    /// Takes a frame that stands at `at`, and gives what is whole by now. One that is broken is as one that
    /// has not come.
    ///
    /// # Errors
    /// When nothing can be decoded any more, or a library fails.
    pub fn push(&mut self, data: &[u8], at: MediaTime) -> Result<Vec<Coded>, Error> {
        let decoded = match self.decoder.decode(data) {
            Ok(decoded) => decoded,
            Err(_) if self.broken < BROKEN_MAX => {
                self.broken += 1;
                return Ok(Vec::new());
            }
            Err(_) => return Err(Error::Broken(self.broken + 1)),
        };
        self.broken = 0;
        let rate = decoded.rate.max(1);
        let delay = i64::from(decoded.delay) * 1_000_000 / i64::from(rate);
        let micros = at.as_micros() - delay;
        let mut coded = Vec::new();
        if self.line.breaks(micros) {
            self.resampler = None;
            self.line.fill_up(self.encoder.length, micros);
            self.encoder.take(&mut self.line, &mut coded)?;
        }
        if rate == RATE {
            self.resampler = None;
            self.line.mark(micros);
            self.line.push(decoded.samples);
        } else {
            let known = self.resampler.take().filter(|known| known.rate == rate);
            let mut resampler = known.map_or_else(|| Resampler::new(rate), Ok)?;
            self.line.mark(micros - resampler.behind_micros());
            self.resampled.clear();
            resampler.push(decoded.samples, &mut self.resampled);
            self.line.push(&self.resampled);
            self.resampler = Some(resampler);
        }
        self.encoder.take(&mut self.line, &mut coded)?;
        for one in &mut coded {
            one.at = self.newest.map_or(one.at, |newest| newest.max(one.at));
            self.newest = Some(one.at);
        }
        Ok(coded)
    }
}
