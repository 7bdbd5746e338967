//! API tokens: for programs that act for a person, with less than that person may do.

use media::WallTime;
use sqlx::Row as _;
use uuid::Uuid;
use wire::UserId;

use super::{Store, Transaction, count, parse};

/// A token, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its identity, which opens nothing.
    pub id: Uuid,
    /// Whose.
    pub owner: UserId,
    /// What its owner calls it.
    pub name: String,
    /// What it may do: the names of scopes, parted by spaces.
    pub scopes: String,
    /// When it was made.
    pub created_at: WallTime,
    /// When it ends by itself, if ever.
    pub expires_at: Option<WallTime>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<WallTime>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, owner, name, scopes, created_at, expires_at, last_used_at FROM api_tokens ",
            $rest
        )
    };
}

fn read(row: &sqlx::any::AnyRow) -> sqlx::Result<Token> {
    let time = |name| {
        row.try_get::<Option<i64>, _>(name)
            .map(|at| at.map(WallTime::from_micros))
    };
    Ok(Token {
        id: parse(row.try_get("id")?)?,
        owner: parse(row.try_get("owner")?)?,
        name: row.try_get("name")?,
        scopes: row.try_get("scopes")?,
        created_at: WallTime::from_micros(row.try_get("created_at")?),
        expires_at: time("expires_at")?,
        last_used_at: time("last_used_at")?,
    })
}

/// Notes a token.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    token: &Token,
    lookup: &[u8; 32],
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO api_tokens (id, owner, name, lookup, scopes, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(token.id.to_string())
    .bind(token.owner.to_string())
    .bind(&token.name)
    .bind(lookup.as_slice())
    .bind(&token.scopes)
    .bind(token.created_at.as_micros())
    .bind(token.expires_at.map(|at| at.as_micros()))
    .execute(&mut **transaction)
    .await
    .map(|_| ())
}

/// How many tokens a person has.
pub(crate) async fn count_of(transaction: &mut Transaction, owner: UserId) -> sqlx::Result<i64> {
    count(
        transaction,
        "SELECT COUNT(*) FROM api_tokens WHERE owner = $1",
        &owner.to_string(),
    )
    .await
}

/// Ends every token of a person.
pub(crate) async fn end_all(transaction: &mut Transaction, owner: UserId) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM api_tokens WHERE owner = $1")
        .bind(owner.to_string())
        .execute(&mut **transaction)
        .await
        .map(|_| ())
}

impl Store {
    /// The token found by `lookup`, if it has not ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn token(&self, lookup: &[u8; 32], now: WallTime) -> sqlx::Result<Option<Token>> {
        let row = sqlx::query(select!(
            "WHERE lookup = $1 AND (expires_at IS NULL OR expires_at > $2)"
        ))
        .bind(lookup.as_slice())
        .bind(now.as_micros())
        .fetch_optional(self.pool())
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// The tokens of a person, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tokens(&self, owner: UserId) -> sqlx::Result<Vec<Token>> {
        let rows = sqlx::query(select!("WHERE owner = $1 ORDER BY id DESC"))
            .bind(owner.to_string())
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(read).collect()
    }

    /// Notes that a token was used.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn token_used(&self, id: Uuid, now: WallTime) -> sqlx::Result<()> {
        sqlx::query("UPDATE api_tokens SET last_used_at = $1 WHERE id = $2")
            .bind(now.as_micros())
            .bind(id.to_string())
            .execute(self.pool())
            .await
            .map(|_| ())
    }

    /// Ends a token of a person. Tells whether there was one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_token(&self, owner: UserId, id: Uuid) -> sqlx::Result<bool> {
        sqlx::query("DELETE FROM api_tokens WHERE owner = $1 AND id = $2")
            .bind(owner.to_string())
            .bind(id.to_string())
            .execute(self.pool())
            .await
            .map(|done| done.rows_affected() > 0)
    }
}
