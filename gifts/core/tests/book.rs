//! What whoever keeps the ledger puts into a book, and takes out of it.

mod support;

use gifts_core::account::{Counters, Kind};
use gifts_core::command::{Hold, Outcome, Reversal, Settlement, What, Why};
use gifts_core::row::AccountRow;
use gifts_core::transfer::TransferId;
use gifts_core::{Account, Book, Command, Contract, Name, Next, Receipt};
use support::{NOW, amount, coin, gift, halves, perform, reference, top_up, user};

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
fn when_it_happened_is_kept_beside_when_it_was_entered() {
    let mut book = with_a_top_up();
    let given = Command::new(gift("g1", 1, 9, 30, halves()), NOW - 5);
    given.accounts(&book.clone(), |id| {
        if book.account(&id).is_none() {
            book.put_account(Account::new(id));
        }
    });
    given.perform(NOW, &mut book).expect("it may be");
    let rows = book.take_changes().transactions;
    assert_eq!((rows[1].event_at, rows[1].created_at), (NOW - 5, NOW));
}

#[test]
fn numbers_go_on_where_the_ledger_ends() {
    let mut book = Book::new(Next {
        account: 7,
        transaction: 8,
        seq: 9,
    });
    let done = perform(&mut book, NOW, top_up("p1", 1, 100, 0)).expect("it may be");
    let Receipt {
        number,
        first_seq,
        legs,
        ..
    } = done.receipt;
    assert_eq!((number, first_seq, legs), (8, 9, 2));
    let changes = book.take_changes();
    let accounts: Vec<_> = changes
        .accounts
        .iter()
        .map(|it| it.account.number)
        .collect();
    assert_eq!(accounts, [7, 8, 9, 10]);
    let seqs: Vec<_> = changes.transfers.iter().map(|row| row.seq).collect();
    assert_eq!(seqs, [9, 10]);
    let next = Next {
        account: 11,
        transaction: 9,
        seq: 11,
    };
    assert_eq!((changes.next, book.next()), (next, next));
}

#[test]
fn a_change_tells_what_the_account_was_before_everything_that_is_to_be_kept() {
    let mut book = with_a_top_up();
    let wallet = coin(Kind::Wallet(user(1)));
    let of_wallet = |book: &mut Book| {
        let changes = book.take_changes();
        let mut accounts = changes.accounts.into_iter();
        let change = accounts.find(|change| change.account.id == wallet);
        change.map(|change| (change.was, change.account.version, change.is_new))
    };
    assert_eq!(of_wallet(&mut book), Some((0, 2, true)));
    perform(&mut book, NOW, top_up("p2", 1, 100, 0)).expect("it may be");
    perform(&mut book, NOW, top_up("p3", 1, 100, 0)).expect("it may be");
    assert_eq!(of_wallet(&mut book), Some((2, 6, false)));
    assert_eq!(of_wallet(&mut book), None);
}

#[test]
fn transactions_and_what_is_pending_are_not_at_hand_for_ever() {
    let mut book = with_a_top_up();
    let hold = What::Hold(Hold {
        key: reference("h1"),
        from: coin(Kind::Wallet(user(1))),
        to: coin(Kind::Breakage),
        amount: amount(10),
        expires_at: None,
    });
    let transaction = perform(&mut book, NOW, hold).expect("it may be").receipt.id;
    let kept = TransferId {
        transaction,
        leg: 0,
    };
    assert!(book.recorded(transaction).is_some() && book.pending(kept).is_some());
    // What is entered is taken out once, and it is asked once more what else there is.
    book.take_changes();
    book.take_changes();
    assert!(book.recorded(transaction).is_none() && book.pending(kept).is_none());
    assert!(book.accounts().count() > 0, "accounts stay at hand");
}

#[test]
fn an_account_is_kept_as_it_is() {
    let counters = Counters {
        debits_pending: 1,
        debits_posted: 2,
        credits_pending: 3,
        credits_posted: 4,
    };
    let account = Account {
        number: 5,
        counters,
        version: 6,
        frozen_at: Some(7),
        closed_at: Some(8),
        ..Account::new(coin(Kind::Vat(Name::new("de").expect("a name"))))
    };
    let row = AccountRow {
        number: 5,
        id: "COIN:vat:de".into(),
        ledger: "COIN".into(),
        limit_rule: 1,
        counters,
        version: 6,
        opened_at: NOW,
        frozen_at: Some(7),
        closed_at: Some(8),
    };
    assert_eq!(AccountRow::new(&account, NOW), row);
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

/// What the ledger may not have yet is known until what is entered after it is taken out too.
#[test]
fn what_was_taken_out_is_known_until_more_is() {
    let mut book = with_a_top_up();
    let hold = What::Hold(Hold {
        key: reference("h1"),
        from: coin(Kind::Wallet(user(1))),
        to: coin(Kind::Breakage),
        amount: amount(10),
        expires_at: None,
    });
    let transaction = perform(&mut book, NOW, hold).expect("it may be").receipt.id;
    let of = TransferId {
        transaction,
        leg: 0,
    };
    book.take_changes();
    assert!(book.recorded(transaction).is_some() && book.pending(of).is_some());
    // Settled, it is what the ledger may not have yet once more.
    let outcome = Outcome::Void;
    perform(&mut book, NOW, What::Settlement(Settlement { of, outcome })).expect("it may be");
    book.take_changes();
    assert!(book.recorded(transaction).is_none());
    assert!(book.pending(of).is_some_and(|it| it.resolved.is_some()));
    // And so is what was taken back.
    let paid = perform(&mut book, NOW, top_up("p2", 1, 50, 0))
        .expect("it may be")
        .receipt
        .id;
    book.take_changes();
    assert!(book.pending(of).is_none());
    let why = Why::Refund;
    perform(&mut book, NOW, What::Reversal(Reversal { of: paid, why })).expect("it may be");
    book.take_changes();
    assert!(book.recorded(paid).is_some_and(|it| it.is_reversed));
    book.take_changes();
    assert!(book.recorded(paid).is_none());
}
