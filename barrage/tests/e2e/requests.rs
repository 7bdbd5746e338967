//! What a player may ask for, when it is answered, and with which headers.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::raw;
use crate::support::{Clip, Publisher, Server, Viewer, until, within};

/// Long enough for an answer that should not come to come.
const A_MOMENT: Duration = Duration::from_millis(400);

/// An answer that may take its time: status and body.
type Answer = JoinHandle<(u16, String)>;

/// Gives answers that should not come a moment to come.
async fn assert_unanswered(asked: &[Answer]) {
    let answered = until("one is answered", async || {
        asked.iter().position(Answer::is_finished)
    });
    assert_eq!(
        timeout(A_MOMENT, answered).await.ok(),
        None,
        "what it waits for is not there"
    );
}

/// A server with a publisher that sends when it is told to, and a viewer.
struct Scene {
    server: Server,
    publisher: Publisher,
    clip: Clip,
    sent: usize,
    viewer: Viewer,
}

impl Scene {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With the first four seconds sent.
    async fn with(settings: &[(&str, &str)]) -> Self {
        let settings = [settings, &[("ingest.silence_ms", "60000")]].concat();
        let server = Server::with(&settings).await;
        let clip = Clip::plain().await;
        let mut publisher = Publisher::start(&server).await;
        publisher.introduce(&clip).await;
        let sent = clip
            .frames
            .iter()
            .position(|frame| frame.timestamp >= 4000)
            .unwrap();
        publisher.send_all(&clip.frames[..sent]).await;
        let viewer = Viewer::tune_in(&server).await;
        let mut scene = Self {
            server,
            publisher,
            clip,
            sent,
            viewer,
        };
        scene.catch_up().await;
        scene
    }

    /// Takes in every playlist that is there already.
    async fn catch_up(&mut self) {
        for index in 0..self.viewer.tracks.len() {
            let mut step = async || timeout(A_MOMENT, self.viewer.step_of(index)).await;
            let there = async { while step().await.is_ok() {} };
            within("the next playlist is not there", there).await;
        }
    }

    /// Sends up to a time.
    async fn send_up_to(&mut self, millis: u32) {
        let rest = &self.clip.frames[self.sent..];
        let count = rest
            .iter()
            .take_while(|frame| frame.timestamp < millis)
            .count();
        self.publisher.send_all(&rest[..count]).await;
        self.sent += count;
    }

    /// Asks, without waiting for the answer.
    fn ask(&self, url: &str) -> Answer {
        let request = self.server.client.get(url);
        tokio::spawn(async move {
            let answer = request.send().await.expect("there is an answer");
            let status = answer.status().as_u16();
            (
                status,
                String::from_utf8_lossy(&answer.bytes().await.expect("whole")).into_owned(),
            )
        })
    }
}

#[tokio::test]
async fn a_blocking_reload_is_answered_when_the_part_is_there_and_not_before() {
    let mut scene = Scene::new().await;
    for kind in ["video", "audio"] {
        let track = scene.viewer.track(kind);
        let (msn, part) = track.next();
        let url = format!("{}?_HLS_msn={msn}&_HLS_part={part}", track.url);
        let asked: Vec<_> = (0..20).map(|_| scene.ask(&url)).collect();
        assert_unanswered(&asked).await;
        let renders = scene
            .server
            .metric("barrage_hls_playlist_renders_total")
            .await;
        let until = scene.clip.frames[scene.sent].timestamp + 500;
        scene.send_up_to(until).await;
        let mut texts = BTreeSet::new();
        for answer in asked {
            let (status, text) = within("the part is there", answer).await.unwrap();
            assert_eq!(status, 200);
            let uri = format!("URI=\"{kind}/{msn}.{part}.m4s\"");
            assert!(text.contains(&uri), "{uri} is not in:\n{text}");
            texts.insert(text);
        }
        assert!(
            texts.len() <= 3,
            "they share what was rendered: {}",
            texts.len()
        );
        let renders = scene
            .server
            .metric("barrage_hls_playlist_renders_total")
            .await
            - renders;
        assert!(renders <= 4.0, "20 requests, {renders} renderings");
        scene.catch_up().await;
    }
    // A whole segment, without naming a part.
    let track = scene.viewer.video();
    let msn = track.next().0;
    let asked = scene.ask(&format!("{}?_HLS_msn={msn}", track.url));
    assert_unanswered(std::slice::from_ref(&asked)).await;
    scene.send_up_to(9500).await;
    let (status, text) = within("the segment is complete", asked).await.unwrap();
    assert_eq!(status, 200);
    assert!(text.contains(&format!("\nvideo/{msn}.m4s\n")), "{text}");
    scene.viewer.assert_rules_kept();
}

