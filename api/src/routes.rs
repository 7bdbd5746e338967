//! The routes and their OpenAPI description.

pub mod account;
pub mod admin;
pub mod channels;
pub mod earnings;
pub mod emotes;
pub mod follows;
pub mod gifts;
pub mod health;
pub mod moderators;
pub mod money;
pub mod openapi;
pub mod payments;
pub mod problems;
pub mod recoveries;
pub mod request;
pub mod rooms;
pub mod session;
pub mod stream_keys;
pub mod streams;
pub mod tokens;
pub mod wallet;
pub mod webhooks;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, patch, post, put};
use kit::bus::Bus;
use kit::drain::Drain;
use kit::stream::Streams;
use kit::telemetry::Metrics;
use kit::tls::Certificate;
use media::WallTime;
use wire::Handle;

use crate::delivery::Delivery;
use crate::door::Door;
use crate::emotes::Emotes;
use crate::error::ApiError;
use crate::first_run;
use crate::giving::Giving;
use crate::mail::Mailer;
use crate::payments::Payments;
use crate::publishers::Publishers;
use crate::rooms::Rooms;
use crate::secrets::ServerKey;
use crate::store::Store;
use crate::thumbnails::Thumbnails;
use crate::unfit::Unfit;
use crate::watched::Watched;
use crate::webhooks::Webhooks;

/// What the routes work on.
#[derive(Clone)]
pub struct AppState {
    /// The database.
    pub store: Store,
    /// The server's own key.
    pub server_key: ServerKey,
    /// Who comes in.
    pub door: Arc<Door>,
    /// Sends mail, if it is configured.
    pub mailer: Option<Mailer>,
    /// What is live.
    pub streams: Arc<Streams>,
    /// The channels that are live, for when the database does not answer.
    pub watched: Arc<Watched>,
    /// Still pictures of it.
    pub thumbnails: Arc<Thumbnails>,
    /// Pictures of emotes.
    pub emotes: Arc<Emotes>,
    /// Takes what is given to the ledger.
    pub giving: Arc<Giving>,
    /// Tells other programs what happens.
    pub webhooks: Arc<Webhooks>,
    /// Coins are bought with it.
    pub payments: Arc<Payments>,
    /// Where others hear of what changes.
    pub bus: Bus,
    /// Who takes publishers.
    pub publishers: Arc<dyn Publishers>,
    /// Who serves viewers.
    pub delivery: Arc<dyn Delivery>,
    /// What people say to each other.
    pub rooms: Arc<dyn Rooms>,
    /// What is counted.
    pub metrics: Metrics,
    /// Who may read it, besides operators: see `http.metrics`.
    pub metrics_open: bool,
    /// Whether the server ends.
    pub drain: Drain,
    /// The address that people open, without a slash at the end, if it is configured.
    pub public_url: Option<String>,
    /// The configuration in force, without secrets.
    pub config: Arc<serde_json::Value>,
    /// Where the server keeps its files.
    pub data_dir: Arc<PathBuf>,
    /// The port that publishers connect to by RTMP.
    pub rtmp_port: u16,
    /// The port of https, if that is on.
    pub https_port: Option<u16>,
    /// What it does over WebRTC.
    pub webrtc: problems::Webrtc,
    /// The certificate of the https listener, if that is on.
    pub certificate: Option<Arc<Certificate>>,
    /// When the server was started.
    pub started_at: WallTime,
}

impl AppState {
    /// Removes what the first start told of this person's password, which is another now.
    fn forget_first_password(&self, handle: &Handle) {
        if let Err(error) = first_run::forget_password_of(&self.data_dir, handle) {
            tracing::warn!(%error, "failed to remove the first password's file");
        }
    }
}

/// Every route of the API, and the routes that operators' tools ask.
pub fn router(state: AppState) -> Router {
    Router::new()
        .merge(public())
        .merge(accounts())
        .merge(owners())
        .merge(money())
        .merge(wallets())
        .merge(operators())
        .route("/api/openapi.json", get(openapi::show))
        .route("/api", get(nothing_here))
        .route("/api/", get(nothing_here))
        .route("/api/{*rest}", get(nothing_here))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .with_state(state)
}

fn public() -> Router<AppState> {
    Router::new()
        .route("/api/v1/streams", get(streams::list))
        .route("/api/v1/streams/{handle}", get(streams::show))
        .route(
            "/api/v1/streams/{handle}/thumbnail.jpg",
            get(streams::show_thumbnail),
        )
        .route("/emotes/{id}", get(emotes::show_picture))
        .route("/api/v1/entrance", get(account::entrance))
        .route("/api/v1/rooms/{handle}/token", post(rooms::make_token))
        .route("/api/v1/rooms/{handle}/people", get(rooms::people))
        .route(
            "/api/v1/rooms/{handle}/danmaku",
            get(rooms::replay).post(rooms::say),
        )
        .route("/api/v1/recoveries", post(recoveries::lost_password))
        .route("/api/v1/recoveries/use", post(recoveries::recover))
}

