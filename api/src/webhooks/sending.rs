//! What waits is sent, a few at a time: of each webhook one, and of those that fail only a part of all,
//! so that whoever does not answer keeps nobody else waiting.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kit::clock;
use media::WallTime;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{NoAnswer, Webhooks, schedule};
use crate::store::webhooks::{Attempt, Due, Verdict};

/// How often it is looked for what is due, if nobody rings.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How long nothing is sent after the database has failed.
const REST: Duration = Duration::from_secs(1);

/// Of the attempts at once, one in so many is for webhooks that fail.
const FAILING_SHARE: usize = 4;

/// A receiver that answers this wants no more (RFC 9110 §15.5.11, Standard Webhooks).
const GONE: u16 = 410;

#[derive(Default)]
struct UnderWay {
    tasks: JoinSet<(Uuid, bool)>,
    webhooks: HashSet<Uuid>,
    failing: usize,
}

impl UnderWay {
    fn ended(&mut self, (webhook, was_failing): (Uuid, bool)) {
        self.webhooks.remove(&webhook);
        self.failing -= usize::from(was_failing);
    }
}

/// Sends for as long as it is let.
pub(super) async fn run(webhooks: Arc<Webhooks>) {
    let mut under_way = UnderWay::default();
    loop {
        let pause = match start_due(&webhooks, &mut under_way).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::warn!(%error, "failed to look for what webhooks are to be told");
                REST
            }
        };
        tokio::select! {
            Some(ended) = under_way.tasks.join_next() => match ended {
                Ok(ended) => under_way.ended(ended),
                // Which one it was is not known; it is looked at anew after the next start.
                Err(error) => tracing::error!(%error, "sending to a webhook failed"),
            },
            () = webhooks.bell.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Starts what is due and has room; tells how long nothing else is.
async fn start_due(webhooks: &Arc<Webhooks>, under_way: &mut UnderWay) -> sqlx::Result<Duration> {
    let now = clock::now();
    let in_flight = webhooks.config.in_flight as usize;
    let failing_max = (in_flight / FAILING_SHARE).max(1);
    let mut pause = LOOK_EVERY;
    for Due {
        webhook,
        next_at,
        is_failing,
    } in webhooks.store.due_webhooks().await?
    {
        if under_way.webhooks.contains(&webhook) {
            continue;
        }
        if next_at > now {
            let wait = u64::try_from(next_at.since(now)).unwrap_or(0);
            pause = pause.min(Duration::from_micros(wait));
            continue;
        }
        // Those for whom there is no room are looked at when another ends.
        let full = under_way.webhooks.len() >= in_flight;
        if full || (is_failing && under_way.failing >= failing_max) {
            continue;
        }
        under_way.webhooks.insert(webhook);
        under_way.failing += usize::from(is_failing);
        let webhooks = Arc::clone(webhooks);
        under_way.tasks.spawn(async move {
            if let Err(error) = webhooks.send_next(webhook, now).await {
                tracing::warn!(%error, webhook.id = %webhook, "failed to note a delivery");
                tokio::time::sleep(REST).await;
            }
            (webhook, is_failing)
        });
    }
    Ok(pause)
}

impl Webhooks {
    /// Tries the delivery of a webhook that has been due for longest.
    async fn send_next(&self, webhook: Uuid, now: WallTime) -> sqlx::Result<()> {
        let Some((webhook, delivery)) = self.store.due_delivery(webhook, now).await? else {
            return Ok(());
        };
        let attempt = self.attempt(&webhook, delivery.id, &delivery.body).await;
        count(result_of(&attempt));
        let now = clock::now();
        let failures = delivery.attempts + 1;
        let next_at = schedule::next(
            &self.config,
            delivery.made_at,
            failures,
            now,
            rand::random(),
        );
        let next_at = next_at.filter(|_| !attempt.is_success());
        let verdict = self
            .store
            .attempted(webhook.id, delivery.id, &attempt, next_at, now)
            .await?;
        tracing::debug!(
            webhook.id = %webhook.id,
            delivery.id = %delivery.id,
            status = attempt.status,
            error = attempt.error.map(NoAnswer::as_str),
            failures,
            "tried a delivery"
        );
        if let Some(why) = self.sentence(&attempt, &verdict, now) {
            self.store.disable_webhook(webhook.id, why, now).await?;
            self.look_again().await?;
            tracing::info!(webhook.id = %webhook.id, why, "disabled a webhook");
        }
        Ok(())
    }

    /// Why a webhook is to be disabled, if it is.
    fn sentence(
        &self,
        attempt: &Attempt,
        Verdict { failing_since }: &Verdict,
        now: WallTime,
    ) -> Option<&'static str> {
        if attempt.status == Some(GONE) {
            return Some("gone");
        }
        let since = (*failing_since)?;
        let long = Duration::from_secs(self.config.disable_after_s);
        (since + long <= now).then_some("failing")
    }
}

pub(super) const fn result_of(attempt: &Attempt) -> &'static str {
    if attempt.is_success() {
        "delivered"
    } else {
        "failed"
    }
}

pub(super) fn count(result: &'static str) {
    metrics::counter!("barrage_webhook_attempts_total", "result" => result).increment(1);
}
