//! The shell of the packager: a task for each live broadcast that reads its track logs and feeds
//! its core.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use fanout::{Lag, Read, Start};
use kit::drain::Drain;
use kit::stream::{Broadcast, Phase, Streams, TrackLog};
use media::{Frame, MediaTime, TrackKind, fmp4};
use tokio::task::{Id, JoinError, JoinSet};
use tracing::Instrument as _;
use wire::BroadcastId;

use crate::config::Config;
use crate::live::{Live, Stats};
use crate::packager::{Announced, Packager};

/// Frames taken from a log at a time, so that a long backlog does not hold up requests.
const BATCH_MAX: usize = 256;

/// LL-HLS for every broadcast of this node.
#[derive(Debug)]
pub struct Service {
    pub(crate) config: Config,
    streams: Arc<Streams>,
    index: RwLock<Index>,
    waiting: AtomicUsize,
}

/// Broadcasts by what addresses name them by.
#[derive(Debug, Default)]
struct Index {
    by_id: HashMap<BroadcastId, Arc<Live>>,
    by_handle: HashMap<String, BroadcastId>,
}

impl Service {
    /// For the broadcasts of `streams`.
    pub fn new(config: Config, streams: Arc<Streams>) -> Arc<Self> {
        tell_metrics();
        Arc::new(Self {
            config,
            streams,
            index: RwLock::default(),
            waiting: AtomicUsize::new(0),
        })
    }

    /// Packages every broadcast until the drain; then ends their playlists and returns.
    pub async fn run(self: Arc<Self>, mut drain: Drain) {
        let mut changed = self.streams.watch();
        let mut tasks = JoinSet::new();
        let mut of_task = HashMap::new();
        loop {
            changed.borrow_and_update();
            self.forget_failed();
            for broadcast in self.streams.all() {
                // Never twice: the second packager would give the names of the first anew.
                if broadcast.phase() != Phase::Ended && self.live(broadcast.id).is_none() {
                    let task = self.spawn(&mut tasks, &broadcast, &drain);
                    of_task.insert(task, broadcast.id);
                }
            }
            tokio::select! {
                // First: a packager that ends because everything does is not to be begun again.
                biased;
                () = drain.signaled() => break,
                alive = changed.changed() => if alive.is_err() { break },
                Some(ended) = tasks.join_next_with_id() => self.finish(ended, &mut of_task),
            }
        }
        // What their last playlists name stays fetchable for as long as there is somebody to serve it.
        while tasks.join_next().await.is_some() {}
    }

    fn spawn(
        self: &Arc<Self>,
        tasks: &mut JoinSet<()>,
        broadcast: &Arc<Broadcast>,
        drain: &Drain,
    ) -> Id {
        let live = Arc::new(Live::new(
            broadcast.id,
            broadcast.began_at,
            broadcast.begins_at,
            self.config.clone(),
        ));
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        index.by_id.insert(broadcast.id, Arc::clone(&live));
        index
            .by_handle
            .insert(broadcast.handle.as_str().to_owned(), broadcast.id);
        drop(index);
        let span = tracing::info_span!("package", broadcast.id = %broadcast.id);
        let task = Package {
            live,
            streams: Arc::clone(&self.streams),
            broadcast: Arc::clone(broadcast),
            drain: drain.clone(),
        };
        tasks.spawn(task.run().instrument(span)).id()
    }

    /// A task has ended, its broadcast and the time it must stay served behind it, or it panicked.
    fn finish(&self, ended: Result<(Id, ()), JoinError>, of_task: &mut HashMap<Id, BroadcastId>) {
        let (task, error) = match ended {
            Ok((task, ())) => (task, None),
            Err(error) => (error.id(), Some(error)),
        };
        let Some(id) = of_task.remove(&task) else {
            return;
        };
        if let Some(error) = error {
            tracing::error!(broadcast.id = %id, %error, "the packager of a broadcast failed");
            metrics::counter!("barrage_hls_packager_failures_total").increment(1);
            // What is there stays; it will not be taken up again, because its names are used up.
            if let Some(live) = self.live(id) {
                live.fail();
            }
            return;
        }
        self.forget(&[id]);
    }

