//! NATS and Redis: those that `scripts/engines` runs, and such as a test kills.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::server::Process;
use super::waiting::until;

/// Settings, by their dotted names.
pub(crate) type Settings = Vec<(&'static str, String)>;

/// What makes a server on `dir` a node of a cluster of its own, where the tests are about clusters.
pub(crate) fn settings(dir: &Path) -> Option<Settings> {
    let nats = std::env::var("BARRAGE_TEST_NATS").ok()?;
    let redis = std::env::var("BARRAGE_TEST_REDIS").ok()?;
    Some(of(&nats, &redis, dir))
}

fn of(nats: &str, redis: &str, dir: &Path) -> Settings {
    let name = dir.to_string_lossy().to_lowercase();
    let name = name.chars().filter(char::is_ascii_alphanumeric);
    vec![
        ("cluster.name", name.collect()),
        ("cluster.nats.url", nats.to_owned()),
        ("cluster.redis.url", redis.to_owned()),
    ]
}

/// Servers of a test's own, which it may kill and start again on what they have kept.
pub(crate) struct Engines {
    dir: TempDir,
    ports: [u16; 2],
    nats: Option<Process>,
    redis: Option<Process>,
}

impl Engines {
    /// Both, where the tests are about clusters.
    pub(crate) async fn start() -> Option<Self> {
        std::env::var_os("BARRAGE_TEST_NATS")?;
        let mut engines = Self {
            dir: TempDir::new().unwrap(),
            ports: [free_port(), free_port()],
            nats: None,
            redis: None,
        };
        engines.start_nats().await;
        engines.start_redis().await;
        Some(engines)
    }

    /// What makes servers nodes of a cluster with these.
    pub(crate) fn settings(&self) -> Settings {
        let [nats, redis] = self.ports;
        let nats = format!("nats://127.0.0.1:{nats}");
        of(
            &nats,
            &format!("redis://127.0.0.1:{redis}"),
            self.dir.path(),
        )
    }

    pub(crate) async fn start_nats(&mut self) {
        let port = self.ports[0];
        let store = self.dir.path().join("nats");
        let mut command = Command::new("nats-server");
        command.args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"]);
        self.nats = Some(listening("nats-server", command.arg(store), port).await);
    }

    pub(crate) async fn start_redis(&mut self) {
        let port = self.ports[1];
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--save", "", "--dir"]).arg(self.dir.path());
        self.redis = Some(listening("redis-server", &mut command, port).await);
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill_nats(&mut self) {
        self.nats.take().expect("it runs").kill();
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill_redis(&mut self) {
        self.redis.take().expect("it runs").kill();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

async fn listening(name: &'static str, command: &mut Command, port: u16) -> Process {
    let process = Process::start(name, command);
    until(&format!("{name} listens"), async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .ok()
    })
    .await;
    process
}
