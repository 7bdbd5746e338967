//! One's own account: signing up, its profile and password, and the channels it moderates.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use kit::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wire::Handle;

use super::request::{AskedBy, Body, HandlePath, check_same_origin};
use super::session::{agent, with_cookie};
use super::streams::{find_channel, timestamp, uncached};
use super::{AppState, valid_handle};
use crate::door::{Caller, SignUp};
use crate::error::{ApiError, ErrorBody, Guarded, WithBody};
use crate::mail::Mailer;
use crate::scope::Scope;
use crate::store::Transaction;
use crate::store::users::{Role, User, normal_email};
use crate::store::{handles, users};
use crate::text;
use crate::unfit::Unfit;

/// What makes an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// Name to sign in with and to be addressed by: a-z, 0-9 and _, 3 to 24 of them.
    #[schema(example = "mei", min_length = 3, max_length = 24)]
    handle: String,
    /// At least 10 characters, and none that attackers try first.
    #[schema(example = "three blind mice sing", min_length = 10)]
    password: String,
    /// Name for people, in any script.
    #[serde(default)]
    #[schema(max_length = 50)]
    name: String,
    /// Where a link is sent if the password is lost.
    #[serde(default)]
    email: Option<String>,
}

/// An account, as its owner sees it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Me {
    /// Its identity.
    id: String,
    /// Name to sign in with.
    handle: String,
    /// Name for people; may be empty.
    name: String,
    /// Where a recovery link is sent.
    email: Option<String>,
    /// What they may do on the server.
    role: Role,
    /// When they came.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Their channels, in the order they were made.
    channels: Vec<String>,
    /// Channels that they moderate, or were asked to.
    moderates: Vec<PostView>,
    /// Whether they can make a channel by themselves.
    may_make_channel: bool,
}

/// A channel that somebody moderates, or was asked to.
#[derive(Debug, Serialize, ToSchema)]
pub struct PostView {
    /// The channel's handle.
    channel: String,
    /// The channel's name.
    name: String,
    /// Whether they accepted.
    accepted: bool,
}

/// What this server lets strangers do, and where to publish to it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Entrance {
    /// Whether people may sign up.
    sign_up: bool,
    /// Whether a lost password is recovered by mail.
    recovery_by_mail: bool,
    /// Shortest password, in characters.
    password_min: usize,
    /// The port that publishers connect to by RTMP.
    rtmp_port: u16,
    /// The port of https, if that is on: browsers give a camera away only there, and on localhost.
    https_port: Option<u16>,
    /// Whether browsers can publish, over WebRTC (WHIP).
    whip: bool,
    /// Whether channels may have their pictures made anew for viewers over WebRTC.
    transcodes_pictures: bool,
}

pub(super) async fn me(state: &AppState, user: &User) -> Result<Me, ApiError> {
    let channels = state.store.channels_of(user.id).await?;
    let moderates = state.store.posts(user.id).await?;
    let may_make_channel =
        channels.is_empty() && (state.door.config().make_channel || user.role != Role::Viewer);
    Ok(Me {
        id: user.id.to_string(),
        handle: user.handle.to_string(),
        name: user.name.clone(),
        email: user.email.clone(),
        role: user.role,
        created_at: timestamp(user.created_at),
        channels: channels.iter().map(|c| c.handle.to_string()).collect(),
        moderates: moderates
            .into_iter()
            .map(|post| PostView {
                channel: post.channel.to_string(),
                name: post.name,
                accepted: post.accepted,
            })
            .collect(),
        may_make_channel,
    })
}

fn email(text: Option<&str>) -> Result<Option<String>, ApiError> {
    let Some(text) = text.map(normal_email).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if text.len() > 254 || !Mailer::is_address(&text) {
        return Err(ApiError::invalid("email", Unfit::Email));
    }
    Ok(Some(text))
}

