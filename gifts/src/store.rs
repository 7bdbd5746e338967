//! Where the ledger is kept: a file of its own, or a database server. What both can do stands here; each
//! has its own statements, which take whole sets at once.

use std::cmp::Ordering;
use std::future::Future;

use anyhow::Context as _;
use gifts_core::account::{AccountId, Counters};
use gifts_core::book::{Changes, Next, Pending, Recorded};
use gifts_core::canonical::Hash;
use gifts_core::row::{AccountRow, TransactionRow, TransferRow};
use gifts_core::seal::Link;
use gifts_core::transfer::{Code, Leg, Phase, Receipt, TransactionId, TransferId};
use gifts_core::{Account, Amount, Micros};
use wire::hex;

use crate::backup::Sink;

pub mod place;
pub mod postgres;
pub mod sqlite;

/// Says that a ledger is of another release, if it is.
fn check_release(migrator: &sqlx::migrate::Migrator, kept: Option<i64>) -> anyhow::Result<()> {
    match kept.cmp(&Some(latest(migrator))) {
        Ordering::Equal => Ok(()),
        Ordering::Less => {
            anyhow::bail!("the ledger is of an earlier release: start the server on it first")
        }
        Ordering::Greater => anyhow::bail!("the ledger is of a later release than this program"),
    }
}

/// The version of the schema that this program writes.
fn latest(migrator: &sqlx::migrate::Migrator) -> i64 {
    let versions = migrator.iter().map(|migration| migration.version);
    versions.max().unwrap_or_default()
}

/// A table, for those who read or put down all of it.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is what it says")]
pub struct Table {
    pub name: &'static str,
    pub columns: &'static str,
    /// By which its rows are in order.
    pub key: &'static str,
}

/// All but the gate's, those that others are about first.
pub const TABLES: [Table; 6] = [
    Table {
        name: "accounts",
        columns: "number, id, ledger, limit_rule, debits_pending, debits_posted, credits_pending, \
                  credits_posted, version, opened_at, frozen_at, closed_at",
        key: "number",
    },
    Table {
        name: "transactions",
        columns: "number, id, request, code, reverses, contract, subject, first_seq, legs, event_at, created_at",
        key: "number",
    },
    Table {
        name: "transfers",
        columns: "seq, txn, ledger, debit, credit, amount, phase, resolves, expires_at",
        key: "seq",
    },
    Table {
        name: "outbox",
        columns: "number, topic, part_key, payload, attempts, next_at, sent_at",
        key: "number",
    },
    Table {
        name: "answers",
        columns: "scope, word, request, answer, at",
        key: "scope, word",
    },
    Table {
        name: "links",
        columns: "last_number, first_number, before, hash, sealed_at, signer, signature",
        key: "last_number",
    },
];

/// Reads a row that the database wrote as JSON.
fn object(text: &str) -> anyhow::Result<serde_json::Map<String, serde_json::Value>> {
    serde_json::from_str(text).context("a row of the ledger cannot be read")
}

/// Why something is not kept, or not known to be.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another has the ledger now. Nothing was kept.
    #[error("another node writes to the ledger")]
    Fenced,
    /// The database holds it against its rules. Nothing was kept.
    #[error("the database refuses it")]
    Refused(#[source] sqlx::Error),
    /// The database failed. Nothing was kept.
    #[error("the database failed")]
    Failed(#[source] sqlx::Error),
    /// It may be kept or not.
    #[error("whether it is kept is not known")]
    Unknown(#[source] sqlx::Error),
    /// What stands in the database makes no sense. Nothing was kept.
    #[error("{0} is damaged")]
    Damaged(String),
}

impl From<sqlx::Error> for StoreError {
    /// What happens before the end of a transaction keeps nothing.
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code());
        if code.is_some_and(|code| is_refusal(&code)) {
            Self::Refused(error)
        } else {
            Self::Failed(error)
        }
    }
}

/// Whether a database holds something against its rules: SQLITE_CONSTRAINT in the lowest byte of a result
/// code, or the classes 22 and 23 of PostgreSQL (appendix A).
fn is_refusal(code: &str) -> bool {
    match code.parse::<u32>() {
        Ok(number) if code.len() < 5 => number & 0xff == 19,
        Ok(_) | Err(_) => code.starts_with("22") || code.starts_with("23"),
    }
}

/// What anything here comes to.
pub type Result<T> = std::result::Result<T, StoreError>;

