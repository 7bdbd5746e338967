//! Forgets what need not be known for ever: answers that were kept for whoever asks again.

use std::time::Duration;

use gifts_core::Micros;
use kit::clock;
use tokio::time::MissedTickBehavior;

use crate::store::{Result, Store};

/// How long an answer is kept. What was entered is known by its own identity, for ever.
pub const KEPT: Duration = Duration::from_secs(30 * 24 * 3_600);

/// How many are forgotten at once: the gate waits for that long, which is a few milliseconds.
const AT_ONCE: i64 = 500;

/// How long the gate has the database to itself in between.
const PAUSE: Duration = Duration::from_millis(100);

/// Forgets all answers that were given before then; gives how many.
///
/// # Errors
/// When the database fails. What was forgotten before stays so.
pub async fn forget_answers<S: Store>(store: &S, before: Micros) -> Result<u64> {
    let mut forgotten = 0;
    loop {
        let some = store.forget_answers(before, AT_ONCE).await?;
        forgotten += some;
        if some < AT_ONCE.cast_unsigned() {
            return Ok(forgotten);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Does so every so often, for as long as it is let.
pub async fn keep_pruned<S: Store>(store: S, every: Duration) {
    let mut times = tokio::time::interval(every);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let kept = i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX);
    loop {
        times.tick().await;
        match forget_answers(&store, clock::now().as_micros() - kept).await {
            Ok(0) => {}
            Ok(forgotten) => tracing::info!(ledger.answers = forgotten, "forgot old answers"),
            Err(error) => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, source, "failed to forget old answers of the ledger");
            }
        }
    }
}
