//! What operators see and do: people, channels, what is live, what is in force, what we lean on.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use jiff::Timestamp;
use kit::clock;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::health::ask_database;
use super::recoveries::recovery_link;
use super::request::{AskedBy, Body, HandlePath, Params};
use super::streams::{ChannelView, find_channel, find_user, timestamp, uncached};
use super::{AppState, valid_handle};
use crate::delivery::{Peer, PeerDump};
use crate::door::Caller;
use crate::error::{ApiError, ErrorBody, Guarded, WithBody};
use crate::scope::Scope;
use crate::store::users::{self, Role, User};
use crate::store::{recoveries, sessions, tokens};
use crate::text;

/// Rows in one answer.
const PAGE: i64 = 50;

/// Which rows.
#[derive(Debug, Deserialize, IntoParams)]
pub struct Asked {
    /// Those in whose handle, name or title this stands.
    #[serde(default)]
    search: String,
    /// Those after the one of this identity; the first, if left out.
    after: Option<Uuid>,
}

impl Asked {
    fn search(&self) -> Result<String, ApiError> {
        text::line("search", &self.search, text::TITLE_MAX)
    }

    fn after<T: std::str::FromStr>(&self) -> Option<T> {
        self.after.and_then(|id| id.to_string().parse().ok())
    }
}

/// A person, as operators see them.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserView {
    /// Their identity.
    id: String,
    /// Their handle.
    handle: String,
    /// Their name; may be empty.
    name: String,
    /// Their e-mail address.
    email: Option<String>,
    /// What they may do.
    role: Role,
    /// When they came.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Why they may not sign in, if they may not.
    disabled: Option<String>,
}

impl std::convert::From<&User> for UserView {
    fn from(user: &User) -> Self {
        Self {
            id: user.id.to_string(),
            handle: user.handle.to_string(),
            name: user.name.clone(),
            email: user.email.clone(),
            role: user.role,
            created_at: timestamp(user.created_at),
            disabled: user.disabled.clone(),
        }
    }
}

/// People, in the order they came, 50 at a time.
#[utoipa::path(
    get,
    path = "/api/v1/admin/users",
    tag = "operator",
    security(("session" = []), ("token" = ["operator"])),
    params(Asked),
    responses(
        (status = 200, description = "People.", body = Vec<UserView>),
        (status = 400, description = "`after` is no identity.", body = ErrorBody),
        (status = 422, description = "`search` is too long.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn users(
    State(state): State<AppState>,
    caller: Caller,
    Params(asked): Params<Asked>,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Operator)?;
    let users = state
        .store
        .users(&asked.search()?, asked.after(), PAGE)
        .await?;
    Ok(uncached(
        users.iter().map(UserView::from).collect::<Vec<_>>(),
    ))
}

/// What can be changed of a person; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// What they may do.
    role: Option<Role>,
    /// Why they may not sign in or publish from now on; empty to let them again.
    #[schema(max_length = 200)]
    disabled: Option<String>,
}

