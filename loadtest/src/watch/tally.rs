//! What viewers saw: a [`Tally`] for each thread of them, and a [`Seat`] for each viewer.

use std::time::{Duration, Instant};

use media::flv::{TagKind, Video};

use crate::errors::Errors;
use crate::stamp::Stamp;
use crate::times::{Times, Window};

/// A pause that a person notices.
const PAUSE: Duration = Duration::from_millis(500);

/// What the viewers of one thread saw together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// From the moment a viewer was to come to its first picture.
    pub(crate) joins: Times,
    /// How old the first picture was.
    pub(crate) first_ages: Times,
    /// How long pictures were under way that were sent after their viewer had joined.
    pub(crate) latencies: Times,
    /// From the end of a part on the publisher's clock to the part in hand, LL-HLS alone.
    pub(crate) part_delays: Times,
    /// How long after they stopped reading the stopped ones were let go.
    pub(crate) stopped_dropped: Times,
    /// From asking for a session to its first packet, WHEP alone.
    pub(crate) first_packets: Times,
    /// Packets of pictures that did not come in time, and that came when they were asked for, WHEP
    /// alone.
    pub(crate) packets_missed: u64,
    pub(crate) packets_repaired: u64,
    pub(crate) joined: usize,
    /// Could not come, or saw no picture.
    pub(crate) failed: usize,
    /// Were sent away before the time was over.
    pub(crate) lost: usize,
    /// Were still there at the end and had seen nothing for a second.
    pub(crate) starved: usize,
    /// First pictures that were no keyframes.
    pub(crate) torn_starts: usize,
    /// Pictures, all the time.
    pub(crate) frames: u64,
    pub(crate) frames_stamped: u64,
    /// Numbers that did not come between two that did.
    pub(crate) frames_missed: u64,
    /// Numbers that came again, or too late.
    pub(crate) frames_repeated: u64,
    /// Pictures of which something did not come, WHEP alone.
    pub(crate) frames_torn: u64,
    pub(crate) pauses: u64,
    /// Answers other than 200 to an announced part, LL-HLS alone.
    pub(crate) parts_missed: u64,
    /// Within the window.
    pub(crate) window_bytes: u64,
    pub(crate) window_reads: u64,
    pub(crate) errors: Errors,
}

impl Tally {
    pub(crate) fn merge(&mut self, other: Self) {
        self.joins.merge(&other.joins);
        self.first_ages.merge(&other.first_ages);
        self.latencies.merge(&other.latencies);
        self.part_delays.merge(&other.part_delays);
        self.stopped_dropped.merge(&other.stopped_dropped);
        self.first_packets.merge(&other.first_packets);
        self.packets_missed += other.packets_missed;
        self.packets_repaired += other.packets_repaired;
        self.joined += other.joined;
        self.failed += other.failed;
        self.lost += other.lost;
        self.starved += other.starved;
        self.torn_starts += other.torn_starts;
        self.frames += other.frames;
        self.frames_stamped += other.frames_stamped;
        self.frames_missed += other.frames_missed;
        self.frames_repeated += other.frames_repeated;
        self.frames_torn += other.frames_torn;
        self.pauses += other.pauses;
        self.parts_missed += other.parts_missed;
        self.window_bytes += other.window_bytes;
        self.window_reads += other.window_reads;
        self.errors.merge(other.errors);
    }
}

/// One viewer.
#[derive(Debug)]
pub(crate) struct Seat {
    /// When it was to come: what the server is late for counts, and what we are late for as well.
    due: Instant,
    joined: Option<Joined>,
    /// The number after the last picture's.
    next: Option<Stamp>,
    last_picture: Option<Instant>,
    last_heard: Option<Instant>,
    /// Tracks that have to begin before it has joined.
    pub(crate) tracks: usize,
    pub(crate) stopped_at: Option<Instant>,
    pub(crate) gone: bool,
}

#[derive(Clone, Copy, Debug)]
struct Joined {
    us: u64,
}

impl Seat {
    pub(crate) const fn new(due: Instant) -> Self {
        Self {
            due,
            joined: None,
            next: None,
            last_picture: None,
            last_heard: None,
            tracks: 1,
            stopped_at: None,
            gone: false,
        }
    }

    pub(crate) const fn has_joined(&self) -> bool {
        self.joined.is_some()
    }

    /// Whether nothing came for a second.
    pub(crate) fn is_starved(&self, now: Instant) -> bool {
        self.last_heard
            .is_none_or(|at| now.saturating_duration_since(at) > Duration::from_secs(1))
    }
}

/// One viewer who has just been given something.
pub(crate) struct Seen<'a> {
    pub(crate) seat: &'a mut Seat,
    pub(crate) tally: &'a mut Tally,
    pub(crate) window: Window,
    pub(crate) now: Instant,
    pub(crate) now_us: u64,
}

