//! The ledger: a gate that decides and keeps, its store, its audit. What may be is decided in
//! [`gifts_core`], which knows no database.
//!
//! - [`gate`]: the only way in; decides many commands at once and keeps them in one transaction.
//! - [`store`]: where the ledger is kept, on either engine.
//! - [`audit`]: seals what is kept, and verifies it.
//! - [`export`]: all of it, for other programs.
//! - [`payment`]: coins are bought through a payment provider.

pub mod audit;
pub mod export;
pub mod gate;
pub mod payment;
pub mod store;

pub use gate::{Accepted, Gate, Key, Order, Refused};
pub use store::postgres::PgStore;
pub use store::sqlite::SqliteStore;
