//! The database: an SQLite file in the data directory, or a PostgreSQL server. One schema and one
//! text for each statement serve both: BIGINT microseconds, identities as text, `$1` parameters.

use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::Migrator;
use sqlx::{AnyConnection, AnyPool, ConnectOptions as _, Connection as _, Executor as _};

use crate::private_file;

/// How long a request waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// A statement that took longer stands in the log.
const SLOW_STATEMENT: Duration = Duration::from_secs(1);

/// Where the data is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatabaseConfig {
    /// `postgres://USER:PASSWORD@HOST/NAME`; empty for the SQLite file in the data directory.
    pub url: String,
    /// Most connections at once. SQLite reads in parallel; four keep two cores busy.
    pub max_connections: u32,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            max_connections: 4,
        }
    }
}

impl DatabaseConfig {
    /// Checks what types alone cannot.
    ///
    /// # Errors
    /// At the first value that makes no sense, in words that tell no password.
    pub fn validate(&self) -> Result<(), String> {
        if self.max_connections == 0 {
            return Err("`database.max_connections` is 0: nothing could be read".into());
        }
        match self.engine() {
            Engine::Sqlite if !self.url.is_empty() => Err(
                "`database.url` begins with postgres:// or is empty for the embedded SQLite".into(),
            ),
            Engine::Postgres if self.url.parse::<AnyConnectOptions>().is_err() => {
                Err("`database.url` is no address of a database, such as postgres://USER:PASSWORD@HOST/NAME".into())
            }
            Engine::Sqlite | Engine::Postgres => Ok(()),
        }
    }

    /// What keeps the data.
    pub fn engine(&self) -> Engine {
        if self.url.starts_with("postgres://") || self.url.starts_with("postgresql://") {
            Engine::Postgres
        } else {
            Engine::Sqlite
        }
    }

    /// The same with the password of the address left out, to be shown.
    #[must_use]
    pub fn redacted(&self) -> Self {
        let (head, tail) = match self.url.split_once("://") {
            Some((scheme, rest)) => (format!("{scheme}://"), rest),
            None => (String::new(), self.url.as_str()),
        };
        let url = match tail.rsplit_once('@') {
            Some((login, place)) => {
                let user = login.split(':').next().unwrap_or_default();
                format!("{head}{user}:…@{place}")
            }
            None => self.url.clone(),
        };
        Self {
            url,
            ..self.clone()
        }
    }
}

/// What keeps the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A file in the data directory, read and written by this process.
    Sqlite,
    /// A server.
    Postgres,
}

impl Engine {
    /// Its name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }

    /// Begins a transaction that will write. SQLite has one writer: a transaction that reads first
    /// and writes later fails at once if another wrote in between, so it waits its turn instead.
    pub const fn begin_writing(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }

    /// Begins a transaction in which every statement sees the same moment.
    pub const fn begin_snapshot(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN",
            Self::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }

    /// What every new connection is told. `synchronous` is FULL: what was answered is on the disk.
    const fn on_connect(self) -> &'static str {
        match self {
            Self::Sqlite => {
                "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; \
                 PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON"
            }
            // Who hangs within a transaction keeps others from what it holds; it lets go of it soon.
            Self::Postgres => {
                "SET client_min_messages = warning; SET statement_timeout = '10s'; \
                 SET idle_in_transaction_session_timeout = '3s'"
            }
        }
    }

    /// What the migrations lean on and an engine may lack. Bytes are BLOB in the schema.
    const fn prelude(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some(
                "DO $$ BEGIN CREATE DOMAIN blob AS bytea; \
                 EXCEPTION WHEN duplicate_object THEN NULL; WHEN unique_violation THEN NULL; END $$",
            ),
        }
    }
}

/// Whether a transaction that could not be ended is not kept for certain: the disk is full or cannot
/// be written to, so that what would end it is not there.
pub fn is_unwritten(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    // SQLITE_FULL, SQLITE_IOERR_WRITE, and disk_full (PostgreSQL, appendix A).
    code.is_some_and(|code| ["13", "778", "53100"].contains(&&*code))
}

/// An open database.
#[derive(Clone, Debug)]
pub struct Database {
    /// Its connections.
    pub pool: AnyPool,
    /// What it is.
    pub engine: Engine,
}

