//! Being signed in: signing in and out, and the sessions of an account.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use jiff::Timestamp;
use kit::client::Client;
use kit::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AppState;
use super::account::{Me, me};
use super::request::{AskedBy, Body, IdPath, PLAIN_COOKIE, SECURE_COOKIE, check_same_origin};
use super::streams::{timestamp, uncached};
use crate::door::{Caller, SESSION_MAX};
use crate::error::{ApiError, ErrorBody, Guarded, WithBody};
use crate::store::sessions;

/// What opens an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Its handle.
    handle: String,
    /// Its password.
    password: String,
}

pub(super) fn agent(headers: &HeaderMap) -> &str {
    headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// Over https the cookie goes nowhere else (`__Host-`); on plain http, where that cannot be had,
/// it is at least sent from our own pages alone and hidden from scripts.
fn cookie(client: &Client, value: &str, max_age_s: u64) -> String {
    let (name, secure) = if client.is_secure() {
        (SECURE_COOKIE, "; Secure")
    } else {
        (PLAIN_COOKIE, "")
    };
    format!("{name}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}")
}

pub(super) fn with_cookie(client: &Client, token: &str, body: impl IntoResponse) -> Response {
    let cookie = cookie(client, token, SESSION_MAX.as_secs());
    (AppendHeaders([(header::SET_COOKIE, cookie)]), body).into_response()
}

/// Signs in.
#[utoipa::path(
    post,
    path = "/api/v1/session",
    tag = "account",
    request_body = Credentials,
    responses(
        (status = 200, description = "The account; its session is in the cookie.", body = Me),
        (status = 429, description = "Too many attempts.", body = ErrorBody),
        WithBody,
        Guarded,
    )
)]
pub async fn sign_in(
    State(state): State<AppState>,
    AskedBy(client): AskedBy,
    headers: HeaderMap,
    Body(credentials): Body<Credentials>,
) -> Result<Response, ApiError> {
    check_same_origin(&axum::http::Method::POST, &headers, &client, &state)?;
    let (user, token) = state
        .door
        .sign_in(
            &credentials.handle,
            credentials.password,
            &client,
            agent(&headers),
        )
        .await?;
    Ok(with_cookie(
        &client,
        &token,
        uncached(me(&state, &user).await?),
    ))
}

/// Signs out: ends the session of this request.
#[utoipa::path(
    delete,
    path = "/api/v1/session",
    tag = "account",
    security(("session" = [])),
    responses(
        (status = 204, description = "Signed out."),
        Guarded,
    )
)]
pub async fn sign_out(
    State(state): State<AppState>,
    AskedBy(client): AskedBy,
    caller: Caller,
) -> Result<Response, ApiError> {
    let session = caller.session()?;
    state.store.end_session(caller.user.id, session).await?;
    let gone = cookie(&client, "", 0);
    Ok((
        AppendHeaders([(header::SET_COOKIE, gone)]),
        StatusCode::NO_CONTENT,
    )
        .into_response())
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionView {
    /// Its identity, which opens nothing.
    id: String,
    /// Whether it is the one of this request.
    current: bool,
    /// What the browser calls itself.
    agent: String,
    /// The address that it was last used from.
    address: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was last used, to the minute.
    #[schema(value_type = String, format = DateTime)]
    last_seen_at: Timestamp,
}

/// The caller's sessions, the one used last first.
#[utoipa::path(
    get,
    path = "/api/v1/account/sessions",
    tag = "account",
    security(("session" = [])),
    responses(
        (status = 200, description = "The sessions.", body = Vec<SessionView>),
        Guarded,
    )
)]
pub async fn sessions(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<impl IntoResponse, ApiError> {
    let current = caller.session()?;
    let sessions = state.store.sessions(caller.user.id, clock::now()).await?;
    let views: Vec<_> = sessions
        .into_iter()
        .map(|session| SessionView {
            id: session.id.to_string(),
            current: session.id == current,
            agent: session.agent,
            address: session.address,
            created_at: timestamp(session.created_at),
            last_seen_at: timestamp(session.last_seen_at),
        })
        .collect();
    Ok(uncached(views))
}

/// Ends all of the caller's sessions but the one that asks.
#[utoipa::path(
    delete,
    path = "/api/v1/account/sessions",
    tag = "account",
    security(("session" = [])),
    responses(
        (status = 204, description = "They are ended."),
        Guarded,
    )
)]
pub async fn end_other_sessions(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<StatusCode, ApiError> {
    let current = caller.session()?;
    let mut transaction = state.store.begin().await?;
    sessions::end_all(&mut transaction, caller.user.id, Some(current)).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends one of the caller's sessions.
#[utoipa::path(
    delete,
    path = "/api/v1/account/sessions/{id}",
    tag = "account",
    security(("session" = [])),
    params(("id" = String, Path, description = "The session's identity.")),
    responses(
        (status = 204, description = "Ended."),
        (status = 404, description = "No such session.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn end_session(
    State(state): State<AppState>,
    caller: Caller,
    IdPath(id): IdPath,
) -> Result<StatusCode, ApiError> {
    caller.session()?;
    if !state.store.end_session(caller.user.id, id).await? {
        return Err(ApiError::NoSuch("session"));
    }
    Ok(StatusCode::NO_CONTENT)
}
