//! Buying coins, and what payment providers tell.

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use gifts::payment::sandbox::Outcome;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AppState;
use super::money::{note, reason};
use super::request::{Body, IdPath, Told};
use super::streams::{timestamp, uncached};
use crate::door::Caller;
use crate::error::{ApiError, ErrorBody, Guarded, WithBody};
use crate::scope::Scope;
use crate::store::top_ups::{self, TopUp};

/// Longest key of a request.
const KEY_BYTES_MAX: usize = 64;

/// Coins that somebody buys.
#[derive(Debug, Serialize, ToSchema)]
pub struct TopUpView {
    /// Its identity.
    id: String,
    /// How it stands.
    state: top_ups::State,
    /// Who takes the money: `sandbox` takes none.
    #[schema(example = "stripe")]
    provider: String,
    /// In what it is paid, a code of ISO 4217.
    #[schema(example = "CNY")]
    currency: String,
    /// What it costs, in the currency's smallest unit.
    #[schema(example = 600)]
    amount: i64,
    /// How many coins it is.
    #[schema(example = 60)]
    coins: i64,
    /// How many are given on top.
    bonus: i64,
    /// Where it can be paid, while it is open.
    checkout_url: Option<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    made_at: Timestamp,
    /// When it was paid.
    #[schema(value_type = Option<String>, format = DateTime)]
    paid_at: Option<Timestamp>,
}

impl From<&TopUp> for TopUpView {
    fn from(top_up: &TopUp) -> Self {
        let url = top_up.checkout.as_ref().map(|(_, url)| url.clone());
        Self {
            id: top_up.id.to_string(),
            state: top_up.state,
            provider: top_up.provider.clone(),
            currency: top_up.currency.to_string(),
            amount: top_up.amount,
            coins: top_up.coins,
            bonus: top_up.bonus,
            checkout_url: url.filter(|_| top_up.state == top_ups::State::Open),
            made_at: timestamp(top_up.made_at),
            paid_at: top_up.paid_at.map(timestamp),
        }
    }
}

/// Somebody's top-ups.
#[derive(Debug, Serialize, ToSchema)]
pub struct TopUpsView {
    /// Newest first.
    top_ups: Vec<TopUpView>,
}

/// What is to be bought.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTopUp {
    /// Which pack.
    #[schema(example = "6")]
    pack: String,
}

/// What becomes of a checkout in the sandbox.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SandboxAnswer {
    /// Whether it is paid.
    outcome: SandboxOutcome,
}

/// Whether a checkout in the sandbox is paid.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SandboxOutcome {
    /// It is.
    Pay,
    /// It is not.
    Decline,
}

/// Why a top-up is given back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRefund {
    /// For those who look at it later.
    #[schema(min_length = 3, max_length = 500)]
    reason: String,
    /// What kind of refund it is.
    why: RefundWhy,
}

/// What kind of refund it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RefundWhy {
    /// It was agreed to.
    Refund,
    /// Who paid was a minor.
    Minor,
}

/// What its sender calls a request, in the header `Idempotency-Key`.
#[derive(Debug)]
pub struct RequestKey(String);

impl<S: Send + Sync> FromRequestParts<S> for RequestKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let value = parts.headers.get("idempotency-key");
        let text = value.and_then(|value| value.to_str().ok());
        let is_plain = |text: &&str| {
            (1..=KEY_BYTES_MAX).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let key = text.filter(is_plain).map(|text| Self(text.to_owned()));
        key.ok_or_else(|| {
            ApiError::BadRequest(
                "Send an Idempotency-Key of 1 to 64 printable ASCII characters.".into(),
            )
        })
    }
}

/// Begins to buy a pack of coins: who pays at `checkout_url` has them soon after. The same key again is the
/// same top-up. An API token cannot do this.
#[utoipa::path(
    post,
    path = "/api/v1/wallet/top-ups",
    tag = "wallet",
    security(("session" = [])),
    params(("Idempotency-Key" = String, Header, description = "The client's name for this top-up, 1 to 64 printable ASCII characters.")),
    request_body = NewTopUp,
    responses(
        (status = 201, description = "The top-up.", body = TopUpView),
        (status = 404, description = "No such pack.", body = ErrorBody),
        (status = 409, description = "The key was used for another pack, too many top-ups are open, or the provider will not.", body = ErrorBody),
        WithBody,
        Guarded,
    )
)]
pub async fn make(
    State(state): State<AppState>,
    caller: Caller,
    RequestKey(key): RequestKey,
    Body(new): Body<NewTopUp>,
) -> Result<impl IntoResponse, ApiError> {
    caller.session()?;
    let origin = state.public_url.as_deref().unwrap_or_default();
    let top_up = state
        .payments
        .buy(caller.user.id, &new.pack, &key, origin)
        .await?;
    Ok((StatusCode::CREATED, uncached(TopUpView::from(&top_up))))
}

/// One's own top-ups, newest first, a hundred at most.
#[utoipa::path(
    get,
    path = "/api/v1/wallet/top-ups",
    tag = "wallet",
    security(("session" = []), ("token" = ["read"])),
    responses((status = 200, description = "The top-ups.", body = TopUpsView), Guarded)
)]
pub async fn list(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Read)?;
    let found = state.store.top_ups(caller.user.id).await?;
    let top_ups = found.iter().map(TopUpView::from).collect();
    Ok(uncached(TopUpsView { top_ups }))
}

