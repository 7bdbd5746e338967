//! The settings of webhooks.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How other programs are told what happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhooksConfig {
    /// Webhooks of one channel; 0 for none at all.
    pub per_channel: u32,
    /// Whether addresses of the server's own networks may be told.
    pub allow_private_addresses: bool,
    /// Deliveries that are tried at once.
    pub in_flight: u32,
    /// How long one attempt may take, in milliseconds.
    pub timeout_ms: u64,
    /// How long after the first failure a delivery is tried again, in milliseconds.
    pub retry_first_ms: u64,
    /// How long a delivery is tried again, in seconds.
    pub retry_for_s: u64,
    /// How long a webhook may fail before it is disabled, in seconds.
    pub disable_after_s: u64,
}

impl Default for WebhooksConfig {
    fn default() -> Self {
        Self {
            per_channel: 10,
            allow_private_addresses: false,
            in_flight: 64,
            timeout_ms: 10_000,
            retry_first_ms: 5_000,
            retry_for_s: 24 * 60 * 60,
            disable_after_s: 5 * 24 * 60 * 60,
        }
    }
}

impl WebhooksConfig {
    /// Checks what types alone cannot.
    ///
    /// # Errors
    /// At the first value that makes no sense.
    pub fn validate(&self) -> Result<(), String> {
        if self.in_flight == 0 || self.in_flight > 1_000 {
            return Err("`webhooks.in_flight` is between 1 and 1000".into());
        }
        if self.timeout_ms < 100 || self.timeout_ms > 60_000 {
            return Err("`webhooks.timeout_ms` is between 100 and 60000".into());
        }
        if self.retry_first_ms == 0 {
            return Err("`webhooks.retry_first_ms` is at least 1".into());
        }
        Ok(())
    }

    pub(super) const fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}
