//! A stream of FLV tags, as in a file or an HTTP response.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// How long the header written by [`header`] is, the size of the tag before the first included.
pub const HEADER_BYTES: usize = 13;

/// How long the header of a tag is.
pub const TAG_HEADER_BYTES: usize = 11;

/// The header says where the first tag begins. It has said 9 since there are files.
const DATA_OFFSET_MAX: u32 = 1024;

/// Behind each tag stands its size, for players that wind backwards.
const BACK_POINTER_BYTES: usize = 4;

/// What a tag carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagKind {
    /// Sound: an [`Audio`](super::Audio).
    Audio,
    /// Pictures: a [`Video`](super::Video).
    Video,
    /// Script data: a [`Metadata`](super::Metadata), or something else.
    Script,
}

impl TagKind {
    /// The type byte of a tag, which is also the type of an RTMP message.
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::Audio => 8,
            Self::Video => 9,
            Self::Script => 18,
        }
    }

    /// The kind that a type byte stands for.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            8 => Some(Self::Audio),
            9 => Some(Self::Video),
            18 => Some(Self::Script),
            _ => None,
        }
    }
}

/// One tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// What it carries.
    pub kind: TagKind,
    /// Milliseconds, the decoding time.
    pub timestamp: u32,
    /// What it carries, for the parser of that kind.
    pub body: Bytes,
}

/// Why bytes are no stream of tags.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Something else than FLV.
    #[error("not FLV: it begins with {0:02x?}")]
    Signature([u8; 3]),
    /// The first tag begins nowhere near.
    #[error("the FLV header is {0} bytes long, and may have 9 to {DATA_OFFSET_MAX}")]
    DataOffset(u32),
    /// A type that does not exist, or an encrypted tag.
    #[error("FLV has no tag type {0}")]
    TagType(u8),
    /// A tag too large.
    #[error("an FLV tag of {size} bytes, the limit is {limit}")]
    TagTooLarge {
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
}

/// The header of a stream.
pub const fn header(has_video: bool, has_audio: bool) -> [u8; HEADER_BYTES] {
    let flags = (has_audio as u8) << 2 | has_video as u8;
    [b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0]
}

/// Appends a tag. The size of a body has 24 bits in FLV: what is longer is cut, and no codec here
/// comes near it.
pub fn write_tag(out: &mut BytesMut, kind: TagKind, timestamp: u32, body: &[u8]) {
    let body = &body[..body.len().min(0xFF_FFFF)];
    let [_, size @ ..] = u32::try_from(body.len()).unwrap_or(0xFF_FFFF).to_be_bytes();
    let [extension, timestamp @ ..] = timestamp.to_be_bytes();
    out.reserve(TAG_HEADER_BYTES + body.len() + BACK_POINTER_BYTES);
    out.put_u8(kind.to_byte());
    out.put_slice(&size);
    out.put_slice(&timestamp);
    out.put_u8(extension);
    out.put_slice(&[0, 0, 0]);
    out.put_slice(body);
    out.put_u32(u32::try_from(TAG_HEADER_BYTES + body.len()).unwrap_or(0));
}

/// Takes a stream of tags apart as it arrives.
///
/// Holds at most one tag, up to the limit, and what was pushed last.
#[derive(Debug)]
pub struct Reader {
    buffer: BytesMut,
    tag_bytes_max: usize,
    /// Bytes to pass over before the next tag: the rest of the header, the size of the tag before.
    skip: usize,
    began: bool,
}

