//! People.

use std::fmt;
use std::str::FromStr;

use media::WallTime;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use utoipa::ToSchema;
use wire::{Handle, UserId};

use super::{Store, Transaction, like, parse, recoveries, sessions};

/// What somebody may do on the whole server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Watches.
    Viewer,
    /// Has a channel.
    Streamer,
    /// Runs the server.
    Operator,
}

/// The text was no role.
#[derive(Debug, thiserror::Error)]
#[error("not a role: {0:?}")]
pub struct ParseRoleError(String);

impl Role {
    /// As the database and the API write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Streamer => "streamer",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = ParseRoleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "viewer" => Ok(Self::Viewer),
            "streamer" => Ok(Self::Streamer),
            "operator" => Ok(Self::Operator),
            _ => Err(ParseRoleError(text.chars().take(32).collect())),
        }
    }
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Their identity.
    pub id: UserId,
    /// Their name to sign in with.
    pub handle: Handle,
    /// Their name for people, in any script; may be empty.
    pub name: String,
    /// Where a recovery link is sent.
    pub email: Option<String>,
    /// What they may do.
    pub role: Role,
    /// When they came.
    pub created_at: WallTime,
    /// Why they may not sign in, if they may not.
    pub disabled: Option<String>,
}

/// What makes a person.
#[derive(Clone, Debug)]
pub struct NewUser<'a> {
    /// Their identity.
    pub id: UserId,
    /// Their name to sign in with.
    pub handle: &'a Handle,
    /// Their name for people.
    pub name: &'a str,
    /// Where a recovery link is sent.
    pub email: Option<&'a str>,
    /// What they may do.
    pub role: Role,
    /// What their password is checked against.
    pub password_hash: &'a str,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, handle, name, email, role, created_at, disabled_at, disabled_reason FROM users ",
            $rest
        )
    };
}

fn read(row: &AnyRow) -> sqlx::Result<User> {
    let disabled_at: Option<i64> = row.try_get("disabled_at")?;
    let reason: Option<String> = row.try_get("disabled_reason")?;
    Ok(User {
        id: parse(row.try_get("id")?)?,
        handle: parse(row.try_get("handle")?)?,
        name: row.try_get("name")?,
        email: row.try_get("email")?,
        role: parse(row.try_get("role")?)?,
        created_at: WallTime::from_micros(row.try_get("created_at")?),
        disabled: disabled_at.map(|_| reason.unwrap_or_default()),
    })
}

impl Store {
    /// Whether there is anybody yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_users(&self) -> sqlx::Result<bool> {
        let found = sqlx::query("SELECT id FROM users LIMIT 1")
            .fetch_optional(self.pool())
            .await?;
        Ok(found.is_some())
    }

    /// The person of this handle.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn user(&self, handle: &Handle) -> sqlx::Result<Option<User>> {
        let row = sqlx::query(select!("WHERE handle = $1"))
            .bind(handle.as_str())
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// The person of this identity.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn user_by_id(&self, id: UserId) -> sqlx::Result<Option<User>> {
        let row = sqlx::query(select!("WHERE id = $1"))
            .bind(id.to_string())
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// The people with this mail address, as [`normal_email`] writes it, `limit` of those that came
    /// first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn users_by_email(&self, email: &str, limit: i64) -> sqlx::Result<Vec<User>> {
        let rows = sqlx::query(select!("WHERE email = $1 ORDER BY id LIMIT $2"))
            .bind(email)
            .bind(limit)
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(read).collect()
    }

    /// People whose handle, name or mail address contains `part`, in the order they came, after `after`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn users(
        &self,
        part: &str,
        after: Option<UserId>,
        limit: i64,
    ) -> sqlx::Result<Vec<User>> {
        let rows = sqlx::query(select!(
            "WHERE id > $1 AND (handle LIKE $2 ESCAPE '\\' OR lower(name) LIKE $2 ESCAPE '\\'
                             OR email LIKE $2 ESCAPE '\\')
             ORDER BY id LIMIT $3"
        ))
        .bind(after.map(|id| id.to_string()).unwrap_or_default())
        .bind(like(&part.trim_start_matches('@').to_lowercase()))
        .bind(limit)
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(read).collect()
    }

    /// The identity and password hash of who signs in with `handle`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn password_hash(&self, handle: &Handle) -> sqlx::Result<Option<(UserId, String)>> {
        let row = sqlx::query("SELECT id, password_hash FROM users WHERE handle = $1")
            .bind(handle.as_str())
            .fetch_optional(self.pool())
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some((
            parse(row.try_get("id")?)?,
            row.try_get("password_hash")?,
        )))
    }

    /// Gives a person another password, and ends their sessions and recovery links.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reset_password(&self, id: UserId, password_hash: &str) -> sqlx::Result<()> {
        let mut transaction = self.begin().await?;
        set_password(&mut transaction, id, password_hash).await?;
        sessions::end_all(&mut transaction, id, None).await?;
        recoveries::end_all(&mut transaction, id).await?;
        transaction.commit().await
    }

    /// Says what a person may do. Tells `false`, and changes nothing, if the server would be left
    /// without an operator.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn change_role(&self, id: UserId, role: Role) -> sqlx::Result<bool> {
        let mut transaction = self.begin().await?;
        set_role(&mut transaction, id, role).await?;
        let left = operators(&mut transaction).await?;
        if left > 0 {
            transaction.commit().await?;
        }
        Ok(left > 0)
    }
}

