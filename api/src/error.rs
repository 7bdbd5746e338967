//! What a client is told when something is not as it asked.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// An answer that is not what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No channel has this handle.
    #[error("No channel is called @{0}.")]
    ChannelNotFound(String),
    /// The channel exists and is not live.
    #[error("@{0} is not live.")]
    NotLive(String),
    /// Nothing is at this address.
    #[error("The API has nothing at this address; /api/openapi.json lists what it has.")]
    NotFound,
    /// Something is at this address, and cannot be asked for in this way.
    #[error("This address cannot be used with this method; /api/openapi.json tells what it takes.")]
    MethodNotAllowed,
    /// The database failed; the cause is in the log.
    #[error("The server cannot reach its database right now. Try again in a moment.")]
    Database(#[from] sqlx::Error),
}

/// The body of every error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// Stable, for programs.
    #[schema(example = "channel_not_found")]
    code: &'static str,
    /// For people.
    message: String,
}

impl ApiError {
    const fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::ChannelNotFound(_) => (StatusCode::NOT_FOUND, "channel_not_found"),
            Self::NotLive(_) => (StatusCode::NOT_FOUND, "not_live"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Database(_) => (StatusCode::SERVICE_UNAVAILABLE, "database_unavailable"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Self::Database(source) = &self {
            tracing::error!(error = %source, "the database failed a request");
        }
        let (status, code) = self.status_and_code();
        let body = ErrorBody {
            error: ErrorDetail {
                code,
                message: self.to_string(),
            },
        };
        (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
    }
}
