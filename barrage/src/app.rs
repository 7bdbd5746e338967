//! Puts the roles together, runs them, ends them.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use api::first_run::{self, FirstRun};
use api::keyring::Keyring;
use api::secrets::ServerKey;
use api::{AppState, Store, password};
use axum::Router;
use kit::bus::Bus;
use kit::clock;
use kit::drain::{self, Drain, DrainSignal};
use kit::open_files;
use kit::stream::Streams;
use kit::telemetry::Metrics;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use wire::Handle;

use crate::config::Config;
use crate::runtime::Runtime;
use crate::wiring::{HlsDelivery, KeyGate};
use crate::{assets, http};

/// How often what has gathered is folded and what is idle is forgotten.
const UPKEEP_EVERY: Duration = Duration::from_secs(10);

/// How long viewers have to fetch the parts that the last playlists of their broadcasts name.
const FAREWELL: Duration = Duration::from_secs(1);

/// Files the server needs besides connections: listeners, database, log.
const OWN_FILES: u64 = 100;

/// Shortest password, in characters.
const MIN_PASSWORD: usize = 10;

/// A server with its listeners open, ready to run.
pub struct App {
    config: Config,
    store: Store,
    server_key: ServerKey,
    keyring: Arc<Keyring>,
    first_run: Option<FirstRun>,
    metrics: Metrics,
    streams: Arc<Streams>,
    bus: Bus,
    hls: Arc<hls::Service>,
    ingest: ingest::Server,
    http: http::Server,
    runtime: Runtime,
    /// Held while the server runs: a second one on the same data would overwrite the first's.
    _lock: File,
}

impl App {
    /// Opens the database and the listeners. From here on clients can connect; they are served
    /// once the app runs.
    ///
    /// # Errors
    /// When something that the server cannot do without is missing; the text names it.
    pub async fn load(config: Config) -> anyhow::Result<Self> {
        let data_dir = config.data_dir().to_owned();
        make_private_dir(&data_dir)?;
        let lock = lock(&data_dir)?;
        check_open_files(&config);
        let metrics = Metrics::install()?;
        let (store, server_key) = open_store(&data_dir).await?;
        let now = clock::now();
        let first_run = first_run::ensure(&store, &server_key, &data_dir, now).await?;
        let closed = store.close_open_broadcasts(now).await?;
        if closed > 0 {
            tracing::warn!(
                closed,
                "closed broadcasts that a server which was killed had left open"
            );
        }
        let keyring = Arc::new(Keyring::new(store.clone(), server_key.clone()));
        let (streams, bus) = (Streams::new(), Bus::default());
        let hls = hls::Service::new(config.hls.clone(), Arc::clone(&streams));
        let ingest = ingest::Server::bind(
            config.rtmp.clone(),
            config.ingest.clone(),
            Arc::new(KeyGate(Arc::clone(&keyring))),
            Arc::clone(&streams),
            bus.clone(),
        )
        .await?;
        let http = http::Server::bind(config.http.clone()).await?;
        let runtime = Runtime::new(http.local_addr()?, ingest.local_addr()?);
        runtime.write(&data_dir)?;
        Ok(Self {
            config,
            store,
            server_key,
            keyring,
            first_run,
            metrics,
            streams,
            bus,
            hls,
            ingest,
            http,
            runtime,
            _lock: lock,
        })
    }

    /// Where the listeners are.
    pub const fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// What a person who has just started the server wants to know.
    pub fn banner(&self) -> String {
        self.runtime.banner(self.first_run.as_ref())
    }

    /// The first channel and its stream key.
    ///
    /// # Errors
    /// When the channel or every key of it is gone.
    pub async fn first_channel_key(&self) -> anyhow::Result<(Handle, String)> {
        let channel = self
            .store
            .first_channel()
            .await?
            .context("the server has no channel")?;
        let sealed = self.store.sealed_key(channel.id).await?;
        let key = sealed.and_then(|(id, sealed)| self.server_key.open(&sealed, &id));
        Ok((
            channel.handle,
            key.context("the channel has no stream key that opens it")?,
        ))
    }

    /// Runs until SIGTERM or SIGINT, then ends gracefully. A second signal ends it at once.
    ///
    /// # Errors
    /// When the end took longer than its grace time.
    pub async fn run_until_signal(self, mut signals: Signals) -> anyhow::Result<()> {
        let (signal, drain) = drain::channel();
        tokio::spawn(async move {
            let name = signals.next().await;
            tracing::info!(signal = name, "ending: no new publishers or viewers");
            signal.drain();
            signals.next().await;
            tracing::warn!("ending at once: told a second time");
            std::process::exit(1);
        });
        self.run(drain).await
    }

