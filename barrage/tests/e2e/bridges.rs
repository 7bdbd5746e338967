//! What each publisher sends, at each output: it works, is made into another codec while somebody needs
//! it, or is refused with the reason. The table stands in `docs/operating.md`.

use crate::support::camera::{Camera, filming, publish_flashes, publish_flashes_to};
use crate::support::eye::{
    are_together, flashes_and_beeps, hls_of_whole_segments, pictures_cease, pictures_come, seen_by,
};
use crate::support::peer::{self, Peer};
use crate::support::server::CHANNEL;
use crate::support::{Person, Server, Source, Viewer, until, within};
use reqwest::Method;
use serde_json::{Value, json};
use sfu_core::Codec;
use sfu_core::transport::Received;
use std::os::unix::fs::PermissionsExt as _;
use tempfile::TempDir;

/// How often the server has written something.
fn said(server: &Server, words: &str) -> usize {
    server.log().lines_with(&[words]).len()
}

/// Asserts that who wants to watch over WebRTC hears that pictures have B-frames.
async fn viewers_are_refused(server: &Server) {
    let path = format!("/whep/{CHANNEL}");
    let offer = peer::offer(false);
    let refused = peer::ask(server, &path, None, offer).await.unwrap_err();
    assert_eq!(
        (refused.status, refused.body["code"].as_str()),
        (406, Some("b_frames"))
    );
}

