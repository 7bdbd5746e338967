//! The packets of what is live: one log for each track of a broadcast, which all its viewers read.
//!
//! A publisher over WebRTC writes them as they arrive. Of any other they are made from its track
//! logs, while somebody watches.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fanout::{AppendError, Limits, Log, Meta, Writer};
use kit::rendition::{Fare, Renditions};
use kit::stream::Broadcast;
use media::{MediaTime, TrackKind};
use sfu_core::Packet;
use wire::BroadcastId;

use crate::making;

/// What a packet log keeps: enough to begin with the latest keyframe, and to send again what was
/// lost.
const WINDOW: Limits = Limits {
    items: 16_384,
    bytes: 16 * 1024 * 1024,
    span_micros: 12_000_000,
};

/// How long packets are made for nobody: viewers come back.
const LINGER: Duration = Duration::from_secs(10);

fn measure(packet: &Packet) -> Meta {
    Meta {
        size_bytes: packet.payload.len() + std::mem::size_of::<Packet>(),
        at_micros: packet.at.as_micros(),
        key: packet.key,
    }
}

/// What a track's timestamps mean: at this one, `MediaTime` was that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// By the track's RTP clock.
    pub timestamp: u32,
    /// On the broadcast's timeline.
    pub at: MediaTime,
}

/// The packets of one track.
#[derive(Debug)]
pub struct Track {
    /// The packets, in the order in which they came.
    pub log: Log<Packet>,
    clock: Mutex<Option<Clock>>,
    /// Set when a viewer needs a keyframe, until the publisher was asked for it.
    key_wanted: AtomicBool,
    /// The number after the highest so far, and its timestamp.
    next: Mutex<(u64, u32)>,
}

impl Track {
    fn new() -> Self {
        Self {
            log: Log::new(0, WINDOW, measure),
            clock: Mutex::default(),
            key_wanted: AtomicBool::new(false),
            next: Mutex::default(),
        }
    }

    /// What its timestamps mean, once that is known.
    pub fn clock(&self) -> Option<Clock> {
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what its timestamps mean.
    pub fn set_clock(&self, clock: Clock) {
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = Some(clock);
    }

    /// Wants a keyframe of the publisher.
    pub fn want_key(&self) {
        self.key_wanted.store(true, Ordering::Release);
    }

    /// Whether a keyframe is wanted; asking counts as having told the publisher.
    pub fn take_key_wanted(&self) -> bool {
        self.key_wanted.swap(false, Ordering::AcqRel)
    }

    /// The number after everything so far, and the timestamp of the newest.
    pub fn next(&self) -> (u64, u32) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a packet.
    ///
    /// # Errors
    /// When somebody else writes by now, or the log has ended.
    pub fn append(&self, writer: &Writer<Packet>, packet: Packet) -> Result<(), AppendError> {
        let (after, timestamp) = (packet.number + 1, packet.timestamp);
        writer.append(packet)?;
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if after > next.0 {
            *next = (after, timestamp);
        }
        Ok(())
    }

    /// A packet by its number, if it is still held.
    pub fn find(&self, number: u64) -> Option<Packet> {
        self.log.look(|window, _| {
            let end = window.end();
            let newest = window.get(end.checked_sub(1)?)?;
            // Offsets and numbers differ by what was lost since, and by what came late.
            let behind = newest.number.saturating_sub(number);
            let guess = end.saturating_sub(1).saturating_sub(behind);
            let near = |offset: &u64| window.get(*offset).filter(|packet| packet.number == number);
            let ahead = (guess..end).take(512).find(|offset| near(offset).is_some());
            let found = ahead.or_else(|| {
                let before = (window.first()..guess).rev();
                before.take(64).find(|offset| near(offset).is_some())
            });
            found.and_then(|offset| window.get(offset)).cloned()
        })
    }
}

/// Who writes the packets of a broadcast.
#[derive(Debug, Default)]
struct ForwardingState {
    /// Publishers over WebRTC: one, or two while one takes over.
    publishers: usize,
    /// How far they wrote the frames of pictures and of sound: those are packets already.
    frames_to: [u64; 2],
}

/// The packets of a broadcast.
#[derive(Debug)]
pub struct Tracks {
    /// Whose they are.
    pub broadcast: Arc<Broadcast>,
    /// Pictures.
    pub video: Track,
    /// Sound.
    pub audio: Track,
    holds: AtomicUsize,
    viewers: AtomicUsize,
    forwarding: Mutex<ForwardingState>,
}

impl Tracks {
    fn new(broadcast: Arc<Broadcast>) -> Self {
        Self {
            broadcast,
            video: Track::new(),
            audio: Track::new(),
            holds: AtomicUsize::new(0),
            viewers: AtomicUsize::new(0),
            forwarding: Mutex::default(),
        }
    }

    /// The packets of one kind.
    pub const fn track(&self, kind: TrackKind) -> &Track {
        match kind {
            TrackKind::Video => &self.video,
            TrackKind::Audio => &self.audio,
        }
    }

    /// Whether a publisher over WebRTC sends them, which can be asked for keyframes.
    pub fn is_forwarded(&self) -> bool {
        self.forwarding().publishers > 0
    }

    fn forwarding(&self) -> MutexGuard<'_, ForwardingState> {
        // It is whole between any two statements.
        self.forwarding
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the frame at `offset` of its log is to be made into packets: no publisher over WebRTC
    /// writes, nor has written it as packets itself.
    pub(crate) fn is_to_be_made(&self, kind: TrackKind, offset: u64) -> bool {
        let state = self.forwarding();
        state.publishers == 0 && offset >= state.frames_to[index_of(kind)]
    }

