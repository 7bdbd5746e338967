//! The durable lanes in the database.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write as _};
use std::ops::Range;
use std::str::FromStr;

use anyhow::Context as _;
use fanout::Position;
use kit::database::{Database, Engine, is_unwritten};
use sqlx::{Any, AssertSqlSafe, Row as _, Transaction};
use wire::{BroadcastId, ChannelId, UserId};

use crate::item::{Event, Item};
use crate::lane::{Lane, PerLane};

/// Rows that one statement inserts. There is one text for each number, so few numbers are used.
const ROWS: [usize; 3] = [128, 16, 1];

/// Values of a row.
const COLUMNS: usize = 10;

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
    /// By which its author can say it again without its being kept twice.
    pub key: Option<String>,
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
    /// They are not: another node writes to this room.
    #[error("another node writes to the room {0}")]
    Fenced(ChannelId),
    /// They are not: these of them stand there already, by their numbers in the ledger, with their places.
    #[error("some of it was kept before")]
    Known(HashMap<(ChannelId, u64), u64>),
}

/// Where the lanes of a room are.
#[derive(Clone, Copy, Debug)]
pub struct Opened {
    /// Their epoch, and the next offset of each.
    pub places: PerLane<Position>,
    /// With this its only writer writes to it. Who opened it before writes no more.
    pub fence: u64,
}

impl Store {
    /// On an open database whose schema is up to date.
    pub const fn new(database: Database) -> Self {
        Self { database }
    }