    /// Runs until `drain` is signalled, then ends in order: publishers are told and playlists get
    /// their end, then requests under way are answered, then what happened is noted.
    ///
    /// # Errors
    /// When the end took longer than its grace time.
    pub async fn run(self, mut drain: Drain) -> anyhow::Result<()> {
        tracing::info!(
            http.addr = %self.runtime.http.listen,
            rtmp.addr = %self.runtime.rtmp.listen,
            "ready"
        );
        let router = self.router(drain.clone());
        let (http_end, http_drain) = drain::channel();
        let (history_end, history_drain) = drain::channel();
        let history = tokio::spawn(api::history::record(
            self.store.clone(),
            &self.bus,
            history_drain,
        ));
        let upkeep = tokio::spawn(upkeep(self.metrics.clone(), Arc::clone(&self.keyring)));
        let packagers = tokio::spawn(Arc::clone(&self.hls).run(drain.clone()));
        let ingest = tokio::spawn(self.ingest.run(drain.clone()));
        let http = tokio::spawn(self.http.run(router, http_drain));

        drain.signaled().await;
        let farewell = if self.streams.all().is_empty() {
            Duration::ZERO
        } else {
            FAREWELL
        };
        let grace = Duration::from_millis(self.config.drain.grace_ms);
        let end = end_in_order(
            ingest,
            packagers,
            farewell,
            http_end,
            http,
            history_end,
            history,
        );
        let ended = tokio::time::timeout(grace, end).await;
        upkeep.abort();
        self.store.close().await;
        Runtime::remove(self.config.data_dir());
        match ended {
            Ok(()) => {
                tracing::info!("ended");
                Ok(())
            }
            // Viewers that keep a download going are cut off; nothing of ours is lost by it.
            Err(_) => {
                tracing::warn!(
                    grace_ms = self.config.drain.grace_ms,
                    "ended with connections open"
                );
                Ok(())
            }
        }
    }

    fn router(&self, drain: Drain) -> Router {
        let api = api::router(AppState {
            store: self.store.clone(),
            streams: Arc::clone(&self.streams),
            delivery: Arc::new(HlsDelivery(Arc::clone(&self.hls))),
            metrics: self.metrics.clone(),
            drain,
        });
        assets::router().merge(api).merge(self.hls.router())
    }
}

async fn end_in_order(
    ingest: JoinHandle<()>,
    packagers: JoinHandle<()>,
    farewell: Duration,
    http_end: DrainSignal,
    http: JoinHandle<()>,
    history_end: DrainSignal,
    history: JoinHandle<()>,
) {
    // A task that panicked has been logged by its panic; the rest still ends in order.
    let _ = ingest.await;
    let _ = packagers.await;
    tokio::time::sleep(farewell).await;
    http_end.drain();
    let _ = http.await;
    history_end.drain();
    let _ = history.await;
}

async fn upkeep(metrics: Metrics, keyring: Arc<Keyring>) {
    let mut ticks = tokio::time::interval(UPKEEP_EVERY);
    loop {
        ticks.tick().await;
        metrics.upkeep();
        keyring.forget_idle();
    }
}

/// Hears SIGTERM and SIGINT from when it is made: before the server tells anybody that it runs, or
/// a signal that comes right then would kill it.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("failed to listen to signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Says so if the system has fewer files for us than the settings allow connections.
fn check_open_files(config: &Config) {
    let wanted = (config.http.max_connections + config.rtmp.max_connections) as u64;
    if let Some(limit) = open_files::raise_limit()
        && limit < wanted + OWN_FILES
    {
        tracing::warn!(
            limit,
            wanted,
            "the system allows fewer open files than connections are configured; raise it with ulimit -n or LimitNOFILE="
        );
    }
}

fn make_private_dir(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("failed to make the data directory {}", path.display()))
}

fn lock(data_dir: &Path) -> anyhow::Result<File> {
    let path = data_dir.join("lock");
    let file = File::create(&path).with_context(|| format!("failed to open {}", path.display()))?;
    if file.try_lock().is_err() {
        bail!(
            "another Barrage server uses {}; stop it, or choose another --data-dir",
            data_dir.display()
        );
    }
    Ok(file)
}

async fn open_store(data_dir: &Path) -> anyhow::Result<(Store, ServerKey)> {
    let server_key = ServerKey::load_or_create(&data_dir.join("server.key"))?;
    let pool = kit::database::open(&data_dir.join("barrage.db"), &api::MIGRATIONS).await?;
    Ok((Store::new(pool), server_key))
}

/// Gives an account another password; what the first start told is removed.
///
/// # Errors
/// When the password is too short, there is no such account, or the database fails.
pub async fn set_password(config: &Config, handle: &Handle, text: &str) -> anyhow::Result<()> {
    if text.chars().count() < MIN_PASSWORD {
        bail!("a password has at least {MIN_PASSWORD} characters");
    }
    let (store, _) = open_store(config.data_dir()).await?;
    let hash = password::hash(text.to_owned()).await?;
    if !store.set_password(handle, &hash).await? {
        bail!("nobody is called {handle}");
    }
    store.close().await;
    first_run::forget_password_of(config.data_dir(), handle)
}

/// Says what happens to a second publisher on a channel.
///
/// # Errors
/// When there is no such channel, or the database fails.
pub async fn set_second_publisher(
    config: &Config,
    handle: &Handle,
    replaces: bool,
) -> anyhow::Result<()> {
    let (store, _) = open_store(config.data_dir()).await?;
    let channel = store.channel(handle).await?;
    let channel = channel.with_context(|| format!("no channel is called @{handle}"))?;
    store.set_second_publisher(channel.id, replaces).await?;
    store.close().await;
    Ok(())
}
