//! What was left unfinished is finished: events that the ledger could not take or that wait for others, and
//! checkouts and refunds of which nothing was heard because a webhook was lost.

use std::sync::Arc;
use std::time::Duration;

use gifts::payment::Open;
use kit::clock;
use media::WallTime;

use super::{ASK_AFTER, Payments, Unsettled};
use crate::error::ApiError;
use crate::store::top_ups::{State, TopUp};

/// How often it is looked for what is unfinished.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// How much of each kind is done at once.
const SWEPT_MAX: i64 = 100;

/// How long after one question the provider is asked again, at most.
const ASK_EVERY_MAX: Duration = Duration::from_hours(1);

impl Payments {
    /// Finishes what is unfinished, for as long as it is let.
    pub async fn keep_sweeping(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        // Nobody is at work on what a server left that has ended, and it may have missed something.
        let mut until = WallTime::from_micros(i64::MAX);
        loop {
            ticks.tick().await;
            if let Err(error) = self.sweep(until).await {
                tracing::warn!(%error, "failed to look for payments that are unfinished");
            }
            until = WallTime::from_micros(0);
        }
    }

    /// Finishes what is due by now, or by `until` if that is later.
    async fn sweep(&self, until: WallTime) -> Result<(), ApiError> {
        let now = clock::now();
        for kept in self.store.due_events(now.max(until), SWEPT_MAX).await? {
            match self.finish(&kept, now).await {
                Ok(()) => {}
                // The rest would fail in the same way.
                Err(Unsettled::Ledger) => break,
                Err(Unsettled::Database(error)) => return Err(error.into()),
            }
        }
        let Some(provider) = self.provider() else {
            return Ok(());
        };
        let due = now.max(until);
        let unheard_of = self.store.top_ups_to_ask(&provider, due, SWEPT_MAX);
        for top_up in unheard_of.await? {
            self.ask_about(&top_up, now).await?;
        }
        Ok(())
    }

    async fn ask_about(&self, top_up: &TopUp, now: WallTime) -> Result<(), ApiError> {
        // First: whatever comes of it, it is asked again later, unless it is over then.
        let waited = Duration::from_micros(u64::try_from(now.since(top_up.made_at)).unwrap_or(0));
        let later = now + waited.clamp(ASK_AFTER, ASK_EVERY_MAX);
        self.store.ask_about_top_up(top_up.id, Some(later)).await?;
        let asked = match (&top_up.refund, top_up.state) {
            (Some(_), State::Paid | State::Disputed) => self.give_back(top_up).await,
            (_, State::Open) => self.look_at(top_up, now).await,
            _ => Ok(self.store.ask_about_top_up(top_up.id, None).await?),
        };
        match asked {
            Err(ApiError::PaymentsUnavailable | ApiError::PaymentRefused(_)) => Ok(()),
            other => other,
        }
    }

    async fn look_at(&self, top_up: &TopUp, now: WallTime) -> Result<(), ApiError> {
        let Some((checkout, _)) = &top_up.checkout else {
            // Nobody was ever told where to pay it.
            if top_up.expires_at <= now {
                let from = [State::Open, State::Open];
                self.store
                    .move_top_up(top_up.id, from, State::Expired)
                    .await?;
            }
            return Ok(());
        };
        let open = Open {
            top_up: top_up.id,
            id: checkout.clone(),
            until_s: top_up.expires_at.as_micros() / 1_000_000,
            now_s: now.as_micros() / 1_000_000,
        };
        let provider = self.open_for_business()?;
        match provider.look(&open).await {
            Ok(Some(event)) => Ok(self.take(&top_up.provider, &event, now).await?),
            Ok(None) => Ok(()),
            Err(why) => {
                tracing::warn!(top_up.id = %top_up.id, %why, "failed to ask about a checkout");
                Ok(())
            }
        }
    }
}