/// The ledger, from now on written to by who opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// With this its only writer writes to it.
    pub fence: i64,
    /// When the latest transaction was entered.
    pub last_at: Micros,
}

/// What is to be told of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the schema tells of its columns")]
pub struct OutboxRow {
    pub number: i64,
    pub topic: &'static str,
    pub part_key: String,
    pub payload: String,
    pub at: Micros,
}

/// What was answered under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the schema tells of its columns")]
pub struct AnswerRow {
    pub scope: String,
    pub word: String,
    pub request: String,
    pub answer: String,
    pub at: Micros,
}

impl From<(String, String, String, String, i64)> for AnswerRow {
    fn from((scope, word, request, answer, at): (String, String, String, String, i64)) -> Self {
        Self {
            scope,
            word,
            request,
            answer,
            at,
        }
    }
}

/// A place where the ledger is kept.
pub trait Store: Clone + Send + Sync + 'static {
    /// Writes to it.
    type Writer: Writer;
    /// Reads all of it as it is at one moment.
    type Snapshot: Snapshot;

    /// Takes it over: who wrote to it before no longer can.
    fn open(&self) -> impl Future<Output = Result<Opened>> + Send;
    /// A connection to write over.
    fn writer(&self) -> impl Future<Output = Result<Self::Writer>> + Send;
    /// A connection to read over.
    fn snapshot(&self) -> impl Future<Output = Result<Self::Snapshot>> + Send;
    /// Forgets answers that were given before then, so many at most; gives how many.
    fn forget_answers(
        &self,
        before: Micros,
        limit: i64,
    ) -> impl Future<Output = Result<u64>> + Send;
    /// The version of its schema.
    fn schema() -> i64;
}

