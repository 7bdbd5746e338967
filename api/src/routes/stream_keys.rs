//! The stream keys of a channel.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use jiff::Timestamp;
use kit::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AppState;
use super::request::{Body, HandleAndId, HandlePath};
use super::streams::{find_channel, timestamp, uncached};
use crate::door::Caller;
use crate::error::{ApiError, ErrorBody, Guarded, WithBody};
use crate::store::channels::Channel;
use crate::store::stream_keys::{self, NewKey, StreamKey};
use crate::text;

/// Keys that may open a channel at a time.
const KEYS_MAX: i64 = 20;

/// What a publisher whose key was revoked is told.
pub const REVOKED: &str = "The stream key was revoked.";

/// A stream key, without the key.
#[derive(Debug, Serialize, ToSchema)]
pub struct StreamKeyView {
    /// Its identity, which opens nothing.
    id: String,
    /// What its owner calls it.
    name: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When somebody last began to publish with it.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
}

/// A stream key, with the key.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShownStreamKey {
    /// What to type into OBS as the stream key.
    #[schema(example = "bk_…")]
    secret: String,
    /// What it is.
    key: StreamKeyView,
}

impl From<&StreamKey> for StreamKeyView {
    fn from(key: &StreamKey) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name.clone(),
            created_at: timestamp(key.created_at),
            last_used_at: key.last_used_at.map(timestamp),
        }
    }
}

/// What makes a stream key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewStreamKey {
    /// What to call it.
    #[schema(example = "the laptop", max_length = 50)]
    name: String,
}

async fn owned(state: &AppState, caller: &Caller, handle: &str) -> Result<Channel, ApiError> {
    let channel = find_channel(state, handle).await?;
    caller.require_owner(&channel)?;
    Ok(channel)
}

/// The stream keys of a channel, newest first, without the keys themselves.
#[utoipa::path(
    get,
    path = "/api/v1/channels/{handle}/keys",
    tag = "stream keys",
    security(("session" = []), ("token" = ["channel"]), ("token" = ["operator"])),
    params(("handle" = String, Path, description = "The channel's handle.", example = "stage")),
    responses(
        (status = 200, description = "The keys that open the channel.", body = Vec<StreamKeyView>),
        (status = 404, description = "No such channel.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn list(
    State(state): State<AppState>,
    caller: Caller,
    HandlePath(handle): HandlePath,
) -> Result<impl IntoResponse, ApiError> {
    let channel = owned(&state, &caller, &handle).await?;
    let keys = state.store.stream_keys(channel.id).await?;
    Ok(uncached(
        keys.iter().map(StreamKeyView::from).collect::<Vec<_>>(),
    ))
}

/// Makes a stream key.
#[utoipa::path(
    post,
    path = "/api/v1/channels/{handle}/keys",
    tag = "stream keys",
    security(("session" = []), ("token" = ["channel"]), ("token" = ["operator"])),
    params(("handle" = String, Path, description = "The channel's handle.", example = "stage")),
    request_body = NewStreamKey,
    responses(
        (status = 201, description = "The key.", body = ShownStreamKey),
        (status = 404, description = "No such channel.", body = ErrorBody),
        (status = 409, description = "There are too many.", body = ErrorBody),
        WithBody,
        Guarded,
    )
)]
pub async fn make(
    State(state): State<AppState>,
    caller: Caller,
    HandlePath(handle): HandlePath,
    Body(new): Body<NewStreamKey>,
) -> Result<impl IntoResponse, ApiError> {
    let channel = owned(&state, &caller, &handle).await?;
    let name = text::some_line("name", &new.name, text::NAME_MAX)?;
    let (key, secret) = NewKey::make(&state.server_key, &name, clock::now());
    let mut transaction = state.store.begin().await?;
    if stream_keys::count_of(&mut transaction, channel.id).await? >= KEYS_MAX {
        return Err(ApiError::LimitReached {
            what: "stream keys",
            max: KEYS_MAX,
        });
    }
    stream_keys::insert(&mut transaction, channel.id, &key).await?;
    transaction.commit().await?;
    tracing::info!(channel = %channel.handle, key.id = %key.shown.id, by = %caller, "made a stream key");
    let key = StreamKeyView::from(&key.shown);
    Ok((
        StatusCode::CREATED,
        uncached(ShownStreamKey { secret, key }),
    ))
}

