//! What is asked for, and where the coins are afterwards.

mod support;

use gifts_core::account::{Kind, Payee};
use gifts_core::command::{Hold, Mark, Outcome, Release, Reversal, Settlement, What, Why};
use gifts_core::transfer::{Code, TransferId};
use gifts_core::{Amount, Book, Contract, Name, Rejection, TransactionId};
use proptest::prelude::*;
use support::{
    NOW, amount, balance, channel, coin, gift, halves, held, perform, reference, rows, top_up,
    user, verify,
};
use wire::AgencyId;

fn wallet(who: u128) -> gifts_core::AccountId {
    coin(Kind::Wallet(user(who)))
}

fn promo(who: u128) -> gifts_core::AccountId {
    coin(Kind::WalletPromo(user(who)))
}

fn of_channel(kind: fn(Payee) -> Kind, to: u128) -> gifts_core::AccountId {
    coin(kind(Payee::Channel(channel(to))))
}

fn fee(text: &str) -> gifts_core::AccountId {
    coin(Kind::Fee(Name::new(text).expect("a name")))
}

fn released(to: u128, day: i64, units: i64) -> What {
    What::Release(Release {
        payee: Payee::Channel(channel(to)),
        day,
        amount: amount(units),
    })
}

fn back(of: TransactionId, why: Why) -> What {
    What::Reversal(Reversal { of, why })
}

/// Asks for something that may be, and tells which transaction it is.
fn done(book: &mut Book, what: What) -> TransactionId {
    perform(book, NOW, what).expect("it may be").receipt.id
}

#[test]
fn paid_coins_are_spent_first_and_given_ones_are_never_payable() {
    let mut book = Book::default();
    done(&mut book, top_up("p1", 1, 100, 50));
    done(&mut book, gift("g1", 1, 9, 130, halves()));
    assert_eq!(balance(&book, wallet(1)), 0);
    assert_eq!(balance(&book, promo(1)), 20);
    assert_eq!(balance(&book, held(9)), 50);
    assert_eq!(balance(&book, fee("gift")), 50);
    assert_eq!(balance(&book, of_channel(Kind::EarnPromo, 9)), 15);
    assert_eq!(balance(&book, fee("gift-promo")), 15);
    // More than there is is not released: what was earned in given coins is not there.
    done(&mut book, released(9, 1, 1_000));
    assert_eq!(balance(&book, of_channel(Kind::EarnAvailable, 9)), 50);
    assert_eq!(
        perform(&mut book, NOW, released(9, 2, 1)),
        Err(Rejection::NothingToDo)
    );
    assert_eq!(
        perform(&mut book, NOW, gift("g2", 1, 9, 21, halves())),
        Err(Rejection::ExceedsCredits(wallet(1)))
    );
}

#[test]
fn a_payment_is_credited_once_however_often_it_is_told() {
    let mut book = Book::default();
    let first = perform(&mut book, NOW, top_up("p1", 1, 100, 0)).expect("it may be");
    let again = perform(&mut book, NOW + 5, top_up("p1", 1, 100, 0)).expect("it may be");
    assert_eq!(again.receipt, first.receipt);
    assert!(again.is_replay && !first.is_replay);
    let another = perform(&mut book, NOW, top_up("p1", 1, 101, 0));
    assert_eq!(another, Err(Rejection::IdReused));
    assert_eq!(balance(&book, wallet(1)), 100);
}

#[test]
fn a_gift_sent_again_after_the_contract_changed_is_the_same_gift() {
    let mut book = Book::default();
    done(&mut book, top_up("p1", 1, 100, 0));
    let first = done(&mut book, gift("g1", 1, 9, 100, halves()));
    let other = Contract::new(2, 9_000, None).expect("a contract");
    assert_eq!(done(&mut book, gift("g1", 1, 9, 100, other)), first);
    assert_eq!(balance(&book, held(9)), 50);
    // Another's gift under the same key is another.
    assert!(perform(&mut book, NOW, gift("g1", 2, 9, 100, halves())).is_err());
}

