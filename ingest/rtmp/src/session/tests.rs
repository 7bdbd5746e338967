use bytes::BufMut;
use media::amf0;

use super::super::{Secret, client};
use super::*;

const START: Duration = Duration::ZERO;

/// A client and a session, and no network between them.
struct Pair {
    client: client::Session,
    server: Session,
    now: Duration,
    client_events: Vec<client::Event>,
    server_events: Vec<Event>,
    /// How many times the server wrote.
    transmits: usize,
}

impl Pair {
    fn new(config: Config, key: &str) -> Self {
        let client = client::Config {
            purpose: client::Purpose::Publish,
            app: "live".into(),
            tc_url: "rtmp://localhost/live?token=hidden".into(),
            key: Secret::new(key),
            encoder: "FMLE/3.0 (test)".into(),
            chunk_size: 4096,
        };
        Self {
            client: client::Session::new(client, [1; 32]),
            server: Session::new(config, [2; 32]),
            now: START,
            client_events: Vec::new(),
            server_events: Vec::new(),
            transmits: 0,
        }
    }

    /// Moves bytes until nobody has any, in pieces of at most `piece`.
    fn run_in(&mut self, piece: usize) {
        loop {
            let mut idle = true;
            while let Some(output) = self.client.poll_output() {
                idle = false;
                match output {
                    client::Output::Transmit(bytes) => {
                        for piece in bytes.chunks(piece) {
                            self.server.handle_input(self.now, piece).unwrap();
                        }
                    }
                    client::Output::Event(event) => self.client_events.push(event),
                }
            }
            while let Some(output) = self.server.poll_output() {
                idle = false;
                match output {
                    Output::Transmit(bytes) => {
                        self.transmits += 1;
                        for piece in bytes.chunks(piece) {
                            self.client.handle_input(piece).unwrap();
                        }
                    }
                    Output::Event(event) => self.server_events.push(event),
                }
            }
            if idle {
                return;
            }
        }
    }

    fn run(&mut self) {
        self.run_in(usize::MAX);
    }

    /// Up to where media flow.
    fn publishing(config: Config) -> Self {
        let mut pair = Self::new(config, "sk_1");
        pair.run();
        pair.server.accept_publish(pair.now).unwrap();
        pair.run();
        assert!(pair.client.is_publishing());
        pair.client_events.clear();
        pair.server_events.clear();
        pair
    }

    fn refusal(&self) -> Option<(&str, &str)> {
        self.client_events.iter().find_map(|event| {
            if let client::Event::Refused { code, description } = event {
                Some((&**code, &**description))
            } else {
                None
            }
        })
    }
}

/// What a client sends so that its connection is open, with its commands behind.
fn opened(commands: &[(u32, Command)]) -> Session {
    let mut session = Session::new(Config::default(), [0; 32]);
    let mut bytes = BytesMut::from(&[3][..]);
    bytes.put_bytes(0, 2 * handshake::PACKET_BYTES);
    let sender = Sender::default();
    for (stream, command) in commands {
        sender.command(&mut bytes, *stream, command);
    }
    session.handle_input(START, &bytes).unwrap();
    session
}

fn connect() -> (u32, Command) {
    (
        0,
        Command::new("connect", 1.0, [Value::object([("app", "live".into())])]),
    )
}

fn publish() -> (u32, Command) {
    (
        1,
        Command::new("publish", 5.0, [Value::Null, "sk_1".into(), "live".into()]),
    )
}

/// All commands the session has answered with.
fn answers(session: &mut Session) -> Vec<Command> {
    let mut commands = Vec::new();
    let mut reader = chunk::Reader::new(chunk::Limits::default());
    let mut handshake_left = 1 + 2 * handshake::PACKET_BYTES;
    while let Some(output) = session.poll_output() {
        let Output::Transmit(bytes) = output else {
            continue;
        };
        let skipped = handshake_left.min(bytes.len());
        handshake_left -= skipped;
        let mut input = &bytes[skipped..];
        while let Some(message) = reader.read(&mut input).unwrap() {
            if let Message::Command(command) = Message::parse(&message).unwrap() {
                commands.push(command);
            }
        }
    }
    commands
}

fn code(command: &Command) -> Option<&str> {
    command.argument(1)?.get("code")?.as_str()
}

