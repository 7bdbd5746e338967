//! One broadcast as requests see it: the packager's state, its renderings, and who waits for more.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use media::{MediaTime, TrackKind, WallTime};
use tokio::sync::watch;
use tokio::time::Instant;
use wire::BroadcastId;

use crate::config::Config;
use crate::packager::{Packager, Stats as Counts};
use crate::playlist::{self, Form};
use crate::presentation::{Presentation, Rendition};
use crate::viewers::Viewers;

/// A playlist as it goes out, plain and compressed, made once and shared.
#[derive(Clone, Debug)]
pub(crate) struct Rendered {
    pub(crate) plain: Bytes,
    pub(crate) gzip: Bytes,
}

impl Rendered {
    fn new(text: String) -> Self {
        let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4), Compression::fast());
        // Writing to a vector cannot fail; if it did, there would be no compressed form to choose.
        let written = encoder
            .write_all(text.as_bytes())
            .and_then(|()| encoder.finish());
        metrics::counter!("barrage_hls_playlist_renders_total").increment(1);
        Self {
            plain: text.into(),
            gzip: written.unwrap_or_default().into(),
        }
    }
}

/// One rendering, and which version of its rendition it shows.
type Cached = Mutex<Option<(u64, Rendered)>>;

/// What an interface shows of a broadcast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// What the packager counted.
    pub packager: Counts,
    /// Segments of pictures, or of sound when there are no pictures, begun so far.
    pub segments: u64,
    /// Parts of both tracks so far.
    pub parts: u64,
    /// Bytes of media held.
    pub held_bytes: u64,
    /// `PART-TARGET`, in microseconds.
    pub part_target_us: i64,
    /// From the first keyframe's arrival to its part being there, in microseconds.
    pub first_key_to_first_part_us: Option<u64>,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) id: BroadcastId,
    pub(crate) config: Config,
    pub(crate) viewers: Viewers,
    packager: RwLock<Packager>,
    /// Counts the changes of pictures, of sound and of the whole; those who wait look again when it
    /// does. Apart, so that a new part of one track does not wake those who wait for the other.
    changed: [watch::Sender<u64>; 3],
    media: [[Cached; 2]; 2],
    multivariant: Cached,
    first_key: Mutex<Option<Instant>>,
    first_part_us: AtomicU64,
    parts: AtomicU64,
    failed: AtomicBool,
}

impl Live {
    /// For a broadcast that began at `began_at` and whose media this server has from `begins_at` on.
    pub(crate) fn new(
        id: BroadcastId,
        began_at: WallTime,
        begins_at: MediaTime,
        config: Config,
    ) -> Self {
        let packager = Packager::new(config.clone(), began_at).resuming_at(begins_at);
        let lasts = std::time::Duration::from_secs(u64::from(config.target_duration_s) * 3);
        Self {
            id,
            viewers: Viewers::new(config.viewers_max, lasts),
            packager: RwLock::new(packager),
            config,
            changed: Default::default(),
            media: Default::default(),
            multivariant: Mutex::default(),
            first_key: Mutex::default(),
            first_part_us: AtomicU64::new(0),
            parts: AtomicU64::new(0),
            failed: AtomicBool::new(false),
        }
    }

    /// Lets the packager's state change, and wakes who waits if a playlist changed with it.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Packager)) {
        let mut packager = self
            .packager
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let before = versions(&packager.presentation());
        let (had_key, was_ended) = (packager.has_key(), packager.is_ended());
        change(&mut packager);
        let presentation = packager.presentation();
        let after = versions(&presentation);
        if !had_key && packager.has_key() {
            *self
                .first_key
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        if before.0 == 0 && after.0 > 0 {
            self.note_first_part();
        }
        let of_all = before.2 != after.2 || was_ended != packager.is_ended();
        self.parts.store(after.3, Ordering::Relaxed);
        metrics::counter!("barrage_hls_parts_total").increment(after.3.saturating_sub(before.3));
        drop(packager);
        let changes = [before.0 != after.0, before.1 != after.1, before != after];
        for (changed, _) in self
            .changed
            .iter()
            .zip(changes)
            .filter(|(_, now)| *now || of_all)
        {
            changed.send_modify(|count| *count += 1);
        }
    }

