//! Who follows which channel.

use media::WallTime;
use sqlx::Row as _;
use wire::{ChannelId, Handle, UserId};

use super::{Store, Transaction, count, parse};

/// How somebody stands to a channel, and how many follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Following {
    /// People who follow the channel.
    pub followers: i64,
    /// Whether this one does.
    pub follows: bool,
}

/// A channel that somebody follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The channel.
    pub channel: ChannelId,
    /// Its handle.
    pub handle: Handle,
    /// Its name for people.
    pub name: String,
    /// Since when.
    pub since: WallTime,
}

impl Store {
    /// How many follow a channel, and whether somebody does.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn following(
        &self,
        channel: ChannelId,
        who: Option<UserId>,
    ) -> sqlx::Result<Following> {
        let followers: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM follows WHERE channel = $1 AND left_at IS NULL",
        )
        .bind(channel.to_string())
        .fetch_one(self.pool())
        .await?;
        let mine = match who {
            None => None,
            Some(who) => sqlx::query(
                "SELECT at FROM follows WHERE channel = $1 AND follower = $2 AND left_at IS NULL",
            )
            .bind(channel.to_string())
            .bind(who.to_string())
            .fetch_optional(self.pool())
            .await?,
        };
        Ok(Following {
            followers,
            follows: mine.is_some(),
        })
    }

    /// The channels that somebody follows, the last first; at most [`FOLLOWS_MAX`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn followed_by(&self, who: UserId) -> sqlx::Result<Vec<Followed>> {
        let rows = sqlx::query(
            "SELECT channels.id, channels.handle, channels.name, follows.at
             FROM follows JOIN channels ON channels.id = follows.channel
             WHERE follows.follower = $1 AND follows.left_at IS NULL
             ORDER BY follows.at DESC, channels.id LIMIT $2",
        )
        .bind(who.to_string())
        .bind(FOLLOWS_MAX)
        .fetch_all(self.pool())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Followed {
                    channel: parse(row.try_get("id")?)?,
                    handle: parse(row.try_get("handle")?)?,
                    name: row.try_get("name")?,
                    since: WallTime::from_micros(row.try_get("at")?),
                })
            })
            .collect()
    }

    /// Ends that somebody follows a channel.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unfollow(
        &self,
        channel: ChannelId,
        who: UserId,
        now: WallTime,
    ) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE follows SET left_at = $1
             WHERE channel = $2 AND follower = $3 AND left_at IS NULL",
        )
        .bind(now.as_micros())
        .bind(channel.to_string())
        .bind(who.to_string())
        .execute(self.pool())
        .await
        .map(|_| ())
    }
}

/// Channels that one person follows.
pub const FOLLOWS_MAX: i64 = 1_000;

/// How many channels somebody follows.
pub(crate) async fn count_of(transaction: &mut Transaction, who: UserId) -> sqlx::Result<i64> {
    count(
        transaction,
        "SELECT COUNT(*) FROM follows WHERE follower = $1 AND left_at IS NULL",
        &who.to_string(),
    )
    .await
}

/// Has somebody follow a channel. Tells whether that is the first time.
pub(crate) async fn follow(
    transaction: &mut Transaction,
    channel: ChannelId,
    who: UserId,
    now: WallTime,
) -> sqlx::Result<bool> {
    let first = sqlx::query(
        "INSERT INTO follows (follower, channel, at) VALUES ($1, $2, $3)
         ON CONFLICT (follower, channel) DO NOTHING",
    )
    .bind(who.to_string())
    .bind(channel.to_string())
    .bind(now.as_micros())
    .execute(&mut **transaction)
    .await?;
    if first.rows_affected() == 1 {
        return Ok(true);
    }
    sqlx::query(
        "UPDATE follows SET at = $1, left_at = NULL
         WHERE channel = $2 AND follower = $3 AND left_at IS NOT NULL",
    )
    .bind(now.as_micros())
    .bind(channel.to_string())
    .bind(who.to_string())
    .execute(&mut **transaction)
    .await?;
    Ok(false)
}