/// One of one's own top-ups.
#[utoipa::path(
    get,
    path = "/api/v1/wallet/top-ups/{id}",
    tag = "wallet",
    security(("session" = []), ("token" = ["read"])),
    params(("id" = String, Path, description = "The top-up's identity.")),
    responses(
        (status = 200, description = "The top-up.", body = TopUpView),
        (status = 404, description = "No such top-up.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn show(
    State(state): State<AppState>,
    caller: Caller,
    IdPath(id): IdPath,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Read)?;
    let found = state.store.top_up(id).await?;
    let own = found.filter(|top_up| top_up.owner == caller.user.id);
    let top_up = own.ok_or(ApiError::NoSuch("top-up"))?;
    Ok(uncached(TopUpView::from(&top_up)))
}

/// A checkout of one's own in the sandbox.
#[utoipa::path(
    get,
    path = "/api/v1/payments/sandbox/{id}",
    tag = "wallet",
    security(("session" = [])),
    params(("id" = String, Path, description = "The top-up's identity.")),
    responses(
        (status = 200, description = "The top-up.", body = TopUpView),
        (status = 404, description = "No such checkout, or no sandbox.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn show_sandbox(
    State(state): State<AppState>,
    caller: Caller,
    IdPath(id): IdPath,
) -> Result<impl IntoResponse, ApiError> {
    caller.session()?;
    let top_up = state.payments.sandbox_checkout(caller.user.id, id).await?;
    Ok(uncached(TopUpView::from(&top_up)))
}

/// Says what becomes of a checkout of one's own in the sandbox. One that is not open stays as it is.
#[utoipa::path(
    post,
    path = "/api/v1/payments/sandbox/{id}",
    tag = "wallet",
    security(("session" = [])),
    params(("id" = String, Path, description = "The top-up's identity.")),
    request_body = SandboxAnswer,
    responses(
        (status = 200, description = "The top-up.", body = TopUpView),
        (status = 404, description = "No such checkout, or no sandbox.", body = ErrorBody),
        WithBody,
        Guarded,
    )
)]
pub async fn answer_sandbox(
    State(state): State<AppState>,
    caller: Caller,
    IdPath(id): IdPath,
    Body(answer): Body<SandboxAnswer>,
) -> Result<impl IntoResponse, ApiError> {
    caller.session()?;
    let outcome = match answer.outcome {
        SandboxOutcome::Pay => Outcome::Pay,
        SandboxOutcome::Decline => Outcome::Decline,
    };
    let payments = &state.payments;
    let top_up = payments.answer_sandbox(caller.user.id, id, outcome).await?;
    Ok(uncached(TopUpView::from(&top_up)))
}

/// Takes the webhooks of Stripe, signed in `Stripe-Signature`. What is not taken because something does not
/// answer here is to be sent again.
#[utoipa::path(
    post,
    path = "/api/v1/payments/stripe/events",
    tag = "wallet",
    request_body(content = String, content_type = "application/json", description = "An event of Stripe."),
    responses(
        (status = 200, description = "It is kept."),
        (status = 400, description = "The signature is missing, wrong or old, or the event makes no sense.", body = ErrorBody),
        (status = 404, description = "Stripe is not the payment provider.", body = ErrorBody),
        (status = 408, description = "The body took too long to arrive.", body = ErrorBody),
        (status = 413, description = "The body is too long.", body = ErrorBody),
        (status = 503, description = "Send it again later.", body = ErrorBody),
    )
)]
pub async fn hear_stripe(
    State(state): State<AppState>,
    headers: HeaderMap,
    Told(body): Told,
) -> Result<StatusCode, ApiError> {
    let signature = headers.get("stripe-signature");
    let signature = signature.and_then(|value| value.to_str().ok());
    state.payments.hear("stripe", signature, &body).await?;
    Ok(StatusCode::OK)
}

/// Gives a top-up back: the money at the provider, then the coins in the ledger. What was spent of them is
/// not asked for. If the provider does not answer, it is asked again by itself.
#[utoipa::path(
    post,
    path = "/api/v1/admin/money/payments/{id}/refund",
    tag = "operator",
    security(("session" = []), ("token" = ["operator"])),
    params(("id" = String, Path, description = "The top-up's identity.")),
    request_body = NewRefund,
    responses(
        (status = 200, description = "The top-up. While the provider has not decided it is still paid.", body = TopUpView),
        (status = 404, description = "No such top-up.", body = ErrorBody),
        (status = 409, description = "It was not paid, or the provider will not.", body = ErrorBody),
        WithBody,
        Guarded,
    )
)]
pub async fn refund(
    State(state): State<AppState>,
    caller: Caller,
    IdPath(id): IdPath,
    Body(new): Body<NewRefund>,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Operator)?;
    let reason = reason(&new.reason)?;
    note(&state, &caller, ("refund", &id.to_string()), &reason).await?;
    let is_minor = new.why == RefundWhy::Minor;
    let refunded = state
        .payments
        .refund(id, is_minor, caller.user.id, &reason)
        .await?;
    tracing::info!(top_up.id = %id, by = %caller, "refunded a top-up");
    Ok(uncached(TopUpView::from(&refunded)))
}