#[tokio::test]
async fn opus_over_webrtc_is_heard_as_aac_over_flv_and_rtmp_and_made_once() {
    let server = Server::start().await;
    let camera = Camera::start(Codec::H264).await;
    let mut peer = Peer::publish(&server).await;
    let (flv, rtmp) = filming(&camera, &mut peer, async {
        server.live().await;
        let flv = server.url(&format!("/live/{CHANNEL}.flv"));
        let rtmp = format!("rtmp://{}/live/{CHANNEL}", server.rtmp);
        let both = tokio::join!(flashes_and_beeps(&flv, 7), flashes_and_beeps(&rtmp, 7));
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

#[cfg(not(feature = "libfdk"))]
#[tokio::test]
async fn without_a_program_that_makes_aac_there_are_pictures_alone_and_a_word_of_what_to_do() {
    let server = Server::with(&[("transcode.ffmpeg", "/nowhere/ffmpeg")]).await;
    let camera = Camera::start(Codec::H264).await;
    let mut peer = Peer::publish(&server).await;
    let ((flashes, beeps), header) = filming(&camera, &mut peer, async {
        server.live().await;
        let url = server.url(&format!("/live/{CHANNEL}.flv"));
        let seen = flashes_and_beeps(&url, 4).await;
        let mut answer = server.client.get(&url).send().await.unwrap();
        (seen, answer.chunk().await.unwrap().unwrap())
    })
    .await;
    assert!(flashes.len() >= 2, "{flashes:?}");
    assert_eq!(beeps, [0.0; 0]);
    assert_eq!(header[4], 1, "pictures alone are announced");
    assert!(said(&server, "transcode.ffmpeg") >= 1);
}

#[cfg(feature = "libfdk")]
#[tokio::test]
async fn sound_that_is_made_in_the_process_needs_no_program() {
    let server = Server::with(&[("transcode.ffmpeg", "/nowhere/ffmpeg")]).await;
    let camera = Camera::start(Codec::H264).await;
    let mut peer = Peer::publish(&server).await;
    let (flashes, beeps) = filming(&camera, &mut peer, async {
        server.live().await;
        let url = server.url(&format!("/live/{CHANNEL}.flv"));
        flashes_and_beeps(&url, 7).await
    })
    .await;
    are_together(&flashes, &beeps);
    assert_eq!(said(&server, "transcode.ffmpeg"), 0);
}

#[tokio::test]
async fn vp9_over_webrtc_is_seen_over_hls_and_flv_has_sound_alone_and_says_so() {
    let server = Server::start().await;
    let camera = Camera::start(Codec::Vp9).await;
    let mut peer = Peer::publish_in(&server, Codec::Vp9).await;
    filming(&camera, &mut peer, async {
        let now = server.pictures_and_sound().await;
        assert_eq!(now["video"]["codec"], "vp09.00.20.08");
        assert_eq!(now["video"]["width"], 320);
        assert_eq!(now["playback"]["sound_alone"], json!(["flv"]));
        let viewer = Viewer::tune_in(&server).await;
        let codecs = viewer.multivariant.variants[0].codecs.as_deref();
        assert_eq!(codecs, Some("vp09.00.20.08,opus"));
        let hls = hls_of_whole_segments(&server).await;
        let (flashes, beeps) = flashes_and_beeps(&hls, 6).await;
        are_together(&flashes, &beeps);
        let flv = server.url(&format!("/live/{CHANNEL}.flv"));
        let (flashes, beeps) = flashes_and_beeps(&flv, 4).await;
        assert_eq!(flashes, [0.0; 0]);
        assert!(beeps.len() >= 3, "{beeps:?}");
        let now = server.stream().await.unwrap();
        assert_eq!(now["problems"], json!([]), "{now}");
    })
    .await;
}

#[tokio::test]
async fn av1_over_webrtc_is_seen_over_webrtc_and_hls_and_flv_has_sound_alone_and_says_so() {
    let server = Server::start().await;
    let camera = Camera::start(Codec::Av1).await;
    let mut peer = Peer::publish_in(&server, Codec::Av1).await;
    filming(&camera, &mut peer, async {
        let now = server.pictures_and_sound().await;
        assert_eq!(now["video"]["codec"], "av01.0.00M.08");
        assert_eq!(now["video"]["width"], 320);
        assert_eq!(now["playback"]["sound_alone"], json!(["flv"]));
        let viewer = Viewer::tune_in(&server).await;
        let codecs = viewer.multivariant.variants[0].codecs.as_deref();
        assert_eq!(codecs, Some("av01.0.00M.08,opus"));
        let hls = hls_of_whole_segments(&server).await;
        let (flashes, beeps) = flashes_and_beeps(&hls, 6).await;
        are_together(&flashes, &beeps);
        let mut viewer = Peer::watch_in(&server, CHANNEL, Codec::Av1).await;
        let (flashes, beeps) = seen_by(&server, &mut viewer, 6).await;
        are_together(&flashes, &beeps);
        assert_eq!(viewer.end(&server, None).await, 200);
        let flv = server.url(&format!("/live/{CHANNEL}.flv"));
        let (flashes, beeps) = flashes_and_beeps(&flv, 4).await;
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
    let camera = Camera::start(Codec::Vp8).await;
    let mut peer = Peer::publish_in(&server, Codec::Vp8).await;
    filming(&camera, &mut peer, async {
        let now = server.pictures_and_sound().await;
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
    let _encoder = publish_flashes(&server, 0);
    server.pictures_and_sound().await;
    let mut viewer = Peer::watch(&server, CHANNEL).await;
    let (flashes, beeps) = seen_by(&server, &mut viewer, 7).await;
    are_together(&flashes, &beeps);
}

#[tokio::test]
async fn h264_and_opus_over_webrtc_are_seen_and_heard_together_over_hls() {
    let server = Server::start().await;
    let camera = Camera::start(Codec::H264).await;
    let mut peer = Peer::publish(&server).await;
    filming(&camera, &mut peer, async {
        server.pictures_and_sound().await;
        let hls = hls_of_whole_segments(&server).await;
        let (flashes, beeps) = flashes_and_beeps(&hls, 6).await;
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
    let _encoder = publish_flashes(&server, 2);
    let told = server
        .stream_until("its streamer is told", |now| now["problems"] != json!([]))
        .await;
    assert_eq!(
        told["problems"],
        json!([{"code": "b_frames", "could_transcode": true}])
    );
    assert_eq!(told["playback"]["whep_anew"], false);
    viewers_are_refused(&server).await;

    want_pictures_made_anew(&admin, CHANNEL).await;
    let now = server
        .stream_until("it is no problem", |now| now["problems"] == json!([]))
        .await;
    assert_eq!(now["playback"]["whep_anew"], true);
    let mut viewer = Peer::watch(&server, CHANNEL).await;
    let second = Peer::watch(&server, CHANNEL).await;
    let (flashes, beeps) = seen_by(&server, &mut viewer, 7).await;
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
    want_pictures_made_anew(&admin, CHANNEL).await;
    let entrance = server.json("/api/v1/entrance").await;
    assert_eq!(entrance["transcodes_pictures"], false);
    let _encoder = publish_flashes(&server, 2);
    let told = server
        .stream_until("its streamer is told", |now| now["problems"] != json!([]))
        .await;
    assert_eq!(
        told["problems"],
        json!([{"code": "b_frames", "could_transcode": false}])
    );
    viewers_are_refused(&server).await;
}

/// Has a channel's pictures made anew.
async fn want_pictures_made_anew(owner: &Person, channel: &str) {
    let path = format!("/api/v1/channels/{channel}");
    let change = json!({ "transcodes": true });
    owner.ok(Method::PATCH, &path, &change).await;
}

/// Waits until the streamer of a channel is told exactly this.
async fn told(server: &Server, channel: &str, problems: Value) {
    let path = format!("/api/v1/streams/{channel}");
    until(&format!("{problems} is told"), async || {
        let now: Value = server.get(&path).await.json().await.unwrap();
        (now["problems"] == problems).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_watches_stays_when_the_publisher_comes_again_with_b_frames_or_without() {
    let server = Server::start().await;
    let admin = Person::admin(&server).await;
    want_pictures_made_anew(&admin, CHANNEL).await;
    let mut encoder = publish_flashes(&server, 0);
    server.pictures_and_sound().await;
    let mut viewer = Peer::watch(&server, CHANNEL).await;
    within("pictures", pictures_come(&mut viewer)).await;
    for b_frames in [2, 2, 0] {
        encoder.kill();
        server
            .stream_until("it is waited for", |now| now["state"] == "waiting")
            .await;
        pictures_cease(&mut viewer).await;
        encoder = publish_flashes(&server, b_frames);
        // More than the first, which come before their order is known.
        for _ in 0..4 {
            within("pictures of the new run", pictures_come(&mut viewer)).await;
        }
    }
    let begun = server.log().lines_with(&["a rendition begins", "in_order"]);
    assert_eq!(begun.len(), 1, "it goes on with each run");
    assert_eq!(viewer.end(&server, None).await, 200);
}

#[tokio::test]
async fn a_streamer_is_told_when_there_is_no_room_for_more_pictures() {
    let server = Server::start().await;
    let admin = Person::admin(&server).await;
    want_pictures_made_anew(&admin, CHANNEL).await;
    let (mei, key) = Person::streamer(&server, "mei").await;
    want_pictures_made_anew(&mei, "mei").await;
    let _first = publish_flashes(&server, 2);
    let key = key["secret"].as_str().unwrap();
    let _second = publish_flashes_to(&server.publish_url_with(key), 2);
    server.pictures_and_sound().await;
    let mut viewer = Peer::watch(&server, CHANNEL).await;
    within("pictures", pictures_come(&mut viewer)).await;
    told(&server, "mei", json!([{"code": "transcoding_no_room"}])).await;
    told(&server, CHANNEL, json!([])).await;
    assert_eq!(viewer.end(&server, None).await, 200);
    told(&server, "mei", json!([])).await;
}

#[tokio::test]
async fn a_streamer_is_told_when_pictures_cannot_be_made_and_viewers_go_elsewhere() {
    let server = Server::with(&[("transcode.ffmpeg", "/nowhere/ffmpeg")]).await;
    let admin = Person::admin(&server).await;
    want_pictures_made_anew(&admin, CHANNEL).await;
    let _encoder = publish_flashes(&server, 2);
    server.pictures_and_sound().await;
    let mut viewer = Peer::watch(&server, CHANNEL).await;
    within("the viewer is sent away", async {
        while !matches!(viewer.hear().await, Received::Closed) {}
    })
    .await;
    viewers_are_refused(&server).await;
    told(&server, CHANNEL, json!([{"code": "transcoding_fails"}])).await;
}

#[tokio::test]
async fn a_streamer_is_told_when_pictures_are_made_slower_than_they_come() {
    let dir = TempDir::new().unwrap();
    let slow = dir.path().join("slow");
    // Half of what comes in a second.
    let reader = "import os, time\n\
                  while piece := os.read(0, 2000):\n  os.write(1, piece)\n  time.sleep(len(piece) / 20000)";
    let script = format!("#!/bin/sh\npython3 -c '{reader}' | ffmpeg \"$@\"\n");
    std::fs::write(&slow, script).unwrap();
    std::fs::set_permissions(&slow, std::fs::Permissions::from_mode(0o755)).unwrap();
    let server = Server::with(&[("transcode.ffmpeg", slow.to_str().unwrap())]).await;
    let admin = Person::admin(&server).await;
    want_pictures_made_anew(&admin, CHANNEL).await;
    let _encoder = Source::new().b_frames(2).publish(&server);
    server.pictures_and_sound().await;
    let mut viewer = Peer::watch(&server, CHANNEL).await;
    within("pictures", pictures_come(&mut viewer)).await;
    told(&server, CHANNEL, json!([{"code": "transcoding_slow"}])).await;
    assert_eq!(said(&server, "slower than they come"), 1);
    assert!(server.metric("barrage_rendition_skips_total").await >= 1.0);
}

#[cfg(not(feature = "libfdk"))]
#[tokio::test]
async fn sound_comes_back_when_the_program_that_makes_it_dies() {
    let server = Server::start().await;
    let camera = Camera::start(Codec::H264).await;
    let mut peer = Peer::publish(&server).await;
    let (flashes, beeps) = filming(&camera, &mut peer, async {
        server.pictures_and_sound().await;
        let flv = server.url(&format!("/live/{CHANNEL}.flv"));
        let killed = async {
            let child = until("the encoder runs", async || encoder_of(&server, "aac")).await;
            let killed = std::process::Command::new("kill")
                .args(["-9", &child])
                .status();
            assert!(killed.unwrap().success());
            server.logged(&["the encoder ended"]).await;
        };
        tokio::join!(flashes_and_beeps(&flv, 7), killed).0
    })
    .await;
    are_together(&flashes, &beeps);
    assert!(server.metric("barrage_rendition_failures_total").await >= 1.0);
}

#[tokio::test]
async fn nothing_is_made_for_those_who_ask_and_do_not_come() {
    let server = Server::start().await;
    let admin = Person::admin(&server).await;
    want_pictures_made_anew(&admin, CHANNEL).await;
    let _encoder = publish_flashes(&server, 2);
    let told = server.pictures_and_sound().await;
    for _ in 0..20 {
        let path = format!("/whep/{CHANNEL}");
        let asked = peer::ask(&server, &path, None, peer::offer(false)).await;
        asked.expect("there is room");
    }
    let later = told["video"]["frames"].as_u64().unwrap() + 45;
    let told = server
        .stream_until("pictures went on", |now| {
            now["video"]["frames"].as_u64() >= Some(later)
        })
        .await;
    assert_eq!(told["viewers"]["webrtc"], 0, "{told}");
    for codec in ["libx264", "libopus"] {
        assert_eq!(encoder_of(&server, codec), None, "{codec}");
    }
    let mut viewer = Peer::watch(&server, CHANNEL).await;
    within("pictures", pictures_come(&mut viewer)).await;
    assert!(encoder_of(&server, "libx264").is_some());
}

/// The process that makes AAC for a server, or whatever else.
fn encoder_of(server: &Server, of: &str) -> Option<String> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.id())).ok()?;
    let children =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    let children: Vec<String> = children.collect();
    let mut ids = children.iter().flat_map(|ids| ids.split_whitespace());
    ids.find(|id| {
        let command = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        command
            .split(|byte| *byte == 0)
            .any(|word| word == of.as_bytes())
    })
    .map(str::to_owned)
}
