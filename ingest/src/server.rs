//! The RTMP listener, and one task a connection: read, core, write.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use kit::bus::Bus;
use kit::drain::Drain;
use kit::proxies::TrustedProxies;
use kit::proxy_protocol;
use kit::stream::{Broadcast, Protocol, Streams};
use kit::telemetry::LogBudget;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::Instrument as _;
use wire::StreamId;

use crate::config::{Config, RtmpConfig};
use crate::gate::{self, PublishGate};
use crate::play::start::split_name;
use crate::play::{self, Play};
use crate::publisher::{self, Publisher};
use crate::stage::Leaving;
use crate::theatre::{Exit, Theatre, Why};
use rtmp_core::StreamKey;
use rtmp_core::session::{self, Closed, Event, Output, PlayRefusal, Reason, Refusal, Session};

/// The application publishers connect to: `rtmp://HOST/live`.
const APP: &str = "live";

/// One read takes at most this much off a socket; a second of 4 Mbit/s fits.
const READ_BYTES: usize = 64 * 1024;

/// How long a write may take. Answers are small, so a peer that takes none is not there.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long, and how much, is still read from a peer that was told to go: closing a socket with
/// unread bytes in it would take back what the peer was told.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 4 * 1024 * 1024;

/// How long to wait before accepting again when the system is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Lines about peers that were refused before they published.
static REFUSALS: LogBudget = LogBudget::new();

/// An open RTMP listener.
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
}

struct Shared {
    rtmp: RtmpConfig,
    session: session::Config,
    gate: Arc<dyn PublishGate>,
    theatre: Arc<Theatre>,
    play: Arc<Play>,
    connections: Mutex<HashMap<IpAddr, usize>>,
    /// Our own proxies, if their connections begin with a PROXY header.
    proxies: Option<Arc<TrustedProxies>>,
}

