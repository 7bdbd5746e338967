//! The packets of what is live: one log for each track of a broadcast, which all its viewers read.
//!
//! A publisher over WebRTC writes them as they arrive. Of any other they are made from its track
//! logs, while somebody watches.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fanout::{Lag, Limits, Log, Meta, Read, Start, Writer};
use kit::stream::Broadcast;
use media::codec::h264;
use media::{AudioConfig, Frame, MediaTime, TrackConfig, TrackKind, VideoConfig};
use sfu_core::{Codec, Packet, packetize};
use wire::BroadcastId;

use crate::bridge::ToOpus;

/// What a packet log keeps: enough to begin with the latest keyframe, and to send again what was
/// lost.
const WINDOW: Limits = Limits {
    items: 16_384,
    bytes: 16 * 1024 * 1024,
    span_micros: 12_000_000,
};

/// How long packets are made for nobody: viewers come back.
const LINGER: Duration = Duration::from_secs(10);

/// How long an encoder that failed is left alone.
const ENCODER_RESTS: Duration = Duration::from_secs(10);

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
}

impl Track {
    fn new() -> Self {
        Self {
            log: Log::new(0, WINDOW, measure),
            clock: Mutex::default(),
            key_wanted: AtomicBool::new(false),
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

    /// The number and timestamp after everything so far.
    pub fn next(&self) -> (u64, u32) {
        // Late packets stand behind newer ones, but never far.
        self.log.look(|window, _| {
            let end = window.end();
            let recent = (end.saturating_sub(64)..end).filter_map(|offset| window.get(offset));
            let newest = recent.max_by_key(|packet| packet.number);
            newest.map_or((0, 0), |packet| (packet.number + 1, packet.timestamp))
        })
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
    /// Whether a publisher over WebRTC writes the packets.
    forwarded: AtomicBool,
}

impl Tracks {
    fn new(broadcast: Arc<Broadcast>) -> Self {
        Self {
            broadcast,
            video: Track::new(),
            audio: Track::new(),
            holds: AtomicUsize::new(0),
            viewers: AtomicUsize::new(0),
            forwarded: AtomicBool::new(false),
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
        self.forwarded.load(Ordering::Acquire)
    }

    /// How many watch.
    pub fn viewers(&self) -> usize {
        self.viewers.load(Ordering::Relaxed)
    }
}

/// Keeps the packets of a broadcast being made.
#[derive(Debug)]
pub struct Hold {
    tracks: Arc<Tracks>,
    watches: bool,
}

impl std::ops::Deref for Hold {
    type Target = Tracks;

    fn deref(&self) -> &Tracks {
        &self.tracks
    }
}

impl Hold {
    fn new(tracks: Arc<Tracks>, watches: bool) -> Self {
        tracks.holds.fetch_add(1, Ordering::AcqRel);
        tracks
            .viewers
            .fetch_add(usize::from(watches), Ordering::Relaxed);
        Self { tracks, watches }
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
    ffmpeg: String,
}

impl Registry {
    /// None yet; `ffmpeg` makes sound in another codec.
    pub fn new(ffmpeg: String) -> Arc<Self> {
        Arc::new(Self {
            all: Mutex::default(),
            ffmpeg,
        })
    }

    /// The packets of a broadcast, for somebody who watches it. Must be called within a runtime.
    pub fn watch(self: &Arc<Self>, broadcast: &Arc<Broadcast>) -> Hold {
        self.hold(broadcast, true)
    }

    /// The right to write the packets of a broadcast, taken over from whoever wrote them before.
    /// Must be called within a runtime.
    pub fn forward(self: &Arc<Self>, broadcast: &Arc<Broadcast>) -> Forwarding {
        Forwarding::begin(self.hold(broadcast, false))
    }

    fn hold(self: &Arc<Self>, broadcast: &Arc<Broadcast>, watches: bool) -> Hold {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tracks) = all.get(&broadcast.id) {
            return Hold::new(Arc::clone(tracks), watches);
        }
        let tracks = Arc::new(Tracks::new(Arc::clone(broadcast)));
        all.insert(broadcast.id, Arc::clone(&tracks));
        let hold = Hold::new(Arc::clone(&tracks), watches);
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
                () = make_both(&tracks, &registry.ffmpeg) => {}
                () = registry.let_go(&tracks) => {}
            }
            tracks.video.log.end();
            tracks.audio.log.end();
            let mut all = registry.all.lock().unwrap_or_else(PoisonError::into_inner);
            all.remove(&id);
        });
    }

    /// Returns when nobody has watched for a while.
    async fn let_go(&self, tracks: &Arc<Tracks>) {
        let mut idle = Duration::ZERO;
        let step = LINGER / 10;
        while idle < LINGER {
            tokio::time::sleep(step).await;
            let idles = tracks.holds.load(Ordering::Acquire) == 0;
            idle = if idles { idle + step } else { Duration::ZERO };
        }
        // From here on nobody finds it; who found it a moment ago is told that it has ended.
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&tracks.broadcast.id);
    }

