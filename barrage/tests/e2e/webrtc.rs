//! WHIP and WHEP as their clients know them: sessions over HTTP, media over one port.

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::{Method, header};
use serde_json::{Value, json};
use sfu_core::caller::{H264, H264_RTX};
use sfu_core::rtcp::{self, Said};
use sfu_core::transport::Received;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use crate::support::peer::{self, Peer, Sent, VIDEO_SSRC, VP8};
use crate::support::pictures::{
    FIRST_TIMESTAMP, Pictures, pictures, send_all, send_at_once, video,
};
use crate::support::server::CHANNEL;
use crate::support::{Clip, Person, Publisher, Screen, Server, Source, Viewer, until, within};

/// Whether nothing comes for so many milliseconds.
async fn is_silent(socket: &UdpSocket, millis: u64) -> bool {
    let mut datagram = [0; 99];
    let heard = tokio::time::timeout(Duration::from_millis(millis), socket.recv(&mut datagram));
    heard.await.is_err()
}

#[tokio::test]
async fn what_one_publishes_another_sees_byte_by_byte_and_so_does_everybody_else() {
    let server = Server::start().await;
    let pictures = pictures(6).await;
    let mut publisher = Peer::publish(&server).await;
    let (sent, seen) = tokio::join!(send_all(&mut publisher, &pictures), async {
        server.live().await;
        let mut viewer = Peer::watch(&server, CHANNEL).await;
        let mut screen = Screen::new();
        screen.watch(&mut viewer, 90).await;
        let now = server.stream().await.unwrap();
        let admin = Person::admin(&server).await;
        (screen, now, admin.read("/api/v1/admin/webrtc").await)
    });
    let ((), (screen, now, peers)) = (sent, seen);
    // A stretch of what was sent, from a keyframe on.
    pictures.has_stretch(&screen.units);
    assert_eq!((screen.lost, screen.repairs), (0, 0));
    assert!(screen.sound > 100, "{}", screen.sound);
    assert_eq!(now["viewers"]["webrtc"], 1);
    assert_eq!(
        (now["audio"]["codec"].as_str(), now["protocol"].as_str()),
        (Some("opus"), Some("webrtc"))
    );
    assert_eq!(now["video"]["width"], 320);
    let peers = peers["peers"].as_array().unwrap();
    let find = |publishes: bool| {
        peers
            .iter()
            .find(|peer| peer["publishes"] == publishes)
            .unwrap()
    };
    for (publishes, least) in [(true, 90), (false, 90)] {
        let peer = find(publishes);
        assert_eq!(
            (peer["channel"].as_str(), peer["state"].as_str()),
            (Some(CHANNEL), Some("ready"))
        );
        let tracks = peer["tracks"].as_array().unwrap();
        let video = tracks
            .iter()
            .find(|track| track["kind"] == "video")
            .unwrap();
        assert_eq!(
            (video["codec"].as_str(), video["lost"].as_u64()),
            (Some("H264"), Some(0))
        );
        assert!(video["packets"].as_u64() >= Some(least), "{video}");
    }
    // The same over LL-HLS, as a tool that knows nothing of us has it.
    let playlist = server.url(&format!("/hls/{CHANNEL}/index.m3u8"));
    let found = crate::support::ffmpeg::probe(&playlist, &["-show_streams"]).await;
    let codecs: Vec<&str> = found["streams"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|stream| stream["codec_name"].as_str())
        .collect();
    assert!(
        codecs.contains(&"h264") && codecs.contains(&"opus"),
        "{codecs:?}"
    );
    assert_eq!(publisher.end(&server, Some(&server.key)).await, 200);
    server.offline().await;
}

#[tokio::test]
async fn what_rtmp_publishes_is_seen_and_heard_over_webrtc() {
    let server = Server::start().await;
    let _encoder = Source::new().publish(&server);
    server.live().await;
    let mut viewer = Peer::watch(&server, CHANNEL).await;
    let mut screen = Screen::new();
    screen.watch(&mut viewer, 60).await;
    let began = Instant::now();
    while screen.sound < 50 {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{} packets of sound",
            screen.sound
        );
        if let Some(Received::Rtp(packet)) = viewer.hear_within(Duration::from_secs(1)).await {
            screen.take(&packet);
        }
    }
    assert_eq!(screen.lost, 0);
    // Nobody watches: the encoder of the sound goes too.
    assert_eq!(viewer.end(&server, None).await, 200);
    server
        .stream_until("nobody watches", |now| now["viewers"]["webrtc"] == 0)
        .await;
}