/// Writes one transaction of the database after another. When anything fails it is dropped, and what was
/// begun with it.
pub trait Writer: Send + 'static {
    /// Waits for a turn to write, and keeps others from taking the ledger over until it is done.
    fn begin(&mut self, fence: i64) -> impl Future<Output = Result<Next>> + Send;
    /// What was answered under these keys, of those that are known.
    fn answers(
        &mut self,
        keys: &[(String, String)],
    ) -> impl Future<Output = Result<Vec<AnswerRow>>> + Send;
    /// These transactions, of those that are in the ledger; without their transfers.
    fn recorded(
        &mut self,
        ids: &[TransactionId],
    ) -> impl Future<Output = Result<Vec<Recorded>>> + Send;
    /// The transfers of those that can be taken back.
    fn legs(
        &mut self,
        ids: &[TransactionId],
    ) -> impl Future<Output = Result<Vec<(TransactionId, Leg)>>> + Send;
    /// These transfers, of those that are pending in the ledger, or were.
    fn pending(
        &mut self,
        ids: &[TransferId],
    ) -> impl Future<Output = Result<Vec<(TransferId, Pending)>>> + Send;
    /// These accounts, of those that are kept.
    fn accounts(&mut self, ids: &[AccountId]) -> impl Future<Output = Result<Vec<Account>>> + Send;
    /// Puts all of it down.
    fn write(
        &mut self,
        changes: &Changes,
        outbox: &[OutboxRow],
        answers: &[AnswerRow],
    ) -> impl Future<Output = Result<()>> + Send;
    /// Puts down that these rows of the outbox have arrived.
    fn note_sent(&mut self, numbers: &[i64], at: Micros)
    -> impl Future<Output = Result<()>> + Send;
    /// Puts rows of a table down as they are, which are given as one JSON array.
    fn put_rows(&mut self, table: &Table, rows: &str) -> impl Future<Output = Result<()>> + Send;
    /// Says who may write, and what is numbered next.
    fn put_gate(&mut self, fence: i64, next: Next) -> impl Future<Output = Result<()>> + Send;
    /// Puts a link down.
    fn write_link(&mut self, link: &Link) -> impl Future<Output = Result<()>> + Send;
    /// Makes it last.
    fn commit(&mut self) -> impl Future<Output = Result<()>> + Send;
    /// Undoes what was begun.
    fn roll_back(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// Reads what is kept, page by page, all as it was when it was begun.
pub trait Snapshot: Send + 'static {
    /// Who may write.
    fn fence(&mut self) -> impl Future<Output = Result<i64>> + Send;
    /// All rows of a table, one by one.
    fn rows(
        &mut self,
        table: &'static Table,
        sink: &mut Sink<'_>,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;
    /// What is numbered next.
    fn next(&mut self) -> impl Future<Output = Result<Next>> + Send;
    /// The accounts after this number.
    fn accounts(
        &mut self,
        after: i64,
        limit: i64,
    ) -> impl Future<Output = Result<Vec<AccountRow>>> + Send;
    /// The transactions after this number, and whether each has a row in the outbox.
    fn transactions(
        &mut self,
        after: i64,
        limit: i64,
    ) -> impl Future<Output = Result<Vec<(TransactionRow, bool)>>> + Send;
    /// The transfers among these, by `seq`.
    fn transfers(
        &mut self,
        first: i64,
        last: i64,
    ) -> impl Future<Output = Result<Vec<TransferRow>>> + Send;
    /// The identities of the accounts of these numbers.
    fn names(&mut self, numbers: &[i64])
    -> impl Future<Output = Result<Vec<(i64, String)>>> + Send;
    /// The links after the one that ends with this number.
    fn links(&mut self, after: i64, limit: i64) -> impl Future<Output = Result<Vec<Link>>> + Send;
    /// The last link.
    fn last_link(&mut self) -> impl Future<Output = Result<Option<Link>>> + Send;
}

// ---- what both read, from the columns of either ---------------------------------------------------

/// `number, id, debits_pending, debits_posted, credits_pending, credits_posted, version, frozen_at, closed_at`.
pub(crate) type AccountColumns = (
    i64,
    String,
    i64,
    i64,
    i64,
    i64,
    i64,
    Option<i64>,
    Option<i64>,
);

pub(crate) fn account(columns: AccountColumns) -> Result<Account> {
    let (number, id, debits_pending, debits_posted, credits_pending, credits_posted, ..) = columns;
    let (.., version, frozen_at, closed_at) = columns;
    Ok(Account {
        id: parse("the account", &id)?,
        number,
        counters: Counters {
            debits_pending,
            debits_posted,
            credits_pending,
            credits_posted,
        },
        version,
        frozen_at,
        closed_at,
    })
}

/// `number, id, request, code, first_seq, legs, created_at`, and how many have taken it back.
type RecordedColumns = (i64, String, String, i64, i64, i64, i64, i64);

fn recorded(columns: RecordedColumns) -> Result<Recorded> {
    let (number, id, request, code, first_seq, legs, at, reversals) = columns;
    let damaged = || StoreError::Damaged(format!("the transaction {id}"));
    Ok(Recorded {
        receipt: Receipt {
            id: parse("the transaction", &id)?,
            number,
            first_seq,
            legs: u16::try_from(legs).map_err(|_| damaged())?,
            at,
        },
        request: hash(&request).ok_or_else(damaged)?,
        code: Code::of_number(code).ok_or_else(damaged)?,
        is_reversed: reversals > 0,
        legs: None,
    })
}

/// The transaction's `id`, the identities of debit and credit account, `amount`.
type LegColumns = (String, String, String, i64);

fn leg((id, debit, credit, amount): LegColumns) -> Result<(TransactionId, Leg)> {
    let amount = Amount::new(amount);
    let amount = amount.ok_or_else(|| StoreError::Damaged(format!("a transfer of {id}")))?;
    let (debit, credit) = (
        parse("the account", &debit)?,
        parse("the account", &credit)?,
    );
    Ok((
        parse("the transaction", &id)?,
        Leg::single(debit, credit, amount),
    ))
}

/// The transaction's `id`, which leg, `seq`, the identities of debit and credit account, `amount`,
/// `expires_at`, and the `phase` of what resolved it.
type PendingColumns = (
    String,
    i64,
    i64,
    String,
    String,
    i64,
    Option<i64>,
    Option<i64>,
);

fn pending(columns: PendingColumns) -> Result<(TransferId, Pending)> {
    let (id, number, seq, debit, credit, amount, expires_at, resolution) = columns;
    let damaged = || StoreError::Damaged(format!("the transfer {seq}"));
    let (transaction, moved) = leg((id, debit, credit, amount))?;
    let id = TransferId {
        transaction,
        leg: u16::try_from(number).map_err(|_| damaged())?,
    };
    let resolved = match resolution {
        None => None,
        Some(2) => Some(Phase::Post(id)),
        Some(3) => Some(Phase::Void(id)),
        Some(4) => Some(Phase::Expire(id)),
        Some(_) => return Err(damaged()),
    };
    let leg = Leg {
        phase: Phase::Pending { expires_at },
        ..moved
    };
    Ok((id, Pending { seq, leg, resolved }))
}

/// As above, with `ledger, limit_rule` after the identity and `opened_at` after the version.
type AccountRowColumns = (
    i64,
    String,
    String,
    i64,
    i64,
    i64,
    i64,
    i64,
    i64,
    i64,
    Option<i64>,
    Option<i64>,
);

fn account_row(columns: AccountRowColumns) -> AccountRow {
    let (number, id, ledger, limit_rule, debits_pending, debits_posted, ..) = columns;
    let (.., credits_pending, credits_posted, version, opened_at, frozen_at, closed_at) = columns;
    AccountRow {
        number,
        id,
        ledger,
        limit_rule,
        counters: Counters {
            debits_pending,
            debits_posted,
            credits_pending,
            credits_posted,
        },
        version,
        opened_at,
        frozen_at,
        closed_at,
    }
}

/// The columns of the table in their order, and how many rows of the outbox it has.
type TransactionRowColumns = (
    i64,
    String,
    String,
    i64,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    i64,
    i64,
    i64,
    i64,
    i64,
);

fn transaction_row(columns: TransactionRowColumns) -> (TransactionRow, bool) {
    let (number, id, request, code, reverses, contract, ..) = columns;
    let (.., subject, first_seq, legs, event_at, created_at, announced) = columns;
    let row = TransactionRow {
        number,
        id,
        request,
        code,
        reverses,
        contract,
        subject,
        first_seq,
        legs,
        event_at,
        created_at,
    };
    (row, announced > 0)
}

/// The columns of the table in their order.
type TransferRowColumns = (
    i64,
    i64,
    String,
    i64,
    i64,
    i64,
    i64,
    Option<i64>,
    Option<i64>,
);

fn transfer_row(columns: TransferRowColumns) -> TransferRow {
    let (seq, txn, ledger, debit, credit, amount, phase, resolves, expires_at) = columns;
    TransferRow {
        seq,
        txn,
        ledger,
        debit,
        credit,
        amount,
        phase,
        resolves,
        expires_at,
    }
}

/// `first_number, last_number, before, hash, sealed_at, signer, signature`.
type LinkColumns = (i64, i64, String, String, i64, String, String);

fn link((first, last, before, own, sealed_at, key, signature): LinkColumns) -> Result<Link> {
    let read = || {
        Some(Link {
            first,
            last,
            before: hash(&before)?,
            hash: hash(&own)?,
            sealed_at,
            key: hash(&key)?,
            signature: hex::decode(&signature)?.try_into().ok()?,
        })
    };
    read().ok_or_else(|| StoreError::Damaged(format!("the link {first} to {last}")))
}

fn hash(text: &str) -> Option<Hash> {
    hex::decode(text)?.try_into().ok()
}

pub(crate) fn parse<T: std::str::FromStr>(what: &str, text: &str) -> Result<T> {
    text.parse()
        .map_err(|_| StoreError::Damaged(format!("{what} {text:?}")))
}

/// What became of the end of a transaction.
fn ended(error: sqlx::Error) -> StoreError {
    if kit::database::is_unwritten(&error) {
        StoreError::Failed(error)
    } else {
        StoreError::Unknown(error)
    }
}

const fn numbered((account, transaction, seq): (i64, i64, i64)) -> Next {
    Next {
        account,
        transaction,
        seq,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_of_both_engines_is_one() {
        let tables = |text: &'static str| {
            let (tables, _) = text
                .split_once("-- What is entered stays")
                .expect("it has triggers");
            tables.replace(
                "INTEGER  NOT NULL PRIMARY KEY",
                "BIGINT   NOT NULL PRIMARY KEY",
            )
        };
        let sqlite = include_str!("../migrations/sqlite/0001_ledger.sql");
        let postgres = include_str!("../migrations/postgres/0001_ledger.sql");
        assert_eq!(tables(sqlite), tables(postgres));
    }

    #[test]
    fn a_database_that_refuses_is_told_from_one_that_fails() {
        // Unique, check, foreign key, trigger.
        for code in ["2067", "275", "787", "1811", "23505", "23514", "22003"] {
            assert!(is_refusal(code), "{code}");
        }
        // Busy, full, read and write errors; a server that ends, a lock that waits too long.
        for code in ["5", "13", "266", "778", "57P01", "55P03", "53100", "40001"] {
            assert!(!is_refusal(code), "{code}");
        }
    }
}
