//! What the body of a video or audio tag is.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

/// Why a body is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Shorter than its own header.
    #[error("a {kind} tag of {length} bytes is shorter than its header")]
    Truncated {
        /// `video` or `audio`.
        kind: &'static str,
        /// How long it is.
        length: usize,
    },
    /// A packet type that its codec does not have.
    #[error("{codec} has no packet type {packet_type}")]
    PacketType {
        /// Of which codec.
        codec: &'static str,
        /// The type it should be.
        packet_type: u8,
    },
    /// Script data that cannot be decoded.
    #[error("script data cannot be read: {0}")]
    Script(#[from] crate::amf0::Error),
}

/// The body of a video tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Video {
    /// How to set up an H.264 decoder: an `AVCDecoderConfigurationRecord`.
    H264SequenceHeader(Bytes),
    /// One H.264 access unit.
    H264Frame {
        /// Whether the encoder called it a keyframe.
        key: bool,
        /// Presentation minus decoding time in milliseconds.
        composition_ms: i32,
        /// NAL units with their lengths in front.
        data: Bytes,
    },
    /// The H.264 stream is over.
    H264EndOfSequence,
    /// A codec this server does not carry.
    Unsupported(Codec),
    /// Nothing to show: an empty body, a seek mark, colour information.
    Nothing,
}

/// The body of an audio tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audio {
    /// How to set up an AAC decoder: an `AudioSpecificConfig`.
    AacSequenceHeader(Bytes),
    /// One raw AAC frame.
    AacFrame(Bytes),
    /// A codec this server does not carry.
    Unsupported(Codec),
    /// Nothing to hear: an empty body, the end of a sequence, a channel layout.
    Nothing,
}

/// A codec by the name people know it by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Codec(Name);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Known(&'static str),
    FourCc([u8; 4]),
    Number(u8),
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Name::Known(name) => f.write_str(name),
            Name::FourCc(code) => write!(f, "codec '{}'", code.escape_ascii()),
            Name::Number(number) => write!(f, "codec {number}"),
        }
    }
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const FRAME_TYPE_KEY: u8 = 1;
const FRAME_TYPE_INFO: u8 = 5;
const VIDEO_CODEC_AVC: u8 = 7;
const AVC_SEQUENCE_HEADER: u8 = 0;
const AVC_NALU: u8 = 1;
const AVC_END_OF_SEQUENCE: u8 = 2;

const SOUND_FORMAT_EX_HEADER: u8 = 9;
const SOUND_FORMAT_AAC: u8 = 10;
const AAC_SEQUENCE_HEADER: u8 = 0;
const AAC_RAW: u8 = 1;
/// AAC, 44 kHz, 16 bits, stereo: what the byte says for all AAC, whatever the sound is.
const AAC_TAG: u8 = 0xAF;

/// Enhanced RTMP: the top bit says that a FourCC follows instead of a codec number.
const EX_VIDEO_HEADER: u8 = 0x80;
const EX_SEQUENCE_START: u8 = 0;
const EX_CODED_FRAMES: u8 = 1;
const EX_SEQUENCE_END: u8 = 2;
const EX_CODED_FRAMES_X: u8 = 3;
const EX_VIDEO_METADATA: u8 = 4;
const EX_AUDIO_MULTICHANNEL: u8 = 4;
/// Packet types that change the layout of what follows: several tracks, or modifiers in front.
const EX_VIDEO_MULTITRACK: u8 = 6;
const EX_AUDIO_MULTITRACK: u8 = 5;
const EX_MOD_EX: u8 = 7;

impl Video {
    /// Reads the body of a video tag.
    pub fn parse(body: &Bytes) -> Result<Self, Error> {
        let Some(&first) = body.first() else {
            return Ok(Self::Nothing);
        };
        let frame_type = first >> 4 & 0x07;
        if first & EX_VIDEO_HEADER != 0 {
            return Self::parse_enhanced(first, frame_type, body);
        }
        if frame_type == FRAME_TYPE_INFO {
            return Ok(Self::Nothing);
        }
        if first & 0x0F != VIDEO_CODEC_AVC {
            return Ok(Self::Unsupported(video_codec(first & 0x0F)));
        }
        let (&[packet_type, a, b, c], data) = split::<4>(body, 1, "video")?;
        match packet_type {
            AVC_SEQUENCE_HEADER => Ok(Self::H264SequenceHeader(data)),
            AVC_NALU => Ok(Self::frame(frame_type, [a, b, c], data)),
            AVC_END_OF_SEQUENCE => Ok(Self::H264EndOfSequence),
            packet_type => Err(Error::PacketType {
                codec: "H.264",
                packet_type,
            }),
        }
    }

