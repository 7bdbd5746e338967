//! A small ledger written by hand: what is found when something in it is changed, to the word.

mod support;

use std::collections::BTreeMap;

use gifts_core::Next;
use gifts_core::account::{Class, Counters};
use gifts_core::row::{AccountRow, TransactionRow, TransferRow};
use gifts_core::transfer::Code;
use gifts_core::verify::{Report, Verifier};
use support::NOW;

const FX: i64 = 1;
const A: i64 = 2;
const OWED: i64 = 3;
const B: i64 = 4;
const C: i64 = 5;

/// How long something may be pending after its time.
const GRACE: i64 = 3_600_000_000;

struct Ledger {
    accounts: Vec<AccountRow>,
    transactions: Vec<(TransactionRow, Vec<TransferRow>)>,
    /// A transaction that is not in the outbox.
    untold: i64,
    next: Next,
    /// When it is looked at.
    now: i64,
}

impl Ledger {
    fn account(&mut self, number: i64) -> &mut AccountRow {
        let mut accounts = self.accounts.iter_mut();
        accounts
            .find(|row| row.number == number)
            .expect("it is there")
    }

    fn counters(&mut self, number: i64) -> &mut Counters {
        &mut self.account(number).counters
    }

    fn transaction(&mut self, number: i64) -> &mut TransactionRow {
        let mut rows = self.transactions.iter_mut().map(|(row, _)| row);
        rows.find(|row| row.number == number).expect("it is there")
    }

    fn transfer(&mut self, seq: i64) -> &mut TransferRow {
        let mut rows = self.transactions.iter_mut().flat_map(|(_, rows)| rows);
        rows.find(|row| row.seq == seq).expect("it is there")
    }

    /// Enters what comes after everything else; counters and numbers of what follows are not touched.
    fn enter(&mut self, code: Code, at: i64, transfers: &[Moved]) -> &mut TransactionRow {
        let number = self
            .transactions
            .last()
            .map_or(1, |(row, _)| row.number + 1);
        let rows = self.transactions.iter().map(|(_, rows)| rows.len());
        let first_seq = i64::try_from(rows.sum::<usize>()).expect("few") + 1;
        let row = TransactionRow {
            number,
            id: format!("t{number}"),
            request: String::new(),
            code: code.number(),
            reverses: None,
            contract: None,
            subject: None,
            first_seq,
            legs: i64::try_from(transfers.len()).expect("few"),
            event_at: NOW,
            created_at: at,
        };
        let transfers = (first_seq..)
            .zip(transfers)
            .map(|(seq, moved)| TransferRow {
                seq,
                txn: number,
                ledger: "COIN".into(),
                debit: moved.0,
                credit: moved.1,
                amount: moved.2,
                phase: moved.3,
                resolves: moved.4,
                expires_at: moved.5,
            });
        self.transactions.push((row, transfers.collect()));
        &mut self.transactions.last_mut().expect("it was pushed").0
    }

    fn verify(&self) -> Report {
        let mut verifier = Verifier::default();
        for row in &self.accounts {
            verifier.account(row.clone());
        }
        for (row, transfers) in &self.transactions {
            verifier.transaction(row, transfers, row.number != self.untold);
        }
        verifier.finish(self.now, self.next)
    }
}

/// From, to, how much, phase, what it resolves, until when.
type Moved = (i64, i64, i64, i64, Option<i64>, Option<i64>);

fn single(debit: i64, credit: i64, amount: i64) -> Moved {
    (debit, credit, amount, 0, None, None)
}

fn pending(credit: i64, amount: i64, until: Option<i64>) -> Moved {
    (A, credit, amount, 1, None, until)
}

fn resolving(phase: i64, of: i64, amount: i64) -> Moved {
    (A, B, amount, phase, Some(of), None)
}

fn account(number: i64, id: &str, limit_rule: i64, counters: [i64; 4], version: i64) -> AccountRow {
    let [
        debits_pending,
        debits_posted,
        credits_pending,
        credits_posted,
    ] = counters;
    AccountRow {
        number,
        id: id.into(),
        ledger: "COIN".into(),
        limit_rule,
        counters: Counters {
            debits_pending,
            debits_posted,
            credits_pending,
            credits_posted,
        },
        version,
        opened_at: NOW,
        frozen_at: None,
        closed_at: None,
    }
}

