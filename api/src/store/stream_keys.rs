//! Stream keys: found by their HMAC, shown from their ciphertext, kept nowhere in clear.

use media::WallTime;
use sqlx::Row as _;
use uuid::Uuid;
use wire::{ChannelId, Handle};

use super::users::Role;
use super::{Store, Transaction, count, parse};
use crate::secrets::{SecretKind, ServerKey};

/// What a stream key opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOwner {
    /// Which key it is.
    pub key: Uuid,
    /// Whose it is.
    pub channel: ChannelId,
    /// The channel's handle.
    pub handle: Handle,
    /// Whether a second publisher takes over.
    pub second_replaces: bool,
    /// Whether the channel's pictures are made anew for viewers who cannot have them as they are.
    pub transcodes: bool,
    /// Whether the key was revoked.
    pub revoked: bool,
    /// Whether the channel's owner may not publish: the account is closed, or a viewer's.
    pub owner_may_not: bool,
}

/// A stream key that opens its channel, without the key itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamKey {
    /// Its identity, which opens nothing; also the context under which the key is sealed.
    pub id: Uuid,
    /// What its owner calls it.
    pub name: String,
    /// The key, sealed.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created_at: WallTime,
    /// When somebody last began to publish with it.
    pub last_used_at: Option<WallTime>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, sealed, created_at, last_used_at FROM stream_keys
             WHERE channel = $1 AND revoked_at IS NULL ",
            $rest
        )
    };
}

fn read(row: &sqlx::any::AnyRow) -> sqlx::Result<StreamKey> {
    Ok(StreamKey {
        id: parse(row.try_get("id")?)?,
        name: row.try_get("name")?,
        sealed: row.try_get("sealed")?,
        created_at: WallTime::from_micros(row.try_get("created_at")?),
        last_used_at: row
            .try_get::<Option<i64>, _>("last_used_at")?
            .map(WallTime::from_micros),
    })
}

impl Store {
    /// What the key found by `lookup` opens.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn key_owner(&self, lookup: &[u8; 32]) -> sqlx::Result<Option<KeyOwner>> {
        let row = sqlx::query(
            "SELECT stream_keys.id AS key_id, channels.id AS channel_id, channels.handle AS handle,
                    second_publisher, transcodes, revoked_at, disabled_at, role
             FROM stream_keys JOIN channels ON channels.id = stream_keys.channel
                              JOIN users ON users.id = channels.owner
             WHERE lookup = $1",
        )
        .bind(lookup.as_slice())
        .fetch_optional(self.pool())
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(KeyOwner {
            key: parse(row.try_get("key_id")?)?,
            channel: parse(row.try_get("channel_id")?)?,
            handle: parse(row.try_get("handle")?)?,
            second_replaces: row.try_get::<&str, _>("second_publisher")? == "replace",
            transcodes: row.try_get::<i64, _>("transcodes")? != 0,
            revoked: row.try_get::<Option<i64>, _>("revoked_at")?.is_some(),
            owner_may_not: row.try_get::<Option<i64>, _>("disabled_at")?.is_some()
                || row.try_get::<&str, _>("role")? == Role::Viewer.as_str(),
        }))
    }

    /// The keys that open a channel, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stream_keys(&self, channel: ChannelId) -> sqlx::Result<Vec<StreamKey>> {
        let rows = sqlx::query(select!("ORDER BY id DESC"))
            .bind(channel.to_string())
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(read).collect()
    }

    /// A key of a channel that opens it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stream_key(
        &self,
        channel: ChannelId,
        id: Uuid,
    ) -> sqlx::Result<Option<StreamKey>> {
        let row = sqlx::query(select!("AND id = $2"))
            .bind(channel.to_string())
            .bind(id.to_string())
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// Notes that somebody began to publish with a key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stream_key_used(&self, id: Uuid, now: WallTime) -> sqlx::Result<()> {
        sqlx::query("UPDATE stream_keys SET last_used_at = $1 WHERE id = $2")
            .bind(now.as_micros())
            .bind(id.to_string())
            .execute(self.pool())
            .await
            .map(|_| ())
    }
}

/// A key that was just made, and what it is found by.
#[derive(Debug)]
pub(crate) struct NewKey {
    /// As it is listed.
    pub(crate) shown: StreamKey,
    lookup: [u8; 32],
}

impl NewKey {
    /// Makes one, and the secret that is the key itself.
    pub(crate) fn make(server_key: &ServerKey, name: &str, now: WallTime) -> (Self, String) {
        let (id, secret) = (Uuid::now_v7(), SecretKind::StreamKey.generate());
        let shown = StreamKey {
            id,
            name: name.to_owned(),
            sealed: server_key.seal(&secret, &id.to_string()),
            created_at: now,
            last_used_at: None,
        };
        let lookup = server_key.lookup(SecretKind::StreamKey, &secret);
        (Self { shown, lookup }, secret)
    }
}

/// Adds a key.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    channel: ChannelId,
    key: &NewKey,
) -> sqlx::Result<()> {
    let NewKey { shown: key, lookup } = key;
    sqlx::query(
        "INSERT INTO stream_keys (id, channel, name, lookup, sealed, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(key.id.to_string())
    .bind(channel.to_string())
    .bind(&key.name)
    .bind(lookup.as_slice())
    .bind(key.sealed.as_slice())
    .bind(key.created_at.as_micros())
    .execute(&mut **transaction)
    .await
    .map(|_| ())
}

/// Revokes a key. Tells whether it opened the channel until now.
pub(crate) async fn revoke(
    transaction: &mut Transaction,
    channel: ChannelId,
    id: Uuid,
    now: WallTime,
) -> sqlx::Result<bool> {
    // Of a key that opens nothing, nothing is kept that could show it.
    sqlx::query(
        "UPDATE stream_keys SET revoked_at = $1, sealed = $2
         WHERE channel = $3 AND id = $4 AND revoked_at IS NULL",
    )
    .bind(now.as_micros())
    .bind([0_u8; 0].as_slice())
    .bind(channel.to_string())
    .bind(id.to_string())
    .execute(&mut **transaction)
    .await
    .map(|done| done.rows_affected() > 0)
}

/// How many keys open a channel.
pub(crate) async fn count_of(
    transaction: &mut Transaction,
    channel: ChannelId,
) -> sqlx::Result<i64> {
    count(
        transaction,
        "SELECT COUNT(*) FROM stream_keys WHERE channel = $1 AND revoked_at IS NULL",
        &channel.to_string(),
    )
    .await
}