#[test]
fn a_client_publishes_to_the_session_and_media_come_through() {
    for piece in [1, 7, 1000, usize::MAX] {
        let mut pair = Pair::new(Config::default(), "sk_1?bitrate=high");
        pair.run_in(piece);
        assert_eq!(
            pair.server_events,
            [
                Event::Connected {
                    app: "live".into(),
                    tc_url: Some("rtmp://localhost/live".into()),
                    encoder: Some("FMLE/3.0 (test)".into()),
                },
                Event::PublishRequested {
                    app: "live".into(),
                    key: StreamKey::parse("sk_1?bitrate=high")
                },
            ]
        );
        assert_eq!(pair.client_events, [client::Event::Connected]);
        pair.server_events.clear();

        pair.server.accept_publish(START).unwrap();
        pair.run_in(piece);
        assert_eq!(pair.client_events[1..], [client::Event::Publishing]);

        pair.client
            .send_metadata(&Value::object([("width", 640.0.into())]))
            .unwrap();
        let picture = vec![0x17; 10_000];
        pair.client.send_video(0xFF_FFFF, &picture).unwrap();
        pair.client.send_audio(0x100_0000, &[0xAF, 1, 2]).unwrap();
        pair.client.unpublish();
        pair.run_in(piece);
        assert_eq!(
            pair.server_events,
            [
                Event::Metadata(Metadata {
                    width: Some(640),
                    ..Metadata::default()
                }),
                Event::Video {
                    timestamp: 0xFF_FFFF,
                    body: picture.into()
                },
                Event::Audio {
                    timestamp: 0x100_0000,
                    body: Bytes::from_static(&[0xAF, 1, 2])
                },
                Event::Unpublished,
            ]
        );
        assert_eq!(pair.client_events.last(), Some(&client::Event::Unpublished));
    }
}

#[test]
fn each_round_of_the_way_to_publishing_is_answered_in_one_write() {
    let mut pair = Pair::new(Config::default(), "sk_1");
    pair.run();
    // The handshake, connect, and createStream with what comes before it.
    assert_eq!(pair.transmits, 3);
    pair.server.accept_publish(START).unwrap();
    pair.run();
    assert_eq!(pair.transmits, 4);
}

#[test]
fn connect_is_answered_as_encoders_expect() {
    let about = Value::object([("app", "live/".into()), ("objectEncoding", 3.0.into())]);
    let mut session = opened(&[(0, Command::new("connect", 1.0, [about]))]);
    let Some(Output::Transmit(bytes)) = session.poll_output() else {
        panic!()
    };
    let mut input = &bytes[1 + 2 * handshake::PACKET_BYTES..];
    let mut reader = chunk::Reader::new(chunk::Limits::default());
    let mut messages = Vec::new();
    while let Some(message) = reader.read(&mut input).unwrap() {
        messages.push(Message::parse(&message).unwrap());
    }
    assert_eq!(
        messages[..3],
        [
            Message::WindowAckSize(2_500_000),
            Message::SetPeerBandwidth(2_500_000),
            Message::SetChunkSize(4096)
        ]
    );
    let Message::Command(answer) = &messages[3] else {
        panic!()
    };
    assert_eq!((&*answer.name, answer.transaction), ("_result", 1.0));
    assert_eq!(code(answer), Some("NetConnection.Connect.Success"));
    let info = answer.argument(1).unwrap();
    assert_eq!(
        info.get("objectEncoding").and_then(Value::as_f64),
        Some(3.0)
    );
    assert_eq!(messages.len(), 4);
}

#[test]
fn every_command_of_encoders_gets_the_answer_it_waits_for() {
    let call = |name, transaction| {
        (
            0,
            Command::new(name, transaction, [Value::Null, "sk_1".into()]),
        )
    };
    let mut session = opened(&[
        connect(),
        call("releaseStream", 2.0),
        call("FCPublish", 3.0),
        call("createStream", 4.0),
        call("_checkbw", 5.0),
        call("getStreamLength", 6.0),
        call("somethingElse", 7.0),
        call("createStream", 8.0),
    ]);
    let answers = answers(&mut session);
    let told: Vec<_> = answers.iter().map(|a| (&*a.name, a.transaction)).collect();
    assert_eq!(
        told,
        [
            ("_result", 1.0),
            ("_result", 2.0),
            ("_result", 3.0),
            ("onFCPublish", 0.0),
            ("_result", 4.0),
            ("_result", 5.0),
            ("_result", 6.0),
            ("_result", 8.0),
        ]
    );
    assert_eq!(answers[4].argument(1).and_then(Value::as_f64), Some(1.0));
    assert_eq!(answers[7].argument(1).and_then(Value::as_f64), Some(2.0));
}

