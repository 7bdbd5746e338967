//! The listeners for pages, API and media, plain and over TLS: accept, bound and drain connections,
//! and find out who asks for what.

mod client;
mod first_look;
mod impatient;
mod punctual;
mod rewound;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::Router;
use axum::extract::ConnectInfo;
use axum::middleware::from_fn;
use fanout::shard::bound_unsent;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use ingest::Play;
use kit::client::Client;
use kit::drain::Drain;
use kit::proxies::TrustedProxies;
use kit::proxy_protocol;
use kit::telemetry::LogBudget;
use kit::tls::Certificate;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::config::HttpConfig;
use crate::{flv, rooms};
use client::Told;
use first_look::First;
pub(crate) use first_look::websocket_key;
use impatient::Impatient;
use rewound::Rewound;

/// Longest request head, and longest decoded header list of HTTP/2.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// Requests under way at once on one HTTP/2 connection. A viewer has a handful.
const MAX_STREAMS: u32 = 128;

/// How often a silent HTTP/2 connection is asked whether its peer is there, and how long it may
/// take to answer.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_WITHIN: Duration = Duration::from_secs(15);

/// How long a TLS handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// How long to wait before accepting again when the system is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Lines about clients that were refused.
pub(crate) static REFUSALS: LogBudget = LogBudget::new();

/// An open listener.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
}

/// What every connection of a listener needs.
struct Shared {
    config: HttpConfig,
    proxies: Proxies,
    tls: Option<TlsAcceptor>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

/// Who serves sockets whole.
#[derive(Clone, Debug)]
pub struct Roles {
    /// Live streams.
    pub play: Arc<Play>,
    /// Rooms.
    pub chat: Arc<chat::Service>,
}

/// Who may say for whom they ask.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// Our own proxies.
    pub trusted: Arc<TrustedProxies>,
    /// Whether their connections to this listener begin with a PROXY header.
    pub proxy_protocol: bool,
}

