//! The listener for pages, API and HLS: accepts, bounds and drains connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::ConnectInfo;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use kit::drain::Drain;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt as _;

use crate::config::HttpConfig;

/// Longest request head.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// How long to wait before accepting again when the system is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// An open listener.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    config: HttpConfig,
}

impl Server {
    /// Opens the listener.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn bind(config: HttpConfig) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(&config.listen).await.with_context(|| {
            format!(
                "failed to listen on http.listen = {} (is another server running?)",
                config.listen
            )
        })?;
        // Told from the start, so that a graph begins at zero.
        metrics::counter!("barrage_http_connections_refused_total").increment(0);
        Ok(Self { listener, config })
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
    pub async fn run(self, router: Router, mut drain: Drain) {
        let slots = Arc::new(Semaphore::new(self.config.max_connections));
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = drain.signaled() => break,
            };
            match accepted {
                Ok((stream, peer)) => match Arc::clone(&slots).try_acquire_owned() {
                    Ok(slot) => self.serve(stream, peer, slot, &router, &graceful),
                    // Dropping the stream closes it; a client that is told nothing tries again.
                    Err(_) => {
                        metrics::counter!("barrage_http_connections_refused_total").increment(1)
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

    fn serve(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        slot: OwnedSemaphorePermit,
        router: &Router,
        graceful: &GracefulShutdown,
    ) {
        // Parts and playlists are small and awaited: Nagle's delay would add to every one.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let service = router
            .clone()
            .map_request(move |mut request: http::Request<_>| {
                request.extensions_mut().insert(ConnectInfo(peer));
                request.map(axum::body::Body::new)
            });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(self.config.head_timeout_ms))
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(client.addr = %peer, %error, "an HTTP connection broke");
            }
            drop(slot);
        });
    }
}
