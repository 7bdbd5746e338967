//! Every rule over every playlist of made-up publishers.

use mp4_atom::{Decode, Moof};
use proptest::prelude::*;

use super::*;
use crate::playlist::{self, Form};
use crate::presentation::{Edge, Lookup};
use crate::rules::{self, Checker, Violation};
use crate::testing::{BEGAN_AT, Pictures, interleave, other_video_config, sound};

mod ffmpeg;

/// A packager whose every playlist is checked as soon as it changes.
struct Watched {
    packager: Packager,
    checker: Checker,
    last: [String; 2],
    found: Vec<Violation>,
}

const KINDS: [TrackKind; 2] = [TrackKind::Video, TrackKind::Audio];

impl Watched {
    fn new(config: Config, checker: Checker) -> Self {
        Self {
            packager: Packager::new(config, BEGAN_AT),
            checker,
            last: Default::default(),
            found: Vec::new(),
        }
    }

    fn feed(mut self, frames: &[Frame]) -> Self {
        for frame in frames {
            self.packager.push(frame.clone());
            self.look();
        }
        self
    }

    fn look(&mut self) {
        for (index, kind) in KINDS.into_iter().enumerate() {
            let presentation = self.packager.presentation();
            let config = &self.packager.config;
            let Some(full) = playlist::media(&presentation, kind, Form::Full, config) else {
                continue;
            };
            if full == self.last[index] {
                continue;
            }
            let delta = playlist::media(&presentation, kind, Form::Delta, config).unwrap();
            if delta.contains("EXT-X-SKIP") {
                let applied = rules::apply_delta(&self.last[index], &delta).unwrap();
                assert_eq!(applied, full, "the delta update is the full playlist");
            } else {
                assert_eq!(delta, full);
            }
            let name = format!("{}.m3u8", kind.as_str());
            self.found.extend(self.checker.observe(&name, &full));
            self.last[index] = full;
        }
    }

    fn end(mut self) -> Self {
        self.packager.end();
        self.look();
        self.found
            .extend(self.checker.compare("video.m3u8", "audio.m3u8"));
        self
    }

    fn rendition(&self, kind: TrackKind) -> &crate::presentation::Rendition {
        self.packager
            .presentation()
            .rendition(kind)
            .expect("the track has parts")
    }

    /// Panics with what was found, if anything was.
    fn assert_clean(self) -> Self {
        let text: Vec<String> = self.found.iter().take(8).map(ToString::to_string).collect();
        assert!(
            self.found.is_empty(),
            "{} violations: {text:#?}\n{}",
            self.found.len(),
            self.last[0]
        );
        self
    }

    /// The sample times of every held part: decoding time and duration in ticks, and sync.
    fn samples(&self, kind: TrackKind) -> Vec<(u64, u32, bool, bool)> {
        let mut out = Vec::new();
        for segment in self.rendition(kind).listed() {
            for part in &segment.parts {
                let moof = Moof::decode(&mut &part.data[..]).unwrap();
                let traf = &moof.traf[0];
                let mut at = traf.tfdt.as_ref().unwrap().base_media_decode_time;
                for (index, entry) in traf.trun[0].samples.iter().enumerate() {
                    let sync = entry.flags.is_none_or(|flags| flags & 0x1_0000 == 0);
                    assert!(
                        index > 0 || sync == part.independent,
                        "INDEPENDENT only where true"
                    );
                    let duration = entry.duration.unwrap();
                    out.push((at, duration, sync, segment.discontinuity));
                    at += u64::from(duration);
                }
            }
        }
        out
    }
}

fn wide() -> Config {
    Config {
        window_s: 3600,
        ..Config::default()
    }
}

fn steady(rate: (i64, i64), gop: i64, reorder: i64, skew_us: i64) -> Watched {
    let mut pictures = Pictures::new(rate, gop, 44);
    pictures.reorder = reorder;
    let frames = interleave(
        vec![pictures.frames(), sound(48_000, 0, 44_000_000, 0)],
        skew_us,
    );
    let config = Config {
        window_s: 32,
        ..Config::default()
    };
    Watched::new(config, Checker::new()).feed(&frames).end()
}

