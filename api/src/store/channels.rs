//! Channels.

use media::WallTime;
use sqlx::Row as _;
use wire::{ChannelId, Handle, UserId};

use super::{Store, parse};

/// A channel as the world sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its identity.
    pub id: ChannelId,
    /// Its name in addresses.
    pub handle: Handle,
    /// Its name for people, in any script.
    pub name: String,
    /// What is on.
    pub title: String,
}

impl Store {
    /// The channel of this handle.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn channel(&self, handle: &Handle) -> sqlx::Result<Option<Channel>> {
        let row = sqlx::query("SELECT id, handle, name, title FROM channels WHERE handle = $1")
            .bind(handle.as_str())
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// The channel that was made first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn first_channel(&self) -> sqlx::Result<Option<Channel>> {
        let row = sqlx::query("SELECT id, handle, name, title FROM channels ORDER BY id LIMIT 1")
            .fetch_optional(&self.pool)
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
        let mut query = sqlx::QueryBuilder::<sqlx::Sqlite>::new(
            "SELECT id, handle, name, title FROM channels WHERE id IN (",
        );
        let mut list = query.separated(", ");
        for id in ids {
            list.push_bind(id.to_string());
        }
        query.push(")");
        query
            .build()
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(read)
            .collect()
    }
}

fn read(row: &sqlx::sqlite::SqliteRow) -> sqlx::Result<Channel> {
    Ok(Channel {
        id: parse(row.try_get("id")?)?,
        handle: parse(row.try_get("handle")?)?,
        name: row.try_get("name")?,
        title: row.try_get("title")?,
    })
}

/// Adds a channel, within a transaction.
pub(crate) async fn insert(
    transaction: &mut sqlx::SqliteConnection,
    channel: &Channel,
    owner: UserId,
    now: WallTime,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO channels (id, owner, handle, name, title, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(channel.id.to_string())
    .bind(owner.to_string())
    .bind(channel.handle.as_str())
    .bind(&channel.name)
    .bind(&channel.title)
    .bind(now.as_micros())
    .execute(transaction)
    .await
    .map(|_| ())
}
