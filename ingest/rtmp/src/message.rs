//! What messages mean.

use std::fmt;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use media::amf0::{self, Value};

use super::chunk;

/// How many messages one aggregate may hold.
pub const AGGREGATE_MESSAGES_MAX: usize = 1024;

/// The types of messages.
pub mod kind {
    /// Changes the chunk size.
    pub const SET_CHUNK_SIZE: u8 = super::chunk::TYPE_SET_CHUNK_SIZE;
    /// Gives an incomplete message up.
    pub const ABORT: u8 = super::chunk::TYPE_ABORT;
    /// How many bytes have been received.
    pub const ACKNOWLEDGEMENT: u8 = 3;
    /// Streams and pings.
    pub const USER_CONTROL: u8 = 4;
    /// After how many bytes to acknowledge.
    pub const WINDOW_ACK_SIZE: u8 = 5;
    /// How much may be sent without acknowledgement.
    pub const SET_PEER_BANDWIDTH: u8 = 6;
    /// Sound.
    pub const AUDIO: u8 = 8;
    /// Pictures.
    pub const VIDEO: u8 = 9;
    /// Script data with AMF3.
    pub const DATA_AMF3: u8 = 15;
    /// A command with AMF3.
    pub const COMMAND_AMF3: u8 = 17;
    /// Script data.
    pub const DATA: u8 = 18;
    /// A command.
    pub const COMMAND: u8 = 20;
    /// Several messages in one.
    pub const AGGREGATE: u8 = 22;
}

const EVENT_STREAM_BEGIN: u16 = 0;
const EVENT_STREAM_EOF: u16 = 1;
const EVENT_STREAM_DRY: u16 = 2;
const EVENT_PING_REQUEST: u16 = 6;
const EVENT_PING_RESPONSE: u16 = 7;

/// Behind each message of an aggregate stands its size.
const BACK_POINTER_BYTES: usize = 4;
/// What stands in front of each.
const SUB_HEADER_BYTES: usize = 11;

/// Which rule a message broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A control message too short to say anything.
    #[error("control message of type {kind} is {length} bytes long")]
    ShortControl {
        /// Its type.
        kind: u8,
        /// Its length.
        length: usize,
    },
    /// A command that cannot be decoded.
    #[error("a command cannot be read: {0}")]
    Command(#[from] amf0::Error),
    /// A command without a name.
    #[error("a command does not begin with its name")]
    NoName,
    /// An aggregate whose parts do not fit it.
    #[error("an aggregate of {length} bytes ends in the middle of a message")]
    TornAggregate {
        /// How long it is.
        length: usize,
    },
    /// An aggregate of too many.
    #[error("an aggregate holds more than {AGGREGATE_MESSAGES_MAX} messages")]
    TooManyInAggregate,
}

/// A message by its meaning.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// The sender's chunks have this size from here on.
    SetChunkSize(u32),
    /// The sender gives the message on this chunk stream up.
    Abort(u32),
    /// The sender has received so many bytes.
    Acknowledgement(u32),
    /// The sender wants to hear after so many bytes.
    WindowAckSize(u32),
    /// The receiver should send no more than this without acknowledgement.
    SetPeerBandwidth(u32),
    /// A message stream begins.
    StreamBegin(u32),
    /// The sender wants this number back.
    PingRequest(u32),
    /// The number comes back.
    PingResponse(u32),
    /// A command.
    Command(Command),
    /// Script data in AMF0.
    Data(Bytes),
    /// The body of an audio tag.
    Audio(Bytes),
    /// The body of a video tag.
    Video(Bytes),
    /// Several messages, with their own types and timestamps.
    Aggregate(Vec<chunk::Message>),
    /// Something nobody here waits for, by its type.
    Other(u8),
}

impl Message {
    /// Reads a message.
    pub fn parse(message: &chunk::Message) -> Result<Self, Error> {
        let number = || number(message);
        Ok(match message.kind {
            kind::SET_CHUNK_SIZE => Self::SetChunkSize(number()?),
            kind::ABORT => Self::Abort(number()?),
            kind::ACKNOWLEDGEMENT => Self::Acknowledgement(number()?),
            kind::WINDOW_ACK_SIZE => Self::WindowAckSize(number()?),
            kind::SET_PEER_BANDWIDTH => Self::SetPeerBandwidth(number()?),
            kind::USER_CONTROL => user_control(message)?,
            kind::AUDIO => Self::Audio(message.payload.clone()),
            kind::VIDEO => Self::Video(message.payload.clone()),
            kind::DATA | kind::DATA_AMF3 => Self::Data(without_selector(message)),
            kind::COMMAND | kind::COMMAND_AMF3 => {
                Self::Command(Command::parse(&without_selector(message))?)
            }
            kind::AGGREGATE => Self::Aggregate(split_aggregate(message)?),
            kind => Self::Other(kind),
        })
    }
}

