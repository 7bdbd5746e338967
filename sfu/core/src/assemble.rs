//! Packets put in order and together: access units and frames of sound, out of a buffer that is
//! bounded in time and in packets.

mod av1;
mod h264;
mod vp8;
mod vp9;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use media::codec::opus;
use media::{AudioConfig, TrackConfig, TrackKind, VideoConfig};

use crate::Codec;

/// How long what is missing is waited for while later packets are there.
const WAIT_MAX: Duration = Duration::from_millis(400);

/// Most packets that wait.
const PACKETS_MAX: usize = 4_096;

/// Largest access unit.
const UNIT_MAX: usize = 8 * 1024 * 1024;

/// Most bytes that wait: a unit, and what has come of the next.
const BYTES_MAX: usize = 2 * UNIT_MAX;

/// A packet that waits.
#[derive(Debug)]
struct Waiting {
    timestamp: u32,
    marker: bool,
    payload: Bytes,
    at: Instant,
}

/// An access unit or a frame of sound.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Its RTP timestamp; wraps.
    pub timestamp: u32,
    /// Whether decoding can start here.
    pub key: bool,
    /// The decoder set-up it is coded under.
    pub config: Arc<TrackConfig>,
    /// The coded bytes, as [`media::Frame`] has them.
    pub data: Bytes,
}

/// What came of what waits.
#[derive(Clone, Debug)]
pub enum Output {
    /// The next unit.
    Unit(Unit),
    /// Something is lost for good, or cannot be read; pictures go on with the next keyframe, which
    /// is to be asked for.
    Lost,
}

/// Puts the packets of one source together.
#[derive(Debug)]
pub struct Assembler {
    codec: Codec,
    waiting: BTreeMap<i64, Waiting>,
    /// Bytes of payload among them.
    bytes: usize,
    next: Option<i64>,
    /// Whether pictures wait for a keyframe.
    seeking: bool,
    config: Option<Arc<TrackConfig>>,
    unpacker: Unpacker,
}

/// What takes payloads apart.
#[derive(Debug)]
enum Unpacker {
    /// A payload is a frame of sound.
    None,
    H264(h264::Unpacker),
    Vp8,
    Vp9,
    Av1,
}

/// A picture out of its payloads.
#[derive(Debug)]
struct Picture {
    key: bool,
    /// Its set-up, if it comes with one.
    config: Option<VideoConfig>,
    data: Bytes,
}

/// What came whole and is broken all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unreadable;

