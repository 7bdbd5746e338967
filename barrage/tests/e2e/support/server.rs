//! The real binary on a data directory of its own.

use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;

use super::person::browser;
use super::waiting::{until, within};
use super::{engines, postgres};

/// The binary under test.
const BARRAGE: &str = env!("CARGO_BIN_EXE_barrage");

/// The channel that the first start makes.
pub(crate) const CHANNEL: &str = "stage";

/// How many lines from each end of a long output are shown when a test fails.
const SHOWN_LINES: usize = 30;

/// What a process has written so far, line by line.
#[derive(Clone, Default)]
pub(crate) struct Written(Arc<Mutex<String>>);

impl Written {
    /// Takes down what comes out of `pipe`, until it ends.
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let written = Self::default();
        let copy = written.clone();
        std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while matches!(pipe.read_until(b'\n', &mut line), Ok(1..)) {
                copy.0
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        written
    }

    pub(crate) fn text(&self) -> String {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The lines that contain every one of `words`.
    pub(crate) fn lines_with(&self, words: &[&str]) -> Vec<String> {
        self.text()
            .lines()
            .filter(|line| words.iter().all(|word| line.contains(word)))
            .map(str::to_owned)
            .collect()
    }
}

/// A child process whose output is taken down, shown if the test fails, and which is killed when
/// nobody holds it any more.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    pub(crate) out: Written,
    pub(crate) err: Written,
}

impl Process {
    pub(crate) fn start(name: &'static str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("failed to start {name}: {error}"));
        let out = child.stdout.take().expect("it is piped");
        let err = child.stderr.take().expect("it is piped");
        Self {
            name,
            child,
            out: Written::of(out),
            err: Written::of(err),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("sh")
            .args(["-c", "kill -\"$0\" \"$1\"", name, &self.id().to_string()])
            .status();
        assert!(sent.is_ok_and(|status| status.success()));
    }

    /// How it ended, if it has.
    pub(crate) fn try_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let what = format!("{} ends", self.name);
        until(&what, async || self.try_ended()).await
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("a child can be waited for");
    }
}

