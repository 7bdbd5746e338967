//! Rooms: `/ws?room=HANDLE`. The first request of a plain connection is answered by a shard; this
//! route is for all others, and tells what is wrong with one. Who only reads may ask for
//! `/events?room=HANDLE`.

use std::sync::Arc;
use std::time::Duration;

use api::ApiError;
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::Bytes;
use chat::{Events, NoEntry, Service};
use hyper::upgrade::OnUpgrade;
use kit::client::Client;
use serde::Deserialize;
use tokio::time::Interval;

use crate::http::{Slot, websocket_key};
use crate::upgrade;

/// When it is worth trying again for an address that has too many connections.
const COME_AGAIN: Duration = Duration::from_secs(30);

/// How often a reader is looked after, as on a shard.
const TICK_EVERY: Duration = Duration::from_secs(1);

/// What everybody who wants to come in is asked.
#[derive(Deserialize)]
struct Params {
    room: String,
    #[serde(default)]
    since: String,
}

/// The routes.
pub fn router(chat: Arc<Service>) -> Router {
    Router::new()
        .route("/ws", get(answer))
        .route("/events", get(events))
        .with_state(chat)
}

/// An answer that goes on as long as the room.
async fn events(
    State(chat): State<Arc<Service>>,
    Extension(client): Extension<Client>,
    Extension(slot): Extension<Slot>,
    Query(Params { room, since }): Query<Params>,
    headers: HeaderMap,
) -> Response {
    let header = |name: &str| headers.get(name)?.to_str().ok();
    let origin = header("origin").map(str::to_ascii_lowercase);
    let asked = chat::Request {
        room,
        // A browser that returns says where it was.
        since: header("last-event-id").map_or(since, str::to_owned),
        protocols: String::new(),
        extensions: String::new(),
        websocket_key: String::new(),
        origin: origin.clone(),
        ours: client.origin.clone(),
        client: client.addr,
    };
    let admission = match chat.admit_reader(&asked).await {
        Ok(admission) => admission,
        Err(no) => return refusal(no),
    };
    let reader = Reader {
        events: admission.events(Box::new(slot.clone())).await,
        slot,
        ticks: tokio::time::interval(TICK_EVERY),
    };
    let pieces = futures_util::stream::unfold(reader, |mut reader| async {
        let piece = reader.next().await?;
        Some((Ok::<Bytes, std::convert::Infallible>(piece), reader))
    });
    let mut answer = Response::new(Body::from_stream(pieces));
    let mut add = |name, value| answer.headers_mut().insert(name, value);
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // nginx would gather them.
        (HeaderName::from_static("x-accel-buffering"), "no"),
        (header::VARY, "origin"),
    ] {
        add(name, HeaderValue::from_static(value));
    }
    if let Some(origin) = origin.and_then(|origin| HeaderValue::from_str(&origin).ok()) {
        add(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    answer
}

/// Somebody who reads over a connection that is the router's.
struct Reader {
    events: Events,
    slot: Slot,
    ticks: Interval,
}

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            tokio::select! {
                piece = self.events.next() => return piece,
                _ = self.ticks.tick() => self.events.tick(),
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if self.slot.has_stopped() {
            self.events.give_up();
        }
    }
}

/// What a request for a room says, if it is a whole handshake.
pub fn asked<B>(request: &Request<B>, client: &Client) -> Option<chat::Request> {
    let Query(Params { room, since }) = Query::try_from_uri(request.uri()).ok()?;
    let extensions = request.headers().get_all(header::SEC_WEBSOCKET_EXTENSIONS);
    let extensions = extensions.iter().filter_map(|value| value.to_str().ok());
    let header = |name: header::HeaderName| request.headers().get(name)?.to_str().ok();
    Some(chat::Request {
        room,
        since,
        protocols: header(header::SEC_WEBSOCKET_PROTOCOL)
            .unwrap_or_default()
            .to_owned(),
        // Several headers are one list (RFC 6455 §9.1).
        extensions: extensions.collect::<Vec<_>>().join(","),
        websocket_key: websocket_key(request.headers())?,
        origin: header(header::ORIGIN).map(str::to_ascii_lowercase),
        ours: client.origin.clone(),
        client: client.addr,
    })
}

async fn answer(
    State(chat): State<Arc<Service>>,
    Extension(client): Extension<Client>,
    Extension(slot): Extension<Slot>,
    mut request: Request<Body>,
) -> Response {
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let Some((asked, upgrade)) = asked(&request, &client).zip(upgrade) else {
        let text = "This is a WebSocket: /ws?room=HANDLE, with a whole handshake.";
        return ApiError::BadRequest(text.into()).into_response();
    };
    let admission = match chat.admit(&asked).await {
        Ok(admission) => admission,
        Err(no) => return refusal(no),
    };
    let answer = upgrade::agreed(&admission.headers());
    tokio::spawn(async move {
        let body = admission.body(Box::new(slot.clone())).await;
        upgrade::converse(body, slot, upgrade).await;
    });
    answer
}

fn refusal(no: NoEntry) -> Response {
    match no {
        NoEntry::Room(handle) => ApiError::ChannelNotFound(handle),
        NoEntry::Origin(_) => ApiError::CrossSite,
        NoEntry::TooMany => ApiError::TooManyAttempts(COME_AGAIN),
        NoEntry::Unavailable => ApiError::Busy,
        NoEntry::Subprotocol | NoEntry::Since(_) => ApiError::BadRequest(format!("{no}.")),
    }
    .into_response()
}