impl Server {
    /// Opens the listener.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn bind(
        rtmp: RtmpConfig,
        config: Config,
        gate: Arc<dyn PublishGate>,
        streams: Arc<Streams>,
        play: Arc<Play>,
        bus: Bus,
        proxies: Option<Arc<TrustedProxies>>,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(&rtmp.listen).await.with_context(|| {
            format!(
                "failed to listen on rtmp.listen = {} (is another server running?)",
                rtmp.listen
            )
        })?;
        begin_counts();
        let limits = session::Limits {
            publish_within: Duration::from_millis(rtmp.handshake_timeout_ms),
            silent_max: config.silence(),
            ..session::Limits::default()
        };
        let shared = Shared {
            rtmp,
            session: session::Config {
                limits,
                apps: vec![APP.to_owned()],
            },
            gate,
            theatre: Arc::new(Theatre::new(config, streams, bus)),
            play,
            connections: Mutex::default(),
            proxies,
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

    /// Where its publishers come on stage.
    pub fn theatre(&self) -> Arc<Theatre> {
        Arc::clone(&self.shared.theatre)
    }

    /// Serves publishers until the end is signalled; then tells each, and ends every broadcast.
    pub async fn run(self, mut drain: Drain) {
        let mut tasks = JoinSet::new();
        let timekeeper = Arc::clone(&self.shared);
        let timekeeper_drain = drain.clone();
        tasks.spawn(async move { timekeeper.theatre.keep_time(timekeeper_drain).await });
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                // Reaps what has ended, so that the set holds live connections alone.
                Some(_) = tasks.join_next() => continue,
                () = drain.signaled() => break,
            };
            match accepted {
                Ok((stream, peer)) if self.shared.is_proxied(peer) => {
                    let (shared, drain) = (Arc::clone(&self.shared), drain.clone());
                    tasks.spawn(shared.serve_proxied(stream, peer, drain));
                }
                Ok((stream, peer)) => {
                    if let Some(slot) = Slot::take(&self.shared, peer) {
                        tasks.spawn(Connection::serve(stream, slot, drain.clone()));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to accept an RTMP connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        while tasks.join_next().await.is_some() {}
        self.shared.theatre.close();
    }
}

impl Shared {
    fn is_proxied(&self, peer: SocketAddr) -> bool {
        self.proxies
            .as_ref()
            .is_some_and(|proxies| proxies.contain(peer.ip()))
    }

    /// Serves a connection that one of our own proxies makes for somebody.
    async fn serve_proxied(
        self: Arc<Self>,
        mut stream: TcpStream,
        proxy: SocketAddr,
        mut drain: Drain,
    ) {
        let client = tokio::select! {
            client = proxy_protocol::read(&mut stream) => client,
            () = drain.signaled() => return,
        };
        match client {
            Ok(client) => {
                if let Some(slot) = Slot::take(&self, client.unwrap_or(proxy)) {
                    Connection::serve(stream, slot, drain).await;
                }
            }
            Err(error) => {
                tracing::info!(client.addr = %proxy, %error, "refused an RTMP connection of a proxy");
            }
        }
    }
}

/// A connection's place among those that are allowed at once.
struct Slot {
    shared: Arc<Shared>,
    peer: SocketAddr,
}

impl Slot {
    fn take(shared: &Arc<Shared>, peer: SocketAddr) -> Option<Self> {
        let mut connections = shared
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let total: usize = connections.values().sum();
        let here = connections.get(&peer.ip()).copied().unwrap_or(0);
        let reason = if total >= shared.rtmp.max_connections {
            "rtmp.max_connections"
        } else if here >= shared.rtmp.max_connections_per_address {
            "rtmp.max_connections_per_address"
        } else {
            *connections.entry(peer.ip()).or_default() += 1;
            metrics::gauge!("barrage_rtmp_connections").increment(1);
            return Some(Self {
                shared: Arc::clone(shared),
                peer,
            });
        };
        metrics::counter!("barrage_rtmp_refused_total", "reason" => "connections").increment(1);
        if let Some(left_out) = REFUSALS.take(Instant::now()) {
            tracing::info!(
                client.addr = %peer,
                limit = reason,
                left_out,
                "refused an RTMP connection: too many"
            );
        }
        None
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let connections = &self.shared.connections;
        let mut connections = connections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = connections.get_mut(&self.peer.ip()) {
            *here -= 1;
            if *here == 0 {
                connections.remove(&self.peer.ip());
            }
        }
        metrics::gauge!("barrage_rtmp_connections").decrement(1);
    }
}

/// One publisher's connection, or one player's until it plays.
struct Connection {
    stream: TcpStream,
    slot: Slot,
    session: Session,
    began: Instant,
    stream_id: StreamId,
    /// Told when the publisher has to go.
    exit: Arc<Exit>,
    on_stage: Option<Publisher>,
    /// What it plays from here on, as a shard's matter.
    plays: Option<(Arc<Broadcast>, play::Start)>,
}

/// What the connection waited for.
enum Wake {
    Read(std::io::Result<usize>),
    Timeout,
    ToldToGo(Why),
    Drain,
}

impl Connection {
    fn serve(stream: TcpStream, slot: Slot, drain: Drain) -> impl Future<Output = ()> + Send {
        let span = tracing::info_span!("rtmp", client.addr = %slot.peer);
        Self::converse(stream, slot, drain).instrument(span)
    }

    async fn converse(stream: TcpStream, slot: Slot, drain: Drain) {
        // Answers go out in one write each; Nagle would hold every second one back for 40 ms.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "the connection broke at once");
            return;
        }
        let session = Session::new(slot.shared.session.clone(), rand::random());
        let mut connection = Self {
            stream,
            slot,
            session,
            began: Instant::now(),
            stream_id: StreamId::new(),
            exit: Arc::default(),
            on_stage: None,
            plays: None,
        };
        connection.run(drain).await;
        if let Some((broadcast, start)) = connection.plays.take() {
            return connection.hand_over(&broadcast, start).await;
        }
        connection.leave(Leaving::Vanished);
        connection.linger().await;
    }

    /// Returns when the connection is to be closed.
    async fn run(&mut self, mut drain: Drain) {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            // 1. Everything the core has to say.
            while let Some(output) = self.session.poll_output() {
                if self.perform(output).await.is_break() {
                    return;
                }
            }
            // 2. Wait for something to happen.
            let deadline = self.session.poll_timeout().map(|at| self.began + at);
            let wake = tokio::select! {
                read = self.stream.read(&mut buffer) => Wake::Read(read),
                () = sleep_until(deadline) => Wake::Timeout,
                why = self.exit.told() => Wake::ToldToGo(why),
                () = drain.signaled() => Wake::Drain,
            };
            // 3. Tell the core.
            if self.tell(wake, &buffer).is_break() {
                return;
            }
        }
    }

    fn tell(&mut self, wake: Wake, buffer: &[u8]) -> ControlFlow<()> {
        let now = self.began.elapsed();
        match wake {
            Wake::Read(Ok(0)) => {
                tracing::debug!("the peer closed the connection");
                return ControlFlow::Break(());
            }
            Wake::Read(Ok(length)) => {
                metrics::counter!("barrage_rtmp_received_bytes_total").increment(length as u64);
                if let Err(error) = self.session.handle_input(now, &buffer[..length]) {
                    return refused(&error);
                }
            }
            Wake::Read(Err(error)) => {
                // Of those who are on stage, the theatre tells that they vanished.
                tracing::debug!(%error, "the connection broke");
                return ControlFlow::Break(());
            }
            Wake::Timeout => self.session.handle_timeout(now),
            Wake::ToldToGo(Why::TakenOver) => {
                self.leave(Leaving::Finished);
                self.session.close(Reason::TakenOver);
            }
            Wake::ToldToGo(Why::ShownOut(reason)) => {
                self.leave(Leaving::ShownOut);
                self.session.close_saying(Reason::Ended, &reason);
            }
            Wake::ToldToGo(Why::Ended(reason)) => {
                self.leave(Leaving::Finished);
                self.session.close_saying(Reason::Ended, &reason);
            }
            Wake::Drain => {
                self.leave(Leaving::Drained);
                self.session.close(Reason::ShuttingDown);
            }
        }
        ControlFlow::Continue(())
    }

    async fn perform(&mut self, output: Output) -> ControlFlow<()> {
        match output {
            Output::Transmit(bytes) => self.write(&bytes).await,
            Output::Event(event) => self.act(event).await,
        }
    }

    async fn write(&mut self, bytes: &Bytes) -> ControlFlow<()> {
        match timeout(WRITE_TIMEOUT, self.stream.write_all(bytes)).await {
            Ok(Ok(())) => ControlFlow::Continue(()),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the connection broke");
                ControlFlow::Break(())
            }
            Err(_) => {
                tracing::info!("the peer takes no answers");
                ControlFlow::Break(())
            }
        }
    }

