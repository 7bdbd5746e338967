//! Every playlist of a run keeps the rules of RFC 8216bis, and ours.

use std::collections::BTreeSet;

use hls::rules::Segment;

use crate::support::viewer::Track;
use crate::support::{Clip, Publisher, Server, Source, Viewer};

/// Publishes `source` in real time while somebody watches from the first part to the last, and
/// checks what holds for every stream.
async fn run(source: Source, seconds: u32, fps: f64) {
    let server = Server::start().await;
    let mut ffmpeg = source.seconds(seconds).publish(&server);
    let mut viewer = Viewer::tune_in(&server).await;
    viewer.watch_to_the_end().await;
    assert!(ffmpeg.ended().await.success());
    viewer.assert_rules_kept();

    let video = viewer.video();
    let target = video.playlist.part_target_us;
    assert!(
        (150_000..300_000).contains(&target),
        "{fps} fps: PART-TARGET {target} us"
    );
    assert_eq!(video.playlist.target_duration, 4, "as configured");
    // The browser's player reads these; a change of either is a rule of its own above.
    let parts_told = video.seen.len();
    let least = f64::from(seconds) / (target as f64 / 1e6) * 0.6;
    assert!(
        parts_told as f64 > least,
        "{fps} fps: {parts_told} playlists in {seconds} s"
    );
    for track in &viewer.tracks {
        let name = &track.name;
        assert!(
            track
                .seen
                .iter()
                .all(|text| text.contains("#EXT-X-PROGRAM-DATE-TIME:")),
            "{name}"
        );
        let reports = track
            .seen
            .iter()
            .filter(|text| text.contains("#EXT-X-RENDITION-REPORT:"));
        assert!(
            reports.count() + 2 >= track.seen.len(),
            "{name}: every playlist reports the other"
        );
        let hints = track
            .seen
            .iter()
            .filter(|text| text.contains("#EXT-X-PRELOAD-HINT:TYPE=PART"));
        assert!(
            hints.count() + 1 >= track.seen.len(),
            "{name}: every playlist but the last hints"
        );
        let segments = viewer.segments(track);
        assert_eq!(segments[0].msn, 0, "{name}: from the first");
        assert!(
            !segments
                .iter()
                .any(|segment| segment.discontinuity || segment.gap),
            "{name}"
        );
        let total: i64 = segments.iter().map(Segment::duration).sum();
        let expected = i64::from(seconds) * 1_000_000;
        assert!(
            total.abs_diff(expected) < 200_000,
            "{fps} fps, {name}: {total} us of {expected}"
        );
    }
    let told = viewer.multivariant.variants[0].frame_rate.unwrap();
    assert!(
        (told - fps).abs() < fps * 0.02,
        "FRAME-RATE={told} of {fps}"
    );
    assert_marks_are_true(&viewer).await;
}

/// Parts are marked independent just where they begin with a keyframe.
async fn assert_marks_are_true(viewer: &Viewer) {
    let video = viewer.video();
    let mut marked = BTreeSet::new();
    for segment in viewer.segments(video) {
        for part in &segment.parts {
            let bytes = viewer.fetch(&video.resolve(&part.uri)).await;
            assert_eq!(
                part.independent,
                begins_with_keyframe(&bytes),
                "{}",
                part.uri
            );
            marked.insert(part.independent);
        }
    }
    assert_eq!(marked.len(), 2, "there are parts of both kinds");
}

