//! Viewers over WebRTC who do not do their part: one stops reading, others never say a word. They cost
//! nobody else a picture, and no more than they were let in for.

use std::time::{Duration, Instant};

use crate::support::peer::Peer;
use crate::support::pictures::{Pictures, pictures_of, send_all};
use crate::support::server::CHANNEL;
use crate::support::{Person, Screen, Server, Source};

/// How long somebody is sent what nobody wants any more (RFC 7675 §5.1), and how often that is looked at.
const CONSENT: Duration = Duration::from_secs(30);
const LATER: Duration = Duration::from_secs(5);

/// All on one thread: what holds that up would be felt by everybody.
const ONE_SHARD: (&str, &str) = ("webrtc.threads", "1");

const UNSENT: &str = "barrage_webrtc_unsent_packets_total";

/// Which of the pictures was seen last.
fn newest(pictures: &Pictures, screen: &Screen) -> usize {
    let seen = screen.units.last().expect("some were seen");
    let mut all = pictures.units.iter();
    all.rposition(|unit| unit == seen).expect("it was sent")
}

#[tokio::test]
async fn a_viewer_whose_connection_is_full_holds_nobody_up_and_goes_on_once_it_reads() {
    let server = Server::with(&[ONE_SHARD]).await;
    let pictures = pictures_of(Source::new().size("1280x720").bitrate("6M"), 12).await;
    let mut publisher = Peer::publish(&server).await;
    tokio::join!(send_all(&mut publisher, &pictures), async {
        server.live().await;
        let mut stopped = Peer::watch_over_tcp(&server, CHANNEL).await;
        let mut by_udp = Peer::watch(&server, CHANNEL).await;
        let mut by_tcp = Peer::watch_over_tcp(&server, CHANNEL).await;
        let mut screens = [Screen::new(), Screen::new()];
        let [first, second] = &mut screens;
        tokio::join!(
            first.watch(&mut by_udp, 180),
            second.watch(&mut by_tcp, 180)
        );
        let unsent = server.metric(UNSENT).await;
        assert!(unsent > 100.0, "{unsent} packets found no room");
        for screen in &screens {
            assert_eq!((screen.lost, screen.asked), (0, 0));
            pictures.has_stretch(&screen.units);
        }
        let before = newest(&pictures, &screens[0]);
        // What waited for it is old; from a keyframe on it sees what comes now.
        let mut screen = Screen::new();
        let mut seen = 0;
        while seen == 0 || newest(&pictures, &screen) <= before {
            seen += 1;
            screen.watch(&mut stopped, seen).await;
        }
        screen.watch(&mut stopped, seen + 30).await;
        assert!(screen.lost >= 1, "it was told what it had missed");
    });
}

#[tokio::test]
async fn viewers_who_never_say_a_word_are_let_go_in_time_and_disturb_nobody() {
    let server = Server::with(&[ONE_SHARD]).await;
    let _encoder = Source::new().publish(&server);
    server.live().await;
    let began = Instant::now();
    let mut silent = Vec::new();
    for _ in 0..12 {
        silent.push(Peer::watch(&server, CHANNEL).await);
    }
    let mut viewer = Peer::watch(&server, CHANNEL).await;
    let all_came = Instant::now();
    let mut screen = Screen::new();
    loop {
        screen.watch(&mut viewer, screen.units.len() + 15).await;
        viewer.stay().await;
        let told = server.stream().await.expect("it is live");
        if told["viewers"]["webrtc"] == 1 {
            break;
        }
        assert_eq!(told["viewers"]["webrtc"], 13, "all go at once, or nearly");
        assert!(all_came.elapsed() < CONSENT + LATER, "{told}");
    }
    assert!(began.elapsed() >= CONSENT, "they might have come back");
    assert_eq!(screen.lost, 0);
    // Of those who went nothing is left, and nothing more is sent to them.
    let admin = Person::admin(&server).await;
    let peers = admin.read("/api/v1/admin/webrtc").await;
    assert_eq!(peers["peers"].as_array().map(Vec::len), Some(1), "{peers}");
    let sessions = server.metric("barrage_webrtc_sessions").await;
    assert!((sessions - 1.0).abs() < 0.1, "{sessions}");
    for peer in &mut silent {
        // What was under way when they went.
        while peer.hear_within(Duration::from_millis(1)).await.is_some() {}
        let heard = peer.hear_within(Duration::from_millis(100)).await;
        assert!(heard.is_none(), "{heard:?}");
    }
}
