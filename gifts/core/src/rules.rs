//! Whether something may be.
//!
//! What is asked is looked at in this order, and the first that is not so is answered. What stands
//! from `same_account` on is asked of each leg, one after another, as the legs before it leave the
//! accounts. Whatever is refused changes nothing.
//!
//! | rejection | when |
//! |---|---|
//! | (a receipt) | the same was asked for before under this identity |
//! | `id_reused` | something else was asked for under this identity |
//! | `transaction_unknown` | what it is about is not in the ledger |
//! | `already_reversed` | what it takes back was taken back |
//! | `not_reversible` | what it takes back is nothing that can be |
//! | `nothing_to_do` | it moves nothing, or changes nothing about its subject |
//! | `too_many_legs` | it has more than 64 legs |
//! | `not_empty` | it closes an account on which something is left |
//! | `same_account` | a leg goes from an account to itself |
//! | `currencies_differ` | a leg goes from one currency to another |
//! | `account_unknown` | an account was not looked up |
//! | `pending_unknown` | what it resolves is not pending in the ledger |
//! | `already_resolved` | that was posted, voided or expired |
//! | `accounts_differ` | it resolves it between other accounts |
//! | `exceeds_pending` | it posts more than was kept |
//! | `amount_differs` | it voids or expires another amount than was kept |
//! | `pending_expired` | it posts what has expired |
//! | `not_expired` | it expires what has not |
//! | `expiry_passed` | it keeps an amount until a time that is over |
//! | `account_closed` | nothing may touch an account |
//! | `account_frozen` | nothing may be taken from an account, and it neither sets something right nor gives back what was kept |
//! | `overflow` | an account would count more than can be written |
//! | `exceeds_credits` | more would be taken from an account than there is |
//! | `exceeds_debits` | more would be paid back than is owed |

use crate::Micros;
use crate::account::{Account, AccountId, Counters, Limit};
use crate::book::Book;
use crate::transfer::{Code, Leg, Phase, Receipt, Transaction, TransactionId, TransferId};

/// How many transfers may belong together.
pub const LEGS_MAX: usize = 64;

/// Why something may not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the table above tells when each is answered")]
pub enum Rejection {
    #[error("something else was asked for under this identity")]
    IdReused,
    #[error("the transaction {0} is not in the ledger")]
    TransactionUnknown(TransactionId),
    #[error("the transaction {0} was taken back already")]
    AlreadyReversed(TransactionId),
    #[error("the transaction {0} is nothing that can be taken back so")]
    NotReversible(TransactionId),
    #[error("there is nothing to do")]
    NothingToDo,
    #[error("something is left on the account {0}")]
    NotEmpty(AccountId),
    #[error("more than {LEGS_MAX} transfers cannot belong together")]
    TooManyLegs,
    #[error("the account {0} cannot pay itself")]
    SameAccount(AccountId),
    #[error("{0} and {1} are in different currencies")]
    CurrenciesDiffer(AccountId, AccountId),
    #[error("the account {0} was not looked up")]
    AccountUnknown(AccountId),
    #[error("nothing is kept by leg {} of {}", .0.leg, .0.transaction)]
    PendingUnknown(TransferId),
    #[error("what leg {} of {} kept is decided already", .0.leg, .0.transaction)]
    AlreadyResolved(TransferId),
    #[error("leg {} of {} keeps it between other accounts", .0.leg, .0.transaction)]
    AccountsDiffer(TransferId),
    #[error("leg {} of {} keeps less than that", .0.leg, .0.transaction)]
    ExceedsPending(TransferId),
    #[error("leg {} of {} keeps another amount", .0.leg, .0.transaction)]
    AmountDiffers(TransferId),
    #[error("leg {} of {} has expired", .0.leg, .0.transaction)]
    PendingExpired(TransferId),
    #[error("leg {} of {} has not expired", .0.leg, .0.transaction)]
    NotExpired(TransferId),
    #[error("the time until which it is kept is over")]
    ExpiryPassed,
    #[error("the account {0} is closed")]
    AccountClosed(AccountId),
    #[error("the account {0} is frozen")]
    AccountFrozen(AccountId),
    #[error("the account {0} cannot count that much")]
    Overflow(AccountId),
    #[error("there is not so much on the account {0}")]
    ExceedsCredits(AccountId),
    #[error("not so much is owed on the account {0}")]
    ExceedsDebits(AccountId),
}

