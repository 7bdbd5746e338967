//! The ledger in a file of its own. Each statement takes a whole set: SQLite is asked from a thread of its own,
//! and to ask costs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use gifts_core::Account;
use gifts_core::account::AccountId;
use gifts_core::book::{Change, Changes, Next, Pending, Recorded};
use gifts_core::row::{AccountRow, TransactionRow, TransferRow};
use gifts_core::seal::Link;
use gifts_core::transfer::{Leg, TransactionId, TransferId};
use kit::private_file;
use serde::Serialize;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection};
use tokio::sync::{Mutex, OwnedMutexGuard};
use wire::hex;

use super::{
    AnswerRow, Opened, OutboxRow, Result, Snapshot, Store, StoreError, Table, Writer, account,
    account_row, check_release, ended, latest, leg, link, numbered, object, pending, recorded,
    transaction_row, transfer_row,
};
use crate::backup::Sink;

use many::{Bound, Many};

mod many;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations/sqlite");

/// Its name in the data directory.
const FILE: &str = "ledger.db";

/// How long a writer waits for its turn.
const BUSY_TIMEOUT: Duration = Duration::from_millis(500);

/// What is read often is at hand, in KiB. A gift touches a page of each index, anywhere in it.
const CACHE_KIB: u32 = 32 << 10;

/// How many rows are read ahead of whoever reads all of it.
const ROWS_AHEAD: usize = 4_096;

/// After so many pages in the log they are brought to where they belong. A page that is written by many
/// transactions is brought there once.
const CHECKPOINT_PAGES: u32 = 4_096;

// What is refused undoes the whole transaction: to undo a statement alone, SQLite would keep a copy of each
// page.

static OPEN: Many = Many::new(
    "INSERT OR ROLLBACK INTO accounts (number, id, ledger, limit_rule, version,
        debits_pending, debits_posted, credits_pending, credits_posted, opened_at, frozen_at, closed_at)
     SELECT * FROM",
    12,
    "WHERE column1 IS NOT NULL",
);

/// Only those are changed that are as they were thought to be when it was decided.
static CHANGE: Many = Many::new(
    "UPDATE accounts SET version = column3,
        debits_pending = column4, debits_posted = column5,
        credits_pending = column6, credits_posted = column7,
        frozen_at = column8, closed_at = column9
     FROM",
    9,
    "WHERE accounts.number = column1 AND accounts.version = column2",
);

static ENTER: Many = Many::new(
    "INSERT OR ROLLBACK INTO transactions (number, id, request, code, reverses, contract, subject,
        first_seq, legs, event_at, created_at)
     SELECT * FROM",
    11,
    "WHERE column1 IS NOT NULL",
);

static MOVE: Many = Many::new(
    "INSERT OR ROLLBACK INTO transfers (seq, txn, ledger, debit, credit, amount, phase, resolves, expires_at)
     SELECT * FROM",
    9,
    "WHERE column1 IS NOT NULL",
);

static TELL: Many = Many::new(
    "INSERT OR ROLLBACK INTO outbox (number, topic, part_key, payload, next_at) SELECT * FROM",
    5,
    "WHERE column1 IS NOT NULL",
);

static ANSWER: Many = Many::new(
    "INSERT OR ROLLBACK INTO answers (scope, word, request, answer, at) SELECT * FROM",
    5,
    "WHERE column1 IS NOT NULL",
);

/// Statements that are kept prepared.
const STATEMENTS: usize = 128;

/// Whoever writes in this process, one after another as they asked. SQLite itself lets whoever comes by at
/// the right moment write, and a gate under load leaves few of those.
type Turn = Arc<Mutex<()>>;

/// The ledger's file.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    options: SqliteConnectOptions,
    turn: Turn,
}

impl SqliteStore {
    /// Opens `ledger.db` in `data_dir`, makes it if need be, and brings its schema up to date.
    ///
    /// # Errors
    /// When that fails, or the schema is of a later release than this program.
    pub async fn load(data_dir: &Path) -> anyhow::Result<Self> {
        let path = data_dir.join(FILE);
        let failed = || format!("failed to open the ledger {}", path.display());
        // What SQLite writes beside it has the same permissions.
        private_file::ensure(&path).with_context(failed)?;
        let store = Self::at(&path);
        let mut connection = store.options.connect().await.with_context(failed)?;
        let migrated = MIGRATIONS.run_direct(None, &mut connection, false).await;
        migrated.context("failed to bring the ledger up to date")?;
        connection.close().await.with_context(failed)?;
        Ok(store)
    }

