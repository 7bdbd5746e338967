//! What operators' tools ask: alive, ready, and how it goes.

use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use kit::client::Client;

use super::AppState;
use super::request::AskedBy;
use crate::door::Caller;
use crate::error::{ApiError, Guarded};
use crate::scope::Scope;

/// How long the database may take to answer before the server counts as not ready.
const DATABASE_DEADLINE: Duration = Duration::from_secs(1);

/// The process runs.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "operation",
    responses((status = 200, description = "The process runs.", body = String, content_type = "text/plain"))
)]
pub async fn live() -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], "ok\n")
}

/// The server takes publishers and viewers.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operation",
    responses(
        (status = 200, description = "Everything is there.", body = String, content_type = "text/plain"),
        (status = 503, description = "The server ends, or its database does not answer.", body = String, content_type = "text/plain"),
    )
)]
pub async fn ready(State(state): State<AppState>) -> impl IntoResponse {
    let (status, text) = if state.drain.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else if ask_database(&state).await.1.is_ok() {
        (StatusCode::OK, "ready\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the database does not answer\n",
        )
    };
    (status, [(header::CACHE_CONTROL, "no-store")], text)
}

/// How long the database took to answer the simplest question, and what is the matter if it did
/// not.
pub(super) async fn ask_database(state: &AppState) -> (Duration, Result<(), String>) {
    let asked = Instant::now();
    let answer = tokio::time::timeout(DATABASE_DEADLINE, state.store.ping()).await;
    let answer = match answer {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("it does not answer".to_owned()),
    };
    (asked.elapsed(), answer)
}

/// Everything that is counted, for Prometheus. For operators and for programs on the server's own
/// machine, unless `http.metrics_open` lets everybody read it.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operation",
    security((), ("token" = ["operator"]), ("session" = [])),
    responses(
        (status = 200, description = "Prometheus' text format.", body = String, content_type = "text/plain"),
        Guarded,
    )
)]
pub async fn metrics(
    State(state): State<AppState>,
    AskedBy(client): AskedBy,
    headers: HeaderMap,
    caller: Option<Caller>,
) -> Result<impl IntoResponse, ApiError> {
    if !state.metrics_open && !is_local(&client, &headers) {
        caller
            .ok_or(ApiError::NotSignedIn)?
            .require(Scope::Operator)?;
    }
    let headers = [
        (
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        ),
        (header::CACHE_CONTROL, "no-store"),
    ];
    measure(&state).await;
    Ok((headers, state.metrics.render()))
}

/// What is counted when somebody asks, because it is known elsewhere.
async fn measure(state: &AppState) {
    let (took, answer) = ask_database(state).await;
    metrics::gauge!("barrage_database_ok").set(f64::from(answer.is_ok()));
    metrics::gauge!("barrage_database_answer_seconds").set(took.as_secs_f64());
    let live = state.streams.all();
    metrics::gauge!("barrage_live_streams").set(live.len() as f64);
    let mut all = [("hls", 0), ("flv", 0), ("rtmp", 0), ("webrtc", 0)];
    for one in live {
        let viewers = state.delivery.viewers(one.id);
        let by_protocol = [viewers.hls, viewers.flv, viewers.rtmp, viewers.webrtc];
        for ((_, sum), more) in all.iter_mut().zip(by_protocol) {
            *sum += more;
        }
    }
    for (protocol, viewers) in all {
        metrics::gauge!("barrage_viewers", "protocol" => protocol).set(viewers as f64);
    }
    state.delivery.measure();
    if let Some(certificate) = &state.certificate {
        let good = certificate.problem().is_none();
        metrics::gauge!("barrage_certificate_ok").set(f64::from(good));
        let seconds = certificate.good_for().as_secs_f64();
        metrics::gauge!("barrage_certificate_good_seconds").set(seconds);
    }
}

/// Whether a program on this machine asks for itself. A proxy on this machine that nobody told us
/// of asks for others, and says so.
fn is_local(client: &Client, headers: &HeaderMap) -> bool {
    let forwarded = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
    client.addr.ip().to_canonical().is_loopback()
        && !forwarded.iter().any(|name| headers.contains_key(*name))
}
