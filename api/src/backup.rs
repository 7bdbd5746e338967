//! The whole database in one file, and back, from either engine to either: a first line that says
//! what it is, then a line of JSON for each row, then a last line that says how many there were.
//!
//! With it goes the server's key, without which stream keys cannot be shown or checked. So the file
//! is as secret as the data directory.

use std::io::{BufRead, Write};

use anyhow::{Context as _, bail};
use futures_util::TryStreamExt as _;
use kit::database::{Connection, Database};
use media::WallTime;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::any::AnyRow;
use sqlx::{Column as _, Row as _, TypeInfo as _, ValueRef as _};
use wire::hex;

use crate::MIGRATIONS;
use crate::secrets::ServerKey;

/// What the first line says the file is.
const FORMAT: &str = "barrage backup 1";

/// Longest line that is read back.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Every table, those that others refer to first, with the migration that made it.
const TABLES: [(&str, i64); 24] = [
    ("users", 1),
    ("sessions", 2),
    ("api_tokens", 2),
    ("recoveries", 2),
    ("channels", 1),
    ("former_handles", 2),
    ("moderators", 2),
    ("stream_keys", 1),
    ("broadcasts", 1),
    ("former_user_handles", 3),
    ("rooms", 4),
    ("room_items", 4),
    ("emotes", 5),
    ("webhooks", 6),
    ("webhook_deliveries", 6),
    ("room_keys", 7),
    ("follows", 9),
    ("gifts", 11),
    ("gift_claims", 11),
    ("agencies", 11),
    ("contracts", 11),
    ("money_notes", 11),
    ("top_ups", 12),
    ("provider_events", 12),
];

/// Something that has rows in a database of its own, which go into the same file.
pub trait Part {
    /// What the names of its tables begin with there.
    const PREFIX: &'static str;

    /// Gives each of its rows to `sink`, all as they were at one moment.
    fn write(&mut self, sink: &mut Sink<'_>) -> impl Future<Output = anyhow::Result<()>>;
    /// Takes a row. Nothing is kept yet.
    fn read(
        &mut self,
        table: &str,
        row: Map<String, Value>,
    ) -> impl Future<Output = anyhow::Result<()>>;
    /// Keeps what it took.
    fn finish(self) -> impl Future<Output = anyhow::Result<()>>;
}

/// Takes a row of a table.
pub type Sink<'a> = dyn FnMut(&'static str, Map<String, Value>) -> anyhow::Result<()> + Send + 'a;

#[derive(Serialize, Deserialize)]
struct Head {
    format: String,
    /// The last migration that the data went through.
    schema: i64,
    made_at: i64,
    server_key: String,
}

#[derive(Serialize, Deserialize)]
struct Line {
    table: String,
    row: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
struct Tail {
    rows: u64,
}

/// Writes everything, as it was at one moment, and `part` as it was at another; gives the number of rows.
///
/// # Errors
/// When a database or the file fails.
pub async fn write<P: Part>(
    database: &Database,
    part: &mut P,
    server_key: &ServerKey,
    out: &mut (impl Write + Send),
    now: WallTime,
) -> anyhow::Result<u64> {
    let mut snapshot = database.snapshot().await?;
    let head = Head {
        format: FORMAT.into(),
        schema: schema_of(&mut snapshot).await?,
        made_at: now.as_micros(),
        server_key: server_key.to_text(),
    };
    write_line(out, &head)?;
    let mut rows = 0;
    for (table, since) in TABLES {
        // A database that a later release has not been started on yet is backed up as it is.
        if since > head.schema {
            continue;
        }
        let all = sqlx::AssertSqlSafe(format!("SELECT * FROM {table}"));
        let mut stream = sqlx::query(all).fetch(&mut *snapshot);
        while let Some(row) = stream.try_next().await? {
            let line = Line {
                table: table.into(),
                row: to_json(&row)?,
            };
            write_line(out, &line)?;
            rows += 1;
        }
    }
    part.write(&mut |table, row| {
        let table = format!("{}{table}", P::PREFIX);
        rows += 1;
        write_line(out, &Line { table, row })
    })
    .await?;
    write_line(out, &Tail { rows })?;
    out.flush().context("failed to write the backup")?;
    Ok(rows)
}

fn write_line(out: &mut impl Write, line: &impl Serialize) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n").context("failed to write the backup")
}

async fn schema_of(connection: &mut Connection) -> anyhow::Result<i64> {
    let schema: i64 = sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations")
        .fetch_one(connection)
        .await
        .context("failed to read the release of the database")?;
    Ok(schema)
}

