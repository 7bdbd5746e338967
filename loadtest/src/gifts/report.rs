//! What came of gifts, for people and as JSON. The form of the JSON is described in `docs/loadtest.md`, and
//! changes only together with the name in `schema`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::Args;
use super::giver::Given;
use super::watcher::Seen;
use crate::times::{Spread, Times};
use crate::usage::Used;

/// What came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// What this is, and in which form.
    pub(crate) schema: &'static str,
    pub(crate) url: String,
    pub(crate) senders: u32,
    pub(crate) window_s: u64,
    pub(crate) sent: u64,
    pub(crate) given: u64,
    pub(crate) unanswered: u64,
    pub(crate) refused: BTreeMap<String, u64>,
    pub(crate) per_s: f64,
    /// From when it was to be sent to its sender's knowing.
    pub(crate) answer_ms: Spread,
    /// From when it was to be sent to another's seeing it.
    pub(crate) seen_ms: Spread,
    /// Given and not seen.
    pub(crate) lost: u64,
    /// Seen more than once.
    pub(crate) repeated: u64,
    /// Processors that the measured processes used in the window.
    pub(crate) server_cpu_share: Option<f64>,
}

impl Report {
    pub(crate) fn new(
        args: &Args,
        senders: u32,
        given: &Given,
        seen: &Seen,
        (before, after): (Used, Used),
    ) -> Self {
        let mut times = Times::default();
        let (mut lost, mut repeated) = (0, 0);
        for (seq, sent) in &given.seqs {
            match seen.get(seq) {
                Some((at, count)) => {
                    times.add_duration(at.saturating_duration_since(*sent));
                    repeated += count - 1;
                }
                None => lost += 1,
            }
        }
        let count = given.seqs.len() as u64;
        let refused: u64 = given.refused.values().sum();
        let seconds = args.duration as f64;
        let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64();
        Self {
            schema: "barrage-load/gifts/1",
            url: args.url.to_string(),
            senders,
            window_s: args.duration,
            sent: given.sent,
            given: count,
            unanswered: given.sent.saturating_sub(count + refused),
            refused: given.refused.clone(),
            per_s: count as f64 / seconds,
            answer_ms: Spread::of(&given.answers),
            seen_ms: Spread::of(&times),
            lost,
            repeated,
            server_cpu_share: (!args.server_pids.is_empty()).then_some(cpu / seconds),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sent,
            given,
            senders,
            per_s,
            unanswered,
            ..
        } = self;
        write!(
            f,
            "gifts        {given} of {sent} given by {senders}, {per_s:.0} a second"
        )?;
        if *unanswered > 0 {
            write!(f, ", {unanswered} without an answer")?;
        }
        write!(f, "\ntheir sender knows after {}", self.answer_ms)?;
        write!(f, "\nanother sees it after    {}", self.seen_ms)?;
        write!(
            f,
            "\n{} given and never seen, {} seen more than once",
            self.lost, self.repeated
        )?;
        if let Some(share) = self.server_cpu_share {
            write!(f, "\nserver       {:.1} % of a core", share * 100.0)?;
        }
        for (code, count) in &self.refused {
            write!(f, "\n{count} × {code}")?;
        }
        Ok(())
    }
}
