//! VP8 out of its payloads (RFC 7741).

use bytes::{Bytes, BytesMut};
use media::VideoConfig;
use media::codec::vp8;

use super::Picture;
use crate::codec::vp8_descriptor;

/// The frame in payloads.
pub(super) fn picture(payloads: &[Bytes]) -> Option<Picture> {
    let mut data = BytesMut::new();
    for payload in payloads {
        // Padding has nothing behind its descriptor.
        if let Some(length) = vp8_descriptor(payload) {
            data.extend_from_slice(&payload[length..]);
        }
    }
    let config = vp8::key_size(&data).map(|(width, height)| VideoConfig::Vp8 { width, height });
    // A keyframe that does not tell its size is broken.
    if data.is_empty() || (vp8::is_key(&data) && config.is_none()) {
        return None;
    }
    Some(Picture {
        key: config.is_some(),
        config,
        data: data.freeze(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_put_together_without_its_descriptors() {
        let key = [
            0x90, 0x80, 0x05, 0x50, 0x42, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02,
        ];
        let rest = [0x80, 0x80, 0x05, 0x68, 0x01, 0xaa];
        let picture = picture(&[Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&rest)]);
        let picture = picture.unwrap();
        assert_eq!(picture.config.unwrap().resolution(), (640, 360));
        assert_eq!(picture.data, [&key[3..], &rest[3..]].concat());
    }
}
