//! Renditions: a track of a broadcast in a codec in which its publisher does not send it.
//!
//! An ffmpeg child makes each, or sound the process itself where it was built to, once for everybody and
//! only while somebody needs it. What comes out is a track log like those of the broadcast, on the same
//! timeline.

mod child;
mod coder;
#[cfg(feature = "libfdk")]
mod inside;
mod matroska;
mod ogg;
mod output;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fanout::{Bounds, Lag, Log, Read, Reader, Start, Writer};
use media::{AudioConfig, Frame, MediaTime, TrackConfig, TrackKind, VideoConfig};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};
use wire::BroadcastId;

use self::coder::Coder;
use crate::stream::{Broadcast, TRACK_WINDOW, TrackLog, measure};

/// How long it is waited after a coder has failed: twice as long each time, until one has worked so
/// long.
const RESTS: Duration = Duration::from_secs(1);
const RESTS_MAX: Duration = Duration::from_mins(1);
const WORKS_FOR: Duration = Duration::from_secs(20);

/// A coder of pictures that is slower than they come goes on with the newest keyframe.
const BEHIND_MAX: Bounds = Bounds {
    items: u64::MAX,
    span_micros: 4_000_000,
};

/// How long somebody waits to hear whether a rendition works. A child takes a tenth of a second.
const SETTLES_WITHIN: Duration = Duration::from_secs(1);

/// How long it is known that something fails which nobody needs any more.
const FAILS_FOR: Duration = Duration::from_secs(30);

/// How long pictures are called slow after some were left out.
const SLOW_FOR: Duration = Duration::from_secs(30);

/// Profile, constraints and level of pictures in order: those that every browser knows.
pub const PROFILE: [u8; 3] = [0x42, 0xc0, 0x1f];

/// What makes renditions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The program that decodes and encodes.
    pub ffmpeg: String,
    /// Broadcasts whose pictures may be made anew at once, where their channels want it; each takes a
    /// core. Sound costs next to nothing.
    pub pictures: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ffmpeg: "ffmpeg".into(),
            pictures: 1,
        }
    }
}

/// What a rendition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Sound in Opus, which browsers take over WebRTC.
    Opus,
    /// Sound in AAC, which players of FLV and RTMP know.
    Aac,
    /// Pictures in H.264 that are shown in the order in which they are decoded.
    InOrder,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Opus, Self::Aac, Self::InOrder];

    /// As it stands in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Aac => "aac",
            Self::InOrder => "in_order",
        }
    }

    /// What it is a rendition of.
    pub const fn track(self) -> TrackKind {
        match self {
            Self::Opus | Self::Aac => TrackKind::Audio,
            Self::InOrder => TrackKind::Video,
        }
    }

    /// What is missing without it.
    const fn missed(self) -> &'static str {
        match self {
            Self::Opus => "no sound over WebRTC",
            Self::Aac => "no sound over FLV and RTMP",
            Self::InOrder => "no pictures over WebRTC",
        }
    }

    /// Whether what comes under `config` has to be made into it.
    pub const fn is_made_of(self, config: &TrackConfig) -> bool {
        match (self, config) {
            (Self::Opus, TrackConfig::Audio(AudioConfig::Aac { .. }))
            | (Self::Aac, TrackConfig::Audio(AudioConfig::Opus { .. }))
            | (Self::InOrder, TrackConfig::Video(VideoConfig::H264 { .. })) => true,
            (_, TrackConfig::Audio(_) | TrackConfig::Video(_)) => false,
        }
    }

    /// Where a rendition begins: at once for players who begin in the past, with the latest keyframe.
    fn start(self, broadcast: &Broadcast) -> (Start, MediaTime) {
        let key = || {
            broadcast.video.look(|window, _| {
                let key = window.last_key().and_then(|at| window.get(at));
                key.map(|frame| frame.dts)
            })
        };
        match self {
            Self::Aac => match key() {
                Some(from) => (self.read_from(), from),
                None => (Start::Live, MediaTime::ZERO),
            },
            Self::Opus | Self::InOrder => (self.read_from(), MediaTime::ZERO),
        }
    }

    /// Where who needs it begins to read.
    const fn read_from(self) -> Start {
        match self {
            Self::Opus => Start::Live,
            Self::Aac => Start::Oldest,
            Self::InOrder => Start::LatestKey,
        }
    }
}

