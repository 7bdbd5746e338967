//! Our chunk reader and AMF0 decoder against those of the `rtmp-rs` crate, over streams that a
//! seeded generator makes and then damages. Where both read something they read the same.

#![expect(
    clippy::unwrap_used,
    reason = "a generator whose numbers do not fit is a failed test"
)]

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};
use media::amf0::{self, Value};
use rtmp_core::chunk;
use rtmp_rs::amf::{Amf0Decoder, AmfValue};
use rtmp_rs::protocol::chunk::ChunkDecoder;

/// How many streams each test makes. The same seeds every time; a failure names its own.
const SEEDS: u64 = 3_000;

/// SplitMix64: enough to make streams with, and the same everywhere.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn u32_below(&mut self, end: u32) -> u32 {
        u32::try_from(self.below(u64::from(end))).unwrap()
    }

    fn usize_below(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).unwrap()
    }
}

/// What a chunk stream's next header may leave out.
#[derive(Clone, Copy, Default)]
struct Last {
    timestamp: u32,
    time_field: u32,
    length: usize,
}

/// A chunk stream as an encoder makes it: headers of all types, several chunk streams in turn,
/// chunk sizes that change.
fn chunk_stream(rng: &mut Rng, extended: bool) -> BytesMut {
    let mut out = BytesMut::new();
    let mut chunk_size = 128;
    let mut last: HashMap<u8, Last> = HashMap::new();
    for _ in 0..=rng.below(8) {
        if rng.below(5) == 0 {
            // At least as long as this message, so that it stays one chunk.
            chunk_size = 4 + rng.usize_below(400);
            out.put_slice(&[2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0]);
            out.put_u32(u32::try_from(chunk_size).unwrap());
            last.insert(2, Last::default());
        }
        // Two messages at a time, their chunks in turn.
        let mut rest: Vec<(u8, Option<u32>, BytesMut)> = Vec::new();
        for chunk_stream in [3 + rng.usize_below(2), 6 + rng.usize_below(2)] {
            let chunk_stream = u8::try_from(chunk_stream).unwrap();
            let length = rng.usize_below(600);
            let kind = 8 + u8::try_from(rng.below(2)).unwrap();
            let extension = begin_message(
                rng,
                &mut out,
                &mut last,
                (chunk_stream, length, kind),
                extended,
            );
            let length = last[&chunk_stream].length;
            let mut payload: BytesMut = (0..length).map(|_| rng.next().to_be_bytes()[0]).collect();
            let first = payload.split_to(length.min(chunk_size));
            out.put_slice(&first);
            rest.push((chunk_stream, extension, payload));
        }
        while rest.iter().any(|(_, _, payload)| !payload.is_empty()) {
            for (chunk_stream, extension, payload) in &mut rest {
                if !payload.is_empty() {
                    out.put_u8(0xC0 | *chunk_stream);
                    if let Some(extension) = extension {
                        out.put_u32(*extension);
                    }
                    let next = payload.split_to(payload.len().min(chunk_size));
                    out.put_slice(&next);
                }
            }
        }
    }
    out
}

/// Writes the first header of a message, of the shortest type or a longer one; tells its extension.
fn begin_message(
    rng: &mut Rng,
    out: &mut BytesMut,
    last: &mut HashMap<u8, Last>,
    (chunk_stream, length, kind): (u8, usize, u8),
    extended: bool,
) -> Option<u32> {
    let before = last.get(&chunk_stream).copied();
    let format = if before.is_some() { rng.below(4) } else { 0 };
    let before = before.unwrap_or_default();
    let time = if extended && rng.below(3) == 0 {
        0xFF_FFFE + rng.u32_below(4)
    } else {
        rng.u32_below(5000)
    };
    let mut now = Last {
        timestamp: time,
        time_field: time,
        length,
    };
    let short = |now: &Last| u64::from(now.time_field.min(0xFF_FFFF));
    match format {
        0 => {
            out.put_u8(chunk_stream);
            out.put_uint(short(&now), 3);
            out.put_uint(length as u64, 3);
            out.put_u8(kind);
            out.put_u32_le(1);
        }
        1 => {
            out.put_u8(0x40 | chunk_stream);
            out.put_uint(short(&now), 3);
            out.put_uint(length as u64, 3);
            out.put_u8(kind);
            now.timestamp = before.timestamp.wrapping_add(time);
        }
        2 => {
            out.put_u8(0x80 | chunk_stream);
            out.put_uint(short(&now), 3);
            now = Last {
                timestamp: before.timestamp.wrapping_add(time),
                time_field: time,
                ..before
            };
        }
        _ => {
            out.put_u8(0xC0 | chunk_stream);
            now = Last {
                timestamp: before.timestamp.wrapping_add(before.time_field),
                ..before
            };
        }
    }
    let extension = (now.time_field >= 0xFF_FFFF).then_some(now.time_field);
    if let Some(extension) = extension {
        out.put_u32(extension);
    }
    last.insert(chunk_stream, now);
    extension
}