fn accounts() -> Router<AppState> {
    Router::new()
        .route(
            "/api/v1/session",
            post(session::sign_in).delete(session::sign_out),
        )
        .route(
            "/api/v1/account",
            get(account::show)
                .post(account::sign_up)
                .patch(account::change),
        )
        .route("/api/v1/account/password", post(account::change_password))
        .route(
            "/api/v1/account/sessions",
            get(session::sessions).delete(session::end_other_sessions),
        )
        .route(
            "/api/v1/account/sessions/{id}",
            delete(session::end_session),
        )
        .route(
            "/api/v1/account/tokens",
            get(tokens::tokens).post(tokens::make_token),
        )
        .route("/api/v1/account/tokens/{id}", delete(tokens::end_token))
        .route(
            "/api/v1/account/moderates/{handle}",
            put(account::accept_post).delete(account::leave_post),
        )
}

fn owners() -> Router<AppState> {
    Router::new()
        .route("/api/v1/channels", post(channels::make))
        .route(
            "/api/v1/channels/{handle}",
            get(channels::show).patch(channels::change),
        )
        .route(
            "/api/v1/channels/{handle}/broadcasts",
            get(channels::broadcasts),
        )
        .route(
            "/api/v1/channels/{handle}/keys",
            get(stream_keys::list).post(stream_keys::make),
        )
        .route(
            "/api/v1/channels/{handle}/keys/{id}",
            get(stream_keys::show).delete(stream_keys::revoke),
        )
        .route(
            "/api/v1/channels/{handle}/keys/{id}/rotate",
            post(stream_keys::rotate),
        )
        .route(
            "/api/v1/channels/{handle}/moderators",
            get(moderators::list),
        )
        .route(
            "/api/v1/channels/{handle}/moderators/{member}",
            put(moderators::invite).delete(moderators::remove),
        )
        .route(
            "/api/v1/channels/{handle}/follow",
            get(follows::show)
                .put(follows::follow)
                .delete(follows::unfollow),
        )
        .route("/api/v1/account/follows", get(follows::list))
        .route(
            "/api/v1/channels/{handle}/emotes",
            get(emotes::list).post(emotes::upload),
        )
        .route(
            "/api/v1/channels/{handle}/emotes/{code}",
            delete(emotes::delete),
        )
        .route(
            "/api/v1/channels/{handle}/webhooks",
            get(webhooks::list).post(webhooks::make),
        )
        .route(
            "/api/v1/channels/{handle}/webhooks/{id}",
            delete(webhooks::remove),
        )
        .route(
            "/api/v1/channels/{handle}/webhooks/{id}/deliveries",
            get(webhooks::deliveries),
        )
        .route(
            "/api/v1/channels/{handle}/webhooks/{id}/test",
            post(webhooks::test),
        )
        .route("/api/v1/streams/{handle}/end", post(admin::end_stream))
}

fn money() -> Router<AppState> {
    Router::new()
        .route("/api/v1/gifts", get(gifts::list))
        .route("/api/v1/rooms/{handle}/gifts", post(gifts::give))
        .route("/api/v1/wallet", get(wallet::show))
        .route("/api/v1/wallet/history", get(wallet::history))
        .route("/api/v1/channels/{handle}/earnings", get(earnings::show))
        .route(
            "/api/v1/channels/{handle}/earnings/lines",
            get(earnings::lines),
        )
        .route("/api/v1/admin/gifts", get(gifts::all).post(gifts::add))
        .route("/api/v1/admin/gifts/{id}", patch(gifts::change))
        .route("/api/v1/admin/money/notes", get(money::notes))
        .route("/api/v1/admin/money/reversals", post(money::take_back))
        .route("/api/v1/admin/wallets/{handle}", get(money::show))
        .route("/api/v1/admin/wallets/{handle}/freeze", post(money::freeze))
        .route(
            "/api/v1/admin/wallets/{handle}/unfreeze",
            post(money::unfreeze),
        )
        .route(
            "/api/v1/admin/channels/{handle}/contract",
            get(money::contract).put(money::agree),
        )
        .route(
            "/api/v1/admin/agencies",
            get(money::agencies).post(money::add_agency),
        )
}

fn wallets() -> Router<AppState> {
    Router::new()
        .route(
            "/api/v1/wallet/top-ups",
            get(payments::list).post(payments::make),
        )
        .route("/api/v1/wallet/top-ups/{id}", get(payments::show))
        .route(
            "/api/v1/payments/sandbox/{id}",
            get(payments::show_sandbox).post(payments::answer_sandbox),
        )
        .route(
            "/api/v1/payments/stripe/events",
            post(payments::hear_stripe),
        )
        .route(
            "/api/v1/admin/money/payments/{id}/refund",
            post(payments::refund),
        )
}

fn operators() -> Router<AppState> {
    Router::new()
        .route(
            "/api/v1/admin/users",
            get(admin::users).post(admin::make_user),
        )
        .route("/api/v1/admin/users/{handle}", patch(admin::change_user))
        .route(
            "/api/v1/admin/users/{handle}/recovery",
            post(admin::issue_recovery),
        )
        .route("/api/v1/admin/channels", get(admin::channels))
        .route("/api/v1/admin/config", get(admin::config))
        .route("/api/v1/admin/health", get(admin::health))
        .route("/api/v1/admin/webrtc", get(admin::webrtc))
        .route("/api/v1/admin/webrtc/{session}", get(admin::webrtc_session))
}

/// A handle that somebody wants to have.
fn valid_handle(field: &'static str, text: &str) -> Result<Handle, ApiError> {
    text.trim()
        .parse()
        .map_err(|error| ApiError::invalid(field, Unfit::Handle(error)))
}

async fn nothing_here() -> ApiError {
    ApiError::NotFound
}
