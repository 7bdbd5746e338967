//! All rows of a ledger, from either engine to either.

use gifts::{Gate, Refused, SqliteStore, audit};
use serde_json::{Map, Value};
use wire::{ChannelId, UserId};

use crate::support::{Place, all, gift, now, told_of, top_up, wallet, with_store};

type Rows = Vec<(&'static str, Map<String, Value>)>;

async fn at(told: &str) -> gifts::Place {
    if told.starts_with("postgres") {
        gifts::Place::Postgres(crate::support::load_postgres(told).await)
    } else {
        gifts::Place::Sqlite(crate::support::load_sqlite(told).await)
    }
}

async fn rows(place: &gifts::Place) -> Rows {
    let mut rows = Vec::new();
    let mut take = |table, row| {
        rows.push((table, row));
        Ok(())
    };
    place.back_up(&mut take).await.expect("it reads");
    rows
}

async fn restore(rows: &Rows, place: &gifts::Place) -> anyhow::Result<()> {
    let mut restore = place.restore().await?;
    for (table, row) in rows {
        restore.row(table, row.clone()).await?;
    }
    restore.finish().await
}

/// The rows of all tables but the gate's, whose fence rises.
fn entered(rows: &Rows) -> &[(&'static str, Map<String, Value>)] {
    assert_eq!(rows[0].0, "gate");
    &rows[1..]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_moves_from_engine_to_engine_with_the_same_numbers() {
    let (from, to) = (Place::new(), Place::new());
    let between = tempfile::tempdir().expect("a directory");
    let (user, channel) = (UserId::new(), ChannelId::new());
    let mut keyed = gift("g1", user, channel, 300);
    keyed.key = Some(gifts::Key {
        scope: "gift".into(),
        word: "弹幕 'k1'".into(),
    });
    let old = with_store!(&from.told(), |store| {
        let (gate, _) = Gate::open(store.clone()).await.expect("the ledger opens");
        gate.perform(top_up("p1", user, 100_000))
            .await
            .expect("it is paid");
        gate.perform(keyed.clone()).await.expect("there is enough");
        // More than is put down at once.
        let gifts = (0..1_500).map(|number| gift(&format!("m{number}"), user, channel, 3));
        for answer in all(&gate, gifts.collect()).await {
            answer.expect("there is enough");
        }
        let key = gifts_core::seal::SealKey::from_seed(&[7; 32]);
        audit::seal_all(&store, &key, gate.fence())
            .await
            .expect("it is sealed");
        gate
    });
    let first = rows(&at(&from.told()).await).await;
    let middle = gifts::Place::Sqlite(
        SqliteStore::load(between.path())
            .await
            .expect("the ledger opens"),
    );
    restore(&first, &middle).await.expect("it is empty");
    let second = rows(&middle).await;
    assert_eq!(entered(&first), entered(&second));
    let there = at(&to.told()).await;
    restore(&second, &there).await.expect("it is empty");
    let third = rows(&there).await;
    assert_eq!(entered(&first), entered(&third));
    let fence = |rows: &Rows| rows[0].1["fence"].as_i64().expect("a number");
    assert!(fence(&first) < fence(&second) && fence(&second) < fence(&third));

    // Nothing is laid over what is there, and who has it keeps it.
    restore(&second, &at(&from.told()).await)
        .await
        .expect_err("it holds something");
    old.perform(gift("last", user, channel, 3))
        .await
        .expect("it is still its own");

    with_store!(&to.told(), |store| {
        let report = audit::verify(&store, now()).await.expect("it reads");
        assert_eq!((report.findings, report.links), (Vec::new(), 1));
        let (gate, _) = Gate::open(store.clone()).await.expect("the ledger opens");
        // Who asks again is answered as before.
        let again = gate.perform(keyed.clone()).await.expect("it was answered");
        assert!(again.is_replay);
        assert_eq!(told_of(&again, wallet(user)), 100_000 - 300);
        let mut other = gift("g2", user, channel, 1);
        other.key.clone_from(&keyed.key);
        assert_eq!(gate.perform(other).await, Err(Refused::KeyReused));
        gate.perform(top_up("p2", UserId::new(), 5))
            .await
            .expect("it is paid");
        let report = audit::verify(&store, now()).await.expect("it reads");
        assert_eq!(report.findings, []);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_without_its_end_restores_nothing() {
    let (from, to) = (Place::new(), Place::new());
    with_store!(&from.told(), |store| {
        let (gate, _) = Gate::open(store).await.expect("the ledger opens");
        gate.perform(top_up("p1", UserId::new(), 10))
            .await
            .expect("it is paid");
    });
    let rows = rows(&at(&from.told()).await).await;
    let place = at(&to.told()).await;
    let without = rows[1..].to_vec();
    restore(&without, &place).await.expect_err("it has no end");
    assert_eq!(to.number("SELECT COUNT(*) FROM transactions").await, 0);
    restore(&rows, &place).await.expect("it is empty");
    assert_eq!(to.number("SELECT COUNT(*) FROM transactions").await, 1);
}