    /// Opens `ledger.db` in `data_dir` as it is, if it is there.
    ///
    /// # Errors
    /// When it cannot be opened, or its schema is of another release than this program.
    pub async fn find(data_dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = data_dir.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let failed = || format!("failed to open the ledger {}", path.display());
        let store = Self::at(&path);
        let mut connection = store.options.connect().await.with_context(failed)?;
        let kept = sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations")
            .fetch_one(&mut connection)
            .await
            .with_context(failed)?;
        connection.close().await.with_context(failed)?;
        check_release(&MIGRATIONS, kept)?;
        Ok(Some(store))
    }

    fn at(path: &Path) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            // What was answered is on the disk.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(STATEMENTS)
            .pragma("cache_size", format!("-{CACHE_KIB}"))
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES.to_string())
            // What a statement that fails would undo is not written to a file.
            .pragma("temp_store", "memory")
            .log_statements(log::LevelFilter::Trace);
        Self {
            options,
            turn: Turn::default(),
        }
    }
}

impl SqliteStore {
    /// Its address.
    pub(super) fn url(&self) -> anyhow::Result<String> {
        kit::database::sqlite_url(self.options.get_filename())
    }
}

impl Store for SqliteStore {
    type Writer = SqliteWriter;
    type Snapshot = SqliteSnapshot;

    async fn open(&self) -> Result<Opened> {
        let mut connection = self.options.connect().await?;
        let _turn = self.turn.lock().await;
        let fence = sqlx::query_scalar("UPDATE gate SET fence = fence + 1 RETURNING fence")
            .fetch_one(&mut connection)
            .await?;
        let last_at: Option<i64> =
            sqlx::query_scalar("SELECT created_at FROM transactions ORDER BY number DESC LIMIT 1")
                .fetch_optional(&mut connection)
                .await?;
        connection.close().await?;
        Ok(Opened {
            fence,
            last_at: last_at.unwrap_or_default(),
        })
    }

    async fn writer(&self) -> Result<SqliteWriter> {
        Ok(SqliteWriter {
            connection: self.options.connect().await?,
            turn: Arc::clone(&self.turn),
            writes: None,
        })
    }

    async fn snapshot(&self) -> Result<SqliteSnapshot> {
        // SQLite's thread reads on while what it has read is looked at.
        let options = self.options.clone().row_buffer_size(ROWS_AHEAD);
        let mut connection = options.connect().await?;
        sqlx::query("BEGIN").execute(&mut connection).await?;
        Ok(SqliteSnapshot(connection))
    }

    async fn forget_answers(&self, before: i64, limit: i64) -> Result<u64> {
        let mut connection = self.options.connect().await?;
        let _turn = self.turn.lock().await;
        let forgotten = sqlx::query(
            "DELETE FROM answers WHERE (scope, word) IN
                 (SELECT scope, word FROM answers WHERE at < $1 ORDER BY at LIMIT $2)",
        )
        .bind(before)
        .bind(limit)
        .execute(&mut connection)
        .await?;
        connection.close().await?;
        Ok(forgotten.rows_affected())
    }

    fn schema() -> i64 {
        latest(&MIGRATIONS)
    }
}

/// A connection to write over.
#[derive(Debug)]
pub struct SqliteWriter {
    connection: SqliteConnection,
    turn: Turn,
    /// While a transaction goes on.
    writes: Option<OwnedMutexGuard<()>>,
}

/// A set as one text.
fn set<T: Serialize>(rows: impl IntoIterator<Item = T>) -> String {
    let rows: Vec<T> = rows.into_iter().collect();
    serde_json::to_string(&rows).expect("rows are plain data")
}

impl Writer for SqliteWriter {
    async fn begin(&mut self, fence: i64) -> Result<Next> {
        self.writes = Some(Arc::clone(&self.turn).lock_owned().await);
        let next: Option<(i64, i64, i64)> = sqlx::query_as(
            "BEGIN IMMEDIATE;
             SELECT next_account, next_transaction, next_seq FROM gate WHERE fence = $1",
        )
        .bind(fence)
        .fetch_optional(&mut self.connection)
        .await?;
        next.map(numbered).ok_or(StoreError::Fenced)
    }

