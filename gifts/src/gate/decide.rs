//! Decides what a batch comes to, by what is in the book and in the ledger.

use std::collections::{HashMap, HashSet};

use gifts_core::account::{AccountId, Kind};
use gifts_core::canonical::Canonical;
use gifts_core::command::{Done, Lookup, What};
use gifts_core::{Account, Book, Command, Micros};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wire::hex;

use super::{Accepted, Balance, Key, Order, Refused};
use crate::store::{AnswerRow, OutboxRow, Result, StoreError, Writer};

pub(super) type Outcome = std::result::Result<Accepted, Refused>;

/// What was answered under keys.
pub(super) type Answers = HashMap<Key, AnswerRow>;

/// What is decided of a batch.
#[derive(Default)]
pub(super) struct Decided {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) outbox: Vec<OutboxRow>,
    pub(super) answers: Vec<AnswerRow>,
}

/// An answer as it is kept under a key.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Kept {
    Accepted(Accepted),
    Rejected { code: String, message: String },
}

/// Decides a batch, one after another. What was answered under keys by the batch before is in `latest`, and
/// what this one answers afterwards: `reader` may not find it yet. Nor does it need to find what the book has.
pub(super) async fn decide(
    now: Micros,
    book: &mut Book,
    reader: &mut impl Writer,
    orders: &[&Order],
    latest: &mut Answers,
) -> Result<Decided> {
    look_up(book, reader, orders).await?;
    let before = answered_before(reader, orders, latest).await?;
    let mut decided = Decided::default();
    let mut given = Answers::new();
    for order in orders {
        let request = requested(&order.command);
        let known = order.key.as_ref().and_then(|key| {
            let known = given.get(key).or_else(|| latest.get(key));
            known.or_else(|| before.get(key))
        });
        if let Some(answer) = known {
            decided.outcomes.push(replay(answer, &request)?);
            continue;
        }
        // What it is about may have been entered by this batch, and so its accounts be others.
        have_accounts(book, reader, &[*order]).await?;
        let done = order.command.perform(now, book);
        let outcome = done.map_err(Refused::from).map(|done| {
            let accepted = accept(book, &order.command, done);
            if !done.is_replay {
                decided.outbox.push(tell(order, &accepted));
            }
            accepted
        });
        if let Some(key) = &order.key {
            let row = AnswerRow {
                scope: key.scope.clone(),
                word: key.word.clone(),
                request,
                answer: keep_answer(&outcome),
                at: now,
            };
            given.insert(key.clone(), row.clone());
            decided.answers.push(row);
        }
        decided.outcomes.push(outcome);
    }
    *latest = given;
    Ok(decided)
}

/// Has at hand what a batch needs, set by set.
async fn look_up(book: &mut Book, reader: &mut impl Writer, orders: &[&Order]) -> Result<()> {
    let mut ids = HashSet::new();
    let mut whole = Vec::new();
    let mut pending = Vec::new();
    // What the book has is newer than what is kept.
    for order in orders {
        ids.insert(order.command.id());
        match order.command.lookup() {
            Lookup::None => {}
            Lookup::Transaction(id) => {
                ids.insert(id);
                if book.recorded(id).is_none() {
                    whole.push(id);
                }
            }
            Lookup::Pending(id) => {
                if book.pending(id).is_none() {
                    pending.push(id);
                }
            }
        }
    }
    ids.retain(|id| book.recorded(*id).is_none());
    let mut recorded = HashMap::new();
    if !ids.is_empty() {
        let ids: Vec<_> = ids.into_iter().collect();
        let kept = reader.recorded(&ids).await?.into_iter();
        recorded.extend(kept.map(|recorded| (recorded.receipt.id, recorded)));
    }
    if !whole.is_empty() {
        for id in &whole {
            if let Some(recorded) = recorded.get_mut(id) {
                recorded.legs = Some(Vec::new());
            }
        }
        for (id, leg) in reader.legs(&whole).await? {
            let legs = recorded
                .get_mut(&id)
                .and_then(|recorded| recorded.legs.as_mut());
            legs.ok_or_else(|| StoreError::Damaged(format!("the transaction {id}")))?
                .push(leg);
        }
    }
    for recorded in recorded.into_values() {
        book.put_recorded(recorded);
    }
    if !pending.is_empty() {
        for (id, pending) in reader.pending(&pending).await? {
            book.put_pending(id, pending);
        }
    }
    have_accounts(book, reader, orders).await
}