impl Server {
    /// Opens a listener; `name` is what its setting is called.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn bind(
        name: &str,
        listen: &str,
        config: HttpConfig,
        proxies: Proxies,
        certificate: Option<&Arc<Certificate>>,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(listen).await.with_context(|| {
            format!("failed to listen on {name} = {listen} (is another server running?)")
        })?;
        let tls = certificate
            .map(|certificate| certificate.server_config(&["h2", "http/1.1"]))
            .transpose()?
            .map(TlsAcceptor::from);
        // Told from the start, so that a graph begins at zero.
        metrics::counter!("barrage_http_connections_refused_total").increment(0);
        let shared = Shared {
            config,
            proxies,
            tls,
        };
        Ok(Self {
            listener,
            shared: Arc::new(shared),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn local_addr(&self) -> anyhow::Result<SocketAddr> {
        self.listener
            .local_addr()
            .context("failed to read the listener's address")
    }

    /// Serves `router` until the end is signalled, then lets requests that are under way finish.
    /// Every listener takes its connections from the same `slots`. Live streams and rooms on plain
    /// connections are served by `roles`.
    pub async fn run(self, router: Router, roles: Roles, slots: Arc<Semaphore>, mut drain: Drain) {
        let router = router.layer(from_fn(punctual::answer));
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = drain.signaled() => break,
            };
            match accepted {
                Ok((stream, peer)) => match Arc::clone(&slots).try_acquire_owned() {
                    Ok(slot) => {
                        let connection = Connection {
                            peer,
                            router: router.clone(),
                            roles: roles.clone(),
                            shared: Arc::clone(&self.shared),
                            slot: Slot::new(slot),
                        };
                        let graceful = graceful.watcher();
                        tokio::spawn(connection.serve(stream, graceful, drain.clone()));
                    }
                    // Dropping the stream closes it; a client that is told nothing tries again.
                    Err(_) => {
                        metrics::counter!("barrage_http_connections_refused_total").increment(1);
                        if let Some(left_out) = REFUSALS.take(Instant::now()) {
                            tracing::info!(
                                client.addr = %peer,
                                limit = "http.max_connections",
                                left_out,
                                "refused an HTTP connection: too many"
                            );
                        }
                    }
                },
                Err(error) => {
                    tracing::warn!(%error, "failed to accept an HTTP connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        graceful.shutdown().await;
    }
}

/// What a client sent that is no HTTP is told; one that merely went away, or never said anything,
/// is not.
fn tell_broken(client: SocketAddr, error: &(dyn std::error::Error + 'static)) {
    let nonsense = error
        .downcast_ref::<hyper::Error>()
        .is_some_and(|error| error.is_parse() || error.is_timeout());
    if !nonsense {
        tracing::debug!(client.addr = %client, %error, "an HTTP connection broke");
    } else if let Some(left_out) = REFUSALS.take(Instant::now()) {
        tracing::info!(client.addr = %client, %error, left_out, "refused an HTTP connection");
    }
}

/// One connection.
struct Connection {
    peer: SocketAddr,
    router: Router,
    roles: Roles,
    shared: Arc<Shared>,
    slot: Slot,
}

/// A connection's place among those that are allowed at once. Every request carries it, for those
/// that outlive their connection.
#[derive(Clone, Debug)]
pub(crate) struct Slot(Arc<Place>);

#[derive(Debug)]
struct Place {
    _permit: OwnedSemaphorePermit,
    has_stopped: AtomicBool,
}

impl Slot {
    fn new(permit: OwnedSemaphorePermit) -> Self {
        Self(Arc::new(Place {
            _permit: permit,
            has_stopped: AtomicBool::new(false),
        }))
    }

    /// The peer has stopped reading, and is given up.
    fn note_stop(&self) {
        self.0.has_stopped.store(true, Ordering::Release);
    }

    /// Whether the connection ends because its peer has stopped reading.
    pub(crate) fn has_stopped(&self) -> bool {
        self.0.has_stopped.load(Ordering::Acquire)
    }
}

impl Connection {
    async fn serve(self, mut stream: TcpStream, graceful: Watcher, mut drain: Drain) {
        // Parts and playlists are small and awaited: Nagle's delay would add to every one.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        // Without it everything works, with more memory in the system.
        let _ = bound_unsent(&stream);
        // What is not yet a connection need not be waited for when the server ends.
        let told = tokio::select! {
            told = self.greet(&mut stream) => told,
            () = drain.signaled() => return,
        };
        let Some(told) = told else { return };
        let Some(tls) = self.shared.tls.clone() else {
            return self.serve_plain(stream, told, graceful, drain).await;
        };
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(HANDSHAKE_WITHIN, tls.accept(self.impatient(stream))) => shaken,
            () = drain.signaled() => return,
        };
        match shaken {
            Ok(Ok(stream)) => self.converse(TokioIo::new(stream), told, graceful).await,
            Ok(Err(error)) => {
                tracing::debug!(client.addr = %self.peer, %error, "a TLS handshake failed");
            }
            Err(_) => tracing::debug!(client.addr = %self.peer, "a TLS handshake took too long"),
        }
    }

    /// Hands a viewer of a live stream to a shard, and everybody else to hyper.
    async fn serve_plain(
        self,
        mut stream: TcpStream,
        told: Told,
        graceful: Watcher,
        mut drain: Drain,
    ) {
        let within = Duration::from_millis(self.shared.config.head_timeout_ms);
        let looked = tokio::select! {
            looked = first_look::read(&mut stream, within) => looked,
            () = drain.signaled() => return,
        };
        let (first, read) = match looked {
            Ok(looked) => looked,
            Err(error) => {
                tracing::debug!(client.addr = %told.addr(), %error, "an HTTP connection said nothing whole");
                return;
            }
        };
        let Some(stream) = self.to_shard(first, stream, told).await else {
            return;
        };
        let io = TokioIo::new(Rewound::new(read, self.impatient(stream)));
        self.converse(io, told, graceful).await;
    }

    fn impatient(&self, stream: TcpStream) -> Impatient {
        let stall = self.roles.play.shards().limits().stall;
        Impatient::new(stream, stall, self.slot.clone())
    }

    /// Hands a connection to a shard, or gives it back.
    async fn to_shard(&self, first: First, stream: TcpStream, told: Told) -> Option<TcpStream> {
        let First::Shards(request) = first else {
            return Some(stream);
        };
        let client = told.client(&request, &self.shared.proxies.trusted);
        let slot = Box::new(self.slot.clone());
        let served = if let Some(file) = request.uri().path().strip_prefix("/live/") {
            let Some(asked) = flv::asked(&self.roles.play, file, &request) else {
                return Some(stream);
            };
            self.roles
                .play
                .serve(stream, asked, client.addr, slot)
                .await
        } else {
            let Some(request) = rooms::asked(&request, &client) else {
                return Some(stream);
            };
            // What is wrong with it is told by the router.
            let Ok(admission) = self.roles.chat.admit(&request).await else {
                return Some(stream);
            };
            admission.serve(stream, slot).await
        };
        if let Err(error) = served {
            tracing::debug!(client.addr = %client.addr, %error, "an HTTP connection broke");
        }
        None
    }

    /// Finds out who connects, before the first byte of the protocol.
    async fn greet(&self, stream: &mut TcpStream) -> Option<Told> {
        let proxies = &self.shared.proxies;
        let secure = self.shared.tls.is_some();
        if !(proxies.proxy_protocol && proxies.trusted.contain(self.peer.ip())) {
            return Some(Told::new(self.peer, secure));
        }
        match proxy_protocol::read(stream).await {
            Ok(client) => Some(Told::new(client.unwrap_or(self.peer), secure)),
            Err(error) => {
                tracing::info!(client.addr = %self.peer, %error, "refused a connection of a proxy");
                None
            }
        }
    }

    async fn converse<S>(self, io: TokioIo<S>, told: Told, graceful: Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let trusted = Arc::clone(&self.shared.proxies.trusted);
        let slot = self.slot.clone();
        let service = self
            .router
            .map_request(move |mut request: http::Request<_>| {
                let client: Client = told.client(&request, &trusted);
                request.extensions_mut().insert(ConnectInfo(client.addr));
                request.extensions_mut().insert(client);
                request.extensions_mut().insert(slot.clone());
                request.map(axum::body::Body::new)
            });
        let mut builder = Builder::new(TokioExecutor::new());
        let head_within = Duration::from_millis(self.shared.config.head_timeout_ms);
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(head_within)
            .max_buf_size(MAX_HEAD_BYTES);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD_BYTES as u32)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_WITHIN);
        let builder = if self.shared.tls.is_some() {
            builder
        } else {
            builder.http1_only()
        };
        let connection =
            builder.serve_connection_with_upgrades(io, TowerToHyperService::new(service));
        let connection = graceful.watch(connection.into_owned());
        if let Err(error) = connection.await {
            tell_broken(told.addr(), &*error);
        }
    }
}
