//! Whatever is changed in what is kept is found.

mod support;

use gifts_core::account::Kind;
use gifts_core::book::{Book, Changes};
use gifts_core::command::{Hold, Mark, Reversal, What, Why};
use gifts_core::row::AccountRow;
use gifts_core::seal::{Link, SealKey, Sealing};
use gifts_core::transfer::Code;
use gifts_core::verify::{Report, Verifier};
use support::{
    NOW, amount, coin, cover, gift, halves, held, perform, reference, rows, seal, top_up, user,
    verify, verify_by,
};

struct Kept {
    changes: Changes,
    accounts: Vec<AccountRow>,
    links: Vec<Link>,
}

fn kept() -> Kept {
    let mut book = Book::default();
    let wallet = coin(Kind::Wallet(user(1)));
    let mut done = |what| perform(&mut book, NOW, what).expect("it may be").receipt.id;
    done(top_up("p1", 1, 1_000, 100));
    let given = done(gift("g1", 1, 9, 300, halves()));
    done(What::Hold(Hold {
        key: reference("h1"),
        from: wallet,
        to: held(9),
        amount: amount(70),
        expires_at: Some(NOW + 10),
    }));
    done(gift("g2", 1, 9, 200, halves()));
    done(What::Reversal(Reversal {
        of: given,
        why: Why::Refund,
    }));
    done(What::Mark(Mark {
        account: wallet,
        code: Code::Freeze,
        key: reference("case"),
    }));
    let changes = book.take_changes();
    let links = seal(&changes, 2, &SealKey::from_seed(&[1; 32]));
    Kept {
        accounts: rows(&changes),
        changes,
        links,
    }
}

#[test]
fn nothing_is_found_where_nothing_was_changed() {
    let Kept {
        changes,
        accounts,
        links,
    } = kept();
    let report = verify(&changes, &accounts, &links);
    assert_eq!(report.findings, []);
    assert_eq!((report.links, report.unsealed), (3, 0));
    let coins = &report.balances["COIN"];
    assert_eq!(coins.values().sum::<i128>(), 0, "{coins:?}");
    let unsealed = verify(&changes, &accounts, &links[..1]);
    assert_eq!(unsealed.findings, []);
    assert_eq!(unsealed.unsealed, 4);
}

/// Under which invariant it is found first, sealed or not.
type Damage = (&'static str, &'static str, fn(&mut Kept));

const DAMAGES: [Damage; 19] = [
    ("a coin more on an account", "I2", |it| {
        it.accounts[3].counters.credits_posted += 1
    }),
    ("a coin more moved", "I2", |it| {
        it.changes.transfers[1].amount += 1
    }),
    ("moved the other way", "I3", |it| {
        let leg = &mut it.changes.transfers[1];
        (leg.debit, leg.credit) = (leg.credit, leg.debit);
    }),
    ("a transfer left out", "I6", |it| {
        _ = it.changes.transfers.pop()
    }),
    ("a transaction left out", "I5", |it| {
        _ = it.changes.transactions.remove(2)
    }),
    ("the last transaction left out", "I5", |it| {
        _ = it.changes.transactions.pop()
    }),
    ("to another account", "I2", |it| {
        it.changes.transfers[3].credit = 1
    }),
    ("to no account", "I2", |it| {
        it.changes.transfers[3].credit = 99
    }),
    ("in another ledger", "I1", |it| {
        it.changes.transfers[3].ledger = "CNY".into()
    }),
    ("nothing moved", "I1", |it| {
        it.changes.transfers[3].amount = 0
    }),
    ("a hold that is none", "I2", |it| {
        it.changes.transfers[5].phase = 0
    }),
    ("a post of nothing", "I4", |it| {
        it.changes.transfers[5].phase = 2
    }),
    ("a resolution of what was not pending", "I4", |it| {
        it.changes.transfers[6].phase = 2;
        it.changes.transfers[6].resolves = Some(2);
    }),
    ("taken back before it was", "I6", |it| {
        it.changes.transactions[4].reverses = Some(6)
    }),
    ("an account unfrozen by nobody", "I2", |it| {
        it.accounts
            .iter_mut()
            .for_each(|account| account.frozen_at = None);
    }),
    ("an account without a limit", "I3", |it| {
        let mut accounts = it.accounts.iter_mut();
        accounts
            .find(|account| account.limit_rule == 1)
            .expect("a wallet")
            .limit_rule = 0;
    }),
    ("an account of no kind", "I6", |it| {
        it.accounts[0].id = "CNY:treasure".into()
    }),
    ("an older version", "I2", |it| it.accounts[0].version = 0),
    ("frozen before it was", "I3", |it| {
        it.changes.transactions.swap(5, 3)
    }),
];

#[test]
fn whatever_is_changed_is_found() {
    for (what, invariant, damage) in DAMAGES {
        let mut kept = kept();
        damage(&mut kept);
        let report = verify(&kept.changes, &kept.accounts, &[]);
        let found: Vec<_> = report
            .findings
            .iter()
            .map(|finding| finding.invariant)
            .collect();
        assert!(found.contains(&invariant), "{what}: {:?}", report.findings);
    }
}

