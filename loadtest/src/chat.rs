//! A room full of viewers, and somebody who says much in it: what each of them heard is reconciled
//! with what there was.
//!
//! Viewers come, and things are said, when they are to, whatever the server does (an open loop).

mod mark;
mod member;
mod report;
mod row;
mod tally;
mod voice;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use clap::Args as ClapArgs;
use reqwest::Url;

use crate::place::Place;
use crate::say;
use crate::tell::Ticker;
use crate::times::Window;
use crate::usage::{Costs, Processes};
use member::Dialect;
use report::{Course, Report};
use row::{Outcome, Plan, Progress, Row};
use voice::{Speech, Spoken, Voice};

/// From the last arrival to the window: what those who come get at once is over by then.
const SETTLE: Duration = Duration::from_secs(3);
/// Everything is made before the first viewer comes.
const LEAD: Duration = Duration::from_millis(200);

/// What `chat` takes.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Args {
    /// The room: ws://host/ws?room=name. With --publish, any WebSocket.
    url: Url,
    /// How many viewers.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    viewers: u32,
    /// How many viewers join each second, evenly.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    joins_per_second: u32,
    /// For how many seconds things are said, counted from three seconds after the last has come.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    duration: u64,
    /// Messages a second; 0 leaves the room silent.
    #[arg(long, default_value_t = 10)]
    rate: u32,
    /// Bytes of each message.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(24..=2000))]
    bytes: u16,
    /// An API token with the scope `chat`, to speak in a room of Barrage.
    #[arg(long)]
    token: Option<String>,
    /// Speak by posting each message here instead, to a server that gives them on as they are.
    #[arg(long, value_name = "URL", conflicts_with_all = ["token", "cut"])]
    publish: Option<Url>,
    /// So many viewers look at every message; the others count them.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    look: u32,
    /// In the middle of the window everybody is cut off and comes back at once.
    #[arg(long)]
    cut: bool,
    /// Threads that share the viewers; without it, one for each processor.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Measure the processor time and memory of these processes of this machine meanwhile.
    #[arg(long = "server-pid", value_name = "PID", value_delimiter = ',')]
    server_pids: Vec<u32>,
    /// Believe the certificates in this PEM file instead of the system's, for wss.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Tell the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Fills the room, and tells how it went; fails if nobody could come, or something was lost.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let place = Place::find(&args.url, args.ca.as_deref())?;
    if args.rate > 0 && args.token.is_none() && args.publish.is_none() {
        bail!(
            "nobody can speak: give --token, an API token with the scope `chat`, or --rate 0. \
             POST /api/v1/account/tokens makes one"
        );
    }
    if args.rate > 0 && args.publish.is_none() && place.tls.is_some() {
        bail!("the one who speaks comes over ws; viewers alone may come over wss");
    }
    let processes = Processes::new(args.server_pids.clone());
    let before = processes.used()?;
    let voice = match (&args.token, args.rate) {
        (Some(token), 1..) => Some(Voice::join(&place, token).await?),
        _ => None,
    };
    let progress = Arc::new(Progress::default());
    let began = Instant::now() + LEAD;
    let window = window(&args, began);
    let rows = begin(plans(&args, &place, &progress, began, window))?;
    let speech = Speech {
        window,
        rate: args.rate,
        bytes: args.bytes.into(),
    };
    let speaking = speak(voice, args.publish.clone(), speech, Arc::clone(&progress));
    let speaking = tokio::spawn(speaking);
    let costs = accompany(&args, &processes, before, &progress, window).await;
    let spoken = speaking.await?;
    let rows = join(rows).await?;
    let (costs, why) = match costs {
        Ok(costs) => (Some(costs), None),
        Err(error) => (None, Some(error)),
    };
    let mut report = Report::new(Course {
        url: args.url.to_string(),
        asked: args.viewers as usize,
        began,
        window: window.until - window.from,
        rows,
        spoken: spoken.as_ref().map(Clone::clone).unwrap_or_default(),
        costs: costs.filter(|_| !args.server_pids.is_empty()),
    });
    for error in why.iter().chain(spoken.as_ref().err()) {
        report.errors.insert(format!("{error:#}"), 1);
    }
    tell(&args, &report)
}

