//! Renditions as ffmpeg makes them: what comes out stands where what went in stood. `MINUTES=60` makes
//! an hour of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kit::rendition::{Config, Kind, Renditions};
use kit::stream::Broadcast;
use media::codec::aac::AudioSpecificConfig;
use media::flv::{Audio, Reader, TagKind};
use media::{AudioConfig, Frame, MediaTime, TrackConfig, WallTime};
use wire::{BroadcastId, ChannelId};

/// How much of what goes in may not have come out yet.
const AHEAD_MICROS: i64 = 8_000_000;

/// Packets of silence are smaller.
const QUIET_BYTES: usize = 60;

/// By how much a child may grow, in KiB, once a part of it all has gone through.
const GROWS_MAX: u64 = 8 * 1024;

/// What the encoders of this process hold in memory, in KiB; nothing where there are none.
fn held_by_children() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let children = tasks
        .map(|task| std::fs::read_to_string(task.unwrap().path().join("children")))
        .collect::<Result<String, _>>()
        .unwrap();
    let held = children.split_whitespace().filter_map(|id| {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    });
    held.sum()
}

/// A beep at each full second of ten, as AAC frames of 1024 samples at 48 kHz.
fn beeps() -> (Arc<TrackConfig>, Vec<Bytes>) {
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i"])
        .arg("aevalsrc='0.5*sin(880*2*PI*t)*lt(mod(t,1),0.2)':s=48000:c=stereo:d=10.24")
        .args(["-c:a", "aac", "-b:a", "96k", "-f", "flv", "pipe:1"])
        .output()
        .unwrap();
    let mut tags = Reader::new(1 << 20);
    tags.push(&made.stdout);
    let (mut config, mut frames) = (None, Vec::new());
    while let Some(tag) = tags.next_tag().unwrap() {
        if tag.kind != TagKind::Audio {
            continue;
        }
        match Audio::parse(&tag.body).unwrap() {
            Audio::AacSequenceHeader(record) => {
                let asc = AudioSpecificConfig::parse(&record).unwrap();
                config = Some(TrackConfig::Audio(AudioConfig::Aac { record, asc }));
            }
            Audio::AacFrame(data) => frames.push(data),
            Audio::Unsupported(_) | Audio::Nothing => {}
        }
    }
    // The first is what the encoder begins with before the sound does: 480 are 10.24 s.
    (Arc::new(config.unwrap()), frames[1..=480].to_vec())
}

/// Frame `index` of beeps that go on and on.
fn frame_at(index: usize, config: &Arc<TrackConfig>, beeps: &[Bytes]) -> Frame {
    let at = MediaTime::from_micros(index as i64 * 1024 * 1_000_000 / 48_000);
    Frame {
        pts: at,
        dts: at,
        key: true,
        captured_at: WallTime::default(),
        run: 0,
        config: Arc::clone(config),
        data: beeps[index % beeps.len()].clone(),
    }
}

#[tokio::test]
async fn sound_stays_where_it_was_however_long_it_goes_on_though_some_of_it_is_lost_or_broken() {
    let minutes = std::env::var("MINUTES").map_or(4, |minutes| minutes.parse().unwrap());
    let frames = minutes * 60 * 48_000 / 1024;
    let (config, beeps) = beeps();
    let broadcast = Arc::new(Broadcast::new(
        BroadcastId::new(),
        ChannelId::new(),
        "stage".parse().unwrap(),
        WallTime::default(),
    ));
    let writer = broadcast.audio.writer();
    let renditions = Renditions::new(Config::default());
    let mut feed = renditions.sound(&broadcast, Kind::Opus);
    let mut heard: Vec<Frame> = Vec::new();
    let mut held = 0;
    for index in 0..frames {
        let mut frame = frame_at(index, &config, &beeps);
        if index % 997 == 500 {
            continue;
        }
        if index % 701 == 300 {
            frame.data = Bytes::from_static(&[0xff; 40]);
        }
        if index == frames / 4 {
            held = held_by_children();
        }
        let at = frame.dts;
        writer.append(frame).unwrap();
        // As fast as it goes, once it goes.
        loop {
            let behind = heard.last().map(|last| at.since(last.dts));
            let patience = match behind {
                None => Duration::from_millis(20),
                Some(behind) if behind > AHEAD_MICROS => Duration::from_secs(10),
                Some(_) => Duration::ZERO,
            };
            match tokio::time::timeout(patience, feed.next()).await {
                Ok(frame) => heard.push(frame),
                Err(_) => {
                    assert!(
                        behind.is_none_or(|behind| behind <= AHEAD_MICROS),
                        "it ended"
                    );
                    break;
                }
            }
        }
    }
    let holds = held_by_children();
    println!("its encoder held {held} KiB after a quarter, and {holds} KiB at last");
    assert!(holds <= held + GROWS_MAX, "{held} {holds}");
    let steps = heard.windows(2).map(|two| two[1].pts.since(two[0].pts));
    assert!(steps.clone().all(|step| (0..=100_000).contains(&step)));
    let mut apart = Vec::new();
    for (before, frame) in heard.iter().zip(heard.iter().skip(1)) {
        if before.data.len() < QUIET_BYTES && frame.data.len() >= QUIET_BYTES {
            let turn = frame.pts.as_micros().rem_euclid(10_240_000);
            let off = (turn + 500_000).rem_euclid(1_000_000) - 500_000;
            apart.push((frame.pts.as_secs_f64(), off / 1_000));
        }
    }
    println!("{} beeps, the last {:?}", apart.len(), apart.last());
    assert!(apart.len() > minutes * 45, "{apart:?}");
    let wrong: Vec<_> = apart.iter().filter(|(_, off)| off.abs() > 40).collect();
    assert!(
        wrong.len() <= minutes * 2,
        "beeps that were lost: {wrong:?}"
    );
}
