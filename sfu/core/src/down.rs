//! A track on its way to one viewer: its packets under the viewer's numbers, and again when they
//! were lost.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::packet::Packet;
use crate::rtcp::{ReportBlock, SenderReport};
use crate::rtp;

/// Stretches of numbers that are remembered for what may be asked for again.
const STRETCHES_MAX: usize = 32;

/// Timestamps of the catching up that are remembered for the same.
const REWRITTEN_MAX: usize = 512;

/// Times that are remembered of packets that were sent again: who asks for the same within half a
/// round trip is given it once. What it reckons with itself may be a little less than the whole.
const AGAIN_MAX: usize = 128;

/// What the round trip is taken for before a report has shown it.
const ROUND_TRIP: Duration = Duration::from_millis(40);

/// How far behind the newest a late packet may be and still be sent.
const LATE_MAX: u64 = 1_024;

/// How many packets a viewer may ask for again in a second, and at once.
const ASKS_PER_SECOND: f64 = 1_000.0;
const ASKS_BURST: f64 = 512.0;

/// A share of what was sent that may be sent again, and what may be at once: who asks for more has
/// no use for it, and costs others.
const REPAIR_SHARE: u64 = 2;
const REPAIR_BURST: u64 = 256 * 1024;

/// Where a packet was written, and what it has to be sealed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where its payload begins.
    pub payload: usize,
    /// Its source.
    pub ssrc: u32,
    /// Its sequence number without wraps.
    pub index: u64,
}

/// How a viewer fares, from its reports.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fares {
    /// Packets sent.
    pub packets: u64,
    /// Bytes of payload sent.
    pub bytes: u64,
    /// Packets sent again.
    pub repaired: u64,
    /// Packets that it lost, as it reports; those that were repaired may be among them.
    pub lost: u64,
    /// Packets that it asked for and that nobody has.
    pub unrepaired: u64,
    /// The share that it lost of late.
    pub loss: f64,
    /// How uneven packets come.
    pub jitter: Duration,
    /// The time there and back.
    pub round_trip: Option<Duration>,
}

/// One track of one viewer.
#[derive(Debug)]
pub struct DownTrack {
    ssrc: u32,
    rtx_ssrc: u32,
    clock_rate: u32,
    /// The next sequence number without wraps, and of the repairs.
    next: u64,
    rtx_next: u64,
    /// Which of the last numbers were used, by their remainder: sealing under one twice would give
    /// the key away.
    used: [u64; (LATE_MAX / 64) as usize],
    /// From which number of the track on, what is to be added to get the viewer's.
    stretches: VecDeque<(u64, i64)>,
    /// The number after the newest that was sent.
    sent_to: Option<u64>,
    /// Timestamps of the track that were sent as others, and as which.
    rewritten: VecDeque<(u32, u32)>,
    /// The newest timestamp as sent, and of the picture that has it as the track has it.
    last: Option<u32>,
    newest: Option<u32>,
    /// Whether what is sent may be ahead of the track's own time.
    shifted: bool,
    /// What may be asked for again, and until when that was reckoned.
    asks: f64,
    asks_at: Option<Instant>,
    again: VecDeque<(u64, Instant)>,
    repair_bytes: u64,
    fares: Fares,
}

impl DownTrack {
    /// A track that begins with `first` as its sequence number, which must leave room before the
    /// first wrap: a peer cannot know of wraps it has not seen.
    pub fn new(ssrc: u32, rtx_ssrc: u32, clock_rate: u32, first: u16) -> Self {
        Self {
            ssrc,
            rtx_ssrc,
            clock_rate,
            next: u64::from(first & 0x3fff) + 1,
            rtx_next: u64::from(first & 0x3fff) + 1,
            used: [0; (LATE_MAX / 64) as usize],
            stretches: VecDeque::new(),
            sent_to: None,
            rewritten: VecDeque::new(),
            last: None,
            newest: None,
            shifted: false,
            asks: ASKS_BURST,
            asks_at: None,
            again: VecDeque::new(),
            repair_bytes: REPAIR_BURST,
            fares: Fares::default(),
        }
    }

    /// Its source.
    pub const fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Ticks of its timestamps in a second.
    pub const fn clock_rate(&self) -> u32 {
        self.clock_rate
    }

    /// How the viewer fares.
    pub const fn fares(&self) -> &Fares {
        &self.fares
    }

    /// What comes next does not continue what came before: it is numbered as if it did, so that
    /// nobody asks for what was left out on purpose.
    pub fn skip(&mut self) {
        self.sent_to = None;
        self.rewritten.clear();
        self.newest = None;
    }

