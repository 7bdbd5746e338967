//! Who follows which channel.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use jiff::Timestamp;
use kit::clock;
use serde::Serialize;
use utoipa::ToSchema;
use wire::{Event, Handle, Person};

use super::AppState;
use super::request::HandlePath;
use super::streams::{find_channel, timestamp, uncached};
use crate::door::Caller;
use crate::error::{ApiError, ErrorBody, Guarded};
use crate::scope::Scope;
use crate::store::follows::{self, FOLLOWS_MAX};

/// How many follow a channel.
#[derive(Debug, Serialize, ToSchema)]
pub struct FollowView {
    /// People who follow it.
    followers: i64,
    /// Whether the caller does; false for who is not signed in.
    follows: bool,
}

/// A channel that the caller follows.
#[derive(Debug, Serialize, ToSchema)]
pub struct FollowedView {
    /// Its handle.
    #[schema(value_type = String, example = "stage")]
    handle: Handle,
    /// Its name for people.
    name: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// Whether it is live.
    live: bool,
}

/// How many follow a channel, and whether the caller does.
#[utoipa::path(
    get,
    path = "/api/v1/channels/{handle}/follow",
    tag = "channels",
    security((), ("session" = []), ("token" = ["read"])),
    params(("handle" = String, Path, description = "The channel's handle.", example = "stage")),
    responses(
        (status = 200, description = "How it stands.", body = FollowView),
        (status = 404, description = "No such channel.", body = ErrorBody),
        (status = 503, description = "The database does not answer.", body = ErrorBody),
    )
)]
pub async fn show(
    State(state): State<AppState>,
    caller: Option<Caller>,
    HandlePath(handle): HandlePath,
) -> Result<impl IntoResponse, ApiError> {
    let channel = find_channel(&state, &handle).await?;
    let caller = caller.filter(|caller| caller.require(Scope::Read).is_ok());
    let who = caller.map(|caller| caller.user.id);
    let follows::Following { followers, follows } = state.store.following(channel.id, who).await?;
    Ok(uncached(FollowView { followers, follows }))
}

/// Follows a channel. Its room hears of it the first time.
#[utoipa::path(
    put,
    path = "/api/v1/channels/{handle}/follow",
    tag = "channels",
    security(("session" = [])),
    params(("handle" = String, Path, description = "The channel's handle.", example = "stage")),
    responses(
        (status = 204, description = "The caller follows it."),
        (status = 404, description = "No such channel.", body = ErrorBody),
        (status = 409, description = "The caller follows 1000 channels already.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn follow(
    State(state): State<AppState>,
    caller: Caller,
    HandlePath(handle): HandlePath,
) -> Result<StatusCode, ApiError> {
    caller.session()?;
    let channel = find_channel(&state, &handle).await?;
    let (who, now) = (caller.user.id, clock::now());
    let mut transaction = state.store.begin().await?;
    let first = follows::follow(&mut transaction, channel.id, who, now).await?;
    if follows::count_of(&mut transaction, who).await? > FOLLOWS_MAX {
        return Err(ApiError::LimitReached {
            what: "channels followed",
            max: FOLLOWS_MAX,
        });
    }
    transaction.commit().await?;
    if first {
        let following = state.store.following(channel.id, None).await?;
        state.bus.publish(Event::Followed {
            channel: channel.id,
            by: Person {
                id: who,
                handle: caller.user.handle,
                name: caller.user.name,
                badges: Vec::new(),
            },
            followers: following.followers.unsigned_abs(),
            at: now.as_micros(),
        });
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Follows a channel no longer.
#[utoipa::path(
    delete,
    path = "/api/v1/channels/{handle}/follow",
    tag = "channels",
    security(("session" = [])),
    params(("handle" = String, Path, description = "The channel's handle.", example = "stage")),
    responses(
        (status = 204, description = "The caller does not follow it."),
        (status = 404, description = "No such channel.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn unfollow(
    State(state): State<AppState>,
    caller: Caller,
    HandlePath(handle): HandlePath,
) -> Result<StatusCode, ApiError> {
    caller.session()?;
    let channel = find_channel(&state, &handle).await?;
    let (who, now) = (caller.user.id, clock::now());
    state.store.unfollow(channel.id, who, now).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The channels that the caller follows, the last first.
#[utoipa::path(
    get,
    path = "/api/v1/account/follows",
    tag = "account",
    security(("session" = []), ("token" = ["read"])),
    responses(
        (status = 200, description = "The channels.", body = Vec<FollowedView>),
        Guarded,
    )
)]
pub async fn list(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Read)?;
    let followed = state.store.followed_by(caller.user.id).await?;
    let followed = followed.into_iter().map(|followed| FollowedView {
        live: state.streams.of_channel(followed.channel).is_some(),
        handle: followed.handle,
        name: followed.name,
        since: timestamp(followed.since),
    });
    Ok(uncached(followed.collect::<Vec<_>>()))
}
