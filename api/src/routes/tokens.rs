//! The API tokens of an account.

use std::time::Duration;
use uuid::Uuid;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use jiff::Timestamp;
use kit::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AppState;
use super::request::{Body, IdPath};
use super::streams::{timestamp, uncached};
use crate::door::Caller;
use crate::error::{ApiError, ErrorBody, Guarded, WithBody};
use crate::scope::{Scope, Scopes};
use crate::secrets::SecretKind;
use crate::store::tokens::{self, Token};
use crate::text;
use crate::unfit::Unfit;

/// Tokens a person may have.
const TOKENS_MAX: i64 = 100;

/// Longest life that can be asked for a token.
const TOKEN_DAYS_MAX: u32 = 3650;

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

impl From<&Token> for TokenView {
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
        return Err(ApiError::invalid("scopes", Unfit::Empty));
    }
    if scopes.iter().any(|scope| scope == Scope::Operator) {
        caller.require(Scope::Operator)?;
    }
    if new
        .days
        .is_some_and(|days| !(1..=TOKEN_DAYS_MAX).contains(&days))
    {
        return Err(ApiError::invalid("days", Unfit::OutOfRange(TOKEN_DAYS_MAX)));
    }
    let (now, secret) = (clock::now(), SecretKind::ApiToken.generate());
    let token = Token {
        id: Uuid::now_v7(),
        owner: caller.user.id,
        name,
        scopes: scopes.to_string(),
        created_at: now,
        expires_at: new
            .days
            .map(|days| now + Duration::from_hours(24 * u64::from(days))),
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
