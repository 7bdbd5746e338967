//! What the corpora begin with: what our own encoders write, so that the fuzzer need not guess the
//! formats.

use bytes::{BufMut, Bytes, BytesMut};
use gifts::payment::signature;
use media::amf0::Value;
use media::flv::{self, TagKind};
use media::{amf0, amf3};
use rtmp_core::chunk::Writer;
use rtmp_core::message::{Command, kind};
use rtmp_core::{Secret, client, handshake, session};
use serde_json::json;
use websocket::deflate;
use wire::RoomClaims;
use wire::room_token::RoomKey;

/// The seeds of a target, by the names of their files.
pub fn of(target: &str) -> Vec<(&'static str, Vec<u8>)> {
    match target {
        "amf0" => amf_seeds(amf0::encode),
        "amf3" => amf_seeds(amf3::encode),
        "chunk" => chunk_seeds(),
        "dtls" => dtls_seeds(),
        "flv" => flv_seeds(),
        "handshake" => handshake_seeds(),
        "offer" => offer_seeds(),
        "opened" => opened_seeds(),
        "room_token" => room_token_seeds(),
        "said" => said_seeds(),
        "session" => session_seeds(),
        "since" => since_seeds(),
        "webhook" => webhook_seeds(),
        "webrtc" => webrtc_seeds(),
        "websocket" => websocket_seeds(),
        _ => Vec::new(),
    }
}

fn about() -> Value {
    Value::EcmaArray(vec![
        ("width".into(), 1280.0.into()),
        ("height".into(), 720.0.into()),
        ("videocodecid".into(), 7.0.into()),
        ("audiocodecid".into(), "mp4a".into()),
        ("stereo".into(), true.into()),
        ("encoder".into(), "seed".into()),
    ])
}

fn amf_seeds(encode: impl Fn(&Value, &mut BytesMut)) -> Vec<(&'static str, Vec<u8>)> {
    let mixed = Value::StrictArray(vec![
        Value::Null,
        Value::Undefined,
        Value::Reference(1),
        Value::Date(1.0),
        Value::Unsupported,
        Value::Xml("<x/>".into()),
        Value::Bytes([1, 2, 3].into()),
        Value::TypedObject {
            class: "C".into(),
            members: vec![("n".into(), 1.5.into())],
        },
    ]);
    let mut deep = Value::Null;
    for _ in 0..20 {
        deep = Value::object([("a", deep)]);
    }
    let long = Value::string(&"long".repeat(300));
    [
        ("about", about()),
        ("mixed", mixed),
        ("deep", deep),
        ("long", long),
    ]
    .into_iter()
    .map(|(name, value)| {
        let mut out = BytesMut::new();
        encode(&value, &mut out);
        (name, out.to_vec())
    })
    .collect()
}

fn offer_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let print = vec!["AB"; 32].join(":");
    let transport = format!(
        "c=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n\
         a=fingerprint:sha-256 {print}\r\na=setup:actpass\r\na=rtcp-mux\r\n"
    );
    let both = |direction: &str| {
        format!(
            "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
             m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n{transport}a=mid:0\r\na={direction}\r\n\
             a=rtpmap:111 opus/48000/2\r\na=ssrc:1 cname:x\r\n\
             m=video 9 UDP/TLS/RTP/SAVPF 96 97 102\r\n{transport}a=mid:1\r\na={direction}\r\n\
             a=extmap:3 {}\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:* nack pli\r\n\
             a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtpmap:102 H264/90000\r\n\
             a=fmtp:102 packetization-mode=1;profile-level-id=42e01f\r\n\
             a=ssrc-group:FID 2 3\r\na=ssrc:2 cname:x\r\na=ssrc:3 cname:x\r\n",
            sfu_core::answer::TRANSPORT_CC
        )
        .into_bytes()
    };
    vec![
        ("publishes", both("sendonly")),
        ("watches", both("recvonly")),
    ]
}

