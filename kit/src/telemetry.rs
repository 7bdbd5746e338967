//! Logs to standard error, metrics for Prometheus.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// Upper bounds, in seconds, of the buckets of every histogram whose name ends in `_seconds`.
const SECONDS_BUCKETS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// How the server writes its log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// What is written: `error`, `warn`, `info`, `debug`, `trace`, or a `tracing` filter such as
    /// `info,ingest=debug`.
    pub level: String,
    /// `text` for people, `json` for machines.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line of text.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info".into(),
            format: LogFormat::Text,
        }
    }
}

impl LogConfig {
    /// Reads the filter.
    ///
    /// # Errors
    /// When it is not one.
    pub fn filter(&self) -> anyhow::Result<EnvFilter> {
        // A word alone would be taken for the name of a module, and the log stay empty.
        let words = self.level.split(',').map(str::trim);
        let known = ["off", "error", "warn", "info", "debug", "trace"];
        for word in words.filter(|word| !word.contains(['=', '['])) {
            if !known.contains(&word.to_lowercase().as_str()) {
                bail!(
                    "log.level takes {}, or a filter such as info,ingest=debug, not {word:?}",
                    known.join(", ")
                );
            }
        }
        // A library that warns of each extension in a handshake that it has no use for.
        let level = format!("rtc_dtls=error,{}", self.level);
        EnvFilter::try_new(&level)
            .with_context(|| format!("log.level is not a log filter: {:?}", self.level))
    }

    /// Starts writing the log to standard error.
    ///
    /// # Errors
    /// When the filter is not one, or a log is being written already.
    pub fn init(&self) -> anyhow::Result<()> {
        let builder = tracing_subscriber::fmt()
            .with_env_filter(self.filter()?)
            .with_writer(std::io::stderr);
        match self.format {
            LogFormat::Text => builder.with_ansi(false).try_init(),
            LogFormat::Json => builder.json().flatten_event(true).try_init(),
        }
        .map_err(|error| anyhow::anyhow!("failed to start the log: {error}"))
    }
}

/// How many lines a peer-driven kind of event may write to the log in a row, and how long until
/// one more may be written.
const BUDGET_LINES: u32 = 200;
const BUDGET_REFILL: Duration = Duration::from_millis(100);

/// Bounds what strangers can make the log say. What is left out is counted and told with the next
/// line that is written.
#[derive(Debug)]
pub struct LogBudget(Mutex<Spent>);

#[derive(Debug)]
struct Spent {
    lines: u32,
    refilled_at: Option<Instant>,
    left_out: u64,
}

impl Default for LogBudget {
    fn default() -> Self {
        Self::new()
    }
}

impl LogBudget {
    /// A full one.
    pub const fn new() -> Self {
        Self(Mutex::new(Spent {
            lines: 0,
            refilled_at: None,
            left_out: 0,
        }))
    }

    /// Whether a line may be written now; gives how many were left out before it.
    pub fn take(&self, now: Instant) -> Option<u64> {
        let mut spent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *spent.refilled_at.get_or_insert(now);
        let refills = now.saturating_duration_since(since).as_millis() / BUDGET_REFILL.as_millis();
        let refills = u32::try_from(refills).unwrap_or(u32::MAX);
        if refills > 0 {
            spent.lines = spent.lines.saturating_sub(refills);
            spent.refilled_at = Some(now);
        }
        if spent.lines >= BUDGET_LINES {
            spent.left_out += 1;
            return None;
        }
        spent.lines += 1;
        Some(std::mem::take(&mut spent.left_out))
    }
}

/// The metrics of this process.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Starts counting, for the whole process.
    ///
    /// # Errors
    /// When this process counts already.
    pub fn install() -> anyhow::Result<Self> {
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS_BUCKETS)
            .context("the buckets of histograms are fixed and not empty")?
            .install_recorder()
            .context("failed to start the metrics")?;
        Ok(Self { handle })
    }

    /// Everything counted, in Prometheus' text format.
    pub fn render(&self) -> String {
        self.handle.run_upkeep();
        let mut text = self.handle.render();
        if let Some(bytes) = resident_bytes() {
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes {bytes}\n"
            );
        }
        text
    }

    /// Folds what histograms have gathered, so that they do not grow while nobody asks.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

/// Resident memory of this process, from `/proc` where there is one.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_lines_is_cut_and_counted() {
        let (budget, start) = (LogBudget::new(), Instant::now());
        let written = (0..1000).filter(|_| budget.take(start).is_some()).count();
        assert_eq!(written, BUDGET_LINES as usize);
        assert_eq!(budget.take(start + BUDGET_REFILL), Some(800));
        assert_eq!(budget.take(start + BUDGET_REFILL), None);
        let later = start + Duration::from_mins(1);
        assert_eq!(budget.take(later), Some(1));
        assert_eq!(budget.take(later), Some(0));
    }

    #[test]
    fn a_level_that_is_none_is_refused() {
        let config = |level: &str| LogConfig {
            level: level.into(),
            format: LogFormat::Text,
        };
        for good in [
            "info",
            "INFO,ingest=debug",
            "off",
            "hls[package]=trace,warn",
        ] {
            assert!(config(good).filter().is_ok(), "{good}");
        }
        for bad in ["lous", "info,loud", "", "loud=quiet=x"] {
            assert!(config(bad).filter().is_err(), "{bad}");
        }
    }
}
