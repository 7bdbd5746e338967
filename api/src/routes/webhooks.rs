//! Webhooks of channels.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use jiff::Timestamp;
use kit::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::AppState;
use super::request::{Body, HandleAndId, HandlePath};
use super::streams::{find_channel, timestamp, uncached};
use crate::door::Caller;
use crate::error::{ApiError, ErrorBody, Guarded, WithBody};
use crate::store::channels::Channel;
use crate::store::webhooks::{self, Delivery, Webhook};
use crate::unfit::Unfit;
use crate::webhooks::Kind;
use crate::webhooks::signature::Secret;

/// An address that is told what happens to a channel.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookView {
    /// Its identity.
    id: String,
    /// Where it is.
    #[schema(example = "https://example.org/barrage")]
    url: String,
    /// What it is told.
    events: Vec<Kind>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Since when nothing was delivered that was tried.
    #[schema(value_type = Option<String>, format = DateTime)]
    failing_since: Option<Timestamp>,
    /// Whether it is told nothing any more. A test that it answers enables it again.
    disabled: Option<DisabledView>,
    /// Deliveries that wait.
    waiting: i64,
    /// Danmaku that it was not told of because too many deliveries waited.
    dropped: i64,
}

/// Why a webhook is told nothing.
#[derive(Debug, Serialize, ToSchema)]
pub struct DisabledView {
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// `failing`: nothing was delivered for days. `gone`: it answered 410.
    #[schema(example = "failing")]
    why: String,
}

/// A webhook that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShownWebhook {
    /// What its deliveries are signed with. It is shown this once.
    #[schema(example = "whsec_…")]
    secret: String,
    /// What it is.
    webhook: WebhookView,
}

/// What makes a webhook.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    /// Where it is: `https://…` or `http://…`.
    #[schema(example = "https://example.org/barrage")]
    url: String,
    /// What it is to be told.
    events: Vec<Kind>,
}

/// Something that a webhook was told or is to be told.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryView {
    /// Its identity, `webhook-id`; the same however often it is tried.
    id: String,
    /// What it is about.
    #[serde(rename = "type")]
    #[schema(example = "danmaku.sent")]
    kind: String,
    /// How many events are in it.
    events: i64,
    /// How it stands.
    state: DeliveryState,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    made_at: Timestamp,
    /// How often it was tried.
    attempts: i64,
    /// When it was tried last.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_at: Option<Timestamp>,
    /// The status of the last answer.
    last_status: Option<i64>,
    /// Why there was no answer the last time: `bad_address`, `secret_lost`, `no_such_name`,
    /// `private_address`, `no_connection`, `tls`, `broken`, `not_http` or `timeout`.
    #[schema(example = "timeout")]
    last_error: Option<String>,
    /// When it is tried next.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_at: Option<Timestamp>,
}

/// How a delivery stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// It is to be tried, for the first time or again.
    Waiting,
    /// The receiver has it.
    Delivered,
    /// It was given up.
    Failed,
}

impl From<&Delivery> for DeliveryView {
    fn from(delivery: &Delivery) -> Self {
        Self {
            id: delivery.id.to_string(),
            kind: delivery.kind.clone(),
            events: delivery.events,
            state: match (delivery.delivered_at, delivery.next_at) {
                (Some(_), _) => DeliveryState::Delivered,
                (None, Some(_)) => DeliveryState::Waiting,
                (None, None) => DeliveryState::Failed,
            },
            made_at: timestamp(delivery.made_at),
            attempts: delivery.attempts,
            last_at: delivery.last_at.map(timestamp),
            last_status: delivery.last_status,
            last_error: delivery.last_error.clone(),
            next_at: delivery.next_at.map(timestamp),
        }
    }
}

fn view(webhook: &Webhook, waiting: i64) -> WebhookView {
    WebhookView {
        id: webhook.id.to_string(),
        url: webhook.url.clone(),
        events: webhook.events.clone(),
        created_at: timestamp(webhook.created_at),
        failing_since: webhook.failing_since.map(timestamp),
        disabled: webhook.disabled.as_ref().map(|(at, why)| DisabledView {
            at: timestamp(*at),
            why: why.clone(),
        }),
        waiting,
        dropped: webhook.dropped,
    }
}