/// What this server lets strangers do.
#[utoipa::path(
    get,
    path = "/api/v1/entrance",
    tag = "account",
    responses((status = 200, description = "What it lets them do.", body = Entrance))
)]
pub async fn entrance(State(state): State<AppState>) -> impl IntoResponse {
    uncached(Entrance {
        sign_up: state.door.config().sign_up,
        recovery_by_mail: state.mailer.is_some(),
        password_min: crate::password::MIN_CHARS,
        rtmp_port: state.rtmp_port,
        https_port: state.https_port,
        whip: state.webrtc.shows_live,
        transcodes_pictures: state.webrtc.transcodes_pictures,
    })
}

/// Signs up, and in.
#[utoipa::path(
    post,
    path = "/api/v1/account",
    tag = "account",
    request_body = NewAccount,
    responses(
        (status = 201, description = "The account; its session is in the cookie.", body = Me),
        (status = 403, description = "Signing up is closed, or a page of another site asks.", body = ErrorBody),
        (status = 409, description = "The handle is taken, or was changed too often.", body = ErrorBody),
        (status = 429, description = "Too many attempts.", body = ErrorBody),
        (status = 503, description = "The server or its database is busy.", body = ErrorBody),
        WithBody,
    )
)]
pub async fn sign_up(
    State(state): State<AppState>,
    AskedBy(client): AskedBy,
    headers: HeaderMap,
    Body(new): Body<NewAccount>,
) -> Result<Response, ApiError> {
    check_same_origin(&axum::http::Method::POST, &headers, &client, &state)?;
    let handle = valid_handle("handle", &new.handle)?;
    let name = text::line("name", &new.name, text::NAME_MAX)?;
    let email = email(new.email.as_deref())?;
    let sign_up = SignUp {
        handle: &handle,
        name: &name,
        email: email.as_deref(),
        password: new.password,
    };
    let (user, token) = state
        .door
        .sign_up(sign_up, &client, agent(&headers))
        .await?;
    let body = (StatusCode::CREATED, uncached(me(&state, &user).await?));
    Ok(with_cookie(&client, &token, body))
}

/// The caller's account.
#[utoipa::path(
    get,
    path = "/api/v1/account",
    tag = "account",
    security(("session" = []), ("token" = ["read"])),
    responses(
        (status = 200, description = "The account.", body = Me),
        Guarded,
    )
)]
pub async fn show(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Read)?;
    Ok(uncached(me(&state, &caller.user).await?))
}

/// What can be changed of an account; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountChange {
    /// Another name to sign in with.
    handle: Option<String>,
    /// Another name for people.
    name: Option<String>,
    /// Another e-mail address; empty for none. Links that open the account are sent there, so this
    /// takes `current`.
    email: Option<String>,
    /// The password, if the e-mail address is to be another.
    current: Option<String>,
}

/// Changes the caller's account.
#[utoipa::path(
    patch,
    path = "/api/v1/account",
    tag = "account",
    security(("session" = [])),
    request_body = AccountChange,
    responses(
        (status = 200, description = "The account.", body = Me),
        (status = 409, description = "The handle is taken, or was changed too often.", body = ErrorBody),
        (status = 429, description = "Too many attempts at the password.", body = ErrorBody),
        WithBody,
        Guarded,
    )
)]
pub async fn change(
    State(state): State<AppState>,
    AskedBy(client): AskedBy,
    caller: Caller,
    Body(change): Body<AccountChange>,
) -> Result<impl IntoResponse, ApiError> {
    caller.session()?;
    let mut user = caller.user;
    if let Some(name) = &change.name {
        user.name = text::line("name", name, text::NAME_MAX)?;
    }
    if let Some(text) = &change.email {
        let email = email(Some(text))?;
        if email != user.email {
            let current = change.current.clone().unwrap_or_default();
            state.door.confirm(&user, current, &client).await?;
        }
        user.email = email;
    }
    let handle = change.handle.as_deref();
    let handle = handle
        .map(|text| valid_handle("handle", text))
        .transpose()?;
    // All of it or nothing.
    let mut transaction = state.store.begin().await?;
    if let Some(handle) = handle.filter(|handle| *handle != user.handle) {
        rename(&mut transaction, &user, &handle).await?;
        user.handle = handle;
    }
    let email = user.email.as_deref();
    users::set_profile(&mut transaction, user.id, &user.name, email).await?;
    transaction.commit().await?;
    Ok(uncached(me(&state, &user).await?))
}

