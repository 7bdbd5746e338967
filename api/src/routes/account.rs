//! One's own account: signing up, its profile, password, sessions and API tokens.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use jiff::Timestamp;
use kit::client::Client;
use kit::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use wire::Handle;

use super::request::{
    Body, From, HandlePath, IdPath, PLAIN_COOKIE, SECURE_COOKIE, check_same_origin,
};
use super::streams::{find_channel, timestamp, uncached};
use super::{AppState, valid_handle};
use crate::door::{Caller, Means, SignUp, email_or_database};
use crate::error::{ApiError, ErrorBody, Guarded, WithBody};
use crate::mail::Mailer;
use crate::scope::{Scope, Scopes};
use crate::secrets::SecretKind;
use crate::store::tokens::Token;
use crate::store::users::{Role, User, normal_email};
use crate::store::{handles, tokens, users};
use crate::text;

/// How long a session's cookie is kept; the server may end the session before.
const COOKIE_MAX_AGE_S: u64 = 180 * 24 * 60 * 60;

/// Tokens a person may have.
const TOKENS_MAX: i64 = 100;

/// Longest life that can be asked for a token.
const TOKEN_DAYS_MAX: u32 = 3650;

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

/// What opens an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Its handle.
    handle: String,
    /// Its password.
    password: String,
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
}

async fn me(state: &AppState, user: &User) -> Result<Me, ApiError> {
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

fn agent(headers: &HeaderMap) -> &str {
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

fn with_cookie(client: &Client, token: &str, body: impl IntoResponse) -> Response {
    let cookie = cookie(client, token, COOKIE_MAX_AGE_S);
    (AppendHeaders([(header::SET_COOKIE, cookie)]), body).into_response()
}

fn email(text: Option<&str>) -> Result<Option<String>, ApiError> {
    let Some(text) = text.map(normal_email).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if text.len() > 254 || !Mailer::is_address(&text) {
        return Err(ApiError::invalid("email", "This is no e-mail address."));
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
        (status = 409, description = "The handle or e-mail address is taken.", body = ErrorBody),
        (status = 429, description = "Too many attempts.", body = ErrorBody),
        (status = 503, description = "The server or its database is busy.", body = ErrorBody),
        WithBody,
    )
)]
pub async fn sign_up(
    State(state): State<AppState>,
    From(client): From,
    headers: HeaderMap,
    Body(new): Body<NewAccount>,
) -> Result<Response, ApiError> {
    check_same_origin(&axum::http::Method::POST, &headers, &client)?;
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
    From(client): From,
    headers: HeaderMap,
    Body(credentials): Body<Credentials>,
) -> Result<Response, ApiError> {
    check_same_origin(&axum::http::Method::POST, &headers, &client)?;
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
    From(client): From,
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
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountChange {
    /// Another name to sign in with.
    handle: Option<String>,
    /// Another name for people.
    name: Option<String>,
    /// Another e-mail address; empty for none.
    email: Option<String>,
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
        (status = 409, description = "The handle or e-mail address is taken.", body = ErrorBody),
        WithBody,
        Guarded,
    )
)]
pub async fn change(
    State(state): State<AppState>,
    caller: Caller,
    Body(change): Body<AccountChange>,
) -> Result<impl IntoResponse, ApiError> {
    caller.session()?;
    let mut user = caller.user;
    if let Some(name) = &change.name {
        user.name = text::line("name", name, text::NAME_MAX)?;
    }
    if let Some(text) = &change.email {
        user.email = email(Some(text))?;
    }
    if let Some(handle) = &change.handle {
        let handle = valid_handle("handle", handle)?;
        if handle != user.handle {
            rename(&state, &user, &handle).await?;
            user.handle = handle;
        }
    }
    state
        .store
        .set_profile(user.id, &user.name, user.email.as_deref())
        .await
        .map_err(email_or_database)?;
    Ok(uncached(me(&state, &user).await?))
}

async fn rename(state: &AppState, user: &User, handle: &Handle) -> Result<(), ApiError> {
    let mut transaction = state.store.begin().await?;
    let now = clock::now();
    if crate::door::is_reserved(handle)
        || handles::is_taken(&mut transaction, handle, Some(user.id), now).await?
    {
        return Err(ApiError::HandleTaken(handle.to_string()));
    }
    users::rename(&mut transaction, user.id, handle).await?;
    transaction.commit().await?;
    tracing::info!(from = %user.handle, to = %handle, "renamed an account");
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
    From(client): From,
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

/// A token, as its owner sees it.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenView {
    /// Its identity, which opens nothing.
    id: String,
    /// What its owner calls it.
    name: String,
    /// What it may do.
    scopes: Vec<Scope>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it ends by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
}

