//! Publishing over WebRTC, and as bare packets to servers that take their source so.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use media::MediaTime;
use media::codec::h264;
use media::flv::Video;
use reqwest::{Client, Url};
use sfu_core::caller::{self, H264, H264_RTX, OPUS, Sources, TRANSPORT_CC, Wish};
use sfu_core::rtcp::{self, Said, SenderReport};
use sfu_core::transport::Received;
use sfu_core::{packetize, rtp, secure};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};

use super::film::{Film, Item};
use super::{ACCEPT_WITHIN, Sent};
use crate::session;
use crate::stamp::now_us;

const SOURCES: Sources = Sources {
    audio: 0x5eed_0001,
    video: 0x5eed_0002,
    video_rtx: 0x5eed_0003,
};

/// Packets of pictures that are kept for those who ask again.
const KEPT: usize = 1_024;

/// How often it is told what time the timestamps mean, and asked whether the server is there.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What is published, and how.
pub(super) struct Plan {
    pub(super) film: Arc<Film>,
    pub(super) stamps: bool,
    /// Over how long the packets of a picture are spread.
    pub(super) spread: Duration,
}

/// Where packets go.
enum Way {
    /// Sealed, over one socket.
    Session {
        socket: UdpSocket,
        call: Box<caller::Call>,
        numbered: bool,
    },
    /// As they are, sound and pictures to a port each.
    Bare { audio: UdpSocket, video: UdpSocket },
}

/// One source's packets.
#[derive(Debug, Default)]
struct Source {
    ssrc: u32,
    kind: u8,
    index: u64,
    packets: u32,
    bytes: u32,
    timestamp: u32,
}

struct Publisher {
    way: Way,
    audio: Source,
    video: Source,
    again: Source,
    /// Payloads of pictures that were sent of late: number, timestamp and marker.
    kept: VecDeque<(u16, u32, bool, Bytes)>,
    transport_number: u16,
    told_at: Instant,
    bytes: u64,
}

impl Plan {
    /// Publishes until it is told to stop.
    pub(super) async fn publish(
        self,
        url: &str,
        key: &str,
        mut stopped: watch::Receiver<bool>,
        sent: &mut Sent,
    ) -> anyhow::Result<()> {
        let url = Url::parse(url).with_context(|| format!("{url} is no address"))?;
        let way = match url.scheme() {
            "http" | "https" => open(url, key).await?,
            "rtp" => bare(&url).await?,
            _ => bail!("{url} cannot be published to: give rtmp://, http:// or rtp://"),
        };
        let mut publisher = Publisher::new(way);
        timeout(ACCEPT_WITHIN, publisher.become_ready())
            .await
            .context("the server did not let us publish in time")??;
        let began = Instant::now();
        let mut first = None;
        for (at, item) in self.film.rounds() {
            let since = Duration::from_millis(at - *first.get_or_insert(at));
            let due = began + since;
            tokio::select! {
                heard = publisher.listen_until(due) => heard?,
                _ = stopped.wait_for(|stopped| *stopped) => break,
            }
            let late = due.elapsed();
            let since =
                MediaTime::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
            match item {
                Item::Sound(packet) => {
                    let timestamp = rtp::timestamp(since, 48_000);
                    publisher.send_sound(timestamp, packet).await?;
                }
                Item::Picture(body) => {
                    let stamp = sent.next_stamp();
                    let stamped = self.stamps.then(|| stamp.put(body)).flatten();
                    sent.stamped += u64::from(stamped.is_some());
                    let body = stamped.as_ref().unwrap_or(body);
                    self.send_picture(&mut publisher, since, body).await?;
                }
            }
            sent.note_frame(late);
        }
        sent.bytes += publisher.bytes;
        publisher.end().await
    }

    async fn send_picture(
        &self,
        publisher: &mut Publisher,
        since: MediaTime,
        body: &Bytes,
    ) -> anyhow::Result<()> {
        let Video::H264Frame {
            key,
            composition_ms,
            data,
        } = Video::parse(body)?
        else {
            return Ok(());
        };
        let shown = since + i64::from(composition_ms) * 1_000;
        let sets = h264::parameter_sets_of(&self.film.record);
        let payloads = packetize::h264(&data, if key { &sets } else { &[] });
        let timestamp = rtp::timestamp(shown, 90_000);
        let (began, count) = (Instant::now(), payloads.len());
        for (number, payload) in payloads.into_iter().enumerate() {
            if !self.spread.is_zero() && number > 0 {
                let share = u32::try_from(number)? * self.spread / u32::try_from(count)?;
                publisher.listen_until(began + share).await?;
            }
            let marker = number + 1 == count;
            publisher.send_video(timestamp, marker, payload).await?;
        }
        Ok(())
    }
}

