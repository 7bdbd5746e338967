//! Accounts, transactions and transfers as they are kept: numbers and texts, which may have been
//! damaged. What reads them to check them takes nothing for granted.

use crate::Micros;
use crate::account::{Account, Counters};

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the schema tells of its columns")]
pub struct AccountRow {
    pub number: i64,
    pub id: String,
    pub ledger: String,
    pub limit_rule: i64,
    pub counters: Counters,
    pub version: i64,
    pub opened_at: Micros,
    pub frozen_at: Option<Micros>,
    pub closed_at: Option<Micros>,
}

impl AccountRow {
    /// An account, as it is to be kept.
    pub fn new(account: &Account, opened_at: Micros) -> Self {
        Self {
            number: account.number,
            id: account.id.to_string(),
            ledger: account.id.currency.to_string(),
            limit_rule: account.id.kind.limit().number(),
            counters: account.counters,
            version: account.version,
            opened_at,
            frozen_at: account.frozen_at,
            closed_at: account.closed_at,
        }
    }
}

/// A transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the schema tells of its columns")]
pub struct TransactionRow {
    pub number: i64,
    pub id: String,
    pub request: String,
    pub code: i64,
    pub reverses: Option<i64>,
    pub contract: Option<i64>,
    pub subject: Option<i64>,
    pub first_seq: i64,
    pub legs: i64,
    pub event_at: Micros,
    pub created_at: Micros,
}

/// A transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the schema tells of its columns")]
pub struct TransferRow {
    pub seq: i64,
    pub txn: i64,
    pub ledger: String,
    pub debit: i64,
    pub credit: i64,
    pub amount: i64,
    pub phase: i64,
    pub resolves: Option<i64>,
    pub expires_at: Option<Micros>,
}
