//! Puts the roles together, runs them, ends them.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use api::door::Door;
use api::emotes::{self, Emotes};
use api::first_run::{self, FirstRun};
use api::giving::Giving;
use api::history::Recorder;
use api::keyring::Keyring;
use api::mail::Mailer;
use api::payments::Payments;
use api::secrets::ServerKey;
use api::thumbnails::Thumbnails;
use api::webhooks::{Ear, Webhooks};
use api::{AppState, Store, Webrtc, history};
use axum::Router;
use chat::Entrance;
use cluster::Cluster;
use fanout::shard::Shards;
use gifts::Ledger;
use gifts::payment::Till;
use ingest::Play;
use kit::bus::Bus;
use kit::clock;
use kit::database::Database;
use kit::drain::{self, Drain, DrainSignal};
use kit::open_files;
use kit::private_file;
use kit::rendition::Renditions;
use kit::stream::Streams;
use kit::telemetry::Metrics;
use kit::tls::{self, Certificate};
use media::WallTime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use wire::{Handle, NodeId};

use crate::config::Config;
use crate::runtime::{Runtime, public_host};
use crate::wiring::{
    Backstage, Correspondents, Counter, Delivered, Doorplates, KeyGate, Parlour, Stage, TownCrier,
};
use crate::{assets, counts, flv, headers, http, ledger, renames, rooms};

/// How often what has gathered is folded and what is idle is forgotten.
const UPKEEP_EVERY: Duration = Duration::from_secs(10);

/// How long viewers have to fetch the parts that the last playlists of their broadcasts name.
const FAREWELL: Duration = Duration::from_secs(1);

/// Files the server needs besides connections: listeners, database, log.
const OWN_FILES: u64 = 100;

/// How often sessions and links that have ended by themselves are forgotten.
const FORGET_EVERY: Duration = Duration::from_mins(10);

/// How often it is looked what became of gifts of which nobody knows.
const CLAIMS_EVERY: Duration = Duration::from_secs(15);

