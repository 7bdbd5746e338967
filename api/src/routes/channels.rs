//! Channels, live or not.

use axum::extract::State;
use axum::response::IntoResponse;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::streams::{ChannelView, Stream, find_channel, now_ms, timestamp, uncached, view};
use super::{AppState, HandlePath};
use crate::error::{ApiError, ErrorBody};

/// A channel and what it broadcasts.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChannelPage {
    /// The server's clock, in milliseconds since the Unix epoch.
    server_time_ms: i64,
    /// The channel.
    channel: ChannelView,
    /// Its broadcast, while it is live.
    live: Option<Stream>,
    /// When its last broadcast ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_live_at: Option<Timestamp>,
}

/// One channel, live or not.
#[utoipa::path(
    get,
    path = "/api/v1/channels/{handle}",
    tag = "channels",
    params(("handle" = String, Path, description = "The channel's handle.", example = "stage")),
    responses(
        (status = 200, description = "The channel.", body = ChannelPage),
        (status = 404, description = "No such channel.", body = ErrorBody),
        (status = 503, description = "The database does not answer.", body = ErrorBody),
    )
)]
pub async fn show(
    State(state): State<AppState>,
    HandlePath(handle): HandlePath,
) -> Result<impl IntoResponse, ApiError> {
    let channel = find_channel(&state, &handle).await?;
    let live = state
        .streams
        .of_channel(channel.id)
        .map(|broadcast| view(&state, &broadcast, &channel));
    let last_live_at = state.store.last_live_at(channel.id).await?.map(timestamp);
    let channel = ChannelView::from(&channel);
    Ok(uncached(ChannelPage {
        server_time_ms: now_ms(),
        channel,
        live,
        last_live_at,
    }))
}
