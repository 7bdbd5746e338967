//! Requests against the real routes and tasks, on virtual time.

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use bytes::Bytes;
use fanout::Writer;
use http_body_util::BodyExt as _;
use kit::drain::DrainSignal;
use kit::stream::{Announced, Broadcast, Streams};
use media::Frame;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tower::ServiceExt as _;
use wire::ChannelId;

use super::*;
use crate::config::Config;
use crate::testing::{BEGAN_AT, Pictures, interleave, sound};

struct Stage {
    service: Arc<Service>,
    router: Router,
    streams: Arc<Streams>,
    broadcast: Arc<Broadcast>,
    video: Writer<Frame>,
    audio: Writer<Frame>,
    drain: DrainSignal,
    running: JoinHandle<()>,
}

impl Stage {
    async fn new(config: Config) -> Self {
        let streams = Streams::new();
        let service = Service::new(config, Arc::clone(&streams));
        let (drain, heard) = kit::drain::channel();
        let running = tokio::spawn(Arc::clone(&service).run(heard));
        let handle = "someone".parse().unwrap();
        let id = BroadcastId::new();
        let broadcast = Arc::new(Broadcast::new(id, ChannelId::new(), handle, BEGAN_AT));
        let (video, audio) = (broadcast.video.writer(), broadcast.audio.writer());
        streams.begin(Arc::clone(&broadcast));
        settle().await;
        let router = service.router();
        Self {
            service,
            router,
            streams,
            broadcast,
            video,
            audio,
            drain,
            running,
        }
    }

    async fn publish(&self, frames: &[Frame]) {
        for frame in frames {
            let log = match frame.config.kind() {
                TrackKind::Video => &self.video,
                TrackKind::Audio => &self.audio,
            };
            log.append(frame.clone()).unwrap();
        }
        settle().await;
    }

    fn url(&self, rest: &str) -> String {
        format!("/hls/b/{}/{rest}", self.broadcast.id)
    }

    async fn get(&self, url: &str) -> Answer {
        self.send(Request::get(url).body(Body::empty()).unwrap())
            .await
    }