/// How long other nodes may take to be told that this one ends.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

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
    play: Arc<Play>,
    webrtc: Option<Arc<sfu::Service>>,
    renditions: Arc<Renditions>,
    chat: Arc<chat::Service>,
    giving: Arc<Giving>,
    webhooks: (Arc<Webhooks>, Ear),
    payments: Arc<Payments>,
    door: Arc<Door>,
    mailer: Option<Mailer>,
    thumbnails: Arc<Thumbnails>,
    http: http::Server,
    https: Option<http::Server>,
    certificate: Option<Arc<Certificate>>,
    runtime: Runtime,
    started_at: WallTime,
    recorder: Recorder,
    /// Word of broadcasts that were over when the server began.
    left_open: Vec<wire::Event>,
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
        counts::begin();
        let (store, server_key) = open_store(&config).await?;
        let now = clock::now();
        let first_run = first_run::ensure(&store, &server_key, &data_dir, now).await?;
        let node = node_id(&data_dir)?;
        let cluster = Cluster::join(&config.cluster, node, &server_key.fingerprint()).await?;
        let of = (!cluster.is_alone()).then_some(node);
        let recorder = Recorder {
            node,
            others: of.map(|_| config.ingest.grace()),
        };
        let left_open = history::take_up(&store, now, config.ingest.grace(), of).await?;
        let keyring = Arc::new(Keyring::new(store.clone(), server_key.clone()));
        let (streams, bus) = (Streams::new(), Bus::default());
        let hls = hls::Service::new(config.hls.clone(), Arc::clone(&streams));
        let renditions = Renditions::new(config.transcode.clone());
        let shards = Shards::start(config.shards.shards()).context("failed to start the shards")?;
        let shards = Arc::new(shards);
        let play = Arc::new(Play::new(
            Arc::clone(&streams),
            Arc::clone(&renditions),
            Arc::clone(&shards),
        ));
        let webhooks = Webhooks::new(store.clone(), server_key.clone(), config.webhooks.clone());
        let webhooks = webhooks.await?;
        let ledger = open_ledger(&config, &cluster, &server_key).await?;
        let till = Arc::clone(&ledger) as Arc<dyn Till>;
        let giving = Arc::new(Giving::new(store.clone(), ledger).await?);
        let payments = Payments::new(store.clone(), config.payments.clone(), till, &server_key)?;
        let entrance = Entrance {
            shards,
            channels: Arc::new(Doorplates(store.clone())),
            audience: Some(Arc::new(Correspondents(Arc::clone(&webhooks.0)))),
            gifts: Some(Arc::new(Counter(Arc::clone(&giving)))),
            streams: Arc::clone(&streams),
            key: server_key.room_key(),
            public_url: config.public_origin(),
            cluster: cluster.clone(),
        };
        let lanes = chat::Store::new(store.database().clone());
        let chat = chat::Service::new(config.chat.clone(), lanes, entrance);
        let ingest = ingest::Server::bind(
            config.rtmp.clone(),
            config.ingest.clone(),
            Arc::new(KeyGate(Arc::clone(&keyring))),
            Arc::clone(&streams),
            Arc::clone(&play),
            bus.clone(),
            Some(proxies(&config, "rtmp")?)
                .filter(|proxies| proxies.proxy_protocol)
                .map(|proxies| proxies.trusted),
        )
        .await?;
        for broadcast in left_open.taken_up {
            ingest.theatre().take_up(broadcast);
        }
        let webrtc = sfu::Service::start(
            config.webrtc.clone(),
            node,
            Arc::clone(&streams),
            Arc::clone(&renditions),
            Arc::new(Backstage {
                keyring: Arc::clone(&keyring),
                theatre: ingest.theatre(),
            }),
            sfu::Rules {
                key_interval: Duration::from_secs(u64::from(config.hls.target_duration_s)),
                silence: config.ingest.silence(),
            },
        )?;
        let mailer = Mailer::new(&config.mail)?;
        let door = Arc::new(Door::new(
            store.clone(),
            server_key.clone(),
            config.accounts.clone(),
        ));
        let thumbnails = Thumbnails::new(config.thumbnails.clone(), Arc::clone(&streams));
        let http = http::Server::bind(
            "http.listen",
            &config.http.listen,
            config.http.clone(),
            proxies(&config, "http")?,
            None,
        )
        .await?;
        let certificate = certificate(&config)?;
        let https = bind_https(&config, certificate.as_ref()).await?;
        let https_addr = https.as_ref().map(http::Server::local_addr).transpose()?;
        let runtime = Runtime::new(
            http.local_addr()?,
            https_addr,
            ingest.local_addr()?,
            webrtc.as_ref().map(|webrtc| webrtc.local_addr()),
        );
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
            play,
            webrtc,
            renditions,
            chat,
            giving,
            webhooks,
            payments: Arc::new(payments),
            door,
            mailer,
            thumbnails: Arc::new(thumbnails),
            http,
            https,
            certificate,
            runtime,
            started_at: now,
            recorder,
            left_open: left_open.over,
            _lock: lock,
        })
    }

    /// Where the listeners are.
    pub const fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// What a person who has just started the server wants to know.
    pub fn banner(&self) -> String {
        let public = self.config.public_origin();
        self.runtime
            .banner(self.first_run.as_ref(), public.as_deref())
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
        let keys = self.store.stream_keys(channel.id).await?;
        let key = keys
            .first()
            .and_then(|key| self.server_key.open(&key.sealed, &key.id.to_string()));
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
            https.addr = self.runtime.https.map(|https| tracing::field::display(https.listen)),
            rtmp.addr = %self.runtime.rtmp.listen,
            "ready"
        );
        let router = self.router(drain.clone());
        let (http_end, http_drain) = drain::channel();
        let (history_end, history_drain) = drain::channel();
        let history = tokio::spawn(history::record(
            self.store.clone(),
            Arc::clone(&self.streams),
            self.bus.clone(),
            history_drain.clone(),
            self.recorder,
        ));
        let mut upkeep = self.upkeep();
        let (webhooks, ear) = self.webhooks;
        let webhooks = tokio::spawn(webhooks.run(ear, &self.bus, history_drain));
        let packagers = tokio::spawn(Arc::clone(&self.hls).run(drain.clone()));
        let ingest = tokio::spawn(self.ingest.run(drain.clone()));
        let slots = Arc::new(Semaphore::new(self.config.http.max_connections));
        let mut rooms = self.chat.upkeep(&self.bus);
        let crier: Arc<dyn gifts::Crier> = Arc::new(TownCrier(Arc::clone(&self.chat)));
        let mut ledger = self.giving.ledger().run(&crier);
        for over in self.left_open {
            self.bus.publish(over);
        }
        let play = Arc::clone(&self.play);
        let roles = http::Roles {
            play: Arc::clone(&play),
            chat: Arc::clone(&self.chat),
        };
        let https = self.https.map(|https| {
            let (router, roles, slots) = (router.clone(), roles.clone(), Arc::clone(&slots));
            tokio::spawn(https.run(router, roles, slots, http_drain.clone()))
        });
        let http = tokio::spawn(self.http.run(router, roles, slots, http_drain));

        drain.signaled().await;
        let farewell = if self.streams.all().is_empty() {
            Duration::ZERO
        } else {
            FAREWELL
        };
        let grace = Duration::from_millis(self.config.drain.grace_ms);
        let ending = Ending {
            ingest,
            packagers,
            play,
            webrtc: self.webrtc.clone(),
            chat: Arc::clone(&self.chat),
            farewell,
            http_end,
            http: [Some(http), https],
            history_end,
            history: [history, webhooks],
        };
        let ended = tokio::time::timeout(grace, ending.in_order()).await;
        upkeep.shutdown().await;
        rooms.shutdown().await;
        ledger.shutdown().await;
        self.giving.ledger().leave().await;
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
        let config = serde_json::to_value(self.config.redacted()).expect("settings are plain data");
        let api = api::router(AppState {
            store: self.store.clone(),
            server_key: self.server_key.clone(),
            door: Arc::clone(&self.door),
            mailer: self.mailer.clone(),
            streams: Arc::clone(&self.streams),
            watched: Arc::default(),
            thumbnails: Arc::clone(&self.thumbnails),
            emotes: Arc::new(Emotes::new(self.config.emotes.clone())),
            giving: Arc::clone(&self.giving),
            webhooks: Arc::clone(&self.webhooks.0),
            payments: Arc::clone(&self.payments),
            bus: self.bus.clone(),
            publishers: Arc::new(Stage(self.ingest.theatre())),
            delivery: Arc::new(Delivered {
                hls: Arc::clone(&self.hls),
                play: Arc::clone(&self.play),
                webrtc: self.webrtc.clone(),
                renditions: Arc::clone(&self.renditions),
            }),
            rooms: Arc::new(Parlour(Arc::clone(&self.chat))),
            metrics: self.metrics.clone(),
            metrics_open: self.config.http.metrics_open,
            drain,
            public_url: self.config.public_origin(),
            config: Arc::new(config),
            data_dir: Arc::new(self.config.data_dir().to_owned()),
            rtmp_port: self.runtime.rtmp.port,
            https_port: self.runtime.https.map(|https| https.port),
            webrtc: Webrtc {
                shows_live: self.webrtc.is_some(),
                transcodes_pictures: self.webrtc.is_some() && self.config.transcode.pictures > 0,
            },
            certificate: self.certificate.clone(),
            started_at: self.started_at,
        });
        let media = self.hls.router().merge(flv::router(Arc::clone(&self.play)));
        let media = media.merge(rooms::router(Arc::clone(&self.chat)));
        let media = match &self.webrtc {
            Some(webrtc) => media.merge(webrtc.router()),
            None => media,
        };
        let pages = assets::router().merge(media);
        let pages = renames::follow(pages, self.store.clone());
        headers::add(pages.merge(api), &self.config)
    }

    /// What goes on beside the requests.
    fn upkeep(&self) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let (metrics, keyring) = (self.metrics.clone(), Arc::clone(&self.keyring));
        let door = Arc::clone(&self.door);
        tasks.spawn(async move {
            let mut ticks = tokio::time::interval(UPKEEP_EVERY);
            loop {
                ticks.tick().await;
                metrics.upkeep();
                keyring.forget_idle();
                door.forget_idle();
            }
        });
        let giving = Arc::clone(&self.giving);
        tasks.spawn(async move {
            let mut ticks = tokio::time::interval(CLAIMS_EVERY);
            loop {
                ticks.tick().await;
                giving.forget_idle();
                if let Err(error) = giving.look_up_claims().await {
                    tracing::warn!(%error, "failed to look up what became of gifts");
                }
            }
        });
        let (store, webhooks) = (self.store.clone(), Arc::clone(&self.webhooks.0));
        tasks.spawn(async move {
            let mut ticks = tokio::time::interval(FORGET_EVERY);
            loop {
                ticks.tick().await;
                let now = clock::now();
                if let Err(error) = store.forget_expired(now).await {
                    tracing::warn!(%error, "failed to forget sessions that have ended");
                }
                let long_ago = now - emotes::DELETED_KEPT_FOR;
                if let Err(error) = store.forget_deleted_emotes(long_ago).await {
                    tracing::warn!(%error, "failed to forget emotes that were deleted");
                }
                if let Err(error) = webhooks.forget_old(now).await {
                    tracing::warn!(%error, "failed to forget deliveries of webhooks");
                }
            }
        });
        if let Some(certificate) = self.certificate.clone() {
            tasks.spawn(certificate.keep_fresh());
        }
        tasks.spawn(Arc::clone(&self.payments).keep_sweeping());
        let thumbnails = Arc::clone(&self.thumbnails);
        tasks.spawn(async move { thumbnails.look_for_decoder().await });
        tasks
    }
}