/// Changes what a person may do. Closing an account ends its sessions, tokens and broadcast. Who
/// is or becomes an operator is not for tokens to change.
#[utoipa::path(
    patch,
    path = "/api/v1/admin/users/{handle}",
    tag = "operator",
    security(("session" = []), ("token" = ["operator"])),
    params(("handle" = String, Path, description = "The person's handle.", example = "mei")),
    request_body = UserChange,
    responses(
        (status = 200, description = "The person.", body = UserView),
        (status = 404, description = "No such person.", body = ErrorBody),
        (status = 409, description = "The server would be left without an operator.", body = ErrorBody),
        WithBody,
        Guarded,
    )
)]
pub async fn change_user(
    State(state): State<AppState>,
    caller: Caller,
    HandlePath(handle): HandlePath,
    Body(change): Body<UserChange>,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Operator)?;
    let mut user = find_user(&state, &handle).await?;
    if change.role == Some(Role::Operator) || user.role == Role::Operator {
        require_in_person(&caller)?;
    }
    let now = clock::now();
    let mut transaction = state.store.begin().await?;
    if let Some(role) = change.role {
        users::set_role(&mut transaction, user.id, role).await?;
        user.role = role;
    }
    if let Some(reason) = &change.disabled {
        let reason = text::line("disabled", reason, text::REASON_MAX)?;
        user.disabled = Some(reason).filter(|reason| !reason.is_empty());
        users::set_disabled(&mut transaction, user.id, user.disabled.as_deref(), now).await?;
        if user.disabled.is_some() {
            sessions::end_all(&mut transaction, user.id, None).await?;
            tokens::end_all(&mut transaction, user.id).await?;
            recoveries::end_all(&mut transaction, user.id).await?;
        }
    }
    if users::operators(&mut transaction).await? == 0 {
        return Err(ApiError::LastOperator);
    }
    transaction.commit().await?;
    let over = user.disabled.as_deref();
    if let Some(reason) = over.or((user.role == Role::Viewer).then_some(NO_STREAMER)) {
        for channel in state.store.channels_of(user.id).await? {
            let live = state.streams.of_channel(channel.id);
            if state.publishers.end(channel.id, reason)
                && let Some(broadcast) = live
            {
                state.store.set_end_reason(broadcast.id, reason).await?;
            }
        }
    }
    tracing::info!(
        user = %user.handle,
        role = %user.role,
        closed = user.disabled.is_some(),
        by = %caller,
        "changed an account"
    );
    Ok(uncached(UserView::from(&user)))
}

/// An account that an operator makes for somebody.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// Its handle.
    #[schema(example = "mei")]
    handle: String,
    /// What they may do; a viewer, if left out.
    role: Option<Role>,
}

/// Makes an account for somebody, also where people cannot sign up. It has no password yet: issue
/// them a recovery link.
#[utoipa::path(
    post,
    path = "/api/v1/admin/users",
    tag = "operator",
    security(("session" = []), ("token" = ["operator"])),
    request_body = NewAccount,
    responses(
        (status = 201, description = "The person.", body = UserView),
        (status = 409, description = "The handle is taken.", body = ErrorBody),
        WithBody,
        Guarded,
    )
)]
pub async fn make_user(
    State(state): State<AppState>,
    caller: Caller,
    Body(new): Body<NewAccount>,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Operator)?;
    let handle = valid_handle("handle", &new.handle)?;
    let role = new.role.unwrap_or(Role::Viewer);
    if role == Role::Operator {
        require_in_person(&caller)?;
    }
    let user = state.door.make_account(&handle, role).await?;
    tracing::info!(user = %handle, %role, by = %caller, "made an account");
    Ok((StatusCode::CREATED, uncached(UserView::from(&user))))
}

/// Whether an operator asks who is signed in. A token that makes operators or opens their accounts
/// would outlive its own end.
fn require_in_person(caller: &Caller) -> Result<(), ApiError> {
    caller.require(Scope::Operator)?;
    caller.session().map(|_| ())
}

/// What a publisher is told whose owner became a viewer.
const NO_STREAMER: &str = "The account may not broadcast any more.";

