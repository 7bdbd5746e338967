//! Every rejection, in the order in which the rules stand.

mod support;

use gifts_core::account::{AccountId, Kind, Payee};
use gifts_core::rules::{LEGS_MAX, apply};
use gifts_core::transfer::{Code, Leg, Phase, Transaction, TransactionId, TransferId};
use gifts_core::{Account, Amount, Book, Rejection};
use support::{NOW, amount, channel, coin, user};

/// A name of the table, and a transaction that is refused by it.
type Case = (&'static str, fn(&mut Transaction));

const FX: fn() -> AccountId = || coin(Kind::Fx("CNY".parse().expect("a currency")));
const WALLET: fn() -> AccountId = || coin(Kind::Wallet(user(1)));
const PROMO: fn() -> AccountId = || coin(Kind::Promo);
const OWED: fn() -> AccountId = || coin(Kind::ChargebackReceivable(Payee::Channel(channel(1))));
const FROZEN: fn() -> AccountId = || coin(Kind::Wallet(user(2)));
const CLOSED: fn() -> AccountId = || coin(Kind::Wallet(user(3)));

fn id(text: &str) -> TransactionId {
    TransactionId::of_fact("test", &[text])
}

fn first(text: &str) -> TransferId {
    TransferId {
        transaction: id(text),
        leg: 0,
    }
}

fn transaction(text: &str, legs: Vec<Leg>) -> Transaction {
    Transaction {
        id: id(text),
        request: [7; 32],
        code: Code::Gift,
        reverses: None,
        contract: None,
        subject: None,
        event_at: NOW,
        legs,
    }
}

fn pending(expires_at: Option<i64>) -> Leg {
    Leg {
        phase: Phase::Pending { expires_at },
        ..Leg::single(WALLET(), PROMO(), amount(10))
    }
}

/// A wallet with 100 coins of which 20 are kept, one that is frozen with 5, and one that is closed.
fn book() -> Book {
    let mut book = Book::default();
    for account in [FX(), WALLET(), PROMO(), OWED(), FROZEN(), CLOSED()] {
        book.put_account(Account::new(account));
    }
    let mark = |code, account| Transaction {
        code,
        subject: Some(account),
        ..transaction(code.as_str(), Vec::new())
    };
    let before = [
        transaction("paid", vec![Leg::single(FX(), WALLET(), amount(100))]),
        transaction("paid too", vec![Leg::single(FX(), FROZEN(), amount(5))]),
        transaction("kept", vec![pending(None)]),
        transaction("expiring", vec![pending(Some(NOW + 10))]),
        transaction("resolved", vec![pending(None)]),
        transaction(
            "void",
            vec![Leg {
                phase: Phase::Void(first("resolved")),
                ..pending(None)
            }],
        ),
        Transaction {
            code: Code::Refund,
            reverses: Some(id("paid too")),
            ..transaction("back", vec![Leg::single(FX(), FROZEN(), amount(1))])
        },
        mark(Code::Freeze, FROZEN()),
        mark(Code::Close, CLOSED()),
    ];
    for transaction in before {
        apply(NOW, &mut book, &transaction).expect("it may be");
    }
    book
}

fn post(of: &str, units: i64) -> Leg {
    Leg {
        phase: Phase::Post(first(of)),
        amount: amount(units),
        ..pending(None)
    }
}

const CASES: [Case; 23] = [
    ("id_reused", |it| {
        it.id = id("paid");
        it.request = [8; 32];
    }),
    ("transaction_unknown", |it| it.reverses = Some(id("never"))),
    ("already_reversed", |it| it.reverses = Some(id("paid too"))),
    ("not_reversible", |it| it.reverses = Some(id("paid"))),
    ("nothing_to_do", |it| it.legs.clear()),
    ("too_many_legs", |it| {
        it.legs = vec![it.legs[0]; LEGS_MAX + 1]
    }),
    ("not_empty", |it| {
        it.code = Code::Close;
        it.subject = Some(WALLET());
    }),
    ("same_account", |it| it.legs[0].credit = WALLET()),
    ("currencies_differ", |it| {
        it.legs[0].credit.currency = "CNY".parse().expect("a currency")
    }),
    ("account_unknown", |it| {
        it.legs[0].credit = coin(Kind::Breakage)
    }),
    ("pending_unknown", |it| it.legs = vec![post("paid", 10)]),
    ("already_resolved", |it| {
        it.legs = vec![post("resolved", 10)]
    }),
    ("accounts_differ", |it| {
        it.legs = vec![Leg {
            credit: OWED(),
            ..post("kept", 10)
        }];
    }),
    ("exceeds_pending", |it| it.legs = vec![post("kept", 11)]),
    ("amount_differs", |it| {
        it.legs = vec![Leg {
            phase: Phase::Void(first("kept")),
            ..post("kept", 9)
        }];
    }),
    ("pending_expired", |it| it.legs = vec![post("expiring", 10)]),
    ("not_expired", |it| {
        it.legs = vec![Leg {
            phase: Phase::Expire(first("kept")),
            ..post("kept", 10)
        }];
    }),
    ("expiry_passed", |it| {
        it.legs = vec![pending(Some(NOW + 20))]
    }),
    ("account_closed", |it| it.legs[0].credit = CLOSED()),
    ("account_frozen", |it| {
        it.legs = vec![Leg::single(FROZEN(), PROMO(), amount(1))];
    }),
    ("overflow", |it| {
        it.legs = vec![Leg::single(FX(), PROMO(), Amount::MAX)];
    }),
    ("exceeds_credits", |it| it.legs[0].amount = amount(81)),
    ("exceeds_debits", |it| it.legs[0].credit = OWED()),
];

#[test]
fn each_rule_of_the_table_refuses_and_changes_nothing() {
    for (name, spoil) in CASES {
        let mut book = book();
        let mut wrong = transaction("new", vec![Leg::single(WALLET(), PROMO(), amount(80))]);
        apply(NOW + 20, &mut book.clone(), &wrong)
            .expect("it may be while nothing is wrong with it");
        // A leg before the wrong one is undone too.
        let good = Leg::single(FX(), PROMO(), amount(1));
        spoil(&mut wrong);
        if wrong.legs.len() == 1 {
            wrong.legs.insert(0, good);
        }
        let before: Vec<_> = sorted(&book);
        let refused = apply(NOW + 20, &mut book, &wrong).expect_err(name);
        assert_eq!(refused.as_str(), name);
        assert_eq!(sorted(&book), before, "{name}");
    }
}

fn sorted(book: &Book) -> Vec<Account> {
    let mut accounts: Vec<_> = book.accounts().copied().collect();
    accounts.sort_by_key(|account| account.id);
    accounts
}

#[test]
fn the_table_is_in_the_order_of_the_rules() {
    let table = include_str!("../src/rules.rs").lines();
    let names = table.filter_map(|line| line.strip_prefix("//! | `")?.split('`').next());
    let names: Vec<_> = names.collect();
    assert_eq!(names, CASES.map(|(name, _)| name));
}

/// Two things are wrong, and the one that stands first in the table is answered.
#[test]
fn what_is_wrong_with_the_whole_is_answered_before_what_is_wrong_with_a_leg() {
    let whole = [
        "id_reused",
        "transaction_unknown",
        "already_reversed",
        "not_reversible",
    ];
    for (first, (name, spoil)) in CASES.iter().enumerate() {
        if !whole.contains(name) && *name != "not_empty" {
            continue;
        }
        for (later, spoil_too) in &CASES[first + 1..] {
            if *name != "id_reused" && whole.contains(later) {
                continue;
            }
            let leg = Leg::single(WALLET(), PROMO(), amount(80));
            let mut wrong = transaction("new", vec![leg]);
            spoil_too(&mut wrong);
            spoil(&mut wrong);
            let refused = apply(NOW + 20, &mut book(), &wrong).expect_err(name);
            assert_eq!(refused.as_str(), *name, "before {later}");
        }
    }
}

#[test]
fn of_two_things_that_are_wrong_with_a_leg_the_first_is_answered() {
    let single = |debit, credit, units| Leg::single(debit, credit, amount(units));
    let cny = AccountId {
        currency: "CNY".parse().expect("a currency"),
        kind: Kind::Breakage,
    };
    let breakage = coin(Kind::Breakage);
    let pairs = [
        ("same_account", single(CLOSED(), CLOSED(), 1)),
        ("currencies_differ", single(WALLET(), cny, 1)),
        ("account_unknown", single(FROZEN(), breakage, 1)),
        (
            "pending_unknown",
            Leg {
                credit: CLOSED(),
                ..post("paid", 10)
            },
        ),
        (
            "already_resolved",
            Leg {
                credit: OWED(),
                ..post("resolved", 10)
            },
        ),
        (
            "accounts_differ",
            Leg {
                credit: OWED(),
                ..post("kept", 11)
            },
        ),
        ("exceeds_pending", post("expiring", 11)),
        (
            "amount_differs",
            Leg {
                phase: Phase::Expire(first("kept")),
                ..post("kept", 9)
            },
        ),
        (
            "expiry_passed",
            Leg {
                credit: CLOSED(),
                ..pending(Some(NOW + 20))
            },
        ),
        ("account_closed", single(FROZEN(), CLOSED(), 1)),
        ("account_frozen", single(FROZEN(), PROMO(), 100)),
        ("overflow", single(WALLET(), PROMO(), i64::MAX)),
        ("exceeds_credits", single(WALLET(), OWED(), 81)),
    ];
    for (name, leg) in pairs {
        let wrong = transaction("new", vec![leg]);
        let refused = apply(NOW + 20, &mut book(), &wrong).expect_err(name);
        assert_eq!(refused.as_str(), name);
    }
}

#[test]
fn the_same_again_is_answered_by_the_same_receipt_whatever_has_become_of_the_accounts() {
    let mut book = book();
    let all = transaction("all", vec![Leg::single(WALLET(), PROMO(), amount(80))]);
    let receipt = apply(NOW, &mut book, &all).expect("it may be");
    let before = sorted(&book);
    assert_eq!(apply(NOW + 99, &mut book, &all), Ok(receipt));
    assert_eq!(sorted(&book), before);
    let more = transaction("more", vec![Leg::single(WALLET(), PROMO(), amount(1))]);
    assert_eq!(
        apply(NOW, &mut book, &more),
        Err(Rejection::ExceedsCredits(WALLET()))
    );
}

#[test]
fn what_sets_something_right_takes_from_a_frozen_account() {
    let mut book = book();
    let correction = Transaction {
        code: Code::Chargeback,
        reverses: Some(id("paid")),
        ..transaction("new", vec![Leg::single(FROZEN(), FX(), amount(6))])
    };
    apply(NOW, &mut book, &correction).expect("it may be");
    assert_eq!(support::balance(&book, FROZEN()), 0);
}

#[test]
fn as_many_legs_belong_together_as_may() {
    let legs = vec![Leg::single(WALLET(), PROMO(), amount(1)); LEGS_MAX];
    let receipt = apply(NOW, &mut book(), &transaction("most", legs)).expect("it may be");
    assert_eq!(usize::from(receipt.legs), LEGS_MAX);
}

#[test]
fn a_pending_amount_cannot_be_resolved_twice_by_one_transaction() {
    let half = post("kept", 5);
    let twice = transaction("twice", vec![half, half]);
    assert_eq!(
        apply(NOW, &mut book(), &twice),
        Err(Rejection::AlreadyResolved(first("kept")))
    );
}
