//! What came of watching, for people and as JSON. The form of the JSON is described in
//! `docs/loadtest.md`, and changes only together with the name in `schema`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::row::Outcome as Row;
use super::tally::Tally;
use super::target::Protocol;
use crate::times::Spread;
use crate::usage::{Client, Costs};

/// What came of watching.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// What this is, and in which form.
    pub(crate) schema: &'static str,
    pub(crate) url: String,
    pub(crate) protocol: Protocol,
    pub(crate) viewers: Viewers,
    /// How long the window was in which everyone watched, in seconds.
    pub(crate) window_s: f64,
    pub(crate) join_ms: Spread,
    pub(crate) first_packet_ms: Spread,
    pub(crate) first_frame_age_ms: Spread,
    pub(crate) latency_ms: Spread,
    pub(crate) part_delay_ms: Spread,
    pub(crate) frames: Frames,
    pub(crate) packets: Packets,
    /// Per viewer within the window.
    pub(crate) mbit_per_s: f64,
    /// Per viewer within the window: nearly how often the server wrote.
    pub(crate) reads_per_s: f64,
    pub(crate) client: Client,
    pub(crate) server: Option<Server>,
    /// How often what went wrong.
    pub(crate) errors: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Viewers {
    pub(crate) asked: usize,
    pub(crate) joined: usize,
    pub(crate) failed: usize,
    pub(crate) lost: usize,
    pub(crate) starved: usize,
    pub(crate) stopped: usize,
    /// After how long the stopped ones were let go.
    pub(crate) stopped_dropped_ms: Spread,
}

#[derive(Debug, Serialize)]
pub(crate) struct Frames {
    pub(crate) received: u64,
    pub(crate) stamped: u64,
    pub(crate) missed: u64,
    pub(crate) repeated: u64,
    pub(crate) torn_starts: usize,
    pub(crate) pauses_over_500_ms: u64,
    pub(crate) parts_missed: u64,
    pub(crate) torn: u64,
}

/// Packets of pictures, WHEP alone.
#[derive(Debug, Serialize)]
pub(crate) struct Packets {
    pub(crate) missed: u64,
    pub(crate) repaired: u64,
}

/// What the measured processes took.
#[derive(Debug, Serialize)]
pub(crate) struct Server {
    /// Processors.
    pub(crate) cpu_share: f64,
    /// Microseconds of processor time for each read of a viewer.
    pub(crate) cpu_us_per_read: f64,
    /// Milliseconds of processor time in a second for a viewer who gets a megabit in it.
    pub(crate) cpu_ms_per_viewer_mbit: f64,
    pub(crate) resident_kb_before: u64,
    /// When everybody had come.
    pub(crate) resident_kb_joined: u64,
    pub(crate) resident_kb_peak: u64,
    pub(crate) resident_kb_after: u64,
    pub(crate) kb_per_viewer: f64,
}

impl Server {
    fn of(costs: Costs, window: Duration, viewers: usize, mbit_per_s: f64, reads: u64) -> Self {
        let Costs {
            before,
            from,
            until,
            peak_kb,
        } = costs;
        let cpu_share = until.cpu.saturating_sub(from.cpu).as_secs_f64() / window.as_secs_f64();
        let grown = until.resident_kb.saturating_sub(before.resident_kb);
        Self {
            cpu_share,
            cpu_us_per_read: cpu_share * window.as_secs_f64() * 1e6 / reads.max(1) as f64,
            cpu_ms_per_viewer_mbit: cpu_share * 1000.0 / (viewers as f64 * mbit_per_s),
            resident_kb_before: before.resident_kb,
            resident_kb_joined: from.resident_kb,
            resident_kb_peak: peak_kb,
            resident_kb_after: until.resident_kb,
            kb_per_viewer: grown as f64 / viewers as f64,
        }
    }
}