    async fn act(&mut self, event: Event) -> ControlFlow<()> {
        match event {
            Event::Connected {
                app,
                tc_url: _,
                encoder,
            } => {
                tracing::debug!(app, encoder, "connected");
            }
            Event::PublishRequested { app: _, key } => return self.publish(key).await,
            Event::PlayRequested { app: _, name } => return self.play(&name),
            // Only of those who play, whom the shards hear.
            Event::Paused(_) | Event::PlayStopped => {}
            Event::Metadata(metadata) => return self.feed(|on_stage| on_stage.metadata(&metadata)),
            Event::UnreadableMetadata(error) => {
                tracing::warn!(%error, "the publisher's metadata cannot be read");
            }
            Event::Video { timestamp, body } => {
                return self.feed(|on_stage| on_stage.video(timestamp, &body));
            }
            Event::Audio { timestamp, body } => {
                return self.feed(|on_stage| on_stage.audio(timestamp, &body));
            }
            Event::Unpublished => {
                tracing::info!("the publisher is done");
                self.leave(Leaving::Finished);
            }
            Event::Closed(why) => {
                if let Closed::UnknownApp | Closed::PlayRefused | Closed::Refused(_) = why {
                    metrics::counter!("barrage_rtmp_refused_total", "reason" => "publish")
                        .increment(1);
                }
                self.tell_closed(why);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    /// A publisher's end is always told; that of somebody who never was one as often as the budget
    /// allows.
    fn tell_closed(&self, why: Closed) {
        let reason = closing_reason(why);
        if let Some(publisher) = &self.on_stage {
            let broadcast = publisher.broadcast();
            tracing::info!(
                reason,
                channel = %broadcast.handle,
                broadcast.id = %broadcast.id,
                "closing the connection"
            );
        } else if let Some(left_out) = REFUSALS.take(Instant::now()) {
            tracing::info!(reason, left_out, "closing the connection");
        }
    }

    async fn publish(&mut self, key: StreamKey) -> ControlFlow<()> {
        let authorized = self
            .slot
            .shared
            .gate
            .authorize(&key.key, self.slot.peer)
            .await;
        let entered = match &authorized {
            Ok(permit) => self
                .slot
                .shared
                .theatre
                .enter(
                    permit,
                    self.slot.peer.ip(),
                    self.stream_id,
                    &self.exit,
                    Protocol::Rtmp,
                )
                .map_err(|taken| (Refusal::InUse, taken.to_string())),
            Err(refusal) => Err((refusal_for(*refusal), refusal.to_string())),
        };
        match entered {
            Ok(publisher) => {
                let broadcast = publisher.broadcast();
                tracing::info!(
                    channel = %broadcast.handle,
                    broadcast.id = %broadcast.id,
                    stream.id = %self.stream_id,
                    "on stage"
                );
                self.on_stage = Some(publisher);
                if let Err(error) = self.session.accept_publish(self.began.elapsed()) {
                    return refused(&error);
                }
            }
            Err((refusal, reason)) => {
                let channel = authorized.as_ref().ok().map(|permit| &permit.handle);
                if let Some(left_out) = REFUSALS.take(Instant::now()) {
                    tracing::info!(
                        reason,
                        channel = channel.map(tracing::field::display),
                        left_out,
                        "refused a publisher"
                    );
                }
                self.session.refuse_publish(refusal);
            }
        }
        ControlFlow::Continue(())
    }

    /// Lets the peer play what is live under that name.
    fn play(&mut self, name: &str) -> ControlFlow<()> {
        let (handle, start) = split_name(name);
        let Some(broadcast) = self.slot.shared.play.find(handle) else {
            self.session.refuse_play(PlayRefusal::NotFound);
            return ControlFlow::Continue(());
        };
        if let Err(error) = self.session.accept_play(self.began.elapsed()) {
            return refused(&error);
        }
        self.plays = Some((broadcast, start));
        ControlFlow::Break(())
    }

    async fn hand_over(self, broadcast: &Arc<Broadcast>, start: play::Start) {
        let play = Arc::clone(&self.slot.shared.play);
        let player = play::rtmp::Player {
            socket: self.stream,
            session: self.session,
            began: self.began,
            client: self.slot.peer,
            slot: Box::new(self.slot),
        };
        if let Err(error) = play.serve_rtmp(player, broadcast, start).await {
            tracing::debug!(%error, "the connection broke");
        }
    }

    /// Gives the publisher something to take, and shows it out if it has to go.
    fn feed(
        &mut self,
        take: impl FnOnce(&mut Publisher) -> Result<(), publisher::Error>,
    ) -> ControlFlow<()> {
        let Some(on_stage) = &mut self.on_stage else {
            return ControlFlow::Continue(());
        };
        let Err(error) = take(on_stage) else {
            return ControlFlow::Continue(());
        };
        // Whoever took over has been told to us too; the core says so in its own words.
        let reason = if error.is_off_stage() {
            Reason::TakenOver
        } else {
            Reason::Unsupported
        };
        metrics::counter!("barrage_rtmp_refused_total", "reason" => "media").increment(1);
        tracing::warn!(%error, "the publisher has to go");
        self.leave(Leaving::Unusable);
        self.session.close_saying(reason, &error.to_string());
        ControlFlow::Continue(())
    }

    fn leave(&mut self, how: Leaving) {
        if let Some(publisher) = self.on_stage.take() {
            self.slot
                .shared
                .theatre
                .leave(publisher.broadcast(), self.stream_id, how);
        }
    }

    /// Lets the peer read what it was told before the socket goes.
    async fn linger(mut self) {
        if self.stream.shutdown().await.is_err() {
            return;
        }
        let mut buffer = vec![0; READ_BYTES];
        let drained = async {
            let mut total = 0;
            while let Ok(length @ 1..) = self.stream.read(&mut buffer).await {
                total += length;
                if total > LINGER_BYTES {
                    return;
                }
            }
        };
        // A peer that keeps sending is cut off.
        let _ = timeout(LINGER, drained).await;
    }
}

/// Tells every count from the start, so that a graph begins at zero and not at the first event.
fn begin_counts() {
    for reason in ["connections", "publish", "protocol", "media"] {
        metrics::counter!("barrage_rtmp_refused_total", "reason" => reason).increment(0);
    }
    metrics::counter!("barrage_rtmp_received_bytes_total").increment(0);
    metrics::counter!("barrage_ingest_dropped_frames_total").increment(0);
    metrics::gauge!("barrage_rtmp_connections").set(0.0);
}

fn refused(error: &session::Error) -> ControlFlow<()> {
    metrics::counter!("barrage_rtmp_refused_total", "reason" => "protocol").increment(1);
    if let Some(left_out) = REFUSALS.take(Instant::now()) {
        tracing::warn!(%error, left_out, "the peer broke the protocol");
    }
    ControlFlow::Break(())
}

const fn refusal_for(refusal: gate::Refusal) -> Refusal {
    match refusal {
        gate::Refusal::UnknownKey => Refusal::InvalidKey,
        gate::Refusal::NotAllowed => Refusal::NotAllowed,
        gate::Refusal::TooManyAttempts | gate::Refusal::Unavailable => Refusal::Busy,
    }
}

const fn closing_reason(why: Closed) -> &'static str {
    match why {
        Closed::UnknownApp => "connected to an application that is not served",
        Closed::PlayRefused => "wanted to play what is not live",
        Closed::Refused(Refusal::InvalidKey) => "refused: the stream key is not valid",
        Closed::Refused(Refusal::InUse) => "refused: somebody else publishes",
        Closed::Refused(Refusal::NotAllowed) => "refused: the channel may not publish",
        Closed::Refused(Refusal::Busy) => "refused for now",
        Closed::Ended(Reason::ShuttingDown) => "the server ends",
        Closed::Ended(Reason::TakenOver) => "another publisher took over",
        Closed::Ended(Reason::Ended) => "ended by hand",
        Closed::Ended(Reason::Unsupported) => "sends what cannot be carried",
        Closed::Ended(Reason::PublishTimeout) => "did not publish in time",
        Closed::Ended(Reason::Silent) => "sent nothing for too long",
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