    fn parse_enhanced(first: u8, frame_type: u8, body: &Bytes) -> Result<Self, Error> {
        let packet_type = first & 0x0F;
        if packet_type == EX_MOD_EX {
            return Ok(Self::Unsupported(Codec(Name::Known(
                "Enhanced RTMP with modifiers",
            ))));
        }
        if packet_type == EX_VIDEO_MULTITRACK {
            return Ok(Self::Unsupported(Codec(Name::Known(
                "Enhanced RTMP multitrack",
            ))));
        }
        let (&fourcc, data) = split::<4>(body, 1, "video")?;
        // Colour information belongs to a codec, but whoever ignores it loses no picture.
        if packet_type == EX_VIDEO_METADATA || frame_type == FRAME_TYPE_INFO {
            return Ok(Self::Nothing);
        }
        if &fourcc != b"avc1" {
            return Ok(Self::Unsupported(fourcc_codec(fourcc)));
        }
        match packet_type {
            EX_SEQUENCE_START => Ok(Self::H264SequenceHeader(data)),
            EX_CODED_FRAMES => {
                let (&composition, data) = split::<3>(body, 5, "video")?;
                Ok(Self::frame(frame_type, composition, data))
            }
            EX_CODED_FRAMES_X => Ok(Self::frame(frame_type, [0; 3], data)),
            EX_SEQUENCE_END => Ok(Self::H264EndOfSequence),
            packet_type => Err(Error::PacketType {
                codec: "H.264",
                packet_type,
            }),
        }
    }

    fn frame(frame_type: u8, [a, b, c]: [u8; 3], data: Bytes) -> Self {
        // 24 bits with a sign, shifted to where a 32-bit integer has its sign, and back.
        let composition_ms = i32::from_be_bytes([a, b, c, 0]) >> 8;
        Self::H264Frame {
            key: frame_type == FRAME_TYPE_KEY,
            composition_ms,
            data,
        }
    }
}

impl Audio {
    /// Reads the body of an audio tag.
    pub fn parse(body: &Bytes) -> Result<Self, Error> {
        let Some(&first) = body.first() else {
            return Ok(Self::Nothing);
        };
        match first >> 4 {
            SOUND_FORMAT_AAC => {
                let (&[packet_type], data) = split::<1>(body, 1, "audio")?;
                match packet_type {
                    AAC_SEQUENCE_HEADER => Ok(Self::AacSequenceHeader(data)),
                    AAC_RAW if data.is_empty() => Ok(Self::Nothing),
                    AAC_RAW => Ok(Self::AacFrame(data)),
                    packet_type => Err(Error::PacketType {
                        codec: "AAC",
                        packet_type,
                    }),
                }
            }
            SOUND_FORMAT_EX_HEADER => Self::parse_enhanced(first & 0x0F, body),
            format => Ok(Self::Unsupported(audio_codec(format))),
        }
    }

    fn parse_enhanced(packet_type: u8, body: &Bytes) -> Result<Self, Error> {
        if packet_type == EX_MOD_EX {
            return Ok(Self::Unsupported(Codec(Name::Known(
                "Enhanced RTMP with modifiers",
            ))));
        }
        if packet_type == EX_AUDIO_MULTITRACK {
            return Ok(Self::Unsupported(Codec(Name::Known(
                "Enhanced RTMP multitrack",
            ))));
        }
        let (&fourcc, data) = split::<4>(body, 1, "audio")?;
        if &fourcc != b"mp4a" {
            return Ok(Self::Unsupported(fourcc_codec(fourcc)));
        }
        match packet_type {
            EX_SEQUENCE_START => Ok(Self::AacSequenceHeader(data)),
            EX_CODED_FRAMES if data.is_empty() => Ok(Self::Nothing),
            EX_CODED_FRAMES => Ok(Self::AacFrame(data)),
            EX_SEQUENCE_END | EX_AUDIO_MULTICHANNEL => Ok(Self::Nothing),
            packet_type => Err(Error::PacketType {
                codec: "AAC",
                packet_type,
            }),
        }
    }
}

/// The `N` bytes at `at`, and what follows them, shared with the body.
fn split<'a, const N: usize>(
    body: &'a Bytes,
    at: usize,
    kind: &'static str,
) -> Result<(&'a [u8; N], Bytes), Error> {
    let head = body.get(at..).and_then(<[u8]>::first_chunk::<N>);
    let head = head.ok_or(Error::Truncated {
        kind,
        length: body.len(),
    })?;
    Ok((head, body.slice(at + N..)))
}

