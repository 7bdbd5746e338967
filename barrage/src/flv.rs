//! HTTP-FLV and WebSocket-FLV: `/live/{handle}.flv`. The first request of a plain connection is
//! answered by a shard; these routes are for all others: over TLS, over HTTP/2, and later ones.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Extension, Path, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::{Bytes, BytesMut};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use ingest::Play;
use ingest::play::http::{Asked, HEADERS};
use ingest::play::{Start, websocket};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::http::{Slot, websocket_key};

/// What is written at once where a task writes for one viewer.
const WRITE_BYTES: usize = 64 * 1024;

/// The routes.
pub fn router(play: Arc<Play>) -> Router {
    Router::new()
        .route("/live/{file}", get(answer))
        .with_state(play)
}

/// What is asked for, if it is live.
pub fn asked(play: &Play, file: &str, query: &str, websocket_key: Option<String>) -> Option<Asked> {
    Some(Asked {
        broadcast: play.find(file.strip_suffix(".flv")?)?,
        start: Start::of_query(query),
        websocket_key,
    })
}

async fn answer(
    State(play): State<Arc<Play>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Extension(slot): Extension<Slot>,
    Path(file): Path<String>,
    RawQuery(query): RawQuery,
    mut request: Request,
) -> Response {
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let headers = request.headers();
    let websocket = if headers.contains_key(header::UPGRADE) {
        let Some(whole) = key_of(headers).zip(upgrade) else {
            let text = "the WebSocket handshake is not whole\n";
            return (StatusCode::BAD_REQUEST, text).into_response();
        };
        Some(whole)
    } else {
        None
    };
    let query = query.unwrap_or_default();
    let key = websocket.as_ref().map(|(key, _)| key.clone());
    let Some(asked) = asked(&play, &file, &query, key) else {
        let text = "nobody is live under this name\n";
        return (StatusCode::NOT_FOUND, text).into_response();
    };
    let Some((key, upgrade)) = websocket else {
        return stream(&play, asked, client).await;
    };
    tokio::spawn(converse(play, asked, client, slot, upgrade));
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::UPGRADE, "websocket")
        .header(header::CONNECTION, "Upgrade")
        .header(header::SEC_WEBSOCKET_ACCEPT, websocket::accept_key(&key))
        .body(Body::empty())
        .expect("the parts are plain text")
}

fn key_of(headers: &HeaderMap) -> Option<String> {
    websocket_key(|name| headers.get(name)?.to_str().ok())
}

/// An answer whose body goes on as long as the broadcast.
async fn stream(play: &Play, asked: Asked, client: SocketAddr) -> Response {
    let body = play.body(asked, client, Box::new(())).await;
    let pieces = futures_util::stream::unfold(body, |mut body| async {
        let piece = body.next().await?;
        Some((Ok::<Bytes, std::convert::Infallible>(piece), body))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    for (name, value) in HEADERS {
        response.headers_mut().insert(
            header::HeaderName::from_static(name),
            header::HeaderValue::from_static(value),
        );
    }
    response
}

/// What follows the handshake of a WebSocket that no shard can have.
async fn converse(
    play: Arc<Play>,
    asked: Asked,
    client: SocketAddr,
    slot: Slot,
    upgrade: OnUpgrade,
) {
    let Ok(upgraded) = upgrade.await else {
        return;
    };
    let stall = play.shards().limits().stall;
    let mut body = play.body(asked, client, Box::new(slot)).await;
    let (mut reading, mut writing) = tokio::io::split(TokioIo::new(upgraded));
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
        };
        let mut bytes = BytesMut::from(&first[..]);
        while bytes.len() < WRITE_BYTES
            && let Ok(Some(piece)) = body.try_next()
        {
            bytes.extend_from_slice(&piece);
        }
        if !matches!(timeout(stall, writing.write_all(&bytes)).await, Ok(Ok(()))) {
            return;
        }
    }
    // The viewer has been told.
    let _ = timeout(stall, writing.shutdown()).await;
}
