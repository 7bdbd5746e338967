//! The channels that are live, as they were looked up last: what viewers are told of them while the
//! database does not answer.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kit::stream::Streams;
use wire::ChannelId;

use crate::store::channels::Channel;

/// At most one for each broadcast.
#[derive(Debug, Default)]
pub struct Watched {
    known: Mutex<HashMap<ChannelId, Channel>>,
}

impl Watched {
    fn known(&self) -> MutexGuard<'_, HashMap<ChannelId, Channel>> {
        // Whatever panicked, each entry is whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps those of the channels that are live.
    pub fn keep<'a>(&self, streams: &Streams, channels: impl IntoIterator<Item = &'a Channel>) {
        let mut known = self.known();
        for channel in channels {
            // Most are asked for again and again, and stay as they are.
            let new = known.get(&channel.id) != Some(channel);
            if new && streams.of_channel(channel.id).is_some() {
                known.insert(channel.id, channel.clone());
                known.retain(|id, _| streams.of_channel(*id).is_some());
            }
        }
    }

    /// The channel that is live under a handle.
    pub fn recall(&self, streams: &Streams, handle: &str) -> Option<Channel> {
        let live = streams.of_handle(handle)?;
        let known = self.known().get(&live.channel).cloned();
        // It may have been called otherwise in a broadcast before.
        known.filter(|channel| channel.handle == live.handle)
    }
}