fn short(message: &chunk::Message) -> Error {
    Error::ShortControl {
        kind: message.kind,
        length: message.payload.len(),
    }
}

fn number(message: &chunk::Message) -> Result<u32, Error> {
    message
        .payload
        .first_chunk()
        .map(|bytes| u32::from_be_bytes(*bytes))
        .ok_or_else(|| short(message))
}

fn user_control(message: &chunk::Message) -> Result<Message, Error> {
    let Some(&[e0, e1, rest @ ..]) = message.payload.first_chunk::<6>() else {
        // Events nobody waits for may be shorter.
        return if message.payload.len() < 2 {
            Err(short(message))
        } else {
            Ok(Message::Other(message.kind))
        };
    };
    let number = u32::from_be_bytes(rest);
    Ok(match u16::from_be_bytes([e0, e1]) {
        EVENT_STREAM_BEGIN => Message::StreamBegin(number),
        EVENT_PING_REQUEST => Message::PingRequest(number),
        EVENT_PING_RESPONSE => Message::PingResponse(number),
        _ => Message::Other(message.kind),
    })
}

/// The payload of a command or of script data as AMF0. The AMF3 types begin with a byte that says
/// so, and then hold AMF0 in which values switch to AMF3 one by one.
fn without_selector(message: &chunk::Message) -> Bytes {
    let amf3 = matches!(message.kind, kind::DATA_AMF3 | kind::COMMAND_AMF3);
    if amf3 && message.payload.first() == Some(&0) {
        message.payload.slice(1..)
    } else {
        message.payload.clone()
    }
}

/// The messages of an aggregate. Their timestamps are moved so that the first has the aggregate's.
fn split_aggregate(message: &chunk::Message) -> Result<Vec<chunk::Message>, Error> {
    let torn = || Error::TornAggregate {
        length: message.payload.len(),
    };
    let mut rest = message.payload.clone();
    let mut messages = Vec::new();
    let mut first_timestamp = None;
    while !rest.is_empty() {
        let &[kind, l0, l1, l2, t0, t1, t2, t3, ..] =
            rest.first_chunk::<SUB_HEADER_BYTES>().ok_or_else(torn)?;
        let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        let timestamp = u32::from_be_bytes([t3, t0, t1, t2]);
        rest.advance(SUB_HEADER_BYTES);
        if rest.len() < length {
            return Err(torn());
        }
        if messages.len() == AGGREGATE_MESSAGES_MAX {
            return Err(Error::TooManyInAggregate);
        }
        let offset = timestamp.wrapping_sub(*first_timestamp.get_or_insert(timestamp));
        messages.push(chunk::Message {
            kind,
            timestamp: message.timestamp.wrapping_add(offset),
            payload: rest.split_to(length),
            ..*message
        });
        // The last one's may be missing.
        rest.advance(BACK_POINTER_BYTES.min(rest.len()));
    }
    Ok(messages)
}

/// A command and what it is called with.
#[derive(Clone, PartialEq)]
pub struct Command {
    /// What is to be done.
    pub name: Arc<str>,
    /// What the answer refers to; 0 wants none.
    pub transaction: f64,
    /// What follows, the command object first.
    pub arguments: Vec<Value>,
}

impl Command {
    /// A command.
    pub fn new(name: &str, transaction: f64, arguments: impl Into<Vec<Value>>) -> Self {
        Self {
            name: name.into(),
            transaction,
            arguments: arguments.into(),
        }
    }

    /// Reads a command out of AMF0.
    pub fn parse(payload: &[u8]) -> Result<Self, Error> {
        let mut values = amf0::decode_all(payload)?.into_iter();
        let Some(Value::String(name)) = values.next() else {
            return Err(Error::NoName);
        };
        let transaction = values
            .next()
            .as_ref()
            .and_then(Value::as_f64)
            .unwrap_or(0.0);
        Ok(Self {
            name,
            transaction,
            arguments: values.collect(),
        })
    }