#[test]
fn every_refusal_has_a_code_and_words_and_ends_the_session() {
    for (refusal, code) in [
        (Refusal::InvalidKey, "NetStream.Publish.BadName"),
        (Refusal::InUse, "NetStream.Publish.BadName"),
        (Refusal::NotAllowed, "NetStream.Publish.Denied"),
        (Refusal::Busy, "NetStream.Publish.Failed"),
    ] {
        let mut pair = Pair::new(Config::default(), "sk_wrong");
        pair.run();
        pair.server.refuse_publish(refusal);
        pair.run();
        assert_eq!(pair.refusal(), Some((code, refusal.description())));
        assert_eq!(
            pair.server_events.last(),
            Some(&Event::Closed(Closed::Refused(refusal)))
        );
        assert_eq!(pair.server.poll_timeout(), None);
    }
}

#[test]
fn an_empty_key_is_refused_without_asking() {
    let nameless = (1, Command::new("publish", 5.0, [Value::Null]));
    for command in [
        nameless,
        (1, Command::new("publish", 5.0, [Value::Null, "".into()])),
    ] {
        let mut session = opened(&[connect(), command]);
        let answers = answers(&mut session);
        assert_eq!(
            code(answers.last().unwrap()),
            Some("NetStream.Publish.BadName")
        );
    }
}

#[test]
fn an_application_that_is_not_served_is_refused() {
    let config = Config {
        apps: vec!["studio".into()],
        ..Config::default()
    };
    let mut pair = Pair::new(config, "sk_1");
    pair.run();
    let (code, description) = pair.refusal().unwrap();
    assert_eq!(code, "NetConnection.Connect.InvalidApp");
    assert_eq!(description, "There is no application 'live' here.");
    assert_eq!(pair.server_events, [Event::Closed(Closed::UnknownApp)]);
    let config = Config {
        apps: vec!["studio".into(), "live".into()],
        ..Config::default()
    };
    Pair::publishing(config);
}

/// A player and a session up to where the player has asked.
fn asking_to_play(name: &str) -> Pair {
    let mut pair = Pair::new(Config::default(), name);
    let config = client::Config {
        purpose: client::Purpose::Play,
        app: "live".into(),
        tc_url: "rtmp://localhost/live".into(),
        key: Secret::new(name),
        encoder: "LNX 9,0,124,2".into(),
        chunk_size: 128,
    };
    pair.client = client::Session::new(config, [1; 32]);
    pair.run();
    pair
}

#[test]
fn a_player_is_told_that_it_plays_and_gets_media_past_the_session() {
    let mut pair = asking_to_play("stage?start=low");
    assert!(
        matches!(&pair.server_events[..], [Event::Connected { .. }, Event::PlayRequested { app, name }]
            if app == "live" && name == "stage?start=low"),
        "{:?}",
        pair.server_events
    );
    pair.transmits = 0;
    pair.server.accept_play(START).unwrap();
    pair.run();
    assert_eq!(pair.transmits, 1);
    assert!(pair.client_events.contains(&client::Event::Playing));
    assert_eq!(pair.server.poll_timeout(), None, "a player may be silent");

    // A keyframe of several chunks, past 4.6 hours, where timestamps need more room.
    let body = vec![0x17; 200_000];
    let packer = crate::play::Packer::new();
    let mut bytes = BytesMut::new();
    packer.script(&mut bytes, 0, b"\x02\0\x0aonMetaData\x05");
    packer.video(&mut bytes, 0x0123_4567, &body);
    packer.audio(&mut bytes, 7, b"\xaf\x01sound");
    bytes.extend_from_slice(&packer.dry());
    bytes.extend_from_slice(&packer.begin());
    pair.client_events.clear();
    for piece in bytes.chunks(1_000) {
        pair.client.handle_input(piece).unwrap();
    }
    pair.run();
    let media: Vec<_> = pair
        .client_events
        .iter()
        .filter_map(|event| {
            let client::Event::Media {
                kind,
                timestamp,
                body,
            } = event
            else {
                return None;
            };
            Some((*kind, *timestamp, body.len()))
        })
        .collect();
    assert_eq!(
        media[1..],
        [
            (flv::TagKind::Video, 0x0123_4567, 200_000),
            (flv::TagKind::Audio, 7, 7)
        ]
    );
    assert_eq!(media[0].0, flv::TagKind::Script);
}

