//! Channels, live or not, and what their owners say of them.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use kit::clock;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use wire::{BroadcastId, Handle};

use super::request::{Body, HandlePath, Params};
use super::streams::{
    ChannelView, Stream, find_channel, find_channel_here, find_watched, now_ms, timestamp,
    uncached, view,
};
use super::{AppState, valid_handle};
use crate::door::{Caller, is_reserved};
use crate::error::{ApiError, ErrorBody, Guarded, WithBody};
use crate::scope::Scope;
use crate::store::channels::Channel;
use crate::store::users::Role;
use crate::store::{broadcasts, channels, handles, users};
use crate::text;

/// Channels a person may have.
const CHANNELS_MAX: i64 = 1;

/// Broadcasts in one answer.
const PAGE: i64 = 50;

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

/// One channel, live or not. A handle that the channel had before redirects.
#[utoipa::path(
    get,
    path = "/api/v1/channels/{handle}",
    tag = "channels",
    params(("handle" = String, Path, description = "The channel's handle.", example = "stage")),
    responses(
        (status = 200, description = "The channel.", body = ChannelPage),
        (status = 308, description = "The channel is called otherwise now."),
        (status = 404, description = "No such channel.", body = ErrorBody),
        (status = 503, description = "The database does not answer.", body = ErrorBody),
    )
)]
pub async fn show(
    State(state): State<AppState>,
    HandlePath(handle): HandlePath,
) -> Result<Response, ApiError> {
    let here = find_channel_here(&state, &handle);
    let channel = match find_watched(&state, &handle, here).await {
        Ok(channel) => channel,
        Err(error @ ApiError::Database(_)) => return Err(error),
        Err(error) => return moved(&state, &handle).await?.ok_or(error),
    };
    let live = state
        .streams
        .of_channel(channel.id)
        .map(|broadcast| view(&state, &broadcast, &channel));
    // Of no use while it is live, and not to be had while the database does not answer.
    let last_live_at = if live.is_some() {
        None
    } else {
        state.store.last_live_at(channel.id).await?.map(timestamp)
    };
    let channel = ChannelView::from(&channel);
    Ok(uncached(ChannelPage {
        server_time_ms: now_ms(),
        channel,
        live,
        last_live_at,
    })
    .into_response())
}

/// Where the channel that was called `handle` is found now.
async fn moved(state: &AppState, handle: &str) -> Result<Option<Response>, ApiError> {
    let Ok(former) = handle.parse::<Handle>() else {
        return Ok(None);
    };
    let now = state.store.renamed(&former).await?;
    Ok(now.map(|now| {
        let headers = [
            (header::LOCATION, format!("/api/v1/channels/{now}")),
            (header::CACHE_CONTROL, "no-store".to_owned()),
        ];
        (StatusCode::PERMANENT_REDIRECT, headers).into_response()
    }))
}

/// What makes a channel.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewChannel {
    /// Its name in addresses; its owner's handle, if left out.
    handle: Option<String>,
    /// Its name for people; its owner's, if left out.
    name: Option<String>,
}

/// Makes a channel for the caller, who becomes a streamer.
#[utoipa::path(
    post,
    path = "/api/v1/channels",
    tag = "channels",
    security(("session" = [])),
    request_body = NewChannel,
    responses(
        (status = 201, description = "The channel.", body = ChannelView),
        (status = 409, description = "The handle is taken, or the caller has a channel.", body = ErrorBody),
        WithBody,
        Guarded,
    )
)]
pub async fn make(
    State(state): State<AppState>,
    caller: Caller,
    Body(new): Body<NewChannel>,
) -> Result<impl IntoResponse, ApiError> {
    caller.session()?;
    let owner = &caller.user;
    if owner.role == Role::Viewer && !state.door.config().make_channel {
        return Err(ApiError::ChannelsClosed);
    }
    let handle = match &new.handle {
        Some(handle) => valid_handle("handle", handle)?,
        None => owner.handle.clone(),
    };
    let name = match &new.name {
        Some(name) => text::some_line("name", name, text::NAME_MAX)?,
        None if owner.name.is_empty() => owner.handle.to_string(),
        None => owner.name.clone(),
    };
    let channel = Channel::new(owner.id, handle, name);
    let now = clock::now();
    let mut transaction = state.store.begin().await?;
    if channels::count_of(&mut transaction, owner.id).await? >= CHANNELS_MAX {
        return Err(ApiError::LimitReached {
            what: "channels",
            max: CHANNELS_MAX,
        });
    }
    let own = channel.handle == owner.handle;
    if (is_reserved(&channel.handle) && !own)
        || handles::is_taken(&mut transaction, &channel.handle, Some(owner.id), now).await?
    {
        return Err(ApiError::HandleTaken(channel.handle.to_string()));
    }
    channels::insert(&mut transaction, &channel, now).await?;
    if owner.role == Role::Viewer {
        users::set_role(&mut transaction, owner.id, Role::Streamer).await?;
    }
    transaction.commit().await?;
    tracing::info!(channel = %channel.handle, by = %caller, "made a channel");
    Ok((StatusCode::CREATED, uncached(ChannelView::from(&channel))))
}

