//! What strangers and broken encoders send: refused in words, at bounded cost, noticed by nobody.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use ingest::rtmp::chunk::Writer;
use ingest::rtmp::message::{Command, kind};
use media::amf0::Value;
use media::flv::{Tag, TagKind};
use tokio::io::AsyncWriteExt as _;

use crate::support::clip::is_key;
use crate::support::raw::{self, connect, exchange, rtmp_hello};
use crate::support::{Clip, Publisher, Server, Source, Viewer, until};

/// Where strangers come from, so that what is done to them hits nobody else.
const STRANGER: &str = "127.0.0.9";

/// More connections than a server expects.
const CROWD: usize = 1500;

/// How much the server's memory may grow while it is attacked, with a stream going on.
const GROWTH_KIB_MAX: u64 = 160 * 1024;

/// SplitMix64: the same bytes every time.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn bytes(&mut self, length: u64) -> Vec<u8> {
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

/// A message behind the hello, in one chunk.
fn message(of: u8, payload: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    let mut out = BytesMut::from(&rtmp_hello()[..]);
    writer.write(
        &mut out,
        2,
        kind::SET_CHUNK_SIZE,
        0,
        0,
        &(1024 * 1024u32).to_be_bytes(),
    );
    writer.set_chunk_size(1024 * 1024);
    writer.write(&mut out, 3, of, 0, 0, payload);
    out.to_vec()
}

/// `connect` with `value` for its command object, encoded already.
fn connect_with(value: &[u8]) -> Vec<u8> {
    let mut payload = Command::new("connect", 1.0, []).encode().to_vec();
    payload.extend(value);
    message(kind::COMMAND, &payload)
}

/// Everything a publisher says up to `publish`, without waiting for an answer.
fn whole_greeting(key: &str) -> Vec<u8> {
    let writer = Writer::new();
    let mut out = BytesMut::from(&rtmp_hello()[..]);
    let about = Value::object([
        ("app", "live".into()),
        ("tcUrl", "rtmp://localhost/live".into()),
    ]);
    let commands = [
        (0, Command::new("connect", 1.0, [about])),
        (0, Command::new("createStream", 2.0, [Value::Null])),
        (
            1,
            Command::new("publish", 3.0, [Value::Null, key.into(), "live".into()]),
        ),
    ];
    for (stream, command) in commands {
        writer.write(&mut out, 3, kind::COMMAND, stream, 0, &command.encode());
    }
    out.to_vec()
}

/// Sends bytes to the RTMP port, and finds the line of the log that refuses them with the address.
async fn refused(server: &Server, bytes: &[u8], words: &str) {
    let (address, _) = exchange(server.rtmp, STRANGER, bytes).await;
    let line = server.logged(&[words, &address]).await;
    assert!(
        line.contains("WARN") || line.contains("INFO"),
        "it is told without being asked: {line}"
    );
}

async fn nonsense_over_rtmp(server: &Server) {
    let mut rng = Rng(1);
    for round in 0..30 {
        let length = 1 + rng.next() % 6000;
        let mut bytes = rng.bytes(length);
        // Half of them look like RTMP at first.
        bytes[0] = if round % 2 == 0 { 3 } else { bytes[0] | 0x80 };
        let mut stream = connect(server.rtmp, STRANGER).await.unwrap();
        let address = stream.local_addr().unwrap().to_string();
        let _ = stream.write_all(&bytes).await;
        if round % 2 == 1 {
            server.logged(&["not RTMP", &address]).await;
        }
    }
    refused(
        server,
        b"GET / HTTP/1.1\r\n\r\n",
        "not RTMP: the first byte is 0x47",
    )
    .await;
    refused(server, &[0x16, 3, 1, 2, 0], "not RTMP").await;
}

async fn messages_too_large(server: &Server) {
    let mut two_gib = rtmp_hello();
    two_gib.extend([2, 0, 0, 0, 0, 0, 4, kind::SET_CHUNK_SIZE, 0, 0, 0, 0]);
    two_gib.extend(0x7FFF_FFFFu32.to_be_bytes());
    refused(server, &two_gib, "set chunk size asks for 2147483647 bytes").await;
    let mut long = rtmp_hello();
    long.extend([3, 0, 0, 0, 0xFF, 0xFF, 0xFF, kind::COMMAND, 0, 0, 0, 0]);
    refused(server, &long, "announced a message of 16777215 bytes").await;
    let mut many = rtmp_hello();
    for chunk_stream in 3..40 {
        many.extend([chunk_stream, 0, 0, 0, 0x10, 0, 0, kind::VIDEO, 1, 0, 0, 0]);
        many.extend([0; 128]);
    }
    refused(
        server,
        &many,
        "began a message while 8 others were incomplete",
    )
    .await;
}

