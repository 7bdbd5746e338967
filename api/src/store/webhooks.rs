//! Webhooks of channels, and what they are to be told.

use media::WallTime;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;
use wire::ChannelId;

use super::{Store, Transaction, count, parse};
use crate::webhooks::{Kind, NoAnswer};

/// Deliveries of one webhook that are listed.
const LISTED_MAX: i64 = 100;

/// An address that is told what happens to a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Its identity; also the context under which the secret is sealed.
    pub id: Uuid,
    /// Whose it is.
    pub channel: ChannelId,
    /// Where it is.
    pub url: String,
    /// What it is told.
    pub events: Vec<Kind>,
    /// What its deliveries are signed with, sealed.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created_at: WallTime,
    /// Since when nothing was delivered that was tried.
    pub failing_since: Option<WallTime>,
    /// When and why it was disabled, if it is.
    pub disabled: Option<(WallTime, String)>,
    /// Events that were not kept for it.
    pub dropped: i64,
}

/// A delivery that is to be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What the receiver knows it by.
    pub id: Uuid,
    /// What is sent.
    pub body: String,
    /// When it was made.
    pub made_at: WallTime,
    /// How often it was tried.
    pub attempts: u32,
}

/// A delivery as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What the receiver knows it by.
    pub id: Uuid,
    /// What it is about.
    pub kind: String,
    /// How many events are in it.
    pub events: i64,
    /// When it was made.
    pub made_at: WallTime,
    /// How often it was tried.
    pub attempts: i64,
    /// When it is tried next, if it is.
    pub next_at: Option<WallTime>,
    /// When it was delivered, if it was.
    pub delivered_at: Option<WallTime>,
    /// When it was tried last.
    pub last_at: Option<WallTime>,
    /// What the receiver answered then.
    pub last_status: Option<i64>,
    /// Why there was no answer then.
    pub last_error: Option<String>,
}

/// A delivery that is to be kept.
#[derive(Debug)]
pub struct NewDelivery<'a> {
    /// What the receiver knows it by.
    pub id: Uuid,
    /// For whom.
    pub webhook: Uuid,
    /// What it is about.
    pub kind: Kind,
    /// How many events are in it.
    pub events: i64,
    /// What is sent.
    pub body: &'a str,
}

/// How one attempt went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// What was answered.
    pub status: Option<u16>,
    /// Why nothing was.
    pub error: Option<NoAnswer>,
}

impl Attempt {
    pub(crate) const fn answered(status: u16) -> Self {
        Self {
            status: Some(status),
            error: None,
        }
    }

    pub(crate) const fn failed(why: NoAnswer) -> Self {
        Self {
            status: None,
            error: Some(why),
        }
    }

    pub(crate) const fn is_success(&self) -> bool {
        matches!(self.status, Some(200..=299))
    }
}

/// A webhook that something waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Which.
    pub webhook: Uuid,
    /// When the first of it is to be tried.
    pub next_at: WallTime,
    /// Whether nothing was delivered lately.
    pub is_failing: bool,
}

/// What an attempt means for its webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Since when nothing was delivered that was tried.
    pub failing_since: Option<WallTime>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, channel, url, events, sealed, created_at, failing_since, disabled_at,
                    disabled_why, dropped FROM webhooks ",
            $rest
        )
    };
}

fn read(row: &AnyRow) -> sqlx::Result<Webhook> {
    let events: &str = row.try_get("events")?;
    let why: Option<String> = row.try_get("disabled_why")?;
    Ok(Webhook {
        id: parse(row.try_get("id")?)?,
        channel: parse(row.try_get("channel")?)?,
        url: row.try_get("url")?,
        events: serde_json::from_str(events).map_err(|error| sqlx::Error::Decode(error.into()))?,
        sealed: row.try_get("sealed")?,
        created_at: WallTime::from_micros(row.try_get("created_at")?),
        failing_since: time(row, "failing_since")?,
        disabled: time(row, "disabled_at")?.map(|at| (at, why.unwrap_or_default())),
        dropped: row.try_get("dropped")?,
    })
}

fn time(row: &AnyRow, name: &str) -> sqlx::Result<Option<WallTime>> {
    let micros: Option<i64> = row.try_get(name)?;
    Ok(micros.map(WallTime::from_micros))
}

