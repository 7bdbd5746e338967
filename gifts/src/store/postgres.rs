//! The ledger on a database server, in a schema of its own. Each statement takes its set as arrays.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use gifts_core::Account;
use gifts_core::account::AccountId;
use gifts_core::book::{Change, Changes, Next, Pending, Recorded};
use gifts_core::row::{AccountRow, TransactionRow, TransferRow};
use gifts_core::seal::Link;
use gifts_core::transfer::{Leg, TransactionId, TransferId};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row as _};
use tokio::time::timeout;
use wire::hex;

use super::{
    AnswerRow, Opened, OutboxRow, Result, Snapshot, Store, StoreError, Table, Writer, account,
    account_row, check_release, ended, latest, leg, link, numbered, object, pending, recorded,
    transaction_row, transfer_row,
};
use crate::backup::Sink;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations/postgres");

/// Keeps what a batch comes to, and tells how many accounts were changed. One statement, since each is a way
/// to the server and back.
const WRITE: &str = "
    WITH opened AS (
        INSERT INTO accounts (number, id, ledger, limit_rule, version,
            debits_pending, debits_posted, credits_pending, credits_posted, opened_at, frozen_at, closed_at)
        SELECT * FROM UNNEST($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[],
            $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[])),
    -- Only those are changed that are as they were thought to be when it was decided.
    changed AS (
        UPDATE accounts SET version = n.version,
            debits_pending = n.debits_pending, debits_posted = n.debits_posted,
            credits_pending = n.credits_pending, credits_posted = n.credits_posted,
            frozen_at = n.frozen_at, closed_at = n.closed_at
        FROM UNNEST($13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[],
                $19::bigint[], $20::bigint[], $21::bigint[])
            AS n (number, was, version, debits_pending, debits_posted, credits_pending, credits_posted,
                frozen_at, closed_at)
        WHERE accounts.number = n.number AND accounts.version = n.was
        RETURNING accounts.number),
    entered AS (
        INSERT INTO transactions (number, id, request, code, reverses, contract, subject, first_seq, legs,
            event_at, created_at)
        SELECT * FROM UNNEST($22::bigint[], $23::text[], $24::text[], $25::bigint[], $26::bigint[],
            $27::bigint[], $28::bigint[], $29::bigint[], $30::bigint[], $31::bigint[], $32::bigint[])),
    moved AS (
        INSERT INTO transfers (seq, txn, ledger, debit, credit, amount, phase, resolves, expires_at)
        SELECT * FROM UNNEST($33::bigint[], $34::bigint[], $35::text[], $36::bigint[], $37::bigint[],
            $38::bigint[], $39::bigint[], $40::bigint[], $41::bigint[])),
    told AS (
        INSERT INTO outbox (number, topic, part_key, payload, next_at)
        SELECT * FROM UNNEST($42::bigint[], $43::text[], $44::text[], $45::text[], $46::bigint[])),
    answered AS (
        INSERT INTO answers (scope, word, request, answer, at)
        SELECT * FROM UNNEST($47::text[], $48::text[], $49::text[], $50::text[], $51::bigint[])),
    numbered AS (
        UPDATE gate SET next_account = $52, next_transaction = $53, next_seq = $54)
    SELECT COUNT(*) FROM changed";

/// How long a server may take to take a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// The ledger's schema in a database.
#[derive(Clone)]
pub struct PgStore {
    url: String,
    options: PgConnectOptions,
}

impl std::fmt::Debug for PgStore {
    /// Its address has a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PgStore").finish_non_exhaustive()
    }
}

impl PgStore {
    /// Finds the schema `ledger` in a database, makes it if need be, and brings it up to date.
    ///
    /// # Errors
    /// When that fails, or the schema is of a later release than this program. The text tells no password.
    pub async fn load(url: &str) -> anyhow::Result<Self> {
        let store = Self::at(url)?;
        let mut connection = store.connect().await?;
        // Two nodes may begin at once.
        let made = sqlx::query(
            "DO $$ BEGIN CREATE SCHEMA IF NOT EXISTS ledger; \
             EXCEPTION WHEN duplicate_schema THEN NULL; WHEN unique_violation THEN NULL; END $$",
        )
        .execute(&mut connection)
        .await;
        made.context("failed to prepare the ledger")?;
        let migrated = MIGRATIONS.run_direct(None, &mut connection, false).await;
        migrated.context("failed to bring the ledger up to date")?;
        connection
            .close()
            .await
            .context("failed to prepare the ledger")?;
        Ok(store)
    }

