//! The live broadcasts of this node: each a pair of track logs on one timeline, written by
//! `ingest`, read by the packager and whoever else consumes media.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use fanout::{Limits, Log, Meta};
use media::{Frame, MediaTime, TrackConfig, TrackKind, WallTime};
use tokio::sync::watch;
use wire::{BroadcastId, ChannelId, Handle};

/// What a track log keeps: enough for a viewer who joins at the latest keyframe, and for the
/// packager, which must not lose anything, when an encoder sends at once what it held back while
/// its network was away.
pub(crate) const TRACK_WINDOW: Limits = Limits {
    items: 8_192,
    bytes: 32 * 1024 * 1024,
    span_micros: 30_000_000,
};

/// Pictures that are looked at to find out in which order they are shown.
const LOOKED_AT: u64 = 120;

/// What a frame weighs in memory besides its coded bytes.
const FRAME_OVERHEAD_BYTES: usize = std::mem::size_of::<Frame>();

/// A track log: frames in decode order.
pub type TrackLog = Log<Frame>;

pub(crate) fn measure(frame: &Frame) -> Meta {
    Meta {
        size_bytes: frame.data.len() + FRAME_OVERHEAD_BYTES,
        at_micros: frame.dts.as_micros(),
        key: frame.key,
    }
}

/// Whether somebody publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A publisher sends.
    Live,
    /// The publisher vanished and may return within its grace time.
    Waiting,
    /// Over.
    Ended,
}

/// What is measured of a track while it is published.
#[derive(Clone, Debug, PartialEq)]
pub struct TrackStats {
    /// The decoder set-up in force.
    pub config: Arc<TrackConfig>,
    /// Frames so far.
    pub frames: u64,
    /// Frames per second over the last seconds.
    pub fps: f64,
    /// Bits per second over the last seconds.
    pub bitrate_bps: u64,
    /// Time between the last two keyframes in milliseconds; zero before there are two.
    pub keyframe_interval_ms: u64,
}

/// How somebody publishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// RTMP.
    #[default]
    Rtmp,
    /// WebRTC.
    WebRtc,
}

impl Protocol {
    /// As the API has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmp",
            Self::WebRtc => "webrtc",
        }
    }
}

/// What is measured of a broadcast while it is published.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Pictures, once there are any.
    pub video: Option<TrackStats>,
    /// Sound, once there is any.
    pub audio: Option<TrackStats>,
    /// Frames that came and could not be used.
    pub dropped_frames: u64,
    /// What the publisher calls itself.
    pub encoder: Option<String>,
    /// How it comes here.
    pub protocol: Protocol,
}

/// One going-live of a channel.
#[derive(Debug)]
pub struct Broadcast {
    /// Its identity, also in every address of its media.
    pub id: BroadcastId,
    /// Whose it is.
    pub channel: ChannelId,
    /// The channel's handle when it began.
    pub handle: Handle,
    /// The wall time of `MediaTime` zero.
    pub began_at: WallTime,
    /// The earliest `MediaTime` of its first frame here: past zero if a server before this one
    /// broadcast what came earlier.
    pub begins_at: MediaTime,
    /// When this server took it up, on the clock that nobody sets, and how old it was then.
    taken_up: (Instant, Duration),
    /// Pictures; empty when the publisher sends none.
    pub video: TrackLog,
    /// Sound; empty when the publisher sends none.
    pub audio: TrackLog,
    phase: watch::Sender<Phase>,
    /// Whether the publisher that is waited for was shown out, and its key is no good any more.
    shown_out: AtomicBool,
    announced: watch::Sender<Announced>,
    /// Whether its pictures may be made anew for viewers who cannot have them as they are.
    transcodes: AtomicBool,
    stats: Mutex<Stats>,
    /// See [`zero_at`](Self::zero_at), in microseconds since the Unix epoch.
    zero_micros: AtomicI64,
}