    async fn send(&self, request: Request) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        Answer {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    /// Sends a request that is expected to wait.
    async fn ask(&self, url: &str) -> JoinHandle<Answer> {
        let router = self.router.clone();
        let request = Request::get(url).body(Body::empty()).unwrap();
        let asked = tokio::spawn(async move {
            let (head, body) = router.oneshot(request).await.unwrap().into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            Answer {
                status: head.status,
                headers: head.headers,
                body,
            }
        });
        settle().await;
        asked
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// Lets every task run until it waits.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

fn both(seconds: i64) -> Vec<Frame> {
    interleave(
        vec![
            Pictures::new((30, 1), 60, seconds).frames(),
            sound(48_000, 0, seconds * 1_000_000, 0),
        ],
        0,
    )
}

#[tokio::test(start_paused = true)]
async fn the_entry_is_held_until_there_is_something_to_play() {
    let stage = Stage::new(Config::default()).await;
    assert_eq!(stage.get("/hls/nobody/index.m3u8").await.text(), "not live");
    let entry = stage.ask("/hls/someone/index.m3u8").await;
    let frames = both(1);
    stage.publish(&frames[..10]).await;
    assert!(!entry.is_finished());
    stage.publish(&frames[10..25]).await;
    let entry = entry.await.unwrap();
    assert_eq!(
        (entry.status, entry.header("cache-control")),
        (StatusCode::OK, "public, max-age=1")
    );
    let id = stage.broadcast.id;
    let text = entry.text();
    assert!(
        text.contains(&format!("URI=\"../b/{id}/audio.m3u8\"")),
        "{text}"
    );
    assert!(
        text.ends_with(&format!("\n../b/{id}/video.m3u8\n")),
        "{text}"
    );
    assert!(
        text.contains("CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=30.000"),
        "{text}"
    );
    let parsed = m3u8_rs::parse_master_playlist_res(text.as_bytes()).unwrap();
    assert_eq!((parsed.variants.len(), parsed.alternatives.len()), (1, 1));
    assert!(parsed.variants[0].bandwidth > 0);

    let waits = Stage::new(Config::default()).await;
    let began = Instant::now();
    let nothing = waits.get("/hls/someone/index.m3u8").await;
    assert_eq!(nothing.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        (
            nothing.header("retry-after"),
            nothing.header("cache-control")
        ),
        ("1", "no-store")
    );
    assert_eq!(began.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn five_thousand_waiters_are_woken_with_one_rendering() {
    let stage = Stage::new(Config::default()).await;
    let frames = both(4);
    stage.publish(&frames[..60]).await;
    let newest = stage.get(&stage.url("video.m3u8")).await;
    let hint = newest
        .text()
        .lines()
        .find(|line| line.contains("PRELOAD-HINT"))
        .unwrap()
        .to_owned();
    let numbers = hint
        .split('/')
        .next_back()
        .unwrap()
        .trim_end_matches(".m4s\"")
        .to_owned();
    let (msn, part) = numbers.split_once('.').unwrap();
    let url = stage.url(&format!("video.m3u8?_HLS_msn={msn}&_HLS_part={part}"));
    let mut waiting = Vec::new();
    for _ in 0..5_000 {
        let router = stage.router.clone();
        let request = Request::get(&url).body(Body::empty()).unwrap();
        waiting.push(tokio::spawn(async move {
            router
                .oneshot(request)
                .await
                .unwrap()
                .into_body()
                .collect()
                .await
                .unwrap()
                .to_bytes()
        }));
    }
    settle().await;
    assert!(waiting.iter().all(|one| !one.is_finished()));
    stage.publish(&frames[60..90]).await;
    let first = waiting.pop().unwrap().await.unwrap();
    assert!(
        std::str::from_utf8(&first)
            .unwrap()
            .contains(&format!("video/{msn}.{part}.m4s\""))
    );
    for one in waiting {
        // The same bytes in memory: rendered once, copied never.
        assert_eq!(one.await.unwrap().as_ptr(), first.as_ptr());
    }
    let again = stage.get(&url).await;
    assert_eq!(again.header("cache-control"), "public, max-age=24");
}

#[tokio::test(start_paused = true)]
async fn nonsense_is_refused_and_patience_ends() {
    let config = Config {
        waiting_requests_max: 1,
        ..Config::default()
    };
    let stage = Stage::new(config).await;
    stage.publish(&both(3)).await;
    for bad in [
        "_HLS_part=1",
        "_HLS_msn=x",
        "_HLS_msn=4",
        "_HLS_msn=999999999",
        "_HLS_msn=1&_HLS_part=500",
        "_HLS_skip=maybe",
    ] {
        let answer = stage.get(&stage.url(&format!("video.m3u8?{bad}"))).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    for gone in [
        stage.url("other.m3u8"),
        stage.url("video/..%2f..%2fetc%2fpasswd"),
        stage.url("video/99999999999999999999.m4s"),
        stage.url("video/init-7.mp4"),
        stage.url("video/1.m4s"),
        stage.url("video/1.9.m4s"),
        stage.url("text/0.m4s"),
        format!("/hls/b/{}/video.m3u8", BroadcastId::new()),
        "/hls/b/../../video.m3u8".to_owned(),
        "/hls/b/index.m3u8".to_owned(),
    ] {
        assert_eq!(
            stage.get(&gone).await.status,
            StatusCode::NOT_FOUND,
            "{gone}"
        );
    }
    let began = Instant::now();
    let waits = stage.ask(&stage.url("video.m3u8?_HLS_msn=3")).await;
    let busy = stage.get(&stage.url("video.m3u8?_HLS_msn=3")).await;
    assert_eq!(
        (busy.status, busy.text()),
        (StatusCode::SERVICE_UNAVAILABLE, "too many requests wait")
    );
    assert_eq!(waits.await.unwrap().status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(began.elapsed().as_secs(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_hinted_part_is_held_until_it_comes_or_cannot_come() {
    let stage = Stage::new(Config::default()).await;
    let frames = Pictures::new((30, 1), 65, 4).frames();
    // Ten parts of six frames are two seconds; the eleventh ends short, at the keyframe.
    stage.publish(&frames[..62]).await;
    let hinted = stage.ask(&stage.url("video/0.10.m4s")).await;
    let beyond = stage.ask(&stage.url("video/0.11.m4s")).await;
    assert!(!hinted.is_finished() && beyond.is_finished());
    assert_eq!(beyond.await.unwrap().status, StatusCode::NOT_FOUND);
    stage.publish(&frames[62..66]).await;
    let hinted = hinted.await.unwrap();
    assert_eq!(
        (hinted.status, hinted.header("content-type")),
        (StatusCode::OK, "video/mp4")
    );
    assert_eq!(
        hinted.header("cache-control"),
        "public, max-age=86400, immutable"
    );

    let stage = Stage::new(Config::default()).await;
    let frames = Pictures::new((30, 1), 60, 4).frames();
    stage.publish(&frames[..60]).await;
    let hinted = stage.ask(&stage.url("video/0.9.m4s")).await;
    stage.publish(&frames[60..61]).await;
    assert_eq!(hinted.await.unwrap().status, StatusCode::OK);
    // The hint is now the first part of the next segment, not another of this one.
    assert_eq!(
        stage.get(&stage.url("video/0.10.m4s")).await.status,
        StatusCode::NOT_FOUND
    );

    let ends = stage.ask(&stage.url("video/1.0.m4s")).await;
    stage.streams.end(&stage.broadcast);
    settle().await;
    let ends = ends.await.unwrap();
    assert_eq!(
        ends.status,
        StatusCode::OK,
        "the last frame becomes the last part"
    );
}

#[tokio::test(start_paused = true)]
async fn a_segment_is_its_parts_and_answers_ranges_and_head() {
    let stage = Stage::new(Config::default()).await;
    stage.publish(&both(5)).await;
    let segment = stage.get(&stage.url("audio/0.m4s")).await;
    assert_eq!(
        (segment.status, segment.header("content-type")),
        (StatusCode::OK, "audio/mp4")
    );
    assert_eq!(segment.header("access-control-allow-origin"), "*");
    let mut joined = Vec::new();
    for part in 0.. {
        let answer = stage.get(&stage.url(&format!("audio/0.{part}.m4s"))).await;
        if answer.status != StatusCode::OK {
            break;
        }
        joined.extend_from_slice(&answer.body);
    }
    assert_eq!(segment.body, joined);
    let ranged = |range: &str| {
        Request::get(stage.url("audio/0.m4s"))
            .header("range", range)
            .body(Body::empty())
            .unwrap()
    };
    let middle = stage.send(ranged("bytes=100-1999")).await;
    assert_eq!(middle.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(middle.body, joined[100..2000]);
    assert_eq!(
        middle.header("content-range"),
        format!("bytes 100-1999/{}", joined.len())
    );
    assert_eq!(
        stage.send(ranged("bytes=9999999-")).await.status,
        StatusCode::RANGE_NOT_SATISFIABLE
    );
    let head = Request::head(stage.url("audio/0.m4s"))
        .body(Body::empty())
        .unwrap();
    let head = stage.send(head).await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    assert_eq!(head.header("content-length"), joined.len().to_string());
    let init = stage.get(&stage.url("audio/init-0.mp4")).await;
    assert_eq!(&init.body[4..8], b"ftyp");
}

#[tokio::test(start_paused = true)]
async fn playlists_are_compressed_for_who_takes_it() {
    let stage = Stage::new(Config::default()).await;
    stage.publish(&both(5)).await;
    let url = stage.url("video.m3u8");
    let plain = stage.get(&url).await;
    assert_eq!(
        (plain.header("vary"), plain.header("content-encoding")),
        ("accept-encoding", "")
    );
    assert_eq!(
        plain.header("content-type"),
        "application/vnd.apple.mpegurl"
    );
    let request = Request::get(&url)
        .header("accept-encoding", "gzip, br")
        .body(Body::empty())
        .unwrap();
    let packed = stage.send(request).await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert!(packed.body.len() < plain.body.len() / 3);
    let mut text = String::new();
    std::io::Read::read_to_string(
        &mut flate2::read::GzDecoder::new(&packed.body[..]),
        &mut text,
    )
    .unwrap();
    assert_eq!(text, plain.text());
    let parsed = m3u8_rs::parse_media_playlist_res(plain.text().as_bytes()).unwrap();
    assert_eq!((parsed.target_duration, parsed.segments.len()), (4, 2));
}

#[tokio::test(start_paused = true)]
async fn an_ended_broadcast_stays_for_a_while_with_its_end_told() {
    let stage = Stage::new(Config::default()).await;
    stage.broadcast.announce(Announced {
        video: Some(true),
        audio: Some(true),
    });
    stage.publish(&both(5)).await;
    let waits = stage.ask(&stage.url("video.m3u8?_HLS_msn=3")).await;
    stage.streams.end(&stage.broadcast);
    settle().await;
    let last = waits.await.unwrap();
    assert!(last.text().ends_with("#EXT-X-ENDLIST\n"), "{}", last.text());
    assert_eq!(
        stage.get("/hls/someone/index.m3u8").await.text(),
        "not live"
    );
    let stats = stage.service.stats(stage.broadcast.id).unwrap();
    assert_eq!((stats.segments, stats.packager.dropped_frames), (3, 0));
    tokio::time::sleep(Duration::from_secs(47)).await;
    assert_eq!(
        stage.get(&stage.url("video/0.m4s")).await.status,
        StatusCode::OK
    );
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(
        stage.get(&stage.url("video/0.m4s")).await.status,
        StatusCode::NOT_FOUND
    );
    assert!(stage.service.stats(stage.broadcast.id).is_none());
}

#[tokio::test(start_paused = true)]
async fn the_drain_ends_playlists_and_the_service() {
    let stage = Stage::new(Config::default()).await;
    stage.publish(&both(3)).await;
    let waits = stage.ask(&stage.url("audio.m3u8?_HLS_msn=2")).await;
    stage.drain.drain();
    assert!(waits.await.unwrap().text().ends_with("#EXT-X-ENDLIST\n"));
    tokio::time::timeout(Duration::from_secs(1), stage.running)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_whose_place_is_taken_ends() {
    let stage = Stage::new(Config::default()).await;
    stage.publish(&both(3)).await;
    let next = Broadcast::new(
        BroadcastId::new(),
        stage.broadcast.channel,
        stage.broadcast.handle.clone(),
        BEGAN_AT,
    );
    stage.streams.begin(Arc::new(next));
    settle().await;
    assert!(
        stage
            .get(&stage.url("video.m3u8"))
            .await
            .text()
            .ends_with("#EXT-X-ENDLIST\n")
    );
    let entry = stage.ask("/hls/someone/index.m3u8").await;
    assert!(!entry.is_finished(), "the entry is the new broadcast's");
}

#[tokio::test(start_paused = true)]
async fn viewers_are_counted_by_address_and_program() {
    let stage = Stage::new(Config::default()).await;
    stage.publish(&both(3)).await;
    for (address, program) in [(1, "a"), (1, "a"), (1, "b"), (2, "a")] {
        let mut request = Request::get(stage.url("video.m3u8"))
            .header("user-agent", program)
            .body(Body::empty())
            .unwrap();
        let address = SocketAddr::from(([10, 0, 0, address], 4000));
        request.extensions_mut().insert(ConnectInfo(address));
        stage.send(request).await;
    }
    assert_eq!(stage.service.viewers(stage.broadcast.id), 3);
    tokio::time::sleep(Duration::from_secs(13)).await;
    assert_eq!(stage.service.viewers(stage.broadcast.id), 0);
}
