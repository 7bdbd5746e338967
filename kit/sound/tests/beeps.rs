//! A beep each second, made by ffmpeg: wherever it goes, it sounds when it sounded.

#![cfg(feature = "libfdk")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

use std::process::Command;

use bytes::Bytes;
use media::codec::aac::AudioSpecificConfig;
use media::flv::{Audio, Reader, TagKind};
use media::{AudioConfig, MediaTime, TrackConfig};
use sound::{Coded, Coder, Error, To};

const SECONDS: u32 = 30;

/// How far from its second a beep may be.
const OFF_MAX_MICROS: i64 = 2_000;

/// A frame and where it stands.
type Frame = (MediaTime, Bytes);

/// Beeps as AAC.
fn beeps(rate: u32, layout: &str) -> (AudioConfig, Vec<Frame>) {
    let graph =
        format!("aevalsrc='0.5*sin(880*2*PI*t)*lt(mod(t,1),0.2)':s={rate}:c={layout}:d={SECONDS}");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", &graph])
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
                config = Some(AudioConfig::Aac { record, asc });
            }
            Audio::AacFrame(data) => {
                // The first is what the encoder begins with, before the sound does.
                let micros = (frames.len() as i64 - 1) * 1024 * 1_000_000 / i64::from(rate);
                frames.push((MediaTime::from_micros(micros), data));
            }
            Audio::Unsupported(_) | Audio::Nothing => {}
        }
    }
    (config.unwrap(), frames)
}

/// All of it in another codec.
fn coded(config: &AudioConfig, frames: &[Frame], to: To) -> (AudioConfig, Vec<Frame>) {
    let mut coder = Coder::new(config, to).unwrap();
    let pushed = frames.iter().map(|(at, data)| coder.push(data, *at));
    let coded: Vec<Coded> = pushed.flat_map(Result::unwrap).collect();
    let TrackConfig::Audio(config) = (*coded[0].config).clone() else {
        panic!("sound")
    };
    let frames = coded.into_iter().map(|one| (one.at, one.data));
    (config, frames.collect())
}

/// How far from its second each beep begins, in microseconds.
fn offsets(packets: &[Frame]) -> Vec<i64> {
    let mut decoder = opus::Decoder::new(48_000, opus::Channels::Stereo).unwrap();
    let mut samples = vec![0; 5_760 * 2];
    let (mut offsets, mut quiet) = (Vec::new(), 0);
    for (at, packet) in packets {
        let count = decoder.decode(packet, &mut samples, false).unwrap();
        for (index, pair) in samples[..count * 2].chunks(2).enumerate() {
            let loud = pair[0].unsigned_abs() > 3_000;
            if loud && quiet > 24_000 {
                let micros = at.as_micros() + index as i64 * 1_000_000 / 48_000;
                offsets.push((micros + 500_000).rem_euclid(1_000_000) - 500_000);
            }
            quiet = if loud { 0 } else { quiet + 1 };
        }
    }
    offsets
}

fn are_where_they_were(packets: &[Frame], at_least: usize) {
    let offsets = offsets(packets);
    assert!(offsets.len() >= at_least, "{offsets:?}");
    let off = offsets.iter().find(|off| off.abs() > OFF_MAX_MICROS);
    assert_eq!(off, None, "{offsets:?}");
    assert!(packets.windows(2).all(|two| two[0].0 <= two[1].0));
}

#[test]
fn sound_of_any_rate_is_heard_when_it_was() {
    for (rate, layout) in [
        (48_000, "stereo"),
        (44_100, "stereo"),
        (44_100, "mono"),
        (22_050, "mono"),
        (48_000, "5.1"),
    ] {
        println!("{rate} {layout}");
        let (config, frames) = beeps(rate, layout);
        let (_, packets) = coded(&config, &frames, To::Opus);
        are_where_they_were(&packets, SECONDS as usize - 2);
    }
}

#[test]
fn sound_that_goes_there_and_back_is_heard_when_it_was() {
    let (config, frames) = beeps(48_000, "stereo");
    let (config, packets) = coded(&config, &frames, To::Opus);
    let (config, frames) = coded(&config, &packets, To::Aac);
    assert_eq!(config.codec_string(), "mp4a.40.2");
    let (_, packets) = coded(&config, &frames, To::Opus);
    are_where_they_were(&packets, SECONDS as usize - 2);
}

#[test]
fn what_is_lost_or_broken_moves_nothing_else() {
    let (config, mut frames) = beeps(44_100, "stereo");
    for index in (60..frames.len()).step_by(97) {
        frames[index].1 = Bytes::from_static(&[0xff; 40]);
    }
    // Not while it beeps.
    frames.retain(|(at, _)| !(11_500_000..11_800_000).contains(&at.as_micros()));
    frames.retain(|(at, _)| at.as_micros() % 3_000_000 / 20_000 != 25);
    let (_, packets) = coded(&config, &frames, To::Opus);
    are_where_they_were(&packets, SECONDS as usize - 8);
}

#[test]
fn a_clock_that_runs_fast_is_followed() {
    let (config, mut frames) = beeps(48_000, "stereo");
    // A second by this clock is a thousandth shorter.
    for frame in &mut frames {
        let micros = frame.0.as_micros();
        frame.0 = MediaTime::from_micros(micros - micros / 1_000);
    }
    let (_, packets) = coded(&config, &frames, To::Opus);
    let offsets = offsets(&packets);
    for (second, off) in offsets.iter().enumerate() {
        let wanted = -(second as i64 + 1) * 1_000;
        assert!((off - wanted).abs() < OFF_MAX_MICROS, "{offsets:?}");
    }
    assert!(offsets.len() > 25, "{offsets:?}");
}

#[test]
fn what_is_no_sound_ends_it() {
    let (config, _) = beeps(48_000, "stereo");
    let mut coder = Coder::new(&config, To::Opus).unwrap();
    let broken = (0..200_i64).find_map(|index| {
        let at = MediaTime::from_millis(index * 21);
        coder.push(&[0xff; 40], at).err()
    });
    assert_eq!(broken, Some(Error::Broken(101)));
    let mut coder = Coder::new(&config, To::Opus).unwrap();
    assert!(coder.push(&[], MediaTime::ZERO).unwrap().is_empty());
}