impl std::convert::From<&Token> for TokenView {
    fn from(token: &Token) -> Self {
        Self {
            id: token.id.to_string(),
            name: token.name.clone(),
            scopes: Scopes::parse(&token.scopes).iter().collect(),
            created_at: timestamp(token.created_at),
            expires_at: token.expires_at.map(timestamp),
            last_used_at: token.last_used_at.map(timestamp),
        }
    }
}

/// What makes a token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What to call it.
    #[schema(example = "title bot", max_length = 50)]
    name: String,
    /// What it may do.
    scopes: Vec<Scope>,
    /// Days until it ends by itself; never, if left out.
    #[schema(minimum = 1, maximum = 3650)]
    days: Option<u32>,
}

/// A new token.
#[derive(Debug, Serialize, ToSchema)]
pub struct MadeToken {
    /// The secret, shown this once: `Authorization: Bearer …`.
    #[schema(example = "bt_…")]
    secret: String,
    /// What it is.
    token: TokenView,
}

/// The caller's API tokens, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/account/tokens",
    tag = "account",
    security(("session" = [])),
    responses(
        (status = 200, description = "The tokens, without their secrets.", body = Vec<TokenView>),
        Guarded,
    )
)]
pub async fn tokens(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<impl IntoResponse, ApiError> {
    caller.session()?;
    let tokens = state.store.tokens(caller.user.id).await?;
    Ok(uncached(
        tokens.iter().map(TokenView::from).collect::<Vec<_>>(),
    ))
}

/// Makes an API token.
#[utoipa::path(
    post,
    path = "/api/v1/account/tokens",
    tag = "account",
    security(("session" = [])),
    request_body = NewToken,
    responses(
        (status = 201, description = "The token, with its secret this once.", body = MadeToken),
        (status = 409, description = "There are too many.", body = ErrorBody),
        WithBody,
        Guarded,
    )
)]
pub async fn make_token(
    State(state): State<AppState>,
    caller: Caller,
    Body(new): Body<NewToken>,
) -> Result<impl IntoResponse, ApiError> {
    caller.session()?;
    let name = text::some_line("name", &new.name, text::NAME_MAX)?;
    let scopes: Scopes = new.scopes.into_iter().collect();
    if scopes.iter().next().is_none() {
        return Err(ApiError::invalid("scopes", "Choose at least one."));
    }
    if scopes.iter().any(|scope| scope == Scope::Operator) {
        caller.require(Scope::Operator)?;
    }
    if new
        .days
        .is_some_and(|days| !(1..=TOKEN_DAYS_MAX).contains(&days))
    {
        return Err(ApiError::invalid(
            "days",
            format!("Between 1 and {TOKEN_DAYS_MAX}, please."),
        ));
    }
    let (now, secret) = (clock::now(), SecretKind::ApiToken.generate());
    let token = Token {
        id: Uuid::now_v7(),
        owner: caller.user.id,
        name,
        scopes: scopes.to_string(),
        created_at: now,
        expires_at: new.days.map(|days| {
            media::WallTime::from_micros(now.as_micros() + i64::from(days) * 86_400_000_000)
        }),
        last_used_at: None,
    };
    let mut transaction = state.store.begin().await?;
    if tokens::count_of(&mut transaction, caller.user.id).await? >= TOKENS_MAX {
        return Err(ApiError::LimitReached {
            what: "tokens",
            max: TOKENS_MAX,
        });
    }
    let lookup = state.server_key.lookup(SecretKind::ApiToken, &secret);
    tokens::insert(&mut transaction, &token, &lookup).await?;
    transaction.commit().await?;
    let token = TokenView::from(&token);
    Ok((StatusCode::CREATED, uncached(MadeToken { secret, token })))
}

