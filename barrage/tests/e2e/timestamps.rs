//! Clocks that wrap, jump and run backwards, and set-ups that change on the way.

use hls::rules::Segment;
use media::flv::{Tag, TagKind};

use crate::support::clip::shifted;
use crate::support::ffmpeg::probe;
use crate::support::{Clip, Publisher, Server, Source, Viewer};

/// Publishes frames, and gives a viewer who has seen all of them.
async fn watched(server: &Server, clip: &Clip, frames: &[&[Tag]]) -> Viewer {
    let mut publisher = Publisher::start(server).await;
    publisher.introduce(clip).await;
    for frames in frames {
        publisher.play(frames, 10).await.unwrap();
    }
    let mut viewer = Viewer::tune_in(server).await;
    publisher.finish().await;
    viewer.watch_to_the_end().await;
    viewer.assert_rules_kept();
    viewer
}

fn total_us(segments: &[Segment]) -> i64 {
    segments
        .iter()
        .filter(|segment| !segment.gap)
        .map(Segment::duration)
        .sum()
}

/// How many of the segments do not continue the one before.
fn breaks(segments: &[Segment]) -> usize {
    segments
        .iter()
        .filter(|segment| segment.discontinuity)
        .count()
}

#[tokio::test]
async fn a_clock_that_wraps_after_49_days_plays_on_without_a_break() {
    let server = Server::start().await;
    let clip = Clip::plain().await;
    let frames = shifted(&clip.frames, u32::MAX - 5000);
    assert!(
        frames[0].timestamp > frames[frames.len() - 1].timestamp,
        "it wraps"
    );
    let viewer = watched(&server, &clip, &[&frames]).await;
    for kind in ["video", "audio"] {
        let segments = viewer.segments(viewer.track(kind));
        assert_eq!(breaks(&segments), 0, "{kind}");
        assert!(
            total_us(&segments).abs_diff(10_000_000) < 50_000,
            "{kind}: {} us",
            total_us(&segments)
        );
    }
}

#[tokio::test]
async fn a_clock_that_jumps_an_hour_ahead_or_back_to_zero_makes_one_discontinuity() {
    let clip = Clip::plain().await;
    let back_to_zero = 0u32.wrapping_sub(5000);
    for shift in [3_600_000, back_to_zero] {
        let server = Server::start().await;
        let half = clip
            .frames
            .iter()
            .position(|frame| frame.timestamp >= 5000)
            .unwrap();
        let (before, after) = clip.frames.split_at(half);
        let viewer = watched(&server, &clip, &[before, &shifted(after, shift)]).await;
        for kind in ["video", "audio"] {
            let segments = viewer.segments(viewer.track(kind));
            assert_eq!(breaks(&segments), 1, "{kind}, {shift}");
            let total = total_us(&segments);
            assert!(
                total.abs_diff(10_000_000) < 150_000,
                "{kind}, {shift}: {total} us"
            );
        }
    }
}

#[tokio::test]
async fn a_publisher_whose_clock_runs_backwards_is_sent_away_in_words_and_costs_nothing() {
    let server = Server::start().await;
    let clip = Clip::plain().await;
    let mut publisher = Publisher::start(&server).await;
    publisher.introduce(&clip).await;
    publisher.send_all(&clip.frames[..200]).await;
    server.live().await;
    let before = server.resident_kib();
    // Frame after frame a little earlier, for as long as it is let.
    let address = publisher.address();
    let mut stamp: u32 = 10_000_000;
    for frame in clip.frames.iter().cycle().take(20_000) {
        stamp -= 15;
        let frame = Tag {
            timestamp: stamp,
            ..frame.clone()
        };
        if publisher.send(&frame).await.is_err() {
            break;
        }
    }
    server
        .logged(&["the publisher's clock jumped", "jump_ms=-", &address])
        .await;
    server
        .logged(&["has to go", "the clock jumped 10 times", &address])
        .await;
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 150 * 1024, "{grown} KiB more");
}