    /// Viewers of a broadcast.
    pub fn viewers(&self, broadcast: BroadcastId) -> usize {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
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
        tracks.forwarded.store(true, Ordering::Release);
        Self {
            video: tracks.video.log.writer(),
            audio: tracks.audio.log.writer(),
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
        self.tracks.forwarded.store(false, Ordering::Release);
    }
}

async fn make_both(tracks: &Tracks, ffmpeg: &str) {
    tokio::select! {
        // Both end with the broadcast; and without pictures that can be shown there is nothing.
        () = make_pictures(tracks) => {}
        () = make_sound(tracks, ffmpeg) => {}
    }
}

/// Makes packets of pictures, from the latest keyframe on.
async fn make_pictures(tracks: &Tracks) {
    let video = &tracks.broadcast.video;
    let mut frames = video.reader(Start::LatestKey, Lag::Record);
    let mut maker = Maker::new(TrackKind::Video);
    while let Some(step) = frames.read().await {
        match step {
            Read::Item(_, frame) if tracks.is_forwarded() => maker.note_forwarded(&frame),
            // Nobody here can show them; who is sent away finds out why and goes elsewhere.
            Read::Item(_, frame) if maker.is_reordered(&frame) => return,
            Read::Item(_, frame) => maker.take(&frame, &tracks.video),
            Read::Gap { .. } | Read::TooSlow(_) => maker.seeking = true,
        }
    }
}

/// Makes packets of sound as it comes, by way of an encoder if it has to be.
async fn make_sound(tracks: &Tracks, ffmpeg: &str) {
    let mut frames = tracks.broadcast.audio.reader(Start::Live, Lag::Record);
    let mut maker = Maker::new(TrackKind::Audio);
    let mut encoder: Option<ToOpus> = None;
    let mut rests_until = Instant::now();
    loop {
        let made = async {
            match &mut encoder {
                Some(encoder) => encoder.next().await,
                None => std::future::pending().await,
            }
        };
        let step = tokio::select! {
            step = frames.read() => step,
            made = made => {
                match made {
                    Ok((at, packet)) => maker.take_opus(at, packet, &tracks.audio),
                    Err(error) => {
                        encoder = None;
                        rests_until = rest(&tracks.broadcast, &error);
                    }
                }
                continue;
            }
        };
        let frame = match step {
            Some(Read::Item(_, frame)) => frame,
            Some(Read::Gap { .. } | Read::TooSlow(_)) => continue,
            None => return,
        };
        if tracks.is_forwarded() {
            maker.note_forwarded(&frame);
            encoder = None;
            continue;
        }
        if !matches!(&*frame.config, TrackConfig::Audio(AudioConfig::Aac { .. })) {
            maker.take(&frame, &tracks.audio);
            continue;
        }
        if Instant::now() < rests_until || maker.forwarded == Some(frame.run) {
            continue;
        }
        if encoder
            .as_ref()
            .is_some_and(|one| !one.is_for(&frame.config))
        {
            encoder = None;
        }
        let started = match encoder.take() {
            Some(encoder) => Ok(encoder),
            None => ToOpus::start(ffmpeg, &frame.config),
        };
        let put = match started {
            Ok(mut started) => started.put(&frame).await.map(|()| started),
            Err(error) => Err(error),
        };
        match put {
            Ok(started) => encoder = Some(started),
            Err(error) => rests_until = rest(&tracks.broadcast, &error),
        }
    }
}

/// Sound goes on without an encoder that does not work, and another is tried later.
fn rest(broadcast: &Broadcast, error: &anyhow::Error) -> Instant {
    tracing::warn!(
        broadcast.id = %broadcast.id,
        error = format!("{error:#}"),
        "no sound over WebRTC: making Opus of AAC failed"
    );
    metrics::counter!("barrage_webrtc_encoder_failures_total").increment(1);
    Instant::now() + ENCODER_RESTS
}

/// Makes packets of frames.
struct Maker {
    kind: TrackKind,
    writer: Option<Writer<Packet>>,
    /// Whether a keyframe has to come first.
    seeking: bool,
    run: Option<u32>,
    /// The newest frame that was forwarded as packets.
    forwarded: Option<u32>,
    /// When the newest frame is shown, and its run.
    shown: Option<(u32, MediaTime)>,
}

impl Maker {
    const fn new(kind: TrackKind) -> Self {
        Self {
            kind,
            writer: None,
            seeking: matches!(kind, TrackKind::Video),
            run: None,
            forwarded: None,
            shown: None,
        }
    }

