//! The ledger: a gate that decides and keeps, its store, its audit. What may be is decided in
//! [`gifts_core`], which knows no database.
//!
//! - [`ledger`]: all of it, as the server knows it.
//! - [`gate`]: the only way in; decides many commands at once and keeps them in one transaction.
//! - [`store`]: where the ledger is kept, on either engine.
//! - [`relay`]: tells of what is in it. [`release`]: releases what was earned.
//! - [`reading`]: what is in it, for those who look.
//! - [`audit`]: seals what is kept, and verifies it.
//! - [`backup`]: all of it, and back.
//! - [`prune`]: forgets what need not be known for ever.
//! - [`export`]: all of it, for other programs.
//! - [`payment`]: coins are bought through a payment provider.

pub mod audit;
pub mod backup;
pub mod config;
pub mod export;
pub mod gate;
pub mod ledger;
pub mod payment;
pub mod prune;
pub mod reading;
pub mod relay;
pub mod release;
pub mod store;

pub use config::Config;
pub use gate::{Accepted, Gate, Key, Order, Refused};
pub use ledger::Ledger;
pub use reading::Reading;
pub use relay::Crier;
pub use store::place::Place;
pub use store::postgres::PgStore;
pub use store::sqlite::SqliteStore;
