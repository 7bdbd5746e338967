//! What a client is told when something is not as it asked.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use wire::EmoteCode;

use crate::unfit::Unfit;

/// An answer that is not what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No channel has this handle.
    #[error("No channel is called @{0}.")]
    ChannelNotFound(String),
    /// Nobody has this handle.
    #[error("Nobody is called @{0}.")]
    UserNotFound(String),
    /// The channel exists and is not live.
    #[error("@{0} is not live.")]
    NotLive(String),
    /// What the address names is not there, or is not the caller's.
    #[error("There is no such {0}.")]
    NoSuch(&'static str),
    /// Nothing is at this address.
    #[error("The API has nothing at this address; /api/openapi.json lists what it has.")]
    NotFound,
    /// Something is at this address, and cannot be asked for in this way.
    #[error("This address cannot be used with this method; /api/openapi.json tells what it takes.")]
    MethodNotAllowed,
    /// The caller has to sign in first.
    #[error("Sign in first, or send an API token.")]
    NotSignedIn,
    /// The handle or the password is wrong; which of them is not told.
    #[error("The handle or the password is wrong.")]
    WrongCredentials,
    /// The account was closed by an operator.
    #[error("This account was closed by an operator: {0}")]
    AccountDisabled(String),
    /// The caller is known, and may not do this.
    #[error("You may not do this.")]
    NotAllowed,
    /// The token does not reach this far.
    #[error("This API token lacks the scope \"{0}\".")]
    ScopeMissing(&'static str),
    /// The request was made by a page of another site.
    #[error("This request came from a page of another site.")]
    CrossSite,
    /// Signing up is not open.
    #[error("This server does not let people sign up. Ask its operator for an account.")]
    SignUpClosed,
    /// Becoming a streamer is not open.
    #[error("Ask an operator of this server to make you a streamer.")]
    ChannelsClosed,
    /// Too many attempts; try again later.
    #[error("Too many attempts. Try again in {} s.", .0.as_secs())]
    TooManyAttempts(Duration),
    /// A value is not acceptable.
    #[error("{why}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// Why.
        why: Unfit,
    },
    /// Somebody has this handle, or had it lately.
    #[error("@{0} is taken.")]
    HandleTaken(String),
    /// The channel has an emote of this code.
    #[error("There is an emote :{0}: already.")]
    EmoteTaken(EmoteCode),
    /// There are as many as there may be.
    #[error("There can be no more than {max} {what}.")]
    LimitReached {
        /// Of what.
        what: &'static str,
        /// How many.
        max: i64,
    },
    /// This cannot be done while the channel is live.
    #[error("@{0} is live. End the broadcast first.")]
    ChannelIsLive(String),
    /// Somebody must be left who runs the server.
    #[error("The server would be left without an operator.")]
    LastOperator,
    /// The server has lost the key under which this was sealed.
    #[error("This key cannot be shown any more: the server's own key was lost. Make it anew.")]
    Unreadable,
    /// The link was used, is too old, or never was one.
    #[error("This link does not work any more. Ask for another.")]
    LinkExpired,
    /// There are too few coins.
    #[error("There are too few coins in the wallet.")]
    CannotPay,
    /// Nothing can be spent from this wallet.
    #[error("This wallet is frozen. Ask an operator of this server.")]
    WalletFrozen,
    /// There are no more of it.
    #[error("There are no more of this gift.")]
    SoldOut,
    /// It is the caller's own channel.
    #[error("Nobody gives gifts to their own channel.")]
    OwnChannel,
    /// Something else was asked for under this key.
    #[error("Something else was asked for under this key.")]
    KeyUsed,
    /// It was taken back before, or is nothing that can be.
    #[error("This was taken back before, or cannot be.")]
    NotReversible,
    /// Something has this name.
    #[error("{0} is taken.")]
    NameTaken(String),
    /// The ledger cannot be written to or read.
    #[error("Gifts and wallets do not work right now. Try again in a moment.")]
    GiftsUnavailable,
    /// The body is not what this address takes.
    #[error("{0}")]
    BadRequest(String),
    /// The body is too long.
    #[error("The request is too long.")]
    TooLarge,
    /// The body is not JSON by its type.
    #[error("Send JSON, with content-type: application/json.")]
    NotJson,
    /// The server has too much of this to do at once.
    #[error("The server is busy. Try again in a moment.")]
    Busy,
    /// This server sells no coins.
    #[error("This server sells no coins.")]
    PaymentsOff,
    /// The payment provider, or what keeps the coins, does not answer.
    #[error("Payments do not work right now. Nothing is lost; try again in a moment.")]
    PaymentsUnavailable,
    /// The payment provider will not.
    #[error("The payment provider does not do this: {0}")]
    PaymentRefused(String),
    /// A webhook is not the provider's.
    #[error("This is no webhook of the payment provider: {0}.")]
    BadWebhook(String),
    /// What is to be refunded was not paid, or was given back.
    #[error("This is {0}: it cannot be refunded.")]
    NotRefundable(&'static str),
    /// The database failed; the cause is in the log.
    #[error("The server cannot reach its database right now. Try again in a moment.")]
    Database(#[from] sqlx::Error),
    /// Something of ours failed; the cause is in the log.
    #[error("The server failed to do this. Its log tells why.")]
    Internal(#[source] anyhow::Error),
}

/// The body of every error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// Stable, for programs.
    #[schema(example = "channel_not_found")]
    code: &'static str,
    /// For people.
    message: String,
    /// Which value was not acceptable.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    /// Why it was not; stable, for programs. For a closed account, what the operator wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "too_long")]
    reason: Option<String>,
    /// The most there may be, where that is the trouble.
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<u64>,
}

impl ApiError {
    /// A value that is not acceptable.
    pub fn invalid(field: &'static str, why: impl Into<Unfit>) -> Self {
        Self::Invalid {
            field,
            why: why.into(),
        }
    }

    fn detail(&self, code: &'static str) -> ErrorDetail {
        let (mut field, mut reason, mut max) = (None, None, None);
        if let Self::Invalid { field: which, why } = self {
            (field, max) = (Some(*which), why.max());
            reason = Some(why.reason().to_owned());
        } else if let Self::AccountDisabled(words) = self {
            reason = Some(words.clone());
        } else if let Self::LimitReached { max: most, .. } = self {
            max = u64::try_from(*most).ok();
        }
        ErrorDetail {
            code,
            message: self.to_string(),
            field,
            reason,
            max,
        }
    }

    const fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::ChannelNotFound(_) => (StatusCode::NOT_FOUND, "channel_not_found"),
            Self::UserNotFound(_) => (StatusCode::NOT_FOUND, "user_not_found"),
            Self::NotLive(_) => (StatusCode::NOT_FOUND, "not_live"),
            Self::NoSuch(_) => (StatusCode::NOT_FOUND, "no_such_thing"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::NotSignedIn => (StatusCode::UNAUTHORIZED, "not_signed_in"),
            Self::WrongCredentials => (StatusCode::UNAUTHORIZED, "wrong_credentials"),
            Self::AccountDisabled(_) => (StatusCode::FORBIDDEN, "account_disabled"),
            Self::NotAllowed => (StatusCode::FORBIDDEN, "not_allowed"),
            Self::ScopeMissing(_) => (StatusCode::FORBIDDEN, "scope_missing"),
            Self::CrossSite => (StatusCode::FORBIDDEN, "cross_site"),
            Self::SignUpClosed => (StatusCode::FORBIDDEN, "sign_up_closed"),
            Self::ChannelsClosed => (StatusCode::FORBIDDEN, "channels_closed"),
            Self::TooManyAttempts(_) => (StatusCode::TOO_MANY_REQUESTS, "too_many_attempts"),
            Self::Invalid { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            Self::HandleTaken(_) => (StatusCode::CONFLICT, "handle_taken"),
            Self::EmoteTaken(_) => (StatusCode::CONFLICT, "emote_taken"),
            Self::LimitReached { .. } => (StatusCode::CONFLICT, "limit_reached"),
            Self::ChannelIsLive(_) => (StatusCode::CONFLICT, "channel_is_live"),
            Self::LastOperator => (StatusCode::CONFLICT, "last_operator"),
            Self::Unreadable => (StatusCode::GONE, "unreadable"),
            Self::LinkExpired => (StatusCode::GONE, "link_expired"),
            Self::CannotPay => (StatusCode::PAYMENT_REQUIRED, "cannot_pay"),
            Self::WalletFrozen => (StatusCode::FORBIDDEN, "wallet_frozen"),
            Self::OwnChannel => (StatusCode::FORBIDDEN, "own_channel"),
            Self::SoldOut => (StatusCode::CONFLICT, "sold_out"),
            Self::KeyUsed => (StatusCode::CONFLICT, "key_used"),
            Self::NotReversible => (StatusCode::CONFLICT, "not_reversible"),
            Self::NameTaken(_) => (StatusCode::CONFLICT, "name_taken"),
            Self::GiftsUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "gifts_unavailable"),
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::NotJson => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::PaymentsOff => (StatusCode::FORBIDDEN, "payments_off"),
            Self::PaymentsUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "payments_unavailable"),
            Self::PaymentRefused(_) => (StatusCode::CONFLICT, "payment_refused"),
            Self::BadWebhook(_) => (StatusCode::BAD_REQUEST, "bad_webhook"),
            Self::NotRefundable(_) => (StatusCode::CONFLICT, "not_refundable"),
            Self::Database(_) => (StatusCode::SERVICE_UNAVAILABLE, "database_unavailable"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Self::Database(source) = &self {
            tracing::error!(error = %source, "the database failed a request");
        }
        if let Self::Internal(source) = &self {
            tracing::error!(error = ?source, "a request failed");
        }
        let (status, code) = self.status_and_code();
        let body = ErrorBody {
            error: self.detail(code),
        };
        let mut response =
            (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response();
        if let Self::TooManyAttempts(wait) = &self {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs()));
        }
        if matches!(
            self,
            Self::Busy | Self::GiftsUnavailable | Self::PaymentsUnavailable
        ) {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if matches!(self, Self::NotSignedIn) {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// What every route can answer that asks who the caller is.
#[derive(utoipa::IntoResponses)]
pub enum Guarded {
    /// Not signed in, or the token does not work.
    #[response(status = 401)]
    Unknown(ErrorBody),
    /// The caller may not do this, the token's scopes do not reach so far, or a page of another
    /// site asks.
    #[response(status = 403)]
    Forbidden(ErrorBody),
    /// The database does not answer.
    #[response(status = 503)]
    Unavailable(ErrorBody),
}

/// What every route can answer that takes a body.
#[derive(utoipa::IntoResponses)]
pub enum WithBody {
    /// Not the JSON that belongs here.
    #[response(status = 400)]
    Malformed(ErrorBody),
    /// The body took too long to arrive.
    #[response(status = 408, content_type = "application/problem+json")]
    Slow(ErrorBody),
    /// The body is too long.
    #[response(status = 413)]
    Large(ErrorBody),
    /// The body is not JSON by its type.
    #[response(status = 415)]
    NotJson(ErrorBody),
    /// A value is not acceptable; the error names it.
    #[response(status = 422)]
    Unacceptable(ErrorBody),
}
