//! Watching over HTTP-FLV, WebSocket-FLV and RTMP.

use std::net::SocketAddr;

use ingest::rtmp::client::Event;
use media::flv::{Tag, TagKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::support::clip::{is_key, shifted};
use crate::support::ffmpeg::output_of;
use crate::support::member::tls_over;
use crate::support::person::tls_client;
use crate::support::publisher::code_of;
use crate::support::server::CHANNEL;
use crate::support::{Clip, Over, Player, Publisher, Server, Source, until, within};

/// On stage, with the first frames of a clip sent.
async fn begin(server: &Server, clip: &Clip, frames: usize) -> Publisher {
    let mut publisher = Publisher::start(server).await;
    publisher.introduce(clip).await;
    publisher.send_all(&clip.frames[..frames]).await;
    server.live().await;
    publisher
}

/// Until somebody publishes there is nothing to see, and somebody who has just begun may not be on
/// stage yet.
async fn viewers(server: &Server, wanted: u64) {
    until("everybody is counted", async || {
        let stream = server.stream().await?;
        (stream["viewers"]["total"] == wanted).then_some(())
    })
    .await;
}

/// Where the keyframes of a clip stand among its frames.
fn keys_of(clip: &Clip) -> Vec<usize> {
    let all = 0..clip.frames.len();
    all.filter(|&n| is_key(&clip.frames[n])).collect()
}

fn of_kind(tags: &[Tag], kind: TagKind) -> Vec<&Tag> {
    let media = tags.iter().filter(|tag| tag.kind == kind);
    media.filter(|tag| tag.body[1] == 1).collect()
}

/// Sound that may be left out at the beginning, because it comes before the first picture.
const SOUND_BEFORE: usize = 2;

/// The same frames in the same order, and as far apart.
fn assert_same(over: Over, seen: &[Tag], sent: &[Tag]) {
    for kind in [TagKind::Video, TagKind::Audio] {
        let (seen, sent) = (of_kind(seen, kind), of_kind(sent, kind));
        let left_out = sent
            .len()
            .checked_sub(seen.len())
            .expect("no more than was sent");
        let may = if kind == TagKind::Audio {
            SOUND_BEFORE
        } else {
            0
        };
        assert!(
            left_out <= may,
            "{left_out} of {kind:?} are missing over {over:?}"
        );
        let sent = &sent[left_out..];
        for (n, (seen_tag, sent_tag)) in seen.iter().zip(sent).enumerate() {
            assert_eq!(seen_tag.body, sent_tag.body, "{kind:?} {n} over {over:?}");
            let since =
                |tag: &Tag, first: &Tag| i64::from(tag.timestamp) - i64::from(first.timestamp);
            let apart = since(seen_tag, seen[0]) - since(sent_tag, sent[0]);
            assert!(
                apart.abs() <= 1,
                "{kind:?} {n} over {over:?} is {apart} ms off"
            );
        }
    }
}

#[tokio::test]
async fn every_frame_arrives_as_it_was_published_over_every_protocol() {
    let server = Server::start().await;
    // With B-frames, which are shown in another order than they come.
    let clip = Clip::of(&Source::new().b_frames(2), 6).await;
    let mut publisher = begin(&server, &clip, 1).await;
    let mut players = Vec::new();
    for over in Over::ALL {
        players.push((over, Player::tune_in(&server, over, "").await));
    }
    viewers(&server, 3).await;
    let told = server.live().await["viewers"].clone();
    assert_eq!((&told["flv"], &told["rtmp"]), (&2.into(), &1.into()));
    publisher.send_all(&clip.frames[1..]).await;
    publisher.finish().await;
    for (over, mut player) in players {
        let seen = player.rest().await;
        assert_same(over, &seen, &clip.frames);
        assert_eq!(
            seen[0].kind,
            TagKind::Script,
            "{over:?} begins with what there is"
        );
        for kind in [TagKind::Video, TagKind::Audio] {
            let mut of_kind = seen.iter().filter(|tag| tag.kind == kind);
            let first = of_kind.next().unwrap();
            assert_eq!(first.body, clip.header(kind).body, "{kind:?} over {over:?}");
        }
        match over {
            Over::Http => {}
            // Normal closure.
            Over::WebSocket => {
                let (opcode, payload) = player.controls.last().unwrap();
                assert_eq!((*opcode, &payload[..2]), (8, &1000_u16.to_be_bytes()[..]));
            }
            Over::Rtmp => {
                let told = format!("{:?}", player.events);
                assert!(told.contains("PlayEnded"), "{told}");
            }
        }
    }
}

#[tokio::test]
async fn a_viewer_begins_with_the_latest_keyframe_the_next_or_a_still() {
    let server = Server::start().await;
    // A keyframe every second, thirty pictures a second.
    let clip = Clip::plain().await;
    let keys = keys_of(&clip);
    let joined = keys[2] + 20;
    let mut publisher = begin(&server, &clip, joined).await;
    // Somebody has seen it all, so that the others find it.
    let mut first = Player::tune_in(&server, Over::Http, "").await;
    while first.frame().await.unwrap().body != clip.frames[joined - 1].body {}
    let mut second = Player::tune_in(&server, Over::Rtmp, "").await;
    while second.frame().await.unwrap().body != clip.frames[joined - 1].body {}

    for over in Over::ALL {
        let mut now = Player::tune_in(&server, over, "?start=now").await;
        assert_eq!(
            now.frame().await.unwrap().body,
            clip.frames[keys[2]].body,
            "{over:?}"
        );
    }
    let mut later = Vec::new();
    for over in Over::ALL {
        later.push((
            over,
            Player::tune_in(&server, over, "?start=keyframe").await,
        ));
    }
    let mut low = Vec::new();
    for over in Over::ALL {
        let mut player = Player::tune_in(&server, over, "?start=low").await;
        // The still comes at once, stamped as what is live.
        let still = player.frame().await.unwrap();
        assert_eq!(still.body, clip.frames[keys[2]].body, "{over:?}");
        low.push((over, player, still.timestamp));
    }
    viewers(&server, 2 + 3 + 3).await;
    publisher.send_all(&clip.frames[joined..]).await;
    publisher.finish().await;

    for (over, mut player) in later {
        let seen = player.rest().await;
        assert_same(over, &seen, &clip.frames[keys[3]..]);
    }
    for (over, mut player, still_at) in low {
        let seen = player.rest().await;
        let pictures = of_kind(&seen, TagKind::Video);
        assert_eq!(pictures[0].body, clip.frames[keys[3]].body, "{over:?}");
        let sound = of_kind(&seen, TagKind::Audio);
        let sent = of_kind(&clip.frames[joined..], TagKind::Audio);
        assert_eq!(
            sound.len(),
            sent.len(),
            "{over:?} hears everything from then on"
        );
        // From the still to the keyframe no more time passes than there is until then.
        let wait = pictures[0].timestamp - still_at;
        let until_key = clip.frames[keys[3]].timestamp - clip.frames[joined - 1].timestamp;
        assert!(
            wait.abs_diff(until_key) <= 40,
            "{over:?}: {wait} ms, not {until_key}"
        );
    }
}

#[tokio::test]
async fn viewers_stay_while_the_publisher_is_away_and_get_its_new_set_up() {
    let server = Server::start().await;
    let clip = Clip::plain().await;
    let other = Clip::of(&Source::new().size("160x90"), 3).await;
    let mut publisher = begin(&server, &clip, 40).await;
    let mut players = Vec::new();
    for over in Over::ALL {
        let mut player = Player::tune_in(&server, over, "").await;
        player.frame().await.unwrap();
        players.push((over, player));
    }
    // Gone without a word, and back with another picture.
    drop(publisher);
    until("it is missed", async || {
        let stream = server.stream().await?;
        (stream["state"] == "waiting").then_some(())
    })
    .await;
    publisher = Publisher::start(&server).await;
    publisher.introduce(&other).await;
    publisher.send_all(&other.frames).await;
    publisher.finish().await;
    for (over, mut player) in players {
        let seen = player.rest().await;
        let header = other.header(TagKind::Video);
        let at = seen.iter().position(|tag| tag.body == header.body);
        let at = at.unwrap_or_else(|| panic!("{over:?} is not told of the new set-up"));
        let pictures = |tags: &[Tag]| -> Vec<_> {
            let pictures = of_kind(tags, TagKind::Video).into_iter();
            pictures.map(|tag| tag.body.clone()).collect()
        };
        assert_eq!(pictures(&seen[at..]), pictures(&other.frames), "{over:?}");
        let told = seen[..at].iter().rfind(|tag| tag.kind == TagKind::Script);
        let width = 160_f64.to_be_bytes();
        let told = told.is_some_and(|tag| tag.body.windows(8).any(|bytes| bytes == width));
        assert!(
            told,
            "{over:?}: the metadata before the set-up tell of another picture"
        );
        let of_video = seen.iter().filter(|tag| tag.kind == TagKind::Video);
        let stamps: Vec<u32> = of_video.map(|tag| tag.timestamp).collect();
        assert!(stamps.is_sorted(), "{over:?}: {stamps:?}");
    }
}

#[tokio::test]
async fn a_thousand_viewers_live_through_another_set_up_an_end_and_a_new_beginning() {
    let server = Server::with(&[("rtmp.max_connections_per_address", "2000")]).await;
    let clip = Clip::plain().await;
    let other = Clip::of(&Source::new().size("160x90"), 2).await;
    let publisher = begin(&server, &clip, 10).await;
    let mut watching = JoinSet::new();
    for n in 0..1_000 {
        let mut player = Player::tune_in(&server, Over::ALL[n % 3], "").await;
        watching.spawn(async move { (Over::ALL[n % 3], player.rest().await) });
    }
    viewers(&server, 1_000).await;
    drop(publisher);
    until("it is missed", async || {
        let stream = server.stream().await?;
        (stream["state"] == "waiting").then_some(())
    })
    .await;
    let mut publisher = Publisher::start(&server).await;
    publisher.introduce(&other).await;
    publisher.send_all(&other.frames).await;
    publisher.finish().await;
    let header = other.header(TagKind::Video);
    while let Some(seen) = watching.join_next().await {
        let (over, seen) = seen.unwrap();
        let at = seen.iter().position(|tag| tag.body == header.body);
        let (before, after) = seen.split_at(at.expect("everybody is told of the new set-up"));
        let before = of_kind(before, TagKind::Video);
        let sent = of_kind(&clip.frames[..10], TagKind::Video);
        assert!(
            before.iter().zip(&sent).all(|(a, b)| a.body == b.body),
            "{over:?}"
        );
        let after = of_kind(after, TagKind::Video);
        let sent = of_kind(&other.frames, TagKind::Video);
        assert_eq!(after.len(), sent.len(), "{over:?}");
        assert!(
            after.iter().zip(&sent).all(|(a, b)| a.body == b.body),
            "{over:?}"
        );
    }
    // The same channel, another broadcast.
    let mut publisher = begin(&server, &other, 10).await;
    for over in Over::ALL {
        let mut player = Player::tune_in(&server, over, "").await;
        let first = player.frame().await.unwrap();
        assert_eq!(first.body, other.frames_of(TagKind::Video)[0].body);
    }
    publisher.send_all(&other.frames[10..]).await;
    publisher.finish().await;
    until("the last connection is gone", async || {
        let connections = server.metric("barrage_shard_connections").await;
        (connections < 0.5).then_some(())
    })
    .await;
}

#[tokio::test]
async fn real_players_read_it() {
    let server = Server::start().await;
    let mut source = Source::new().publish(&server);
    server.live().await;
    let flv = server.url(&format!("/live/{CHANNEL}.flv"));
    let rtmp = format!("rtmp://{}/live/{CHANNEL}", server.rtmp);
    for url in [&flv, &rtmp] {
        let args = [
            "-v",
            "error",
            "-show_entries",
            "stream=codec_name,width",
            "-of",
            "csv=p=0",
            url,
        ];
        let said = String::from_utf8(output_of("ffprobe", &args).await).unwrap();
        let mut lines: Vec<&str> = said.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["aac", "h264,320"], "{url}");
    }
    for url in [&flv, &rtmp] {
        let shown = tempfile::TempDir::new().unwrap();
        let into = format!("--vo-image-outdir={}", shown.path().display());
        let args = [
            "--no-config",
            "--vo=image",
            &into,
            "--ao=null",
            "--frames=60",
            url,
        ];
        let said = String::from_utf8(output_of("mpv", &args).await).unwrap();
        assert!(said.contains("AO: [null]"), "no sound from {url}: {said}");
        let pictures = std::fs::read_dir(shown.path()).unwrap().count();
        assert_eq!(pictures, 60, "{url}: {said}");
    }
    // It is told the end, and ends by itself.
    let args = ["-q", "-v", "-r", &rtmp, "-o", "-"];
    let (dump, ()) = tokio::join!(output_of("rtmpdump", &args), async {
        viewers(&server, 1).await;
        source.finish().await;
    });
    assert!(dump.starts_with(b"FLV"), "{} bytes", dump.len());
    assert!(dump.len() > 10_000, "{} bytes", dump.len());
}

