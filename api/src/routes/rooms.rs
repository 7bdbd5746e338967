//! Who somebody is in a room.

use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use jiff::Timestamp;
use kit::clock;
use media::WallTime;
use serde::Serialize;
use utoipa::ToSchema;
use wire::{Badge, Person, RoomClaims};

use super::AppState;
use super::request::HandlePath;
use super::streams::{find_channel, timestamp, uncached};
use crate::door::Caller;
use crate::error::{ApiError, ErrorBody, Guarded};
use crate::scope::Scope;
use crate::store::channels::Channel;
use crate::store::users::Role;

/// How long a token is good. Who stays asks for another before that.
const GOOD_FOR: Duration = Duration::from_mins(10);

/// What lets a connection to a room speak.
#[derive(Debug, Serialize, ToSchema)]
pub struct RoomToken {
    /// To be sent over the connection, in a message `auth`.
    token: String,
    /// Until when it is good.
    #[schema(value_type = String, format = DateTime)]
    until: Timestamp,
}

/// Makes a token with which the caller can speak in a channel's room, over `/ws`. It is good for
/// ten minutes; a connection goes on with the next one.
#[utoipa::path(
    post,
    path = "/api/v1/rooms/{handle}/token",
    tag = "rooms",
    security(("session" = []), ("token" = ["chat"])),
    params(("handle" = String, Path, description = "The channel's handle.", example = "stage")),
    responses(
        (status = 200, description = "The token.", body = RoomToken),
        (status = 404, description = "No such channel.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn make_token(
    State(state): State<AppState>,
    caller: Caller,
    HandlePath(handle): HandlePath,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Chat)?;
    let channel = find_channel(&state, &handle).await?;
    let badges = badges(&state, &caller, &channel).await?;
    let until: WallTime = clock::now() + GOOD_FOR;
    let token = state.server_key.room_key().sign(&RoomClaims {
        room: channel.id,
        person: Person {
            id: caller.user.id,
            handle: caller.user.handle,
            name: caller.user.name,
            badges,
        },
        until: until.as_micros(),
    });
    Ok(uncached(RoomToken {
        token,
        until: timestamp(until),
    }))
}

/// What the caller can show for themselves in a channel's room.
async fn badges(
    state: &AppState,
    caller: &Caller,
    channel: &Channel,
) -> Result<Vec<Badge>, ApiError> {
    let me = caller.user.id;
    if channel.owner == me {
        return Ok(vec![Badge::Host]);
    }
    if state.store.moderates(me, channel.id).await? {
        return Ok(vec![Badge::Moderator]);
    }
    let operates = caller.user.role == Role::Operator;
    Ok(operates.then_some(Badge::Operator).into_iter().collect())
}
