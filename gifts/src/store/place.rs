//! Where this server's ledger is.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyPool, ConnectOptions as _, Executor as _};
use tokio::task::JoinHandle;

use super::StoreError;
use super::postgres::PgStore;
use super::sqlite::SqliteStore;
use crate::gate::Gate;

/// Connections to read over at once.
const READERS: u32 = 2;

/// How long a reader waits for a connection.
const READ_WITHIN: Duration = Duration::from_secs(2);

/// On either engine.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is what it says")]
pub enum Place {
    Sqlite(SqliteStore),
    Postgres(PgStore),
}

impl Place {
    /// Opens the ledger, makes it if need be, and brings its schema up to date: on the server whose address
    /// is given, else in a file in `data_dir`.
    ///
    /// # Errors
    /// When that fails, or the schema is of a later release than this program.
    pub async fn load(data_dir: &Path, postgres_url: Option<&str>) -> anyhow::Result<Self> {
        Ok(match postgres_url {
            Some(url) => Self::Postgres(PgStore::load(url).await?),
            None => Self::Sqlite(SqliteStore::load(data_dir).await?),
        })
    }

    /// Takes the ledger over, as [`Gate::open`] does.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_gate(&self) -> Result<(Gate, JoinHandle<()>), StoreError> {
        match self {
            Self::Sqlite(store) => Gate::open(store.clone()).await,
            Self::Postgres(store) => Gate::open(store.clone()).await,
        }
    }

    /// Connections to read over, beside whoever writes.
    ///
    /// # Errors
    /// When the database cannot be opened.
    pub async fn readers(&self) -> anyhow::Result<AnyPool> {
        sqlx::any::install_default_drivers();
        let (url, prepare) = match self {
            Self::Sqlite(store) => (
                store.url()?,
                "PRAGMA query_only = ON; PRAGMA busy_timeout = 500",
            ),
            Self::Postgres(store) => (
                store.url(),
                "SET search_path = ledger; SET statement_timeout = '5s'; \
                 SET default_transaction_read_only = on; SET client_min_messages = warning",
            ),
        };
        let options: AnyConnectOptions = url
            .parse()
            .context("the ledger has no address that can be read")?;
        AnyPoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(READ_WITHIN)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    connection.execute(prepare).await?;
                    Ok(())
                })
            })
            .connect_with(options.log_statements(log::LevelFilter::Trace))
            .await
            .context("failed to open the ledger for reading")
    }
}

impl From<SqliteStore> for Place {
    fn from(store: SqliteStore) -> Self {
        Self::Sqlite(store)
    }
}
