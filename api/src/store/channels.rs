//! Channels.

use media::WallTime;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use wire::{ChannelId, Handle, UserId};

use super::{Store, Transaction, count, like, parse};

/// A channel as the world sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its identity.
    pub id: ChannelId,
    /// Whose it is.
    pub owner: UserId,
    /// Its name in addresses.
    pub handle: Handle,
    /// Its name for people, in any script.
    pub name: String,
    /// What is on.
    pub title: String,
    /// What kind of thing is on, in the streamer's words.
    pub category: String,
    /// What it can be found by.
    pub tags: Vec<String>,
    /// The language spoken, as BCP 47 writes it; empty if nobody said.
    pub language: String,
    /// Whether a second publisher takes over.
    pub second_replaces: bool,
    /// Whether its pictures are made anew for viewers who cannot have them as they are.
    pub transcodes: bool,
}

impl Channel {
    /// One that is new: nothing is on yet, and a second publisher is refused.
    pub fn new(owner: UserId, handle: Handle, name: String) -> Self {
        Self {
            id: ChannelId::new(),
            owner,
            handle,
            name,
            title: String::new(),
            category: String::new(),
            tags: Vec::new(),
            language: String::new(),
            second_replaces: false,
            transcodes: false,
        }
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, owner, handle, name, title, category, tags, language, second_publisher,
                    transcodes
             FROM channels ",
            $rest
        )
    };
}

fn read(row: &AnyRow) -> sqlx::Result<Channel> {
    let tags: &str = row.try_get("tags")?;
    Ok(Channel {
        id: parse(row.try_get("id")?)?,
        owner: parse(row.try_get("owner")?)?,
        handle: parse(row.try_get("handle")?)?,
        name: row.try_get("name")?,
        title: row.try_get("title")?,
        category: row.try_get("category")?,
        tags: serde_json::from_str(tags).map_err(|error| sqlx::Error::Decode(error.into()))?,
        language: row.try_get("language")?,
        second_replaces: row.try_get::<&str, _>("second_publisher")? == "replace",
        transcodes: row.try_get::<i64, _>("transcodes")? != 0,
    })
}

const fn rule(replaces: bool) -> &'static str {
    if replaces { "replace" } else { "refuse" }
}

fn tags_json(tags: &[String]) -> String {
    serde_json::to_string(tags).expect("texts are always JSON")
}

impl Store {
    /// The channel of this handle.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn channel(&self, handle: &Handle) -> sqlx::Result<Option<Channel>> {
        let row = sqlx::query(select!("WHERE handle = $1"))
            .bind(handle.as_str())
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// The channel that was made first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn first_channel(&self) -> sqlx::Result<Option<Channel>> {
        let row = sqlx::query(select!("ORDER BY id LIMIT 1"))
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// The channels of these identities, in no order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn channels_by_id(&self, ids: &[ChannelId]) -> sqlx::Result<Vec<Channel>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        // sqlx's own builder writes `?` for `Any`, which PostgreSQL does not take.
        let places: Vec<String> = (1..=ids.len()).map(|n| format!("${n}")).collect();
        let sql = format!(select!("WHERE id IN ({})"), places.join(", "));
        let query = ids
            .iter()
            .fold(sqlx::query(sqlx::AssertSqlSafe(sql)), |query, id| {
                query.bind(id.to_string())
            });
        let rows = query.fetch_all(self.pool()).await?;
        rows.iter().map(read).collect()
    }

    /// The channels of a person, in the order they were made.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn channels_of(&self, owner: UserId) -> sqlx::Result<Vec<Channel>> {
        let rows = sqlx::query(select!("WHERE owner = $1 ORDER BY id"))
            .bind(owner.to_string())
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(read).collect()
    }

    /// Channels whose handle, name or title contains `part`, in the order they were made, after
    /// `after`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn channels(
        &self,
        part: &str,
        after: Option<ChannelId>,
        limit: i64,
    ) -> sqlx::Result<Vec<Channel>> {
        let rows = sqlx::query(select!(
            "WHERE id > $1 AND (handle LIKE $2 ESCAPE '\\' OR lower(name) LIKE $2 ESCAPE '\\'
                                OR lower(title) LIKE $2 ESCAPE '\\')
             ORDER BY id LIMIT $3"
        ))
        .bind(after.map(|id| id.to_string()).unwrap_or_default())
        .bind(like(&part.to_lowercase()))
        .bind(limit)
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(read).collect()
    }

    /// Changes what people see of a channel, and its rules.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn update_channel(&self, channel: &Channel) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE channels SET name = $1, title = $2, category = $3, tags = $4, language = $5,
                                 second_publisher = $6, transcodes = $7 WHERE id = $8",
        )
        .bind(&channel.name)
        .bind(&channel.title)
        .bind(&channel.category)
        .bind(tags_json(&channel.tags))
        .bind(&channel.language)
        .bind(rule(channel.second_replaces))
        .bind(i64::from(channel.transcodes))
        .bind(channel.id.to_string())
        .execute(self.pool())
        .await
        .map(|_| ())
    }
}

/// Adds a channel.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    channel: &Channel,
    now: WallTime,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO channels (id, owner, handle, name, title, category, tags, language,
                               second_publisher, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(channel.id.to_string())
    .bind(channel.owner.to_string())
    .bind(channel.handle.as_str())
    .bind(&channel.name)
    .bind(&channel.title)
    .bind(&channel.category)
    .bind(tags_json(&channel.tags))
    .bind(&channel.language)
    .bind(rule(channel.second_replaces))
    .bind(now.as_micros())
    .execute(&mut **transaction)
    .await
    .map(|_| ())
}

/// How many channels a person has.
pub(crate) async fn count_of(transaction: &mut Transaction, owner: UserId) -> sqlx::Result<i64> {
    count(
        transaction,
        "SELECT COUNT(*) FROM channels WHERE owner = $1",
        &owner.to_string(),
    )
    .await
}
