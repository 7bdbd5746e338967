//! Whether what is kept is right: everything is counted again, in the order in which it was entered,
//! and compared with what is kept beside it. It shares no arithmetic with what entered it.
//!
//! | invariant | what is asked |
//! |---|---|
//! | I1 | in each ledger, debits are credits, posted and pending |
//! | I2 | an account counts what its transfers add up to |
//! | I3 | no limit is broken after any transfer; nothing touches a closed account, or takes from a frozen one, that may not |
//! | I4 | what is pending is resolved at most once, between its own accounts, with at most its amount; nothing is pending long after its time |
//! | I5 | numbers leave nothing out |
//! | I6 | a transaction has its transfers and no others, and is taken back at most once |
//! | I8 | each transaction has its row in the outbox |
//! | I11 | the chain of hashes is whole, and signed |
//!
//! Memory is needed for the accounts, for what is pending and for what was taken back, not for the
//! transfers.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;

use wire::hex;

use crate::Micros;
use crate::account::{AccountId, Class, Counters};
use crate::book::Next;
use crate::row::{AccountRow, TransactionRow, TransferRow};
use crate::seal::{Link, Sealing};
use crate::transfer::Code;

/// How many findings are listed. All are counted.
const LISTED_MAX: usize = 1_000;

/// How long after its time something may be pending, until the job that expires it has come by.
const GRACE: Micros = 3_600_000_000;

/// Something that is not right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Against which invariant of the table above.
    pub invariant: &'static str,
    /// About which row.
    pub row: String,
    /// What is not right.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.invariant, self.row, self.what)
    }
}

/// What was found, and how much was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is what it says")]
pub struct Report {
    pub accounts: u64,
    pub transactions: u64,
    pub transfers: u64,
    pub links: u64,
    /// The last link, where the chain ends.
    pub head: Option<Link>,
    /// Transactions after it.
    pub unsealed: u64,
    /// The first of what is not right.
    pub findings: Vec<Finding>,
    /// How much is not right.
    pub found: u64,
    /// The balances of each ledger by class.
    pub balances: BTreeMap<String, BTreeMap<Class, i128>>,
}

impl Report {
    fn find(&mut self, invariant: &'static str, row: String, what: impl Into<String>) {
        self.found += 1;
        if self.findings.len() < LISTED_MAX {
            self.findings.push(Finding {
                invariant,
                row,
                what: what.into(),
            });
        }
    }
}

/// An account, and what was counted of it.
struct Counted {
    row: AccountRow,
    class: Option<Class>,
    counters: Counters,
    version: i64,
    is_frozen: bool,
    is_closed: bool,
}

struct Open {
    debit: i64,
    credit: i64,
    amount: i64,
    expires_at: Option<Micros>,
}

/// Counts again what is kept. It is given all accounts, then the transactions in the order of their
/// numbers, and between them the links that it [wants](Self::wants_link).
#[derive(Default)]
pub struct Verifier {
    accounts: HashMap<i64, Counted>,
    pending: HashMap<i64, Open>,
    /// How what is no more pending was resolved is not kept; only that it was.
    reversed: HashSet<i64>,
    next: Next,
    links: VecDeque<Link>,
    is_links_end: bool,
    sealing: Option<Sealing>,
    before: [u8; 32],
    sealed: i64,
    trusted: Option<[u8; 32]>,
    report: Report,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

impl Verifier {
    /// Takes links for what they are only if they are signed with this key, where one is given. A link tells
    /// of its key by itself, which whoever forged it would have done too.
    #[must_use]
    pub fn trusting(mut self, key: Option<[u8; 32]>) -> Self {
        self.trusted = key;
        self
    }

