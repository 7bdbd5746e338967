//! A command: what it names, what it is written as, and what has to be at hand for it.

mod support;

use std::collections::HashSet;

use gifts_core::account::Kind;
use gifts_core::command::{
    Gift, Hold, Lookup, Mark, Outcome, Reference, Release, Reversal, Settlement, TopUp, What, Why,
};
use gifts_core::transfer::{Code, TransferId};
use gifts_core::{Amount, Command, Contract, Name, Payee, TransactionId};
use support::{NOW, amount, channel, coin, gift, halves, held, reference, top_up, user};
use wire::hex;

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

fn identity(what: What) -> (TransactionId, [u8; 32]) {
    let command = Command::new(what, NOW);
    (command.id(), *command.request())
}

/// Hashed by another program, as `canonical` and `transfer` tell. What is kept is found by them for ever.
#[test]
fn identities_and_requests_are_what_they_were() {
    let expected = [
        (
            "8b42333c-ea53-8c39-9b45-8e47b45aadd0",
            "b5639a728c65a5394c516fe1b76d88da5246d11a2330f0f2e89200905584dcd1",
        ),
        (
            "463e6382-f6ba-8dc1-887f-c942417c772a",
            "8630148b66f79f501b932a169edba019fc216d13494227cfef620a87b6f53477",
        ),
        (
            "3ed319d7-da0d-8fd4-bfe3-37d7bf19d808",
            "6f16d49577e821decf753f2ae613dacf51aa9b1eefe641f281612040cc555011",
        ),
        (
            "bb8db56d-9937-848a-acea-b54d7761a13c",
            "f88842db505e11647e922faa4ad2c5fb54283c4c15cb185efdb1de33450a0e6a",
        ),
        (
            "439f6e0f-2473-8f50-9467-1b27d861077b",
            "72487f3a9e1155c6f90235dea77850d396e9fb09ea3efa3c161301de5c1d7a19",
        ),
        (
            "e971b96d-0e8e-816b-9a28-800cf25d8521",
            "a462c1352ab3bb56200484b45b55101e96d8bf9a9194503f06c8fd11420a0f76",
        ),
        (
            "b4c310cb-95c0-86f5-b13a-7f0e3f467394",
            "ff8aeaf3107ade1b65b1464bf8f0c8c00c710066c9e8a1d676d93adc037a7d29",
        ),
    ];
    let found = all().map(|what| {
        let (id, request) = identity(what);
        (id.to_string(), hex::encode(&request))
    });
    let expected = expected.map(|(id, request)| (id.to_owned(), request.to_owned()));
    assert_eq!(found, expected);
}

/// What another part of what is asked makes of it.
#[derive(Debug, PartialEq, Eq)]
enum Other {
    /// Another transaction.
    Identity,
    /// Something else under the same identity, which is refused.
    Request,
    /// The same again.
    Nothing,
}

fn other(what: What, changed: What) -> Other {
    let ((id, request), (changed_id, changed_request)) = (identity(what), identity(changed));
    if id != changed_id {
        Other::Identity
    } else if request != changed_request {
        Other::Request
    } else {
        Other::Nothing
    }
}

#[test]
fn each_part_of_what_is_asked_tells_it_from_something_else() {
    let [top_up, gift, release, reversal, hold, settlement, mark] = all();
    let (
        What::TopUp(t),
        What::Gift(g),
        What::Release(l),
        What::Reversal(r),
        What::Hold(h),
        What::Settlement(s),
        What::Mark(m),
    ) = (top_up, gift, release, reversal, hold, settlement, mark)
    else {
        panic!("one of each, in this order");
    };
    let usd = "USD".parse().expect("a currency");
    let stripe = Name::new("stripe").expect("a name");
    let contract = Contract::new(2, 1_000, None).expect("a contract");
    let (psp, payment, key) = (stripe, reference("p2"), reference("other"));
    let (one, two) = (amount(1), amount(2));
    let another = TransactionId::of_fact("test", &["another"]);
    let transaction = TransferId {
        transaction: another,
        ..s.of
    };
    let leg = TransferId { leg: 4, ..s.of };
    let payee = Payee::Channel(channel(8));
    let bonus = Some(one);
    let expected = [
        (What::TopUp(TopUp { psp, ..t }), Other::Identity),
        (What::TopUp(TopUp { payment, ..t }), Other::Identity),
        (What::TopUp(TopUp { user: user(2), ..t }), Other::Request),
        (What::TopUp(TopUp { currency: usd, ..t }), Other::Request),
        (What::TopUp(TopUp { paid: one, ..t }), Other::Request),
        (What::TopUp(TopUp { coins: one, ..t }), Other::Request),
        (What::TopUp(TopUp { bonus, ..t }), Other::Request),
        (
            What::Gift(Gift {
                sender: user(2),
                ..g
            }),
            Other::Identity,
        ),
        (What::Gift(Gift { key, ..g }), Other::Identity),
        (
            What::Gift(Gift {
                channel: channel(8),
                ..g
            }),
            Other::Request,
        ),
        (What::Gift(Gift { item: key, ..g }), Other::Request),
        (What::Gift(Gift { price: one, ..g }), Other::Request),
        (What::Gift(Gift { contract, ..g }), Other::Nothing),
        (What::Release(Release { payee, ..l }), Other::Identity),
        (What::Release(Release { day: 1, ..l }), Other::Identity),
        (What::Release(Release { amount: one, ..l }), Other::Nothing),
        (
            What::Reversal(Reversal { of: another, ..r }),
            Other::Identity,
        ),
        (
            What::Reversal(Reversal {
                why: Why::Refund,
                ..r
            }),
            Other::Request,
        ),
        (
            What::Reversal(Reversal {
                why: Why::Minor,
                ..r
            }),
            Other::Request,
        ),
        (What::Hold(Hold { key, ..h }), Other::Identity),
        (What::Hold(Hold { from: held(8), ..h }), Other::Request),
        (What::Hold(Hold { to: held(8), ..h }), Other::Request),
        (What::Hold(Hold { amount: one, ..h }), Other::Request),
        (
            What::Hold(Hold {
                expires_at: None,
                ..h
            }),
            Other::Request,
        ),
        (
            What::Settlement(Settlement {
                of: transaction,
                ..s
            }),
            Other::Identity,
        ),
        (
            What::Settlement(Settlement { of: leg, ..s }),
            Other::Identity,
        ),
        (
            What::Mark(Mark {
                account: held(8),
                ..m
            }),
            Other::Identity,
        ),
        (What::Mark(Mark { key, ..m }), Other::Identity),
        (
            What::Mark(Mark {
                code: Code::Unfreeze,
                ..m
            }),
            Other::Request,
        ),
        (
            What::Mark(Mark {
                code: Code::Close,
                ..m
            }),
            Other::Request,
        ),
    ];
    let first = |changed: &What| {
        let mut all = all().into_iter();
        all.find(|what| std::mem::discriminant(what) == std::mem::discriminant(changed))
            .expect("one of each")
    };
    for (changed, expected) in expected {
        assert_eq!(other(first(&changed), changed), expected, "{changed:?}");
    }
    let outcomes = [
        Outcome::Post(None),
        Outcome::Post(Some(one)),
        Outcome::Post(Some(two)),
        Outcome::Void,
        Outcome::Expire,
    ];
    let requests = outcomes.map(|outcome| identity(What::Settlement(Settlement { outcome, ..s })));
    let distinct: HashSet<_> = requests.iter().map(|(_, request)| request).collect();
    assert_eq!(distinct.len(), outcomes.len());
    assert!(requests.iter().all(|(id, _)| *id == requests[0].0));
}
