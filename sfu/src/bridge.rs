//! Sound in the codec that browsers take over WebRTC: an ffmpeg child makes Opus of AAC, while
//! somebody watches.

use std::collections::VecDeque;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use media::codec::{aac, opus};
use media::{AudioConfig, Frame, MediaTime, TrackConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::ogg::Packets;

/// Bits per second of what is made.
const BITRATE: &str = "128k";

/// How much later than the sound it is given the encoder's is (RFC 7845 §4.2): 312 samples.
const LOOKAHEAD_MICROS: i64 = 6_500;

/// Frames that were put in and are not out yet; more mean that nothing comes out.
const UNDER_WAY_MAX: usize = 500;

/// How long the child may take to take a frame in.
const WRITE_WITHIN: Duration = Duration::from_secs(2);

/// A child that makes Opus of the AAC it is given.
#[derive(Debug)]
pub(crate) struct ToOpus {
    config: Arc<TrackConfig>,
    _child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    packets: Packets,
    ready: VecDeque<Bytes>,
    /// Headers that come before the first packet.
    headers: u8,
    timing: Timing,
    buffer: Vec<u8>,
}

impl ToOpus {
    /// Starts a child for sound coded under `config`.
    pub(crate) fn start(ffmpeg: &str, config: &Arc<TrackConfig>) -> anyhow::Result<Self> {
        let input = [
            "-probesize",
            "32",
            "-analyzeduration",
            "0",
            "-fflags",
            "nobuffer",
            "-f",
            "aac",
        ];
        let output = [
            "-ac", "2", "-ar", "48000", "-c:a", "libopus", "-b:a", BITRATE,
        ];
        // A page for each packet, written at once.
        let pages = [
            "-frame_duration",
            "20",
            "-page_duration",
            "20000",
            "-flush_packets",
            "1",
        ];
        let mut child = Command::new(ffmpeg)
            .args(["-hide_banner", "-loglevel", "error"])
            .args(input)
            .args(["-i", "pipe:0", "-vn"])
            .args(output)
            .args(pages)
            .args(["-f", "ogg", "pipe:1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to start {ffmpeg}"))?;
        Ok(Self {
            config: Arc::clone(config),
            stdin: child.stdin.take().context("the child has no input")?,
            stdout: child.stdout.take().context("the child has no output")?,
            _child: child,
            packets: Packets::default(),
            ready: VecDeque::new(),
            headers: 2,
            timing: Timing::default(),
            buffer: vec![0; 16 * 1024],
        })
    }

    /// Whether it can go on with frames coded under `config`.
    pub(crate) fn is_for(&self, config: &Arc<TrackConfig>) -> bool {
        Arc::ptr_eq(&self.config, config) || self.config == *config
    }

    /// Puts a frame in.
    pub(crate) async fn put(&mut self, frame: &Frame) -> anyhow::Result<()> {
        let TrackConfig::Audio(AudioConfig::Aac { record, asc }) = &*self.config else {
            return Ok(());
        };
        let header = aac::adts_header(record, frame.data.len());
        let header = header.context("frames that no header can tell of")?;
        anyhow::ensure!(
            self.timing
                .put(frame.pts, asc.samples_per_frame, asc.sample_rate),
            "nothing comes out of the encoder"
        );
        let write = async {
            self.stdin.write_all(&header).await?;
            self.stdin.write_all(&frame.data).await
        };
        let written = timeout(WRITE_WITHIN, write).await;
        written
            .context("the encoder takes nothing in")?
            .context("the encoder is gone")
    }

    /// The next packet, and where it stands.
    ///
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> anyhow::Result<(MediaTime, Bytes)> {
        loop {
            while let Some(packet) = self.ready.pop_front() {
                if self.headers > 0 {
                    self.headers -= 1;
                    continue;
                }
                let samples = opus::samples(&packet).context("the encoder makes no Opus")?;
                if let Some(at) = self.timing.take(samples) {
                    return Ok((at, packet));
                }
            }
            let read = self.stdout.read(&mut self.buffer).await?;
            anyhow::ensure!(read > 0, "the encoder ended");
            let packets = self.packets.push(&self.buffer[..read]);
            self.ready
                .extend(packets.context("the encoder makes no Ogg")?);
        }
    }
}

/// Where what comes out stands: as long after what was put in as it was then. Pure.
#[derive(Debug, Default)]
struct Timing {
    /// When each frame begins, counted in what was put in, and where it stands.
    under_way: VecDeque<(i64, MediaTime)>,
    put_samples: i64,
    taken_samples: i64,
}

impl Timing {
    /// Notes a frame. Tells whether there is room.
    fn put(&mut self, at: MediaTime, samples: u32, rate: u32) -> bool {
        // Counted and not added up: what is rounded away would add up too.
        let begins = self.put_samples * 1_000_000 / i64::from(rate.max(1));
        self.under_way.push_back((begins, at));
        self.put_samples += i64::from(samples);
        self.under_way.len() <= UNDER_WAY_MAX
    }

    /// Where the next `samples` at 48 kHz stand.
    fn take(&mut self, samples: u32) -> Option<MediaTime> {
        let from = self.taken_samples * 1_000_000 / i64::from(opus::SAMPLE_RATE) - LOOKAHEAD_MICROS;
        self.taken_samples += i64::from(samples);
        while self
            .under_way
            .get(1)
            .is_some_and(|(begins, _)| *begins <= from)
        {
            self.under_way.pop_front();
        }
        let (begins, at) = self.under_way.front()?;
        Some(*at + (from - begins))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_stands_where_what_it_was_made_of_stood() {
        let mut timing = Timing::default();
        let ms = MediaTime::from_millis;
        // Frames of 32 ms, with a pause of a second after the third.
        for at in [5_000, 5_032, 5_064, 6_096] {
            assert!(timing.put(ms(at), 1_024, 32_000));
        }
        let all: Vec<i64> = (0..7)
            .map(|_| timing.take(960).unwrap().as_micros() + LOOKAHEAD_MICROS)
            .collect();
        assert_eq!(
            all,
            [
                5_000_000, 5_020_000, 5_040_000, 5_060_000, 5_080_000, 5_100_000, 6_120_000
            ]
        );
    }

    #[test]
    fn an_encoder_that_gives_nothing_is_given_no_more() {
        let mut timing = Timing::default();
        let put = (0..1_000)
            .take_while(|_| timing.put(MediaTime::ZERO, 1, 48_000))
            .count();
        assert_eq!(put, UNDER_WAY_MAX);
    }
}
