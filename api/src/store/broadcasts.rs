//! Broadcasts, past and present.

use media::WallTime;
use wire::{BroadcastId, ChannelId};

use super::Store;

impl Store {
    /// Notes that a broadcast began.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn broadcast_began(
        &self,
        id: BroadcastId,
        channel: ChannelId,
        at: WallTime,
    ) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO broadcasts (id, channel, began_at) VALUES ($1, $2, $3)
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(id.to_string())
        .bind(channel.to_string())
        .bind(at.as_micros())
        .execute(&self.pool)
        .await
        .map(|_| ())
    }

    /// Notes that a broadcast ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn broadcast_ended(&self, id: BroadcastId, at: WallTime) -> sqlx::Result<()> {
        sqlx::query("UPDATE broadcasts SET ended_at = $1 WHERE id = $2 AND ended_at IS NULL")
            .bind(at.as_micros())
            .bind(id.to_string())
            .execute(&self.pool)
            .await
            .map(|_| ())
    }

    /// Closes what a server that was killed left open; gives how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn close_open_broadcasts(&self, at: WallTime) -> sqlx::Result<u64> {
        sqlx::query("UPDATE broadcasts SET ended_at = $1 WHERE ended_at IS NULL")
            .bind(at.as_micros())
            .execute(&self.pool)
            .await
            .map(|done| done.rows_affected())
    }

    /// When a channel's last finished broadcast ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_live_at(&self, channel: ChannelId) -> sqlx::Result<Option<WallTime>> {
        let at: Option<i64> =
            sqlx::query_scalar("SELECT MAX(ended_at) FROM broadcasts WHERE channel = $1")
                .bind(channel.to_string())
                .fetch_one(&self.pool)
                .await?;
        Ok(at.map(WallTime::from_micros))
    }
}
