//! A publisher to look at: ffmpeg's test picture with a clock and a beep, in real time.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::app::Signals;
use crate::{App, Config};

/// Pause before a publisher that ended is started again.
const RESTART_AFTER: Duration = Duration::from_secs(2);

/// Runs the server with a publisher.
///
/// # Errors
/// When the server cannot start, or there is no ffmpeg.
pub async fn run(config: Config) -> anyhow::Result<()> {
    config.log.init()?;
    require_ffmpeg().await?;
    let signals = Signals::listen()?;
    let app = App::load(config).await?;
    let (handle, key) = app.first_channel_key().await?;
    let server = format!("rtmp://127.0.0.1:{}/live", app.runtime().rtmp.port);
    write_banner(&app, handle.as_str())?;
    let publisher = tokio::spawn(publish_forever(server, key));
    let ended = app.run_until_signal(signals).await;
    publisher.abort();
    ended
}

fn write_banner(app: &App, handle: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let runtime = app.runtime();
    writeln!(
        std::io::stdout(),
        "{}  The demo is live at http://localhost:{}/@{handle}\n",
        app.banner(),
        runtime.http.port
    )
    .context("failed to write to standard output")
}

async fn require_ffmpeg() -> anyhow::Result<()> {
    let found = Command::new("ffmpeg")
        .arg("-version")
        .stdout(Stdio::null())
        .status()
        .await;
    match found {
        Ok(status) if status.success() => Ok(()),
        Ok(_) | Err(_) => {
            bail!(
                "the demo needs ffmpeg: apt-get install ffmpeg, or `make demo`, which installs it"
            )
        }
    }
}

async fn publish_forever(server: String, key: String) {
    loop {
        match start(&format!("{server}/{key}")) {
            Ok(child) => publish(child, &key).await,
            Err(error) => tracing::error!(%error, "failed to start ffmpeg"),
        }
        tokio::time::sleep(RESTART_AFTER).await;
    }
}

/// Follows one ffmpeg to its end. What it complains about goes to our log without the stream key,
/// which it likes to show.
async fn publish(mut child: Child, key: &str) {
    if let Some(complaints) = child.stderr.take() {
        let mut lines = BufReader::new(complaints).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            tracing::info!(
                ffmpeg = line.replace(key, "…"),
                "the demo's publisher complains"
            );
        }
    }
    match child.wait().await {
        Ok(status) => tracing::warn!(%status, "the demo's publisher ended; starting it again"),
        Err(error) => tracing::warn!(%error, "lost sight of the demo's publisher"),
    }
}

fn start(url: &str) -> std::io::Result<Child> {
    let clock = "drawtext=text='%{localtime\\:%H\\\\\\:%M\\\\\\:%S}':\
                 x=(w-tw)/2:y=h-160:fontsize=72:fontcolor=white:box=1:boxcolor=black@0.6:boxborderw=18";
    Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-re"])
        .args(["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30"])
        .args([
            "-f",
            "lavfi",
            "-i",
            "sine=frequency=330:beep_factor=3:sample_rate=48000",
        ])
        .args(["-vf", clock])
        .args([
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-tune",
            "zerolatency",
            "-pix_fmt",
            "yuv420p",
        ])
        .args([
            "-b:v", "2000k", "-maxrate", "2000k", "-bufsize", "2000k", "-g", "60",
        ])
        .args([
            "-af",
            "volume=0.15",
            "-c:a",
            "aac",
            "-b:a",
            "128k",
            "-ac",
            "2",
        ])
        .args(["-f", "flv", url])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}
