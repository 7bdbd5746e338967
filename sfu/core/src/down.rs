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

/// Times that are remembered of packets that were sent again: who asks for the same within a round
/// trip is given it once.
const AGAIN_MAX: usize = 128;

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
    /// From which number of the track on, what is to be added to get the viewer's.
    stretches: VecDeque<(u64, i64)>,
    /// The number after the newest that was sent.
    sent_to: Option<u64>,
    /// Timestamps that were not the track's, and the first number that had each.
    rewritten: VecDeque<(u64, u32)>,
    /// The timestamp of the newest picture as sent, and as the track has it.
    last: Option<(u32, u32)>,
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
            stretches: VecDeque::new(),
            sent_to: None,
            rewritten: VecDeque::new(),
            last: None,
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
    pub const fn skip(&mut self) {
        self.sent_to = None;
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
        let index = self.number(packet.number)?;
        let timestamp = self.stamp(packet, live);
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
                self.next += 1;
                Some(self.next - 1)
            }
            Some(sent_to) => {
                let &(from, offset) = self.stretches.back()?;
                if number < from {
                    return None;
                }
                let index = number.checked_add_signed(offset)?;
                if number >= sent_to {
                    self.sent_to = Some(number + 1);
                    self.next = index + 1;
                }
                Some(index)
            }
        }
    }

    fn stamp(&mut self, packet: &Packet, live: Option<u32>) -> u32 {
        if let Some((sent, of_track)) = self.last
            && of_track == packet.timestamp
        {
            return sent;
        }
        let wanted = live.unwrap_or(packet.timestamp);
        // Time goes on, if only by a tick, also when what is sent now was sent as later before.
        let timestamp = match self.last {
            Some((sent, _)) if live.is_some() || self.rewritten.back().is_some() => {
                let ahead = wanted.wrapping_sub(sent).cast_signed();
                if ahead > 0 {
                    wanted
                } else {
                    sent.wrapping_add(1)
                }
            }
            _ => wanted,
        };
        if timestamp != packet.timestamp {
            if self.rewritten.len() == REWRITTEN_MAX {
                self.rewritten.pop_front();
            }
            self.rewritten.push_back((packet.number, timestamp));
        } else if live.is_none() {
            // From here on the track's own times are right again.
            self.rewritten.push_back((packet.number, timestamp));
        }
        self.last = Some((timestamp, packet.timestamp));
        timestamp
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
        let pause = self.fares.round_trip.unwrap_or(Duration::from_millis(20));
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

    /// Writes a packet again behind `out`: as it was (RFC 4585), or over the source of repairs if
    /// there is one with a payload type (RFC 4588).
    pub fn write_again(
        &mut self,
        packet: &Packet,
        payload_type: u8,
        rtx: Option<u8>,
        sequence: u16,
        out: &mut Vec<u8>,
    ) -> Option<Written> {
        let original = self.index_of(sequence)?;
        let timestamp = self.stamped(packet);
        self.fares.repaired += 1;
        let Some(rtx) = rtx else {
            rtp::write_header(
                out,
                payload_type,
                packet.marker,
                sequence,
                timestamp,
                self.ssrc,
            );
            let payload = out.len();
            out.extend_from_slice(&packet.payload);
            return Some(Written {
                payload,
                ssrc: self.ssrc,
                index: original,
            });
        };
        let index = self.rtx_next;
        self.rtx_next += 1;
        let number = (index & 0xffff) as u16;
        rtp::write_header(out, rtx, packet.marker, number, timestamp, self.rtx_ssrc);
        let payload = out.len();
        out.extend_from_slice(&sequence.to_be_bytes());
        out.extend_from_slice(&packet.payload);
        Some(Written {
            payload,
            ssrc: self.rtx_ssrc,
            index,
        })
    }

    /// The timestamp that a packet was sent with.
    fn stamped(&self, packet: &Packet) -> u32 {
        let mut rewritten = self.rewritten.iter().rev();
        let found = rewritten.find(|(from, _)| *from <= packet.number);
        match (found, self.rewritten.back()) {
            // Behind the last that was rewritten times are the track's own.
            (Some(found), Some(last)) if found != last => found.1,
            (Some(found), _) if self.last == Some((found.1, packet.timestamp)) => found.1,
            _ => packet.timestamp,
        }
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
        let seconds = f64::from(block.jitter) / f64::from(self.clock_rate.max(1));
        self.fares.jitter = Duration::from_secs_f64(seconds.min(60.0));
        self.fares.round_trip = block.round_trip(now).or(self.fares.round_trip);
    }
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
    fn what_was_lost_is_sent_again_once_a_round_trip_and_within_bounds() {
        let now = Instant::now();
        let mut track = DownTrack::new(1, 2, 90_000, 0);
        send(&mut track, 70, 5, None).unwrap();
        assert!(track.may_repair(now, 70, 100));
        assert!(!track.may_repair(now, 70, 100));
        assert!(track.may_repair(now + Duration::from_millis(20), 70, 100));
        let mut out = Vec::new();
        let written = track
            .write_again(&packet(70, 5), 96, Some(97), 1, &mut out)
            .unwrap();
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
