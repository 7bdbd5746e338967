//! What is sealed, verified and exported.

use std::path::Path;
use std::process::Command as Program;

use gifts::export::{Format, export};
use gifts::store::{Snapshot as _, Store, StoreError};
use gifts::{Gate, audit};
use gifts_core::command::{Hold, Reversal, What, Why};
use gifts_core::seal::SealKey;
use wire::{ChannelId, UserId};

use crate::support::{
    Place, all, amount, gift, held, now, order, reference, top_up, wallet, with_store,
};

/// Some of everything, and who has the ledger.
async fn fill<S: Store>(store: &S) -> Gate {
    let (gate, _) = Gate::open(store.clone()).await.expect("the ledger opens");
    let (user, channel) = (UserId::new(), ChannelId::new());
    gate.perform(top_up("p1", user, 12_345))
        .await
        .expect("it is paid");
    gate.perform(top_up("p2", UserId::new(), 1))
        .await
        .expect("it is paid");
    let gifts = (0..40).map(|number| gift(&format!("g{number}"), user, channel, 7 + number));
    let gifts: Vec<_> = gifts.collect();
    let of = gifts[3].command.id();
    for answer in all(&gate, gifts).await {
        answer.expect("there is enough");
    }
    let back = order(What::Reversal(Reversal {
        of,
        why: Why::Chargeback,
    }));
    gate.perform(back).await.expect("it is taken back");
    let hold = order(What::Hold(Hold {
        key: reference("h1"),
        from: wallet(user),
        to: held(channel),
        amount: amount(70),
        expires_at: None,
    }));
    gate.perform(hold).await.expect("there is enough");
    gate
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sealed_cannot_be_changed_behind_the_ledgers_back() {
    let place = Place::new();
    let key = SealKey::from_seed(&[7; 32]);
    with_store!(&place.told(), |store| {
        let gate = fill(&store).await;
        let first = audit::seal(&store, &key, gate.fence(), now())
            .await
            .expect("it is sealed");
        let first = first.expect("there is something");
        assert_eq!(
            audit::seal(&store, &key, gate.fence(), now())
                .await
                .expect("it reads"),
            None
        );
        gate.perform(top_up("p3", UserId::new(), 5))
            .await
            .expect("it is paid");
        let second = audit::seal(&store, &key, gate.fence(), now())
            .await
            .expect("it is sealed");
        let second = second.expect("there is something");
        assert_eq!((second.first, second.before), (first.last + 1, first.hash));
        gate.perform(top_up("p4", UserId::new(), 5))
            .await
            .expect("it is paid");
        let report = audit::verify(&store, now()).await.expect("it reads");
        assert_eq!(report.findings, []);
        assert_eq!((report.links, report.unsealed), (2, 1));
        let (_new, _) = Gate::open(store.clone()).await.expect("the ledger opens");
        let late = audit::seal(&store, &key, gate.fence(), now()).await;
        assert!(matches!(late, Err(StoreError::Fenced)));

        // Somebody with the database's own rights, who keeps the sums right.
        let forgery = if matches!(place, Place::File(_)) {
            "DROP TRIGGER transactions_refuse_update; UPDATE transactions SET event_at = event_at + 1 WHERE number = 5"
        } else {
            "ALTER TABLE transactions DISABLE TRIGGER ALL; UPDATE transactions SET event_at = event_at + 1 WHERE number = 5"
        };
        place
            .execute(forgery)
            .await
            .expect("nothing keeps it from that");
        let report = audit::verify(&store, now()).await.expect("it reads");
        let found: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [format!(
                "I11 link {} to {}: what it covers was changed",
                first.first, first.last
            )]
        );
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_that_was_changed_is_found() {
    let place = Place::new();
    with_store!(&place.told(), |store| {
        let _gate = fill(&store).await;
        place
            .execute("UPDATE accounts SET credits_posted = credits_posted + 1 WHERE id LIKE 'COIN:wallet:%' AND debits_posted > 0")
            .await
            .expect("nothing keeps it from that");
        let report = audit::verify(&store, now()).await.expect("it reads");
        let found: Vec<_> = report
            .findings
            .iter()
            .map(|finding| finding.invariant)
            .collect();
        assert_eq!(found, ["I2", "I1"]);
    });
}

/// Runs beancount on a journal, which is what others would.
fn check(journal: &Path) -> Result<(), String> {
    let tools = concat!(env!("CARGO_MANIFEST_DIR"), "/../.tools/venv/bin/bean-check");
    let checked = Program::new(tools).arg("--no-cache").arg(journal).output();
    let checked = checked.expect("`scripts/setup test` installs beancount");
    if checked.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&checked.stderr).into_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beancount_agrees_to_the_coin() {
    let place = Place::new();
    let dir = tempfile::tempdir().expect("a directory");
    let journal = dir.path().join("ledger.beancount");
    with_store!(&place.told(), |store| {
        let _gate = fill(&store).await;
        let mut text = Vec::new();
        export(&store, Format::Beancount, &mut text)
            .await
            .expect("it is written");
        std::fs::write(&journal, &text).expect("it is written");
        check(&journal).expect("the books are right");
        let text = String::from_utf8(text).expect("text");
        // 12 345 coins for CNY 1 234.50, one coin for CNY 0.10.
        assert!(
            text.contains(" Assets:CNY:Psp-Clearing:O-sandbox 1234.50 CNY"),
            "{text}"
        );
        assert!(
            text.contains(" balance Assets:CNY:Psp-Clearing:O-sandbox 1234.60 ~ 0.00 CNY"),
            "{text}"
        );
        // One smallest unit off is noticed.
        let wrong = text.replace("1234.60 ~", "1234.61 ~");
        std::fs::write(&journal, wrong).expect("it is written");
        check(&journal).expect_err("the books are wrong");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_has_a_line_for_each_transfer() {
    let place = Place::new();
    with_store!(&place.told(), |store| {
        let _gate = fill(&store).await;
        let mut text = Vec::new();
        export(&store, Format::Csv, &mut text)
            .await
            .expect("it is written");
        let text = String::from_utf8(text).expect("text");
        let mut snapshot = store.snapshot().await.expect("it reads");
        let transfers = snapshot.next().await.expect("it reads").seq - 1;
        assert_eq!(
            text.lines().count(),
            1 + usize::try_from(transfers).expect("few")
        );
        let columns = text.lines().next().expect("a heading").split(',').count();
        assert!(text.lines().all(|line| line.split(',').count() == columns));
        assert_eq!(
            text.lines()
                .filter(|line| line.contains(",pending,"))
                .count(),
            1
        );
    });
}
