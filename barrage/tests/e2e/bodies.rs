//! Bodies of requests that come slowly: those that trickle in are not waited for, wherever they are sent,
//! and those that come steadily are taken.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use reqwest::{Body, Method, StatusCode, header};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::server::CHANNEL;
use crate::support::{Person, Server};

/// A body of these pieces, of which one comes at each tick.
fn paced(pieces: Vec<Bytes>, every: Duration) -> Body {
    let begun = (pieces.into_iter(), tokio::time::interval(every));
    let paced = stream::unfold(begun, |(mut pieces, mut ticks)| async {
        ticks.tick().await;
        let piece = pieces.next()?;
        Some((Ok::<_, std::io::Error>(piece), (pieces, ticks)))
    });
    Body::wrap_stream(paced)
}

/// A byte a second, for longer than anybody waits.
fn trickle() -> Body {
    let bytes = vec![Bytes::from_static(b" "); 3_600];
    paced(bytes, Duration::from_secs(1))
}

#[tokio::test]
async fn a_body_that_trickles_in_is_not_waited_for_on_any_route() {
    let server = Server::start().await;
    let admin = Person::admin(&server).await;
    let watch = format!("/whep/{CHANNEL}");
    let channel = format!("/api/v1/channels/{CHANNEL}");
    let emotes = format!("{channel}/emotes?code=slow");
    let cases = [
        (Method::POST, "/api/v1/session", "application/json"),
        (Method::POST, "/api/v1/account", "application/json"),
        (Method::PATCH, &channel, "application/json"),
        (Method::POST, &emotes, "image/png"),
        (Method::POST, "/whip", "application/sdp"),
        (Method::POST, &watch, "application/sdp"),
        (
            Method::PATCH,
            "/webrtc/nobody",
            "application/trickle-ice-sdpfrag",
        ),
        (Method::POST, "/webrtc/nobody/seen", "application/json"),
    ];
    let asked = cases.iter().map(async |(method, path, kind)| {
        let request = admin.request(method.clone(), path);
        let request = request.header(header::CONTENT_TYPE, *kind).body(trickle());
        (path, admin.send(request).await)
    });
    for (path, answer) in futures_util::future::join_all(asked).await {
        assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT, "{path}");
        let kind = &answer.headers()[header::CONTENT_TYPE];
        assert_eq!(kind, "application/problem+json", "{path}");
        // Pages of other sites may publish and watch, and read what became of it.
        let for_all = answer.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        assert_eq!(for_all.is_some(), !path.starts_with("/api"), "{path}");
        let told: Value = answer.json().await.unwrap();
        assert_eq!(
            (&told["status"], &told["code"]),
            (&408.into(), &"too_slow".into())
        );
        assert_eq!(told["error"]["code"], "too_slow", "the form of the API");
    }
}

#[tokio::test]
async fn who_sends_too_much_is_told_so_after_writing_all_of_it() {
    const LEN: usize = 4 << 20;
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.http).await.unwrap();
    let head = format!(
        "POST /whip HTTP/1.1\r\nHost: barrage\r\nContent-Type: application/sdp\r\n\
         Authorization: Bearer {}\r\nContent-Length: {LEN}\r\n\r\n",
        server.key
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // As most clients do, it reads nothing before.
    let piece = [b' '; 64 << 10];
    for _ in 0..LEN / piece.len() {
        stream.write_all(&piece).await.expect("it is let write");
    }
    let mut answer = [0; 1024];
    let len = stream.read(&mut answer).await.expect("it is answered");
    let answer = String::from_utf8_lossy(&answer[..len]);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_picture_that_comes_slowly_and_steadily_is_taken() {
    let server = Server::start().await;
    let admin = Person::admin(&server).await;
    // Colours at random, which nothing makes smaller: 15 s at 12 KiB/s.
    let noise = [
        "-i",
        "nullsrc=size=400x300,geq=r='random(1)*255':g='random(2)*255':b='random(3)*255'",
    ];
    let still = ["-frames:v", "1", "-f", "apng", "-plays", "1"];
    let picture = super::emotes::picture(&[&noise[..], &still[..]].concat()).await;
    assert!(
        (170_000..256 * 1_024).contains(&picture.len()),
        "{}",
        picture.len()
    );
    let pieces = picture.chunks(1_200).map(Bytes::copy_from_slice).collect();
    let began = Instant::now();
    let request = admin
        .request(
            Method::POST,
            &format!("/api/v1/channels/{CHANNEL}/emotes?code=slow"),
        )
        .header(header::CONTENT_TYPE, "image/png")
        .body(paced(pieces, Duration::from_millis(100)));
    let answer = admin.send(request).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert!(began.elapsed() > Duration::from_secs(11), "it was slow");
}