#[tokio::test]
async fn another_resolution_on_the_way_plays_on_behind_a_new_init_segment() {
    let server = Server::start().await;
    let small = Clip::of(&Source::new(), 5).await;
    let large = Clip::of(&Source::new().size("640x360"), 5).await;
    let mut publisher = Publisher::start(&server).await;
    publisher.introduce(&small).await;
    publisher.play(&small.frames, 10).await.unwrap();
    publisher.send(&large.header(TagKind::Video)).await.unwrap();
    publisher
        .play(&shifted(&large.frames, 5000), 5)
        .await
        .unwrap();
    server
        .stream_until("the new resolution is told", |now| {
            now["video"]["width"] == 640
        })
        .await;
    let mut viewer = Viewer::tune_in(&server).await;
    publisher.finish().await;
    viewer.watch_to_the_end().await;
    viewer.assert_rules_kept();
    for kind in ["video", "audio"] {
        let segments = viewer.segments(viewer.track(kind));
        assert_eq!(breaks(&segments), 1, "{kind}");
    }
    let segments = viewer.segments(viewer.video());
    let (before, after): (Vec<_>, Vec<_>) = segments
        .into_iter()
        .partition(|segment| segment.discontinuities == 0);
    assert_ne!(before[0].map, after[0].map, "the set-up is another");
    for (segments, width) in [(before, 320), (after, 640)] {
        assert!(total_us(&segments).abs_diff(5_000_000) < 100_000);
        assert_eq!(width_of(&viewer, &segments).await, width);
    }
}

/// What a decoder takes pictures of these segments to be.
async fn width_of(viewer: &Viewer, segments: &[Segment]) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("video.mp4");
    std::fs::write(&file, viewer.recording(viewer.video(), segments).await).unwrap();
    let told = probe(
        file.to_str().unwrap(),
        &["-show_frames", "-show_entries", "frame=width"],
    )
    .await;
    let frames = told["frames"].as_array().unwrap();
    assert!(frames.len() > 100, "{} frames", frames.len());
    let width = frames[0]["width"].as_u64().unwrap();
    assert!(frames.iter().all(|frame| frame["width"] == width));
    width
}

#[tokio::test]
async fn another_sample_rate_on_the_way_plays_on_behind_a_new_init_segment() {
    let server = Server::start().await;
    let one = Clip::of(&Source::new(), 5).await;
    let other = Clip::of(&Source::new().audio_rate(44_100), 5).await;
    let mut publisher = Publisher::start(&server).await;
    publisher.introduce(&one).await;
    publisher.play(&one.frames, 10).await.unwrap();
    publisher.send(&other.header(TagKind::Audio)).await.unwrap();
    publisher
        .play(&shifted(&other.frames, 5000), 5)
        .await
        .unwrap();
    server
        .stream_until("the new rate is told", |now| {
            now["audio"]["sample_rate"] == 44_100
        })
        .await;
    let mut viewer = Viewer::tune_in(&server).await;
    publisher.finish().await;
    viewer.watch_to_the_end().await;
    viewer.assert_rules_kept();
    let segments = viewer.segments(viewer.audio());
    assert_eq!(breaks(&segments), 1);
    let maps: std::collections::BTreeSet<_> = segments.iter().map(|s| s.map.clone()).collect();
    assert_eq!(maps.len(), 2, "{maps:?}");
    assert!(total_us(&segments).abs_diff(10_000_000) < 150_000);
    assert_eq!(
        breaks(&viewer.segments(viewer.video())),
        1,
        "both tracks break together"
    );
}

#[tokio::test]
async fn a_set_up_that_is_repeated_changes_nothing() {
    let server = Server::start().await;
    let clip = Clip::plain().await;
    let header = clip.header(TagKind::Video);
    let frames = clip.frames.iter().flat_map(|frame| {
        let repeated = Tag {
            timestamp: frame.timestamp,
            ..header.clone()
        };
        let repeat = crate::support::clip::is_key(frame).then_some(repeated);
        repeat.into_iter().chain([frame.clone()])
    });
    let frames: Vec<_> = frames.collect();
    let viewer = watched(&server, &clip, &[&frames]).await;
    assert_eq!(breaks(&viewer.segments(viewer.video())), 0);
}
