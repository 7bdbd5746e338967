//! Reports and requests beside the packets: RTCP (RFC 3550 §6, RFC 4585, RFC 5104), and
//! transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;

const FORMAT_NACK: u8 = 1;
const FORMAT_TRANSPORT_CC: u8 = 15;
const FORMAT_PLI: u8 = 1;
const FORMAT_FIR: u8 = 4;

/// The name of everything that we send, so that players keep sound and pictures together.
const CNAME: &[u8] = b"barrage";

/// What a receiver says of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source.
    pub ssrc: u32,
    /// Packets lost since the report before, in units of 1/256.
    pub fraction_lost: u8,
    /// Packets lost in all; less than none if some came twice.
    pub lost: i32,
    /// The highest sequence number, with its wraps in the upper half.
    pub highest: u32,
    /// How uneven packets come, in ticks of the source's clock.
    pub jitter: u32,
    /// The middle of the time of the last sender report; zero before there is one.
    pub last_sr: u32,
    /// How long ago that came, in units of 1/65 536 s.
    pub delay: u32,
}

impl ReportBlock {
    /// The time to the peer and back, if a sender report of ours went there: `now` is the middle of
    /// our time as sender reports have it.
    pub fn round_trip(&self, now: u32) -> Option<Duration> {
        if self.last_sr == 0 {
            return None;
        }
        let ticks = now.wrapping_sub(self.last_sr).wrapping_sub(self.delay);
        // Clocks that are read at two moments may make it a little less than nothing.
        (ticks < 1 << 21).then(|| Duration::from_micros(u64::from(ticks) * 1_000_000 / 65_536))
    }
}

/// One thing that a peer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// What time the timestamps of a source mean.
    SenderReport {
        /// The source.
        ssrc: u32,
        /// Time since 1900, in 2^-32 seconds.
        ntp: u64,
        /// The same moment by the source's clock.
        timestamp: u32,
    },
    /// How our packets arrive.
    Report(ReportBlock),
    /// Packets of ours that did not.
    Nack {
        /// Of which source.
        ssrc: u32,
        /// Which.
        sequences: Vec<u16>,
    },
    /// That a keyframe is needed.
    KeyframeWanted {
        /// Of which source.
        ssrc: u32,
    },
    /// That a source ends.
    Bye,
}

/// Most packets asked for again that are read from one message.
const NACKS_MAX: usize = 512;

/// Reads a compound; what cannot be read ends it.
pub fn parse(compound: &[u8], mut said: impl FnMut(Said)) {
    let mut rest = compound;
    while let [first, kind, a, b, ..] = rest {
        let length = (usize::from(u16::from_be_bytes([*a, *b])) + 1) * 4;
        let Some((packet, after)) = rest.split_at_checked(length) else {
            return;
        };
        if first >> 6 != 2 {
            return;
        }
        parse_one(*kind, first & 0x1f, &packet[4..], &mut said);
        rest = after;
    }
}

fn parse_one(kind: u8, count: u8, body: &[u8], said: &mut impl FnMut(Said)) {
    match (kind, count) {
        (SENDER_REPORT, _) => {
            let (Some(ssrc), Some(high), Some(low), Some(timestamp)) =
                (word(body, 0), word(body, 1), word(body, 2), word(body, 3))
            else {
                return;
            };
            said(Said::SenderReport {
                ssrc,
                ntp: u64::from(high) << 32 | u64::from(low),
                timestamp,
            });
            blocks(body.get(24..).unwrap_or_default(), count, said);
        }
        (RECEIVER_REPORT, _) => blocks(body.get(4..).unwrap_or_default(), count, said),
        (BYE, _) => said(Said::Bye),
        (TRANSPORT_FEEDBACK, FORMAT_NACK) => {
            let Some(ssrc) = word(body, 1) else { return };
            let mut sequences = Vec::new();
            for pair in body[8..].chunks_exact(4) {
                let first = u16::from_be_bytes([pair[0], pair[1]]);
                let more = u16::from_be_bytes([pair[2], pair[3]]);
                sequences.push(first);
                let others = (0..16u16).filter(|bit| more >> bit & 1 == 1);
                sequences.extend(others.map(|bit| first.wrapping_add(bit + 1)));
                if sequences.len() >= NACKS_MAX {
                    break;
                }
            }
            said(Said::Nack { ssrc, sequences });
        }
        (PAYLOAD_FEEDBACK, FORMAT_PLI) => {
            if let Some(ssrc) = word(body, 1) {
                said(Said::KeyframeWanted { ssrc });
            }
        }
        (PAYLOAD_FEEDBACK, FORMAT_FIR) => {
            if let Some(ssrc) = word(body, 2) {
                said(Said::KeyframeWanted { ssrc });
            }
        }
        _ => {}
    }
}

