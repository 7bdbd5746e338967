//! What the API asks of those who serve viewers.

use utoipa::ToSchema;
use wire::BroadcastId;

use crate::rooms::Later;

/// Who watches a broadcast, by protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, ToSchema)]
pub struct Viewers {
    /// Distinct viewers who fetched an HLS playlist lately.
    pub hls: u64,
    /// Viewers over HTTP-FLV and WebSocket-FLV.
    pub flv: u64,
    /// Viewers over RTMP.
    pub rtmp: u64,
    /// Viewers over WebRTC.
    pub webrtc: u64,
    /// All of them.
    pub total: u64,
}

/// How pictures fare that are made anew for viewers who cannot have them as they are, or would be for
/// whoever asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transcoding {
    /// They can be had.
    #[default]
    Well,
    /// Those of other broadcasts are made already, as many as may be.
    NoRoom,
    /// They come slower than the publisher's, so that some are left out.
    Slow,
    /// They cannot be made.
    Fails,
}

/// A peer over WebRTC, as an engineer reads it.
#[derive(Clone, Debug, PartialEq, serde::Serialize, ToSchema)]
pub struct Peer {
    /// Whether it publishes; otherwise it watches.
    pub publishes: bool,
    /// The channel's handle.
    #[schema(example = "stage")]
    pub channel: String,
    /// How far it is: `checking` (nobody came yet), `shaking` (hands), `ready`, or `silent` (it publishes,
    /// and sends nothing).
    #[schema(example = "ready")]
    pub state: &'static str,
    /// Where it is, once it was found.
    #[schema(example = "udp 192.0.2.7:50000")]
    pub peer: Option<String>,
    /// Seconds since it asked.
    pub age_s: f64,
    /// The thread that serves it.
    pub shard: usize,
    /// Datagrams on its path that were not sealed by it.
    pub forged: u64,
    /// Its tracks.
    pub tracks: Vec<PeerTrack>,
    /// What a viewer's page says it saw since it asked.
    pub seen: Option<PeerSeen>,
}

/// What no server can know of a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, ToSchema)]
pub struct PeerSeen {
    /// How often the picture stood still.
    pub freezes: u32,
    /// For how long, all together.
    pub frozen_ms: u32,
    /// Pictures that came and were not shown.
    pub dropped: u32,
}

/// A track of a peer over WebRTC.
#[derive(Clone, Debug, PartialEq, serde::Serialize, ToSchema)]
pub struct PeerTrack {
    /// `video` or `audio`.
    pub kind: &'static str,
    /// The codec in use, once there is one.
    pub codec: Option<&'static str>,
    /// Packets that came from a publisher, or went to a viewer.
    pub packets: u64,
    /// Bits of payload in the last second.
    pub bitrate_bps: u64,
    /// Packets that came again because we asked, or that we sent again because the viewer did.
    pub repaired: u64,
    /// Packets that did not come at all, or that a viewer asked for and nobody has any more.
    pub lost: u64,
    /// The share that a viewer lost of late.
    pub loss: Option<f64>,
    /// How uneven packets come, in milliseconds.
    pub jitter_ms: f64,
    /// The time there and back, in milliseconds; to a publisher once something was asked for again.
    pub round_trip_ms: Option<f64>,
}

/// Serves viewers, and counts them.
pub trait Delivery: Send + Sync + 'static {
    /// Who watches `broadcast` now.
    fn viewers(&self, broadcast: BroadcastId) -> Viewers;

    /// How its pictures fare that are made anew.
    fn transcoding(&self, broadcast: BroadcastId) -> Transcoding;

    /// Frames of `broadcast` that came and could not be delivered.
    fn dropped_frames(&self, broadcast: BroadcastId) -> u64;

    /// Peers over WebRTC, at most `limit` of them.
    fn peers(&self, limit: usize) -> Later<'_, Vec<Peer>>;

    /// Sets the metrics that are known only when somebody asks.
    fn measure(&self);
}
