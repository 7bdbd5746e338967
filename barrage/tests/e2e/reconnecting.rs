//! Publishers that vanish, return or never do, and those that take over.

use std::time::Duration;

use tokio::time::Instant;

use hls::rules::Segment;
use ingest::rtmp::client::Event;

use crate::support::server::run;
use crate::support::{Clip, Publisher, Server, Source, Viewer, until};

/// How many of the segments do not continue the one before.
fn breaks(segments: &[Segment]) -> usize {
    segments
        .iter()
        .filter(|segment| segment.discontinuity)
        .count()
}

#[tokio::test]
async fn a_publisher_that_is_killed_and_comes_back_continues_the_broadcast() {
    let server = Server::start().await;
    let mut first = Source::new().publish(&server);
    let mut viewer = Viewer::tune_in(&server).await;
    viewer.watch(3).await;
    let before = server.live().await;
    let waiting = async {
        first.kill();
        server
            .stream_until("the publisher is missed", |now| now["state"] == "waiting")
            .await;
        Source::new().seconds(4).publish(&server)
    };
    // The viewer goes on asking all the while, as a page does.
    let watching = viewer.watch_until("what came before and after", |viewer| {
        let all_broken = |text: &str| text.contains("#EXT-X-DISCONTINUITY\n");
        viewer.tracks.iter().all(|track| all_broken(&track.text))
    });
    let (mut second, ()) = tokio::join!(waiting, watching);
    let after = server
        .stream_until("it is live again", |now| now["state"] == "live")
        .await;
    assert_eq!(after["broadcast_id"], before["broadcast_id"]);
    assert_eq!(after["started_at"], before["started_at"]);
    viewer.watch_to_the_end().await;
    assert!(second.ended().await.success());
    viewer.assert_rules_kept();
    for kind in ["video", "audio"] {
        let segments = viewer.segments(viewer.track(kind));
        assert_eq!(breaks(&segments), 1, "{kind}");
        let (old, new): (Vec<_>, Vec<_>) = segments.iter().partition(|s| s.discontinuities == 0);
        assert!(!old.is_empty() && !new.is_empty(), "{kind}");
        // What both publishers sent can be fetched, each under addresses of its own.
        for segment in [old[0], new[0]] {
            viewer
                .recording(viewer.track(kind), std::slice::from_ref(segment))
                .await;
        }
    }
    server.offline().await;
}

#[tokio::test]
async fn a_publisher_that_does_not_come_back_in_time_ends_the_broadcast() {
    let server = Server::with(&[("ingest.grace_ms", "1500")]).await;
    let mut ffmpeg = Source::new().publish(&server);
    let mut viewer = Viewer::tune_in(&server).await;
    viewer.watch(2).await;
    let first = server.live().await;
    ffmpeg.kill();
    let killed = Instant::now();
    viewer.watch_to_the_end().await;
    assert!(
        killed.elapsed() > Duration::from_millis(1400),
        "it had its time to come back"
    );
    viewer.assert_rules_kept();
    server.offline().await;
    assert_eq!(server.get("/hls/stage/index.m3u8").await.status(), 404);
    let segment = viewer.video().complete().last().unwrap().address.clone();
    viewer.fetch(&viewer.video().resolve(&segment)).await;

    let _ffmpeg = Source::new().publish(&server);
    let second = server.live().await;
    assert_ne!(
        second["broadcast_id"], first["broadcast_id"],
        "this is another broadcast"
    );
}

