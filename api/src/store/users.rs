//! People.

use media::WallTime;
use wire::{Handle, UserId};

use super::Store;

impl Store {
    /// Whether there is anybody yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_users(&self) -> sqlx::Result<bool> {
        let found = sqlx::query("SELECT 1 FROM users LIMIT 1")
            .fetch_optional(&self.pool)
            .await?;
        Ok(found.is_some())
    }

    /// Gives a user another password. Tells whether there is such a user.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_password(&self, handle: &Handle, password_hash: &str) -> sqlx::Result<bool> {
        let done = sqlx::query("UPDATE users SET password_hash = $1 WHERE handle = $2")
            .bind(password_hash)
            .bind(handle.as_str())
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The hash that a user's password is checked against.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn password_hash(&self, handle: &Handle) -> sqlx::Result<Option<String>> {
        sqlx::query_scalar("SELECT password_hash FROM users WHERE handle = $1")
            .bind(handle.as_str())
            .fetch_optional(&self.pool)
            .await
    }
}

/// Adds an operator, within a transaction.
pub(crate) async fn insert_operator(
    transaction: &mut sqlx::SqliteConnection,
    id: UserId,
    handle: &Handle,
    password_hash: &str,
    now: WallTime,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO users (id, handle, password_hash, role, created_at)
         VALUES ($1, $2, $3, 'operator', $4)",
    )
    .bind(id.to_string())
    .bind(handle.as_str())
    .bind(password_hash)
    .bind(now.as_micros())
    .execute(transaction)
    .await
    .map(|_| ())
}