/// Whether the first picture of a CMAF chunk is an IDR picture, by its NAL units alone.
fn begins_with_keyframe(chunk: &[u8]) -> bool {
    let mdat = chunk
        .windows(4)
        .position(|window| window == b"mdat")
        .expect("a chunk has media");
    let mut units = &chunk[mdat + 4..];
    loop {
        let (length, rest) = units
            .split_first_chunk::<4>()
            .expect("a chunk has a picture");
        let (unit, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        match unit[0] & 0x1F {
            5 => return true,
            1 => return false,
            _ => units = rest,
        }
    }
}

#[tokio::test]
async fn playlists_at_24_30_and_60_pictures_a_second_keep_the_rules() {
    let of = |fps, gop| Source::new().fps(fps).gop_frames(gop);
    // Each takes its time in real time, and little of the processor: all at once.
    tokio::join!(
        run(of("24", 48), 11, 24.0),
        run(of("30000/1001", 60), 11, 29.97),
        run(of("30", 60), 11, 30.0),
        run(of("60", 120), 11, 60.0),
    );
}

#[tokio::test]
async fn a_group_of_pictures_of_ten_seconds_is_cut_within_the_target_duration() {
    let server = Server::start().await;
    let clip = Clip::of(&Source::new().gop_frames(300), 32).await;
    let mut publisher = Publisher::start(&server).await;
    publisher.introduce(&clip).await;
    let playing = async {
        publisher
            .play(&clip.frames, 4)
            .await
            .expect("the server takes it");
        publisher.finish().await;
    };
    let watching = async {
        let mut viewer = Viewer::tune_in(&server).await;
        viewer.watch_to_the_end().await;
        viewer
    };
    let ((), viewer) = tokio::join!(playing, watching);
    viewer.assert_rules_kept();
    let segments = viewer.segments(viewer.video());
    let longest = segments.iter().map(Segment::duration).max().unwrap();
    assert!(longest < 4_500_000, "{longest} us");
    assert!(segments.len() >= 8, "{} segments in 32 s", segments.len());
    let beginning = segments
        .iter()
        .filter(|s| s.parts.first().is_some_and(|part| part.independent));
    assert_eq!(
        beginning.count(),
        4,
        "four keyframes, each begins a segment"
    );
    assert!(
        !viewer.video().text.contains("#EXT-X-INDEPENDENT-SEGMENTS"),
        "it would not be true"
    );
    assert_marks_are_true(&viewer).await;
    let total: i64 = segments.iter().map(Segment::duration).sum();
    assert!(total.abs_diff(32_000_000) < 100_000, "{total} us");
}

#[tokio::test]
async fn over_two_minutes_the_window_slides_and_delta_updates_skip() {
    let server = Server::start().await;
    let source = Source::new().size("160x90").fps("15").gop_frames(30);
    let clip = Clip::of(&source, 120).await;
    let mut publisher = Publisher::start(&server).await;
    publisher.introduce(&clip).await;
    let playing = async {
        publisher
            .play(&clip.frames, 12)
            .await
            .expect("the server takes it");
        publisher
    };
    let watching = async {
        let mut viewer = Viewer::tune_in(&server).await;
        viewer.skips = true;
        viewer
            .watch_until("almost two minutes are over", |viewer| {
                viewer.video().next().0 >= 58
            })
            .await;
        viewer
    };
    let (publisher, mut viewer) = tokio::join!(playing, watching);
    for kind in ["video", "audio"] {
        let track = viewer.track(kind);
        let window: i64 = track.complete().map(Segment::duration).sum();
        assert!(
            (34_000_000..42_000_000).contains(&window),
            "{kind}: a window of {window} us"
        );
        assert!(
            track.playlist.media_sequence > 30,
            "{kind}: it has moved on"
        );
        let skips = track
            .seen
            .iter()
            .filter(|text| text.contains("#EXT-X-SKIP:"))
            .count();
        assert!(
            skips > track.seen.len() / 2,
            "{kind}: {skips} of {} skip",
            track.seen.len()
        );
        let (full, delta) = (track.text.len(), track.seen.last().unwrap().len());
        assert!(delta < full, "{kind}: {delta} and {full} bytes");
        still_there_and_long_gone(&viewer, track).await;
    }
    publisher.finish().await;
    viewer.watch_to_the_end().await;
    viewer.assert_rules_kept();
}

/// What has just left the playlist can still be fetched, what left it long ago cannot.
async fn still_there_and_long_gone(viewer: &Viewer, track: &Track) {
    let segments = viewer.segments(track);
    let first = track.playlist.media_sequence;
    let just_left = segments
        .iter()
        .find(|segment| segment.msn + 1 == first)
        .unwrap();
    let answer = viewer.send(&track.resolve(&just_left.address)).await;
    assert_eq!(answer.status(), 200, "{} has just left", just_left.address);
    let oldest = &segments[0];
    assert_eq!(oldest.msn, 0);
    let answer = viewer.send(&track.resolve(&oldest.address)).await;
    assert_eq!(answer.status(), 404, "{} is long gone", oldest.address);
}
