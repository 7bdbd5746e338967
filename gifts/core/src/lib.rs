//! The ledger without I/O.
//!
//! - [`money`]: amounts and currencies.
//! - [`account`]: the chart of accounts, and what an account counts.
//! - [`transfer`]: what moves money between two accounts, and what belongs together.
//! - [`book`]: what a decision has to know.
//! - [`rules`]: whether something may be, in a written order.
//! - [`command`]: what can be asked for: top-ups, gifts, reversals, holds.
//! - [`split`]: who gets how much of a gift.
//! - [`row`]: accounts and transfers as they are kept.
//! - [`seal`]: the chain of hashes over what is kept.
//! - [`verify`]: whether what is kept is right.
//! - [`written`]: how a command is written to other programs.
//! - [`canonical`]: bytes of which a hash means one thing.

pub mod account;
pub mod book;
pub mod canonical;
pub mod command;
pub mod money;
pub mod row;
pub mod rules;
pub mod seal;
pub mod split;
pub mod transfer;
pub mod verify;
pub mod written;

pub use account::{Account, AccountId, Kind, Name, Payee};
pub use book::{Book, Changes, Next};
pub use command::Command;
pub use money::{Amount, Currency};
pub use rules::Rejection;
pub use split::Contract;
pub use transfer::{Code, Receipt, Transaction, TransactionId, TransferId};

/// Microseconds since the Unix epoch.
pub type Micros = i64;