#[tokio::test]
async fn a_part_that_is_hinted_can_be_asked_for_before_it_is_there() {
    let mut scene = Scene::new().await;
    for kind in ["video", "audio"] {
        let track = scene.viewer.track(kind);
        let hint = track.resolve(track.playlist.hint.as_deref().expect("a hint"));
        let asked = [scene.ask(&hint), scene.ask(&hint)];
        assert_unanswered(&asked).await;
        let until = scene.clip.frames[scene.sent].timestamp + 500;
        scene.send_up_to(until).await;
        for answer in asked {
            let (status, body) = within("the part is there", answer).await.unwrap();
            assert_eq!(status, 200);
            assert!(
                body.contains("moof") && body.contains("mdat"),
                "{kind}: it is a part"
            );
        }
        scene.catch_up().await;
        let track = scene.viewer.track(kind);
        assert!(
            track.text.contains(hint.rsplit('/').next().unwrap()),
            "{hint}:\n{}",
            track.text
        );
    }
    // The part behind the hinted one was never announced.
    let track = scene.viewer.video();
    let hint = track.playlist.hint.as_deref().unwrap();
    let (stem, _) = hint.rsplit_once(".m4s").unwrap();
    let (segment, part) = stem.rsplit_once('.').unwrap();
    let beyond = format!("{segment}.{}.m4s", part.parse::<u64>().unwrap() + 1);
    let answer = scene.viewer.send(&track.resolve(&beyond)).await;
    assert_eq!(answer.status(), 404);
}

#[tokio::test]
async fn when_the_publisher_finishes_whoever_waits_is_told_the_end() {
    let scene = Scene::new().await;
    let track = scene.viewer.video();
    let (msn, part) = track.next();
    let asked = [
        scene.ask(&format!("{}?_HLS_msn={msn}&_HLS_part={part}", track.url)),
        scene.ask(&format!("{}?_HLS_msn={}", track.url, msn + 1)),
        scene.ask(&track.resolve(track.playlist.hint.as_deref().unwrap())),
    ];
    assert_unanswered(&asked).await;
    let [playlist, segment, hinted] = asked;
    scene.publisher.finish().await;
    for answer in [playlist, segment] {
        let (status, text) = within("the end is told", answer).await.unwrap();
        assert_eq!(status, 200);
        assert!(text.trim_end().ends_with("#EXT-X-ENDLIST"), "{text}");
        assert!(!text.contains("#EXT-X-PRELOAD-HINT"), "{text}");
    }
    // The frames that were held back make a last part, or there is none.
    let (status, _) = within("the hinted part is there or never comes", hinted)
        .await
        .unwrap();
    assert!(status == 200 || status == 404, "{status}");
    scene.server.offline().await;
}