#[test]
fn segments_begin_at_keyframes_also_after_a_long_group_was_cut() {
    // Where segments begin, in milliseconds; how many of them need a cut between keyframes.
    let cases: [(i64, &[i64], u64); 5] = [
        (1, &[0, 2000, 4000, 6000, 8000, 10_000], 0),
        (2, &[0, 2000, 4000, 6000, 8000, 10_000], 0),
        (3, &[0, 3000, 6000, 9000, 12_000, 15_000], 0),
        (4, &[0, 4000, 8000, 12_000, 16_000, 20_000], 0),
        // At 4.2 s and 8.4 s the longest segment is reached; the keyframe at 10 s is not passed by.
        (10, &[0, 4200, 8400, 10_000, 14_200, 18_400], 4),
    ];
    for (gop_s, begins_ms, cuts_without_key) in cases {
        let pictures = Pictures::new((30, 1), gop_s * 30, 24).frames();
        let frames = interleave(vec![pictures, sound(48_000, 0, 24_000_000, 0)], 40_000);
        let watched = Watched::new(wide(), Checker::new())
            .feed(&frames)
            .end()
            .assert_clean();
        let stats = watched.packager.stats();
        assert_eq!(stats.cuts_without_key, cuts_without_key, "{gop_s} s");
        let video = watched.rendition(TrackKind::Video);
        for (msn, begin_ms) in (0..).zip(begins_ms) {
            let segment = video.segment(msn).unwrap();
            let off_us = segment.shown_at.since(BEGAN_AT) - begin_ms * 1000;
            assert!(
                (-1000..=1000).contains(&off_us),
                "{gop_s} s, {msn}: {off_us}"
            );
            let by_key = begin_ms % (gop_s * 1000) == 0;
            assert_eq!(segment.parts[0].independent, by_key, "{gop_s} s, {msn}");
        }
    }
}

#[test]
fn every_playlist_of_every_usual_cadence_keeps_the_rules() {
    let rates = [
        (24, 1),
        (24_000, 1001),
        (25, 1),
        (30_000, 1001),
        (30, 1),
        (50, 1),
        (60, 1),
        (5, 1),
        (1, 1),
    ];
    for (index, rate) in rates.into_iter().enumerate() {
        for seconds in [1, 2, 10] {
            let gop = (rate.0 * seconds + rate.1 - 1) / rate.1;
            let straight = (index + usize::try_from(seconds).unwrap()) % 2 == 0;
            let (reorder, skew_us) = if straight { (0, 0) } else { (1, 80_000) };
            let watched = steady(rate, gop, reorder, skew_us).assert_clean();
            // With reordering the first picture is shown a frame late; sound before it is left out.
            let early = u64::try_from(reorder * 48_000 * rate.1 / rate.0 / 1024 + reorder).unwrap();
            assert!(watched.packager.stats().dropped_frames <= early, "{rate:?}");
            let video = watched.rendition(TrackKind::Video);
            assert!(
                video
                    .listed()
                    .all(|segment| segment.duration_us <= 4_400_000)
            );
            if seconds == 2 {
                assert_eq!(watched.packager.stats().cuts_without_key, 0, "{rate:?}");
                let usual = video
                    .listed()
                    .filter(|s| (s.duration_us - 2_000_000).abs() < 70_000);
                assert!(usual.count() > 14, "{rate:?}");
            }
        }
    }
}

#[test]
fn parts_are_near_the_nominal_and_the_first_comes_with_the_frame_after_it() {
    let frames = Pictures::new((30, 1), 60, 4).frames();
    let mut packager = Packager::new(Config::default(), BEGAN_AT);
    for (index, frame) in frames.iter().enumerate() {
        packager.push(frame.clone());
        // Six frames make 200 ms; the seventh tells how long the sixth lasts.
        assert_eq!(
            packager.presentation().video.is_some(),
            index >= 6,
            "frame {index}"
        );
    }
    assert_eq!(packager.presentation().part_target_us, 216_000);
}

#[test]
fn the_media_is_exact_and_never_drifts() {
    let watched = steady((30_000, 1001), 60, 0, 0);
    for kind in KINDS {
        let samples = watched.samples(kind);
        assert!(samples.len() > 1000);
        for pair in samples.windows(2) {
            assert_eq!(
                pair[0].0 + u64::from(pair[0].1),
                pair[1].0,
                "samples join exactly"
            );
        }
    }
    // Sound told in whole milliseconds lasts whole frames nearly always.
    let audio = watched.samples(TrackKind::Audio);
    let odd = audio.iter().filter(|sample| sample.1 != 1024).count();
    assert!(odd < audio.len() / 100, "{odd} of {}", audio.len());
}