    /// Writes a packet behind `out`. `live` is the track's newest timestamp: pictures from before
    /// the viewer came are sent as if they were taken now, so that they are shown at once and the
    /// viewer is not behind for good.
    pub fn write(
        &mut self,
        packet: &Packet,
        payload_type: u8,
        live: Option<u32>,
        out: &mut Vec<u8>,
    ) -> Option<Written> {
        let is_new = self.sent_to.is_none_or(|sent_to| packet.number >= sent_to);
        let index = self.number(packet.number)?;
        if !self.use_up(index) {
            return None;
        }
        let timestamp = self.stamp(packet, live, is_new);
        rtp::write_header(
            out,
            payload_type,
            packet.marker,
            (index & 0xffff) as u16,
            timestamp,
            self.ssrc,
        );
        let payload = out.len();
        out.extend_from_slice(&packet.payload);
        self.fares.packets += 1;
        self.fares.bytes += packet.payload.len() as u64;
        let earned = packet.payload.len() as u64 / REPAIR_SHARE;
        self.repair_bytes = (self.repair_bytes + earned).min(REPAIR_BURST);
        Some(Written {
            payload,
            ssrc: self.ssrc,
            index,
        })
    }

    /// The viewer's number of a packet; `None` for one from before it came.
    fn number(&mut self, number: u64) -> Option<u64> {
        match self.sent_to {
            None => {
                let offset = self.next.cast_signed() - number.cast_signed();
                if self.stretches.len() == STRETCHES_MAX {
                    self.stretches.pop_front();
                }
                self.stretches.push_back((number, offset));
                self.sent_to = Some(number + 1);
                let index = self.next;
                self.advance_to(index + 1);
                Some(index)
            }
            Some(sent_to) => {
                let &(from, offset) = self.stretches.back()?;
                if number < from {
                    return None;
                }
                let index = number.checked_add_signed(offset)?;
                if number >= sent_to {
                    self.sent_to = Some(number + 1);
                    self.advance_to(index + 1);
                }
                Some(index)
            }
        }
    }

    /// The next number is `next`; those up to it have not been used yet.
    fn advance_to(&mut self, next: u64) {
        for index in self.next.max(next.saturating_sub(LATE_MAX))..next {
            let (word, bit) = place_of(index);
            self.used[word] &= !bit;
        }
        self.next = next;
    }

    /// Takes a number for good; tells whether nobody has had it.
    fn use_up(&mut self, index: u64) -> bool {
        if index + LATE_MAX < self.next {
            return false;
        }
        let (word, bit) = place_of(index);
        let unused = self.used[word] & bit == 0;
        self.used[word] |= bit;
        unused
    }

    fn stamp(&mut self, packet: &Packet, live: Option<u32>, is_new: bool) -> u32 {
        let before = self.stamped(packet);
        let goes_on = self.newest == Some(packet.timestamp);
        if before != packet.timestamp || goes_on || !is_new {
            // The rest of a picture, and what came late, has the time of what it belongs to.
            return before;
        }
        self.shifted |= live.is_some();
        let wanted = live.unwrap_or(packet.timestamp);
        // Time goes on, if only by a tick, also when what is sent now was sent as later before.
        let timestamp = match self.last {
            Some(last) if self.shifted && wanted.wrapping_sub(last).cast_signed() <= 0 => {
                last.wrapping_add(1)
            }
            _ => wanted,
        };
        if timestamp == packet.timestamp {
            self.shifted &= live.is_some();
        } else {
            if self.rewritten.len() == REWRITTEN_MAX {
                self.rewritten.pop_front();
            }
            self.rewritten.push_back((packet.timestamp, timestamp));
        }
        (self.last, self.newest) = (Some(timestamp), Some(packet.timestamp));
        timestamp
    }

    /// Whether something may be asked for again: more than a path can lose is not looked up.
    pub fn may_ask(&mut self, now: Instant) -> bool {
        let since = self.asks_at.replace(now);
        let since = since.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        self.asks = (self.asks + since * ASKS_PER_SECOND).min(ASKS_BURST);
        let may = self.asks >= 1.0;
        if may {
            self.asks -= 1.0;
        }
        may
    }

    /// Which packet of the track the viewer means by `sequence`.
    pub fn asked_for(&self, sequence: u16) -> Option<u64> {
        let index = self.index_of(sequence)?;
        let mut stretches = self.stretches.iter().rev();
        let found = stretches.find(|(from, offset)| {
            from.checked_add_signed(*offset)
                .is_some_and(|first| first <= index)
        });
        let &(_, offset) = found?;
        index.checked_add_signed(-offset)
    }