#[tokio::test]
async fn what_is_lost_on_the_way_to_a_viewer_is_sent_again() {
    let server = Server::start().await;
    let pictures = pictures(8).await;
    let mut publisher = Peer::publish(&server).await;
    let seen = tokio::join!(send_all(&mut publisher, &pictures), async {
        server.live().await;
        let mut viewer = Peer::watch(&server, CHANNEL).await;
        // Every twentieth datagram, repairs among them.
        let mut count = 0u32;
        viewer.loses = Box::new(move || {
            count += 1;
            count.is_multiple_of(20)
        });
        let mut screen = Screen::new();
        screen.watch(&mut viewer, 120).await;
        screen
    });
    let screen = seen.1;
    pictures.has_stretch(&screen.units);
    assert_eq!(screen.lost, 0);
    assert!(screen.repairs >= 5, "{}", screen.repairs);
}

#[tokio::test]
async fn padding_that_probes_the_path_leaves_no_hole_for_viewers() {
    let server = Server::start().await;
    let pictures = pictures(2).await;
    let mut publisher = Peer::publish(&server).await;
    server.live().await;
    let mut viewer = Peer::watch(&server, CHANNEL).await;
    let mut screen = Screen::new();
    let began = tokio::time::Instant::now();
    let sent = async {
        for (count, (timestamp, marker, payload)) in pictures.packets.iter().enumerate() {
            let at = timestamp.wrapping_sub(FIRST_TIMESTAMP) / 90;
            tokio::time::sleep_until(began + Duration::from_millis(at.into())).await;
            publisher.send(video(*timestamp, *marker), payload).await;
            if *marker && count % 3 == 0 {
                publisher.probe(*timestamp).await;
            }
        }
    };
    tokio::join!(sent, screen.watch(&mut viewer, pictures.units.len()));
    assert_eq!(screen.units, pictures.units);
    assert_eq!((screen.lost, screen.repairs, screen.asked), (0, 0, 0));
}

#[tokio::test]
async fn what_a_publisher_loses_is_asked_for_and_what_it_repeats_is_taken() {
    let server = Server::start().await;
    let pictures = pictures(2).await;
    let mut publisher = Peer::publish(&server).await;
    // The second packet is withheld, until the server asks for it; the rest comes.
    let (timestamp, marker, payload) = pictures.packets[1].clone();
    let first = &pictures.packets[0];
    publisher.send(video(first.0, first.1), &first.2).await;
    let _ = publisher.seal(video(timestamp, marker), &payload);
    let (timestamp, marker, third) = &pictures.packets[2];
    publisher.send(video(*timestamp, *marker), third).await;
    let expected = 11;
    within("the server asks for what is missing", async {
        loop {
            let Received::Rtcp(compound) = publisher.hear().await else {
                continue;
            };
            let mut asked = false;
            rtcp::parse(&compound, |said| {
                asked |= said
                    == Said::Nack {
                        ssrc: VIDEO_SSRC,
                        sequences: vec![expected],
                    };
            });
            if asked {
                return;
            }
        }
    })
    .await;
    let mut again = expected.to_be_bytes().to_vec();
    again.extend_from_slice(&payload);
    let sent = Sent {
        ssrc: peer::RTX_SSRC,
        kind: H264_RTX,
        timestamp: *timestamp,
        marker: pictures.packets[1].1,
    };
    publisher.send(sent, &again).await;
    let rest = Pictures {
        packets: pictures.packets[3..].to_vec(),
        units: Vec::new(),
    };
    send_all(&mut publisher, &rest).await;
    let now = server
        .stream_until("all pictures have come", |now| {
            now["video"]["frames"].as_u64() >= Some(40)
        })
        .await;
    assert_eq!(now["dropped_frames"], 0, "{now}");
}

#[tokio::test]
async fn a_viewer_who_needs_a_keyframe_has_the_publisher_asked_for_one_though_not_at_every_word() {
    let server = Server::start().await;
    let pictures = pictures(2).await;
    let mut publisher = Peer::publish(&server).await;
    send_at_once(&mut publisher, &pictures).await;
    server.live().await;
    let mut viewer = Peer::watch(&server, CHANNEL).await;
    let mut screen = Screen::new();
    screen.watch(&mut viewer, 1).await;
    let ssrc = screen.track.map(|track| track.ssrc()).unwrap();
    let mut want = Vec::new();
    rtcp::write_pli(&mut want, 1, ssrc);
    let began = Instant::now();
    let mut asked = 0;
    while began.elapsed() < Duration::from_millis(1_200) {
        viewer.say(&want).await;
        if let Some(Received::Rtcp(compound)) =
            publisher.hear_within(Duration::from_millis(5)).await
        {
            rtcp::parse(&compound, |said| {
                asked += usize::from(said == Said::KeyframeWanted { ssrc: VIDEO_SSRC });
            });
        }
    }
    // Twice a second at most, and the first of them may be of the publisher's own beginning.
    assert!((1..=4).contains(&asked), "{asked}");
}

