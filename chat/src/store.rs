//! The durable lanes in the database.

use std::fmt::Write as _;

use anyhow::Context as _;
use fanout::Position;
use kit::database::Database;
use sqlx::{Any, AssertSqlSafe, Row as _, Transaction};
use wire::{BroadcastId, ChannelId, UserId};

use crate::item::{Event, Item};
use crate::lane::{Lane, PerLane};

/// Rows that one statement inserts. There is one text for each number, so few numbers are used.
const ROWS: [usize; 3] = [128, 16, 1];

/// Values of a row.
const COLUMNS: usize = 9;

/// The durable lanes of all rooms.
#[derive(Clone, Debug)]
pub struct Store {
    database: Database,
}

/// An item that is to be kept.
#[derive(Clone, Debug)]
pub struct Row {
    /// In which room.
    pub channel: ChannelId,
    /// Which life of its lane.
    pub epoch: u64,
    /// What.
    pub item: Item,
    /// Whose.
    pub author: Option<UserId>,
}

/// Why items are not kept.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// They are not, and can be tried again.
    #[error("nothing was kept")]
    Failed(#[source] sqlx::Error),
    /// They may be kept or not.
    #[error("what was kept is not known")]
    Unknown(#[source] sqlx::Error),
}

impl Store {
    /// On an open database whose schema is up to date.
    pub const fn new(database: Database) -> Self {
        Self { database }
    }

    /// Where the lanes of a room are: their epoch, and the next offset of each. A room that was
    /// never used, or whose tail is not `proven`, begins a new epoch, which `now_ms` gives.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_room(
        &self,
        channel: ChannelId,
        now_ms: i64,
        proven: bool,
    ) -> sqlx::Result<PerLane<Position>> {
        let mut transaction = self.database.begin().await?;
        let known: Option<i64> = sqlx::query("SELECT epoch FROM rooms WHERE channel = $1")
            .bind(channel.to_string())
            .fetch_optional(&mut *transaction)
            .await?
            .map(|row| row.try_get(0))
            .transpose()?;
        let epoch = match known {
            Some(epoch) if proven => epoch,
            known => {
                // The clock may have been set back.
                let epoch = known.map_or(now_ms, |known| now_ms.max(known + 1));
                sqlx::query(
                    "INSERT INTO rooms (channel, epoch) VALUES ($1, $2)
                     ON CONFLICT (channel) DO UPDATE SET epoch = excluded.epoch",
                )
                .bind(channel.to_string())
                .bind(epoch)
                .execute(&mut *transaction)
                .await?;
                epoch
            }
        };
        let mut places = PerLane::from_fn(|_| Position {
            epoch: epoch.unsigned_abs(),
            offset: 0,
        });
        let lanes = sqlx::query(
            "SELECT lane, MAX(place) FROM room_items WHERE channel = $1 AND epoch = $2 GROUP BY lane",
        )
        .bind(channel.to_string())
        .bind(epoch)
        .fetch_all(&mut *transaction)
        .await?;
        for row in lanes {
            if let Some(lane) = Lane::of_number(row.try_get(0)?) {
                let last: i64 = row.try_get(1)?;
                places.get_mut(lane).offset = last.unsigned_abs() + 1;
            }
        }
        transaction.commit().await?;
        Ok(places)
    }

    /// Keeps items, all or none. A [`Event::Deleted`] also marks what it is about.
    ///
    /// # Errors
    /// When they are not kept, or nobody knows.
    pub async fn commit(&self, rows: &[Row]) -> Result<(), CommitError> {
        let mut transaction = self.database.begin().await.map_err(CommitError::Failed)?;
        let kept = Self::insert(&mut transaction, rows).await;
        kept.map_err(CommitError::Failed)?;
        transaction.commit().await.map_err(CommitError::Unknown)
    }

    async fn insert(transaction: &mut Transaction<'_, Any>, rows: &[Row]) -> sqlx::Result<()> {
        let mut left = rows;
        for count in ROWS {
            while left.len() >= count {
                let (now, later) = left.split_at(count);
                insert_some(transaction, now).await?;
                left = later;
            }
        }
        for row in rows {
            if let Event::Deleted { of } = row.item.event {
                sqlx::query(
                    "UPDATE room_items SET deleted_at = $1
                     WHERE channel = $2 AND lane = $3 AND epoch = $4 AND place = $5",
                )
                .bind(micros(row.item.at_ms))
                .bind(row.channel.to_string())
                .bind(i64::from(Lane::Chat.number()))
                .bind(signed(row.epoch))
                .bind(signed(of))
                .execute(&mut **transaction)
                .await?;
            }
        }
        Ok(())
    }

    /// The last `limit` items of a lane from `from` up to, not including, `to`, oldest first.
    /// What was deleted is left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn items(
        &self,
        channel: ChannelId,
        lane: Lane,
        from: Position,
        to: u64,
        limit: u32,
    ) -> anyhow::Result<Vec<Item>> {
        let rows = sqlx::query(
            "SELECT place, at, event FROM room_items
             WHERE channel = $1 AND lane = $2 AND epoch = $3 AND place >= $4 AND place < $5
               AND deleted_at IS NULL
             ORDER BY place DESC LIMIT $6",
        )
        .bind(channel.to_string())
        .bind(i64::from(lane.number()))
        .bind(signed(from.epoch))
        .bind(signed(from.offset))
        .bind(signed(to))
        .bind(i64::from(limit))
        .fetch_all(&self.database.pool)
        .await?;
        rows.iter().rev().map(|row| read(row, lane)).collect()
    }

    /// The danmaku of a broadcast whose picture is from `from` up to, not including, `to`, in
    /// microseconds of MediaTime and in that order, at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn replay(
        &self,
        broadcast: BroadcastId,
        from: i64,
        to: i64,
        limit: u32,
    ) -> anyhow::Result<Vec<Item>> {
        let rows = sqlx::query(
            "SELECT place, at, event FROM room_items
             WHERE broadcast = $1 AND media_time >= $2 AND media_time < $3 AND deleted_at IS NULL
             ORDER BY media_time, epoch, place LIMIT $4",
        )
        .bind(broadcast.to_string())
        .bind(from)
        .bind(to)
        .bind(i64::from(limit))
        .fetch_all(&self.database.pool)
        .await?;
        rows.iter().map(|row| read(row, Lane::Chat)).collect()
    }
}

