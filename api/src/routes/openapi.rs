//! The description of the API, made from the routes themselves.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::request::PLAIN_COOKIE;
use super::{
    account, admin, channels, earnings, emotes, follows, gifts, health, moderators, money,
    payments, recoveries, rooms, session, stream_keys, streams, tokens, wallet, webhooks,
};

/// The whole API.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Barrage",
        description = "Live streams, channels, the accounts behind them, and what operators ask of a server.",
    ),
    paths(
        streams::list,
        streams::show,
        streams::show_thumbnail,
        admin::end_stream,
        channels::show,
        channels::make,
        channels::change,
        channels::broadcasts,
        rooms::make_token,
        rooms::people,
        rooms::replay,
        rooms::say,
        stream_keys::list,
        stream_keys::make,
        stream_keys::show,
        stream_keys::rotate,
        stream_keys::revoke,
        follows::show,
        follows::follow,
        follows::unfollow,
        follows::list,
        emotes::list,
        emotes::upload,
        emotes::delete,
        emotes::show_picture,
        webhooks::list,
        webhooks::make,
        webhooks::remove,
        webhooks::deliveries,
        webhooks::test,
        payments::make,
        payments::list,
        payments::show,
        payments::show_sandbox,
        payments::answer_sandbox,
        payments::hear_stripe,
        payments::refund,
        moderators::list,
        moderators::invite,
        moderators::remove,
        account::entrance,
        account::sign_up,
        session::sign_in,
        session::sign_out,
        account::show,
        account::change,
        account::change_password,
        session::sessions,
        session::end_other_sessions,
        session::end_session,
        tokens::tokens,
        tokens::make_token,
        tokens::end_token,
        recoveries::lost_password,
        recoveries::recover,
        account::accept_post,
        account::leave_post,
        admin::users,
        admin::make_user,
        admin::change_user,
        admin::issue_recovery,
        admin::channels,
        admin::config,
        admin::health,
        admin::webrtc,
        admin::webrtc_session,
        gifts::list,
        gifts::give,
        gifts::all,
        gifts::add,
        gifts::change,
        wallet::show,
        wallet::history,
        earnings::show,
        earnings::lines,
        money::show,
        money::take_back,
        money::freeze,
        money::unfreeze,
        money::notes,
        money::contract,
        money::agree,
        money::agencies,
        money::add_agency,
        show,
        health::live,
        health::ready,
        health::metrics,
    ),
    modifiers(&Security),
    tags(
        (name = "streams", description = "What is live."),
        (name = "channels", description = "Channels, live or not."),
        (name = "rooms", description = "What is said in a channel's room, beside the WebSocket at /ws."),
        (name = "stream keys", description = "What opens a channel to publishers."),
        (name = "emotes", description = "Pictures that stand for a code in what is said in a channel's room."),
        (name = "webhooks", description = "Programs that are told what happens to a channel."),
        (name = "moderators", description = "Who moderates a channel."),
        (name = "account", description = "One's own account: signing up and in, password, sessions, API tokens."),
        (name = "gifts", description = "What can be given, and giving it."),
        (name = "wallet", description = "What somebody has, and how it came to that."),
        (name = "earnings", description = "What a channel earns."),
        (name = "money", description = "What operators see and do of money."),
        (name = "operator", description = "What operators see and do."),
        (name = "operation", description = "What operators' tools ask."),
    )
)]
struct Document;

/// How a caller is known.
struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let cookie = ApiKeyValue::with_description(
            PLAIN_COOKIE,
            "Signing in sets it; over https it is called __Host-barrage. Requests that change something are refused from pages of other sites.",
        );
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "An API token of one's account, or of `barrage admin seed`, with one of the scopes named. Who may change a thing may read it: any scope opens what `read` does.",
            ))
            .build();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
    }
}

/// Rendered once; it cannot change while the server runs.
static JSON: LazyLock<String> = LazyLock::new(|| {
    Document::openapi()
        .to_json()
        .expect("the description is plain data")
});

/// This description.
#[utoipa::path(
    get,
    path = "/api/openapi.json",
    tag = "operation",
    responses((status = 200, description = "OpenAPI 3.1.", body = String, content_type = "application/json"))
)]
pub async fn show() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], JSON.as_str())
}
