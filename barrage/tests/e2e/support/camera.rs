//! A camera and a microphone: ffmpeg cuts what they take into packets, and a peer passes those on.

use std::process::Command;

use sfu_core::caller::{H264, OPUS};
use sfu_core::rtp::{self, Header};
use tokio::net::UdpSocket;

use super::peer::{AUDIO_SSRC, Peer, Sent, VIDEO_SSRC};
use super::server::{Process, Server};

/// A white flash and a beep, both at each full second.
pub(crate) const FLASH: &str =
    "color=black:size=320x180:rate=30,drawbox=color=white:t=fill:enable='lt(mod(t,1),0.2)'";
pub(crate) const BEEP: &str = "aevalsrc='0.5*sin(880*2*PI*t)*lt(mod(t,1),0.2)':s=48000:c=stereo";

/// How pictures are coded for WebRTC.
pub(crate) const AS_H264: &[&str] = &[
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-tune",
    "zerolatency",
    "-pix_fmt",
    "yuv420p",
    "-profile:v",
    "baseline",
    "-g",
    "30",
    "-b:v",
    "300k",
];

/// The same in VP8 and VP9.
pub(crate) const AS_VP8: &[&str] = &["-c:v", "libvpx", "-deadline", "realtime", "-g", "30"];
pub(crate) const AS_VP9: &[&str] = &[
    "-c:v",
    "libvpx-vp9",
    "-deadline",
    "realtime",
    "-cpu-used",
    "8",
    "-lag-in-frames",
    "0",
    "-pix_fmt",
    "yuv420p",
    "-g",
    "30",
];

/// What it takes, packet by packet.
pub(crate) struct Camera {
    video: UdpSocket,
    audio: UdpSocket,
    _ffmpeg: Process,
}

impl Camera {
    /// Takes flashes coded as `coded`, and beeps in Opus, in real time.
    pub(crate) async fn start(coded: &[&str]) -> Self {
        let video = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let audio = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to = |socket: &UdpSocket| {
            let port = socket.local_addr().unwrap().port();
            format!("rtp://127.0.0.1:{port}?rtcpport={port}&pkt_size=1160")
        };
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-loglevel", "error", "-nostdin"]);
        command.args(["-re", "-f", "lavfi", "-i", FLASH]);
        command.args(["-re", "-f", "lavfi", "-i", BEEP]);
        command
            .args(["-map", "0:v", "-threads", "1"])
            .args(coded)
            .args(["-strict", "experimental", "-f", "rtp", &to(&video)]);
        command
            .args(["-map", "1:a", "-c:a", "libopus", "-b:a", "64k"])
            .args(["-f", "rtp", &to(&audio)]);
        Self {
            _ffmpeg: Process::start("ffmpeg", &mut command),
            video,
            audio,
        }
    }

    /// Passes on what it takes, without end.
    pub(crate) async fn film(&self, publisher: &mut Peer) {
        let (mut picture, mut sound) = (vec![0; 2048], vec![0; 2048]);
        loop {
            tokio::select! {
                length = self.video.recv(&mut picture) => {
                    pass_on(publisher, &mut picture[..length.unwrap()], VIDEO_SSRC, H264).await;
                }
                length = self.audio.recv(&mut sound) => {
                    pass_on(publisher, &mut sound[..length.unwrap()], AUDIO_SSRC, OPUS).await;
                }
                // Whatever the server says has to be taken off the socket.
                _ = publisher.hear() => {}
            }
        }
    }
}

async fn pass_on(publisher: &mut Peer, datagram: &mut [u8], ssrc: u32, kind: u8) {
    if rtp::is_rtcp(datagram) {
        // The report of a source that is called otherwise here.
        datagram[4..8].copy_from_slice(&ssrc.to_be_bytes());
        let words = usize::from(u16::from_be_bytes([datagram[2], datagram[3]]));
        let report = datagram[..(words + 1) * 4].to_vec();
        publisher.say(&report).await;
        return;
    }
    let Some(header) = Header::parse(datagram) else {
        return;
    };
    let sent = Sent {
        ssrc,
        kind,
        timestamp: header.timestamp,
        marker: header.marker,
    };
    let payload = header.payload(datagram).unwrap_or_default().to_vec();
    publisher.send(sent, &payload).await;
}

/// Publishes flashes and beeps over RTMP, with so many B-frames between others.
pub(crate) fn publish_flashes(server: &Server, b_frames: &str) -> Process {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-loglevel", "error", "-nostdin"]);
    command.args(["-re", "-f", "lavfi", "-i", FLASH]);
    command.args(["-re", "-f", "lavfi", "-i", BEEP]);
    command.args([
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-pix_fmt",
        "yuv420p",
    ]);
    command.args([
        "-threads",
        "1",
        "-rc-lookahead",
        "0",
        "-g",
        "30",
        "-b:v",
        "300k",
    ]);
    command.args([
        "-bf",
        b_frames,
        "-b_strategy",
        "0",
        "-c:a",
        "aac",
        "-b:a",
        "96k",
    ]);
    command.args(["-f", "flv", &server.publish_url()]);
    Process::start("ffmpeg", &mut command)
}
