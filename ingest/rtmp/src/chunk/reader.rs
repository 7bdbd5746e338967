//! Putting messages together out of chunks, within limits.

use std::collections::HashMap;
use std::fmt;

use bytes::{Bytes, BytesMut};

use super::{
    CHUNK_SIZE_INITIAL, CHUNK_SIZE_MAX, EXTENDED_TIMESTAMP, Message, TYPE_ABORT,
    TYPE_SET_CHUNK_SIZE,
};

/// How much is set aside for a message when its first byte comes, whatever length it announced.
const FIRST_RESERVE_BYTES: usize = 16 * 1024;

/// How much a peer may make us keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest message.
    pub message_bytes_max: usize,
    /// How many chunk streams may be used. Encoders use less than ten.
    pub chunk_streams_max: usize,
    /// How many messages may be incomplete at a time.
    pub partial_messages_max: usize,
    /// How long all incomplete messages may be together.
    pub partial_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 8 * 1024 * 1024,
            chunk_streams_max: 64,
            partial_messages_max: 8,
            partial_bytes_max: 16 * 1024 * 1024,
        }
    }
}

/// Which rule a chunk stream broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A message too long.
    #[error(
        "chunk stream {chunk_stream} announced a message of {length} bytes, the limit is {limit}"
    )]
    MessageTooLong {
        /// On which chunk stream.
        chunk_stream: u32,
        /// How long.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// Too many chunk streams.
    #[error("chunk stream {chunk_stream} is one more than the limit of {limit} chunk streams")]
    TooManyChunkStreams {
        /// The one too many.
        chunk_stream: u32,
        /// How many there may be.
        limit: usize,
    },
    /// Too many incomplete messages.
    #[error("chunk stream {chunk_stream} began a message while {limit} others were incomplete")]
    TooManyPartialMessages {
        /// The one too many.
        chunk_stream: u32,
        /// How many there may be.
        limit: usize,
    },
    /// Too many bytes in incomplete messages.
    #[error("incomplete messages hold more than {limit} bytes")]
    TooManyPartialBytes {
        /// How many there may be.
        limit: usize,
    },
    /// A chunk size that cannot be.
    #[error("set chunk size asks for {0} bytes, allowed are 1 to {CHUNK_SIZE_MAX}")]
    ChunkSize(u32),
    /// A short header where there is nothing it could shorten.
    #[error("chunk stream {chunk_stream} begins with a header of type {format}")]
    NothingToRepeat {
        /// On which chunk stream.
        chunk_stream: u32,
        /// The header's type, 2 or 3.
        format: u8,
    },
    /// A new header before the message was complete.
    #[error(
        "chunk stream {chunk_stream} began a message with {missing} bytes of the last one missing"
    )]
    Interrupted {
        /// On which chunk stream.
        chunk_stream: u32,
        /// How much was missing.
        missing: usize,
    },
    /// A control message too short to say anything.
    #[error("control message of type {kind} is {length} bytes long")]
    ShortControl {
        /// Its type.
        kind: u8,
        /// Its length.
        length: usize,
    },
}

/// What a chunk stream remembers from chunk to chunk.
#[derive(Default)]
struct ChunkStream {
    timestamp: u32,
    /// What the last header said of time: a timestamp (type 0) or a delta.
    time_field: u32,
    /// Whether that stood in the extension.
    extended: bool,
    length: usize,
    kind: u8,
    stream: u32,
    partial: Option<BytesMut>,
}

/// Puts messages together out of chunks.
///
/// It obeys what steers the chunk stream itself (set chunk size, abort) and hands those messages on
/// like all others.
pub struct Reader {
    limits: Limits,
    chunk_size: u32,
    streams: HashMap<u32, ChunkStream>,
    /// What has been taken from the input and not been used: mostly a header that has not fully
    /// arrived, and never more than [`HEADER_BYTES_MAX`] bytes.
    held: Vec<u8>,
    /// The chunk whose header has been read, and how much of its payload is missing.
    current: Option<(u32, usize)>,
    partial_messages: usize,
    partial_bytes: usize,
}