fn webrtc_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let framed = |datagrams: &[Vec<u8>]| {
        let each = datagrams.iter();
        each.flat_map(|one| [&[one.len() as u8], &one[..]].concat())
            .collect()
    };
    let packet = |kind: u8, sequence: u16, marker: bool, payload: &[u8]| {
        let mut out = Vec::new();
        sfu_core::rtp::write_header(&mut out, kind, marker, sequence, 9_000, 1);
        out.extend_from_slice(payload);
        out
    };
    let mut reports = Vec::new();
    sfu_core::rtcp::write_nack(&mut reports, 1, 2, &[1, 3, 40]);
    sfu_core::rtcp::write_pli(&mut reports, 1, 2);
    let provider = sfu_core::secure::provider();
    let asked = sfu_core::ice::request("server:peer", "other", [1; 12], provider.crypto());
    let pictures = [
        packet(96, 1, false, &[0x78, 0, 2, 0x67, 0x42, 0, 2, 0x68, 1]),
        packet(96, 2, false, &[0x7c, 0x85, 1, 2, 3]),
        packet(96, 4, true, &[0x41, 9, 9]),
        packet(96, 3, true, &[0x7c, 0x45, 4, 5]),
    ];
    let vp8 = [
        packet(
            96,
            1,
            false,
            &[
                0x90, 0x80, 5, 0x50, 0x42, 0, 0x9d, 1, 0x2a, 0x80, 2, 0x68, 1,
            ],
        ),
        packet(96, 2, true, &[0x80, 0x80, 5, 0xaa]),
    ];
    let vp9 = [
        packet(
            96,
            1,
            false,
            &[
                0xab, 0x81, 2, 0, 7, 0x18, 2, 0x80, 1, 0x68, 1, 4, 1, 0x82, 0x49,
            ],
        ),
        packet(
            96,
            2,
            true,
            &[
                0xa4, 0x81, 2, 0, 7, 0x83, 0x42, 0x20, 0x27, 0xf0, 0x16, 0x70, 0,
            ],
        ),
    ];
    let av1 = [
        packet(
            96,
            1,
            false,
            &[
                0x68, 12, 8, 0, 0, 0, 0x0c, 0xc4, 0xff, 0x67, 0x36, 0xbe, 0x40, 0x10, 0x30, 0x10,
            ],
        ),
        packet(96, 2, true, &[0x90, 2, 3]),
    ];
    vec![
        ("vp8", framed(&vp8)),
        ("vp9", framed(&vp9)),
        ("av1", framed(&av1)),
        ("asked", framed(&[asked.expect("short names")])),
        ("pictures", framed(&pictures)),
        ("reports", framed(&[reports])),
        ("sound", framed(&[packet(111, 1, false, &[0xfc, 1, 2])])),
    ]
}

/// Steps of a handshake, each behind what it is, how much time passes, and its length.
fn dtls_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let step = |what: u8, pause: u8, bytes: &[u8]| {
        let [high, low] = (bytes.len() as u16).to_be_bytes();
        [&[what, pause, high, low], bytes].concat()
    };
    let steps = |first: u8, steps: &[Vec<u8>]| [&[first][..], &steps.concat()].concat();
    let on = || step(0, 0, &[]);
    let finished = [20, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 2, 7, 7];
    vec![
        ("peer_begins", steps(0, &vec![on(); 12])),
        ("server_begins", steps(1, &vec![on(); 12])),
        (
            "changed",
            steps(
                0,
                &[
                    on(),
                    step(5, 0, &[20, 1, 0, 255]),
                    on(),
                    on(),
                    step(9, 0, &[40]),
                ],
            ),
        ),
        (
            "slow",
            steps(1, &[on(), step(0, 15, &[]), step(0, 15, &[]), on()]),
        ),
        (
            "records",
            steps(
                0,
                &[
                    on(),
                    on(),
                    step(0b1010, 0, &finished),
                    step(0b1_1010, 0, &finished),
                    step(0b0110, 0, &[2, 40]),
                    step(0b0010, 0, &[1]),
                    step(3, 0, &[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0]),
                    on(),
                ],
            ),
        ),
    ]
}