    /// Whether a picture is shown before one that was decoded before it.
    fn is_reordered(&mut self, frame: &Frame) -> bool {
        let before = self.shown.replace((frame.run, frame.pts));
        before.is_some_and(|(run, pts)| run == frame.run && frame.pts < pts)
    }

    fn note_forwarded(&mut self, frame: &Frame) {
        self.forwarded = Some(frame.run);
        // The publisher fences this writer off; afterwards there is another.
        self.writer = None;
        self.seeking = self.kind == TrackKind::Video;
    }

    fn take(&mut self, frame: &Frame, track: &Track) {
        // What a publisher over WebRTC left is in the log as packets already.
        if self.forwarded == Some(frame.run) {
            return;
        }
        if self
            .run
            .replace(frame.run)
            .is_some_and(|run| run != frame.run)
        {
            self.seeking |= self.kind == TrackKind::Video;
        }
        if self.seeking && !frame.key {
            return;
        }
        self.seeking = false;
        let (codec, payloads) = match &*frame.config {
            TrackConfig::Video(VideoConfig::H264 { record, .. }) => {
                let sets = if frame.key {
                    h264::parameter_sets_of(record)
                } else {
                    Vec::new()
                };
                (Codec::H264, packetize::h264(&frame.data, &sets))
            }
            TrackConfig::Audio(AudioConfig::Opus { .. }) => (Codec::Opus, vec![frame.data.clone()]),
            // It is made into Opus first.
            TrackConfig::Audio(AudioConfig::Aac { .. }) => return,
        };
        self.append(frame.pts, codec, frame.key, payloads, track);
    }

    /// Takes sound that an encoder made.
    fn take_opus(&mut self, at: MediaTime, packet: Bytes, track: &Track) {
        self.append(at, Codec::Opus, true, vec![packet], track);
    }

    fn append(
        &mut self,
        at: MediaTime,
        codec: Codec,
        key: bool,
        payloads: Vec<Bytes>,
        track: &Track,
    ) {
        let ticks = at.ticks(codec.clock_rate());
        let timestamp = (ticks & 0xffff_ffff) as u32;
        track.set_clock(Clock { timestamp, at });
        let (mut number, _) = track.next();
        let writer = self.writer.get_or_insert_with(|| track.log.writer());
        let count = payloads.len();
        for (index, payload) in payloads.into_iter().enumerate() {
            let packet = Packet {
                number,
                timestamp,
                at,
                codec,
                marker: codec != Codec::Opus && index + 1 == count,
                key: key && index == 0,
                payload,
            };
            number += 1;
            if writer.append(packet).is_err() {
                // A publisher over WebRTC has taken over.
                self.writer = None;
                return;
            }
        }
    }
}

/// Whether pictures are decoded in another order than shown, which players over WebRTC cannot do.
pub fn reorders(broadcast: &Broadcast) -> bool {
    broadcast.video.look(|window, _| {
        let recent = window.end().saturating_sub(120).max(window.first())..window.end();
        let shown = recent.filter_map(|offset| window.get(offset));
        let mut latest: Option<(u32, MediaTime)> = None;
        for frame in shown {
            match latest {
                Some((run, pts)) if run == frame.run && frame.pts < pts => return true,
                _ => latest = Some((frame.run, frame.pts)),
            }
        }
        false
    })
}
