//! Events between services, in process.
//!
//! Delivery is best effort by design: who must not miss anything reads the registry or the
//! database after [`Lagged`](tokio::sync::broadcast::error::RecvError::Lagged).

use tokio::sync::broadcast;
use wire::Event;

/// Most events a slow subscriber may have outstanding before it is told that it lagged.
const CAPACITY: usize = 1024;

/// Where services tell each other what happened.
#[derive(Clone, Debug)]
pub struct Bus {
    sender: broadcast::Sender<Event>,
}

impl Default for Bus {
    fn default() -> Self {
        Self {
            sender: broadcast::Sender::new(CAPACITY),
        }
    }
}

impl Bus {
    /// Tells everybody who listens now.
    pub fn publish(&self, event: Event) {
        // Nobody listening is no error: an event is news, not a command.
        let _ = self.sender.send(event);
    }

    /// Hears what is published from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.sender.subscribe()
    }
}
