//! Sound and pictures belong together at each output, however long it goes on: a flash and a beep each
//! second, and how far apart they come. `SOUND_MINUTES=60` watches an hour.

use std::fmt::Write as _;

use crate::support::Server;
use crate::support::camera::{Camera, filming, publish_flashes};
use crate::support::eye::{APART_MAX, apart, flashes_and_beeps, seen_by};
use crate::support::peer::Peer;
use crate::support::server::CHANNEL;
use sfu_core::Codec;

/// By how many millionths the clock of a microphone is faster than that of a camera: what cheap ones
/// differ by.
const FAST_PPM: u32 = 100;

/// A minute's worth, of which the figures are told one by one.
const MINUTE: usize = 60;

/// The tool that watches tells six digits: of a time past a thousand seconds, hundredths, which for two of them
/// is this at most. The mean of a minute is as exact as before.
const EXACT_SECONDS: u32 = 1_000;
const ROUNDED: f64 = 0.010;

/// Opus over WebRTC, which is AAC over FLV.
async fn over_flv(seconds: u32) -> Vec<f64> {
    let server = Server::start().await;
    let camera = Camera::with_fast_sound(Codec::H264, FAST_PPM).await;
    let mut peer = Peer::publish(&server).await;
    let (flashes, beeps) = filming(&camera, &mut peer, async {
        server.live().await;
        flashes_and_beeps(&server.url(&format!("/live/{CHANNEL}.flv")), seconds).await
    })
    .await;
    apart(&flashes, &beeps)
}

/// AAC over RTMP, which is Opus over WebRTC.
async fn over_webrtc(seconds: u32) -> Vec<f64> {
    let server = Server::start().await;
    let _encoder = publish_flashes(&server, 0);
    server
        .stream_until("there are pictures and sound", |now| {
            now["video"].is_object() && now["audio"].is_object()
        })
        .await;
    let mut viewer = Peer::watch(&server, CHANNEL).await;
    let (flashes, beeps) = seen_by(&server, &mut viewer, seconds).await;
    apart(&flashes, &beeps)
}

/// Tells how far apart they were, and asserts that it was never too far.
fn stay_together(output: &str, seconds: u32, apart: &[f64]) {
    let mut said = format!("{output}: {} beeps after their flashes, in ms", apart.len());
    let mut means = Vec::new();
    for (minute, apart) in apart.chunks(MINUTE).enumerate() {
        let mean = apart.iter().sum::<f64>() / apart.len() as f64;
        let (least, most) = bounds(apart);
        let [mean_ms, least, most] = [mean, least, most].map(|apart| apart * 1_000.0);
        let _ = write!(
            said,
            "\n  minute {minute}: {mean_ms:.1}, {least:.1} to {most:.1}"
        );
        means.push(mean);
    }
    println!("{said}");
    // What is lost on its way to the tool that watches is nobody's fault here.
    let enough = f64::from(seconds) * 0.9;
    assert!(apart.len() as f64 >= enough, "{output}: {}", apart.len());
    let rounded = if seconds > EXACT_SECONDS {
        ROUNDED
    } else {
        0.0
    };
    let (least, most) = bounds(apart);
    assert!(least.abs().max(most.abs()) <= APART_MAX + rounded, "{said}");
    let (least, most) = bounds(&means);
    assert!(least.abs().max(most.abs()) <= APART_MAX, "{said}");
}

fn bounds(apart: &[f64]) -> (f64, f64) {
    let least = apart.iter().copied().fold(f64::MAX, f64::min);
    (least, apart.iter().copied().fold(f64::MIN, f64::max))
}

#[tokio::test]
async fn sound_and_pictures_stay_together_by_way_of_either_codec() {
    let minutes = std::env::var("SOUND_MINUTES").map_or(2, |minutes| minutes.parse().unwrap());
    let seconds = minutes * 60;
    let (flv, webrtc) = tokio::join!(over_flv(seconds), over_webrtc(seconds));
    stay_together("WHIP to FLV", seconds, &flv);
    stay_together("RTMP to WHEP", seconds, &webrtc);
}
