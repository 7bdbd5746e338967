//! What a decision has to know, and what it changes: the accounts, transactions and pending transfers
//! that are at hand. Whoever keeps the ledger puts in what a command [wants](crate::Command::accounts),
//! and takes out what is to be kept.

use std::collections::{HashMap, HashSet};

use wire::hex;

use crate::Micros;
use crate::account::{Account, AccountId};
use crate::canonical::Hash;
use crate::row::{TransactionRow, TransferRow};
use crate::transfer::{Code, Leg, Phase, Receipt, Transaction, TransactionId, TransferId};

/// What the next of each is numbered. Numbers begin at one and leave nothing out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is what it says")]
pub struct Next {
    pub account: i64,
    pub transaction: i64,
    pub seq: i64,
}

impl Default for Next {
    fn default() -> Self {
        Self {
            account: 1,
            transaction: 1,
            seq: 1,
        }
    }
}

/// A transaction that is in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// That it is.
    pub receipt: Receipt,
    /// What was asked for.
    pub request: Hash,
    /// What kind of thing it is.
    pub code: Code,
    /// Whether another has taken it back.
    pub is_reversed: bool,
    /// Its transfers, where they were asked for.
    pub legs: Option<Vec<Leg>>,
}

/// An amount that is kept for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The how many-th of all transfers it is.
    pub seq: i64,
    /// The transfer.
    pub leg: Leg,
    /// What became of it.
    pub resolved: Option<Phase>,
}

/// An account that was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// As it is now.
    pub account: Account,
    /// What its version was; zero where nothing had touched it.
    pub was: i64,
    /// Whether it is not kept yet.
    pub is_new: bool,
}

/// What is to be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is what it says")]
pub struct Changes {
    pub accounts: Vec<Change>,
    pub transactions: Vec<TransactionRow>,
    pub transfers: Vec<TransferRow>,
    pub next: Next,
}

/// What is at hand.
#[derive(Clone, Debug, Default)]
pub struct Book {
    pub(crate) accounts: HashMap<AccountId, Account>,
    pub(crate) recorded: HashMap<TransactionId, Recorded>,
    pub(crate) pending: HashMap<TransferId, Pending>,
    next: Next,
    /// The versions of what was changed, and whether it is new.
    touched: HashMap<AccountId, (i64, bool)>,
    /// What is not as the ledger has it, of transactions and of pending transfers.
    entered: HashSet<TransactionId>,
    resolved: HashSet<TransferId>,
    transactions: Vec<TransactionRow>,
    transfers: Vec<TransferRow>,
}

impl Book {
    /// An empty one, from which things are numbered so.
    pub fn new(next: Next) -> Self {
        Self {
            next,
            ..Self::default()
        }
    }

    /// What the next of each is numbered.
    pub const fn next(&self) -> Next {
        self.next
    }

    /// An account that is at hand.
    pub fn account(&self, id: &AccountId) -> Option<&Account> {
        self.accounts.get(id)
    }

    /// Every account that is at hand.
    pub fn accounts(&self) -> impl ExactSizeIterator<Item = &Account> {
        self.accounts.values()
    }

    /// A transaction that is at hand.
    pub fn recorded(&self, id: TransactionId) -> Option<&Recorded> {
        self.recorded.get(&id)
    }

    /// A pending transfer that is at hand.
    pub fn pending(&self, id: TransferId) -> Option<&Pending> {
        self.pending.get(&id)
    }

    /// Puts in an account as it is kept, or as nothing has touched it yet.
    pub fn put_account(&mut self, account: Account) {
        self.accounts.insert(account.id, account);
    }

    /// Puts in a transaction that is in the ledger.
    pub fn put_recorded(&mut self, recorded: Recorded) {
        self.recorded.insert(recorded.receipt.id, recorded);
    }

    /// Puts in a pending transfer that is in the ledger.
    pub fn put_pending(&mut self, id: TransferId, pending: Pending) {
        self.pending.insert(id, pending);
    }

    /// Takes out what is to be kept. Transactions and pending transfers that are among it stay at hand until
    /// this is asked for once more, for the ledger may not have them yet; those that were only looked up are
    /// forgotten. Accounts stay.
    pub fn take_changes(&mut self) -> Changes {
        let (entered, resolved) = (
            std::mem::take(&mut self.entered),
            std::mem::take(&mut self.resolved),
        );
        self.recorded.retain(|id, _| entered.contains(id));
        self.pending.retain(|id, _| resolved.contains(id));
        let touched = self.touched.drain();
        let mut accounts: Vec<_> = touched
            .map(|(id, (was, is_new))| Change {
                account: self.accounts[&id],
                was,
                is_new,
            })
            .collect();
        // In one order, whoever keeps them.
        accounts.sort_by_key(|change| change.account.number);
        Changes {
            accounts,
            transactions: std::mem::take(&mut self.transactions),
            transfers: std::mem::take(&mut self.transfers),
            next: self.next,
        }
    }