/// What a publisher and a viewer send, each behind who says it, how much time passes, and its length.
fn opened_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let said =
        |who: u8, pause: u8, bytes: &[u8]| [&[who, pause, bytes.len() as u8], bytes].concat();
    let packet = |kind: u8, sequence: u16, marker: bool, payload: &[u8]| {
        let mut out = Vec::new();
        let timestamp = 9_000 + u32::from(sequence) * 3_000;
        sfu_core::rtp::write_header(&mut out, kind, marker, sequence, timestamp, kind.into());
        out.extend_from_slice(payload);
        out
    };
    let sps = [
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03,
        0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
    ];
    let pps = [0x68, 0xeb, 0xec, 0xb2, 0x2c];
    let sets = [
        &[0x78, 0, 26],
        &sps[..],
        &[0, 5],
        &pps[..],
        &[0, 3, 0x65, 0x88, 1],
    ]
    .concat();
    let mut pictures = said(0, 0, &packet(102, 1, true, &sets));
    for sequence in [2, 3, 5, 6] {
        pictures.extend(said(0, 30, &packet(102, sequence, true, &[0x41, 0x9a, 1])));
        pictures.extend(said(0, 5, &packet(111, sequence, false, &[0xfc, 1, 2])));
    }
    // What was lost comes again, over its own source.
    pictures.extend(said(0, 9, &packet(103, 1, true, &[0, 4, 0x41, 0x9a, 1])));
    let report = |fill: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        fill(&mut out);
        out
    };
    let block = sfu_core::rtcp::ReportBlock {
        ssrc: 12,
        fraction_lost: 3,
        lost: -1,
        highest: 70_000,
        jitter: 5,
        last_sr: 1,
        delay: 2,
    };
    let asked = report(&|out| {
        sfu_core::rtcp::write_receiver_report(out, 7, &[block]);
        sfu_core::rtcp::write_nack(out, 7, 12, &[1, 2, 3, 5, 30]);
    });
    let again = report(&|out| {
        sfu_core::rtcp::write_nack(out, 7, 12, &[1, 2, 3, 18]);
        sfu_core::rtcp::write_pli(out, 7, 12);
    });
    // Extended reports (RFC 3611), feedback on arrivals, and a farewell.
    let other = [
        &[
            0x80, 207, 0, 4, 0, 0, 0, 7, 4, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8,
        ][..],
        &[
            0x8f, 205, 0, 4, 0, 0, 0, 7, 0, 0, 0, 12, 0, 1, 0, 1, 0, 0, 1, 0,
        ],
        &[0x81, 203, 0, 1, 0, 0, 0, 7],
    ];
    let sender = |ssrc, timestamp| sfu_core::rtcp::SenderReport {
        ssrc,
        ntp: 3_900_000_000 << 32,
        timestamp,
        packets: 4,
        bytes: 400,
    };
    let told = report(&|out| {
        sfu_core::rtcp::write_sender_report(out, &sender(102, 12_000));
        sfu_core::rtcp::write_sender_report(out, &sender(111, 4_000));
        sfu_core::rtcp::write_bye(out, 102);
    });
    let viewer = [
        &pictures[..],
        &said(1, 20, &asked),
        &said(1, 20, &again),
        &said(1, 20, &again[..again.len() - 3]),
        &said(1, 20, &other.concat()),
    ];
    let mut numbered = packet(102, 9, true, &[]);
    numbered[0] |= 0x10;
    numbered.extend_from_slice(&[0xbe, 0xde, 0, 1, 0x31, 0xff, 0xfe, 0, 0x41, 0x9a, 1]);
    let mut probe = packet(102, 10, false, &[0, 0, 0, 4]);
    probe[0] |= 0x20;
    let publisher = [
        &pictures[..],
        &said(0, 20, &told),
        &said(0, 20, &told[..30]),
        &said(0, 50, &numbered),
        &said(0, 50, &probe),
        // Another codec under the same source, a jump, another source after a silence, and long ones.
        &said(
            0,
            50,
            &packet(
                96,
                11,
                true,
                &[0x90, 0x80, 5, 0x50, 0x42, 0, 0x9d, 1, 0x2a, 0x80, 2],
            ),
        ),
        &said(0, 50, &packet(102, 9_000, true, &sets)),
        &said(
            4,
            250,
            &packet(98, 3, true, &[0xab, 0x81, 2, 0, 7, 0x18, 2, 0x80, 1, 0x68]),
        ),
        &said(2, 1, &packet(102, 9_001, false, &[0x7c, 0x85, 1])),
        &said(2, 1, &packet(102, 9_001, true, &[0x7c, 0x45, 1])),
    ];
    vec![
        ("viewer", viewer.concat()),
        ("publisher", publisher.concat()),
    ]
}

/// An input whose first byte says that it arrives in pieces of this length.
fn in_pieces(length: u8, bytes: &[u8]) -> Vec<u8> {
    [&[length - 1], bytes].concat()
}

