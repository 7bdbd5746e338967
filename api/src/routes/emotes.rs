//! Emotes of channels.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kit::clock;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::{IntoParams, ToSchema};
use wire::{EmoteCode, EmoteId, Event, hex};

use super::AppState;
use super::request::{HandleAndText, HandlePath, IdPath, Params, Upload};
use super::streams::find_channel;
use crate::door::Caller;
use crate::error::{ApiError, ErrorBody, Guarded};
use crate::store::channels::Channel;
use crate::store::emotes::{self, Emote};
use crate::unfit::Unfit;

/// Bytes of a digest that tell one list from another.
const ETAG_BYTES: usize = 16;

/// The emotes of a channel.
#[derive(Debug, Serialize, ToSchema)]
pub struct EmoteList {
    /// By their codes.
    emotes: Vec<EmoteView>,
}

/// An emote.
#[derive(Debug, Serialize, ToSchema)]
pub struct EmoteView {
    /// What is written for it, between two colons.
    #[schema(example = "hi")]
    code: String,
    /// Its picture, a PNG that may move. Another picture has another address.
    #[schema(example = "/emotes/01a1fdf6-9c6c-7189-ab4f-2d7777a7ec9d")]
    url: String,
    /// Pixels across, at most 128.
    width: u32,
    /// Pixels down, at most 128.
    height: u32,
}

impl From<&Emote> for EmoteView {
    fn from(emote: &Emote) -> Self {
        Self {
            code: emote.code.to_string(),
            url: format!("/emotes/{}", emote.id),
            width: emote.width,
            height: emote.height,
        }
    }
}

/// What is to be uploaded.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct NewEmote {
    /// What is written for it, between two colons: `[a-z0-9_]{2,24}`.
    #[param(example = "hi", required = true)]
    #[serde(default)]
    code: String,
}

/// How an emote is to be deleted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Deletion {
    /// Whether its picture goes at once, and every earlier one of this code, from what was said too.
    /// As it is, pictures are kept for 90 days.
    #[serde(default)]
    erase: bool,
}

fn valid_code(text: &str) -> Result<EmoteCode, ApiError> {
    text.parse()
        .map_err(|_| ApiError::invalid("code", Unfit::EmoteCode))
}

/// The emotes of a channel.
#[utoipa::path(
    get,
    path = "/api/v1/channels/{handle}/emotes",
    tag = "emotes",
    params(("handle" = String, Path, description = "The channel's handle.", example = "stage")),
    responses(
        (status = 200, description = "The emotes.", body = EmoteList),
        (status = 304, description = "They are as they were."),
        (status = 404, description = "No such channel.", body = ErrorBody),
        (status = 503, description = "The database does not answer.", body = ErrorBody),
    )
)]
pub async fn list(
    State(state): State<AppState>,
    HandlePath(handle): HandlePath,
    asked: HeaderMap,
) -> Result<Response, ApiError> {
    let channel = find_channel(&state, &handle).await?;
    let emotes = state.store.emotes(channel.id).await?;
    let list = EmoteList {
        emotes: emotes.iter().map(EmoteView::from).collect(),
    };
    let body = serde_json::to_vec(&list).map_err(|error| ApiError::Internal(error.into()))?;
    let etag = format!("\"{}\"", hex::encode(&Sha256::digest(&body)[..ETAG_BYTES]));
    // Whoever keeps it asks each time whether it has changed.
    let caching = [
        (header::CACHE_CONTROL, "public, no-cache".to_owned()),
        (header::ETAG, etag.clone()),
    ];
    let known = asked.get(header::IF_NONE_MATCH);
    if known.is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    let kind = [(header::CONTENT_TYPE, "application/json")];
    Ok((caching, kind, body).into_response())
}

