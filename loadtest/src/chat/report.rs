//! What came of a room full of viewers, for people and as JSON. The form of the JSON is described in
//! `docs/loadtest.md`, and changes only together with the name in `schema`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::row::Outcome;
use super::tally::Tally;
use super::voice::Spoken;
use crate::times::Spread;
use crate::usage::{Client, Costs};

/// What came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// What this is, and in which form.
    pub(crate) schema: &'static str,
    pub(crate) url: String,
    pub(crate) viewers: Viewers,
    pub(crate) window_s: f64,
    pub(crate) join_ms: Spread,
    /// From the first arrival to the last welcome.
    pub(crate) joins_per_s: Option<f64>,
    /// From a cut to having all that was missed.
    pub(crate) return_ms: Spread,
    pub(crate) messages: Messages,
    pub(crate) latency_ms: Spread,
    pub(crate) items: Items,
    pub(crate) reads_per_s: f64,
    pub(crate) mbit_per_s: f64,
    pub(crate) client: Client,
    pub(crate) server: Option<Server>,
    pub(crate) errors: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Viewers {
    pub(crate) asked: usize,
    pub(crate) joined: usize,
    pub(crate) failed: usize,
    pub(crate) lost: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct Messages {
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    pub(crate) unanswered: u64,
    pub(crate) refused: BTreeMap<String, u64>,
    pub(crate) answer_ms: Spread,
}

/// What all viewers together heard, of all lanes.
#[derive(Debug, Serialize)]
pub(crate) struct Items {
    pub(crate) delivered: u64,
    pub(crate) declared: u64,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    pub(crate) lanes_begun_anew: u64,
    /// Within the window, all viewers together.
    pub(crate) per_s: f64,
}

/// What the measured processes took.
#[derive(Debug, Serialize)]
pub(crate) struct Server {
    /// Processors.
    pub(crate) cpu_share: f64,
    pub(crate) cpu_s_per_million_items: Option<f64>,
    pub(crate) resident_kb_before: u64,
    /// When everybody had come and nothing was said yet.
    pub(crate) resident_kb_joined: u64,
    pub(crate) resident_kb_peak: u64,
    pub(crate) resident_kb_after: u64,
    pub(crate) kb_per_viewer: f64,
}

/// What was to be, and what came of it.
pub(crate) struct Course {
    pub(crate) url: String,
    pub(crate) asked: usize,
    pub(crate) began: Instant,
    pub(crate) window: Duration,
    pub(crate) rows: Vec<Outcome>,
    pub(crate) spoken: Spoken,
    pub(crate) costs: Option<Costs>,
}

impl Report {
    pub(crate) fn new(course: Course) -> Self {
        let seconds = course.window.as_secs_f64();
        let client = Client::of(course.rows.iter().map(|row| row.turn), course.window);
        let mut tally = Tally::default();
        for row in course.rows {
            tally.merge(row.tally);
        }
        let viewers = tally.joined.max(1) as f64;
        let took = tally.last_join.map(|at| at - course.began);
        let Spoken {
            sent,
            acknowledged,
            refused,
            answers,
        } = course.spoken;
        Self {
            schema: "barrage-load/chat/1",
            url: course.url,
            viewers: Viewers {
                asked: course.asked,
                joined: tally.joined,
                failed: tally.failed,
                lost: tally.lost,
            },
            window_s: seconds,
            join_ms: Spread::of(&tally.joins),
            joins_per_s: took.map(|took| tally.joined as f64 / took.as_secs_f64()),
            return_ms: Spread::of(&tally.returns),
            messages: Messages {
                sent,
                acknowledged,
                unanswered: sent.saturating_sub(acknowledged + refused.values().sum::<u64>()),
                refused,
                answer_ms: Spread::of(&answers),
            },
            latency_ms: Spread::of(&tally.latencies),
            items: Items {
                delivered: tally.items.delivered,
                declared: tally.items.declared,
                lost: tally.items.lost,
                repeated: tally.items.repeated,
                lanes_begun_anew: tally.epochs,
                per_s: tally.window_items as f64 / seconds,
            },
            reads_per_s: tally.window_reads as f64 / seconds / viewers,
            mbit_per_s: tally.window_bytes as f64 * 8e-6 / seconds / viewers,
            client,
            server: course
                .costs
                .map(|costs| Server::of(costs, seconds, viewers, tally.window_items)),
            errors: tally.errors.into_inner(),
        }
    }
}

impl Server {
    fn of(costs: Costs, seconds: f64, viewers: f64, items: u64) -> Self {
        let Costs {
            before,
            from,
            until,
            peak_kb,
        } = costs;
        let cpu = until.cpu.saturating_sub(from.cpu).as_secs_f64();
        let grown = from.resident_kb.saturating_sub(before.resident_kb);
        Self {
            cpu_share: cpu / seconds,
            cpu_s_per_million_items: (items > 0).then(|| cpu * 1e6 / items as f64),
            resident_kb_before: before.resident_kb,
            resident_kb_joined: from.resident_kb,
            resident_kb_peak: peak_kb,
            resident_kb_after: until.resident_kb,
            kb_per_viewer: grown as f64 / viewers,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (viewers, messages, items) = (&self.viewers, &self.messages, &self.items);
        write!(
            f,
            "{} of {} viewers joined; {} failed, {} lost",
            viewers.joined, viewers.asked, viewers.failed, viewers.lost
        )?;
        write!(f, "\njoin         {}", self.join_ms)?;
        if let Some(joins) = self.joins_per_s {
            write!(f, "; {joins:.0} a second")?;
        }
        if self.return_ms.count > 0 {
            write!(f, "\nreturn       {}", self.return_ms)?;
        }
        write!(
            f,
            "\nmessages     {} sent, {} acknowledged, {} unanswered; {}",
            messages.sent, messages.acknowledged, messages.unanswered, messages.answer_ms
        )?;
        for (code, count) in &messages.refused {
            write!(f, "\n             {count} refused: {code}")?;
        }
        write!(f, "\nlatency      {}", self.latency_ms)?;
        write!(
            f,
            "\nitems        {} delivered, {} declared, {} lost, {} repeated; {:.0} a second",
            items.delivered, items.declared, items.lost, items.repeated, items.per_s
        )?;
        write!(
            f,
            "\neach viewer  {:.3} Mbit/s in {:.1} reads a second",
            self.mbit_per_s, self.reads_per_s
        )?;
        write!(f, "{}", self.client)?;
        if let Some(server) = &self.server {
            write!(
                f,
                "\nserver       {:.1} % of a core",
                server.cpu_share * 100.0
            )?;
            if let Some(cost) = server.cpu_s_per_million_items {
                write!(f, ", {cost:.2} s for a million items")?;
            }
            write!(
                f,
                "; {:.2} kB per idle viewer, at most {:.1} MB in all",
                server.kb_per_viewer,
                server.resident_kb_peak as f64 / 1000.0
            )?;
        }
        for (error, count) in &self.errors {
            write!(f, "\n{count} × {error}")?;
        }
        Ok(())
    }
}
