//! Publishers.

mod film;
mod rtmp;
mod webrtc;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args as ClapArgs;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::flv_file::FlvFile;
use crate::say;
use crate::stamp::{Stamp, now_us};
use crate::tell::Ticker;
use crate::times::{Spread, Times};
use film::Film;

/// How long a server may take to let a publisher in.
const ACCEPT_WITHIN: Duration = Duration::from_secs(10);

/// What `publish` takes.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The file to publish: FLV with H.264 and AAC.
    file: PathBuf,
    /// Where to, such as rtmp://localhost/live, http://localhost:8080/whip, or
    /// rtp://localhost:5004 for bare packets (sound goes to the port after the next).
    #[arg(long, default_value = "rtmp://localhost/live")]
    url: String,
    /// The stream key; given several times, one publisher for each.
    #[arg(long = "key", required = true)]
    keys: Vec<String>,
    /// WHIP and RTP: spread the packets of each picture over so many milliseconds, as browsers do,
    /// instead of sending them at once.
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=1000))]
    spread: u64,
    /// The ffmpeg that makes Opus of the file's sound, for WHIP and RTP.
    #[arg(long, default_value = "ffmpeg")]
    ffmpeg: PathBuf,
    /// End after so many seconds; without it, go on until stopped (Ctrl-C).
    #[arg(long, value_name = "SECONDS")]
    duration: Option<u64>,
    /// Leave the pictures as they are. Otherwise each H.264 picture gets a number and the time, by
    /// which `watch` knows losses and delays; decoders pass over them.
    #[arg(long)]
    no_stamps: bool,
    /// Tell the result as JSON.
    #[arg(long)]
    json: bool,
}

/// What is published, in the form that the address asks for.
#[derive(Clone)]
enum Source {
    Tags(Arc<FlvFile>),
    Packets(Arc<Film>),
}

impl Source {
    fn read(args: &Args) -> anyhow::Result<Self> {
        if args.url.starts_with("rtmp://") {
            return Ok(Self::Tags(Arc::new(FlvFile::read(&args.file)?)));
        }
        Ok(Self::Packets(Arc::new(Film::read(
            &args.file,
            &args.ffmpeg,
        )?)))
    }
}

/// What came of publishing.
#[derive(Debug, Serialize)]
struct Report {
    /// What this is, and in which form.
    schema: &'static str,
    publishers: usize,
    frames: u64,
    stamped: u64,
    bytes: u64,
    /// How long after its time each frame was written: what the server or this machine is late for.
    late_ms: Spread,
    /// What went wrong, and for how many publishers.
    errors: BTreeMap<String, u64>,
}

/// What one publisher did.
#[derive(Debug, Default)]
struct Sent {
    frames: u64,
    stamped: u64,
    bytes: u64,
    late: Times,
    /// Frames of all publishers, as they are sent.
    all_frames: Arc<AtomicU64>,
}

/// Publishes until the time is over; fails if a publisher did.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let source = Source::read(&args)?;
    let (stop, stopped) = watch::channel(false);
    let frames = Arc::new(AtomicU64::new(0));
    let mut publishers = JoinSet::new();
    for (number, key) in args.keys.iter().cloned().enumerate() {
        let (source, url, stopped) = (source.clone(), args.url.clone(), stopped.clone());
        let (stamps, spread) = (!args.no_stamps, Duration::from_millis(args.spread));
        let frames = Arc::clone(&frames);
        publishers.spawn(async move {
            let mut sent = Sent {
                all_frames: frames,
                ..Sent::default()
            };
            let published = match source {
                Source::Tags(file) => {
                    rtmp::publish(&file, &url, key, stamps, stopped, &mut sent).await
                }
                Source::Packets(film) => {
                    let plan = webrtc::Plan {
                        film,
                        stamps,
                        spread,
                    };
                    plan.publish(&url, &key, stopped, &mut sent).await
                }
            };
            (
                sent,
                published.with_context(|| format!("publisher {}", number + 1)),
            )
        });
    }
    let time_is_over = async move {
        match args.duration {
            Some(seconds) => sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let ending = tokio::spawn(async move {
        tokio::select! {
            () = time_is_over => {}
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        stop.send_replace(true);
    });
    let progress = tokio::spawn(tell_progress(frames, args.keys.len(), Instant::now()));
    let (mut all, mut errors) = (Sent::default(), BTreeMap::new());
    while let Some(done) = publishers.join_next().await {
        let (sent, published) = done.context("a publisher panicked")?;
        all.merge(&sent);
        if let Err(error) = published {
            *errors.entry(format!("{error:#}")).or_default() += 1;
        }
    }
    ending.abort();
    progress.abort();
    // It may be in the middle of a line.
    let _ = progress.await;
    Ticker::new().finish();
    let report = Report {
        schema: "barrage-load/publish/1",
        publishers: args.keys.len(),
        frames: all.frames,
        stamped: all.stamped,
        bytes: all.bytes,
        late_ms: Spread::of(&all.late),
        errors,
    };
    tell(&report, args.json)?;
    if let Some(error) = report.errors.keys().next() {
        bail!("{error}");
    }
    Ok(())
}

/// Says now and then how far it is.
async fn tell_progress(frames: Arc<AtomicU64>, publishers: usize, began: Instant) {
    let far_away = began + Duration::from_hours(24 * 365);
    let tell = || {
        let (frames, seconds) = (frames.load(Ordering::Relaxed), began.elapsed().as_secs());
        Some(format!(
            "{frames} frames published in {seconds} s to {publishers} keys; Ctrl-C ends it"
        ))
    };
    Ticker::new().wait_until(far_away.into(), tell).await;
}

fn tell(report: &Report, json: bool) -> anyhow::Result<()> {
    if json {
        say(&serde_json::to_string_pretty(report)?);
    } else {
        say(&format!(
            "published {} frames, {} with a stamp\nwritten after their time: {}",
            report.frames, report.stamped, report.late_ms
        ));
    }
    Ok(())
}

impl Sent {
    fn merge(&mut self, other: &Self) {
        self.frames += other.frames;
        self.stamped += other.stamped;
        self.bytes += other.bytes;
        self.late.merge(&other.late);
    }

    /// Notes a frame that was written so long after its time.
    fn note_frame(&mut self, late: Duration) {
        self.frames += 1;
        self.all_frames.fetch_add(1, Ordering::Relaxed);
        self.late.add_duration(late);
    }

    fn next_stamp(&self) -> Stamp {
        Stamp {
            // After four years at 30 pictures a second it begins anew.
            number: u32::try_from(self.stamped).unwrap_or_default(),
            sent_us: now_us(),
        }
    }
}
