//! Stream keys: found by their HMAC, shown from their ciphertext, kept nowhere in clear.

use media::WallTime;
use sqlx::Row as _;
use uuid::Uuid;
use wire::{ChannelId, Handle};

use super::{Store, parse};

/// What a stream key opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOwner {
    /// Whose it is.
    pub channel: ChannelId,
    /// The channel's handle.
    pub handle: Handle,
    /// Whether a second publisher takes over.
    pub second_replaces: bool,
    /// Whether the key was revoked.
    pub revoked: bool,
}

impl Store {
    /// What the key found by `lookup` opens.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn key_owner(&self, lookup: &[u8; 32]) -> sqlx::Result<Option<KeyOwner>> {
        let row = sqlx::query(
            "SELECT channels.id, handle, second_publisher, revoked_at
             FROM stream_keys JOIN channels ON channels.id = stream_keys.channel
             WHERE lookup = $1",
        )
        .bind(lookup.as_slice())
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(KeyOwner {
            channel: parse(row.try_get("id")?)?,
            handle: parse(row.try_get("handle")?)?,
            second_replaces: row.try_get::<&str, _>("second_publisher")? == "replace",
            revoked: row.try_get::<Option<i64>, _>("revoked_at")?.is_some(),
        }))
    }

    /// The newest key of a channel that still opens it: its id, which is the sealing context, and
    /// its ciphertext.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sealed_key(&self, channel: ChannelId) -> sqlx::Result<Option<(String, Vec<u8>)>> {
        sqlx::query_as(
            "SELECT id, sealed FROM stream_keys
             WHERE channel = $1 AND revoked_at IS NULL ORDER BY id DESC LIMIT 1",
        )
        .bind(channel.to_string())
        .fetch_optional(&self.pool)
        .await
    }

    /// Says what happens to a second publisher on a channel.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_second_publisher(
        &self,
        channel: ChannelId,
        replaces: bool,
    ) -> sqlx::Result<()> {
        sqlx::query("UPDATE channels SET second_publisher = $1 WHERE id = $2")
            .bind(if replaces { "replace" } else { "refuse" })
            .bind(channel.to_string())
            .execute(&self.pool)
            .await
            .map(|_| ())
    }
}

/// Adds a key, within a transaction.
pub(crate) async fn insert(
    transaction: &mut sqlx::SqliteConnection,
    id: Uuid,
    channel: ChannelId,
    lookup: &[u8; 32],
    sealed: &[u8],
    now: WallTime,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO stream_keys (id, channel, lookup, sealed, created_at)
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(id.to_string())
    .bind(channel.to_string())
    .bind(lookup.as_slice())
    .bind(sealed)
    .bind(now.as_micros())
    .execute(transaction)
    .await
    .map(|_| ())
}