#[test]
fn an_agency_has_its_share() {
    let mut book = Book::default();
    let agency = AgencyId::new();
    let contract = Contract::new(3, 4_000, Some((agency, 1_500))).expect("a contract");
    done(&mut book, top_up("p1", 1, 101, 0));
    done(&mut book, gift("g1", 1, 9, 101, contract));
    assert_eq!(balance(&book, held(9)), 40);
    assert_eq!(
        balance(&book, coin(Kind::EarnHeld(Payee::Agency(agency)))),
        15
    );
    assert_eq!(balance(&book, fee("gift")), 46);
}

#[test]
fn a_gift_taken_back_after_it_was_paid_out_is_owed_and_repaid_by_later_ones() {
    let mut book = Book::default();
    done(&mut book, top_up("p1", 1, 100, 0));
    let first = done(&mut book, gift("g1", 1, 9, 100, halves()));
    done(&mut book, released(9, 1, 30));
    // 10 of them are paid out, 20 can be, 20 are held.
    let available = of_channel(Kind::EarnAvailable, 9);
    let transit = of_channel(Kind::PayoutInTransit, 9);
    let hold = What::Hold(Hold {
        key: reference("payout-1"),
        from: available,
        to: transit,
        amount: amount(10),
        expires_at: None,
    });
    let payout = done(&mut book, hold);
    done(
        &mut book,
        What::Settlement(Settlement {
            of: TransferId {
                transaction: payout,
                leg: 0,
            },
            outcome: Outcome::Post(None),
        }),
    );
    done(&mut book, back(first, Why::Chargeback));
    let owed = of_channel(Kind::ChargebackReceivable, 9);
    assert_eq!(balance(&book, wallet(1)), 100);
    assert_eq!(balance(&book, held(9)), 0);
    assert_eq!(balance(&book, available), 0);
    assert_eq!(balance(&book, owed), 10);
    // It is taken back once.
    let again = perform(&mut book, NOW, back(first, Why::Chargeback)).expect("it may be");
    assert!(again.is_replay);
    assert_eq!(
        perform(&mut book, NOW, back(first, Why::Refund)),
        Err(Rejection::IdReused)
    );
    // The next gift pays what is owed first.
    let second = done(&mut book, gift("g2", 1, 9, 40, halves()));
    assert_eq!(balance(&book, owed), 0);
    assert_eq!(balance(&book, held(9)), 10);
    // And when that is taken back too, it is owed again.
    done(&mut book, back(second, Why::Refund));
    assert_eq!(balance(&book, owed), 10);
    assert_eq!(balance(&book, held(9)), 0);
    assert_eq!(balance(&book, fee("gift")), 0);
}

#[test]
fn nobody_owes_what_a_minor_spent() {
    let mut book = Book::default();
    done(&mut book, top_up("p1", 1, 100, 0));
    let given = done(&mut book, gift("g1", 1, 9, 100, halves()));
    done(&mut book, released(9, 1, 50));
    let hold = What::Hold(Hold {
        key: reference("payout-1"),
        from: of_channel(Kind::EarnAvailable, 9),
        to: of_channel(Kind::PayoutInTransit, 9),
        amount: amount(50),
        expires_at: None,
    });
    done(&mut book, hold);
    done(&mut book, back(given, Why::Minor));
    assert_eq!(balance(&book, wallet(1)), 100);
    assert_eq!(balance(&book, coin(Kind::RefundLoss)), 50);
    assert_eq!(balance(&book, of_channel(Kind::ChargebackReceivable, 9)), 0);
}