async fn insert_some(transaction: &mut Transaction<'_, Any>, rows: &[Row]) -> sqlx::Result<()> {
    let mut text = String::from(
        "INSERT INTO room_items (channel, lane, epoch, place, at, author, broadcast, media_time, event) VALUES ",
    );
    for row in 0..rows.len() {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 1..=COLUMNS {
            let comma = if column == 1 { "" } else { ", " };
            // Writing into a text does not fail.
            let _ = write!(text, "{comma}${}", row * COLUMNS + column);
        }
        text.push(')');
    }
    let mut query = sqlx::query(AssertSqlSafe(text));
    for Row {
        channel,
        epoch,
        item,
        author,
    } in rows
    {
        let (broadcast, media_time) = match &item.event {
            Event::Danmaku(danmaku) => (danmaku.b, danmaku.mt),
            Event::Deleted { .. }
            | Event::Broadcast(_)
            | Event::Emotes
            | Event::Clock { .. }
            | Event::Count { .. }
            | Event::Degraded { .. } => (None, None),
        };
        let event = serde_json::to_string(&item.event).expect("events are plain data");
        query = query
            .bind(channel.to_string())
            .bind(i64::from(item.lane.number()))
            .bind(signed(*epoch))
            .bind(signed(item.offset))
            .bind(micros(item.at_ms))
            .bind(author.map(|author| author.to_string()))
            .bind(broadcast.map(|broadcast| broadcast.to_string()))
            .bind(media_time)
            .bind(event);
    }
    query.execute(&mut **transaction).await.map(|_| ())
}

fn read(row: &sqlx::any::AnyRow, lane: Lane) -> anyhow::Result<Item> {
    let (place, at): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let event: String = row.try_get(2)?;
    let event = serde_json::from_str(&event);
    Ok(Item {
        lane,
        offset: place.unsigned_abs(),
        at_ms: at / 1_000,
        event: event.with_context(|| format!("the event at {lane} {place} is damaged"))?,
    })
}

/// Offsets and epochs are far below the half of what 64 bits hold.
const fn signed(number: u64) -> i64 {
    number.cast_signed()
}

const fn micros(millis: i64) -> i64 {
    millis.saturating_mul(1_000)
}