impl Rejection {
    /// Its name for programs. It never changes.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::IdReused => "id_reused",
            Self::TransactionUnknown(_) => "transaction_unknown",
            Self::AlreadyReversed(_) => "already_reversed",
            Self::NotReversible(_) => "not_reversible",
            Self::NothingToDo => "nothing_to_do",
            Self::NotEmpty(_) => "not_empty",
            Self::TooManyLegs => "too_many_legs",
            Self::SameAccount(_) => "same_account",
            Self::CurrenciesDiffer(..) => "currencies_differ",
            Self::AccountUnknown(_) => "account_unknown",
            Self::PendingUnknown(_) => "pending_unknown",
            Self::AlreadyResolved(_) => "already_resolved",
            Self::AccountsDiffer(_) => "accounts_differ",
            Self::ExceedsPending(_) => "exceeds_pending",
            Self::AmountDiffers(_) => "amount_differs",
            Self::PendingExpired(_) => "pending_expired",
            Self::NotExpired(_) => "not_expired",
            Self::ExpiryPassed => "expiry_passed",
            Self::AccountClosed(_) => "account_closed",
            Self::AccountFrozen(_) => "account_frozen",
            Self::Overflow(_) => "overflow",
            Self::ExceedsCredits(_) => "exceeds_credits",
            Self::ExceedsDebits(_) => "exceeds_debits",
        }
    }
}

/// Enters a transaction into the book, if it may be. The same again is answered as the first time.
///
/// # Errors
/// When it may not be; then nothing has changed.
pub fn apply(
    now: Micros,
    book: &mut Book,
    transaction: &Transaction,
) -> Result<Receipt, Rejection> {
    if let Some(known) = known(book, transaction.id, &transaction.request) {
        return known;
    }
    check_whole(book, transaction)?;
    let mut before = Vec::with_capacity(2 * transaction.legs.len());
    let moved = mark(now, book, transaction, &mut before).and_then(|()| {
        let mut legs = 0..transaction.legs.len();
        legs.try_for_each(|index| move_leg(now, book, transaction, index, &mut before))
    });
    if let Err(rejection) = moved {
        for account in before {
            book.accounts.insert(account.id, account);
        }
        return Err(rejection);
    }
    Ok(book.enter(now, transaction, &before))
}

/// What is answered under an identity that was used before.
pub fn known(
    book: &Book,
    id: TransactionId,
    request: &[u8; 32],
) -> Option<Result<Receipt, Rejection>> {
    book.recorded.get(&id).map(|recorded| {
        if recorded.request == *request {
            Ok(recorded.receipt)
        } else {
            Err(Rejection::IdReused)
        }
    })
}

fn check_whole(book: &Book, transaction: &Transaction) -> Result<(), Rejection> {
    if let Some(of) = transaction.reverses {
        let original = book.recorded.get(&of);
        let original = original.ok_or(Rejection::TransactionUnknown(of))?;
        if original.is_reversed {
            return Err(Rejection::AlreadyReversed(of));
        }
        if !transaction.code.is_correction() {
            return Err(Rejection::NotReversible(of));
        }
    }
    if transaction.legs.is_empty() && transaction.subject.is_none() {
        return Err(Rejection::NothingToDo);
    }
    if transaction.legs.len() > LEGS_MAX {
        return Err(Rejection::TooManyLegs);
    }
    Ok(())
}

/// Freezes, unfreezes or closes the subject, where there is one.
fn mark(
    now: Micros,
    book: &mut Book,
    transaction: &Transaction,
    before: &mut Vec<Account>,
) -> Result<(), Rejection> {
    let Some(id) = transaction.subject else {
        return Ok(());
    };
    let account = account_of(book, id, before)?;
    let (is_frozen, is_closed) = (account.frozen_at.is_some(), account.closed_at.is_some());
    match (transaction.code, is_frozen, is_closed) {
        (Code::Freeze, false, false) => account.frozen_at = Some(now),
        (Code::Unfreeze, true, false) => account.frozen_at = None,
        (Code::Close, _, false) => {
            let Counters {
                debits_pending,
                debits_posted,
                credits_pending,
                credits_posted,
            } = account.counters;
            if (debits_pending, debits_posted) != (0, credits_posted) || credits_pending != 0 {
                return Err(Rejection::NotEmpty(id));
            }
            account.closed_at = Some(now);
        }
        _ => return Err(Rejection::NothingToDo),
    }
    Ok(())
}

/// An account that is to be changed; what it was is noted once.
fn account_of<'a>(
    book: &'a mut Book,
    id: AccountId,
    before: &mut Vec<Account>,
) -> Result<&'a mut Account, Rejection> {
    let account = book.accounts.get_mut(&id);
    let account = account.ok_or(Rejection::AccountUnknown(id))?;
    if !before.iter().any(|account| account.id == id) {
        before.push(*account);
    }
    Ok(account)
}

