//! A publisher that does what no encoder does.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ingest::rtmp::Secret;
use ingest::rtmp::client::{Config, Event, Output, Purpose, Session};
use media::amf0::Value;
use media::flv::{Tag, TagKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep_until};

use super::clip::Clip;
use super::server::Server;
use super::waiting::within;

/// What it calls itself.
pub(crate) const ENCODER: &str = "barrage tests";

/// A connection that publishes, or wants to.
pub(crate) struct Publisher {
    stream: TcpStream,
    session: Session,
    events: VecDeque<Event>,
}

impl Publisher {
    /// On stage with the right key.
    pub(crate) async fn start(server: &Server) -> Self {
        Self::with_key(server, &server.key)
            .await
            .unwrap_or_else(|(code, description)| panic!("refused: {code}: {description}"))
    }

    /// On stage with some key, or refused with a code and a description.
    pub(crate) async fn with_key(server: &Server, key: &str) -> Result<Self, (String, String)> {
        let mut publisher = Self::dial(server.rtmp, "127.0.0.1", "live", key).await;
        loop {
            match publisher.event().await {
                Some(Event::Publishing) => return Ok(publisher),
                Some(Event::Refused { code, description }) => return Err((code, description)),
                Some(_) => {}
                None => return Err(("closed".into(), "without a word".into())),
            }
        }
    }

    /// Connected from an address of this machine, with nothing said yet.
    pub(crate) async fn dial(to: SocketAddr, from: &str, app: &str, key: &str) -> Self {
        let config = Config {
            purpose: Purpose::Publish,
            app: app.to_owned(),
            tc_url: format!("rtmp://{to}/{app}"),
            key: Secret::new(key),
            encoder: ENCODER.to_owned(),
            chunk_size: 4096,
        };
        let socket = TcpSocket::new_v4().expect("there are sockets");
        let from = SocketAddr::new(from.parse().expect("an address"), 0);
        socket.bind(from).expect("an address of this machine");
        let stream = within("the server accepts", socket.connect(to)).await;
        let stream = stream.expect("the server accepts");
        stream.set_nodelay(true).expect("a socket can be set");
        Self {
            stream,
            session: Session::new(config, [7; 32]),
            events: VecDeque::new(),
        }
    }

    /// Where it is seen to come from.
    pub(crate) fn address(&self) -> String {
        let address = self.stream.local_addr();
        address.expect("a socket has an address").to_string()
    }

    /// What happens next; nothing more once the server has closed the connection.
    pub(crate) async fn event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            // A server that has closed the connection may have said something before.
            let _ = self.flush().await;
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let mut buffer = [0; 4096];
            match within("the server says something", self.stream.read(&mut buffer)).await {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.hear(&buffer[..length]),
            }
        }
    }

    /// Everything that the server says until it closes the connection.
    pub(crate) async fn farewell(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.event().await {
            events.push(event);
        }
        events
    }

    fn hear(&mut self, bytes: &[u8]) {
        let heard = self.session.handle_input(bytes);
        heard.expect("the server keeps to the protocol");
    }

    /// Writes what is due, and takes in what has come.
    async fn flush(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            while let Some(output) = self.session.poll_output() {
                match output {
                    Output::Transmit(bytes) => self.stream.write_all(&bytes).await?,
                    Output::Event(event) => self.events.push_back(event),
                }
            }
            match self.stream.try_read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => self.hear(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Says what is to come.
    pub(crate) async fn announce(&mut self, metadata: &Value) -> io::Result<()> {
        let sent = self.session.send_metadata(metadata);
        sent.map_err(|_| io::ErrorKind::NotConnected)?;
        self.flush().await
    }

    /// Sends a tag.
    pub(crate) async fn send(&mut self, tag: &Tag) -> io::Result<()> {
        let sent = match tag.kind {
            TagKind::Video => self.session.send_video(tag.timestamp, &tag.body),
            TagKind::Audio => self.session.send_audio(tag.timestamp, &tag.body),
            TagKind::Script => Ok(()),
        };
        sent.map_err(|_| io::ErrorKind::NotConnected)?;
        self.flush().await
    }

    /// Sends tags as fast as they are taken.
    pub(crate) async fn send_all(&mut self, tags: &[Tag]) {
        for tag in tags {
            self.send(tag).await.expect("the server takes it");
        }
    }

    /// Says what an encoder says before the first frame.
    pub(crate) async fn introduce(&mut self, clip: &Clip) {
        let announced = self.announce(&clip.metadata).await;
        announced.expect("the server takes it");
        self.send_all(&clip.headers).await;
    }

    /// Sends frames as their timestamps tell, `speed` times as fast.
    pub(crate) async fn play(&mut self, frames: &[Tag], speed: u32) -> io::Result<()> {
        let began = Instant::now();
        for frame in frames {
            let since = frame.timestamp.wrapping_sub(frames[0].timestamp);
            sleep_until(began + Duration::from_millis(since.into()) / speed).await;
            self.send(frame).await?;
        }
        Ok(())
    }

    /// Ends the stream as encoders do, and waits until the server confirms it.
    pub(crate) async fn finish(mut self) {
        self.session.unpublish();
        while let Some(event) = self.event().await {
            if event == Event::Unpublished {
                return;
            }
        }
        panic!("the end is not confirmed");
    }
}

/// The code with which somebody was sent away.
pub(crate) fn code_of(events: &[Event]) -> Option<&str> {
    events.iter().find_map(|event| match event {
        Event::Refused { code, .. } => Some(code.as_str()),
        Event::Connected
        | Event::Publishing
        | Event::Unpublished
        | Event::Acknowledged(_)
        | Event::Playing
        | Event::Media { .. }
        | Event::PlayEnded => None,
    })
}
