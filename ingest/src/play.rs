//! Viewers over RTMP, HTTP-FLV and WebSocket-FLV: track logs in, derived logs out, and connections
//! handed to the shards that write them.
//!
//! - [`encoding`]: a frame as FLV tag or as RTMP message. Pure.
//! - `muxer`: from the track logs of a broadcast to one derived log.
//! - `sound`: the sound of a broadcast in the codec that players know.
//! - [`outlets`]: the derived logs there are, made while somebody watches.
//! - [`start`]: where a viewer wants to begin. Pure.
//! - `opening`: what a viewer is sent before the first packet.
//! - [`http`]: viewers over HTTP and WebSocket.
//! - `websocket`: what those over WebSocket say and are told.
//! - [`rtmp`](mod@rtmp): viewers over RTMP.

pub mod encoding;
pub mod http;
mod muxer;
mod opening;
pub mod outlets;
pub mod rtmp;
mod sound;
pub mod start;
mod websocket;

use std::net::SocketAddr;
use std::sync::Arc;

use fanout::shard::{Account, Shards};
use kit::rendition::Renditions;
use kit::stream::{Broadcast, Phase, Streams};
use wire::BroadcastId;

pub use encoding::Encoding;
pub use outlets::{Outlets, Ticket};
pub use start::Start;

/// What serves viewers over TCP.
#[derive(Debug)]
pub struct Play {
    streams: Arc<Streams>,
    outlets: Arc<Outlets>,
    renditions: Arc<Renditions>,
    shards: Arc<Shards>,
}

/// How many watch a broadcast, by protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Viewers {
    /// Over HTTP-FLV and WebSocket-FLV.
    pub flv: u64,
    /// Over RTMP.
    pub rtmp: u64,
}

impl Play {
    /// On shards that run.
    pub fn new(streams: Arc<Streams>, renditions: Arc<Renditions>, shards: Arc<Shards>) -> Self {
        Self {
            streams,
            outlets: Outlets::new(Arc::clone(&renditions)),
            renditions,
            shards,
        }
    }

    /// What is live under a handle.
    pub fn find(&self, handle: &str) -> Option<Arc<Broadcast>> {
        let live = self.streams.of_handle(handle)?;
        (live.phase() != Phase::Ended).then_some(live)
    }

    /// Who watches.
    pub fn viewers(&self, broadcast: BroadcastId) -> Viewers {
        Viewers {
            flv: self.outlets.viewers(broadcast, Encoding::Flv),
            rtmp: self.outlets.viewers(broadcast, Encoding::Rtmp),
        }
    }

    /// The shards.
    pub fn shards(&self) -> &Shards {
        &self.shards
    }

    /// Says farewell to every viewer, and returns when the last is gone. Blocks.
    pub fn drain(&self) {
        self.shards.drain();
    }
}

/// What a viewer keeps for as long as it is there.
struct Held {
    client: SocketAddr,
    _ticket: Ticket,
    _slot: Box<dyn Send>,
}

/// Tells of a viewer who has gone.
fn tell_over(protocol: &'static str, client: SocketAddr, account: Account) {
    let Account {
        why,
        written,
        skipped,
    } = account;
    metrics::counter!("barrage_viewers_left_total", "protocol" => protocol, "why" => why.as_str())
        .increment(1);
    metrics::counter!("barrage_viewer_sent_bytes_total", "protocol" => protocol).increment(written);
    metrics::counter!("barrage_viewer_skipped_packets_total", "protocol" => protocol)
        .increment(skipped);
    tracing::debug!(
        client.addr = %client,
        protocol,
        why = why.as_str(),
        written_bytes = written,
        skipped_packets = skipped,
        "a viewer left"
    );
}