type Read = (u32, u8, u32, u32, Bytes);

fn read_by_us(bytes: &[u8]) -> (Vec<Read>, Option<chunk::Error>) {
    let mut reader = chunk::Reader::new(chunk::Limits::default());
    let mut input = bytes;
    let mut messages = Vec::new();
    loop {
        match reader.read(&mut input) {
            Ok(Some(m)) => {
                messages.push((m.chunk_stream, m.kind, m.stream, m.timestamp, m.payload));
            }
            Ok(None) => return (messages, None),
            Err(error) => return (messages, Some(error)),
        }
    }
}

fn read_by_them(bytes: &[u8]) -> Vec<Read> {
    let mut decoder = ChunkDecoder::new();
    let mut buffer = BytesMut::from(bytes);
    let mut messages = Vec::new();
    loop {
        let before = buffer.len();
        match decoder.decode(&mut buffer) {
            Ok(Some(m)) => {
                // It leaves it to its caller to obey.
                if let (1 | 2, Some(number)) = (m.message_type, m.payload.first_chunk()) {
                    let number = u32::from_be_bytes(*number);
                    if m.message_type == 1 {
                        decoder.set_chunk_size(number);
                    } else {
                        decoder.abort(number);
                    }
                }
                messages.push((m.csid, m.message_type, m.stream_id, m.timestamp, m.payload));
            }
            Ok(None) if buffer.len() == before => return messages,
            Ok(None) => {}
            Err(_) => return messages,
        }
    }
}

#[test]
fn chunk_streams_are_read_as_rtmp_rs_reads_them() {
    let mut read = 0;
    for seed in 0..SEEDS {
        let bytes = chunk_stream(&mut Rng(seed), true);
        let (ours, error) = read_by_us(&bytes);
        assert_eq!(error, None, "seed {seed}");
        assert!(ours == read_by_them(&bytes), "seed {seed}");
        read += ours.len();
    }
    assert!(read > 10_000, "{read}");
}

#[test]
fn damaged_chunk_streams_are_read_as_rtmp_rs_reads_them_up_to_what_we_refuse() {
    let mut whole = 0;
    for seed in 0..SEEDS {
        let mut rng = Rng(seed);
        // Without extended timestamps: what is read where one is missing differs, and has its test.
        let mut bytes = chunk_stream(&mut rng, false);
        for _ in 0..=rng.below(3) {
            let at = rng.usize_below(bytes.len());
            match rng.below(3) {
                0 => bytes.truncate(at.max(1)),
                // Any value but that which makes a timestamp extended.
                _ => bytes[at] = u8::try_from(rng.below(255)).unwrap(),
            }
        }
        let (ours, error) = read_by_us(&bytes);
        let theirs = read_by_them(&bytes);
        if error.is_none() {
            whole += 1;
            assert!(ours == theirs, "seed {seed}");
        } else {
            assert!(theirs.starts_with(&ours), "seed {seed}: {error:?}");
        }
    }
    assert!(whole > 500, "{whole}");
}

/// A value without what `rtmp-rs` does not read: references and AMF3.
fn value(rng: &mut Rng, depth: u32) -> Value {
    match rng.below(if depth > 4 { 8 } else { 12 }) {
        0 => Value::Number(f64::from(rng.u32_below(1_000_000)) / 4.0),
        1 => Value::Boolean(rng.below(2) == 0),
        2 | 3 => Value::string(&"text".repeat(rng.usize_below(5))),
        4 => Value::Null,
        5 => Value::Undefined,
        6 => Value::Date(f64::from(rng.u32_below(1_000_000))),
        7 => Value::Xml("<x/>".into()),
        8 => Value::Object(members(rng, depth)),
        9 => Value::EcmaArray(members(rng, depth)),
        10 => Value::TypedObject {
            class: "Class".into(),
            members: members(rng, depth),
        },
        _ => Value::StrictArray((0..rng.below(4)).map(|_| value(rng, depth + 1)).collect()),
    }
}