async fn rename(transaction: &mut Transaction, user: &User, to: &Handle) -> Result<(), ApiError> {
    let now = clock::now();
    if handles::renames_of_user(transaction, user.id, now).await? >= handles::RENAMES_MAX {
        return Err(ApiError::LimitReached {
            what: "renames in 90 days",
            max: handles::RENAMES_MAX,
        });
    }
    if crate::door::is_reserved(to)
        || handles::is_taken(transaction, to, Some(user.id), now).await?
    {
        return Err(ApiError::HandleTaken(to.to_string()));
    }
    users::rename(transaction, user.id, &user.handle, to, now).await?;
    tracing::info!(from = %user.handle, %to, "renames an account");
    Ok(())
}

/// The passwords of a change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The one in force.
    current: String,
    /// The one to be.
    #[schema(min_length = 10)]
    new: String,
}

/// Changes the caller's password; every other session ends.
#[utoipa::path(
    post,
    path = "/api/v1/account/password",
    tag = "account",
    security(("session" = [])),
    request_body = PasswordChange,
    responses(
        (status = 204, description = "Changed."),
        (status = 429, description = "Too many attempts.", body = ErrorBody),
        WithBody,
        Guarded,
    )
)]
pub async fn change_password(
    State(state): State<AppState>,
    AskedBy(client): AskedBy,
    caller: Caller,
    Body(change): Body<PasswordChange>,
) -> Result<StatusCode, ApiError> {
    let session = caller.session()?;
    state
        .door
        .change_password(&caller.user, session, change.current, change.new, &client)
        .await?;
    state.forget_first_password(&caller.user.handle);
    Ok(StatusCode::NO_CONTENT)
}

/// Accepts to moderate a channel.
#[utoipa::path(
    put,
    path = "/api/v1/account/moderates/{handle}",
    tag = "account",
    security(("session" = [])),
    params(("handle" = String, Path, description = "The channel's handle.", example = "stage")),
    responses(
        (status = 200, description = "The account.", body = Me),
        (status = 404, description = "No such channel, or nobody asked.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn accept_post(
    State(state): State<AppState>,
    caller: Caller,
    HandlePath(handle): HandlePath,
) -> Result<impl IntoResponse, ApiError> {
    caller.session()?;
    let channel = find_channel(&state, &handle).await?;
    let asked = state
        .store
        .accept_post(caller.user.id, channel.id, clock::now())
        .await?;
    if !asked {
        return Err(ApiError::NoSuch("invitation"));
    }
    Ok(uncached(me(&state, &caller.user).await?))
}

/// Ends moderating a channel, or declines to begin.
#[utoipa::path(
    delete,
    path = "/api/v1/account/moderates/{handle}",
    tag = "account",
    security(("session" = [])),
    params(("handle" = String, Path, description = "The channel's handle.", example = "stage")),
    responses(
        (status = 200, description = "The account.", body = Me),
        (status = 404, description = "No such channel, or not its moderator.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn leave_post(
    State(state): State<AppState>,
    caller: Caller,
    HandlePath(handle): HandlePath,
) -> Result<impl IntoResponse, ApiError> {
    caller.session()?;
    let channel = find_channel(&state, &handle).await?;
    if !state
        .store
        .remove_moderator(channel.id, caller.user.id)
        .await?
    {
        return Err(ApiError::NoSuch("moderator"));
    }
    Ok(uncached(me(&state, &caller.user).await?))
}
