//! What is told of sessions.

/// How a publisher's track comes.
#[derive(Clone, Debug, PartialEq)]
pub struct UpStats {
    /// `video` or `audio`.
    pub kind: &'static str,
    /// The codec.
    pub codec: &'static str,
    /// Packets that came.
    pub packets: u64,
    /// Packets that did not.
    pub lost: u64,
    /// Bits of payload in the last second.
    pub bitrate_bps: u64,
    /// Packets that came because they were asked for again.
    pub repaired: u64,
    /// How uneven they come, in milliseconds.
    pub jitter_ms: f64,
    /// The time there and back, in milliseconds, once something was asked for again.
    pub round_trip_ms: Option<f64>,
}

/// How a viewer's track goes.
#[derive(Clone, Debug, PartialEq)]
pub struct DownStats {
    /// `video` or `audio`.
    pub kind: &'static str,
    /// The codec in use.
    pub codec: Option<&'static str>,
    /// Packets sent.
    pub packets: u64,
    /// Bits of payload in the last second.
    pub bitrate_bps: u64,
    /// Packets sent again.
    pub repaired: u64,
    /// Packets that were asked for and that nobody has any more.
    pub unrepaired: u64,
    /// The share that was lost on the way of late.
    pub loss: f64,
    /// How uneven they come, in milliseconds.
    pub jitter_ms: f64,
    /// The time there and back, in milliseconds.
    pub round_trip_ms: Option<f64>,
}

/// A session as an engineer reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct Dump {
    /// Whether it publishes; otherwise it watches.
    pub publishes: bool,
    /// The channel.
    pub channel: String,
    /// Where its state machine is: `checking`, `shaking` or `ready`; `silent` if it publishes and
    /// sends nothing.
    pub state: &'static str,
    /// Where the peer is, once it was found, with `udp` or `tcp`.
    pub peer: Option<String>,
    /// Seconds since it was made.
    pub age_s: f64,
    /// The thread that serves it.
    pub shard: usize,
    /// Datagrams on its path that were not sealed by the peer.
    pub forged: u64,
    /// What comes, of a publisher.
    pub up: Vec<UpStats>,
    /// What goes, of a viewer.
    pub down: Vec<DownStats>,
    /// What a viewer's page says it saw.
    pub seen: Option<crate::Seen>,
}
