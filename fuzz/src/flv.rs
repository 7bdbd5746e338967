//! FLV streams and the bodies of tags.

use bytes::{Bytes, BytesMut};
use media::flv::{self, Audio, Metadata, Reader, StreamError, Tag, TagKind, Video};

use crate::pieces;

/// A tag may have this length here: short, so that the limit is met.
const TAG_BYTES_MAX: usize = 2048;

/// Reads a stream of tags in pieces and as a whole, and the bodies it finds.
pub fn flv(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    parse(&body);
    let Some((piece, stream)) = pieces(data) else {
        return;
    };
    let (tags, error) = read(stream.chunks(piece));
    let (at_once, error_at_once) = read(std::iter::once(stream));
    assert_eq!((&tags, error), (&at_once, error_at_once));

    let mut written = BytesMut::from(&flv::header(true, true)[..]);
    for tag in &tags {
        assert!(tag.body.len() <= TAG_BYTES_MAX);
        parse(&tag.body);
        flv::write_tag(&mut written, tag.kind, tag.timestamp, &tag.body);
    }
    assert_eq!(read(std::iter::once(&written[..])), (tags, None));
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Tag>, Option<StreamError>) {
    let mut reader = Reader::new(TAG_BYTES_MAX);
    let mut tags = Vec::new();
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.next_tag() {
                Ok(Some(tag)) => tags.push(tag),
                Ok(None) => break,
                Err(error) => return (tags, Some(error)),
            }
        }
    }
    (tags, None)
}

/// The body of any kind of tag. Coded bytes are never more than there were.
fn parse(body: &Bytes) {
    if let Ok(Video::H264SequenceHeader(data) | Video::H264Frame { data, .. }) = Video::parse(body)
    {
        assert!(data.len() < body.len());
    }
    if let Ok(Audio::AacSequenceHeader(data) | Audio::AacFrame(data)) = Audio::parse(body) {
        assert!(data.len() < body.len());
    }
    let _ = Metadata::parse(body);
    assert_eq!(
        body.first()
            .copied()
            .and_then(TagKind::from_byte)
            .map(TagKind::to_byte),
        {
            body.first()
                .copied()
                .filter(|byte| matches!(byte, 8 | 9 | 18))
        }
    );
}
