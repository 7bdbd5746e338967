//! Still pictures of what is live: an ffmpeg child decodes one keyframe when somebody looks and the
//! last picture is old. One child at a time, with a deadline: what is live never waits for it.

use std::collections::{HashMap, HashSet};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use axum::body::Bytes;
use fanout::{Lag, Read, Start};
use kit::stream::{Broadcast, Streams};
use media::fmp4::{Chunk, Sample, init_segment};
use media::{Frame, TrackKind};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::Semaphore;
use wire::BroadcastId;

/// How long a child may take for one picture.
const DEADLINE: Duration = Duration::from_secs(5);

/// Longest picture that is taken from a child.
const PICTURE_BYTES_MAX: usize = 512 * 1024;

/// How still pictures are made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ThumbnailsConfig {
    /// Whether they are made at all.
    pub enabled: bool,
    /// How old a picture may be before another is made, in milliseconds.
    pub every_ms: u64,
    /// Pixels across.
    pub width: u32,
    /// The program that decodes.
    pub ffmpeg: String,
}

impl Default for ThumbnailsConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            every_ms: 8_000,
            width: 480,
            ffmpeg: "ffmpeg".into(),
        }
    }
}

/// The last picture of a broadcast, and whether another is being made.
#[derive(Debug, Default)]
struct Slot {
    picture: Option<Bytes>,
    tried_at: Option<Instant>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// Makes still pictures, and keeps the last of each broadcast.
#[derive(Debug)]
pub struct Thumbnails {
    config: ThumbnailsConfig,
    streams: Arc<Streams>,
    slots: Mutex<HashMap<BroadcastId, Slot>>,
    children: Semaphore,
    /// What the decoder calls itself, or why there is none.
    decoder: Mutex<Result<String, String>>,
}

impl Thumbnails {
    /// Of what is live in `streams`.
    pub fn new(config: ThumbnailsConfig, streams: Arc<Streams>) -> Self {
        Self {
            config,
            streams,
            slots: Mutex::default(),
            children: Semaphore::new(1),
            decoder: Mutex::new(Err("it was not looked for yet".into())),
        }
    }

    /// Looks whether the decoder is there.
    pub async fn look_for_decoder(&self) {
        let found = if self.config.enabled {
            version_of(&self.config.ffmpeg).await
        } else {
            Err("thumbnails.enabled is false".into())
        };
        if let Err(problem) = &found
            && self.config.enabled
        {
            tracing::warn!(problem, "no thumbnails: they need ffmpeg");
        }
        *self.decoder.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    /// What the decoder calls itself.
    ///
    /// # Errors
    /// When there is none: why.
    pub fn decoder(&self) -> Result<String, String> {
        self.decoder
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How old a picture may be, in milliseconds.
    pub const fn every_ms(&self) -> u64 {
        self.config.every_ms
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<BroadcastId, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A JPEG of a broadcast, not older than the settings say if one can be made; `None` if there
    /// is none at all.
    pub async fn picture(&self, broadcast: &Broadcast) -> Option<Bytes> {
        self.decoder().ok()?;
        let turn = {
            let mut slots = self.slots();
            let slot = slots.entry(broadcast.id).or_default();
            if self.is_fresh(slot) {
                return slot.picture.clone();
            }
            Arc::clone(&slot.turn)
        };
        // Those who ask meanwhile wait for the same picture.
        let _turn = turn.lock().await;
        let last = self
            .slots()
            .get(&broadcast.id)
            .and_then(|slot| self.is_fresh(slot).then(|| slot.picture.clone()));
        if let Some(picture) = last {
            return picture;
        }
        let made = self.make(broadcast).await;
        self.forget_ended();
        metrics::counter!(
            "barrage_thumbnails_total",
            "result" => if made.is_ok() { "made" } else { "failed" }
        )
        .increment(1);
        let mut slots = self.slots();
        let slot = slots.entry(broadcast.id).or_default();
        slot.tried_at = Some(Instant::now());
        match made {
            Ok(picture) => slot.picture = Some(picture),
            Err(error) => tracing::warn!(
                broadcast.id = %broadcast.id,
                error = format!("{error:#}"),
                "failed to make a thumbnail"
            ),
        }
        slot.picture.clone()
    }

    /// Forgets the pictures of what is over.
    fn forget_ended(&self) {
        let live: HashSet<_> = self.streams.all().iter().map(|one| one.id).collect();
        self.slots().retain(|id, _| live.contains(id));
    }

    fn is_fresh(&self, slot: &Slot) -> bool {
        let every = Duration::from_millis(self.config.every_ms);
        slot.tried_at.is_some_and(|at| at.elapsed() < every)
    }

    async fn make(&self, broadcast: &Broadcast) -> anyhow::Result<Bytes> {
        let frame = latest_keyframe(broadcast).context("there is no keyframe yet")?;
        let mp4 = one_frame_mp4(frame)?;
        let _place = self.children.acquire().await?;
        tokio::time::timeout(DEADLINE, self.decode(mp4))
            .await
            .context("ffmpeg took too long")?
    }

    async fn decode(&self, mp4: Vec<u8>) -> anyhow::Result<Bytes> {
        let scale = format!("scale={}:-2", self.config.width);
        let mut child = Command::new(&self.config.ffmpeg)
            .args(["-v", "error", "-nostdin", "-threads", "1"])
            .args(["-f", "mp4", "-i", "pipe:0", "-frames:v", "1"])
            .args(["-vf", &scale, "-q:v", "5", "-f", "mjpeg", "pipe:1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("failed to start ffmpeg")?;
        let mut stdin = child.stdin.take().context("the child has no input")?;
        let feed = async move {
            // A child that has its frame closes its input early, which is no failure.
            let _ = stdin.write_all(&mp4).await;
        };
        let ((), done) = tokio::join!(feed, child.wait_with_output());
        let done = done.context("failed to wait for ffmpeg")?;
        if !done.status.success() || done.stdout.is_empty() {
            let why: String = String::from_utf8_lossy(&done.stderr)
                .chars()
                .take(200)
                .collect();
            bail!("ffmpeg made no picture: {}", why.trim());
        }
        if done.stdout.len() > PICTURE_BYTES_MAX {
            bail!("ffmpeg made a picture of {} bytes", done.stdout.len());
        }
        Ok(done.stdout.into())
    }
}

async fn version_of(ffmpeg: &str) -> Result<String, String> {
    let run = Command::new(ffmpeg)
        .arg("-version")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(DEADLINE, run).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(format!("{ffmpeg} cannot be run: {error}")),
        Err(_) => return Err(format!("{ffmpeg} does not answer")),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().unwrap_or_default();
    let version = line.split_whitespace().take(3).collect::<Vec<_>>();
    match version.as_slice() {
        [] => Err(format!("{ffmpeg} does not tell its version")),
        words => Ok(words.join(" ")),
    }
}

fn latest_keyframe(broadcast: &Broadcast) -> Option<Frame> {
    match broadcast
        .video
        .reader(Start::LatestKey, Lag::Record)
        .try_read()
    {
        Some(Read::Item(_, frame)) => Some(frame),
        Some(Read::Gap { .. } | Read::TooSlow(_)) | None => None,
    }
}

fn one_frame_mp4(frame: Frame) -> anyhow::Result<Vec<u8>> {
    let init = init_segment(&frame.config)?;
    let sample = Sample {
        duration: 1,
        composition_offset: 0,
        key: true,
        data: frame.data,
    };
    let chunk = Chunk {
        kind: TrackKind::Video,
        sequence: 1,
        base_time: 0,
        samples: &[sample],
    };
    Ok([init, chunk.write()?].concat())
}
