//! What was earned some days ago may be paid out. Each day of each payee is released once, however often
//! the job runs: which transaction it is follows from the payee and the day.

use std::time::Duration;

use gifts_core::account::{AccountId, Kind};
use gifts_core::command::{Command, Release, What};
use gifts_core::transfer::{Code, TransactionId};
use gifts_core::{Account, Amount, Micros};
use kit::clock;
use tokio::time::sleep;

use crate::gate::{Gate, Order, Refused};
use crate::reading::Reading;
use crate::store::StoreError;

/// How often it is looked what may be released.
const EVERY: Duration = Duration::from_mins(1);

/// Payees that are looked at together.
const PAGE: i64 = 256;

/// Days since the Unix epoch of a time.
pub const fn day_of(at: Micros) -> i64 {
    at.div_euclid(86_400_000_000)
}

/// Releases what is due until the gate leads nowhere any more.
pub(crate) async fn run(gate: Gate, reading: Reading, hold_days: u32) {
    while gate.is_open() {
        let today = day_of(clock::now().as_micros());
        if let Err(error) = release(&gate, &reading, today - i64::from(hold_days)).await {
            tracing::warn!(%error, "failed to release what was earned; it is tried again");
        }
        sleep(EVERY).await;
    }
}

/// Why something is not released yet.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each says it")]
pub enum NotReleased {
    #[error("the ledger cannot be read")]
    Unread(#[from] StoreError),
    #[error("the ledger did not take it: {0}")]
    Refused(#[from] Refused),
}

/// Releases what was earned before the day `end`, in days since the Unix epoch; tells how many days of
/// payees that were.
///
/// # Errors
/// When the ledger fails; what was released stays so.
pub async fn release(gate: &Gate, reading: &Reading, end: i64) -> Result<u64, NotReleased> {
    let (mut after, mut released) = (0, 0);
    loop {
        let held = reading.holding("earn_held", after, PAGE).await?;
        let Some(last) = held.last() else {
            return Ok(released);
        };
        after = last.number;
        for account in &held {
            released += release_of(gate, reading, account, end).await?;
        }
    }
}

async fn release_of(
    gate: &Gate,
    reading: &Reading,
    held: &Account,
    end: i64,
) -> Result<u64, NotReleased> {
    let AccountId {
        kind: Kind::EarnHeld(payee),
        ..
    } = held.id
    else {
        return Ok(0);
    };
    let first = reading.latest(held, Code::Release).await?;
    let first = first.map_or(0, day_of);
    let mut released = 0;
    for day in reading.days(held, first, end).await? {
        let Some(amount) = Amount::new(day.earned - day.taken_back) else {
            continue;
        };
        let release = Release {
            payee,
            day: day.day,
            amount,
        };
        // When it happened is when its day was over: the next run begins there.
        let command = Command::new(What::Release(release), (day.day + 1) * 86_400_000_000);
        let order = Order {
            command,
            key: None,
            public: None,
        };
        match gate.perform(order).await {
            Ok(accepted) => released += u64::from(!accepted.is_replay),
            // All of it was taken back.
            Err(Refused::Rejected { .. }) => {}
            Err(refused) => return Err(refused.into()),
        }
    }
    Ok(released)
}

/// Which transaction the release of a payee's day is, or would be.
pub fn of_day(payee: gifts_core::Payee, day: i64) -> TransactionId {
    let amount = Amount::MAX;
    Command::new(
        What::Release(Release { payee, day, amount }),
        Micros::default(),
    )
    .id()
}
