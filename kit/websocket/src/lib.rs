//! Our side of a WebSocket (RFC 6455) whose socket is somebody else's: bytes in, messages out, and
//! what is to be written. The protocol is tungstenite's.
//!
//! - [`deflate`]: compressed messages, agreed on and made.
//! - `wire`: what tungstenite reads and writes, and where compressed messages are inflated.

pub mod deflate;
mod wire;

use std::io::ErrorKind;

use bytes::{BufMut as _, Bytes, BytesMut};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Error, WebSocket};

use wire::Wire;

pub use deflate::Deflate;
pub use tungstenite::Message;

/// What is set aside for reading. Little is said at once, by thousands.
const READ_BYTES: usize = 512;

/// All frames of a message together have at most so many times the bytes that it may have.
const PIECES_MAX: usize = 16;

/// The answer to what a client sent as `Sec-WebSocket-Key`.
pub fn accept_key(key: &str) -> String {
    derive_accept_key(key.as_bytes())
}

/// The head of an unmasked frame that begins with this byte (RFC 6455 §5.2), with room for what is
/// in it.
pub fn frame(first: u8, length: usize) -> BytesMut {
    let mut out = BytesMut::with_capacity(length + 10);
    out.put_u8(first);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length), _) if length < 126 => out.put_u8(length),
        (_, Ok(length)) => {
            out.put_u8(126);
            out.put_u16(length);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(length as u64);
        }
    }
    out
}

/// The conversation is over: the peer closed it, or broke its rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over;

/// What is wrong with a compressed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It cannot be inflated.
    Garbled,
    /// It is too long, inflated or not.
    TooLong,
}

impl Fault {
    const fn code(self) -> u16 {
        match self {
            Self::Garbled => 1007,
            Self::TooLong => 1009,
        }
    }
}

/// One conversation.
#[derive(Debug)]
pub struct Conversation {
    /// Made when the peer says something, which most viewers never do.
    protocol: Option<Box<WebSocket<Wire>>>,
    message_max: usize,
    inflates: bool,
    /// Bytes since the last message.
    unfinished: usize,
}

impl Conversation {
    /// One in which the peer's messages have at most so many bytes.
    pub const fn new(message_max: usize) -> Self {
        Self {
            protocol: None,
            message_max,
            inflates: false,
            unfinished: 0,
        }
    }

    /// The same with a peer that may compress its messages, if that was agreed on.
    pub const fn inflating(mut self, inflates: bool) -> Self {
        self.inflates = inflates;
        self
    }

    /// Takes what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.unfinished += bytes.len();
        self.protocol().get_mut().heard.extend_from_slice(bytes);
    }

    /// The next thing said, pings included, if it is there.
    ///
    /// # Errors
    /// When nothing more will come.
    pub fn hear(&mut self) -> Result<Option<Message>, Over> {
        match self.protocol().read() {
            Ok(message) => {
                self.unfinished = 0;
                Ok(Some(message))
            }
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                // It comes in pieces of next to nothing, and would for ever.
                if self.unfinished > PIECES_MAX * self.message_max {
                    self.close(Fault::TooLong.code(), "");
                    return Err(Over);
                }
                Ok(None)
            }
            Err(error) => {
                let fault = || Some(self.protocol.as_ref()?.get_ref().fault()?.code());
                if let Some(code) = complaint(&error).or_else(fault) {
                    self.close(code, "");
                }
                Err(Over)
            }
        }
    }

    /// Says that it is over, unless that was said.
    pub fn close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: reason.into(),
        };
        // It fails if the peer has closed, and then it has been answered.
        let _ = self.protocol().close(Some(frame));
    }

    /// What is to be written: pongs, and what ends the conversation.
    pub fn said(&mut self) -> Bytes {
        let Some(protocol) = &mut self.protocol else {
            return Bytes::new();
        };
        // It fails only once the connection is closed, and then everything is said.
        let _ = protocol.flush();
        std::mem::take(&mut protocol.get_mut().out).into()
    }

    fn protocol(&mut self) -> &mut WebSocket<Wire> {
        self.protocol.get_or_insert_with(|| {
            let config = WebSocketConfig::default()
                .read_buffer_size(READ_BYTES.min(self.message_max))
                .write_buffer_size(0)
                .max_message_size(Some(self.message_max))
                .max_frame_size(Some(self.message_max));
            let wire = if self.inflates {
                Wire::with_inflating(self.message_max)
            } else {
                Wire::default()
            };
            Box::new(WebSocket::from_raw_socket(wire, Role::Server, Some(config)))
        })
    }
}

/// The code by which a peer is told what it did wrong (RFC 6455 §7.4.1).
fn complaint(error: &Error) -> Option<u16> {
    match error {
        Error::Protocol(_) => Some(1002),
        Error::Utf8(_) => Some(1007),
        Error::Capacity(_) => Some(1009),
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Io(_)
        | Error::Tls(_)
        | Error::WriteBufferFull(_)
        | Error::AttackAttempt
        | Error::Url(_)
        | Error::Http(_)
        | Error::HttpFormat(_) => None,
    }
}

#[cfg(test)]
mod tests;