/// Whether a rendition works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Begins,
    Works,
    Fails,
}

/// How the pictures of a broadcast fare that are put in order, or would be for whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fare {
    /// They can be had.
    Well,
    /// Others are made already, as many as may be.
    NoRoom,
    /// They come slower than the publisher's, so that some are left out.
    Slow,
    /// They cannot be made.
    Fails,
}

/// A rendition, and who needs it.
#[derive(Debug)]
struct Rendition {
    log: TrackLog,
    needed_by: AtomicUsize,
    deserted: Notify,
    state: watch::Sender<State>,
    /// When something of its source was left out last, because it is made too slowly.
    behind_at: Mutex<Option<Instant>>,
}

impl Rendition {
    fn new() -> Self {
        Self {
            log: Log::new(0, TRACK_WINDOW, measure),
            needed_by: AtomicUsize::new(0),
            deserted: Notify::new(),
            state: watch::Sender::new(State::Begins),
            behind_at: Mutex::default(),
        }
    }

    fn fare(&self) -> Fare {
        let behind_at = self.behind_at.lock();
        let behind_at = *behind_at.unwrap_or_else(PoisonError::into_inner);
        if *self.state.borrow() == State::Fails {
            Fare::Fails
        } else if behind_at.is_some_and(|at| at.elapsed() < SLOW_FOR) {
            Fare::Slow
        } else {
            Fare::Well
        }
    }

    /// Notes that something was left out; tells whether that has not been so for a while.
    fn falls_behind(&self) -> bool {
        let mut behind_at = self
            .behind_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let before = behind_at.replace(Instant::now());
        before.is_none_or(|before| before.elapsed() >= SLOW_FOR)
    }
}

type Open = HashMap<(BroadcastId, Kind), Arc<Rendition>>;

/// The renditions there are.
#[derive(Debug)]
pub struct Renditions {
    config: Config,
    open: Mutex<Open>,
}

/// Reads a rendition, which is made for as long as somebody does.
#[derive(Debug)]
pub struct Feed {
    rendition: Arc<Rendition>,
    frames: Reader<Frame>,
}