/// Changes the name and mail address of a person.
pub(crate) async fn set_profile(
    transaction: &mut Transaction,
    id: UserId,
    name: &str,
    email: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE users SET name = $1, email = $2 WHERE id = $3")
        .bind(name)
        .bind(email)
        .bind(id.to_string())
        .execute(&mut **transaction)
        .await
        .map(|_| ())
}

/// Adds a person.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    user: &NewUser<'_>,
    now: WallTime,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO users (id, handle, name, email, role, password_hash, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(user.id.to_string())
    .bind(user.handle.as_str())
    .bind(user.name)
    .bind(user.email)
    .bind(user.role.as_str())
    .bind(user.password_hash)
    .bind(now.as_micros())
    .execute(&mut **transaction)
    .await
    .map(|_| ())
}

/// Gives a person another password.
pub(crate) async fn set_password(
    transaction: &mut Transaction,
    id: UserId,
    password_hash: &str,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE users SET password_hash = $1 WHERE id = $2")
        .bind(password_hash)
        .bind(id.to_string())
        .execute(&mut **transaction)
        .await
        .map(|_| ())
}

/// Says what a person may do.
pub(crate) async fn set_role(
    transaction: &mut Transaction,
    id: UserId,
    role: Role,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE users SET role = $1 WHERE id = $2")
        .bind(role.as_str())
        .bind(id.to_string())
        .execute(&mut **transaction)
        .await
        .map(|_| ())
}

/// Keeps a person from signing in, for a reason, or lets them again.
pub(crate) async fn set_disabled(
    transaction: &mut Transaction,
    id: UserId,
    reason: Option<&str>,
    now: WallTime,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE users SET disabled_at = $1, disabled_reason = $2 WHERE id = $3")
        .bind(reason.map(|_| now.as_micros()))
        .bind(reason)
        .bind(id.to_string())
        .execute(&mut **transaction)
        .await
        .map(|_| ())
}

/// Gives a person another handle; the one they had is theirs for a while yet.
pub(crate) async fn rename(
    transaction: &mut Transaction,
    id: UserId,
    from: &Handle,
    to: &Handle,
    now: WallTime,
) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM former_user_handles WHERE handle IN ($1, $2)")
        .bind(from.as_str())
        .bind(to.as_str())
        .execute(&mut **transaction)
        .await?;
    sqlx::query("UPDATE users SET handle = $1 WHERE id = $2")
        .bind(to.as_str())
        .bind(id.to_string())
        .execute(&mut **transaction)
        .await?;
    sqlx::query("INSERT INTO former_user_handles (handle, owner, renamed_at) VALUES ($1, $2, $3)")
        .bind(from.as_str())
        .bind(id.to_string())
        .bind(now.as_micros())
        .execute(&mut **transaction)
        .await
        .map(|_| ())
}

/// How many people may run the server and may sign in.
pub(crate) async fn operators(transaction: &mut Transaction) -> sqlx::Result<i64> {
    sqlx::query("SELECT COUNT(*) FROM users WHERE role = 'operator' AND disabled_at IS NULL")
        .fetch_one(&mut **transaction)
        .await?
        .try_get(0)
}

/// A mail address as it is kept and compared: trimmed, in lower case.
pub fn normal_email(text: &str) -> String {
    text.trim().to_lowercase()
}
