//! What each publisher sends, at each output: it works, is made into another codec while somebody needs
//! it, or is refused with the reason. The table stands in `docs/operating.md`.

use crate::support::camera::{AS_H264, AS_VP8, AS_VP9, Camera};
use crate::support::ffmpeg::output_and_complaints_of;
use crate::support::peer::Peer;
use crate::support::server::CHANNEL;
use crate::support::{Server, Viewer, until};
use serde_json::{Value, json};
use sfu_core::Codec;

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

/// Asserts that both are there, each flash with its beep.
fn are_together(flashes: &[f64], beeps: &[f64]) {
    let apart = flashes.iter().filter_map(|flash| {
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
        let hls = server.url(&format!("/hls/{CHANNEL}/index.m3u8"));
        let (flashes, beeps) = flashes_and_beeps(&hls, "5").await;
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
