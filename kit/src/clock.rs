//! The wall clock. Cores are passed the time; this is where shells get it from.

use std::time::{SystemTime, UNIX_EPOCH};

use media::WallTime;

/// What the server's clock says now.
pub fn now() -> WallTime {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    WallTime::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}