#[test]
fn segments_of_both_renditions_begin_together() {
    let watched = steady((25, 1), 50, 1, 120_000).assert_clean();
    let (video, audio) = (
        watched.rendition(TrackKind::Video),
        watched.rendition(TrackKind::Audio),
    );
    for segment in video.listed() {
        let Some(other) = audio.segment(segment.msn) else {
            continue;
        };
        let apart = other.shown_at.since(segment.shown_at);
        // Before the sound begins at 0, pictures with reordering are shown a frame later.
        assert!(
            segment.msn == 0 || (0..=22_000).contains(&apart),
            "{}: {apart}",
            segment.msn
        );
    }
}

#[test]
fn a_long_group_of_pictures_is_cut_without_a_keyframe_and_says_so() {
    let watched = steady((30, 1), 300, 0, 0).assert_clean();
    assert!(watched.packager.stats().cuts_without_key > 5);
    let video = watched.rendition(TrackKind::Video);
    let independent = video
        .listed()
        .flat_map(|s| &s.parts)
        .filter(|part| part.independent)
        .count();
    assert!(
        (3..=4).contains(&independent),
        "{independent} of 32 s with a keyframe each 10 s"
    );
    assert!(!watched.last[0].contains("INDEPENDENT-SEGMENTS"));
    assert!(watched.last[1].contains("#EXT-X-INDEPENDENT-SEGMENTS"));
}

#[test]
fn a_returning_publisher_is_a_discontinuity_in_both_renditions() {
    let mut second = Pictures::new((30, 1), 60, 0);
    (second.from_us, second.until_us, second.run) = (17_300_000, 60_000_000, 1);
    second.config = other_video_config();
    let first = Pictures::new((30, 1), 60, 12);
    let frames = interleave(
        vec![
            first.frames(),
            sound(48_000, 0, 12_100_000, 0),
            second.frames(),
            sound(48_000, 17_280_000, 60_000_000, 1),
        ],
        30_000,
    );
    let watched = Watched::new(Config::default(), Checker::new()).feed(&frames);
    let text = watched.last[0].clone();
    let watched = watched.end().assert_clean();
    assert_eq!(watched.packager.stats().discontinuities, 1);
    assert!(
        text.contains("#EXT-X-DISCONTINUITY-SEQUENCE:1"),
        "it has left the window by now"
    );
    assert!(text.contains("init-1.mp4") && !text.contains("init-0.mp4"));
    let before = watched.checker.segments("video.m3u8").unwrap();
    let at = before
        .values()
        .find(|segment| segment.discontinuity)
        .unwrap();
    let sound = &watched.checker.segments("audio.m3u8").unwrap()[&at.msn];
    assert!(sound.discontinuity);
    assert!(at.parts[0].independent, "pictures go on with a keyframe");
    assert!((sound.shown_at_us - at.shown_at_us).abs() < 25_000);
    // One frame of sound came before the first keyframe of the new run.
    assert_eq!(watched.packager.stats().dropped_frames, 1);
}

#[test]
fn pictures_of_a_new_run_wait_for_a_keyframe() {
    let first = Pictures::new((30, 1), 60, 5);
    let mut second = Pictures::new((30, 1), 60, 0);
    (second.from_us, second.until_us, second.run) = (5_000_000, 12_000_000, 1);
    let mut frames = first.frames();
    frames.extend(second.frames().into_iter().skip(10));
    let watched = Watched::new(wide(), Checker::new().with_pauses())
        .feed(&frames)
        .end()
        .assert_clean();
    assert_eq!(watched.packager.stats().dropped_frames, 50);
    let video = watched.rendition(TrackKind::Video);
    let after = video
        .listed()
        .find(|segment| segment.discontinuity)
        .unwrap();
    assert!(after.parts[0].independent);
}

#[test]
fn sound_that_comes_late_begins_at_the_current_segment() {
    let frames = interleave(
        vec![
            Pictures::new((30, 1), 60, 30).frames(),
            sound(44_100, 11_000_000, 30_000_000, 0),
        ],
        0,
    );
    let watched = Watched::new(wide(), Checker::new())
        .feed(&frames)
        .end()
        .assert_clean();
    let audio = watched.rendition(TrackKind::Audio);
    assert_eq!(audio.listed().next().unwrap().msn, 5);
    assert!(audio.listed().all(|segment| !segment.is_gap()));
}