/// Ends one of the caller's API tokens.
#[utoipa::path(
    delete,
    path = "/api/v1/account/tokens/{id}",
    tag = "account",
    security(("session" = [])),
    params(("id" = String, Path, description = "The token's identity.")),
    responses(
        (status = 204, description = "Ended."),
        (status = 404, description = "No such token.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn end_token(
    State(state): State<AppState>,
    caller: Caller,
    IdPath(id): IdPath,
) -> Result<StatusCode, ApiError> {
    caller.session()?;
    if !state.store.end_token(caller.user.id, id).await? {
        return Err(ApiError::NoSuch("token"));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Whose password is lost.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LostPassword {
    /// The account's e-mail address.
    email: String,
}

/// Sends a recovery link to an account's e-mail address. The answer does not tell whether there
/// is one.
#[utoipa::path(
    post,
    path = "/api/v1/recoveries",
    tag = "account",
    request_body = LostPassword,
    responses(
        (status = 202, description = "If an account has this address, a link is on its way."),
        (status = 403, description = "A page of another site asks.", body = ErrorBody),
        (status = 404, description = "This server sends no mail; its operator can issue a link.", body = ErrorBody),
        (status = 429, description = "Too many attempts.", body = ErrorBody),
        (status = 503, description = "The database does not answer.", body = ErrorBody),
        WithBody,
    )
)]
pub async fn lost_password(
    State(state): State<AppState>,
    From(client): From,
    headers: HeaderMap,
    Body(lost): Body<LostPassword>,
) -> Result<StatusCode, ApiError> {
    check_same_origin(&axum::http::Method::POST, &headers, &client)?;
    if state.mailer.is_none() {
        return Err(ApiError::NoSuch(
            "way to recover a password here; ask the server's operator for a link",
        ));
    }
    state.door.attempt(&client)?;
    // By itself, so that the answer takes as long with an account as without.
    tokio::spawn(async move {
        if let Err(error) = mail_recovery(&state, &lost.email).await {
            tracing::error!(%error, "failed to make a recovery link");
        }
    });
    Ok(StatusCode::ACCEPTED)
}

async fn mail_recovery(state: &AppState, email: &str) -> Result<(), ApiError> {
    let user = state.store.user_by_email(&normal_email(email)).await?;
    // Only the configured address: who asks could claim any other in their request.
    let (Some(mailer), Some(origin), Some(user)) = (&state.mailer, &state.public_url, user) else {
        return Ok(());
    };
    let Some(to) = user.email.as_deref().filter(|_| user.disabled.is_none()) else {
        return Ok(());
    };
    let (secret, _) = state.door.issue_recovery(user.id, false).await?;
    let link = recovery_link(origin, &secret);
    let text = format!(
        "Somebody, hopefully you, asked to set a new password for @{}.\n\n\
         Open this link within one hour to do so:\n{link}\n\n\
         If it was not you, nothing needs to be done: the link works only from this mail.\n\n\
         有人（希望是您本人）请求为 @{} 设置新密码。\n\
         请在一小时内打开上面的链接。如果不是您本人，请忽略这封邮件。\n",
        user.handle, user.handle
    );
    mailer.send(to, "A new password for Barrage · 重设密码", text);
    Ok(())
}

/// The secret stands after the `#`: browsers do not send that part, so no log along the way has it.
pub(super) fn recovery_link(origin: &str, secret: &str) -> String {
    format!("{origin}/recover#{secret}")
}

/// A link and the password it shall set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// What stands after the # of the link.
    #[schema(example = "br_…")]
    secret: String,
    /// The password to be.
    #[schema(min_length = 10)]
    password: String,
}

/// Sets a password by a recovery link. Every session and API token of the account ends.
#[utoipa::path(
    post,
    path = "/api/v1/recoveries/use",
    tag = "account",
    request_body = Recovery,
    responses(
        (status = 200, description = "The account, to be signed in to.", body = Recovered),
        (status = 403, description = "A page of another site asks.", body = ErrorBody),
        (status = 410, description = "The link does not work any more.", body = ErrorBody),
        (status = 429, description = "Too many attempts.", body = ErrorBody),
        (status = 503, description = "The server or its database is busy.", body = ErrorBody),
        WithBody,
    )
)]
pub async fn recover(
    State(state): State<AppState>,
    From(client): From,
    headers: HeaderMap,
    Body(recovery): Body<Recovery>,
) -> Result<impl IntoResponse, ApiError> {
    check_same_origin(&axum::http::Method::POST, &headers, &client)?;
    let user = state
        .door
        .recover(&recovery.secret, recovery.password, &client)
        .await?;
    state.forget_first_password(&user.handle);
    Ok(uncached(Recovered {
        handle: user.handle.to_string(),
    }))
}

/// Whose password was set.
#[derive(Debug, Serialize, ToSchema)]
pub struct Recovered {
    /// The account's handle.
    handle: String,
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

/// Who is signed in, for the log.
pub(super) fn by(caller: &Caller) -> String {
    match &caller.means {
        Means::Session(_) => caller.user.handle.to_string(),
        Means::Token(_) => format!("{} (by token)", caller.user.handle),
    }
}
