//! From a publisher's 32-bit millisecond stamps to the broadcast's `MediaTime`. Pure.
//!
//! Stamps wrap after 2^32 ms (49.7 days), jump when a source restarts its clock, and are rounded
//! to whole milliseconds. What leaves here never runs backwards on a track, survives all of that,
//! and counts each break as a new *run*.

use media::{MediaTime, TrackKind};

/// A step forward on one track beyond this is a jump of the clock and not a pause: a publisher
/// that is silent for three seconds is gone anyway.
const JUMP_FORWARD_MS: i64 = 10_000;

/// A step backward beyond this is a jump, and so is falling behind by it in small steps; less is a
/// muxer's untidiness and is held at the time before.
const JUMP_BACKWARD_MS: i64 = 1_000;

/// How far apart the tracks of one stream may be and still be told to follow the same clock. OBS
/// and ffmpeg stay below half a second.
const TRACK_SKEW_MICROS: i64 = 5_000_000;

/// How far an audio frame's stamp may stand from where counting samples puts it before counting
/// starts anew. Rounding to milliseconds alone makes a half.
const AUDIO_TOLERANCE_MICROS: i64 = 5_000;

/// Where a frame stands on the broadcast's timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Decode time.
    pub dts: MediaTime,
    /// How many times the timeline was broken up to here.
    pub run: u32,
}

/// The timeline of one publisher's connection.
#[derive(Debug)]
pub struct Timeline {
    run: u32,
    /// Added to a track's unwrapped stamp, in microseconds; the one a track adopts when it jumps
    /// after another did.
    offset_micros: i64,
    /// Earliest place for the first stamp; `None` once it was placed.
    begin_at: Option<MediaTime>,
    tracks: [Option<Track>; 2],
    /// How far the clock jumped, until somebody asks.
    jump_micros: Option<i64>,
}

#[derive(Debug)]
struct Track {
    /// The last stamp as it came, of those that wrap.
    raw: u32,
    /// The same without wraps, in microseconds.
    unwrapped: i64,
    offset_micros: i64,
    /// The last decode time given out.
    dts: MediaTime,
}

impl Timeline {
    /// The timeline of a connection whose first frame stands where the wall does when it comes,
    /// but not before `begin_at`, in run `run`.
    pub const fn new(begin_at: MediaTime, run: u32) -> Self {
        Self {
            run,
            offset_micros: 0,
            begin_at: Some(begin_at),
            tracks: [None, None],
            jump_micros: None,
        }
    }

    /// Breaks the timeline on purpose, as when a codec changes: what comes next is a new run.
    pub const fn begin_run(&mut self) {
        self.run += 1;
    }

    /// How many times the timeline was broken.
    pub const fn run(&self) -> u32 {
        self.run
    }

    /// How far the publisher's clock jumped since this was asked last, in microseconds, if it did.
    pub const fn take_jump(&mut self) -> Option<i64> {
        self.jump_micros.take()
    }

    /// Where the frame stamped `stamp` ms stands. `elapsed` is the wall time since the broadcast
    /// began: after a jump the timeline goes on from there.
    pub fn place(&mut self, kind: TrackKind, stamp: u32, elapsed: MediaTime) -> Placed {
        let unwrapped = self.unwrap_stamp(kind, stamp);
        self.place_unwrapped(kind, stamp, unwrapped, elapsed)
    }

    /// The same for a clock that does not wrap, in microseconds.
    pub fn place_micros(&mut self, kind: TrackKind, micros: i64, elapsed: MediaTime) -> Placed {
        self.place_unwrapped(kind, 0, micros, elapsed)
    }

    fn place_unwrapped(
        &mut self,
        kind: TrackKind,
        stamp: u32,
        unwrapped: i64,
        elapsed: MediaTime,
    ) -> Placed {
        if let Some(begin_at) = self.begin_at.take() {
            let at = begin_at.max(elapsed);
            self.offset_micros = at.since(MediaTime::from_micros(unwrapped));
        }
        let offset_micros = self.offset_for(kind, unwrapped, elapsed);
        let mut dts = MediaTime::from_micros(unwrapped) + offset_micros;
        if let Some(track) = &self.tracks[index(kind)] {
            dts = dts.max(track.dts);
        }
        self.tracks[index(kind)] = Some(Track {
            raw: stamp,
            unwrapped,
            offset_micros,
            dts,
        });
        Placed { dts, run: self.run }
    }

    /// A stamp without wraps, in microseconds: the nearest to the one before on its track, or on the other one.
    fn unwrap_stamp(&self, kind: TrackKind, stamp: u32) -> i64 {
        let (own, other) = (&self.tracks[index(kind)], &self.tracks[1 - index(kind)]);
        own.as_ref()
            .or(other.as_ref())
            .map_or(i64::from(stamp) * 1_000, |track| {
                // The difference modulo 2^32, read as signed, is the shorter way round.
                let step_ms = i64::from(stamp.wrapping_sub(track.raw).cast_signed());
                track.unwrapped + step_ms * 1_000
            })
    }

