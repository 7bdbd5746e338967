//! Peers of other makes, which know nothing of us: aiortc, GStreamer, and ffmpeg with its WHIP muxer.
//! `scripts/setup test` installs them.

use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;
use sfu_core::Codec;

use super::camera::{FLASH, beep, coded};
use super::server::{CHANNEL, Process, Server};
use super::waiting::until;

/// The Python into which aiortc and ffmpeg were installed.
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.tools/peers/bin/python");

/// The system's, which is the one that has GStreamer.
const SYSTEM_PYTHON: &str = "/usr/bin/python3";

/// Where their scripts are.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/peers");

/// Who made a peer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Make {
    Aiortc,
    GStreamer,
}

impl Make {
    fn command(self) -> Command {
        let (python, script) = match self {
            Self::Aiortc => (PYTHON, "aiortc_peer.py"),
            Self::GStreamer => (SYSTEM_PYTHON, "gstreamer_peer.py"),
        };
        let mut command = Command::new(python);
        command.arg("-B").arg(format!("{SCRIPTS}/{script}"));
        command
    }
}

/// What a viewer tells of flashes and beeps.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Told {
    /// How many pictures were decoded, and how large they are.
    pictures: u32,
    width: u32,
    height: u32,
    /// When there was a flash, and when a beep.
    flashes: Vec<f64>,
    beeps: Vec<f64>,
    /// The root of the mean square of the loudest few milliseconds, and of the quietest.
    loudest: f64,
    quietest: f64,
    /// How high the loudest of them are.
    pitch_hz: f64,
}

/// A peer that publishes or watches.
pub(crate) struct Foreign(Process);

impl Foreign {
    /// Publishes flashes and beeps.
    pub(crate) fn publish(server: &Server, make: Make, codec: &str) -> Self {
        Self::start(make, &[codec, &server.url("/whip"), &server.key])
    }

    /// Watches the first channel.
    pub(crate) fn watch(server: &Server, make: Make, codec: &str) -> Self {
        Self::start(make, &[codec, &server.url(&format!("/whep/{CHANNEL}"))])
    }

    fn start(make: Make, args: &[&str]) -> Self {
        let name = match make {
            Make::Aiortc => "aiortc",
            Make::GStreamer => "GStreamer",
        };
        Self(Process::start(name, make.command().args(args)))
    }

    /// Watches until there were flashes and beeps each second, and asserts that they are what was sent.
    pub(crate) async fn sees_and_hears(&mut self) {
        let told = until("flashes and beeps each second", async || {
            assert!(self.0.try_ended().is_none(), "it ended");
            self.told()
                .filter(|told| each_second(&told.flashes) && each_second(&told.beeps))
        })
        .await;
        println!("{told:?}");
        assert_eq!((told.width, told.height), (320, 180));
        // Thirty pictures between each flash and the next, of which a busy machine may leave out some.
        assert!(told.pictures >= 60, "{told:?}");
        // A sine of half the greatest amplitude, and nothing between.
        assert!((0.25..0.45).contains(&told.loudest), "{told:?}");
        assert!(told.quietest < 0.001, "{told:?}");
        assert!((860.0..900.0).contains(&told.pitch_hz), "{told:?}");
    }

    /// What it told last.
    fn told(&self) -> Option<Told> {
        let said = self.0.out.text();
        serde_json::from_str(said.lines().last()?).ok()
    }

    /// Has it end its session.
    pub(crate) async fn end(mut self) {
        self.0.signal("TERM");
        assert!(self.0.ended().await.success());
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("---- it told of {:?}", self.told());
        }
    }
}

/// Whether the last four were a second apart. Those before may have come faster, to catch up.
fn each_second(times: &[f64]) -> bool {
    let last = times.last_chunk::<4>();
    last.is_some_and(|last| {
        let mut apart = last.windows(2).map(|two| two[1] - two[0]);
        apart.all(|apart| (0.7..1.3).contains(&apart))
    })
}

/// Publishes flashes and beeps by ffmpeg's own WHIP muxer.
pub(crate) fn publish_by_ffmpeg(server: &Server) -> Process {
    let mut command = Command::new(newer_ffmpeg());
    command.args(["-hide_banner", "-loglevel", "warning", "-nostdin"]);
    command.args(["-re", "-f", "lavfi", "-i", FLASH]);
    command.args(["-re", "-f", "lavfi", "-i", &beep(0)]);
    command.args(coded(Codec::H264));
    command.args(["-c:a", "libopus", "-b:a", "64k"]);
    command.args(["-f", "whip", "-authorization", &server.key]);
    Process::start("ffmpeg", command.arg(server.url("/whip")))
}

/// An ffmpeg that knows WHIP, and packets of AV1, which the one of many systems does not.
pub(crate) fn newer_ffmpeg() -> PathBuf {
    let ask = "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe(), end='')";
    let answer = Command::new(PYTHON).args(["-c", ask]).output();
    let answer = answer.expect("scripts/setup test has installed it");
    String::from_utf8(answer.stdout).unwrap().into()
}