/// One in which nothing is wrong, though much is as near to it as may be.
fn ledger() -> Ledger {
    let owed = "COIN:chargeback_receivable:channel-00000000-0000-0000-0000-000000000000";
    let mut it = Ledger {
        accounts: vec![
            account(FX, "COIN:fx:CNY", 0, [0, 101, 0, 5], 7),
            account(A, "COIN:vat:a", 1, [9, 33, 0, 101], 13),
            account(OWED, owed, 2, [0, 5, 2, 3], 12),
            account(B, "COIN:vat:b", 1, [0, 0, 7, 30], 13),
            AccountRow {
                closed_at: Some(NOW + 10),
                ..account(C, "COIN:vat:c", 1, [0; 4], 0)
            },
        ],
        transactions: Vec::new(),
        untold: 0,
        next: Next {
            account: 6,
            transaction: 16,
            seq: 14,
        },
        now: NOW + 20 + GRACE,
    };
    let until = Some(NOW + 10);
    it.enter(Code::TopUp, NOW, &[single(FX, A, 100)]);
    it.enter(Code::Hold, NOW, &[pending(B, 30, until)]);
    it.enter(Code::Hold, NOW, &[pending(B, 20, None)]);
    it.enter(Code::Settle, NOW + 9, &[resolving(2, 2, 25)]);
    it.enter(Code::Freeze, NOW + 9, &[]).subject = Some(A);
    it.enter(Code::Settle, NOW + 9, &[resolving(3, 3, 20)]);
    it.enter(Code::TopUp, NOW + 9, &[single(FX, A, 1)]);
    it.enter(Code::Refund, NOW + 9, &[single(A, FX, 5)])
        .reverses = Some(1);
    it.enter(Code::Unfreeze, NOW + 9, &[]).subject = Some(A);
    it.enter(Code::Hold, NOW + 9, &[pending(B, 10, until)]);
    it.enter(Code::Settle, NOW + 10, &[resolving(4, 8, 10)]);
    let both = [single(OWED, B, 5), single(A, OWED, 3)];
    it.enter(Code::Gift, NOW + 10, &both);
    it.enter(Code::Close, NOW + 10, &[]).subject = Some(C);
    it.enter(Code::Hold, NOW + 10, &[pending(OWED, 2, None)]);
    it.enter(Code::Hold, NOW + 10, &[pending(B, 7, Some(NOW + 20))]);
    it
}

#[test]
fn everything_is_counted_where_nothing_is_wrong() {
    let report = ledger().verify();
    assert_eq!(report.findings, []);
    assert_eq!(report.found, 0);
    let seen = (report.accounts, report.transactions, report.transfers);
    assert_eq!(seen, (5, 15, 13));
    assert_eq!((report.links, report.unsealed, report.head), (0, 15, None));
    let balances = [
        (Class::Asset, 2),
        (Class::Liability, -98),
        (Class::Equity, 96),
    ];
    let balances = BTreeMap::from([("COIN".to_owned(), BTreeMap::from(balances))]);
    assert_eq!(report.balances, balances);
}

