//! What is done beside the gate for as long as it is open.

use std::sync::Arc;
use std::time::Duration;

use gifts::store::{Snapshot as _, Store};
use gifts::{Gate, Key, audit, prune};
use gifts_core::seal::SealKey;
use tokio::time::timeout;
use wire::{ChannelId, UserId};

use crate::support::{Place, all, gift, now, top_up, with_store};

/// How long something may take that happens soon.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_is_sealed_beside_its_gate_until_somebody_else_has_it() {
    let place = Place::new();
    with_store!(&place.told(), |store| {
        let (gate, _) = Gate::open(store.clone()).await.expect("the ledger opens");
        let (user, channel) = (UserId::new(), ChannelId::new());
        gate.perform(top_up("p1", user, 1_000_000))
            .await
            .expect("it is paid");
        let key = SealKey::from_seed(&[7; 32]);
        let public = key.public();
        let every = Duration::from_millis(20);
        let keeper = tokio::spawn(audit::keep_sealed(
            store.clone(),
            Arc::new(key),
            gate.fence(),
            every,
        ));
        // The gate and the seals wait for each other.
        for round in 0..5 {
            let gifts = (0..200).map(|n| gift(&format!("g{round}-{n}"), user, channel, 1));
            for answer in all(&gate, gifts.collect()).await {
                answer.expect("there is enough");
            }
        }
        let sealed = async {
            loop {
                let mut snapshot = store.snapshot().await.expect("it reads");
                let link = snapshot.last_link().await.expect("it reads");
                if link.is_some_and(|link| link.last == 1_001) {
                    break;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, sealed).await.expect("all of it is sealed");
        let how = audit::Verifying {
            now: now(),
            trusted: Some(public),
        };
        let mut told = (0, 0);
        let report = audit::verify_with(&store, how, |counted, all| told = (counted, all))
            .await
            .expect("it reads");
        assert_eq!((report.findings, report.unsealed), (Vec::new(), 0));
        assert_eq!(report.head.expect("it is sealed").last, 1_001);
        assert_eq!(told, (1_001, 1_001));
        let strange = audit::Verifying {
            trusted: Some([9; 32]),
            ..how
        };
        let report = audit::verify_with(&store, strange, |_, _| {})
            .await
            .expect("it reads");
        assert!(report.found > 0);
        assert!(report.findings.iter().all(|found| found.invariant == "I11"));

        let (_new, _) = Gate::open(store.clone()).await.expect("the ledger opens");
        gate.perform(top_up("p2", user, 1))
            .await
            .expect_err("it is another's");
        place_something(&store).await;
        timeout(SOON, keeper)
            .await
            .expect("it ends")
            .expect("it ends well");
    });
}

/// Enters something as whoever has it now, so that there is something to be sealed.
async fn place_something<S: Store>(store: &S) {
    let (gate, _) = Gate::open(store.clone()).await.expect("the ledger opens");
    gate.perform(top_up("p3", UserId::new(), 1))
        .await
        .expect("it is paid");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_forgotten_in_their_time_and_what_was_entered_is_not() {
    let place = Place::new();
    with_store!(&place.told(), |store| {
        let (gate, _) = Gate::open(store.clone()).await.expect("the ledger opens");
        let (user, channel) = (UserId::new(), ChannelId::new());
        gate.perform(top_up("p1", user, 1_000_000))
            .await
            .expect("it is paid");
        let keyed = |number: u32| {
            let mut given = gift(&format!("g{number}"), user, channel, 1);
            given.key = Some(Key {
                scope: "gift".into(),
                word: format!("k{number}"),
            });
            given
        };
        for answer in all(&gate, (0..1_200).map(keyed).collect()).await {
            answer.expect("there is enough");
        }
        let halfway = now();
        gate.perform(keyed(1_200)).await.expect("there is enough");
        let forgotten = prune::forget_answers(&store, halfway).await;
        assert_eq!(forgotten.expect("it is forgotten"), 1_200);
        // Its own identity tells what was entered.
        let again = gate.perform(keyed(7)).await.expect("it is known");
        assert!(again.is_replay);
        let report = audit::verify(&store, now()).await.expect("it reads");
        assert_eq!(report.findings, []);
    });
    assert_eq!(place.number("SELECT COUNT(*) FROM answers").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gathered_while_nobody_sealed_is_sealed_link_by_link() {
    let place = Place::new();
    with_store!(&place.told(), |store| {
        let (gate, _) = Gate::open(store.clone()).await.expect("the ledger opens");
        let (user, channel) = (UserId::new(), ChannelId::new());
        gate.perform(top_up("p1", user, 1_000_000))
            .await
            .expect("it is paid");
        for round in 0..5 {
            let gifts = (0..2_000).map(|n| gift(&format!("g{round}-{n}"), user, channel, 1));
            for answer in all(&gate, gifts.collect()).await {
                answer.expect("there is enough");
            }
        }
        let key = SealKey::from_seed(&[7; 32]);
        let links = audit::seal_all(&store, &key, gate.fence()).await;
        assert_eq!(links.expect("it is sealed"), 2);
        let report = audit::verify(&store, now()).await.expect("it reads");
        assert_eq!((report.findings, report.links), (Vec::new(), 2));
        assert_eq!((report.transactions, report.unsealed), (10_001, 0));
    });
}