    /// Takes note of an account.
    pub fn account(&mut self, row: AccountRow) {
        self.report.accounts += 1;
        let name = format!("account {}", row.id);
        let mut class = None;
        match row.id.parse::<AccountId>() {
            Ok(id) => {
                class = Some(id.kind.class());
                if id.currency.as_str() != row.ledger {
                    self.report.find(
                        "I1",
                        name.clone(),
                        format!("it stands in the ledger {}", row.ledger),
                    );
                }
                if id.kind.limit().number() != row.limit_rule {
                    self.report.find(
                        "I3",
                        name.clone(),
                        format!("its limit is {}", row.limit_rule),
                    );
                }
            }
            Err(_) => self
                .report
                .find("I6", name.clone(), "it is not in the chart of accounts"),
        }
        let counted = Counted {
            class,
            counters: Counters::default(),
            version: 0,
            is_frozen: false,
            is_closed: false,
            row,
        };
        let number = counted.row.number;
        if self.accounts.insert(number, counted).is_some() {
            self.report
                .find("I5", name, format!("another has its number {number}"));
        }
    }

    /// Whether it should be given the next link before the next transaction.
    pub fn wants_link(&self) -> bool {
        self.links.is_empty() && !self.is_links_end
    }

    /// The next link, or that there are no more.
    pub fn link(&mut self, link: Option<Link>) {
        match link {
            Some(link) => self.links.push_back(link),
            None => self.is_links_end = true,
        }
    }

    /// Counts a transaction.
    pub fn transaction(
        &mut self,
        row: &TransactionRow,
        transfers: &[TransferRow],
        is_announced: bool,
    ) {
        self.report.transactions += 1;
        let name = || format!("transaction {} ({})", row.number, row.id);
        if row.number != self.next.transaction {
            let what = format!("{} comes before it", self.next.transaction - 1);
            self.report.find("I5", name(), what);
        }
        if row.first_seq != self.next.seq {
            let what = format!(
                "its first transfer is {}, not {}",
                row.first_seq, self.next.seq
            );
            self.report.find("I5", name(), what);
        }
        if i64::try_from(transfers.len()) != Ok(row.legs) {
            let what = format!("it has {} transfers, not {}", transfers.len(), row.legs);
            self.report.find("I6", name(), what);
        }
        if !is_announced {
            self.report
                .find("I8", name(), "nobody was or will be told of it");
        }
        if let Some(of) = row.reverses
            && (of >= row.number || !self.reversed.insert(of))
        {
            let what = format!("{of} cannot be taken back by it");
            self.report.find("I6", name(), what);
        }
        let code = Code::of_number(row.code);
        if code.is_none() {
            self.report
                .find("I6", name(), format!("its code is {}", row.code));
        }
        self.next.transaction = row.number + 1;
        self.next.seq = row.first_seq;
        self.seal(row, transfers);
        self.mark(row, code);
        for transfer in transfers {
            self.transfer(row, code, transfer);
        }
        self.next.seq = row.first_seq + row.legs;
    }

    fn mark(&mut self, row: &TransactionRow, code: Option<Code>) {
        let Some(subject) = row.subject else {
            return;
        };
        let account = self.accounts.get_mut(&subject);
        match (code, account) {
            (Some(Code::Freeze), Some(account)) => account.is_frozen = true,
            (Some(Code::Unfreeze), Some(account)) => account.is_frozen = false,
            (Some(Code::Close), Some(account)) => account.is_closed = true,
            _ => {
                let name = format!("transaction {} ({})", row.number, row.id);
                self.report
                    .find("I6", name, format!("it is about the account {subject}"));
            }
        }
    }

    fn transfer(&mut self, transaction: &TransactionRow, code: Option<Code>, row: &TransferRow) {
        self.report.transfers += 1;
        let name = || format!("transfer {}", row.seq);
        let report = &mut self.report;
        if row.seq != self.next.seq {
            report.find(
                "I5",
                name(),
                format!("{} comes before it", self.next.seq - 1),
            );
        }
        self.next.seq = row.seq + 1;
        if row.txn != transaction.number {
            report.find("I6", name(), format!("it belongs to {}", row.txn));
        }
        if row.amount <= 0 || row.debit == row.credit {
            report.find("I1", name(), "it moves nothing from one account to another");
        }
        let takes = matches!(row.phase, 0..=2);
        let is_correction = code.is_some_and(Code::is_correction);
        for number in [row.debit, row.credit] {
            let Some(account) = self.accounts.get(&number) else {
                report.find("I2", name(), format!("there is no account {number}"));
                return;
            };
            if account.row.ledger != row.ledger {
                report.find(
                    "I1",
                    name(),
                    format!("{} is of another ledger", account.row.id),
                );
            }
            if account.is_closed {
                report.find("I3", name(), format!("{} was closed", account.row.id));
            }
            if account.is_frozen && number == row.debit && takes && !is_correction {
                report.find("I3", name(), format!("{} was frozen", account.row.id));
            }
        }
        let kept = self.resolve(row, transaction.created_at);
        let (pending, posted) = match row.phase {
            0 => (0, row.amount),
            1 => (row.amount, 0),
            2 => (-kept, row.amount),
            3 | 4 => (-kept, 0),
            phase => {
                self.report
                    .find("I6", name(), format!("its phase is {phase}"));
                (0, 0)
            }
        };
        self.count(row, pending, posted);
    }