#[tokio::test]
async fn a_publisher_that_vanishes_and_returns_continues_its_broadcast() {
    let server = Server::with(&[("ingest.silence_ms", "1000")]).await;
    let pictures = pictures(3).await;
    let mut first = Peer::publish(&server).await;
    send_at_once(&mut first, &pictures).await;
    let before = server.live().await;
    let mut viewer = Peer::watch(&server, CHANNEL).await;
    let mut screen = Screen::new();
    screen.watch(&mut viewer, 10).await;
    // Its connection is gone, as when a lid is closed.
    first.call.transport.close(Instant::now());
    first.flush().await;
    drop(first);
    server.offline().await;
    let mut second = Peer::publish(&server).await;
    send_at_once(&mut second, &pictures).await;
    let after = server.live().await;
    assert_ne!(
        before["broadcast_id"], after["broadcast_id"],
        "it had said that it was done"
    );

    // Without a word it is waited for, and goes on.
    drop(second);
    let mut third = loop {
        match Peer::try_publish(&server, &server.key).await {
            Ok(peer) => break peer,
            Err(refused) => assert_eq!(refused.body["code"], "taken", "{refused:?}"),
        }
    };
    send_at_once(&mut third, &pictures).await;
    let again = server
        .stream_until("it is live again", |now| now["state"] == "live")
        .await;
    assert_eq!(after["broadcast_id"], again["broadcast_id"]);
}

#[tokio::test]
async fn a_publisher_whose_path_was_dead_begins_ice_anew_and_goes_on_in_its_session() {
    let server = Server::start().await;
    let pictures = pictures(6).await;
    let (before, after) = pictures.halves();
    let mut publisher = Peer::publish(&server).await;
    let live = server.live().await;
    let mut viewer = Peer::watch(&server, CHANNEL).await;
    let mut screen = Screen::new();
    tokio::join!(
        send_all(&mut publisher, &before),
        screen.watch(&mut viewer, before.units.len())
    );
    let ended = Instant::now();
    // Nothing comes for longer than publishers may be silent.
    let waiting = server
        .stream_until("it is waited for", |now| now["state"] != "live")
        .await;
    assert_eq!(live["broadcast_id"], waiting["broadcast_id"]);
    let admin = Person::admin(&server).await;
    let peers = admin.read("/api/v1/admin/webrtc").await;
    let state = |publishes: bool| {
        let mut all = peers["peers"].as_array().unwrap().iter();
        all.find(|peer| peer["publishes"] == publishes).unwrap()["state"].clone()
    };
    assert_eq!(
        (state(true), state(false)),
        (json!("silent"), json!("ready"))
    );

    publisher.restart(&server, &server.key).await;
    let session = publisher.location.trim_start_matches("/webrtc/");
    let dump = admin.read(&format!("/api/v1/admin/webrtc/{session}")).await;
    assert_eq!(dump["cipher"], "AES-128-GCM", "{dump}");
    let history = dump["history"].as_array().unwrap();
    let history: Vec<&str> = history
        .iter()
        .filter_map(|event| event["what"].as_str())
        .collect();
    for (event, word) in history
        .iter()
        .zip(["reached at udp", "shook hands", "began ICE anew"])
    {
        assert!(event.starts_with(word), "{history:?}");
    }
    assert!(history.len() >= 3, "{history:?}");
    // The camera's clock went on.
    let after = after.later_by(ended.elapsed());
    tokio::join!(
        send_all(&mut publisher, &after),
        screen.watch(&mut viewer, pictures.units.len())
    );
    pictures.has_stretch(&screen.units);
    assert_eq!((screen.lost, screen.repairs), (0, 0));
    let again = server
        .stream_until("everybody else has it", |now| {
            now["state"] == "live" && now["video"]["frames"].as_u64() >= Some(20)
        })
        .await;
    assert_eq!(live["broadcast_id"], again["broadcast_id"]);
    assert_eq!(publisher.end(&server, Some(&server.key)).await, 200);
    server.offline().await;
}

