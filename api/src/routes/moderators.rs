//! The moderators of a channel.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use jiff::Timestamp;
use kit::clock;
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::request::{HandlePath, TwoHandles};
use super::streams::{find_channel, find_user, timestamp, uncached};
use crate::door::Caller;
use crate::error::{ApiError, ErrorBody, Guarded};
use crate::scope::Scope;
use crate::store::channels::Channel;
use crate::store::moderators;
use crate::unfit::Unfit;

/// Moderators and invitations a channel may have.
const MODERATORS_MAX: i64 = 100;

/// A moderator of a channel, or somebody who was asked.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModeratorView {
    /// Their handle.
    handle: String,
    /// Their name; may be empty.
    name: String,
    /// When they were asked.
    #[schema(value_type = String, format = DateTime)]
    invited_at: Timestamp,
    /// Whether they accepted.
    accepted: bool,
}

async fn views(state: &AppState, channel: &Channel) -> Result<Vec<ModeratorView>, ApiError> {
    let moderators = state.store.moderators(channel.id).await?;
    Ok(moderators
        .into_iter()
        .map(|moderator| ModeratorView {
            handle: moderator.handle.to_string(),
            name: moderator.name,
            invited_at: timestamp(moderator.invited_at),
            accepted: moderator.accepted_at.is_some(),
        })
        .collect())
}

/// The moderators of a channel, and those who were asked. For its owner and its moderators.
#[utoipa::path(
    get,
    path = "/api/v1/channels/{handle}/moderators",
    tag = "moderators",
    security(("session" = []), ("token" = ["read"])),
    params(("handle" = String, Path, description = "The channel's handle.", example = "stage")),
    responses(
        (status = 200, description = "The moderators.", body = Vec<ModeratorView>),
        (status = 404, description = "No such channel.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn list(
    State(state): State<AppState>,
    caller: Caller,
    HandlePath(handle): HandlePath,
) -> Result<impl IntoResponse, ApiError> {
    let channel = find_channel(&state, &handle).await?;
    caller.require(Scope::Read)?;
    let me = caller.user.id;
    if channel.owner != me && !state.store.moderates(me, channel.id).await? {
        caller.require(Scope::Operator)?;
    }
    Ok(uncached(views(&state, &channel).await?))
}

/// Asks a person to moderate a channel. They moderate once they accept.
#[utoipa::path(
    put,
    path = "/api/v1/channels/{handle}/moderators/{member}",
    tag = "moderators",
    security(("session" = []), ("token" = ["channel"]), ("token" = ["operator"])),
    params(
        ("handle" = String, Path, description = "The channel's handle.", example = "stage"),
        ("member" = String, Path, description = "The person's handle.", example = "mei"),
    ),
    responses(
        (status = 200, description = "The moderators.", body = Vec<ModeratorView>),
        (status = 404, description = "No such channel or person.", body = ErrorBody),
        (status = 409, description = "There are too many.", body = ErrorBody),
        (status = 422, description = "An owner needs no invitation.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn invite(
    State(state): State<AppState>,
    caller: Caller,
    TwoHandles(handle, member): TwoHandles,
) -> Result<impl IntoResponse, ApiError> {
    let channel = find_channel(&state, &handle).await?;
    caller.require_owner(&channel)?;
    let member = find_user(&state, &member).await?;
    if member.id == channel.owner {
        return Err(ApiError::invalid("member", Unfit::Owner));
    }
    let mut transaction = state.store.begin().await?;
    if moderators::count_of(&mut transaction, channel.id).await? >= MODERATORS_MAX {
        return Err(ApiError::LimitReached {
            what: "moderators",
            max: MODERATORS_MAX,
        });
    }
    moderators::invite(&mut transaction, channel.id, member.id, clock::now()).await?;
    transaction.commit().await?;
    tracing::info!(channel = %channel.handle, member = %member.handle, by = %caller, "asked a moderator");
    Ok(uncached(views(&state, &channel).await?))
}

/// Takes a moderator or an invitation back.
#[utoipa::path(
    delete,
    path = "/api/v1/channels/{handle}/moderators/{member}",
    tag = "moderators",
    security(("session" = []), ("token" = ["channel"]), ("token" = ["operator"])),
    params(
        ("handle" = String, Path, description = "The channel's handle.", example = "stage"),
        ("member" = String, Path, description = "The person's handle.", example = "mei"),
    ),
    responses(
        (status = 204, description = "No moderator any more."),
        (status = 404, description = "No such channel, person or moderator.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn remove(
    State(state): State<AppState>,
    caller: Caller,
    TwoHandles(handle, member): TwoHandles,
) -> Result<StatusCode, ApiError> {
    let channel = find_channel(&state, &handle).await?;
    caller.require_owner(&channel)?;
    let member = find_user(&state, &member).await?;
    if !state.store.remove_moderator(channel.id, member.id).await? {
        return Err(ApiError::NoSuch("moderator"));
    }
    tracing::info!(channel = %channel.handle, member = %member.handle, by = %caller, "removed a moderator");
    Ok(StatusCode::NO_CONTENT)
}