    /// How much was kept by what a transfer resolves.
    fn resolve(&mut self, row: &TransferRow, at: Micros) -> i64 {
        let name = || format!("transfer {}", row.seq);
        let report = &mut self.report;
        let Some(of) = row.resolves else {
            if row.phase == 1 {
                let open = Open {
                    debit: row.debit,
                    credit: row.credit,
                    amount: row.amount,
                    expires_at: row.expires_at,
                };
                self.pending.insert(row.seq, open);
            } else if row.phase != 0 {
                report.find("I4", name(), "it resolves nothing");
            }
            return 0;
        };
        if !matches!(row.phase, 2..=4) {
            report.find("I4", name(), format!("it cannot resolve {of}"));
            return 0;
        }
        let Some(open) = self.pending.remove(&of) else {
            report.find("I4", name(), format!("{of} is not pending"));
            return 0;
        };
        if (open.debit, open.credit) != (row.debit, row.credit) {
            report.find("I4", name(), format!("{of} is between other accounts"));
        }
        let is_post = row.phase == 2;
        if row.amount > open.amount || (!is_post && row.amount != open.amount) {
            report.find("I4", name(), format!("{of} keeps {}", open.amount));
        }
        let has_expired = open.expires_at.is_some_and(|until| until <= at);
        if (is_post && has_expired) || (row.phase == 4 && !has_expired) {
            report.find(
                "I4",
                name(),
                format!("{of} keeps it until {:?}", open.expires_at),
            );
        }
        open.amount
    }

    fn count(&mut self, row: &TransferRow, pending: i64, posted: i64) {
        for (number, is_debit) in [(row.debit, true), (row.credit, false)] {
            let account = self.accounts.get_mut(&number).expect("it was looked up");
            account.version = row.seq;
            let counters = &mut account.counters;
            let (was_pending, was_posted) = if is_debit {
                (&mut counters.debits_pending, &mut counters.debits_posted)
            } else {
                (&mut counters.credits_pending, &mut counters.credits_posted)
            };
            *was_pending = was_pending.saturating_add(pending);
            *was_posted = was_posted.saturating_add(posted);
            let debits = i128::from(counters.debits_pending) + i128::from(counters.debits_posted);
            let credits =
                i128::from(counters.credits_pending) + i128::from(counters.credits_posted);
            let is_broken = match account.row.limit_rule {
                1 => debits > i128::from(counters.credits_posted),
                2 => credits > i128::from(counters.debits_posted),
                _ => false,
            };
            if is_broken || counters.debits_pending < 0 || counters.credits_pending < 0 {
                let what = format!("the limit of {} is broken by it", account.row.id);
                self.report
                    .find("I3", format!("transfer {}", row.seq), what);
            }
        }
    }

    /// Goes on with the link that covers a transaction, if one does.
    fn seal(&mut self, row: &TransactionRow, transfers: &[TransferRow]) {
        let Some(link) = self.links.front() else {
            return;
        };
        let before = self.before;
        let sealing = self
            .sealing
            .get_or_insert_with(|| Sealing::after(before, link.first));
        let accounts = &self.accounts;
        let named = |number: i64| accounts.get(&number).map_or("", |account| &account.row.id);
        sealing.transaction(row, row.subject.map(named));
        for transfer in transfers {
            sealing.transfer(transfer, named(transfer.debit), named(transfer.credit));
        }
        if row.number >= link.last {
            self.close_link();
        }
    }

