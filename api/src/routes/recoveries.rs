//! Links with which somebody who lost a password sets another.

use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AppState;
use super::request::{AskedBy, Body, check_same_origin};
use super::streams::uncached;
use crate::error::{ApiError, ErrorBody, WithBody};
use crate::store::users::normal_email;

/// Accounts with one mail address that get a link. Of more, those that came first do.
const ACCOUNTS_MAX: i64 = 5;

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
    AskedBy(client): AskedBy,
    headers: HeaderMap,
    Body(lost): Body<LostPassword>,
) -> Result<StatusCode, ApiError> {
    check_same_origin(&Method::POST, &headers, &client, &state)?;
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
    let email = normal_email(email);
    // Only the configured address: who asks could claim any other in their request.
    let (Some(mailer), Some(origin)) = (&state.mailer, &state.public_url) else {
        return Ok(());
    };
    let users = state.store.users_by_email(&email, ACCOUNTS_MAX).await?;
    let open: Vec<_> = users
        .iter()
        .filter(|user| user.disabled.is_none())
        .collect();
    if open.is_empty() || !state.door.may_mail(&email) {
        return Ok(());
    }
    for user in open {
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
        mailer.send(&email, "A new password for Barrage · 重设密码", text);
    }
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
    AskedBy(client): AskedBy,
    headers: HeaderMap,
    Body(recovery): Body<Recovery>,
) -> Result<impl IntoResponse, ApiError> {
    check_same_origin(&Method::POST, &headers, &client, &state)?;
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
