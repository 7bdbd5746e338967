//! WebSockets that no shard can have: over TLS, and not the first request of a connection.

use std::time::Duration;

use axum::body::Body as Answer;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use bytes::BytesMut;
use fanout::shard::{Body, Why};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::http::Slot;

/// What is written at once where a task writes for one viewer.
const WRITE_BYTES: usize = 64 * 1024;

/// How long a peer may take to hear the end.
const LINGER: Duration = Duration::from_secs(1);

/// How often a connection is looked after, as on a shard.
const TICK_EVERY: Duration = Duration::from_secs(1);

/// The answer to a handshake that lacks something.
pub fn not_whole() -> Response {
    let text = "the WebSocket handshake is not whole\n";
    (StatusCode::BAD_REQUEST, text).into_response()
}

/// The answer to one that is agreed to.
pub fn agreed(headers: &[(&str, &str)]) -> Response {
    let mut answer = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
    for (name, value) in headers {
        answer = answer.header(*name, *value);
    }
    answer
        .body(Answer::empty())
        .expect("the parts are plain text")
}

/// What follows the handshake.
pub(crate) async fn converse(mut body: Body, slot: Slot, upgrade: OnUpgrade) {
    let Ok(upgraded) = upgrade.await else {
        return;
    };
    let (mut reading, mut writing) = tokio::io::split(TokioIo::new(upgraded));
    let mut ticks = tokio::time::interval(TICK_EVERY);
    let mut heard = [0; 4096];
    loop {
        let first = tokio::select! {
            piece = body.next() => match piece {
                Some(piece) => piece,
                None => break,
            },
            length = reading.read(&mut heard) => match length {
                Ok(0) | Err(_) => return,
                Ok(length) => {
                    body.hear(&heard[..length]);
                    continue;
                }
            },
            _ = ticks.tick() => {
                body.tick();
                continue;
            }
        };
        let mut bytes = BytesMut::from(&first[..]);
        while bytes.len() < WRITE_BYTES
            && let Ok(Some(piece)) = body.try_next()
        {
            bytes.extend_from_slice(&piece);
        }
        if writing.write_all(&bytes).await.is_err() || writing.flush().await.is_err() {
            if slot.has_stopped() {
                body.end(Why::Stopped);
            }
            return;
        }
    }
    // The viewer has been told.
    let _ = timeout(LINGER, writing.shutdown()).await;
}
