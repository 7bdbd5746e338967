//! Links with which somebody who lost a password sets another, once.

use media::WallTime;
use sqlx::Row as _;
use uuid::Uuid;
use wire::UserId;

use super::{Transaction, parse};

/// Notes a link; earlier ones of the same person no longer work.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    owner: UserId,
    lookup: &[u8; 32],
    now: WallTime,
    expires_at: WallTime,
) -> sqlx::Result<()> {
    end_all(transaction, owner).await?;
    sqlx::query(
        "INSERT INTO recoveries (id, owner, lookup, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(Uuid::now_v7().to_string())
    .bind(owner.to_string())
    .bind(lookup.as_slice())
    .bind(now.as_micros())
    .bind(expires_at.as_micros())
    .execute(&mut **transaction)
    .await
    .map(|_| ())
}

/// Ends every link of a person.
pub(crate) async fn end_all(transaction: &mut Transaction, owner: UserId) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM recoveries WHERE owner = $1")
        .bind(owner.to_string())
        .execute(&mut **transaction)
        .await
        .map(|_| ())
}

/// Takes the link found by `lookup`, so that it works once; tells whose it was.
pub(crate) async fn take(
    transaction: &mut Transaction,
    lookup: &[u8; 32],
    now: WallTime,
) -> sqlx::Result<Option<UserId>> {
    let row =
        sqlx::query("DELETE FROM recoveries WHERE lookup = $1 AND expires_at > $2 RETURNING owner")
            .bind(lookup.as_slice())
            .bind(now.as_micros())
            .fetch_optional(&mut **transaction)
            .await?;
    row.map(|row| parse(row.try_get("owner")?)).transpose()
}
