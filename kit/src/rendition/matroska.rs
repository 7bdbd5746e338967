//! What a child reads: one track as Matroska (RFC 9559) without end. Each frame stands by itself under its
//! own time in microseconds, so a reader has nothing to keep of those before it. Pure.

use anyhow::Context as _;
use bytes::{BufMut as _, Bytes, BytesMut};
use media::{AudioConfig, Frame, TrackConfig, VideoConfig};

const EBML: &[u8] = &[0x1a, 0x45, 0xdf, 0xa3];
const SEGMENT: &[u8] = &[0x18, 0x53, 0x80, 0x67];
const INFO: &[u8] = &[0x15, 0x49, 0xa9, 0x66];
const TRACKS: &[u8] = &[0x16, 0x54, 0xae, 0x6b];
const CLUSTER: &[u8] = &[0x1f, 0x43, 0xb6, 0x75];

/// A length that says that the end is not known (RFC 8794 §6.2).
const ENDLESS: &[u8] = &[0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

/// Nanoseconds of what times are counted in.
const TIMESTAMP_SCALE: u64 = 1_000;

const TYPE_VIDEO: u64 = 1;
const TYPE_AUDIO: u64 = 2;

/// Flag of a block with a keyframe (RFC 9559 §10.2).
const KEY: u8 = 0x80;

/// What stands before the first frame; `fps` is how many pictures come a second, if that is known.
pub(super) fn head(config: &TrackConfig, fps: Option<f64>) -> anyhow::Result<Bytes> {
    let mut ebml = BytesMut::new();
    element(&mut ebml, &[0x42, 0x82], b"matroska");
    number(&mut ebml, &[0x42, 0x87], 4);
    number(&mut ebml, &[0x42, 0x85], 2);
    let mut info = BytesMut::new();
    number(&mut info, &[0x2a, 0xd7, 0xb1], TIMESTAMP_SCALE);
    element(&mut info, &[0x4d, 0x80], b"barrage");
    element(&mut info, &[0x57, 0x41], b"barrage");
    let mut tracks = BytesMut::new();
    element(&mut tracks, &[0xae], &track(config, fps)?);

    let mut out = BytesMut::new();
    element(&mut out, EBML, &ebml);
    out.put_slice(SEGMENT);
    out.put_slice(ENDLESS);
    element(&mut out, INFO, &info);
    element(&mut out, TRACKS, &tracks);
    Ok(out.freeze())
}

fn track(config: &TrackConfig, fps: Option<f64>) -> anyhow::Result<BytesMut> {
    let mut out = BytesMut::new();
    number(&mut out, &[0xd7], 1);
    number(&mut out, &[0x73, 0xc5], 1);
    // Each block is one frame.
    number(&mut out, &[0x9c], 0);
    let mut details = BytesMut::new();
    match config {
        TrackConfig::Audio(audio) => {
            number(&mut out, &[0x83], TYPE_AUDIO);
            let rate = f64::from(audio.sample_rate());
            element(&mut details, &[0xb5], &rate.to_be_bytes());
            number(&mut details, &[0x9f], audio.channels().into());
            element(&mut out, &[0xe1], &details);
            match audio {
                AudioConfig::Aac { record, .. } => codec(&mut out, "A_AAC", record),
                AudioConfig::Opus { channels, .. } => {
                    codec(&mut out, "A_OPUS", &opus_head(*channels));
                }
            }
        }
        TrackConfig::Video(video) => {
            number(&mut out, &[0x83], TYPE_VIDEO);
            let (width, height) = video.resolution();
            number(&mut details, &[0xb0], width.into());
            number(&mut details, &[0xba], height.into());
            element(&mut out, &[0xe0], &details);
            if let Some(fps) = fps.filter(|fps| (1.0..1_000.0).contains(fps)) {
                let lasts = std::time::Duration::from_secs_f64(1.0 / fps);
                number(&mut out, &[0x23, 0xe3, 0x83], lasts.subsec_nanos().into());
            }
            let VideoConfig::H264 { record, .. } = video else {
                anyhow::bail!("pictures that no rendition is made of");
            };
            codec(&mut out, "V_MPEG4/ISO/AVC", record);
        }
    }
    Ok(out)
}

fn codec(out: &mut BytesMut, name: &str, record: &[u8]) {
    element(out, &[0x86], name.as_bytes());
    element(out, &[0x63, 0xa2], record);
}

/// The header of Opus (RFC 7845 §5.1): nothing is left out at the beginning, since who joins a live stream
/// begins in its middle.
fn opus_head(channels: u8) -> Vec<u8> {
    let mut head = b"OpusHead\x01".to_vec();
    head.push(channels);
    head.extend([0, 0]);
    head.extend(media::codec::opus::SAMPLE_RATE.to_le_bytes());
    head.extend([0, 0, 0]);
    head
}

/// A frame, shown at `micros`.
pub(super) fn frame(frame: &Frame, micros: i64) -> anyhow::Result<Bytes> {
    let micros = u64::try_from(micros).context("a frame from before its track began")?;
    let flags = if frame.key { KEY } else { 0 };
    // The track, and how much later than its cluster the frame is.
    let block = [0x81, 0, 0, flags];
    let length = block.len() + frame.data.len();
    let mut inside = BytesMut::with_capacity(length + 32);
    number(&mut inside, &[0xe7], micros);
    inside.put_slice(&[0xa3]);
    put_length(&mut inside, length);
    inside.put_slice(&block);
    inside.put_slice(&frame.data);
    let mut out = BytesMut::with_capacity(inside.len() + 16);
    element(&mut out, CLUSTER, &inside);
    Ok(out.freeze())
}

fn number(out: &mut BytesMut, id: &[u8], value: u64) {
    element(out, id, &value.to_be_bytes());
}

fn element(out: &mut BytesMut, id: &[u8], content: &[u8]) {
    out.put_slice(id);
    put_length(out, content.len());
    out.put_slice(content);
}

/// A length in eight bytes.
fn put_length(out: &mut BytesMut, length: usize) {
    out.put_u64(1 << 56 | length as u64);
}
