//! What makes one codec of another: a child.

use media::Frame;

use super::Kind;
use super::child::Child;
use crate::stream::TrackStats;

/// Makes one codec of another: frames go in and come out, each under its time.
#[derive(Debug)]
pub(super) enum Coder {
    Child(Box<Child>),
}

impl Coder {
    /// Starts one for what `first` begins; `pictures` tells what is known of those, if it is any.
    pub(super) fn start(
        ffmpeg: &str,
        kind: Kind,
        first: &Frame,
        pictures: Option<&TrackStats>,
    ) -> anyhow::Result<Self> {
        let child = Child::start(ffmpeg, kind, first, pictures)?;
        Ok(Self::Child(Box::new(child)))
    }

    /// Whether it can go on with a frame.
    pub(super) fn is_for(&self, frame: &Frame) -> bool {
        match self {
            Self::Child(child) => child.is_for(frame),
        }
    }

    /// Puts a frame in. What comes out meanwhile is kept for [`next`](Self::next), so that neither side
    /// waits for the other.
    pub(super) async fn put(&mut self, frame: &Frame) -> anyhow::Result<()> {
        match self {
            Self::Child(child) => child.put(frame).await,
        }
    }

    /// The next frame that comes out.
    ///
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> anyhow::Result<Frame> {
        match self {
            Self::Child(child) => child.next().await,
        }
    }
}
