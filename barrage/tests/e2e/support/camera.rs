//! A camera and a microphone: ffmpeg cuts what they take into packets, and a peer passes those on.

use std::path::PathBuf;
use std::process::Command;

use sfu_core::Codec;
use sfu_core::caller::{H264, OPUS};
use sfu_core::rtp::{self, Header};
use tokio::net::UdpSocket;

use super::ffmpeg::X264;
use super::foreign::newer_ffmpeg;
use super::peer::{AUDIO_SSRC, Peer, Sent, VIDEO_SSRC};
use super::server::{Process, Server};

/// A white flash at each full second.
pub(crate) const FLASH: &str =
    "color=black:size=320x180:rate=30,drawbox=color=white:t=fill:enable='lt(mod(t,1),0.2)'";

/// How pictures are coded for WebRTC.
pub(crate) fn coded(codec: Codec) -> Vec<&'static str> {
    let how: &[&str] = match codec {
        Codec::H264 => &["-tune", "zerolatency", "-profile:v", "baseline"],
        Codec::Vp8 => &["-c:v", "libvpx", "-deadline", "realtime"],
        Codec::Vp9 => &[
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
        ],
        Codec::Av1 => &[
            "-c:v",
            "libaom-av1",
            "-usage",
            "realtime",
            "-cpu-used",
            "8",
            "-lag-in-frames",
            "0",
            "-pix_fmt",
            "yuv420p",
        ],
        Codec::Opus => unreachable!("no picture is coded so"),
    };
    let x264 = if codec == Codec::H264 { X264 } else { &[] };
    [x264, how, &["-threads", "1", "-g", "30"]].concat()
}

/// An ffmpeg that makes packets of pictures in `codec`, and pictures of packets.
pub(crate) fn knows(codec: Codec) -> PathBuf {
    match codec {
        Codec::Av1 => newer_ffmpeg(),
        Codec::H264 | Codec::Vp8 | Codec::Vp9 | Codec::Opus => "ffmpeg".into(),
    }
}

/// A beep at each full second, by a clock that is so many millionths fast.
pub(crate) fn beep(ppm: u32) -> String {
    let second = pace(ppm);
    format!("aevalsrc='0.5*sin(880*2*PI*t)*lt(mod(t,{second}),0.2)':s=48000:c=stereo")
}

/// How fast a clock runs that is so many millionths fast.
fn pace(ppm: u32) -> f64 {
    1.0 + f64::from(ppm) / 1e6
}

/// What it takes, packet by packet.
pub(crate) struct Camera {
    video: UdpSocket,
    audio: UdpSocket,
    /// By how many millionths the clock of sound is fast.
    ppm: u32,
    _ffmpeg: Process,
}

impl Camera {
    /// Takes flashes in `codec`, and beeps in Opus, in real time.
    pub(crate) async fn start(codec: Codec) -> Self {
        Self::with_fast_sound(codec, 0).await
    }

    /// The same with a microphone whose clock is so many millionths faster than the camera's.
    pub(crate) async fn with_fast_sound(codec: Codec, ppm: u32) -> Self {
        let video = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let audio = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to = |socket: &UdpSocket| {
            let port = socket.local_addr().unwrap().port();
            format!("rtp://127.0.0.1:{port}?rtcpport={port}&pkt_size=1160")
        };
        let mut command = Command::new(knows(codec));
        command.args(["-hide_banner", "-loglevel", "error", "-nostdin"]);
        for (graph, ppm) in [(FLASH, 0), (&beep(ppm), ppm)] {
            if codec == Codec::Av1 {
                // A newer one hurries at first, and when it is late.
                command.args(["-readrate_initial_burst", "0.01"]);
                command.args(["-readrate_catchup", &pace(ppm).to_string()]);
            }
            take(&mut command, graph, ppm);
        }
        command.args(["-map", "0:v"]).args(coded(codec)).args([
            "-strict",
            "experimental",
            "-f",
            "rtp",
            &to(&video),
        ]);
        command
            .args(["-map", "1:a", "-c:a", "libopus", "-b:a", "64k"])
            .args(["-f", "rtp", &to(&audio)]);
        Self {
            _ffmpeg: Process::start("ffmpeg", &mut command),
            video,
            audio,
            ppm,
        }
    }

    /// Passes on what it takes, without end.
    pub(crate) async fn film(&self, publisher: &mut Peer) {
        let (mut picture, mut sound) = (vec![0; 2048], vec![0; 2048]);
        let mut clock = Clock {
            pace: pace(self.ppm),
            began: None,
        };
        loop {
            tokio::select! {
                length = self.video.recv(&mut picture) => {
                    pass_on(publisher, &mut picture[..length.unwrap()], VIDEO_SSRC, H264).await;
                }
                length = self.audio.recv(&mut sound) => {
                    clock.put_right(&mut sound);
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

/// What ffmpeg's reports of sound have to say: they know nothing of a clock that is fast.
struct Clock {
    pace: f64,
    /// The timestamp of the first report.
    began: Option<u32>,
}

impl Clock {
    fn put_right(&mut self, datagram: &mut [u8]) {
        if !rtp::is_rtcp(datagram) {
            return;
        }
        let reported = u32::from_be_bytes(datagram[16..20].try_into().unwrap());
        let began = *self.began.get_or_insert(reported);
        let passed = f64::from(reported.wrapping_sub(began));
        let reported = began.wrapping_add((passed * self.pace) as u32);
        datagram[16..20].copy_from_slice(&reported.to_be_bytes());
    }
}

/// Takes something in, at the pace of a clock that is so many millionths fast.
fn take(command: &mut Command, graph: &str, ppm: u32) {
    let pace = pace(ppm).to_string();
    command.args(["-readrate", &pace, "-f", "lavfi", "-i", graph]);
}

/// Publishes flashes and beeps over RTMP, with so many B-frames between others.
pub(crate) fn publish_flashes(server: &Server, b_frames: u32) -> Process {
    publish_flashes_to(&server.publish_url(), b_frames)
}

pub(crate) fn publish_flashes_to(url: &str, b_frames: u32) -> Process {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-loglevel", "error", "-nostdin"]);
    take(&mut command, FLASH, 0);
    take(&mut command, &beep(0), 0);
    command.args(X264);
    let b_frames = b_frames.to_string();
    command.args(["-rc-lookahead", "0", "-g", "30"]);
    command.args(["-bf", &b_frames, "-b_strategy", "0"]);
    command.args(["-c:a", "aac", "-b:a", "96k"]);
    command.args(["-f", "flv", url]);
    Process::start("ffmpeg", &mut command)
}

/// Does something while a peer passes on what a camera takes.
pub(crate) async fn filming<T>(
    camera: &Camera,
    peer: &mut Peer,
    work: impl Future<Output = T>,
) -> T {
    tokio::select! {
        () = camera.film(peer) => unreachable!("it films without end"),
        done = work => done,
    }
}