fn chunk_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut plain = BytesMut::new();
    let mut writer = Writer::new();
    writer.write(&mut plain, 3, kind::COMMAND, 0, 0, b"command");
    writer.write(
        &mut plain,
        2,
        kind::SET_CHUNK_SIZE,
        0,
        0,
        &300u32.to_be_bytes(),
    );
    writer.set_chunk_size(300);
    writer.write(&mut plain, 6, kind::VIDEO, 1, 40, &[1; 700]);
    writer.write(&mut plain, 70, kind::AUDIO, 1, 40, &[2; 10]);
    writer.write(&mut plain, 400, kind::AUDIO, 1, 0x0123_4567, &[3; 400]);

    // Headers of all four types, two messages interleaved, and an abort.
    let mut short = BytesMut::new();
    short.put_slice(&[4, 0, 0, 10, 0, 0, 2, 8, 1, 0, 0, 0, 1, 2]);
    short.put_slice(&[0x44, 0, 0, 5, 0, 0, 200, 9]);
    short.put_slice(&[1; 128]);
    short.put_slice(&[5, 0, 0, 10, 0, 0, 2, 8, 1, 0, 0, 0, 1, 2, 0xC4]);
    short.put_slice(&[1; 72]);
    short.put_slice(&[0x85, 0, 0, 7, 3, 4, 0xC5, 5, 6]);
    short.put_slice(&[0xC4]);
    short.put_slice(&[1; 128]);
    short.put_slice(&[2, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 0, 0, 0, 4]);

    // A message whose second chunk leaves out its extended timestamp.
    let mut extended = BytesMut::new();
    extended.put_slice(&[6, 0xFF, 0xFF, 0xFF, 0, 0, 130, 9, 1, 0, 0, 0, 1, 2, 3, 4]);
    extended.put_slice(&[9; 128]);
    extended.put_slice(&[0xC6, 1, 9, 4, 0, 0, 0, 0, 0, 0, 8, 1, 0, 0, 0]);
    vec![
        ("plain", in_pieces(200, &plain)),
        ("short", in_pieces(7, &short)),
        ("extended", in_pieces(1, &extended)),
    ]
}

fn media_bodies() -> [(TagKind, Bytes); 5] {
    let mut script = BytesMut::new();
    for value in ["onMetaData".into(), about()] {
        amf0::encode(&value, &mut script);
    }
    [
        (TagKind::Script, script.freeze()),
        (
            TagKind::Video,
            flv::avc_sequence_header(b"\x01\x64\x00\x1f\xff\xe1\x00\x00\x01\x00\x00"),
        ),
        (TagKind::Audio, flv::aac_sequence_header(b"\x12\x10")),
        (
            TagKind::Video,
            flv::avc_frame(true, -40, b"\x00\x00\x00\x02\x65\x88"),
        ),
        (TagKind::Audio, flv::aac_frame(b"\x21\x10\x04")),
    ]
}

fn flv_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut stream = BytesMut::from(&flv::header(true, true)[..]);
    for (kind, body) in media_bodies() {
        flv::write_tag(&mut stream, kind, 0x0100_0028, &body);
    }
    vec![
        ("stream", in_pieces(9, &stream)),
        ("video", media_bodies()[3].1.to_vec()),
        (
            "enhanced_video",
            b"\x91avc1\x00\x00\x28\x00\x00\x00\x02\x65\x88".to_vec(),
        ),
        ("enhanced_audio", b"\x91mp4a\x21\x10\x04".to_vec()),
        ("other_codec", b"\x90hvc1\x01".to_vec()),
        ("script", media_bodies()[0].1.to_vec()),
    ]
}

fn handshake_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut first = BytesMut::new();
    let mut client = handshake::Client::new([1; 32], &mut first);
    let mut answer = BytesMut::new();
    let mut server = handshake::Server::new([2; 32]);
    // Both read what the other wrote, so neither can fail.
    let _ = server.read(&mut &first[..], &mut answer);
    let _ = client.read(&mut &answer[..], &mut first);
    first.put_slice(b"chunks");
    vec![
        ("client", in_pieces(100, &first)),
        ("server", in_pieces(255, &answer)),
    ]
}

