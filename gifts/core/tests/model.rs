//! The rules beside a model that keeps a list and adds it up anew for each question.

mod support;

use std::collections::{HashMap, HashSet};

use gifts_core::account::{AccountId, Counters, Kind, Limit, Payee};
use gifts_core::rules::apply;
use gifts_core::transfer::{Code, Leg, Phase, Transaction, TransactionId, TransferId};
use gifts_core::{Account, Amount, Book, Receipt};
use proptest::prelude::*;
use support::{NOW, channel, coin, rows, user, verify};

fn accounts() -> Vec<AccountId> {
    let cny = "CNY".parse().expect("a currency");
    let payee = Payee::Channel(channel(1));
    vec![
        coin(Kind::Fx(cny)),
        coin(Kind::Promo),
        coin(Kind::Wallet(user(1))),
        coin(Kind::Wallet(user(2))),
        coin(Kind::EarnHeld(payee)),
        coin(Kind::ChargebackReceivable(payee)),
        AccountId {
            currency: cny,
            kind: Kind::Promo,
        },
    ]
}

/// What was entered, and nothing that follows from it.
#[derive(Default)]
struct Model {
    transfers: Vec<(TransferId, Leg)>,
    known: HashMap<TransactionId, Transaction>,
    frozen: HashSet<AccountId>,
    closed: HashSet<AccountId>,
}

impl Model {
    /// Debits pending and posted, credits pending and posted.
    fn sums(&self, of: AccountId) -> [i128; 4] {
        let mut sums = [0; 4];
        for (id, leg) in &self.transfers {
            let is_open = !self
                .transfers
                .iter()
                .any(|(_, other)| other.phase.resolves() == Some(*id));
            let units = i128::from(leg.amount.units());
            let (pending, posted) = match leg.phase {
                Phase::Single | Phase::Post(_) => (0, units),
                Phase::Pending { .. } if is_open => (units, 0),
                Phase::Pending { .. } | Phase::Void(_) | Phase::Expire(_) => (0, 0),
            };
            if leg.debit == of {
                sums[0] += pending;
                sums[1] += posted;
            }
            if leg.credit == of {
                sums[2] += pending;
                sums[3] += posted;
            }
        }
        sums
    }

    fn holds(&self, of: AccountId) -> bool {
        let [debits_pending, debits, credits_pending, credits] = self.sums(of);
        let can_be_written = debits_pending + debits <= i128::from(i64::MAX)
            && credits_pending + credits <= i128::from(i64::MAX);
        can_be_written
            && match of.kind.limit() {
                Limit::None => true,
                Limit::Debits => debits_pending + debits <= credits,
                Limit::Credits => credits_pending + credits <= debits,
            }
    }

    fn may_move(&self, now: i64, own: TransactionId, leg: &Leg) -> bool {
        let resolves = match leg.phase.resolves() {
            None => true,
            Some(of) => {
                let is_open = !self
                    .transfers
                    .iter()
                    .any(|(_, leg)| leg.phase.resolves() == Some(of));
                let pending = self
                    .transfers
                    .iter()
                    .find(|(id, _)| *id == of && id.transaction != own);
                is_open
                    && pending.is_some_and(|(_, pending)| {
                        let Phase::Pending { expires_at } = pending.phase else {
                            return false;
                        };
                        let is_over = expires_at.is_some_and(|at| now >= at);
                        let same = (leg.debit, leg.credit) == (pending.debit, pending.credit);
                        same && match leg.phase {
                            Phase::Post(_) => leg.amount <= pending.amount && !is_over,
                            Phase::Void(_) => leg.amount == pending.amount,
                            Phase::Single | Phase::Pending { .. } | Phase::Expire(_) => {
                                leg.amount == pending.amount && is_over
                            }
                        }
                    })
            }
        };
        let gives_back = matches!(leg.phase, Phase::Void(_) | Phase::Expire(_));
        resolves
            && leg.debit != leg.credit
            && leg.debit.currency == leg.credit.currency
            && !matches!(leg.phase, Phase::Pending { expires_at: Some(at) } if now >= at)
            && !self.closed.contains(&leg.debit)
            && !self.closed.contains(&leg.credit)
            && (gives_back || !self.frozen.contains(&leg.debit))
    }

    /// Whether it may be; then it is.
    fn enter(&mut self, now: i64, it: &Transaction) -> bool {
        if let Some(known) = self.known.get(&it.id) {
            return known == it;
        }
        let before = self.transfers.len();
        let entered = if let Some(subject) = it.subject {
            match it.code {
                Code::Freeze => !self.closed.contains(&subject) && self.frozen.insert(subject),
                Code::Unfreeze => !self.closed.contains(&subject) && self.frozen.remove(&subject),
                Code::Close
                | Code::TopUp
                | Code::Gift
                | Code::Release
                | Code::Refund
                | Code::Chargeback
                | Code::MinorRefund
                | Code::Hold
                | Code::Settle => {
                    let [debits_pending, debits, credits_pending, credits] = self.sums(subject);
                    debits == credits
                        && debits_pending + credits_pending == 0
                        && self.closed.insert(subject)
                }
            }
        } else {
            !it.legs.is_empty()
                && (0..).zip(&it.legs).all(|(number, leg)| {
                    let id = TransferId {
                        transaction: it.id,
                        leg: number,
                    };
                    let may = self.may_move(now, it.id, leg);
                    self.transfers.push((id, *leg));
                    may && self.holds(leg.debit) && self.holds(leg.credit)
                })
        };
        if entered {
            self.known.insert(it.id, it.clone());
        } else {
            self.transfers.truncate(before);
        }
        entered
    }
}

