//! `barrage-load` against a real server.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use barrage::{App, Config};
use kit::drain::{self, DrainSignal};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

const LOAD: &str = env!("CARGO_BIN_EXE_barrage-load");

/// A server with a channel.
struct Live {
    http: u16,
    rtmp: u16,
    certificate: PathBuf,
    https: u16,
    channel: String,
    key: String,
    film: PathBuf,
    _home: TempDir,
    _drain: DrainSignal,
}

impl Live {
    /// There can be one in a process: its metrics are the process's.
    async fn start() -> Self {
        let home = TempDir::new().expect("a directory");
        let film = film(home.path()).await;
        let mut config = Config {
            data_dir: home.path().join("data").display().to_string(),
            ..Config::default()
        };
        config.http.listen = "127.0.0.1:0".into();
        config.https.listen = "127.0.0.1:0".into();
        config.rtmp.listen = "127.0.0.1:0".into();
        config.webrtc.listen = "127.0.0.1:0".into();
        let app = App::load(config).await.expect("it starts");
        let (channel, key) = app.first_channel_key().await.expect("a channel");
        let runtime = app.runtime();
        let (http, rtmp) = (runtime.http.listen.port(), runtime.rtmp.listen.port());
        let https = runtime.https.as_ref().expect("https").listen.port();
        let (signal, drain) = drain::channel();
        tokio::spawn(app.run(drain));
        Self {
            http,
            rtmp,
            certificate: home.path().join("data/self-signed.crt"),
            https,
            channel: channel.to_string(),
            key,
            film,
            _home: home,
            _drain: signal,
        }
    }

    /// Somebody who is live.
    async fn publish(&self, args: &[&str]) -> Child {
        let url = format!("rtmp://127.0.0.1:{}/live", self.rtmp);
        self.publish_to(&url, args).await
    }

    async fn publish_to(&self, url: &str, args: &[&str]) -> Child {
        let publisher = Command::new(LOAD)
            .args(["publish", "--key", &self.key, "--json"])
            .args(["--url", url])
            .args(args)
            .arg(&self.film)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        self.playlist().await;
        publisher
    }

    /// Waits until there is a playlist to watch, which comes last of all.
    async fn playlist(&self) {
        let until = Instant::now() + Duration::from_secs(20);
        while !self
            .watch("ll-hls", &["--duration=1"])
            .await
            .status
            .success()
        {
            assert!(Instant::now() < until, "nothing to watch");
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn url(&self, protocol: &str) -> String {
        let Self {
            http,
            https,
            rtmp,
            channel,
            ..
        } = self;
        match protocol {
            "rtmp" => format!("rtmp://127.0.0.1:{rtmp}/live/{channel}"),
            "flv" => format!("http://127.0.0.1:{http}/live/{channel}.flv"),
            "ws-flv" => format!("ws://127.0.0.1:{http}/live/{channel}.flv"),
            "wss" => format!("wss://127.0.0.1:{https}/live/{channel}.flv"),
            "whep" => format!("http://127.0.0.1:{http}/whep/{channel}"),
            _ => format!("http://127.0.0.1:{http}/hls/{channel}/index.m3u8"),
        }
    }

    async fn watch(&self, protocol: &str, args: &[&str]) -> Output {
        let watch = Command::new(LOAD)
            .args(["watch", &self.url(protocol), "--json"])
            .args(args)
            .kill_on_drop(true)
            .output();
        timeout(Duration::from_secs(60), watch)
            .await
            .expect("it ends")
            .expect("it runs")
    }
}

/// Four seconds of pictures and sound.
async fn film(home: &Path) -> PathBuf {
    let path = home.join("film.flv");
    let made = Command::new("ffmpeg")
        .args("-v error -f lavfi -i testsrc2=size=320x180:rate=30 -f lavfi -i sine".split(' '))
        .args("-t 4 -c:v libx264 -preset ultrafast -bf 0 -g 30 -c:a aac".split(' '))
        .arg(&path)
        .status()
        .await;
    assert!(made.expect("ffmpeg runs").success());
    path
}

fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr))
    })
}

