//! RTMP, from the wire up.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rtmp_core::chunk::{Limits, Message, Reader, Writer};
use rtmp_core::session::{Config, Error, Event, Output, Session};
use rtmp_core::{chunk, handshake as shake};

use crate::pieces;

/// Limits that a small input can meet.
const LIMITS: Limits = Limits {
    message_bytes_max: 2048,
    chunk_streams_max: 8,
    partial_messages_max: 3,
    partial_bytes_max: 3000,
};

/// Shakes hands as server and as client, in pieces and as a whole.
pub fn handshake(data: &[u8]) {
    let Some((piece, data)) = pieces(data) else {
        return;
    };
    let server = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut server = shake::Server::new([0; 32]);
        shaken(pieces, |input, out| server.read(input, out))
    };
    assert_eq!(
        server(&mut data.chunks(piece)),
        server(&mut std::iter::once(data))
    );
    let client = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut client = shake::Client::new([0; 32], &mut BytesMut::new());
        shaken(pieces, |input, out| client.read(input, out))
    };
    assert_eq!(
        client(&mut data.chunks(piece)),
        client(&mut std::iter::once(data))
    );
}

/// How a handshake ended, what it answered, and how much came behind it.
fn shaken(
    pieces: &mut dyn Iterator<Item = &[u8]>,
    mut read: impl FnMut(&mut &[u8], &mut BytesMut) -> Result<shake::Progress, shake::Error>,
) -> (Result<shake::Progress, shake::Error>, BytesMut, usize) {
    let mut out = BytesMut::new();
    let mut result = Ok(shake::Progress::Going);
    let mut behind = 0;
    for mut piece in pieces {
        if result == Ok(shake::Progress::Going) {
            result = read(&mut piece, &mut out);
        }
        if result == Ok(shake::Progress::Done) {
            behind += piece.len();
        }
    }
    (result, out, behind)
}

/// Reads chunks in pieces and as a whole, and what it read once more after writing it.
pub fn chunk(data: &[u8]) {
    let Some((piece, data)) = pieces(data) else {
        return;
    };
    let (messages, error) = read(data.chunks(piece));
    let at_once = read(std::iter::once(data));
    assert_eq!((&messages, &error), (&at_once.0, &at_once.1));

    let mut writer = Writer::new();
    let mut written = BytesMut::new();
    for message in &messages {
        let Message {
            chunk_stream,
            kind,
            stream,
            timestamp,
            payload,
        } = message;
        writer.write(
            &mut written,
            *chunk_stream,
            *kind,
            *stream,
            *timestamp,
            payload,
        );
        if let (1, Some(size)) = (kind, payload.first_chunk()) {
            writer.set_chunk_size(u32::from_be_bytes(*size));
        }
    }
    assert_eq!(read(std::iter::once(&written[..])), (messages, None));
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Message>, Option<chunk::Error>) {
    let mut reader = Reader::new(LIMITS);
    let mut messages = Vec::new();
    for mut piece in pieces {
        loop {
            let read = reader.read(&mut piece);
            assert!(reader.partial_bytes() <= LIMITS.partial_bytes_max);
            match read {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
        assert!(piece.is_empty());
    }
    (messages, None)
}

/// Runs a session behind its handshake, in pieces and as a whole; whoever asks may publish.
pub fn session(data: &[u8]) {
    let Some((piece, data)) = pieces(data) else {
        return;
    };
    let in_pieces = run(data.chunks(piece));
    let at_once = run(std::iter::once(data));
    assert!(in_pieces == at_once, "{in_pieces:?}\n{at_once:?}");
}

fn run<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Event>, Result<(), Error>) {
    let mut config = Config::default();
    config.limits.chunk = LIMITS;
    let mut session = Session::new(config, [0; 32]);
    let mut hello = vec![0; 1 + 2 * shake::PACKET_BYTES];
    hello[0] = 3;
    let mut events = Vec::new();
    let mut result = session.handle_input(Duration::ZERO, &hello);
    drain(&mut session, &mut events, &mut result);
    for piece in pieces {
        if result.is_ok() {
            result = session.handle_input(Duration::ZERO, piece);
        }
        drain(&mut session, &mut events, &mut result);
    }
    (events, result)
}

fn drain(session: &mut Session, events: &mut Vec<Event>, result: &mut Result<(), Error>) {
    while let Some(output) = session.poll_output() {
        match output {
            Output::Transmit(bytes) => assert_ne!(bytes, Bytes::new()),
            Output::Event(event) => {
                let asks = matches!(event, Event::PublishRequested { .. });
                events.push(event);
                if asks && result.is_ok() {
                    *result = session.accept_publish(Duration::ZERO);
                }
            }
        }
    }
}
