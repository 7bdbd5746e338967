//! What the API asks of those who take publishers.

use uuid::Uuid;
use wire::ChannelId;

/// Takes publishers, and shows them out.
pub trait Publishers: Send + Sync + 'static {
    /// Shows out whoever publishes with a stream key, telling them `reason`. The broadcast waits
    /// for its grace time, as if they had vanished. Tells whether somebody did.
    fn show_out(&self, stream_key: Uuid, reason: &str) -> bool;

    /// Ends the broadcast of a channel at once, telling its publisher `reason`. Tells whether
    /// there was one.
    fn end(&self, channel: ChannelId, reason: &str) -> bool;
}
