//! Publishing over RTMP.

use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use ingest::rtmp::Secret;
use ingest::rtmp::client::{Config, Event, Output, Purpose, Session};
use media::amf0;
use media::flv::TagKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::{ACCEPT_WITHIN, Sent};
use crate::flv_file::FlvFile;

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

/// Publishes a file until it is told to stop.
pub(super) async fn publish(
    file: &FlvFile,
    url: &str,
    key: String,
    stamps: bool,
    mut stopped: watch::Receiver<bool>,
    sent: &mut Sent,
) -> anyhow::Result<()> {
    let url = Url::parse(url)?;
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
            sent.note_frame(late);
        }
    }
    publisher.session.unpublish();
    publisher.flush().await?;
    Ok(())
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
