//! What a child writes, taken apart: Opus in Ogg, and AAC or H.264 in FLV. Pure.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use media::codec::{aac, h264, opus};
use media::flv::{self, TagKind};
use media::{AudioConfig, TrackConfig};

use super::ogg::Packets;

/// Most bytes of a frame that comes out.
const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A frame that came out.
pub(super) struct Coded {
    /// Where it stands on the child's clock.
    pub(super) micros: i64,
    pub(super) key: bool,
    pub(super) config: Arc<TrackConfig>,
    pub(super) data: Bytes,
}

/// What the child writes.
#[derive(Debug)]
pub(super) enum Output {
    Ogg(Ogg),
    Flv(Flv),
}

impl Output {
    /// Opus.
    pub(super) fn ogg() -> Self {
        Self::Ogg(Ogg::default())
    }

    /// AAC or H.264.
    pub(super) fn flv() -> Self {
        Self::Flv(Flv::new())
    }

    /// Takes bytes; gives the frames that are whole.
    pub(super) fn push(&mut self, bytes: &[u8]) -> anyhow::Result<Vec<Coded>> {
        match self {
            Self::Ogg(ogg) => ogg.push(bytes),
            Self::Flv(flv) => flv.push(bytes),
        }
    }
}

/// Opus in Ogg (RFC 7845).
#[derive(Debug, Default)]
pub(super) struct Ogg {
    packets: Packets,
    /// Samples at the beginning that are not to be heard; known from the first header on.
    pre_skip: Option<i64>,
    has_tags: bool,
    config: Option<Arc<TrackConfig>>,
}

impl Ogg {
    fn push(&mut self, bytes: &[u8]) -> anyhow::Result<Vec<Coded>> {
        let pages = self.packets.push(bytes);
        let mut coded = Vec::new();
        for page in pages.context("the encoder makes no Ogg")? {
            let mut packets = page.packets.as_slice();
            if self.pre_skip.is_none()
                && let [head, rest @ ..] = packets
            {
                let &[low, high] = head
                    .get(10..12)
                    .and_then(<[u8]>::first_chunk)
                    .context("the encoder begins no Opus")?;
                self.pre_skip = Some(i64::from(u16::from_le_bytes([low, high])));
                packets = rest;
            }
            if !self.has_tags
                && let [_, rest @ ..] = packets
            {
                self.has_tags = true;
                packets = rest;
            }
            let lengths: Option<Vec<u32>> = packets.iter().map(|one| opus::samples(one)).collect();
            let lengths = lengths.context("the encoder makes no Opus")?;
            // A page says where its last packet ends.
            let total: i64 = lengths.iter().copied().map(i64::from).sum();
            let mut at = page.granule - total - self.pre_skip.unwrap_or(0);
            for (packet, samples) in packets.iter().zip(lengths) {
                coded.push(Coded {
                    micros: at * 1_000_000 / i64::from(opus::SAMPLE_RATE),
                    key: true,
                    config: self.config_for(samples),
                    data: packet.clone(),
                });
                at += i64::from(samples);
            }
        }
        Ok(coded)
    }

    fn config_for(&mut self, samples_per_frame: u32) -> Arc<TrackConfig> {
        let config = TrackConfig::Audio(AudioConfig::Opus {
            channels: 2,
            samples_per_frame,
        });
        keep(&mut self.config, config)
    }
}

fn keep(known: &mut Option<Arc<TrackConfig>>, config: TrackConfig) -> Arc<TrackConfig> {
    let same = known.as_ref().filter(|known| ***known == config).cloned();
    let kept = same.unwrap_or_else(|| Arc::new(config));
    *known = Some(Arc::clone(&kept));
    kept
}

/// AAC or H.264 in FLV.
#[derive(Debug)]
pub(super) struct Flv {
    tags: flv::Reader,
    config: Option<Arc<TrackConfig>>,
    /// Milliseconds of the newest tag, which in FLV go round after 49 days.
    millis: i64,
}

impl Flv {
    fn new() -> Self {
        Self {
            tags: flv::Reader::new(FRAME_BYTES_MAX),
            config: None,
            millis: 0,
        }
    }

    fn push(&mut self, bytes: &[u8]) -> anyhow::Result<Vec<Coded>> {
        self.tags.push(bytes);
        let mut coded = Vec::new();
        while let Some(tag) = self.tags.next_tag()? {
            if tag.kind == TagKind::Script {
                continue;
            }
            let [.., a, b, c, d] = self.millis.to_be_bytes();
            let step = tag.timestamp.wrapping_sub(u32::from_be_bytes([a, b, c, d]));
            self.millis += i64::from(step.cast_signed());
            if let Some((config, key, data)) = self.body(&tag)? {
                coded.push(Coded {
                    micros: self.millis * 1_000,
                    key,
                    config,
                    data,
                });
            }
        }
        Ok(coded)
    }

    fn body(&mut self, tag: &flv::Tag) -> anyhow::Result<Option<(Arc<TrackConfig>, bool, Bytes)>> {
        if tag.kind == TagKind::Video {
            return self.picture(tag);
        }
        match flv::Audio::parse(&tag.body)? {
            flv::Audio::AacSequenceHeader(record) => {
                let asc = aac::AudioSpecificConfig::parse(&record)?;
                keep(
                    &mut self.config,
                    TrackConfig::Audio(AudioConfig::Aac { record, asc }),
                );
                Ok(None)
            }
            flv::Audio::AacFrame(data) => {
                let config = self.config.clone();
                let config = config.context("the encoder makes no set-up")?;
                Ok(Some((config, true, data)))
            }
            flv::Audio::Unsupported(_) | flv::Audio::Nothing => Ok(None),
        }
    }

    fn picture(
        &mut self,
        tag: &flv::Tag,
    ) -> anyhow::Result<Option<(Arc<TrackConfig>, bool, Bytes)>> {
        match flv::Video::parse(&tag.body)? {
            flv::Video::H264SequenceHeader(record) => {
                let record = h264::parse_record(&record)?;
                ensure!(record.length_size == 4, "lengths of another size");
                keep(&mut self.config, TrackConfig::Video(record.config));
                Ok(None)
            }
            flv::Video::H264Frame { data, .. } => {
                let config = self.config.clone();
                let config = config.context("the encoder makes no set-up")?;
                let unit = h264::inspect(&data)?;
                Ok(unit.picture.then_some((config, unit.is_keyframe(), data)))
            }
            flv::Video::H264EndOfSequence | flv::Video::Unsupported(_) | flv::Video::Nothing => {
                Ok(None)
            }
        }
    }
}