/// What a client sends from its handshake to the end of its stream, chunks alone.
fn session_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut client = client::Session::new(
        client::Config {
            purpose: client::Purpose::Publish,
            app: "live".into(),
            tc_url: "rtmp://localhost/live".into(),
            key: Secret::new("key?query"),
            encoder: "seed".into(),
            chunk_size: 4096,
        },
        [1; 32],
    );
    let mut server = session::Session::new(session::Config::default(), [2; 32]);
    let mut sent = BytesMut::new();
    let mut exchange = |client: &mut client::Session| {
        for _ in 0..8 {
            while let Some(output) = client.poll_output() {
                if let client::Output::Transmit(bytes) = output {
                    sent.put_slice(&bytes);
                    // Neither side breaks a rule, so neither can fail.
                    let _ = server.handle_input(std::time::Duration::ZERO, &bytes);
                }
            }
            while let Some(output) = server.poll_output() {
                match output {
                    session::Output::Transmit(bytes) => {
                        let _ = client.handle_input(&bytes);
                    }
                    session::Output::Event(session::Event::PublishRequested { .. }) => {
                        let _ = server.accept_publish(std::time::Duration::ZERO);
                    }
                    session::Output::Event(_) => {}
                }
            }
        }
    };
    exchange(&mut client);
    for (kind, body) in media_bodies() {
        let _ = match kind {
            TagKind::Audio => client.send_audio(40, &body),
            TagKind::Video => client.send_video(40, &body),
            TagKind::Script => client.send_metadata(&about()),
        };
    }
    client.unpublish();
    exchange(&mut client);
    let chunks = &sent[1 + 2 * handshake::PACKET_BYTES..];

    let mut odd = BytesMut::new();
    let writer = Writer::new();
    let app = Value::object([("app", "live".into())]);
    let mut amf3 = BytesMut::from(&[0][..]);
    amf3.put_slice(&Command::new("connect", 1.0, [app]).encode());
    writer.write(&mut odd, 3, kind::COMMAND_AMF3, 0, 0, &amf3);
    let publish = Command::new("publish", 0.0, [Value::Null, "key".into()]);
    writer.write(&mut odd, 8, kind::COMMAND, 1, 0, &publish.encode());
    let mut aggregate = BytesMut::new();
    for timestamp in [1, 2] {
        aggregate.put_slice(&[9, 0, 0, 1, 0, 0, timestamp, 0, 0, 0, 0, b'x', 0, 0, 0, 12]);
    }
    writer.write(&mut odd, 6, kind::AGGREGATE, 1, 0, &aggregate);
    writer.write(&mut odd, 2, kind::USER_CONTROL, 0, 0, &[0, 6, 0, 0, 0, 1]);
    writer.write(&mut odd, 2, kind::WINDOW_ACK_SIZE, 0, 0, &[0, 0, 0, 1]);
    writer.write(
        &mut odd,
        8,
        kind::COMMAND,
        1,
        0,
        &Command::new("closeStream", 0.0, []).encode(),
    );
    writer.write(
        &mut odd,
        8,
        kind::COMMAND,
        1,
        0,
        &Command::new("play", 0.0, []).encode(),
    );
    vec![
        ("publish", in_pieces(50, chunks)),
        ("odd", in_pieces(3, &odd)),
    ]
}

fn room_token_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let claims = json!({
        "room": "019aa4f2-8a52-7000-8000-aabbccddeeff",
        "person": {
            "id": "019aa4f2-8a52-7000-8000-aabbccddee00",
            "handle": "ann",
            "name": "Ann",
            "badges": ["host"],
        },
        "until": 1_763_772_000_000_000_i64,
    });
    let signed = serde_json::from_value::<RoomClaims>(claims.clone());
    let signed = signed.map(|claims| RoomKey::new([7; 32]).sign(&claims));
    vec![
        ("claims", claims.to_string().into_bytes()),
        ("token", signed.unwrap_or_default().into_bytes()),
    ]
}

