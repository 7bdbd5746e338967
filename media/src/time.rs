//! The two clocks a broadcast has: its own, and the wall's.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// Microseconds in a second: the unit both clocks count in.
const MICROS: i64 = 1_000_000;

/// Microseconds since the broadcast began, on the stream's clock.
///
/// It survives a publisher's reconnect: what comes after continues the same line. Differences
/// between two of them are plain [`i64`] microseconds through [`MediaTime::since`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaTime(i64);

impl MediaTime {
    /// The moment the broadcast began.
    pub const ZERO: Self = Self(0);

    /// From whole microseconds.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From whole milliseconds, the unit of RTMP and FLV timestamps.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Whole microseconds since the broadcast began; negative before it.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds, rounded towards zero.
    pub const fn as_millis(self) -> i64 {
        self.0 / 1000
    }

    /// Seconds as a float, for people and playlists.
    #[expect(
        clippy::cast_precision_loss,
        reason = "285 years of microseconds fit a double exactly"
    )]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / MICROS as f64
    }

    /// Signed microseconds from `earlier` to `self`.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The same moment in ticks of `timescale` per second, rounded to the nearest tick.
    ///
    /// Two times that are equal stay equal, and ticks of consecutive times never overlap, because
    /// the absolute value is rounded and never a difference.
    pub fn ticks(self, timescale: u32) -> i64 {
        let scaled = i128::from(self.0) * i128::from(timescale);
        let half = i128::from(MICROS / 2);
        let rounded = (scaled + half).div_euclid(i128::from(MICROS));
        i64::try_from(rounded).unwrap_or(i64::MAX)
    }
}

impl Add<Duration> for MediaTime {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(rhs.as_micros()).unwrap_or(i64::MAX)),
        )
    }
}

impl Add<i64> for MediaTime {
    type Output = Self;

    /// Moves by signed microseconds.
    fn add(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }
}

impl Sub<i64> for MediaTime {
    type Output = Self;

    fn sub(self, micros: i64) -> Self {
        Self(self.0.saturating_sub(micros))
    }
}

impl AddAssign<i64> for MediaTime {
    fn add_assign(&mut self, micros: i64) {
        *self = *self + micros;
    }
}

impl fmt::Display for MediaTime {
    /// Seconds with millisecond precision, as in `12.345s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}s", self.as_secs_f64())
    }
}

/// Microseconds since the Unix epoch, as the server's clock told them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(i64);

impl WallTime {
    /// From microseconds since 1970-01-01T00:00:00Z.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since the Unix epoch, rounded towards zero.
    pub const fn as_millis(self) -> i64 {
        self.0 / 1_000
    }

    /// Signed microseconds from `earlier` to `self`.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<MediaTime> for WallTime {
    type Output = Self;

    /// The wall time of a moment of the broadcast, given the wall time it began at.
    fn add(self, rhs: MediaTime) -> Self {
        Self(self.0.saturating_add(rhs.as_micros()))
    }
}

impl Add<Duration> for WallTime {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(whole_micros(rhs)))
    }
}

impl Sub<Duration> for WallTime {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(whole_micros(rhs)))
    }
}

fn whole_micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_round_to_the_nearest_and_never_drift() {
        // 30 fps told in whole milliseconds, on a 90 kHz timescale.
        let at = |ms| MediaTime::from_millis(ms).ticks(90_000);
        assert_eq!([at(0), at(33), at(67), at(100)], [0, 2970, 6030, 9000]);
        assert_eq!(MediaTime::from_micros(-1).ticks(90_000), 0);
        assert_eq!(MediaTime::from_micros(-100_000).ticks(90_000), -9000);
    }

    #[test]
    fn arithmetic_saturates_at_the_ends_of_time() {
        let end = MediaTime::from_micros(i64::MAX);
        assert_eq!(end + Duration::from_secs(1), end);
        assert_eq!(MediaTime::from_millis(i64::MAX), end);
    }
}