/// What can be changed of a channel; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelChange {
    /// Another name in addresses; the one it has redirects. Not while it is live.
    handle: Option<String>,
    /// Another name for people.
    name: Option<String>,
    /// What is on.
    #[schema(max_length = 140)]
    title: Option<String>,
    /// What kind of thing is on.
    #[schema(max_length = 50)]
    category: Option<String>,
    /// What it can be found by.
    #[schema(max_items = 10)]
    tags: Option<Vec<String>>,
    /// The language spoken, as BCP 47 writes it; empty for none.
    #[schema(example = "zh-CN")]
    language: Option<String>,
    /// What happens when somebody publishes while somebody does.
    second_publisher: Option<SecondPublisher>,
    /// Whether pictures with B-frames are made anew for viewers over WebRTC, while somebody watches:
    /// as far as the operator allows it, see `transcodes_pictures` of the entrance.
    transcodes: Option<bool>,
}

/// What happens when somebody publishes to a channel that is being published to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecondPublisher {
    /// Who is there stays.
    Refuse,
    /// Who comes takes over.
    Replace,
}

/// Changes a channel.
#[utoipa::path(
    patch,
    path = "/api/v1/channels/{handle}",
    tag = "channels",
    security(("session" = []), ("token" = ["channel"]), ("token" = ["operator"])),
    params(("handle" = String, Path, description = "The channel's handle.", example = "stage")),
    request_body = ChannelChange,
    responses(
        (status = 200, description = "The channel.", body = ChannelView),
        (status = 404, description = "No such channel.", body = ErrorBody),
        (status = 409, description = "The handle is taken, or the channel is live or was renamed too often.", body = ErrorBody),
        WithBody,
        Guarded,
    )
)]
pub async fn change(
    State(state): State<AppState>,
    caller: Caller,
    HandlePath(handle): HandlePath,
    Body(change): Body<ChannelChange>,
) -> Result<impl IntoResponse, ApiError> {
    let mut channel = find_channel(&state, &handle).await?;
    caller.require_owner(&channel)?;
    apply(&mut channel, &change)?;
    if let Some(handle) = &change.handle {
        let handle = valid_handle("handle", handle)?;
        if handle != channel.handle {
            rename(&state, &channel, &handle, &caller).await?;
            channel.handle = handle;
        }
    }
    state.store.update_channel(&channel).await?;
    if let Some(live) = state.streams.of_channel(channel.id) {
        live.set_transcodes(channel.transcodes);
    }
    state
        .store
        .retitle_open_broadcast(channel.id, &channel.title, &channel.category)
        .await?;
    Ok(uncached(ChannelView::from(&channel)))
}

