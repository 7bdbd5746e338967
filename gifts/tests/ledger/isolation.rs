//! Whether those who give and look at once see one ledger, in one order: a checker of histories is told what
//! each asked and was answered, and knows nothing of ledgers.
//!
//! A wallet and what a channel has earned are lists here: a gift of one coin appends its number to both, and
//! whoever looks reads lists, from the transfers that are kept. What they see must be strictly serializable.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use adya::{History, Opts, Valid, Workload, check};
use gifts::store::{Snapshot as _, Store};
use gifts::{Gate, Refused};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::sync::RwLock;
use wire::{ChannelId, UserId};

use crate::support::{Place, gift, held, top_up, wallet, with_store};

const SEED: u64 = 20_261_123;

/// How many ask at once, and how often each.
const PROCESSES: u64 = 8;
const ROUNDS: u64 = 40;

/// So many wallets, and so many channels.
const LISTS: usize = 3;

/// How the looking is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    /// As the ledger lets everybody.
    Snapshot,
    /// Each list at a moment of its own.
    Torn,
    /// Each in a snapshot that was begun a while ago.
    Stale,
}

/// How the giving is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gifts {
    /// As the gate answers.
    Kept,
    /// Now and then one is said to be kept which was not asked for.
    Forgotten,
}

/// The history as it happens, and which number each gift has there.
#[derive(Default)]
struct Told {
    lines: Mutex<String>,
    numbers: Mutex<HashMap<String, u64>>,
    count: AtomicU64,
}

impl Told {
    fn tell(&self, kind: &str, process: u64, value: &Value) {
        let line = json!({ "type": kind, "process": process, "value": value });
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        *lines += &line.to_string();
        lines.push('\n');
    }

    fn give(&self, transaction: String, number: u64) {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.insert(transaction, number);
    }

    fn number(&self, transaction: &str) -> Option<u64> {
        let numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.get(transaction).copied()
    }
}

struct World<S: Store> {
    store: S,
    gate: RwLock<Gate>,
    users: Vec<UserId>,
    channels: Vec<ChannelId>,
    told: Told,
    reads: Reads,
    gifts: Gifts,
}

impl<S: Store> World<S> {
    /// The identity of the account whose list it is.
    fn account(&self, list: usize) -> String {
        let account = match list.checked_sub(LISTS) {
            None => wallet(self.users[list]),
            Some(channel) => held(self.channels[channel]),
        };
        account.to_string()
    }

    /// One who asks for one thing after another; `process` is its name until something is not known.
    async fn run(self: Arc<Self>, mut process: u64) {
        let mut random = StdRng::seed_from_u64(SEED + process);
        let mut old = None;
        for round in 0..ROUNDS {
            if random.random_bool(0.6) {
                let (from, to) = (random.random_range(0..LISTS), random.random_range(0..LISTS));
                let forgets = self.gifts == Gifts::Forgotten && round == ROUNDS / 2;
                if !self.give(process, from, to, forgets).await {
                    process += 1_000;
                }
                continue;
            }
            let lists = [
                random.random_range(0..LISTS),
                LISTS + random.random_range(0..LISTS),
            ];
            let asked = lists.map(|list| json!(["r", list, null]));
            self.told.tell("invoke", process, &json!(asked));
            let mut read = Vec::new();
            let mut snapshot = match old.take() {
                Some(snapshot) if self.reads == Reads::Stale => snapshot,
                _ => self.store.snapshot().await.expect("it reads"),
            };
            for list in lists {
                if self.reads == Reads::Torn {
                    snapshot = self.store.snapshot().await.expect("it reads");
                }
                read.push(json!(["r", list, self.list(&mut snapshot, list).await]));
            }
            self.told.tell("ok", process, &json!(read));
            old = (self.reads == Reads::Stale).then_some(snapshot);
            if round % 10 == 0 && process == 0 {
                let (gate, _) = Gate::open(self.store.clone())
                    .await
                    .expect("the ledger opens");
                *self.gate.write().await = gate;
            }
        }
    }