async fn amf_without_end(server: &Server) {
    let nested = [3, 0, 1, b'a'].repeat(100_000);
    refused(server, &connect_with(&nested), "a command cannot be read").await;
    let mut array = BytesMut::new();
    array.put_slice(&[0x0A]);
    array.put_u32(1 << 31);
    refused(server, &connect_with(&array), "a command cannot be read").await;
    let strict_arrays = [0x0A, 0, 0, 0, 1].repeat(100_000);
    refused(
        server,
        &connect_with(&strict_arrays),
        "a command cannot be read",
    )
    .await;
    refused(
        server,
        &message(kind::COMMAND, &[2, 0, 7]),
        "a command cannot be read",
    )
    .await;
}

async fn truncated_greetings(server: &Server) {
    let whole = whole_greeting("bk_stranger");
    for part in 0..40 {
        let mut stream = connect(server.rtmp, STRANGER).await.unwrap();
        let _ = stream.write_all(&whole[..whole.len() * part / 40]).await;
    }
    refused(server, &whole, "the stream key is not known").await;
}

async fn nonsense_over_http(server: &Server) {
    let mut rng = Rng(2);
    for _ in 0..20 {
        let length = 1 + rng.next() % 3000;
        let mut stream = connect(server.http, STRANGER).await.unwrap();
        let _ = stream.write_all(&rng.bytes(length)).await;
    }
    let cookie = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nCookie: {}\r\n\r\n",
        "a".repeat(1 << 20)
    );
    let (_, answer) = exchange(server.http, STRANGER, cookie.as_bytes()).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );
    let (status, _) = raw::http(server.http, &format!("/{}", "a".repeat(20_000))).await;
    assert!((400..500).contains(&status), "{status}");
    let body = "POST /api/v1/streams HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nabc";
    let mut stream = connect(server.http, STRANGER).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
}

/// Connections that say half of what they should, and then nothing.
async fn half_open_crowds(server: &Server) {
    // From one address: it gets what one address may have.
    let mut held = Vec::new();
    for _ in 0..CROWD {
        let mut stream = connect(server.rtmp, STRANGER).await.unwrap();
        let _ = stream.write_all(&[3]).await;
        held.push(stream);
    }
    server
        .logged(&["rtmp.max_connections_per_address", STRANGER])
        .await;
    let open = server.metric("barrage_rtmp_connections").await;
    assert!(open <= 101.0, "{open} of {CROWD} are open");
    drop(held);
    // From many, and at the other port too: all are held, none for ever.
    let mut held = Vec::new();
    for number in 0..CROWD {
        let from = format!("127.0.1.{}", number % 20 + 1);
        let mut stream = connect(server.rtmp, &from).await.unwrap();
        let _ = stream.write_all(&rtmp_hello()[..1 + number]).await;
        held.push(stream);
        let mut stream = connect(server.http, &from).await.unwrap();
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: half").await;
        held.push(stream);
    }
    until("they are let go", async || {
        let open = server.metric("barrage_rtmp_connections").await;
        (open <= 2.0).then_some(())
    })
    .await;
    server
        .logged(&["did not publish in time", "127.0.1."])
        .await;
}

