//! What the API asks of those who serve viewers.

use utoipa::ToSchema;
use wire::BroadcastId;

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

/// Serves viewers, and counts them.
pub trait Delivery: Send + Sync + 'static {
    /// Who watches `broadcast` now.
    fn viewers(&self, broadcast: BroadcastId) -> Viewers;

    /// Frames of `broadcast` that came and could not be delivered.
    fn dropped_frames(&self, broadcast: BroadcastId) -> u64;

    /// Sets the metrics that are known only when somebody asks.
    fn measure(&self);
}
