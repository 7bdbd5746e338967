//! Where this server's ledger is.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use gifts_core::seal::SealKey;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyPool, ConnectOptions as _, Executor as _};
use tokio::task::JoinHandle;

use super::StoreError;
use super::postgres::PgStore;
use super::sqlite::SqliteStore;
use crate::gate::Gate;
use crate::{audit, prune};

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

    /// Seals it for as long as it is let and the fencing number is its owner's, as
    /// [`audit::keep_sealed`] does.
    pub async fn keep_sealed(self, key: Arc<SealKey>, fence: i64, every: Duration) {
        match self {
            Self::Sqlite(store) => audit::keep_sealed(store, key, fence, every).await,
            Self::Postgres(store) => audit::keep_sealed(store, key, fence, every).await,
        }
    }

    /// Forgets old answers for as long as it is let, as [`prune::keep_pruned`] does.
    pub async fn keep_pruned(self, every: Duration) {
        match self {
            Self::Sqlite(store) => prune::keep_pruned(store, every).await,
            Self::Postgres(store) => prune::keep_pruned(store, every).await,
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