#[test]
fn a_player_pauses_seeks_in_vain_and_stops() {
    let mut pair = asking_to_play("stage");
    pair.server.accept_play(START).unwrap();
    pair.run();
    pair.server_events.clear();
    pair.client_events.clear();
    pair.client.control_play("pause", [true.into(), 0.0.into()]);
    pair.client
        .control_play("pause", [false.into(), 0.0.into()]);
    pair.client.control_play("seek", [5_000.0.into()]);
    pair.run();
    assert_eq!(
        pair.server_events,
        [Event::Paused(true), Event::Paused(false)]
    );
    assert_eq!(pair.refusal().unwrap().0, "NetStream.Seek.Failed");
    pair.client.control_play("closeStream", []);
    pair.run();
    assert_eq!(pair.server_events.last(), Some(&Event::PlayStopped));
}

#[test]
fn the_end_of_what_is_played_is_told() {
    let mut pair = asking_to_play("stage");
    pair.server.accept_play(START).unwrap();
    pair.run();
    pair.server.end_play(Reason::Ended, "The stream is over.");
    pair.run();
    assert_eq!(pair.client_events.last(), Some(&client::Event::PlayEnded));
    assert_eq!(
        pair.server_events.last(),
        Some(&Event::Closed(Closed::Ended(Reason::Ended)))
    );
}

#[test]
fn what_is_not_there_is_not_played() {
    for (refusal, expected) in [
        (PlayRefusal::NotFound, "NetStream.Play.StreamNotFound"),
        (PlayRefusal::Busy, "NetStream.Play.Failed"),
    ] {
        let mut pair = asking_to_play("stage");
        pair.server.refuse_play(refusal);
        pair.run();
        assert_eq!(pair.refusal().unwrap().0, expected);
        assert_eq!(
            pair.server_events.last(),
            Some(&Event::Closed(Closed::PlayRefused))
        );
    }
    let play = |stream| (stream, Command::new("play", 0.0, [Value::Null, "".into()]));
    let mut unnamed = opened(&[connect(), play(1)]);
    assert_eq!(
        code(answers(&mut unnamed).last().unwrap()),
        Some("NetStream.Play.StreamNotFound")
    );
    let mut elsewhere = opened(&[connect(), play(2)]);
    assert_eq!(
        code(answers(&mut elsewhere).last().unwrap()),
        Some("NetStream.Play.Failed")
    );
}

#[test]
fn nobody_plays_and_publishes_on_one_connection() {
    let mut pair = asking_to_play("stage");
    pair.server.accept_play(START).unwrap();
    pair.run();
    pair.server_events.clear();
    pair.client
        .control_play("publish", ["key".into(), "live".into()]);
    pair.client.control_play("play", ["other".into()]);
    pair.run();
    assert!(pair.server_events.is_empty(), "{:?}", pair.server_events);
}

#[test]
fn a_publisher_that_does_not_wait_loses_nothing_while_its_key_is_checked() {
    let mut session = opened(&[connect(), publish()]);
    let mut bytes = BytesMut::new();
    let sender = Sender::default();
    sender.media(&mut bytes, 6, kind::VIDEO, 1, 0, b"header");
    session.handle_input(START, &bytes).unwrap();
    assert_eq!(session.poll_timeout(), None);
    while let Some(output) = session.poll_output() {
        assert!(!matches!(output, Output::Event(Event::Video { .. })));
    }
    session.accept_publish(START).unwrap();
    session.poll_output();
    let Some(Output::Event(event)) = session.poll_output() else {
        panic!()
    };
    assert_eq!(
        event,
        Event::Video {
            timestamp: 0,
            body: Bytes::from_static(b"header")
        }
    );
}

#[test]
fn what_may_wait_while_a_key_is_checked_is_bounded() {
    let mut session = opened(&[connect(), publish()]);
    let limit = Limits::default().waiting_bytes_max;
    assert_eq!(session.handle_input(START, &vec![0; limit]), Ok(()));
    assert_eq!(
        session.handle_input(START, &[0]),
        Err(Error::TooMuchWaiting { limit })
    );
}

#[test]
fn media_before_publishing_and_after_it_are_dropped() {
    let mut session = opened(&[connect()]);
    let mut bytes = BytesMut::new();
    Sender::default().media(&mut bytes, 6, kind::VIDEO, 1, 0, b"x");
    session.handle_input(START, &bytes).unwrap();
    let mut pair = Pair::publishing(Config::default());
    pair.server.close(Reason::TakenOver);
    pair.client.send_video(0, b"x").unwrap();
    pair.run();
    assert_eq!(
        pair.server_events,
        [Event::Closed(Closed::Ended(Reason::TakenOver))]
    );
    assert!(
        !std::iter::from_fn(|| session.poll_output())
            .any(|output| matches!(output, Output::Event(Event::Video { .. })))
    );
}

