//! What makes one codec of another: a child, or libraries in the process.

use media::Frame;

use super::Kind;
use super::child::Child;
#[cfg(feature = "libfdk")]
use super::inside::Inside;
use crate::stream::TrackStats;

/// Makes one codec of another: frames go in and come out, each under its time.
#[derive(Debug)]
pub(super) enum Coder {
    Child(Box<Child>),
    #[cfg(feature = "libfdk")]
    Inside(Inside),
}

impl Coder {
    /// Starts one for what `first` begins; `pictures` tells what is known of those, if it is any.
    pub(super) fn start(
        ffmpeg: &str,
        kind: Kind,
        first: &Frame,
        pictures: Option<&TrackStats>,
    ) -> anyhow::Result<Self> {
        #[cfg(feature = "libfdk")]
        if let Some(to) = kind.sound() {
            return Ok(Self::Inside(Inside::start(first, to)?));
        }
        let child = Child::start(ffmpeg, kind, first, pictures)?;
        Ok(Self::Child(Box::new(child)))
    }

    /// Whether it can go on with a frame.
    pub(super) fn is_for(&self, frame: &Frame) -> bool {
        match self {
            Self::Child(child) => child.is_for(frame),
            #[cfg(feature = "libfdk")]
            Self::Inside(inside) => inside.is_for(frame),
        }
    }

    /// Puts a frame in. What comes out meanwhile is kept for [`next`](Self::next), so that neither side
    /// waits for the other.
    pub(super) async fn put(&mut self, frame: &Frame) -> anyhow::Result<()> {
        match self {
            Self::Child(child) => child.put(frame).await,
            #[cfg(feature = "libfdk")]
            Self::Inside(inside) => inside.put(frame).await,
        }
    }

    /// The next frame that comes out.
    ///
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> anyhow::Result<Frame> {
        match self {
            Self::Child(child) => child.next().await,
            #[cfg(feature = "libfdk")]
            Self::Inside(inside) => inside.next().await,
        }
    }
}