impl Database {
    /// Opens the database that `config` names, making the SQLite file in `data_dir` if need be.
    /// The schema is left as it is.
    ///
    /// # Errors
    /// When it cannot be opened; the text tells no password.
    pub async fn connect(config: &DatabaseConfig, data_dir: &Path) -> anyhow::Result<Self> {
        static DRIVERS: Once = Once::new();
        DRIVERS.call_once(sqlx::any::install_default_drivers);
        let engine = config.engine();
        let (url, place) = match engine {
            Engine::Sqlite => {
                let path = data_dir.join("barrage.db");
                // What SQLite writes beside it has the same permissions.
                private_file::ensure(&path)
                    .with_context(|| format!("failed to open {}", path.display()))?;
                (sqlite_url(&path)?, path.display().to_string())
            }
            Engine::Postgres => (config.url.clone(), config.redacted().url),
        };
        let options: AnyConnectOptions = url
            .parse()
            .with_context(|| format!("{place} is no address of a database"))?;
        let options = options
            .log_statements(log::LevelFilter::Trace)
            .log_slow_statements(log::LevelFilter::Warn, SLOW_STATEMENT);
        if engine == Engine::Postgres {
            // A pool would try until its time is over, and then say no more than that.
            let attempt =
                tokio::time::timeout(ACQUIRE_TIMEOUT, AnyConnection::connect_with(&options));
            let connection = attempt
                .await
                .map_err(|_| anyhow::anyhow!("it does not answer"))
                .and_then(|connected| Ok(connected?))
                .with_context(|| format!("failed to open the database {place}"))?;
            connection.close().await?;
        }
        let pool = AnyPoolOptions::new()
            .max_connections(config.max_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    connection.execute(engine.on_connect()).await?;
                    Ok(())
                })
            })
            // A COMMIT that fails, as on a full disk, leaves a connection that believes itself within a
            // transaction for ever.
            .before_acquire(|connection, _| {
                let is_free = !connection.is_in_transaction();
                Box::pin(async move { Ok(is_free) })
            })
            .connect_with(options)
            .await
            .with_context(|| format!("failed to open the database {place}"))?;
        Ok(Self { pool, engine })
    }

    /// Brings the schema up to date.
    ///
    /// # Errors
    /// When a migration fails, or the schema is of a later release than this program.
    pub async fn migrate(&self, migrations: &Migrator) -> anyhow::Result<()> {
        self.prepare().await?;
        migrations
            .run(&self.pool)
            .await
            .context("failed to bring the database up to date")
    }

    /// Brings the schema to what it was after the migration `version`.
    ///
    /// # Errors
    /// When a migration fails, or the schema is later already.
    pub async fn migrate_to(&self, migrations: &Migrator, version: i64) -> anyhow::Result<()> {
        if !migrations.version_exists(version) {
            bail!("no release of this program had the schema {version}");
        }
        self.prepare().await?;
        migrations
            .run_to(version, &self.pool)
            .await
            .context("failed to prepare the database")
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        if let Some(prelude) = self.engine.prelude() {
            self.pool
                .execute(prelude)
                .await
                .context("failed to prepare the database")?;
        }
        Ok(())
    }

    /// Begins a transaction that will write.
    ///
    /// # Errors
    /// When the database fails, or another keeps it from writing for too long.
    pub async fn begin(&self) -> sqlx::Result<sqlx::Transaction<'static, sqlx::Any>> {
        self.pool.begin_with(self.engine.begin_writing()).await
    }

    /// Begins a transaction in which every statement sees the same moment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn snapshot(&self) -> sqlx::Result<sqlx::Transaction<'static, sqlx::Any>> {
        self.pool.begin_with(self.engine.begin_snapshot()).await
    }
}

/// A connection in whatever engine.
pub type Connection = AnyConnection;

/// A path as an SQLite address: everything that could mean something else is escaped.
///
/// # Errors
/// When it is relative and nobody knows to what.
pub fn sqlite_url(path: &Path) -> anyhow::Result<String> {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    let path = std::path::absolute(path)
        .with_context(|| format!("failed to find the way to {}", path.display()))?;
    let mut url = String::from("sqlite://");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
                url.push(char::from(*byte));
            }
            // Writing to a string cannot fail.
            _ => _ = write!(url, "%{byte:02X}"),
        }
    }
    url.push_str("?mode=rwc");
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_address_is_never_shown() {
        let config = DatabaseConfig {
            url: "postgres://barrage:se:cr@t@db.example/barrage?sslmode=require".into(),
            ..DatabaseConfig::default()
        };
        assert_eq!(
            config.redacted().url,
            "postgres://barrage:…@db.example/barrage?sslmode=require"
        );
        assert!(config.validate().is_ok());
        let bare = DatabaseConfig {
            url: "postgres://db.example/barrage".into(),
            ..DatabaseConfig::default()
        };
        assert_eq!(bare.redacted(), bare);
    }

    #[test]
    fn an_address_of_another_engine_is_refused() {
        let config = DatabaseConfig {
            url: "mysql://db.example/barrage".into(),
            ..DatabaseConfig::default()
        };
        let error = config.validate().expect_err("MySQL is not served");
        assert!(error.contains("database.url"), "{error}");
    }

    #[tokio::test]
    async fn any_directory_can_hold_the_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let odd = dir.path().join("a b?c#d%20é");
        std::fs::create_dir(&odd).expect("a directory");
        let database = Database::connect(&DatabaseConfig::default(), &odd)
            .await
            .expect("it opens");
        database.pool.close().await;
        assert!(odd.join("barrage.db").exists());
    }
}