    fn note_first_part(&self) {
        let began = *self
            .first_key
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(began) = began else { return };
        let elapsed = began.elapsed();
        let us = u64::try_from(elapsed.as_micros())
            .unwrap_or(u64::MAX)
            .max(1);
        self.first_part_us.store(us, Ordering::Relaxed);
        metrics::histogram!("barrage_hls_first_part_seconds").record(elapsed.as_secs_f64());
    }

    /// The task that would change it died: nobody shall wait for that.
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
        for changed in &self.changed {
            changed.send_modify(|count| *count += 1);
        }
    }

    /// Whether its task died.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// To wait for changes of one track, or of anything.
    pub(crate) fn watch(&self, kind: Option<TrackKind>) -> watch::Receiver<u64> {
        self.changed[kind.map_or(2, |kind| kind as usize)].subscribe()
    }

    /// Looks at what there is. Nothing may wait meanwhile.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Presentation<'_>) -> R) -> R {
        look(&self.read().presentation())
    }

    fn read(&self) -> RwLockReadGuard<'_, Packager> {
        self.packager.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A media playlist as it is now: made by whoever asks first after a change, shared by all.
    pub(crate) fn media_playlist(&self, kind: TrackKind, form: Form) -> Option<Rendered> {
        let cached = &self.media[kind as usize][form as usize];
        let mut cached = cached.lock().unwrap_or_else(PoisonError::into_inner);
        let packager = self.read();
        let presentation = packager.presentation();
        let version = presentation.rendition(kind)?.version();
        if let Some((_, rendered)) = cached.as_ref().filter(|(of, _)| *of == version) {
            return Some(rendered.clone());
        }
        let text = playlist::media(&presentation, kind, form, &self.config)?;
        drop(packager);
        let rendered = Rendered::new(text);
        *cached = Some((version, rendered.clone()));
        Some(rendered)
    }

    /// The multivariant playlist as it is now.
    pub(crate) fn multivariant_playlist(&self) -> Option<Rendered> {
        let mut cached = self
            .multivariant
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let packager = self.read();
        let presentation = packager.presentation();
        let (video, audio, _, _) = versions(&presentation);
        let version = video + audio;
        if let Some((_, rendered)) = cached.as_ref().filter(|(of, _)| *of == version) {
            return Some(rendered.clone());
        }
        let text = playlist::multivariant(&presentation, self.id)?;
        drop(packager);
        let rendered = Rendered::new(text);
        *cached = Some((version, rendered.clone()));
        Some(rendered)
    }

    /// Whether nothing more will come.
    pub(crate) fn is_over(&self) -> bool {
        self.read().is_ended() || self.has_failed()
    }

    pub(crate) fn stats(&self) -> Stats {
        let packager = self.read();
        let presentation = packager.presentation();
        let renditions = || {
            [presentation.video, presentation.audio]
                .into_iter()
                .flatten()
        };
        let first_part_us = self.first_part_us.load(Ordering::Relaxed);
        Stats {
            packager: packager.stats(),
            segments: renditions()
                .next()
                .and_then(Rendition::newest)
                .map_or(0, |(msn, _)| msn + 1 - packager.first_msn()),
            parts: self.parts.load(Ordering::Relaxed),
            held_bytes: renditions().map(|rendition| rendition.bytes() as u64).sum(),
            part_target_us: presentation.part_target_us,
            first_key_to_first_part_us: (first_part_us > 0).then_some(first_part_us),
        }
    }
}

/// What tells whether a playlist has changed: versions of both renditions and whether the tracks
/// are known. The parts so far come last.
fn versions(presentation: &Presentation<'_>) -> (u64, u64, bool, u64) {
    let version = |rendition: Option<&Rendition>| rendition.map_or(0, Rendition::version);
    let parts = |rendition: Option<&Rendition>| rendition.map_or(0, Rendition::parts_total);
    (
        version(presentation.video),
        version(presentation.audio),
        presentation.ready,
        parts(presentation.video) + parts(presentation.audio),
    )
}
