//! Viewers: many at once, by any protocol that goes over TCP, each looking at every picture.
//!
//! They come when they were to come, whatever the server does (an open loop), so that a slow server
//! is not spared.

mod crowd;
mod hls;
mod pictures;
mod playlist;
mod report;
mod row;
mod talk;
mod tally;
mod target;
mod whep;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use clap::Args as ClapArgs;
use reqwest::{Certificate, Client, Url};

use crate::say;
use crate::tell::{Arrivals, Ticker};
use crate::times::Window;
use crate::usage::{Costs, Processes};
use report::Report;
use row::{Plan, Row};
use target::{Protocol, Target};

/// From the last arrival to the window: what those who come get at once is over by then.
const SETTLE: Duration = Duration::from_secs(2);
/// Everything is made before the first viewer comes.
const LEAD: Duration = Duration::from_millis(200);

/// What `watch` takes.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Args {
    /// What to watch: rtmp://host/live/name, http://host/live/name.flv, ws://host/live/name.flv,
    /// http://host/hls/name/index.m3u8 or http://host/whep/name
    url: Url,
    /// How many viewers.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    viewers: u32,
    /// How many viewers join each second, evenly.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    joins_per_second: u32,
    /// For how many seconds everybody watches, counted from two seconds after the last has come.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    duration: u64,
    /// Threads that share the viewers; without it, one for each processor.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// So many of the viewers stop reading as soon as they have their first picture.
    #[arg(long, default_value_t = 0)]
    stopped: u32,
    /// Measure the processor time and memory of these processes of this machine meanwhile.
    #[arg(long = "server-pid", value_name = "PID", value_delimiter = ',')]
    server_pids: Vec<u32>,
    /// Believe the certificates in this PEM file instead of the system's, for https and wss.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// LL-HLS: fetch no media; all wait together for a part to stand in the playlist, round after
    /// round.
    #[arg(long)]
    crowd: bool,
    /// WHEP: one in so many viewers opens every packet and reads the stamps; the others look at the
    /// headers.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    open_every: u32,
    /// WHEP: so many percent of the packets are lost on their way to each viewer.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    loss: f64,
    /// WHEP: how the dice begin that lose packets.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// WHEP: what viewers say arrives so many milliseconds later, as from far away.
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=5000))]
    lag: u64,
    /// WHEP: ask for nothing that was lost.
    #[arg(long)]
    no_repairs: bool,
    /// Tell the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Watches, and tells how it went; fails if nobody could, or nobody to the end.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let target = Target::find(&args.url, args.ca.as_deref())?;
    if args.crowd {
        if target.protocol != Protocol::LlHls || target.place.tls.is_some() {
            bail!("--crowd wants a playlist over http");
        }
        let duration = Duration::from_secs(args.duration);
        return crowd::run(&target, args.viewers as usize, duration, args.json).await;
    }
    watch(&args, &target).await
}

async fn watch(args: &Args, target: &Target) -> anyhow::Result<()> {
    let processes = Processes::new(args.server_pids.clone());
    let before = processes.used()?;
    let progress = Arc::new(Arrivals::default());
    let plans = plans(args, target, &progress);
    let window = plans.first().context("no viewers")?.window;
    let client = http_client(args)?;
    let rows = plans
        .into_iter()
        .map(|plan| {
            let name = thread::Builder::new().name("viewers".to_owned());
            let spawned = if target.protocol == Protocol::Whep {
                let row = whep::Row::new(plan, args.manner(), client.clone())?;
                name.spawn(move || row.run())
            } else {
                let row = Row::new(plan)?;
                name.spawn(move || row.run())
            };
            spawned.context("failed to start a thread")
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let tell = || progress.line(args.viewers, window.until);
    let mut ticker = Ticker::new();
    ticker.wait_until(window.from, &tell).await;
    let from = processes.used()?;
    let mut peak_kb = from.resident_kb;
    let watch_memory = || {
        let used = processes.used().unwrap_or_default();
        peak_kb = peak_kb.max(used.resident_kb);
        tell()
    };
    ticker.wait_until(window.until, watch_memory).await;
    // A server that is gone by now is told of, and its viewers still counted.
    let until = processes.used();
    ticker.finish();
    let rows = rows
        .into_iter()
        .map(|row| {
            row.join()
                .map_err(|_| anyhow!("a row of viewers panicked"))?
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let costs = until.as_ref().ok().map(|&until| Costs {
        before,
        from,
        until,
        peak_kb: peak_kb.max(until.resident_kb),
    });
    let mut report = Report::new(
        args.url.to_string(),
        target.protocol,
        args.viewers as usize,
        args.stopped as usize,
        window.until - window.from,
        rows,
        costs.filter(|_| !args.server_pids.is_empty()),
    );
    if let Err(error) = until {
        report.errors.insert(format!("{error:#}"), 1);
    }
    if report.viewers.joined == 0 {
        let why = report.errors.keys().next().cloned().unwrap_or_default();
        bail!("nobody could watch {}: {why}", args.url);
    }
    if args.json {
        say(&serde_json::to_string_pretty(&report)?);
    } else {
        say(&report.to_string());
    }
    if report.viewers.lost >= report.viewers.joined {
        bail!("nobody could watch to the end");
    }
    Ok(())
}

impl Args {
    const fn manner(&self) -> whep::Manner {
        whep::Manner {
            open_every: self.open_every as usize,
            loss: self.loss / 100.0,
            seed: self.seed,
            lag: Duration::from_millis(self.lag),
            repairs: !self.no_repairs,
        }
    }
}

fn percent(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
    (0.0..=100.0)
        .contains(&number)
        .then_some(number)
        .ok_or_else(|| "it is between 0 and 100".to_owned())
}

/// What asks for sessions.
fn http_client(args: &Args) -> anyhow::Result<Client> {
    let mut builder = Client::builder().tcp_nodelay(true);
    if let Some(path) = &args.ca {
        let pem =
            std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
        for certificate in Certificate::from_pem_bundle(&pem)? {
            builder = builder.add_root_certificate(certificate);
        }
    }
    Ok(builder.build()?)
}

/// The viewers in rows that come one after the other, as cards are dealt.
fn plans(args: &Args, target: &Target, progress: &Arc<Arrivals>) -> Vec<Plan> {
    let processors = || thread::available_parallelism().map_or(1, usize::from);
    let threads = args
        .threads
        .map_or_else(processors, usize::from)
        .min(args.viewers as usize);
    let began = Instant::now() + LEAD;
    let arrival = |number: u32| {
        began + Duration::from_secs_f64(f64::from(number) / f64::from(args.joins_per_second))
    };
    let from = arrival(args.viewers) + SETTLE;
    let window = Window {
        from,
        until: from + Duration::from_secs(args.duration),
    };
    let dealt = |row: usize, count: u32| (0..count).skip(row).step_by(threads);
    (0..threads)
        .map(|row| Plan {
            target: target.clone(),
            arrivals: dealt(row, args.viewers).map(arrival).collect(),
            stopped: dealt(row, args.stopped).count(),
            window,
            progress: Arc::clone(progress),
        })
        .collect()
}