fn proxies(config: &Config, listener: &str) -> anyhow::Result<http::Proxies> {
    Ok(http::Proxies {
        trusted: Arc::new(config.trusted_proxies().map_err(anyhow::Error::msg)?),
        proxy_protocol: config.proxy_protocol.iter().any(|name| name == listener),
    })
}

/// The certificate of the https listener, if that is on.
fn certificate(config: &Config) -> anyhow::Result<Option<Arc<Certificate>>> {
    if config.https.listen.is_empty() {
        return Ok(None);
    }
    let files = if config.https.certificate.is_empty() {
        let files = tls::Files::self_signed(config.data_dir());
        let public = config.public_origin();
        let host = public.as_deref().and_then(public_host);
        files.ensure_self_signed(&tls::self_signed_names(host.as_deref()))?;
        files
    } else {
        tls::Files {
            certificate: (&config.https.certificate).into(),
            key: (&config.https.key).into(),
        }
    };
    Certificate::load(files).map(Some)
}

async fn bind_https(
    config: &Config,
    certificate: Option<&Arc<Certificate>>,
) -> anyhow::Result<Option<http::Server>> {
    let Some(certificate) = certificate else {
        return Ok(None);
    };
    let server = http::Server::bind(
        "https.listen",
        &config.https.listen,
        config.http.clone(),
        proxies(config, "https")?,
        Some(certificate),
    );
    server.await.map(Some)
}

