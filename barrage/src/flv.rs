//! HTTP-FLV and WebSocket-FLV: `/live/{handle}.flv`. The first request of a plain connection is
//! answered by a shard; these routes are for all others: over TLS, over HTTP/2, and later ones.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Extension, Path, State};
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::Bytes;
use fanout::shard::Why;
use hyper::upgrade::OnUpgrade;
use ingest::Play;
use ingest::play::Start;
use ingest::play::http::{Asked, HEADERS};
use kit::websocket;

use crate::http::{Slot, websocket_key};
use crate::upgrade;

/// The routes.
pub fn router(play: Arc<Play>) -> Router {
    Router::new()
        .route("/live/{file}", get(answer))
        .with_state(play)
}

/// What is asked for, if it is live.
pub fn asked<B>(play: &Play, file: &str, request: &Request<B>) -> Option<Asked> {
    Some(Asked {
        broadcast: play.find(file.strip_suffix(".flv")?)?,
        start: Start::of_query(request.uri().query().unwrap_or_default()),
        websocket_key: websocket_key(request.headers()),
    })
}

async fn answer(
    State(play): State<Arc<Play>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Extension(slot): Extension<Slot>,
    Path(file): Path<String>,
    mut request: Request<Body>,
) -> Response {
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let Some(asked) = asked(&play, &file, &request) else {
        let text = "nobody is live under this name\n";
        return (StatusCode::NOT_FOUND, text).into_response();
    };
    if !request.headers().contains_key(header::UPGRADE) {
        return stream(&play, asked, client, slot).await;
    }
    let Some((key, upgrade)) = asked.websocket_key.clone().zip(upgrade) else {
        return upgrade::not_whole();
    };
    tokio::spawn(async move {
        let body = play.body(asked, client, Box::new(slot.clone())).await;
        upgrade::converse(body, slot, upgrade).await;
    });
    let accept = websocket::accept_key(&key);
    upgrade::agreed(&[
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-accept", &accept),
    ])
}

/// An answer whose body goes on as long as the broadcast.
async fn stream(play: &Play, asked: Asked, client: SocketAddr, slot: Slot) -> Response {
    let body = play.body(asked, client, Box::new(())).await;
    let viewer = Viewer { body, slot };
    let pieces = futures_util::stream::unfold(viewer, |mut viewer| async {
        let piece = viewer.body.next().await?;
        Some((Ok::<Bytes, std::convert::Infallible>(piece), viewer))
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

/// Somebody who watches over a connection that is the router's.
struct Viewer {
    body: fanout::shard::Body,
    slot: Slot,
}

impl Drop for Viewer {
    fn drop(&mut self) {
        if self.slot.has_stopped() {
            self.body.end(Why::Stopped);
        }
    }
}