fn webhook_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let told = |kind: &str, object: serde_json::Value| {
        let body = json!({ "id": "evt_1", "type": kind, "created": 1_763_772_000, "data": { "object": object } });
        let body = body.to_string();
        let header = signature::sign(
            &signature::Secret::new(b"whsec_seed"),
            1_763_772_000,
            body.as_bytes(),
        );
        format!("{header}\n{body}").into_bytes()
    };
    let top_up = "019aa4f2-8a52-7000-8000-aabbccddeeff";
    vec![
        (
            "session",
            told(
                "checkout.session.completed",
                json!({
                    "id": "cs_1", "payment_intent": "pi_1", "client_reference_id": top_up,
                    "currency": "cny", "amount_total": 600, "payment_status": "paid", "status": "complete",
                }),
            ),
        ),
        (
            "charge",
            told(
                "charge.refunded",
                json!({ "id": "ch_1", "payment_intent": "pi_1", "currency": "cny", "amount": 600, "amount_refunded": 200 }),
            ),
        ),
        (
            "dispute",
            told(
                "charge.dispute.closed",
                json!({ "id": "dp_1", "payment_intent": "pi_1", "currency": "cny", "amount": 600, "status": "lost" }),
            ),
        ),
        (
            "intent",
            told(
                "payment_intent.succeeded",
                json!({ "id": "pi_1", "metadata": { "top_up": top_up }, "currency": "cny", "amount": 600 }),
            ),
        ),
    ]
}

fn said_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let send = json!({
        "t": "send", "id": 1, "text": "弹幕 @ann\u{202E}", "mode": "top", "colour": 255,
        "size": "large", "mt": -5, "reply": 7,
    });
    let delete = json!({ "t": "delete", "id": 2, "of": 977 });
    let msgpack = |value| rmp_serde::to_vec_named(value).unwrap_or_default();
    // A map in whose values arrays stand in arrays.
    let mut deep = b"\x82\xA1t\xA4like\xA1x".to_vec();
    deep.extend([0x91; 300]);
    vec![
        (
            "auth",
            json!({ "t": "auth", "token": "7b.00" })
                .to_string()
                .into_bytes(),
        ),
        ("send_json", send.to_string().into_bytes()),
        ("send_msgpack", msgpack(&send)),
        ("delete_msgpack", msgpack(&delete)),
        ("like", msgpack(&json!({ "t": "like" }))),
        (
            "deep_json",
            format!("{{\"t\":\"like\",\"x\":{}", "[".repeat(300)).into_bytes(),
        ),
        ("deep_msgpack", deep),
        // Text that says it has four thousand million bytes, and a map of as many.
        (
            "long_msgpack",
            b"\x82\xA1t\xA4send\xA4text\xDB\xFF\xFF\xFF\xFFx".to_vec(),
        ),
        (
            "wide_msgpack",
            b"\xDF\xFF\xFF\xFF\xFF\xA1t\xA4like".to_vec(),
        ),
    ]
}

fn since_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let all =
        b"chat:1763772000000:978,control:1763772000000:4,money:1:0,ambient:2:18446744073709551615";
    vec![
        ("all", all.to_vec()),
        ("odd", b",chat:1:2,,chat:+3:4,".to_vec()),
    ]
}

/// What a client sends: frames with a mask that changes nothing.
fn websocket_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let masked = |first: u8, payload: &[u8]| {
        let mut out = websocket::frame(first, payload.len());
        out[1] |= 0x80;
        out.put_u32(0);
        out.put_slice(payload);
        out.to_vec()
    };
    let compressed = |text: &[u8]| {
        let mut plain = websocket::frame(0x81, text.len());
        plain.put_slice(text);
        deflate::compress(&plain.freeze())[2..].to_vec()
    };
    let body = compressed(&b"again and ".repeat(30));
    let (half, other) = body.split_at(body.len() / 2);
    let plain = [
        masked(0x81, "弹幕".as_bytes()),
        masked(0x89, b"ping"),
        masked(0x82, &[1; 130]),
        masked(0x88, &[3, 0xE8]),
    ];
    let fragments = [
        masked(0x01, b"\xE5\xBC"),
        masked(0x8A, b""),
        masked(0x80, b"\xB9"),
    ];
    let deflated = [
        masked(0xC1, &body),
        masked(0x41, half),
        masked(0x89, b"between"),
        masked(0x00, b""),
        masked(0x80, other),
        // Two blocks, of which the first says it is the last; and one that is not compressed.
        masked(0xC1, b"\xF3\x48\xCD\xC9\xC9\x07\x00\x00"),
        masked(0xC1, b"\x00\x05\x00\xFA\xFF\x48\x65\x6C\x6C\x6F\x00"),
    ];
    let bomb = masked(0xC2, &compressed(&[0; 4_000]));
    vec![
        ("plain", in_pieces(4, &plain.concat())),
        ("fragments", in_pieces(1, &fragments.concat())),
        ("deflated", in_pieces(7, &deflated.concat())),
        ("bomb", in_pieces(200, &bomb)),
    ]
}