/// Which tracks the publisher said it would send, before their first frame. `None` says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// Whether there will be pictures.
    pub video: Option<bool>,
    /// Whether there will be sound.
    pub audio: Option<bool>,
}

impl Broadcast {
    /// A broadcast that begins at `began_at`, with nothing in its logs yet.
    pub fn new(id: BroadcastId, channel: ChannelId, handle: Handle, began_at: WallTime) -> Self {
        Self {
            id,
            channel,
            handle,
            began_at,
            begins_at: MediaTime::ZERO,
            taken_up: (Instant::now(), Duration::ZERO),
            video: Log::new(0, TRACK_WINDOW, measure),
            audio: Log::new(0, TRACK_WINDOW, measure),
            phase: watch::Sender::new(Phase::Live),
            shown_out: AtomicBool::new(false),
            announced: watch::Sender::new(Announced::default()),
            transcodes: AtomicBool::new(false),
            stats: Mutex::default(),
            zero_micros: AtomicI64::new(began_at.as_micros()),
        }
    }

    /// The wall time of `MediaTime` zero, as viewers are told it: when it began, or a little earlier
    /// if its encoder was ahead of its stamps then.
    pub fn zero_at(&self) -> WallTime {
        WallTime::from_micros(self.zero_micros.load(Ordering::Relaxed))
    }

    /// Notes the wall time of `MediaTime` zero, as the packager found it out.
    pub fn set_zero_at(&self, zero: WallTime) {
        self.zero_micros.store(zero.as_micros(), Ordering::Relaxed);
    }

    /// Takes up a broadcast `age` after it began, which another server left at `edge`. It waits for
    /// its publisher, whose frames come after all that viewers have seen.
    #[must_use]
    pub fn taken_up(mut self, age: Duration, edge: MediaTime) -> Self {
        self.begins_at = edge.max(MediaTime::ZERO + age);
        self.taken_up.1 = age;
        self.phase.send_replace(Phase::Waiting);
        self
    }

    /// How long ago it began, on the clock that nobody sets: where the live edge stands.
    pub fn elapsed(&self) -> MediaTime {
        let (at, age) = self.taken_up;
        MediaTime::ZERO + age + at.elapsed()
    }

    /// How far its media goes.
    pub fn edge(&self) -> MediaTime {
        let last = [self.video.last(), self.audio.last()];
        let ends = last.into_iter().flatten().map(|frame| frame.dts);
        ends.max().unwrap_or(self.begins_at)
    }

    /// The log of one kind of track.
    pub const fn track(&self, kind: TrackKind) -> &TrackLog {
        match kind {
            TrackKind::Video => &self.video,
            TrackKind::Audio => &self.audio,
        }
    }

    /// Whether somebody publishes now.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits for a publisher; tells whether the last one was shown out.
    pub fn wait(&self, shown_out: bool) {
        self.shown_out.store(shown_out, Ordering::Release);
        self.set_phase(Phase::Waiting);
    }

    /// Whether the publisher that is waited for was shown out, and not merely lost.
    pub fn is_shown_out(&self) -> bool {
        self.phase() == Phase::Waiting && self.shown_out.load(Ordering::Acquire)
    }

    /// To wait for a change of [`phase`](Self::phase).
    pub fn watch_phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Which tracks the publisher announced.
    pub fn announced(&self) -> Announced {
        *self.announced.borrow()
    }

    /// Notes which tracks the publisher announced.
    pub fn announce(&self, announced: Announced) {
        self.announced.send_replace(announced);
    }

    /// Whether its pictures may be made anew, which takes a core.
    pub fn transcodes(&self) -> bool {
        self.transcodes.load(Ordering::Acquire)
    }

    /// Says whether its pictures may be made anew.
    pub fn set_transcodes(&self, transcodes: bool) {
        self.transcodes.store(transcodes, Ordering::Release);
    }

