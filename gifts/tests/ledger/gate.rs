//! What is asked of the gate, and what it answers.

use std::time::{Duration, Instant};

use gifts::store::Store;
use gifts::{Gate, Key, Refused, audit};
use serde_json::json;
use wire::{ChannelId, UserId};

use crate::support::{Place, all, gift, held, now, order, told_of, top_up, wallet, with_store};

/// Opens the ledger.
async fn open<S: Store>(store: &S) -> Gate {
    Gate::open(store.clone()).await.expect("the ledger opens").0
}

async fn nothing_is_found<S: Store>(store: &S) {
    let report = audit::verify(store, now()).await.expect("it reads");
    assert_eq!(report.findings, []);
}

fn code(refused: Refused) -> String {
    let Refused::Rejected { code, .. } = refused else {
        panic!("it is {refused}");
    };
    code
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gift_is_kept_once_however_often_and_at_once_it_is_sent() {
    let place = Place::new();
    with_store!(&place.told(), |store| {
        let gate = open(&store).await;
        let (user, channel) = (UserId::new(), ChannelId::new());
        gate.perform(top_up("p1", user, 1_000))
            .await
            .expect("it is paid");
        let answers = all(&gate, vec![gift("g1", user, channel, 300); 64]).await;
        let first: Vec<_> = answers
            .iter()
            .flatten()
            .filter(|it| !it.is_replay)
            .collect();
        assert_eq!(first.len(), 1);
        for answer in &answers {
            let answer = answer.as_ref().expect("it is in the ledger");
            assert_eq!((&answer.id, answer.number), (&first[0].id, first[0].number));
            assert_eq!(told_of(answer, wallet(user)), 700);
            assert_eq!(told_of(answer, held(channel)), 150);
        }
        let other = gate.perform(gift("g1", user, channel, 301)).await;
        assert_eq!(code(other.expect_err("it is another")), "id_reused");
        nothing_is_found(&store).await;
    });
    assert_eq!(place.number("SELECT COUNT(*) FROM outbox").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_pay_does_not_keep_the_others_from_paying() {
    let place = Place::new();
    with_store!(&place.told(), |store| {
        let gate = open(&store).await;
        let channel = ChannelId::new();
        let users: Vec<_> = (0..64).map(|_| UserId::new()).collect();
        // Each second one has nothing.
        let paid = users.iter().step_by(2).zip(0..);
        let paid = paid.map(|(user, number)| top_up(&format!("p{number}"), *user, 100));
        for answer in all(&gate, paid.collect()).await {
            answer.expect("it is paid");
        }
        let gifts = users
            .iter()
            .map(|user| gift("g1", *user, channel, 100))
            .collect();
        for (number, answer) in all(&gate, gifts).await.into_iter().enumerate() {
            if number % 2 == 0 {
                answer.expect("there is enough");
            } else {
                assert_eq!(
                    code(answer.expect_err("there is nothing")),
                    "exceeds_credits"
                );
            }
        }
        nothing_is_found(&store).await;
    });
}

/// One that the rules let through and the database does not.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_refuses_fails_alone() {
    let place = Place::new();
    with_store!(&place.told(), |store| {
        let gate = open(&store).await;
        let (user, channel) = (UserId::new(), ChannelId::new());
        gate.perform(top_up("p1", user, 1_000))
            .await
            .expect("it is paid");
        let trap = if matches!(place, Place::File(_)) {
            "CREATE TRIGGER trap BEFORE INSERT ON transfers WHEN NEW.amount = 13
             BEGIN SELECT RAISE(ABORT, 'unlucky'); END"
        } else {
            "ALTER TABLE transfers ADD CONSTRAINT trap CHECK (amount <> 13)"
        };
        place.execute(trap).await.expect("it is set");
        let gifts = (0..32).map(|number| {
            let price = if number == 7 { 26 } else { 10 };
            gift(&format!("g{number}"), user, channel, price)
        });
        for (number, answer) in all(&gate, gifts.collect()).await.into_iter().enumerate() {
            if number == 7 {
                assert_eq!(answer, Err(Refused::Impossible));
            } else {
                answer.expect("it is like any other");
            }
        }
        nothing_is_found(&store).await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_was_replaced_writes_no_more() {
    let place = Place::new();
    with_store!(&place.told(), |store| {
        let (user, channel) = (UserId::new(), ChannelId::new());
        let (old, task) = Gate::open(store.clone()).await.expect("the ledger opens");
        old.perform(top_up("p1", user, 1_000))
            .await
            .expect("it is paid");
        let new = open(&store).await;
        assert!(new.fence() > old.fence());
        // It has the wallet in memory, and would not have to ask.
        let late = old.perform(gift("g1", user, channel, 10)).await;
        assert_eq!(late, Err(Refused::Fenced));
        task.await.expect("it ends");
        assert_eq!(
            old.perform(gift("g1", user, channel, 10)).await,
            Err(Refused::Fenced)
        );
        let given = new
            .perform(gift("g1", user, channel, 10))
            .await
            .expect("it is given");
        assert!(!given.is_replay);
        nothing_is_found(&store).await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_answered_alike_whatever_was_answered() {
    let place = Place::new();
    with_store!(&place.told(), |store| {
        let gate = open(&store).await;
        let (user, channel) = (UserId::new(), ChannelId::new());
        let keyed = |mut order: gifts::Order, word: &str| {
            order.key = Some(Key {
                scope: format!("{user} gifts"),
                word: word.to_owned(),
            });
            order
        };
        let early = keyed(gift("g1", user, channel, 100), "k1");
        let poor = gate
            .perform(early.clone())
            .await
            .expect_err("there is nothing");
        gate.perform(top_up("p1", user, 1_000))
            .await
            .expect("it is paid");
        assert_eq!(gate.perform(early).await, Err(poor));
        let answers = all(&gate, vec![keyed(gift("g1", user, channel, 100), "k2"); 16]).await;
        let given = answers[0].clone().expect("there is enough");
        gate.perform(gift("g2", user, channel, 100))
            .await
            .expect("there is enough");
        // Another gate knows what this one answered.
        let gate = open(&store).await;
        let again = gate
            .perform(keyed(gift("g1", user, channel, 100), "k2"))
            .await;
        let again = again.expect("it is answered");
        assert_eq!(again.balances, given.balances);
        assert!(again.is_replay);
        let other = gate
            .perform(keyed(gift("g3", user, channel, 100), "k2"))
            .await;
        assert_eq!(other, Err(Refused::KeyReused));
        let endless = keyed(gift("g4", user, channel, 1), &"k".repeat(256));
        assert_eq!(gate.perform(endless).await, Err(Refused::TooLarge));
        nothing_is_found(&store).await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_stands_still_is_told_of_in_a_second_and_too_much_at_once() {
    let place = Place::new();
    with_store!(&place.told(), |store| {
        let gate = open(&store).await;
        let (user, channel) = (UserId::new(), ChannelId::new());
        gate.perform(top_up("p1", user, 1_000_000))
            .await
            .expect("it is paid");
        let lock = place.lock().await;
        let began = Instant::now();
        let many: Vec<_> = (0..6_000)
            .map(|n| gift(&format!("g{n}"), user, channel, 1))
            .collect();
        let answers = all(&gate, many.clone()).await;
        assert!(
            began.elapsed() < Duration::from_millis(1_500),
            "{:?}",
            began.elapsed()
        );
        let count = |refused: &Refused| {
            answers
                .iter()
                .filter(|answer| answer.as_ref().err() == Some(refused))
                .count()
        };
        assert!(count(&Refused::Busy) > 1_000, "{}", count(&Refused::Busy));
        assert_eq!(count(&Refused::Busy) + count(&Refused::Unavailable), 6_000);
        lock.release().await;
        let deadline = Instant::now() + Duration::from_secs(10);
        while gate.perform(many[0].clone()).await.is_err() {
            assert!(Instant::now() < deadline, "the ledger comes back");
            tokio::task::yield_now().await;
        }
        for some in many.chunks(2_000) {
            for answer in all(&gate, some.to_vec()).await {
                answer.expect("there is enough");
            }
        }
        let last = gate
            .perform(gift("last", user, channel, 1))
            .await
            .expect("there is enough");
        assert_eq!(told_of(&last, wallet(user)), 1_000_000 - 6_001);
        nothing_is_found(&store).await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_entered_never_changes() {
    let place = Place::new();
    with_store!(&place.told(), |store| {
        let gate = open(&store).await;
        gate.perform(top_up("p1", UserId::new(), 10))
            .await
            .expect("it is paid");
    });
    for statement in [
        "UPDATE transfers SET amount = 1",
        "DELETE FROM transfers",
        "UPDATE transactions SET code = 2",
        "DELETE FROM transactions",
        "DELETE FROM accounts",
        // The database refuses an overdraft even if the rules did not.
        "UPDATE accounts SET debits_posted = credits_posted + 1 WHERE limit_rule = 1",
    ] {
        place.execute(statement).await.expect_err(statement);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_are_told_stands_beside_what_they_are_told_of() {
    let place = Place::new();
    with_store!(&place.told(), |store| {
        let gate = open(&store).await;
        let (user, channel) = (UserId::new(), ChannelId::new());
        gate.perform(top_up("p1", user, 100))
            .await
            .expect("it is paid");
        let mut given = gift("g1", user, channel, 10);
        given.public = Some(json!({ "item": "rocket" }));
        gate.perform(given.clone()).await.expect("there is enough");
        given.public = Some(json!({ "item": "x".repeat(5_000) }));
        assert_eq!(gate.perform(given).await, Err(Refused::TooLarge));
    });
    let told = "SELECT COUNT(*) FROM outbox WHERE number = 2 AND topic = 'gift' AND sent_at IS NULL
                AND payload LIKE '%\"public\":{\"item\":\"rocket\"}%' AND payload LIKE '%\"balance\":90%'";
    assert_eq!(place.number(told).await, 1);
}

/// A reversal and what it takes back come at once, in either order; a hold and its end too.
#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_together_may_come_at_once() {
    use gifts_core::TransferId;
    use gifts_core::command::{Hold, Outcome, Reversal, Settlement, What, Why};
    let place = Place::new();
    with_store!(&place.told(), |store| {
        let gate = open(&store).await;
        let (user, channel) = (UserId::new(), ChannelId::new());
        gate.perform(top_up("p1", user, 1_000))
            .await
            .expect("it is paid");
        for round in 0..20 {
            let given = gift(&format!("g{round}"), user, channel, 10);
            let back = order(What::Reversal(Reversal {
                of: given.command.id(),
                why: Why::Refund,
            }));
            let hold = order(What::Hold(Hold {
                key: crate::support::reference(&format!("h{round}")),
                from: wallet(user),
                to: held(channel),
                amount: crate::support::amount(5),
                expires_at: None,
            }));
            let settled = order(What::Settlement(Settlement {
                of: TransferId {
                    transaction: hold.command.id(),
                    leg: 0,
                },
                outcome: Outcome::Void,
            }));
            all(&gate, vec![given, back.clone(), hold, settled.clone()]).await;
            for later in [back, settled] {
                gate.perform(later)
                    .await
                    .expect("what it is about is in the ledger");
            }
        }
        let last = gate
            .perform(gift("last", user, channel, 10))
            .await
            .expect("there is enough");
        assert_eq!(told_of(&last, wallet(user)), 990);
        assert_eq!(told_of(&last, held(channel)), 5);
        nothing_is_found(&store).await;
    });
}