    /// Gives a gift; false when nobody knows whether it was given.
    async fn give(&self, process: u64, from: usize, to: usize, forgets: bool) -> bool {
        let number = self.told.count.fetch_add(1, Ordering::Relaxed);
        let order = gift(
            &format!("g{number}"),
            self.users[from],
            self.channels[to],
            1,
        );
        self.told.give(order.command.id().to_string(), number);
        let appends = json!([["append", from, number], ["append", LISTS + to, number]]);
        self.told.tell("invoke", process, &appends);
        let gate = self.gate.read().await.clone();
        let answer = if forgets {
            Ok(())
        } else {
            gate.perform(order).await.map(|_| ())
        };
        let kind = match answer {
            Ok(()) => "ok",
            Err(Refused::Unknown) => "info",
            Err(_) => "fail",
        };
        self.told.tell(kind, process, &appends);
        kind != "info"
    }

    /// The gifts of a list, in the order in which they are kept.
    async fn list(&self, snapshot: &mut S::Snapshot, list: usize) -> Vec<u64> {
        let transactions = snapshot.transactions(0, i64::MAX).await.expect("it reads");
        let ids: HashMap<_, _> = transactions
            .into_iter()
            .map(|(row, _)| (row.number, row.id))
            .collect();
        let transfers = snapshot.transfers(0, i64::MAX).await.expect("it reads");
        let numbers: Vec<_> = transfers
            .iter()
            .flat_map(|transfer| [transfer.debit, transfer.credit])
            .collect();
        let names: HashMap<_, _> = snapshot
            .names(&numbers)
            .await
            .expect("it reads")
            .into_iter()
            .collect();
        let account = self.account(list);
        transfers
            .iter()
            .filter(|transfer| {
                [transfer.debit, transfer.credit]
                    .iter()
                    .any(|number| names[number] == account)
            })
            .filter_map(|transfer| self.told.number(&ids[&transfer.txn]))
            .collect()
    }
}

/// What the checker says of a ledger that many gave to and looked at, in words.
async fn verdict<S: Store>(store: S, reads: Reads, gifts: Gifts) -> (Valid, String) {
    let (gate, _) = Gate::open(store.clone()).await.expect("the ledger opens");
    let users: Vec<_> = (0..LISTS).map(|_| UserId::new()).collect();
    for user in &users {
        gate.perform(top_up(&user.to_string(), *user, 1_000_000))
            .await
            .expect("it is paid");
    }
    let world = Arc::new(World {
        store,
        gate: RwLock::new(gate),
        users,
        channels: (0..LISTS).map(|_| ChannelId::new()).collect(),
        told: Told::default(),
        reads,
        gifts,
    });
    let processes: Vec<_> = (0..PROCESSES)
        .map(|process| tokio::spawn(Arc::clone(&world).run(process)))
        .collect();
    for process in processes {
        process.await.expect("it ends");
    }
    let lines = world
        .told
        .lines
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let history = History::from_json(&lines).expect("a history");
    let strictly = Opts {
        models: vec!["strict-serializable".into()],
        ..Opts::default()
    };
    let report = check(&history, Workload::ListAppend, &strictly);
    (report.valid, format!("{:?}", report.anomaly_types))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_everybody_sees_is_strictly_serializable() {
    let place = Place::new();
    with_store!(&place.told(), |store| {
        let (valid, why) = verdict(store, Reads::Snapshot, Gifts::Kept).await;
        assert_eq!(valid, Valid::True, "seed {SEED}: {why}");
    });
}

/// The checker finds what is wrong where something is.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_broken_on_purpose_is_found_out() {
    for (reads, gifts) in [
        (Reads::Torn, Gifts::Kept),
        (Reads::Stale, Gifts::Kept),
        (Reads::Snapshot, Gifts::Forgotten),
    ] {
        let place = Place::new();
        with_store!(&place.told(), |store| {
            let (valid, why) = verdict(store, reads, gifts).await;
            assert_eq!(
                valid,
                Valid::False,
                "{reads:?}, {gifts:?}, seed {SEED}: {why}"
            );
        });
    }
}
