//! What a track's frames come to: rate, bitrate, keyframe interval. Pure.

use std::collections::VecDeque;

use media::MediaTime;

/// Over how much time rates are taken.
const WINDOW_MICROS: i64 = 5_000_000;

/// Most frames looked back at, so that a stream that claims no time passes costs nothing.
const WINDOW_FRAMES: usize = 2_000;

/// Measures one track.
#[derive(Debug, Default)]
pub struct Meter {
    recent: VecDeque<(MediaTime, usize)>,
    bytes: usize,
    frames: u64,
    last_key: Option<MediaTime>,
    keyframe_interval_micros: i64,
}

impl Meter {
    /// Counts a frame of `size` bytes at `dts`.
    pub fn count(&mut self, dts: MediaTime, size: usize, key: bool) {
        self.frames += 1;
        self.bytes += size;
        self.recent.push_back((dts, size));
        while self.recent.len() > WINDOW_FRAMES || self.span_micros() > WINDOW_MICROS {
            let Some((_, size)) = self.recent.pop_front() else {
                break;
            };
            self.bytes -= size;
        }
        if key {
            if let Some(last) = self.last_key {
                self.keyframe_interval_micros = dts.since(last);
            }
            self.last_key = Some(dts);
        }
    }

    /// Forgets rates, which would span a break of the timeline, and keeps counts.
    pub fn begin_run(&mut self) {
        self.recent.clear();
        self.bytes = 0;
        self.last_key = None;
    }

    fn span_micros(&self) -> i64 {
        match (self.recent.front(), self.recent.back()) {
            (Some((first, _)), Some((last, _))) => last.since(*first),
            (None, _) | (_, None) => 0,
        }
    }

    /// Frames so far.
    pub const fn frames(&self) -> u64 {
        self.frames
    }

    /// Frames per second; zero before there are two.
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts within five seconds are small"
    )]
    pub fn fps(&self) -> f64 {
        let span = self.span_micros();
        if span == 0 {
            return 0.0;
        }
        (self.recent.len() - 1) as f64 * 1_000_000.0 / span as f64
    }

    /// Bits per second; zero before half a second has passed.
    pub fn bitrate_bps(&self) -> u64 {
        let span = u64::try_from(self.span_micros()).unwrap_or(0);
        if span < 500_000 {
            return 0;
        }
        // The newest frame's time is still to pass, so its bytes do not count yet.
        let newest = self.recent.back().map_or(0, |(_, size)| *size);
        (self.bytes - newest) as u64 * 8 * 1_000_000 / span
    }

    /// Milliseconds between the last two keyframes.
    pub fn keyframe_interval_ms(&self) -> u64 {
        u64::try_from(self.keyframe_interval_micros / 1000).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_last_seconds() {
        let mut meter = Meter::default();
        for i in 0..300i64 {
            // Ten seconds of 30 fps; in the second five every frame is twice as large.
            let size = if i < 150 { 1000 } else { 2000 };
            meter.count(
                MediaTime::from_micros(i * 1_000_000 / 30),
                size,
                i % 60 == 0,
            );
        }
        assert_eq!(meter.frames(), 300);
        assert!((meter.fps() - 30.0).abs() < 0.01, "{}", meter.fps());
        let expected = 2000 * 8 * 30;
        assert!(
            meter.bitrate_bps().abs_diff(expected) < 5000,
            "{}",
            meter.bitrate_bps()
        );
        assert_eq!(meter.keyframe_interval_ms(), 2000);
    }

    #[test]
    fn frames_that_claim_no_time_passes_are_bounded() {
        let mut meter = Meter::default();
        for _ in 0..100_000 {
            meter.count(MediaTime::ZERO, 10, true);
        }
        assert_eq!(
            (meter.recent.len(), meter.bitrate_bps()),
            (WINDOW_FRAMES, 0)
        );
        assert!(meter.fps().abs() < f64::EPSILON);
    }
}
