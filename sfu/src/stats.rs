//! What is told of sessions.

/// Something that happened to a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Seconds after the session was made.
    pub at_s: f64,
    /// What it was.
    pub what: String,
}

/// How a publisher's track comes.
#[derive(Clone, Debug, PartialEq)]
pub struct UpStats {
    /// `video` or `audio`.
    pub kind: &'static str,
    /// The codec.
    pub codec: &'static str,
    /// Its source.
    pub ssrc: u32,
    /// Packets that came.
    pub packets: u64,
    /// Bytes of payload that came.
    pub bytes: u64,
    /// Packets that did not.
    pub lost: u64,
    /// Bits of payload in the last second.
    pub bitrate_bps: u64,
    /// Packets that came because they were asked for again.
    pub repaired: u64,
    /// The share that was lost on the way of late.
    pub loss: f64,
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
    /// Its source.
    pub ssrc: u32,
    /// How far along its log it is: `seeking` a keyframe, `behind` or `live`.
    pub place: &'static str,
    /// Packets sent.
    pub packets: u64,
    /// Bytes of payload sent.
    pub bytes: u64,
    /// Packets that it lost, as it reports.
    pub lost: u64,
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
    /// Its name, as the log has it.
    pub id: String,
    /// Whether it publishes; otherwise it watches.
    pub publishes: bool,
    /// The channel.
    pub channel: String,
    /// Where its state machine is: `checking`, `shaking` or `ready`; `silent` if it publishes and
    /// sends nothing.
    pub state: &'static str,
    /// Where the peer is, once it was found, with `udp` or `tcp`.
    pub peer: Option<String>,
    /// Everywhere it was heard from.
    pub paths: Vec<String>,
    /// Our ICE user name fragment.
    pub ufrag: String,
    /// Seconds since it was heard of.
    pub silent_s: f64,
    /// What packets are sealed with, once that was agreed on.
    pub cipher: Option<&'static str>,
    /// What happened to it so far.
    pub history: Vec<Event>,
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