    fn offset_for(&mut self, kind: TrackKind, unwrapped: i64, elapsed: MediaTime) -> i64 {
        let Some(track) = &self.tracks[index(kind)] else {
            return self.first_offset(kind, unwrapped, elapsed);
        };
        let step_ms = (unwrapped - track.unwrapped) / 1_000;
        let here = MediaTime::from_micros(unwrapped) + track.offset_micros;
        let behind = track.dts.since(here) > JUMP_BACKWARD_MS * 1000;
        if (-JUMP_BACKWARD_MS..=JUMP_FORWARD_MS).contains(&step_ms) && !behind {
            return track.offset_micros;
        }
        // The other track may have jumped just before; then this one only follows it.
        if track.offset_micros != self.offset_micros {
            let following = MediaTime::from_micros(unwrapped) + self.offset_micros;
            if self.is_beside_the_others(kind, following) {
                return self.offset_micros;
            }
        }
        self.break_at(unwrapped, elapsed)
    }

    fn first_offset(&mut self, kind: TrackKind, unwrapped: i64, elapsed: MediaTime) -> i64 {
        let at = MediaTime::from_micros(unwrapped) + self.offset_micros;
        if self.is_beside_the_others(kind, at) {
            return self.offset_micros;
        }
        self.break_at(unwrapped, elapsed)
    }

    fn is_beside_the_others(&self, kind: TrackKind, at: MediaTime) -> bool {
        self.tracks[1 - index(kind)]
            .as_ref()
            .is_none_or(|other| at.since(other.dts).abs() <= TRACK_SKEW_MICROS)
    }

    /// Starts a new run in which this stamp stands at the wall's time, or right after everything
    /// given out so far, whichever is later.
    fn break_at(&mut self, unwrapped: i64, elapsed: MediaTime) -> i64 {
        let last = self.tracks.iter().flatten().map(|track| track.dts).max();
        let at = last.map_or(elapsed, |last| elapsed.max(last + 1_000));
        let unbroken = MediaTime::from_micros(unwrapped) + self.offset_micros;
        self.jump_micros = Some(unbroken.since(last.unwrap_or(at)));
        self.run += 1;
        self.offset_micros = at.since(MediaTime::from_micros(unwrapped));
        self.offset_micros
    }
}

const fn index(kind: TrackKind) -> usize {
    match kind {
        TrackKind::Video => 0,
        TrackKind::Audio => 1,
    }
}

/// Puts audio frames where counting their samples puts them, as long as the stamps agree to within
/// their rounding. Millisecond stamps of 21⅓ ms frames would otherwise make every frame a third
/// of a millisecond too long or too short.
#[derive(Debug, Default)]
pub struct SampleClock {
    counted: Option<Counted>,
}

#[derive(Debug)]
struct Counted {
    base: MediaTime,
    run: u32,
    samples: i64,
    rate: u32,
}