async fn owned(state: &AppState, caller: &Caller, handle: &str) -> Result<Channel, ApiError> {
    let channel = find_channel(state, handle).await?;
    caller.require_owner(&channel)?;
    Ok(channel)
}

async fn owned_webhook(
    state: &AppState,
    caller: &Caller,
    handle: &str,
    id: Uuid,
) -> Result<Webhook, ApiError> {
    let channel = owned(state, caller, handle).await?;
    let webhook = state.store.webhook(channel.id, id).await?;
    webhook.ok_or(ApiError::NoSuch("webhook"))
}

/// The webhooks of a channel, oldest first, without their secrets.
#[utoipa::path(
    get,
    path = "/api/v1/channels/{handle}/webhooks",
    tag = "webhooks",
    security(("session" = []), ("token" = ["channel"]), ("token" = ["operator"])),
    params(("handle" = String, Path, description = "The channel's handle.", example = "stage")),
    responses(
        (status = 200, description = "The webhooks.", body = Vec<WebhookView>),
        (status = 404, description = "No such channel.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn list(
    State(state): State<AppState>,
    caller: Caller,
    HandlePath(handle): HandlePath,
) -> Result<impl IntoResponse, ApiError> {
    let channel = owned(&state, &caller, &handle).await?;
    let webhooks = state.store.webhooks(channel.id).await?;
    let waiting = state.store.waiting_deliveries(channel.id).await?;
    let waiting_of = |id: Uuid| {
        let found = waiting.iter().find(|(webhook, _)| *webhook == id);
        found.map_or(0, |(_, count)| *count)
    };
    let views = webhooks
        .iter()
        .map(|webhook| view(webhook, waiting_of(webhook.id)));
    Ok(uncached(views.collect::<Vec<_>>()))
}

/// Makes a webhook: what happens to the channel is sent there by POST, signed as Standard Webhooks has
/// it. docs/webhooks.md tells the rest.
#[utoipa::path(
    post,
    path = "/api/v1/channels/{handle}/webhooks",
    tag = "webhooks",
    security(("session" = []), ("token" = ["channel"]), ("token" = ["operator"])),
    params(("handle" = String, Path, description = "The channel's handle.", example = "stage")),
    request_body = NewWebhook,
    responses(
        (status = 201, description = "The webhook, and its secret.", body = ShownWebhook),
        (status = 404, description = "No such channel.", body = ErrorBody),
        (status = 409, description = "There are too many.", body = ErrorBody),
        WithBody,
        Guarded,
    )
)]
pub async fn make(
    State(state): State<AppState>,
    caller: Caller,
    HandlePath(handle): HandlePath,
    Body(new): Body<NewWebhook>,
) -> Result<impl IntoResponse, ApiError> {
    let channel = owned(&state, &caller, &handle).await?;
    let url = new.url.trim();
    state
        .webhooks
        .check(url)
        .map_err(|why| ApiError::invalid("url", why))?;
    let events = valid_events(new.events)?;
    let (id, secret) = (Uuid::now_v7(), Secret::generate());
    let webhook = Webhook {
        id,
        channel: channel.id,
        url: url.to_owned(),
        events,
        sealed: state.server_key.seal(&secret.to_hex(), &id.to_string()),
        created_at: clock::now(),
        failing_since: None,
        disabled: None,
        dropped: 0,
    };
    let mut transaction = state.store.begin().await?;
    let max = state.webhooks.per_channel();
    if webhooks::count_of(&mut transaction, channel.id).await? >= max {
        return Err(ApiError::LimitReached {
            what: "webhooks",
            max,
        });
    }
    webhooks::insert(&mut transaction, &webhook).await?;
    transaction.commit().await?;
    state.webhooks.look_again().await?;
    tracing::info!(channel = %channel.handle, webhook.id = %id, by = %caller, "made a webhook");
    Ok((
        StatusCode::CREATED,
        uncached(ShownWebhook {
            secret: secret.shown(),
            webhook: view(&webhook, 0),
        }),
    ))
}

