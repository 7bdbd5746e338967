//! What is in the ledger, for those who look: balances, lines, what was earned. All of it is read beside
//! whoever writes.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use gifts_core::account::AccountId;
use gifts_core::transfer::{Code, TransactionId};
use gifts_core::{Account, Micros};
use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{AnyPool, AssertSqlSafe, Row as _};

use crate::store::place::Place;
use crate::store::{self, StoreError};

/// How many legs of one transaction touch one side of an account at most.
const LEGS_OF_ONE: i64 = 8;

/// A day.
const DAY: Micros = 86_400_000_000;

type Result<T> = std::result::Result<T, StoreError>;

/// Reads the ledger.
#[derive(Clone, Debug)]
pub struct Reading {
    pool: AnyPool,
}

/// A transaction, as those see it whom it concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The how many-th of all.
    pub number: i64,
    /// Which.
    pub id: TransactionId,
    /// What kind of thing it is.
    pub code: Code,
    /// Since when it is in the ledger.
    pub at: Micros,
    /// What it came to on each account that was asked about, on the side where that grows.
    pub amounts: HashMap<AccountId, i64>,
    /// What everybody was told of it.
    pub public: Option<Value>,
    /// To which channel or agency, if it was a gift: the channel of its own, or of what it takes back.
    pub part_key: String,
    /// The one that it takes back.
    pub reverses: Option<i64>,
    /// Whether it was taken back.
    pub is_reversed: bool,
}

/// What is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Of which transaction.
    pub number: i64,
    /// What it is about.
    pub topic: String,
    /// Whom it concerns.
    pub part_key: String,
    /// What the gate wrote.
    pub payload: String,
    /// Since when it is in the ledger.
    pub at: Micros,
    /// The one that it takes back: its number, and whom that concerned.
    pub takes_back: Option<(i64, String)>,
    /// Whether that is a gift.
    pub takes_back_gift: bool,
}

/// What a payee earned on a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Day {
    /// Days since the Unix epoch.
    pub day: i64,
    /// How many gifts.
    pub gifts: i64,
    /// Of that, what is the payee's, and may be paid out once it is released.
    pub earned: i64,
    /// What of that was taken back.
    pub taken_back: i64,
}

