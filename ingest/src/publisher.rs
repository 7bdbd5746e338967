//! From the bodies a publisher sends to frames in the track logs.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use fanout::{AppendError, Writer};
use kit::stream::{Announced, Broadcast, TrackStats};
use media::codec::{aac, h264};
use media::flv::{self, Audio, Metadata, Video};
use media::{AudioConfig, Frame, MediaTime, TrackConfig, TrackKind};

use crate::config::Caps;
use crate::meter::Meter;
use crate::timeline::{SampleClock, Timeline};

/// How often what is measured is told.
const TELL_EVERY_MICROS: i64 = 500_000;

/// How long pictures may come of which none is a keyframe: nothing of them can be shown.
const KEYFRAME_WITHIN_MICROS: i64 = 10_000_000;

/// A clock jumps when a source starts anew. One that jumps this often within that time is broken.
const JUMPS_MAX: usize = 10;
const JUMPS_WITHIN_MICROS: i64 = 10_000_000;

/// Why a publisher has to go. Each text is for the log and for the publisher's own screen.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// A codec that is not carried.
    #[error("{0} is not supported: publish H.264 pictures and AAC sound")]
    Codec(String),
    /// A decoder set-up that cannot be read.
    #[error("the {kind} set-up cannot be read: {reason}")]
    Config {
        /// `video` or `audio`.
        kind: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A tag that cannot be read.
    #[error(transparent)]
    Tag(#[from] flv::Error),
    /// More pixels than this server takes.
    #[error("{width}x{height} is larger than this server takes, which is {max_width}x{max_height}")]
    Resolution {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// Most pixels across.
        max_width: u32,
        /// Most pixels down.
        max_height: u32,
    },
    /// More bits than this server takes.
    #[error("{kbps} kbit/s are more than this server takes, which is {max_kbps}")]
    Bitrate {
        /// Over the last seconds.
        kbps: u64,
        /// Most.
        max_kbps: u64,
    },
    /// Pictures that nobody can begin to watch.
    #[error("no keyframe came within {} s: set a keyframe interval of 2 s", KEYFRAME_WITHIN_MICROS / 1_000_000)]
    NoKeyframe,
    /// Timestamps that mean nothing.
    #[error("the clock jumped {JUMPS_MAX} times within {} s", JUMPS_WITHIN_MICROS / 1_000_000)]
    Clock,
    /// Somebody else publishes now, or the broadcast is over.
    #[error("off stage: {0}")]
    OffStage(#[from] AppendError),
}

impl Error {
    /// Whether the publisher itself did nothing wrong: its place is taken or gone.
    pub const fn is_off_stage(&self) -> bool {
        matches!(self, Self::OffStage(_))
    }
}

/// One publisher's connection to a broadcast.
#[derive(Debug)]
pub struct Publisher {
    broadcast: Arc<Broadcast>,
    caps: Caps,
    timeline: Timeline,
    sample_clock: SampleClock,
    video: Track,
    /// Bytes of each NAL unit's length as the publisher writes them.
    nal_length_size: u8,
    audio: Track,
    /// When the first picture came, by its own clock and by ours, until there is a keyframe.
    keyless_since: Option<(MediaTime, MediaTime)>,
    has_key: bool,
    /// When the publisher's clock jumped last.
    jumps: VecDeque<MediaTime>,
    told_at: MediaTime,
}

#[derive(Debug)]
struct Track {
    writer: Writer<Frame>,
    config: Option<Arc<TrackConfig>>,
    meter: Meter,
    run: u32,
}

impl Track {
    fn new(writer: Writer<Frame>, run: u32) -> Self {
        Self {
            writer,
            config: None,
            meter: Meter::default(),
            run,
        }
    }

    fn stats(&self) -> Option<TrackStats> {
        let config = self.config.as_ref().filter(|_| self.meter.frames() > 0)?;
        Some(TrackStats {
            config: Arc::clone(config),
            frames: self.meter.frames(),
            fps: self.meter.fps(),
            bitrate_bps: self.meter.bitrate_bps(),
            keyframe_interval_ms: self.meter.keyframe_interval_ms(),
        })
    }

    fn append(&mut self, frame: Frame) -> Result<(), AppendError> {
        if self.run != frame.run {
            self.run = frame.run;
            self.meter.begin_run();
        }
        self.meter.count(frame.dts, frame.data.len(), frame.key);
        self.writer.append(frame).map(|_| ())
    }
}

impl Publisher {
    /// Takes the logs of `broadcast` over; whoever wrote them before is fenced off. What was
    /// published before is continued in a new run.
    pub fn new(broadcast: Arc<Broadcast>, caps: Caps) -> Self {
        let (video, audio) = (broadcast.video.writer(), broadcast.audio.writer());
        let before = [broadcast.video.last(), broadcast.audio.last()]
            .into_iter()
            .flatten();
        let (begin_at, run) = before
            .map(|frame| (frame.dts + 1_000, frame.run + 1))
            .reduce(|a, b| (a.0.max(b.0), a.1.max(b.1)))
            .unwrap_or((broadcast.begins_at, 0));
        Self {
            broadcast,
            caps,
            timeline: Timeline::new(begin_at, run),
            sample_clock: SampleClock::default(),
            video: Track::new(video, run),
            nal_length_size: 4,
            audio: Track::new(audio, run),
            keyless_since: None,
            has_key: false,
            jumps: VecDeque::new(),
            told_at: MediaTime::ZERO,
        }
    }

    /// The broadcast it publishes to.
    pub const fn broadcast(&self) -> &Arc<Broadcast> {
        &self.broadcast
    }

    /// Takes what the publisher says of itself.
    ///
    /// # Errors
    /// When it announces a codec or a resolution that is not taken.
    pub fn metadata(&self, metadata: &Metadata) -> Result<(), Error> {
        self.broadcast.announce(Announced {
            video: Some(metadata.video_codec.is_some()),
            audio: Some(metadata.audio_codec.is_some()),
        });
        self.broadcast.update_stats(|stats| {
            stats.encoder = metadata.encoder.as_deref().map(str::to_owned);
        });
        match (metadata.width, metadata.height) {
            (Some(width), Some(height)) => self.caps.check_resolution(width, height),
            (_, None) | (None, _) => Ok(()),
        }
    }

    /// Takes the body of a video message stamped `stamp` ms.
    ///
    /// # Errors
    /// When the publisher has to go.
    pub fn video(&mut self, stamp: u32, body: &Bytes) -> Result<(), Error> {
        match Video::parse(body)? {
            Video::H264SequenceHeader(record) => self.set_video(&record),
            Video::H264Frame {
                composition_ms,
                data,
                ..
            } => self.picture(stamp, composition_ms, &data),
            Video::Unsupported(codec) => Err(Error::Codec(codec.to_string())),
            Video::H264EndOfSequence | Video::Nothing => Ok(()),
        }
    }

    /// Takes the body of an audio message stamped `stamp` ms.
    ///
    /// # Errors
    /// When the publisher has to go.
    pub fn audio(&mut self, stamp: u32, body: &Bytes) -> Result<(), Error> {
        match Audio::parse(body)? {
            Audio::AacSequenceHeader(record) => self.set_audio(&record),
            Audio::AacFrame(data) => self.sound(stamp, data),
            Audio::Unsupported(codec) => Err(Error::Codec(codec.to_string())),
            Audio::Nothing => Ok(()),
        }
    }

    fn set_video(&mut self, record: &Bytes) -> Result<(), Error> {
        let record = h264::parse_record(record).map_err(|error| Error::Config {
            kind: "video",
            reason: error.to_string(),
        })?;
        let (width, height) = record.config.resolution();
        self.caps.check_resolution(width, height)?;
        self.nal_length_size = record.length_size;
        self.set(TrackKind::Video, TrackConfig::Video(record.config));
        Ok(())
    }

    fn set_audio(&mut self, record: &Bytes) -> Result<(), Error> {
        let asc = aac::AudioSpecificConfig::parse(record).map_err(|error| Error::Config {
            kind: "audio",
            reason: error.to_string(),
        })?;
        let config = AudioConfig::Aac {
            record: record.clone(),
            asc,
        };
        self.set(TrackKind::Audio, TrackConfig::Audio(config));
        Ok(())
    }

    fn set(&mut self, kind: TrackKind, config: TrackConfig) {
        let track = self.track(kind);
        match &track.config {
            // Encoders repeat the set-up, some with every keyframe.
            Some(now) if **now == config => return,
            Some(_) => {
                tracing::info!(
                    track = kind.as_str(),
                    codec = config.codec_string(),
                    "set-up changed"
                );
                self.timeline.begin_run();
            }
            None => {
                tracing::info!(
                    track = kind.as_str(),
                    codec = config.codec_string(),
                    "set-up"
                );
            }
        }
        self.track(kind).config = Some(Arc::new(config));
    }

    const fn track(&mut self, kind: TrackKind) -> &mut Track {
        match kind {
            TrackKind::Video => &mut self.video,
            TrackKind::Audio => &mut self.audio,
        }
    }

    fn picture(&mut self, stamp: u32, composition_ms: i32, data: &Bytes) -> Result<(), Error> {
        let elapsed = self.broadcast.elapsed();
        // What is no picture would stop a decoder; the next one may be whole again.
        let (Some(config), Some((key, data))) = (
            self.video.config.clone(),
            whole_picture(data, self.nal_length_size),
        ) else {
            self.drop_frame();
            return Ok(());
        };
        let placed = self.timeline.place(TrackKind::Video, stamp, elapsed);
        self.note_jump(TrackKind::Video, elapsed)?;
        self.note_key(key, placed.dts, elapsed)?;
        let frame = Frame {
            // A picture shown before it is decoded is a muxer's slip; it is shown at once.
            pts: placed.dts + i64::from(composition_ms.max(0)) * 1000,
            dts: placed.dts,
            key,
            captured_at: self.broadcast.began_at + elapsed,
            run: placed.run,
            config,
            data,
        };
        self.video.append(frame)?;
        self.tell(elapsed)
    }

    fn sound(&mut self, stamp: u32, data: Bytes) -> Result<(), Error> {
        let elapsed = self.broadcast.elapsed();
        let Some(config) = self.audio.config.clone() else {
            self.drop_frame();
            return Ok(());
        };
        let TrackConfig::Audio(audio) = &*config else {
            return Ok(());
        };
        let (samples, rate) = (audio.samples_per_frame(), audio.sample_rate());
        let placed = self.timeline.place(TrackKind::Audio, stamp, elapsed);
        self.note_jump(TrackKind::Audio, elapsed)?;
        let dts = self.sample_clock.place(placed, samples, rate);
        let frame = Frame {
            pts: dts,
            dts,
            key: true,
            captured_at: self.broadcast.began_at + elapsed,
            run: placed.run,
            config,
            data,
        };
        self.audio.append(frame)?;
        self.tell(elapsed)
    }

    /// Takes a whole access unit or frame of sound, coded under `config`, that stands at `micros` of a
    /// clock which both tracks share. Tells where it stands on the timeline.
    ///
    /// # Errors
    /// When the publisher has to go.
    pub fn frame(
        &mut self,
        config: &Arc<TrackConfig>,
        micros: i64,
        key: bool,
        data: Bytes,
    ) -> Result<MediaTime, Error> {
        let kind = config.kind();
        let elapsed = self.broadcast.elapsed();
        if let TrackConfig::Video(video) = &**config {
            let (width, height) = video.resolution();
            self.caps.check_resolution(width, height)?;
        }
        self.set(kind, TrackConfig::clone(config));
        let config = self.track(kind).config.clone().expect("it was just set");
        let placed = self.timeline.place_micros(kind, micros, elapsed);
        self.note_jump(kind, elapsed)?;
        let dts = match &*config {
            TrackConfig::Video(_) => {
                self.note_key(key, placed.dts, elapsed)?;
                placed.dts
            }
            TrackConfig::Audio(audio) => {
                let (samples, rate) = (audio.samples_per_frame(), audio.sample_rate());
                self.sample_clock.place(placed, samples, rate)
            }
        };
        let frame = Frame {
            pts: dts,
            dts,
            key,
            captured_at: self.broadcast.began_at + elapsed,
            run: placed.run,
            config,
            data,
        };
        self.track(kind).append(frame)?;
        self.tell(elapsed)?;
        Ok(dts)
    }

    /// Notes that something was lost on the way.
    pub fn note_lost(&self) {
        self.drop_frame();
    }

    /// Tells when the publisher's clock has jumped, and shows it out when that has no end.
    fn note_jump(&mut self, kind: TrackKind, elapsed: MediaTime) -> Result<(), Error> {
        let Some(micros) = self.timeline.take_jump() else {
            return Ok(());
        };
        let jump_ms = micros / 1000;
        tracing::info!(
            track = kind.as_str(),
            jump_ms,
            "the publisher's clock jumped"
        );
        self.jumps.push_back(elapsed);
        while self
            .jumps
            .front()
            .is_some_and(|at| elapsed.since(*at) > JUMPS_WITHIN_MICROS)
        {
            self.jumps.pop_front();
        }
        if self.jumps.len() < JUMPS_MAX {
            Ok(())
        } else {
            Err(Error::Clock)
        }
    }

    /// Waits for a keyframe, but not for ever.
    fn note_key(&mut self, key: bool, dts: MediaTime, elapsed: MediaTime) -> Result<(), Error> {
        self.has_key |= key;
        if self.has_key {
            return Ok(());
        }
        let (first, began) = *self.keyless_since.get_or_insert((dts, elapsed));
        let waited = dts.since(first).max(elapsed.since(began));
        if waited < KEYFRAME_WITHIN_MICROS {
            Ok(())
        } else {
            Err(Error::NoKeyframe)
        }
    }

    fn drop_frame(&self) {
        self.broadcast
            .update_stats(|stats| stats.dropped_frames += 1);
        metrics::counter!("barrage_ingest_dropped_frames_total").increment(1);
    }

    /// Tells what is measured, now and then, and holds the publisher to its bitrate.
    fn tell(&mut self, elapsed: MediaTime) -> Result<(), Error> {
        if elapsed.since(self.told_at) < TELL_EVERY_MICROS {
            return Ok(());
        }
        self.told_at = elapsed;
        let (video, audio) = (self.video.stats(), self.audio.stats());
        let bps: u64 = [&video, &audio]
            .into_iter()
            .flatten()
            .map(|stats| stats.bitrate_bps)
            .sum();
        self.broadcast.update_stats(|stats| {
            stats.video = video;
            stats.audio = audio;
        });
        self.caps.check_bitrate(bps / 1000)
    }
}

/// A coded picture with 4-byte lengths, and whether decoding can start there: what its NAL units
/// say, not what the tag says of them.
fn whole_picture(data: &Bytes, length_size: u8) -> Option<(bool, Bytes)> {
    let data = h264::to_four_byte_lengths(data, length_size).ok()?;
    let unit = h264::inspect(&data).ok()?;
    unit.picture.then(|| (unit.is_keyframe(), data))
}