    /// Writes it as AMF0.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        amf0::encode(&Value::String(Arc::clone(&self.name)), &mut out);
        amf0::encode(&Value::Number(self.transaction), &mut out);
        for argument in &self.arguments {
            amf0::encode(argument, &mut out);
        }
        out.freeze()
    }

    /// The argument at that place; the command object is at 0.
    pub fn argument(&self, at: usize) -> Option<&Value> {
        self.arguments.get(at)
    }
}

impl fmt::Debug for Command {
    /// Without the arguments, which may hold a stream key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("name", &self.name)
            .field("transaction", &self.transaction)
            .field("arguments", &self.arguments.len())
            .finish()
    }
}

/// Writes our messages: a chunk writer that knows on which chunk stream each kind belongs.
#[derive(Clone, Debug, Default)]
pub(super) struct Sender {
    writer: chunk::Writer,
}

/// Where commands go that are about the connection.
const CONNECTION_CHUNK_STREAM: u32 = 3;
/// Where commands go that are about a message stream.
const STREAM_CHUNK_STREAM: u32 = 5;

impl Sender {
    /// One whose peer has been told the chunk size by other means.
    pub(super) fn with_chunk_size(size: u32) -> Self {
        let mut writer = chunk::Writer::new();
        writer.set_chunk_size(size);
        Self { writer }
    }

    fn control(&self, out: &mut BytesMut, kind: u8, payload: &[u8]) {
        self.writer
            .write(out, chunk::CONTROL_CHUNK_STREAM, kind, 0, 0, payload);
    }

    pub(super) fn set_chunk_size(&mut self, out: &mut BytesMut, size: u32) {
        self.control(out, kind::SET_CHUNK_SIZE, &size.to_be_bytes());
        self.writer.set_chunk_size(size);
    }

    pub(super) fn acknowledgement(&self, out: &mut BytesMut, received: u32) {
        self.control(out, kind::ACKNOWLEDGEMENT, &received.to_be_bytes());
    }

    pub(super) fn window_ack_size(&self, out: &mut BytesMut, size: u32) {
        self.control(out, kind::WINDOW_ACK_SIZE, &size.to_be_bytes());
    }

    /// With the limit type "dynamic", as all servers send it.
    pub(super) fn set_peer_bandwidth(&self, out: &mut BytesMut, size: u32) {
        let [a, b, c, d] = size.to_be_bytes();
        self.control(out, kind::SET_PEER_BANDWIDTH, &[a, b, c, d, 2]);
    }

    pub(super) fn stream_begin(&self, out: &mut BytesMut, stream: u32) {
        self.user_control(out, EVENT_STREAM_BEGIN, stream);
    }

    pub(super) fn stream_eof(&self, out: &mut BytesMut, stream: u32) {
        self.user_control(out, EVENT_STREAM_EOF, stream);
    }

    pub(super) fn stream_dry(&self, out: &mut BytesMut, stream: u32) {
        self.user_control(out, EVENT_STREAM_DRY, stream);
    }

    pub(super) fn ping_response(&self, out: &mut BytesMut, number: u32) {
        self.user_control(out, EVENT_PING_RESPONSE, number);
    }

    fn user_control(&self, out: &mut BytesMut, event: u16, number: u32) {
        let mut payload = [0; 6];
        payload[..2].copy_from_slice(&event.to_be_bytes());
        payload[2..].copy_from_slice(&number.to_be_bytes());
        self.control(out, kind::USER_CONTROL, &payload);
    }

    pub(super) fn command(&self, out: &mut BytesMut, stream: u32, command: &Command) {
        let chunk_stream = if stream == 0 {
            CONNECTION_CHUNK_STREAM
        } else {
            STREAM_CHUNK_STREAM
        };
        self.writer.write(
            out,
            chunk_stream,
            kind::COMMAND,
            stream,
            0,
            &command.encode(),
        );
    }

    /// Tells how something went on a message stream, or on the connection if it is 0.
    pub(super) fn status(
        &self,
        out: &mut BytesMut,
        stream: u32,
        level: &str,
        code: &str,
        description: &str,
    ) {
        let info = status_info(level, code, description);
        self.command(
            out,
            stream,
            &Command::new("onStatus", 0.0, [Value::Null, info]),
        );
    }