#[tokio::test]
async fn the_stream_comes_over_tls_over_http_2_and_behind_another_request() {
    let server = Server::start().await;
    let clip = Clip::plain().await;
    let publisher = begin(&server, &clip, 60).await;
    let https = format!("https://{}/live/{CHANNEL}.flv", server.https.unwrap());
    let http = server.url(&format!("/live/{CHANNEL}.flv"));
    // The client keeps its connections, so that this one's second request is for the stream.
    assert_eq!(server.text("/healthz").await, "ok\n");
    for url in [https, http] {
        let client = if url.starts_with("https") {
            tls_client()
        } else {
            server.client.clone()
        };
        let mut answer = client.get(&url).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{url}");
        assert_eq!(answer.headers()["content-type"], "video/x-flv");
        let mut reader = media::flv::Reader::new(1 << 20);
        let mut key = None;
        while key.is_none() {
            let chunk = within("the stream comes", answer.chunk()).await.unwrap();
            reader.push(&chunk.expect("the stream goes on"));
            while let Some(tag) = reader.next_tag().unwrap() {
                if is_key(&tag) && tag.body[1] == 1 {
                    key = Some(tag);
                }
            }
        }
        let latest = clip.frames[..60].iter().rev().find(|tag| is_key(tag));
        assert_eq!(key.unwrap().body, latest.unwrap().body, "{url}");
    }
    publisher.finish().await;
}