#[tokio::test]
async fn what_strangers_send_is_refused_in_words_and_a_live_stream_goes_on_without_a_gap() {
    let settings = [
        ("rtmp.handshake_timeout_ms", "4000"),
        ("http.head_timeout_ms", "4000"),
    ];
    let server = Server::with(&settings).await;
    let mut ffmpeg = Source::new().publish(&server);
    let mut viewer = Viewer::tune_in(&server).await;
    viewer.watch(2).await;
    let dropped = server.live().await["dropped_frames"].clone();
    let before = server.resident_kib();
    let mut most = before;

    let attacks = async {
        nonsense_over_rtmp(&server).await;
        messages_too_large(&server).await;
        amf_without_end(&server).await;
        truncated_greetings(&server).await;
        nonsense_over_http(&server).await;
        half_open_crowds(&server).await;
    };
    tokio::pin!(attacks);
    loop {
        tokio::select! {
            () = &mut attacks => break,
            () = viewer.step() => most = most.max(server.resident_kib()),
        }
    }
    viewer.watch(1).await;
    viewer.assert_rules_kept();
    for track in &viewer.tracks {
        let segments = viewer.segments(track);
        let broken = segments
            .iter()
            .filter(|segment| segment.discontinuity || segment.gap);
        assert_eq!(broken.count(), 0, "{} goes on without a gap", track.name);
        assert!(
            track.longest_wait < Duration::from_secs(2),
            "{:?}",
            track.longest_wait
        );
    }
    let stream = server.live().await;
    assert_eq!(stream["dropped_frames"], dropped);
    assert!(most < before + GROWTH_KIB_MAX, "{most} KiB after {before}");
    assert!(!ffmpeg.has_ended(), "{}", ffmpeg.said().text());
    assert!(server.log().lines_with(&["panicked"]).is_empty());
    assert_eq!(server.text("/readyz").await, "ready\n");
}

#[tokio::test]
async fn a_publisher_that_never_sends_a_keyframe_is_sent_away_in_words() {
    let server = Server::start().await;
    let clip = Clip::of(&Source::new().gop_frames(1000), 30).await;
    let mut publisher = Publisher::start(&server).await;
    publisher.introduce(&clip).await;
    let frames: Vec<_> = clip
        .frames_of(TagKind::Video)
        .into_iter()
        .filter(|f| !is_key(f))
        .collect();
    for frame in &frames {
        if publisher.send(frame).await.is_err() {
            break;
        }
    }
    server.logged(&["keyframe", &publisher.address()]).await;
    server.offline().await;
    until("nothing of it can be watched", async || {
        let answer = server.get("/hls/stage/index.m3u8").await;
        assert!(!answer.status().is_success());
        (answer.status() == 404).then_some(())
    })
    .await;
}

#[tokio::test]
async fn pictures_that_are_none_are_left_out_and_counted() {
    let server = Server::start().await;
    let clip = Clip::plain().await;
    let mut publisher = Publisher::start(&server).await;
    publisher.introduce(&clip).await;
    let mut rng = Rng(3);
    let frames = clip.frames.iter().flat_map(|frame| {
        // A picture by its tag, by its bytes nothing.
        let torn = is_key(frame).then(|| {
            let body = [&frame.body[..5], &[0xFF], &rng.bytes(200)].concat();
            Tag {
                body: Bytes::from(body),
                ..frame.clone()
            }
        });
        [frame.clone()].into_iter().chain(torn)
    });
    let frames: Vec<_> = frames.collect();
    publisher.play(&frames, 10).await.unwrap();
    let mut viewer = Viewer::tune_in(&server).await;
    let torn = server.metric("barrage_ingest_dropped_frames_total").await;
    assert!((torn - 10.0).abs() < 0.1, "{torn}");
    let stream = server.stream().await.unwrap();
    let dropped = stream["dropped_frames"].as_u64().unwrap();
    assert!((10..=12).contains(&dropped), "{stream}");
    publisher.finish().await;
    viewer.watch_to_the_end().await;
    viewer.assert_rules_kept();
    let told: i64 = viewer
        .video()
        .complete()
        .map(hls::rules::Segment::duration)
        .sum();
    assert!(told.abs_diff(10_000_000) < 50_000, "{told} us");
}

#[tokio::test]
async fn a_publisher_that_sends_faster_than_anybody_could_watch_costs_no_more_than_the_window() {
    let server = Server::with(&[("hls.window_bytes", "4194304")]).await;
    let clip = Clip::of(&Source::new(), 60).await;
    let mut publisher = Publisher::start(&server).await;
    publisher.introduce(&clip).await;
    publisher.send_all(&clip.frames).await;
    let before = server.resident_kib();
    // Half an hour of pictures, as fast as the socket takes them.
    for round in 1..30 {
        let later = crate::support::clip::shifted(&clip.frames, round * 60_000);
        publisher.send_all(&later).await;
    }
    let mut viewer = Viewer::tune_in(&server).await;
    publisher.finish().await;
    viewer.watch_to_the_end().await;
    let after = server.resident_kib();
    assert!(after < before + 100 * 1024, "{after} KiB after {before}");
    assert!(server.log().lines_with(&["panicked"]).is_empty());
}
