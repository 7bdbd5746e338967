use bytes::BufMut;
use proptest::prelude::*;
use proptest::sample::Index;

use super::super::Writer;
use super::super::writer::write_basic_header;
use super::*;

fn read_all(reader: &mut Reader, mut input: &[u8]) -> Result<Vec<Message>, Error> {
    let mut messages = Vec::new();
    while let Some(message) = reader.read(&mut input)? {
        messages.push(message);
    }
    assert!(input.is_empty());
    Ok(messages)
}

fn read_fresh(input: &[u8]) -> Result<Vec<Message>, Error> {
    read_all(&mut Reader::new(Limits::default()), input)
}

/// The header of a type 0 chunk, its timestamp not extended.
fn header(chunk_stream: u32, timestamp: u32, length: u32, kind: u8) -> BytesMut {
    let mut out = BytesMut::new();
    write_basic_header(&mut out, 0, chunk_stream);
    out.put_uint(u64::from(timestamp), 3);
    out.put_uint(u64::from(length), 3);
    out.put_u8(kind);
    out.put_u32_le(1);
    out
}

/// The chunks of a message, each on its own.
fn chunks_of(message: &Message, chunk_size: usize) -> Vec<BytesMut> {
    let extension = (message.timestamp >= EXTENDED_TIMESTAMP).then_some(message.timestamp);
    let mut first = header(
        message.chunk_stream,
        message.timestamp.min(EXTENDED_TIMESTAMP),
        u32::try_from(message.payload.len()).unwrap(),
        message.kind,
    );
    let parts = message.payload.chunks(chunk_size).enumerate();
    let mut chunks: Vec<BytesMut> = parts
        .map(|(number, part)| {
            let mut chunk = BytesMut::new();
            if number == 0 {
                chunk.put_slice(&first);
            } else {
                write_basic_header(&mut chunk, 3, message.chunk_stream);
            }
            if let Some(extension) = extension {
                chunk.put_u32(extension);
            }
            chunk.put_slice(part);
            chunk
        })
        .collect();
    if chunks.is_empty() {
        first.extend(extension.map(u32::to_be_bytes).into_iter().flatten());
        chunks.push(first);
    }
    chunks
}

prop_compose! {
    fn any_message()(
        chunk_stream in prop_oneof![3u32..64, 64u32..320, 320u32..65_600],
        kind in 8u8..23,
        timestamp in prop_oneof![0u32..1000, 0xFF_FFF0u32..0x100_0010, any::<u32>()],
        payload in prop::collection::vec(any::<u8>(), 0..600),
    ) -> Message {
        Message { chunk_stream, kind, stream: 1, timestamp, payload: payload.into() }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_however_it_arrives(
        messages in prop::collection::vec(any_message(), 0..8),
        chunk_size in prop_oneof![1u32..10, 100u32..5000],
        piece in prop_oneof![1usize..20, 100usize..1000],
    ) {
        let mut writer = Writer::new();
        let mut bytes = BytesMut::new();
        writer.write(&mut bytes, 2, TYPE_SET_CHUNK_SIZE, 0, 0, &chunk_size.to_be_bytes());
        writer.set_chunk_size(chunk_size);
        for message in &messages {
            let Message { chunk_stream, kind, stream, timestamp, payload } = message;
            writer.write(&mut bytes, *chunk_stream, *kind, *stream, *timestamp, payload);
        }
        let mut reader = Reader::new(Limits::default());
        let mut read = Vec::new();
        for piece in bytes.chunks(piece) {
            read.extend(read_all(&mut reader, piece).unwrap());
        }
        prop_assert_eq!(&read[1..], &messages[..]);
        prop_assert_eq!(reader.partial_bytes(), 0);
        prop_assert_eq!(reader.partial_messages, 0);
    }

    #[test]
    fn messages_interleaved_in_any_way_are_read_as_they_become_whole(
        messages in prop::collection::vec(any_message(), 1..6),
        order in prop::collection::vec(any::<Index>(), 64),
        piece in 1usize..700,
    ) {
        let mut pending: Vec<(Message, std::vec::IntoIter<BytesMut>)> = Vec::new();
        for (number, mut message) in messages.into_iter().enumerate() {
            // One chunk stream each, of every width.
            message.chunk_stream = [3, 70, 400, 5, 64, 65_599][number];
            let chunks = chunks_of(&message, CHUNK_SIZE_INITIAL as usize);
            pending.push((message, chunks.into_iter()));
        }
        let mut bytes = BytesMut::new();
        let mut expected = Vec::new();
        let mut order = order.iter().cycle();
        while !pending.is_empty() {
            let at = order.next().unwrap().index(pending.len());
            bytes.extend(pending[at].1.next().unwrap());
            if pending[at].1.len() == 0 {
                expected.push(pending.remove(at).0);
            }
        }
        let mut reader = Reader::new(Limits::default());
        let mut read = Vec::new();
        for piece in bytes.chunks(piece) {
            read.extend(read_all(&mut reader, piece).unwrap());
        }
        prop_assert_eq!(read, expected);
        prop_assert_eq!((reader.partial_bytes(), reader.partial_messages), (0, 0));
    }

    #[test]
    fn any_bytes_are_survived_and_read_the_same_in_pieces(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0xC3), Just(3), Just(0)], 0..600),
        piece in 1usize..50,
    ) {
        let mut whole = Reader::new(Limits::default());
        let mut pieces = Reader::new(Limits::default());
        let at_once = collect(&mut whole, &[&bytes]);
        let bit_by_bit = collect(&mut pieces, &bytes.chunks(piece).collect::<Vec<_>>());
        prop_assert_eq!(at_once, bit_by_bit);
    }
}

