//! Script data: what an encoder says about its stream.

use std::sync::Arc;

use super::Error;
use super::body::{Codec, audio_codec, fourcc_codec, video_codec};
use crate::amf0::{self, Value};

/// How much of the encoder's name is kept.
const ENCODER_CHARS_MAX: usize = 128;

/// What `onMetaData` says, as far as it is of use. All of it is the encoder's word: the decoder
/// set-up decides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// Pixels.
    pub width: Option<u32>,
    /// Pixels.
    pub height: Option<u32>,
    /// Frames per second.
    pub framerate: Option<f64>,
    /// Kilobits per second of the pictures.
    pub video_kbps: Option<f64>,
    /// Kilobits per second of the sound.
    pub audio_kbps: Option<f64>,
    /// Samples per second.
    pub audio_sample_rate: Option<u32>,
    /// Channels.
    pub audio_channels: Option<u32>,
    /// The codec of the pictures, if there are to be pictures.
    pub video_codec: Option<Codec>,
    /// The codec of the sound, if there is to be sound.
    pub audio_codec: Option<Codec>,
    /// The encoder's name and version.
    pub encoder: Option<Arc<str>>,
}

impl Metadata {
    /// Reads script data: the body of an RTMP data message (`@setDataFrame`, `onMetaData`, values)
    /// or of an FLV script tag (`onMetaData`, values). `None` if it is about something else.
    pub fn parse(body: &[u8]) -> Result<Option<Self>, Error> {
        Ok(Self::from_values(&amf0::decode_all(body)?))
    }

    /// The same, of script data that have been decoded.
    pub fn from_values(values: &[Value]) -> Option<Self> {
        let values = match values {
            [name, rest @ ..] if name.as_str() == Some("@setDataFrame") => rest,
            values => values,
        };
        match values {
            [name, about, ..] if name.as_str() == Some("onMetaData") => {
                about.members().is_some().then(|| Self::from_value(about))
            }
            _ => None,
        }
    }

    fn from_value(about: &Value) -> Self {
        let number = |name| {
            about
                .get(name)
                .and_then(Value::as_f64)
                .filter(|it| it.is_finite())
        };
        let positive = |name| number(name).filter(|it| *it > 0.0);
        let stereo = about.get("stereo").and_then(Value::as_bool);
        let encoder = about.get("encoder").and_then(Value::as_str).map(|name| {
            name.chars()
                .filter(|c| !c.is_control())
                .take(ENCODER_CHARS_MAX)
                .collect::<String>()
        });
        Self {
            width: positive("width").and_then(whole),
            height: positive("height").and_then(whole),
            framerate: positive("framerate"),
            video_kbps: positive("videodatarate"),
            audio_kbps: positive("audiodatarate"),
            audio_sample_rate: positive("audiosamplerate").and_then(whole),
            audio_channels: positive("audiochannels")
                .and_then(whole)
                .or_else(|| stereo.map(|stereo| if stereo { 2 } else { 1 })),
            video_codec: about
                .get("videocodecid")
                .and_then(|id| codec(id, video_codec)),
            audio_codec: about
                .get("audiocodecid")
                .and_then(|id| codec(id, audio_codec)),
            encoder: encoder.filter(|name| !name.is_empty()).map(Into::into),
        }
    }
}

/// A number as a whole one, if it is of a size that a picture or a sample rate can have.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range has been checked"
)]
fn whole(number: f64) -> Option<u32> {
    (0.0..=1e9).contains(&number).then_some(number as u32)
}

