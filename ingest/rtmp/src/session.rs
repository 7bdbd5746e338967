//! A publisher's or a player's connection as the server sees it.
//!
//! The shell hands in what it read and when, and then takes outputs until there are none:
//!
//! 1. [`Session::handle_input`] with what was read; or [`Session::handle_timeout`] when
//!    [`Session::poll_timeout`] has come.
//! 2. [`Session::poll_output`] until `None`: write every [`Output::Transmit`], act on every
//!    [`Output::Event`]. All bytes due are one transmit, and it comes before the events.
//! 3. On [`Event::PublishRequested`] check the key, then [`Session::accept_publish`] or
//!    [`Session::refuse_publish`], and go to 2. What the publisher sends meanwhile waits; a shell
//!    that does not read meanwhile keeps that small.
//!    On [`Event::PlayRequested`] find the stream, then [`Session::accept_play`] or
//!    [`Session::refuse_play`]. Media of a stream that is played go past the session: the shell
//!    writes what [`play`](super::play) makes, between the session's own transmits.
//! 4. On [`Event::Closed`], and on any error, close the connection.

mod playing;
mod publishing;

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use media::amf0::Value;
use media::flv::{self, Metadata};

pub use playing::PlayRefusal;
pub use publishing::Refusal;

use super::message::{self, Command, Message, Sender, kind, status_info};
use super::{StreamKey, chunk, handshake};

/// The chunk size we send with: answers are short, so it hardly matters.
const CHUNK_SIZE: u32 = 4096;
/// After how many bytes either side acknowledges, as servers have always asked for.
const WINDOW_BYTES: u32 = 2_500_000;
/// What Flash servers called themselves when encoders learned to expect it.
const SERVER_VERSION: &str = "FMS/3,0,1,123";
/// And what they could do.
const CAPABILITIES: f64 = 31.0;
/// The encoding of commands that a client gets unless it asks for another.
const OBJECT_ENCODING_AMF0: f64 = 0.0;
/// How much of a peer's text goes into an error or an event about the connection.
const PEER_TEXT_CHARS_MAX: usize = 256;

/// How a session is set up.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// What a peer may make us keep, and how long it may take.
    pub limits: Limits,
    /// The application names that are served; any, if there are none.
    pub apps: Vec<String>,
}

/// What a peer may make us keep, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Those of the chunk stream.
    pub chunk: chunk::Limits,
    /// How many bytes may wait while a key is checked.
    pub waiting_bytes_max: usize,
    /// How long a connection may take until it publishes.
    pub publish_within: Duration,
    /// How long a publisher may send nothing.
    pub silent_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            chunk: chunk::Limits::default(),
            waiting_bytes_max: 4 * 1024 * 1024,
            publish_within: Duration::from_secs(15),
            silent_max: Duration::from_secs(30),
        }
    }
}

