//! What moves money between two accounts, and what belongs together.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

use crate::Micros;
use crate::account::AccountId;
use crate::canonical::{Canonical, Hash};
use crate::money::Amount;

/// Which transaction. It follows from what has happened, so that whoever asks twice for the same names
/// the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TransactionId(Uuid);

impl TransactionId {
    /// That of something that has happened, or is wished: a UUIDv8 of a SHA-256 hash (RFC 9562 §5.8).
    pub fn of_fact(word: &str, parts: &[&str]) -> Self {
        let mut fact = Canonical::of("barrage ledger fact 1");
        fact.text(word);
        for part in parts {
            fact.text(part);
        }
        let hash = fact.hash();
        let bytes = hash[..16].try_into().expect("a hash is longer");
        Self(Builder::from_custom_bytes(bytes).into_uuid())
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.as_hyphenated(), f)
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text names no transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a transaction is named by a UUID in lower case, with hyphens")]
pub struct ParseTransactionIdError;

impl FromStr for TransactionId {
    type Err = ParseTransactionIdError;

    fn from_str(text: &str) -> Result<Self, ParseTransactionIdError> {
        let id = Uuid::try_parse(text).map_err(|_| ParseTransactionIdError)?;
        let is_own = id.as_hyphenated().to_string() == text;
        if is_own {
            Ok(Self(id))
        } else {
            Err(ParseTransactionIdError)
        }
    }
}

/// Which transfer: a leg of a transaction, counted from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is what it says")]
pub struct TransferId {
    pub transaction: TransactionId,
    pub leg: u16,
}

/// What a transfer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Moves the amount.
    Single,
    /// Keeps the amount for something that is not certain yet, for ever or until that time.
    Pending {
        /// From then on it can expire, and no more be posted.
        expires_at: Option<Micros>,
    },
    /// Moves what was kept, or some of it; the rest is free again.
    Post(TransferId),
    /// Calls off what was kept.
    Void(TransferId),
    /// The same, because its time is over.
    Expire(TransferId),
}

impl Phase {
    /// As it is kept.
    pub const fn number(self) -> i64 {
        match self {
            Self::Single => 0,
            Self::Pending { .. } => 1,
            Self::Post(_) => 2,
            Self::Void(_) => 3,
            Self::Expire(_) => 4,
        }
    }

    /// What it resolves.
    pub const fn resolves(self) -> Option<TransferId> {
        match self {
            Self::Single | Self::Pending { .. } => None,
            Self::Post(of) | Self::Void(of) | Self::Expire(of) => Some(of),
        }
    }
}

/// A transfer that is wished: an amount from one account to one other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is what it says")]
pub struct Leg {
    pub debit: AccountId,
    pub credit: AccountId,
    pub amount: Amount,
    pub phase: Phase,
}

impl Leg {
    /// Moves an amount.
    pub const fn single(debit: AccountId, credit: AccountId, amount: Amount) -> Self {
        Self {
            debit,
            credit,
            amount,
            phase: Phase::Single,
        }
    }
}

/// What kind of thing a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Somebody paid for coins.
    TopUp,
    /// Somebody gave a gift.
    Gift,
    /// What was earned may be paid out.
    Release,
    /// Somebody is given back what a gift or coins cost.
    Refund,
    /// A bank took it back.
    Chargeback,
    /// A minor is given it back.
    MinorRefund,
    /// An amount is kept for something that is not certain yet.
    Hold,
    /// That became certain, or did not.
    Settle,
    /// Nothing may be taken from an account.
    Freeze,
    /// It may again.
    Unfreeze,
    /// Nothing may touch an account.
    Close,
}

impl Code {
    /// Each of them.
    pub const ALL: [Self; 11] = [
        Self::TopUp,
        Self::Gift,
        Self::Release,
        Self::Refund,
        Self::Chargeback,
        Self::MinorRefund,
        Self::Hold,
        Self::Settle,
        Self::Freeze,
        Self::Unfreeze,
        Self::Close,
    ];

    /// As it is kept. A number is never given to something else.
    pub const fn number(self) -> i64 {
        match self {
            Self::TopUp => 1,
            Self::Gift => 2,
            Self::Release => 3,
            Self::Refund => 10,
            Self::Chargeback => 11,
            Self::MinorRefund => 12,
            Self::Hold => 20,
            Self::Settle => 21,
            Self::Freeze => 30,
            Self::Unfreeze => 31,
            Self::Close => 32,
        }
    }

    /// The code that is kept as this number.
    pub fn of_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }

    /// Its name for people and programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TopUp => "top_up",
            Self::Gift => "gift",
            Self::Release => "release",
            Self::Refund => "refund",
            Self::Chargeback => "chargeback",
            Self::MinorRefund => "minor_refund",
            Self::Hold => "hold",
            Self::Settle => "settle",
            Self::Freeze => "freeze",
            Self::Unfreeze => "unfreeze",
            Self::Close => "close",
        }
    }

    /// Whether it sets something right: then it may take from what is frozen.
    pub const fn is_correction(self) -> bool {
        matches!(self, Self::Refund | Self::Chargeback | Self::MinorRefund)
    }
}

/// Transfers that belong together: all of them are, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Which.
    pub id: TransactionId,
    /// What was asked for. The same identity with something else is a mistake.
    pub request: Hash,
    /// What kind of thing it is.
    pub code: Code,
    /// What it takes back.
    pub reverses: Option<TransactionId>,
    /// Under which contract it was split.
    pub contract: Option<i64>,
    /// The account that it freezes, unfreezes or closes.
    pub subject: Option<AccountId>,
    /// When it happened outside.
    pub event_at: Micros,
    /// The transfers. There are none where it has a subject.
    pub legs: Vec<Leg>,
}

/// That a transaction is in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Which.
    pub id: TransactionId,
    /// The how many-th of all it is.
    pub number: i64,
    /// The how many-th of all transfers its first one is.
    pub first_seq: i64,
    /// How many it has.
    pub legs: u16,
    /// Since when.
    pub at: Micros,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fact_has_one_identity() {
        let id = TransactionId::of_fact("gift", &["a", "b"]);
        assert_eq!(id, TransactionId::of_fact("gift", &["a", "b"]));
        assert_ne!(id, TransactionId::of_fact("gift", &["ab", ""]));
        assert_ne!(id, TransactionId::of_fact("gifta", &["b"]));
        // Kept identities must mean the same for ever.
        assert_eq!(id.to_string(), "5c771d97-20db-80f3-aa30-33680b4a5a5c");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(
            id.to_string()
                .to_uppercase()
                .parse::<TransactionId>()
                .is_err()
        );
    }

    #[test]
    fn codes_read_back_from_their_numbers() {
        for code in Code::ALL {
            assert_eq!(Code::of_number(code.number()), Some(code));
        }
        assert_eq!(Code::of_number(0), None);
    }

    #[test]
    fn codes_are_named_as_they_are_called_here() {
        for code in Code::ALL {
            let words = code.as_str().split('_').flat_map(str::chars);
            let called = format!("{code:?}").to_lowercase();
            assert_eq!(words.collect::<String>(), called);
        }
    }
}