/// A link with which a person sets a password.
#[derive(Debug, Serialize, ToSchema)]
pub struct IssuedLink {
    /// To be handed over in private: whoever opens it has the account.
    #[schema(example = "https://live.example/recover#br_…")]
    link: String,
    /// When it stops working.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// Makes a link with which a person sets another password; it works once, for 48 hours. Not for
/// tokens: whoever has the link has the account.
#[utoipa::path(
    post,
    path = "/api/v1/admin/users/{handle}/recovery",
    tag = "operator",
    security(("session" = [])),
    params(("handle" = String, Path, description = "The person's handle.", example = "mei")),
    responses(
        (status = 201, description = "The link.", body = IssuedLink),
        (status = 404, description = "No such person.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn issue_recovery(
    State(state): State<AppState>,
    AskedBy(client): AskedBy,
    caller: Caller,
    HandlePath(handle): HandlePath,
) -> Result<impl IntoResponse, ApiError> {
    require_in_person(&caller)?;
    let user = find_user(&state, &handle).await?;
    let (secret, expires_at) = state.door.issue_recovery(user.id, true).await?;
    let origin = state.public_url.as_deref().or(client.origin.as_deref());
    tracing::info!(user = %user.handle, by = %caller, "issued a recovery link");
    let link = IssuedLink {
        link: recovery_link(origin.unwrap_or_default(), &secret),
        expires_at: timestamp(expires_at),
    };
    Ok((StatusCode::CREATED, uncached(link)))
}

/// A channel, as operators see it.
#[derive(Debug, Serialize, ToSchema)]
pub struct AdminChannelView {
    /// The channel.
    channel: ChannelView,
    /// Whether it is live.
    live: bool,
}

/// Channels, in the order they were made, 50 at a time.
#[utoipa::path(
    get,
    path = "/api/v1/admin/channels",
    tag = "operator",
    security(("session" = []), ("token" = ["operator"])),
    params(Asked),
    responses(
        (status = 200, description = "Channels.", body = Vec<AdminChannelView>),
        (status = 400, description = "`after` is no identity.", body = ErrorBody),
        (status = 422, description = "`search` is too long.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn channels(
    State(state): State<AppState>,
    caller: Caller,
    Params(asked): Params<Asked>,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Operator)?;
    let channels = state
        .store
        .channels(&asked.search()?, asked.after(), PAGE)
        .await?;
    let views: Vec<_> = channels
        .iter()
        .map(|channel| AdminChannelView {
            channel: channel.into(),
            live: state.streams.of_channel(channel.id).is_some(),
        })
        .collect();
    Ok(uncached(views))
}

/// Why a broadcast is ended.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EndReason {
    /// What its publisher is told, and the history keeps.
    #[schema(example = "This is not allowed here.", max_length = 200)]
    reason: String,
}

/// Ends a channel's broadcast at once. For operators, and for the channel's owner.
#[utoipa::path(
    post,
    path = "/api/v1/streams/{handle}/end",
    tag = "streams",
    security(("session" = []), ("token" = ["channel"]), ("token" = ["operator"])),
    params(("handle" = String, Path, description = "The channel's handle.", example = "stage")),
    request_body = EndReason,
    responses(
        (status = 204, description = "Ended."),
        (status = 404, description = "No such channel, or it is not live.", body = ErrorBody),
        WithBody,
        Guarded,
    )
)]
pub async fn end_stream(
    State(state): State<AppState>,
    caller: Caller,
    HandlePath(handle): HandlePath,
    Body(end): Body<EndReason>,
) -> Result<StatusCode, ApiError> {
    let channel = find_channel(&state, &handle).await?;
    caller.require_owner(&channel)?;
    let reason = text::some_line("reason", &end.reason, text::REASON_MAX)?;
    let broadcast = state
        .streams
        .of_channel(channel.id)
        .ok_or(ApiError::NotLive(handle.clone()))?;
    if !state.publishers.end(channel.id, &reason) {
        return Err(ApiError::NotLive(handle));
    }
    state.store.set_end_reason(broadcast.id, &reason).await?;
    tracing::info!(channel = %channel.handle, reason, by = %caller, "ended a broadcast");
    Ok(StatusCode::NO_CONTENT)
}

/// The configuration in force; secrets are left out.
#[utoipa::path(
    get,
    path = "/api/v1/admin/config",
    tag = "operator",
    security(("session" = []), ("token" = ["operator"])),
    responses(
        (status = 200, description = "Every setting, as barrage.example.toml names it.", body = Object),
        Guarded,
    )
)]
pub async fn config(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Operator)?;
    Ok(uncached((*state.config).clone()))
}

/// How the server does.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServerHealth {
    /// The server's release.
    version: &'static str,
    /// When it was started.
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    /// What it leans on.
    dependencies: Vec<Dependency>,
}

/// Something the server leans on.
#[derive(Debug, Serialize, ToSchema)]
pub struct Dependency {
    /// What it is.
    #[schema(example = "database")]
    name: &'static str,
    /// Which one is in use.
    #[schema(example = "SQLite")]
    kind: String,
    /// Whether it works.
    ok: bool,
    /// How long it took to answer, in microseconds.
    answered_us: Option<u64>,
    /// What is the matter with it.
    problem: Option<String>,
}

