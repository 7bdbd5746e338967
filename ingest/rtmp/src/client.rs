//! A publisher's or a player's connection from the peer's side, for load and tests.
//!
//! It speaks as FFmpeg does: the simple handshake, `connect`, `releaseStream`, `FCPublish`,
//! `createStream`, `publish`, and then metadata, sound and pictures; or `connect`, `createStream`,
//! `play`. Outputs are taken as from [`session`](super::session).

use std::collections::VecDeque;
use std::fmt;

use bytes::{Bytes, BytesMut};
use media::amf0::{self, Value};
use media::flv::TagKind;

use super::message::{self, Command, Message, Sender, kind};
use super::{Secret, chunk, handshake};

/// The chunk streams that encoders send media on.
const AUDIO_CHUNK_STREAM: u32 = 4;
const VIDEO_CHUNK_STREAM: u32 = 6;

/// The numbers of the commands that want an answer.
const CONNECT: f64 = 1.0;
const RELEASE_STREAM: f64 = 2.0;
const FC_PUBLISH: f64 = 3.0;
const CREATE_STREAM: f64 = 4.0;
const PUBLISH: f64 = 5.0;
const PLAY: f64 = 5.0;
const FC_UNPUBLISH: f64 = 6.0;
const DELETE_STREAM: f64 = 7.0;

/// What to connect for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// To send a stream.
    #[default]
    Publish,
    /// To receive one.
    Play,
}

/// Whom to connect to, and as what.
#[derive(Clone, Debug)]
pub struct Config {
    /// What for.
    pub purpose: Purpose,
    /// The application.
    pub app: String,
    /// The address: `rtmp://host:port/app`.
    pub tc_url: String,
    /// The stream key, or the name of the stream to play; with its query if it has one.
    pub key: Secret,
    /// What to call oneself.
    pub encoder: String,
    /// The chunk size to send with.
    pub chunk_size: u32,
}

/// Which rule the server broke, or the caller.
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
    /// Media were to be sent while nothing is published.
    #[error("nothing is being published")]
    NotPublishing,
}

/// Something to be done by the shell.
pub enum Output {
    /// Bytes to write.
    Transmit(Bytes),
    /// Something that happened.
    Event(Event),
}

impl fmt::Debug for Output {
    /// Bytes by their length: they may be the stream key's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transmit(bytes) => f.debug_tuple("Transmit").field(&bytes.len()).finish(),
            Self::Event(event) => f.debug_tuple("Event").field(event).finish(),
        }
    }
}

/// Something that happened.
#[derive(Clone, PartialEq)]
pub enum Event {
    /// The application took us.
    Connected,
    /// Media may be sent.
    Publishing,
    /// Media will come.
    Playing,
    /// The body of a tag that is played.
    Media {
        /// Its kind.
        kind: TagKind,
        /// Milliseconds on the broadcast's clock.
        timestamp: u32,
        /// For the parser of that kind.
        body: Bytes,
    },
    /// What is played is over.
    PlayEnded,
    /// The server said no, or ended it, in these words.
    Refused {
        /// A code such as `NetStream.Publish.BadName`.
        code: String,
        /// What a person may read.
        description: String,
    },
    /// The server confirms that the stream is over.
    Unpublished,
    /// The server has received so many bytes.
    Acknowledged(u32),
}

impl fmt::Debug for Event {
    /// Bodies by their length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected => f.write_str("Connected"),
            Self::Publishing => f.write_str("Publishing"),
            Self::Playing => f.write_str("Playing"),
            Self::Media {
                kind,
                timestamp,
                body,
            } => f
                .debug_struct("Media")
                .field("kind", kind)
                .field("timestamp", timestamp)
                .field("body_bytes", &body.len())
                .finish(),
            Self::PlayEnded => f.write_str("PlayEnded"),
            Self::Refused { code, description } => f
                .debug_struct("Refused")
                .field("code", code)
                .field("description", description)
                .finish(),
            Self::Unpublished => f.write_str("Unpublished"),
            Self::Acknowledged(bytes) => f.debug_tuple("Acknowledged").field(bytes).finish(),
        }
    }
}