/// Shows a stream key.
#[utoipa::path(
    get,
    path = "/api/v1/channels/{handle}/keys/{id}",
    tag = "stream keys",
    security(("session" = []), ("token" = ["channel"]), ("token" = ["operator"])),
    params(
        ("handle" = String, Path, description = "The channel's handle.", example = "stage"),
        ("id" = String, Path, description = "The key's identity."),
    ),
    responses(
        (status = 200, description = "The key.", body = ShownStreamKey),
        (status = 404, description = "No such channel or key.", body = ErrorBody),
        (status = 410, description = "The server has lost what it was sealed with.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn show(
    State(state): State<AppState>,
    caller: Caller,
    HandleAndId(handle, id): HandleAndId,
) -> Result<impl IntoResponse, ApiError> {
    let channel = owned(&state, &caller, &handle).await?;
    let key = state.store.stream_key(channel.id, id).await?;
    let key = key.ok_or(ApiError::NoSuch("stream key"))?;
    let secret = state.server_key.open(&key.sealed, &key.id.to_string());
    let secret = secret.ok_or(ApiError::Unreadable)?;
    tracing::info!(channel = %channel.handle, key.id = %id, by = %caller, "showed a stream key");
    Ok(uncached(ShownStreamKey {
        secret,
        key: (&key).into(),
    }))
}

/// Puts another key in the place of a stream key, with its name. Who publishes with the old one is
/// shown out.
#[utoipa::path(
    post,
    path = "/api/v1/channels/{handle}/keys/{id}/rotate",
    tag = "stream keys",
    security(("session" = []), ("token" = ["channel"]), ("token" = ["operator"])),
    params(
        ("handle" = String, Path, description = "The channel's handle.", example = "stage"),
        ("id" = String, Path, description = "The identity of the key to replace."),
    ),
    responses(
        (status = 201, description = "The key that takes its place.", body = ShownStreamKey),
        (status = 404, description = "No such channel or key.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn rotate(
    State(state): State<AppState>,
    caller: Caller,
    HandleAndId(handle, id): HandleAndId,
) -> Result<impl IntoResponse, ApiError> {
    let channel = owned(&state, &caller, &handle).await?;
    let old = state.store.stream_key(channel.id, id).await?;
    let old = old.ok_or(ApiError::NoSuch("stream key"))?;
    let now = clock::now();
    let (key, secret) = NewKey::make(&state.server_key, &old.name, now);
    let mut transaction = state.store.begin().await?;
    if !stream_keys::revoke(&mut transaction, channel.id, id, now).await? {
        return Err(ApiError::NoSuch("stream key"));
    }
    stream_keys::insert(&mut transaction, channel.id, &key).await?;
    transaction.commit().await?;
    state.publishers.show_out(id, REVOKED);
    tracing::info!(channel = %channel.handle, key.id = %id, by = %caller, "rotated a stream key");
    let key = StreamKeyView::from(&key.shown);
    Ok((
        StatusCode::CREATED,
        uncached(ShownStreamKey { secret, key }),
    ))
}

/// Revokes a stream key. Who publishes with it is shown out.
#[utoipa::path(
    delete,
    path = "/api/v1/channels/{handle}/keys/{id}",
    tag = "stream keys",
    security(("session" = []), ("token" = ["channel"]), ("token" = ["operator"])),
    params(
        ("handle" = String, Path, description = "The channel's handle.", example = "stage"),
        ("id" = String, Path, description = "The key's identity."),
    ),
    responses(
        (status = 204, description = "Revoked."),
        (status = 404, description = "No such channel or key.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn revoke(
    State(state): State<AppState>,
    caller: Caller,
    HandleAndId(handle, id): HandleAndId,
) -> Result<StatusCode, ApiError> {
    let channel = owned(&state, &caller, &handle).await?;
    let mut transaction = state.store.begin().await?;
    let revoked = stream_keys::revoke(&mut transaction, channel.id, id, clock::now()).await?;
    transaction.commit().await?;
    if !revoked {
        return Err(ApiError::NoSuch("stream key"));
    }
    state.publishers.show_out(id, REVOKED);
    tracing::info!(channel = %channel.handle, key.id = %id, by = %caller, "revoked a stream key");
    Ok(StatusCode::NO_CONTENT)
}