/// Uploads an emote: the body is the picture, PNG, WebP, GIF or JPEG, still or moving, at most 256 KiB,
/// 2048 × 2048 pixels and 120 frames. It is kept as a PNG of at most 128 × 128 pixels without any
/// metadata; what moves goes on moving.
#[utoipa::path(
    post,
    path = "/api/v1/channels/{handle}/emotes",
    tag = "emotes",
    security(("session" = []), ("token" = ["channel"]), ("token" = ["operator"])),
    params(
        ("handle" = String, Path, description = "The channel's handle.", example = "stage"),
        NewEmote,
    ),
    request_body(
        description = "The picture; what it is, is told by its bytes.",
        content(
            (Vec<u8> = "image/png"),
            (Vec<u8> = "image/webp"),
            (Vec<u8> = "image/gif"),
            (Vec<u8> = "image/jpeg"),
        )
    ),
    responses(
        (status = 201, description = "The emote.", body = EmoteView),
        (status = 400, description = "There is no code in the address.", body = ErrorBody),
        (status = 404, description = "No such channel.", body = ErrorBody),
        (
            status = 408,
            description = "The picture took too long to arrive.",
            body = ErrorBody,
            content_type = "application/problem+json",
        ),
        (status = 409, description = "There are too many, or one has this code.", body = ErrorBody),
        (status = 413, description = "The picture is longer than 256 KiB.", body = ErrorBody),
        (status = 422, description = "The code or the picture is not acceptable.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn upload(
    State(state): State<AppState>,
    caller: Caller,
    HandlePath(handle): HandlePath,
    Params(new): Params<NewEmote>,
    Upload(upload): Upload,
) -> Result<impl IntoResponse, ApiError> {
    let channel = find_channel(&state, &handle).await?;
    caller.require_owner(&channel)?;
    let code = valid_code(&new.code)?;
    let picture = state.emotes.read(upload).await?;
    let emote = Emote {
        id: EmoteId::new(),
        code,
        width: picture.width,
        height: picture.height,
    };
    keep(&state, &channel, &emote, &picture.png).await?;
    state.bus.publish(Event::EmotesChanged {
        channel: channel.id,
    });
    tracing::info!(channel = %channel.handle, code = %emote.code, by = %caller, "uploaded an emote");
    Ok((StatusCode::CREATED, Json(EmoteView::from(&emote))))
}

async fn keep(
    state: &AppState,
    channel: &Channel,
    emote: &Emote,
    picture: &[u8],
) -> Result<(), ApiError> {
    let mut transaction = state.store.begin().await?;
    let (count, is_taken) = emotes::count_of(&mut transaction, channel.id, &emote.code).await?;
    if is_taken {
        return Err(ApiError::EmoteTaken(emote.code.clone()));
    }
    let max = state.emotes.per_channel();
    if count >= max {
        return Err(ApiError::LimitReached {
            what: "emotes",
            max,
        });
    }
    emotes::insert(&mut transaction, channel.id, emote, picture, clock::now()).await?;
    transaction.commit().await?;
    Ok(())
}

/// Deletes an emote. What was said with it shows its picture for another 90 days.
#[utoipa::path(
    delete,
    path = "/api/v1/channels/{handle}/emotes/{code}",
    tag = "emotes",
    security(("session" = []), ("token" = ["channel"]), ("token" = ["operator"])),
    params(
        ("handle" = String, Path, description = "The channel's handle.", example = "stage"),
        ("code" = String, Path, description = "The emote's code.", example = "hi"),
        Deletion,
    ),
    responses(
        (status = 204, description = "Deleted."),
        (status = 400, description = "How it is to be deleted cannot be read.", body = ErrorBody),
        (status = 404, description = "No such channel or emote.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    HandleAndText(handle, code): HandleAndText,
    Params(how): Params<Deletion>,
) -> Result<StatusCode, ApiError> {
    let channel = find_channel(&state, &handle).await?;
    caller.require_owner(&channel)?;
    let code: EmoteCode = code.parse().map_err(|_| ApiError::NoSuch("emote"))?;
    let mut transaction = state.store.begin().await?;
    let was_there = if how.erase {
        emotes::erase(&mut transaction, channel.id, &code).await?
    } else {
        emotes::delete(&mut transaction, channel.id, &code, clock::now()).await?
    };
    transaction.commit().await?;
    if !was_there {
        return Err(ApiError::NoSuch("emote"));
    }
    if how.erase {
        state.emotes.forget();
    }
    state.bus.publish(Event::EmotesChanged {
        channel: channel.id,
    });
    tracing::info!(channel = %channel.handle, %code, erased = how.erase, by = %caller, "deleted an emote");
    Ok(StatusCode::NO_CONTENT)
}

/// The picture of an emote. It never changes.
#[utoipa::path(
    get,
    path = "/emotes/{id}",
    tag = "emotes",
    params(("id" = String, Path, description = "The emote's identity.")),
    responses(
        (status = 200, description = "The picture.", body = Vec<u8>, content_type = "image/png"),
        (status = 404, description = "No such picture, or not any more.", body = ErrorBody),
        (status = 503, description = "The database does not answer.", body = ErrorBody),
    )
)]
pub async fn show_picture(
    State(state): State<AppState>,
    IdPath(id): IdPath,
) -> Result<impl IntoResponse, ApiError> {
    let picture = state.emotes.picture(&state.store, EmoteId::from_uuid(id));
    let picture = picture.await?.ok_or(ApiError::NoSuch("picture"))?;
    let headers = [
        (header::CONTENT_TYPE, "image/png"),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        // Opened by itself it is a picture and nothing that could act.
        (
            header::CONTENT_SECURITY_POLICY,
            "sandbox; default-src 'none'",
        ),
        // Pages of chat.allowed_origins show it too.
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "cross-origin",
        ),
    ];
    Ok((headers, picture))
}
