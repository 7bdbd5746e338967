//! Emotes of channels, and their pictures.

use media::WallTime;
use sqlx::Row as _;
use wire::{ChannelId, EmoteCode, EmoteId};

use super::{Store, Transaction, count, parse};

/// Pictures of deleted emotes that are kept for each channel, so that deleting and uploading without
/// end fills no disk.
const DELETED_MAX: i64 = 100;

/// An emote without its picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emote {
    /// Its identity, by which its picture is found.
    pub id: EmoteId,
    /// What is written for it.
    pub code: EmoteCode,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

impl Store {
    /// The emotes of a channel, by their codes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn emotes(&self, channel: ChannelId) -> sqlx::Result<Vec<Emote>> {
        let rows = sqlx::query(
            "SELECT id, code, width, height FROM emotes
             WHERE channel = $1 AND deleted_at IS NULL ORDER BY code",
        )
        .bind(channel.to_string())
        .fetch_all(self.pool())
        .await?;
        let number = |row: &sqlx::any::AnyRow, name| {
            let number: i64 = row.try_get(name)?;
            u32::try_from(number).map_err(|error| sqlx::Error::Decode(error.into()))
        };
        rows.iter()
            .map(|row| {
                Ok(Emote {
                    id: parse(row.try_get("id")?)?,
                    code: parse(row.try_get("code")?)?,
                    width: number(row, "width")?,
                    height: number(row, "height")?,
                })
            })
            .collect()
    }

    /// The picture of an emote, deleted or not, as long as it is kept.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn emote_picture(&self, id: EmoteId) -> sqlx::Result<Option<Vec<u8>>> {
        let row = sqlx::query("SELECT picture FROM emotes WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.pool())
            .await?;
        row.map(|row| row.try_get(0)).transpose()
    }

    /// Forgets the pictures of emotes that were deleted before `before`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_deleted_emotes(&self, before: WallTime) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM emotes WHERE deleted_at < $1")
            .bind(before.as_micros())
            .execute(self.pool())
            .await
            .map(|_| ())
    }
}

/// How many emotes a channel has, and whether one of them has this code.
pub(crate) async fn count_of(
    transaction: &mut Transaction,
    channel: ChannelId,
    code: &EmoteCode,
) -> sqlx::Result<(i64, bool)> {
    let all = count(
        transaction,
        "SELECT COUNT(*) FROM emotes WHERE channel = $1 AND deleted_at IS NULL",
        &channel.to_string(),
    )
    .await?;
    let same = sqlx::query(
        "SELECT id FROM emotes WHERE channel = $1 AND code = $2 AND deleted_at IS NULL",
    )
    .bind(channel.to_string())
    .bind(code.as_str())
    .fetch_optional(&mut **transaction)
    .await?;
    Ok((all, same.is_some()))
}

/// Adds an emote.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    channel: ChannelId,
    emote: &Emote,
    picture: &[u8],
    now: WallTime,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO emotes (id, channel, code, picture, width, height, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(emote.id.to_string())
    .bind(channel.to_string())
    .bind(emote.code.as_str())
    .bind(picture)
    .bind(i64::from(emote.width))
    .bind(i64::from(emote.height))
    .bind(now.as_micros())
    .execute(&mut **transaction)
    .await
    .map(|_| ())
}

/// Deletes an emote; its picture is kept for what has been said with it, the oldest of too many is
/// not. Tells whether there was one.
pub(crate) async fn delete(
    transaction: &mut Transaction,
    channel: ChannelId,
    code: &EmoteCode,
    now: WallTime,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE emotes SET deleted_at = $1
         WHERE channel = $2 AND code = $3 AND deleted_at IS NULL",
    )
    .bind(now.as_micros())
    .bind(channel.to_string())
    .bind(code.as_str())
    .execute(&mut **transaction)
    .await?;
    sqlx::query(
        "DELETE FROM emotes WHERE channel = $1 AND deleted_at IS NOT NULL AND id NOT IN (
             SELECT id FROM emotes WHERE channel = $1 AND deleted_at IS NOT NULL
             ORDER BY deleted_at DESC, id DESC LIMIT $2)",
    )
    .bind(channel.to_string())
    .bind(DELETED_MAX)
    .execute(&mut **transaction)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Removes an emote with its picture. Gives its identity, if there was one.
pub(crate) async fn erase(
    transaction: &mut Transaction,
    channel: ChannelId,
    code: &EmoteCode,
) -> sqlx::Result<bool> {
    sqlx::query("DELETE FROM emotes WHERE channel = $1 AND code = $2")
        .bind(channel.to_string())
        .bind(code.as_str())
        .execute(&mut **transaction)
        .await
        .map(|done| done.rows_affected() > 0)
}