/// The beginning and the end of a text that is too long to be read.
fn shortened(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    match lines.len().checked_sub(SHOWN_LINES * 2) {
        None | Some(0) => text.to_owned(),
        Some(left_out) => {
            let (first, last) = (&lines[..SHOWN_LINES], &lines[lines.len() - SHOWN_LINES..]);
            format!(
                "{}\n… {left_out} lines …\n{}",
                first.join("\n"),
                last.join("\n")
            )
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("---- {} wrote:\n{}", self.name, shortened(&self.err.text()));
        }
        // One that has ended already cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that runs.
pub(crate) struct Server {
    process: Process,
    dir: Arc<TempDir>,
    pub(crate) http: SocketAddr,
    pub(crate) https: Option<SocketAddr>,
    pub(crate) rtmp: SocketAddr,
    pub(crate) key: String,
    pub(crate) client: reqwest::Client,
}

impl Server {
    /// A server as it comes.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A server with settings, by their dotted names.
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        let dir = TempDir::new().expect("there is room for a directory");
        Self::on(Arc::new(dir), settings).await
    }

    /// A server on data that may be there already.
    pub(crate) async fn on(dir: Arc<TempDir>, settings: &[(&str, &str)]) -> Self {
        let mut process = Process::start("barrage serve", &mut command(dir.path(), settings));
        let runtime = until("the server is ready", async || {
            assert!(process.try_ended().is_none(), "the server ended at once");
            let runtime = read_json(&dir.path().join("runtime.json"))?;
            // One that an earlier server left behind does not count.
            (runtime["pid"] == process.id()).then_some(runtime)
        })
        .await;
        let address = |role: &str| -> SocketAddr {
            let text = runtime[role]["listen"].as_str().expect("an address");
            text.parse().expect("an address")
        };
        let key = read_json(&dir.path().join("first-run.json"))
            .and_then(|first| Some(first["channel"]["stream_key"].as_str()?.to_owned()));
        Self {
            process,
            http: address("http"),
            https: runtime["https"].is_object().then(|| address("https")),
            rtmp: address("rtmp"),
            dir,
            key: key.unwrap_or_default(),
            client: browser().build().expect("TLS can be had"),
        }
    }

    pub(crate) fn dir(&self) -> &Arc<TempDir> {
        &self.dir
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Another node of the same cluster, on a data directory of its own.
    pub(crate) async fn beside(&self, settings: &[(&str, &str)]) -> Self {
        let dir = Arc::new(TempDir::new().expect("there is room for a directory"));
        let key = std::fs::read(self.path("server.key")).expect("the server has a key");
        write_private(&dir.path().join("server.key"), &key);
        let database = postgres::url(self.dir.path()).expect("a cluster has a database");
        let mut all = vec![("database.url", database.as_str())];
        all.extend(settings);
        Self::on(dir, &all).await
    }

    /// Kills it as `kill -9` does, and leaves its data.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// What the server logs.
    pub(crate) const fn log(&self) -> &Written {
        &self.process.err
    }

    /// What the server prints once it runs.
    pub(crate) async fn banner(&self) -> String {
        let printed = &self.process.out;
        until("the banner is whole", async || {
            // An empty line stands behind all that it tells.
            let whole =
                !printed.lines_with(&["rtmp://"]).is_empty() && printed.text().ends_with("\n\n");
            whole.then(|| printed.text())
        })
        .await
    }

    /// Waits for a line of the log that contains every one of `words`, and gives it.
    pub(crate) async fn logged(&self, words: &[&str]) -> String {
        until(&format!("{words:?} is logged"), async || {
            self.log().lines_with(words).pop()
        })
        .await
    }

    /// The address to publish to, with the key.
    pub(crate) fn publish_url(&self) -> String {
        self.publish_url_with(&self.key)
    }

    pub(crate) fn publish_url_with(&self, key: &str) -> String {
        format!("rtmp://{}/live/{key}", self.rtmp)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        let answer = within(path, self.client.get(self.url(path)).send()).await;
        answer.unwrap_or_else(|error| panic!("no answer to {path}: {error}"))
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.expect("the body is text")
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path).await).expect("the body is JSON")
    }

    /// What the API says of the channel's broadcast, if it is live.
    pub(crate) async fn stream(&self) -> Option<Value> {
        let answer = self.get(&format!("/api/v1/streams/{CHANNEL}")).await;
        let live = answer.status() == 200;
        let body: Value = answer.json().await.expect("the body is JSON");
        assert!(live || body["error"]["code"] == "not_live", "{body}");
        live.then_some(body)
    }

    /// Waits until what the API says of the broadcast is as wanted, and gives it.
    pub(crate) async fn stream_until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        until(what, async || self.stream().await.filter(|now| wanted(now))).await
    }

    /// Waits until somebody publishes.
    pub(crate) async fn live(&self) -> Value {
        self.stream_until("the stream is live", |now| now["state"] == "live")
            .await
    }

    /// Waits until the broadcast has pictures and sound.
    pub(crate) async fn pictures_and_sound(&self) -> Value {
        self.stream_until("there are pictures and sound", |now| {
            now["video"].is_object() && now["audio"].is_object()
        })
        .await
    }

    /// Waits until nothing is live.
    pub(crate) async fn offline(&self) {
        until("the stream is over", async || {
            self.stream().await.is_none().then_some(())
        })
        .await;
    }

    /// The value of a metric, summed over its labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        sum_of(&self.text("/metrics").await, name)
    }

    /// Resident memory, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()));
        let status = status.expect("the server runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number
            .and_then(|text| text.parse().ok())
            .expect("the kernel tells")
    }

    /// Sends a signal such as `TERM`.
    /// Its disk is full, or has room again.
    pub(crate) fn fill_disk(&self, is_full: bool) {
        let limit = if is_full {
            "--fsize=0:unlimited"
        } else {
            "--fsize=unlimited"
        };
        let id = self.id().to_string();
        let set = Command::new("prlimit").args(["--pid", &id, limit]).status();
        assert!(set.is_ok_and(|status| status.success()));
    }

    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        self.process.ended().await
    }

    /// Ends it as a service manager does.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended().await
    }
}

