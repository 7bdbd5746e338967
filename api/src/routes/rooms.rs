//! Who somebody is in a room.

use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use jiff::Timestamp;
use kit::clock;
use media::WallTime;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use wire::{Badge, BroadcastId, Person, RoomClaims};

use super::AppState;
use super::request::{Body, HandlePath};
use super::streams::{find_channel, timestamp, uncached};
use crate::door::Caller;
use crate::error::{ApiError, ErrorBody, Guarded, WithBody};
use crate::rooms::{Name, NotSaid, Replay, Wanted, Words};
use crate::scope::Scope;
use crate::store::channels::Channel;
use crate::store::users::Role;

/// How long a token is good. Who stays asks for another before that.
const GOOD_FOR: Duration = Duration::from_mins(10);

/// Most people who are named.
const PEOPLE_MAX: usize = 500;

/// Most danmaku in one answer.
const REPLAY_MAX: u32 = 1_000;

/// Longest key of a program.
const KEY_MAX: usize = 64;

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
    let until: WallTime = clock::now() + GOOD_FOR;
    let token = state.server_key.room_key().sign(&RoomClaims {
        room: channel.id,
        person: person(&state, caller, &channel).await?,
        until: until.as_micros(),
    });
    Ok(uncached(RoomToken {
        token,
        until: timestamp(until),
    }))
}

/// Who is in a room.
#[derive(Debug, Serialize, ToSchema)]
pub struct People {
    /// How many are signed in there.
    count: usize,
    /// They, or some whom chance chose where they are more than 500.
    people: Vec<Name>,
}

/// Tells who is signed in in a channel's room.
#[utoipa::path(
    get,
    path = "/api/v1/rooms/{handle}/people",
    tag = "rooms",
    params(("handle" = String, Path, description = "The channel's handle.", example = "stage")),
    responses(
        (status = 200, description = "Who is there.", body = People),
        (status = 404, description = "No such channel.", body = ErrorBody),
        (status = 503, description = "The database does not answer.", body = ErrorBody),
    )
)]
pub async fn people(
    State(state): State<AppState>,
    HandlePath(handle): HandlePath,
) -> Result<impl IntoResponse, ApiError> {
    let channel = find_channel(&state, &handle).await?;
    let (count, people) = state.rooms.people(channel.id, PEOPLE_MAX);
    Ok(uncached(People { count, people }))
}

/// Which danmaku are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// Of which broadcast.
    broadcast: Uuid,
    /// From which picture on, in microseconds since the broadcast began.
    #[serde(default)]
    #[param(minimum = 0)]
    from: u64,
    /// Up to, not including, which.
    #[param(minimum = 0)]
    to: Option<u64>,
    /// After which danmaku: the `next` of the answer before.
    after: Option<String>,
    /// How many at most.
    #[serde(default = "limit_max")]
    #[param(minimum = 1, maximum = 1000, default = 1000)]
    limit: u32,
}

const fn limit_max() -> u32 {
    REPLAY_MAX
}

/// Gives what was said during a broadcast, by the pictures that it was about, to be shown again with
/// them. What was deleted is left out.
#[utoipa::path(
    get,
    path = "/api/v1/rooms/{handle}/danmaku",
    tag = "rooms",
    params(("handle" = String, Path, description = "The channel's handle.", example = "stage"), Which),
    responses(
        (status = 200, description = "The danmaku.", body = Replay),
        (status = 400, description = "The query cannot be read.", body = ErrorBody),
        (status = 404, description = "No such channel.", body = ErrorBody),
        (status = 503, description = "The database does not answer.", body = ErrorBody),
    )
)]
pub async fn replay(
    State(state): State<AppState>,
    HandlePath(handle): HandlePath,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<impl IntoResponse, ApiError> {
    let Query(which) = which.map_err(|error| ApiError::BadRequest(error.body_text()))?;
    if which.limit == 0 || which.limit > REPLAY_MAX {
        let text = format!("`limit` is between 1 and {REPLAY_MAX}.");
        return Err(ApiError::BadRequest(text));
    }
    let channel = find_channel(&state, &handle).await?;
    let micros = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
    let wanted = Wanted {
        channel: channel.id,
        broadcast: BroadcastId::from_uuid(which.broadcast),
        pictures: micros(which.from)..which.to.map_or(i64::MAX, micros),
        after: which.after,
        limit: which.limit,
    };
    let replay = state.rooms.replay(wanted).await;
    let replay = replay.map_err(|error| {
        tracing::warn!(%error, "failed to read danmaku");
        ApiError::Busy
    })?;
    let not_ours = || ApiError::BadRequest("`after` is no `next` of this server.".into());
    Ok(uncached(replay.ok_or_else(not_ours)?))
}

/// Where something stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct Place {
    /// Its place on the chat lane.
    p: u64,
}

/// Says something in a channel's room, as the caller: for bots. With an `Idempotency-Key`, saying the
/// same again within a day keeps nothing twice, and tells the place of the first time.
#[utoipa::path(
    post,
    path = "/api/v1/rooms/{handle}/danmaku",
    tag = "rooms",
    security(("session" = []), ("token" = ["chat"])),
    params(
        ("handle" = String, Path, description = "The channel's handle.", example = "stage"),
        ("Idempotency-Key" = Option<String>, Header, description = "At most 64 printable characters, another for each danmaku."),
    ),
    request_body = Words,
    responses(
        (status = 201, description = "It is kept, and everybody hears it.", body = Place),
        (status = 404, description = "No such channel.", body = ErrorBody),
        (status = 429, description = "Too much at once.", body = ErrorBody),
        Guarded,
        WithBody,
    )
)]
pub async fn say(
    State(state): State<AppState>,
    caller: Caller,
    HandlePath(handle): HandlePath,
    headers: HeaderMap,
    Body(words): Body<Words>,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Chat)?;
    let key = idempotency_key(&headers)?;
    let channel = find_channel(&state, &handle).await?;
    let person = person(&state, caller, &channel).await?;
    let said = state.rooms.say(channel.id, &person, words, key).await;
    let p = said.map_err(|why| match why {
        NotSaid::Unreadable(why) => ApiError::BadRequest(why),
        NotSaid::Unfit(field, why) => ApiError::invalid(field, why),
        NotSaid::TooFast(wait) => ApiError::TooManyAttempts(wait),
        NotSaid::Unavailable => ApiError::Busy,
    })?;
    Ok((StatusCode::CREATED, uncached(Place { p })))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(key) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let key = key.to_str().ok();
    let fits = |key: &&str| (1..=KEY_MAX).contains(&key.len());
    let text = || format!("`Idempotency-Key` has 1 to {KEY_MAX} printable characters.");
    let key = key
        .filter(fits)
        .ok_or_else(|| ApiError::BadRequest(text()))?;
    Ok(Some(key.to_owned()))
}

/// Who the caller is in a channel's room.
pub(super) async fn person(
    state: &AppState,
    caller: Caller,
    channel: &Channel,
) -> Result<Person, ApiError> {
    Ok(Person {
        badges: badges(state, &caller, channel).await?,
        id: caller.user.id,
        handle: caller.user.handle,
        name: caller.user.name,
    })
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
