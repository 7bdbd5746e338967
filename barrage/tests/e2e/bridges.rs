//! What each publisher sends, at each output: it works, is made into another codec while somebody needs
//! it, or is refused with the reason. The table stands in `docs/operating.md`.

use crate::support::camera::{AS_H264, AS_VP8, AS_VP9, Camera, publish_flashes};
use crate::support::ffmpeg::output_and_complaints_of;
use crate::support::peer::{self, Peer};
use crate::support::projector::Projector;
use crate::support::server::CHANNEL;
use crate::support::{Person, Server, Viewer, until, within};
use reqwest::Method;
use serde_json::{Value, json};
use sfu_core::Codec;
use sfu_core::caller::H264;
use sfu_core::rtp::Header;
use sfu_core::transport::Received;

/// How far apart a flash and its beep may come.
const APART_MAX: f64 = 0.040;

/// Does something while a peer passes on what a camera takes.
async fn filming<T>(camera: &Camera, peer: &mut Peer, work: impl Future<Output = T>) -> T {
    tokio::select! {
        () = camera.film(peer) => unreachable!("it films without end"),
        done = work => done,
    }
}

/// What the API tells of a broadcast that has pictures and sound.
async fn with_pictures(server: &Server) -> Value {
    server
        .stream_until("there are pictures and sound", |now| {
            now["video"].is_object() && now["audio"].is_object()
        })
        .await
}

/// How often the server has written something.
fn said(server: &Server, words: &str) -> usize {
    server.log().lines_with(&[words]).len()
}

/// Watches `url` for some seconds with ffmpeg, which knows nothing of us, and tells when there were
/// flashes and beeps.
async fn flashes_and_beeps(url: &str, seconds: &str) -> (Vec<f64>, Vec<f64>) {
    let args = [
        "-hide_banner",
        "-protocol_whitelist",
        "file,http,tcp,rtmp,udp,rtp,crypto,data",
        "-nostats",
        // It looks for more tracks for a minute and a half else.
        "-analyzeduration",
        "2000000",
        "-i",
        url,
        "-t",
        seconds,
        "-vf",
        "blackdetect=d=0.1:pix_th=0.5",
        "-af",
        "silencedetect=noise=-30dB:d=0.1",
        "-f",
        "null",
        "-",
    ];
    let (_, said) = output_and_complaints_of("ffmpeg", &args).await;
    let times = |name: &str| {
        let found = said.split(name).skip(1);
        let times = found.filter_map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            rest[..end].parse().ok()
        });
        times.collect::<Vec<f64>>()
    };
    (times("black_end:"), times("silence_end: "))
}

/// Waits for the first packet of pictures.
async fn pictures_come(viewer: &mut Peer) {
    loop {
        if let Received::Rtp(packet) = viewer.hear().await
            && Header::parse(&packet).is_some_and(|header| header.payload_type == H264)
        {
            return;
        }
    }
}

/// The same for a viewer over WebRTC.
async fn seen_by(server: &Server, viewer: &mut Peer, seconds: &str) -> (Vec<f64>, Vec<f64>) {
    let projector = Projector::new().await;
    let path = server.path("shown.sdp");
    projector.describe(&path);
    // ffmpeg decides within two seconds of sound whether there are pictures.
    within("pictures", pictures_come(viewer)).await;
    tokio::select! {
        () = projector.show(viewer) => unreachable!("it shows without end"),
        seen = flashes_and_beeps(path.to_str().unwrap(), seconds) => seen,
    }
}

/// Where a tool that knows no parts finds what to watch: once there is a whole segment of each track.
async fn hls_of_whole_segments(server: &Server) -> String {
    let viewer = Viewer::tune_in(server).await;
    assert_eq!(viewer.tracks.len(), 2);
    for track in &viewer.tracks {
        until("a whole segment", async || {
            let answer = server.client.get(&track.url).send().await.ok()?;
            answer.text().await.ok()?.contains("#EXTINF").then_some(())
        })
        .await;
    }
    server.url(&format!("/hls/{CHANNEL}/index.m3u8"))
}

/// Asserts that both are there, each flash with its beep. The first may come before what tells where
/// sound stands, and the last is cut off.
fn are_together(flashes: &[f64], beeps: &[f64]) {
    let whole = flashes.get(1..flashes.len().max(2) - 1).unwrap_or_default();
    let apart = whole.iter().filter_map(|flash| {
        let apart = beeps.iter().map(|beep| beep - flash);
        apart.min_by(|a, b| a.abs().total_cmp(&b.abs()))
    });
    let apart: Vec<f64> = apart.filter(|apart| apart.abs() < 0.5).collect();
    println!("beeps after flashes: {apart:.3?}");
    assert!(apart.len() >= 3, "{flashes:?} {beeps:?}");
    assert!(
        apart.iter().all(|apart| apart.abs() <= APART_MAX),
        "{apart:?} of {flashes:?} {beeps:?}"
    );
}