impl Reader {
    /// A reader that takes bodies of up to `tag_bytes_max` bytes.
    pub fn new(tag_bytes_max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            tag_bytes_max,
            skip: 0,
            began: false,
        }
    }

    /// Adds what arrived. Take all tags out before adding more.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next tag that is complete.
    pub fn next_tag(&mut self) -> Result<Option<Tag>, StreamError> {
        if !self.began && !self.begin()? {
            return Ok(None);
        }
        let skipped = self.skip.min(self.buffer.len());
        self.buffer.advance(skipped);
        self.skip -= skipped;
        let Some(&[kind, s0, s1, s2, t0, t1, t2, t3, ..]) =
            self.buffer.first_chunk::<TAG_HEADER_BYTES>()
        else {
            return Ok(None);
        };
        let kind = TagKind::from_byte(kind).ok_or(StreamError::TagType(kind))?;
        let size = u32::from_be_bytes([0, s0, s1, s2]) as usize;
        if size > self.tag_bytes_max {
            return Err(StreamError::TagTooLarge {
                size,
                limit: self.tag_bytes_max,
            });
        }
        if self.buffer.len() < TAG_HEADER_BYTES + size {
            return Ok(None);
        }
        self.buffer.advance(TAG_HEADER_BYTES);
        let body = self.buffer.split_to(size).freeze();
        self.skip = BACK_POINTER_BYTES;
        Ok(Some(Tag {
            kind,
            timestamp: u32::from_be_bytes([t3, t0, t1, t2]),
            body,
        }))
    }

    fn begin(&mut self) -> Result<bool, StreamError> {
        let Some(&[f, l, v, _, _, d0, d1, d2, d3]) = self.buffer.first_chunk::<9>() else {
            return Ok(false);
        };
        if [f, l, v] != *b"FLV" {
            return Err(StreamError::Signature([f, l, v]));
        }
        let offset = u32::from_be_bytes([d0, d1, d2, d3]);
        if !(9..=DATA_OFFSET_MAX).contains(&offset) {
            return Err(StreamError::DataOffset(offset));
        }
        self.skip = offset as usize + BACK_POINTER_BYTES;
        self.began = true;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(reader: &mut Reader) -> Vec<Tag> {
        let mut tags = Vec::new();
        while let Some(tag) = reader.next_tag().unwrap() {
            tags.push(tag);
        }
        tags
    }

    fn any_tag() -> impl Strategy<Value = Tag> {
        let kind = prop_oneof![
            Just(TagKind::Audio),
            Just(TagKind::Video),
            Just(TagKind::Script)
        ];
        (
            kind,
            any::<u32>(),
            prop::collection::vec(any::<u8>(), 0..300),
        )
            .prop_map(|(kind, timestamp, body)| Tag {
                kind,
                timestamp,
                body: body.into(),
            })
    }

    proptest! {
        #[test]
        fn tags_survive_any_splitting_of_the_stream(
            tags in prop::collection::vec(any_tag(), 0..8),
            piece in 1usize..64,
        ) {
            let mut bytes = BytesMut::from(&header(true, true)[..]);
            for tag in &tags {
                write_tag(&mut bytes, tag.kind, tag.timestamp, &tag.body);
            }
            let mut reader = Reader::new(1000);
            let mut read_back = Vec::new();
            for piece in bytes.chunks(piece) {
                reader.push(piece);
                read_back.extend(read(&mut reader));
            }
            prop_assert_eq!(read_back, tags);
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut reader = Reader::new(100);
            reader.push(&header(true, false));
            reader.push(&bytes);
            while let Ok(Some(_)) = reader.next_tag() {}
        }
    }

    #[test]
    fn a_tag_past_the_limit_is_refused_when_it_is_announced() {
        let mut reader = Reader::new(1000);
        reader.push(&header(true, true));
        reader.push(b"\x09\xff\xff\xff\0\0\0\0\0\0\0");
        let error = StreamError::TagTooLarge {
            size: 0xFF_FFFF,
            limit: 1000,
        };
        assert_eq!(reader.next_tag(), Err(error));
    }

    #[test]
    fn what_is_not_flv_is_told_apart() {
        let mut reader = Reader::new(1000);
        reader.push(b"<html><body>");
        assert_eq!(reader.next_tag(), Err(StreamError::Signature(*b"<ht")));
        let mut reader = Reader::new(1000);
        reader.push(b"FLV\x01\x05\xff\xff\xff\xff");
        assert_eq!(reader.next_tag(), Err(StreamError::DataOffset(u32::MAX)));
        let mut reader = Reader::new(1000);
        reader.push(&header(true, true));
        reader.push(b"\x29\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(reader.next_tag(), Err(StreamError::TagType(0x29)));
    }
}
