//! What an operator does with the ledger on the server's machine, beside the running server or without it.

use std::io::{BufWriter, IsTerminal as _, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use api::backup;
use api::secrets::ServerKey;
use gifts::audit::{self, Verifying};
use gifts::backup::Restore;
use gifts::export::{Format, export};
use gifts::store::Store;
use gifts::store::place::Place;
use gifts_core::seal::SealKey;
use gifts_core::verify::Report;
use kit::clock;
use kit::database::Engine;
use serde_json::{Map, Value};
use wire::hex;

use crate::admin::create_empty;
use crate::config::Config;

/// How often a terminal is told how far it is.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// With what a server's ledger is sealed.
pub fn seal_key(server_key: &ServerKey) -> SealKey {
    SealKey::from_seed(&server_key.ledger_key())
}

/// The address of the database server that keeps the ledger, where one does.
pub fn postgres_url(config: &Config) -> Option<&str> {
    (config.database.engine() == Engine::Postgres).then_some(config.database.url.as_str())
}

/// Counts all of the ledger again, and tells on `out` what is there and what is not right. `trusted` is the key
/// that must have sealed it; without one it is this server's own, where its data directory has it.
///
/// # Errors
/// When something is found, there is no ledger, or its database fails.
pub async fn verify(
    config: &Config,
    trusted: Option<[u8; 32]>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let trusted = match trusted {
        Some(key) => Some(key),
        None => own_key(config)?,
    };
    let how = Verifying {
        now: clock::now().as_micros(),
        trusted,
    };
    let report = match find(config).await? {
        Place::Sqlite(store) => verify_store(&store, how).await?,
        Place::Postgres(store) => verify_store(&store, how).await?,
    };
    tell(&report, trusted, out).context("failed to write to standard output")?;
    if report.found > 0 {
        bail!("{} not right in the ledger", things(report.found));
    }
    Ok(())
}

/// Writes all of the ledger for other programs, to a new file or standard output.
///
/// # Errors
/// When there is no ledger, its database fails, or what is to be written to.
pub async fn write_out(config: &Config, format: Format, path: Option<&Path>) -> anyhow::Result<()> {
    let place = find(config).await?;
    let Some(path) = path else {
        let mut out = BufWriter::new(std::io::stdout());
        return export_place(&place, format, &mut out).await;
    };
    let mut out = BufWriter::new(create_empty(path)?);
    let written = export_place(&place, format, &mut out).await;
    if written.is_err() {
        // What is left of it would pass for the whole.
        let _ = std::fs::remove_file(path);
    }
    written
}

async fn export_place(
    place: &Place,
    format: Format,
    out: &mut (impl Write + Send),
) -> anyhow::Result<()> {
    match place {
        Place::Sqlite(store) => export(store, format, out).await,
        Place::Postgres(store) => export(store, format, out).await,
    }
}

async fn find(config: &Config) -> anyhow::Result<Place> {
    let place = Place::find(config.data_dir(), postgres_url(config)).await?;
    place.with_context(|| match config.database.engine() {
        Engine::Sqlite => format!("there is no ledger in {}", config.data_dir().display()),
        Engine::Postgres => "there is no ledger in the database".into(),
    })
}

/// The public half of this server's key, if it has one. None is made.
fn own_key(config: &Config) -> anyhow::Result<Option<[u8; 32]>> {
    let path = config.data_dir().join("server.key");
    if !path.exists() {
        return Ok(None);
    }
    let server_key = ServerKey::load_or_create(&path)?;
    Ok(Some(seal_key(&server_key).public()))
}

async fn verify_store(store: &impl Store, how: Verifying) -> anyhow::Result<Report> {
    let mut err = std::io::stderr();
    let is_shown = err.is_terminal();
    let mut shown_at = Instant::now();
    let report = audit::verify_with(store, how, |counted, all| {
        if is_shown && shown_at.elapsed() >= PROGRESS_EVERY {
            shown_at = Instant::now();
            // Whoever looks on may have gone.
            let _ = write!(err, "\r{counted} of {all} transactions");
        }
    })
    .await?;
    if is_shown {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    Ok(report)
}

fn tell(report: &Report, trusted: Option<[u8; 32]>, out: &mut impl Write) -> std::io::Result<()> {
    for finding in &report.findings {
        writeln!(out, "{finding}")?;
    }
    let listed = report.findings.len() as u64;
    if report.found > listed {
        writeln!(out, "and {} more", report.found - listed)?;
    }
    writeln!(
        out,
        "{} accounts, {} transactions with {} transfers: {}.",
        report.accounts,
        report.transactions,
        report.transfers,
        match report.found {
            0 => "all is right".into(),
            found => format!("{} not right", things(found)),
        }
    )?;
    match &report.head {
        None => writeln!(out, "Nothing is sealed yet.")?,
        Some(head) => writeln!(
            out,
            "{} links; the last is of transaction {}, {}, by the key {}{}. {} transactions came later.",
            report.links,
            head.last,
            hex::encode(&head.hash),
            hex::encode(&head.key),
            match trusted {
                Some(key) if key == head.key => ", which is trusted",
                Some(_) => ", which is not trusted",
                None => "",
            },
            report.unsealed,
        )?,
    }
    out.flush()
}

fn things(found: u64) -> String {
    if found == 1 {
        "1 thing is".into()
    } else {
        format!("{found} things are")
    }
}

/// The ledger, as a part of a backup. It is looked for, or made, when there is something to read or write.
pub(crate) struct Part<'a> {
    config: &'a Config,
    restore: Option<Restore>,
}

impl<'a> Part<'a> {
    pub(crate) const fn new(config: &'a Config) -> Self {
        Self {
            config,
            restore: None,
        }
    }
}

impl backup::Part for Part<'_> {
    const PREFIX: &'static str = "ledger.";

    async fn write(&mut self, sink: &mut backup::Sink<'_>) -> anyhow::Result<()> {
        let place = Place::find(self.config.data_dir(), postgres_url(self.config)).await?;
        match place {
            Some(place) => place.back_up(sink).await,
            None => Ok(()),
        }
    }

    async fn read(&mut self, table: &str, row: Map<String, Value>) -> anyhow::Result<()> {
        let restore = match &mut self.restore {
            Some(restore) => restore,
            None => {
                let place = Place::load(self.config.data_dir(), postgres_url(self.config)).await?;
                self.restore.insert(place.restore().await?)
            }
        };
        restore.row(table, row).await
    }

    async fn finish(self) -> anyhow::Result<()> {
        match self.restore {
            Some(restore) => restore.finish().await,
            None => Ok(()),
        }
    }
}
