//! How long a shard lets packets gather before it writes them. Pure.
//!
//! What a viewer costs is a write, whatever is in it. With room to spare every picture is written
//! at once; as the shard gets busy it lets more gather for each write, and so does less.

use std::time::Duration;

/// Over how much time the load is measured.
const MEASURED_OVER: Duration = Duration::from_millis(100);

/// Busier than this, the window grows; idler than that, it shrinks.
const BUSY: f64 = 0.75;
const IDLE: f64 = 0.5;

/// The smallest window that is worth having.
const STEP: Duration = Duration::from_millis(10);

/// How long packets gather.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// At least.
    pub min: Duration,
    /// At most.
    pub max: Duration,
}

/// The window in force.
#[derive(Clone, Debug)]
pub struct Pace {
    bounds: Bounds,
    window: Duration,
    busy: Duration,
    total: Duration,
    load: f64,
}

impl Pace {
    /// Begins with the smallest window.
    pub const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            window: bounds.min,
            busy: Duration::ZERO,
            total: Duration::ZERO,
            load: 0.0,
        }
    }

    /// How long packets gather now.
    pub const fn window(&self) -> Duration {
        self.window
    }

    /// The share of its time for which the shard was busy, as measured last.
    pub const fn load(&self) -> f64 {
        self.load
    }

    /// Takes note of a turn of the loop: how long it waited, and how long it worked.
    pub fn note(&mut self, waited: Duration, worked: Duration) {
        self.busy += worked;
        self.total += waited + worked;
        if self.total < MEASURED_OVER {
            return;
        }
        self.load = self.busy.as_secs_f64() / self.total.as_secs_f64();
        (self.busy, self.total) = (Duration::ZERO, Duration::ZERO);
        if self.load > BUSY {
            self.window = (self.window * 3 / 2).max(STEP);
        } else if self.load < IDLE {
            self.window = self.window * 4 / 5;
            if self.window < STEP {
                self.window = Duration::ZERO;
            }
        }
        self.window = self.window.clamp(self.bounds.min, self.bounds.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        min: Duration::ZERO,
        max: Duration::from_millis(100),
    };

    /// So many turns of 100 ms at a load in percent.
    fn run(pace: &mut Pace, percent: u64, turns: usize) {
        for _ in 0..turns {
            pace.note(
                Duration::from_millis(100 - percent),
                Duration::from_millis(percent),
            );
        }
    }

    #[test]
    fn a_shard_with_room_writes_at_once() {
        let mut pace = Pace::new(BOUNDS);
        run(&mut pace, 70, 50);
        assert_eq!(pace.window(), Duration::ZERO);
    }

    #[test]
    fn a_busy_shard_lets_more_gather_up_to_the_bound_and_comes_back() {
        let mut pace = Pace::new(BOUNDS);
        run(&mut pace, 90, 1);
        assert_eq!(pace.window(), STEP);
        run(&mut pace, 90, 50);
        assert_eq!(pace.window(), BOUNDS.max);
        run(&mut pace, 60, 50);
        assert_eq!(pace.window(), BOUNDS.max, "between the two it stays");
        run(&mut pace, 20, 50);
        assert_eq!(pace.window(), Duration::ZERO);
    }

    #[test]
    fn the_window_stays_within_what_was_configured() {
        let fixed = Duration::from_millis(80);
        let mut pace = Pace::new(Bounds {
            min: fixed,
            max: fixed,
        });
        run(&mut pace, 5, 10);
        assert_eq!(pace.window(), fixed);
        run(&mut pace, 99, 10);
        assert_eq!(pace.window(), fixed);
    }

    #[test]
    fn one_turn_decides_nothing() {
        let mut pace = Pace::new(BOUNDS);
        pace.note(Duration::ZERO, Duration::from_millis(50));
        assert_eq!(pace.window(), Duration::ZERO);
    }
}