    /// Finds the schema `ledger` in a database as it is, if it is there.
    ///
    /// # Errors
    /// When the database does not answer, or the schema is of another release than this program.
    pub async fn find(url: &str) -> anyhow::Result<Option<Self>> {
        let store = Self::at(url)?;
        let mut connection = store.connect().await?;
        let is_there: bool =
            sqlx::query_scalar("SELECT to_regclass('ledger._sqlx_migrations') IS NOT NULL")
                .fetch_one(&mut connection)
                .await
                .context("failed to look for the ledger")?;
        if !is_there {
            return Ok(None);
        }
        let kept = sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations")
            .fetch_one(&mut connection)
            .await
            .context("failed to look at the ledger")?;
        check_release(&MIGRATIONS, kept)?;
        Ok(Some(store))
    }

    fn at(url: &str) -> anyhow::Result<Self> {
        let options: PgConnectOptions = url
            .parse()
            .context("the address of the ledger's database cannot be read")?;
        let options = options.log_statements(log::LevelFilter::Trace).options([
            ("search_path", "ledger"),
            ("client_min_messages", "warning"),
            // A plan that is made for any set reads the whole table for each.
            ("plan_cache_mode", "force_custom_plan"),
            ("statement_timeout", "10s"),
            // Who hangs within a transaction keeps others from what it holds.
            ("idle_in_transaction_session_timeout", "3s"),
        ]);
        Ok(Self {
            url: url.to_owned(),
            options,
        })
    }

    /// Its address.
    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    async fn connect(&self) -> anyhow::Result<PgConnection> {
        timeout(CONNECT_WITHIN, self.options.connect())
            .await
            .context("the ledger's database does not answer")?
            .context("failed to open the ledger's database")
    }
}

impl Store for PgStore {
    type Writer = PgWriter;
    type Snapshot = PgSnapshot;