fn move_leg(
    now: Micros,
    book: &mut Book,
    transaction: &Transaction,
    index: usize,
    before: &mut Vec<Account>,
) -> Result<(), Rejection> {
    let (earlier, leg) = (&transaction.legs[..index], &transaction.legs[index]);
    let Leg {
        debit,
        credit,
        amount,
        phase,
    } = *leg;
    if debit == credit {
        return Err(Rejection::SameAccount(debit));
    }
    if debit.currency != credit.currency {
        return Err(Rejection::CurrenciesDiffer(debit, credit));
    }
    for id in [debit, credit] {
        account_of(book, id, before)?;
    }
    let kept = match phase.resolves() {
        Some(of) => {
            if earlier.iter().any(|leg| leg.phase.resolves() == Some(of)) {
                return Err(Rejection::AlreadyResolved(of));
            }
            check_resolving(now, book, leg, of)?
        }
        None => 0,
    };
    if matches!(phase, Phase::Pending { expires_at: Some(at) } if at <= now) {
        return Err(Rejection::ExpiryPassed);
    }
    for id in [debit, credit] {
        if book.accounts[&id].closed_at.is_some() {
            return Err(Rejection::AccountClosed(id));
        }
    }
    let takes = matches!(
        phase,
        Phase::Single | Phase::Pending { .. } | Phase::Post(_)
    );
    if takes && book.accounts[&debit].frozen_at.is_some() && !transaction.code.is_correction() {
        return Err(Rejection::AccountFrozen(debit));
    }
    let (pending, posted) = match phase {
        Phase::Single => (0, amount.units()),
        Phase::Pending { .. } => (amount.units(), 0),
        Phase::Post(_) => (-kept, amount.units()),
        Phase::Void(_) | Phase::Expire(_) => (-kept, 0),
    };
    for (id, is_debit) in [(debit, true), (credit, false)] {
        let account = account_of(book, id, before)?;
        let counters = count(account.counters, is_debit, pending, posted);
        let counters = counters.ok_or(Rejection::Overflow(id))?;
        account.counters = counters;
        check_limit(account)?;
    }
    Ok(())
}

/// How much is kept by what a leg resolves, if it may.
fn check_resolving(now: Micros, book: &Book, leg: &Leg, of: TransferId) -> Result<i64, Rejection> {
    let pending = book.pending.get(&of).ok_or(Rejection::PendingUnknown(of))?;
    if pending.resolved.is_some() {
        return Err(Rejection::AlreadyResolved(of));
    }
    if (leg.debit, leg.credit) != (pending.leg.debit, pending.leg.credit) {
        return Err(Rejection::AccountsDiffer(of));
    }
    let is_post = matches!(leg.phase, Phase::Post(_));
    if is_post && leg.amount > pending.leg.amount {
        return Err(Rejection::ExceedsPending(of));
    }
    if !is_post && leg.amount != pending.leg.amount {
        return Err(Rejection::AmountDiffers(of));
    }
    let expires_at = match pending.leg.phase {
        Phase::Pending { expires_at } => expires_at,
        Phase::Single | Phase::Post(_) | Phase::Void(_) | Phase::Expire(_) => None,
    };
    let has_expired = expires_at.is_some_and(|at| at <= now);
    if is_post && has_expired {
        return Err(Rejection::PendingExpired(of));
    }
    if matches!(leg.phase, Phase::Expire(_)) && !has_expired {
        return Err(Rejection::NotExpired(of));
    }
    Ok(pending.leg.amount.units())
}

fn count(mut counters: Counters, is_debit: bool, pending: i64, posted: i64) -> Option<Counters> {
    let (was_pending, was_posted) = if is_debit {
        (&mut counters.debits_pending, &mut counters.debits_posted)
    } else {
        (&mut counters.credits_pending, &mut counters.credits_posted)
    };
    *was_pending = was_pending.checked_add(pending)?;
    *was_posted = was_posted.checked_add(posted)?;
    // Both sides together are compared with the other one, by the limits here and in the schema.
    counters
        .debits_pending
        .checked_add(counters.debits_posted)?;
    counters
        .credits_pending
        .checked_add(counters.credits_posted)?;
    Some(counters)
}

fn check_limit(account: &Account) -> Result<(), Rejection> {
    if account.available() >= 0 {
        return Ok(());
    }
    Err(match account.id.kind.limit() {
        Limit::Credits => Rejection::ExceedsDebits(account.id),
        Limit::None | Limit::Debits => Rejection::ExceedsCredits(account.id),
    })
}