fn valid_events(events: Vec<Kind>) -> Result<Vec<Kind>, ApiError> {
    let mut wanted = Vec::new();
    for event in events {
        // Nobody is told of tests but who asks for one.
        if event != Kind::Test && !wanted.contains(&event) {
            wanted.push(event);
        }
    }
    if wanted.is_empty() {
        return Err(ApiError::invalid("events", Unfit::Empty));
    }
    Ok(wanted)
}

/// Removes a webhook. What waits for it is not sent.
#[utoipa::path(
    delete,
    path = "/api/v1/channels/{handle}/webhooks/{id}",
    tag = "webhooks",
    security(("session" = []), ("token" = ["channel"]), ("token" = ["operator"])),
    params(
        ("handle" = String, Path, description = "The channel's handle.", example = "stage"),
        ("id" = String, Path, description = "The webhook's identity."),
    ),
    responses(
        (status = 204, description = "Removed."),
        (status = 404, description = "No such channel or webhook.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn remove(
    State(state): State<AppState>,
    caller: Caller,
    HandleAndId(handle, id): HandleAndId,
) -> Result<StatusCode, ApiError> {
    let channel = owned(&state, &caller, &handle).await?;
    let mut transaction = state.store.begin().await?;
    let was_there = webhooks::remove(&mut transaction, channel.id, id).await?;
    transaction.commit().await?;
    if !was_there {
        return Err(ApiError::NoSuch("webhook"));
    }
    state.webhooks.look_again().await?;
    tracing::info!(channel = %channel.handle, webhook.id = %id, by = %caller, "removed a webhook");
    Ok(StatusCode::NO_CONTENT)
}

/// The last hundred deliveries of a webhook, newest first. What is over is listed for a week.
#[utoipa::path(
    get,
    path = "/api/v1/channels/{handle}/webhooks/{id}/deliveries",
    tag = "webhooks",
    security(("session" = []), ("token" = ["channel"]), ("token" = ["operator"])),
    params(
        ("handle" = String, Path, description = "The channel's handle.", example = "stage"),
        ("id" = String, Path, description = "The webhook's identity."),
    ),
    responses(
        (status = 200, description = "The deliveries.", body = Vec<DeliveryView>),
        (status = 404, description = "No such channel or webhook.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn deliveries(
    State(state): State<AppState>,
    caller: Caller,
    HandleAndId(handle, id): HandleAndId,
) -> Result<impl IntoResponse, ApiError> {
    let webhook = owned_webhook(&state, &caller, &handle, id).await?;
    let deliveries = state.store.deliveries(webhook.id).await?;
    let views = deliveries.iter().map(DeliveryView::from);
    Ok(uncached(views.collect::<Vec<_>>()))
}

/// Sends a webhook something to test it, once and at once, and tells how it went. A webhook that was
/// disabled and answers is enabled again.
#[utoipa::path(
    post,
    path = "/api/v1/channels/{handle}/webhooks/{id}/test",
    tag = "webhooks",
    security(("session" = []), ("token" = ["channel"]), ("token" = ["operator"])),
    params(
        ("handle" = String, Path, description = "The channel's handle.", example = "stage"),
        ("id" = String, Path, description = "The webhook's identity."),
    ),
    responses(
        (status = 200, description = "How it went.", body = DeliveryView),
        (status = 404, description = "No such channel or webhook.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn test(
    State(state): State<AppState>,
    caller: Caller,
    HandleAndId(handle, id): HandleAndId,
) -> Result<impl IntoResponse, ApiError> {
    let webhook = owned_webhook(&state, &caller, &handle, id).await?;
    let sent = state.webhooks.test(&webhook).await?.ok_or(ApiError::Busy)?;
    let delivery = state.store.delivery(webhook.id, sent).await?;
    let delivery = delivery.ok_or(ApiError::NoSuch("webhook"))?;
    Ok(uncached(DeliveryView::from(&delivery)))
}
