//! Publishers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args as ClapArgs;
use ingest::rtmp::Secret;
use ingest::rtmp::client::{Config, Event, Output, Purpose, Session};
use media::amf0;
use media::flv::TagKind;
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::flv_file::FlvFile;
use crate::say;
use crate::stamp::{Stamp, now_us};
use crate::tell::Ticker;
use crate::times::{Spread, Times};

/// How long a server may take to let a publisher in.
const ACCEPT_WITHIN: Duration = Duration::from_secs(10);

/// What `publish` takes.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The file to publish: FLV with H.264 and AAC.
    file: PathBuf,
    /// Where to, such as rtmp://localhost/live
    #[arg(long, default_value = "rtmp://localhost/live")]
    url: String,
    /// The stream key; given several times, one publisher for each.
    #[arg(long = "key", required = true)]
    keys: Vec<String>,
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
    let file = Arc::new(FlvFile::read(&args.file)?);
    let url = Url::parse(&args.url)?;
    let (stop, stopped) = watch::channel(false);
    let frames = Arc::new(AtomicU64::new(0));
    let mut publishers = JoinSet::new();
    for (number, key) in args.keys.iter().cloned().enumerate() {
        let (file, url, stopped) = (Arc::clone(&file), url.clone(), stopped.clone());
        let stamps = !args.no_stamps;
        let frames = Arc::clone(&frames);
        publishers.spawn(async move {
            let mut sent = Sent {
                all_frames: frames,
                ..Sent::default()
            };
            let published = publish(&file, &url, key, stamps, stopped, &mut sent).await;
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

/// An RTMP address.
#[derive(Clone, Debug)]
struct Url {
    authority: String,
    app: String,
}

impl Url {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let rest = text
            .strip_prefix("rtmp://")
            .context("the address begins with rtmp://")?;
        let (host, app) = rest
            .split_once('/')
            .context("the address ends with an application, as /live")?;
        let authority = if host.contains(':') {
            host.to_owned()
        } else {
            format!("{host}:1935")
        };
        Ok(Self {
            authority,
            app: app.trim_end_matches('/').to_owned(),
        })
    }
}

struct Publisher {
    stream: TcpStream,
    session: Session,
    publishing: bool,
}

async fn publish(
    file: &FlvFile,
    url: &Url,
    key: String,
    stamps: bool,
    mut stopped: watch::Receiver<bool>,
    sent: &mut Sent,
) -> anyhow::Result<()> {
    let stream = TcpStream::connect(&url.authority)
        .await
        .with_context(|| format!("failed to connect to {}", url.authority))?;
    stream.set_nodelay(true)?;
    let config = Config {
        purpose: Purpose::Publish,
        app: url.app.clone(),
        tc_url: format!("rtmp://{}/{}", url.authority, url.app),
        key: Secret::new(key),
        encoder: concat!("barrage-load/", env!("CARGO_PKG_VERSION")).to_owned(),
        chunk_size: 4096,
    };
    let mut publisher = Publisher {
        stream,
        session: Session::new(config, rand::random()),
        publishing: false,
    };
    timeout(ACCEPT_WITHIN, publisher.become_publishing())
        .await
        .context("the server did not let us publish in time")??;
    let began = Instant::now();
    let mut first = None;
    for (stamp, tag) in file.rounds() {
        let since_first = stamp.wrapping_sub(*first.get_or_insert(stamp));
        let due = began + Duration::from_millis(u64::from(since_first));
        tokio::select! {
            heard = publisher.listen_until(due) => heard?,
            _ = stopped.wait_for(|stopped| *stopped) => break,
        }
        let stamped = (stamps && tag.kind == TagKind::Video)
            .then(|| sent.next_stamp().put(&tag.body))
            .flatten();
        let late = due.elapsed();
        publisher.send(stamp, tag.kind, stamped.as_ref().unwrap_or(&tag.body))?;
        sent.bytes += publisher.flush().await?;
        sent.stamped += u64::from(stamped.is_some());
        if tag.kind != TagKind::Script {
            sent.frames += 1;
            sent.all_frames.fetch_add(1, Ordering::Relaxed);
            sent.late.add_duration(late);
        }
    }
    publisher.session.unpublish();
    publisher.flush().await?;
    Ok(())
}

impl Sent {
    fn merge(&mut self, other: &Self) {
        self.frames += other.frames;
        self.stamped += other.stamped;
        self.bytes += other.bytes;
        self.late.merge(&other.late);
    }

    fn next_stamp(&self) -> Stamp {
        Stamp {
            // After four years at 30 pictures a second it begins anew.
            number: u32::try_from(self.stamped).unwrap_or_default(),
            sent_us: now_us(),
        }
    }
}

impl Publisher {
    async fn become_publishing(&mut self) -> anyhow::Result<()> {
        while !self.publishing {
            self.flush().await?;
            if !self.publishing {
                self.listen_once().await?;
            }
        }
        Ok(())
    }

    fn send(&mut self, stamp: u32, kind: TagKind, body: &Bytes) -> anyhow::Result<()> {
        match kind {
            TagKind::Audio => self.session.send_audio(stamp, body)?,
            TagKind::Video => self.session.send_video(stamp, body)?,
            TagKind::Script => {
                // The tag is a name and a value; the client sends the value under its own name.
                if let Ok([_, about, ..]) = amf0::decode_all(body).as_deref() {
                    self.session.send_metadata(about)?;
                }
            }
        }
        Ok(())
    }

    /// Writes what the session has to say, and hears what it learned; tells how many bytes it was.
    async fn flush(&mut self) -> anyhow::Result<u64> {
        let mut written = 0;
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Transmit(bytes) => {
                    self.stream
                        .write_all(&bytes)
                        .await
                        .context("the connection broke")?;
                    written += bytes.len() as u64;
                }
                Output::Event(Event::Publishing) => self.publishing = true,
                Output::Event(Event::Refused { code, description }) => {
                    bail!("the server said no: {code}: {description}");
                }
                Output::Event(
                    Event::Connected
                    | Event::Unpublished
                    | Event::Acknowledged(_)
                    | Event::Playing
                    | Event::Media { .. }
                    | Event::PlayEnded,
                ) => {}
            }
        }
        Ok(written)
    }

    async fn listen_once(&mut self) -> anyhow::Result<()> {
        let mut buffer = [0; 4096];
        let length = self
            .stream
            .read(&mut buffer)
            .await
            .context("the connection broke")?;
        if length == 0 {
            bail!("the server closed the connection");
        }
        self.session.handle_input(&buffer[..length])?;
        Ok(())
    }

    /// Hears the server out until it is time to send again.
    async fn listen_until(&mut self, due: Instant) -> anyhow::Result<()> {
        loop {
            match timeout_at(due, self.listen_once()).await {
                Ok(heard) => heard?,
                Err(_) => return Ok(()),
            }
            self.flush().await?;
        }
    }
}