    fn index_of(&self, sequence: u16) -> Option<u64> {
        let newest = self.next - 1;
        let behind = ((newest & 0xffff) as u16).wrapping_sub(sequence);
        newest
            .checked_sub(u64::from(behind))
            .filter(|_| behind < 0x8000)
    }

    /// Whether `number` may be sent again now.
    pub fn may_repair(&mut self, now: Instant, number: u64, size: usize) -> bool {
        let pause = self.fares.round_trip.unwrap_or(ROUND_TRIP) / 2;
        while let Some((_, at)) = self.again.front()
            && (now.saturating_duration_since(*at) >= pause || self.again.len() >= AGAIN_MAX)
        {
            self.again.pop_front();
        }
        if self.again.iter().any(|(sent, _)| *sent == number) {
            return false;
        }
        let Some(left) = self.repair_bytes.checked_sub(size as u64) else {
            return false;
        };
        self.repair_bytes = left;
        self.again.push_back((number, now));
        true
    }

    /// Notes that the viewer asked for something that nobody has.
    pub const fn note_unrepaired(&mut self) {
        self.fares.unrepaired += 1;
    }

    /// Writes a packet again behind `out`, over the source of repairs (RFC 4588), with the payload
    /// type that was agreed on for that.
    pub fn write_again(
        &mut self,
        packet: &Packet,
        rtx: u8,
        sequence: u16,
        out: &mut Vec<u8>,
    ) -> Written {
        let timestamp = self.stamped(packet);
        self.fares.repaired += 1;
        let index = self.rtx_next;
        self.rtx_next += 1;
        let number = (index & 0xffff) as u16;
        rtp::write_header(out, rtx, packet.marker, number, timestamp, self.rtx_ssrc);
        let payload = out.len();
        out.extend_from_slice(&sequence.to_be_bytes());
        out.extend_from_slice(&packet.payload);
        Written {
            payload,
            ssrc: self.rtx_ssrc,
            index,
        }
    }

    /// The timestamp that a packet was sent with.
    fn stamped(&self, packet: &Packet) -> u32 {
        let mut rewritten = self.rewritten.iter().rev();
        let found = rewritten.find(|(of_track, _)| *of_track == packet.timestamp);
        found.map_or(packet.timestamp, |(_, sent)| *sent)
    }

    /// What time the timestamps mean, if anything was sent: `timestamp` of the track is `ntp`.
    pub fn sender_report(&self, ntp: u64, timestamp: u32) -> Option<SenderReport> {
        (self.fares.packets > 0).then_some(SenderReport {
            ssrc: self.ssrc,
            ntp,
            timestamp,
            packets: (self.fares.packets & 0xffff_ffff) as u32,
            bytes: (self.fares.bytes & 0xffff_ffff) as u32,
        })
    }

    /// Takes what the viewer reports; `now` is the middle of our time.
    pub fn note_report(&mut self, block: &ReportBlock, now: u32) {
        self.fares.loss = f64::from(block.fraction_lost) / 256.0;
        self.fares.lost = u64::try_from(block.lost).unwrap_or(0);
        let seconds = f64::from(block.jitter) / f64::from(self.clock_rate.max(1));
        self.fares.jitter = Duration::from_secs_f64(seconds.min(60.0));
        self.fares.round_trip = block.round_trip(now).or(self.fares.round_trip);
    }
}