/// Which rule the peer broke. The session is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// In the handshake.
    #[error(transparent)]
    Handshake(#[from] handshake::Error),
    /// In the chunk stream.
    #[error(transparent)]
    Chunk(#[from] chunk::Error),
    /// In a message.
    #[error(transparent)]
    Message(#[from] message::Error),
    /// It did not wait for the answer to `publish`.
    #[error("more than {limit} bytes came while the key was being checked")]
    TooMuchWaiting {
        /// How much may.
        limit: usize,
    },
    /// It did not begin with `connect`.
    #[error("command '{0}' came before connect")]
    BeforeConnect(String),
    /// It connected twice.
    #[error("connect came a second time")]
    ConnectedAlready,
}

/// Something to be done by the shell.
#[derive(Debug)]
pub enum Output {
    /// Bytes to write.
    Transmit(Bytes),
    /// Something that happened.
    Event(Event),
}

/// Something that happened.
#[derive(Clone, PartialEq)]
pub enum Event {
    /// The peer connected to an application that is served.
    Connected {
        /// Which, without slashes at its end and without its query.
        app: String,
        /// The address the peer used, without its query.
        tc_url: Option<String>,
        /// What the peer calls itself.
        encoder: Option<String>,
    },
    /// The peer wants to publish, and waits for the answer.
    PublishRequested {
        /// The application it connected to.
        app: String,
        /// Under which name.
        key: StreamKey,
    },
    /// The peer wants to play, and waits for the answer.
    PlayRequested {
        /// The application it connected to.
        app: String,
        /// Which stream, with its query if it has one.
        name: String,
    },
    /// The player wants no media for now, or wants them again.
    Paused(bool),
    /// The player has had enough.
    PlayStopped,
    /// What the encoder says about its stream.
    Metadata(Metadata),
    /// Script data that cannot be read, and why. The stream goes on without.
    UnreadableMetadata(flv::Error),
    /// The body of a video tag.
    Video {
        /// Milliseconds on the publisher's clock.
        timestamp: u32,
        /// For [`flv::Video::parse`].
        body: Bytes,
    },
    /// The body of an audio tag.
    Audio {
        /// Milliseconds on the publisher's clock.
        timestamp: u32,
        /// For [`flv::Audio::parse`].
        body: Bytes,
    },
    /// The publisher ended its stream. It may publish again on the same connection.
    Unpublished,
    /// The session is over: close the connection once everything has been written.
    Closed(Closed),
}

impl fmt::Debug for Event {
    /// Bodies by their length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut body = |name, timestamp, body: &Bytes| {
            f.debug_struct(name)
                .field("timestamp", timestamp)
                .field("body_bytes", &body.len())
                .finish()
        };
        match self {
            Self::Video {
                timestamp,
                body: bytes,
            } => body("Video", timestamp, bytes),
            Self::Audio {
                timestamp,
                body: bytes,
            } => body("Audio", timestamp, bytes),
            Self::Connected {
                app,
                tc_url,
                encoder,
            } => f
                .debug_struct("Connected")
                .field("app", app)
                .field("tc_url", tc_url)
                .field("encoder", encoder)
                .finish(),
            Self::PublishRequested { app, key } => f
                .debug_struct("PublishRequested")
                .field("app", app)
                .field("key", key)
                .finish(),
            Self::Metadata(metadata) => f.debug_tuple("Metadata").field(metadata).finish(),
            Self::UnreadableMetadata(error) => {
                f.debug_tuple("UnreadableMetadata").field(error).finish()
            }
            Self::PlayRequested { app, name } => f
                .debug_struct("PlayRequested")
                .field("app", app)
                .field("name", &without_query(name))
                .finish(),
            Self::Paused(paused) => f.debug_tuple("Paused").field(paused).finish(),
            Self::PlayStopped => f.write_str("PlayStopped"),
            Self::Unpublished => f.write_str("Unpublished"),
            Self::Closed(why) => f.debug_tuple("Closed").field(why).finish(),
        }
    }
}

/// Why a session is over without the peer having broken a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It connected to an application that is not served.
    UnknownApp,
    /// What it wanted to play is not there.
    PlayRefused,
    /// It was not allowed to publish.
    Refused(Refusal),
    /// We ended it.
    Ended(Reason),
}

/// Why we end a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The server is going down.
    ShuttingDown,
    /// Another encoder of the same channel took over.
    TakenOver,
    /// Somebody with the right to do so ended the stream.
    Ended,
    /// What it sends cannot be carried.
    Unsupported,
    /// It did not publish in time.
    PublishTimeout,
    /// It stopped sending.
    Silent,
}

impl Reason {
    const fn description(self) -> &'static str {
        match self {
            Self::ShuttingDown => "The server is going down. Reconnect in a moment.",
            Self::TakenOver => "Another encoder of this channel took over.",
            Self::Ended => "The stream was ended from the studio or by a moderator.",
            Self::Unsupported => "The server cannot carry this codec. Use H.264 and AAC.",
            Self::PublishTimeout => "Nothing was published in time.",
            Self::Silent => "Nothing was received for too long.",
        }
    }
}

/// How far the connection has come.
#[derive(Debug)]
enum State {
    Handshake(handshake::Server),
    Open,
    Closed,
}

/// What the connection is used for; with the number of the message stream.
#[derive(Clone, Copy, Debug)]
enum Doing {
    Nothing,
    PublishAsked(u32),
    Publishing(u32),
    PlayAsked(u32),
    Playing(u32),
}