fn to_json(row: &AnyRow) -> anyhow::Result<Map<String, Value>> {
    let mut object = Map::new();
    for column in row.columns() {
        let raw = row.try_get_raw(column.ordinal())?;
        let value = if raw.is_null() {
            Value::Null
        } else {
            match raw.type_info().name() {
                "TEXT" => row.try_get::<String, _>(column.ordinal())?.into(),
                "BIGINT" | "INTEGER" | "SMALLINT" => {
                    row.try_get::<i64, _>(column.ordinal())?.into()
                }
                "BLOB" => {
                    let bytes: Vec<u8> = row.try_get(column.ordinal())?;
                    serde_json::json!({ "hex": hex::encode(&bytes) })
                }
                other => bail!("column {} has the type {other}", column.name()),
            }
        };
        object.insert(column.name().to_owned(), value);
    }
    Ok(object)
}

/// Reads a backup into a database that holds nothing yet, and brings it up to date; `part` takes the rows that
/// are its own. `save_key` is given the key of the server that it was made on, before the rows are kept. Gives their number.
///
/// # Errors
/// When the file is no whole backup, the database holds something, or it fails. Nothing is kept
/// then.
pub async fn read<P: Part>(
    database: &Database,
    mut part: P,
    input: &mut impl BufRead,
    save_key: impl FnOnce(&ServerKey) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let head = read_line(input)?.context("the file is empty")?;
    let head: Head = serde_json::from_str(&head).context("this is no backup of Barrage")?;
    if head.format != FORMAT {
        bail!(
            "this is no backup that this release can read: {:?}",
            head.format
        );
    }
    let server_key = ServerKey::from_text(&head.server_key)?;
    database.migrate_to(&MIGRATIONS, head.schema).await?;
    let mut transaction = database.begin().await?;
    let anybody = sqlx::query("SELECT id FROM users LIMIT 1")
        .fetch_optional(&mut *transaction)
        .await?;
    if anybody.is_some() {
        bail!("the database holds something already; restore into an empty one");
    }
    let mut rows = 0;
    loop {
        let line = read_line(input)?.context("the backup is cut off: its last line is missing")?;
        if let Ok(tail) = serde_json::from_str::<Tail>(&line) {
            if tail.rows != rows {
                bail!("the backup should hold {} rows and holds {rows}", tail.rows);
            }
            break;
        }
        let line: Line = serde_json::from_str(&line)
            .with_context(|| format!("line {} of the backup is damaged", rows + 2))?;
        if let Some(table) = line.table.strip_prefix(P::PREFIX) {
            part.read(table, line.row).await?;
            rows += 1;
            continue;
        }
        let Some((table, _)) = TABLES.into_iter().find(|(table, _)| *table == line.table) else {
            bail!(
                "the backup has a table that this release does not know: {:?}",
                line.table
            );
        };
        insert(&mut transaction, table, line.row).await?;
        rows += 1;
    }
    save_key(&server_key)?;
    transaction.commit().await?;
    part.finish().await?;
    database.migrate(&MIGRATIONS).await?;
    Ok(rows)
}

fn read_line(input: &mut impl BufRead) -> anyhow::Result<Option<String>> {
    let mut line = String::new();
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    std::io::Read::take(&mut *input, limit)
        .read_line(&mut line)
        .context("failed to read the backup")?;
    if line.is_empty() {
        return Ok(None);
    }
    if !line.ends_with('\n') {
        bail!("the backup is cut off: its last line is not whole");
    }
    Ok(Some(line))
}

async fn insert(
    connection: &mut Connection,
    table: &'static str,
    row: Map<String, Value>,
) -> anyhow::Result<()> {
    let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if let Some(name) = row.keys().find(|name| !is_name(name)) {
        bail!("the backup has a column that cannot be one: {name:?}");
    }
    // An absent value is left out: its column is empty by default.
    let columns: Vec<(String, Value)> = row.into_iter().filter(|(_, v)| !v.is_null()).collect();
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let places: Vec<String> = (1..=columns.len()).map(|n| format!("${n}")).collect();
    let sql = format!(
        "INSERT INTO {table} ({}) VALUES ({})",
        names.join(", "),
        places.join(", ")
    );
    let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
    for (name, value) in columns {
        query = match value {
            Value::String(text) => query.bind(text),
            Value::Number(number) => query.bind(
                number
                    .as_i64()
                    .with_context(|| format!("{table}.{name} is no whole number"))?,
            ),
            Value::Object(object) => query.bind(
                object
                    .get("hex")
                    .and_then(Value::as_str)
                    .and_then(hex::decode)
                    .with_context(|| format!("{table}.{name} is damaged"))?,
            ),
            Value::Null | Value::Bool(_) | Value::Array(_) => {
                bail!("{table}.{name} is damaged")
            }
        };
    }
    query
        .execute(connection)
        .await
        .with_context(|| format!("a row of {table} cannot be restored"))?;
    Ok(())
}