    async fn answers(&mut self, keys: &[(String, String)]) -> Result<Vec<AnswerRow>> {
        let rows: Vec<(String, String, String, String, i64)> = sqlx::query_as(
            "SELECT a.scope, a.word, a.request, a.answer, a.at FROM json_each($1) AS k
             JOIN answers a ON a.scope = k.value ->> 0 AND a.word = k.value ->> 1",
        )
        .bind(set(keys))
        .fetch_all(&mut self.connection)
        .await?;
        Ok(rows.into_iter().map(AnswerRow::from).collect())
    }

    async fn recorded(&mut self, ids: &[TransactionId]) -> Result<Vec<Recorded>> {
        let rows = sqlx::query_as(
            "SELECT number, id, request, code, first_seq, legs, created_at,
                    (SELECT COUNT(*) FROM transactions r WHERE r.reverses = t.number)
             FROM transactions t WHERE id IN (SELECT value FROM json_each($1))",
        )
        .bind(set(ids.iter().map(ToString::to_string)))
        .fetch_all(&mut self.connection)
        .await?;
        rows.into_iter().map(recorded).collect()
    }

    async fn legs(&mut self, ids: &[TransactionId]) -> Result<Vec<(TransactionId, Leg)>> {
        let rows = sqlx::query_as(
            "SELECT t.id, d.id, c.id, f.amount
             FROM transactions t
             JOIN transfers f ON f.seq >= t.first_seq AND f.seq < t.first_seq + t.legs
             JOIN accounts d ON d.number = f.debit JOIN accounts c ON c.number = f.credit
             WHERE t.id IN (SELECT value FROM json_each($1)) AND f.phase = 0
             ORDER BY f.seq",
        )
        .bind(set(ids.iter().map(ToString::to_string)))
        .fetch_all(&mut self.connection)
        .await?;
        rows.into_iter().map(leg).collect()
    }

    async fn pending(&mut self, ids: &[TransferId]) -> Result<Vec<(TransferId, Pending)>> {
        let rows = sqlx::query_as(
            "SELECT t.id, f.seq - t.first_seq, f.seq, d.id, c.id, f.amount, f.expires_at,
                    (SELECT r.phase FROM transfers r WHERE r.resolves = f.seq)
             FROM json_each($1) AS k
             JOIN transactions t ON t.id = k.value ->> 0 AND k.value ->> 1 < t.legs
             JOIN transfers f ON f.seq = t.first_seq + (k.value ->> 1)
             JOIN accounts d ON d.number = f.debit JOIN accounts c ON c.number = f.credit
             WHERE f.phase = 1",
        )
        .bind(set(ids
            .iter()
            .map(|id| (id.transaction.to_string(), id.leg))))
        .fetch_all(&mut self.connection)
        .await?;
        rows.into_iter().map(pending).collect()
    }

    async fn accounts(&mut self, ids: &[AccountId]) -> Result<Vec<Account>> {
        let rows = sqlx::query_as(
            "SELECT number, id, debits_pending, debits_posted, credits_pending, credits_posted, version,
                    frozen_at, closed_at
             FROM accounts WHERE id IN (SELECT value FROM json_each($1))",
        )
        .bind(set(ids.iter().map(ToString::to_string)))
        .fetch_all(&mut self.connection)
        .await?;
        rows.into_iter().map(account).collect()
    }

    async fn write(
        &mut self,
        changes: &Changes,
        outbox: &[OutboxRow],
        answers: &[AnswerRow],
    ) -> Result<()> {
        let (new, known): (Vec<&Change>, Vec<&Change>) =
            changes.accounts.iter().partition(|change| change.is_new);
        let at = changes.transactions.first().map_or(0, |row| row.created_at);
        let connection = &mut self.connection;
        let mut written = OPEN
            .run(connection, &new, |change, row| new_account(change, at, row))
            .await?;
        written += CHANGE.run(connection, &known, known_account).await?;
        written += ENTER
            .run(connection, &changes.transactions, transaction)
            .await?;
        written += MOVE.run(connection, &changes.transfers, transfer).await?;
        written += TELL.run(connection, outbox, told).await?;
        written += ANSWER.run(connection, answers, answered).await?;
        let rows = [
            changes.accounts.len(),
            changes.transactions.len(),
            changes.transfers.len(),
            outbox.len(),
            answers.len(),
        ];
        if written != rows.into_iter().sum::<usize>() as u64 {
            return Err(StoreError::Damaged("what was at hand of an account".into()));
        }
        let Next {
            account,
            transaction,
            seq,
        } = changes.next;
        sqlx::query("UPDATE gate SET next_account = $1, next_transaction = $2, next_seq = $3")
            .bind(account)
            .bind(transaction)
            .bind(seq)
            .execute(connection)
            .await?;
        Ok(())
    }