    /// Whether pictures are decoded in another order than shown, as far as is known of what comes now.
    pub fn is_reordered(&self) -> bool {
        self.video.look(|window, _| {
            let recent = window.end().saturating_sub(LOOKED_AT).max(window.first())..window.end();
            let frames = recent.rev().filter_map(|offset| window.get(offset));
            let mut later: Option<&Frame> = None;
            for frame in frames {
                match later {
                    Some(next) if next.run != frame.run => return false,
                    Some(next) if next.pts < frame.pts => return true,
                    Some(_) | None => later = Some(frame),
                }
            }
            false
        })
    }

    /// What is measured now.
    pub fn stats(&self) -> Stats {
        self.stats
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Changes what is measured.
    pub fn update_stats(&self, update: impl FnOnce(&mut Stats)) {
        update(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Moves to another phase; ending also ends the track logs.
    pub fn set_phase(&self, phase: Phase) {
        if phase == Phase::Ended {
            self.video.end();
            self.audio.end();
        }
        self.phase.send_replace(phase);
    }
}

/// The live broadcasts of this node, at most one a channel.
#[derive(Debug, Default)]
pub struct Streams {
    live: RwLock<HashMap<ChannelId, Arc<Broadcast>>>,
    changed: watch::Sender<u64>,
}

impl Streams {
    /// None yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Puts a broadcast on stage, in place of the channel's former one.
    pub fn begin(&self, broadcast: Arc<Broadcast>) {
        self.write(|live| live.insert(broadcast.channel, broadcast));
    }

    /// Takes a broadcast off stage, unless another has taken its place already.
    pub fn end(&self, broadcast: &Broadcast) {
        broadcast.set_phase(Phase::Ended);
        self.write(|live| {
            if live
                .get(&broadcast.channel)
                .is_some_and(|now| now.id == broadcast.id)
            {
                live.remove(&broadcast.channel);
            }
        });
    }

    fn write<R>(&self, change: impl FnOnce(&mut HashMap<ChannelId, Arc<Broadcast>>) -> R) {
        change(&mut self.live.write().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_modify(|count| *count += 1);
    }

    /// What a channel broadcasts now.
    pub fn of_channel(&self, channel: ChannelId) -> Option<Arc<Broadcast>> {
        self.live
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&channel)
            .cloned()
    }

    /// What is broadcast now under the handle that its channel had when it began. A channel cannot
    /// be renamed while it is live.
    pub fn of_handle(&self, handle: &str) -> Option<Arc<Broadcast>> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let found = live.values().find(|one| one.handle.as_str() == handle);
        found.cloned()
    }

    /// Every live broadcast, oldest first.
    pub fn all(&self) -> Vec<Arc<Broadcast>> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = live.values().cloned().collect();
        all.sort_by_key(|broadcast| broadcast.id);
        all
    }

    /// Wakes whenever a broadcast begins or ends.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broadcast(channel: ChannelId) -> Arc<Broadcast> {
        let handle = "stage".parse().unwrap();
        Arc::new(Broadcast::new(
            BroadcastId::new(),
            channel,
            handle,
            WallTime::default(),
        ))
    }

    #[test]
    fn the_farewell_of_a_replaced_broadcast_leaves_its_successor_on_stage() {
        let streams = Streams::new();
        let channel = ChannelId::new();
        let (first, second) = (broadcast(channel), broadcast(channel));
        streams.begin(Arc::clone(&first));
        streams.begin(Arc::clone(&second));
        streams.end(&first);
        assert_eq!(first.phase(), Phase::Ended);
        assert_eq!(
            streams.of_channel(channel).map(|live| live.id),
            Some(second.id)
        );
        streams.end(&second);
        assert!(streams.of_channel(channel).is_none());
    }

    #[test]
    fn who_watches_the_stage_hears_of_every_change() {
        let streams = Streams::new();
        let mut changes = streams.watch();
        let live = broadcast(ChannelId::new());
        streams.begin(Arc::clone(&live));
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        streams.end(&live);
        assert!(changes.has_changed().unwrap());
    }
}
