//! A film as WebRTC carries it: the pictures of an FLV file, and its sound as Opus.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use media::flv::{TagKind, Video};

use crate::flv_file::FlvFile;

/// Opus packets have 20 ms and, since the encoder is told to spend the same on each, one size.
const SOUND_MS: u32 = 20;
const SOUND_BYTES: usize = 172;
const SOUND_BITS_PER_S: usize = SOUND_BYTES * 8 * 1000 / SOUND_MS as usize;

/// What is sent at one moment.
#[derive(Debug)]
pub(super) enum Item {
    /// The body of a video tag with a picture in H.264.
    Picture(Bytes),
    /// A packet of Opus.
    Sound(Bytes),
}

/// A whole film.
#[derive(Debug)]
pub(super) struct Film {
    /// When each is sent, in milliseconds from the beginning of a round.
    items: Vec<(u32, Item)>,
    /// How a decoder of the pictures is set up: an `AVCDecoderConfigurationRecord`.
    pub(super) record: Bytes,
    round_ms: u32,
}

impl Film {
    /// Reads a file. The sound is coded anew.
    pub(super) fn read(path: &Path, ffmpeg: &Path) -> anyhow::Result<Self> {
        let file = FlvFile::read(path)?;
        let mut record = None;
        let (mut items, mut has_sound) = (Vec::new(), false);
        for tag in file.tags() {
            match tag.kind {
                TagKind::Video => match Video::parse(&tag.body)? {
                    Video::H264SequenceHeader(bytes) => {
                        record.get_or_insert(bytes);
                    }
                    Video::H264Frame { .. } => {
                        items.push((tag.timestamp, Item::Picture(tag.body.clone())));
                    }
                    Video::H264EndOfSequence | Video::Unsupported(_) | Video::Nothing => {}
                },
                TagKind::Audio => has_sound = true,
                TagKind::Script => {}
            }
        }
        let record = record.with_context(|| format!("{} has no H.264", path.display()))?;
        let round_ms = file.round_ms();
        if has_sound {
            let first = items.first().map_or(0, |(at, _)| *at);
            let packets = sound(path, ffmpeg)?;
            let times = (first..first + round_ms).step_by(SOUND_MS as usize);
            items.extend(
                times
                    .zip(packets)
                    .map(|(at, packet)| (at, Item::Sound(packet))),
            );
            items.sort_by_key(|(at, _)| *at);
        }
        Ok(Self {
            items,
            record,
            round_ms,
        })
    }

    /// Everything in order, round after round, with times that go on and on.
    pub(super) fn rounds(&self) -> impl Iterator<Item = (u64, &Item)> {
        (0u64..).flat_map(move |round| {
            let base = u64::from(self.round_ms) * round;
            let items = self.items.iter();
            items.map(move |(at, item)| (base + u64::from(*at), item))
        })
    }
}

fn sound(path: &Path, ffmpeg: &Path) -> anyhow::Result<Vec<Bytes>> {
    let rate = SOUND_BITS_PER_S.to_string();
    let done = Command::new(ffmpeg)
        .args(["-hide_banner", "-loglevel", "error", "-i"])
        .arg(path)
        .args([
            "-map", "0:a:0", "-ac", "2", "-ar", "48000", "-c:a", "libopus",
        ])
        .args(["-vbr", "off", "-frame_duration", "20", "-b:a", &rate])
        .args(["-f", "data", "pipe:1"])
        .output();
    let done =
        done.with_context(|| format!("failed to start {}; give --ffmpeg", ffmpeg.display()))?;
    if !done.status.success() || done.stdout.len() % SOUND_BYTES != 0 {
        let said = String::from_utf8_lossy(&done.stderr);
        bail!(
            "{} makes no Opus of this: {}",
            ffmpeg.display(),
            said.trim()
        );
    }
    let all = Bytes::from(done.stdout);
    let starts = (0..all.len()).step_by(SOUND_BYTES);
    Ok(starts.map(|at| all.slice(at..at + SOUND_BYTES)).collect())
}
