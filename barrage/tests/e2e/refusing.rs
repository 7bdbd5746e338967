//! Who may not publish, and what may not be published.

use std::time::Duration;

use bytes::Bytes;
use ingest::rtmp::client::Event;
use media::flv::{Tag, TagKind};
use tokio::time::Instant;

use crate::support::clip::tag;
use crate::support::ffmpeg::Ffmpeg;
use crate::support::publisher::code_of;
use crate::support::server::Process;
use crate::support::{Clip, Publisher, Server, Source};

#[tokio::test]
async fn a_wrong_key_is_refused_as_encoders_expect_it_and_logged_with_the_address() {
    let server = Server::start().await;
    let mut publisher = Publisher::dial(server.rtmp, "127.0.0.1", "live", "bk_wrong").await;
    let address = publisher.address();
    let events = publisher.farewell().await;
    assert_eq!(
        code_of(&events),
        Some("NetStream.Publish.BadName"),
        "{events:?}"
    );
    server
        .logged(&[
            "refused a publisher",
            "the stream key is not known",
            &address,
        ])
        .await;

    let mut ffmpeg = Source::new().publish_to(&server.publish_url_with("bk_wrong"));
    assert!(!ffmpeg.ended().await.success());
    let mut empty = Source::new().publish_to(&server.publish_url_with(""));
    assert!(!empty.ended().await.success());
    assert!(server.stream().await.is_none());
    assert!(server.metric("barrage_rtmp_refused_total").await >= 3.0);
}

#[tokio::test]
async fn guessing_keys_is_slowed_down_and_the_right_key_still_opens() {
    let server = Server::start().await;
    let mut codes = Vec::new();
    for guess in 0..30 {
        let refused = Publisher::with_key(&server, &format!("bk_{guess}")).await;
        codes.push(refused.err().expect("nobody has this key").0);
    }
    assert!(
        codes[..10]
            .iter()
            .all(|code| code == "NetStream.Publish.BadName"),
        "{codes:?}"
    );
    let slowed = codes
        .iter()
        .filter(|code| *code == "NetStream.Publish.Failed")
        .count();
    assert!(slowed >= 15, "{codes:?}");
    server
        .logged(&["too many wrong stream keys", "client.addr=127.0.0.1:"])
        .await;
    let began = Instant::now();
    let publisher = Publisher::start(&server).await;
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "its owner does not wait"
    );
    // From elsewhere guessing begins anew.
    let mut other = Publisher::dial(server.rtmp, "127.0.0.2", "live", "bk_x").await;
    assert_eq!(
        code_of(&other.farewell().await),
        Some("NetStream.Publish.BadName")
    );
    drop(publisher);
}

#[tokio::test]
async fn another_application_than_live_is_refused_by_name() {
    let server = Server::start().await;
    let mut publisher = Publisher::dial(server.rtmp, "127.0.0.1", "stream", &server.key).await;
    let events = publisher.farewell().await;
    assert_eq!(
        code_of(&events),
        Some("NetConnection.Connect.InvalidApp"),
        "{events:?}"
    );
    server
        .logged(&["an application that is not served", &publisher.address()])
        .await;
}

#[tokio::test]
async fn playing_what_is_not_live_is_refused_and_rtmpdump_says_so() {
    let server = Server::start().await;
    let _ffmpeg = Source::new().publish(&server);
    server.live().await;
    let mut command = std::process::Command::new("rtmpdump");
    let url = format!("rtmp://{}/live/nobody", server.rtmp);
    command.args(["--live", "--timeout", "5", "-o", "/dev/null", "-r", &url]);
    let mut rtmpdump = Process::start("rtmpdump", &mut command);
    assert!(!rtmpdump.ended().await.success());
    server
        .logged(&["wanted to play what is not live", "client.addr=127.0.0.1:"])
        .await;
    assert_eq!(
        server.live().await["state"],
        "live",
        "the publisher does not notice"
    );
}

/// Waits for an ffmpeg that is sent away.
async fn sent_away(mut ffmpeg: Ffmpeg) {
    assert!(!ffmpeg.ended().await.success(), "ffmpeg notices");
}