async fn open(url: Url, key: &str) -> anyhow::Result<Way> {
    let wish = Wish {
        sends: Some(SOURCES),
        repairs: true,
        numbered: true,
    };
    let credentials = Arc::new(secure::Credentials::generate()?);
    let opened = session::open(&Client::new(), url, Some(key), wish, credentials).await?;
    Ok(Way::Session {
        socket: UdpSocket::from_std(opened.socket)?,
        call: Box::new(opened.call),
        numbered: opened.numbered,
    })
}

async fn bare(url: &Url) -> anyhow::Result<Way> {
    let host = url.host_str().context("an address without a host")?;
    let port = url.port().context("an address without a port")?;
    let to = async |port: u16| -> anyhow::Result<UdpSocket> {
        let socket = UdpSocket::bind("0.0.0.0:0").await?;
        socket.connect((host, port)).await?;
        Ok(socket)
    };
    let audio = port
        .checked_add(2)
        .context("a port with one after the next")?;
    Ok(Way::Bare {
        video: to(port).await?,
        audio: to(audio).await?,
    })
}

impl Publisher {
    fn new(way: Way) -> Self {
        let source = |ssrc, kind| Source {
            ssrc,
            kind,
            index: u64::from(rand::random::<u16>() >> 1),
            ..Source::default()
        };
        Self {
            way,
            audio: source(SOURCES.audio, OPUS),
            video: source(SOURCES.video, H264),
            again: source(SOURCES.video_rtx, H264_RTX),
            kept: VecDeque::with_capacity(KEPT),
            transport_number: 0,
            told_at: Instant::now(),
            bytes: 0,
        }
    }

    async fn become_ready(&mut self) -> anyhow::Result<()> {
        loop {
            if let Way::Session { call, .. } = &self.way
                && !call.transport.is_ready()
            {
                self.listen_once().await?;
            } else {
                return Ok(());
            }
        }
    }

    async fn send_sound(&mut self, timestamp: u32, payload: &Bytes) -> anyhow::Result<()> {
        self.audio.timestamp = timestamp;
        let number = self.next_number();
        let written = self.audio.write(true, number, &[payload]);
        self.send(written, true).await
    }

    async fn send_video(
        &mut self,
        timestamp: u32,
        marker: bool,
        payload: Bytes,
    ) -> anyhow::Result<()> {
        self.video.timestamp = timestamp;
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        let number = self.next_number();
        let sequence = self.video.sequence();
        let written = self.video.write(marker, number, &[&payload]);
        self.kept.push_back((sequence, timestamp, marker, payload));
        self.send(written, false).await
    }

    fn next_number(&mut self) -> Option<u16> {
        let Way::Session { numbered: true, .. } = self.way else {
            return None;
        };
        self.transport_number = self.transport_number.wrapping_add(1);
        Some(self.transport_number)
    }

