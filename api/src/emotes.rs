//! Pictures of emotes: read from uploads a few at a time, and at hand for those who look.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use wire::EmoteId;

use crate::error::ApiError;
use crate::picture::{self, BadPicture, Picture};
use crate::store::Store;

/// How long an upload waits for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(10);

/// Pictures that are held in memory, in bytes. What is more is read again.
const AT_HAND_BYTES: usize = 32 * 1024 * 1024;

/// How long the picture of a deleted emote is kept for what was said with it.
pub const DELETED_KEPT_FOR: Duration = Duration::from_hours(90 * 24);

/// What channels may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmotesConfig {
    /// Emotes of one channel.
    pub per_channel: u32,
}

impl Default for EmotesConfig {
    fn default() -> Self {
        Self { per_channel: 50 }
    }
}

impl EmotesConfig {
    /// Checks what types alone cannot.
    ///
    /// # Errors
    /// At the first value that makes no sense.
    pub fn validate(&self) -> Result<(), String> {
        if self.per_channel > 500 {
            return Err("`emotes.per_channel` is at most 500".into());
        }
        Ok(())
    }
}

/// Pictures of emotes.
#[derive(Debug)]
pub struct Emotes {
    config: EmotesConfig,
    /// One picture is decoded at a time: what is live needs the other cores.
    turn: Semaphore,
    at_hand: Mutex<AtHand>,
}

#[derive(Debug, Default)]
struct AtHand {
    pictures: HashMap<EmoteId, Bytes>,
    size_bytes: usize,
}

impl Emotes {
    /// With nothing at hand.
    pub fn new(config: EmotesConfig) -> Self {
        Self {
            config,
            turn: Semaphore::new(1),
            at_hand: Mutex::default(),
        }
    }

    /// Emotes of one channel.
    pub fn per_channel(&self) -> i64 {
        self.config.per_channel.into()
    }

    /// Makes of an upload what is kept.
    ///
    /// # Errors
    /// When it is no picture that we take, or too many wait.
    pub async fn read(&self, upload: Bytes) -> Result<Picture, ApiError> {
        let turn = tokio::time::timeout(TURN_WITHIN, self.turn.acquire()).await;
        let _turn = turn.map_err(|_| ApiError::Busy)?;
        let read = tokio::task::spawn_blocking(move || picture::read(&upload)).await;
        let read = read.unwrap_or_else(|error| {
            tracing::warn!(%error, "the decoder of a picture failed");
            Err(BadPicture::Unreadable)
        });
        metrics::counter!(
            "barrage_emote_uploads_total",
            "result" => if read.is_ok() { "taken" } else { "refused" }
        )
        .increment(1);
        read.map_err(|why| ApiError::invalid("picture", why))
    }

    /// The picture of an emote.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn picture(&self, store: &Store, id: EmoteId) -> sqlx::Result<Option<Bytes>> {
        if let Some(picture) = self.at_hand().pictures.get(&id) {
            return Ok(Some(picture.clone()));
        }
        let Some(picture) = store.emote_picture(id).await? else {
            return Ok(None);
        };
        let picture = Bytes::from(picture);
        let mut at_hand = self.at_hand();
        if at_hand.size_bytes + picture.len() > AT_HAND_BYTES {
            *at_hand = AtHand::default();
        }
        if at_hand.pictures.insert(id, picture.clone()).is_none() {
            at_hand.size_bytes += picture.len();
        }
        Ok(Some(picture))
    }

    /// Forgets what is at hand: some of it is to be seen no more.
    pub fn forget(&self) {
        *self.at_hand() = AtHand::default();
    }

    fn at_hand(&self) -> MutexGuard<'_, AtHand> {
        self.at_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