fn word(body: &[u8], index: usize) -> Option<u32> {
    let bytes = body.get(index * 4..index * 4 + 4)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

fn blocks(body: &[u8], count: u8, said: &mut impl FnMut(Said)) {
    for block in body.chunks_exact(24).take(usize::from(count)) {
        let word = |index| word(block, index).unwrap_or_default();
        let lost = word(1) & 0x00ff_ffff;
        said(Said::Report(ReportBlock {
            ssrc: word(0),
            fraction_lost: block[4],
            // 24 bits with their sign.
            lost: (lost << 8).cast_signed() >> 8,
            highest: word(2),
            jitter: word(3),
            last_sr: word(4),
            delay: word(5),
        }));
    }
}

/// Writes the header of a packet whose body has `words` words of four bytes.
fn head(out: &mut Vec<u8>, count: u8, kind: u8, words: usize) {
    out.extend_from_slice(&[0x80 | count, kind]);
    let words = u16::try_from(words).expect("packets are small");
    out.extend_from_slice(&words.to_be_bytes());
}

/// Seconds between 1900, where the time of sender reports begins, and 1970.
const NTP_TO_UNIX: i64 = 2_208_988_800;

/// A wall time in microseconds since 1970 as sender reports have it (RFC 3550 §4).
pub fn ntp(micros: i64) -> u64 {
    let seconds = micros.div_euclid(1_000_000) + NTP_TO_UNIX;
    let fraction = (micros.rem_euclid(1_000_000) << 32) / 1_000_000;
    seconds.cast_unsigned() << 32 | fraction.cast_unsigned()
}

/// What a sender says of one of its sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport {
    /// The source.
    pub ssrc: u32,
    /// Time since 1900, in 2^-32 seconds.
    pub ntp: u64,
    /// The same moment by the source's clock.
    pub timestamp: u32,
    /// Packets sent so far; wraps.
    pub packets: u32,
    /// Bytes of payload sent so far; wraps.
    pub bytes: u32,
}

/// Writes a sender report and the name of its source.
pub fn write_sender_report(out: &mut Vec<u8>, report: &SenderReport) {
    head(out, 0, SENDER_REPORT, 6);
    out.extend_from_slice(&report.ssrc.to_be_bytes());
    out.extend_from_slice(&report.ntp.to_be_bytes());
    for word in [report.timestamp, report.packets, report.bytes] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    write_name(out, report.ssrc);
}

fn write_name(out: &mut Vec<u8>, ssrc: u32) {
    let text = 2 + CNAME.len();
    // At least one zero ends the items.
    let padded = (text + 1).next_multiple_of(4);
    head(out, 1, SOURCE_DESCRIPTION, 1 + padded / 4);
    out.extend_from_slice(&ssrc.to_be_bytes());
    out.extend_from_slice(&[1, CNAME.len() as u8]);
    out.extend_from_slice(CNAME);
    out.resize(out.len() + padded - text, 0);
}

/// Writes a receiver report of `ssrc` about others.
pub fn write_receiver_report(out: &mut Vec<u8>, ssrc: u32, blocks: &[ReportBlock]) {
    let blocks = &blocks[..blocks.len().min(31)];
    head(
        out,
        blocks.len() as u8,
        RECEIVER_REPORT,
        1 + blocks.len() * 6,
    );
    out.extend_from_slice(&ssrc.to_be_bytes());
    for block in blocks {
        out.extend_from_slice(&block.ssrc.to_be_bytes());
        let lost = block.lost.clamp(-0x0080_0000, 0x007f_ffff).cast_unsigned() & 0x00ff_ffff;
        let lost = u32::from(block.fraction_lost) << 24 | lost;
        for word in [
            lost,
            block.highest,
            block.jitter,
            block.last_sr,
            block.delay,
        ] {
            out.extend_from_slice(&word.to_be_bytes());
        }
    }
    write_name(out, ssrc);
}

