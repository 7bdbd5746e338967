//! Notes when broadcasts begin and end.

use kit::bus::Bus;
use kit::drain::Drain;
use media::WallTime;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use wire::Event;

use crate::store::Store;

/// Listens to `bus` until the end, and notes the rest before it returns.
pub fn record(store: Store, bus: &Bus, drain: Drain) -> impl Future<Output = ()> + use<> {
    // Subscribed now, not at the first poll: what begins in between would be missed.
    let events = bus.subscribe();
    run(store, events, drain)
}

async fn run(store: Store, mut events: Receiver<Event>, mut drain: Drain) {
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = drain.signaled() => break,
        };
        match event {
            Ok(event) => note(&store, &event).await,
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "the database is too slow to note every broadcast");
            }
            Err(RecvError::Closed) => return,
        }
    }
    loop {
        match events.try_recv() {
            Ok(event) => note(&store, &event).await,
            Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => return,
        }
    }
}

async fn note(store: &Store, event: &Event) {
    let done = match event {
        Event::BroadcastStarted {
            channel,
            broadcast,
            at,
        } => {
            store
                .broadcast_began(*broadcast, *channel, WallTime::from_micros(*at))
                .await
        }
        Event::BroadcastEnded { broadcast, at, .. } => {
            store
                .broadcast_ended(*broadcast, WallTime::from_micros(*at))
                .await
        }
        Event::PublisherLost { .. } | Event::PublisherReturned { .. } => Ok(()),
    };
    if let Err(error) = done {
        // The stream plays on; only its entry in the history is missing.
        tracing::error!(%error, ?event, "failed to note a broadcast");
    }
}
