//! Sound in another codec made in the process, by a thread of its own: no child, and no ffmpeg.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use media::{AudioConfig, Frame, TrackConfig};
use sound::To;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::Kind;

/// Frames that wait on either side: a second and more, and not much to hold.
const WAITING_MAX: usize = 64;

/// How long the thread may take to take a frame in.
const WRITE_WITHIN: Duration = Duration::from_secs(2);

/// A thread that makes one codec of another. It ends when nothing can come any more.
#[derive(Debug)]
pub(super) struct Inside {
    config: Arc<TrackConfig>,
    run: u32,
    frames: mpsc::Sender<Frame>,
    made: mpsc::Receiver<anyhow::Result<Frame>>,
    ready: VecDeque<Frame>,
}

impl Kind {
    /// What sound is made in the process.
    pub(super) const fn sound(self) -> Option<To> {
        match self {
            Self::Opus => Some(To::Opus),
            Self::Aac => Some(To::Aac),
            Self::InOrder => None,
        }
    }
}

impl Inside {
    /// Starts a thread for what `first` begins.
    pub(super) fn start(first: &Frame, to: To) -> anyhow::Result<Self> {
        let TrackConfig::Audio(config) = (*first.config).clone() else {
            bail!("pictures that no sound is made of");
        };
        let (frames, taken) = mpsc::channel(WAITING_MAX);
        let (give, made) = mpsc::channel(WAITING_MAX);
        let work = move || {
            if let Err(error) = code(&config, to, taken, &give) {
                // Nobody may want to know any more.
                let _ = give.blocking_send(Err(error));
            }
        };
        std::thread::Builder::new()
            .name("sound".into())
            .spawn(work)
            .context("failed to start a thread")?;
        Ok(Self {
            config: Arc::clone(&first.config),
            run: first.run,
            frames,
            made,
            ready: VecDeque::new(),
        })
    }

    /// Whether it can go on with a frame.
    pub(super) fn is_for(&self, frame: &Frame) -> bool {
        let same = Arc::ptr_eq(&self.config, &frame.config) || self.config == frame.config;
        same && self.run == frame.run
    }

    /// Puts a frame in. What comes out meanwhile is kept for [`next`](Self::next), so that neither side
    /// waits for the other.
    pub(super) async fn put(&mut self, frame: &Frame) -> anyhow::Result<()> {
        let deadline = Instant::now() + WRITE_WITHIN;
        let frames = self.frames.clone();
        loop {
            tokio::select! {
                room = frames.reserve() => match room {
                    Ok(room) => {
                        room.send(frame.clone());
                        return Ok(());
                    }
                    Err(_) => return Err(self.last_words().await),
                },
                Some(made) = self.made.recv() => self.ready.push_back(made?),
                () = sleep_until(deadline) => bail!("the encoder takes nothing in"),
            }
        }
    }

    /// The next frame that comes out.
    ///
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> anyhow::Result<Frame> {
        if let Some(frame) = self.ready.pop_front() {
            return Ok(frame);
        }
        match self.made.recv().await {
            Some(made) => made,
            None => bail!("the encoder ended"),
        }
    }

    /// Why it has ended.
    async fn last_words(&mut self) -> anyhow::Error {
        while let Some(made) = self.made.recv().await {
            if let Err(error) = made {
                return error;
            }
        }
        anyhow::anyhow!("the encoder ended")
    }
}

/// Makes one codec of another until nothing comes any more, or nobody takes it.
fn code(
    config: &AudioConfig,
    to: To,
    mut taken: mpsc::Receiver<Frame>,
    give: &mpsc::Sender<anyhow::Result<Frame>>,
) -> anyhow::Result<()> {
    let mut coder = sound::Coder::new(config, to)?;
    while let Some(frame) = taken.blocking_recv() {
        for coded in coder.push(&frame.data, frame.pts)? {
            let made = Frame {
                pts: coded.at,
                dts: coded.at,
                key: true,
                captured_at: frame.captured_at,
                run: frame.run,
                config: coded.config,
                data: coded.data,
            };
            if give.blocking_send(Ok(made)).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}
