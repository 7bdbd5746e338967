//! Who moderates which channel.

use media::WallTime;
use sqlx::Row as _;
use wire::{ChannelId, Handle, UserId};

use super::{Store, Transaction, count, parse};

/// A moderator, or somebody who was asked to be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moderator {
    /// Their handle.
    pub handle: Handle,
    /// Their name for people; may be empty.
    pub name: String,
    /// When they were asked.
    pub invited_at: WallTime,
    /// When they accepted, if they did.
    pub accepted_at: Option<WallTime>,
}

/// A channel that somebody moderates, or was asked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// The channel's handle.
    pub channel: Handle,
    /// The channel's name for people.
    pub name: String,
    /// Whether they accepted.
    pub accepted: bool,
}

/// Asks a person to moderate a channel; nothing changes if they were asked before.
pub(crate) async fn invite(
    transaction: &mut Transaction,
    channel: ChannelId,
    member: UserId,
    now: WallTime,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO moderators (channel, member, invited_at) VALUES ($1, $2, $3)
         ON CONFLICT (channel, member) DO NOTHING",
    )
    .bind(channel.to_string())
    .bind(member.to_string())
    .bind(now.as_micros())
    .execute(&mut **transaction)
    .await
    .map(|_| ())
}

/// How many moderators and invitations a channel has.
pub(crate) async fn count_of(
    transaction: &mut Transaction,
    channel: ChannelId,
) -> sqlx::Result<i64> {
    count(
        transaction,
        "SELECT COUNT(*) FROM moderators WHERE channel = $1",
        &channel.to_string(),
    )
    .await
}

impl Store {
    /// The moderators of a channel and those who were asked, in the order they were.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn moderators(&self, channel: ChannelId) -> sqlx::Result<Vec<Moderator>> {
        let rows = sqlx::query(
            "SELECT handle, name, invited_at, accepted_at
             FROM moderators JOIN users ON users.id = moderators.member
             WHERE channel = $1 ORDER BY invited_at, handle",
        )
        .bind(channel.to_string())
        .fetch_all(self.pool())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Moderator {
                    handle: parse(row.try_get("handle")?)?,
                    name: row.try_get("name")?,
                    invited_at: WallTime::from_micros(row.try_get("invited_at")?),
                    accepted_at: row
                        .try_get::<Option<i64>, _>("accepted_at")?
                        .map(WallTime::from_micros),
                })
            })
            .collect()
    }

    /// The channels that a person moderates or was asked to.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn posts(&self, member: UserId) -> sqlx::Result<Vec<Post>> {
        let rows = sqlx::query(
            "SELECT handle, name, accepted_at
             FROM moderators JOIN channels ON channels.id = moderators.channel
             WHERE member = $1 ORDER BY handle",
        )
        .bind(member.to_string())
        .fetch_all(self.pool())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Post {
                    channel: parse(row.try_get("handle")?)?,
                    name: row.try_get("name")?,
                    accepted: row.try_get::<Option<i64>, _>("accepted_at")?.is_some(),
                })
            })
            .collect()
    }

    /// Whether a person moderates a channel.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn moderates(&self, member: UserId, channel: ChannelId) -> sqlx::Result<bool> {
        let row = sqlx::query(
            "SELECT member FROM moderators
             WHERE channel = $1 AND member = $2 AND accepted_at IS NOT NULL",
        )
        .bind(channel.to_string())
        .bind(member.to_string())
        .fetch_optional(self.pool())
        .await?;
        Ok(row.is_some())
    }

    /// Notes that a person accepted to moderate a channel. Tells whether they were asked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn accept_post(
        &self,
        member: UserId,
        channel: ChannelId,
        now: WallTime,
    ) -> sqlx::Result<bool> {
        sqlx::query(
            "UPDATE moderators SET accepted_at = COALESCE(accepted_at, $1)
             WHERE channel = $2 AND member = $3",
        )
        .bind(now.as_micros())
        .bind(channel.to_string())
        .bind(member.to_string())
        .execute(self.pool())
        .await
        .map(|done| done.rows_affected() > 0)
    }

    /// Ends a person's moderating of a channel, or takes back that they were asked. Tells whether
    /// there was anything to end.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_moderator(&self, channel: ChannelId, member: UserId) -> sqlx::Result<bool> {
        sqlx::query("DELETE FROM moderators WHERE channel = $1 AND member = $2")
            .bind(channel.to_string())
            .bind(member.to_string())
            .execute(self.pool())
            .await
            .map(|done| done.rows_affected() > 0)
    }
}
