//! Rooms: `/ws?room=HANDLE`. The first request of a plain connection is answered by a shard; this
//! route is for all others, and tells what is wrong with one.

use std::sync::Arc;
use std::time::Duration;

use api::ApiError;
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Query, State};
use axum::http::{Request, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use chat::{NoEntry, Service};
use hyper::upgrade::OnUpgrade;
use kit::client::Client;
use serde::Deserialize;

use crate::http::{Slot, websocket_key};
use crate::upgrade;

/// When it is worth trying again for an address that has too many connections.
const COME_AGAIN: Duration = Duration::from_secs(30);

/// What everybody who wants to come in is asked.
#[derive(Deserialize)]
struct Params {
    room: String,
    #[serde(default)]
    since: String,
}

/// The routes.
pub fn router(chat: Arc<Service>) -> Router {
    Router::new().route("/ws", get(answer)).with_state(chat)
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