impl Reading {
    /// Of the ledger at a place.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn open(place: &Place) -> anyhow::Result<Self> {
        Ok(Self {
            pool: place.readers().await?,
        })
    }

    /// These accounts, of those that anything has touched.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn accounts(&self, ids: &[AccountId]) -> Result<Vec<Account>> {
        let rows = bound(
            format!(
                "SELECT number, id, debits_pending, debits_posted, credits_pending, credits_posted, version,
                        frozen_at, closed_at
                 FROM accounts WHERE id IN ({})",
                places(1, ids.len())
            ),
            ids.iter().map(ToString::to_string),
        );
        let rows = rows.fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| store::account(columns_of_account(row)?))
            .collect()
    }

    /// The last `limit` transactions before the `before`-th that touch any of these accounts, latest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lines(&self, of: &[AccountId], before: i64, limit: i64) -> Result<Vec<Line>> {
        let accounts = self.accounts(of).await?;
        if accounts.is_empty() {
            return Ok(Vec::new());
        }
        let mut text = String::new();
        for account in &accounts {
            for side in ["debit", "credit"] {
                let or = if text.is_empty() { "" } else { " UNION ALL " };
                // Writing to a string cannot fail.
                let _ = write!(
                    text,
                    "{or}SELECT txn FROM (SELECT txn FROM transfers WHERE {side} = {} AND txn < $1
                     ORDER BY seq DESC LIMIT {}) AS few",
                    account.number,
                    limit.saturating_mul(LEGS_OF_ONE)
                );
            }
        }
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT DISTINCT txn FROM ({text}) AS touched ORDER BY txn DESC LIMIT $2"
        )))
        .bind(before)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let numbers = rows.iter().map(|row| row.try_get(0));
        let numbers = numbers.collect::<sqlx::Result<Vec<i64>>>()?;
        self.lines_of(&numbers, &accounts).await
    }

    async fn lines_of(&self, numbers: &[i64], accounts: &[Account]) -> Result<Vec<Line>> {
        let list = numbers.iter().map(ToString::to_string);
        let list = list.collect::<Vec<_>>().join(", ");
        if list.is_empty() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT t.number, t.id, t.code, t.created_at, o.payload, COALESCE(p.part_key, o.part_key), t.reverses,
                    (SELECT COUNT(*) FROM transactions r WHERE r.reverses = t.number)
             FROM transactions t JOIN outbox o ON o.number = t.number
             LEFT JOIN outbox p ON p.number = t.reverses
             WHERE t.number IN ({list}) ORDER BY t.number DESC"
        )))
        .fetch_all(&self.pool)
        .await?;
        let mut lines = rows.iter().map(line).collect::<Result<Vec<_>>>()?;
        let moved = sqlx::query(AssertSqlSafe(format!(
            "SELECT txn, debit, credit, amount FROM transfers
             WHERE txn IN ({list}) AND phase IN (0, 2) ORDER BY seq"
        )))
        .fetch_all(&self.pool)
        .await?;
        let by_number: BTreeMap<i64, &Account> = accounts
            .iter()
            .map(|account| (account.number, account))
            .collect();
        let places: HashMap<i64, usize> = lines
            .iter()
            .enumerate()
            .map(|(place, line)| (line.number, place))
            .collect();
        for row in &moved {
            let (txn, debit, credit): (i64, i64, i64) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let amount: i64 = row.try_get(3)?;
            let Some(line) = places.get(&txn).and_then(|place| lines.get_mut(*place)) else {
                continue;
            };
            for (number, is_debit) in [(debit, true), (credit, false)] {
                let Some(account) = by_number.get(&number) else {
                    continue;
                };
                let grows = is_debit == account.id.kind.class().is_debit_normal();
                *line.amounts.entry(account.id).or_default() +=
                    if grows { amount } else { -amount };
            }
        }
        Ok(lines)
    }

    /// A transaction, with what it came to on these accounts.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn transaction(&self, id: TransactionId) -> Result<Option<Line>> {
        let number: Option<i64> =
            sqlx::query_scalar("SELECT number FROM transactions WHERE id = $1")
                .bind(id.to_string())
                .fetch_optional(&self.pool)
                .await?;
        let Some(number) = number else {
            return Ok(None);
        };
        Ok(self.lines_of(&[number], &[]).await?.pop())
    }

    /// What is to be told and has not arrived: at most `limit`, from the one after `after` on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn untold(&self, after: i64, limit: i64) -> Result<Vec<Told>> {
        let rows = sqlx::query(
            "SELECT o.number, o.topic, o.part_key, o.payload, t.created_at, t.reverses, p.part_key,
                    COALESCE(p.topic, '') AS whose
             FROM outbox o JOIN transactions t ON t.number = o.number
             LEFT JOIN outbox p ON p.number = t.reverses
             WHERE o.sent_at IS NULL AND o.number > $1
             ORDER BY o.number LIMIT $2",
        )
        .bind(after)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(told).collect()
    }

    /// The gifts since then among the last `limit` transactions, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn gifts_since(&self, since: Micros, limit: i64) -> Result<Vec<Told>> {
        let rows = sqlx::query(
            "SELECT o.number, o.topic, o.part_key, o.payload, t.created_at, t.reverses, o.part_key, ''
             FROM transactions t JOIN outbox o ON t.number = o.number
             WHERE t.code = $1 AND t.created_at >= $2 AND t.number > (SELECT MAX(number) FROM transactions) - $3
             ORDER BY t.number",
        )
        .bind(Code::Gift.number())
        .bind(since)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(told).collect()
    }

    /// Accounts of a kind that hold something, and whose: as many as `limit`, after this number.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn holding(&self, kind: &str, after: i64, limit: i64) -> Result<Vec<Account>> {
        let rows = sqlx::query(
            "SELECT number, id, debits_pending, debits_posted, credits_pending, credits_posted, version,
                    frozen_at, closed_at
             FROM accounts WHERE id LIKE $1 AND number > $2 AND credits_posted > debits_posted
             ORDER BY number LIMIT $3",
        )
        .bind(format!("COIN:{kind}:%"))
        .bind(after)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| store::account(columns_of_account(row)?))
            .collect()
    }

    /// What was earned on each day from `first` to before `end`, in days since the Unix epoch, as far as
    /// it went to this account.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn days(&self, earned_to: &Account, first: i64, end: i64) -> Result<Vec<Day>> {
        let rows = sqlx::query(
            "SELECT t.created_at / 86400000000, COUNT(DISTINCT t.number), CAST(SUM(f.amount) AS BIGINT),
                    CAST(SUM(CASE WHEN r.number IS NULL THEN 0 ELSE f.amount END) AS BIGINT)
             FROM transfers f JOIN transactions t ON t.number = f.txn
             LEFT JOIN transactions r ON r.reverses = t.number
             WHERE f.credit = $1 AND t.code = $2 AND t.created_at >= $3 AND t.created_at < $4
             GROUP BY t.created_at / 86400000000 ORDER BY 1",
        )
        .bind(earned_to.number)
        .bind(Code::Gift.number())
        .bind(first.saturating_mul(DAY))
        .bind(end.saturating_mul(DAY))
        .fetch_all(&self.pool)
        .await?;
        let days = rows.iter().map(|row| {
            Ok(Day {
                day: row.try_get(0)?,
                gifts: row.try_get(1)?,
                earned: row.try_get(2)?,
                taken_back: row.try_get(3)?,
            })
        });
        days.collect()
    }

    /// When what a transaction of this kind did last to an account had happened.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn latest(&self, account: &Account, code: Code) -> Result<Option<Micros>> {
        let at = sqlx::query_scalar(
            "SELECT MAX(t.event_at) FROM transactions t JOIN transfers f ON f.txn = t.number
             WHERE f.debit = $1 AND t.code = $2",
        )
        .bind(account.number)
        .bind(code.number())
        .fetch_one(&self.pool)
        .await?;
        Ok(at)
    }

    /// Those of these transactions that are in the ledger.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn known(&self, ids: &[TransactionId]) -> Result<Vec<TransactionId>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let text = format!(
            "SELECT id FROM transactions WHERE id IN ({})",
            places(1, ids.len())
        );
        let rows = bound(text, ids.iter().map(ToString::to_string));
        let rows = rows.fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| store::parse("the transaction", row.try_get(0)?))
            .collect()
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments>;

