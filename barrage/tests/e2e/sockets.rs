//! The WebSockets of rooms: what strangers send over them, and compression.

use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use crate::support::frames::{COMPRESSED, Frame, Frames, deflated, masked};
use crate::support::member::{Socket, tls_over};
use crate::support::{Encoding, Member, Person, Server, until};

const ROOM: &str = "room=stage";

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

/// Many may be said at once, and long.
const GENEROUS: [(&str, &str); 6] = [
    ("chat.text_max", "500"),
    ("chat.user_burst", "10000"),
    ("chat.user_per_minute", "6000000"),
    ("chat.connection_burst", "10000"),
    ("chat.connection_per_second", "100000"),
    ("chat.room_per_second", "100000"),
];

/// The next frame in which there is something of this kind, and what it is.
async fn hear(frames: &mut Frames<impl Socket>, t: &str) -> (Frame, Value) {
    loop {
        let frame = frames.next().await;
        let frame = frame.unwrap_or_else(|| panic!("it ended before {t}"));
        if frame.first & 0x0F != 1 {
            continue;
        }
        let list: Vec<Value> = serde_json::from_slice(&frame.content).unwrap();
        if let Some(found) = list.into_iter().find(|one| one["t"] == t) {
            return (frame, found);
        }
    }
}

async fn speaker(server: &Server) -> Member {
    let person = Person::new(server, "ann").await;
    let mut member = Member::enter(server, ROOM).await;
    member.auth(&person, "stage").await;
    member
}

#[tokio::test]
async fn what_is_said_comes_compressed_to_those_who_agreed_on_it() {
    let server = Server::with(&[("chat.compression", "true")]).await;
    let https = TcpStream::connect(server.https.unwrap()).await.unwrap();
    let https = tls_over(&server, https).await;
    let mut plain = Frames::open(server.http, ROOM, "").await;
    let two = "Sec-WebSocket-Extensions: x-other; y=\"1, 2\"\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10\r\n";
    let mut small = Frames::open(server.http, ROOM, two).await;
    let mut compressed = Frames::open(server.http, ROOM, OFFER).await;
    let mut over_tls = Frames::over(https, ROOM, OFFER).await;
    let agreed = "sec-websocket-extensions: permessage-deflate; server_no_context_takeover; \
         client_no_context_takeover";
    assert!(!plain.answer.contains("sec-websocket-extensions"));
    assert!(
        small
            .answer
            .contains(&format!("{agreed}; server_max_window_bits=10\r\n"))
    );
    assert!(compressed.answer.contains(&format!("{agreed}\r\n")));
    assert!(
        over_tls
            .answer
            .to_ascii_lowercase()
            .contains(&format!("{agreed}\r\n"))
    );

    let text = "来了 ".repeat(30);
    speaker(&server).await.danmaku(&text).await;
    let (frame, danmaku) = hear(&mut plain, "danmaku").await;
    assert_eq!((frame.first, &danmaku["text"]), (0x81, &json!(text.trim())));
    for heard in [
        hear(&mut small, "danmaku").await,
        hear(&mut compressed, "danmaku").await,
        hear(&mut over_tls, "danmaku").await,
    ] {
        assert_eq!(heard.1, danmaku);
        assert_eq!(heard.0.first, 0x81 | COMPRESSED);
        assert!(heard.0.length < heard.0.content.len(), "{heard:?}");
    }
    // And what they say may be, in fragments and with a ping between them.
    let said = json!({ "t": "auth", "token": "nobody's" }).to_string();
    let said = deflated(said.as_bytes());
    let (one, other) = said.split_at(said.len() / 2);
    let frames = [masked(0x41, one), masked(0x89, b"?"), masked(0x80, other)];
    for client in [&mut small, &mut compressed] {
        for byte in frames.concat() {
            client.send(&[byte]).await;
        }
        assert_eq!(hear(client, "error").await.1["code"], "bad_token");
    }
    over_tls.send(&frames.concat()).await;
    assert_eq!(hear(&mut over_tls, "error").await.1["code"], "bad_token");
}