/// Asks for packets again.
pub fn write_nack(out: &mut Vec<u8>, ssrc: u32, media: u32, sequences: &[u16]) {
    let mut pairs: Vec<(u16, u16)> = Vec::new();
    for &sequence in sequences {
        if let Some((first, more)) = pairs.last_mut() {
            let ahead = sequence.wrapping_sub(*first);
            if (1..=16).contains(&ahead) {
                *more |= 1 << (ahead - 1);
                continue;
            }
        }
        pairs.push((sequence, 0));
    }
    head(out, FORMAT_NACK, TRANSPORT_FEEDBACK, 2 + pairs.len());
    out.extend_from_slice(&ssrc.to_be_bytes());
    out.extend_from_slice(&media.to_be_bytes());
    for (first, more) in pairs {
        out.extend_from_slice(&first.to_be_bytes());
        out.extend_from_slice(&more.to_be_bytes());
    }
}

/// Asks for a keyframe.
pub fn write_pli(out: &mut Vec<u8>, ssrc: u32, media: u32) {
    head(out, FORMAT_PLI, PAYLOAD_FEEDBACK, 2);
    out.extend_from_slice(&ssrc.to_be_bytes());
    out.extend_from_slice(&media.to_be_bytes());
}

/// Says that a source ends.
pub fn write_bye(out: &mut Vec<u8>, ssrc: u32) {
    head(out, 1, BYE, 1);
    out.extend_from_slice(&ssrc.to_be_bytes());
}

/// When packets arrived, by their transport-wide numbers: what the peer's bandwidth estimate
/// stands on.
#[derive(Debug)]
pub struct Arrivals {
    began: Instant,
    numbers: crate::rtp::Unwrapped<16>,
    /// Arrivals since the last feedback, by number; none where nothing came yet.
    seen: VecDeque<Option<i64>>,
    /// The number that the first of `seen` has.
    base: Option<i64>,
    count: u8,
}

/// Most packets that one feedback tells of. More in that time are no stream of one publisher.
const ARRIVALS_MAX: i64 = 2_000;

/// A tick of arrival times, and of the time that a feedback begins at, in microseconds.
const TICK_MICROS: i64 = 250;
const REFERENCE_MICROS: i64 = 64_000;

impl Arrivals {
    /// None so far.
    pub fn new(now: Instant) -> Self {
        Self {
            began: now,
            numbers: crate::rtp::Unwrapped::default(),
            seen: VecDeque::new(),
            base: None,
            count: 0,
        }
    }

    /// Notes the packet with this transport-wide number.
    pub fn note(&mut self, now: Instant, number: u16) {
        let number = self.numbers.unwrap(u32::from(number));
        let base = *self.base.get_or_insert(number);
        let index = number - base;
        // What was told as lost stays so; a jump is another stream.
        if index < 0 {
            return;
        }
        if index >= ARRIVALS_MAX {
            self.seen.clear();
            self.base = Some(number);
            return self.note_at(0, now);
        }
        self.note_at(usize::try_from(index).unwrap_or(0), now);
    }

    fn note_at(&mut self, index: usize, now: Instant) {
        if self.seen.len() <= index {
            self.seen.resize(index + 1, None);
        }
        let micros = now.saturating_duration_since(self.began).as_micros();
        self.seen[index].get_or_insert(i64::try_from(micros).unwrap_or(i64::MAX));
    }

    /// Writes what has come since the last time, if anything has.
    pub fn write(&mut self, out: &mut Vec<u8>, ssrc: u32, media: u32) {
        let (Some(base), Some(first)) = (self.base, self.seen.iter().flatten().next()) else {
            return;
        };
        let reference = first / REFERENCE_MICROS;
        let (chunks, deltas) = self.chunks(reference * REFERENCE_MICROS);
        let packets = self.seen.len();
        let body = 16 + chunks.len() * 2 + deltas.len();
        let padding = body.next_multiple_of(4) - body;
        let start = out.len();
        head(
            out,
            FORMAT_TRANSPORT_CC,
            TRANSPORT_FEEDBACK,
            (body + padding) / 4,
        );
        out[start] |= u8::from(padding > 0) << 5;
        out.extend_from_slice(&ssrc.to_be_bytes());
        out.extend_from_slice(&media.to_be_bytes());
        out.extend_from_slice(&((base & 0xffff) as u16).to_be_bytes());
        out.extend_from_slice(&(packets as u16).to_be_bytes());
        out.extend_from_slice(
            &(((reference & 0x00ff_ffff) << 8) as u32 | u32::from(self.count)).to_be_bytes(),
        );
        chunks
            .iter()
            .for_each(|chunk| out.extend_from_slice(&chunk.to_be_bytes()));
        out.extend_from_slice(&deltas);
        if padding > 0 {
            out.resize(out.len() + padding - 1, 0);
            out.push(padding as u8);
        }
        self.count = self.count.wrapping_add(1);
        self.base = Some(base + packets as i64);
        self.seen.clear();
    }