#[test]
fn without_sound_there_is_no_audio_rendition_and_nobody_waits_long() {
    let frames = Pictures::new((30, 1), 60, 3).frames();
    let mut packager = Packager::new(Config::default(), BEGAN_AT);
    let mut ready_at = None;
    for frame in &frames {
        packager.push(frame.clone());
        if packager.presentation().ready {
            ready_at.get_or_insert(frame.dts.as_millis());
        }
    }
    assert_eq!(ready_at, Some(1000));
    let id = wire::BroadcastId::new();
    let text = playlist::multivariant(&packager.presentation(), id).unwrap();
    assert!(
        !text.contains("EXT-X-MEDIA:") && text.contains("CODECS=\"avc1.64001f\""),
        "{text}"
    );
    // When the publisher said so, the first part is enough.
    let mut packager = Packager::new(Config::default(), BEGAN_AT);
    packager.announce(Announced {
        video: Some(true),
        audio: Some(false),
    });
    frames
        .iter()
        .take(7)
        .for_each(|frame| packager.push(frame.clone()));
    assert!(packager.presentation().ready);
}

#[test]
fn sound_alone_cuts_by_itself() {
    for rate in [48_000, 44_100, 22_050, 16_000] {
        let frames = sound(rate, 0, 30_000_000, 0);
        let watched = Watched::new(wide(), Checker::new())
            .feed(&frames)
            .end()
            .assert_clean();
        let audio = watched.rendition(TrackKind::Audio);
        assert!(
            (13..=15).contains(&audio.listed().count()),
            "{rate}: {}",
            audio.listed().count()
        );
        assert!(watched.packager.presentation().ready);
        let id = wire::BroadcastId::new();
        let text = playlist::multivariant(&watched.packager.presentation(), id).unwrap();
        assert!(
            text.contains("CODECS=\"mp4a.40.2\"") && text.ends_with("/audio.m3u8\n"),
            "{text}"
        );
    }
}

#[test]
fn pictures_that_join_sound_begin_a_segment_of_their_own() {
    let mut pictures = Pictures::new((30, 1), 60, 0);
    (pictures.from_us, pictures.until_us) = (5_500_000, 20_000_000);
    let frames = interleave(vec![pictures.frames(), sound(48_000, 0, 20_000_000, 0)], 0);
    let watched = Watched::new(wide(), Checker::new())
        .feed(&frames)
        .end()
        .assert_clean();
    let video = watched.rendition(TrackKind::Video);
    assert!(video.listed().next().unwrap().msn > 0);
    assert_eq!(watched.packager.stats().dropped_frames, 0);
}

#[test]
fn an_encoder_that_sends_its_first_second_at_once_was_ahead_of_its_stamps() {
    let late = MediaTime::from_millis(900);
    let mut frames = steady_frames();
    for frame in &mut frames {
        // What was held back before the connection came all in the first moment.
        frame.captured_at = BEGAN_AT + frame.dts.max(late);
    }
    for frame in &mut frames {
        frame.captured_at = WallTime::from_micros(frame.captured_at.as_micros() - 900_000);
    }
    let watched = Watched::new(wide(), Checker::new())
        .feed(&frames)
        .end()
        .assert_clean();
    for kind in [TrackKind::Video, TrackKind::Audio] {
        let first = watched.rendition(kind).listed().next().unwrap();
        let ahead = BEGAN_AT.since(first.shown_at);
        assert!((100_000..=900_000).contains(&ahead), "{kind:?}: {ahead} us");
    }
}

fn steady_frames() -> Vec<Frame> {
    let mut pictures = Pictures::new((30, 1), 60, 0);
    pictures.until_us = 20_000_000;
    interleave(vec![pictures.frames(), sound(48_000, 0, 20_000_000, 0)], 0)
}

#[test]
fn sound_that_stops_becomes_gaps_while_the_pictures_go_on() {
    let frames = interleave(
        vec![
            Pictures::new((30, 1), 60, 40).frames(),
            sound(48_000, 0, 10_000_000, 0),
            sound(48_000, 25_000_000, 40_000_000, 0),
        ],
        0,
    );
    let watched = Watched::new(wide(), Checker::new().with_pauses())
        .feed(&frames)
        .end()
        .assert_clean();
    let audio = watched.rendition(TrackKind::Audio);
    assert!((6..=9).contains(&audio.listed().filter(|segment| segment.is_gap()).count()));
    assert_eq!(
        audio.listed().count(),
        watched.rendition(TrackKind::Video).listed().count()
    );
}

