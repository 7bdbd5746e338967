//! Notes when broadcasts begin, go on and end, and what a server that was killed left open.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kit::bus::Bus;
use kit::clock;
use kit::drain::Drain;
use kit::stream::{Broadcast, Phase, Streams};
use media::{MediaTime, WallTime};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::MissedTickBehavior;
use wire::{Ended, Event, NodeId};

use crate::store::Store;
use crate::store::broadcasts::OpenBroadcast;

/// How often it is noted that broadcasts go on.
const SEEN_EVERY: Duration = Duration::from_secs(5);

/// Who notes, and what of others.
#[derive(Clone, Copy, Debug)]
pub struct Recorder {
    /// This node.
    pub node: NodeId,
    /// Where there are other nodes, how long their publishers may be away: it ends what they forsake.
    pub others: Option<Duration>,
}

/// Listens to `bus` until the end, and notes the rest before it returns.
pub fn record(
    store: Store,
    streams: Arc<Streams>,
    bus: Bus,
    drain: Drain,
    recorder: Recorder,
) -> impl Future<Output = ()> + use<> {
    // Subscribed now, not at the first poll: what begins in between would be missed.
    let events = bus.subscribe();
    run(store, streams, bus, events, drain, recorder)
}

/// What a server that was killed left open.
#[derive(Debug, Default)]
pub struct LeftOpen {
    /// Broadcasts that go on if their publishers return.
    pub taken_up: Vec<Broadcast>,
    /// Word of those that are over, for everybody else to hear.
    pub over: Vec<Event>,
}

/// The broadcasts that a server which was killed left open (`of`: only that node), if that was no longer ago than `grace`;
/// older ones are closed as of when they were last seen.
///
/// # Errors
/// When the database fails.
pub async fn take_up(
    store: &Store,
    now: WallTime,
    grace: Duration,
    of: Option<NodeId>,
) -> sqlx::Result<LeftOpen> {
    let (mut left, mut channels) = (LeftOpen::default(), HashSet::new());
    for open in store.open_broadcasts(of).await? {
        let recent = !grace.is_zero() && open.seen_at + SEEN_EVERY + grace >= now;
        // A channel has one at most; an older one of it is what could not be noted when it ended.
        if recent && channels.insert(open.channel) {
            left.taken_up.push(left_at(open, now));
        } else {
            store
                .broadcast_ended(open.id, open.seen_at, Ended::ServerLost)
                .await?;
            left.over.push(lost(&open));
            tracing::warn!(
                broadcast.id = %open.id,
                channel = %open.handle,
                "closed a broadcast that a server which was killed had left open"
            );
        }
    }
    Ok(left)
}

fn lost(open: &OpenBroadcast) -> Event {
    Event::BroadcastEnded {
        channel: open.channel,
        broadcast: open.id,
        at: open.seen_at.as_micros(),
        how: Ended::ServerLost,
    }
}

fn left_at(open: OpenBroadcast, now: WallTime) -> Broadcast {
    let micros = |us: i64| Duration::from_micros(u64::try_from(us).unwrap_or(0));
    let age = micros(now.since(open.began_at));
    // A publisher that was ahead of the clock will be so again.
    let ahead = micros((open.began_at + open.edge).since(open.seen_at));
    Broadcast::new(open.id, open.channel, open.handle, open.began_at)
        .taken_up(age, open.edge.max(MediaTime::ZERO + age + ahead))
}

async fn run(
    store: Store,
    streams: Arc<Streams>,
    bus: Bus,
    mut events: Receiver<Event>,
    mut drain: Drain,
    Recorder { node, others }: Recorder,
) {
    let mut beats = tokio::time::interval(SEEN_EVERY);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            _ = beats.tick() => {
                note_seen(&store, &streams).await;
                if let Some(grace) = others {
                    end_forsaken(&store, &bus, grace, node).await;
                }
                continue;
            }
            () = drain.signaled() => break,
        };
        match event {
            Ok(event) => note(&store, &event, node).await,
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "the database is too slow to note every broadcast");
            }
            Err(RecvError::Closed) => return,
        }
    }
    loop {
        match events.try_recv() {
            Ok(event) => note(&store, &event, node).await,
            Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => return,
        }
    }
}

async fn note(store: &Store, event: &Event, node: NodeId) {
    let done = match event {
        Event::BroadcastStarted {
            channel,
            broadcast,
            at,
        } => {
            store
                .broadcast_began(*broadcast, *channel, WallTime::from_micros(*at), node)
                .await
        }
        Event::BroadcastEnded {
            broadcast, at, how, ..
        } => {
            store
                .broadcast_ended(*broadcast, WallTime::from_micros(*at), *how)
                .await
        }
        Event::PublisherLost { .. }
        | Event::PublisherReturned { .. }
        | Event::Followed { .. }
        | Event::EmotesChanged { .. } => Ok(()),
    };
    if let Err(error) = done {
        // The stream plays on; only its entry in the history is missing.
        tracing::error!(%error, ?event, "failed to note a broadcast");
    }
}

/// Ends broadcasts of nodes that do not return.
async fn end_forsaken(store: &Store, bus: &Bus, grace: Duration, node: NodeId) {
    // A node that was killed may wait for its publishers once more when it returns.
    let patience = 2 * grace + 3 * SEEN_EVERY;
    let patience = i64::try_from(patience.as_micros()).unwrap_or(i64::MAX);
    let before = WallTime::from_micros(clock::now().as_micros().saturating_sub(patience));
    match store.end_forsaken(before, node).await {
        Ok(ended) => {
            for open in ended {
                tracing::warn!(
                    broadcast.id = %open.id,
                    channel = %open.handle,
                    "ended a broadcast whose node does not return"
                );
                bus.publish(lost(&open));
            }
        }
        Err(error) => tracing::debug!(%error, "nobody knows what other nodes have left"),
    }
}

async fn note_seen(store: &Store, streams: &Streams) {
    let edges: Vec<_> = streams
        .all()
        .iter()
        .filter(|broadcast| broadcast.phase() == Phase::Live)
        .map(|broadcast| (broadcast.id, broadcast.edge()))
        .collect();
    if edges.is_empty() {
        return;
    }
    if let Err(error) = store.broadcasts_go_on(clock::now(), &edges).await {
        // After a crash within the next seconds they would be taken for older than they are.
        tracing::warn!(%error, "failed to note that broadcasts go on");
    }
}
