//! An eye and an ear: ffmpeg, which knows nothing of us, watches and tells when there were flashes and
//! beeps.

use std::time::Duration;

use sfu_core::Codec;
use sfu_core::caller::H264;
use sfu_core::rtp::Header;
use sfu_core::transport::Received;

use super::camera::knows;
use super::ffmpeg::complaints_within;
use super::peer::Peer;
use super::projector::Projector;
use super::server::{CHANNEL, Server};
use super::viewer::Viewer;
use super::waiting::{until, within};

/// How far apart a flash and its beep may come.
pub(crate) const APART_MAX: f64 = 0.040;

/// A flash and a beep further apart than this are not of one second.
const NEAR: f64 = 0.5;

/// Nothing has come for so long that nothing will; reports come no more often than each second.
const QUIET: Duration = Duration::from_millis(500);

/// Kinds of NAL units: a sequence parameter set, and several in one packet (RFC 6184 §5.2).
const SET_UP: u8 = 7;
const TOGETHER: u8 = 24;

/// How much longer than what it watches a tool may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// What was there to be seen and heard.
#[derive(Debug)]
pub(crate) struct Shown {
    /// When there were flashes, and when beeps.
    pub(crate) flashes: Vec<f64>,
    pub(crate) beeps: Vec<f64>,
    /// How many pictures were decoded.
    pub(crate) pictures: u32,
    /// The highest sample, where 0 dB is the highest that there can be.
    pub(crate) loudest_db: f64,
}

/// Watches `url` for some seconds.
pub(crate) async fn shown_at(url: &str, seconds: u32) -> Shown {
    shown_by("ffmpeg", url, seconds).await
}

/// The same by another ffmpeg than the system's.
async fn shown_by(ffmpeg: &str, url: &str, seconds: u32) -> Shown {
    let takes = seconds.to_string();
    let args = [
        "-hide_banner",
        "-protocol_whitelist",
        "file,http,tcp,rtmp,udp,rtp,crypto,data",
        "-nostats",
        "-progress",
        "pipe:2",
        // It looks for more tracks for a minute and a half else.
        "-analyzeduration",
        "2000000",
        "-i",
        url,
        "-t",
        &takes,
        "-vf",
        "blackdetect=d=0.1:pix_th=0.5",
        "-af",
        "silencedetect=noise=-30dB:d=0.1,volumedetect",
        "-f",
        "null",
        "-",
    ];
    let deadline = Duration::from_secs(seconds.into()) + PATIENCE;
    let said = complaints_within(deadline, ffmpeg, &args).await;
    let last = |name: &str| numbers_after(&said, name).pop();
    Shown {
        flashes: numbers_after(&said, "black_end:"),
        beeps: numbers_after(&said, "silence_end: "),
        pictures: last("\nframe=").unwrap_or_default() as u32,
        loudest_db: last("max_volume: ").unwrap_or(f64::NEG_INFINITY),
    }
}

/// When there were flashes and beeps.
pub(crate) async fn flashes_and_beeps(url: &str, seconds: u32) -> (Vec<f64>, Vec<f64>) {
    let shown = shown_at(url, seconds).await;
    (shown.flashes, shown.beeps)
}

fn numbers_after(text: &str, name: &str) -> Vec<f64> {
    let found = text.split(name).skip(1);
    let numbers = found.filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-')?;
        rest[..end].parse().ok()
    });
    numbers.collect()
}

/// Where a tool that knows no parts finds what to watch: once there is a whole segment of each track.
pub(crate) async fn hls_of_whole_segments(server: &Server) -> String {
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

/// Waits for the first packet of a keyframe, which has the set-up of its decoder before it.
pub(crate) async fn pictures_come(viewer: &mut Peer) {
    loop {
        match viewer.hear().await {
            Received::Rtp(packet) => {
                let header = Header::parse(&packet).unwrap();
                let payload = header.payload(&packet).unwrap_or_default();
                let comes = match (viewer.codec, payload.first()) {
                    (Codec::H264, Some(first)) => matches!(first & 0x1f, SET_UP | TOGETHER),
                    (codec, _) => codec.begins_key(payload),
                };
                if comes && header.payload_type == H264 {
                    return;
                }
            }
            Received::Closed => panic!("the viewer was sent away"),
            Received::Nothing | Received::Ready | Received::Rtcp(_) => {}
        }
    }
}

/// Waits until no more packets come.
pub(crate) async fn pictures_cease(viewer: &mut Peer) {
    while let Some(heard) = viewer.hear_within(QUIET).await {
        assert!(
            !matches!(heard, Received::Closed),
            "the viewer was sent away"
        );
    }
}

/// The same for a viewer over WebRTC.
pub(crate) async fn seen_by(
    server: &Server,
    viewer: &mut Peer,
    seconds: u32,
) -> (Vec<f64>, Vec<f64>) {
    let projector = Projector::new().await;
    let path = server.path("shown.sdp");
    projector.describe(&path, viewer.codec);
    // ffmpeg decides within two seconds of sound whether there are pictures.
    within("pictures", pictures_come(viewer)).await;
    let ffmpeg = knows(viewer.codec);
    let (ffmpeg, path) = (ffmpeg.to_str().unwrap(), path.to_str().unwrap());
    tokio::select! {
        () = projector.show(viewer) => unreachable!("it shows without end"),
        shown = shown_by(ffmpeg, path, seconds) => (shown.flashes, shown.beeps),
    }
}

/// How much later than each flash its beep came, in seconds. The first flash may come before what tells
/// where sound stands, and the last is cut off.
pub(crate) fn apart(flashes: &[f64], beeps: &[f64]) -> Vec<f64> {
    let whole = flashes.get(1..flashes.len().max(2) - 1).unwrap_or_default();
    let apart = whole.iter().filter_map(|flash| {
        let apart = beeps.iter().map(|beep| beep - flash);
        apart.min_by(|a, b| a.abs().total_cmp(&b.abs()))
    });
    apart.filter(|apart| apart.abs() < NEAR).collect()
}

/// Asserts that both are there, each flash with its beep.
pub(crate) fn are_together(flashes: &[f64], beeps: &[f64]) {
    let apart = apart(flashes, beeps);
    println!("beeps after flashes: {apart:.3?}");
    assert!(apart.len() >= 3, "{flashes:?} {beeps:?}");
    assert!(
        apart.iter().all(|apart| apart.abs() <= APART_MAX),
        "{apart:?} of {flashes:?} {beeps:?}"
    );
}