#[test]
fn pictures_that_stop_do_not_stop_the_sound() {
    let mut late = Pictures::new((30, 1), 60, 0);
    (late.from_us, late.until_us) = (25_000_000, 40_000_000);
    let frames = interleave(
        vec![
            Pictures::new((30, 1), 60, 10).frames(),
            late.frames(),
            sound(48_000, 0, 40_000_000, 0),
        ],
        0,
    );
    let watched = Watched::new(wide(), Checker::new().with_pauses())
        .feed(&frames)
        .end()
        .assert_clean();
    let (video, audio) = (
        watched.rendition(TrackKind::Video),
        watched.rendition(TrackKind::Audio),
    );
    assert!(video.listed().any(|segment| segment.is_gap()));
    assert!(!audio.listed().any(|segment| segment.is_gap()));
    assert_eq!(audio.listed().count(), video.listed().count());
    assert_eq!(watched.packager.stats().dropped_frames, 0);
}

#[test]
fn a_publisher_without_keyframes_costs_nothing() {
    let mut packager = Packager::new(Config::default(), BEGAN_AT);
    for mut frame in Pictures::new((60, 1), 60, 60).frames() {
        frame.key = false;
        packager.push(frame);
    }
    assert_eq!(packager.stats().dropped_frames, 3600);
    assert!(packager.presentation().video.is_none() && packager.video.queue.is_empty());
}

#[test]
fn times_that_do_not_advance_are_bounded() {
    let mut packager = Packager::new(Config::default(), BEGAN_AT);
    let frames = Pictures::new((30, 1), 60, 1).frames();
    for _ in 0..100_000 {
        let mut frame = frames[0].clone();
        frame.dts = MediaTime::from_millis(40);
        packager.push(frame);
    }
    for frame in &frames {
        packager.push(frame.clone());
    }
    assert!(packager.stats().dropped_frames > 90_000);
    packager.end();
}

#[test]
fn the_window_is_bounded_in_time_and_bytes_and_what_left_stays_fetchable() {
    let pictures = Pictures::new((30, 1), 60, 120).frames();
    let watched = Watched::new(Config::default(), Checker::new())
        .feed(&pictures)
        .assert_clean();
    let video = watched.rendition(TrackKind::Video);
    let listed_us: i64 = video.listed().map(|segment| segment.duration_us).sum();
    assert!((36_000_000..40_000_000).contains(&listed_us), "{listed_us}");
    let first = video.listed().next().unwrap().msn;
    assert!(
        video.segment(first - 15).is_some(),
        "36 s and more after it left"
    );
    assert!(video.segment(first - 25).is_none());
    assert!(matches!(
        video.part(Edge {
            msn: first - 1,
            part: 0
        }),
        Lookup::Here(_)
    ));

    let tight = Config {
        window_bytes: 60_000,
        ..Config::default()
    };
    let watched = Watched::new(tight, Checker::new())
        .feed(&pictures)
        .assert_clean();
    let video = watched.rendition(TrackKind::Video);
    let listed_us: i64 = video.listed().map(|segment| segment.duration_us).sum();
    assert!(
        (12_000_000..20_000_000).contains(&listed_us),
        "three targets stay: {listed_us}"
    );
    assert!(video.bytes() <= 64_000, "{}", video.bytes());
}

#[test]
fn the_same_frames_make_the_same_files_however_the_tracks_interleave() {
    let make = |skew_us| {
        let frames = interleave(
            vec![
                Pictures::new((30, 1), 45, 30).frames(),
                sound(44_100, 0, 30_000_000, 0),
            ],
            skew_us,
        );
        let watched = Watched::new(wide(), Checker::new())
            .feed(&frames)
            .end()
            .assert_clean();
        KINDS.map(|kind| {
            let segments = watched.rendition(kind).listed();
            segments
                .map(|s| s.parts.iter().map(|p| p.data.clone()).collect::<Vec<_>>())
                .collect::<Vec<_>>()
        })
    };
    let straight = make(0);
    assert_eq!(straight, make(150_000));
    assert_eq!(straight, make(-400_000));
}

#[test]
fn a_missing_stretch_of_the_log_is_a_discontinuity() {
    let frames = Pictures::new((30, 1), 60, 20).frames();
    let mut watched = Watched::new(wide(), Checker::new().with_pauses()).feed(&frames[..200]);
    watched.packager.gap(TrackKind::Video, 100);
    let watched = watched.feed(&frames[300..]).end().assert_clean();
    assert_eq!(watched.packager.stats().gap_frames, 100);
    assert_eq!(watched.packager.stats().discontinuities, 1);
}

