//! gifts PLACE SENDERS STREAMERS SECONDS [GIFTS]: how many gifts a second a ledger takes from so many senders,
//! each of whom waits for one before giving the next; with GIFTS it ends when there are so many. PLACE is a
//! directory, or the address of a PostgreSQL database. What was kept is sealed and verified afterwards. Tells
//! it as a line of JSON; `make bench-gifts` makes a page of many.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use gifts::store::Store;
use gifts::{Gate, Order, PgStore, SqliteStore, audit};
use gifts_core::command::{Gift, Reference, TopUp, What};
use gifts_core::seal::SealKey;
use gifts_core::{Amount, Command, Contract, Name};
use hdrhistogram::Histogram;
use kit::clock;
use serde_json::json;
use wire::{ChannelId, UserId};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (place, senders, streamers, seconds, gifts) = match arguments.as_slice() {
        [place, senders, streamers, seconds] => (place, senders, streamers, seconds, None),
        [place, senders, streamers, seconds, gifts] => {
            (place, senders, streamers, seconds, Some(gifts.parse()?))
        }
        _ => bail!("usage: gifts PLACE SENDERS STREAMERS SECONDS [GIFTS]"),
    };
    let load = Load {
        senders: senders.parse()?,
        streamers: streamers.parse()?,
        seconds: seconds.parse()?,
        gifts: gifts.unwrap_or(u64::MAX),
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
    gifts: u64,
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
    let end = End {
        at: began + Duration::from_secs(load.seconds),
        left: Arc::new(AtomicU64::new(load.gifts)),
    };
    let senders: Vec<_> = users
        .into_iter()
        .enumerate()
        .map(|(number, user)| {
            let (channels, end) = (Arc::clone(&channels), end.clone());
            tokio::spawn(send(gate.clone(), number, user, channels, end))
        })
        .collect();
    let mut times = Histogram::<u64>::new(3)?;
    for sender in senders {
        times.add(sender.await??)?;
    }
    let rate = times.len() as f64 / began.elapsed().as_secs_f64();
    let ms = |quantile| times.value_at_quantile(quantile) as f64 / 1_000.0;
    let key = SealKey::from_seed(&[7; 32]);
    let began = Instant::now();
    let links = audit::seal_all(&store, &key, gate.fence()).await?;
    let sealed_in = began.elapsed();
    let began = Instant::now();
    let report = audit::verify(&store, clock::now().as_micros()).await?;
    let told = json!({
        "gifts": times.len(),
        "gifts_per_s": rate,
        "p50_ms": ms(0.5),
        "p99_ms": ms(0.99),
        "p999_ms": ms(0.999),
        "links": links,
        "seal_s": sealed_in.as_secs_f64(),
        "transfers": report.transfers,
        "verify_s": began.elapsed().as_secs_f64(),
        "findings": report.found,
        "first": report.findings.first().map(ToString::to_string),
    });
    writeln!(std::io::stdout(), "{told}")?;
    Ok(())
}

/// When the senders stop.
#[derive(Clone)]
struct End {
    at: Instant,
    left: Arc<AtomicU64>,
}

impl End {
    fn is_there(&self) -> bool {
        let left = |left: u64| left.checked_sub(1);
        Instant::now() >= self.at || self.left.fetch_update(Relaxed, Relaxed, left).is_err()
    }
}

/// Gives one gift after another, to one streamer after another.
async fn send(
    gate: Gate,
    number: usize,
    sender: UserId,
    channels: Arc<[ChannelId]>,
    end: End,
) -> anyhow::Result<Histogram<u64>> {
    let mut times = Histogram::new(3)?;
    let contract = Contract::new(1, 5_000, None)?;
    let channels = channels.iter().cycle().skip(number % channels.len());
    for (count, channel) in channels.enumerate() {
        if end.is_there() {
            break;
        }
        let began = Instant::now();
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