#[test]
fn coins_are_refunded_whole_or_not_and_a_bank_takes_what_there_is() {
    let mut book = Book::default();
    let paid = done(&mut book, top_up("p1", 1, 100, 50));
    let second = done(&mut book, top_up("p2", 2, 100, 0));
    done(&mut book, gift("g1", 1, 9, 60, halves()));
    assert_eq!(
        perform(&mut book, NOW, back(paid, Why::Refund)),
        Err(Rejection::ExceedsCredits(wallet(1)))
    );
    done(&mut book, back(paid, Why::Chargeback));
    assert_eq!(balance(&book, wallet(1)), 0);
    assert_eq!(balance(&book, promo(1)), 0);
    assert_eq!(balance(&book, coin(Kind::RefundLoss)), 60);
    assert_eq!(balance(&book, coin(Kind::Promo)), 0);
    done(&mut book, back(second, Why::Refund));
    assert_eq!(balance(&book, wallet(2)), 0);
    assert_eq!(
        balance(&book, coin(Kind::Fx("CNY".parse().expect("a currency")))),
        0
    );
}

#[test]
fn a_frozen_wallet_gives_nothing_and_takes_back() {
    let mut book = Book::default();
    done(&mut book, top_up("p1", 1, 100, 0));
    let given = done(&mut book, gift("g1", 1, 9, 50, halves()));
    let mark = |code, key| {
        What::Mark(Mark {
            account: wallet(1),
            code,
            key: reference(key),
        })
    };
    done(&mut book, mark(Code::Freeze, "case-1"));
    assert_eq!(
        perform(&mut book, NOW, gift("g2", 1, 9, 10, halves())),
        Err(Rejection::AccountFrozen(wallet(1)))
    );
    done(&mut book, back(given, Why::Refund));
    assert_eq!(balance(&book, wallet(1)), 100);
    // The decision told twice is one; a later one is another.
    done(&mut book, mark(Code::Unfreeze, "case-2"));
    done(&mut book, mark(Code::Freeze, "case-1"));
    done(&mut book, gift("g2", 1, 9, 10, halves()));
}

#[test]
fn a_day_is_released_once_even_if_some_of_it_was_taken_back_since() {
    let mut book = Book::default();
    done(&mut book, top_up("p1", 1, 200, 0));
    done(&mut book, gift("g1", 1, 9, 200, halves()));
    let first = done(&mut book, released(9, 1, 60));
    assert_eq!(done(&mut book, released(9, 1, 40)), first);
    assert_eq!(balance(&book, of_channel(Kind::EarnAvailable, 9)), 60);
}

#[test]
fn a_hold_keeps_coins_until_it_expires() {
    let mut book = Book::default();
    done(&mut book, top_up("p1", 1, 100, 0));
    let hold = What::Hold(Hold {
        key: reference("show-1"),
        from: wallet(1),
        to: held(9),
        amount: amount(70),
        expires_at: Some(NOW + 10),
    });
    let kept = TransferId {
        transaction: done(&mut book, hold),
        leg: 0,
    };
    let settle = |outcome| What::Settlement(Settlement { of: kept, outcome });
    assert!(perform(&mut book, NOW, gift("g1", 1, 9, 31, halves())).is_err());
    let early = perform(&mut book, NOW, settle(Outcome::Expire));
    assert_eq!(early, Err(Rejection::NotExpired(kept)));
    let late = perform(&mut book, NOW + 10, settle(Outcome::Post(Amount::new(10))));
    assert_eq!(late, Err(Rejection::PendingExpired(kept)));
    perform(&mut book, NOW + 10, settle(Outcome::Expire)).expect("its time is over");
    assert_eq!(
        perform(&mut book, NOW + 10, settle(Outcome::Void)),
        Err(Rejection::IdReused)
    );
    done(&mut book, gift("g1", 1, 9, 100, halves()));
}

#[test]
fn some_of_what_was_kept_is_posted_and_the_rest_is_free_again() {
    let mut book = Book::default();
    done(&mut book, top_up("p1", 1, 100, 0));
    let hold = What::Hold(Hold {
        key: reference("show-1"),
        from: wallet(1),
        to: held(9),
        amount: amount(70),
        expires_at: None,
    });
    let of = TransferId {
        transaction: done(&mut book, hold),
        leg: 0,
    };
    let outcome = Outcome::Post(Amount::new(10));
    done(&mut book, What::Settlement(Settlement { of, outcome }));
    assert_eq!(balance(&book, held(9)), 10);
    assert_eq!(balance(&book, wallet(1)), 90);
    done(&mut book, gift("g1", 1, 8, 90, halves()));
}

