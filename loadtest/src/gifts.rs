//! People who give, and somebody who watches: how long a gift takes until its sender knows, and until it is
//! seen; and whether each that was acknowledged was seen once.
//!
//! Gifts are given when they are to, whatever the server does (an open loop).

mod giver;
mod report;
mod watcher;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args as ClapArgs;
use reqwest::Url;
use serde::Deserialize;
use tokio::task::JoinSet;

use crate::place::Place;
use crate::say;
use crate::tell::Ticker;
use crate::times::Window;
use crate::usage::Processes;
use giver::{Given, Giver};
use report::Report;
use watcher::Watcher;

/// From the last who came to the first gift.
const SETTLE: Duration = Duration::from_secs(1);

/// Those who come at once: each signs in, which costs the server much.
const COMING_MAX: usize = 8;

/// What `gifts` takes.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Args {
    /// The room: ws://host/ws?room=name
    url: Url,
    /// What `barrage admin seed --out` wrote. Each account buys what coins it needs in the sandbox.
    #[arg(long, value_name = "FILE")]
    accounts: PathBuf,
    /// How many of them give; all, if left out.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    senders: Option<u32>,
    /// Gifts a second of all together.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// For how many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    duration: u64,
    /// What is given, such as `rose`.
    #[arg(long, default_value = "rose")]
    gift: String,
    /// Measure the processor time and memory of these processes of this machine meanwhile.
    #[arg(long = "server-pid", value_name = "PID", value_delimiter = ',')]
    server_pids: Vec<u32>,
    /// Tell the result as JSON.
    #[arg(long)]
    json: bool,
}

/// An account of `barrage admin seed`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Account {
    pub(crate) handle: String,
    pub(crate) password: String,
}

/// Has them give, and tells how it went; fails if a gift that was acknowledged was not seen once.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let place = Place::find(&args.url, None)?;
    if place.tls.is_some() {
        bail!("those who give come over ws");
    }
    let accounts = read(&args)?;
    let count = u32::try_from(accounts.len())?;
    let watcher = Watcher::join(&place).await?;
    let each = u64::from(args.rate) * args.duration / u64::from(count) + 1;
    let givers = come(&args, &place, accounts, each).await?;
    let processes = Processes::new(args.server_pids.clone());
    let from = Instant::now() + SETTLE;
    let window = Window {
        from,
        until: from + Duration::from_secs(args.duration),
    };
    let answered = Arc::new(AtomicU64::new(0));
    let mut giving = JoinSet::new();
    for (number, giver) in givers.into_iter().enumerate() {
        // They take turns.
        let first = f64::from(u32::try_from(number)?) / f64::from(args.rate);
        let every = Duration::from_secs_f64(f64::from(count) / f64::from(args.rate));
        let window = Window {
            from: window.from + Duration::from_secs_f64(first),
            ..window
        };
        let (gift, answered) = (args.gift.clone(), Arc::clone(&answered));
        giving.spawn(giver.give(gift, every, window, answered));
    }
    let mut ticker = Ticker::new();
    let tell = || {
        let left = window.until.saturating_duration_since(Instant::now());
        let given = answered.load(Ordering::Relaxed);
        Some(format!(
            "{given} gifts are given; {} s to go",
            left.as_secs()
        ))
    };
    ticker.wait_until(window.from, &tell).await;
    let before = processes.used()?;
    ticker.wait_until(window.until, &tell).await;
    let after = processes.used()?;
    let mut given = Given::default();
    while let Some(one) = giving.join_next().await {
        given.merge(one?);
    }
    ticker.finish();
    let wanted = given.seqs.iter().map(|(seq, _)| *seq);
    let seen = watcher.until_seen(wanted).await?;
    let report = Report::new(&args, count, &given, &seen, (before, after));
    if args.json {
        say(&serde_json::to_string_pretty(&report)?);
    } else {
        say(&report.to_string());
    }
    if report.lost + report.repeated > 0 {
        bail!("what was seen is not what was given");
    }
    if report.given == 0 {
        bail!("nothing could be given");
    }
    Ok(())
}

fn read(args: &Args) -> anyhow::Result<Vec<Account>> {
    let path = &args.accounts;
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("failed to read {}", path.display()))?;
    let most = args.senders.map_or(usize::MAX, |senders| senders as usize);
    let accounts = text.lines().take(most).map(serde_json::from_str);
    let accounts: Vec<Account> = accounts
        .collect::<Result<_, _>>()
        .with_context(|| format!("{} is not of `barrage admin seed`", path.display()))?;
    if accounts.is_empty() {
        bail!("{} has no accounts", path.display());
    }
    Ok(accounts)
}

/// All of them sign in, have coins for so many gifts, and are in the room.
async fn come(
    args: &Args,
    place: &Place,
    accounts: Vec<Account>,
    each: u64,
) -> anyhow::Result<Vec<Giver>> {
    let mut left = accounts.into_iter();
    let mut coming = JoinSet::new();
    let mut givers = Vec::new();
    loop {
        while coming.len() < COMING_MAX {
            let Some(account) = left.next() else { break };
            let (place, gift) = (place.clone(), args.gift.clone());
            coming.spawn(async move { Giver::come(&place, &account, &gift, each).await });
        }
        match coming.join_next().await {
            Some(giver) => givers.push(giver??),
            None => return Ok(givers),
        }
    }
}
