//! What an operator sees of the ledger through the command: verified, exported, backed up and restored.

use std::path::Path;
use std::process::Command as Program;
use std::sync::Arc;

use gifts::store::Store;
use gifts::store::place::Place;
use gifts::{Gate, Order, audit};
use gifts_core::account::{AccountId, Kind, Payee};
use gifts_core::command::{Gift, Hold, Reference, Reversal, TopUp, What, Why};
use gifts_core::seal::SealKey;
use gifts_core::{Amount, Command, Contract, Name};
use tempfile::TempDir;
use wire::{ChannelId, UserId, hex};

use crate::support::server::run;
use crate::support::{Server, postgres};

/// What a run of the command comes to: whether it went well, and what it wrote to either end.
async fn barrage(args: &[&str]) -> (bool, String, String) {
    let output = run(args, "").await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.success(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

async fn succeeds(args: &[&str]) -> String {
    let (went_well, out, err) = barrage(args).await;
    assert!(went_well, "{args:?}: {out}{err}");
    out
}

fn order(what: What) -> Order {
    Order {
        command: Command::new(what, 0),
        key: None,
        public: None,
    }
}

fn amount(units: i64) -> Amount {
    Amount::new(units).unwrap()
}

/// Some of everything, as a server would enter it.
async fn fill<S: Store>(store: S) -> Gate {
    let (gate, _) = Gate::open(store).await.unwrap();
    let (user, channel) = (UserId::new(), ChannelId::new());
    let top_up = What::TopUp(TopUp {
        psp: Name::new("sandbox").unwrap(),
        payment: Reference::new(&user.to_string()).unwrap(),
        user,
        currency: "CNY".parse().unwrap(),
        paid: amount(123_450),
        coins: amount(12_345),
        bonus: Some(amount(100)),
    });
    gate.perform(order(top_up)).await.unwrap();
    let mut gift = None;
    for number in 0..20 {
        let mut given = order(What::Gift(Gift {
            sender: user,
            key: Reference::new(&format!("g{number}")).unwrap(),
            channel,
            item: Reference::new("rocket").unwrap(),
            price: amount(7 + number),
            contract: Contract::new(1, 5_000, None).unwrap(),
        }));
        given.key = Some(gifts::Key {
            scope: format!("gift:{user}"),
            word: format!("弹幕 {number}"),
        });
        gate.perform(given.clone()).await.unwrap();
        gift = Some(given.command.id());
    }
    let back = What::Reversal(Reversal {
        of: gift.unwrap(),
        why: Why::Refund,
    });
    gate.perform(order(back)).await.unwrap();
    let hold = What::Hold(Hold {
        key: Reference::new(&user.to_string()).unwrap(),
        from: AccountId::coin(Kind::Wallet(user)),
        to: AccountId::coin(Kind::EarnHeld(Payee::Channel(channel))),
        amount: amount(70),
        expires_at: None,
    });
    gate.perform(order(hold)).await.unwrap();
    gate
}

/// The ledger of the server on `dir`, with something in it that is sealed, and something that is not.
async fn ledger(dir: &Path) {
    let url = postgres::url(dir);
    let key = std::fs::read(dir.join("server.key")).unwrap();
    let key = api::secrets::ServerKey::from_text(&hex::encode(&key)).unwrap();
    let key = barrage::ledger::seal_key(&key);
    match Place::load(dir, url.as_deref()).await.unwrap() {
        Place::Sqlite(store) => fill_and_seal(store, &key).await,
        Place::Postgres(store) => fill_and_seal(store, &key).await,
    }
}

async fn fill_and_seal<S: Store>(store: S, key: &SealKey) {
    let gate = fill(store.clone()).await;
    let sealed = audit::seal_all(&store, key, gate.fence()).await.unwrap();
    assert_eq!(sealed, 1);
    fill(store).await;
}

/// Does something behind the ledger's back, with the database's own rights.
fn forge(dir: &Path, statement: &str) {
    let done = match postgres::url(dir) {
        Some(url) => {
            let script = format!("SET search_path = ledger; SET session_replication_role = replica; {statement}");
            Program::new("psql")
                .args([&url, "--quiet", "--command", &script])
                .output()
        }
        None => Program::new("python3")
            .args([
                "-c",
                "import sqlite3, sys\n\
                 with sqlite3.connect(sys.argv[1]) as ledger:\n\
                 \x20   for (name,) in ledger.execute(\"SELECT name FROM sqlite_master WHERE type = 'trigger'\").fetchall():\n\
                 \x20       ledger.execute(f'DROP TRIGGER {name}')\n\
                 \x20   ledger.execute(sys.argv[2])\n",
            ])
            .arg(dir.join("ledger.db"))
            .arg(statement)
            .output(),
    };
    let done = done.unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[tokio::test]
async fn a_ledger_is_verified_beside_its_server_and_forgeries_are_named() {
    let mut server = Server::start().await;
    // It would take the ledger back, and seal it.
    server.kill();
    let dir = server.dir().path().to_owned();
    let there = dir.to_str().unwrap();
    ledger(&dir).await;
    let told = succeeds(&["ledger", "verify", "--data-dir", there]).await;
    assert!(told.contains("46 transactions"), "{told}");
    assert!(told.contains("all is right"), "{told}");
    assert!(
        told.contains("1 links; the last is of transaction 23,"),
        "{told}"
    );
    assert!(told.contains(", which is trusted"), "{told}");
    assert!(told.contains(" 23 transactions came later"), "{told}");
    let mut again = Server::on(Arc::clone(server.dir()), &[]).await;
    let told = succeeds(&["ledger", "verify", "--data-dir", there]).await;
    assert!(told.contains("46 transactions"), "{told}");
    assert!(told.contains("all is right"), "{told}");
    again.kill();

    let other = "ab".repeat(32);
    let (went_well, told, _) =
        barrage(&["ledger", "verify", "--key", &other, "--data-dir", there]).await;
    assert!(!went_well, "{told}");
    assert!(
        told.starts_with("I11 link 1 to 23: it is signed with the key "),
        "{told}"
    );

    forge(
        &dir,
        "UPDATE transfers SET amount = amount + 1 WHERE seq = 9",
    );
    let (went_well, told, err) = barrage(&["ledger", "verify", "--data-dir", there]).await;
    assert!(!went_well);
    assert!(err.contains("not right in the ledger"), "{err}");
    let found: Vec<_> = told
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(invariant, _)| invariant)
        .filter(|word| word.starts_with('I'))
        .collect();
    assert_eq!(found, ["I11", "I2", "I2"], "{told}");
}

#[tokio::test]
async fn an_export_is_what_beancount_agrees_with() {
    let mut server = Server::start().await;
    server.kill();
    let dir = server.dir().path().to_owned();
    let there = dir.to_str().unwrap();
    ledger(&dir).await;
    let journal = server.path("books.beancount");
    let path = journal.to_str().unwrap();
    let args = ["--format", "beancount", "--out", path, "--data-dir", there];
    succeeds(&[&["ledger", "export"], &args[..]].concat()).await;
    let tools = concat!(env!("CARGO_MANIFEST_DIR"), "/../.tools/venv/bin/bean-check");
    let check = || {
        let checked = Program::new(tools).arg("--no-cache").arg(&journal).output();
        checked.expect("`scripts/setup test` installs beancount")
    };
    let checked = check();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
    let text = std::fs::read_to_string(&journal).unwrap();
    assert!(text.contains("1234.50 CNY"), "{text}");
    std::fs::write(&journal, text.replacen(" 1234.50 CNY", " 1234.51 CNY", 1)).unwrap();
    assert!(!check().status.success(), "a coin off is noticed");

    let again = barrage(&[&["ledger", "export"], &args[..]].concat()).await;
    assert!(
        !again.0 && again.2.contains("books.beancount"),
        "nothing is overwritten"
    );
    let table = succeeds(&["ledger", "export", "--format", "csv", "--data-dir", there]).await;
    assert!(table.starts_with("seq,transaction,"), "{table}");
    assert!(table.lines().any(|line| line.contains(",hold,")), "{table}");
}

#[tokio::test]
async fn looking_for_a_ledger_makes_none() {
    let fresh = TempDir::new().unwrap();
    let there = fresh.path().to_str().unwrap();
    for args in [
        &["ledger", "verify", "--data-dir", there][..],
        &["ledger", "export", "--format", "csv", "--data-dir", there],
    ] {
        let (went_well, _, err) = barrage(args).await;
        assert!(!went_well && err.contains("there is no ledger"), "{err}");
    }
    assert_eq!(std::fs::read_dir(fresh.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_ledger_comes_back_from_a_backup_as_it_was() {
    let mut server = Server::start().await;
    let dir = server.dir().path().to_owned();
    let there = dir.to_str().unwrap();
    server.kill();
    ledger(&dir).await;
    let export = |there: String| async move {
        succeeds(&["ledger", "export", "--format", "csv", "--data-dir", &there]).await
    };
    let before = export(there.to_owned()).await;
    let file = server.path("all.backup");
    succeeds(&["backup", file.to_str().unwrap(), "--data-dir", there]).await;

    let fresh = TempDir::new().unwrap();
    let new = fresh.path().to_str().unwrap();
    succeeds(&["restore", file.to_str().unwrap(), "--data-dir", new]).await;
    assert_eq!(export(new.to_owned()).await, before);
    let told = succeeds(&["ledger", "verify", "--data-dir", new]).await;
    assert!(told.contains("all is right"), "{told}");
    assert!(told.contains(", which is trusted"), "{told}");
    // What comes later is numbered after it.
    ledger(fresh.path()).await;
    let told = succeeds(&["ledger", "verify", "--data-dir", new]).await;
    assert!(told.contains("92 transactions"), "{told}");
    let (went_well, _, err) =
        barrage(&["restore", file.to_str().unwrap(), "--data-dir", new]).await;
    assert!(
        !went_well && err.contains("holds something already"),
        "{err}"
    );
}
