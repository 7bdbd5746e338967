//! A gate that ends in the middle of its work, by its task or with its process.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command as Program, Stdio};

use gifts::store::Store;
use gifts::{Gate, Order, Refused, audit};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;
use wire::{ChannelId, UserId};

use crate::support::{Place, all, gift, now, told_of, top_up, wallet, with_store};

const SEED: u64 = 20_261_122;

/// How often a task is ended, and a process.
const ENDINGS: u32 = 25;
const KILLS: u32 = 10;

/// Who gives gifts in the process that is killed, all at once.
const SENDERS: u32 = 16;

fn sender(number: u32) -> UserId {
    let id = format!("018f0000-0000-7000-8000-{number:012x}");
    id.parse().expect("an identity")
}

fn channel() -> ChannelId {
    "018f0000-0000-7000-8000-ffffffffffff"
        .parse()
        .expect("an identity")
}

async fn nothing_is_found<S: Store>(store: &S) {
    let report = audit::verify(store, now()).await.expect("it reads");
    assert_eq!(report.findings, [], "seed {SEED}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_ends_anywhere_leaves_nothing_half_done() {
    let place = Place::new();
    let mut random = StdRng::seed_from_u64(SEED);
    with_store!(&place.told(), |store| {
        let (user, channel) = (UserId::new(), ChannelId::new());
        let (gate, _) = Gate::open(store.clone()).await.expect("the ledger opens");
        gate.perform(top_up("p1", user, 1_000_000))
            .await
            .expect("it is paid");
        for ending in 0..ENDINGS {
            let (gate, task) = Gate::open(store.clone()).await.expect("the ledger opens");
            let orders: Vec<Order> = (0..48)
                .map(|number| gift(&format!("g{ending}-{number}"), user, channel, 1))
                .collect();
            let mut asked = JoinSet::new();
            for order in orders.clone() {
                let gate = gate.clone();
                asked.spawn(async move { gate.perform(order).await });
            }
            // It ends when so many were answered, with the next ones on their way.
            let answered = random.random_range(0..48);
            let mut answers = Vec::new();
            while answers.len() < answered {
                answers.push(
                    asked
                        .join_next()
                        .await
                        .expect("it is answered")
                        .expect("it ends"),
                );
                if random.random_bool(0.2) {
                    asked.spawn({
                        let gate = gate.clone();
                        let order =
                            gift(&format!("more{ending}-{}", answers.len()), user, channel, 1);
                        async move { gate.perform(order).await }
                    });
                }
            }
            task.abort();
            while let Some(answer) = asked.join_next().await {
                answers.push(answer.expect("it ends"));
            }
            let given = answers.iter().flatten().count();
            let unknown = answers
                .iter()
                .filter(|answer| matches!(answer, Err(Refused::Unknown | Refused::Fenced)));
            assert_eq!(given + unknown.count(), answers.len());
            nothing_is_found(&store).await;
            let (gate, _) = Gate::open(store.clone()).await.expect("the ledger opens");
            for answer in all(&gate, orders).await {
                answer.expect("asked again, it is answered");
            }
        }
        nothing_is_found(&store).await;
    });
    let gifts = place
        .number("SELECT COUNT(*) FROM transactions WHERE code = 2")
        .await;
    assert!(gifts >= i64::from(ENDINGS) * 48);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_has_kept_all_that_it_answered() {
    let place = Place::new();
    let mut random = StdRng::seed_from_u64(SEED);
    let mut acknowledged = BTreeSet::new();
    with_store!(&place.told(), |store| {
        let (gate, _) = Gate::open(store.clone()).await.expect("the ledger opens");
        for number in 0..SENDERS {
            let paid = top_up(&format!("p{number}"), sender(number), 1_000_000);
            gate.perform(paid).await.expect("it is paid");
        }
        drop(gate);
        for kill in 0..KILLS {
            let count = random.random_range(1..400);
            let lines = kill_after(&place.told(), kill, count);
            assert!(lines.len() >= count, "it was killed while it worked");
            acknowledged.extend(lines);
            nothing_is_found(&store).await;
        }
        let (gate, _) = Gate::open(store.clone()).await.expect("the ledger opens");
        let mut spent = vec![0; SENDERS as usize];
        for line in &acknowledged {
            let (number, key) = line.split_once(' ').expect("a line");
            let number: u32 = number.parse().expect("a sender");
            let again = gate.perform(gift(key, sender(number), channel(), 1)).await;
            let again = again.expect("it was acknowledged");
            assert!(again.is_replay, "{line} was acknowledged");
            spent[number as usize] = 1_000_000 - told_of(&again, wallet(sender(number)));
        }
        // What was kept and not acknowledged is one a sender and kill, at most.
        for (number, spent) in (0..SENDERS).zip(spent) {
            let own = format!("{number} ");
            let lines = acknowledged
                .iter()
                .filter(|line| line.starts_with(&own))
                .count();
            let spare = spent - i64::try_from(lines).expect("few");
            assert!(
                (0..=i64::from(KILLS)).contains(&spare),
                "{spare} of sender {number}"
            );
        }
        nothing_is_found(&store).await;
    });
}

/// Starts the test below as a process of its own, and kills it when it has acknowledged so many gifts.
fn kill_after(told: &str, kill: u32, count: usize) -> Vec<String> {
    let mut child = Program::new(std::env::current_exe().expect("a path"))
        .args([
            "--exact",
            "crash::gives_until_it_is_killed",
            "--ignored",
            "--nocapture",
        ])
        .env("LEDGER_OF_CHILD", told)
        .env("LEDGER_KILL", kill.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut acknowledged = Vec::new();
    let mut own = |line: std::io::Result<String>| {
        // The test program writes lines of its own; a line that was cut short acknowledges nothing.
        let line = line.expect("text");
        let gift = line
            .strip_prefix("gift ")
            .and_then(|line| line.strip_suffix(" kept"));
        acknowledged.extend(gift.map(str::to_owned));
        acknowledged.len()
    };
    while own(lines.next().expect("it goes on until it is killed")) < count {}
    child.kill().expect("it is killed");
    lines.for_each(|line| _ = own(line));
    child.wait().expect("it has ended");
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by the test above"]
async fn gives_until_it_is_killed() {
    let told = std::env::var("LEDGER_OF_CHILD").expect("it is told where");
    let kill = std::env::var("LEDGER_KILL").expect("it is told the how many-th it is");
    with_store!(&told, |store| {
        let (gate, task) = Gate::open(store).await.expect("the ledger opens");
        for number in 0..SENDERS {
            let (gate, kill) = (gate.clone(), kill.clone());
            tokio::spawn(async move {
                for count in 0.. {
                    let key = format!("g{kill}-{count}");
                    let given = gate.perform(gift(&key, sender(number), channel(), 1)).await;
                    given.expect("there is enough");
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "gift {number} {key} kept").expect("somebody reads");
                }
            });
        }
        task.await.expect("it goes on");
    });
}