/// Has the accounts of commands at hand.
async fn have_accounts(book: &mut Book, reader: &mut impl Writer, orders: &[&Order]) -> Result<()> {
    let mut missing = HashSet::new();
    for order in orders {
        order.command.accounts(book, |id| {
            if book.account(&id).is_none() {
                missing.insert(id);
            }
        });
    }
    if missing.is_empty() {
        return Ok(());
    }
    let missing: Vec<_> = missing.into_iter().collect();
    for account in reader.accounts(&missing).await? {
        book.put_account(account);
    }
    for id in missing {
        if book.account(&id).is_none() {
            book.put_account(Account::new(id));
        }
    }
    Ok(())
}

/// What was answered before under the keys of commands, but for what was answered just now.
async fn answered_before(
    reader: &mut impl Writer,
    orders: &[&Order],
    latest: &Answers,
) -> Result<Answers> {
    let keys = orders.iter().filter_map(|order| order.key.as_ref());
    let keys: Vec<_> = keys
        .filter(|key| !latest.contains_key(*key))
        .map(|key| (key.scope.clone(), key.word.clone()))
        .collect();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = reader.answers(&keys).await?.into_iter();
    let keyed = rows.map(|row| {
        let key = Key {
            scope: row.scope.clone(),
            word: row.word.clone(),
        };
        (key, row)
    });
    Ok(keyed.collect())
}

/// The hash of what was asked for.
fn requested(command: &Command) -> String {
    let mut asked = Canonical::of("barrage ledger order 1");
    asked
        .text(&command.id().to_string())
        .bytes(command.request());
    hex::encode(&asked.hash())
}

fn keep_answer(outcome: &Outcome) -> String {
    let kept = match outcome.clone() {
        Ok(accepted) => Kept::Accepted(accepted),
        Err(Refused::Rejected { code, message }) => Kept::Rejected { code, message },
        Err(_) => unreachable!("the rules only reject"),
    };
    serde_json::to_string(&kept).expect("an answer is plain data")
}

/// What was answered, if the same was asked for.
fn replay(row: &AnswerRow, request: &str) -> Result<Outcome> {
    if row.request != request {
        return Ok(Err(Refused::KeyReused));
    }
    let kept = serde_json::from_str(&row.answer);
    let kept = kept.map_err(|_| StoreError::Damaged(format!("the answer to {}", row.word)))?;
    Ok(match kept {
        Kept::Accepted(accepted) => Ok(Accepted {
            is_replay: true,
            ..accepted
        }),
        Kept::Rejected { code, message } => Err(Refused::Rejected { code, message }),
    })
}

/// That a command is done, with what those have whom it concerns.
fn accept(book: &Book, command: &Command, done: Done) -> Accepted {
    let mut balances = Vec::new();
    command.accounts(book, |id| {
        let account = book.account(&id).filter(|account| account.number != 0);
        if let Some(account) = account.filter(|account| is_somebodys(&account.id)) {
            balances.push(Balance {
                account: id.to_string(),
                balance: account.balance(),
                available: account.available(),
                version: account.version,
                is_frozen: account.frozen_at.is_some(),
            });
        }
    });
    Accepted {
        id: done.receipt.id.to_string(),
        number: done.receipt.number,
        at: done.receipt.at,
        is_replay: done.is_replay,
        balances,
    }
}

/// Whether somebody is told what is on an account.
const fn is_somebodys(id: &AccountId) -> bool {
    matches!(
        id.kind,
        Kind::Wallet(_)
            | Kind::WalletPromo(_)
            | Kind::EarnHeld(_)
            | Kind::EarnAvailable(_)
            | Kind::EarnPromo(_)
    )
}

/// What others are to be told of what a command did.
fn tell(order: &Order, accepted: &Accepted) -> OutboxRow {
    #[derive(Serialize)]
    struct Told<'a> {
        id: &'a str,
        number: i64,
        at: Micros,
        public: Option<&'a Value>,
        balances: &'a [Balance],
    }
    let told = Told {
        id: &accepted.id,
        number: accepted.number,
        at: accepted.at,
        public: order.public.as_ref(),
        balances: &accepted.balances,
    };
    let (topic, part_key) = match order.command.what() {
        What::TopUp(top_up) => ("top_up", top_up.user.to_string()),
        What::Gift(gift) => ("gift", gift.channel.to_string()),
        What::Release(release) => ("release", release.payee.to_string()),
        What::Reversal(reversal) => ("reversal", reversal.of.to_string()),
        What::Hold(hold) => ("hold", hold.from.to_string()),
        What::Settlement(settlement) => ("settlement", settlement.of.transaction.to_string()),
        What::Mark(mark) => (mark.code.as_str(), mark.account.to_string()),
    };
    OutboxRow {
        number: accepted.number,
        topic,
        part_key,
        payload: serde_json::to_string(&told).expect("events are plain data"),
        at: accepted.at,
    }
}