fn tell(args: &Args, report: &Report) -> anyhow::Result<()> {
    if report.viewers.joined == 0 {
        let why = report.errors.keys().next().cloned().unwrap_or_default();
        bail!("nobody could come into {}: {why}", args.url);
    }
    if args.json {
        say(&serde_json::to_string_pretty(&report)?);
    } else {
        say(&report.to_string());
    }
    if report.items.lost + report.items.repeated > 0 {
        bail!("what was heard is not what there was");
    }
    if report.viewers.lost >= report.viewers.joined {
        bail!("nobody could stay to the end");
    }
    Ok(())
}

fn window(args: &Args, began: Instant) -> Window {
    let from = arrival(args, began, args.viewers) + SETTLE;
    Window {
        from,
        until: from + Duration::from_secs(args.duration),
    }
}

fn arrival(args: &Args, began: Instant, number: u32) -> Instant {
    began + Duration::from_secs_f64(f64::from(number) / f64::from(args.joins_per_second))
}

/// The viewers in rows that come one after the other, as cards are dealt.
fn plans(
    args: &Args,
    place: &Place,
    progress: &Arc<Progress>,
    began: Instant,
    window: Window,
) -> Vec<Plan> {
    let processors = || thread::available_parallelism().map_or(1, usize::from);
    let threads = args
        .threads
        .map_or_else(processors, usize::from)
        .min(args.viewers as usize);
    // Who comes back has to know where it was.
    let looks = if args.cut { args.viewers } else { args.look };
    let dealt = |row: usize, count: u32| (0..count).skip(row).step_by(threads);
    (0..threads)
        .map(|row| Plan {
            place: place.clone(),
            dialect: if args.publish.is_some() {
                Dialect::Plain
            } else {
                Dialect::Barrage
            },
            arrivals: dealt(row, args.viewers)
                .map(|number| arrival(args, began, number))
                .collect(),
            // What there was is known from those who look: each row has one.
            looks: dealt(row, looks).count().max(1),
            window,
            cut_at: args
                .cut
                .then(|| window.from + (window.until - window.from) / 2),
            progress: Arc::clone(progress),
        })
        .collect()
}

type Rows = Vec<thread::JoinHandle<anyhow::Result<Outcome>>>;

fn begin(plans: Vec<Plan>) -> anyhow::Result<Rows> {
    let rows = plans.into_iter().map(|plan| {
        let row = Row::new(plan)?;
        let name = thread::Builder::new().name("viewers".to_owned());
        name.spawn(move || row.run())
            .context("failed to start a thread")
    });
    rows.collect()
}

async fn join(rows: Rows) -> anyhow::Result<Vec<Outcome>> {
    let join = move || {
        let rows = rows.into_iter().map(|row| {
            row.join()
                .map_err(|_| anyhow!("a row of viewers panicked"))?
        });
        rows.collect()
    };
    tokio::task::spawn_blocking(join).await?
}

async fn speak(
    voice: Option<Voice>,
    publish: Option<Url>,
    speech: Speech,
    progress: Arc<Progress>,
) -> anyhow::Result<Spoken> {
    match (voice, publish) {
        (Some(voice), _) => voice.speak(speech).await,
        (None, Some(url)) => voice::post(&url, speech, &progress).await,
        (None, None) => Ok(Spoken::default()),
    }
}

/// Tells how far it is, and measures the server, until the window is over.
async fn accompany(
    args: &Args,
    processes: &Processes,
    before: crate::usage::Used,
    progress: &Progress,
    window: Window,
) -> anyhow::Result<Costs> {
    let tell = || progress.arrivals.line(args.viewers, window.until);
    let mut ticker = Ticker::new();
    ticker.wait_until(window.from, &tell).await;
    let from = processes.used();
    let mut peak_kb = 0;
    let watch_memory = || {
        let used = processes.used().unwrap_or_default();
        peak_kb = peak_kb.max(used.resident_kb);
        tell()
    };
    ticker.wait_until(window.until, watch_memory).await;
    // A server that is gone by now is told of, and its viewers still counted.
    let until = processes.used();
    ticker.finish();
    let (from, until) = (from?, until?);
    Ok(Costs {
        before,
        from,
        until,
        peak_kb: peak_kb.max(until.resident_kb),
    })
}