fn members(rng: &mut Rng, depth: u32) -> amf0::Members {
    (0..rng.below(4))
        .map(|number| (format!("name{number}").into(), value(rng, depth + 1)))
        .collect()
}

/// The same value as `rtmp-rs` has it, its members in no order and each name once.
fn as_theirs(value: &Value) -> AmfValue {
    let map = |members: &amf0::Members| {
        members
            .iter()
            .map(|(name, value)| (name.to_string(), as_theirs(value)))
            .collect()
    };
    match value {
        Value::Number(number) => AmfValue::Number(*number),
        Value::Boolean(truth) => AmfValue::Boolean(*truth),
        Value::String(text) => AmfValue::String(text.to_string()),
        Value::Object(members) => AmfValue::Object(map(members)),
        Value::Null | Value::Reference(_) => AmfValue::Null,
        Value::Undefined | Value::Unsupported => AmfValue::Undefined,
        Value::EcmaArray(members) => AmfValue::EcmaArray(map(members)),
        Value::StrictArray(items) => AmfValue::Array(items.iter().map(as_theirs).collect()),
        Value::Date(millis) => AmfValue::Date(*millis),
        Value::Xml(text) => AmfValue::Xml(text.to_string()),
        Value::TypedObject { class, members } => AmfValue::TypedObject {
            class_name: class.to_string(),
            properties: map(members),
        },
        Value::Bytes(bytes) => AmfValue::ByteArray(bytes.to_vec()),
    }
}

/// Values compared by how they are shown, so that a damaged number that is none equals itself.
fn shown(value: &AmfValue) -> String {
    match value {
        AmfValue::Object(map) | AmfValue::EcmaArray(map) => shown_members(value, "", map),
        AmfValue::TypedObject {
            class_name,
            properties,
        } => shown_members(value, class_name, properties),
        AmfValue::Array(items) => format!("{:?}", items.iter().map(shown).collect::<Vec<_>>()),
        AmfValue::Null
        | AmfValue::Undefined
        | AmfValue::Boolean(_)
        | AmfValue::Number(_)
        | AmfValue::String(_)
        | AmfValue::Date(_)
        | AmfValue::Xml(_)
        | AmfValue::ByteArray(_)
        | AmfValue::Integer(_) => format!("{value:?}"),
    }
}

fn shown_members(value: &AmfValue, class: &str, map: &HashMap<String, AmfValue>) -> String {
    let mut members: Vec<_> = map
        .iter()
        .map(|(name, value)| (name, shown(value)))
        .collect();
    members.sort();
    format!("{:?} {class} {members:?}", std::mem::discriminant(value))
}

#[test]
fn amf0_is_read_as_rtmp_rs_reads_it() {
    for seed in 0..SEEDS {
        let value = value(&mut Rng(seed), 0);
        let mut bytes = BytesMut::new();
        amf0::encode(&value, &mut bytes);
        assert_eq!(
            amf0::decode(&bytes),
            Ok((value.clone(), bytes.len())),
            "seed {seed}"
        );
        let theirs = Amf0Decoder::with_lenient(false)
            .decode(&mut bytes.freeze())
            .unwrap();
        assert_eq!(shown(&as_theirs(&value)), shown(&theirs), "seed {seed}");
    }
}

#[test]
fn damaged_amf0_is_read_as_rtmp_rs_reads_it() {
    let (mut both, mut neither) = (0, 0);
    for seed in 0..4 * SEEDS {
        let mut rng = Rng(seed);
        let mut bytes = BytesMut::new();
        amf0::encode(&value(&mut rng, 0), &mut bytes);
        for _ in 0..=rng.below(2) {
            let at = rng.usize_below(bytes.len());
            bytes[at] = u8::try_from(rng.below(20)).unwrap();
        }
        // References and AMF3 are where it differs on purpose.
        if bytes.contains(&0x07) || bytes.contains(&0x11) {
            continue;
        }
        let theirs = Amf0Decoder::with_lenient(false).decode(&mut Bytes::copy_from_slice(&bytes));
        match (amf0::decode(&bytes), theirs) {
            (Ok((ours, _)), Ok(theirs)) => {
                both += 1;
                assert_eq!(shown(&as_theirs(&ours)), shown(&theirs), "seed {seed}");
            }
            (Err(error), Ok(theirs)) => panic!("seed {seed}: {error}, and {theirs:?}"),
            // We mend what is not UTF-8 and take an array that ends with the message.
            (Ok(_), Err(_)) => {}
            (Err(_), Err(_)) => neither += 1,
        }
    }
    assert!(both > 1000 && neither > 1000, "{both} {neither}");
}
