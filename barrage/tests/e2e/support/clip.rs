//! Media made once by ffmpeg, to be sent by hand.

use bytes::Bytes;
use media::amf0::{self, Value};
use media::flv::{Reader, Tag, TagKind};

use super::ffmpeg::{Source, output_of};

/// Tags longer than this are not made here.
const TAG_BYTES_MAX: usize = 1024 * 1024;

/// A recording: what a publisher says first, and the frames.
#[derive(Clone, Debug)]
pub(crate) struct Clip {
    /// What `onMetaData` says.
    pub(crate) metadata: Value,
    /// The decoder set-ups, each as the body of a tag.
    pub(crate) headers: Vec<Tag>,
    /// The frames of both tracks, in the order of their timestamps.
    pub(crate) frames: Vec<Tag>,
}

impl Clip {
    /// `seconds` of `source`.
    pub(crate) async fn of(source: &Source, seconds: u32) -> Self {
        let command = source.clone().seconds(seconds).command(false, "pipe:1");
        let args: Vec<_> = command
            .get_args()
            .map(|arg| arg.to_str().expect("plain"))
            .collect();
        let file = output_of("ffmpeg", &args).await;
        Self::read(&file)
    }

    /// Ten seconds of pictures and sound with a keyframe every second.
    pub(crate) async fn plain() -> Self {
        Self::of(&Source::new(), 10).await
    }

    fn read(file: &[u8]) -> Self {
        let mut reader = Reader::new(TAG_BYTES_MAX);
        reader.push(file);
        let mut clip = Self {
            metadata: Value::Null,
            headers: Vec::new(),
            frames: Vec::new(),
        };
        while let Some(tag) = reader.next_tag().expect("ffmpeg writes FLV") {
            match tag.kind {
                TagKind::Script => {
                    let values = amf0::decode_all(&tag.body).expect("ffmpeg writes AMF0");
                    clip.metadata = values[1].clone();
                }
                // The second byte of AVC and AAC: zero stands before a decoder set-up, two (AVC)
                // at the end.
                TagKind::Video | TagKind::Audio => match tag.body[1] {
                    0 => clip.headers.push(tag),
                    1 => clip.frames.push(tag),
                    _ => {}
                },
            }
        }
        clip.frames.sort_by_key(|tag| tag.timestamp);
        clip
    }

    /// The decoder set-up of one kind.
    pub(crate) fn header(&self, kind: TagKind) -> Tag {
        let header = self.headers.iter().find(|tag| tag.kind == kind);
        header.expect("the clip has such a track").clone()
    }

    /// The frames of one kind.
    pub(crate) fn frames_of(&self, kind: TagKind) -> Vec<Tag> {
        let of_kind = self.frames.iter().filter(|tag| tag.kind == kind);
        of_kind.cloned().collect()
    }
}

/// The frames with another clock: `shift` milliseconds later, modulo 2^32.
pub(crate) fn shifted(frames: &[Tag], shift: u32) -> Vec<Tag> {
    let mut frames = frames.to_vec();
    for frame in &mut frames {
        frame.timestamp = frame.timestamp.wrapping_add(shift);
    }
    frames
}

/// Whether a tag is a picture where decoding can start.
pub(crate) fn is_key(tag: &Tag) -> bool {
    tag.kind == TagKind::Video && tag.body[0] >> 4 == 1
}

/// A tag of video or sound.
pub(crate) fn tag(kind: TagKind, timestamp: u32, body: &'static [u8]) -> Tag {
    Tag {
        kind,
        timestamp,
        body: Bytes::from_static(body),
    }
}