#[tokio::test]
async fn absurd_requests_are_refused_at_once() {
    let scene = Scene::new().await;
    let track = scene.viewer.video();
    let (msn, _) = track.next();
    let path = format!("/hls/b/{}/video.m3u8", scene.viewer.broadcast());
    for query in [
        format!("_HLS_msn={}", u64::MAX),
        "_HLS_msn=99999999999999999999999999".to_owned(),
        format!("_HLS_msn={}", msn + 100),
        format!("_HLS_msn={}&_HLS_part={}", msn + 100, 0),
        format!("_HLS_msn={msn}&_HLS_part={}", u64::MAX),
        format!("_HLS_msn={msn}&_HLS_part=100000"),
        "_HLS_msn=-1".to_owned(),
        "_HLS_msn=".to_owned(),
        "_HLS_msn=one".to_owned(),
        "_HLS_msn=1.5".to_owned(),
        "_HLS_part=0".to_owned(),
        format!("_HLS_msn={msn}&_HLS_part=-1"),
    ] {
        let (status, body) = raw::http(scene.server.http, &format!("{path}?{query}")).await;
        assert_eq!(status, 400, "{query}: {body}");
    }
    // What has been there for long is answered at once, and what nobody defined is passed over.
    for query in [
        "_HLS_msn=0",
        "_HLS_msn=0&_HLS_part=0",
        "_HLS_skip=YES",
        "_HLS_skip=v2",
        "utm=x&y",
    ] {
        let (status, body) = raw::http(scene.server.http, &format!("{path}?{query}")).await;
        assert_eq!(status, 200, "{query}: {body}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let scene = Scene::new().await;
    let id = scene.viewer.broadcast();
    let other = id.replace(|c: char| c.is_ascii_digit(), "0");
    for path in [
        "/hls/nobody/index.m3u8".to_owned(),
        "/hls/stage/other.m3u8".to_owned(),
        "/hls/../etc/passwd".to_owned(),
        "/hls/%2e%2e/%2e%2e/etc/passwd".to_owned(),
        "/hls/b/../../../../etc/passwd".to_owned(),
        format!("/hls/b/{id}/../../../etc/passwd"),
        format!("/hls/b/{id}/..%2f..%2f..%2fetc%2fpasswd"),
        format!("/hls/b/{id}/video/..%2f..%2f..%2fserver.key"),
        format!("/hls/b/{id}/video/%2e%2e/audio/init-0.mp4"),
        format!("/hls/b/{other}/video.m3u8"),
        "/hls/b/not-an-id/video.m3u8".to_owned(),
        "/hls/b/stage/video.m3u8".to_owned(),
        format!("/hls/b/{id}/subtitles.m3u8"),
        format!("/hls/b/{id}/video/init-99.mp4"),
        format!("/hls/b/{id}/video/init--1.mp4"),
        format!("/hls/b/{id}/video/999999.m4s"),
        format!("/hls/b/{id}/video/0.999999.m4s"),
        format!("/hls/b/{id}/video/{0}.{0}.m4s", u64::MAX),
        format!("/hls/b/{id}/video/99999999999999999999999.0.m4s"),
        format!("/hls/b/{id}/video/-1.m4s"),
        format!("/hls/b/{id}/video/0.0.0.m4s"),
        format!("/hls/b/{id}/video/%00.m4s"),
        format!("/hls/b/{id}/video/0.mp4"),
        format!("/hls/b/{id}"),
        "/hls/".to_owned(),
        "/hls".to_owned(),
    ] {
        let (status, body) = raw::http(scene.server.http, &path).await;
        assert_eq!(status, 404, "{path}: {body}");
        assert!(!body.contains("root:"), "{path}: {body}");
    }
    let offline = Server::start().await;
    let (status, _) = raw::http(offline.http, "/hls/stage/index.m3u8").await;
    assert_eq!(status, 404, "nobody is live");
}

#[tokio::test]
async fn headers_let_caches_keep_what_never_changes_and_nothing_else() {
    let scene = Scene::new().await;
    let (viewer, track) = (&scene.viewer, scene.viewer.video());
    let header = |answer: &reqwest::Response, name: &str| {
        let value = answer.headers().get(name);
        value.map_or(String::new(), |value| value.to_str().unwrap().to_owned())
    };
    let segment = track.complete().next().unwrap();
    for (uri, kind) in [
        (segment.map.as_str(), "video/mp4"),
        (segment.address.as_str(), "video/mp4"),
        (segment.parts[0].uri.as_str(), "video/mp4"),
    ] {
        let answer = viewer.send(&track.resolve(uri)).await;
        assert_eq!(answer.status(), 200, "{uri}");
        let cache = header(&answer, "cache-control");
        assert!(
            cache.contains("immutable") && cache.contains("max-age="),
            "{uri}: {cache}"
        );
        assert!(header(&answer, "content-type").starts_with(kind), "{uri}");
        assert_eq!(header(&answer, "access-control-allow-origin"), "*", "{uri}");
        assert!(!header(&answer, "content-length").is_empty(), "{uri}");
        assert!(
            header(&answer, "content-encoding").is_empty(),
            "{uri} is dense already"
        );
    }
    let multivariant = scene.server.url("/hls/stage/index.m3u8");
    let plain = track.url.clone();
    let blocking = format!("{}?_HLS_msn=0&_HLS_part=0", track.url);
    let zipped = crate::support::browser().no_gzip().build().unwrap();
    for url in [&multivariant, &plain, &blocking] {
        let answer = viewer.send(url).await;
        let cache = header(&answer, "cache-control");
        assert!(
            !cache.is_empty() && !cache.contains("immutable"),
            "{url}: {cache}"
        );
        assert_eq!(
            header(&answer, "content-type"),
            "application/vnd.apple.mpegurl",
            "{url}"
        );
        assert_eq!(header(&answer, "access-control-allow-origin"), "*", "{url}");
        let answer = zipped
            .get(url.as_str())
            .header("accept-encoding", "gzip")
            .send()
            .await
            .unwrap();
        assert_eq!(header(&answer, "content-encoding"), "gzip", "{url}");
        assert!(
            header(&answer, "vary")
                .to_lowercase()
                .contains("accept-encoding"),
            "{url}"
        );
    }
    // A failure is not kept as if it were the answer.
    let missing = track.resolve("video/999999.m4s");
    let cache = header(&viewer.send(&missing).await, "cache-control");
    assert!(!cache.contains("immutable"), "{cache}");
}

#[tokio::test]
async fn more_requests_than_may_wait_are_told_to_come_back() {
    let mut scene = Scene::with(&[("hls.waiting_requests_max", "20")]).await;
    until("nobody waits", async || {
        let waiting = scene.server.metric("barrage_hls_waiting_requests").await;
        (waiting < 0.5).then_some(())
    })
    .await;
    let track = scene.viewer.video();
    let url = format!("{}?_HLS_msn={}", track.url, track.next().0);
    let mut asked: Vec<_> = (0..25)
        .map(|_| tokio::spawn(scene.server.client.get(&url).send()))
        .collect();
    let refused = until("the room is full", async || {
        let refused: Vec<_> = asked
            .extract_if(.., |answer| answer.is_finished())
            .collect();
        (!refused.is_empty()).then_some(refused)
    })
    .await;
    for answer in refused {
        let answer = answer.await.unwrap().unwrap();
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.headers()["retry-after"], "1");
    }
    scene.send_up_to(9500).await;
    let mut played = 0;
    for answer in asked {
        let answer = within("they are answered", answer).await.unwrap().unwrap();
        played += u32::from(answer.status() == 200);
    }
    assert_eq!(played, 20, "those who may wait do, and are answered");
}