#[tokio::test]
async fn a_websocket_viewer_is_answered_and_may_say_goodbye() {
    let server = Server::start().await;
    let clip = Clip::plain().await;
    let _publisher = begin(&server, &clip, 30).await;
    let mut player = Player::tune_in(&server, Over::WebSocket, "").await;
    // A masked ping with four bytes, then a masked close.
    player.say(b"\x89\x84\0\0\0\0ping").await;
    while player.controls.is_empty() {
        assert!(player.read().await, "closed before the pong");
    }
    assert_eq!(player.controls[0], (10, "ping".into()));
    player.say(b"\x88\x82\0\0\0\0\x03\xe8").await;
    player.rest().await;
    assert_eq!(player.controls.last().unwrap().0, 8);
    viewers(&server, 0).await;
    // Nonsense ends it, too.
    let mut player = Player::tune_in(&server, Over::WebSocket, "").await;
    player.say(&[0xFF; 64]).await;
    player.rest().await;
    viewers(&server, 0).await;
}

#[tokio::test]
async fn a_player_over_rtmp_pauses_and_goes_on_live() {
    let server = Server::start().await;
    let clip = Clip::plain().await;
    let keys = keys_of(&clip);
    let mut publisher = begin(&server, &clip, 5).await;
    let mut player = Player::tune_in(&server, Over::Rtmp, "").await;
    player.frame().await.unwrap();
    player.control("pause", vec![true.into(), 0.0.into()]).await;
    // Its answer is not among the events of the client; that of a seek behind it is.
    player.control("seek", vec![1_000.0.into()]).await;
    while code_of(&player.events) != Some("NetStream.Seek.Failed") {
        assert!(player.read().await, "closed: {:?}", player.events);
    }
    // All of it is there once another viewer of the same encoding has it.
    let mut other = Player::tune_in(&server, Over::Rtmp, "").await;
    let (paused, later) = clip.frames.split_at(keys[4] + 3);
    publisher.send_all(&paused[5..]).await;
    let last = paused.last().expect("frames");
    while other.frame().await.expect("it goes on").body != last.body {}
    player
        .control("pause", vec![false.into(), 0.0.into()])
        .await;
    player.control("seek", vec![1_000.0.into()]).await;
    while player
        .events
        .iter()
        .filter(|event| is_seek_refused(event))
        .count()
        < 2
    {
        assert!(player.read().await, "closed: {:?}", player.events);
    }
    publisher.send_all(later).await;
    publisher.finish().await;
    let seen = player.rest().await;
    let pictures = of_kind(&seen, TagKind::Video);
    let stamps: Vec<u32> = pictures.iter().map(|tag| tag.timestamp).collect();
    assert!(stamps.is_sorted(), "{stamps:?}");
    let bodies: Vec<_> = pictures.iter().map(|tag| &tag.body).collect();
    let rest = of_kind(&clip.frames[keys[4]..], TagKind::Video);
    let rest: Vec<_> = rest.iter().map(|tag| &tag.body).collect();
    let before = bodies.len() - rest.len();
    assert!(
        before < 5,
        "{before} pictures from before the pause or within it"
    );
    assert_eq!(
        bodies[before..],
        rest,
        "it goes on with the latest keyframe"
    );
}