    async fn send(&mut self, mut written: Written, is_sound: bool) -> anyhow::Result<()> {
        let bytes = &mut written.bytes;
        let socket = match &mut self.way {
            Way::Session { socket, call, .. } => {
                let Written {
                    payload,
                    ssrc,
                    index,
                    ..
                } = written;
                if !call.transport.seal_rtp(bytes, 0, payload, ssrc, index) {
                    bail!("the session has sealed all it may");
                }
                &*socket
            }
            Way::Bare { audio, video } => {
                if is_sound {
                    audio
                } else {
                    video
                }
            }
        };
        // A port that nobody listens on yet is not the end of it.
        let _ = socket.send(bytes).await;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Hears the server out until it is time to send again.
    async fn listen_until(&mut self, due: Instant) -> anyhow::Result<()> {
        loop {
            if self.told_at.elapsed() >= TELL_EVERY {
                self.told_at = Instant::now();
                self.tell().await?;
            }
            tokio::select! {
                biased;
                () = sleep_until(due.into()) => return Ok(()),
                heard = self.listen_once() => heard?,
            }
        }
    }

    async fn listen_once(&mut self) -> anyhow::Result<()> {
        let Way::Session { socket, call, .. } = &mut self.way else {
            return std::future::pending().await;
        };
        flush(socket, call).await;
        let mut datagram = [0; 2_048];
        let length = socket.recv(&mut datagram).await?;
        let path = call.path();
        match call
            .transport
            .handle(Instant::now(), path, &datagram[..length])?
        {
            Received::Closed => bail!("the server ended the session"),
            Received::Rtcp(compound) => self.on_rtcp(&compound).await?,
            Received::Nothing | Received::Ready | Received::Rtp(_) => {}
        }
        if let Way::Session { socket, call, .. } = &mut self.way {
            flush(socket, call).await;
        }
        Ok(())
    }

    async fn on_rtcp(&mut self, compound: &[u8]) -> anyhow::Result<()> {
        let mut wanted = Vec::new();
        rtcp::parse(compound, |said| {
            if let Said::Nack { ssrc, sequences } = said
                && ssrc == SOURCES.video
            {
                wanted.extend(sequences);
            }
        });
        for sequence in wanted {
            let kept = self.kept.iter().find(|kept| kept.0 == sequence);
            let Some((_, timestamp, marker, payload)) = kept.cloned() else {
                continue;
            };
            self.again.timestamp = timestamp;
            let number = self.next_number();
            // RFC 4588 §4: the number it had, and then what it was.
            let original = sequence.to_be_bytes();
            let written = self.again.write(marker, number, &[&original, &payload]);
            self.send(written, false).await?;
        }
        Ok(())
    }

    async fn tell(&mut self) -> anyhow::Result<()> {
        let Way::Session { socket, call, .. } = &mut self.way else {
            return Ok(());
        };
        let mut out = Vec::new();
        for source in [&self.audio, &self.video] {
            rtcp::write_sender_report(&mut out, &source.report());
        }
        call.transport.send_rtcp(&out);
        let check = call.check(rand::random())?;
        call.transport.ask_again(check);
        flush(socket, call).await;
        Ok(())
    }

    async fn end(mut self) -> anyhow::Result<()> {
        if let Way::Session { socket, call, .. } = &mut self.way {
            call.transport.close(Instant::now());
            flush(socket, call).await;
        }
        Ok(())
    }
}

async fn flush(socket: &UdpSocket, call: &mut caller::Call) {
    for transmit in call.transport.take_transmits() {
        // What does not arrive is asked for again, or sent again.
        let _ = socket.send(&transmit.bytes).await;
    }
}

/// A packet, and what it has to be sealed with.
struct Written {
    bytes: Vec<u8>,
    payload: usize,
    ssrc: u32,
    index: u64,
}

impl Source {
    const fn sequence(&self) -> u16 {
        (self.index & 0xffff) as u16
    }

    fn write(&mut self, marker: bool, number: Option<u16>, payload: &[&[u8]]) -> Written {
        let mut bytes = Vec::with_capacity(1_500);
        let sequence = self.sequence();
        rtp::write_header(
            &mut bytes,
            self.kind,
            marker,
            sequence,
            self.timestamp,
            self.ssrc,
        );
        if let Some(number) = number {
            // RFC 8285 §4.2: one element of two bytes, and one byte of padding.
            let [high, low] = number.to_be_bytes();
            bytes[0] |= 0x10;
            bytes.extend_from_slice(&[0xbe, 0xde, 0, 1, TRANSPORT_CC << 4 | 1, high, low, 0]);
        }
        let start = bytes.len();
        payload
            .iter()
            .for_each(|part| bytes.extend_from_slice(part));
        self.packets = self.packets.wrapping_add(1);
        self.bytes = self
            .bytes
            .wrapping_add(u32::try_from(bytes.len() - start).unwrap_or(0));
        let index = self.index;
        self.index += 1;
        Written {
            bytes,
            payload: start,
            ssrc: self.ssrc,
            index,
        }
    }

    fn report(&self) -> SenderReport {
        SenderReport {
            ssrc: self.ssrc,
            ntp: rtcp::ntp(i64::try_from(now_us()).unwrap_or(i64::MAX)),
            timestamp: self.timestamp,
            packets: self.packets,
            bytes: self.bytes,
        }
    }
}