#[tokio::test]
async fn who_breaks_the_rules_of_frames_is_told_which_and_nobody_else_notices() {
    let text = json!({ "t": "like" }).to_string();
    let bomb = deflated(&vec![b' '; 16 << 20]);
    let unmasked = [&[0x81, text.len() as u8], text.as_bytes()].concat();
    let always = [
        ("too long", 1009, masked(0x81, &[b' '; 8_193])),
        (
            "too long in fragments",
            1009,
            [masked(0x01, &[b' '; 8_192]), masked(0x80, b" ")].concat(),
        ),
        (
            "absurdly long",
            1009,
            b"\x81\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF".repeat(2),
        ),
        ("no UTF-8", 1007, masked(0x81, b"\xC0\x80")),
        (
            "no UTF-8 across fragments",
            1007,
            [masked(0x01, b"\xE5\xBC"), masked(0x80, b"x")].concat(),
        ),
        ("an opcode that is none", 1002, masked(0x83, b"")),
        ("a control opcode that is none", 1002, masked(0x8F, b"")),
        ("RSV2", 1002, masked(0xA1, b"")),
        ("no mask", 1002, unmasked),
        ("the middle of nothing", 1002, masked(0x00, b"")),
        (
            "text within text",
            1002,
            [masked(0x01, b"x"), masked(0x81, b"x")].concat(),
        ),
        ("a ping in fragments", 1002, masked(0x09, b"")),
        ("a long ping", 1002, masked(0x89, &[0; 126])),
    ];
    let plain = [(
        "compressed without agreement",
        1002,
        masked(0xC1, &deflated(b"{}")),
    )];
    let compressed = [
        ("a compressed ping", 1002, masked(0xC9, b"")),
        ("garbled", 1007, masked(0xC1, &[0xFF; 20])),
        (
            "compressed, no UTF-8",
            1007,
            masked(0xC1, &deflated(b"\xFF")),
        ),
        (
            "a bomb",
            1009,
            [
                masked(0x41, &bomb[..4_000]),
                masked(0x80, &bomb[4_000..8_000]),
            ]
            .concat(),
        ),
        (
            "a bomb in little",
            1009,
            masked(0xC1, &deflated(&[b' '; 8_193])),
        ),
    ];
    for (offer, own) in [("", &plain[..]), (OFFER, &compressed[..])] {
        let on = if offer.is_empty() { "false" } else { "true" };
        let server = Server::with(&[("chat.compression", on)]).await;
        let mut ann = speaker(&server).await;
        for (what, code, bytes) in always.iter().chain(own) {
            let mut client = Frames::open(server.http, ROOM, offer).await;
            client.send(bytes).await;
            assert_eq!(
                client.ended().await,
                Some(*code),
                "{what}, offering {offer:?}"
            );
        }
        ann.danmaku("still here").await;
        assert_eq!(ann.texts(1).await, ["still here"]);
        assert_eq!(server.metric("barrage_shard_restarts_total").await, 0.0);
    }
}

#[tokio::test]
async fn a_message_that_is_nested_too_deep_is_none_and_the_next_one_is_read() {
    let server = Server::start().await;
    for (encoding, open) in [(Encoding::Json, b'['), (Encoding::Msgpack, 0x91)] {
        let mut member = Member::with(&server, ROOM, encoding).await;
        let nest = vec![open; 8_000];
        member
            .send(match encoding {
                Encoding::Json => Message::text(String::from_utf8(nest).unwrap()),
                Encoding::Msgpack => Message::binary(nest),
            })
            .await;
        assert_eq!(member.hear("error").await["code"], "bad_message");
        member.say(&json!({ "t": "auth", "token": "" })).await;
        assert_eq!(member.hear("error").await["code"], "bad_token");
    }
}

#[tokio::test]
async fn who_never_reads_is_let_go_and_costs_nobody_anything() {
    let mut settings = GENEROUS.to_vec();
    settings.push(("shards.stall_ms", "1000"));
    let server = Server::with(&settings).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let socket = socket.connect(server.http).await.unwrap();
    let deaf = Frames::over(socket, ROOM, "").await;
    let mut ann = speaker(&server).await;
    let text = "弹".repeat(500);
    until("it is let go", async || {
        for _ in 0..100 {
            ann.danmaku(&text).await;
        }
        let left = server.text("/metrics").await;
        let stopped = "barrage_chat_connections_left_total{why=\"stopped\"} 1";
        left.lines().any(|line| line == stopped).then_some(())
    })
    .await;
    drop(deaf);
}

#[tokio::test]
async fn who_goes_away_without_a_word_is_here_no_more() {
    let server = Server::start().await;
    let mut ann = Member::enter(&server, ROOM).await;
    let half = Frames::open(server.http, ROOM, "").await;
    while ann.hear("count").await["viewers"] != 2 {}
    // It still reads, and says no more: half a connection is none.
    let socket = half.into_socket();
    let socket = socket.into_std().unwrap();
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    while ann.hear("count").await["viewers"] != 1 {}
}