impl Feed {
    /// The next frame; never, once there is no more.
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> Frame {
        loop {
            match self.frames.read().await {
                Some(Read::Item(_, frame)) => return frame,
                Some(Read::Gap { .. } | Read::TooSlow(_)) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// The next frame of one that there may be; never, if there is none.
    ///
    /// Cancel safe.
    pub async fn next_of(feed: &mut Option<Self>) -> Frame {
        match feed {
            Some(feed) => feed.next().await,
            None => std::future::pending().await,
        }
    }

    /// The next frame, if it is there.
    pub fn try_next(&mut self) -> Option<Frame> {
        loop {
            match self.frames.try_read()? {
                Read::Item(_, frame) => return Some(frame),
                Read::Gap { .. } | Read::TooSlow(_) => {}
            }
        }
    }

    /// Whether anything comes of it: `false` when it is known to fail. What is not known after a while
    /// is hoped for.
    pub async fn works(&self) -> bool {
        let mut state = self.rendition.state.subscribe();
        let settled = state.wait_for(|state| *state != State::Begins);
        match tokio::time::timeout(SETTLES_WITHIN, settled).await {
            Ok(Ok(state)) => *state == State::Works,
            Ok(Err(_)) | Err(_) => true,
        }
    }

    /// How its frames are coded, once there is one.
    pub fn config(&self) -> Option<Arc<TrackConfig>> {
        self.rendition.log.last().map(|frame| frame.config)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if self.rendition.needed_by.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.rendition.deserted.notify_one();
        }
    }
}

impl Renditions {
    /// None yet.
    pub fn new(config: Config) -> Arc<Self> {
        for kind in Kind::ALL {
            metrics::counter!("barrage_rendition_failures_total", "kind" => kind.as_str())
                .increment(0);
        }
        metrics::counter!("barrage_rendition_skips_total").increment(0);
        Arc::new(Self {
            config,
            open: Mutex::default(),
        })
    }

    /// Whether the pictures of a broadcast can be had in order, and how.
    pub fn fare(&self, broadcast: BroadcastId) -> Fare {
        let open = self.lock();
        match open.get(&(broadcast, Kind::InOrder)) {
            Some(made) => made.fare(),
            None if self.has_room_in(&open) => Fare::Well,
            None => Fare::NoRoom,
        }
    }

    fn has_room_in(&self, open: &Open) -> bool {
        let kinds = open.keys();
        let pictures = kinds.filter(|(_, kind)| kind.track() == TrackKind::Video);
        pictures.count() < self.config.pictures
    }

    /// The pictures of a broadcast in order, from what is held of them on; `None` if there are too many
    /// already. Must be called within a runtime.
    pub fn pictures(self: &Arc<Self>, broadcast: &Arc<Broadcast>) -> Option<Feed> {
        let open = self.lock();
        let key = (broadcast.id, Kind::InOrder);
        let may = open.contains_key(&key) || self.has_room_in(&open);
        may.then(|| self.feed_in(open, broadcast, Kind::InOrder))
    }

    /// The sound of a broadcast as `kind`. Must be called within a runtime.
    pub fn sound(self: &Arc<Self>, broadcast: &Arc<Broadcast>, kind: Kind) -> Feed {
        self.feed_in(self.lock(), broadcast, kind)
    }

    fn feed_in(
        self: &Arc<Self>,
        mut open: MutexGuard<'_, Open>,
        broadcast: &Arc<Broadcast>,
        kind: Kind,
    ) -> Feed {
        let rendition = open.entry((broadcast.id, kind)).or_insert_with(|| {
            let rendition = Arc::new(Rendition::new());
            let keep = Arc::clone(self).keep(kind, Arc::clone(broadcast), Arc::clone(&rendition));
            tokio::spawn(keep);
            rendition
        });
        rendition.needed_by.fetch_add(1, Ordering::AcqRel);
        Feed {
            rendition: Arc::clone(rendition),
            frames: rendition.log.reader(kind.read_from(), Lag::Record),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // The map is whole between any two statements.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a rendition until nobody needs it, or the broadcast ends.
    async fn keep(self: Arc<Self>, kind: Kind, broadcast: Arc<Broadcast>, made: Arc<Rendition>) {
        let key = (broadcast.id, kind);
        tracing::info!(broadcast.id = %broadcast.id, kind = kind.as_str(), "a rendition begins");
        let maker = Maker {
            kind,
            ffmpeg: &self.config.ffmpeg,
            writer: made.log.writer(),
            rendition: &made,
            coder: None,
            rests: RESTS,
            rests_until: Instant::now(),
            began_at: Instant::now(),
        };
        tokio::select! {
            () = maker.make(&broadcast) => {
                self.lock().remove(&key);
            }
            () = self.until_deserted(key, &made) => {}
        }
        made.log.end();
        tracing::info!(broadcast.id = %broadcast.id, kind = kind.as_str(), "a rendition ends");
    }

    /// Returns once nobody needs it, and nobody can come any more.
    async fn until_deserted(&self, key: (BroadcastId, Kind), made: &Rendition) {
        loop {
            made.deserted.notified().await;
            // Whoever asks next does not have to find out once more.
            if *made.state.borrow() == State::Fails {
                sleep(FAILS_FOR).await;
            }
            // Under the lock, so that nobody comes between looking and closing.
            let mut open = self.lock();
            if made.needed_by.load(Ordering::Acquire) == 0 {
                open.remove(&key);
                return;
            }
        }
    }
}

/// What comes out of a coder that there may be.
async fn made_by(coder: &mut Option<Coder>) -> anyhow::Result<Frame> {
    match coder {
        Some(coder) => coder.next().await,
        None => std::future::pending().await,
    }
}

/// Makes one rendition.
struct Maker<'a> {
    kind: Kind,
    ffmpeg: &'a str,
    writer: Writer<Frame>,
    rendition: &'a Rendition,
    coder: Option<Coder>,
    /// How long the next failure is rested from.
    rests: Duration,
    rests_until: Instant,
    began_at: Instant,
}

impl Maker<'_> {
    async fn make(mut self, broadcast: &Broadcast) {
        let (start, from) = self.kind.start(broadcast);
        let source = broadcast.track(self.kind.track());
        let source_is_sound = self.kind.track() == TrackKind::Audio;
        let lag = if source_is_sound {
            Lag::Record
        } else {
            Lag::SkipToKey(BEHIND_MAX)
        };
        let mut frames = source.reader(start, lag);
        loop {
            tokio::select! {
                step = frames.read() => match step {
                    Some(Read::Item(_, frame)) if frame.dts < from => {}
                    Some(Read::Item(_, frame)) => {
                        if let Err(error) = self.take(broadcast, &frame).await {
                            self.rest(broadcast, &error);
                        }
                    }
                    Some(Read::Gap { .. } | Read::TooSlow(_)) if source_is_sound => {}
                    // Pictures refer to those that are missing.
                    Some(Read::Gap { .. } | Read::TooSlow(_)) => {
                        if self.coder.take().is_some() {
                            self.tell_slow(broadcast);
                        }
                    }
                    None => return,
                },
                made = made_by(&mut self.coder) => match made {
                    Ok(frame) => {
                        self.rendition.state.send_replace(State::Works);
                        if self.writer.append(frame).is_err() {
                            return;
                        }
                    }
                    Err(error) => self.rest(broadcast, &error),
                },
            }
        }
    }

    /// Takes a frame of the publisher's.
    async fn take(&mut self, broadcast: &Broadcast, frame: &Frame) -> anyhow::Result<()> {
        if !self.kind.is_made_of(&frame.config) {
            self.coder = None;
            return Ok(());
        }
        if Instant::now() < self.rests_until {
            return Ok(());
        }
        if self.coder.as_ref().is_some_and(|one| !one.is_for(frame)) {
            self.coder = None;
        }
        let coder = match &mut self.coder {
            Some(coder) => coder,
            None if !frame.key => return Ok(()),
            None => {
                let video = broadcast.stats().video;
                self.began_at = Instant::now();
                let coder = Coder::start(self.ffmpeg, self.kind, frame, video.as_ref())?;
                self.coder.insert(coder)
            }
        };
        coder.put(frame).await
    }

    /// Pictures are coded slower than they come, and go on with the newest keyframe.
    fn tell_slow(&self, broadcast: &Broadcast) {
        metrics::counter!("barrage_rendition_skips_total").increment(1);
        if self.rendition.falls_behind() {
            tracing::warn!(
                broadcast.id = %broadcast.id,
                "pictures are made anew slower than they come, and some are left out: they are too large \
                 for this machine, see `transcode.pictures` in the settings"
            );
        }
    }

    /// All else goes on without a coder that does not work, and another is tried later.
    fn rest(&mut self, broadcast: &Broadcast, error: &anyhow::Error) {
        self.coder = None;
        if self.began_at.elapsed() >= WORKS_FOR {
            self.rests = RESTS;
        }
        self.rendition.state.send_replace(State::Fails);
        tracing::warn!(
            broadcast.id = %broadcast.id,
            error = format!("{error:#}"),
            rests_s = self.rests.as_secs(),
            "{}: see `transcode.ffmpeg` in the settings",
            self.kind.missed()
        );
        metrics::counter!("barrage_rendition_failures_total", "kind" => self.kind.as_str())
            .increment(1);
        self.rests_until = Instant::now() + self.rests;
        self.rests = (self.rests * 2).min(RESTS_MAX);
    }
}