    /// Opens a room to write to it: whoever did before on a database server can no longer. A room that was never used, or
    /// whose tail is not `proven`, begins a new epoch, which `now_ms` gives.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_room(
        &self,
        channel: ChannelId,
        now_ms: i64,
        proven: bool,
    ) -> sqlx::Result<Opened> {
        // A file has this process alone: who may write is known, and it is opened on a full disk too.
        if self.database.engine == Engine::Sqlite && proven {
            let mut transaction = self.database.snapshot().await?;
            let known = sqlx::query("SELECT epoch, fence FROM rooms WHERE channel = $1")
                .bind(channel.to_string())
                .fetch_optional(&mut *transaction)
                .await?;
            if let Some(row) = known {
                let (epoch, fence): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
                return Ok(Opened {
                    places: tails(&mut transaction, channel, epoch).await?,
                    fence: fence.unsigned_abs(),
                });
            }
        }
        let mut transaction = self.database.begin().await?;
        // Waits for what the one before has on its way.
        let row = sqlx::query(
            "INSERT INTO rooms (channel, epoch, fence) VALUES ($1, $2, 1)
             ON CONFLICT (channel) DO UPDATE SET fence = rooms.fence + 1
             RETURNING epoch, fence",
        )
        .bind(channel.to_string())
        .bind(now_ms)
        .fetch_one(&mut *transaction)
        .await?;
        let (mut epoch, fence): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        if !proven {
            // The clock may have been set back.
            epoch = now_ms.max(epoch + 1);
            sqlx::query("UPDATE rooms SET epoch = $1 WHERE channel = $2")
                .bind(epoch)
                .bind(channel.to_string())
                .execute(&mut *transaction)
                .await?;
        }
        let places = tails(&mut transaction, channel, epoch).await?;
        transaction.commit().await?;
        Ok(Opened {
            places,
            fence: fence.unsigned_abs(),
        })
    }

    /// Where the lanes of a room are that another node has opened.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn look_at_room(
        &self,
        channel: ChannelId,
    ) -> sqlx::Result<Option<PerLane<Position>>> {
        let mut transaction = self.database.begin().await?;
        let epoch: Option<i64> = sqlx::query_scalar("SELECT epoch FROM rooms WHERE channel = $1")
            .bind(channel.to_string())
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(epoch) = epoch else {
            return Ok(None);
        };
        tails(&mut transaction, channel, epoch).await.map(Some)
    }

    /// Where the lanes of one epoch of a room end.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tails_of(
        &self,
        channel: ChannelId,
        epoch: u64,
    ) -> sqlx::Result<PerLane<Position>> {
        let mut transaction = self.database.begin().await?;
        tails(&mut transaction, channel, signed(epoch)).await
    }

    /// Waits for a turn to write.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin(&self) -> sqlx::Result<Transaction<'static, Any>> {
        self.database.begin().await
    }

    /// Whether something could be kept now: tries, and changes nothing.
    ///
    /// # Errors
    /// When it could not.
    pub async fn try_to_write(&self) -> sqlx::Result<()> {
        let mut transaction = self.database.begin().await?;
        sqlx::query(
            "UPDATE rooms SET fence = fence WHERE channel = (SELECT MIN(channel) FROM rooms)",
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await
    }

    /// Keeps items, all or none, if nobody else has opened one of their rooms since. A
    /// [`Event::Deleted`] also marks what it is about.
    ///
    /// # Errors
    /// When they are not kept, or nobody knows.
    pub async fn commit(
        mut transaction: Transaction<'static, Any>,
        rows: &[Row],
        fences: &BTreeMap<ChannelId, u64>,
    ) -> Result<(), CommitError> {
        // In one order, so that two nodes with rooms in common do not wait for each other.
        for (channel, fence) in fences {
            let holds = hold(&mut transaction, *channel, *fence).await;
            if !holds.map_err(CommitError::Failed)? {
                return Err(CommitError::Fenced(*channel));
            }
        }
        let known = known(&mut transaction, rows).await;
        let known = known.map_err(CommitError::Failed)?;
        if !known.is_empty() {
            return Err(CommitError::Known(known));
        }
        let kept = Self::insert(&mut transaction, rows).await;
        kept.map_err(CommitError::Failed)?;
        transaction.commit().await.map_err(|error| {
            if is_unwritten(&error) {
                CommitError::Failed(error)
            } else {
                CommitError::Unknown(error)
            }
        })
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
            if let (Some(author), Some(key)) = (row.author, &row.key) {
                remember_key(transaction, row, author, key).await?;
            }
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

    /// Where something stands that `author` has said in a room under this key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn said_under(
        &self,
        channel: ChannelId,
        author: UserId,
        key: &str,
    ) -> sqlx::Result<Option<u64>> {
        let row = sqlx::query(
            "SELECT place FROM room_keys WHERE channel = $1 AND author = $2 AND word = $3",
        )
        .bind(channel.to_string())
        .bind(author.to_string())
        .bind(key)
        .fetch_optional(&self.database.pool)
        .await?;
        let place: Option<i64> = row.map(|row| row.try_get(0)).transpose()?;
        Ok(place.map(i64::unsigned_abs))
    }

    /// Forgets the keys of before `at_ms`, in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_keys(&self, at_ms: i64) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM room_keys WHERE at < $1")
            .bind(micros(at_ms))
            .execute(&self.database.pool)
            .await
            .map(|_| ())
    }

    /// The danmaku of a channel's broadcast whose pictures are among these, in microseconds of
    /// MediaTime and in that order: at most `limit`, from the one after `after` on. What was deleted
    /// is left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn replay(
        &self,
        channel: ChannelId,
        broadcast: BroadcastId,
        pictures: Range<i64>,
        after: Option<Mark>,
        limit: u32,
    ) -> anyhow::Result<Replay> {
        let after = after.unwrap_or(Mark {
            media_time: i64::MIN,
            epoch: 0,
            place: 0,
        });
        let rows = sqlx::query(
            "SELECT place, at, event, media_time, epoch FROM room_items
             WHERE broadcast = $1 AND channel = $2 AND media_time >= $3 AND media_time < $4 AND seq IS NULL
               AND (media_time, epoch, place) > ($5, $6, $7) AND deleted_at IS NULL
             ORDER BY media_time, epoch, place LIMIT $8",
        )
        .bind(broadcast.to_string())
        .bind(channel.to_string())
        .bind(pictures.start)
        .bind(pictures.end)
        .bind(after.media_time)
        .bind(signed(after.epoch))
        .bind(signed(after.place))
        .bind(i64::from(limit))
        .fetch_all(&self.database.pool)
        .await?;
        let is_unwritten = rows.len() as u64 >= u64::from(limit);
        let last = rows
            .last()
            .filter(|_| is_unwritten)
            .map(Mark::of)
            .transpose()?;
        let items = rows.iter().map(|row| read(row, Lane::Chat));
        Ok(Replay {
            items: items.collect::<anyhow::Result<_>>()?,
            last,
        })
    }
}

/// Where the lanes of an epoch end.
async fn tails(
    transaction: &mut Transaction<'_, Any>,
    channel: ChannelId,
    epoch: i64,
) -> sqlx::Result<PerLane<Position>> {
    let mut places = PerLane::from_fn(|_| Position {
        epoch: epoch.unsigned_abs(),
        offset: 0,
    });
    let lanes = sqlx::query(
        "SELECT lane, MAX(place) FROM room_items WHERE channel = $1 AND epoch = $2 GROUP BY lane",
    )
    .bind(channel.to_string())
    .bind(epoch)
    .fetch_all(&mut **transaction)
    .await?;
    for row in lanes {
        if let Some(lane) = Lane::of_number(row.try_get(0)?) {
            let last: i64 = row.try_get(1)?;
            places.get_mut(lane).offset = last.unsigned_abs() + 1;
        }
    }
    Ok(places)
}

