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
    /// The session's name, as the log has it and as `/api/v1/admin/webrtc/{session}` takes it.
    #[schema(example = "0f3a5c7e9b1d-2c9e0b6a4f8d13579bdf02468ace1357")]
    pub session: String,
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

/// All that is known of one peer over WebRTC.
#[derive(Clone, Debug, PartialEq, serde::Serialize, ToSchema)]
pub struct PeerDump {
    /// As in the list.
    #[serde(flatten)]
    pub peer: Peer,
    /// Everywhere it was heard from.
    pub paths: Vec<String>,
    /// Our ICE user name fragment: its first two digits are the shard, the next twelve the node.
    pub ufrag: String,
    /// Seconds since it was heard of.
    pub silent_s: f64,
    /// What its packets are sealed with, once that was agreed on.
    #[schema(example = "AES-128-GCM")]
    pub cipher: Option<&'static str>,
    /// What happened to it, the latest last.
    pub history: Vec<PeerEvent>,
}

/// Something that happened to a peer over WebRTC.
#[derive(Clone, Debug, PartialEq, serde::Serialize, ToSchema)]
pub struct PeerEvent {
    /// Seconds after it asked.
    pub at_s: f64,
    /// What it was.
    #[schema(example = "reached at udp 192.0.2.7:50000")]
    pub what: String,
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
    /// Its source.
    pub ssrc: u32,
    /// How far along a viewer is: `seeking` a keyframe, `behind` or `live`.
    pub place: Option<&'static str>,
    /// Packets that came from a publisher, or went to a viewer.
    pub packets: u64,
    /// Bits of payload in the last second.
    pub bitrate_bps: u64,
    /// Packets that came again because we asked, or that we sent again because the viewer did.
    pub repaired: u64,
    /// Packets that a publisher sent and that did not come, or that a viewer asked for and nobody has
    /// any more.
    pub lost: u64,
    /// The share that was lost on the way of late.
    pub loss: f64,
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

    /// One peer over WebRTC, by its session's name.
    fn peer<'a>(&'a self, session: &'a str) -> Later<'a, Option<PeerDump>>;

    /// Sets the metrics that are known only when somebody asks.
    fn measure(&self);
}
