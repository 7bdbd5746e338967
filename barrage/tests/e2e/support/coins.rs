//! Coins for a test.

use std::process::Command;

use gifts::gate::Order;
use gifts_core::command::{Command as Asked, Reference, TopUp, What};
use gifts_core::{Amount, Name};

use super::server::Process;
use super::{Person, Server, until};

/// Somebody pays for the largest pack, in the sandbox; tells how many coins they have then.
pub(crate) async fn top_up(person: &Person, server: &Server) -> i64 {
    let dir = server.dir();
    let url = super::postgres::url(dir.path());
    let place = gifts::Place::load(dir.path(), url.as_deref())
        .await
        .unwrap();
    let (gate, _) = place.open_gate().await.unwrap();
    let user = person.read("/api/v1/account").await["id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let top_up = TopUp {
        psp: Name::new("sandbox").unwrap(),
        payment: Reference::new(&wire::UserId::new().to_string()).unwrap(),
        user,
        currency: "CNY".parse().unwrap(),
        paid: Amount::new(60_000).unwrap(),
        coins: Amount::new(6_000).unwrap(),
        bonus: None,
    };
    let command = Asked::new(What::TopUp(top_up), 0);
    gate.perform(Order {
        command,
        key: None,
        public: None,
    })
    .await
    .unwrap();
    drop(gate);
    until("the ledger is the server's again", async || {
        let log = server.log().text();
        (log.matches("the ledger is ours").count() > 1).then_some(6_000)
    })
    .await
}

/// Keeps everybody from writing to a server's ledger until it is dropped.
pub(crate) async fn lock_ledger(server: &Server) -> Process {
    let mut command = match super::postgres::url(server.dir().path()) {
        None => {
            let code = "import sqlite3, sys, time\n\
                c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)\n\
                c.execute('BEGIN IMMEDIATE')\nprint('locked', flush=True)\ntime.sleep(600)";
            let mut python = Command::new("python3");
            python.args(["-c", code]).arg(server.path("ledger.db"));
            python
        }
        Some(url) => {
            let mut psql = Command::new("psql");
            psql.args([&url, "--quiet"]);
            for statement in [
                // It ends with who holds it.
                "SET client_connection_check_interval = '100ms'",
                "BEGIN",
                "SELECT fence FROM ledger.gate FOR UPDATE",
                "\\echo locked",
                "SELECT pg_sleep(600)",
            ] {
                psql.args(["--command", statement]);
            }
            psql
        }
    };
    let lock = Process::start("a lock", &mut command);
    until("the ledger is locked", async || {
        lock.out.text().contains("locked").then_some(())
    })
    .await;
    lock
}
