//! A viewer over WebSocket (RFC 6455). Packets go out in frames of their own; what the viewer says,
//! and what answers it, is tungstenite's.

use std::io::{self, ErrorKind, Read, Write};

use bytes::Bytes;
use fanout::shard::{Account, Heard, Talk, Then, Why};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Error, WebSocket as Protocol};

use super::{Held, tell_over};

/// A viewer says pings and goodbye.
const MESSAGE_MAX: usize = 4 * 1024;

/// The answer to what a client sent as `Sec-WebSocket-Key`.
pub fn accept_key(key: &str) -> String {
    derive_accept_key(key.as_bytes())
}

/// A viewer over WebSocket.
pub(super) struct WebSocket {
    held: Held,
    /// Made when the viewer says something, which most never do.
    protocol: Option<Protocol<Wire>>,
}

impl WebSocket {
    pub(super) const fn new(held: Held) -> Self {
        Self {
            held,
            protocol: None,
        }
    }

    fn protocol(&mut self) -> &mut Protocol<Wire> {
        self.protocol.get_or_insert_with(|| {
            let config = WebSocketConfig::default()
                .read_buffer_size(MESSAGE_MAX)
                .write_buffer_size(0)
                .max_message_size(Some(MESSAGE_MAX))
                .max_frame_size(Some(MESSAGE_MAX));
            Protocol::from_raw_socket(Wire::default(), Role::Server, Some(config))
        })
    }

    fn said(&mut self) -> Bytes {
        std::mem::take(&mut self.protocol().get_mut().out).into()
    }
}

impl Talk for WebSocket {
    fn hear(&mut self, bytes: &[u8]) -> Heard {
        let protocol = self.protocol();
        protocol.get_mut().heard.extend_from_slice(bytes);
        let then = loop {
            match protocol.read() {
                // A ping is answered with the next write; what else is said asks for nothing.
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => break Then::GoOn,
                Err(_) => break Then::Leave,
            }
        };
        // It fails only once the connection is closed, and then everything is said.
        let _ = protocol.flush();
        Heard {
            answer: self.said(),
            then,
        }
    }

    fn farewell(&mut self, why: Why) -> Bytes {
        let (code, reason) = match why {
            Why::Ended => (CloseCode::Normal, "the stream is over"),
            Why::Drained => (CloseCode::Restart, "the server is going down"),
            Why::Gone | Why::Told | Why::Stopped | Why::Flooded | Why::Broken => {
                (CloseCode::Normal, "")
            }
        };
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        // It fails if the viewer has closed, and then it has been answered.
        let _ = self.protocol().close(Some(frame));
        self.said()
    }

    fn over(&mut self, account: Account) {
        tell_over("ws-flv", self.held.client, account);
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