#[derive(Debug)]
enum State {
    Handshake(handshake::Client),
    Open,
}

/// A publisher's or a player's connection.
pub struct Session {
    config: Config,
    state: State,
    reader: chunk::Reader,
    sender: Sender,
    out: BytesMut,
    events: VecDeque<Event>,
    stream: Option<u32>,
    publishing: bool,
    received: u64,
    acknowledged: u64,
    window: u64,
}

impl fmt::Debug for Session {
    /// Without the bytes it holds: they may be the stream key's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("state", &self.state)
            .field("publishing", &self.publishing)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// A session whose first bytes are to be written at once.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let mut out = BytesMut::new();
        Self {
            config,
            state: State::Handshake(handshake::Client::new(seed, &mut out)),
            reader: chunk::Reader::new(chunk::Limits::default()),
            sender: Sender::default(),
            out,
            events: VecDeque::new(),
            stream: None,
            publishing: false,
            received: 0,
            acknowledged: 0,
            window: u64::from(u32::MAX),
        }
    }

    /// Takes what was read from the server.
    pub fn handle_input(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut input = bytes;
        self.received += bytes.len() as u64;
        if let State::Handshake(handshake) = &mut self.state {
            match handshake.read(&mut input, &mut self.out)? {
                handshake::Progress::Going => return Ok(()),
                handshake::Progress::Done => self.state = State::Open,
            }
            self.connect();
        }
        while let Some(message) = self.reader.read(&mut input)? {
            self.handle_message(&message)?;
        }
        if self.received - self.acknowledged >= self.window {
            self.acknowledged = self.received;
            let [.., a, b, c, d] = self.received.to_be_bytes();
            self.sender
                .acknowledgement(&mut self.out, u32::from_be_bytes([a, b, c, d]));
        }
        Ok(())
    }

    /// What to write or to act on next.
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.out.is_empty() {
            self.events.pop_front().map(Output::Event)
        } else {
            Some(Output::Transmit(self.out.split().freeze()))
        }
    }

    /// Whether media may be sent.
    pub const fn is_publishing(&self) -> bool {
        self.publishing
    }

    /// Says what the stream is, with `@setDataFrame`.
    pub fn send_metadata(&mut self, about: &Value) -> Result<(), Error> {
        let mut body = BytesMut::new();
        for value in [&"@setDataFrame".into(), &"onMetaData".into(), about] {
            amf0::encode(value, &mut body);
        }
        self.send(AUDIO_CHUNK_STREAM, kind::DATA, 0, &body)
    }

    /// Sends the body of a video tag, with a timestamp in milliseconds.
    pub fn send_video(&mut self, timestamp: u32, body: &[u8]) -> Result<(), Error> {
        self.send(VIDEO_CHUNK_STREAM, kind::VIDEO, timestamp, body)
    }

    /// Sends the body of an audio tag, with a timestamp in milliseconds.
    pub fn send_audio(&mut self, timestamp: u32, body: &[u8]) -> Result<(), Error> {
        self.send(AUDIO_CHUNK_STREAM, kind::AUDIO, timestamp, body)
    }

    /// Says something about the stream that is played, such as `pause` or `seek`.
    pub fn control_play(&mut self, name: &str, arguments: impl Into<Vec<Value>>) {
        if let Some(stream) = self.stream {
            let mut all = vec![Value::Null];
            all.extend(arguments.into());
            self.sender
                .command(&mut self.out, stream, &Command::new(name, 0.0, all));
        }
    }

    /// Ends the stream as encoders do.
    pub fn unpublish(&mut self) {
        let Some(stream) = self.stream.take() else {
            return;
        };
        self.publishing = false;
        self.call("FCUnpublish", FC_UNPUBLISH, self.key());
        self.call("deleteStream", DELETE_STREAM, f64::from(stream).into());
    }

    fn send(
        &mut self,
        chunk_stream: u32,
        kind: u8,
        timestamp: u32,
        body: &[u8],
    ) -> Result<(), Error> {
        match self.stream {
            Some(stream) if self.publishing => {
                self.sender
                    .media(&mut self.out, chunk_stream, kind, stream, timestamp, body);
                Ok(())
            }
            _ => Err(Error::NotPublishing),
        }
    }

    fn key(&self) -> Value {
        self.config.key.expose().into()
    }

    /// Calls something about the connection, with one argument.
    fn call(&mut self, name: &str, transaction: f64, argument: Value) {
        let command = Command::new(name, transaction, [Value::Null, argument]);
        self.sender.command(&mut self.out, 0, &command);
    }

    fn connect(&mut self) {
        let about = Value::object([
            ("app", self.config.app.as_str().into()),
            ("type", "nonprivate".into()),
            ("flashVer", self.config.encoder.as_str().into()),
            ("tcUrl", self.config.tc_url.as_str().into()),
        ]);
        self.sender
            .set_chunk_size(&mut self.out, self.config.chunk_size);
        self.sender
            .command(&mut self.out, 0, &Command::new("connect", CONNECT, [about]));
    }

    fn handle_message(&mut self, message: &chunk::Message) -> Result<(), Error> {
        match Message::parse(message)? {
            Message::WindowAckSize(size) if size > 0 => self.window = u64::from(size),
            Message::PingRequest(number) => self.sender.ping_response(&mut self.out, number),
            Message::Acknowledgement(bytes) => self.events.push_back(Event::Acknowledged(bytes)),
            Message::Command(command) => self.handle_command(&command),
            Message::SetChunkSize(_)
            | Message::Abort(_)
            | Message::WindowAckSize(_)
            | Message::SetPeerBandwidth(_)
            | Message::StreamBegin(_)
            | Message::PingResponse(_)
            | Message::Aggregate(_)
            | Message::Other(_) => {}
            Message::Data(body) => self.media(TagKind::Script, message.timestamp, body),
            Message::Audio(body) => self.media(TagKind::Audio, message.timestamp, body),
            Message::Video(body) => self.media(TagKind::Video, message.timestamp, body),
        }
        Ok(())
    }

    fn media(&mut self, kind: TagKind, timestamp: u32, body: Bytes) {
        self.events.push_back(Event::Media {
            kind,
            timestamp,
            body,
        });
    }

    fn handle_command(&mut self, command: &Command) {
        let info = command.argument(1);
        let text = |name| {
            info.and_then(|info| info.get(name))
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        match &*command.name {
            "_result" if command.transaction == CONNECT => {
                self.events.push_back(Event::Connected);
                if self.config.purpose == Purpose::Publish {
                    self.call("releaseStream", RELEASE_STREAM, self.key());
                    self.call("FCPublish", FC_PUBLISH, self.key());
                }
                let create = Command::new("createStream", CREATE_STREAM, [Value::Null]);
                self.sender.command(&mut self.out, 0, &create);
            }
            "_result" if command.transaction == CREATE_STREAM => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "the cast saturates, and a wrong number is the server's loss"
                )]
                let stream = info.and_then(Value::as_f64).unwrap_or(1.0) as u32;
                self.stream = Some(stream);
                let ask = match self.config.purpose {
                    Purpose::Publish => {
                        let arguments = [Value::Null, self.key(), "live".into()];
                        Command::new("publish", PUBLISH, arguments)
                    }
                    Purpose::Play => Command::new("play", PLAY, [Value::Null, self.key()]),
                };
                self.sender.command(&mut self.out, stream, &ask);
            }
            "onStatus" if text("code") == "NetStream.Publish.Start" => {
                self.publishing = true;
                self.events.push_back(Event::Publishing);
            }
            "onStatus" if text("code") == "NetStream.Play.Start" => {
                self.events.push_back(Event::Playing);
            }
            "onStatus" if text("code") == "NetStream.Play.UnpublishNotify" => {
                self.events.push_back(Event::PlayEnded);
            }
            "onStatus" if text("code") == "NetStream.Unpublish.Success" => {
                self.publishing = false;
                self.events.push_back(Event::Unpublished);
            }
            "onStatus" | "_error" if command.transaction == CONNECT || text("level") == "error" => {
                self.publishing = false;
                self.events.push_back(Event::Refused {
                    code: text("code").to_owned(),
                    description: text("description").to_owned(),
                });
            }
            _ => {}
        }
    }
}