#[test]
fn blocking_requests_are_answered_when_what_they_ask_for_is_shown() {
    let frames = Pictures::new((30, 1), 60, 5).frames();
    let watched = Watched::new(wide(), Checker::new()).feed(&frames);
    let video = watched.rendition(TrackKind::Video);
    let next = video.next_part();
    assert_eq!(next.msn, 2);
    assert!(video.shows(1, None) && !video.shows(2, None));
    assert!(video.shows(next.msn, next.part.checked_sub(1)));
    assert!(!video.shows(next.msn, Some(next.part)));
    // A part that the second segment does not have means the first of the third.
    assert!(video.shows(1, Some(500)) && !video.shows(2, Some(500)));
    assert_eq!(video.part(next), Lookup::Next);
    assert_eq!(video.part(Edge { msn: 1, part: 500 }), Lookup::Nowhere);
    assert_eq!(
        video.part(Edge {
            msn: next.msn,
            part: next.part + 1
        }),
        Lookup::Nowhere
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Jitter, dropped frames, skew between the tracks and any group of pictures.
    #[test]
    fn no_cadence_breaks_a_rule(
        fps in prop_oneof![Just(24_i64), Just(25), Just(30), Just(50), Just(60), Just(5), 1..75_i64],
        gop_ms in 200..12_000_i64,
        reorder in 0..2_i64,
        jitter_us in 0..9_000_i64,
        skew_us in -900_000..900_000_i64,
        drops in proptest::collection::vec(0..1500_usize, 0..30),
        rate in prop_oneof![Just(48_000_u32), Just(44_100)],
        seed in any::<u64>(),
    ) {
        let mut pictures = Pictures::new((fps, 1), (gop_ms * fps / 1000).max(1), 14);
        pictures.reorder = reorder;
        let mut state = seed | 1;
        let mut frames: Vec<Frame> = pictures.frames().into_iter().enumerate()
            .filter(|(index, frame)| frame.key || !drops.contains(index))
            .map(|(_, frame)| frame)
            .collect();
        let limit = jitter_us.min(400_000 / fps);
        let mut last = MediaTime::ZERO;
        for frame in &mut frames {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let off = i64::try_from(state >> 40).unwrap() % (limit + 1) / 1000 * 1000;
            frame.dts = (frame.dts + off).max(last);
            frame.pts = (frame.pts + off).max(frame.dts);
            last = frame.dts;
        }
        let count = frames.len();
        let sound = sound(rate, 0, 14_000_000, 0);
        let sounds = sound.len();
        let frames = interleave(vec![frames, sound], skew_us);
        let watched = Watched::new(wide(), Checker::new().with_pauses()).feed(&frames).end();
        let text: Vec<String> = watched.found.iter().take(4).map(ToString::to_string).collect();
        prop_assert!(watched.found.is_empty(), "{} violations: {:#?}", watched.found.len(), text);
        let stats = watched.packager.stats();
        let dropped = usize::try_from(stats.dropped_frames + stats.prelude_frames).unwrap();
        let placed = watched.samples(TrackKind::Video).len() + watched.samples(TrackKind::Audio).len();
        prop_assert_eq!(placed + dropped, count + sounds, "no frame is lost unseen");
    }
}

#[test]
fn what_another_server_packaged_before_keeps_its_names() {
    let frames = |from_us| {
        let mut pictures = Pictures::new((30, 1), 60, 0);
        (pictures.from_us, pictures.until_us) = (from_us, from_us + 10_000_000);
        interleave(
            vec![
                pictures.frames(),
                sound(48_000, from_us, from_us + 10_000_000, 0),
            ],
            0,
        )
    };
    let before = Watched::new(wide(), Checker::new())
        .feed(&frames(0))
        .end()
        .assert_clean();
    let mut after = Watched::new(wide(), Checker::new());
    after.packager = Packager::new(wide(), BEGAN_AT).resuming_at(MediaTime::from_millis(15_000));
    let after = after.feed(&frames(15_000_000)).end().assert_clean();
    for kind in KINDS {
        let first = after.rendition(kind).listed().next().unwrap();
        let last = before.rendition(kind).listed().next_back().unwrap();
        assert!(first.msn > last.msn && first.init > last.init);
        assert!(first.discontinuity && first.discontinuities > last.discontinuities);
        assert_eq!(first.shown_at.since(BEGAN_AT) / 1000, 15_000);
        assert!(after.rendition(kind).init(first.init).is_some());
    }
}
