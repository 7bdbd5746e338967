//! The database: people, sessions, channels, stream keys, emotes, webhooks,
//! broadcasts, top-ups.

pub mod broadcasts;
pub mod catalogue;
pub mod channels;
pub mod emotes;
pub mod follows;
pub mod handles;
pub mod moderators;
pub mod provider_events;
pub mod recoveries;
pub mod sessions;
pub mod stream_keys;
pub mod tokens;
pub mod top_ups;
pub mod users;
pub mod webhooks;

use std::str::FromStr;

use kit::database::{Connection, Database};
use sqlx::{AnyPool, Row as _};

/// A transaction that will write.
pub type Transaction = sqlx::Transaction<'static, sqlx::Any>;

/// The database of the API.
#[derive(Clone, Debug)]
pub struct Store {
    database: Database,
}

impl Store {
    /// On an open database whose schema is up to date.
    pub const fn new(database: Database) -> Self {
        Self { database }
    }

    const fn pool(&self) -> &AnyPool {
        &self.database.pool
    }

    /// The database itself.
    pub const fn database(&self) -> &Database {
        &self.database
    }

    /// Begins a transaction that will write.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin(&self) -> sqlx::Result<Transaction> {
        self.database.begin().await
    }

    /// Closes the database; what is in SQLite's write-ahead log is folded in.
    pub async fn close(&self) {
        self.pool().close().await;
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> sqlx::Result<()> {
        sqlx::query("SELECT 1")
            .execute(self.pool())
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

/// The number that `sql`, a COUNT, gives.
async fn count(connection: &mut Connection, sql: &'static str, of: &str) -> sqlx::Result<i64> {
    sqlx::query(sql)
        .bind(of)
        .fetch_one(connection)
        .await?
        .try_get(0)
}

/// A text as the pattern of a LIKE that finds it anywhere; the pattern's own signs are escaped.
fn like(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}
