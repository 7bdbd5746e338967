//! What operators' tools ask: alive, ready, and how it goes.

use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;

use super::AppState;

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
    } else {
        match tokio::time::timeout(DATABASE_DEADLINE, state.store.ping()).await {
            Ok(Ok(())) => (StatusCode::OK, "ready\n"),
            Ok(Err(_)) | Err(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "the database does not answer\n",
            ),
        }
    };
    (status, [(header::CACHE_CONTROL, "no-store")], text)
}

/// Everything that is counted, for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operation",
    responses((status = 200, description = "Prometheus' text format.", body = String, content_type = "text/plain"))
)]
pub async fn metrics(State(state): State<AppState>) -> impl IntoResponse {
    let headers = [
        (
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        ),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, state.metrics.render())
}
