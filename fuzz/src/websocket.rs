//! Our side of a WebSocket, with messages that may be compressed.

use websocket::{Conversation, Message, Over};

use crate::pieces;

/// A message may have this length here: short, so that the limit is met.
const MESSAGE_MAX: usize = 2048;

/// Hears a conversation in pieces and as a whole, with and without compression agreed on.
pub fn websocket(data: &[u8]) {
    let Some((piece, data)) = pieces(data) else {
        return;
    };
    for inflates in [false, true] {
        let in_pieces = hear(inflates, data.chunks(piece));
        let at_once = hear(inflates, std::iter::once(data));
        assert!(in_pieces == at_once, "{in_pieces:?}\n{at_once:?}");
    }
}

/// What was heard, what was answered, and whether it is over.
fn hear<'a>(
    inflates: bool,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Vec<Message>, Vec<u8>, bool) {
    let mut conversation = Conversation::new(MESSAGE_MAX).inflating(inflates);
    let (mut heard, mut said) = (Vec::new(), Vec::new());
    for piece in pieces {
        conversation.push(piece);
        loop {
            let next = conversation.hear();
            said.extend_from_slice(&conversation.said());
            match next {
                Ok(Some(message)) => {
                    assert!(message.len() <= MESSAGE_MAX);
                    heard.push(message);
                }
                Ok(None) => break,
                Err(Over) => return (heard, said, true),
            }
        }
    }
    (heard, said, false)
}