/// How the server and what it leans on do.
#[utoipa::path(
    get,
    path = "/api/v1/admin/health",
    tag = "operator",
    security(("session" = []), ("token" = ["operator"])),
    responses(
        (status = 200, description = "How they do.", body = ServerHealth),
        Guarded,
    )
)]
pub async fn health(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Operator)?;
    let mut dependencies = vec![
        database(&state).await,
        data_directory(&state),
        decoder(&state),
    ];
    dependencies.extend(certificate(&state));
    dependencies.extend(mail(&state));
    Ok(uncached(ServerHealth {
        version: env!("CARGO_PKG_VERSION"),
        started_at: timestamp(state.started_at),
        dependencies,
    }))
}

/// Most peers in one answer.
const PEERS_MAX: usize = 500;

/// Peers over WebRTC.
#[derive(Debug, Serialize, ToSchema)]
pub struct Peers {
    /// Some five hundred at most.
    peers: Vec<Peer>,
}

/// How each peer over WebRTC fares: where it is, how far, and what becomes of its packets.
#[utoipa::path(
    get,
    path = "/api/v1/admin/webrtc",
    tag = "operator",
    security(("session" = []), ("token" = ["operator"])),
    responses(
        (status = 200, description = "How they fare.", body = Peers),
        Guarded,
    )
)]
pub async fn webrtc(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Operator)?;
    Ok(uncached(Peers {
        peers: state.delivery.peers(PEERS_MAX).await,
    }))
}

/// All that is known of one peer over WebRTC: how it fares, everywhere it was heard from, and what
/// happened to its session.
#[utoipa::path(
    get,
    path = "/api/v1/admin/webrtc/{session}",
    tag = "operator",
    params(("session" = String, Path, description = "The session's name, as the list and the log have it.")),
    security(("session" = []), ("token" = ["operator"])),
    responses(
        (status = 200, description = "How it fares.", body = PeerDump),
        (status = 404, description = "No such session, or it is over.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn webrtc_session(
    State(state): State<AppState>,
    caller: Caller,
    Path(session): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Operator)?;
    let peer = state.delivery.peer(&session).await;
    let peer = peer.ok_or_else(|| ApiError::NoSuch("WebRTC session"))?;
    Ok(uncached(peer))
}

fn decoder(state: &AppState) -> Dependency {
    let (kind, problem) = match state.thumbnails.decoder() {
        Ok(version) => (version, None),
        Err(problem) => ("for thumbnails".to_owned(), Some(problem)),
    };
    Dependency {
        name: "ffmpeg",
        kind,
        ok: problem.is_none(),
        answered_us: None,
        problem,
    }
}

fn certificate(state: &AppState) -> Option<Dependency> {
    let certificate = state.certificate.as_ref()?;
    let problem = certificate.problem();
    Some(Dependency {
        name: "certificate",
        kind: certificate.file().display().to_string(),
        ok: problem.is_none(),
        answered_us: None,
        problem,
    })
}

/// What became of the last mail; another is not sent for this.
fn mail(state: &AppState) -> Option<Dependency> {
    let mailer = state.mailer.as_ref()?;
    let problem = mailer.problem();
    Some(Dependency {
        name: "mail server",
        kind: mailer.server().to_owned(),
        ok: problem.is_none(),
        answered_us: None,
        problem,
    })
}

async fn database(state: &AppState) -> Dependency {
    let (took, answer) = ask_database(state).await;
    let problem = answer.err();
    Dependency {
        name: "database",
        kind: state.store.database().engine.name().into(),
        ok: problem.is_none(),
        answered_us: u64::try_from(took.as_micros()).ok(),
        problem,
    }
}

fn data_directory(state: &AppState) -> Dependency {
    let problem = match rustix::fs::statvfs(state.data_dir.as_path()) {
        Ok(stat) => {
            let free_mb = stat.f_bavail.saturating_mul(stat.f_frsize) / 1_000_000;
            (free_mb < 100).then(|| format!("only {free_mb} MB are free"))
        }
        Err(error) => Some(error.to_string()),
    };
    Dependency {
        name: "data directory",
        kind: state.data_dir.display().to_string(),
        ok: problem.is_none(),
        answered_us: None,
        problem,
    }
}
