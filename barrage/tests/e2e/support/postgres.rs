//! A database of its own for each data directory, on the PostgreSQL server that `scripts/postgres`
//! runs. Without one, the tests are about SQLite.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Data directories whose databases are there.
static MADE: LazyLock<Mutex<HashSet<PathBuf>>> = LazyLock::new(Mutex::default);

/// The value of `database.url` for a server on `dir`; the database is made the first time.
pub(crate) fn url(dir: &Path) -> Option<String> {
    let server = std::env::var("BARRAGE_TEST_POSTGRES").ok()?;
    let name: String = dir
        .to_string_lossy()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        })
        .collect();
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if made.insert(dir.to_owned()) {
        let sql = format!("CREATE DATABASE \"{name}\"");
        let psql = Command::new("psql")
            .args([&server, "--quiet", "--command", &sql])
            .output()
            .expect("psql runs");
        assert!(
            psql.status.success(),
            "{}",
            String::from_utf8_lossy(&psql.stderr)
        );
    }
    Some(server.replace("/postgres?", &format!("/{name}?")))
}