    /// Symbols of two bits, seven to a chunk, and the times between arrivals.
    fn chunks(&self, mut before: i64) -> (Vec<u16>, Vec<u8>) {
        let (mut chunks, mut deltas) = (Vec::new(), Vec::new());
        let mut symbols = Vec::with_capacity(self.seen.len());
        for arrival in &self.seen {
            let Some(arrival) = arrival else {
                symbols.push(0);
                continue;
            };
            let ticks = (arrival - before) / TICK_MICROS;
            before += ticks * TICK_MICROS;
            if let Ok(small) = u8::try_from(ticks) {
                symbols.push(1);
                deltas.push(small);
            } else {
                let large = ticks.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16;
                symbols.push(2);
                deltas.extend_from_slice(&large.to_be_bytes());
            }
        }
        for seven in symbols.chunks(7) {
            let bits = seven.iter().enumerate();
            let bits = bits.fold(0u16, |bits, (at, symbol)| bits | symbol << (12 - 2 * at));
            chunks.push(0xc000 | bits);
        }
        (chunks, deltas)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(compound: &[u8]) -> Vec<Said> {
        let mut all = Vec::new();
        parse(compound, |said| all.push(said));
        all
    }

    #[test]
    fn wall_times_are_told_since_1900() {
        assert_eq!(ntp(0) >> 32, 2_208_988_800);
        assert_eq!(ntp(1_500_000), (2_208_988_801 << 32) + (1 << 31));
        assert_eq!(ntp(-500_000) >> 32, 2_208_988_799);
    }

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        let report = SenderReport {
            ssrc: 7,
            ntp: 1 << 40,
            timestamp: 90_000,
            packets: 3,
            bytes: 300,
        };
        write_sender_report(&mut out, &report);
        let block = ReportBlock {
            ssrc: 9,
            fraction_lost: 12,
            lost: -3,
            highest: 70_000,
            jitter: 5,
            last_sr: 1,
            delay: 2,
        };
        write_receiver_report(&mut out, 8, &[block]);
        write_nack(&mut out, 8, 9, &[65_535, 0, 15, 16, 400]);
        write_pli(&mut out, 8, 9);
        write_bye(&mut out, 8);
        assert_eq!(out.len() % 4, 0);
        assert_eq!(
            read(&out),
            [
                Said::SenderReport {
                    ssrc: 7,
                    ntp: 1 << 40,
                    timestamp: 90_000
                },
                Said::Report(block),
                Said::Nack {
                    ssrc: 9,
                    sequences: vec![65_535, 0, 15, 16, 400]
                },
                Said::KeyframeWanted { ssrc: 9 },
                Said::Bye,
            ]
        );
    }

    #[test]
    fn the_round_trip_is_what_the_peer_did_not_wait() {
        let block = ReportBlock {
            last_sr: 100_000,
            delay: 65_536,
            ..ReportBlock::default()
        };
        let after = 100_000 + 65_536 + 6_554;
        assert_eq!(
            block.round_trip(after).map(|rtt| rtt.as_millis()),
            Some(100)
        );
        assert_eq!(block.round_trip(99_000), None);
    }

    #[test]
    fn arrivals_are_told_with_their_gaps() {
        let now = Instant::now();
        let mut arrivals = Arrivals::new(now);
        for (number, ms) in [(65_534u16, 70), (65_535, 71), (1, 171), (0, 172)] {
            arrivals.note(now + Duration::from_millis(ms), number);
        }
        let mut out = Vec::new();
        arrivals.write(&mut out, 1, 2);
        assert_eq!(out[..2], [0x80 | 15, 205]);
        assert_eq!(
            out.len(),
            (usize::from(u16::from_be_bytes([out[2], out[3]])) + 1) * 4
        );
        assert_eq!(out[12..16], [0xff, 0xfe, 0, 4], "base and count");
        assert_eq!(out[16..20], [0, 0, 1, 0], "64 ms, and the first feedback");
        // 6 ms, 1 ms; number 0 came 101 ms later, and number 1 a millisecond before it.
        assert_eq!(out[20..22], [0b1101_0110, 0b1000_0000]);
        assert_eq!(out[22..28], [24, 4, 0x01, 0x94, 0xff, 0xfc]);
        let mut more = Vec::new();
        arrivals.write(&mut more, 1, 2);
        assert!(more.is_empty(), "nothing has come since");
    }