#[tokio::test]
async fn opus_over_webrtc_is_heard_as_aac_over_flv_and_rtmp_and_made_once() {
    let server = Server::start().await;
    let camera = Camera::start(AS_H264).await;
    let mut peer = Peer::publish(&server).await;
    let (flv, rtmp) = filming(&camera, &mut peer, async {
        server.live().await;
        let flv = server.url(&format!("/live/{CHANNEL}.flv"));
        let rtmp = format!("rtmp://{}/live/{CHANNEL}", server.rtmp);
        let both = tokio::join!(flashes_and_beeps(&flv, "7"), flashes_and_beeps(&rtmp, "7"));
        assert_eq!(said(&server, "a rendition begins"), 1, "once for both");
        until("nobody needs it any more", async || {
            (said(&server, "a rendition ends") == 1).then_some(())
        })
        .await;
        both
    })
    .await;
    are_together(&flv.0, &flv.1);
    are_together(&rtmp.0, &rtmp.1);
}

#[tokio::test]
async fn without_a_program_that_makes_aac_there_are_pictures_alone_and_a_word_of_what_to_do() {
    let server = Server::with(&[("transcode.ffmpeg", "/nowhere/ffmpeg")]).await;
    let camera = Camera::start(AS_H264).await;
    let mut peer = Peer::publish(&server).await;
    let ((flashes, beeps), header) = filming(&camera, &mut peer, async {
        server.live().await;
        let url = server.url(&format!("/live/{CHANNEL}.flv"));
        let seen = flashes_and_beeps(&url, "4").await;
        let mut answer = server.client.get(&url).send().await.unwrap();
        (seen, answer.chunk().await.unwrap().unwrap())
    })
    .await;
    assert!(flashes.len() >= 2, "{flashes:?}");
    assert_eq!(beeps, [0.0; 0]);
    assert_eq!(header[4], 1, "pictures alone are announced");
    assert!(said(&server, "transcode.ffmpeg") >= 1);
}

#[tokio::test]
async fn vp9_over_webrtc_is_seen_over_hls_and_flv_has_sound_alone_and_says_so() {
    let server = Server::start().await;
    let camera = Camera::start(AS_VP9).await;
    let mut peer = Peer::publish_in(&server, Codec::Vp9).await;
    filming(&camera, &mut peer, async {
        let now = with_pictures(&server).await;
        assert_eq!(now["video"]["codec"], "vp09.00.20.08");
        assert_eq!(now["video"]["width"], 320);
        assert_eq!(now["playback"]["sound_alone"], json!(["flv"]));
        let viewer = Viewer::tune_in(&server).await;
        let codecs = viewer.multivariant.variants[0].codecs.as_deref();
        assert_eq!(codecs, Some("vp09.00.20.08,opus"));
        let hls = hls_of_whole_segments(&server).await;
        let (flashes, beeps) = flashes_and_beeps(&hls, "6").await;
        are_together(&flashes, &beeps);
        let flv = server.url(&format!("/live/{CHANNEL}.flv"));
        let (flashes, beeps) = flashes_and_beeps(&flv, "4").await;
        assert_eq!(flashes, [0.0; 0]);
        assert!(beeps.len() >= 3, "{beeps:?}");
        let now = server.stream().await.unwrap();
        assert_eq!(now["problems"], json!([]), "{now}");
    })
    .await;
}

#[tokio::test]
async fn vp8_over_webrtc_is_told_of_and_heard_by_everybody_else() {
    let server = Server::start().await;
    let camera = Camera::start(AS_VP8).await;
    let mut peer = Peer::publish_in(&server, Codec::Vp8).await;
    filming(&camera, &mut peer, async {
        let now = with_pictures(&server).await;
        assert_eq!(now["video"]["codec"], "vp8");
        assert_eq!(now["video"]["height"], 180);
        assert_eq!(now["playback"]["sound_alone"], json!(["hls", "flv"]));
        let viewer = Viewer::tune_in(&server).await;
        let codecs = viewer.multivariant.variants[0].codecs.as_deref();
        assert_eq!(codecs, Some("opus"));
        let now = server
            .stream_until("its streamer is told", |now| now["problems"] != json!([]))
            .await;
        assert_eq!(
            now["problems"],
            json!([{"code": "pictures_in_webrtc_alone", "codec": "vp8"}])
        );
    })
    .await;
}

#[tokio::test]
async fn h264_and_aac_over_rtmp_are_seen_and_heard_together_over_webrtc() {
    let server = Server::start().await;
    let _encoder = publish_flashes(&server, "0");
    with_pictures(&server).await;
    let mut viewer = Peer::watch(&server, CHANNEL).await;
    let (flashes, beeps) = seen_by(&server, &mut viewer, "7").await;
    are_together(&flashes, &beeps);
}