/// The messages up to the first error, and the error.
fn collect(reader: &mut Reader, pieces: &[&[u8]]) -> (Vec<Message>, Option<Error>) {
    let mut messages = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        loop {
            match reader.read(&mut input) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}

#[test]
fn interleaved_chunk_streams_are_put_together() {
    let video = [7; 300];
    let mut bytes = header(6, 40, 300, 9);
    bytes.put_slice(&video[..128]);
    bytes.put_slice(&header(4, 41, 3, 8));
    bytes.put_slice(b"abc");
    bytes.put_u8(0xC6);
    bytes.put_slice(&video[128..256]);
    bytes.put_u8(0xC4);
    bytes.put_slice(b"def");
    bytes.put_u8(0xC6);
    bytes.put_slice(&video[256..]);
    let read = read_fresh(&bytes).unwrap();
    let told: Vec<_> = read
        .iter()
        .map(|m| (m.kind, m.timestamp, m.payload.len()))
        .collect();
    // The second sound repeats the whole header, and so its timestamp as a delta.
    assert_eq!(told, [(8, 41, 3), (8, 82, 3), (9, 40, 300)]);
}

#[test]
fn short_headers_repeat_what_they_leave_out() {
    let mut bytes = header(4, 1000, 2, 8);
    bytes.put_slice(b"aa");
    bytes.put_slice(&[0x44, 0, 0, 20, 0, 0, 3, 9]); // type 1
    bytes.put_slice(b"bbb");
    bytes.put_slice(&[0x84, 0, 0, 30]); // type 2
    bytes.put_slice(b"ccc");
    bytes.put_slice(&[0xC4]); // type 3
    bytes.put_slice(b"ddd");
    let read = read_fresh(&bytes).unwrap();
    let told: Vec<_> = read
        .iter()
        .map(|m| (m.kind, m.stream, m.timestamp, &m.payload[..]))
        .collect();
    assert_eq!(
        told,
        [
            (8, 1, 1000, &b"aa"[..]),
            (9, 1, 1020, b"bbb"),
            (9, 1, 1050, b"ccc"),
            (9, 1, 1080, b"ddd")
        ]
    );
}

#[test]
fn librtmp_may_begin_a_chunk_stream_with_a_type_1_header() {
    let read = read_fresh(&[0x42, 0, 0, 0, 0, 0, 6, 4, 0, 7, 0, 0, 0, 1]).unwrap();
    assert_eq!((read[0].stream, read[0].timestamp, read[0].kind), (0, 0, 4));
}

#[test]
fn a_header_that_repeats_nothing_is_refused() {
    for format in [2, 3] {
        let error = Error::NothingToRepeat {
            chunk_stream: 5,
            format,
        };
        assert_eq!(read_fresh(&[format << 6 | 5, 0, 0, 0]), Err(error));
    }
}

/// A message of 200 bytes with an extended timestamp, whose type 3 chunk has this extension.
fn extended(extension: &[u8], payload: &[u8; 200]) -> BytesMut {
    let mut bytes = header(6, EXTENDED_TIMESTAMP, 200, 9);
    bytes.put_u32(0x0123_4567);
    bytes.put_slice(&payload[..128]);
    bytes.put_u8(0xC6);
    bytes.put_slice(extension);
    bytes.put_slice(&payload[128..]);
    bytes
}

#[test]
fn extended_timestamps_on_type_3_are_taken_whether_or_not_they_are_repeated() {
    // The payload begins like the timestamp where the second chunk begins, but for its end.
    let mut payload = [0xAA; 200];
    payload[128..131].copy_from_slice(&[0x01, 0x23, 0x45]);
    for extension in [&[][..], &[0x01, 0x23, 0x45, 0x67]] {
        let bytes = extended(extension, &payload);
        for piece in [1, 2, 3, 5, 7, 1000] {
            let mut reader = Reader::new(Limits::default());
            let mut read = Vec::new();
            for piece in bytes.chunks(piece) {
                read.extend(read_all(&mut reader, piece).unwrap());
            }
            assert_eq!(read.len(), 1);
            assert_eq!(
                (read[0].timestamp, &read[0].payload[..]),
                (0x0123_4567, &payload[..])
            );
        }
    }
}

#[test]
fn a_last_chunk_shorter_than_the_missing_extension_does_not_eat_the_next_header() {
    let mut bytes = header(6, EXTENDED_TIMESTAMP, 129, 9);
    bytes.put_u32(0x0123_4567);
    bytes.put_slice(&[0xAA; 128]);
    // The one byte that is missing looks like the beginning of the extension.
    bytes.put_slice(&[0xC6, 0x01]);
    bytes.put_slice(&header(4, 5, 1, 8));
    bytes.put_slice(b"x");
    for piece in 1..20 {
        let mut reader = Reader::new(Limits::default());
        let mut read = Vec::new();
        for piece in bytes.chunks(piece) {
            read.extend(read_all(&mut reader, piece).unwrap());
        }
        let told: Vec<_> = read.iter().map(|m| (m.kind, m.payload.len())).collect();
        assert_eq!(told, [(9, 129), (8, 1)]);
    }
}

#[test]
fn timestamps_go_round_after_49_days() {
    let mut bytes = header(4, EXTENDED_TIMESTAMP, 1, 8);
    bytes.put_u32(u32::MAX);
    bytes.put_u8(1);
    bytes.put_slice(&[0x84, 0, 0, 11, 2]);
    let read = read_fresh(&bytes).unwrap();
    assert_eq!((read[0].timestamp, read[1].timestamp), (u32::MAX, 10));
}

#[test]
fn a_chunk_size_of_2_to_the_31_is_refused_and_so_is_zero() {
    for size in [0, CHUNK_SIZE_MAX + 1, 0x7FFF_FFFF, 0x8000_0000, u32::MAX] {
        let mut bytes = header(2, 0, 4, TYPE_SET_CHUNK_SIZE);
        bytes.put_u32(size);
        assert_eq!(read_fresh(&bytes), Err(Error::ChunkSize(size)));
    }
    let short = header(2, 0, 0, TYPE_SET_CHUNK_SIZE);
    assert_eq!(
        read_fresh(&short),
        Err(Error::ShortControl { kind: 1, length: 0 })
    );
}

#[test]
fn a_chunk_size_holds_from_the_next_chunk_even_inside_a_message() {
    let mut bytes = header(6, 0, 400, 9);
    bytes.put_slice(&[1; 128]);
    bytes.put_slice(&header(2, 0, 4, TYPE_SET_CHUNK_SIZE));
    bytes.put_u32(1000);
    bytes.put_u8(0xC6);
    bytes.put_slice(&[2; 272]);
    let read = read_fresh(&bytes).unwrap();
    assert_eq!(read[1].payload.len(), 400);
}

#[test]
fn a_message_that_announces_too_much_is_refused_by_its_header() {
    // Sixteen megabytes are the most that 24 bits can announce; a limit on 2 GiB needs no test.
    let error = Error::MessageTooLong {
        chunk_stream: 5,
        length: 0xFF_FFFF,
        limit: 8 * 1024 * 1024,
    };
    assert_eq!(
        error.to_string(),
        "chunk stream 5 announced a message of 16777215 bytes, the limit is 8388608"
    );
    assert_eq!(read_fresh(&header(5, 0, 0xFF_FFFF, 9)), Err(error));
}

#[test]
fn an_announced_length_costs_nothing_until_its_bytes_come() {
    let mut reader = Reader::new(Limits::default());
    let mut bytes = header(6, 0, 8 * 1024 * 1024, 9);
    read_all(&mut reader, &bytes).unwrap();
    assert!(reader.streams[&6].partial.is_none());
    bytes.clear();
    bytes.put_u8(0);
    read_all(&mut reader, &bytes).unwrap();
    let capacity = reader.streams[&6].partial.as_ref().unwrap().capacity();
    assert!(capacity <= 2 * FIRST_RESERVE_BYTES, "{capacity}");
    assert_eq!(reader.partial_bytes(), 1);
}

#[test]
fn chunk_streams_are_counted() {
    let limits = Limits {
        chunk_streams_max: 3,
        ..Limits::default()
    };
    let mut reader = Reader::new(limits);
    for chunk_stream in [3, 400, 65_599] {
        let mut bytes = header(chunk_stream, 0, 1, 8);
        bytes.put_u8(0);
        assert_eq!(read_all(&mut reader, &bytes).map(|read| read.len()), Ok(1));
    }
    let error = Error::TooManyChunkStreams {
        chunk_stream: 7,
        limit: 3,
    };
    assert_eq!(read_all(&mut reader, &header(7, 0, 1, 8)), Err(error));
}

#[test]
fn incomplete_messages_are_counted_and_so_are_their_bytes() {
    let limits = Limits {
        partial_messages_max: 2,
        partial_bytes_max: 300,
        ..Limits::default()
    };
    let begin = |chunk_stream| {
        let mut bytes = header(chunk_stream, 0, 1000, 9);
        bytes.put_slice(&[0; 128]);
        bytes
    };
    let mut reader = Reader::new(limits);
    assert_eq!(read_all(&mut reader, &begin(3)), Ok(vec![]));
    assert_eq!(read_all(&mut reader, &begin(4)), Ok(vec![]));
    let mut third = reader;
    let error = Error::TooManyPartialMessages {
        chunk_stream: 5,
        limit: 2,
    };
    assert_eq!(read_all(&mut third, &begin(5)[..20]), Err(error));

    let mut reader = Reader::new(limits);
    assert_eq!(read_all(&mut reader, &begin(3)), Ok(vec![]));
    assert_eq!(read_all(&mut reader, &begin(4)), Ok(vec![]));
    let more = [&[0xC3][..], &[0; 128]].concat();
    assert_eq!(
        read_all(&mut reader, &more),
        Err(Error::TooManyPartialBytes { limit: 300 })
    );
}

#[test]
fn an_abort_gives_the_message_up_and_frees_its_bytes() {
    let mut reader = Reader::new(Limits::default());
    let mut bytes = header(6, 0, 1000, 9);
    bytes.put_slice(&[0; 128]);
    bytes.put_slice(&header(2, 0, 4, TYPE_ABORT));
    bytes.put_u32(6);
    assert_eq!(read_all(&mut reader, &bytes).map(|read| read.len()), Ok(1));
    assert_eq!((reader.partial_bytes(), reader.partial_messages), (0, 0));
    let mut again = header(6, 0, 1, 9);
    again.put_u8(1);
    assert_eq!(read_all(&mut reader, &again).map(|read| read.len()), Ok(1));
}

#[test]
fn a_new_header_in_the_middle_of_a_message_is_refused() {
    let mut bytes = header(6, 0, 1000, 9);
    bytes.put_slice(&[0; 128]);
    bytes.put_slice(&header(6, 0, 1000, 9));
    assert_eq!(
        read_fresh(&bytes),
        Err(Error::Interrupted {
            chunk_stream: 6,
            missing: 872
        })
    );
}

#[test]
fn a_message_of_no_bytes_is_a_message() {
    let read = read_fresh(&header(4, 7, 0, 18)).unwrap();
    assert_eq!(
        (read.len(), read[0].timestamp, read[0].payload.len()),
        (1, 7, 0)
    );
}

#[test]
fn a_whole_message_holds_about_as_much_memory_as_it_is_long() {
    let payload = vec![0; 40_000];
    let mut bytes = BytesMut::new();
    Writer::new().write(&mut bytes, 6, 9, 1, 0, &payload);
    let read = read_fresh(&bytes).unwrap();
    let bytes = read[0].payload.clone();
    drop(read);
    let capacity = bytes.try_into_mut().map(|bytes| bytes.capacity()).unwrap();
    assert!(capacity <= 45_000, "{capacity}");
}