#[tokio::test]
async fn a_picture_larger_than_the_caps_is_refused_in_words() {
    let caps = [("ingest.caps.width", "640"), ("ingest.caps.height", "360")];
    let server = Server::with(&caps).await;
    sent_away(Source::new().size("854x480").publish(&server)).await;
    let line = server
        .logged(&["WARN", "854x480 is larger", "640x360"])
        .await;
    assert!(line.contains("client.addr=127.0.0.1:"), "{line}");
    assert!(server.stream().await.is_none(), "nothing of it is live");
    // Upright is as good as across.
    let mut fits = Source::new().size("360x640").seconds(3).publish(&server);
    server.live().await;
    assert!(fits.ended().await.success());
}

#[tokio::test]
async fn more_bits_than_the_caps_are_refused_in_words() {
    let server = Server::with(&[("ingest.caps.bitrate_kbps", "100")]).await;
    sent_away(Source::new().publish(&server)).await;
    let line = server
        .logged(&["WARN", "kbit/s are more", "which is 100"])
        .await;
    assert!(line.contains("client.addr=127.0.0.1:"), "{line}");
    server.offline().await;
}

#[tokio::test]
async fn a_codec_that_is_not_carried_is_refused_by_name() {
    let server = Server::start().await;
    let clip = Clip::plain().await;
    let hevc_by_four_cc: &[u8] = &[0x90, b'h', b'v', b'c', b'1', 1, 1, 0x60];
    let hevc_by_number: &[u8] = &[0x1C, 0, 0, 0, 0, 1, 1];
    let mp3: &[u8] = &[0x2F, 0xFF, 0xFB, 0x90, 0x64];
    let opus_by_four_cc: &[u8] = &[0x90, b'O', b'p', b'u', b's', 1];
    for (kind, body, name) in [
        (TagKind::Video, hevc_by_four_cc, "H.265"),
        (TagKind::Video, hevc_by_number, "H.265"),
        (TagKind::Audio, mp3, "MP3"),
        (TagKind::Audio, opus_by_four_cc, "Opus"),
    ] {
        let mut publisher = Publisher::start(&server).await;
        publisher.send(&tag(kind, 0, body)).await.unwrap();
        let events = publisher.farewell().await;
        assert!(
            events.contains(&Event::Unpublished),
            "{name}: it is told: {events:?}"
        );
        let words = ["is not supported", name, &publisher.address()];
        let line = server.logged(&words).await;
        assert!(
            line.contains("publish H.264 pictures and AAC sound"),
            "{line}"
        );
        server.offline().await;
    }
    // On the way, too: what was live ends, in words.
    let mut publisher = Publisher::start(&server).await;
    publisher.introduce(&clip).await;
    publisher.send_all(&clip.frames[..100]).await;
    server.live().await;
    publisher
        .send(&tag(TagKind::Video, 4000, hevc_by_four_cc))
        .await
        .unwrap();
    publisher.farewell().await;
    server.logged(&["H.265", &publisher.address()]).await;
    server.offline().await;
}

#[tokio::test]
async fn a_set_up_that_cannot_be_read_is_refused_in_words() {
    let server = Server::start().await;
    let broken = [
        (TagKind::Video, vec![0x17, 0, 0, 0, 0, 1, 0x64]),
        (
            TagKind::Video,
            [vec![0x17, 0, 0, 0, 0], vec![0xFF; 300]].concat(),
        ),
        (TagKind::Audio, vec![0xAF, 0]),
        (TagKind::Audio, vec![0xAF, 0, 0xFF, 0xFF, 0xFF]),
    ];
    for (kind, body) in broken {
        let mut publisher = Publisher::start(&server).await;
        let body = Bytes::from(body);
        publisher
            .send(&Tag {
                kind,
                timestamp: 0,
                body: body.clone(),
            })
            .await
            .unwrap();
        publisher.farewell().await;
        let line = server.logged(&["WARN", &publisher.address()]).await;
        assert!(line.contains("set-up cannot be read"), "{body:?}: {line}");
        server.offline().await;
    }
}
