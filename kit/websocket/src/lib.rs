//! Our side of a WebSocket (RFC 6455) whose socket is somebody else's: bytes in, messages out, and
//! what is to be written. The protocol is tungstenite's.

use std::io::{self, ErrorKind, Read, Write};

use bytes::{BufMut as _, Bytes, BytesMut};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Error, WebSocket};

pub use tungstenite::Message;

/// What is set aside for reading. Little is said at once, by thousands.
const READ_BYTES: usize = 512;

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

/// One conversation.
#[derive(Debug)]
pub struct Conversation {
    /// Made when the peer says something, which most viewers never do.
    protocol: Option<Box<WebSocket<Wire>>>,
    message_max: usize,
}

impl Conversation {
    /// One in which the peer's messages have at most so many bytes.
    pub const fn new(message_max: usize) -> Self {
        Self {
            protocol: None,
            message_max,
        }
    }

    /// Takes what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.protocol().get_mut().heard.extend_from_slice(bytes);
    }

    /// The next thing said, pings included, if it is there.
    ///
    /// # Errors
    /// When nothing more will come.
    pub fn hear(&mut self) -> Result<Option<Message>, Over> {
        match self.protocol().read() {
            Ok(message) => Ok(Some(message)),
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => {
                if let Some(code) = complaint(&error) {
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
            let wire = Wire::default();
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

/// What tungstenite takes for a socket: bytes that were read, and bytes to be written.
#[derive(Debug, Default)]
struct Wire {
    heard: Vec<u8>,
    out: Vec<u8>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.heard.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let length = self.heard.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.heard[..length]);
        self.heard.drain(..length);
        if self.heard.is_empty() {
            self.heard = Vec::new();
        }
        Ok(length)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