    /// The right to write packets that were made, unless a publisher over WebRTC has it.
    pub(crate) fn writer(&self, kind: TrackKind) -> Option<Writer<Packet>> {
        let state = self.forwarding();
        (state.publishers == 0).then(|| self.track(kind).log.writer())
    }

    /// How many watch.
    pub fn viewers(&self) -> usize {
        self.viewers.load(Ordering::Relaxed)
    }
}

const fn index_of(kind: TrackKind) -> usize {
    match kind {
        TrackKind::Video => 0,
        TrackKind::Audio => 1,
    }
}

/// Keeps the packets of a broadcast being made.
#[derive(Debug)]
pub struct Hold {
    tracks: Arc<Tracks>,
    /// Whether it counts as a viewer.
    watches: bool,
}

impl std::ops::Deref for Hold {
    type Target = Tracks;

    fn deref(&self) -> &Tracks {
        &self.tracks
    }
}

impl Hold {
    fn new(tracks: Arc<Tracks>) -> Self {
        tracks.holds.fetch_add(1, Ordering::AcqRel);
        Self {
            tracks,
            watches: false,
        }
    }

    /// Whoever it is for watches from now on: who asked and never came is no viewer.
    pub(crate) fn begin_watching(&mut self) {
        if !std::mem::replace(&mut self.watches, true) {
            self.tracks.viewers.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let watched = usize::from(self.watches);
        self.tracks.viewers.fetch_sub(watched, Ordering::Relaxed);
        self.tracks.holds.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The packets of every broadcast that somebody watches or publishes over WebRTC.
#[derive(Debug)]
pub struct Registry {
    all: Mutex<HashMap<BroadcastId, Arc<Tracks>>>,
    renditions: Arc<Renditions>,
}

impl Registry {
    /// None yet; `renditions` has what browsers do not take in a codec that they take.
    pub fn new(renditions: Arc<Renditions>) -> Arc<Self> {
        Arc::new(Self {
            all: Mutex::default(),
            renditions,
        })
    }

    /// The right to write the packets of a broadcast, taken over from whoever wrote them before.
    /// Must be called within a runtime.
    pub fn forward(self: &Arc<Self>, broadcast: &Arc<Broadcast>) -> Forwarding {
        Forwarding::begin(self.hold(broadcast))
    }

    /// Keeps the packets of a broadcast being made. Must be called within a runtime.
    pub fn hold(self: &Arc<Self>, broadcast: &Arc<Broadcast>) -> Hold {
        let mut all = self.lock();
        if let Some(tracks) = all.get(&broadcast.id) {
            return Hold::new(Arc::clone(tracks));
        }
        let tracks = Arc::new(Tracks::new(Arc::clone(broadcast)));
        all.insert(broadcast.id, Arc::clone(&tracks));
        let hold = Hold::new(Arc::clone(&tracks));
        drop(all);
        self.make(tracks);
        hold
    }

    /// Makes packets of what is in the track logs, until nobody watches any more.
    fn make(self: &Arc<Self>, tracks: Arc<Tracks>) {
        let registry = Arc::clone(self);
        tokio::spawn(async move {
            let id = tracks.broadcast.id;
            tokio::select! {
                () = making::make_both(&tracks, &registry.renditions) => {}
                () = registry.let_go(&tracks) => {}
            }
            let mut all = registry.lock();
            // Another may have taken its place.
            if all.get(&id).is_some_and(|now| Arc::ptr_eq(now, &tracks)) {
                all.remove(&id);
            }
            drop(all);
            tracks.video.log.end();
            tracks.audio.log.end();
        });
    }

    /// Returns when nobody has watched for a while; from then on nobody finds it.
    async fn let_go(&self, tracks: &Arc<Tracks>) {
        let mut idle = Duration::ZERO;
        let step = LINGER / 10;
        loop {
            tokio::time::sleep(step).await;
            // Whoever takes hold of it does so under the same lock.
            let mut all = self.lock();
            if tracks.holds.load(Ordering::Acquire) > 0 {
                idle = Duration::ZERO;
                continue;
            }
            idle += step;
            if idle >= LINGER {
                all.remove(&tracks.broadcast.id);
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BroadcastId, Arc<Tracks>>> {
        // Entries are whole between any two statements.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the pictures of a broadcast can be shown over WebRTC, in the order in which they come or
    /// put in order.
    pub fn can_show(&self, broadcast: &Broadcast) -> bool {
        !broadcast.is_reordered()
            || (broadcast.transcodes()
                && matches!(self.renditions.fare(broadcast.id), Fare::Well | Fare::Slow))
    }

    /// Viewers of a broadcast.
    pub fn viewers(&self, broadcast: BroadcastId) -> usize {
        let all = self.lock();
        all.get(&broadcast).map_or(0, |tracks| tracks.viewers())
    }
}

/// The right to write the packets of a broadcast as a publisher sends them.
#[derive(Debug)]
pub struct Forwarding {
    /// Where they go.
    pub tracks: Hold,
    video: Writer<Packet>,
    audio: Writer<Packet>,
}

impl Forwarding {
    fn begin(tracks: Hold) -> Self {
        let mut state = tracks.forwarding();
        state.publishers += 1;
        let (video, audio) = (tracks.video.log.writer(), tracks.audio.log.writer());
        drop(state);
        Self {
            video,
            audio,
            tracks,
        }
    }

    /// Of pictures or of sound.
    pub const fn writer(&self, kind: TrackKind) -> &Writer<Packet> {
        match kind {
            TrackKind::Video => &self.video,
            TrackKind::Audio => &self.audio,
        }
    }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        let broadcast = &self.tracks.broadcast;
        let ends = [&broadcast.video, &broadcast.audio];
        let ends = ends.map(|log| log.look(|window, _| window.end()));
        let mut state = self.tracks.forwarding();
        state.publishers -= 1;
        state.frames_to = ends;
    }
}