/// The sum of a metric over its labels, from Prometheus' text format.
pub(crate) fn sum_of(text: &str, name: &str) -> f64 {
    text.lines()
        .filter_map(|line| line.rsplit_once(' '))
        .filter(|(key, _)| key.split('{').next() == Some(name))
        .filter_map(|(_, value)| value.parse::<f64>().ok())
        .sum()
}

/// Writes a file that others may not read.
fn write_private(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new();
    let file = file.write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| std::io::Write::write_all(&mut file, bytes))
        .expect("the file can be written");
}

pub(crate) fn read_json(path: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// The binary, in an environment that says nothing of its own.
pub(crate) fn barrage() -> Command {
    bare(BARRAGE)
}

/// A program without the settings of whoever runs the tests.
fn bare(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

fn command(dir: &Path, settings: &[(&str, &str)]) -> Command {
    // What would go beyond a limit of its files fails, as on a full disk, and kills nobody.
    let mut command = bare("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", BARRAGE]);
    command.arg("serve").arg("--data-dir").arg(dir);
    let listeners = [
        ("http.listen", "127.0.0.1:0"),
        ("https.listen", "127.0.0.1:0"),
        ("rtmp.listen", "127.0.0.1:0"),
        ("webrtc.listen", "127.0.0.1:0"),
    ];
    // A busy machine can keep an encoder from sending for seconds; only the test of silence is
    // about that.
    let patience = [("ingest.silence_ms", "20000")];
    for (name, value) in listeners.iter().chain(&patience).chain(settings) {
        command.env(variable(name), value);
    }
    if !settings.iter().any(|(name, _)| *name == "database.url") {
        add_database(&mut command, dir);
        add_cluster(&mut command, dir, settings);
    }
    command
}

/// Which others there could be, unless a test says so itself: on its own, a cluster of one.
fn add_cluster(command: &mut Command, dir: &Path, settings: &[(&str, &str)]) {
    if settings
        .iter()
        .any(|(name, _)| name.starts_with("cluster."))
    {
        return;
    }
    for (name, value) in engines::settings(dir).unwrap_or_default() {
        command.env(variable(name), value);
    }
}

/// Where the data is kept, if not in the directory.
fn add_database(command: &mut Command, dir: &Path) {
    if let Some(url) = postgres::url(dir) {
        command.env(variable("database.url"), url);
    }
}

/// The environment variable of a setting.
pub(crate) fn variable(setting: &str) -> String {
    format!("BARRAGE__{}", setting.to_uppercase().replace('.', "__"))
}

/// Runs the binary to its end, with something to read.
pub(crate) async fn run(args: &[&str], input: &str) -> Output {
    run_with(args, &[], input).await
}

/// The same with settings in the environment, by their dotted names.
pub(crate) async fn run_with(args: &[&str], settings: &[(&str, &str)], input: &str) -> Output {
    let mut command = barrage();
    let dir = args.iter().skip_while(|arg| **arg != "--data-dir").nth(1);
    if let Some(dir) = dir.filter(|dir| Path::new(dir).is_dir()) {
        add_database(&mut command, Path::new(dir));
    }
    let mut command = tokio::process::Command::from(command);
    for (name, value) in settings {
        command.env(variable(name), value);
    }
    let mut child = command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary runs");
    let mut stdin = child.stdin.take().expect("it is piped");
    // A command that reads nothing may have closed it.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = within("barrage ends", child.wait_with_output()).await;
    output.expect("its output can be read")
}