fn bound<'q>(text: String, values: impl Iterator<Item = String>) -> Query<'q> {
    values.fold(sqlx::query(AssertSqlSafe(text)), Query::bind)
}

/// `$1, $2` and so on.
fn places(first: usize, count: usize) -> String {
    let names = (first..first + count).map(|place| format!("${place}"));
    names.collect::<Vec<_>>().join(", ")
}

fn columns_of_account(row: &AnyRow) -> sqlx::Result<store::AccountColumns> {
    Ok((
        row.try_get(0)?,
        row.try_get(1)?,
        row.try_get(2)?,
        row.try_get(3)?,
        row.try_get(4)?,
        row.try_get(5)?,
        row.try_get(6)?,
        row.try_get(7)?,
        row.try_get(8)?,
    ))
}

fn line(row: &AnyRow) -> Result<Line> {
    let (number, id): (i64, &str) = (row.try_get(0)?, row.try_get(1)?);
    let payload: &str = row.try_get(4)?;
    let damaged = || StoreError::Damaged(format!("the transaction {id}"));
    let mut payload: Value = serde_json::from_str(payload).map_err(|_| damaged())?;
    let reversals: i64 = row.try_get(7)?;
    Ok(Line {
        number,
        id: store::parse("the transaction", id)?,
        code: Code::of_number(row.try_get(2)?).ok_or_else(damaged)?,
        at: row.try_get(3)?,
        amounts: HashMap::new(),
        public: Some(payload["public"].take()).filter(|public| !public.is_null()),
        part_key: row.try_get(5)?,
        reverses: row.try_get(6)?,
        is_reversed: reversals > 0,
    })
}

fn told(row: &AnyRow) -> Result<Told> {
    let (reverses, whose): (Option<i64>, Option<String>) = (row.try_get(5)?, row.try_get(6)?);
    Ok(Told {
        number: row.try_get(0)?,
        topic: row.try_get(1)?,
        part_key: row.try_get(2)?,
        payload: row.try_get(3)?,
        at: row.try_get(4)?,
        takes_back: reverses.zip(whose),
        takes_back_gift: row.try_get::<&str, _>(7)? == "gift",
    })
}