/// A publisher's or a player's connection.
pub struct Session {
    config: Config,
    state: State,
    doing: Doing,
    reader: chunk::Reader,
    sender: Sender,
    out: BytesMut,
    events: VecDeque<Event>,
    /// What came while the key was being checked.
    waiting: BytesMut,
    app: Option<String>,
    next_stream: u32,
    received: u64,
    acknowledged: u64,
    window: u64,
    /// When the peer must have published, or must have sent something.
    deadline: Duration,
}

impl fmt::Debug for Session {
    /// Without the bytes it holds: they may be a stream key's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("state", &self.state)
            .field("doing", &self.doing)
            .field("app", &self.app)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// A session that begins now, at time zero. The seed fills the packets of the handshake.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Self {
            state: State::Handshake(handshake::Server::new(seed)),
            doing: Doing::Nothing,
            reader: chunk::Reader::new(config.limits.chunk),
            sender: Sender::default(),
            out: BytesMut::new(),
            events: VecDeque::new(),
            waiting: BytesMut::new(),
            app: None,
            next_stream: 1,
            received: 0,
            acknowledged: 0,
            window: u64::from(WINDOW_BYTES),
            deadline: config.limits.publish_within,
            config,
        }
    }

    /// Takes what was read from the peer. `now` is the time since the session began.
    pub fn handle_input(&mut self, now: Duration, bytes: &[u8]) -> Result<(), Error> {
        self.received += bytes.len() as u64;
        match (&self.state, self.doing) {
            (State::Closed, _) => return Ok(()),
            (_, Doing::PublishAsked(_) | Doing::PlayAsked(_)) => {
                self.wait(bytes)?;
                self.acknowledge();
                return Ok(());
            }
            (_, Doing::Publishing(_)) => self.deadline = now + self.config.limits.silent_max,
            (_, Doing::Playing(_) | Doing::Nothing) => {}
        }
        self.advance(now, bytes)
    }

    /// What to write or to act on next.
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.out.is_empty() {
            self.events.pop_front().map(Output::Event)
        } else {
            Some(Output::Transmit(self.out.split().freeze()))
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called, if nothing happens before.
    pub const fn poll_timeout(&self) -> Option<Duration> {
        match (&self.state, self.doing) {
            // While the key is being checked it is the shell that takes its time; a player has
            // nothing to say.
            (State::Closed, _)
            | (_, Doing::PublishAsked(_) | Doing::PlayAsked(_) | Doing::Playing(_)) => None,
            _ => Some(self.deadline),
        }
    }

    /// Closes the session if the peer took too long.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.poll_timeout().is_some_and(|deadline| deadline <= now) {
            let silent = matches!(self.doing, Doing::Publishing(_));
            self.close(if silent {
                Reason::Silent
            } else {
                Reason::PublishTimeout
            });
        }
    }

    /// Ends the session from our side, in the reason's own words.
    pub fn close(&mut self, reason: Reason) {
        self.close_saying(reason, reason.description());
    }

    /// Ends the session from our side, in words of the caller's that the publisher may read.
    pub fn close_saying(&mut self, reason: Reason, description: &str) {
        if matches!(self.state, State::Closed) {
            return;
        }
        if let Doing::Publishing(stream) | Doing::PublishAsked(stream) = self.doing {
            self.sender.status(
                &mut self.out,
                stream,
                "status",
                "NetStream.Unpublish.Success",
                description,
            );
        }
        if self.app.is_some() {
            self.sender.status(
                &mut self.out,
                0,
                "error",
                "NetConnection.Connect.Closed",
                description,
            );
        }
        self.end(Closed::Ended(reason));
    }

    fn end(&mut self, why: Closed) {
        self.state = State::Closed;
        self.doing = Doing::Nothing;
        self.waiting = BytesMut::new();
        self.events.push_back(Event::Closed(why));
    }

    fn wait(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let limit = self.config.limits.waiting_bytes_max;
        if self.waiting.len() + bytes.len() > limit {
            self.state = State::Closed;
            return Err(Error::TooMuchWaiting { limit });
        }
        self.waiting.extend_from_slice(bytes);
        Ok(())
    }

    /// Takes bytes as far as the session can go with them.
    fn advance(&mut self, now: Duration, bytes: &[u8]) -> Result<(), Error> {
        let result = self.take(now, bytes);
        if result.is_err() {
            self.state = State::Closed;
        } else {
            self.acknowledge();
        }
        result
    }

    fn take(&mut self, now: Duration, mut input: &[u8]) -> Result<(), Error> {
        if let State::Handshake(handshake) = &mut self.state {
            match handshake.read(&mut input, &mut self.out)? {
                handshake::Progress::Going => return Ok(()),
                handshake::Progress::Done => self.state = State::Open,
            }
        }
        while matches!(self.state, State::Open) {
            if matches!(self.doing, Doing::PublishAsked(_) | Doing::PlayAsked(_)) {
                return self.wait(input);
            }
            let Some(message) = self.reader.read(&mut input)? else {
                break;
            };
            self.handle_message(now, &message, true)?;
        }
        Ok(())
    }

    /// Tells how much has been received, whenever the peer's window is full.
    fn acknowledge(&mut self) {
        if matches!(self.state, State::Open) && self.received - self.acknowledged >= self.window {
            self.acknowledged = self.received;
            // The count has 32 bits on the wire and goes round.
            let [.., a, b, c, d] = self.received.to_be_bytes();
            self.sender
                .acknowledgement(&mut self.out, u32::from_be_bytes([a, b, c, d]));
        }
    }

    fn handle_message(
        &mut self,
        now: Duration,
        message: &chunk::Message,
        outermost: bool,
    ) -> Result<(), Error> {
        // An aggregate does not hold commands or aggregates.
        let media = matches!(message.kind, kind::AUDIO | kind::VIDEO | kind::DATA);
        if !outermost && !media {
            return Ok(());
        }
        let timestamp = message.timestamp;
        match Message::parse(message)? {
            Message::WindowAckSize(size) if size > 0 => self.window = u64::from(size),
            Message::PingRequest(number) => self.sender.ping_response(&mut self.out, number),
            Message::Command(command) => self.handle_command(now, message.stream, &command)?,
            Message::Aggregate(parts) => {
                for part in &parts {
                    self.handle_message(now, part, false)?;
                }
            }
            Message::Data(body) => self.handle_data(&body),
            Message::Audio(body) => {
                self.handle_media(body, |body| Event::Audio { timestamp, body })
            }
            Message::Video(body) => {
                self.handle_media(body, |body| Event::Video { timestamp, body })
            }
            // The chunk reader has obeyed the first two; the rest asks for nothing.
            Message::SetChunkSize(_)
            | Message::Abort(_)
            | Message::Acknowledgement(_)
            | Message::WindowAckSize(_)
            | Message::SetPeerBandwidth(_)
            | Message::StreamBegin(_)
            | Message::PingResponse(_)
            | Message::Other(_) => {}
        }
        Ok(())
    }

    fn handle_media(&mut self, body: Bytes, event: impl FnOnce(Bytes) -> Event) {
        if matches!(self.doing, Doing::Publishing(_)) && !body.is_empty() {
            self.events.push_back(event(body));
        }
    }

    fn handle_data(&mut self, body: &[u8]) {
        if !matches!(self.doing, Doing::Publishing(_)) {
            return;
        }
        match Metadata::parse(body) {
            Ok(Some(metadata)) => self.events.push_back(Event::Metadata(metadata)),
            Ok(None) => {}
            Err(error) => self.events.push_back(Event::UnreadableMetadata(error)),
        }
    }

    fn handle_command(
        &mut self,
        now: Duration,
        stream: u32,
        command: &Command,
    ) -> Result<(), Error> {
        let Some(app) = &self.app else {
            if &*command.name == "connect" {
                self.connect(command);
                return Ok(());
            }
            return Err(Error::BeforeConnect(shortened(&command.name)));
        };
        match &*command.name {
            "connect" => return Err(Error::ConnectedAlready),
            "createStream" => {
                let number = self.next_stream;
                self.next_stream = number.checked_add(1).unwrap_or(1);
                self.answer(command, &[Value::Null, f64::from(number).into()]);
            }
            "publish" => {
                let app = app.clone();
                self.request_publish(stream, app, command);
            }
            "play" => {
                let app = app.clone();
                self.request_play(stream, app, command);
            }
            "pause" | "seek" | "play2" => self.control_play(stream, command),
            "FCPublish" => {
                let info =
                    status_info("status", "NetStream.Publish.Start", "FCPublish is welcome.");
                self.answer(command, &[Value::Null, Value::Undefined]);
                let notice = Command::new("onFCPublish", 0.0, [Value::Null, info]);
                self.sender.command(&mut self.out, 0, &notice);
            }
            "FCUnpublish" => {
                let info = status_info("status", "NetStream.Unpublish.Success", "Unpublished.");
                self.answer(command, &[Value::Null, Value::Undefined]);
                let notice = Command::new("onFCUnpublish", 0.0, [Value::Null, info]);
                self.sender.command(&mut self.out, 0, &notice);
                self.unpublish(now);
            }
            "deleteStream" => {
                let which = command.argument(1).and_then(Value::as_f64);
                if let Doing::Publishing(going) | Doing::Playing(going) = self.doing
                    && which.is_none_or(|which| which == f64::from(going))
                {
                    self.unpublish(now);
                    self.stop_playing();
                }
            }
            "closeStream" => {
                self.unpublish(now);
                self.stop_playing();
            }
            "getStreamLength" => self.answer(command, &[Value::Null, 0.0.into()]),
            "releaseStream" | "_checkbw" => {
                self.answer(command, &[Value::Null, Value::Undefined]);
            }
            // Answers to what we never asked, and questions that encoders ask of other servers.
            // FFmpeg would take an error for the end.
            _ => {}
        }
        Ok(())
    }

    /// Answers a command that wants an answer.
    fn answer(&mut self, command: &Command, values: &[Value]) {
        if command.transaction != 0.0 {
            let answer = Command::new("_result", command.transaction, values);
            self.sender.command(&mut self.out, 0, &answer);
        }
    }

    fn connect(&mut self, command: &Command) {
        let about = command.argument(0);
        let text = |name| {
            about
                .and_then(|about| about.get(name))
                .and_then(Value::as_str)
        };
        let app = without_query(text("app").unwrap_or_default()).trim_end_matches('/');
        let apps = &self.config.apps;
        if !apps.is_empty() && !apps.iter().any(|served| served == app) {
            let description = format!("There is no application '{}' here.", shortened(app));
            let info = status_info("error", "NetConnection.Connect.InvalidApp", &description);
            let refusal = Command::new("_error", command.transaction, [Value::Null, info]);
            self.sender.command(&mut self.out, 0, &refusal);
            self.end(Closed::UnknownApp);
            return;
        }
        let encoding = about
            .and_then(|about| about.get("objectEncoding"))
            .and_then(Value::as_f64)
            .unwrap_or(OBJECT_ENCODING_AMF0);

        self.sender.window_ack_size(&mut self.out, WINDOW_BYTES);
        self.sender.set_peer_bandwidth(&mut self.out, WINDOW_BYTES);
        self.sender.set_chunk_size(&mut self.out, CHUNK_SIZE);
        let server = Value::object([
            ("fmsVer", SERVER_VERSION.into()),
            ("capabilities", CAPABILITIES.into()),
        ]);
        let info = Value::object([
            ("level", "status".into()),
            ("code", "NetConnection.Connect.Success".into()),
            ("description", "Connected.".into()),
            ("objectEncoding", encoding.into()),
        ]);
        let answer = Command::new("_result", command.transaction, [server, info]);
        self.sender.command(&mut self.out, 0, &answer);

        let app = shortened(app);
        self.events.push_back(Event::Connected {
            app: app.clone(),
            tc_url: text("tcUrl").map(without_query).map(shortened),
            encoder: text("flashVer").map(shortened),
        });
        self.app = Some(app);
    }
}

/// What stands before a query, which may hold a password.
fn without_query(text: &str) -> &str {
    text.split('?').next().unwrap_or_default()
}

/// A peer's text, short and without what would upset a terminal.
fn shortened(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(PEER_TEXT_CHARS_MAX)
        .collect()
}

#[cfg(test)]
mod tests;
