//! The graceful end: one signal that every server and task hears.

use tokio::sync::watch;

/// Tells everybody who holds a [`Drain`] that it is time to end.
#[derive(Debug)]
pub struct DrainSignal {
    sender: watch::Sender<bool>,
}

/// Hears when it is time to end.
#[derive(Clone, Debug)]
pub struct Drain {
    receiver: watch::Receiver<bool>,
}

/// A signal and its first listener.
pub fn channel() -> (DrainSignal, Drain) {
    let (sender, receiver) = watch::channel(false);
    (DrainSignal { sender }, Drain { receiver })
}

impl DrainSignal {
    /// Tells everybody. What was told stays told.
    pub fn drain(&self) {
        self.sender.send_replace(true);
    }
}

impl Drain {
    /// Whether the end has been signalled.
    pub fn is_draining(&self) -> bool {
        *self.receiver.borrow()
    }

    /// Waits for the signal. A vanished signaller counts as one.
    pub async fn signaled(&mut self) {
        // An error means that the sender is gone, and with it the process's reason to go on.
        let _ = self.receiver.wait_for(|draining| *draining).await;
    }
}