#[tokio::test]
async fn a_publisher_that_is_silent_for_three_seconds_counts_as_gone() {
    let server = Server::with(&[("ingest.silence_ms", "3000")]).await;
    let clip = Clip::plain().await;
    let mut publisher = Publisher::start(&server).await;
    publisher.introduce(&clip).await;
    publisher.send_all(&clip.frames[..100]).await;
    server.live().await;
    // The connection stays open, and nothing comes.
    let silent_since = Instant::now();
    server
        .stream_until("the silence is noticed", |now| now["state"] == "waiting")
        .await;
    let took = silent_since.elapsed();
    assert!(took > Duration::from_millis(2500), "{took:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    server
        .logged(&["sent nothing for too long", &publisher.address()])
        .await;
    let farewell = publisher.farewell().await;
    assert!(
        farewell.contains(&Event::Unpublished),
        "it is told: {farewell:?}"
    );
    // It may come back as anybody else who vanished.
    let again = Publisher::start(&server).await;
    server
        .stream_until("it is live again", |now| now["state"] == "live")
        .await;
    drop(again);
}

#[tokio::test]
async fn a_second_publisher_is_refused_until_the_channel_lets_it_take_over() {
    let server = Server::start().await;
    let clip = Clip::plain().await;
    let mut first = Publisher::start(&server).await;
    first.introduce(&clip).await;
    first.send_all(&clip.frames[..150]).await;
    let mut viewer = Viewer::tune_in(&server).await;
    let before = server.live().await;

    let refused = Publisher::with_key(&server, &server.key).await;
    let (code, description) = refused.err().expect("somebody is there");
    assert_eq!(code, "NetStream.Publish.BadName");
    assert!(description.contains("already live"), "{description}");
    server
        .logged(&[
            "refused a publisher",
            "somebody else publishes",
            "client.addr=127.0.0.1:",
        ])
        .await;
    let mut ffmpeg = Source::new().publish(&server);
    assert!(
        !ffmpeg.ended().await.success(),
        "ffmpeg sees that it is refused"
    );

    let dir = server.dir().path().to_str().unwrap();
    let set = run(
        &[
            "admin",
            "second-publisher",
            "stage",
            "replace",
            "--data-dir",
            dir,
        ],
        "",
    )
    .await;
    assert!(set.status.success(), "{set:?}");
    let mut second = Publisher::start(&server).await;
    let farewell = first.farewell().await;
    assert!(
        farewell.contains(&Event::Unpublished),
        "the first is told: {farewell:?}"
    );
    server
        .logged(&["another publisher took over", &first.address()])
        .await;
    // Encoders come back by themselves. Then it must not go to and fro between two of them.
    assert!(
        Publisher::with_key(&server, &server.key).await.is_err(),
        "one that was replaced does not replace"
    );
    second.introduce(&clip).await;
    second.send_all(&clip.frames[..150]).await;
    let after = server.live().await;
    assert_eq!(
        after["broadcast_id"], before["broadcast_id"],
        "the broadcast continues"
    );
    second.finish().await;
    viewer.watch_to_the_end().await;
    viewer.assert_rules_kept();
    assert_eq!(breaks(&viewer.segments(viewer.video())), 1);

    let set = run(
        &[
            "admin",
            "second-publisher",
            "stage",
            "refuse",
            "--data-dir",
            dir,
        ],
        "",
    )
    .await;
    assert!(set.status.success(), "{set:?}");
    let _first = Publisher::start(&server).await;
    assert!(
        Publisher::with_key(&server, &server.key).await.is_err(),
        "as before"
    );
    let nobody = run(
        &[
            "admin",
            "second-publisher",
            "nobody",
            "replace",
            "--data-dir",
            dir,
        ],
        "",
    )
    .await;
    assert!(!nobody.status.success());
    let told = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(told.contains("no channel is called @nobody"), "{told}");
}

#[tokio::test]
async fn without_grace_a_vanished_publisher_ends_its_broadcast_at_once() {
    let server = Server::with(&[("ingest.grace_ms", "0")]).await;
    let clip = Clip::plain().await;
    let mut publisher = Publisher::start(&server).await;
    publisher.introduce(&clip).await;
    publisher.send_all(&clip.frames[..150]).await;
    let mut viewer = Viewer::tune_in(&server).await;
    drop(publisher);
    viewer.watch_to_the_end().await;
    viewer.assert_rules_kept();
    server.offline().await;
}

#[tokio::test]
async fn a_publisher_that_finished_begins_another_broadcast_the_next_time() {
    let server = Server::start().await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut ffmpeg = Source::new().seconds(2).publish(&server);
        ids.push(server.live().await["broadcast_id"].clone());
        assert!(ffmpeg.ended().await.success());
        server.offline().await;
    }
    assert_ne!(ids[0], ids[1], "each is a broadcast of its own");
    until("both are noted", async || {
        let page = server.json("/api/v1/channels/stage").await;
        page["last_live_at"].is_string().then_some(())
    })
    .await;
}
