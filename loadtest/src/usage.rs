//! Processor time and memory, as the kernel tells them.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;

/// Above this share of its processor, a thread of viewers may be what was measured.
const CLIENT_BUSY: f64 = 0.9;

/// What a thread has had of its processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    /// How long it ran.
    pub(crate) ran: Duration,
    /// How long it could have run and had to wait for others.
    pub(crate) waited: Duration,
}

impl Turn {
    /// Of the calling thread; nothing where the kernel keeps no such account.
    pub(crate) fn of_this_thread() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/thread-self/schedstat").ok()?)
    }

    /// Documentation/scheduler/sched-stats.rst: nanoseconds run, nanoseconds waited, turns.
    fn parse(line: &str) -> Option<Self> {
        let mut numbers = line.split_ascii_whitespace().map(str::parse);
        Some(Self {
            ran: Duration::from_nanos(numbers.next()?.ok()?),
            waited: Duration::from_nanos(numbers.next()?.ok()?),
        })
    }

    pub(crate) const fn since(self, before: Self) -> Self {
        Self {
            ran: self.ran.saturating_sub(before.ran),
            waited: self.waited.saturating_sub(before.waited),
        }
    }
}

/// What this program itself took.
#[derive(Debug, Serialize)]
pub(crate) struct Client {
    pub(crate) threads: usize,
    /// Of one processor, the busiest thread.
    pub(crate) cpu_share: Option<f64>,
    /// How much of the time that thread waited for a processor.
    pub(crate) waiting_share: Option<f64>,
    pub(crate) was_the_limit: bool,
}

impl Client {
    /// What its threads had of a window, as far as that is known.
    pub(crate) fn of(turns: impl ExactSizeIterator<Item = Option<Turn>>, window: Duration) -> Self {
        let threads = turns.len();
        let shares = turns.flatten().map(|turn| {
            let share = |time: Duration| time.as_secs_f64() / window.as_secs_f64();
            (share(turn.ran), share(turn.waited))
        });
        let busiest = shares.max_by(|a, b| (a.0 + a.1).total_cmp(&(b.0 + b.1)));
        Self {
            threads,
            cpu_share: busiest.map(|(ran, _)| ran),
            waiting_share: busiest.map(|(_, waited)| waited),
            was_the_limit: busiest.is_some_and(|(ran, waited)| ran + waited > CLIENT_BUSY),
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(ran), Some(waited)) = (self.cpu_share, self.waiting_share) else {
            return Ok(());
        };
        let limit = if self.was_the_limit {
            ": the client was the limit"
        } else {
            ""
        };
        write!(
            f,
            "\nclient       busiest of {} threads at {:.0} % of a core, waiting {:.0} %{limit}",
            self.threads,
            ran * 100.0,
            waited * 100.0
        )
    }
}

/// What was measured of the server around the window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Costs {
    /// Before the first viewer came.
    pub(crate) before: Used,
    /// When the window began, and when it ended.
    pub(crate) from: Used,
    pub(crate) until: Used,
    /// Most memory within the window.
    pub(crate) peak_kb: u64,
}

/// Processes whose cost is measured.
#[derive(Clone, Debug)]
pub(crate) struct Processes(Vec<u32>);

/// What processes have used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    /// Processor time of all their threads that still are.
    pub(crate) cpu: Duration,
    /// Resident memory, in kB.
    pub(crate) resident_kb: u64,
}

impl Processes {
    pub(crate) const fn new(ids: Vec<u32>) -> Self {
        Self(ids)
    }

    pub(crate) fn used(&self) -> anyhow::Result<Used> {
        let mut used = Used::default();
        for id in &self.0 {
            let home = PathBuf::from(format!("/proc/{id}"));
            let threads = std::fs::read_dir(home.join("task"))
                .with_context(|| format!("there is no process {id} to measure"))?;
            for thread in threads {
                // A thread may end meanwhile.
                let line = std::fs::read_to_string(thread?.path().join("schedstat"));
                let turn = line.ok().as_deref().and_then(Turn::parse);
                used.cpu += turn.unwrap_or_default().ran;
            }
            let status = std::fs::read_to_string(home.join("status"))
                .with_context(|| format!("failed to read the memory of process {id}"))?;
            if has_ended(&status) {
                bail!("process {id}, which is to be measured, has ended");
            }
            used.resident_kb += resident_kb(&status).unwrap_or(0);
        }
        Ok(used)
    }
}

/// One that has ended stays in the list until its parent has heard of it.
fn has_ended(status: &str) -> bool {
    let state = status.lines().find_map(|line| line.strip_prefix("State:"));
    state.is_some_and(|state| state.trim_start().starts_with(['Z', 'X']))
}

fn resident_kb(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_this_thread_used_time() {
        let before = Turn::of_this_thread().unwrap();
        let mut sum = 0u64;
        while Turn::of_this_thread().unwrap().since(before).ran < Duration::from_millis(2) {
            sum = (0..1000).fold(sum, |sum, n| std::hint::black_box(sum ^ n));
        }
        let used = Processes::new(vec![std::process::id()]).used().unwrap();
        assert!(used.resident_kb > 500, "{used:?}");
        assert!(used.cpu >= Duration::from_millis(2), "{used:?}");
    }

    #[test]
    fn a_process_that_has_ended_costs_not_nothing() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let status = format!("/proc/{}/status", child.id());
        while !has_ended(&std::fs::read_to_string(&status).unwrap()) {
            std::thread::yield_now();
        }
        let processes = Processes::new(vec![child.id()]);
        let error = processes.used().unwrap_err().to_string();
        assert!(error.contains("has ended"), "{error}");
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let error = Processes::new(vec![u32::MAX]).used().unwrap_err();
        assert!(error.to_string().contains("4294967295"), "{error}");
    }
}
