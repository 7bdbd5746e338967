//! A publisher that everybody has, and an eye for what viewers get.

use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use super::server::{Process, Server, Written};

/// Longer than encoding a clip takes on a machine that also does something else.
const TOOL_DEADLINE: Duration = Duration::from_secs(90);

/// Pictures in H.264 that take little to make.
pub(crate) const X264: &[&str] = &[
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-pix_fmt",
    "yuv420p",
    "-threads",
    "1",
    "-b:v",
    "300k",
];

/// Moving pictures and sound, as they are to be made.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    size: &'static str,
    bitrate: &'static str,
    fps: &'static str,
    gop_frames: u32,
    b_frames: u32,
    video: bool,
    audio_rate: Option<u32>,
    seconds: Option<u32>,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            size: "320x180",
            bitrate: "300k",
            fps: "30",
            gop_frames: 30,
            b_frames: 0,
            video: true,
            audio_rate: Some(48_000),
            seconds: None,
        }
    }
}

impl Source {
    /// Small pictures at 30 fps with a keyframe every second, and sound at 48 kHz, without end.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) const fn size(mut self, size: &'static str) -> Self {
        self.size = size;
        self
    }

    pub(crate) const fn bitrate(mut self, bitrate: &'static str) -> Self {
        self.bitrate = bitrate;
        self
    }

    pub(crate) const fn fps(mut self, fps: &'static str) -> Self {
        self.fps = fps;
        self
    }

    pub(crate) const fn gop_frames(mut self, frames: u32) -> Self {
        self.gop_frames = frames;
        self
    }

    pub(crate) const fn b_frames(mut self, count: u32) -> Self {
        self.b_frames = count;
        self
    }

    pub(crate) const fn without_video(mut self) -> Self {
        self.video = false;
        self
    }

    pub(crate) const fn audio_rate(mut self, rate: u32) -> Self {
        self.audio_rate = Some(rate);
        self
    }

    pub(crate) const fn without_audio(mut self) -> Self {
        self.audio_rate = None;
        self
    }

    pub(crate) const fn seconds(mut self, seconds: u32) -> Self {
        self.seconds = Some(seconds);
        self
    }

    /// The arguments of an ffmpeg that makes this and writes it to `to` as FLV; in real time, or
    /// as fast as it can.
    pub(crate) fn command(&self, real_time: bool, to: &str) -> Command {
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-loglevel", "warning", "-nostdin", "-y"]);
        let mut input = |graph: String| {
            if real_time {
                command.arg("-re");
            }
            command.args(["-f", "lavfi", "-i", &graph]);
        };
        if self.video {
            input(format!("testsrc2=size={}:rate={}", self.size, self.fps));
        }
        if let Some(rate) = self.audio_rate {
            input(format!("sine=frequency=440:sample_rate={rate}"));
        }
        if self.video {
            let gop = self.gop_frames.to_string();
            command.args(X264).args(["-b:v", self.bitrate]);
            command.args(["-g", &gop, "-keyint_min", &gop, "-sc_threshold", "0"]);
            if self.b_frames == 0 {
                command.args(["-tune", "zerolatency"]);
            } else {
                let count = self.b_frames.to_string();
                command.args(["-bf", &count, "-b_strategy", "0"]);
            }
        }
        if self.audio_rate.is_some() {
            command.args(["-c:a", "aac", "-b:a", "64k"]);
        }
        if let Some(seconds) = self.seconds {
            command.args(["-t", &seconds.to_string()]);
        }
        command.args(["-flvflags", "no_duration_filesize", "-f", "flv", to]);
        command
    }

    /// Publishes this to `server` in real time.
    pub(crate) fn publish(&self, server: &Server) -> Ffmpeg {
        self.publish_to(&server.publish_url())
    }

    pub(crate) fn publish_to(&self, url: &str) -> Ffmpeg {
        Ffmpeg(Process::start("ffmpeg", &mut self.command(true, url)))
    }
}

/// An ffmpeg that publishes.
pub(crate) struct Ffmpeg(Process);

impl Ffmpeg {
    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        self.0.ended().await
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.0.kill();
    }

    /// Lets it finish as Ctrl-C does.
    pub(crate) async fn finish(&mut self) {
        self.0.signal("INT");
        self.0.ended().await;
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.try_ended().is_some()
    }

    /// What it has to say.
    pub(crate) const fn said(&self) -> &Written {
        &self.0.err
    }
}

/// Runs a tool to its end and gives its standard output; complaints are a failure.
pub(crate) async fn output_of(tool: &str, args: &[&str]) -> Vec<u8> {
    run(TOOL_DEADLINE, tool, args).await.stdout
}

/// What a tool says besides, which may take so long.
pub(crate) async fn complaints_within(deadline: Duration, tool: &str, args: &[&str]) -> String {
    let output = run(deadline, tool, args).await;
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn run(deadline: Duration, tool: &str, args: &[&str]) -> Output {
    let run = tokio::process::Command::new(tool)
        .args(args)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(deadline, run).await;
    let output = output.unwrap_or_else(|_| panic!("{tool} {args:?} takes for ever"));
    let output = output.expect("the tool runs");
    assert!(
        output.status.success(),
        "{tool} {args:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// What ffprobe says of `url`, as JSON; `args` say what to ask.
pub(crate) async fn probe(url: &str, args: &[&str]) -> Value {
    let mut all = vec!["-v", "error", "-of", "json"];
    all.extend(args);
    all.push(url);
    serde_json::from_slice(&output_of("ffprobe", &all).await).expect("ffprobe writes JSON")
}