#[test]
fn given_coins_that_were_spent_are_not_asked_for_when_a_top_up_is_taken_back() {
    for why in [Why::Refund, Why::Chargeback, Why::Minor] {
        let mut book = Book::default();
        let paid = done(&mut book, top_up("p1", 1, 100, 50));
        done(&mut book, gift("g1", 1, 9, 120, halves()));
        done(&mut book, top_up("p2", 1, 100, 0));
        done(&mut book, back(paid, why));
        assert_eq!(balance(&book, wallet(1)), 0);
        assert_eq!(balance(&book, promo(1)), 0);
        assert_eq!(balance(&book, coin(Kind::Promo)), 20, "what was spent");
        assert_eq!(balance(&book, coin(Kind::RefundLoss)), 0);
    }
}

#[derive(Clone, Debug)]
enum Step {
    TopUp(u8, i64, i64),
    Gift(u8, i64),
    Release(i64),
    Payout(i64),
    Back(usize, u8),
    Again(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3_u8, 1..500_i64, 0..100_i64)
            .prop_map(|(who, coins, bonus)| Step::TopUp(who, coins, bonus)),
        (0..3_u8, 1..400_i64).prop_map(|(who, price)| Step::Gift(who, price)),
        (1..300_i64).prop_map(Step::Release),
        (1..300_i64).prop_map(Step::Payout),
        (any::<usize>(), 0..3_u8).prop_map(|(of, why)| Step::Back(of, why)),
        any::<usize>().prop_map(Step::Again),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_books_balance_and_given_coins_stay_given(
        steps in prop::collection::vec(step(), 1..80)
    ) {
        let mut book = Book::default();
        let mut asked: Vec<(What, TransactionId)> = Vec::new();
        for (tick, step) in (0..).zip(steps) {
            let key = format!("k{tick}");
            let what = match step {
                Step::TopUp(who, coins, bonus) => top_up(&key, who.into(), coins, bonus),
                Step::Gift(who, price) => gift(&key, who.into(), 9, price, halves()),
                Step::Release(units) => released(9, tick, units),
                Step::Payout(units) => What::Hold(Hold {
                    key: reference(&key),
                    from: of_channel(Kind::EarnAvailable, 9),
                    to: of_channel(Kind::PayoutInTransit, 9),
                    amount: amount(units),
                    expires_at: None,
                }),
                Step::Back(of, why) if !asked.is_empty() => {
                    let why = [Why::Refund, Why::Chargeback, Why::Minor][usize::from(why)];
                    back(asked[of % asked.len()].1, why)
                }
                Step::Again(of) if !asked.is_empty() => asked[of % asked.len()].0,
                Step::Back(..) | Step::Again(_) => continue,
            };
            if let Ok(done) = perform(&mut book, NOW, what) {
                asked.push((what, done.receipt.id));
            }
            let sum = |of: fn(&Kind) -> bool| -> i64 {
                book.accounts().filter(|account| of(&account.id.kind)).map(gifts_core::Account::balance).sum()
            };
            let given = balance(&book, coin(Kind::Promo));
            let held = sum(|kind| matches!(kind, Kind::WalletPromo(_) | Kind::EarnPromo(_)));
            prop_assert_eq!(given, held + balance(&book, fee("gift-promo")), "coins given away");
        }
        let before: Vec<_> = book.accounts().copied().collect();
        for (what, id) in &asked {
            let again = perform(&mut book, NOW + 1, *what).expect("it was");
            prop_assert!(again.is_replay && again.receipt.id == *id);
        }
        prop_assert_eq!(before, book.accounts().copied().collect::<Vec<_>>());
        let changes = book.take_changes();
        let report = verify(&changes, &rows(&changes), &[]);
        prop_assert!(report.findings.is_empty(), "{:?}", report.findings);
    }
}
