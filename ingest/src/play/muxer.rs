//! From the track logs of a broadcast to one derived log: pictures and sound in one order, each
//! encoded once.

use std::sync::Arc;

use fanout::{Lag, Packet, Read, Reader, Role, Setup, Writer};
use kit::rendition::Renditions;
use kit::stream::{Broadcast, Phase};
use media::flv::is_known;
use media::{Frame, TrackConfig, TrackKind};
use tokio::sync::watch;

use super::Encoding;
use super::encoding::timestamp_of;
use super::sound::Sound;

/// Without a picture, sound goes out alone once there is so much of it.
const SOUND_ALONE_MICROS: i64 = 1_000_000;

/// What decides the order and the set-ups. Pure: frames in, packets out.
#[derive(Debug)]
pub(super) struct Muxer {
    encoding: Encoding,
    fps: Option<f64>,
    video: Option<Arc<TrackConfig>>,
    audio: Option<Arc<TrackConfig>>,
    setup: Option<Arc<Setup>>,
    /// Sound before this is from before the first picture.
    from_micros: i64,
    /// Whether there are pictures to wait for.
    has_video: bool,
    /// The run of the pictures; a new one begins with a keyframe.
    run: Option<u32>,
}

impl Muxer {
    pub(super) const fn new(encoding: Encoding, has_video: bool, fps: Option<f64>) -> Self {
        Self {
            encoding,
            fps,
            video: None,
            audio: None,
            setup: None,
            from_micros: i64::MIN,
            has_video,
            run: None,
        }
    }

    /// Notes a set-up that is known before its first frame comes.
    pub(super) fn expect(&mut self, config: Arc<TrackConfig>) {
        match config.kind() {
            TrackKind::Video => self.video = Some(config),
            TrackKind::Audio => self.audio = Some(config),
        }
    }

    /// The packet of a frame; none if nobody could decode it.
    pub(super) fn take(&mut self, frame: &Frame) -> Option<Packet> {
        let kind = frame.config.kind();
        if !is_known(&frame.config) {
            if kind == TrackKind::Video {
                // Another publisher may have gone on with pictures that players do not take.
                self.go_without_video();
            }
            return None;
        }
        match kind {
            TrackKind::Video => {
                if self.run != Some(frame.run) {
                    if !frame.key {
                        return None;
                    }
                    if self.run.is_none() {
                        self.from_micros = frame.dts.as_micros();
                    }
                    self.run = Some(frame.run);
                    self.has_video = true;
                }
            }
            TrackKind::Audio => {
                let early = self.has_video && self.run.is_none();
                if early || frame.dts.as_micros() < self.from_micros {
                    // Nobody hears it, and it tells what sound there will be.
                    if self.setup.is_none() {
                        self.expect(Arc::clone(&frame.config));
                    }
                    return None;
                }
            }
        }
        let encoded = self.encoding.frame(frame)?;
        let setup = self.set_up(frame);
        let picture = kind == TrackKind::Video;
        Some(Packet {
            encoded,
            setup,
            role: if picture { Role::Picture } else { Role::Sound },
            key: if self.has_video {
                picture && frame.key
            } else {
                true
            },
            flush: picture || !self.has_video,
            at_micros: frame.dts.as_micros(),
        })
    }

    /// Says that nothing comes for now, or that it comes again.
    pub(super) fn dry(&self, dry: bool, at_micros: i64) -> Option<Packet> {
        Some(Packet {
            encoded: self.encoding.dry(dry)?,
            setup: Arc::clone(self.setup.as_ref()?),
            role: Role::Other,
            key: false,
            flush: true,
            at_micros,
        })
    }

    /// Pictures were lost: the next is to be a keyframe.
    pub(super) const fn lost(&mut self) {
        self.run = None;
    }

    /// Whether sound is held back for want of a picture.
    const fn waits_for_video(&self) -> bool {
        self.has_video && self.run.is_none()
    }

    fn go_without_video(&mut self) {
        self.has_video = false;
        self.run = None;
        self.video = None;
    }

    /// The set-up in force with a frame.
    fn set_up(&mut self, frame: &Frame) -> Arc<Setup> {
        let config = &frame.config;
        let known = match config.kind() {
            TrackKind::Video => &mut self.video,
            TrackKind::Audio => &mut self.audio,
        };
        let same = known
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, config) || known == config);
        if !same {
            *known = Some(Arc::clone(config));
        }
        if let Some(setup) = self.setup.as_ref().filter(|_| same) {
            return Arc::clone(setup);
        }
        let tracks: Vec<&TrackConfig> = [&self.video, &self.audio]
            .into_iter()
            .flatten()
            .map(|config| &**config)
            .collect();
        // The first stands before every frame, whoever comes when.
        let at = self.setup.as_ref().map_or(0, |_| timestamp_of(frame));
        let set_up = |new: &[&TrackConfig]| {
            let new = new.iter().copied();
            self.encoding.setup(&tracks, new, self.fps, at)
        };
        let setup = Arc::new(Setup {
            number: self.setup.as_ref().map_or(0, |setup| setup.number + 1),
            whole: set_up(&tracks),
            change: set_up(&[config]),
        });
        self.setup = Some(Arc::clone(&setup));
        setup
    }
}

