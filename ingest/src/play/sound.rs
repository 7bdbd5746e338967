//! The sound of a broadcast in the codec that players know: the publisher's own, or a rendition of it.

use std::sync::Arc;

use fanout::{Lag, Read, Reader, Start};
use kit::rendition::{Feed, Kind, Renditions};
use kit::stream::Broadcast;
use media::{Frame, TrackConfig};

/// Sound, frame by frame.
#[derive(Debug)]
pub(super) struct Sound {
    broadcast: Arc<Broadcast>,
    renditions: Arc<Renditions>,
    own: Reader<Frame>,
    made: Option<Feed>,
}

impl Sound {
    pub(super) fn new(broadcast: &Arc<Broadcast>, renditions: &Arc<Renditions>) -> Self {
        Self {
            broadcast: Arc::clone(broadcast),
            renditions: Arc::clone(renditions),
            own: broadcast.audio.reader(Start::Oldest, Lag::Record),
            made: rendition(broadcast, renditions),
        }
    }

    /// How the sound will be coded, if there is any.
    pub(super) async fn expected(&self) -> Option<Arc<TrackConfig>> {
        match &self.made {
            Some(made) if made.works().await => made.config(),
            Some(_) => None,
            None => self.broadcast.audio.last().map(|frame| frame.config),
        }
    }

    /// The next frame, if it is there.
    pub(super) fn try_read(&mut self) -> Option<Frame> {
        while let Some(step) = self.own.try_read() {
            if let Some(frame) = self.take(step) {
                return Some(frame);
            }
        }
        self.made.as_mut()?.try_next()
    }

    /// The next frame; `None` once the broadcast has ended.
    ///
    /// Cancel safe.
    pub(super) async fn read(&mut self) -> Option<Frame> {
        loop {
            let step = tokio::select! {
                step = self.own.read() => step?,
                frame = Feed::next_of(&mut self.made) => return Some(frame),
            };
            if let Some(frame) = self.take(step) {
                return Some(frame);
            }
        }
    }

    /// A frame of the publisher's, unless it has to be made into another.
    fn take(&mut self, step: Read<Frame>) -> Option<Frame> {
        let Read::Item(_, frame) = step else {
            return None;
        };
        if Kind::Aac.is_made_of(&frame.config) {
            self.made
                .get_or_insert_with(|| self.renditions.sound(&self.broadcast, Kind::Aac));
            return None;
        }
        self.made = None;
        Some(frame)
    }
}

/// Whether there is sound that players hear, as far as is known.
pub(super) async fn is_heard(broadcast: &Arc<Broadcast>, renditions: &Arc<Renditions>) -> bool {
    match rendition(broadcast, renditions) {
        Some(made) => made.works().await,
        None => broadcast.audio.last().is_some() || broadcast.announced().audio == Some(true),
    }
}

/// The rendition that players need, if they need one.
fn rendition(broadcast: &Arc<Broadcast>, renditions: &Arc<Renditions>) -> Option<Feed> {
    let last = broadcast.audio.last()?;
    Kind::Aac
        .is_made_of(&last.config)
        .then(|| renditions.sound(broadcast, Kind::Aac))
}
