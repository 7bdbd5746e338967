//! Peers of other makes publish and watch: what they send is seen and heard, and what they are sent they
//! decode. Chromium and Firefox do in `web/tests`.

use crate::support::Server;
use crate::support::camera::publish_flashes;
use crate::support::eye::{Shown, are_together, hls_of_whole_segments, shown_at};
use crate::support::foreign::{Foreign, Make, publish_by_ffmpeg};
use crate::support::server::CHANNEL;

/// Asserts that decoded pictures show flashes, and that there are beeps as loud as they were.
fn is_whole(shown: &Shown) {
    println!("{shown:?}");
    assert!(shown.flashes.len() >= 4, "{shown:?}");
    assert!(shown.beeps.len() >= 4, "{shown:?}");
    assert!(shown.pictures >= 120, "{shown:?}");
    // Half the greatest amplitude, and what coding adds to it or takes away.
    assert!((-9.0..-3.0).contains(&shown.loudest_db), "{shown:?}");
}

/// Has viewers of both makes see and hear what is on, and leave.
async fn both_see_and_hear(server: &Server, codec: &str) {
    let mut aiortc = Foreign::watch(server, Make::Aiortc, codec);
    let mut gstreamer = Foreign::watch(server, Make::GStreamer, codec);
    tokio::join!(aiortc.sees_and_hears(), gstreamer.sees_and_hears());
    let now = server.stream().await.unwrap();
    assert_eq!(now["viewers"]["webrtc"], 2, "{now}");
    tokio::join!(aiortc.end(), gstreamer.end());
    server
        .stream_until("they are gone", |now| now["viewers"]["webrtc"] == 0)
        .await;
}

async fn over_flv(server: &Server) -> Shown {
    shown_at(&server.url(&format!("/live/{CHANNEL}.flv")), 6).await
}

/// What a make publishes in H.264 is seen and heard by both, and by somebody who knows no WebRTC. When it
/// ends its session the broadcast is over. Gives what that somebody had.
async fn publishes_h264(make: Make) -> Shown {
    let server = Server::start().await;
    let publisher = Foreign::publish(&server, make, "H264");
    let now = server.pictures_and_sound().await;
    assert_eq!(now["audio"]["codec"], "opus");
    both_see_and_hear(&server, "H264").await;
    let shown = over_flv(&server).await;
    is_whole(&shown);
    publisher.end().await;
    server.offline().await;
    shown
}

async fn publishes_vp8(make: Make) {
    let server = Server::start().await;
    let publisher = Foreign::publish(&server, make, "VP8");
    let now = server.pictures_and_sound().await;
    assert_eq!(now["video"]["codec"], "vp8");
    both_see_and_hear(&server, "VP8").await;
    publisher.end().await;
    server.offline().await;
}

#[tokio::test]
async fn what_aiortc_publishes_in_h264_is_seen_and_heard() {
    let shown = publishes_h264(Make::Aiortc).await;
    are_together(&shown.flashes, &shown.beeps);
}

#[tokio::test]
async fn what_aiortc_publishes_in_vp8_is_seen_and_heard() {
    publishes_vp8(Make::Aiortc).await;
}

#[tokio::test]
async fn what_gstreamer_publishes_in_h264_is_seen_and_heard() {
    // Its first report of how sound and pictures belong together may come after seconds.
    publishes_h264(Make::GStreamer).await;
}

#[tokio::test]
async fn what_gstreamer_publishes_in_vp8_is_seen_and_heard() {
    publishes_vp8(Make::GStreamer).await;
}

#[tokio::test]
async fn what_rtmp_publishes_is_seen_and_heard_by_aiortc_and_gstreamer() {
    let server = Server::start().await;
    let _encoder = publish_flashes(&server, 0);
    server.pictures_and_sound().await;
    both_see_and_hear(&server, "H264").await;
}

#[tokio::test]
async fn what_the_whip_muxer_of_ffmpeg_publishes_is_seen_and_heard_everywhere() {
    let server = Server::start().await;
    let mut publisher = publish_by_ffmpeg(&server);
    server.pictures_and_sound().await;
    let over_hls = async {
        let url = hls_of_whole_segments(&server).await;
        shown_at(&url, 6).await
    };
    both_see_and_hear(&server, "H264").await;
    let (flv, hls) = tokio::join!(over_flv(&server), over_hls);
    for shown in [flv, hls] {
        is_whole(&shown);
        are_together(&shown.flashes, &shown.beeps);
    }
    publisher.signal("INT");
    publisher.ended().await;
    server.offline().await;
}