/// What is done to the rows.
type Forgery = (&'static str, fn(&mut Kept));

/// Changes that add up, and that only the chain shows.
const FORGERIES: [Forgery; 9] = [
    ("another identity", |it| {
        it.changes.transactions[1].id.clear()
    }),
    ("another time", |it| {
        it.changes.transactions[1].created_at += 1
    }),
    ("another time outside", |it| {
        it.changes.transactions[1].event_at += 1
    }),
    ("another contract", |it| {
        it.changes.transactions[1].contract = Some(2)
    }),
    ("another request", |it| {
        it.changes.transactions[1].request = "00".into()
    }),
    ("another code", |it| it.changes.transactions[0].code = 2),
    ("another expiry", |it| {
        it.changes.transfers[5].expires_at = None
    }),
    ("another hash, signed by nobody", |it| {
        it.links[1].hash[0] ^= 1
    }),
    ("a link left out", |it| _ = it.links.remove(0)),
];

#[test]
fn whatever_was_sealed_cannot_be_changed() {
    for (what, forge) in FORGERIES {
        let mut kept = kept();
        forge(&mut kept);
        let report = verify(&kept.changes, &kept.accounts, &kept.links);
        let found = report
            .findings
            .iter()
            .any(|finding| finding.invariant == "I11");
        assert!(found, "{what}: {:?}", report.findings);
    }
}

#[test]
fn a_link_that_another_signed_is_not_ours_and_a_changed_signature_is_nobodys() {
    let Kept { changes, links, .. } = kept();
    let others = seal(&changes, 2, &SealKey::from_seed(&[2; 32]));
    assert_ne!(others[0].key, links[0].key);
    assert_eq!(others[0].hash, links[0].hash);
    let mut link = links[0].clone();
    assert!(link.is_signed());
    link.sealed_at += 1;
    assert!(!link.is_signed());
}

fn told(report: &Report) -> Vec<String> {
    report.findings.iter().map(ToString::to_string).collect()
}

/// What is done to the chain, and what is told of it.
type Broken = (&'static str, fn(&mut Kept), &'static [&'static str]);

const BROKEN: [Broken; 4] = [
    (
        "it says that another was before it",
        |it| it.links[0].before[0] ^= 1,
        &["I11 link 1 to 2: it does not continue the one before"],
    ),
    (
        "it begins later than it covers",
        |it| {
            let sealing = Sealing::after([0; 32], 2);
            let sealing = cover(sealing, &it.changes, &it.changes.transactions[..2]);
            it.links = vec![sealing.sign(&SealKey::from_seed(&[1; 32]), NOW)];
        },
        &["I11 link 2 to 2: it does not continue the one before"],
    ),
    (
        "another hash",
        |it| it.links[2].hash[0] ^= 1,
        &[
            "I11 link 5 to 6: what it covers was changed",
            "I11 link 5 to 6: its signature is not its own",
        ],
    ),
    (
        "it covers what is not there",
        |it| {
            let beyond = Link {
                first: 7,
                last: 8,
                ..it.links[2].clone()
            };
            it.links.push(beyond);
        },
        &["I11 link 7 to 8: what it covers is not there"],
    ),
];

#[test]
fn what_is_wrong_with_a_link_is_told_and_nothing_else() {
    for (what, break_it, expected) in BROKEN {
        let mut kept = kept();
        break_it(&mut kept);
        let report = verify(&kept.changes, &kept.accounts, &kept.links);
        assert_eq!(told(&report), expected, "{what}");
        let links = u64::try_from(kept.links.len()).expect("few");
        assert_eq!(report.links, links, "{what}");
    }
}

#[test]
fn where_a_key_is_trusted_the_links_of_others_are_found() {
    let Kept {
        changes,
        accounts,
        links,
    } = kept();
    let own = SealKey::from_seed(&[1; 32]).public();
    let trusting = Verifier::default().trusting(Some(own));
    let report = verify_by(trusting, &changes, &accounts, &links);
    assert_eq!(told(&report), [""; 0]);
    assert_eq!(report.head, links.last().cloned());
    let forged = seal(&changes, 3, &SealKey::from_seed(&[2; 32]));
    let trusting = Verifier::default().trusting(Some(own));
    let report = verify_by(trusting, &changes, &accounts, &forged);
    let key = wire::hex::encode(&forged[0].key);
    let by_another = ["1 to 3", "4 to 6"]
        .map(|link| format!("I11 link {link}: it is signed with the key {key}"));
    assert_eq!(told(&report), by_another);
}

#[test]
fn a_link_is_wanted_until_one_is_there_or_there_are_no_more() {
    let mut verifier = Verifier::default();
    assert!(verifier.wants_link());
    verifier.link(kept().links.pop());
    assert!(!verifier.wants_link());
    let mut verifier = Verifier::default();
    verifier.link(None);
    assert!(!verifier.wants_link());
}