/// What has to end.
struct Ending {
    ingest: JoinHandle<()>,
    packagers: JoinHandle<()>,
    play: Arc<Play>,
    webrtc: Option<Arc<sfu::Service>>,
    chat: Arc<chat::Service>,
    farewell: Duration,
    http_end: DrainSignal,
    http: [Option<JoinHandle<()>>; 2],
    history_end: DrainSignal,
    /// What notes to the end what happens.
    history: [JoinHandle<()>; 2],
}

impl Ending {
    async fn in_order(self) {
        // A task that panicked has been logged by its panic; the rest still ends in order.
        if let Some(webrtc) = self.webrtc {
            let _ = tokio::task::spawn_blocking(move || webrtc.end()).await;
        }
        let _ = self.ingest.await;
        let _ = self.packagers.await;
        // What is live has ended by now, and its viewers are told that.
        let play = self.play;
        let viewers = tokio::task::spawn_blocking(move || play.drain());
        tokio::time::sleep(self.farewell).await;
        let _ = viewers.await;
        // What cannot be given up is taken over by others a few seconds later.
        let _ = tokio::time::timeout(LEAVE_WITHIN, self.chat.leave()).await;
        self.http_end.drain();
        for listener in self.http.into_iter().flatten() {
            let _ = listener.await;
        }
        self.history_end.drain();
        for notes in self.history {
            let _ = notes.await;
        }
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

pub(crate) fn make_private_dir(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("failed to make the data directory {}", path.display()))
}

/// Which node of a cluster this is.
fn node_id(data_dir: &Path) -> anyhow::Result<NodeId> {
    let path = data_dir.join("node.id");
    let what = || format!("failed to read {}", path.display());
    match std::fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().with_context(what),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let node = NodeId::new();
            private_file::create(&path, format!("{node}\n").as_bytes()).with_context(what)?;
            Ok(node)
        }
        Err(error) => Err(error).with_context(what),
    }
}

pub(crate) fn lock(data_dir: &Path) -> anyhow::Result<File> {
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

/// Opens the ledger, where the database is.
async fn open_ledger(
    config: &Config,
    cluster: &Cluster,
    server_key: &ServerKey,
) -> anyhow::Result<Arc<Ledger>> {
    let place = gifts::Place::load(config.data_dir(), ledger::postgres_url(config)).await?;
    let key = ledger::seal_key(server_key);
    Ledger::open(place, cluster.clone(), config.gifts.clone(), key).await
}

/// Opens the database, brings it up to date, and reads the server's key.
///
/// # Errors
/// When either cannot be had.
pub(crate) async fn open_store(config: &Config) -> anyhow::Result<(Store, ServerKey)> {
    let data_dir = config.data_dir();
    let server_key = ServerKey::load_or_create(&data_dir.join("server.key"))?;
    let database = Database::connect(&config.database, data_dir).await?;
    database.migrate(&api::MIGRATIONS).await?;
    Ok((Store::new(database), server_key))
}