/// The codec a number in a video tag or in `videocodecid` stands for.
pub(super) const fn video_codec(number: u8) -> Codec {
    Codec(match number {
        1 => Name::Known("JPEG"),
        2 => Name::Known("Sorenson H.263"),
        3 => Name::Known("Screen Video"),
        4 => Name::Known("On2 VP6"),
        5 => Name::Known("On2 VP6 with alpha"),
        6 => Name::Known("Screen Video 2"),
        7 => Name::Known("H.264"),
        // What some encoders used before Enhanced RTMP.
        12 => Name::Known("H.265"),
        13 => Name::Known("AV1"),
        number => Name::Number(number),
    })
}

/// The codec a number in an audio tag or in `audiocodecid` stands for.
pub(super) const fn audio_codec(number: u8) -> Codec {
    Codec(match number {
        0 | 3 => Name::Known("PCM"),
        1 => Name::Known("ADPCM"),
        2 | 14 => Name::Known("MP3"),
        4..=6 => Name::Known("Nellymoser"),
        7 | 8 => Name::Known("G.711"),
        10 => Name::Known("AAC"),
        11 => Name::Known("Speex"),
        13 => Name::Known("Opus"),
        number => Name::Number(number),
    })
}

/// The codec a FourCC stands for.
pub(super) const fn fourcc_codec(code: [u8; 4]) -> Codec {
    Codec(match &code {
        b"avc1" => Name::Known("H.264"),
        b"hvc1" | b"hev1" => Name::Known("H.265"),
        b"vvc1" => Name::Known("H.266"),
        b"av01" => Name::Known("AV1"),
        b"vp08" => Name::Known("VP8"),
        b"vp09" => Name::Known("VP9"),
        b"mp4a" => Name::Known("AAC"),
        b"Opus" => Name::Known("Opus"),
        b"fLaC" => Name::Known("FLAC"),
        b".mp3" => Name::Known("MP3"),
        b"ac-3" => Name::Known("AC-3"),
        b"ec-3" => Name::Known("E-AC-3"),
        code => Name::FourCc(*code),
    })
}

/// The body of a video tag that carries an `AVCDecoderConfigurationRecord`.
pub fn avc_sequence_header(record: &[u8]) -> Bytes {
    avc_body(true, AVC_SEQUENCE_HEADER, 0, record)
}

/// The body of a video tag that carries one access unit of length-prefixed NAL units. The
/// composition time has 24 bits in FLV and is clamped to them.
pub fn avc_frame(key: bool, composition_ms: i32, data: &[u8]) -> Bytes {
    avc_body(key, AVC_NALU, composition_ms, data)
}

/// The body of a video tag that ends the sequence.
pub fn avc_end_of_sequence() -> Bytes {
    avc_body(true, AVC_END_OF_SEQUENCE, 0, &[])
}

fn avc_body(key: bool, packet_type: u8, composition_ms: i32, data: &[u8]) -> Bytes {
    let frame_type = if key { FRAME_TYPE_KEY } else { 2 };
    let [_, a, b, c] = composition_ms.clamp(-0x80_0000, 0x7F_FFFF).to_be_bytes();
    let mut body = BytesMut::with_capacity(5 + data.len());
    body.put_slice(&[frame_type << 4 | VIDEO_CODEC_AVC, packet_type, a, b, c]);
    body.put_slice(data);
    body.freeze()
}

/// The body of an audio tag that carries an `AudioSpecificConfig`.
pub fn aac_sequence_header(config: &[u8]) -> Bytes {
    aac_body(AAC_SEQUENCE_HEADER, config)
}

/// The body of an audio tag that carries one raw AAC frame.
pub fn aac_frame(data: &[u8]) -> Bytes {
    aac_body(AAC_RAW, data)
}