/// Keeps others from opening a room until the transaction ends, if it is held with this fencing
/// number.
async fn hold(
    transaction: &mut Transaction<'_, Any>,
    channel: ChannelId,
    fence: u64,
) -> sqlx::Result<bool> {
    let held = sqlx::query("UPDATE rooms SET fence = fence WHERE channel = $1 AND fence = $2")
        .bind(channel.to_string())
        .bind(signed(fence))
        .execute(&mut **transaction)
        .await?;
    Ok(held.rows_affected() == 1)
}

/// Danmaku of a broadcast.
#[derive(Clone, Debug)]
pub struct Replay {
    /// By their pictures.
    pub items: Vec<Item>,
    /// The last of them, if there may be more.
    pub last: Option<Mark>,
}

/// A danmaku among those of its broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    media_time: i64,
    epoch: u64,
    place: u64,
}

impl Mark {
    fn of(row: &sqlx::any::AnyRow) -> sqlx::Result<Self> {
        let (place, epoch): (i64, i64) = (row.try_get(0)?, row.try_get(4)?);
        Ok(Self {
            media_time: row.try_get(3)?,
            epoch: epoch.unsigned_abs(),
            place: place.unsigned_abs(),
        })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            media_time,
            epoch,
            place,
        } = self;
        write!(f, "{media_time}-{epoch}-{place}")
    }
}

impl FromStr for Mark {
    type Err = ParseMarkError;

    fn from_str(text: &str) -> Result<Self, ParseMarkError> {
        let mut parts = text.splitn(3, '-');
        let mut part = || {
            let part = parts.next().and_then(|part| part.parse::<u64>().ok());
            part.filter(|part| i64::try_from(*part).is_ok())
                .ok_or(ParseMarkError)
        };
        Ok(Self {
            media_time: part()?.cast_signed(),
            epoch: part()?,
            place: part()?,
        })
    }
}

/// The text names no danmaku.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what is given as the last one was never an answer of this server")]
pub struct ParseMarkError;

/// Those of these items that tell of an entry of the ledger of which the room has heard: whoever tells it
/// does so until it is known to have arrived.
async fn known(
    transaction: &mut Transaction<'_, Any>,
    rows: &[Row],
) -> sqlx::Result<HashMap<(ChannelId, u64), u64>> {
    let mut wanted: BTreeMap<(ChannelId, u64), Vec<u64>> = BTreeMap::new();
    for row in rows {
        if let Some(seq) = row.item.event.seq() {
            let seqs = wanted.entry((row.channel, row.epoch)).or_default();
            seqs.push(seq);
        }
    }
    let mut known = HashMap::new();
    for ((channel, epoch), seqs) in wanted {
        let list: Vec<_> = seqs.iter().map(ToString::to_string).collect();
        let text = format!(
            "SELECT seq, place FROM room_items WHERE channel = $1 AND epoch = $2 AND seq IN ({})",
            list.join(", ")
        );
        let found = sqlx::query(AssertSqlSafe(text))
            .persistent(false)
            .bind(channel.to_string())
            .bind(signed(epoch))
            .fetch_all(&mut **transaction)
            .await?;
        for row in found {
            let (seq, place): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            known.insert((channel, seq.unsigned_abs()), place.unsigned_abs());
        }
    }
    Ok(known)
}

async fn remember_key(
    transaction: &mut Transaction<'_, Any>,
    row: &Row,
    author: UserId,
    key: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO room_keys (channel, author, word, place, at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(row.channel.to_string())
    .bind(author.to_string())
    .bind(key)
    .bind(signed(row.item.offset))
    .bind(micros(row.item.at_ms))
    .execute(&mut **transaction)
    .await
    .map(|_| ())
}

async fn insert_some(transaction: &mut Transaction<'_, Any>, rows: &[Row]) -> sqlx::Result<()> {
    let mut text = String::from(
        "INSERT INTO room_items (channel, lane, epoch, place, at, author, broadcast, media_time, event, seq) VALUES ",
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
        key: _,
    } in rows
    {
        let (broadcast, media_time) = match &item.event {
            Event::Danmaku(danmaku) => (danmaku.b, danmaku.mt),
            Event::Gift(gift) => (gift.b, gift.mt),
            Event::Deleted { .. }
            | Event::Broadcast(_)
            | Event::Emotes
            | Event::Clock { .. }
            | Event::Count { .. }
            | Event::Joined { .. }
            | Event::Followed { .. }
            | Event::Shared { .. }
            | Event::Removed(_)
            | Event::TakenBack { .. }
            | Event::Gifting { .. }
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
            .bind(event)
            .bind(item.event.seq().map(signed));
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