fn number(report: &Value, path: &str) -> f64 {
    let found = report.pointer(path).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("no {path} in {report:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_and_viewers_tell_what_they_saw() {
    let live = Live::start().await;
    refused_at_once(&live).await;
    told_without_stamps(&live).await;
    let publisher = live.publish(&[]).await;
    for protocol in ["rtmp", "flv", "ws-flv", "wss", "ll-hls", "whep"] {
        everything_seen(&live, protocol).await;
    }
    stopped_on_request(&live).await;
    drop(publisher);
    over_webrtc(&live).await;
}

/// The other way in, and packets that are lost on the way out.
async fn over_webrtc(live: &Live) {
    let url = format!("http://127.0.0.1:{}/whip", live.http);
    let publisher = live.publish_to(&url, &["--duration=14"]).await;
    everything_seen(live, "whep").await;
    let lossy = ["--viewers=4", "--duration=2", "--loss=10", "--lag=20"];
    let repaired = json(&live.watch("whep", &lossy).await);
    assert!(
        number(&repaired, "/packets/repaired") > 10.0,
        "{repaired:#}"
    );
    assert_eq!(repaired["packets"]["missed"], 0, "{repaired:#}");
    assert_eq!(repaired["frames"]["torn"], 0, "{repaired:#}");
    let torn = [&lossy[..], &["--no-repairs"]].concat();
    let torn = json(&live.watch("whep", &torn).await);
    assert!(number(&torn, "/frames/torn") > 10.0, "{torn:#}");

    let done = timeout(Duration::from_secs(30), publisher.wait_with_output()).await;
    let sent = json(&done.expect("it ends").expect("it ran"));
    assert!(number(&sent, "/stamped") > 10.0 * 30.0, "{sent:#}");
    // Sound too.
    let sound = number(&sent, "/frames") - number(&sent, "/stamped");
    assert!(sound > 10.0 * 50.0, "{sent:#}");
}

async fn everything_seen(live: &Live, protocol: &str) {
    let ca = live.certificate.display().to_string();
    let pid = std::process::id().to_string();
    let args = ["--viewers=20", "--joins-per-second=100", "--duration=2"];
    let more = [
        "--threads=2",
        "--open-every=1",
        "--server-pid",
        &pid,
        "--ca",
        &ca,
    ];
    let report = json(&live.watch(protocol, &[&args[..], &more].concat()).await);
    let is = |path: &str, expected: f64| {
        let found = number(&report, path);
        let same = (found - expected).abs() < 1e-9;
        assert!(same, "{path} of {protocol}: {report:#}");
    };
    is("/viewers/joined", 20.0);
    is("/viewers/lost", 0.0);
    is("/viewers/starved", 0.0);
    is("/frames/missed", 0.0);
    is("/frames/repeated", 0.0);
    is("/frames/torn_starts", 0.0);
    is("/frames/stamped", number(&report, "/frames/received"));
    is("/join_ms/count", 20.0);
    // At least the window's, for everybody; LL-HLS may be a part short at either end.
    let least = 20.0 * 45.0;
    assert!(number(&report, "/frames/received") > least, "{report:#}");
    assert!(number(&report, "/latency_ms/count") > least, "{report:#}");
    // A delay on another clock would be wrong by hours.
    assert!(number(&report, "/latency_ms/p50") < 2000.0, "{report:#}");
    assert!(number(&report, "/server/cpu_share") > 0.0, "{report:#}");
}

async fn told_without_stamps(live: &Live) {
    let publisher = live.publish(&["--no-stamps", "--duration=5"]).await;
    let report = json(&live.watch("flv", &["--viewers=3", "--duration=1"]).await);
    assert!(number(&report, "/frames/received") > 60.0, "{report:#}");
    assert!(number(&report, "/frames/stamped") < 1.0, "{report:#}");
    assert!(report["latency_ms"]["p50"].is_null(), "{report:#}");

    let done = timeout(Duration::from_secs(30), publisher.wait_with_output()).await;
    let sent = json(&done.expect("it ends").expect("it ran"));
    // Pictures and sound of five seconds.
    assert!(number(&sent, "/frames") > 5.0 * 65.0, "{sent:#}");
    assert!(number(&sent, "/stamped") < 1.0, "{sent:#}");
}

async fn stopped_on_request(live: &Live) {
    let args = ["--viewers=4", "--stopped=2", "--duration=1"];
    let report = json(&live.watch("flv", &args).await);
    assert_eq!(report["viewers"]["joined"], 4, "{report:#}");
    assert_eq!(report["viewers"]["stopped"], 2, "{report:#}");
    assert_eq!(report["viewers"]["starved"], 0, "{report:#}");
    // Those who watch still get the whole of it.
    assert!(number(&report, "/mbit_per_s") > 0.1, "{report:#}");
}

async fn refused_at_once(live: &Live) {
    let began = Instant::now();
    let output = live.watch("flv", &["--viewers=3", "--duration=600"]).await;
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("nobody could watch") && text.contains("404"),
        "{text}"
    );
    assert!(began.elapsed() < Duration::from_secs(30));
}