impl Report {
    pub(crate) fn new(
        url: String,
        protocol: Protocol,
        asked: usize,
        stopped: usize,
        window: Duration,
        rows: Vec<Row>,
        costs: Option<Costs>,
    ) -> Self {
        let client = Client::of(rows.iter().map(|row| row.turn), window);
        let mut tally = Tally::default();
        for row in rows {
            tally.merge(row.tally);
        }
        // Those who stopped get nothing and hold what they were sent.
        let watching = tally.joined.saturating_sub(stopped).max(1);
        let per_second = 1.0 / (window.as_secs_f64() * watching as f64);
        let mbit_per_s = tally.window_bytes as f64 * 8e-6 * per_second;
        Self {
            schema: "barrage-load/watch/1",
            url,
            protocol,
            window_s: window.as_secs_f64(),
            join_ms: Spread::of(&tally.joins),
            first_packet_ms: Spread::of(&tally.first_packets),
            first_frame_age_ms: Spread::of(&tally.first_ages),
            latency_ms: Spread::of(&tally.latencies),
            part_delay_ms: Spread::of(&tally.part_delays),
            mbit_per_s,
            reads_per_s: tally.window_reads as f64 * per_second,
            client,
            server: costs
                .map(|costs| Server::of(costs, window, watching, mbit_per_s, tally.window_reads)),
            viewers: Viewers {
                asked,
                joined: tally.joined,
                failed: tally.failed,
                lost: tally.lost,
                starved: tally.starved,
                stopped,
                stopped_dropped_ms: Spread::of(&tally.stopped_dropped),
            },
            frames: Frames {
                received: tally.frames,
                stamped: tally.frames_stamped,
                missed: tally.frames_missed,
                repeated: tally.frames_repeated,
                torn_starts: tally.torn_starts,
                pauses_over_500_ms: tally.pauses,
                parts_missed: tally.parts_missed,
                torn: tally.frames_torn,
            },
            packets: Packets {
                missed: tally.packets_missed,
                repaired: tally.packets_repaired,
            },
            errors: tally.errors.into_inner(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (viewers, frames) = (&self.viewers, &self.frames);
        writeln!(
            f,
            "{} of {} viewers joined; {} failed, {} lost, {} starved",
            viewers.joined, viewers.asked, viewers.failed, viewers.lost, viewers.starved
        )?;
        writeln!(f, "join         {}", self.join_ms)?;
        if frames.stamped > 0 {
            writeln!(f, "first frame  {} old", self.first_frame_age_ms)?;
            writeln!(f, "latency      {}", self.latency_ms)?;
        } else {
            writeln!(
                f,
                "latency      unknown: the stream has no stamps of barrage-load publish"
            )?;
        }
        if self.part_delay_ms.count > 0 {
            writeln!(f, "part delay   {}", self.part_delay_ms)?;
        }
        writeln!(
            f,
            "frames       {} received, {} missed, {} repeated, {} pauses over 500 ms, {} torn starts",
            frames.received,
            frames.missed,
            frames.repeated,
            frames.pauses_over_500_ms,
            frames.torn_starts
        )?;
        let packets = &self.packets;
        if self.first_packet_ms.count > 0 {
            writeln!(f, "first packet {} after asking", self.first_packet_ms)?;
            writeln!(
                f,
                "packets      {} came when asked for again, {} did not; {} torn pictures",
                packets.repaired, packets.missed, frames.torn
            )?;
        }
        if frames.parts_missed > 0 {
            writeln!(f, "parts        {} missed", frames.parts_missed)?;
        }
        if viewers.stopped > 0 {
            writeln!(
                f,
                "stopped      {} of {} let go: {}",
                viewers.stopped_dropped_ms.count, viewers.stopped, viewers.stopped_dropped_ms
            )?;
        }
        write!(
            f,
            "each viewer  {:.2} Mbit/s in {:.0} reads a second",
            self.mbit_per_s, self.reads_per_s
        )?;
        write!(f, "{}", self.client)?;
        if let Some(server) = &self.server {
            write!(
                f,
                "\nserver       {:.1} % of a core, {:.2} us per read, {:.3} ms per s, viewer and Mbit/s; \
                 {:.1} kB per viewer, {:.1} MB in all",
                server.cpu_share * 100.0,
                server.cpu_us_per_read,
                server.cpu_ms_per_viewer_mbit,
                server.kb_per_viewer,
                server.resident_kb_after as f64 / 1000.0
            )?;
        }
        for (error, count) in &self.errors {
            write!(f, "\n{count} × {error}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::{Turn, Used};

    const WINDOW: Duration = Duration::from_secs(10);

    fn report(ran: Duration) -> Report {
        let mut row = Row {
            turn: Some(Turn {
                ran,
                waited: Duration::from_secs(1),
            }),
            ..Row::default()
        };
        row.tally.joined = 10;
        row.tally.window_bytes = 25_000_000;
        row.tally
            .errors
            .add(&anyhow::anyhow!("the server answered 503"));
        let used = |cpu_ms, resident_kb| Used {
            cpu: Duration::from_millis(cpu_ms),
            resident_kb,
        };
        Report::new(
            "http://x/live/a.flv".to_owned(),
            Protocol::Flv,
            11,
            0,
            WINDOW,
            vec![row],
            Some(Costs {
                before: used(0, 1000),
                from: used(500, 1100),
                until: used(1500, 1120),
                peak_kb: 1130,
            }),
        )
    }

    /// The paths of everything in a JSON value.
    fn paths(value: &serde_json::Value, path: &str, all: &mut Vec<String>) {
        let Some(fields) = value.as_object().filter(|_| path != "errors") else {
            all.push(path.to_owned());
            return;
        };
        for (name, value) in fields {
            let dot = if path.is_empty() { "" } else { "." };
            paths(value, &format!("{path}{dot}{name}"), all);
        }
    }

    #[test]
    fn each_field_is_described() {
        let page = include_str!("../../../docs/loadtest.md");
        let report = serde_json::to_value(report(WINDOW)).unwrap();
        let mut all = Vec::new();
        paths(&report, "", &mut all);
        for path in all {
            let spread = [".count", ".p50", ".p90", ".p99", ".max"];
            let described = spread.iter().find_map(|end| path.strip_suffix(end));
            let name = format!("| `{}` |", described.unwrap_or(&path));
            assert!(page.contains(&name), "docs/loadtest.md lacks {name}");
        }
    }

    #[test]
    fn a_client_without_time_to_spare_is_told() {
        assert!(!report(WINDOW * 7 / 10).client.was_the_limit);
        let busy = report(WINDOW * 85 / 100);
        assert!(busy.client.was_the_limit);
        assert!(busy.to_string().contains("the client was the limit"));
    }

    #[test]
    fn costs_are_per_viewer_and_bit() {
        let server = report(WINDOW).server.unwrap();
        // 10 viewers with 2 Mbit/s each, a tenth of a core.
        assert!(
            (server.cpu_ms_per_viewer_mbit - 5.0).abs() < 1e-9,
            "{server:?}"
        );
        assert!((server.kb_per_viewer - 12.0).abs() < 1e-9, "{server:?}");
    }
}