/// Where a number is remembered.
const fn place_of(index: u64) -> (usize, u64) {
    let at = index % LATE_MAX;
    ((at / 64) as usize, 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Codec;
    use bytes::Bytes;
    use media::MediaTime;

    fn packet(number: u64, timestamp: u32) -> Packet {
        Packet {
            number,
            timestamp,
            at: MediaTime::ZERO,
            codec: Codec::H264,
            marker: true,
            key: false,
            payload: Bytes::from(number.to_be_bytes().to_vec()),
        }
    }

    fn send(
        track: &mut DownTrack,
        number: u64,
        timestamp: u32,
        live: Option<u32>,
    ) -> Option<(u16, u32)> {
        let mut out = Vec::new();
        let written = track.write(&packet(number, timestamp), 96, live, &mut out)?;
        let header = rtp::Header::parse(&out).unwrap();
        assert_eq!(u64::from(header.sequence), written.index & 0xffff);
        Some((header.sequence, header.timestamp))
    }

    #[test]
    fn a_viewer_sees_no_gap_where_something_was_left_out_and_one_where_it_was_lost() {
        let mut track = DownTrack::new(1, 2, 90_000, 9);
        assert_eq!(send(&mut track, 500, 0, None), Some((10, 0)));
        assert_eq!(send(&mut track, 502, 0, None), Some((12, 0)));
        assert_eq!(send(&mut track, 501, 0, None), Some((11, 0)), "late");
        assert_eq!(send(&mut track, 499, 0, None), None, "from before it came");
        assert_eq!(
            send(&mut track, 501, 0, None),
            None,
            "nothing is sealed under a number twice"
        );
        track.skip();
        assert_eq!(send(&mut track, 900, 9_000, None), Some((13, 9_000)));
        assert_eq!(track.asked_for(11), Some(501));
        assert_eq!(track.asked_for(13), Some(900));
        assert_eq!(track.asked_for(14), None, "not sent yet");
        assert_eq!(track.asked_for(3), None, "never sent");
    }

    #[test]
    fn the_past_is_sent_as_if_it_were_now_until_it_is() {
        let mut track = DownTrack::new(1, 2, 90_000, 0);
        let live = 180_000;
        let sent: Vec<u32> = (0..3u32)
            .map(|i| {
                send(&mut track, u64::from(i), i * 3000, Some(live))
                    .unwrap()
                    .1
            })
            .collect();
        assert_eq!(sent, [live, live + 1, live + 2]);
        assert_eq!(send(&mut track, 3, 180_000, None).unwrap().1, live + 3);
        assert_eq!(send(&mut track, 4, 183_000, None).unwrap().1, 183_000);
        assert_eq!(send(&mut track, 5, 186_000, None).unwrap().1, 186_000);
        // What is sent again has the time it had.
        for (number, of_track, timestamp) in [
            (0, 0, live),
            (2, 6000, live + 2),
            (3, 180_000, live + 3),
            (4, 183_000, 183_000),
            (5, 186_000, 186_000),
        ] {
            assert_eq!(
                track.stamped(&packet(number, of_track)),
                timestamp,
                "{number}"
            );
        }
    }

    #[test]
    fn a_picture_has_one_time_whatever_comes_between_its_packets() {
        let mut track = DownTrack::new(1, 2, 90_000, 0);
        // The newest picture itself is caught up with, in two packets.
        assert_eq!(send(&mut track, 10, 3_000, Some(3_000)).unwrap().1, 3_000);
        assert_eq!(send(&mut track, 11, 3_000, Some(3_000)).unwrap().1, 3_000);
        assert_eq!(send(&mut track, 13, 6_000, None).unwrap().1, 6_000);
        // One that was repaired on its way here belongs to the picture before.
        assert_eq!(send(&mut track, 12, 3_000, None).unwrap().1, 3_000);
        assert_eq!(send(&mut track, 14, 6_000, None).unwrap().1, 6_000);
        // Begun anew with a keyframe that was sent before.
        track.skip();
        assert_eq!(send(&mut track, 13, 6_000, Some(6_000)).unwrap().1, 6_001);
        for number in 15..5_000 {
            send(&mut track, number, number as u32 * 3_000, None).unwrap();
        }
        assert!(track.rewritten.len() < 8, "{}", track.rewritten.len());
    }

    #[test]
    fn who_asks_for_more_than_a_path_can_lose_is_not_looked_up() {
        let now = Instant::now();
        let mut track = DownTrack::new(1, 2, 90_000, 0);
        let asked = |track: &mut DownTrack, at| (0..5_000).filter(|_| track.may_ask(at)).count();
        assert_eq!(asked(&mut track, now), 512);
        assert_eq!(asked(&mut track, now + Duration::from_millis(100)), 100);
    }

    #[test]
    fn what_was_lost_is_sent_again_once_a_round_trip_and_within_bounds() {
        let now = Instant::now();
        let mut track = DownTrack::new(1, 2, 90_000, 0);
        send(&mut track, 70, 5, None).unwrap();
        assert!(track.may_repair(now, 70, 100));
        assert!(!track.may_repair(now, 70, 100));
        assert!(track.may_repair(now + Duration::from_millis(20), 70, 100));
        track.fares.round_trip = Some(Duration::from_millis(110));
        // A browser asks again after 100 ms, whatever the way.
        assert!(!track.may_repair(now + Duration::from_millis(60), 70, 100));
        assert!(track.may_repair(now + Duration::from_millis(120), 70, 100));
        let mut out = Vec::new();
        let written = track.write_again(&packet(70, 5), 97, 1, &mut out);
        let header = rtp::Header::parse(&out).unwrap();
        assert_eq!(
            (header.ssrc, header.payload_type, header.timestamp),
            (2, 97, 5)
        );
        assert_eq!(out[written.payload..written.payload + 2], [0, 1]);
        let sent = (0..10_000u64)
            .filter(|number| track.may_repair(now, *number, 1_000))
            .count();
        assert!(sent < 300, "{sent}");
    }
}