    /// Forgets failed broadcasts that have ended since.
    fn forget_failed(&self) {
        let live: Vec<_> = self
            .streams
            .all()
            .iter()
            .map(|broadcast| broadcast.id)
            .collect();
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let failed = index
            .by_id
            .values()
            .filter(|one| one.has_failed() && !live.contains(&one.id));
        let gone: Vec<_> = failed.map(|one| one.id).collect();
        drop(index);
        self.forget(&gone);
    }

    fn forget(&self, gone: &[BroadcastId]) {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        index.by_id.retain(|id, _| !gone.contains(id));
        index.by_handle.retain(|_, id| !gone.contains(id));
    }

    pub(crate) fn live(&self, id: BroadcastId) -> Option<Arc<Live>> {
        self.index
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .by_id
            .get(&id)
            .cloned()
    }

    pub(crate) fn live_of_handle(&self, handle: &str) -> Option<Arc<Live>> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index.by_id.get(index.by_handle.get(handle)?).cloned()
    }

    /// Players that fetched a playlist of the broadcast within three target durations.
    pub fn viewers(&self, id: BroadcastId) -> u64 {
        self.live(id).map_or(0, |live| live.viewers.count())
    }

    /// What has become of a broadcast's frames.
    pub fn stats(&self, id: BroadcastId) -> Option<Stats> {
        Some(self.live(id)?.stats())
    }

    /// Leave to wait, unless too many do.
    pub(crate) fn wait(self: &Arc<Self>) -> Option<Waiting> {
        let max = self.config.waiting_requests_max;
        let one_more = |waiting| (waiting < max).then_some(waiting + 1);
        self.waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()?;
        metrics::gauge!("barrage_hls_waiting_requests").increment(1);
        Some(Waiting {
            service: Arc::clone(self),
        })
    }
}

/// Tells every metric from the start: one that appears only with its first event cannot be watched.
fn tell_metrics() {
    metrics::counter!("barrage_hls_parts_total").increment(0);
    metrics::counter!("barrage_hls_playlist_renders_total").increment(0);
    metrics::counter!("barrage_hls_gap_frames_total").increment(0);
    metrics::counter!("barrage_hls_packager_failures_total").increment(0);
    metrics::gauge!("barrage_hls_waiting_requests").set(0.0);
}

/// A request that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    service: Arc<Service>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.service.waiting.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("barrage_hls_waiting_requests").decrement(1);
    }
}

/// The task of one broadcast.
struct Package {
    live: Arc<Live>,
    streams: Arc<Streams>,
    broadcast: Arc<Broadcast>,
    drain: Drain,
}

impl Package {
    async fn run(mut self) {
        tracing::info!(channel = %self.broadcast.handle, "packaging begins");
        self.package().await;
        self.live.change(Packager::end);
        let stats = self.live.stats();
        tracing::info!(
            parts = stats.parts,
            segments = stats.segments,
            dropped_frames = stats.packager.dropped_frames,
            gap_frames = stats.packager.gap_frames,
            "packaging ended"
        );
        // What players still have in a playlist must stay fetchable (RFC 8216bis §6.2.2).
        let config = &self.live.config;
        let stays = config.window_s.saturating_add(config.target_duration_s * 3);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(u64::from(stays))) => {}
            () = self.drain.signaled() => {}
        }
    }

    /// Feeds the core until both logs end, the broadcast is off stage, or the drain.
    async fn package(&mut self) {
        let mut video = Track::new(&self.broadcast.video, TrackKind::Video);
        let mut audio = Track::new(&self.broadcast.audio, TrackKind::Audio);
        let mut stage = self.streams.watch();
        loop {
            // 1. Wait for anything.
            let first = tokio::select! {
                step = video.reader.read(), if !video.ended => (TrackKind::Video, step),
                step = audio.reader.read(), if !audio.ended => (TrackKind::Audio, step),
                () = self.drain.signaled() => return,
                alive = stage.changed() => {
                    if alive.is_err() || !self.is_on_stage() {
                        return;
                    }
                    continue;
                }
            };
            // 2. Take what else is there.
            let mut steps = Vec::new();
            let (kind, step) = first;
            let track = match kind {
                TrackKind::Video => &mut video,
                TrackKind::Audio => &mut audio,
            };
            match step {
                Some(step) => steps.push(track.note(step)),
                None => track.ended = true,
            }
            take_both(&mut video, &mut audio, &mut steps);
            // 3. Hand it to the core, and wake who waits, once.
            if !steps.is_empty() {
                let announced = self.broadcast.announced();
                let newest = self.broadcast.video.last();
                let has_form = newest.is_none_or(|frame| fmp4::carries(&frame.config));
                self.live.change(|packager| {
                    packager.announce(Announced {
                        // Nobody waits for pictures that no player takes.
                        video: announced.video.map(|video| video && has_form),
                        audio: announced.audio,
                    });
                    for (kind, step) in steps {
                        feed(packager, kind, step);
                    }
                    self.broadcast.set_zero_at(packager.zero_at());
                });
            }
            if video.ended && audio.ended {
                return;
            }
        }
    }

    /// Whether the registry still has this broadcast; if another took its place, nobody will end
    /// its logs.
    fn is_on_stage(&self) -> bool {
        let now = self.streams.of_channel(self.broadcast.channel);
        // One that ended properly is read to the end of its logs.
        now.is_none_or(|now| now.id == self.broadcast.id)
    }
}