#[tokio::test]
async fn a_silent_publisher_is_let_go_when_another_comes_and_when_its_broadcast_ends() {
    let settings = [("ingest.silence_ms", "500"), ("ingest.grace_ms", "2000")];
    let server = Server::with(&settings).await;
    let pictures = pictures(2).await;
    let closed = async |peer: &mut Peer| {
        within("it is let go", async {
            while !matches!(peer.hear().await, Received::Closed) {}
        })
        .await;
    };
    let mut first = Peer::publish(&server).await;
    send_at_once(&mut first, &pictures).await;
    let before = server.live().await;
    server
        .stream_until("it is waited for", |now| now["state"] != "live")
        .await;
    let mut second = Peer::publish(&server).await;
    closed(&mut first).await;
    send_at_once(&mut second, &pictures).await;
    let after = server.live().await;
    assert_eq!(before["broadcast_id"], after["broadcast_id"]);
    assert_eq!(first.end(&server, Some(&server.key)).await, 404);
    server.offline().await;
    closed(&mut second).await;
}

#[tokio::test]
async fn who_takes_over_keeps_the_viewers_and_who_is_replaced_takes_nobody_along() {
    let server = Server::start().await;
    let admin = Person::admin(&server).await;
    let change = json!({ "second_publisher": "replace" });
    let channel = format!("/api/v1/channels/{CHANNEL}");
    admin.ok(Method::PATCH, &channel, &change).await;
    let pictures = pictures(4).await;
    let mut first = Peer::publish(&server).await;
    send_at_once(&mut first, &pictures).await;
    let before = server.live().await;
    let mut viewer = Peer::watch(&server, CHANNEL).await;
    let mut screen = Screen::new();
    screen.watch(&mut viewer, 5).await;
    let mut second = Peer::publish(&server).await;
    within("the first is shown out", async {
        while !matches!(first.hear().await, Received::Closed) {}
    })
    .await;
    let seen = tokio::join!(send_all(&mut second, &pictures), async {
        screen.watch(&mut viewer, 100).await;
        screen
    });
    let at = |unit: &Bytes| pictures.units.iter().position(|one| one == unit);
    // From the first keyframe of the second publisher on, nothing is missing.
    let of_second = seen
        .1
        .units
        .iter()
        .rposition(|unit| at(unit) == Some(0))
        .unwrap();
    let of_second = &seen.1.units[of_second..];
    assert!(of_second.len() > 50, "{}", of_second.len());
    assert_eq!(of_second[..], pictures.units[..of_second.len()]);
    let after = server.live().await;
    assert_eq!(before["broadcast_id"], after["broadcast_id"]);
}

#[tokio::test]
async fn sessions_are_asked_for_rightly_or_refused_in_words() {
    let server = Server::start().await;
    let good = peer::offer(true);
    let watch = peer::offer(false);
    let whep = format!("/whep/{CHANNEL}");
    let many = good.clone() + &"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n".repeat(200);
    // As a browser writes them.
    let (head, sections) = good.split_at(good.find("m=").unwrap());
    let many_whole = head.to_owned() + &sections.repeat(100);
    let longest = " ".repeat(2 << 20);
    let key = Some(server.key.as_str());
    for (path, key, offer, status, code) in [
        ("/whip", None, good.clone(), 401, "wrong_key"),
        ("/whip", Some("bk_nobody"), good.clone(), 401, "wrong_key"),
        ("/whip", key, "v=1".into(), 400, "offer"),
        ("/whip", key, many, 400, "offer"),
        ("/whip", key, good.replace("sha-256", "sha-1"), 400, "offer"),
        ("/whip", key, many_whole, 413, "too_large"),
        ("/whip", key, " ".repeat(65_537), 413, "too_large"),
        ("/whip", key, longest, 413, "too_large"),
        ("/whip", key, " ".repeat(65_536), 400, "offer"),
        ("/whep/%00%ff", None, watch.clone(), 400, "request"),
        ("/whip", key, watch.clone(), 422, "nothing_to_do"),
        ("/whep/nobody_here", None, watch.clone(), 404, "not_live"),
        (whep.as_str(), None, watch.clone(), 404, "not_live"),
    ] {
        let refused = peer::ask(&server, path, key, offer).await.unwrap_err();
        assert_eq!(
            (refused.status, refused.body["code"].as_str()),
            (status, Some(code)),
            "{path}"
        );
        assert!(
            refused.body["detail"]
                .as_str()
                .is_some_and(|text| text.ends_with('.'))
        );
        assert_eq!(refused.body["status"], status);
    }
    let request = server.client.request(Method::POST, server.url("/whip"));
    let answer = request
        .bearer_auth(&server.key)
        .body(good)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 415, "no type");
    let answer = server.client.get(server.url("/whip")).send().await.unwrap();
    assert_eq!(answer.status(), 405);
    assert!(
        answer.headers()[header::ALLOW]
            .to_str()
            .unwrap()
            .contains("POST")
    );
    assert_eq!(answer.json::<Value>().await.unwrap()["code"], "method");
    let preflight = server.client.request(Method::OPTIONS, server.url("/whip"));
    let preflight = preflight.send().await.unwrap();
    assert_eq!(
        preflight.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN],
        "*"
    );
    assert_eq!(preflight.headers()["accept-post"], "application/sdp");

    // Somebody is live, and says no word of VP8.
    let _encoder = Source::new().publish(&server);
    server.live().await;
    let other = watch
        .replace(
            &format!("a=rtpmap:{H264} H264/90000"),
            &format!("a=rtpmap:{VP8} VP8/90000"),
        )
        .replace(&format!("SAVPF {H264} "), &format!("SAVPF {VP8} "));
    let refused = peer::ask(&server, &whep, None, other).await.unwrap_err();
    assert_eq!(
        (refused.status, refused.body["code"].as_str()),
        (406, Some("codec"))
    );
    let taken = peer::ask(&server, "/whip", key, peer::offer(true)).await;
    let taken = taken.unwrap_err();
    assert_eq!(
        (taken.status, taken.body["code"].as_str()),
        (409, Some("taken"))
    );
}

