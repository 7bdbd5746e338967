//! Somebody in the room who gives nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::giver::{SUBPROTOCOL, told};
use crate::place::Place;

/// How long what is on its way is waited for, and how often it is looked.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// By their numbers in the ledger, when gifts were seen first, and how often.
pub(crate) type Seen = BTreeMap<u64, (Instant, u64)>;

/// Watches until it is dropped.
#[derive(Debug)]
pub(crate) struct Watcher {
    seen: Arc<Mutex<Seen>>,
    watching: JoinHandle<anyhow::Result<()>>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

impl Watcher {
    pub(crate) async fn join(place: &Place) -> anyhow::Result<Self> {
        let mut request = place.url.as_str().into_client_request()?;
        let protocol = SUBPROTOCOL.parse().context("a subprotocol")?;
        request
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", protocol);
        let socket = TcpStream::connect(place.address).await?;
        let (socket, _) = tokio_tungstenite::client_async(request, socket).await?;
        let seen = Arc::<Mutex<Seen>>::default();
        let watching = tokio::spawn(watch(socket, Arc::clone(&seen)));
        Ok(Self { seen, watching })
    }

    /// What was seen, once all of these were, or none of them comes any more.
    pub(crate) async fn until_seen(
        &self,
        wanted: impl Iterator<Item = u64> + Clone,
    ) -> anyhow::Result<Seen> {
        let began = Instant::now();
        loop {
            let seen = self.seen().clone();
            if wanted.clone().all(|seq| seen.contains_key(&seq)) || began.elapsed() > PATIENCE {
                return Ok(seen);
            }
            anyhow::ensure!(
                !self.watching.is_finished(),
                "the server ended the watcher's connection"
            );
            sleep(LOOK_EVERY).await;
        }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn watch(
    mut socket: WebSocketStream<TcpStream>,
    seen: Arc<Mutex<Seen>>,
) -> anyhow::Result<()> {
    while let Some(message) = socket.next().await {
        let (told, now) = (told(message?)?, Instant::now());
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        for told in told {
            if let (Some("gift"), Some(seq)) = (told["t"].as_str(), told["seq"].as_u64()) {
                seen.entry(seq).or_insert((now, 0)).1 += 1;
            }
        }
    }
    Ok(())
}
