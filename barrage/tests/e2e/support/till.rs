//! What the ledger and the database hold, seen from behind the server's back; and a hand on the ledger that
//! keeps the server from writing to it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::postgres;

/// Answers one question to a file, as a number.
const ASK: &str = "import sqlite3, sys
c = sqlite3.connect('file:' + sys.argv[1] + '?mode=ro', uri=True)
row = c.execute(sys.argv[2]).fetchone()
print(row[0] if row and row[0] is not None else 0)";

/// Holds a file until its input ends.
const HOLD: &str = "import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
c.execute('BEGIN IMMEDIATE')
print('held', flush=True)
sys.stdin.read()";

fn ask(dir: &Path, file: &str, schema: &str, question: &str) -> i64 {
    let output = match postgres::url(dir) {
        Some(url) => Command::new("psql")
            .args([&url, "--quiet", "-At", "-c"])
            .arg(format!("SET search_path = {schema}; {question}"))
            .output(),
        None => Command::new("python3")
            .args(["-c", ASK])
            .arg(dir.join(file))
            .arg(question)
            .output(),
    };
    let output = output.expect("it runs");
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{question}: {problem}");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().unwrap_or(0)
}

/// A number out of the database of the API.
pub(crate) fn number(dir: &Path, question: &str) -> i64 {
    ask(dir, "barrage.db", "public", question)
}

/// A number out of the ledger.
pub(crate) fn entered(dir: &Path, question: &str) -> i64 {
    ask(dir, "ledger.db", "ledger", question)
}

/// What all accounts hold together that are called so.
pub(crate) fn balance(dir: &Path, accounts: &str) -> i64 {
    entered(
        dir,
        &format!(
            "SELECT CAST(SUM(credits_posted - debits_posted) AS BIGINT) FROM accounts
             WHERE id LIKE '{accounts}'"
        ),
    )
}

/// Keeps everybody from writing to the ledger until it is dropped.
pub(crate) struct Hold(Child);

impl Hold {
    pub(crate) fn take(dir: &Path) -> Self {
        let mut command = match postgres::url(dir) {
            Some(url) => {
                let mut command = Command::new("sh");
                let told = "(echo \"BEGIN; SELECT fence FROM ledger.gate FOR UPDATE; SELECT 'held';\"; cat) | exec psql \"$0\" --quiet -At";
                command.args(["-c", told, &url]);
                command
            }
            None => {
                let mut command = Command::new("python3");
                command.args(["-c", HOLD]).arg(dir.join("ledger.db"));
                command
            }
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs");
        let out = child.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(out).lines();
        let held = lines.any(|line| line.is_ok_and(|line| line == "held"));
        assert!(held, "the ledger is held");
        Self(child)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