/// The track logs of a broadcast as one sequence of frames: what came first goes first, and of what
/// is there at once the earlier.
struct Tracks {
    broadcast: Arc<Broadcast>,
    video: Reader<Frame>,
    audio: Sound,
    next_video: Option<Frame>,
    next_audio: Option<Frame>,
    video_ended: bool,
    audio_ended: bool,
}

/// What comes next of a broadcast.
enum Next {
    Frame(Frame),
    Lost,
    Dry(bool),
    End,
}

impl Tracks {
    fn new(broadcast: &Arc<Broadcast>, renditions: &Arc<Renditions>) -> Self {
        Self {
            broadcast: Arc::clone(broadcast),
            video: broadcast
                .video
                .reader(fanout::Start::LatestKey, Lag::Record),
            audio: Sound::new(broadcast, renditions),
            next_video: None,
            next_audio: None,
            video_ended: false,
            audio_ended: false,
        }
    }

    /// Cancel safe.
    async fn next(&mut self, phase: &mut watch::Receiver<Phase>) -> Next {
        loop {
            if self.next_video.is_none()
                && let Some(step) = self.video.try_read()
            {
                match step {
                    Read::Item(_, frame) => self.next_video = Some(frame),
                    Read::Gap { .. } | Read::TooSlow(_) => return Next::Lost,
                }
            }
            if self.next_audio.is_none() {
                self.next_audio = self.audio.try_read();
            }
            let take_audio = match (&self.next_video, &self.next_audio) {
                (Some(video), Some(audio)) => audio.dts <= video.dts,
                (None, Some(_)) => true,
                (Some(_), None) => false,
                (None, None) => {
                    if self.video_ended && self.audio_ended {
                        return Next::End;
                    }
                    if let Some(next) = self.wait(phase).await {
                        return next;
                    }
                    continue;
                }
            };
            let next = if take_audio {
                &mut self.next_audio
            } else {
                &mut self.next_video
            };
            if let Some(frame) = next.take() {
                return Next::Frame(frame);
            }
        }
    }

    async fn wait(&mut self, phase: &mut watch::Receiver<Phase>) -> Option<Next> {
        tokio::select! {
            step = self.video.read(), if !self.video_ended => match step {
                Some(Read::Item(_, frame)) => self.next_video = Some(frame),
                Some(Read::Gap { .. } | Read::TooSlow(_)) => return Some(Next::Lost),
                None => self.video_ended = true,
            },
            frame = self.audio.read(), if !self.audio_ended => match frame {
                Some(frame) => self.next_audio = Some(frame),
                None => self.audio_ended = true,
            },
            Ok(()) = phase.changed() => match *phase.borrow_and_update() {
                Phase::Live => return Some(Next::Dry(false)),
                Phase::Waiting => return Some(Next::Dry(true)),
                Phase::Ended => {}
            },
        }
        None
    }

    /// Whether pictures are to be waited for before there is sound.
    fn expects_video(&self) -> bool {
        if let Some(picture) = self.broadcast.video.last() {
            return is_known(&picture.config);
        }
        let sound = self.broadcast.audio.look(|window, _| {
            let at = |offset| window.meta(offset).map(|meta| meta.at_micros);
            match (at(window.first()), at(window.end().wrapping_sub(1))) {
                (Some(first), Some(last)) => last - first,
                _ => 0,
            }
        });
        self.broadcast.announced().video != Some(false) && sound < SOUND_ALONE_MICROS
    }
}

/// Fills a derived log until the broadcast ends.
pub(super) async fn mux(
    broadcast: Arc<Broadcast>,
    renditions: &Arc<Renditions>,
    encoding: Encoding,
    writer: Writer<Packet>,
) {
    let mut phase = broadcast.watch_phase();
    phase.mark_unchanged();
    let mut tracks = Tracks::new(&broadcast, renditions);
    let fps = broadcast.stats().video.map(|video| video.fps);
    let mut muxer = Muxer::new(encoding, tracks.expects_video(), fps);
    let pictures = broadcast.video.last().map(|frame| frame.config);
    let sound = tracks.audio.expected().await;
    let known = [pictures, sound].into_iter().flatten();
    for config in known.filter(|config| is_known(config)) {
        muxer.expect(config);
    }
    let mut at_micros = 0;
    loop {
        let packet = match tracks.next(&mut phase).await {
            Next::Frame(frame) => {
                if muxer.waits_for_video() && !tracks.expects_video() {
                    muxer.go_without_video();
                }
                at_micros = frame.dts.as_micros();
                muxer.take(&frame)
            }
            Next::Lost => {
                muxer.lost();
                None
            }
            Next::Dry(dry) => muxer.dry(dry, at_micros),
            Next::End => return,
        };
        if let Some(packet) = packet
            && writer.append(packet).is_err()
        {
            return;
        }
    }
}
