//! The codecs that are carried over WebRTC, as far as one who forwards must tell them apart.

use media::TrackKind;

/// A codec, as `a=rtpmap` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Sound (RFC 7587).
    Opus,
    /// Pictures (RFC 6184), in packetization mode 1.
    H264,
    /// Pictures (RFC 7741).
    Vp8,
    /// Pictures (RFC 9628).
    Vp9,
    /// Pictures (AV1 RTP payload format, version 1.0).
    Av1,
}

impl Codec {
    /// Every codec.
    pub const ALL: [Self; 5] = [Self::Opus, Self::H264, Self::Vp8, Self::Vp9, Self::Av1];

    /// The codec that `a=rtpmap` calls `name`, in any case.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|codec| codec.as_str().eq_ignore_ascii_case(name))
    }

    /// Its name in `a=rtpmap`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::H264 => "H264",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::Av1 => "AV1",
        }
    }

    /// Which kind of track it is for.
    pub const fn kind(self) -> TrackKind {
        match self {
            Self::Opus => TrackKind::Audio,
            Self::H264 | Self::Vp8 | Self::Vp9 | Self::Av1 => TrackKind::Video,
        }
    }

    /// Ticks of its RTP timestamps in a second.
    pub const fn clock_rate(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            Self::H264 | Self::Vp8 | Self::Vp9 | Self::Av1 => 90_000,
        }
    }

    /// Whether the packet with this payload begins a picture that a decoder can start at. Sound
    /// can be started anywhere.
    pub fn begins_key(self, payload: &[u8]) -> bool {
        match self {
            Self::Opus => true,
            Self::H264 => h264_begins_key(payload),
            Self::Vp8 => vp8_begins_key(payload),
            Self::Vp9 => vp9_begins_key(payload),
            Self::Av1 => av1_begins_key(payload),
        }
    }
}

const NAL_IDR: u8 = 5;
const NAL_SPS: u8 = 7;
const NAL_STAP_A: u8 = 24;
const NAL_FU_A: u8 = 28;

/// A sequence parameter set, alone or gathered with others, comes before the slices of a keyframe;
/// who sends none with it begins with the slice.
fn h264_begins_key(payload: &[u8]) -> bool {
    let Some(&first) = payload.first() else {
        return false;
    };
    match first & 0x1f {
        NAL_SPS | NAL_IDR => true,
        NAL_STAP_A => {
            let mut rest = &payload[1..];
            while let [a, b, unit @ ..] = rest {
                let length = usize::from(u16::from_be_bytes([*a, *b]));
                if unit
                    .first()
                    .is_some_and(|nal| matches!(nal & 0x1f, NAL_SPS | NAL_IDR))
                {
                    return true;
                }
                rest = unit.get(length..).unwrap_or_default();
            }
            false
        }
        NAL_FU_A => payload
            .get(1)
            .is_some_and(|header| header & 0x80 != 0 && header & 0x1f == NAL_IDR),
        _ => false,
    }
}

/// Length of the VP8 payload descriptor (RFC 7741 §4.2).
pub(crate) fn vp8_descriptor(payload: &[u8]) -> Option<usize> {
    let first = *payload.first()?;
    if first & 0x80 == 0 {
        return Some(1);
    }
    let extensions = *payload.get(1)?;
    let mut length = 2;
    if extensions & 0x80 != 0 {
        // A picture number of seven or of fifteen bits.
        length += if payload.get(2)? & 0x80 != 0 { 2 } else { 1 };
    }
    length += usize::from(extensions & 0x40 != 0);
    length += usize::from(extensions & 0x30 != 0);
    (payload.len() > length).then_some(length)
}

fn vp8_begins_key(payload: &[u8]) -> bool {
    // S, and the first partition.
    let begins = payload.first().is_some_and(|first| first & 0x17 == 0x10);
    let frame = vp8_descriptor(payload).and_then(|length| payload.get(length));
    begins && frame.is_some_and(|tag| tag & 1 == 0)
}

/// The first packet of a frame (B) that no other is needed for (P is not set), RFC 9628 §4.2.
fn vp9_begins_key(payload: &[u8]) -> bool {
    payload
        .first()
        .is_some_and(|first| first & 0x08 != 0 && first & 0x40 == 0)
}

/// N: the first packet of a coded video sequence.
fn av1_begins_key(payload: &[u8]) -> bool {
    payload.first().is_some_and(|first| first & 0x88 == 0x08)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyframes_are_known_by_their_first_packet() {
        let begins: [(Codec, &[u8]); 8] = [
            (Codec::H264, &[0x67, 0x42]),
            (Codec::H264, &[0x65, 0x88]),
            (Codec::H264, &[0x78, 0, 2, 0x67, 0x42, 0, 1, 0x68]),
            (Codec::H264, &[0x7c, 0x85, 0]),
            (Codec::Vp8, &[0x10, 0x00]),
            (Codec::Vp8, &[0x90, 0x80, 0x80, 0x01, 0x00]),
            (Codec::Vp9, &[0x08]),
            (Codec::Av1, &[0x18]),
        ];
        for (codec, payload) in begins {
            assert!(codec.begins_key(payload), "{codec:?} {payload:x?}");
        }
        let goes_on: [(Codec, &[u8]); 9] = [
            (Codec::H264, &[]),
            (Codec::H264, &[0x41, 0x9a]),
            (Codec::H264, &[0x7c, 0x45, 0]),
            (Codec::H264, &[0x78, 0, 9, 0x41]),
            (Codec::Vp8, &[0x10, 0x01]),
            (Codec::Vp8, &[0x90, 0x80]),
            (Codec::Vp8, &[0x00, 0x00]),
            (Codec::Vp9, &[0x48]),
            (Codec::Av1, &[0x98]),
        ];
        for (codec, payload) in goes_on {
            assert!(!codec.begins_key(payload), "{codec:?} {payload:x?}");
        }
    }
}
