//! The description of the API, made from the routes themselves.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;
use utoipa::OpenApi;

use super::{channels, health, streams};

/// The whole API.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Barrage",
        description = "Live streams, channels, and what operators ask of a server.",
    ),
    paths(
        streams::list,
        streams::show,
        channels::show,
        show,
        health::live,
        health::ready,
        health::metrics,
    ),
    tags(
        (name = "streams", description = "What is live."),
        (name = "channels", description = "Channels, live or not."),
        (name = "operation", description = "What operators' tools ask."),
    )
)]
struct Document;

/// Rendered once; it cannot change while the server runs.
static JSON: LazyLock<String> = LazyLock::new(|| {
    Document::openapi()
        .to_json()
        .expect("the description is plain data")
});

/// This description.
#[utoipa::path(
    get,
    path = "/api/openapi.json",
    tag = "operation",
    responses((status = 200, description = "OpenAPI 3.1.", body = String, content_type = "application/json"))
)]
pub async fn show() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], JSON.as_str())
}