fn read_delivery(row: &AnyRow) -> sqlx::Result<Delivery> {
    Ok(Delivery {
        id: parse(row.try_get("id")?)?,
        kind: row.try_get("event")?,
        events: row.try_get("events")?,
        made_at: WallTime::from_micros(row.try_get("made_at")?),
        attempts: row.try_get("attempts")?,
        next_at: time(row, "next_at")?,
        delivered_at: time(row, "delivered_at")?,
        last_at: time(row, "last_at")?,
        last_status: row.try_get("last_status")?,
        last_error: row.try_get("last_error")?,
    })
}

impl Store {
    /// The webhooks of a channel, in the order they were made.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn webhooks(&self, channel: ChannelId) -> sqlx::Result<Vec<Webhook>> {
        let rows = sqlx::query(select!("WHERE channel = $1 ORDER BY id"))
            .bind(channel.to_string())
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(read).collect()
    }

    /// A webhook of a channel.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn webhook(&self, channel: ChannelId, id: Uuid) -> sqlx::Result<Option<Webhook>> {
        let row = sqlx::query(select!("WHERE channel = $1 AND id = $2"))
            .bind(channel.to_string())
            .bind(id.to_string())
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// Every webhook that is told anything.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn enabled_webhooks(&self) -> sqlx::Result<Vec<Webhook>> {
        let rows = sqlx::query(select!("WHERE disabled_at IS NULL"))
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(read).collect()
    }

    /// How many deliveries wait for each webhook of a channel for whom any do.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn waiting_deliveries(&self, channel: ChannelId) -> sqlx::Result<Vec<(Uuid, i64)>> {
        let rows = sqlx::query(
            "SELECT webhook, COUNT(*) FROM webhook_deliveries
             WHERE next_at IS NOT NULL
               AND webhook IN (SELECT id FROM webhooks WHERE channel = $1)
             GROUP BY webhook",
        )
        .bind(channel.to_string())
        .fetch_all(self.pool())
        .await?;
        rows.iter()
            .map(|row| Ok((parse(row.try_get(0)?)?, row.try_get(1)?)))
            .collect()
    }

    /// The deliveries of a webhook, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deliveries(&self, webhook: Uuid) -> sqlx::Result<Vec<Delivery>> {
        let rows = sqlx::query(
            "SELECT id, event, events, made_at, attempts, next_at, delivered_at, last_at,
                    last_status, last_error
             FROM webhook_deliveries WHERE webhook = $1 ORDER BY id DESC LIMIT $2",
        )
        .bind(webhook.to_string())
        .bind(LISTED_MAX)
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(read_delivery).collect()
    }

    /// A delivery of a webhook.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delivery(&self, webhook: Uuid, id: Uuid) -> sqlx::Result<Option<Delivery>> {
        let row = sqlx::query(
            "SELECT id, event, events, made_at, attempts, next_at, delivered_at, last_at,
                    last_status, last_error
             FROM webhook_deliveries WHERE webhook = $1 AND id = $2",
        )
        .bind(webhook.to_string())
        .bind(id.to_string())
        .fetch_optional(self.pool())
        .await?;
        row.as_ref().map(read_delivery).transpose()
    }

    /// Keeps a delivery, to be tried at once. Tells whether it was kept: beyond `max` that wait, its
    /// events are only counted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep_delivery(
        &self,
        delivery: &NewDelivery<'_>,
        max: Option<i64>,
        now: WallTime,
    ) -> sqlx::Result<bool> {
        let mut transaction = self.begin().await?;
        if let Some(max) = max {
            let waiting = count(
                &mut transaction,
                "SELECT COUNT(*) FROM webhook_deliveries WHERE webhook = $1 AND next_at IS NOT NULL",
                &delivery.webhook.to_string(),
            )
            .await?;
            if waiting >= max {
                sqlx::query("UPDATE webhooks SET dropped = dropped + $1 WHERE id = $2")
                    .bind(delivery.events)
                    .bind(delivery.webhook.to_string())
                    .execute(&mut *transaction)
                    .await?;
                transaction.commit().await?;
                return Ok(false);
            }
        }
        insert_delivery(&mut transaction, delivery, Some(now), now).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Notes a delivery that is tried once, at once, by whoever asks for it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_test(&self, delivery: &NewDelivery<'_>, now: WallTime) -> sqlx::Result<()> {
        let mut transaction = self.begin().await?;
        insert_delivery(&mut transaction, delivery, None, now).await?;
        transaction.commit().await
    }

    /// The webhooks that something waits for, who has waited for longest first. Nothing is sent for
    /// whose account is closed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due_webhooks(&self) -> sqlx::Result<Vec<Due>> {
        let rows = sqlx::query(
            "SELECT webhook, failing_since, MIN(next_at) AS due_at
             FROM webhook_deliveries JOIN webhooks ON webhooks.id = webhook_deliveries.webhook
                                     JOIN channels ON channels.id = webhooks.channel
                                     JOIN users ON users.id = channels.owner
             WHERE next_at IS NOT NULL AND webhooks.disabled_at IS NULL
               AND users.disabled_at IS NULL
             GROUP BY webhook, failing_since ORDER BY due_at",
        )
        .fetch_all(self.pool())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Due {
                    webhook: parse(row.try_get("webhook")?)?,
                    next_at: WallTime::from_micros(row.try_get("due_at")?),
                    is_failing: time(row, "failing_since")?.is_some(),
                })
            })
            .collect()
    }

    /// The delivery of a webhook that has been due for longest, and the webhook.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due_delivery(
        &self,
        webhook: Uuid,
        now: WallTime,
    ) -> sqlx::Result<Option<(Webhook, Waiting)>> {
        let found = sqlx::query(select!("WHERE id = $1 AND disabled_at IS NULL"))
            .bind(webhook.to_string())
            .fetch_optional(self.pool())
            .await?;
        let waiting = sqlx::query(
            "SELECT id, body, made_at, attempts FROM webhook_deliveries
             WHERE webhook = $1 AND next_at <= $2 ORDER BY next_at, id LIMIT 1",
        )
        .bind(webhook.to_string())
        .bind(now.as_micros())
        .fetch_optional(self.pool())
        .await?;
        let Some((found, row)) = found.zip(waiting) else {
            return Ok(None);
        };
        let attempts: i64 = row.try_get("attempts")?;
        let waiting = Waiting {
            id: parse(row.try_get("id")?)?,
            body: row.try_get("body")?,
            made_at: WallTime::from_micros(row.try_get("made_at")?),
            attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        };
        Ok(Some((read(&found)?, waiting)))
    }

    /// Notes how an attempt went, and when the next one is, if there is one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn attempted(
        &self,
        webhook: Uuid,
        delivery: Uuid,
        attempt: &Attempt,
        next_at: Option<WallTime>,
        now: WallTime,
    ) -> sqlx::Result<Verdict> {
        let mut transaction = self.begin().await?;
        // Nobody needs the body of what is over.
        sqlx::query(
            "UPDATE webhook_deliveries
             SET attempts = attempts + 1, next_at = $1, delivered_at = $2, last_at = $3,
                 last_status = $4, last_error = $5,
                 body = CASE WHEN $6 = 1 THEN '' ELSE body END
             WHERE id = $7",
        )
        .bind(next_at.map(WallTime::as_micros))
        .bind(attempt.is_success().then_some(now.as_micros()))
        .bind(now.as_micros())
        .bind(attempt.status.map(i64::from))
        .bind(attempt.error.map(NoAnswer::as_str))
        .bind(i64::from(next_at.is_none()))
        .bind(delivery.to_string())
        .execute(&mut *transaction)
        .await?;
        let failing_since = if attempt.is_success() {
            sqlx::query("UPDATE webhooks SET failing_since = NULL WHERE id = $1")
                .bind(webhook.to_string())
                .execute(&mut *transaction)
                .await?;
            None
        } else {
            let row = sqlx::query(
                "UPDATE webhooks SET failing_since = COALESCE(failing_since, $1) WHERE id = $2
                 RETURNING failing_since",
            )
            .bind(now.as_micros())
            .bind(webhook.to_string())
            .fetch_optional(&mut *transaction)
            .await?;
            row.map(|row| time(&row, "failing_since"))
                .transpose()?
                .flatten()
        };
        transaction.commit().await?;
        Ok(Verdict { failing_since })
    }

    /// Disables a webhook: what waits for it is given up.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn disable_webhook(
        &self,
        webhook: Uuid,
        why: &str,
        now: WallTime,
    ) -> sqlx::Result<()> {
        let mut transaction = self.begin().await?;
        sqlx::query("UPDATE webhooks SET disabled_at = $1, disabled_why = $2 WHERE id = $3")
            .bind(now.as_micros())
            .bind(why)
            .bind(webhook.to_string())
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "UPDATE webhook_deliveries SET next_at = NULL, body = ''
             WHERE webhook = $1 AND next_at IS NOT NULL",
        )
        .bind(webhook.to_string())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await
    }

    /// Enables a webhook that was disabled.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn enable_webhook(&self, webhook: Uuid) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE webhooks SET disabled_at = NULL, disabled_why = NULL, failing_since = NULL
             WHERE id = $1",
        )
        .bind(webhook.to_string())
        .execute(self.pool())
        .await
        .map(|_| ())
    }

    /// Forgets deliveries that are over and were made before `before`, and of each webhook all but the
    /// last.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_deliveries(&self, before: WallTime) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM webhook_deliveries WHERE next_at IS NULL AND made_at < $1")
            .bind(before.as_micros())
            .execute(self.pool())
            .await?;
        let rows = sqlx::query(
            "SELECT webhook FROM webhook_deliveries WHERE next_at IS NULL
             GROUP BY webhook HAVING COUNT(*) > $1",
        )
        .bind(LISTED_MAX)
        .fetch_all(self.pool())
        .await?;
        for row in rows {
            sqlx::query(
                "DELETE FROM webhook_deliveries
                 WHERE webhook = $1 AND next_at IS NULL AND id NOT IN (
                     SELECT id FROM webhook_deliveries WHERE webhook = $1
                     ORDER BY id DESC LIMIT $2)",
            )
            .bind(row.try_get::<String, _>(0)?)
            .bind(LISTED_MAX)
            .execute(self.pool())
            .await?;
        }
        Ok(())
    }
}