    async fn put_rows(&mut self, table: &Table, rows: &str) -> Result<()> {
        let Table { name, columns, .. } = table;
        let values = columns
            .split(", ")
            .map(|column| format!("value ->> '{column}'"));
        let values = values.collect::<Vec<_>>().join(", ");
        let put = format!("INSERT INTO {name} ({columns}) SELECT {values} FROM json_each($1)");
        sqlx::query(AssertSqlSafe(put))
            .bind(rows)
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    async fn put_gate(&mut self, fence: i64, next: Next) -> Result<()> {
        sqlx::query(
            "UPDATE gate SET fence = $1, next_account = $2, next_transaction = $3, next_seq = $4",
        )
        .bind(fence)
        .bind(next.account)
        .bind(next.transaction)
        .bind(next.seq)
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    async fn note_sent(&mut self, numbers: &[i64], at: i64) -> Result<()> {
        if numbers.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "UPDATE outbox SET sent_at = $2 WHERE number IN (SELECT value FROM json_each($1))",
        )
        .bind(set(numbers))
        .bind(at)
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    async fn write_link(&mut self, link: &Link) -> Result<()> {
        sqlx::query(
            "INSERT INTO links (first_number, last_number, before, hash, sealed_at, signer, signature)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(link.first)
        .bind(link.last)
        .bind(hex::encode(&link.before))
        .bind(hex::encode(&link.hash))
        .bind(link.sealed_at)
        .bind(hex::encode(&link.key))
        .bind(hex::encode(&link.signature))
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    async fn commit(&mut self) -> Result<()> {
        let committed = sqlx::query("COMMIT").execute(&mut self.connection).await;
        self.writes = None;
        committed.map(|_| ()).map_err(ended)
    }

    async fn roll_back(&mut self) -> Result<()> {
        sqlx::query("ROLLBACK")
            .execute(&mut self.connection)
            .await?;
        self.writes = None;
        Ok(())
    }
}

fn new_account(change: &Change, at: i64, row: &mut Bound) {
    let account = AccountRow::new(&change.account, at);
    let c = account.counters;
    row.value(account.number)
        .value(account.id)
        .value(account.ledger)
        .value(account.limit_rule)
        .value(account.version)
        .value(c.debits_pending)
        .value(c.debits_posted)
        .value(c.credits_pending)
        .value(c.credits_posted)
        .value(account.opened_at)
        .value(account.frozen_at)
        .value(account.closed_at);
}

fn known_account(change: &&Change, row: &mut Bound) {
    let account = change.account;
    let c = account.counters;
    row.value(account.number)
        .value(change.was)
        .value(account.version)
        .value(c.debits_pending)
        .value(c.debits_posted)
        .value(c.credits_pending)
        .value(c.credits_posted)
        .value(account.frozen_at)
        .value(account.closed_at);
}

fn transaction(entered: &TransactionRow, row: &mut Bound) {
    row.value(entered.number)
        .value(entered.id.as_str())
        .value(entered.request.as_str())
        .value(entered.code)
        .value(entered.reverses)
        .value(entered.contract)
        .value(entered.subject)
        .value(entered.first_seq)
        .value(entered.legs)
        .value(entered.event_at)
        .value(entered.created_at);
}

fn transfer(moved: &TransferRow, row: &mut Bound) {
    row.value(moved.seq)
        .value(moved.txn)
        .value(moved.ledger.as_str())
        .value(moved.debit)
        .value(moved.credit)
        .value(moved.amount)
        .value(moved.phase)
        .value(moved.resolves)
        .value(moved.expires_at);
}

fn told(told: &OutboxRow, row: &mut Bound) {
    row.value(told.number)
        .value(told.topic)
        .value(told.part_key.as_str())
        .value(told.payload.as_str())
        .value(told.at);
}

fn answered(answer: &AnswerRow, row: &mut Bound) {
    row.value(answer.scope.as_str())
        .value(answer.word.as_str())
        .value(answer.request.as_str())
        .value(answer.answer.as_str())
        .value(answer.at);
}

/// A connection to read over.
#[derive(Debug)]
pub struct SqliteSnapshot(SqliteConnection);

impl Snapshot for SqliteSnapshot {
    async fn fence(&mut self) -> Result<i64> {
        let fence = sqlx::query_scalar("SELECT fence FROM gate")
            .fetch_one(&mut self.0)
            .await?;
        Ok(fence)
    }

    async fn rows(&mut self, table: &'static Table, sink: &mut Sink<'_>) -> anyhow::Result<()> {
        let Table { name, columns, key } = table;
        let pairs = columns
            .split(", ")
            .map(|column| format!("'{column}', {column}"));
        let pairs = pairs.collect::<Vec<_>>().join(", ");
        let all = format!("SELECT json_object({pairs}) FROM {name} ORDER BY {key}");
        let mut rows = sqlx::query_scalar::<_, String>(AssertSqlSafe(all)).fetch(&mut self.0);
        while let Some(row) = rows.try_next().await? {
            sink(name, object(&row)?)?;
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Next> {
        let next = sqlx::query_as("SELECT next_account, next_transaction, next_seq FROM gate")
            .fetch_one(&mut self.0)
            .await?;
        Ok(numbered(next))
    }

    async fn accounts(&mut self, after: i64, limit: i64) -> Result<Vec<AccountRow>> {
        let rows = sqlx::query_as(
            "SELECT number, id, ledger, limit_rule, debits_pending, debits_posted, credits_pending,
                    credits_posted, version, opened_at, frozen_at, closed_at
             FROM accounts WHERE number > $1 ORDER BY number LIMIT $2",
        )
        .bind(after)
        .bind(limit)
        .fetch_all(&mut self.0)
        .await?;
        Ok(rows.into_iter().map(account_row).collect())
    }

    async fn transactions(
        &mut self,
        after: i64,
        limit: i64,
    ) -> Result<Vec<(TransactionRow, bool)>> {
        let rows = sqlx::query_as(
            "SELECT number, id, request, code, reverses, contract, subject, first_seq, legs, event_at,
                    created_at, (SELECT COUNT(*) FROM outbox o WHERE o.number = t.number)
             FROM transactions t WHERE number > $1 ORDER BY number LIMIT $2",
        )
        .bind(after)
        .bind(limit)
        .fetch_all(&mut self.0)
        .await?;
        Ok(rows.into_iter().map(transaction_row).collect())
    }

    async fn transfers(&mut self, first: i64, last: i64) -> Result<Vec<TransferRow>> {
        let rows = sqlx::query_as(
            "SELECT seq, txn, ledger, debit, credit, amount, phase, resolves, expires_at
             FROM transfers WHERE seq >= $1 AND seq <= $2 ORDER BY seq",
        )
        .bind(first)
        .bind(last)
        .fetch_all(&mut self.0)
        .await?;
        Ok(rows.into_iter().map(transfer_row).collect())
    }

    async fn names(&mut self, numbers: &[i64]) -> Result<Vec<(i64, String)>> {
        let names = sqlx::query_as(
            "SELECT number, id FROM accounts WHERE number IN (SELECT value FROM json_each($1))",
        )
        .bind(set(numbers))
        .fetch_all(&mut self.0)
        .await?;
        Ok(names)
    }

    async fn links(&mut self, after: i64, limit: i64) -> Result<Vec<Link>> {
        let rows = sqlx::query_as(
            "SELECT first_number, last_number, before, hash, sealed_at, signer, signature
             FROM links WHERE last_number > $1 ORDER BY last_number LIMIT $2",
        )
        .bind(after)
        .bind(limit)
        .fetch_all(&mut self.0)
        .await?;
        rows.into_iter().map(link).collect()
    }

    async fn last_link(&mut self) -> Result<Option<Link>> {
        let row = sqlx::query_as(
            "SELECT first_number, last_number, before, hash, sealed_at, signer, signature
             FROM links ORDER BY last_number DESC LIMIT 1",
        )
        .fetch_optional(&mut self.0)
        .await?;
        row.map(link).transpose()
    }
}
