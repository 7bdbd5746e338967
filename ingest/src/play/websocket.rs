//! A viewer over WebSocket (RFC 6455). Packets go out in frames of their own.

use bytes::Bytes;
use fanout::shard::{Account, Heard, Talk, Then, Why};
use kit::websocket::Conversation;

use super::{Held, tell_over};

/// A viewer says pings and goodbye.
const MESSAGE_MAX: usize = 4 * 1024;

/// A viewer over WebSocket.
pub(super) struct WebSocket {
    held: Held,
    conversation: Conversation,
}

impl WebSocket {
    pub(super) const fn new(held: Held) -> Self {
        Self {
            held,
            conversation: Conversation::new(MESSAGE_MAX),
        }
    }
}

impl Talk for WebSocket {
    fn hear(&mut self, bytes: &[u8]) -> Heard {
        self.conversation.push(bytes);
        let then = loop {
            match self.conversation.hear() {
                // A ping is answered with the next write; what else is said asks for nothing.
                Ok(Some(_)) => {}
                Ok(None) => break Then::GoOn,
                Err(_) => break Then::Leave,
            }
        };
        Heard {
            answer: self.conversation.said(),
            then,
        }
    }

    fn farewell(&mut self, why: Why) -> Bytes {
        // RFC 6455 §7.4.1; 1012 is of the registry that it began.
        let (code, reason) = match why {
            Why::Ended => (1000, "the stream is over"),
            Why::Drained => (1012, "the server is going down"),
            Why::Gone | Why::Told | Why::Stopped | Why::Flooded | Why::Behind | Why::Broken => {
                (1000, "")
            }
        };
        self.conversation.close(code, reason);
        self.conversation.said()
    }

    fn over(&mut self, account: Account) {
        tell_over("ws-flv", self.held.client, account);
    }
}
