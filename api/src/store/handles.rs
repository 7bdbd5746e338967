//! Who has which handle. People and channels share one space of handles, so that nobody can pass
//! for another, and a channel's former handle stays its own for a while.

use std::time::Duration;

use media::WallTime;
use sqlx::Row as _;
use wire::{ChannelId, Handle, UserId};

use super::{Store, Transaction, parse};

/// How long a former handle cannot be taken by others.
pub const KEPT_FOR: Duration = Duration::from_hours(90 * 24);

/// How often a channel may be renamed within [`KEPT_FOR`].
pub const RENAMES_MAX: i64 = 5;

/// Whether somebody else than `me` has `handle`, or had it lately.
pub(crate) async fn is_taken(
    transaction: &mut Transaction,
    handle: &Handle,
    me: Option<UserId>,
    now: WallTime,
) -> sqlx::Result<bool> {
    let me = me.map(|id| id.to_string()).unwrap_or_default();
    let kept_since = (now - KEPT_FOR).as_micros();
    let row = sqlx::query(
        "SELECT 1 AS taken FROM users WHERE handle = $1 AND id <> $2
         UNION ALL SELECT 1 FROM channels WHERE handle = $1 AND owner <> $2
         UNION ALL SELECT 1 FROM former_handles JOIN channels ON channels.id = former_handles.channel
                   WHERE former_handles.handle = $1 AND owner <> $2 AND renamed_at > $3
         UNION ALL SELECT 1 FROM former_user_handles
                   WHERE handle = $1 AND owner <> $2 AND renamed_at > $3
         LIMIT 1",
    )
    .bind(handle.as_str())
    .bind(me)
    .bind(kept_since)
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(row.is_some())
}

/// Gives a channel another handle; the one it had redirects from now on.
pub(crate) async fn rename_channel(
    transaction: &mut Transaction,
    channel: ChannelId,
    from: &Handle,
    to: &Handle,
    now: WallTime,
) -> sqlx::Result<()> {
    // What is taken up again, or taken over after its time, no longer redirects.
    sqlx::query("DELETE FROM former_handles WHERE handle = $1")
        .bind(to.as_str())
        .execute(&mut **transaction)
        .await?;
    sqlx::query("UPDATE channels SET handle = $1 WHERE id = $2")
        .bind(to.as_str())
        .bind(channel.to_string())
        .execute(&mut **transaction)
        .await?;
    sqlx::query("INSERT INTO former_handles (handle, channel, renamed_at) VALUES ($1, $2, $3)")
        .bind(from.as_str())
        .bind(channel.to_string())
        .bind(now.as_micros())
        .execute(&mut **transaction)
        .await
        .map(|_| ())
}

/// How often a person was renamed lately.
pub(crate) async fn renames_of_user(
    transaction: &mut Transaction,
    user: UserId,
    now: WallTime,
) -> sqlx::Result<i64> {
    sqlx::query("SELECT COUNT(*) FROM former_user_handles WHERE owner = $1 AND renamed_at > $2")
        .bind(user.to_string())
        .bind((now - KEPT_FOR).as_micros())
        .fetch_one(&mut **transaction)
        .await?
        .try_get(0)
}

/// How often a channel was renamed lately.
pub(crate) async fn renames(
    transaction: &mut Transaction,
    channel: ChannelId,
    now: WallTime,
) -> sqlx::Result<i64> {
    sqlx::query("SELECT COUNT(*) FROM former_handles WHERE channel = $1 AND renamed_at > $2")
        .bind(channel.to_string())
        .bind((now - KEPT_FOR).as_micros())
        .fetch_one(&mut **transaction)
        .await?
        .try_get(0)
}

/// Where the channel of a handle is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// It has this handle.
    Here,
    /// It had it, and has this one now.
    Moved(Handle),
    /// There is none.
    Nowhere,
}

impl Store {
    /// Where the channel of `handle` is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn whereabouts(&self, handle: &Handle) -> sqlx::Result<Whereabouts> {
        let here = sqlx::query("SELECT 1 FROM channels WHERE handle = $1")
            .bind(handle.as_str())
            .fetch_optional(self.pool());
        if here.await?.is_some() {
            return Ok(Whereabouts::Here);
        }
        let moved = self.renamed(handle).await?;
        Ok(moved.map_or(Whereabouts::Nowhere, Whereabouts::Moved))
    }

    /// What the channel that was called `handle` is called now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn renamed(&self, handle: &Handle) -> sqlx::Result<Option<Handle>> {
        let row = sqlx::query(
            "SELECT channels.handle AS handle FROM former_handles
             JOIN channels ON channels.id = former_handles.channel
             WHERE former_handles.handle = $1
                   AND NOT EXISTS (SELECT 1 FROM channels WHERE handle = $1)",
        )
        .bind(handle.as_str())
        .fetch_optional(self.pool())
        .await?;
        row.map(|row| parse(row.try_get("handle")?)).transpose()
    }
}