    async fn open(&self) -> Result<Opened> {
        let mut connection = self.options.connect().await?;
        // Waits for what the one before has on its way.
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

    async fn writer(&self) -> Result<PgWriter> {
        Ok(PgWriter(self.options.connect().await?))
    }

    async fn snapshot(&self) -> Result<PgSnapshot> {
        // All of the ledger is read, which takes longer than what a gate asks.
        let options = self.options.clone().options([
            ("statement_timeout", "0"),
            ("idle_in_transaction_session_timeout", "0"),
        ]);
        let mut connection = options.connect().await?;
        sqlx::query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .execute(&mut connection)
            .await?;
        Ok(PgSnapshot(connection))
    }

    async fn forget_answers(&self, before: i64, limit: i64) -> Result<u64> {
        let mut connection = self.options.connect().await?;
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
pub struct PgWriter(PgConnection);

fn texts<T: ToString>(ids: &[T]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// A column of a set.
fn column<'a, R, T>(rows: &'a [R], of: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

impl Writer for PgWriter {
    async fn begin(&mut self, fence: i64) -> Result<Next> {
        // Keeps others from taking the ledger over until the transaction ends, and waits for what this owner
        // may have on its way over a connection that it has given up. One question, since each is a way to
        // the server and back.
        let begin = format!(
            "BEGIN; SELECT next_account, next_transaction, next_seq FROM gate WHERE fence = {fence} FOR UPDATE"
        );
        let next = sqlx::raw_sql(AssertSqlSafe(begin))
            .fetch_optional(&mut self.0)
            .await?;
        let next = next
            .map(|row| Ok::<_, sqlx::Error>((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))
            .transpose()?;
        next.map(numbered).ok_or(StoreError::Fenced)
    }

    async fn answers(&mut self, keys: &[(String, String)]) -> Result<Vec<AnswerRow>> {
        let rows: Vec<(String, String, String, String, i64)> = sqlx::query_as(
            "SELECT a.scope, a.word, a.request, a.answer, a.at FROM UNNEST($1::text[], $2::text[]) AS k (scope, word)
             JOIN answers a ON a.scope = k.scope AND a.word = k.word",
        )
        .bind(column(keys, |key| key.0.as_str()))
        .bind(column(keys, |key| key.1.as_str()))
        .fetch_all(&mut self.0)
        .await?;
        Ok(rows.into_iter().map(AnswerRow::from).collect())
    }

    async fn recorded(&mut self, ids: &[TransactionId]) -> Result<Vec<Recorded>> {
        let rows = sqlx::query_as(
            "SELECT number, id, request, code, first_seq, legs, created_at,
                    (SELECT COUNT(*) FROM transactions r WHERE r.reverses = t.number)
             FROM transactions t WHERE id = ANY($1::text[])",
        )
        .bind(texts(ids))
        .fetch_all(&mut self.0)
        .await?;
        rows.into_iter().map(recorded).collect()
    }

    async fn legs(&mut self, ids: &[TransactionId]) -> Result<Vec<(TransactionId, Leg)>> {
        let rows = sqlx::query_as(
            "SELECT t.id, d.id, c.id, f.amount
             FROM transactions t
             JOIN transfers f ON f.seq >= t.first_seq AND f.seq < t.first_seq + t.legs
             JOIN accounts d ON d.number = f.debit JOIN accounts c ON c.number = f.credit
             WHERE t.id = ANY($1::text[]) AND f.phase = 0
             ORDER BY f.seq",
        )
        .bind(texts(ids))
        .fetch_all(&mut self.0)
        .await?;
        rows.into_iter().map(leg).collect()
    }

    async fn pending(&mut self, ids: &[TransferId]) -> Result<Vec<(TransferId, Pending)>> {
        let rows = sqlx::query_as(
            "SELECT t.id, f.seq - t.first_seq, f.seq, d.id, c.id, f.amount, f.expires_at,
                    (SELECT r.phase FROM transfers r WHERE r.resolves = f.seq)
             FROM UNNEST($1::text[], $2::bigint[]) AS k (id, leg)
             JOIN transactions t ON t.id = k.id AND k.leg < t.legs
             JOIN transfers f ON f.seq = t.first_seq + k.leg
             JOIN accounts d ON d.number = f.debit JOIN accounts c ON c.number = f.credit
             WHERE f.phase = 1",
        )
        .bind(column(ids, |id| id.transaction.to_string()))
        .bind(column(ids, |id| i64::from(id.leg)))
        .fetch_all(&mut self.0)
        .await?;
        rows.into_iter().map(pending).collect()
    }

    async fn accounts(&mut self, ids: &[AccountId]) -> Result<Vec<Account>> {
        let rows = sqlx::query_as(
            "SELECT number, id, debits_pending, debits_posted, credits_pending, credits_posted, version,
                    frozen_at, closed_at
             FROM accounts WHERE id = ANY($1::text[])",
        )
        .bind(texts(ids))
        .fetch_all(&mut self.0)
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
        let new: Vec<_> = new
            .iter()
            .map(|change| AccountRow::new(&change.account, at))
            .collect();
        let (entered, moved) = (&changes.transactions, &changes.transfers);
        let Next {
            account,
            transaction,
            seq,
        } = changes.next;
        let updated: i64 = sqlx::query_scalar(WRITE)
            .bind(column(&new, |row| row.number))
            .bind(column(&new, |row| row.id.as_str()))
            .bind(column(&new, |row| row.ledger.as_str()))
            .bind(column(&new, |row| row.limit_rule))
            .bind(column(&new, |row| row.version))
            .bind(column(&new, |row| row.counters.debits_pending))
            .bind(column(&new, |row| row.counters.debits_posted))
            .bind(column(&new, |row| row.counters.credits_pending))
            .bind(column(&new, |row| row.counters.credits_posted))
            .bind(column(&new, |row| row.opened_at))
            .bind(column(&new, |row| row.frozen_at))
            .bind(column(&new, |row| row.closed_at))
            .bind(column(&known, |change| change.account.number))
            .bind(column(&known, |change| change.was))
            .bind(column(&known, |change| change.account.version))
            .bind(column(&known, |change| {
                change.account.counters.debits_pending
            }))
            .bind(column(&known, |change| {
                change.account.counters.debits_posted
            }))
            .bind(column(&known, |change| {
                change.account.counters.credits_pending
            }))
            .bind(column(&known, |change| {
                change.account.counters.credits_posted
            }))
            .bind(column(&known, |change| change.account.frozen_at))
            .bind(column(&known, |change| change.account.closed_at))
            .bind(column(entered, |row| row.number))
            .bind(column(entered, |row| row.id.as_str()))
            .bind(column(entered, |row| row.request.as_str()))
            .bind(column(entered, |row| row.code))
            .bind(column(entered, |row| row.reverses))
            .bind(column(entered, |row| row.contract))
            .bind(column(entered, |row| row.subject))
            .bind(column(entered, |row| row.first_seq))
            .bind(column(entered, |row| row.legs))
            .bind(column(entered, |row| row.event_at))
            .bind(column(entered, |row| row.created_at))
            .bind(column(moved, |row| row.seq))
            .bind(column(moved, |row| row.txn))
            .bind(column(moved, |row| row.ledger.as_str()))
            .bind(column(moved, |row| row.debit))
            .bind(column(moved, |row| row.credit))
            .bind(column(moved, |row| row.amount))
            .bind(column(moved, |row| row.phase))
            .bind(column(moved, |row| row.resolves))
            .bind(column(moved, |row| row.expires_at))
            .bind(column(outbox, |row| row.number))
            .bind(column(outbox, |row| row.topic))
            .bind(column(outbox, |row| row.part_key.as_str()))
            .bind(column(outbox, |row| row.payload.as_str()))
            .bind(column(outbox, |row| row.at))
            .bind(column(answers, |row| row.scope.as_str()))
            .bind(column(answers, |row| row.word.as_str()))
            .bind(column(answers, |row| row.request.as_str()))
            .bind(column(answers, |row| row.answer.as_str()))
            .bind(column(answers, |row| row.at))
            .bind(account)
            .bind(transaction)
            .bind(seq)
            .fetch_one(&mut self.0)
            .await?;
        if usize::try_from(updated) == Ok(known.len()) {
            Ok(())
        } else {
            Err(StoreError::Damaged("what was at hand of an account".into()))
        }
    }

    async fn put_rows(&mut self, table: &Table, rows: &str) -> Result<()> {
        let Table { name, columns, .. } = table;
        let put = format!(
            "INSERT INTO {name} ({columns})
             SELECT {columns} FROM json_populate_recordset(NULL::{name}, $1::json)"
        );
        sqlx::query(AssertSqlSafe(put))
            .bind(rows)
            .execute(&mut self.0)
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
        .execute(&mut self.0)
        .await?;
        Ok(())
    }

    async fn note_sent(&mut self, numbers: &[i64], at: i64) -> Result<()> {
        if numbers.is_empty() {
            return Ok(());
        }
        sqlx::query("UPDATE outbox SET sent_at = $2 WHERE number = ANY($1)")
            .bind(numbers)
            .bind(at)
            .execute(&mut self.0)
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
        .execute(&mut self.0)
        .await?;
        Ok(())
    }

    async fn commit(&mut self) -> Result<()> {
        let committed = sqlx::query("COMMIT").execute(&mut self.0).await;
        committed.map(|_| ()).map_err(ended)
    }

    async fn roll_back(&mut self) -> Result<()> {
        sqlx::query("ROLLBACK").execute(&mut self.0).await?;
        Ok(())
    }
}

/// A connection to read over.
#[derive(Debug)]
pub struct PgSnapshot(PgConnection);

impl Snapshot for PgSnapshot {
    async fn fence(&mut self) -> Result<i64> {
        let fence = sqlx::query_scalar("SELECT fence FROM gate")
            .fetch_one(&mut self.0)
            .await?;
        Ok(fence)
    }

    async fn rows(&mut self, table: &'static Table, sink: &mut Sink<'_>) -> anyhow::Result<()> {
        let Table { name, columns, key } = table;
        let all = format!(
            "SELECT row_to_json(t)::text FROM (SELECT {columns} FROM {name} ORDER BY {key}) AS t"
        );
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
        let names =
            sqlx::query_as("SELECT number, id FROM accounts WHERE number = ANY($1::bigint[])")
                .bind(numbers.to_vec())
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