fn aac_body(packet_type: u8, data: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(2 + data.len());
    body.put_slice(&[AAC_TAG, packet_type]);
    body.put_slice(data);
    body.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(body: &'static [u8]) -> Result<Video, Error> {
        Video::parse(&Bytes::from_static(body))
    }

    fn audio(body: &'static [u8]) -> Result<Audio, Error> {
        Audio::parse(&Bytes::from_static(body))
    }

    #[test]
    fn h264_bodies_are_read_as_they_are_written() {
        let record = Bytes::from_static(b"\x01\x64\x00\x1f");
        assert_eq!(
            Video::parse(&avc_sequence_header(&record)),
            Ok(Video::H264SequenceHeader(record.clone()))
        );
        for composition_ms in [0, 1, -1, 80, -0x80_0000, 0x7F_FFFF] {
            for key in [true, false] {
                assert_eq!(
                    Video::parse(&avc_frame(key, composition_ms, &record)),
                    Ok(Video::H264Frame {
                        key,
                        composition_ms,
                        data: record.clone()
                    })
                );
            }
        }
        assert_eq!(
            Video::parse(&avc_end_of_sequence()),
            Ok(Video::H264EndOfSequence)
        );
    }

    #[test]
    fn aac_bodies_are_read_as_they_are_written() {
        let data = Bytes::from_static(b"\x12\x10");
        assert_eq!(
            Audio::parse(&aac_sequence_header(&data)),
            Ok(Audio::AacSequenceHeader(data.clone()))
        );
        assert_eq!(Audio::parse(&aac_frame(&data)), Ok(Audio::AacFrame(data)));
        assert_eq!(Audio::parse(&aac_frame(&[])), Ok(Audio::Nothing));
    }

    #[test]
    fn coded_bytes_are_shared_with_the_body_and_not_copied() {
        let body = avc_frame(true, 0, b"some access unit");
        let Ok(Video::H264Frame { data, .. }) = Video::parse(&body) else {
            panic!()
        };
        assert_eq!(data.as_ptr(), body[5..].as_ptr());
    }

    #[test]
    fn enhanced_rtmp_with_h264_and_aac_is_carried() {
        assert_eq!(
            video(b"\x90avc1rec"),
            Ok(Video::H264SequenceHeader(Bytes::from_static(b"rec")))
        );
        let frame = |key, composition_ms| {
            Ok(Video::H264Frame {
                key,
                composition_ms,
                data: Bytes::from_static(b"nal"),
            })
        };
        assert_eq!(video(b"\x91avc1\xff\xff\xfenal"), frame(true, -2));
        assert_eq!(video(b"\xa3avc1nal"), frame(false, 0));
        assert_eq!(video(b"\x92avc1"), Ok(Video::H264EndOfSequence));
        assert_eq!(video(b"\x94avc1\x02\x00"), Ok(Video::Nothing));
        assert_eq!(
            audio(b"\x90mp4a\x12\x10"),
            Ok(Audio::AacSequenceHeader(Bytes::from_static(b"\x12\x10")))
        );
        assert_eq!(
            audio(b"\x91mp4afr"),
            Ok(Audio::AacFrame(Bytes::from_static(b"fr")))
        );
    }

    #[test]
    fn codecs_this_server_does_not_carry_are_named() {
        for (body, name) in [
            (&b"\x22\x00"[..], "Sorenson H.263"),
            (b"\x24\x00", "On2 VP6"),
            (b"\x1c\x00", "H.265"),
            (b"\x1f\x00", "codec 15"),
            (b"\x90hvc1", "H.265"),
            (b"\x91av01", "AV1"),
            (b"\x91vp09", "VP9"),
            (b"\x91zz\x00z", r"codec 'zz\x00z'"),
            (b"\x96\x00", "Enhanced RTMP multitrack"),
            (b"\x97\x00", "Enhanced RTMP with modifiers"),
        ] {
            let Ok(Video::Unsupported(codec)) = Video::parse(&Bytes::copy_from_slice(body)) else {
                panic!("{body:?}")
            };
            assert_eq!(codec.to_string(), name);
        }
        for (body, name) in [
            (&b"\x2f\x00"[..], "MP3"),
            (b"\xb6\x00", "Speex"),
            (b"\x90Opus", "Opus"),
            (b"\x95\x01", "Enhanced RTMP multitrack"),
        ] {
            let Ok(Audio::Unsupported(codec)) = Audio::parse(&Bytes::copy_from_slice(body)) else {
                panic!("{body:?}")
            };
            assert_eq!(codec.to_string(), name);
        }
    }

    #[test]
    fn bodies_shorter_than_their_header_are_errors() {
        for length in 1..5 {
            let body = avc_frame(true, 0, b"x").slice(..length);
            assert_eq!(
                Video::parse(&body),
                Err(Error::Truncated {
                    kind: "video",
                    length
                })
            );
        }
        assert_eq!(
            audio(b"\xaf"),
            Err(Error::Truncated {
                kind: "audio",
                length: 1
            })
        );
        assert_eq!(
            video(b"\x91avc"),
            Err(Error::Truncated {
                kind: "video",
                length: 4
            })
        );
        assert_eq!(
            video(b"\x91avc1\x00"),
            Err(Error::Truncated {
                kind: "video",
                length: 6
            })
        );
        assert_eq!(video(b""), Ok(Video::Nothing));
        assert_eq!(audio(b""), Ok(Audio::Nothing));
    }

    #[test]
    fn packet_types_that_do_not_exist_are_errors() {
        assert_eq!(
            video(b"\x17\x03\x00\x00\x00"),
            Err(Error::PacketType {
                codec: "H.264",
                packet_type: 3
            })
        );
        assert_eq!(
            audio(b"\xaf\x02"),
            Err(Error::PacketType {
                codec: "AAC",
                packet_type: 2
            })
        );
    }
}
