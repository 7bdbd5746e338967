//! Who is signed in, and from where.

use media::WallTime;
use sqlx::Row as _;
use uuid::Uuid;
use wire::UserId;

use super::{Store, Transaction, parse};

/// A session, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its identity, which opens nothing.
    pub id: Uuid,
    /// Whose.
    pub owner: UserId,
    /// What the browser calls itself.
    pub agent: String,
    /// The address that it was last used from.
    pub address: String,
    /// When it began.
    pub created_at: WallTime,
    /// When it was last used, to the minute.
    pub last_seen_at: WallTime,
    /// When it ends by itself.
    pub expires_at: WallTime,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, owner, agent, address, created_at, last_seen_at, expires_at FROM sessions ",
            $rest
        )
    };
}

fn read(row: &sqlx::any::AnyRow) -> sqlx::Result<Session> {
    Ok(Session {
        id: parse(row.try_get("id")?)?,
        owner: parse(row.try_get("owner")?)?,
        agent: row.try_get("agent")?,
        address: row.try_get("address")?,
        created_at: WallTime::from_micros(row.try_get("created_at")?),
        last_seen_at: WallTime::from_micros(row.try_get("last_seen_at")?),
        expires_at: WallTime::from_micros(row.try_get("expires_at")?),
    })
}

/// Notes a session.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    session: &Session,
    lookup: &[u8; 32],
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO sessions (id, owner, lookup, agent, address, created_at, last_seen_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(session.id.to_string())
    .bind(session.owner.to_string())
    .bind(lookup.as_slice())
    .bind(&session.agent)
    .bind(&session.address)
    .bind(session.created_at.as_micros())
    .bind(session.last_seen_at.as_micros())
    .bind(session.expires_at.as_micros())
    .execute(&mut **transaction)
    .await
    .map(|_| ())
}

/// Ends the sessions of a person, all or all but one.
pub(crate) async fn end_all(
    transaction: &mut Transaction,
    owner: UserId,
    but: Option<Uuid>,
) -> sqlx::Result<u64> {
    sqlx::query("DELETE FROM sessions WHERE owner = $1 AND id <> $2")
        .bind(owner.to_string())
        .bind(but.map(|id| id.to_string()).unwrap_or_default())
        .execute(&mut **transaction)
        .await
        .map(|done| done.rows_affected())
}

/// Ends the sessions of a person that were used longest ago, so that at most `keep` are left.
pub(crate) async fn keep_newest(
    transaction: &mut Transaction,
    owner: UserId,
    keep: i64,
) -> sqlx::Result<()> {
    sqlx::query(
        "DELETE FROM sessions WHERE owner = $1 AND id NOT IN
         (SELECT id FROM sessions WHERE owner = $1 ORDER BY last_seen_at DESC, id DESC LIMIT $2)",
    )
    .bind(owner.to_string())
    .bind(keep)
    .execute(&mut **transaction)
    .await
    .map(|_| ())
}

impl Store {
    /// The session found by `lookup`, if it has not ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn session(&self, lookup: &[u8; 32], now: WallTime) -> sqlx::Result<Option<Session>> {
        let row = sqlx::query(select!("WHERE lookup = $1 AND expires_at > $2"))
            .bind(lookup.as_slice())
            .bind(now.as_micros())
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// The sessions of a person that have not ended, the one used last first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sessions(&self, owner: UserId, now: WallTime) -> sqlx::Result<Vec<Session>> {
        let rows = sqlx::query(select!(
            "WHERE owner = $1 AND expires_at > $2 ORDER BY last_seen_at DESC, id DESC"
        ))
        .bind(owner.to_string())
        .bind(now.as_micros())
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(read).collect()
    }

    /// Notes that a session was used, and puts off its end.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn session_used(
        &self,
        id: Uuid,
        address: &str,
        now: WallTime,
        expires_at: WallTime,
    ) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE sessions SET address = $1, last_seen_at = $2, expires_at = $3 WHERE id = $4",
        )
        .bind(address)
        .bind(now.as_micros())
        .bind(expires_at.as_micros())
        .bind(id.to_string())
        .execute(self.pool())
        .await
        .map(|_| ())
    }

    /// Whether a person has a session that was last used from `address`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_session_at(
        &self,
        owner: UserId,
        address: &str,
        now: WallTime,
    ) -> sqlx::Result<bool> {
        let row = sqlx::query(
            "SELECT id FROM sessions WHERE owner = $1 AND address = $2 AND expires_at > $3 LIMIT 1",
        )
        .bind(owner.to_string())
        .bind(address)
        .bind(now.as_micros())
        .fetch_optional(self.pool())
        .await?;
        Ok(row.is_some())
    }

    /// Ends a session of a person. Tells whether there was one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_session(&self, owner: UserId, id: Uuid) -> sqlx::Result<bool> {
        sqlx::query("DELETE FROM sessions WHERE owner = $1 AND id = $2")
            .bind(owner.to_string())
            .bind(id.to_string())
            .execute(self.pool())
            .await
            .map(|done| done.rows_affected() > 0)
    }

    /// Forgets what has ended by itself: sessions and recovery links.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_expired(&self, now: WallTime) -> sqlx::Result<()> {
        for sql in [
            "DELETE FROM sessions WHERE expires_at <= $1",
            "DELETE FROM recoveries WHERE expires_at <= $1",
        ] {
            sqlx::query(sql)
                .bind(now.as_micros())
                .execute(self.pool())
                .await?;
        }
        Ok(())
    }
}