/// One track's log, as it is read.
struct Track {
    kind: TrackKind,
    reader: fanout::Reader<Frame>,
    /// Decoding time of the frame read last.
    read_to: MediaTime,
    ended: bool,
}

impl Track {
    fn new(log: &TrackLog, kind: TrackKind) -> Self {
        Self {
            kind,
            reader: log.reader(Start::Oldest, Lag::Record),
            read_to: MediaTime::ZERO,
            ended: false,
        }
    }

    fn try_read(&mut self) -> Option<(TrackKind, Read<Frame>)> {
        let step = self.reader.try_read()?;
        Some(self.note(step))
    }

    fn note(&mut self, step: Read<Frame>) -> (TrackKind, Read<Frame>) {
        if let Read::Item(_, frame) = &step {
            self.read_to = frame.dts;
        }
        (self.kind, step)
    }
}

/// Takes what is there of both tracks, always of the one that is behind, so that after a burst
/// neither seems to be missing while the other goes on.
fn take_both(video: &mut Track, audio: &mut Track, steps: &mut Vec<(TrackKind, Read<Frame>)>) {
    while steps.len() < BATCH_MAX {
        let (behind, ahead) = if audio.read_to < video.read_to {
            (&mut *audio, &mut *video)
        } else {
            (&mut *video, &mut *audio)
        };
        let Some(step) = behind.try_read().or_else(|| ahead.try_read()) else {
            return;
        };
        steps.push(step);
    }
}

fn feed(packager: &mut Packager, kind: TrackKind, step: Read<Frame>) {
    match step {
        Read::Item(_, frame) if !fmp4::carries(&frame.config) => {}
        Read::Item(_, frame) => packager.push(frame),
        Read::Gap { from, to } => {
            let frames = to.offset.saturating_sub(from.offset);
            tracing::warn!(
                track = kind.as_str(),
                frames,
                "frames left the log before they were read"
            );
            metrics::counter!("barrage_hls_gap_frames_total").increment(frames);
            packager.gap(kind, frames);
        }
        // Only cursors that end when they fall behind say so.
        Read::TooSlow(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use wire::ChannelId;

    use super::*;
    use crate::testing::BEGAN_AT;

    #[tokio::test]
    async fn a_packager_that_panics_costs_its_broadcast_alone() {
        let streams = Streams::new();
        let service = Service::new(Config::default(), Arc::clone(&streams));
        let (_signal, drain) = kit::drain::channel();
        let mut tasks = JoinSet::new();
        let mut of_task = HashMap::new();
        let handles = ["one_lives", "one_fails"];
        let [lives, fails] = handles.map(|handle| {
            let handle = handle.parse().unwrap();
            let broadcast = Broadcast::new(BroadcastId::new(), ChannelId::new(), handle, BEGAN_AT);
            let broadcast = Arc::new(broadcast);
            streams.begin(Arc::clone(&broadcast));
            service.spawn(&mut tasks, &broadcast, &drain);
            broadcast
        });
        let mut failing = JoinSet::new();
        let task = failing
            .spawn(async { panic!("an invariant is broken") })
            .id();
        of_task.insert(task, fails.id);
        service.finish(failing.join_next_with_id().await.unwrap(), &mut of_task);

        assert!(
            service.live(fails.id).unwrap().is_over(),
            "nobody waits for it"
        );
        assert!(!service.live(lives.id).unwrap().is_over());
        streams.end(&fails);
        service.forget_failed();
        assert!(service.live(fails.id).is_none() && service.live(lives.id).is_some());
    }
}