    /// Forgets all accounts but those that `keeps` chooses. There must be nothing to be kept.
    pub fn forget_accounts(&mut self, keeps: impl Fn(&AccountId) -> bool) {
        assert!(
            self.touched.is_empty(),
            "what is to be kept is taken out first"
        );
        self.accounts.retain(|id, _| keeps(id));
    }

    /// Enters a transaction about which everything is decided; `before` are the accounts that it
    /// touches, as they were.
    pub(crate) fn enter(
        &mut self,
        now: Micros,
        transaction: &Transaction,
        before: &[Account],
    ) -> Receipt {
        let legs = u16::try_from(transaction.legs.len()).expect("legs are few");
        let receipt = Receipt {
            id: transaction.id,
            number: self.next.transaction,
            first_seq: self.next.seq,
            legs,
            at: now,
        };
        self.next.transaction += 1;
        for (number, leg) in (0..legs).zip(&transaction.legs) {
            self.enter_leg(receipt, number, leg);
        }
        for account in before {
            self.touch(account);
        }
        let numbered = |id: &AccountId| self.accounts[id].number;
        let reverses = transaction.reverses.map(|of| {
            let original = self.recorded.get_mut(&of).expect("the rules looked it up");
            original.is_reversed = true;
            self.entered.insert(of);
            original.receipt.number
        });
        self.transactions.push(TransactionRow {
            number: receipt.number,
            id: receipt.id.to_string(),
            request: hex::encode(&transaction.request),
            code: transaction.code.number(),
            reverses,
            contract: transaction.contract,
            subject: transaction.subject.as_ref().map(numbered),
            first_seq: receipt.first_seq,
            legs: i64::from(legs),
            event_at: transaction.event_at,
            created_at: now,
        });
        let rows = self.transfers.len() - transaction.legs.len();
        for (row, leg) in self.transfers[rows..].iter_mut().zip(&transaction.legs) {
            row.debit = self.accounts[&leg.debit].number;
            row.credit = self.accounts[&leg.credit].number;
        }
        self.entered.insert(receipt.id);
        self.put_recorded(Recorded {
            receipt,
            request: transaction.request,
            code: transaction.code,
            is_reversed: false,
            legs: Some(transaction.legs.clone()),
        });
        receipt
    }

    fn enter_leg(&mut self, receipt: Receipt, number: u16, leg: &Leg) {
        let seq = self.next.seq;
        self.next.seq += 1;
        for id in [&leg.debit, &leg.credit] {
            self.accounts
                .get_mut(id)
                .expect("the rules looked it up")
                .version = seq;
        }
        let mut resolves = None;
        let mut expires_at = None;
        match leg.phase {
            Phase::Single => {}
            Phase::Pending { expires_at: at } => {
                expires_at = at;
                let id = TransferId {
                    transaction: receipt.id,
                    leg: number,
                };
                let pending = Pending {
                    seq,
                    leg: *leg,
                    resolved: None,
                };
                self.resolved.insert(id);
                self.put_pending(id, pending);
            }
            Phase::Post(of) | Phase::Void(of) | Phase::Expire(of) => {
                let pending = self.pending.get_mut(&of).expect("the rules looked it up");
                pending.resolved = Some(leg.phase);
                self.resolved.insert(of);
                resolves = Some(pending.seq);
            }
        }
        self.transfers.push(TransferRow {
            seq,
            txn: receipt.number,
            ledger: leg.debit.currency.to_string(),
            debit: 0,
            credit: 0,
            amount: leg.amount.units(),
            phase: leg.phase.number(),
            resolves,
            expires_at,
        });
    }

    /// Notes that an account is not as it was, and numbers it.
    fn touch(&mut self, before: &Account) {
        let account = self
            .accounts
            .get_mut(&before.id)
            .expect("it was there before");
        let is_new = account.number == 0;
        if is_new {
            account.number = self.next.account;
            self.next.account += 1;
        }
        self.touched
            .entry(before.id)
            .or_insert((before.version, is_new));
    }
}
