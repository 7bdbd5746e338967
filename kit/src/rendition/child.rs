//! An ffmpeg child: frames go in as Matroska, and come out in another codec. Both ways their times go with
//! them, so that nothing drifts when the child leaves something out.

use std::collections::VecDeque;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::{Buf as _, Bytes};
use media::{Frame, MediaTime, TrackConfig, TrackKind, WallTime};
use rustix::process::{Pid, setpriority_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child as Process, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::{sleep_until, timeout};

use super::output::Output;
use super::{Kind, matroska};
use crate::stream::TrackStats;

/// How long the child may take to take a frame in.
const WRITE_WITHIN: Duration = Duration::from_secs(2);

/// How far what comes out may be behind what went in; more means that nothing comes out.
const BEHIND_MAX_MICROS: i64 = 15_000_000;

/// Where the first frame stands on the child's clock: encoders begin a little earlier, and no
/// container knows times before zero.
const BEGINS_AT_MICROS: i64 = 10_000_000;

/// Most bytes of what the child complains about that are told.
const COMPLAINT_BYTES_MAX: usize = 300;

/// How long a child that has ended may take to say why.
const COMPLAINT_WITHIN: Duration = Duration::from_millis(200);

/// What is read of the child at a time.
const READ_BYTES: usize = 16 * 1024;

/// Arguments that make Opus: a page for each packet.
const TO_OPUS: [&str; 14] = [
    "-ac",
    "2",
    "-ar",
    "48000",
    "-c:a",
    "libopus",
    "-b:a",
    "128k",
    "-frame_duration",
    "20",
    "-page_duration",
    "20000",
    "-f",
    "ogg",
];

/// Arguments that make AAC.
const TO_AAC: [&str; 12] = [
    "-ac",
    "2",
    "-ar",
    "48000",
    "-c:a",
    "aac",
    "-b:a",
    "160k",
    "-flvflags",
    "no_duration_filesize",
    "-f",
    "flv",
];

/// Arguments that make pictures that come out as they go in: none waits for another, and each second
/// begins with a keyframe, since nobody can be asked for one. Times are kept as they are, whatever rate
/// the pictures claim to have.
const TO_IN_ORDER: [&str; 26] = [
    "-fps_mode",
    "passthrough",
    "-enc_time_base",
    "1:90000",
    "-c:v",
    "libx264",
    "-x264-params",
    "vfr-input=1",
    "-preset",
    "superfast",
    "-tune",
    "zerolatency",
    "-profile:v",
    "baseline",
    "-pix_fmt",
    "yuv420p",
    "-g",
    "600",
    "-force_key_frames",
    "expr:gte(t,n_forced)",
    "-sc_threshold",
    "0",
    "-flvflags",
    "no_duration_filesize",
    "-f",
    "flv",
];

/// Bits a second of pictures, of whatever the publisher sends: coded in haste they need more than
/// theirs, within reason.
const BITS_MIN: u64 = 500_000;
const BITS_MAX: u64 = 8_000_000;
const BITS_UNKNOWN: u64 = 3_000_000;

/// By how much an encoder of pictures gives way to all else, as `nice` counts.
const NICE: i32 = 5;

/// A child that makes one codec of another.
#[derive(Debug)]
pub(super) struct Child {
    config: Arc<TrackConfig>,
    _process: Process,
    stdin: ChildStdin,
    outlet: Outlet,
    /// What the first frame stands behind, until it was put in.
    head: Option<Bytes>,
    /// How far frames were put in.
    put_to: MediaTime,
}

/// Where what a child makes comes out.
#[derive(Debug)]
struct Outlet {
    run: u32,
    stdout: ChildStdout,
    stderr: ChildStderr,
    output: Output,
    /// Where the child's clock begins.
    zero: MediaTime,
    /// When the newest frame came in.
    captured_at: WallTime,
    taken_to: MediaTime,
    ready: VecDeque<Frame>,
    buffer: Vec<u8>,
    /// The end of what it complains about, which has to be read or it stops.
    complaint: Vec<u8>,
    complaint_buffer: [u8; COMPLAINT_BYTES_MAX],
    complains: bool,
}

impl Child {
    /// Starts a child for what `first` begins; `pictures` tells what is known of those, if it is any.
    pub(super) fn start(
        ffmpeg: &str,
        kind: Kind,
        first: &Frame,
        pictures: Option<&TrackStats>,
    ) -> anyhow::Result<Self> {
        let (arguments, output) = match kind {
            Kind::Opus => (&TO_OPUS[..], Output::ogg()),
            Kind::Aac => (&TO_AAC[..], Output::flv()),
            Kind::InOrder => (&TO_IN_ORDER[..], Output::flv()),
        };
        let bps = pictures.map(|pictures| pictures.bitrate_bps);
        let bps = bps.filter(|bps| *bps > 0).unwrap_or(BITS_UNKNOWN);
        let bps = (bps + bps / 4).clamp(BITS_MIN, BITS_MAX).to_string();
        let rate = match kind {
            Kind::Opus | Kind::Aac => Vec::new(),
            Kind::InOrder => vec!["-b:v", &bps, "-maxrate", &bps, "-bufsize", &bps],
        };
        let mut process = Command::new(ffmpeg)
            .args(["-hide_banner", "-loglevel", "error"])
            // The head has all there is to know.
            .args(["-probesize", "32", "-analyzeduration", "0"])
            // Threads of a decoder hold frames back.
            .args(["-threads", "1", "-f", "matroska", "-copyts", "-i", "pipe:0"])
            // One core is what the operator gave.
            .args(["-threads", "1", "-filter_threads", "1"])
            .args(arguments)
            .args(rate)
            .args(["-flush_packets", "1", "pipe:1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to start {ffmpeg}"))?;
        if kind.track() == TrackKind::Video {
            step_back(&process);
        }
        Ok(Self {
            config: Arc::clone(&first.config),
            stdin: process.stdin.take().context("the child has no input")?,
            outlet: Outlet {
                run: first.run,
                stdout: process.stdout.take().context("the child has no output")?,
                stderr: process.stderr.take().context("the child has no errors")?,
                output,
                zero: first.dts + -BEGINS_AT_MICROS,
                captured_at: first.captured_at,
                taken_to: first.dts,
                ready: VecDeque::new(),
                buffer: vec![0; READ_BYTES],
                complaint: Vec::new(),
                complaint_buffer: [0; COMPLAINT_BYTES_MAX],
                complains: true,
            },
            _process: process,
            head: Some(matroska::head(&first.config, pictures.map(|one| one.fps))?),
            put_to: first.dts,
        })
    }

    /// Whether it can go on with a frame.
    pub(super) fn is_for(&self, frame: &Frame) -> bool {
        let same = Arc::ptr_eq(&self.config, &frame.config) || self.config == frame.config;
        same && self.outlet.run == frame.run
    }

    /// Puts a frame in. What comes out meanwhile is kept for [`next`](Self::next), so that neither side
    /// waits for the other.
    pub(super) async fn put(&mut self, frame: &Frame) -> anyhow::Result<()> {
        self.outlet.captured_at = frame.captured_at;
        // Of what was put in before: a source that was silent is nobody's fault.
        ensure!(
            self.put_to.since(self.outlet.taken_to) < BEHIND_MAX_MICROS,
            "nothing comes out of the encoder"
        );
        self.put_to = frame.dts;
        let mut bytes = self.bytes_of(frame)?;
        let deadline = tokio::time::Instant::now() + WRITE_WITHIN;
        while bytes.has_remaining() {
            tokio::select! {
                written = self.stdin.write(&bytes) => match written {
                    Ok(written) => bytes.advance(written),
                    Err(_) => return Err(self.outlet.last_words().await),
                },
                read = self.outlet.read() => read?,
                () = sleep_until(deadline) => bail!("the encoder takes nothing in"),
            }
        }
        Ok(())
    }

    /// The next frame that comes out.
    ///
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> anyhow::Result<Frame> {
        loop {
            if let Some(frame) = self.outlet.ready.pop_front() {
                return Ok(frame);
            }
            self.outlet.read().await?;
        }
    }

    /// A frame as the child reads it, behind the head if it is the first.
    fn bytes_of(&mut self, frame: &Frame) -> anyhow::Result<Bytes> {
        let bytes = matroska::frame(frame, frame.pts.since(self.outlet.zero))?;
        Ok(match self.head.take() {
            Some(head) => [head, bytes].concat().into(),
            None => bytes,
        })
    }
}

/// Lets everybody else go first, so that pictures for some cost nobody else theirs.
fn step_back(process: &Process) {
    let id = process.id().and_then(|id| i32::try_from(id).ok());
    if let Some(id) = id.and_then(Pid::from_raw)
        && let Err(error) = setpriority_process(Some(id), NICE)
    {
        tracing::debug!(%error, "an encoder keeps its priority");
    }
}

impl Outlet {
    /// Reads what there is.
    ///
    /// Cancel safe.
    async fn read(&mut self) -> anyhow::Result<()> {
        tokio::select! {
            read = self.stdout.read(&mut self.buffer) => {
                let read = read.context("failed to read of the encoder")?;
                if read > 0 {
                    return self.take_in(read);
                }
            }
            said = self.stderr.read(&mut self.complaint_buffer), if self.complains => {
                self.note(said.unwrap_or(0));
                return Ok(());
            }
        }
        Err(self.last_words().await)
    }

    fn take_in(&mut self, read: usize) -> anyhow::Result<()> {
        for coded in self.output.push(&self.buffer[..read])? {
            let pts = self.zero + coded.micros;
            self.taken_to = self.taken_to.max(pts);
            self.ready.push_back(Frame {
                pts,
                dts: pts,
                key: coded.key,
                captured_at: self.captured_at,
                run: self.run,
                config: coded.config,
                data: coded.data,
            });
        }
        Ok(())
    }

    fn note(&mut self, said: usize) {
        self.complains = said > 0;
        self.complaint
            .extend_from_slice(&self.complaint_buffer[..said]);
        let surplus = self.complaint.len().saturating_sub(COMPLAINT_BYTES_MAX);
        self.complaint.drain(..surplus);
    }

    /// Why it has ended, in its own words.
    async fn last_words(&mut self) -> anyhow::Error {
        let heard = timeout(COMPLAINT_WITHIN, async {
            while self.complains {
                let said = self.stderr.read(&mut self.complaint_buffer).await;
                self.note(said.unwrap_or(0));
            }
        });
        // What it said until then is told in any case.
        let _ = heard.await;
        let said = String::from_utf8_lossy(&self.complaint);
        anyhow::anyhow!("the encoder ended: {}", said.trim())
    }
}
