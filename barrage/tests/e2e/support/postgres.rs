//! A database of its own for each data directory, on the PostgreSQL server that `scripts/engines`
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
    let name = name_of(dir);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if made.insert(dir.to_owned()) {
        tell(&server, &format!("CREATE DATABASE \"{name}\""));
    }
    Some(server.replace("/postgres?", &format!("/{name}?")))
}

/// Takes the database of `dir` away from whoever uses it, and gives it back: for a server, its
/// database machine fails and returns. False where the tests are about SQLite.
pub(crate) fn set_reachable(dir: &Path, reachable: bool) -> bool {
    let Ok(server) = std::env::var("BARRAGE_TEST_POSTGRES") else {
        return false;
    };
    let name = name_of(dir);
    tell(
        &server,
        &format!("ALTER DATABASE \"{name}\" ALLOW_CONNECTIONS {reachable}"),
    );
    if !reachable {
        let others = format!("FROM pg_stat_activity WHERE datname = '{name}'");
        tell(
            &server,
            &format!("SELECT pg_terminate_backend(pid) {others}"),
        );
    }
    true
}

fn name_of(dir: &Path) -> String {
    dir.to_string_lossy()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        })
        .collect()
}

fn tell(server: &str, sql: &str) {
    let psql = Command::new("psql")
        .args([server, "--quiet", "--command", sql])
        .output()
        .expect("psql runs");
    assert!(
        psql.status.success(),
        "{}",
        String::from_utf8_lossy(&psql.stderr)
    );
}
