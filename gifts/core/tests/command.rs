//! A command: what it names, what it is written as, and what has to be at hand for it.

mod support;

use gifts_core::account::Kind;
use gifts_core::command::{
    Hold, Lookup, Mark, Outcome, Reference, Release, Reversal, Settlement, What, Why,
};
use gifts_core::transfer::{Code, TransferId};
use gifts_core::{Amount, Command, Payee, TransactionId};
use support::{NOW, amount, channel, coin, gift, halves, held, reference, top_up, user};

#[test]
fn a_reference_is_one_to_64_printable_characters() {
    for text in ["a", "!~", &"x".repeat(64)] {
        let reference = Reference::new(text).expect("a reference");
        assert_eq!(reference.as_str(), text);
        assert_eq!(reference.to_string(), text);
    }
    for text in ["", " ", "a b", "a\n", "\u{7f}", "é", &"x".repeat(65)] {
        assert_eq!(Reference::new(text), None, "{text:?}");
    }
}

fn some_transaction() -> TransactionId {
    TransactionId::of_fact("test", &["it"])
}

/// One of each.
fn all() -> [What; 7] {
    let of = TransferId {
        transaction: some_transaction(),
        leg: 3,
    };
    [
        top_up("p1", 1, 100, 0),
        gift("g1", 1, 9, 30, halves()),
        What::Release(Release {
            payee: Payee::Channel(channel(9)),
            day: 20_000,
            amount: amount(7),
        }),
        What::Reversal(Reversal {
            of: some_transaction(),
            why: Why::Chargeback,
        }),
        What::Hold(Hold {
            key: reference("h1"),
            from: coin(Kind::Wallet(user(1))),
            to: held(9),
            amount: amount(70),
            expires_at: Some(NOW),
        }),
        What::Settlement(Settlement {
            of,
            outcome: Outcome::Post(Amount::new(10)),
        }),
        What::Mark(Mark {
            account: held(9),
            code: Code::Freeze,
            key: reference("case"),
        }),
    ]
}

#[test]
fn a_command_reads_back_from_what_it_is_written_as() {
    for what in all() {
        let command = Command::new(what, NOW);
        assert_eq!(command.what(), &what);
        let (written, event_at) = command.into();
        assert_eq!((written, event_at), (what, NOW));
        assert_eq!(Command::from((written, event_at)), command);
    }
}

#[test]
fn what_is_taken_back_or_settled_is_looked_up_before_the_accounts() {
    let looked_up = all().map(|what| Command::new(what, NOW).lookup());
    let of = TransferId {
        transaction: some_transaction(),
        leg: 3,
    };
    let mut expected = [Lookup::None; 7];
    expected[3] = Lookup::Transaction(some_transaction());
    expected[5] = Lookup::Pending(of);
    assert_eq!(looked_up, expected);
}