fn apply(channel: &mut Channel, change: &ChannelChange) -> Result<(), ApiError> {
    if let Some(name) = &change.name {
        channel.name = text::some_line("name", name, text::NAME_MAX)?;
    }
    if let Some(title) = &change.title {
        channel.title = text::line("title", title, text::TITLE_MAX)?;
    }
    if let Some(category) = &change.category {
        channel.category = text::line("category", category, text::CATEGORY_MAX)?;
    }
    if let Some(tags) = &change.tags {
        channel.tags = text::tags(tags)?;
    }
    if let Some(language) = &change.language {
        channel.language = text::language(language)?;
    }
    if let Some(rule) = change.second_publisher {
        channel.second_replaces = rule == SecondPublisher::Replace;
    }
    if let Some(transcodes) = change.transcodes {
        channel.transcodes = transcodes;
    }
    Ok(())
}

async fn rename(
    state: &AppState,
    channel: &Channel,
    to: &Handle,
    caller: &Caller,
) -> Result<(), ApiError> {
    // What is live has its handle in the addresses that its viewers use.
    if state.streams.of_channel(channel.id).is_some() {
        return Err(ApiError::ChannelIsLive(channel.handle.to_string()));
    }
    let now = clock::now();
    let mut transaction = state.store.begin().await?;
    if handles::renames(&mut transaction, channel.id, now).await? >= handles::RENAMES_MAX {
        return Err(ApiError::LimitReached {
            what: "renames in 90 days",
            max: handles::RENAMES_MAX,
        });
    }
    if is_reserved(to) || handles::is_taken(&mut transaction, to, Some(channel.owner), now).await? {
        return Err(ApiError::HandleTaken(to.to_string()));
    }
    handles::rename_channel(&mut transaction, channel.id, &channel.handle, to, now).await?;
    transaction.commit().await?;
    tracing::info!(from = %channel.handle, %to, by = %caller, "renamed a channel");
    Ok(())
}

/// Which broadcasts.
#[derive(Debug, Deserialize, IntoParams)]
pub struct BroadcastsAsked {
    /// Those from before this one; the newest, if left out.
    before: Option<uuid::Uuid>,
}

/// A broadcast, as the history tells it.
#[derive(Debug, Serialize, ToSchema)]
pub struct BroadcastView {
    /// Its identity.
    id: String,
    /// What was on.
    title: String,
    /// What kind of thing was on.
    category: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    /// When it ended, if it did.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// How it came to its end: `finished` by the publisher, `lost` with the publisher, `shown_out`
    /// when the publisher was and no other came, `unusable` for what the publisher sent, `stopped`
    /// by somebody with the right to, `server_ended`, `server_lost`. Null while it goes on, and for
    /// those from before this was noted.
    #[schema(example = "finished")]
    ended_how: Option<String>,
    /// Why somebody stopped it, in their words.
    end_reason: Option<String>,
}

/// The broadcasts of a channel, newest first, 50 at a time. For its owner.
#[utoipa::path(
    get,
    path = "/api/v1/channels/{handle}/broadcasts",
    tag = "channels",
    security(("session" = []), ("token" = ["read"])),
    params(
        ("handle" = String, Path, description = "The channel's handle.", example = "stage"),
        BroadcastsAsked,
    ),
    responses(
        (status = 200, description = "The broadcasts.", body = Vec<BroadcastView>),
        (status = 400, description = "`before` is no identity.", body = ErrorBody),
        (status = 404, description = "No such channel.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn broadcasts(
    State(state): State<AppState>,
    caller: Caller,
    HandlePath(handle): HandlePath,
    Params(asked): Params<BroadcastsAsked>,
) -> Result<impl IntoResponse, ApiError> {
    let channel = find_channel(&state, &handle).await?;
    if channel.owner != caller.user.id {
        caller.require(Scope::Operator)?;
    }
    caller.require(Scope::Read)?;
    let before: Option<BroadcastId> = asked.before.and_then(|id| id.to_string().parse().ok());
    let found = state.store.broadcasts(channel.id, before, PAGE).await?;
    let views: Vec<_> = found.into_iter().map(broadcast_view).collect();
    Ok(uncached(views))
}

fn broadcast_view(past: broadcasts::PastBroadcast) -> BroadcastView {
    BroadcastView {
        id: past.id.to_string(),
        title: past.title,
        category: past.category,
        started_at: timestamp(past.began_at),
        ended_at: past.ended_at.map(timestamp),
        ended_how: past.ended_how,
        end_reason: past.end_reason,
    }
}
