//! The end: everybody is told, nothing is lost, and it does not take long.

use std::sync::Arc;
use std::time::Duration;

use ingest::rtmp::client::Event;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::support::publisher::code_of;
use crate::support::viewer::Track;
use crate::support::{Clip, Person, Publisher, Server, Source, Viewer, until, within};

async fn how_the_last_one_ended(server: &Server) -> Value {
    let admin = Person::admin(server).await;
    let past = admin.read("/api/v1/channels/stage/broadcasts").await;
    past[0]["ended_how"].clone()
}

/// Asks for what comes next, and gives what is answered.
fn ask_next(server: &Server, track: &Track) -> JoinHandle<String> {
    let (msn, part) = track.next();
    let url = format!("{}?_HLS_msn={msn}&_HLS_part={part}", track.url);
    let request = server.client.get(url);
    tokio::spawn(async move {
        let answer = request.send().await.expect("there is an answer");
        answer.text().await.expect("it arrives whole")
    })
}

#[tokio::test]
async fn a_server_that_is_told_to_end_tells_publishers_and_viewers_and_exits_with_zero() {
    let mut server = Server::with(&[("ingest.silence_ms", "60000")]).await;
    let clip = Clip::plain().await;
    let mut publisher = Publisher::start(&server).await;
    publisher.introduce(&clip).await;
    publisher.send_all(&clip.frames[..200]).await;
    let viewer = Viewer::tune_in(&server).await;
    let mut connected = Publisher::dial(server.rtmp, "127.0.0.1", "live", "bk_x").await;
    // Requests for what comes next, on their way before the end is told.
    let asked: Vec<_> = viewer
        .tracks
        .iter()
        .map(|track| ask_next(&server, track))
        .collect();
    until("both wait", async || {
        let waiting = server.metric("barrage_hls_waiting_requests").await;
        (waiting > 1.5).then_some(())
    })
    .await;

    let began = Instant::now();
    let (ended, farewell) = tokio::join!(server.terminate(), publisher.farewell());
    let took = began.elapsed();
    assert_eq!(ended.code(), Some(0));
    assert!(took < Duration::from_secs(10), "within its grace: {took:?}");
    assert!(farewell.contains(&Event::Unpublished), "{farewell:?}");
    assert_eq!(
        code_of(&farewell),
        Some("NetConnection.Connect.Closed"),
        "{farewell:?}"
    );
    for answer in asked {
        let text = within("the end is told", answer).await.unwrap();
        assert!(text.trim_end().ends_with("#EXT-X-ENDLIST"), "{text}");
    }
    assert!(!server.path("runtime.json").exists());
    assert!(server.log().text().contains("ended"));
    connected.farewell().await;

    // Nothing was left open: the next start has nothing to close.
    let again = Server::on(Arc::clone(server.dir()), &[]).await;
    assert!(
        !again.log().text().contains("had left open"),
        "{}",
        again.log().text()
    );
    let page = again.json("/api/v1/channels/stage").await;
    assert!(page["last_live_at"].is_string(), "{page}");
    assert_eq!(how_the_last_one_ended(&again).await, "server_ended");
}

#[tokio::test]
async fn ffmpeg_and_idle_connections_do_not_hold_up_the_end() {
    let mut server = Server::start().await;
    let mut ffmpeg = Source::new().publish(&server);
    let viewer = Viewer::tune_in(&server).await;
    let idle = crate::support::raw::connect(server.http, "127.0.0.1")
        .await
        .unwrap();
    let silent = crate::support::raw::connect(server.rtmp, "127.0.0.1")
        .await
        .unwrap();
    let began = Instant::now();
    assert_eq!(server.terminate().await.code(), Some(0));
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    ffmpeg.ended().await;
    drop((idle, silent, viewer));
}

#[tokio::test]
async fn a_server_that_ends_takes_no_publishers_and_is_not_ready() {
    let mut server = Server::start().await;
    let clip = Clip::plain().await;
    let mut publisher = Publisher::start(&server).await;
    publisher.introduce(&clip).await;
    publisher.send_all(&clip.frames[..100]).await;
    let rtmp = server.rtmp;
    server.signal("TERM");
    publisher.farewell().await;
    let refused = within("the port is closed", async {
        while crate::support::raw::connect(rtmp, "127.0.0.1")
            .await
            .is_ok()
        {}
    });
    refused.await;
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_broadcast_goes_on_after_its_server_was_killed() {
    let mut server = Server::start().await;
    let mut ffmpeg = Source::new().publish(&server);
    let mut viewer = Viewer::tune_in(&server).await;
    viewer.watch(4).await;
    let before = server.live().await;
    server.signal("KILL");
    server.ended().await;
    ffmpeg.ended().await;
    assert!(
        server.path("runtime.json").exists(),
        "nobody was there to remove it"
    );

    let again = Server::on(Arc::clone(server.dir()), &[]).await;
    let waiting = again
        .stream_until("the broadcast is there", |now| now["state"] == "waiting")
        .await;
    assert_eq!(waiting["broadcast_id"], before["broadcast_id"]);
    let mut ffmpeg = Source::new().seconds(4).publish(&again);
    viewer.move_to(&again);
    let newest: Vec<_> = viewer.tracks.iter().map(Track::next).collect();
    again
        .stream_until("it is live again", |now| now["state"] == "live")
        .await;
    viewer.watch_to_the_end().await;
    assert!(ffmpeg.ended().await.success());
    // What was in the memory of a killed server is gone, and with it what it had promised.
    viewer.assert_rules_kept_but(&["three targets stay", "the hinted part comes next"]);
    for (track, newest) in viewer.tracks.iter().zip(newest) {
        let segments = viewer.segments(track);
        let (old, new): (Vec<_>, Vec<_>) = segments.iter().partition(|s| s.msn <= newest.0);
        let (last, first) = (old.last().unwrap(), new.first().unwrap());
        assert!(first.discontinuity && first.discontinuities > last.discontinuities);
        assert!(
            first.map != last.map,
            "another init segment, another address"
        );
        // The time of the broadcast went on while nobody was there to take it down.
        assert!(first.shown_at_us > last.shown_at_us + last.duration());
    }
    again.offline().await;
    let page = again.json("/api/v1/channels/stage").await;
    assert!(page["last_live_at"].is_string(), "{page}");
}

#[tokio::test]
async fn without_grace_what_a_killed_server_left_open_is_closed() {
    let mut server = Server::start().await;
    let clip = Clip::plain().await;
    let mut publisher = Publisher::start(&server).await;
    publisher.introduce(&clip).await;
    publisher.send_all(&clip.frames[..100]).await;
    server.live().await;
    let admin = Person::admin(&server).await;
    until("the history has it", async || {
        let past = admin.read("/api/v1/channels/stage/broadcasts").await;
        past[0].is_object().then_some(())
    })
    .await;
    server.signal("KILL");
    server.ended().await;
    let again = Server::on(Arc::clone(server.dir()), &[("ingest.grace_ms", "0")]).await;
    again.logged(&["closed a broadcast", "had left open"]).await;
    assert!(again.stream().await.is_none());
    assert!(again.json("/api/v1/channels/stage").await["last_live_at"].is_string());
    assert_eq!(how_the_last_one_ended(&again).await, "server_lost");
    assert!(Publisher::with_key(&again, &server.key).await.is_ok());
}

#[tokio::test]
async fn ctrl_c_ends_it_as_well() {
    let mut server = Server::start().await;
    server.signal("INT");
    assert_eq!(server.ended().await.code(), Some(0));
    assert!(!server.path("runtime.json").exists());
}
