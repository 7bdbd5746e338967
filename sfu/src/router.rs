//! The addresses: `POST /whip` publishes, `POST /whep/{handle}` watches, and what either makes
//! stands at `/webrtc/{session}`, where it is changed by PATCH and ended by DELETE. Viewers' pages tell
//! what they saw at `/webrtc/{session}/seen`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{ConnectInfo, FromRequest, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{patch, post};
use sfu_core::offer::BYTES_MAX;
use sha2::{Digest as _, Sha256};

use crate::problem::{self, Problem};
use crate::publishing::Leaving;
use crate::service::{Made, Service};

const SDP: &str = "application/sdp";
const JSON: &str = "application/json";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// A body that came whole and within bounds. Whoever listens sees to it that it comes in time.
struct Body(Bytes);

impl<S: Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let whole = to_bytes(request.into_body(), BYTES_MAX).await;
        // Whoever went away in the middle does not read that it was too long.
        whole.map(Self).map_err(|_| Problem::TooLong)
    }
}

impl Service {
    /// The routes, to be merged into the server's.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/whip", post(publish).options(options))
            .route("/whep/{handle}", post(watch).options(options))
            .route(
                "/webrtc/{session}",
                patch(change).delete(end).options(options),
            )
            .route("/webrtc/{session}/seen", post(seen).options(options))
            .layer(middleware::map_response(problem::in_form))
            .layer(middleware::map_response(for_every_origin))
            .with_state(Arc::clone(self))
    }
}

/// Pages of other sites may publish and watch: nothing here is allowed because of a cookie.
async fn for_every_origin(mut response: Response) -> Response {
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            "Location, ETag, Link, Retry-After",
        ),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn options() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    for (name, value) in [
        (
            header::ACCESS_CONTROL_ALLOW_METHODS,
            "POST, PATCH, DELETE, OPTIONS",
        ),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Authorization, Content-Type, If-Match",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
        (HeaderName::from_static("accept-post"), SDP),
        (HeaderName::from_static("accept-patch"), FRAGMENT),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn publish(
    State(service): State<Arc<Service>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Problem> {
    let key = bearer(&headers).ok_or(Problem::NoKey)?;
    let permit = service
        .stage()
        .admit(key, peer)
        .await
        .map_err(Problem::Refused)?;
    let offer = text(&headers, SDP, &body)?;
    let made = service.publish(permit, hash(key), peer.ip(), offer)?;
    Ok(created(&service, &made))
}

async fn watch(
    State(service): State<Arc<Service>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(handle): Path<String>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Problem> {
    let offer = text(&headers, SDP, &body)?;
    let made = service.watch(&handle, peer.ip(), offer).await?;
    Ok(created(&service, &made))
}

fn created(service: &Service, made: &Made) -> Response {
    let location = format!("/webrtc/{}", made.id);
    let headers = [
        (header::CONTENT_TYPE, SDP.to_owned()),
        (header::LOCATION, location),
        (header::ETAG, tag(0)),
        (HeaderName::from_static("accept-patch"), FRAGMENT.to_owned()),
    ];
    let response = (StatusCode::CREATED, headers, made.answer.clone()).into_response();
    with_ice_servers(service, &made.id, response)
}

/// Names the servers that help the peer, with what lets it in there from now on for a while.
fn with_ice_servers(service: &Service, session: &str, mut response: Response) -> Response {
    for link in service.ice_servers(session) {
        if let Ok(link) = HeaderValue::try_from(link) {
            response.headers_mut().append(header::LINK, link);
        }
    }
    response
}

/// The entity tag of a session that has begun ICE anew so many times.
fn tag(generation: u32) -> String {
    format!("\"{generation}\"")
}

/// Candidates of the peer, or ICE begun anew (RFC 9725 §4.3).
async fn change(
    State(service): State<Arc<Service>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(session): Path<String>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Problem> {
    let generation = allowed(&service, &session, &headers)?;
    let fragment = text(&headers, FRAGMENT, &body)?;
    let expected = headers
        .get(header::IF_MATCH)
        .and_then(|tag| tag.to_str().ok());
    let begins_anew = match expected {
        None => return Err(Problem::NoTag),
        Some("*" | "\"*\"") => true,
        Some(tagged) if tagged == tag(generation) => false,
        Some(_) => return Err(Problem::OldTag),
    };
    let value = |name: &str| {
        let mut lines = fragment.lines();
        lines
            .find_map(|line| line.trim().strip_prefix(name))
            .map(str::to_owned)
    };
    let ufrag = value("a=ice-ufrag:").ok_or(Problem::Fragment("a=ice-ufrag"))?;
    if !begins_anew {
        // Where the peer is, is learnt from where it asks.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    if ufrag.len() > 256 || !ufrag.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Problem::Fragment("a readable a=ice-ufrag"));
    }
    let restarted = service.restart(&session, ufrag).ok_or(Problem::NoSession)?;
    let (ufrag, password, generation) = restarted;
    let mut answer = format!("a=ice-lite\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\n");
    let mid = value("a=mid:").unwrap_or_else(|| "0".to_owned());
    answer.push_str(&format!("m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:{mid}\r\n"));
    sfu_core::answer::write_candidates(&mut answer, &service.candidates(peer.ip()));
    let headers = [
        (header::CONTENT_TYPE, FRAGMENT.to_owned()),
        (header::ETAG, tag(generation)),
    ];
    let response = (StatusCode::OK, headers, answer).into_response();
    Ok(with_ice_servers(&service, &session, response))
}

async fn end(
    State(service): State<Arc<Service>>,
    Path(session): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    allowed(&service, &session, &headers)?;
    if !service.end_session(&session, Leaving::Finished) {
        return Err(Problem::NoSession);
    }
    Ok(StatusCode::OK.into_response())
}

/// What a viewer's page saw so far: freezes, and pictures that were not shown.
async fn seen(
    State(service): State<Arc<Service>>,
    Path(session): Path<String>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Problem> {
    let told = text(&headers, JSON, &body)?;
    let seen = serde_json::from_str(told).map_err(|error| Problem::Seen(error.to_string()))?;
    if !service.note_seen(&session, seen) {
        return Err(Problem::NoSession);
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Whether whoever asks may change a session: they know its name, and of a publisher's the key that
/// it was made with. Tells how often it began anew.
fn allowed(service: &Service, session: &str, headers: &HeaderMap) -> Result<u32, Problem> {
    let known = service.known();
    let known = known.get(session).ok_or(Problem::NoSession)?;
    if known.publishes && known.key != bearer(headers).map(hash) {
        return Err(Problem::NoKey);
    }
    Ok(known.generation)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then_some(key)
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

fn text<'a>(
    headers: &HeaderMap,
    wanted: &'static str,
    body: &'a Bytes,
) -> Result<&'a str, Problem> {
    let found = headers
        .get(header::CONTENT_TYPE)
        .and_then(|found| found.to_str().ok());
    let found = found
        .and_then(|found| found.split(';').next())
        .unwrap_or_default();
    if !found.trim().eq_ignore_ascii_case(wanted) {
        return Err(Problem::MediaType(wanted));
    }
    std::str::from_utf8(body).map_err(|_| Problem::NoText)
}
