//! How the packager cuts and what it keeps.

use serde::{Deserialize, Serialize};

/// Shortest and longest nominal part that can be asked for, in milliseconds.
const PART_MS: std::ops::RangeInclusive<u32> = 100..=1000;
/// Shortest and longest target duration that can be asked for, in seconds.
const TARGET_DURATION_S: std::ops::RangeInclusive<u32> = 2..=10;

/// Settings of the packager and of how it is served. The defaults are what the rules of
/// RFC 8216bis and a latency of about a second want.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Nominal length of a part. The real one is a whole number of frames near it.
    pub part_ms: u32,
    /// Nominal length of a segment: it ends at the first keyframe at or after it.
    pub segment_ms: u32,
    /// `EXT-X-TARGETDURATION`: the longest segment. A longer group of pictures is cut.
    pub target_duration_s: u32,
    /// How much a playlist lists. Nine target durations leave delta updates something to skip.
    pub window_s: u32,
    /// Most bytes of media held in memory for each rendition. When they do not suffice the window
    /// shrinks, down to three target durations.
    pub window_bytes: usize,
    /// Most requests that may wait for a part or playlist at a time, over all broadcasts; others
    /// are told to come back.
    pub waiting_requests_max: usize,
    /// Most distinct viewers counted for one broadcast. The count stays there when there are more.
    pub viewers_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            part_ms: 200,
            segment_ms: 2000,
            target_duration_s: 4,
            window_s: 36,
            window_bytes: 64 * 1024 * 1024,
            waiting_requests_max: 20_000,
            viewers_max: 50_000,
        }
    }
}

/// A setting that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Parts too short or too long.
    #[error("hls.part_ms must be between 100 and 1000")]
    Part,
    /// Target duration too short or too long.
    #[error("hls.target_duration_s must be between 2 and 10")]
    TargetDuration,
    /// Segments shorter than parts or longer than the target duration.
    #[error("hls.segment_ms must be at least two parts and at most the target duration")]
    Segment,
    /// A window below what the standard demands.
    #[error("hls.window_s must be at least three target durations")]
    Window,
}

impl Config {
    /// Whether the settings can work together.
    ///
    /// # Errors
    /// Names the first that cannot.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !PART_MS.contains(&self.part_ms) {
            return Err(ConfigError::Part);
        }
        if !TARGET_DURATION_S.contains(&self.target_duration_s) {
            return Err(ConfigError::TargetDuration);
        }
        if !(self.part_ms * 2..=self.target_duration_s * 1000).contains(&self.segment_ms) {
            return Err(ConfigError::Segment);
        }
        if self.window_s < self.target_duration_s * 3 {
            return Err(ConfigError::Window);
        }
        Ok(())
    }

    pub(crate) fn part_us(&self) -> i64 {
        i64::from(self.part_ms) * 1000
    }

    pub(crate) fn segment_us(&self) -> i64 {
        i64::from(self.segment_ms) * 1000
    }

    pub(crate) fn target_us(&self) -> i64 {
        i64::from(self.target_duration_s) * 1_000_000
    }

    pub(crate) fn window_us(&self) -> i64 {
        i64::from(self.window_s) * 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_allowed_and_nonsense_is_named() {
        assert_eq!(Config::default().check(), Ok(()));
        let with = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.check()
        };
        assert_eq!(with(|c| c.part_ms = 0), Err(ConfigError::Part));
        assert_eq!(
            with(|c| c.target_duration_s = 60),
            Err(ConfigError::TargetDuration)
        );
        assert_eq!(with(|c| c.segment_ms = 4001), Err(ConfigError::Segment));
        assert_eq!(with(|c| c.window_s = 11), Err(ConfigError::Window));
    }
}