fn id() -> impl Strategy<Value = TransactionId> {
    (0..30_u8).prop_map(|number| TransactionId::of_fact("test", &[&number.to_string()]))
}

fn leg() -> impl Strategy<Value = Leg> {
    let count = accounts().len();
    let units = prop_oneof![20 => 1..60_i64, 1 => Just(i64::MAX), 1 => i64::MAX - 40..i64::MAX];
    // Money comes from the first account more often than from others.
    let from = prop_oneof![1 => Just(0), 2 => 0..count];
    let of = || (id(), 0..2_u16).prop_map(|(transaction, leg)| TransferId { transaction, leg });
    let phase = prop_oneof![
        4 => Just(Phase::Single),
        3 => prop::option::of(NOW..NOW + 60).prop_map(|expires_at| Phase::Pending { expires_at }),
        2 => of().prop_map(Phase::Post),
        1 => of().prop_map(Phase::Void),
        1 => of().prop_map(Phase::Expire),
    ];
    (from, 0..count, units, phase).prop_map(|(debit, credit, units, phase)| {
        let accounts = accounts();
        Leg {
            debit: accounts[debit],
            credit: accounts[credit],
            amount: Amount::new(units).expect("an amount"),
            phase,
        }
    })
}

#[derive(Clone, Debug)]
enum Step {
    /// A transaction, whose resolving legs are made to fit what they resolve if that is told.
    Enter(Transaction, bool),
    /// One that was asked for before, again.
    Again(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let mark = prop::option::weighted(0.1, (0..accounts().len(), 0..3_usize));
    let legs = prop::collection::vec(leg(), 0..4);
    let enter = (id(), legs, mark, prop::bool::weighted(0.8)).prop_map(|(id, legs, mark, fits)| {
        let codes = [Code::Freeze, Code::Unfreeze, Code::Close];
        let it = Transaction {
            id,
            request: [0; 32],
            code: mark.map_or(Code::Gift, |(_, code)| codes[code]),
            reverses: None,
            contract: None,
            subject: mark.map(|(account, _)| accounts()[account]),
            event_at: NOW,
            legs: if mark.is_some() { Vec::new() } else { legs },
        };
        Step::Enter(it, fits)
    });
    prop_oneof![6 => enter, 1 => any::<usize>().prop_map(Step::Again)]
}

/// The transaction as its steps mean it: what it resolves is between the same accounts.
fn fit(model: &Model, mut it: Transaction) -> Transaction {
    for leg in &mut it.legs {
        let of = leg.phase.resolves();
        let pending = model.transfers.iter().find(|(id, _)| Some(*id) == of);
        if let Some((_, pending)) = pending {
            (leg.debit, leg.credit) = (pending.debit, pending.credit);
            leg.amount = match leg.phase {
                Phase::Post(_) => leg.amount.min(pending.amount),
                Phase::Single | Phase::Pending { .. } | Phase::Void(_) | Phase::Expire(_) => {
                    pending.amount
                }
            };
        }
    }
    it
}

/// So that the same identity with something else is told from the same again.
fn with_request(mut it: Transaction) -> Transaction {
    let mut asked = gifts_core::canonical::Canonical::of("test");
    asked.text(&format!("{:?}", (it.code, it.subject, &it.legs)));
    it.request = asked.hash();
    it
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_rules_decide_as_the_model_does(steps in prop::collection::vec(step(), 1..60)) {
        let mut book = Book::default();
        for id in accounts() {
            book.put_account(Account::new(id));
        }
        let mut model = Model::default();
        let mut asked: Vec<Transaction> = Vec::new();
        let mut receipts: HashMap<TransactionId, Receipt> = HashMap::new();
        for (tick, step) in (0..).zip(steps) {
            let now = NOW + tick;
            let it = match step {
                Step::Enter(it, true) => with_request(fit(&model, it)),
                Step::Enter(it, false) => with_request(it),
                Step::Again(number) if !asked.is_empty() => asked[number % asked.len()].clone(),
                Step::Again(_) => continue,
            };
            let may = model.enter(now, &it);
            let answer = apply(now, &mut book, &it);
            prop_assert_eq!(answer.is_ok(), may, "{:?} is answered by {:?}", it, answer);
            if let Ok(receipt) = answer {
                let first = *receipts.entry(it.id).or_insert(receipt);
                prop_assert_eq!(receipt, first, "the same receipt again");
            }
            asked.push(it);
            for id in accounts() {
                let Counters { debits_pending, debits_posted, credits_pending, credits_posted } =
                    book.account(&id).expect("it is at hand").counters;
                let counted = [debits_pending, debits_posted, credits_pending, credits_posted];
                prop_assert_eq!(counted.map(i128::from), model.sums(id), "{}", id);
                prop_assert!(model.holds(id), "{}", id);
            }
        }
        let changes = book.take_changes();
        prop_assert_eq!(changes.transfers.len(), model.transfers.len());
        let report = verify(&changes, &rows(&changes), &[]);
        // What the test leaves pending for good may be over for long.
        let findings: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
        prop_assert!(findings.is_empty(), "{findings:?}");
    }
}