/// Codecs are told by their number in a tag, by a FourCC as a number, or by a FourCC as text.
fn codec(id: &Value, by_number: impl Fn(u8) -> Codec) -> Option<Codec> {
    if let Some(text) = id.as_str() {
        return Some(fourcc_codec(text.as_bytes().try_into().ok()?));
    }
    let number = whole(id.as_f64()?).or_else(|| {
        // A FourCC is larger than any picture.
        let number = id.as_f64()?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range has been checked"
        )]
        (0.0..=f64::from(u32::MAX))
            .contains(&number)
            .then_some(number as u32)
    })?;
    Some(u8::try_from(number).map_or_else(|_| fourcc_codec(number.to_be_bytes()), by_number))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    fn script(values: &[Value]) -> BytesMut {
        let mut out = BytesMut::new();
        for value in values {
            amf0::encode(value, &mut out);
        }
        out
    }

    fn about() -> Value {
        let Value::Object(members) = Value::object([
            ("duration", 0.0.into()),
            ("width", 1280.0.into()),
            ("height", 720.0.into()),
            ("videocodecid", 7.0.into()),
            ("videodatarate", 2500.0.into()),
            ("framerate", 30.0.into()),
            ("audiocodecid", 10.0.into()),
            ("audiodatarate", 160.0.into()),
            ("audiosamplerate", 48000.0.into()),
            ("stereo", true.into()),
            (
                "encoder",
                "obs-output module (libobs version 29.0.2)".into(),
            ),
        ]) else {
            panic!()
        };
        Value::EcmaArray(members)
    }

    #[test]
    fn what_obs_says_is_read_with_and_without_set_data_frame() {
        let live = script(&["@setDataFrame".into(), "onMetaData".into(), about()]);
        let metadata = Metadata::parse(&live).unwrap().unwrap();
        assert_eq!((metadata.width, metadata.height), (Some(1280), Some(720)));
        assert_eq!(metadata.framerate, Some(30.0));
        assert_eq!(metadata.video_kbps, Some(2500.0));
        assert_eq!(
            (metadata.audio_sample_rate, metadata.audio_channels),
            (Some(48000), Some(2))
        );
        assert_eq!(metadata.video_codec.unwrap().to_string(), "H.264");
        assert_eq!(metadata.audio_codec.unwrap().to_string(), "AAC");
        assert_eq!(
            metadata.encoder.as_deref(),
            Some("obs-output module (libobs version 29.0.2)")
        );
        let file = script(&["onMetaData".into(), about()]);
        assert_eq!(Metadata::parse(&file), Ok(Some(metadata)));
    }

    #[test]
    fn set_data_frame_with_nothing_behind_it_is_nothing() {
        assert_eq!(Metadata::parse(b""), Ok(None));
        assert_eq!(
            Metadata::parse(&script(&["@setDataFrame".into()])),
            Ok(None)
        );
        assert_eq!(
            Metadata::parse(&script(&["@setDataFrame".into(), "onMetaData".into()])),
            Ok(None)
        );
        let null = script(&["@setDataFrame".into(), "onMetaData".into(), Value::Null]);
        assert_eq!(Metadata::parse(&null), Ok(None));
        assert_eq!(
            Metadata::parse(&script(&["onTextData".into(), about()])),
            Ok(None)
        );
        assert!(Metadata::parse(b"\x02\x00").is_err());
        assert!(Metadata::parse(b"\x02\x00\x0d@setDat").is_err());
    }

    #[test]
    fn codecs_are_understood_as_number_text_and_fourcc() {
        let with = |id: Value| {
            let body = script(&["onMetaData".into(), Value::object([("videocodecid", id)])]);
            Metadata::parse(&body)
                .unwrap()
                .unwrap()
                .video_codec
                .map(|codec| codec.to_string())
        };
        assert_eq!(with("avc1".into()).as_deref(), Some("H.264"));
        assert_eq!(
            with(f64::from(u32::from_be_bytes(*b"hvc1")).into()).as_deref(),
            Some("H.265")
        );
        assert_eq!(with("h264!".into()), None);
        assert_eq!(with((-1.0).into()), None);
        assert_eq!(with(f64::NAN.into()), None);
    }

    #[test]
    fn numbers_that_cannot_be_are_left_out() {
        let body = script(&[
            "onMetaData".into(),
            Value::object([
                ("width", f64::INFINITY.into()),
                ("height", (-720.0).into()),
                ("framerate", f64::NAN.into()),
                ("encoder", "\u{1b}[2J".repeat(500).as_str().into()),
            ]),
        ]);
        let metadata = Metadata::parse(&body).unwrap().unwrap();
        assert_eq!(
            (metadata.width, metadata.height, metadata.framerate),
            (None, None, None)
        );
        let encoder = metadata.encoder.unwrap();
        assert!(encoder.len() <= ENCODER_CHARS_MAX && !encoder.contains('\u{1b}'));
    }
}
