//! A ledger in memory: everything is at hand, and what would be kept can be verified.

#![allow(dead_code, unreachable_pub, reason = "each test uses some of it")]

use gifts_core::account::{AccountId, Kind, Payee};
use gifts_core::book::{Book, Changes};
use gifts_core::command::{Command, Done, Gift, Reference, TopUp, What};
use gifts_core::row::{AccountRow, TransactionRow};
use gifts_core::seal::{Link, SealKey, Sealing};
use gifts_core::verify::{Report, Verifier};
use gifts_core::{Account, Amount, Contract, Name, Rejection};
use uuid::Uuid;
use wire::{ChannelId, UserId};

pub const NOW: i64 = 1_800_000_000_000_000;

pub fn amount(units: i64) -> Amount {
    Amount::new(units).expect("an amount")
}

pub fn user(number: u128) -> UserId {
    UserId::from_uuid(Uuid::from_u128(number))
}

pub fn channel(number: u128) -> ChannelId {
    ChannelId::from_uuid(Uuid::from_u128(number))
}

pub fn reference(text: &str) -> Reference {
    Reference::new(text).expect("a reference")
}

pub fn coin(kind: Kind) -> AccountId {
    AccountId::coin(kind)
}

pub fn top_up(payment: &str, who: u128, coins: i64, bonus: i64) -> What {
    What::TopUp(TopUp {
        psp: Name::new("sandbox").expect("a name"),
        payment: reference(payment),
        user: user(who),
        currency: "CNY".parse().expect("a currency"),
        paid: amount(coins * 10),
        coins: amount(coins),
        bonus: Amount::new(bonus),
    })
}

pub fn gift(key: &str, from: u128, to: u128, price: i64, contract: Contract) -> What {
    What::Gift(Gift {
        sender: user(from),
        key: reference(key),
        channel: channel(to),
        item: reference("rocket"),
        price: amount(price),
        contract,
    })
}

pub fn halves() -> Contract {
    Contract::new(1, 5_000, None).expect("a contract")
}

pub fn held(to: u128) -> AccountId {
    coin(Kind::EarnHeld(Payee::Channel(channel(to))))
}

/// Does what a gate does: has the accounts at hand, then decides.
pub fn perform(book: &mut Book, now: i64, what: What) -> Result<Done, Rejection> {
    let command = Command::new(what, now);
    let mut wanted = Vec::new();
    command.accounts(book, |id| wanted.push(id));
    for id in wanted {
        if book.account(&id).is_none() {
            book.put_account(Account::new(id));
        }
    }
    command.perform(now, book)
}

pub fn balance(book: &Book, id: AccountId) -> i64 {
    book.account(&id).map_or(0, Account::balance)
}

/// Seals all of it, so many transactions to a link.
pub fn seal(changes: &Changes, every: usize, key: &SealKey) -> Vec<Link> {
    let mut before = [0; 32];
    let mut links = Vec::new();
    for some in changes.transactions.chunks(every) {
        let sealing = Sealing::after(before, some[0].number);
        let link = cover(sealing, changes, some).sign(key, NOW);
        before = link.hash;
        links.push(link);
    }
    links
}

/// Covers some transactions, with their transfers.
pub fn cover(mut sealing: Sealing, changes: &Changes, some: &[TransactionRow]) -> Sealing {
    let named = |number: i64| {
        let mut accounts = changes.accounts.iter();
        let found = accounts.find(|change| change.account.number == number);
        found
            .map(|change| change.account.id.to_string())
            .expect("an account")
    };
    for row in some {
        sealing.transaction(row, row.subject.map(named).as_deref());
        let transfers = changes.transfers.iter();
        for transfer in transfers.filter(|transfer| transfer.txn == row.number) {
            sealing.transfer(transfer, &named(transfer.debit), &named(transfer.credit));
        }
    }
    sealing
}

pub fn rows(changes: &Changes) -> Vec<AccountRow> {
    let accounts = changes.accounts.iter();
    accounts
        .map(|change| AccountRow::new(&change.account, NOW))
        .collect()
}

pub fn verify(changes: &Changes, accounts: &[AccountRow], links: &[Link]) -> Report {
    verify_by(Verifier::default(), changes, accounts, links)
}

pub fn verify_by(
    mut verifier: Verifier,
    changes: &Changes,
    accounts: &[AccountRow],
    links: &[Link],
) -> Report {
    for account in accounts {
        verifier.account(account.clone());
    }
    let mut links = links.iter().cloned();
    for row in &changes.transactions {
        if verifier.wants_link() {
            verifier.link(links.next());
        }
        let legs = changes
            .transfers
            .iter()
            .filter(|transfer| transfer.txn == row.number);
        verifier.transaction(row, &legs.cloned().collect::<Vec<_>>(), true);
    }
    for link in links {
        verifier.link(Some(link));
    }
    verifier.finish(NOW, changes.next)
}
