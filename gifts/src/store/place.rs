//! Which of the engines keeps a server's ledger.

use std::path::Path;

use crate::{PgStore, SqliteStore};

/// A server's ledger.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is what it says")]
pub enum Place {
    Sqlite(SqliteStore),
    Postgres(PgStore),
}

impl Place {
    /// The ledger in a database where there is the address of one, else in a file in `data_dir`. It is made
    /// if need be, and its schema brought up to date.
    ///
    /// # Errors
    /// When that fails, or the schema is of a later release than this program.
    pub async fn load(data_dir: &Path, postgres_url: Option<&str>) -> anyhow::Result<Self> {
        Ok(match postgres_url {
            None => Self::Sqlite(SqliteStore::load(data_dir).await?),
            Some(url) => Self::Postgres(PgStore::load(url).await?),
        })
    }

    /// The same where there is one, as it is: nothing is made, and nothing changed.
    ///
    /// # Errors
    /// When it cannot be read, or its schema is of another release than this program.
    pub async fn find(data_dir: &Path, postgres_url: Option<&str>) -> anyhow::Result<Option<Self>> {
        Ok(match postgres_url {
            None => SqliteStore::find(data_dir).await?.map(Self::Sqlite),
            Some(url) => PgStore::find(url).await?.map(Self::Postgres),
        })
    }
}