#[tokio::test]
async fn pictures_out_of_order_send_viewers_to_hls_at_once() {
    let server = Server::start().await;
    let _encoder = Source::new().b_frames(2).publish(&server);
    server
        .stream_until("there are pictures", |now| {
            now["video"]["frames"].as_u64() >= Some(30)
        })
        .await;
    let began = Instant::now();
    let watch = peer::offer(false);
    let refused = peer::ask(&server, &format!("/whep/{CHANNEL}"), None, watch)
        .await
        .unwrap_err();
    assert_eq!(
        (refused.status, refused.body["code"].as_str()),
        (406, Some("b_frames"))
    );
    assert!(
        began.elapsed() < Duration::from_millis(300),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn who_asks_and_never_comes_is_no_viewer_and_has_nothing_made() {
    let server = Server::start().await;
    let _encoder = Source::new().publish(&server);
    server.live().await;
    for _ in 0..20 {
        let watch = peer::offer(false);
        let asked = peer::ask(&server, &format!("/whep/{CHANNEL}"), None, watch).await;
        asked.expect("there is room");
    }
    let before = server.live().await;
    // Its sound is AAC, which is made anew for those who watch.
    let viewer = Peer::watch(&server, CHANNEL).await;
    let told = server
        .stream_until("who shook hands is counted", |now| {
            now["viewers"]["webrtc"] == 1
        })
        .await;
    assert_eq!(before["viewers"]["webrtc"], 0, "{before}");
    assert_eq!(told["viewers"]["total"], 1, "{told}");
    let metrics = server.text("/metrics").await;
    assert!(
        metrics.contains("barrage_viewers{protocol=\"webrtc\"} 1"),
        "{metrics}"
    );
    drop(viewer);
}

#[tokio::test]
async fn pictures_whose_keyframe_is_long_ago_are_left_to_hls() {
    let server = Server::start().await;
    let _encoder = Source::new().gop_frames(900).publish(&server);
    server
        .stream_until("the keyframe is long ago", |now| {
            now["video"]["frames"].as_u64() >= Some(30 * 10)
        })
        .await;
    let watch = peer::offer(false);
    let refused = peer::ask(&server, &format!("/whep/{CHANNEL}"), None, watch).await;
    let refused = refused.unwrap_err();
    assert_eq!(
        (refused.status, refused.body["code"].as_str()),
        (406, Some("keyframe_old"))
    );
}

#[tokio::test]
async fn where_it_is_off_nobody_is_sent_to_it() {
    let server = Server::with(&[("webrtc.listen", "")]).await;
    let _encoder = Source::new().publish(&server);
    let stream = server.live().await;
    assert_eq!(stream["playback"].get("whep"), None, "{stream}");
    assert_eq!(stream["playback"]["hls"], "/hls/stage/index.m3u8");
}

#[tokio::test]
async fn a_session_is_changed_and_ended_by_who_has_it_and_reaped_if_nobody_comes() {
    let settings = [
        ("webrtc.connect_timeout_ms", "400"),
        ("webrtc.max_sessions_per_address", "3"),
    ];
    let server = Server::with(&settings).await;
    let key = server.key.clone();
    let offer = peer::offer(true);
    let (location, _) = peer::ask(&server, "/whip", Some(&key), offer.clone())
        .await
        .unwrap();
    until("a session that nobody completes is gone", async || {
        let request = server.client.request(Method::DELETE, server.url(&location));
        let answer = request.bearer_auth(&key).send().await.unwrap();
        (answer.status() == 404).then_some(())
    })
    .await;

    let publisher = Peer::publish(&server).await;
    let patch = async |tag: Option<&str>, key: &str, body: &str| {
        let mut request = server
            .client
            .request(Method::PATCH, server.url(&publisher.location));
        request = request.header(header::CONTENT_TYPE, "application/trickle-ice-sdpfrag");
        if let Some(tag) = tag {
            request = request.header(header::IF_MATCH, tag);
        }
        let answer = request
            .bearer_auth(key)
            .body(body.to_owned())
            .send()
            .await
            .unwrap();
        let tag = answer
            .headers()
            .get(header::ETAG)
            .map(|tag| tag.to_str().unwrap().to_owned());
        (answer.status().as_u16(), tag, answer.text().await.unwrap())
    };
    let fragment = "a=ice-ufrag:tests\r\na=ice-pwd:a-password-for-the-tests\r\na=mid:0\r\n";
    assert_eq!(patch(None, &key, fragment).await.0, 428);
    assert_eq!(patch(Some("\"9\""), &key, fragment).await.0, 412);
    assert_eq!(patch(Some("\"0\""), &key, "a=mid:0\r\n").await.0, 400);
    assert_eq!(patch(Some("\"0\""), "bk_another", fragment).await.0, 401);
    assert_eq!(patch(Some("\"0\""), &key, fragment).await.0, 204);
    let (status, tag, answer) = patch(Some("*"), &key, fragment).await;
    assert_eq!((status, tag.as_deref()), (200, Some("\"1\"")));
    let old = publisher
        .answer
        .lines()
        .find(|line| line.starts_with("a=ice-ufrag:"))
        .unwrap();
    assert!(answer.contains("a=ice-ufrag:") && !answer.contains(old));
    // From now on the old name and password open nothing.
    let elsewhere = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    elsewhere
        .send_to(&publisher.check(), publisher.call.server)
        .await
        .unwrap();
    assert!(is_silent(&elsewhere, 200).await);

    assert_eq!(publisher.end(&server, Some("bk_another")).await, 401);
    assert_eq!(publisher.end(&server, None).await, 401);
    assert_eq!(publisher.end(&server, Some(&key)).await, 200);
    until("it is gone", async || {
        (publisher.end(&server, Some(&key)).await == 404).then_some(())
    })
    .await;

    let mut codes = Vec::new();
    for _ in 0..4 {
        let asked = peer::ask(&server, "/whip", Some(&key), offer.clone()).await;
        codes.push(asked.err().map(|refused| refused.status));
    }
    assert_eq!(codes, [None, None, None, Some(503)]);
}

#[tokio::test]
async fn who_cannot_send_datagrams_publishes_and_watches_over_tcp() {
    let server = Server::start().await;
    let pictures = pictures(6).await;
    let mut publisher = Peer::publish_over_tcp(&server).await;
    let ((), screen) = tokio::join!(send_all(&mut publisher, &pictures), async {
        server.live().await;
        let mut viewer = Peer::watch_over_tcp(&server, CHANNEL).await;
        let mut screen = Screen::new();
        screen.watch(&mut viewer, 90).await;
        let admin = Person::admin(&server).await;
        let told = admin.read("/api/v1/admin/webrtc").await;
        let peers = told["peers"].as_array().unwrap();
        let over_tcp = peers
            .iter()
            .filter(|peer| peer["peer"].as_str().unwrap().starts_with("tcp "));
        assert_eq!(over_tcp.count(), 2, "{told}");
        screen
    });
    pictures.has_stretch(&screen.units);
    assert_eq!((screen.lost, screen.repairs), (0, 0));
    assert!(screen.sound > 100, "{}", screen.sound);
}

#[tokio::test]
async fn what_a_page_saw_is_told_to_operators_and_of_viewers_alone() {
    let server = Server::start().await;
    let _encoder = Source::new().publish(&server);
    server.live().await;
    let viewer = Peer::watch(&server, CHANNEL).await;
    let tell = async |location: &str, body: &str| {
        let request = server
            .client
            .post(server.url(&format!("{location}/seen")))
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.to_owned());
        within("an answer", request.send())
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    let seen = r#"{ "freezes": 2, "frozen_ms": 700, "dropped": 1 }"#;
    assert_eq!(tell(&viewer.location, seen).await, 204);
    for (body, status) in [("{}", 400), ("[]", 400), ("", 400), (seen, 204)] {
        assert_eq!(tell(&viewer.location, body).await, status, "{body}");
    }
    assert_eq!(tell("/webrtc/nobody", seen).await, 404);
    let admin = Person::admin(&server).await;
    let told = until("a second of pictures", async || {
        let told = admin.read("/api/v1/admin/webrtc").await;
        let video = &told["peers"][0]["tracks"];
        let rate = video
            .as_array()?
            .iter()
            .find(|one| one["kind"] == "video")?;
        (rate["bitrate_bps"].as_u64()? > 10_000).then_some(told)
    })
    .await;
    let expected = json!({ "freezes": 2, "frozen_ms": 700, "dropped": 1 });
    assert_eq!(told["peers"][0]["seen"], expected);
    // The same told twice counts once.
    let freezes = server.metric("barrage_webrtc_freezes_total").await;
    assert!((freezes - 2.0).abs() < 0.1, "{freezes}");
}

#[tokio::test]
async fn sessions_are_told_of_a_turn_server_and_how_to_be_let_in_there() {
    let settings = [
        ("webrtc.ice_servers", "[\"turn:turn.example.org\"]"),
        ("webrtc.turn_secret", "a secret shared with coturn"),
    ];
    let server = Server::with(&settings).await;
    let asked = server
        .client
        .post(server.url("/whip"))
        .bearer_auth(&server.key)
        .header(header::CONTENT_TYPE, "application/sdp")
        .body(peer::offer(true));
    let made = within("the answer", asked.send()).await.unwrap();
    assert_eq!(made.status(), 201);
    let location = made.headers()[header::LOCATION].to_str().unwrap();
    // Who begins ICE anew hours later has to be let in there once more.
    let fragment = "a=ice-ufrag:again\r\na=ice-pwd:a-password-for-the-tests\r\na=mid:0\r\n";
    let asked = server
        .client
        .patch(server.url(location))
        .bearer_auth(&server.key)
        .header(header::CONTENT_TYPE, "application/trickle-ice-sdpfrag")
        .header(header::IF_MATCH, "*")
        .body(fragment);
    let restarted = within("the answer", asked.send()).await.unwrap();
    assert_eq!(restarted.status(), 200);
    for answer in [made, restarted] {
        let link = answer.headers()[header::LINK].to_str().unwrap();
        let start = "<turn:turn.example.org>; rel=\"ice-server\"; username=\"";
        let until = link.strip_prefix(start).expect(link);
        let until: i64 = until.split(':').next().unwrap().parse().unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = i64::try_from(now.unwrap().as_secs()).unwrap();
        assert!((until - now - 6 * 3_600).abs() < 60, "{link}");
        assert!(link.ends_with("\"; credential-type=\"password\""), "{link}");
    }
    let admin = Person::admin(&server).await;
    let told = admin.read("/api/v1/admin/config").await.to_string();
    assert!(told.contains("turn.example.org"), "{told}");
    assert!(!told.contains("a secret shared"), "{told}");
}

#[tokio::test]
async fn a_connection_that_says_nothing_of_use_is_closed_and_disturbs_nobody() {
    let server = Server::start().await;
    let pictures = pictures(6).await;
    let mut publisher = Peer::publish_over_tcp(&server).await;
    let port = publisher.call.server;
    let check = publisher.check();
    let ((), screen) = tokio::join!(send_all(&mut publisher, &pictures), async {
        server.live().await;
        let mut forged = check.clone();
        // Its signature.
        let at = forged.len() - 20;
        forged[at] ^= 1;
        let mut idle = Vec::new();
        for _ in 0..40 {
            idle.push(TcpStream::connect(port).await.unwrap());
        }
        // More from one address than may wait to be heard.
        until("some are closed", async || {
            let closed = idle.iter().filter(|one| {
                let mut byte = [0];
                matches!(one.try_read(&mut byte), Ok(0))
            });
            (closed.count() >= 8).then_some(())
        })
        .await;
        drop(idle);
        for nonsense in [
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
            vec![0xff; 4_000],
            vec![0, 0],
            framed(&forged),
            framed(&[0x80; 1_200]),
            [framed(&check), vec![0xff; 3_000]].concat(),
        ] {
            let mut stranger = TcpStream::connect(port).await.unwrap();
            stranger.write_all(&nonsense).await.unwrap();
            // An answer to a signed question at most, and then the end.
            let mut answer = Vec::new();
            let read = stranger.read_to_end(&mut answer);
            let ended = within("it is closed", read).await;
            assert!(ended.is_err() || answer.len() < 200, "{}", answer.len());
        }
        let mut viewer = Peer::watch_over_tcp(&server, CHANNEL).await;
        let mut screen = Screen::new();
        screen.watch(&mut viewer, 60).await;
        screen
    });
    pictures.has_stretch(&screen.units);
    assert_eq!(
        server.metric("barrage_webrtc_shard_restarts_total").await,
        0.0
    );
}

/// A datagram behind its length (RFC 4571).
fn framed(datagram: &[u8]) -> Vec<u8> {
    let length = u16::try_from(datagram.len()).unwrap();
    [&length.to_be_bytes()[..], datagram].concat()
}

#[tokio::test]
async fn who_has_only_seen_the_name_of_a_session_closes_none_of_its_connections() {
    let server = Server::start().await;
    let publisher = Peer::publish(&server).await;
    let port = publisher.call.server;
    let check = framed(&publisher.check());
    let mut forged = check.clone();
    let at = forged.len() - 20;
    forged[at] ^= 1;
    let is_answered = async |connection: &mut TcpStream| {
        connection.write_all(&check).await.unwrap();
        let length = within("an answer", connection.read_u16()).await.unwrap();
        let mut answer = vec![0; usize::from(length)];
        connection.read_exact(&mut answer).await.unwrap();
    };
    let mut own = Vec::new();
    for _ in 0..4 {
        let mut connection = TcpStream::connect(port).await.unwrap();
        is_answered(&mut connection).await;
        own.push(connection);
    }
    for _ in 0..4 {
        let mut stranger = TcpStream::connect(port).await.unwrap();
        stranger.write_all(&forged).await.unwrap();
        let mut answer = Vec::new();
        let closed = within("it is closed", stranger.read_to_end(&mut answer)).await;
        assert!(closed.is_err() || answer.is_empty());
    }
    for connection in &mut own {
        is_answered(connection).await;
    }
    // One of its own takes the place of the oldest that is not in use.
    let mut fifth = TcpStream::connect(port).await.unwrap();
    is_answered(&mut fifth).await;
    let mut rest = Vec::new();
    let closed = within("the oldest is closed", own[0].read_to_end(&mut rest)).await;
    assert!(closed.is_err() || rest.is_empty());
    for connection in &mut own[1..] {
        is_answered(connection).await;
    }
}

#[tokio::test]
async fn nonsense_on_the_port_disturbs_nobody_and_is_not_answered() {
    let server = Server::start().await;
    let pictures = pictures(5).await;
    let mut publisher = Peer::publish(&server).await;
    let port = publisher.call.server;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let check = publisher.check();
    let sealed = publisher.seal(video(1, true), b"x");
    let sent = tokio::join!(send_all(&mut publisher, &pictures), async {
        server.live().await;
        let mut viewer = Peer::watch(&server, CHANNEL).await;
        let mut screen = Screen::new();
        let mut seed = 1u64;
        for round in 0..2_000u64 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(round);
            let mut datagram: Vec<u8> = match round % 6 {
                0 => check.clone(),
                1 => sealed.clone(),
                2 => vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 1, 2, 3],
                3 => vec![0x80; 1_200],
                4 => vec![0; 20],
                _ => seed.to_be_bytes().repeat(9),
            };
            if round % 6 == 0 {
                // A check whose signature is wrong, or for a session that is not there.
                let at = 24 + (round as usize / 6) % 40;
                datagram[at] ^= 1;
            }
            stranger.send_to(&datagram, port).await.unwrap();
        }
        screen.watch(&mut viewer, 60).await;
        screen
    });
    let screen = sent.1;
    pictures.has_stretch(&screen.units);
    assert!(is_silent(&stranger, 50).await, "a stranger was answered");
    assert_eq!(
        server.metric("barrage_webrtc_shard_restarts_total").await,
        0.0
    );
}

#[tokio::test]
async fn rtmp_and_whip_publishers_share_one_stage() {
    let server = Server::start().await;
    let clip = Clip::plain().await;
    let mut rtmp = Publisher::start(&server).await;
    rtmp.introduce(&clip).await;
    rtmp.send_all(&clip.frames[..200]).await;
    let before = server.live().await;
    let refused = Peer::try_publish(&server, &server.key).await;
    assert_eq!(refused.err().map(|refused| refused.status), Some(409));
    drop(rtmp);
    // The broadcast waits, and a publisher of another protocol continues it.
    server
        .stream_until("its publisher is missed", |now| now["state"] != "live")
        .await;
    let pictures = pictures(2).await;
    let mut publisher = Peer::publish(&server).await;
    send_at_once(&mut publisher, &pictures).await;
    let after = server.live().await;
    assert_eq!(before["broadcast_id"], after["broadcast_id"]);
    let viewer = Viewer::tune_in(&server).await;
    assert_eq!(
        viewer.tracks.len(),
        2,
        "sound from before, pictures from both"
    );
}