#[tokio::test]
async fn h264_and_opus_over_webrtc_are_seen_and_heard_together_over_hls() {
    let server = Server::start().await;
    let camera = Camera::start(AS_H264).await;
    let mut peer = Peer::publish(&server).await;
    filming(&camera, &mut peer, async {
        with_pictures(&server).await;
        let hls = hls_of_whole_segments(&server).await;
        let (flashes, beeps) = flashes_and_beeps(&hls, "6").await;
        are_together(&flashes, &beeps);
    })
    .await;
}

#[tokio::test]
async fn pictures_with_b_frames_are_made_anew_where_the_channel_wants_it() {
    let server = Server::start().await;
    let admin = Person::admin(&server).await;
    let entrance = server.json("/api/v1/entrance").await;
    assert_eq!(entrance["transcodes_pictures"], true);
    let _encoder = publish_flashes(&server, "2");
    let told = server
        .stream_until("its streamer is told", |now| now["problems"] != json!([]))
        .await;
    assert_eq!(
        told["problems"],
        json!([{"code": "b_frames", "could_transcode": true}])
    );
    let path = format!("/whep/{CHANNEL}");
    let offer = peer::offer(false);
    let refused = peer::ask(&server, &path, None, offer).await.unwrap_err();
    assert_eq!(refused.body["code"], "b_frames");

    let change = json!({ "transcodes": true });
    let channel = format!("/api/v1/channels/{CHANNEL}");
    admin.ok(Method::PATCH, &channel, &change).await;
    server
        .stream_until("it is no problem", |now| now["problems"] == json!([]))
        .await;
    let mut viewer = Peer::watch(&server, CHANNEL).await;
    let second = Peer::watch(&server, CHANNEL).await;
    let (flashes, beeps) = seen_by(&server, &mut viewer, "7").await;
    are_together(&flashes, &beeps);
    let begun = server
        .log()
        .lines_with(&["a rendition begins", "in_order"])
        .len();
    assert_eq!(begun, 1, "once for both");
    for peer in [viewer, second] {
        assert_eq!(peer.end(&server, None).await, 200);
    }
    server.logged(&["a rendition ends", "in_order"]).await;
}

#[tokio::test]
async fn pictures_with_b_frames_stay_as_they_are_where_the_operator_wants_it() {
    let server = Server::with(&[("transcode.pictures", "0")]).await;
    let admin = Person::admin(&server).await;
    let change = json!({ "transcodes": true });
    let channel = format!("/api/v1/channels/{CHANNEL}");
    admin.ok(Method::PATCH, &channel, &change).await;
    let entrance = server.json("/api/v1/entrance").await;
    assert_eq!(entrance["transcodes_pictures"], false);
    let _encoder = publish_flashes(&server, "2");
    let told = server
        .stream_until("its streamer is told", |now| now["problems"] != json!([]))
        .await;
    assert_eq!(
        told["problems"],
        json!([{"code": "b_frames", "could_transcode": false}])
    );
    let path = format!("/whep/{CHANNEL}");
    let offer = peer::offer(false);
    let refused = peer::ask(&server, &path, None, offer).await.unwrap_err();
    assert_eq!(
        (refused.status, refused.body["code"].as_str()),
        (406, Some("b_frames"))
    );
}

#[tokio::test]
async fn sound_comes_back_when_the_program_that_makes_it_dies() {
    let server = Server::start().await;
    let camera = Camera::start(AS_H264).await;
    let mut peer = Peer::publish(&server).await;
    let (flashes, beeps) = filming(&camera, &mut peer, async {
        with_pictures(&server).await;
        let flv = server.url(&format!("/live/{CHANNEL}.flv"));
        let killed = async {
            let child = until("the encoder runs", async || encoder_of(&server)).await;
            let killed = std::process::Command::new("kill")
                .args(["-9", &child])
                .status();
            assert!(killed.unwrap().success());
            server.logged(&["the encoder ended"]).await;
        };
        tokio::join!(flashes_and_beeps(&flv, "7"), killed).0
    })
    .await;
    are_together(&flashes, &beeps);
    assert!(server.metric("barrage_rendition_failures_total").await >= 1.0);
}

/// The process that makes AAC for a server.
fn encoder_of(server: &Server) -> Option<String> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.id())).ok()?;
    let children =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    let children: Vec<String> = children.collect();
    let mut ids = children.iter().flat_map(|ids| ids.split_whitespace());
    ids.find(|id| {
        let command = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        command.split(|byte| *byte == 0).any(|word| word == b"aac")
    })
    .map(str::to_owned)
}