/// How many webhooks a channel has.
pub(crate) async fn count_of(
    transaction: &mut Transaction,
    channel: ChannelId,
) -> sqlx::Result<i64> {
    count(
        transaction,
        "SELECT COUNT(*) FROM webhooks WHERE channel = $1",
        &channel.to_string(),
    )
    .await
}

/// Adds a webhook.
pub(crate) async fn insert(transaction: &mut Transaction, webhook: &Webhook) -> sqlx::Result<()> {
    let events = serde_json::to_string(&webhook.events).expect("names are always JSON");
    sqlx::query(
        "INSERT INTO webhooks (id, channel, url, events, sealed, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(webhook.id.to_string())
    .bind(webhook.channel.to_string())
    .bind(&webhook.url)
    .bind(events)
    .bind(webhook.sealed.as_slice())
    .bind(webhook.created_at.as_micros())
    .execute(&mut **transaction)
    .await
    .map(|_| ())
}

/// Removes a webhook with all that it was told and was to be told. Tells whether there was one.
pub(crate) async fn remove(
    transaction: &mut Transaction,
    channel: ChannelId,
    id: Uuid,
) -> sqlx::Result<bool> {
    sqlx::query(
        "DELETE FROM webhook_deliveries
         WHERE webhook IN (SELECT id FROM webhooks WHERE channel = $1 AND id = $2)",
    )
    .bind(channel.to_string())
    .bind(id.to_string())
    .execute(&mut **transaction)
    .await?;
    sqlx::query("DELETE FROM webhooks WHERE channel = $1 AND id = $2")
        .bind(channel.to_string())
        .bind(id.to_string())
        .execute(&mut **transaction)
        .await
        .map(|done| done.rows_affected() > 0)
}

async fn insert_delivery(
    transaction: &mut Transaction,
    delivery: &NewDelivery<'_>,
    next_at: Option<WallTime>,
    now: WallTime,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO webhook_deliveries (id, webhook, event, events, body, made_at, next_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(delivery.id.to_string())
    .bind(delivery.webhook.to_string())
    .bind(delivery.kind.as_str())
    .bind(delivery.events)
    .bind(delivery.body)
    .bind(now.as_micros())
    .bind(next_at.map(WallTime::as_micros))
    .execute(&mut **transaction)
    .await
    .map(|_| ())
}
