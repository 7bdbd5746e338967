//! All rows of the ledger, one by one, and back: from either engine to either, with the same numbers.

use anyhow::{Context as _, bail};
use gifts_core::Next;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::store::place::Place;
use crate::store::postgres::PgWriter;
use crate::store::sqlite::SqliteWriter;
use crate::store::{Snapshot, Store, TABLES, Table, Writer};

/// How many rows are put down at once, and how many bytes.
const ROWS_MAX: usize = 1_000;
const BYTES_MAX: usize = 1 << 20;

/// What the row is called that tells where the ledger ends.
const GATE: &str = "gate";

/// Takes a row of a table, in JSON.
pub type Sink<'a> = dyn FnMut(&'static str, Map<String, Value>) -> anyhow::Result<()> + Send + 'a;

/// The one row of its table.
#[derive(Clone, Copy, Debug, Deserialize, serde::Serialize)]
struct Gate {
    schema: i64,
    fence: i64,
    next_account: i64,
    next_transaction: i64,
    next_seq: i64,
}

impl Place {
    /// Gives each row of it to `sink`, as all were at one moment.
    ///
    /// # Errors
    /// When the database or `sink` fails.
    pub async fn back_up(&self, sink: &mut Sink<'_>) -> anyhow::Result<()> {
        match self {
            Self::Sqlite(store) => back_up(store, sink).await,
            Self::Postgres(store) => back_up(store, sink).await,
        }
    }

    /// Takes rows into it. It holds nothing yet, and whoever may have opened it can no longer write.
    ///
    /// # Errors
    /// When it holds something, or the database fails.
    pub async fn restore(&self) -> anyhow::Result<Restore> {
        Ok(match self {
            Self::Sqlite(store) => Restore::Sqlite(Restoring::begin(store).await?),
            Self::Postgres(store) => Restore::Postgres(Restoring::begin(store).await?),
        })
    }
}

async fn back_up<S: Store>(store: &S, sink: &mut Sink<'_>) -> anyhow::Result<()> {
    let mut snapshot = store.snapshot().await?;
    let next = snapshot.next().await?;
    let gate = Gate {
        schema: S::schema(),
        fence: snapshot.fence().await?,
        next_account: next.account,
        next_transaction: next.transaction,
        next_seq: next.seq,
    };
    let Value::Object(row) = serde_json::to_value(gate)? else {
        bail!("the gate is no row");
    };
    sink(GATE, row)?;
    for table in &TABLES {
        snapshot.rows(table, sink).await?;
    }
    Ok(())
}

/// A ledger that is filled with rows. Nothing is kept until it is finished.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is what it says")]
pub enum Restore {
    Sqlite(Restoring<SqliteWriter>),
    Postgres(Restoring<PgWriter>),
}

impl Restore {
    /// Takes the next row.
    ///
    /// # Errors
    /// When it is none of the ledger's, or the database does not take it.
    pub async fn row(&mut self, table: &str, row: Map<String, Value>) -> anyhow::Result<()> {
        match self {
            Self::Sqlite(restoring) => restoring.row(table, row).await,
            Self::Postgres(restoring) => restoring.row(table, row).await,
        }
    }

    /// Keeps all of it.
    ///
    /// # Errors
    /// When the database fails, or it was not told where the ledger ends.
    pub async fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Sqlite(restoring) => restoring.finish().await,
            Self::Postgres(restoring) => restoring.finish().await,
        }
    }
}

/// The same on one engine.
#[derive(Debug)]
pub struct Restoring<W> {
    writer: W,
    schema: i64,
    fence: i64,
    gate: Option<Gate>,
    table: Option<&'static Table>,
    /// What waits to be put down: rows, separated by commas.
    rows: String,
    count: usize,
}

impl<W: Writer> Restoring<W> {
    async fn begin<S: Store<Writer = W>>(store: &S) -> anyhow::Result<Self> {
        // Asked before anything is changed: somebody may be at work on it.
        if store.snapshot().await?.next().await? != Next::default() {
            bail!("the ledger holds something already; restore into an empty one");
        }
        let opened = store.open().await?;
        let mut writer = store.writer().await?;
        if writer.begin(opened.fence).await? != Next::default() {
            bail!("the ledger holds something already; restore into an empty one");
        }
        Ok(Self {
            writer,
            schema: S::schema(),
            fence: opened.fence,
            gate: None,
            table: None,
            rows: String::new(),
            count: 0,
        })
    }

    async fn row(&mut self, table: &str, row: Map<String, Value>) -> anyhow::Result<()> {
        if table == GATE {
            let gate: Gate = serde_json::from_value(row.into()).context("the gate is damaged")?;
            if gate.schema != self.schema {
                bail!(
                    "the ledger is of another release: restore it with that one, then start this"
                );
            }
            self.gate = Some(gate);
            return Ok(());
        }
        let found = TABLES.iter().find(|known| known.name == table);
        let found = found.with_context(|| format!("the ledger has no table {table:?}"))?;
        if self.table.is_some_and(|current| current.name != found.name) {
            self.flush().await?;
        }
        self.table = Some(found);
        if self.count > 0 {
            self.rows.push(',');
        }
        self.rows += &serde_json::to_string(&row)?;
        self.count += 1;
        if self.count >= ROWS_MAX || self.rows.len() >= BYTES_MAX {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        if let Some(table) = self.table.take() {
            let rows = format!("[{}]", std::mem::take(&mut self.rows));
            self.count = 0;
            let put = self.writer.put_rows(table, &rows).await;
            put.with_context(|| format!("rows of {} cannot be restored", table.name))?;
        }
        Ok(())
    }

    async fn finish(mut self) -> anyhow::Result<()> {
        self.flush().await?;
        let gate = self.gate.context("the ledger's end is missing")?;
        let next = Next {
            account: gate.next_account,
            transaction: gate.next_transaction,
            seq: gate.next_seq,
        };
        // Whoever wrote to the ledger that was backed up, or to this one, no longer can.
        let fence = self.fence.max(gate.fence) + 1;
        self.writer.put_gate(fence, next).await?;
        self.writer.commit().await?;
        Ok(())
    }
}