impl Seen<'_> {
    /// A tag of FLV, or a message of RTMP.
    pub(crate) fn tag(&mut self, kind: TagKind, body: &bytes::Bytes) {
        if kind != TagKind::Video {
            return;
        }
        let key = match Video::parse(body) {
            Ok(Video::H264Frame { key, .. }) => key,
            // Other codecs have no stamps; the frame type stands at the same place in all.
            Ok(Video::Unsupported(_)) => body.first().is_some_and(|first| first >> 4 & 7 == 1),
            Ok(Video::H264SequenceHeader(_) | Video::H264EndOfSequence | Video::Nothing)
            | Err(_) => return,
        };
        self.tally.torn_starts += usize::from(!key && !self.seat.has_joined());
        let stamp = Stamp::of_frame(body);
        self.join(stamp);
        self.picture(stamp);
    }

    /// The viewer has what it needs to begin; the stamp is its first picture's.
    pub(crate) fn join(&mut self, first: Option<Stamp>) {
        if self.seat.has_joined() {
            return;
        }
        self.seat.joined = Some(Joined { us: self.now_us });
        self.tally.joined += 1;
        let took = self.now.saturating_duration_since(self.seat.due);
        self.tally.joins.add_duration(took);
        if let Some(stamp) = first {
            let age = self.now_us.saturating_sub(stamp.sent_us);
            self.tally.first_ages.add(age);
        }
    }

    /// Something came that shows the viewer is being served.
    pub(crate) const fn heard(&mut self) {
        self.seat.last_heard = Some(self.now);
    }

    /// A picture, whole.
    pub(crate) fn picture(&mut self, stamp: Option<Stamp>) {
        self.heard();
        self.tally.frames += 1;
        let before = self.seat.last_picture.replace(self.now);
        let pause = before.map(|before| self.now.saturating_duration_since(before));
        self.tally.pauses += u64::from(pause.is_some_and(|pause| pause > PAUSE));
        let Some(stamp) = stamp else { return };
        self.tally.frames_stamped += 1;
        // A publisher that comes anew counts anew, later than all that was sent before.
        let next = self.seat.next.filter(|next| {
            let anew = stamp.number < next.number && stamp.sent_us > next.sent_us;
            !anew
        });
        match next {
            Some(next) if stamp.number < next.number => self.tally.frames_repeated += 1,
            Some(next) => self.tally.frames_missed += u64::from(stamp.number - next.number),
            None => {}
        }
        self.seat.next = Some(Stamp {
            number: stamp
                .number
                .saturating_add(1)
                .max(next.map_or(0, |next| next.number)),
            sent_us: stamp.sent_us.max(next.map_or(0, |next| next.sent_us)),
        });
        let live = self
            .seat
            .joined
            .is_some_and(|joined| stamp.sent_us >= joined.us);
        if live && self.window.has(self.now) {
            self.tally
                .latencies
                .add(self.now_us.saturating_sub(stamp.sent_us));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn see(numbers: &[u32]) -> Tally {
        let timed: Vec<_> = numbers.iter().map(|&number| (number, number)).collect();
        see_at(&timed)
    }

    /// Pictures with their numbers, and when they were sent.
    fn see_at(pictures: &[(u32, u32)]) -> Tally {
        let (mut tally, now) = (Tally::default(), Instant::now());
        let mut seat = Seat::new(now);
        let window = Window {
            from: now,
            until: now + Duration::from_secs(10),
        };
        for &(number, at) in pictures {
            let stamp = Some(Stamp {
                number,
                sent_us: 1_000_000 + u64::from(at),
            });
            let mut seen = Seen {
                seat: &mut seat,
                tally: &mut tally,
                window,
                now,
                now_us: 1_000_100,
            };
            seen.join(stamp);
            seen.picture(stamp);
        }
        tally
    }

    #[test]
    fn a_publisher_that_comes_anew_is_no_repetition() {
        let tally = see_at(&[(7, 1), (8, 2), (0, 3), (1, 4), (3, 6), (1, 4)]);
        assert_eq!((tally.frames_missed, tally.frames_repeated), (1, 1));
    }

    #[test]
    fn missed_and_repeated_pictures_are_told_apart() {
        let tally = see(&[5, 6, 9, 7, 10, 10]);
        assert_eq!((tally.frames, tally.frames_missed), (6, 2));
        assert_eq!(tally.frames_repeated, 2);
        assert_eq!(tally.joined, 1);
    }

    #[test]
    fn what_was_sent_before_the_viewer_came_says_nothing_of_delay() {
        // The viewer joins 100 µs after the clock of the stamps began.
        assert_eq!(see(&[5, 6]).latencies.histogram().len(), 0);
        assert_eq!(see(&[5, 100, 101]).latencies.histogram().len(), 2);
        assert_eq!(see(&[5]).first_ages.histogram().max(), 95);
    }
}
