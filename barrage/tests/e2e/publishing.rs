//! What encoders publish is described, served and playable.

use std::collections::BTreeMap;
use std::path::Path;

use m3u8_rs::AlternativeMediaType;
use media::flv::TagKind;
use serde_json::Value;

use crate::support::clip::{Clip, is_key};
use crate::support::ffmpeg::{output_of, probe};
use crate::support::publisher::ENCODER;
use crate::support::server::Process;
use crate::support::viewer::{multivariant_url, read_multivariant};
use crate::support::{Publisher, Server, Source, Viewer, until};

/// The streams that ffprobe sees at an address, by kind.
async fn streams_at(url: &str) -> BTreeMap<String, Value> {
    let told = probe(url, &["-show_streams"]).await;
    let streams = told["streams"].as_array().unwrap().iter();
    streams
        .map(|stream| {
            (
                stream["codec_type"].as_str().unwrap().to_owned(),
                stream.clone(),
            )
        })
        .collect()
}

/// A file's decoded frames: when each is shown, in seconds, and what type it is.
async fn frames_in(file: &Path, stream: &str) -> Vec<(f64, String)> {
    let entries = "frame=pts_time,best_effort_timestamp_time,pict_type";
    let args = [
        "-select_streams",
        stream,
        "-show_frames",
        "-show_entries",
        entries,
    ];
    let told = probe(file.to_str().unwrap(), &args).await;
    let frames = told["frames"].as_array().unwrap().iter();
    let time = |frame: &Value| {
        frame["best_effort_timestamp_time"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    };
    let kind = |frame: &Value| frame["pict_type"].as_str().unwrap_or_default().to_owned();
    frames.map(|frame| (time(frame), kind(frame))).collect()
}

/// The first and last of `frames`, and the shortest and longest time between two.
fn steps(frames: &[(f64, String)]) -> (f64, f64) {
    let steps = frames.windows(2).map(|pair| pair[1].0 - pair[0].0);
    steps.fold((f64::MAX, 0.0), |(least, most), step| {
        (f64::min(least, step), f64::max(most, step))
    })
}

#[tokio::test]
async fn what_ffmpeg_publishes_is_described_by_the_api_and_the_multivariant_playlist() {
    let server = Server::start().await;
    let mut ffmpeg = Source::new().publish(&server);
    let mut viewer = Viewer::tune_in(&server).await;
    viewer.watch(4).await;
    let stream = server
        .stream_until("everything is measured", |now| {
            now["video"]["keyframe_interval_ms"].as_u64() > Some(0)
                && now["audio"]["bitrate_bps"].as_u64() > Some(0)
                && now["viewers"]["total"].as_u64() > Some(0)
        })
        .await;
    let video = &stream["video"];
    assert!(
        video["codec"].as_str().unwrap().starts_with("avc1."),
        "{video}"
    );
    assert_eq!(
        (&video["width"], &video["height"]),
        (&320.into(), &180.into())
    );
    assert!(
        (video["fps"].as_f64().unwrap() - 30.0).abs() < 0.5,
        "{video}"
    );
    assert!(
        video["keyframe_interval_ms"]
            .as_u64()
            .unwrap()
            .abs_diff(1000)
            <= 2,
        "{video}"
    );
    assert!(
        (100_000..1_000_000).contains(&video["bitrate_bps"].as_u64().unwrap()),
        "{video}"
    );
    let audio = &stream["audio"];
    assert_eq!(audio["codec"], "mp4a.40.2");
    assert_eq!(
        (&audio["sample_rate"], &audio["channels"]),
        (&48_000.into(), &1.into())
    );
    assert!(
        (20_000..200_000).contains(&audio["bitrate_bps"].as_u64().unwrap()),
        "{audio}"
    );
    assert_eq!(stream["viewers"]["hls"], 1, "{stream}");
    // Sound from before the first picture belongs nowhere.
    assert!(stream["dropped_frames"].as_u64() <= Some(2), "{stream}");
    assert_eq!(
        (&stream["protocol"], &stream["channel"]["handle"]),
        (&"rtmp".into(), &"stage".into())
    );
    assert!(
        stream["encoder"].as_str().unwrap().starts_with("Lavf"),
        "{stream}"
    );
    assert_eq!(stream["playback"]["hls"], "/hls/stage/index.m3u8");
    assert_eq!(stream["playback"]["flv"], "/live/stage.flv");
    assert_eq!(stream["playback"]["whep"], "/whep/stage");
    assert_eq!(stream["broadcast_id"], viewer.broadcast());
    let listed = server.json("/api/v1/streams").await;
    assert_eq!(listed["streams"][0]["broadcast_id"], stream["broadcast_id"]);
    let page = server.json("/api/v1/channels/stage").await;
    assert_eq!(page["live"]["broadcast_id"], stream["broadcast_id"]);

    let text = server.text("/hls/stage/index.m3u8").await;
    let multivariant = read_multivariant(&text);
    let [variant] = multivariant.variants.as_slice() else {
        panic!("one variant: {text}")
    };
    let codecs = format!("{},mp4a.40.2", video["codec"].as_str().unwrap());
    assert_eq!(variant.codecs.as_deref(), Some(codecs.as_str()));
    let resolution = variant
        .resolution
        .map(|pixels| (pixels.width, pixels.height));
    assert_eq!(resolution, Some((320, 180)));
    assert!((variant.frame_rate.unwrap() - 30.0).abs() < 0.1, "{text}");
    let measured = video["bitrate_bps"].as_u64().unwrap() + audio["bitrate_bps"].as_u64().unwrap();
    assert!(
        (measured / 2..measured * 2).contains(&variant.bandwidth),
        "{measured}: {text}"
    );
    assert!(
        variant
            .average_bandwidth
            .is_some_and(|average| average <= variant.bandwidth)
    );
    let [sound] = multivariant.alternatives.as_slice() else {
        panic!("one sound: {text}")
    };
    assert_eq!(sound.media_type, AlternativeMediaType::Audio);
    assert_eq!(variant.audio.as_deref(), Some(sound.group_id.as_str()));
    assert!(sound.default && sound.autoselect, "{text}");

    ffmpeg.finish().await;
    viewer.watch_to_the_end().await;
    viewer.assert_rules_kept();
    server.offline().await;
    let page = server.json("/api/v1/channels/stage").await;
    assert!(
        page["live"].is_null() && page["last_live_at"].is_string(),
        "{page}"
    );
}

#[tokio::test]
async fn players_of_plain_hls_play_the_same_address() {
    let server = Server::start().await;
    let _ffmpeg = Source::new().publish(&server);
    Viewer::tune_in(&server).await.watch(6).await;
    let url = multivariant_url(&server);
    let streams = streams_at(&url).await;
    assert_eq!(streams["video"]["codec_name"], "h264");
    assert_eq!(
        (&streams["video"]["width"], &streams["video"]["height"]),
        (&320.into(), &180.into())
    );
    assert_eq!(streams["audio"]["codec_name"], "aac");
    assert_eq!(streams["audio"]["sample_rate"], "48000");

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("recording.mkv");
    let args = [
        "-v",
        "error",
        "-i",
        &url,
        "-t",
        "3",
        "-c",
        "copy",
        file.to_str().unwrap(),
    ];
    let complaints = output_of("ffmpeg", &args).await;
    assert!(complaints.is_empty());
    let pictures = frames_in(&file, "v").await;
    assert!(
        (85..=95).contains(&pictures.len()),
        "{} pictures in 3 s",
        pictures.len()
    );
    let (least, most) = steps(&pictures);
    assert!(
        least > 0.031 && most < 0.036,
        "30 a second: {least} to {most}"
    );
    let sounds = frames_in(&file, "a").await;
    let (least, most) = steps(&sounds);
    assert!(
        sounds.len() > 130 && least > 0.020 && most < 0.023,
        "{least} to {most}"
    );
}

#[tokio::test]
async fn parts_make_their_segment_and_play_behind_the_init_segment() {
    let server = Server::start().await;
    let clip = Clip::plain().await;
    let mut publisher = Publisher::start(&server).await;
    publisher.introduce(&clip).await;
    publisher.play(&clip.frames, 10).await.unwrap();
    let mut viewer = Viewer::tune_in(&server).await;
    publisher.finish().await;
    viewer.watch_to_the_end().await;
    viewer.assert_rules_kept();
    let dir = tempfile::tempdir().unwrap();
    let first = clip.frames_of(TagKind::Video)[0].timestamp;
    for (kind, stream) in [("video", "v"), ("audio", "a")] {
        let track = viewer.track(kind);
        let segments = viewer.segments(track);
        for segment in segments.iter().filter(|segment| !segment.parts.is_empty()) {
            let whole = viewer.fetch(&track.resolve(&segment.address)).await;
            let mut parts = Vec::new();
            for part in &segment.parts {
                parts.extend(viewer.fetch(&track.resolve(&part.uri)).await);
            }
            assert!(parts == whole, "the parts of {} make it", segment.address);
        }
        let file = dir.path().join(kind);
        std::fs::write(&file, viewer.recording(track, &segments).await).unwrap();
        let frames = frames_in(&file, stream).await;
        let tag = if kind == "video" {
            TagKind::Video
        } else {
            TagKind::Audio
        };
        // Sound from before the first picture belongs nowhere.
        let sent = clip
            .frames_of(tag)
            .iter()
            .filter(|frame| frame.timestamp >= first)
            .count();
        assert_eq!(frames.len(), sent, "every frame of {kind} arrives");
        let told: i64 = segments.iter().map(hls::rules::Segment::duration).sum();
        let expected = frames.len() as f64
            * if kind == "video" {
                1.0 / 30.0
            } else {
                1024.0 / 48_000.0
            };
        assert!(
            (told as f64 / 1e6 - expected).abs() < 0.005,
            "{kind}: {told} us, {expected} s"
        );
        let (least, most) = steps(&frames);
        let (shortest, longest) = if kind == "video" {
            (0.032, 0.035)
        } else {
            (0.0213, 0.0214)
        };
        assert!(
            least > shortest && most < longest,
            "{kind}: {least} to {most}"
        );
    }
}

#[tokio::test]
async fn a_stream_without_sound_plays() {
    let server = Server::start().await;
    let mut ffmpeg = Source::new().without_audio().publish(&server);
    let mut viewer = Viewer::tune_in(&server).await;
    assert_eq!(viewer.tracks.len(), 1, "there is no sound to offer");
    let variant = &viewer.multivariant.variants[0];
    assert!(variant.audio.is_none() && viewer.multivariant.alternatives.is_empty());
    assert!(!variant.codecs.as_deref().unwrap().contains("mp4a"));
    viewer.watch(3).await;
    let streams = streams_at(&multivariant_url(&server)).await;
    assert_eq!(streams.keys().collect::<Vec<_>>(), ["video"]);
    assert!(server.stream().await.unwrap()["audio"].is_null());
    ffmpeg.finish().await;
    viewer.watch_to_the_end().await;
    viewer.assert_rules_kept();
}

#[tokio::test]
async fn sound_alone_plays() {
    let server = Server::start().await;
    let mut ffmpeg = Source::new().without_video().publish(&server);
    let mut viewer = Viewer::tune_in(&server).await;
    assert_eq!(viewer.tracks.len(), 1, "there are no pictures to offer");
    assert_eq!(
        viewer.multivariant.variants[0].codecs.as_deref(),
        Some("mp4a.40.2")
    );
    viewer.watch(3).await;
    let streams = streams_at(&multivariant_url(&server)).await;
    assert_eq!(streams.keys().collect::<Vec<_>>(), ["audio"]);
    let stream = server.stream().await.unwrap();
    assert!(
        stream["video"].is_null() && stream["audio"].is_object(),
        "{stream}"
    );
    ffmpeg.finish().await;
    viewer.watch_to_the_end().await;
    viewer.assert_rules_kept();
}

#[tokio::test]
async fn sound_whose_set_up_comes_late_joins_the_pictures() {
    let server = Server::start().await;
    let clip = Clip::plain().await;
    let mut publisher = Publisher::start(&server).await;
    // No metadata either: nobody knows that sound will come.
    publisher.send(&clip.header(TagKind::Video)).await.unwrap();
    let (early, late): (Vec<_>, Vec<_>) = clip
        .frames
        .iter()
        .cloned()
        .partition(|f| f.timestamp < 4000);
    let pictures: Vec<_> = early
        .into_iter()
        .filter(|frame| frame.kind == TagKind::Video)
        .collect();
    publisher.send_all(&pictures).await;
    let before = Viewer::tune_in(&server).await;
    assert_eq!(
        before.tracks.len(),
        1,
        "pictures play without waiting for ever"
    );

    publisher.send(&clip.header(TagKind::Audio)).await.unwrap();
    publisher.play(&late, 10).await.unwrap();
    until("the sound is offered", async || {
        let text = server.text("/hls/stage/index.m3u8").await;
        (!read_multivariant(&text).alternatives.is_empty()).then_some(())
    })
    .await;
    let streams = streams_at(&multivariant_url(&server)).await;
    assert_eq!(streams.keys().collect::<Vec<_>>(), ["audio", "video"]);
    let mut viewer = Viewer::tune_in(&server).await;
    publisher.finish().await;
    assert_eq!(
        viewer.broadcast(),
        before.broadcast(),
        "it is the same broadcast"
    );
    viewer.watch_to_the_end().await;
    viewer.assert_rules_kept();
    let sound: i64 = viewer
        .audio()
        .complete()
        .filter(|s| !s.gap)
        .map(hls::rules::Segment::duration)
        .sum();
    assert!(
        (5_800_000..=6_200_000).contains(&sound),
        "six seconds of sound: {sound} us"
    );
}

#[tokio::test]
async fn pictures_that_are_shown_in_another_order_than_they_are_decoded_in_keep_it() {
    let server = Server::start().await;
    let clip = Clip::of(&Source::new().b_frames(3), 8).await;
    let mut publisher = Publisher::start(&server).await;
    publisher.introduce(&clip).await;
    publisher.play(&clip.frames, 10).await.unwrap();
    let mut viewer = Viewer::tune_in(&server).await;
    publisher.finish().await;
    viewer.watch_to_the_end().await;
    viewer.assert_rules_kept();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("video.mp4");
    let segments = viewer.segments(viewer.video());
    std::fs::write(&file, viewer.recording(viewer.video(), &segments).await).unwrap();
    let frames = frames_in(&file, "v").await;
    assert_eq!(frames.len(), clip.frames_of(TagKind::Video).len());
    let (least, most) = steps(&frames);
    assert!(
        least > 0.031 && most < 0.036,
        "shown 30 times a second: {least} to {most}"
    );
    assert!(frames.iter().filter(|(_, kind)| kind == "B").count() > frames.len() / 2);
    let keys = clip.frames.iter().filter(|frame| is_key(frame)).count();
    assert_eq!(frames.iter().filter(|(_, kind)| kind == "I").count(), keys);
}

#[tokio::test]
async fn the_library_of_rtmpdump_publishes() {
    let python = std::process::Command::new("python3")
        .args(["-c", "import ctypes; ctypes.CDLL('librtmp.so.1')"])
        .output();
    assert!(
        python.is_ok_and(|output| output.status.success()),
        "there is no python3 with librtmp.so.1; scripts/setup test installs both"
    );
    let server = Server::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("clip.flv");
    let mut command = Source::new()
        .seconds(4)
        .command(false, file.to_str().unwrap());
    assert!(command.status().unwrap().success());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/librtmp.py");
    let mut publish = std::process::Command::new("python3");
    publish.arg(script).arg(server.publish_url()).arg(&file);
    let mut publisher = Process::start("librtmp", &mut publish);
    let mut viewer = Viewer::tune_in(&server).await;
    viewer.watch_to_the_end().await;
    viewer.assert_rules_kept();
    assert!(publisher.ended().await.success());
    let told: i64 = viewer
        .video()
        .complete()
        .map(hls::rules::Segment::duration)
        .sum();
    assert!(
        (3_900_000..=4_100_000).contains(&told),
        "four seconds: {told} us"
    );

    let mut wrong = std::process::Command::new("python3");
    wrong
        .arg(script)
        .arg(server.publish_url_with("bk_wrong"))
        .arg(&file);
    let mut wrong = Process::start("librtmp", &mut wrong);
    assert!(!wrong.ended().await.success(), "a wrong key is refused");
}

#[tokio::test]
async fn what_comes_all_at_once_after_a_stall_is_played_whole() {
    let server = Server::start().await;
    let clip = Clip::of(&Source::new().fps("24").gop_frames(48), 20).await;
    let mut publisher = Publisher::start(&server).await;
    publisher.introduce(&clip).await;
    // Twenty seconds that waited in the encoder's send buffer while its network was away.
    publisher.send_all(&clip.frames).await;
    let mut viewer = Viewer::tune_in(&server).await;
    publisher.finish().await;
    viewer.watch_to_the_end().await;
    for kind in ["video", "audio"] {
        let segments = viewer.segments(viewer.track(kind));
        assert!(
            !segments.iter().any(|s| s.gap),
            "{kind}: nothing is missing"
        );
        let told: i64 = segments.iter().map(hls::rules::Segment::duration).sum();
        assert!(told.abs_diff(20_000_000) < 100_000, "{kind}: {told} us");
    }
}

#[tokio::test]
async fn what_an_encoder_calls_itself_is_shown() {
    let server = Server::start().await;
    let clip = Clip::plain().await;
    let mut publisher = Publisher::start(&server).await;
    let metadata = media::amf0::Value::object([
        ("encoder", ENCODER.into()),
        ("videocodecid", 7.0.into()),
        ("audiocodecid", 10.0.into()),
    ]);
    publisher.announce(&metadata).await.unwrap();
    publisher.send_all(&clip.headers).await;
    publisher.send_all(&clip.frames[..120]).await;
    assert_eq!(server.live().await["encoder"], ENCODER);
}