fn is_seek_refused(event: &Event) -> bool {
    code_of(std::slice::from_ref(event)) == Some("NetStream.Seek.Failed")
}

#[tokio::test]
async fn what_is_not_there_or_not_whole_is_refused_and_nobody_else_notices() {
    let server = Server::start().await;
    let clip = Clip::plain().await;
    let mut publisher = begin(&server, &clip, 30).await;
    let mut watcher = Player::tune_in(&server, Over::Http, "").await;
    watcher.frame().await.unwrap();

    // Unknown streams by the thousand, on a few connections and on many.
    for n in 0..1_000 {
        let answer = server.get(&format!("/live/nobody_{n}.flv")).await;
        assert_eq!(answer.status(), 404);
    }
    for name in [
        "/live/nobody.flv",
        "/live/stage",
        "/live/stage.mp4",
        "/live/.flv",
        "/live/..%2fx.flv",
    ] {
        let said = say(
            &server,
            &format!("GET {name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        )
        .await;
        assert!(said.starts_with("HTTP/1.1 404 "), "{name}: {said}");
    }
    let mut unknown = Player::over_rtmp(&server, "nobody").await;
    while unknown.read().await {}
    assert_eq!(
        code_of(&unknown.events),
        Some("NetStream.Play.StreamNotFound")
    );

    // A handshake with a wrong key, a wrong version, and without an upgrade.
    for (version, key, connection) in [
        ("13", "short", "Upgrade"),
        ("8", "dGhlIHNhbXBsZSBub25jZQ==", "Upgrade"),
        ("13", "dGhlIHNhbXBsZSBub25jZQ==", "close"),
    ] {
        let said = say(&server, &format!(
            "GET /live/stage.flv HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: {connection}\r\n\
             Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        )).await;
        assert!(
            said.starts_with("HTTP/1.1 400 "),
            "{version} {key} {connection}: {said}"
        );
    }

    // A head of a megabyte, and many that break off in the middle.
    let long = format!(
        "GET /live/stage.flv HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "y".repeat(1 << 20)
    );
    let said = say(&server, &long).await;
    assert!(
        said.is_empty() || said.starts_with("HTTP/1.1 431 "),
        "{said}"
    );
    for end in 1..60 {
        let head = "GET /live/stage.flv HTTP/1.1\r\nHost: somewhere.example\r\nX: y\r\n";
        let mut stream = TcpStream::connect(server.http).await.unwrap();
        stream.write_all(&head.as_bytes()[..end]).await.unwrap();
    }

    publisher.send_all(&clip.frames[30..]).await;
    publisher.finish().await;
    let seen = watcher.rest().await;
    let last = shifted(&clip.frames, 0);
    assert_eq!(seen.last().unwrap().body, last.last().unwrap().body);
}

/// Sends a request, and gives the head of the answer, or nothing if the connection is closed.
async fn say(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.http).await.unwrap();
    // A server that has heard enough does not read the rest.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut said = Vec::new();
    while !said.windows(4).any(|four| four == b"\r\n\r\n") {
        let read = within("an answer", stream.read_buf(&mut said)).await;
        if !matches!(read, Ok(1..)) {
            break;
        }
    }
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn the_end_of_the_server_is_told_to_those_who_watch() {
    let mut server = Server::start().await;
    let clip = Clip::plain().await;
    let mut publisher = begin(&server, &clip, 30).await;
    let mut players = Vec::new();
    for over in Over::ALL {
        players.push(Player::tune_in(&server, over, "").await);
    }
    let (ended, _) = tokio::join!(server.terminate(), publisher.farewell());
    assert_eq!(ended.code(), Some(0));
    for mut player in players {
        let seen = player.rest().await;
        assert_eq!(
            of_kind(&seen, TagKind::Video)[0].body,
            clip.frames_of(TagKind::Video)[0].body
        );
    }
}

/// A socket that takes little before it is full, to one of the server's ports.
async fn narrow(to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    within("a connection", socket.connect(to)).await.unwrap()
}

#[tokio::test]
async fn who_stops_reading_is_let_go_whatever_the_connection() {
    let server = Server::with(&[("shards.stall_ms", "1000")]).await;
    let clip = Clip::plain().await;
    let mut publisher = begin(&server, &clip, 30).await;
    let https = server.https.unwrap();
    let host = format!("localhost:{}", https.port());
    let tls = async || tls_over(&server, narrow(https).await).await;
    let get = |target: &str, headers: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n")
    };
    let flv = format!("/live/{CHANNEL}.flv");
    let absolute = format!("http://{}{flv}", server.http);
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut plain = Vec::new();
    for asked in [
        get(&flv, ""),
        get(&absolute, ""),
        get(&flv, upgrade),
        get("/healthz", "") + &get(&flv, ""),
    ] {
        let mut socket = narrow(server.http).await;
        socket.write_all(asked.as_bytes()).await.unwrap();
        plain.push(socket);
    }
    let mut secret = Vec::new();
    for asked in [get(&flv, ""), get(&flv, upgrade)] {
        let mut socket = tls().await;
        socket.write_all(asked.as_bytes()).await.unwrap();
        secret.push(socket);
    }
    viewers(&server, 6).await;
    let mut reading = Player::tune_in(&server, Over::Http, "").await;
    let reader = tokio::spawn(async move { reading.rest().await });
    // Those who do not read are filled up at once; whoever does goes on meanwhile.
    for round in 1..=3 {
        publisher
            .send_all(&shifted(&clip.frames, round * 12_000))
            .await;
    }
    let mut at = 48_000;
    until("everybody who stopped is let go", async || {
        at += 40;
        publisher.send_all(&shifted(&clip.frames[..1], at)).await;
        let gone = server.text("/metrics").await;
        let stopped = gone.lines().filter(|line| {
            line.starts_with("barrage_viewers_left_total") && line.contains("why=\"stopped\"")
        });
        let count: f64 = stopped
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum();
        (count > 5.5).then_some(())
    })
    .await;
    publisher.finish().await;
    assert!(!within("the end", reader).await.unwrap().is_empty());
    drop((plain, secret));
}