/// What is changed, and what is found then.
type Change = (&'static str, fn(&mut Ledger), &'static [&'static str]);

const CHANGES: &[Change] = &[
    // Accounts.
    (
        "an account in another ledger",
        |it| it.account(C).ledger = "CNY".into(),
        &["I1 account COIN:vat:c: it stands in the ledger CNY"],
    ),
    (
        "another limit",
        |it| it.account(FX).limit_rule = 2,
        &["I3 account COIN:fx:CNY: its limit is 2"],
    ),
    (
        "an account of no kind",
        |it| it.account(C).id = "COIN:treasure".into(),
        &["I6 account COIN:treasure: it is not in the chart of accounts"],
    ),
    (
        "two accounts with one number",
        |it| it.accounts.push(account(C, "COIN:promo", 0, [0; 4], 0)),
        &[
            "I5 account COIN:promo: another has its number 5",
            "I2 account COIN:promo: nobody has frozen, unfrozen or closed it so",
        ],
    ),
    (
        "an account that was left out",
        |it| it.next.account = 7,
        &[
            "I5 the ledger: it ends before Next { account: 6, transaction: 16, seq: 14 }, \
             and should before Next { account: 7, transaction: 16, seq: 14 }",
        ],
    ),
    // Transactions.
    (
        "a number that was left out",
        |it| {
            it.transaction(13).number = 14;
            it.transactions.truncate(13);
            it.next.transaction = 15;
            it.next.seq = 12;
            it.counters(A).debits_pending = 0;
            it.account(A).version = 11;
            it.counters(OWED).credits_pending = 0;
            it.account(OWED).version = 11;
            it.counters(B).credits_pending = 0;
            it.account(B).version = 10;
        },
        &["I5 transaction 14 (t13): 12 comes before it"],
    ),
    (
        "another first transfer",
        |it| it.transaction(13).first_seq = 13,
        &[
            "I5 transaction 13 (t13): its first transfer is 13, not 12",
            "I5 transaction 14 (t14): its first transfer is 12, not 13",
        ],
    ),
    (
        "another number of transfers",
        |it| it.transaction(15).legs = 2,
        &[
            "I6 transaction 15 (t15): it has 1 transfers, not 2",
            "I5 the ledger: it ends before Next { account: 6, transaction: 16, seq: 15 }, \
             and should before Next { account: 6, transaction: 16, seq: 14 }",
        ],
    ),
    (
        "nobody told",
        |it| it.untold = 3,
        &["I8 transaction 3 (t3): nobody was or will be told of it"],
    ),
    (
        "taken back by itself",
        |it| it.transaction(8).reverses = Some(8),
        &["I6 transaction 8 (t8): 8 cannot be taken back by it"],
    ),
    (
        "taken back before it was",
        |it| it.transaction(8).reverses = Some(9),
        &["I6 transaction 8 (t8): 9 cannot be taken back by it"],
    ),
    (
        "taken back twice",
        |it| it.transaction(10).reverses = Some(1),
        &["I6 transaction 10 (t10): 1 cannot be taken back by it"],
    ),
    (
        "a code of nothing",
        |it| it.transaction(1).code = 99,
        &["I6 transaction 1 (t1): its code is 99"],
    ),
    (
        "about an account, and does nothing to it",
        |it| it.transaction(1).subject = Some(B),
        &["I6 transaction 1 (t1): it is about the account 4"],
    ),
    (
        "about no account",
        |it| it.transaction(13).subject = Some(9),
        &[
            "I6 transaction 13 (t13): it is about the account 9",
            "I2 account COIN:vat:c: nobody has frozen, unfrozen or closed it so",
        ],
    ),
    // Transfers.
    (
        "a transfer that was left out",
        |it| {
            it.transfer(13).seq = 14;
            it.account(A).version = 14;
            it.account(B).version = 14;
        },
        &["I5 transfer 14: 12 comes before it"],
    ),
    (
        "of another transaction",
        |it| it.transfer(13).txn = 14,
        &["I6 transfer 13: it belongs to 14"],
    ),
    (
        "nothing moved",
        |it| {
            it.transfer(13).amount = 0;
            it.counters(A).debits_pending -= 7;
            it.counters(B).credits_pending -= 7;
        },
        &["I1 transfer 13: it moves nothing from one account to another"],
    ),
    (
        "less than nothing kept",
        |it| {
            it.transfer(13).amount = -1;
            it.counters(A).debits_pending -= 8;
            it.counters(B).credits_pending -= 8;
        },
        &[
            "I1 transfer 13: it moves nothing from one account to another",
            "I3 transfer 13: the limit of COIN:vat:b is broken by it",
        ],
    ),
    (
        "from an account to itself",
        |it| {
            it.transfer(13).debit = B;
            it.account(A).version = 12;
            it.counters(A).debits_pending -= 7;
            it.counters(B).debits_pending += 7;
        },
        &["I1 transfer 13: it moves nothing from one account to another"],
    ),
    (
        "to no account",
        |it| {
            it.transfer(13).credit = 99;
            it.account(A).version = 12;
            it.account(B).version = 10;
            it.counters(A).debits_pending -= 7;
            it.counters(B).credits_pending -= 7;
        },
        &["I2 transfer 13: there is no account 99"],
    ),
    (
        "in another ledger than its accounts",
        |it| it.transfer(13).ledger = "CNY".into(),
        &[
            "I1 transfer 13: COIN:vat:a is of another ledger",
            "I1 transfer 13: COIN:vat:b is of another ledger",
        ],
    ),
    (
        "to an account that was closed",
        |it| {
            it.transfer(13).credit = C;
            it.counters(B).credits_pending -= 7;
            it.account(B).version = 10;
            it.counters(C).credits_pending += 7;
            it.account(C).version = 13;
        },
        &["I3 transfer 13: COIN:vat:c was closed"],
    ),
    (
        "from an account that was frozen",
        |it| it.transaction(8).code = Code::Gift.number(),
        &["I3 transfer 7: COIN:vat:a was frozen"],
    ),
    (
        "kept from an account that was frozen",
        |it| {
            it.transaction(8).code = Code::Gift.number();
            it.transfer(7).phase = 1;
            it.counters(A).debits_posted -= 5;
            it.counters(A).debits_pending += 5;
            it.counters(FX).credits_posted -= 5;
            it.counters(FX).credits_pending += 5;
        },
        &["I3 transfer 7: COIN:vat:a was frozen"],
    ),
    (
        "posted from an account that was frozen",
        |it| {
            it.transfer(5).phase = 2;
            it.counters(A).debits_posted += 20;
            it.counters(B).credits_posted += 20;
        },
        &["I3 transfer 5: COIN:vat:a was frozen"],
    ),
    (
        "a phase of nothing",
        |it| {
            it.transfer(13).phase = 5;
            it.counters(A).debits_pending -= 7;
            it.counters(B).credits_pending -= 7;
        },
        &[
            "I4 transfer 13: it resolves nothing",
            "I6 transfer 13: its phase is 5",
        ],
    ),
    // What is pending, and what becomes of it.
    (
        "a void of nothing",
        |it| {
            it.transfer(5).resolves = None;
            it.counters(A).debits_pending += 20;
            it.counters(B).credits_pending += 20;
        },
        &["I4 transfer 5: it resolves nothing"],
    ),
    (
        "resolved by what does not resolve",
        |it| it.transfer(12).resolves = Some(2),
        &["I4 transfer 12: it cannot resolve 2"],
    ),
    (
        "resolved by a phase of nothing",
        |it| {
            it.transfer(13).phase = 5;
            it.transfer(13).resolves = Some(12);
            it.counters(A).debits_pending -= 7;
            it.counters(B).credits_pending -= 7;
        },
        &[
            "I4 transfer 13: it cannot resolve 12",
            "I6 transfer 13: its phase is 5",
        ],
    ),
    (
        "resolved twice",
        |it| {
            it.transfer(5).resolves = Some(2);
            it.counters(A).debits_pending += 20;
            it.counters(B).credits_pending += 20;
        },
        &["I4 transfer 5: 2 is not pending"],
    ),
    (
        "resolved between other accounts",
        |it| {
            it.enter(Code::Settle, NOW + 10, &[resolving(3, 12, 2)]);
            it.next.transaction += 1;
            it.next.seq += 1;
            it.counters(A).debits_pending -= 2;
            it.account(A).version = 14;
            it.counters(B).credits_pending -= 2;
            it.account(B).version = 14;
        },
        &["I4 transfer 14: 12 is between other accounts"],
    ),
    (
        "as much posted as was kept",
        |it| {
            it.transfer(4).amount = 30;
            it.counters(A).debits_posted += 5;
            it.counters(B).credits_posted += 5;
        },
        &[],
    ),
    (
        "more posted than was kept",
        |it| {
            it.transfer(4).amount = 31;
            it.counters(A).debits_posted += 6;
            it.counters(B).credits_posted += 6;
        },
        &["I4 transfer 4: 2 keeps 30"],
    ),
    (
        "less called off than was kept",
        |it| it.transfer(5).amount = 19,
        &["I4 transfer 5: 3 keeps 20"],
    ),
    (
        "posted when its time was over",
        |it| it.transaction(4).created_at = NOW + 10,
        &["I4 transfer 4: 2 keeps it until Some(1800000000000010)"],
    ),
    (
        "called off when its time was over",
        |it| it.transfer(3).expires_at = Some(NOW + 1),
        &[],
    ),
    (
        "expired before its time",
        |it| it.transaction(11).created_at = NOW + 9,
        &["I4 transfer 9: 8 keeps it until Some(1800000000000010)"],
    ),
    (
        "expired, and had no time",
        |it| it.transfer(8).expires_at = None,
        &["I4 transfer 9: 8 keeps it until None"],
    ),
    (
        "pending long after its time",
        |it| it.now += 1,
        &["I4 transfer 13: it is pending long after its time"],
    ),
    // Limits.
    (
        "as much taken as there is",
        |it| {
            it.transfer(13).amount += 59;
            it.counters(A).debits_pending += 59;
            it.counters(B).credits_pending += 59;
        },
        &[],
    ),
    (
        "more taken than there is",
        |it| {
            it.transfer(13).amount += 60;
            it.counters(A).debits_pending += 60;
            it.counters(B).credits_pending += 60;
        },
        &["I3 transfer 13: the limit of COIN:vat:a is broken by it"],
    ),
    (
        "more paid back than is owed",
        |it| {
            it.transfer(12).amount += 1;
            it.counters(A).debits_pending += 1;
            it.counters(OWED).credits_pending += 1;
        },
        &[
            "I3 transfer 12: the limit of COIN:chargeback_receivable:channel-00000000-0000-0000-0000-000000000000 is broken by it",
        ],
    ),
    // What the accounts count.
    (
        "a coin more",
        |it| it.counters(B).credits_posted += 1,
        &[
            "I2 account COIN:vat:b: it counts \
             Counters { debits_pending: 0, debits_posted: 0, credits_pending: 7, credits_posted: 31 }, \
             and its transfers \
             Counters { debits_pending: 0, debits_posted: 0, credits_pending: 7, credits_posted: 30 }",
            "I1 ledger COIN: debits are 139 and 9 pending, credits 140 and 9",
        ],
    ),
    (
        "a coin more kept",
        |it| it.counters(C).debits_pending += 1,
        &[
            "I2 account COIN:vat:c: it counts \
             Counters { debits_pending: 1, debits_posted: 0, credits_pending: 0, credits_posted: 0 }, \
             and its transfers \
             Counters { debits_pending: 0, debits_posted: 0, credits_pending: 0, credits_posted: 0 }",
            "I1 ledger COIN: debits are 139 and 10 pending, credits 139 and 9",
        ],
    ),
    (
        "another version",
        |it| it.account(B).version = 12,
        &["I2 account COIN:vat:b: 13 touched it last, not 12"],
    ),
    (
        "frozen by nobody",
        |it| it.account(B).frozen_at = Some(NOW),
        &["I2 account COIN:vat:b: nobody has frozen, unfrozen or closed it so"],
    ),
    (
        "closed, and open again",
        |it| it.account(C).closed_at = None,
        &["I2 account COIN:vat:c: nobody has frozen, unfrozen or closed it so"],
    ),
];

#[test]
fn what_is_changed_is_found_and_nothing_else() {
    for (what, change, expected) in CHANGES {
        let mut ledger = ledger();
        change(&mut ledger);
        let findings = ledger.verify().findings;
        let found: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(found, *expected, "{what}");
    }
}

#[test]
fn no_more_than_a_thousand_findings_are_listed_and_all_are_counted() {
    let mut verifier = Verifier::default();
    for number in 1..=1_001 {
        verifier.account(account(number, "COIN:treasure", 0, [0; 4], 0));
    }
    let next = Next {
        account: 1_002,
        ..Next::default()
    };
    let report = verifier.finish(NOW, next);
    assert_eq!((report.findings.len(), report.found), (1_000, 1_001));
}
