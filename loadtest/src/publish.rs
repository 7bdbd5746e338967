//! Publishers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args as ClapArgs;
use ingest::rtmp::Secret;
use ingest::rtmp::client::{Config, Event, Output, Purpose, Session};
use media::amf0;
use media::flv::{Tag, TagKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::flv_file::FlvFile;
use crate::say;

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
    /// End after so many seconds; without it, go on until stopped.
    #[arg(long, value_name = "SECONDS")]
    duration: Option<u64>,
}

/// Publishes until the time is over; fails if a publisher did.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let file = Arc::new(FlvFile::read(&args.file)?);
    let url = Url::parse(&args.url)?;
    let until = args
        .duration
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut publishers = JoinSet::new();
    for (number, key) in args.keys.into_iter().enumerate() {
        let (file, url) = (Arc::clone(&file), url.clone());
        publishers.spawn(async move {
            publish(&file, &url, key, until)
                .await
                .with_context(|| format!("publisher {}", number + 1))
        });
    }
    let mut frames = 0;
    while let Some(done) = publishers.join_next().await {
        frames += done.context("a publisher panicked")??;
    }
    say(&format!("published {frames} frames"));
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
    until: Option<Instant>,
) -> anyhow::Result<u64> {
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
    let mut frames = 0;
    let began = Instant::now();
    let mut first = None;
    for (stamp, tag) in file.rounds() {
        let since_first = stamp.wrapping_sub(*first.get_or_insert(stamp));
        let due = began + Duration::from_millis(u64::from(since_first));
        if until.is_some_and(|until| due >= until) {
            break;
        }
        publisher.listen_until(due).await?;
        publisher.send(stamp, tag)?;
        publisher.flush().await?;
        frames += u64::from(tag.kind != TagKind::Script);
    }
    publisher.session.unpublish();
    publisher.flush().await?;
    Ok(frames)
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

    fn send(&mut self, stamp: u32, tag: &Tag) -> anyhow::Result<()> {
        match tag.kind {
            TagKind::Audio => self.session.send_audio(stamp, &tag.body)?,
            TagKind::Video => self.session.send_video(stamp, &tag.body)?,
            TagKind::Script => {
                // The tag is a name and a value; the client sends the value under its own name.
                if let Ok([_, about, ..]) = amf0::decode_all(&tag.body).as_deref() {
                    self.session.send_metadata(about)?;
                }
            }
        }
        Ok(())
    }

    /// Writes what the session has to say, and hears what it learned.
    async fn flush(&mut self) -> anyhow::Result<()> {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Transmit(bytes) => {
                    self.stream
                        .write_all(&bytes)
                        .await
                        .context("the connection broke")?;
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
        Ok(())
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
