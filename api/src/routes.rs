//! The routes and their OpenAPI description.

pub mod channels;
pub mod health;
pub mod openapi;
pub mod streams;

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::routing::get;
use kit::drain::Drain;
use kit::stream::Streams;
use kit::telemetry::Metrics;

use crate::delivery::Delivery;
use crate::error::ApiError;
use crate::store::Store;

/// What the routes work on.
#[derive(Clone)]
pub struct AppState {
    /// The database.
    pub store: Store,
    /// What is live.
    pub streams: Arc<Streams>,
    /// Who serves viewers.
    pub delivery: Arc<dyn Delivery>,
    /// What is counted.
    pub metrics: Metrics,
    /// Whether the server ends.
    pub drain: Drain,
}

/// Every route of the API, and the routes that operators' tools ask.
pub fn router(state: AppState) -> Router {
    Router::new()
        .route("/api/v1/streams", get(streams::list))
        .route("/api/v1/streams/{handle}", get(streams::show))
        .route("/api/v1/channels/{handle}", get(channels::show))
        .route("/api/openapi.json", get(openapi::show))
        .route("/api", get(nothing_here))
        .route("/api/", get(nothing_here))
        .route("/api/{*rest}", get(nothing_here))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .with_state(state)
}

/// The handle in an address, as text. What is no text is the handle of no channel.
#[derive(Debug)]
pub struct HandlePath(pub String);

impl<S: Send + Sync> FromRequestParts<S> for HandlePath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(handle)) => Ok(Self(handle)),
            Err(_) => Err(ApiError::ChannelNotFound("\u{FFFD}".into())),
        }
    }
}

async fn nothing_here() -> ApiError {
    ApiError::NotFound
}
