//! What can be set of gifts.

use serde::{Deserialize, Serialize};

/// Gifts and what they earn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How many days what was earned is held, so that what is taken back is still there.
    pub hold_days: u32,
    /// Of what is given, how much is the streamer's where no contract says otherwise, in basis points.
    pub streamer_bp: u16,
    /// How often what was entered is sealed, in seconds.
    pub seal_every_s: u32,
    /// Gifts that somebody may give at once, and then so many each second.
    pub burst: u32,
    /// See `burst`.
    pub per_second: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hold_days: 7,
            streamer_bp: 5_000,
            seal_every_s: 60,
            burst: 40,
            per_second: 10,
        }
    }
}

impl Config {
    /// Checks what types alone cannot.
    ///
    /// # Errors
    /// At the first value that makes no sense.
    pub fn validate(&self) -> Result<(), String> {
        if self.streamer_bp > gifts_core::split::WHOLE {
            return Err("`gifts.streamer_bp` is more than 10000: more than all of it".into());
        }
        if self.hold_days > 3_650 {
            return Err("`gifts.hold_days` is more than ten years".into());
        }
        if self.seal_every_s == 0 {
            return Err("`gifts.seal_every_s` is 0: it would be sealed without end".into());
        }
        if self.burst == 0 || self.per_second == 0 {
            return Err("`gifts.burst` or `gifts.per_second` is 0: nothing could be given".into());
        }
        Ok(())
    }
}