impl Assembler {
    /// For a source of `codec`.
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            waiting: BTreeMap::new(),
            bytes: 0,
            next: None,
            seeking: codec.kind() == TrackKind::Video,
            config: None,
            unpacker: match codec {
                Codec::Opus => Unpacker::None,
                Codec::H264 => Unpacker::H264(h264::Unpacker::default()),
                Codec::Vp8 => Unpacker::Vp8,
                Codec::Vp9 => Unpacker::Vp9,
                Codec::Av1 => Unpacker::Av1,
            },
        }
    }

    /// Takes a packet.
    pub fn push(
        &mut self,
        now: Instant,
        number: i64,
        timestamp: u32,
        marker: bool,
        payload: Bytes,
    ) {
        if self.next.is_some_and(|next| number < next) || self.is_full() {
            return;
        }
        let waiting = Waiting {
            timestamp,
            marker,
            payload,
            at: now,
        };
        self.bytes += waiting.payload.len();
        if let Some(before) = self.waiting.insert(number, waiting) {
            self.bytes -= before.payload.len();
        }
    }

    /// Bytes of payload that wait.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    fn is_full(&self) -> bool {
        self.waiting.len() >= PACKETS_MAX || self.bytes >= BYTES_MAX
    }

    /// When [`poll`](Self::poll) gives something though nothing more comes.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let first = self.waiting.values().next()?;
        Some(first.at + WAIT_MAX)
    }

    /// What is whole now.
    pub fn poll(&mut self, now: Instant) -> Option<Output> {
        loop {
            let (&number, first) = self.waiting.first_key_value()?;
            let next = *self.next.get_or_insert(number);
            let full = self.is_full();
            let late = full || now.saturating_duration_since(first.at) >= WAIT_MAX;
            if number != next {
                if !late {
                    return None;
                }
                self.next = Some(number);
                if self.codec.kind() == TrackKind::Video {
                    self.seeking = true;
                    return Some(Output::Lost);
                }
                continue;
            }
            // Padding belongs to no picture.
            let is_padding = first.payload.is_empty();
            if is_padding || (self.seeking && !self.codec.begins_key(&first.payload)) {
                self.skip(number);
                continue;
            }
            let Some(end) = self.end_of_unit(number) else {
                // A large picture on a slow path is not late as long as more of it comes.
                let newest = self.newest_from(number).unwrap_or(first.at);
                if full || now.saturating_duration_since(newest) >= WAIT_MAX {
                    // Its end is lost, and all that refers to it.
                    self.skip(number);
                    self.seeking = self.codec.kind() == TrackKind::Video;
                    return Some(Output::Lost);
                }
                return None;
            };
            match self.take(number, end) {
                Ok(Some(unit)) => return Some(Output::Unit(unit)),
                Ok(None) => {}
                Err(Unreadable) => {
                    self.seeking = true;
                    return Some(Output::Lost);
                }
            }
        }
    }

    fn skip(&mut self, number: i64) {
        if let Some(skipped) = self.waiting.remove(&number) {
            self.bytes -= skipped.payload.len();
        }
        self.next = Some(number + 1);
    }

    /// When the last packet came of those that follow `number` without a gap.
    fn newest_from(&self, number: i64) -> Option<Instant> {
        let following = (number..).zip(self.waiting.range(number..));
        let following = following.take_while(|(expected, (at, _))| expected == *at);
        following.map(|(_, (_, packet))| packet.at).max()
    }

    /// The number after the unit that begins with `number`, if all of it is there.
    fn end_of_unit(&self, number: i64) -> Option<i64> {
        let timestamp = self.waiting.get(&number)?.timestamp;
        if self.codec == Codec::Opus {
            return Some(number + 1);
        }
        for (expected, (&at, packet)) in (number..).zip(self.waiting.range(number..)) {
            if at != expected {
                return None;
            }
            // Some set no marker, or lose it with what they leave out.
            if packet.timestamp != timestamp {
                return Some(at);
            }
            if packet.marker {
                return Some(at + 1);
            }
        }
        None
    }

    fn take(&mut self, from: i64, to: i64) -> Result<Option<Unit>, Unreadable> {
        let rest = self.waiting.split_off(&to);
        let packets = std::mem::replace(&mut self.waiting, rest);
        let taken = packets.values().map(|packet| packet.payload.len());
        self.bytes -= taken.sum::<usize>();
        self.next = Some(to);
        debug_assert!(packets.keys().all(|number| (from..to).contains(number)));
        let Some(first) = packets.values().next() else {
            return Ok(None);
        };
        let timestamp = first.timestamp;
        let mut payloads = packets.into_values().map(|packet| packet.payload);
        if self.codec == Codec::Opus {
            // One frame that cannot be read is one that is not heard.
            let data = payloads.next();
            return Ok(data.and_then(|data| self.sound(timestamp, data)));
        }
        self.picture(timestamp, payloads)
    }

    fn sound(&mut self, timestamp: u32, data: Bytes) -> Option<Unit> {
        let samples = opus::samples(&data)?;
        let config = TrackConfig::Audio(AudioConfig::Opus {
            channels: 2,
            samples_per_frame: samples,
        });
        Some(Unit {
            timestamp,
            key: true,
            config: self.keep(config),
            data,
        })
    }

    fn picture(
        &mut self,
        timestamp: u32,
        payloads: impl Iterator<Item = Bytes>,
    ) -> Result<Option<Unit>, Unreadable> {
        let mut size = 0;
        let mut bounded = Vec::new();
        for payload in payloads.filter(|payload| !payload.is_empty()) {
            size += payload.len();
            if size > UNIT_MAX {
                return Err(Unreadable);
            }
            bounded.push(payload);
        }
        let picture = match &mut self.unpacker {
            Unpacker::None => None,
            Unpacker::H264(h264) => h264.picture(&bounded, self.config.is_none())?,
            Unpacker::Vp8 => Some(vp8::picture(&bounded).ok_or(Unreadable)?),
            Unpacker::Vp9 => Some(vp9::picture(&bounded).ok_or(Unreadable)?),
            Unpacker::Av1 => Some(av1::picture(&bounded).ok_or(Unreadable)?),
        };
        let Some(Picture { key, config, data }) = picture else {
            return Ok(None);
        };
        if let Some(config) = config {
            self.keep(TrackConfig::Video(config));
        }
        if self.seeking && !key {
            return Ok(None);
        }
        self.seeking = false;
        Ok(self.config.clone().map(|config| Unit {
            timestamp,
            key,
            config,
            data,
        }))
    }

    fn keep(&mut self, config: TrackConfig) -> Arc<TrackConfig> {
        let same = self.config.as_ref().filter(|known| ***known == config);
        let kept = same.cloned().unwrap_or_else(|| Arc::new(config));
        self.config = Some(Arc::clone(&kept));
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packetize;
    use bytes::{BufMut as _, BytesMut};
    use proptest::prelude::*;

    const SPS: &[u8] = &[
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03,
        0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
    ];
    const PPS: &[u8] = &[0x68, 0xeb, 0xec, 0xb2, 0x2c];

    fn picture(header: u8, size: usize) -> Bytes {
        let mut data = BytesMut::new();
        data.put_u32(size as u32 + 1);
        data.put_u8(header);
        data.extend((0..size).map(|byte| byte as u8));
        data.freeze()
    }

    /// The packets of three pictures: key, other, other.
    fn packets() -> Vec<(i64, u32, bool, Bytes)> {
        let mut all = Vec::new();
        for (at, header) in [(0u32, 0x65), (3000, 0x41), (6000, 0x41)] {
            let sets: &[&[u8]] = if header == 0x65 { &[SPS, PPS] } else { &[] };
            let payloads = packetize::h264(&picture(header, 5_000), sets);
            let last = payloads.len() - 1;
            for (index, payload) in payloads.into_iter().enumerate() {
                all.push((all.len() as i64 + 65_530, at, index == last, payload));
            }
        }
        all
    }

    fn units(assembler: &mut Assembler, now: Instant) -> (Vec<u32>, usize) {
        let (mut stamps, mut lost) = (Vec::new(), 0);
        while let Some(output) = assembler.poll(now) {
            match output {
                Output::Unit(unit) => stamps.push(unit.timestamp),
                Output::Lost => lost += 1,
            }
        }
        (stamps, lost)
    }

    #[test]
    fn pictures_are_put_together_whatever_order_their_packets_come_in() {
        let now = Instant::now();
        let mut all = packets();
        let first = all.remove(0);
        all.reverse();
        all.insert(0, first);
        let mut assembler = Assembler::new(Codec::H264);
        for (number, timestamp, marker, payload) in all {
            assembler.push(now, number, timestamp, marker, payload);
        }
        let Some(Output::Unit(key)) = assembler.poll(now) else {
            panic!("a keyframe");
        };
        assert!(key.key);
        assert_eq!(key.data, picture(0x65, 5_000));
        assert_eq!(key.config.codec_string(), "avc1.64001f");
        assert_eq!(units(&mut assembler, now), (vec![3000, 6000], 0));
    }

    #[test]
    fn what_is_lost_is_waited_for_and_then_passed_over_to_the_next_keyframe() {
        let now = Instant::now();
        let mut assembler = Assembler::new(Codec::H264);
        let all = packets();
        let lost = all.iter().position(|packet| packet.1 == 3000).unwrap();
        for (index, (number, timestamp, marker, payload)) in all.iter().cloned().enumerate() {
            if index != lost {
                assembler.push(now, number, timestamp, marker, payload);
            }
        }
        assert_eq!(units(&mut assembler, now), (vec![0], 0));
        assert_eq!(units(&mut assembler, now + WAIT_MAX), (vec![], 1));
        for (number, timestamp, marker, payload) in all.iter().cloned() {
            assembler.push(now, number + 100, timestamp + 9000, marker, payload);
        }
        let later = now + WAIT_MAX * 2;
        assert_eq!(
            units(&mut assembler, later),
            (vec![9000, 12_000, 15_000], 1)
        );
    }

    #[test]
    fn what_cannot_be_read_is_passed_over_to_the_next_keyframe_which_is_asked_for() {
        let now = Instant::now();
        let key = [0x10, 0, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];
        let cases: [(Codec, &[u8], &[u8]); 3] = [
            // A keyframe without its size.
            (Codec::Vp8, &key, &key[..6]),
            // The end of a slice that never began, and a unit longer than what is there.
            (Codec::H264, &[], &[0x7c, 0x41, 1, 2]),
            (Codec::H264, &[], &[0x78, 0, 99, 0x41, 2]),
        ];
        for (codec, whole, broken) in cases {
            let mut assembler = Assembler::new(codec);
            let mut before = packets();
            if codec == Codec::Vp8 {
                before = vec![(0, 0, true, Bytes::copy_from_slice(whole))];
            }
            let next = before[before.len() - 1].0 + 1;
            for (number, timestamp, marker, payload) in before {
                assembler.push(now, number, timestamp, marker, payload);
            }
            let (stamps, lost) = units(&mut assembler, now);
            assert!(!stamps.is_empty() && lost == 0, "{codec:?}");
            let broken = Bytes::copy_from_slice(broken);
            assembler.push(now, next, 90_000, true, broken);
            assert_eq!(units(&mut assembler, now), (vec![], 1), "{codec:?}");
            // What refers to it is of no use.
            let other = Bytes::from_static(&[0x41, 9]);
            assembler.push(now, next + 1, 93_000, true, other);
            assert_eq!(units(&mut assembler, now), (vec![], 0), "{codec:?}");
        }
    }

    #[test]
    fn padding_belongs_to_no_picture_and_nobody_waits_for_its_end() {
        let now = Instant::now();
        let mut assembler = Assembler::new(Codec::H264);
        let all = packets();
        let last = all[all.len() - 1].clone();
        for (number, timestamp, marker, payload) in all {
            assembler.push(now, number, timestamp, marker, payload);
        }
        assembler.push(now, last.0 + 1, last.1, false, Bytes::new());
        assert_eq!(units(&mut assembler, now), (vec![0, 3000, 6000], 0));
        assert_eq!(units(&mut assembler, now + WAIT_MAX), (vec![], 0));
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_however_long_its_end_is_away() {
        let (now, large) = (Instant::now(), Bytes::from(vec![0x41; 60_000]));
        let key = packets().swap_remove(0).3;
        let mut assembler = Assembler::new(Codec::H264);
        for number in 0..2_000 {
            let payload = if number == 0 { &key } else { &large };
            assembler.push(now, number, 0, false, payload.clone());
            units(&mut assembler, now);
            assert!(assembler.bytes() < BYTES_MAX + large.len());
        }
        // Nothing of it is waited for or counted any more.
        units(&mut assembler, now + WAIT_MAX);
        assert_eq!(assembler.bytes(), 0);
        for (number, timestamp, marker, payload) in packets() {
            assembler.push(now, number - 65_530 + 2_000, timestamp, marker, payload);
        }
        assert_eq!(units(&mut assembler, now), (vec![0, 3000, 6000], 0));
        assert_eq!(assembler.bytes(), 0);
    }

    #[test]
    fn sound_goes_on_after_a_loss() {
        let now = Instant::now();
        let mut assembler = Assembler::new(Codec::Opus);
        for number in [0, 1, 3] {
            let payload = Bytes::from_static(&[0xfc, 1, 2]);
            assembler.push(now, number, number as u32 * 960, false, payload);
        }
        assert_eq!(units(&mut assembler, now), (vec![0, 960], 0));
        assert_eq!(units(&mut assembler, now + WAIT_MAX), (vec![2880], 0));
    }

    proptest! {
        #[test]
        fn any_payloads_are_taken(
            packets in proptest::collection::vec(
                (0i64..20, 0u32..3, any::<bool>(), proptest::collection::vec(any::<u8>(), 0..40)),
                0..40,
            )
        ) {
            for codec in Codec::ALL {
                let now = Instant::now();
                let mut assembler = Assembler::new(codec);
                for (number, timestamp, marker, payload) in &packets {
                    assembler.push(now, *number, *timestamp, *marker, Bytes::from(payload.clone()));
                }
                units(&mut assembler, now);
                units(&mut assembler, now + WAIT_MAX);
            }
        }
    }
}
