//! What can be set of publishing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::publisher::Error;

/// What publishers may do, on every protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long a vanished publisher may take to return and continue its broadcast, in
    /// milliseconds; 0 ends the broadcast at once.
    pub grace_ms: u64,
    /// How long a publisher may send nothing before it counts as vanished, in milliseconds.
    pub silence_ms: u64,
    /// What a publisher may send.
    pub caps: Caps,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            grace_ms: 30_000,
            silence_ms: 3_000,
            caps: Caps::default(),
        }
    }
}

impl Config {
    /// Checks what types alone cannot.
    ///
    /// # Errors
    /// At the first value that makes no sense, in words.
    pub fn validate(&self) -> Result<(), String> {
        if self.silence_ms == 0 {
            return Err("`ingest.silence_ms` is 0: every publisher would be gone at once".into());
        }
        Ok(())
    }

    /// How long a publisher that vanished may take to return.
    pub const fn grace(&self) -> Duration {
        Duration::from_millis(self.grace_ms)
    }

    /// How long a publisher may be silent.
    pub const fn silence(&self) -> Duration {
        Duration::from_millis(self.silence_ms)
    }
}

/// What a publisher may send; 0 leaves it unbounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Caps {
    /// Most kilobits per second, pictures and sound together, over five seconds.
    pub bitrate_kbps: u64,
    /// Most pixels across; taken with `height`, either way round.
    pub width: u32,
    /// Most pixels down.
    pub height: u32,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            bitrate_kbps: 50_000,
            width: 3840,
            height: 2160,
        }
    }
}

impl Caps {
    pub(crate) fn check_resolution(&self, width: u32, height: u32) -> Result<(), Error> {
        // A phone held upright has the same pixels as one held across.
        let (long, short) = (width.max(height), width.min(height));
        let (max_long, max_short) = (self.width.max(self.height), self.width.min(self.height));
        if max_short != 0 && (long > max_long || short > max_short) {
            return Err(Error::Resolution {
                width,
                height,
                max_width: self.width,
                max_height: self.height,
            });
        }
        Ok(())
    }

    pub(crate) const fn check_bitrate(&self, kbps: u64) -> Result<(), Error> {
        if self.bitrate_kbps != 0 && kbps > self.bitrate_kbps {
            return Err(Error::Bitrate {
                kbps,
                max_kbps: self.bitrate_kbps,
            });
        }
        Ok(())
    }
}

/// The RTMP listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RtmpConfig {
    /// Address and port; port 0 takes a free one.
    pub listen: String,
    /// Most connections at once.
    pub max_connections: usize,
    /// Most connections at once from one address.
    pub max_connections_per_address: usize,
    /// How long a connection may take from its first byte to publishing, in milliseconds.
    pub handshake_timeout_ms: u64,
}

impl Default for RtmpConfig {
    fn default() -> Self {
        Self {
            listen: "0.0.0.0:1935".into(),
            max_connections: 2_000,
            max_connections_per_address: 100,
            handshake_timeout_ms: 10_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_may_be_as_large_as_the_cap_either_way_round() {
        let caps = Caps {
            bitrate_kbps: 0,
            width: 1920,
            height: 1080,
        };
        assert!(caps.check_resolution(1920, 1080).is_ok());
        assert!(caps.check_resolution(1080, 1920).is_ok());
        assert!(caps.check_resolution(1920, 1088).is_err());
        assert!(caps.check_resolution(2560, 720).is_err());
        let unbounded = Caps {
            bitrate_kbps: 0,
            width: 0,
            height: 0,
        };
        assert!(unbounded.check_resolution(16_000, 16_000).is_ok());
        assert!(unbounded.check_bitrate(u64::MAX).is_ok());
    }
}
