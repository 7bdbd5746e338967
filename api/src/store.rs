//! The database: people, channels, stream keys, broadcasts.

pub mod broadcasts;
pub mod channels;
pub mod stream_keys;
pub mod users;

use std::str::FromStr;

use sqlx::SqlitePool;

/// The database of the API.
#[derive(Clone, Debug)]
pub struct Store {
    pool: SqlitePool,
}

impl Store {
    /// On an open database whose schema is up to date.
    pub const fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }

    pub(crate) async fn begin(&self) -> sqlx::Result<sqlx::SqliteTransaction<'static>> {
        self.pool.begin().await
    }

    /// Closes the database; what is in its write-ahead log is folded in.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> sqlx::Result<()> {
        sqlx::query("SELECT 1")
            .execute(&self.pool)
            .await
            .map(|_| ())
    }
}

/// Reads an identity or handle out of a text column.
fn parse<T: FromStr>(text: &str) -> sqlx::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse()
        .map_err(|error: T::Err| sqlx::Error::Decode(Box::new(error)))
}