    pub(super) fn media(
        &self,
        out: &mut BytesMut,
        chunk_stream: u32,
        kind: u8,
        stream: u32,
        timestamp: u32,
        body: &[u8],
    ) {
        self.writer
            .write(out, chunk_stream, kind, stream, timestamp, body);
    }
}

/// The information object of an answer.
pub(super) fn status_info(level: &str, code: &str, description: &str) -> Value {
    Value::object([
        ("level", level.into()),
        ("code", code.into()),
        ("description", description.into()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, payload: &'static [u8]) -> chunk::Message {
        chunk::Message {
            chunk_stream: 3,
            kind,
            stream: 1,
            timestamp: 1000,
            payload: Bytes::from_static(payload),
        }
    }

    #[test]
    fn control_messages_are_read_and_short_ones_are_errors() {
        assert_eq!(
            Message::parse(&message(5, b"\0\x26\x25\xa0")),
            Ok(Message::WindowAckSize(2_500_000))
        );
        assert_eq!(
            Message::parse(&message(4, b"\0\x06\0\0\0\x07")),
            Ok(Message::PingRequest(7))
        );
        assert_eq!(
            Message::parse(&message(4, b"\0\x03\0\0\0\x01\0\0\x0b\xb8")),
            Ok(Message::Other(4))
        );
        for kind in [1, 2, 3, 5, 6] {
            let error = Error::ShortControl { kind, length: 3 };
            assert_eq!(Message::parse(&message(kind, b"\0\0\0")), Err(error));
        }
        assert_eq!(
            Message::parse(&message(4, b"\0")),
            Err(Error::ShortControl { kind: 4, length: 1 })
        );
        assert_eq!(
            Message::parse(&message(4, b"\0\x06")),
            Ok(Message::Other(4))
        );
    }

    #[test]
    fn commands_are_read_as_they_are_written_in_both_encodings() {
        let command = Command::new("publish", 5.0, [Value::Null, "key".into(), "live".into()]);
        assert_eq!(Command::parse(&command.encode()), Ok(command.clone()));
        let amf3 = [&[0], &command.encode()[..]].concat();
        let amf3 = chunk::Message {
            payload: amf3.into(),
            ..message(kind::COMMAND_AMF3, b"")
        };
        assert_eq!(Message::parse(&amf3), Ok(Message::Command(command.clone())));
        assert!(!format!("{command:?}").contains("key"));
    }

    #[test]
    fn commands_without_a_name_are_errors() {
        for payload in [&b""[..], b"\x05", b"\0\0\0\0\0\0\0\0\0"] {
            assert_eq!(Command::parse(payload), Err(Error::NoName));
        }
        assert_eq!(
            Command::parse(b"\x02\0\x09short"),
            Err(Error::Command(amf0::Error::Truncated))
        );
    }

    #[test]
    fn an_aggregate_is_split_and_its_timestamps_are_moved() {
        let payload =
            b"\x08\0\0\x02\0\0\x0a\0\0\0\0au\0\0\0\x0d\x09\0\0\x01\0\0\x1e\0\0\0\0v\0\0\0\x0c";
        let Ok(Message::Aggregate(parts)) = Message::parse(&message(22, payload)) else {
            panic!()
        };
        let told: Vec<_> = parts
            .iter()
            .map(|p| (p.kind, p.timestamp, &p.payload[..]))
            .collect();
        assert_eq!(told, [(8, 1000, &b"au"[..]), (9, 1020, &b"v"[..])]);
    }

    #[test]
    fn a_torn_aggregate_is_an_error_wherever_it_is_torn() {
        let payload =
            b"\x08\0\0\x02\0\0\x0a\0\0\0\0au\0\0\0\x0d\x09\0\0\x01\0\0\x1e\0\0\0\0v\0\0\0\x0c";
        for end in 1..payload.len() {
            let torn = Message::parse(&message(22, &payload[..end]));
            let whole = matches!(end, 13..=17 | 29..);
            assert_eq!(
                matches!(torn, Ok(Message::Aggregate(_))),
                whole,
                "{end}: {torn:?}"
            );
        }
    }

    #[test]
    fn an_aggregate_of_very_many_is_refused() {
        let payload: &'static [u8] =
            Box::leak(vec![0; (SUB_HEADER_BYTES + BACK_POINTER_BYTES) * 2000].into());
        assert_eq!(
            Message::parse(&message(22, payload)),
            Err(Error::TooManyInAggregate)
        );
    }
}
