//! A frame as it stands on the wire: an FLV tag, alone or in a WebSocket message, or an RTMP
//! message in chunks. Pure.

use bytes::{Bytes, BytesMut};
use fanout::Encoded;
use kit::websocket;
use media::amf0::{self, Value};
use media::flv::{self, Tag, TagKind};
use media::{AudioConfig, Frame, TrackConfig, VideoConfig};
use rtmp_core::play::Packer;

/// The encodings of derived logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// FLV, over HTTP and over WebSocket.
    Flv,
    /// RTMP.
    Rtmp,
}

/// The codec numbers of H.264 and AAC in `onMetaData`.
const VIDEO_CODEC_AVC: f64 = 7.0;
const AUDIO_CODEC_AAC: f64 = 10.0;

/// First byte of an unmasked binary WebSocket message that is one frame (RFC 6455 §5.2).
const BINARY_MESSAGE: u8 = 0x82;

impl Encoding {
    /// A frame's own bytes; none if players do not know its codec.
    pub fn frame(self, frame: &Frame) -> Option<Encoded> {
        let timestamp = timestamp_of(frame);
        let (kind, body) = match &*frame.config {
            TrackConfig::Video(VideoConfig::H264 { .. }) => {
                let later = frame.pts.as_millis() - frame.dts.as_millis();
                let later = i32::try_from(later).unwrap_or(i32::MAX);
                let body = flv::avc_frame(frame.key, later, &frame.data);
                (TagKind::Video, body)
            }
            TrackConfig::Audio(AudioConfig::Aac { .. }) => {
                (TagKind::Audio, flv::aac_frame(&frame.data))
            }
            TrackConfig::Video(_) | TrackConfig::Audio(AudioConfig::Opus { .. }) => return None,
        };
        Some(self.pack(&[Tag {
            kind,
            timestamp,
            body,
        }]))
    }

    /// What a decoder of these tracks needs: metadata, then the header of each that is `new`. It
    /// stands at a time in milliseconds.
    pub fn setup<'a>(
        self,
        tracks: &[&TrackConfig],
        new: impl IntoIterator<Item = &'a TrackConfig>,
        fps: Option<f64>,
        timestamp: u32,
    ) -> Encoded {
        let script = Tag {
            kind: TagKind::Script,
            timestamp,
            body: script(&about(tracks, fps)),
        };
        let headers = new
            .into_iter()
            .filter_map(|config| header_of(config, timestamp));
        let tags: Vec<Tag> = std::iter::once(script).chain(headers).collect();
        self.pack(&tags)
    }

    /// That nothing comes for now, or that it comes again, where the protocol can say so.
    pub fn dry(self, dry: bool) -> Option<Encoded> {
        match self {
            Self::Flv => None,
            Self::Rtmp if dry => Some(Encoded::plain(Packer::new().dry())),
            Self::Rtmp => Some(Encoded::plain(Packer::new().begin())),
        }
    }

    fn pack(self, tags: &[Tag]) -> Encoded {
        match self {
            Self::Flv => {
                let mut out = BytesMut::new();
                for tag in tags {
                    flv::write_tag(&mut out, tag.kind, tag.timestamp, &tag.body);
                }
                in_message(&out)
            }
            Self::Rtmp => {
                let packer = Packer::new();
                let mut out = BytesMut::new();
                for tag in tags {
                    match tag.kind {
                        TagKind::Audio => packer.audio(&mut out, tag.timestamp, &tag.body),
                        TagKind::Video => packer.video(&mut out, tag.timestamp, &tag.body),
                        TagKind::Script => packer.script(&mut out, tag.timestamp, &tag.body),
                    }
                }
                Encoded::plain(out.freeze())
            }
        }
    }
}

/// The header of an FLV stream, with the frame of a WebSocket message before it.
pub fn flv_header(has_video: bool, has_audio: bool) -> Encoded {
    in_message(&flv::header(has_video, has_audio))
}

/// Puts the frame of a WebSocket message before `bytes`.
fn in_message(bytes: &[u8]) -> Encoded {
    let mut out = websocket::frame(BINARY_MESSAGE, bytes.len());
    let lead = out.len();
    out.extend_from_slice(bytes);
    Encoded::framed(out.freeze(), lead)
}

fn header_of(config: &TrackConfig, timestamp: u32) -> Option<Tag> {
    let (kind, body) = match config {
        TrackConfig::Video(VideoConfig::H264 { record, .. }) => {
            (TagKind::Video, flv::avc_sequence_header(record))
        }
        TrackConfig::Audio(AudioConfig::Aac { record, .. }) => {
            (TagKind::Audio, flv::aac_sequence_header(record))
        }
        TrackConfig::Video(_) | TrackConfig::Audio(AudioConfig::Opus { .. }) => return None,
    };
    Some(Tag {
        kind,
        timestamp,
        body,
    })
}

fn about(tracks: &[&TrackConfig], fps: Option<f64>) -> Value {
    let mut members: Vec<(&str, Value)> = Vec::new();
    for config in tracks {
        match config {
            TrackConfig::Video(video) => {
                let (width, height) = video.resolution();
                members.push(("width", f64::from(width).into()));
                members.push(("height", f64::from(height).into()));
                members.push(("videocodecid", VIDEO_CODEC_AVC.into()));
                if let Some(fps) = fps.filter(|fps| *fps > 0.0) {
                    members.push(("framerate", fps.into()));
                }
            }
            TrackConfig::Audio(AudioConfig::Opus { .. }) => {}
            TrackConfig::Audio(audio) => {
                members.push(("audiocodecid", AUDIO_CODEC_AAC.into()));
                members.push(("audiosamplerate", f64::from(audio.sample_rate()).into()));
                members.push(("audiochannels", f64::from(audio.channels()).into()));
                members.push(("stereo", (audio.channels() == 2).into()));
            }
        }
    }
    members.push(("encoder", "Barrage".into()));
    Value::object(members)
}

fn script(about: &Value) -> Bytes {
    let mut body = BytesMut::new();
    for value in [&"onMetaData".into(), about] {
        amf0::encode(value, &mut body);
    }
    body.freeze()
}

/// Where a frame stands, in milliseconds.
pub fn timestamp_of(frame: &Frame) -> u32 {
    millis(frame.dts.as_millis())
}

/// Timestamps have 32 bits and go round after 49 days.
fn millis(millis: i64) -> u32 {
    let [.., a, b, c, d] = millis.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_websocket_message_tells_its_length_in_as_few_bytes_as_it_can() {
        for (length, lead) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let bytes = vec![7; length];
            let encoded = in_message(&bytes);
            assert_eq!(encoded.as_slice(false), bytes);
            assert_eq!(encoded.as_slice(true).len(), length + lead);
            assert_eq!(encoded.as_slice(true)[0], BINARY_MESSAGE);
        }
    }

    #[test]
    fn timestamps_go_round_after_32_bits() {
        assert_eq!(millis(0x1_0000_0005), 5);
        assert_eq!(millis(0xFFFF_FFFF), u32::MAX);
    }
}
