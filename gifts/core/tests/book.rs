//! What whoever keeps the ledger puts into a book, and takes out of it.

mod support;

use gifts_core::account::Kind;
use gifts_core::{Book, Contract};
use support::{NOW, coin, gift, perform, top_up, user};

fn with_a_top_up() -> Book {
    let mut book = Book::default();
    perform(&mut book, NOW, top_up("p1", 1, 100, 0)).expect("it may be");
    book
}

#[test]
fn a_gift_is_kept_with_the_version_of_its_contract() {
    let mut book = with_a_top_up();
    let contract = Contract::new(7, 5_000, None).expect("a contract");
    perform(&mut book, NOW, gift("g1", 1, 9, 100, contract)).expect("it may be");
    let rows = book.take_changes().transactions;
    let contracts: Vec<_> = rows.iter().map(|row| row.contract).collect();
    assert_eq!(contracts, [None, Some(7)]);
}

#[test]
fn accounts_are_forgotten_but_those_that_are_chosen() {
    let mut book = with_a_top_up();
    book.take_changes();
    let wallet = coin(Kind::Wallet(user(1)));
    book.forget_accounts(|id| *id == wallet);
    let left: Vec<_> = book.accounts().map(|account| account.id).collect();
    assert_eq!(left, [wallet]);
}

#[test]
#[should_panic(expected = "what is to be kept is taken out first")]
fn nothing_is_forgotten_that_is_yet_to_be_kept() {
    with_a_top_up().forget_accounts(|_| true);
}
