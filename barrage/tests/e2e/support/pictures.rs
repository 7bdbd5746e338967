//! Pictures of a recording, sent packet by packet as a camera sends them.

use std::time::Duration;

use bytes::Bytes;
use media::codec::h264;
use media::flv::{self, TagKind};
use sfu_core::caller::{H264, OPUS};
use sfu_core::packetize;

use super::peer::{AUDIO_SSRC, Peer, Sent, VIDEO_SSRC};
use super::{Clip, Source};

/// What the timestamps of pictures begin with: they wrap soon.
pub(crate) const FIRST_TIMESTAMP: u32 = 4_000_000_000;

/// The pictures of a recording as packets, and the coded bytes that are to come out.
pub(crate) struct Pictures {
    pub(crate) packets: Vec<(u32, bool, Bytes)>,
    pub(crate) units: Vec<Bytes>,
}

impl Pictures {
    /// The first of them and the rest.
    pub(crate) fn halves(&self) -> (Self, Self) {
        let middle = self.packets[self.packets.len() / 2].0;
        let cut = self.packets.iter().position(|one| one.0 == middle).unwrap();
        let ended = self.packets[..cut].iter().filter(|(_, ends, _)| *ends);
        let (first, rest) = self.units.split_at(ended.count());
        let half = |packets: &[(u32, bool, Bytes)], units: &[Bytes]| Self {
            packets: packets.to_vec(),
            units: units.to_vec(),
        };
        let (before, after) = self.packets.split_at(cut);
        (half(before, first), half(after, rest))
    }

    /// The same, taken later.
    pub(crate) fn later_by(mut self, time: Duration) -> Self {
        let ticks = u32::try_from(time.as_millis() * 90).unwrap();
        for (timestamp, _, _) in &mut self.packets {
            *timestamp = timestamp.wrapping_add(ticks);
        }
        self
    }

    /// Asserts that `units` are what was sent, without a gap.
    pub(crate) fn has_stretch(&self, units: &[Bytes]) {
        let at = self.units.iter().position(|unit| *unit == units[0]);
        let at = at.expect("it was sent");
        assert_eq!(units, &self.units[at..at + units.len()]);
    }
}

pub(crate) async fn pictures(seconds: u32) -> Pictures {
    pictures_of(Source::new(), seconds).await
}

/// The same of another recording.
pub(crate) async fn pictures_of(source: Source, seconds: u32) -> Pictures {
    let clip = Clip::of(&source.without_audio(), seconds).await;
    let flv::Video::H264SequenceHeader(record) =
        flv::Video::parse(&clip.header(TagKind::Video).body).unwrap()
    else {
        panic!("ffmpeg codes H.264");
    };
    let record = h264::parse_record(&record).unwrap();
    let media::VideoConfig::H264 { record, .. } = record.config else {
        panic!("ffmpeg codes H.264");
    };
    let sets = h264::parameter_sets_of(&record);
    let mut all = Pictures {
        packets: Vec::new(),
        units: Vec::new(),
    };
    for tag in clip.frames_of(TagKind::Video) {
        let flv::Video::H264Frame { key, data, .. } = flv::Video::parse(&tag.body).unwrap() else {
            continue;
        };
        let payloads = packetize::h264(&data, if key { &sets } else { &[] });
        let last = payloads.len() - 1;
        let timestamp = tag.timestamp.wrapping_mul(90).wrapping_add(FIRST_TIMESTAMP);
        for (index, payload) in payloads.into_iter().enumerate() {
            all.packets.push((timestamp, index == last, payload));
        }
        all.units.push(without_sets(&data));
    }
    all
}

/// An access unit as it comes out of packets: parameter sets, delimiters and filler left out.
fn without_sets(unit: &Bytes) -> Bytes {
    let mut out = Vec::new();
    for nal in h264::NalUnits::new(unit, 4).map(Result::unwrap) {
        if !matches!(nal[0] & 0x1f, 7 | 8 | 9 | 12) {
            out.extend_from_slice(&u32::try_from(nal.len()).unwrap().to_be_bytes());
            out.extend_from_slice(nal);
        }
    }
    out.into()
}

pub(crate) fn video(timestamp: u32, marker: bool) -> Sent {
    Sent {
        ssrc: VIDEO_SSRC,
        kind: H264,
        timestamp,
        marker,
    }
}

/// Sends pictures as fast as they go.
pub(crate) async fn send_at_once(publisher: &mut Peer, pictures: &Pictures) {
    for (timestamp, marker, payload) in &pictures.packets {
        publisher.send(video(*timestamp, *marker), payload).await;
    }
}

/// Sends pictures as a camera does, in real time, and sound with them.
pub(crate) async fn send_all(publisher: &mut Peer, pictures: &Pictures) {
    let began = tokio::time::Instant::now();
    let first = pictures.packets[0].0;
    let origin = first.wrapping_sub(FIRST_TIMESTAMP) / 90;
    let mut sound = origin / 20;
    for (timestamp, marker, payload) in &pictures.packets {
        let at = Duration::from_millis(u64::from(timestamp.wrapping_sub(first) / 90));
        tokio::time::sleep_until(began + at).await;
        while u128::from(sound) * 20 <= at.as_millis() + u128::from(origin) {
            let sent = Sent {
                ssrc: AUDIO_SSRC,
                kind: OPUS,
                timestamp: sound * 960,
                marker: false,
            };
            publisher.send(sent, &[0xfc, 0xff, 0xfe]).await;
            sound += 1;
        }
        publisher.send(video(*timestamp, *marker), payload).await;
    }
}