#[test]
fn a_shutdown_is_told_in_words() {
    let mut pair = Pair::publishing(Config::default());
    pair.server.close(Reason::ShuttingDown);
    pair.run();
    let words = "The server is going down. Reconnect in a moment.";
    assert_eq!(
        pair.refusal(),
        Some(("NetConnection.Connect.Closed", words))
    );
    assert_eq!(pair.client_events[0], client::Event::Unpublished);
    assert_eq!(
        pair.server_events,
        [Event::Closed(Closed::Ended(Reason::ShuttingDown))]
    );
}

#[test]
fn a_peer_that_does_not_publish_in_time_is_closed() {
    let limit = Limits::default().publish_within;
    let mut session = Session::new(Config::default(), [0; 32]);
    assert_eq!(session.poll_timeout(), Some(limit));
    session.handle_timeout(limit - Duration::from_millis(1));
    assert!(session.poll_output().is_none());
    session.handle_timeout(limit);
    let Some(Output::Event(event)) = session.poll_output() else {
        panic!()
    };
    assert_eq!(event, Event::Closed(Closed::Ended(Reason::PublishTimeout)));
}

#[test]
fn a_publisher_that_falls_silent_is_closed() {
    let mut pair = Pair::publishing(Config::default());
    pair.now = Duration::from_secs(100);
    pair.client.send_audio(0, b"\xaf\x01x").unwrap();
    pair.run();
    let deadline = pair.now + Limits::default().silent_max;
    assert_eq!(pair.server.poll_timeout(), Some(deadline));
    pair.server.handle_timeout(deadline);
    pair.run();
    assert_eq!(
        pair.server_events.last(),
        Some(&Event::Closed(Closed::Ended(Reason::Silent)))
    );
}

