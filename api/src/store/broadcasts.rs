//! Broadcasts, past and present.

use media::{MediaTime, WallTime};
use sqlx::Row as _;
use wire::{BroadcastId, ChannelId, Ended, Handle, NodeId};

use super::{Store, parse};

/// A broadcast, as the history tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastBroadcast {
    /// Its identity.
    pub id: BroadcastId,
    /// What was on.
    pub title: String,
    /// What kind of thing was on.
    pub category: String,
    /// When it began.
    pub began_at: WallTime,
    /// When it ended, if it did.
    pub ended_at: Option<WallTime>,
    /// How it came to its end, as [`Ended`] names it.
    pub ended_how: Option<String>,
    /// Why somebody ended it from outside, in their words.
    pub end_reason: Option<String>,
}

/// A broadcast that has not ended, as a server left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenBroadcast {
    /// Its identity.
    pub id: BroadcastId,
    /// Whose it is.
    pub channel: ChannelId,
    /// What that is called now.
    pub handle: Handle,
    /// When it began.
    pub began_at: WallTime,
    /// When it was last seen to go on.
    pub seen_at: WallTime,
    /// How far its media went then.
    pub edge: MediaTime,
}

impl Store {
    /// Notes that a broadcast began on a node, under what its channel is called now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn broadcast_began(
        &self,
        id: BroadcastId,
        channel: ChannelId,
        at: WallTime,
        node: NodeId,
    ) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO broadcasts (id, channel, began_at, title, category, node)
             SELECT $1, id, $2, title, category, $3 FROM channels WHERE id = $4
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(id.to_string())
        .bind(at.as_micros())
        .bind(node.to_string())
        .bind(channel.to_string())
        .execute(self.pool())
        .await
        .map(|_| ())
    }

    /// Notes that a broadcast ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn broadcast_ended(
        &self,
        id: BroadcastId,
        at: WallTime,
        how: Ended,
    ) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE broadcasts SET ended_at = $1, ended_how = $2
             WHERE id = $3 AND ended_at IS NULL",
        )
        .bind(at.as_micros())
        .bind(how.as_str())
        .bind(id.to_string())
        .execute(self.pool())
        .await
        .map(|_| ())
    }

    /// Notes why somebody ended a broadcast from outside.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_end_reason(&self, id: BroadcastId, reason: &str) -> sqlx::Result<()> {
        sqlx::query("UPDATE broadcasts SET end_reason = $1 WHERE id = $2")
            .bind(reason)
            .bind(id.to_string())
            .execute(self.pool())
            .await
            .map(|_| ())
    }

    /// Says what is on in a channel's open broadcast.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn retitle_open_broadcast(
        &self,
        channel: ChannelId,
        title: &str,
        category: &str,
    ) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE broadcasts SET title = $1, category = $2
             WHERE channel = $3 AND ended_at IS NULL",
        )
        .bind(title)
        .bind(category)
        .bind(channel.to_string())
        .execute(self.pool())
        .await
        .map(|_| ())
    }

    /// Notes that broadcasts go on, and how far the media of each goes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn broadcasts_go_on(
        &self,
        at: WallTime,
        edges: &[(BroadcastId, MediaTime)],
    ) -> sqlx::Result<()> {
        let mut transaction = self.pool().begin().await?;
        for (id, edge) in edges {
            sqlx::query(
                "UPDATE broadcasts SET seen_at = $1, edge = $2
                 WHERE id = $3 AND ended_at IS NULL",
            )
            .bind(at.as_micros())
            .bind(edge.as_micros())
            .bind(id.to_string())
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await
    }

    /// Broadcasts that have not ended, newest first: all, or those of a node.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_broadcasts(&self, of: Option<NodeId>) -> sqlx::Result<Vec<OpenBroadcast>> {
        let rows = sqlx::query(
            "SELECT broadcasts.id, broadcasts.channel, channels.handle, began_at,
                    COALESCE(seen_at, began_at) AS seen_at, edge
             FROM broadcasts JOIN channels ON channels.id = broadcasts.channel
             WHERE ended_at IS NULL AND ($1 = '' OR node = $1) ORDER BY broadcasts.id DESC",
        )
        .bind(of.map(|node| node.to_string()).unwrap_or_default())
        .fetch_all(self.pool())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(OpenBroadcast {
                    id: parse(row.try_get("id")?)?,
                    channel: parse(row.try_get("channel")?)?,
                    handle: parse(row.try_get("handle")?)?,
                    began_at: WallTime::from_micros(row.try_get("began_at")?),
                    seen_at: WallTime::from_micros(row.try_get("seen_at")?),
                    edge: MediaTime::from_micros(row.try_get("edge")?),
                })
            })
            .collect()
    }

    /// Ends those broadcasts of other nodes that have not been seen to go on since `before`, as of when
    /// they last were; gives those that nobody else has ended meanwhile.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_forsaken(
        &self,
        before: WallTime,
        node: NodeId,
    ) -> sqlx::Result<Vec<OpenBroadcast>> {
        let mut ended = Vec::new();
        let open = self.open_broadcasts(None).await?.into_iter();
        for open in open.filter(|open| open.seen_at < before) {
            let done = sqlx::query(
                "UPDATE broadcasts SET ended_at = $1, ended_how = $2
                 WHERE id = $3 AND ended_at IS NULL AND COALESCE(seen_at, began_at) = $1
                   AND (node IS NULL OR node <> $4)",
            )
            .bind(open.seen_at.as_micros())
            .bind(Ended::ServerLost.as_str())
            .bind(open.id.to_string())
            .bind(node.to_string())
            .execute(self.pool())
            .await?;
            if done.rows_affected() == 1 {
                ended.push(open);
            }
        }
        Ok(ended)
    }

    /// When a channel's last finished broadcast ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_live_at(&self, channel: ChannelId) -> sqlx::Result<Option<WallTime>> {
        let at: Option<i64> =
            sqlx::query_scalar("SELECT MAX(ended_at) FROM broadcasts WHERE channel = $1")
                .bind(channel.to_string())
                .fetch_one(self.pool())
                .await?;
        Ok(at.map(WallTime::from_micros))
    }

    /// The broadcasts of a channel, newest first, from before `before`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn broadcasts(
        &self,
        channel: ChannelId,
        before: Option<BroadcastId>,
        limit: i64,
    ) -> sqlx::Result<Vec<PastBroadcast>> {
        // Identities are in the order of their time; "z" stands after every one of them.
        let before = before.map_or_else(|| "z".to_owned(), |id| id.to_string());
        let rows = sqlx::query(
            "SELECT id, title, category, began_at, ended_at, ended_how, end_reason
             FROM broadcasts
             WHERE channel = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
        )
        .bind(channel.to_string())
        .bind(before)
        .bind(limit)
        .fetch_all(self.pool())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(PastBroadcast {
                    id: parse(row.try_get("id")?)?,
                    title: row.try_get("title")?,
                    category: row.try_get("category")?,
                    began_at: WallTime::from_micros(row.try_get("began_at")?),
                    ended_at: row
                        .try_get::<Option<i64>, _>("ended_at")?
                        .map(WallTime::from_micros),
                    ended_how: row.try_get("ended_how")?,
                    end_reason: row.try_get("end_reason")?,
                })
            })
            .collect()
    }
}