    fn close_link(&mut self) {
        let (Some(link), Some(sealing)) = (self.links.pop_front(), self.sealing.take()) else {
            return;
        };
        self.report.links += 1;
        let name = || format!("link {} to {}", link.first, link.last);
        if link.first != self.sealed + 1 || link.before != self.before {
            self.report
                .find("I11", name(), "it does not continue the one before");
        }
        if sealing.last() != link.last || sealing.hash() != link.hash {
            self.report
                .find("I11", name(), "what it covers was changed");
        }
        if !link.is_signed() {
            self.report
                .find("I11", name(), "its signature is not its own");
        }
        if self.trusted.is_some_and(|key| key != link.key) {
            self.report.find(
                "I11",
                name(),
                format!("it is signed with the key {}", hex::encode(&link.key)),
            );
        }
        self.before = link.hash;
        self.sealed = link.last;
        self.report.head = Some(link);
    }

    /// There are no more transactions; the ledger says that the next things are numbered so.
    pub fn finish(mut self, now: Micros, next: Next) -> Report {
        while let Some(link) = self.links.front() {
            let name = format!("link {} to {}", link.first, link.last);
            self.report.find("I11", name, "what it covers is not there");
            self.links.pop_front();
            self.report.links += 1;
        }
        let last = self.next.transaction - 1;
        self.report.unsealed = u64::try_from(last - self.sealed).unwrap_or_default();
        let found = Next {
            account: self.accounts.keys().max().map_or(1, |number| number + 1),
            ..self.next
        };
        if found != next {
            let what = format!("it ends before {found:?}, and should before {next:?}");
            self.report.find("I5", "the ledger".into(), what);
        }
        for (seq, open) in &self.pending {
            if open
                .expires_at
                .is_some_and(|at| at.saturating_add(GRACE) < now)
            {
                let row = format!("transfer {seq}");
                self.report
                    .find("I4", row, "it is pending long after its time");
            }
        }
        self.compare_accounts();
        self.report
    }

    fn compare_accounts(&mut self) {
        let mut numbers: Vec<_> = self.accounts.keys().copied().collect();
        numbers.sort_unstable();
        let mut sums: BTreeMap<&str, [i128; 4]> = BTreeMap::new();
        for number in numbers {
            let account = &self.accounts[&number];
            let row = &account.row;
            let name = || format!("account {}", row.id);
            if account.counters != row.counters {
                let what = format!(
                    "it counts {:?}, and its transfers {:?}",
                    row.counters, account.counters
                );
                self.report.find("I2", name(), what);
            }
            if account.version != row.version {
                let what = format!("{} touched it last, not {}", account.version, row.version);
                self.report.find("I2", name(), what);
            }
            if (account.is_frozen, account.is_closed)
                != (row.frozen_at.is_some(), row.closed_at.is_some())
            {
                self.report
                    .find("I2", name(), "nobody has frozen, unfrozen or closed it so");
            }
            let Counters {
                debits_pending,
                debits_posted,
                credits_pending,
                credits_posted,
            } = row.counters;
            let sum = sums.entry(&row.ledger).or_default();
            let counters = [
                debits_pending,
                credits_pending,
                debits_posted,
                credits_posted,
            ];
            for (sum, counter) in sum.iter_mut().zip(counters) {
                *sum += i128::from(counter);
            }
            if let Some(class) = account.class {
                let balances = self.report.balances.entry(row.ledger.clone()).or_default();
                let balance = i128::from(debits_posted) - i128::from(credits_posted);
                *balances.entry(class).or_default() += balance;
            }
        }
        for (ledger, [debits_pending, credits_pending, debits, credits]) in sums {
            if debits_pending != credits_pending || debits != credits {
                let what = format!(
                    "debits are {debits} and {debits_pending} pending, credits {credits} and {credits_pending}"
                );
                self.report.find("I1", format!("ledger {ledger}"), what);
            }
        }
    }
}