impl fmt::Debug for Reader {
    /// Without the bytes it holds: they may be a stream key's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("chunk_size", &self.chunk_size)
            .field("chunk_streams", &self.streams.len())
            .field("partial_messages", &self.partial_messages)
            .field("partial_bytes", &self.partial_bytes)
            .finish_non_exhaustive()
    }
}

/// The longest header: three bytes of chunk stream, eleven of message, four of timestamp.
const HEADER_BYTES_MAX: usize = 3 + 11 + 4;

/// A chunk's header.
struct Header {
    bytes: usize,
    format: u8,
    chunk_stream: u32,
    time_field: u32,
    extended: bool,
    /// Types 0 and 1.
    length_and_kind: Option<(usize, u8)>,
    /// Type 0.
    stream: Option<u32>,
}

impl Reader {
    /// A reader at the beginning of a chunk stream.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            chunk_size: CHUNK_SIZE_INITIAL,
            streams: HashMap::new(),
            held: Vec::new(),
            current: None,
            partial_messages: 0,
            partial_bytes: 0,
        }
    }

    /// How large the peer's chunks are.
    pub const fn chunk_size(&self) -> u32 {
        self.chunk_size
    }

    /// How many bytes incomplete messages hold.
    pub const fn partial_bytes(&self) -> usize {
        self.partial_bytes
    }

    /// Takes from the front of `input` up to the end of the next message. `None` means that all has
    /// been taken. After an error the reader is of no more use.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Error> {
        loop {
            let (chunk_stream, missing) = match self.current {
                Some(current) => current,
                None => match self.read_header(input)? {
                    Some(header) => self.begin(&header)?,
                    None => return Ok(None),
                },
            };
            let missing = self.read_payload(chunk_stream, missing, input)?;
            if missing > 0 {
                self.current = Some((chunk_stream, missing));
                return Ok(None);
            }
            self.current = None;
            if let Some(message) = self.complete(chunk_stream) {
                self.obey(&message)?;
                return Ok(Some(message));
            }
        }
    }

    fn read_header(&mut self, input: &mut &[u8]) -> Result<Option<Header>, Error> {
        let held = self.held.len();
        let added = HEADER_BYTES_MAX.saturating_sub(held).min(input.len());
        self.held.extend_from_slice(&input[..added]);
        let Some(header) = self.parse_header(&self.held)? else {
            *input = &input[added..];
            return Ok(None);
        };
        // What was held before may be more than the header, where an extension was waited for that
        // is none; then the payload begins with it.
        if let Some(of_input) = header.bytes.checked_sub(held) {
            self.held.clear();
            *input = &input[of_input..];
        } else {
            self.held.truncate(held);
            self.held.drain(..header.bytes);
        }
        Ok(Some(header))
    }

    /// The header at the beginning of `bytes`, if enough of it is there.
    fn parse_header(&self, bytes: &[u8]) -> Result<Option<Header>, Error> {
        let (first, chunk_stream, basic_bytes) = match *bytes {
            [first, low, ..] if first & 0x3F == 0 => (first, 64 + u32::from(low), 2),
            [first, low, high, ..] if first & 0x3F == 1 => {
                (first, 64 + u32::from(u16::from_le_bytes([low, high])), 3)
            }
            [first, ..] if first & 0x3F > 1 => (first, u32::from(first & 0x3F), 1),
            _ => return Ok(None),
        };
        let format = first >> 6;
        let known = self.streams.get(&chunk_stream);
        if known.is_none() && format > 1 {
            return Err(Error::NothingToRepeat {
                chunk_stream,
                format,
            });
        }
        let bytes = &bytes[basic_bytes..];
        let (time, length_and_kind, stream, message_bytes) = match (format, bytes) {
            (0, &[t0, t1, t2, l0, l1, l2, kind, s0, s1, s2, s3, ..]) => (
                Some([0, t0, t1, t2]),
                Some(([0, l0, l1, l2], kind)),
                Some(u32::from_le_bytes([s0, s1, s2, s3])),
                11,
            ),
            (1, &[t0, t1, t2, l0, l1, l2, kind, ..]) => (
                Some([0, t0, t1, t2]),
                Some(([0, l0, l1, l2], kind)),
                None,
                7,
            ),
            (2, &[t0, t1, t2, ..]) => (Some([0, t0, t1, t2]), None, None, 3),
            (3, _) => (None, None, None, 0),
            _ => return Ok(None),
        };
        let bytes = &bytes[message_bytes..];
        let (time_field, extended) = match (time.map(u32::from_be_bytes), known) {
            (Some(time), _) if time < EXTENDED_TIMESTAMP => (time, false),
            (None, Some(known)) if !known.extended => (known.time_field, false),
            (None, Some(known)) if known.partial.is_some() => match repeated(known, bytes) {
                Some(extended) => {
                    let extension_bytes = if extended { 4 } else { 0 };
                    return Ok(Some(Header {
                        bytes: basic_bytes + extension_bytes,
                        format,
                        chunk_stream,
                        time_field: known.time_field,
                        extended: true,
                        length_and_kind: None,
                        stream: None,
                    }));
                }
                None => return Ok(None),
            },
            _ => match bytes.first_chunk() {
                Some(extension) => (u32::from_be_bytes(*extension), true),
                None => return Ok(None),
            },
        };
        Ok(Some(Header {
            bytes: basic_bytes + message_bytes + if extended { 4 } else { 0 },
            format,
            chunk_stream,
            time_field,
            extended,
            length_and_kind: length_and_kind
                .map(|(length, kind)| (u32::from_be_bytes(length) as usize, kind)),
            stream,
        }))
    }

    /// Takes a header over into its chunk stream; tells how much payload the chunk has.
    fn begin(&mut self, header: &Header) -> Result<(u32, usize), Error> {
        let chunk_stream = header.chunk_stream;
        let limit = self.limits.chunk_streams_max;
        if self.streams.len() >= limit && !self.streams.contains_key(&chunk_stream) {
            return Err(Error::TooManyChunkStreams {
                chunk_stream,
                limit,
            });
        }
        let state = self.streams.entry(chunk_stream).or_default();
        let had = state.partial.as_ref().map(BytesMut::len);
        match (header.format, had) {
            // The next part of a message: nothing has changed.
            (3, Some(_)) => {}
            (_, Some(had)) => {
                let missing = state.length.saturating_sub(had);
                return Err(Error::Interrupted {
                    chunk_stream,
                    missing,
                });
            }
            (0, None) => state.timestamp = header.time_field,
            // A type 3 behind a type 0 repeats its timestamp as a delta: so it is written (5.3.1.2.4).
            (_, None) => state.timestamp = state.timestamp.wrapping_add(header.time_field),
        }
        state.time_field = header.time_field;
        state.extended = header.extended;
        if let Some((length, kind)) = header.length_and_kind {
            let limit = self.limits.message_bytes_max;
            if length > limit {
                return Err(Error::MessageTooLong {
                    chunk_stream,
                    length,
                    limit,
                });
            }
            state.length = length;
            state.kind = kind;
        }
        if let Some(stream) = header.stream {
            state.stream = stream;
        }
        let missing = state.length.saturating_sub(had.unwrap_or(0));
        Ok((chunk_stream, missing.min(self.chunk_size as usize)))
    }

    /// Takes what has come of a chunk's payload; tells how much is still missing.
    fn read_payload(
        &mut self,
        chunk_stream: u32,
        missing: usize,
        input: &mut &[u8],
    ) -> Result<usize, Error> {
        let mut missing = missing;
        if !self.held.is_empty() && missing > 0 {
            let held: Vec<u8> = self.held.drain(..missing.min(self.held.len())).collect();
            missing -= held.len();
            self.append(chunk_stream, &held)?;
        }
        let (payload, rest) = input.split_at(missing.min(input.len()));
        *input = rest;
        self.append(chunk_stream, payload)?;
        Ok(missing - payload.len())
    }

    fn append(&mut self, chunk_stream: u32, payload: &[u8]) -> Result<(), Error> {
        let Some(state) = self.streams.get_mut(&chunk_stream) else {
            return Ok(());
        };
        if payload.is_empty() {
            return Ok(());
        }
        if self.partial_bytes + payload.len() > self.limits.partial_bytes_max {
            return Err(Error::TooManyPartialBytes {
                limit: self.limits.partial_bytes_max,
            });
        }
        if state.partial.is_none() {
            if self.partial_messages >= self.limits.partial_messages_max {
                let limit = self.limits.partial_messages_max;
                return Err(Error::TooManyPartialMessages {
                    chunk_stream,
                    limit,
                });
            }
            self.partial_messages += 1;
        }
        self.partial_bytes += payload.len();
        state
            .partial
            .get_or_insert_with(|| BytesMut::with_capacity(state.length.min(FIRST_RESERVE_BYTES)))
            .extend_from_slice(payload);
        Ok(())
    }

    /// The message of a chunk stream, if it is whole.
    fn complete(&mut self, chunk_stream: u32) -> Option<Message> {
        let state = self.streams.get_mut(&chunk_stream)?;
        if state.partial.as_ref().map_or(0, BytesMut::len) < state.length {
            return None;
        }
        let payload = match state.partial.take() {
            None => Bytes::new(),
            Some(payload) => {
                self.partial_messages -= 1;
                self.partial_bytes -= payload.len();
                // What grew by doubling may hold twice its length, and frames are kept a while.
                if payload.capacity() > payload.len() + payload.len() / 8 {
                    Bytes::copy_from_slice(&payload)
                } else {
                    payload.freeze()
                }
            }
        };
        Some(Message {
            chunk_stream,
            kind: state.kind,
            stream: state.stream,
            timestamp: state.timestamp,
            payload,
        })
    }

    /// Does what a message says about the chunk stream itself.
    fn obey(&mut self, message: &Message) -> Result<(), Error> {
        if !matches!(message.kind, TYPE_SET_CHUNK_SIZE | TYPE_ABORT) {
            return Ok(());
        }
        let Some(&number) = message.payload.first_chunk() else {
            return Err(Error::ShortControl {
                kind: message.kind,
                length: message.payload.len(),
            });
        };
        let number = u32::from_be_bytes(number);
        if message.kind == TYPE_SET_CHUNK_SIZE {
            if !(1..=CHUNK_SIZE_MAX).contains(&number) {
                return Err(Error::ChunkSize(number));
            }
            self.chunk_size = number;
        } else if let Some(partial) = self
            .streams
            .get_mut(&number)
            .and_then(|state| state.partial.take())
        {
            self.partial_messages -= 1;
            self.partial_bytes -= partial.len();
        }
        Ok(())
    }
}

/// Whether a type 3 chunk in the middle of a message repeats the extended timestamp, as it should
/// and as some encoders do not. `None` as long as what has come could be either.
fn repeated(state: &ChunkStream, bytes: &[u8]) -> Option<bool> {
    // Some repeat what stood in the header, and some the timestamp that it came to.
    let expected = [
        state.time_field.to_be_bytes(),
        state.timestamp.to_be_bytes(),
    ];
    match bytes.first_chunk::<4>() {
        Some(extension) => Some(expected.contains(extension)),
        None if expected.iter().any(|expected| expected.starts_with(bytes)) => None,
        None => Some(false),
    }
}

#[cfg(test)]
mod tests;
