//! gifts PLACE SENDERS STREAMERS SECONDS: how many gifts a second a ledger takes from so many senders, each
//! of whom waits for one before giving the next. PLACE is a directory, or the address of a PostgreSQL
//! database. What was kept is verified afterwards.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use gifts::store::Store;
use gifts::{Gate, Order, PgStore, SqliteStore, audit};
use gifts_core::command::{Gift, Reference, TopUp, What};
use gifts_core::{Amount, Command, Contract, Name};
use hdrhistogram::Histogram;
use kit::clock;
use serde_json::json;
use wire::{ChannelId, UserId};

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [place, senders, streamers, seconds] = arguments.as_slice() else {
        bail!("usage: gifts PLACE SENDERS STREAMERS SECONDS");
    };
    let load = Load {
        senders: senders.parse()?,
        streamers: streamers.parse()?,
        seconds: seconds.parse()?,
    };
    if place.starts_with("postgres") {
        measure(PgStore::load(place).await?, load).await
    } else {
        measure(SqliteStore::load(place.as_ref()).await?, load).await
    }
}

#[derive(Clone, Copy)]
struct Load {
    senders: usize,
    streamers: usize,
    seconds: u64,
}

async fn measure<S: Store>(store: S, load: Load) -> anyhow::Result<()> {
    let (gate, _) = Gate::open(store.clone()).await?;
    let channels: Arc<[ChannelId]> = (0..load.streamers).map(|_| ChannelId::new()).collect();
    let users: Vec<_> = (0..load.senders).map(|_| UserId::new()).collect();
    for user in &users {
        gate.perform(order(What::TopUp(TopUp {
            psp: Name::new("sandbox").context("a name")?,
            payment: reference(&user.to_string())?,
            user: *user,
            currency: "CNY".parse()?,
            paid: amount(1_000_000_000)?,
            coins: amount(1_000_000_000)?,
            bonus: None,
        })))
        .await?;
    }
    let began = Instant::now();
    let until = began + Duration::from_secs(load.seconds);
    let senders: Vec<_> = users
        .into_iter()
        .map(|user| tokio::spawn(send(gate.clone(), user, Arc::clone(&channels), until)))
        .collect();
    let mut times = Histogram::<u64>::new(3)?;
    for sender in senders {
        times.add(sender.await??)?;
    }
    let rate = times.len() as f64 / began.elapsed().as_secs_f64();
    let ms = |quantile| times.value_at_quantile(quantile) as f64 / 1_000.0;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{rate:.0} gifts/s, p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms",
        ms(0.5),
        ms(0.99),
        ms(0.999)
    )?;
    let began = Instant::now();
    let report = audit::verify(&store, clock::now().as_micros()).await?;
    writeln!(
        out,
        "{} transfers verified in {:.2} s: {} findings",
        report.transfers,
        began.elapsed().as_secs_f64(),
        report.found
    )?;
    for finding in report.findings.iter().take(5) {
        writeln!(out, "{finding}")?;
    }
    Ok(())
}

async fn send(
    gate: Gate,
    sender: UserId,
    channels: Arc<[ChannelId]>,
    until: Instant,
) -> anyhow::Result<Histogram<u64>> {
    let mut times = Histogram::new(3)?;
    let contract = Contract::new(1, 5_000, None)?;
    for (count, channel) in channels.iter().cycle().enumerate() {
        let began = Instant::now();
        if began >= until {
            break;
        }
        let mut given = order(What::Gift(Gift {
            sender,
            key: reference(&count.to_string())?,
            channel: *channel,
            item: reference("rocket")?,
            price: amount(300)?,
            contract,
        }));
        given.public = Some(json!({ "item": "rocket", "sender": sender, "count": 1 }));
        gate.perform(given).await?;
        times.record(u64::try_from(began.elapsed().as_micros())?)?;
    }
    Ok(times)
}

fn order(what: What) -> Order {
    Order {
        command: Command::new(what, clock::now().as_micros()),
        key: None,
        public: None,
    }
}

fn reference(text: &str) -> anyhow::Result<Reference> {
    Reference::new(text).context("no reference")
}

fn amount(units: i64) -> anyhow::Result<Amount> {
    Amount::new(units).context("no amount")
}
