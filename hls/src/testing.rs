//! Made-up publishers for the tests of this crate.

use std::sync::Arc;

use bytes::Bytes;
use media::codec::{aac, h264};
use media::{AudioConfig, Frame, MediaTime, TrackConfig, WallTime};

/// A record of 1280x720, High@3.1, that declares 30 fps.
const RECORD: &[u8] = &[
    1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 26, 0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05,
    0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19,
    0x60, 1, 0, 5, 0x68, 0xeb, 0xec, 0xb2, 0x2c,
];

pub(crate) const BEGAN_AT: WallTime = WallTime::from_micros(1_790_000_000_123_456);

pub(crate) fn video_config() -> Arc<TrackConfig> {
    Arc::new(TrackConfig::Video(
        h264::parse_record(RECORD).unwrap().config,
    ))
}

/// Another set-up of the same size: a second picture parameter set.
pub(crate) fn other_video_config() -> Arc<TrackConfig> {
    let mut record = RECORD.to_vec();
    let at = record.len() - 8;
    record[at] = 2;
    record.extend_from_slice(&[0, 2, 0x68, 0x11]);
    Arc::new(TrackConfig::Video(
        h264::parse_record(&record).unwrap().config,
    ))
}

pub(crate) fn audio_config(rate: u32) -> Arc<TrackConfig> {
    let record: &'static [u8] = match rate {
        48_000 => &[0x11, 0x90],
        44_100 => &[0x12, 0x10],
        22_050 => &[0x13, 0x90],
        16_000 => &[0x14, 0x10],
        other => panic!("no configuration for {other} Hz"),
    };
    let asc = aac::AudioSpecificConfig::parse(record).unwrap();
    Arc::new(TrackConfig::Audio(AudioConfig::Aac {
        record: Bytes::from_static(record),
        asc,
    }))
}

/// Pictures of a steady cadence.
#[derive(Clone, Debug)]
pub(crate) struct Pictures {
    pub(crate) rate: (i64, i64),
    /// Frames from keyframe to keyframe.
    pub(crate) gop: i64,
    /// Frames that are shown before the one they are decoded after.
    pub(crate) reorder: i64,
    pub(crate) from_us: i64,
    pub(crate) until_us: i64,
    pub(crate) run: u32,
    pub(crate) config: Arc<TrackConfig>,
}

impl Pictures {
    pub(crate) fn new(rate: (i64, i64), gop: i64, seconds: i64) -> Self {
        Self {
            rate,
            gop,
            reorder: 0,
            from_us: 0,
            until_us: seconds * 1_000_000,
            run: 0,
            config: video_config(),
        }
    }

    pub(crate) fn frames(&self) -> Vec<Frame> {
        let step = |index: i64| index * 1_000_000 * self.rate.1 / self.rate.0;
        let millis = |us: i64| us / 1000 * 1000;
        (0..)
            .map(|index| (index, self.from_us + step(index)))
            .take_while(|(_, dts)| *dts < self.until_us)
            .map(|(index, dts)| {
                let key = index % self.gop == 0;
                // Every third frame refers to the next: it is decoded early and shown late.
                let ahead = match (self.reorder, index % 3) {
                    (0, _) => 0,
                    (depth, 1) => depth * 2,
                    (_, 0) => 1,
                    (_, _) => 0,
                };
                let delay = if self.reorder == 0 { 0 } else { 1 };
                let shown = self.from_us + step(index + delay + if key { 0 } else { ahead });
                let head = if key { 0x65 } else { 0x41 };
                frame(
                    &self.config,
                    millis(shown),
                    millis(dts),
                    key,
                    self.run,
                    head,
                )
            })
            .collect()
    }
}

/// Sound of a steady cadence.
pub(crate) fn sound(rate: u32, from_us: i64, until_us: i64, run: u32) -> Vec<Frame> {
    let config = audio_config(rate);
    (0..)
        .map(|index: i64| from_us + index * 1024 * 1_000_000 / i64::from(rate))
        .take_while(|at| *at < until_us)
        .map(|at| frame(&config, at / 1000 * 1000, at / 1000 * 1000, true, run, 0x21))
        .collect()
}

fn frame(
    config: &Arc<TrackConfig>,
    pts_us: i64,
    dts_us: i64,
    key: bool,
    run: u32,
    head: u8,
) -> Frame {
    let dts = MediaTime::from_micros(dts_us);
    // Length, header and something of its own, so that no two frames have the same bytes.
    let mut data = vec![0, 0, 0, 9, head];
    data.extend_from_slice(&dts_us.to_be_bytes());
    if key {
        data.resize(400, 0x88);
    }
    Frame {
        pts: MediaTime::from_micros(pts_us.max(dts_us)),
        dts,
        key,
        captured_at: BEGAN_AT + dts,
        run,
        config: Arc::clone(config),
        data: data.into(),
    }
}

/// Frames of several tracks as they would arrive: by decoding time, sound late by `skew_us`.
pub(crate) fn interleave(tracks: Vec<Vec<Frame>>, skew_us: i64) -> Vec<Frame> {
    let mut all: Vec<Frame> = tracks.into_iter().flatten().collect();
    all.sort_by_key(|frame| {
        let late = match frame.config.kind() {
            media::TrackKind::Video => 0,
            media::TrackKind::Audio => skew_us,
        };
        frame.dts.as_micros() + late
    });
    all
}