#[test]
fn acknowledgements_are_sent_when_the_window_asks() {
    let mut pair = Pair::publishing(Config::default());
    for _ in 0..6 {
        pair.client.send_video(0, &vec![0; 1_000_000]).unwrap();
        pair.run();
    }
    let told: Vec<_> = pair
        .client_events
        .iter()
        .filter_map(|event| {
            if let client::Event::Acknowledged(bytes) = event {
                Some(*bytes / 1_000_000)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(told, [3, 6]);
}

#[test]
fn a_publisher_may_publish_again_on_the_same_connection() {
    let unpublish = (
        0,
        Command::new("deleteStream", 0.0, [Value::Null, 1.0.into()]),
    );
    let mut session = opened(&[connect(), publish()]);
    let mut bytes = BytesMut::new();
    let sender = Sender::default();
    sender.command(&mut bytes, 0, &unpublish.1);
    sender.command(&mut bytes, 1, &publish().1);
    session.handle_input(START, &bytes).unwrap();
    session.accept_publish(START).unwrap();
    let events: Vec<_> = std::iter::from_fn(|| session.poll_output())
        .filter_map(|output| match output {
            Output::Event(event) => Some(event),
            Output::Transmit(_) => None,
        })
        .collect();
    assert!(matches!(
        events[..],
        [
            Event::Connected { .. },
            Event::PublishRequested { .. },
            Event::Unpublished,
            Event::PublishRequested { .. }
        ]
    ));
}

#[test]
fn commands_before_connect_and_a_second_connect_are_errors() {
    let feed = |commands: &[(u32, Command)]| {
        let mut session = opened(&[]);
        let mut bytes = BytesMut::new();
        for (stream, command) in commands {
            Sender::default().command(&mut bytes, *stream, command);
        }
        session.handle_input(START, &bytes)
    };
    assert_eq!(
        feed(&[publish()]),
        Err(Error::BeforeConnect("publish".into()))
    );
    assert_eq!(feed(&[connect(), connect()]), Err(Error::ConnectedAlready));
}

/// What breaks other servers, as one message of this type before or after `publish`.
fn feed_raw(kind: u8, payload: &[u8]) -> (Result<(), Error>, Vec<Event>) {
    let mut session = opened(&[connect(), publish()]);
    session.accept_publish(START).unwrap();
    while session.poll_output().is_some() {}
    let mut bytes = BytesMut::new();
    chunk::Writer::new().write(&mut bytes, 4, kind, 1, 0, payload);
    let result = session.handle_input(START, &bytes);
    let events = std::iter::from_fn(|| session.poll_output())
        .filter_map(|output| match output {
            Output::Event(event) => Some(event),
            Output::Transmit(_) => None,
        })
        .collect();
    (result, events)
}

#[test]
fn a_connect_nested_a_thousand_to_a_hundred_thousand_deep_is_an_error() {
    for depth in [1_000, 10_000, 100_000] {
        let mut payload = BytesMut::new();
        amf0::encode(&"connect".into(), &mut payload);
        amf0::encode(&1.0.into(), &mut payload);
        payload.put_slice(&b"\x03\x00\x01a".repeat(depth));
        let mut bytes = BytesMut::new();
        chunk::Writer::new().write(&mut bytes, 3, kind::COMMAND, 0, 0, &payload);
        let mut session = opened(&[]);
        let error = Error::Message(message::Error::Command(amf0::Error::TooDeep));
        assert_eq!(session.handle_input(START, &bytes), Err(error));
    }
}

#[test]
fn a_connect_with_an_array_of_two_billion_is_an_error() {
    let mut payload = BytesMut::new();
    amf0::encode(&"connect".into(), &mut payload);
    amf0::encode(&1.0.into(), &mut payload);
    payload.put_slice(b"\x0a\x80\0\0\0");
    let (result, _) = feed_raw(kind::COMMAND, &payload);
    let error = amf0::Error::TooManyItems(0x8000_0000);
    assert_eq!(result, Err(Error::Message(message::Error::Command(error))));
}

#[test]
fn script_data_of_any_length_down_to_nothing_do_not_end_the_stream() {
    let mut whole = BytesMut::new();
    amf0::encode(&"@setDataFrame".into(), &mut whole);
    amf0::encode(&"onMetaData".into(), &mut whole);
    amf0::encode(&Value::object([("width", 640.0.into())]), &mut whole);
    for kind in [kind::DATA, kind::DATA_AMF3] {
        for end in 0..whole.len() {
            let (result, events) = feed_raw(kind, &whole[..end]);
            assert_eq!(result, Ok(()));
            assert!(
                !events.iter().any(|event| matches!(event, Event::Closed(_))),
                "{events:?}"
            );
        }
        let (_, events) = feed_raw(kind, &whole);
        assert!(matches!(events[..], [Event::Metadata(_)]));
    }
}

#[test]
fn messages_of_every_type_and_every_short_length_are_survived() {
    for kind in (0..=32).chain([255]) {
        for length in 0..16 {
            for byte in [0, 2, 0x11, 0xFF] {
                let _ = feed_raw(kind, &vec![byte; length]);
            }
        }
    }
}

#[test]
fn an_aggregate_brings_media_and_no_commands() {
    let mut payload = BytesMut::new();
    for (kind, timestamp) in [(8, 100), (9, 120), (20, 130), (22, 140)] {
        payload.put_slice(&[
            kind, 0, 0, 1, 0, 0, timestamp, 0, 0, 0, 0, b'x', 0, 0, 0, 12,
        ]);
    }
    let (result, events) = feed_raw(kind::AGGREGATE, &payload);
    assert_eq!(result, Ok(()));
    let body = Bytes::from_static(b"x");
    assert_eq!(
        events,
        [
            Event::Audio {
                timestamp: 0,
                body: body.clone()
            },
            Event::Video {
                timestamp: 20,
                body
            }
        ]
    );
}

#[test]
fn a_ping_is_answered() {
    let mut session = opened(&[connect()]);
    while session.poll_output().is_some() {}
    let mut bytes = BytesMut::new();
    chunk::Writer::new().write(&mut bytes, 2, kind::USER_CONTROL, 0, 0, &[0, 6, 0, 0, 0, 9]);
    session.handle_input(START, &bytes).unwrap();
    let Some(Output::Transmit(bytes)) = session.poll_output() else {
        panic!()
    };
    assert!(bytes.ends_with(&[0, 7, 0, 0, 0, 9]));
}

#[test]
fn a_key_is_not_shown_by_debug_or_by_errors() {
    let mut pair = Pair::new(Config::default(), "sk_secret?pass=word");
    pair.run();
    assert_eq!(pair.server_events.len(), 2);
    let shown = format!(
        "{:?} {:?} {:?}",
        pair.server_events, pair.server, pair.client
    );
    for secret in ["sk_secret", "word", "hidden"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