impl SampleClock {
    /// The time of a frame of `samples` samples at `rate` per second that was stamped `placed`.
    pub fn place(&mut self, placed: Placed, samples: u32, rate: u32) -> MediaTime {
        let expected = self
            .counted
            .as_ref()
            .filter(|counted| counted.run == placed.run && counted.rate == rate)
            .map(|counted| counted.base + counted.samples * 1_000_000 / i64::from(rate.max(1)))
            .filter(|expected| placed.dts.since(*expected).abs() <= AUDIO_TOLERANCE_MICROS);
        let next = i64::from(samples);
        match (&mut self.counted, expected) {
            (Some(counted), Some(expected)) => {
                counted.samples += next;
                expected
            }
            (slot, _) => {
                // Never behind what was given out: a stamp may be up to the tolerance early.
                let floor = slot.as_ref().map(|counted| {
                    let last = (counted.samples - next).max(0);
                    counted.base + last * 1_000_000 / i64::from(counted.rate.max(1))
                });
                let base = floor.map_or(placed.dts, |floor| placed.dts.max(floor));
                *slot = Some(Counted {
                    base,
                    run: placed.run,
                    samples: next,
                    rate,
                });
                base
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TrackKind::{Audio, Video};
    use proptest::prelude::*;

    fn ms(millis: i64) -> MediaTime {
        MediaTime::from_millis(millis)
    }

    #[test]
    fn the_first_frame_stands_where_the_wall_does_whatever_its_stamp() {
        let mut timeline = Timeline::new(ms(0), 0);
        assert_eq!(timeline.place(Video, 777_000, ms(5)).dts, ms(5));
        assert_eq!(timeline.place(Audio, 777_010, ms(9)).dts, ms(15));
    }

    #[test]
    fn stamps_wrap_after_49_days_without_a_break() {
        let mut timeline = Timeline::new(ms(0), 0);
        timeline.place(Video, u32::MAX - 10, ms(0));
        timeline.place(Audio, u32::MAX - 5, ms(0));
        assert_eq!(
            timeline.place(Video, 22, ms(33)),
            Placed {
                dts: ms(33),
                run: 0
            }
        );
        assert_eq!(
            timeline.place(Audio, 16, ms(33)),
            Placed {
                dts: ms(27),
                run: 0
            }
        );
    }

    #[test]
    fn a_jump_begins_one_new_run_that_both_tracks_follow() {
        for target in [5_000_000u32, 0] {
            let mut timeline = Timeline::new(ms(0), 0);
            for i in 0..100 {
                timeline.place(Video, 100_000 + i * 40, ms(i64::from(i) * 40));
                timeline.place(Audio, 100_000 + i * 40 + 5, ms(i64::from(i) * 40));
            }
            let jumped = timeline.place(Video, target, ms(4000));
            assert_eq!(
                jumped,
                Placed {
                    dts: ms(4000),
                    run: 1
                }
            );
            // Sound that was on its way still belongs to the clock before the jump.
            assert_eq!(timeline.place(Audio, 104_005, ms(4000)).dts, ms(4005));
            let followed = timeline.place(Audio, target + 45, ms(4050));
            assert_eq!(
                followed,
                Placed {
                    dts: ms(4045),
                    run: 1
                }
            );
            assert_eq!(timeline.place(Video, target + 40, ms(4040)).run, 1);
        }
    }

    #[test]
    fn small_steps_backward_are_held_and_are_no_break() {
        let mut timeline = Timeline::new(ms(0), 0);
        timeline.place(Video, 1000, ms(0));
        timeline.place(Video, 1500, ms(0));
        assert_eq!(
            timeline.place(Video, 1400, ms(0)),
            Placed {
                dts: ms(500),
                run: 0
            }
        );
        assert_eq!(
            timeline.place(Video, 1540, ms(0)),
            Placed {
                dts: ms(540),
                run: 0
            }
        );
    }

    #[test]
    fn a_clock_that_runs_backwards_in_small_steps_breaks_whenever_it_is_a_second_behind() {
        let mut timeline = Timeline::new(ms(0), 0);
        let mut stamp = 1_000_000;
        let mut jumps = Vec::new();
        for i in 0..300 {
            timeline.place(Video, stamp, ms(i * 40));
            jumps.extend(timeline.take_jump());
            stamp -= 40;
        }
        assert_eq!(timeline.run(), 11, "every 26 frames");
        assert!(jumps.iter().all(|&jump| jump == -1_040_000), "{jumps:?}");
    }

    #[test]
    fn a_returning_publisher_goes_on_where_the_wall_stands() {
        let mut timeline = Timeline::new(ms(60_000), 3);
        assert_eq!(
            timeline.place(Video, 0, ms(62_000)),
            Placed {
                dts: ms(62_000),
                run: 3
            }
        );
        // One that had sent faster than the wall goes on after what it sent.
        let mut ahead = Timeline::new(ms(90_000), 3);
        assert_eq!(
            ahead.place(Video, 0, ms(62_000)),
            Placed {
                dts: ms(90_000),
                run: 3
            }
        );
    }

    #[test]
    fn audio_frames_are_exactly_as_long_as_their_samples() {
        let mut clock = SampleClock::default();
        for i in 0..10_000i64 {
            let exact = i * 1024 * 1_000_000 / 48_000;
            let stamped = MediaTime::from_millis((exact + 500) / 1000);
            let at = clock.place(
                Placed {
                    dts: stamped,
                    run: 0,
                },
                1024,
                48_000,
            );
            assert_eq!(at.as_micros(), exact, "frame {i}");
        }
    }

    #[test]
    fn a_pause_in_the_sound_restarts_the_count() {
        let mut clock = SampleClock::default();
        clock.place(Placed { dts: ms(0), run: 0 }, 1024, 48_000);
        let at = clock.place(
            Placed {
                dts: ms(500),
                run: 0,
            },
            1024,
            48_000,
        );
        assert_eq!(at, ms(500));
    }

    proptest! {
        #[test]
        fn no_track_ever_runs_backwards(
            stamps in prop::collection::vec((any::<bool>(), prop_oneof![any::<u32>(), 0u32..5000]), 1..300)
        ) {
            let mut timeline = Timeline::new(ms(0), 0);
            let mut clock = SampleClock::default();
            let mut last = [MediaTime::from_micros(i64::MIN); 2];
            let mut run = 0;
            for (i, (audio, stamp)) in stamps.into_iter().enumerate() {
                let kind = if audio { Audio } else { Video };
                let placed = timeline.place(kind, stamp, ms(i64::try_from(i).unwrap() * 20));
                let dts = if audio { clock.place(placed, 1024, 48_000) } else { placed.dts };
                prop_assert!(dts >= last[index(kind)], "{kind:?} {dts} after {}", last[index(kind)]);
                prop_assert!(placed.run >= run);
                last[index(kind)] = dts;
                run = placed.run;
            }
        }
    }
}
