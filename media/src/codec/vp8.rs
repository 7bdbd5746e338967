//! VP8 (RFC 6386), as far as a server must read it: which frames are keyframes, and how large.

/// Stands in each keyframe behind its tag (§9.1).
const START_CODE: [u8; 3] = [0x9d, 0x01, 0x2a];

/// Whether decoding can start with a frame.
pub fn is_key(frame: &[u8]) -> bool {
    frame.first().is_some_and(|tag| tag & 1 == 0)
}

/// Width and height of a keyframe in pixels.
pub fn key_size(frame: &[u8]) -> Option<(u32, u32)> {
    let head = frame.get(3..10).filter(|_| is_key(frame))?;
    let &[a, b, c, w0, w1, h0, h1] = head else {
        return None;
    };
    // The two highest bits tell how a player may stretch it.
    let size = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    let (width, height) = (size(w0, w1), size(h0, h1));
    ([a, b, c] == START_CODE && width > 0 && height > 0).then_some((width, height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyframe_tells_its_size_and_others_do_not() {
        let key = [0x50, 0x42, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x42, 0x68, 0x01];
        assert_eq!(key_size(&key), Some((640, 360)));
        assert_eq!(key_size(&key[..9]), None);
        let mut other = key;
        other[0] |= 1;
        assert_eq!((is_key(&other), key_size(&other)), (false, None));
        assert!(!is_key(&[]));
    }
}