    /// What a feedback tells, as its reader has it: numbers and when they came, in microseconds.
    fn told(feedback: &[u8]) -> Vec<(u16, Option<i64>)> {
        let word = |at: usize| u16::from_be_bytes([feedback[at], feedback[at + 1]]);
        let (base, count) = (word(12), usize::from(word(14)));
        let reference = u32::from_be_bytes([0, feedback[16], feedback[17], feedback[18]]);
        let chunks = count.div_ceil(7);
        let symbols = (0..count).map(|n| word(20 + n / 7 * 2) >> (12 - 2 * (n % 7)) & 3);
        let mut deltas = &feedback[20 + chunks * 2..];
        let mut at = i64::from(reference) * REFERENCE_MICROS;
        let mut take = |bytes: usize| {
            let (taken, rest) = deltas.split_at(bytes);
            deltas = rest;
            taken.to_vec()
        };
        let each = symbols.enumerate().map(|(n, symbol)| {
            let ticks = match symbol {
                0 => None,
                1 => Some(i64::from(take(1)[0])),
                2 => Some(take(2)).map(|two| i64::from(i16::from_be_bytes([two[0], two[1]]))),
                other => panic!("{other} is no symbol"),
            };
            let number = base.wrapping_add(n as u16);
            let came = ticks.map(|ticks| {
                at += ticks * TICK_MICROS;
                at
            });
            (number, came)
        });
        let each = each.collect();
        let padding = feedback[0] & 0x20 != 0;
        assert_eq!(
            deltas.last().map_or(0, |last| usize::from(*last)),
            deltas.len()
        );
        assert_eq!(padding, !deltas.is_empty());
        each
    }

    proptest! {
        #[test]
        fn what_is_told_of_arrivals_is_when_they_came_and_which_did_not(
            first in any::<u16>(),
            packets in proptest::collection::vec((any::<bool>(), 0i64..400_000, -3_000i64..3_000), 1..300),
            every in 1..60usize,
        ) {
            let now = Instant::now();
            let mut arrivals = Arrivals::new(now);
            let mut at = 500_000;
            for (nth, some) in packets.chunks(every).enumerate() {
                let mut expected = Vec::new();
                for (index, (comes, step, aside)) in some.iter().enumerate() {
                    let number = first.wrapping_add((nth * every + index) as u16);
                    // The very first has to come, as what begins the numbers.
                    let comes = *comes || number == first;
                    at += step;
                    let micros = at + aside;
                    if comes {
                        arrivals.note(now + Duration::from_micros(micros.cast_unsigned()), number);
                    }
                    expected.push((number, comes.then_some(micros)));
                }
                // Of those at the end that are missing, the next one tells.
                let mut out = Vec::new();
                arrivals.write(&mut out, 1, 2);
                if out.is_empty() {
                    continue;
                }
                prop_assert_eq!(out.len() % 4, 0);
                for (number, came) in told(&out) {
                    let found = expected.iter().find(|(expected, _)| *expected == number);
                    match (came, found.and_then(|(_, at)| *at)) {
                        (Some(told), Some(micros)) => {
                            prop_assert!((told - micros).abs() <= TICK_MICROS, "{} {}", told, micros);
                        }
                        (told, came) => prop_assert_eq!(told, came),
                    }
                }
                let told = told(&out).iter().filter(|(_, came)| came.is_some()).count();
                let came = expected.iter().filter(|(_, came)| came.is_some()).count();
                prop_assert_eq!(told, came);
            }
        }

        #[test]
        fn any_bytes_are_read_or_left(compound in proptest::collection::vec(any::<u8>(), 0..200), kind in 200u8..207) {
            let _ = read(&compound);
            let mut framed = vec![0x81, kind, 0, (compound.len() / 4) as u8];
            framed.extend_from_slice(&compound);
            let _ = read(&framed);
        }
    }
}
