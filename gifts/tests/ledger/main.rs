//! The gate on a real database: SQLite, or PostgreSQL where `BARRAGE_TEST_POSTGRES` names a server.

mod audit;
mod backup;
mod crash;
mod gate;
mod isolation;
mod keeping;
mod support;
