//! Emotes: uploaded, listed, said, deleted.

use std::process::Stdio;
use std::sync::Arc;

use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::server::run;
use crate::support::{Encoding, Member, Person, Server, within};

const LIST: &str = "/api/v1/channels/mei/emotes";

/// A picture as ffmpeg makes it.
pub(crate) async fn picture(args: &[&str]) -> Vec<u8> {
    // A picture that moves says in its head how many frames it has, which a pipe cannot go back to.
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("picture");
    let child = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-f", "lavfi"])
        .args(args)
        .arg(&file)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let made = within("ffmpeg makes a picture", child).await.unwrap();
    let told = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{told}");
    std::fs::read(file).unwrap()
}

async fn png(size: &str) -> Vec<u8> {
    let source = format!("testsrc=size={size}");
    picture(&["-i", &source, "-frames:v", "1", "-f", "apng", "-plays", "1"]).await
}

/// One still and some that move, by their content types.
async fn pictures() -> Vec<(&'static str, Vec<u8>)> {
    let still = "testsrc=size=300x200";
    let moving = "testsrc=size=200x200:rate=10:duration=1";
    let jpeg = ["-i", still, "-frames:v", "1", "-f", "mjpeg"];
    let webp = [
        "-i",
        still,
        "-frames:v",
        "1",
        "-c:v",
        "libwebp",
        "-f",
        "webp",
    ];
    let moving_webp = ["-i", moving, "-c:v", "libwebp_anim", "-f", "webp"];
    vec![
        ("image/jpeg", picture(&jpeg).await),
        ("image/webp", picture(&webp).await),
        ("image/webp", picture(&moving_webp).await),
        ("image/gif", picture(&["-i", moving, "-f", "gif"]).await),
        ("image/png", picture(&["-i", moving, "-f", "apng"]).await),
    ]
}

async fn upload(person: &Person, code: &str, kind: &str, body: Vec<u8>) -> (StatusCode, Value) {
    let request = person
        .request(Method::POST, &format!("{LIST}?code={code}"))
        .header(header::CONTENT_TYPE, kind)
        .body(body);
    let answer = person.send(request).await;
    let status = answer.status();
    (status, answer.json().await.unwrap())
}

async fn uploaded(person: &Person, code: &str, body: Vec<u8>) -> Value {
    let (status, emote) = upload(person, code, "image/png", body).await;
    assert_eq!(status, StatusCode::CREATED, "{emote}");
    emote
}

/// The status, the code and the reason with which an upload is refused.
async fn refused(person: &Person, code: &str, body: Vec<u8>) -> (u16, String, String) {
    let (status, answer) = upload(person, code, "image/png", body).await;
    let text = |name: &str| {
        answer["error"][name]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    (status.as_u16(), text("code"), text("reason"))
}

fn because(status: u16, code: &str, reason: &str) -> (u16, String, String) {
    (status, code.into(), reason.into())
}

/// What stands in a PNG's head: pixels across and down, and whether it moves.
fn head_of(png: &[u8]) -> (u32, u32, bool) {
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    let moves = png.windows(4).any(|name| name == b"acTL");
    (number(16), number(20), moves)
}

#[tokio::test]
async fn pictures_of_every_kind_are_taken_and_served_as_small_pngs() {
    let server = Server::start().await;
    let (mei, _) = Person::streamer(&server, "mei").await;
    let mut moving = 0;
    for (number, (kind, body)) in pictures().await.into_iter().enumerate() {
        let (status, emote) = upload(&mei, &format!("no_{number}"), kind, body).await;
        assert_eq!(status, StatusCode::CREATED, "{kind}: {emote}");
        let answer = server.get(emote["url"].as_str().unwrap()).await;
        assert_eq!(answer.status(), 200);
        let said = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(said("content-type"), "image/png");
        assert_eq!(said("x-content-type-options"), "nosniff");
        assert!(said("cache-control").contains("immutable"));
        assert!(said("content-security-policy").contains("sandbox"));
        let (width, height, moves) = head_of(&answer.bytes().await.unwrap());
        assert_eq!(
            (&emote["width"], &emote["height"]),
            (&json!(width), &json!(height))
        );
        assert_eq!(width, 128, "{kind}");
        moving += usize::from(moves);
    }
    assert_eq!(moving, 3);
    let listed = server.get(LIST).await;
    let etag = listed.headers()["etag"].clone();
    let listed: Value = listed.json().await.unwrap();
    let codes: Vec<_> = listed["emotes"].as_array().unwrap().iter().collect();
    assert_eq!(codes.len(), 5);
    assert_eq!(codes[0]["code"], "no_0");
    let again = server.client.get(server.url(LIST));
    let again = again.header("if-none-match", etag).send().await.unwrap();
    assert_eq!(again.status(), 304);
    assert_eq!(server.get("/emotes/x").await.status(), 404);
}

#[tokio::test]
async fn what_cannot_be_an_emote_is_refused_with_a_reason() {
    let server = Server::with(&[("emotes.per_channel", "2")]).await;
    let (mei, _) = Person::streamer(&server, "mei").await;
    let small = png("32x32").await;
    for code in ["", "a", "Hi", "h-i", "x234567890123456789012345"] {
        let why = refused(&mei, code, small.clone()).await;
        assert_eq!(why, because(422, "invalid", "not_a_code"), "{code:?}");
    }
    let torn = small[..small.len() / 2].to_vec();
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>".to_vec();
    for no_picture in [Vec::new(), torn, svg, vec![0; 1_000]] {
        let why = refused(&mei, "hi", no_picture).await;
        assert_eq!(why, because(422, "invalid", "not_a_picture"));
    }
    let large = png("2049x16").await;
    let why = refused(&mei, "hi", large).await;
    assert_eq!(why, because(422, "invalid", "too_many_pixels"));
    // It is far smaller than the limit, and says that it is huge.
    let bomb = png("16x16").await;
    let bomb = with_size(bomb, 30_000);
    let why = refused(&mei, "hi", bomb).await;
    assert_eq!(why, because(422, "invalid", "too_many_pixels"));
    let why = refused(&mei, "hi", vec![0; 256 * 1024 + 1]).await;
    assert_eq!(why, because(413, "too_large", ""));

    uploaded(&mei, "hi", small.clone()).await;
    let why = refused(&mei, "hi", small.clone()).await;
    assert_eq!(why, because(409, "emote_taken", ""));
    uploaded(&mei, "hi_2", small.clone()).await;
    let why = refused(&mei, "hi_3", small.clone()).await;
    assert_eq!(why, because(409, "limit_reached", ""));
    let (lin, _) = Person::streamer(&server, "lin").await;
    let why = refused(&lin, "hi_3", small.clone()).await;
    assert_eq!(why, because(403, "not_allowed", ""));
    assert_eq!(lin.delete(&format!("{LIST}/hi")).await, 403);
    let memory = server.resident_kib();
    assert!(memory < 400 * 1024, "{memory} KiB");
}

/// The same PNG with other numbers in its head, and the sum that belongs to them (PNG §5.3).
fn with_size(mut png: Vec<u8>, side: u32) -> Vec<u8> {
    png[16..20].copy_from_slice(&side.to_be_bytes());
    png[20..24].copy_from_slice(&side.to_be_bytes());
    let mut sum = flate2::Crc::new();
    sum.update(&png[12..29]);
    png[29..33].copy_from_slice(&sum.sum().to_be_bytes());
    png
}

#[tokio::test]
async fn what_is_said_names_the_pictures_that_its_codes_had_then() {
    let server = Server::with(&[("chat.text_max", "4")]).await;
    let (mei, _) = Person::streamer(&server, "mei").await;
    let mut viewers = [
        Member::with(&server, "room=mei", Encoding::Json).await,
        Member::with(&server, "room=mei", Encoding::Msgpack).await,
    ];
    let mut host = Member::enter(&server, "room=mei").await;
    host.auth(&mei, "mei").await;
    let answer = host.ask(json!({ "t": "send", "text": ":hi:!" })).await;
    assert_eq!(answer["code"], "unfit", "it is five characters yet");
    let emote = uploaded(&mei, "hi", png("64x32").await).await;
    for member in viewers.iter_mut().chain([&mut host]) {
        assert_eq!(member.hear("emotes").await["l"], "control");
    }
    host.danmaku(":hi::hi:!").await;
    host.danmaku("hi").await;
    for viewer in &mut viewers {
        let heard = viewer.hear("danmaku").await;
        assert_eq!(heard["text"], ":hi::hi:!");
        assert_eq!(heard["emotes"], json!({ "hi": emote["url"] }));
        assert_eq!(viewer.hear("danmaku").await["emotes"], Value::Null);
    }
    // Another picture under the same code is for what is said from then on.
    assert_eq!(mei.delete(&format!("{LIST}/hi")).await, 204);
    assert_eq!(mei.delete(&format!("{LIST}/hi")).await, 404);
    host.hear("emotes").await;
    let other = uploaded(&mei, "hi", png("16x16").await).await;
    assert_ne!(other["url"], emote["url"]);
    host.hear("emotes").await;
    host.danmaku("now").await;
    host.danmaku(":hi:").await;
    let mut late = Member::enter(&server, "room=mei").await;
    let mut seen = Vec::new();
    while seen.len() < 4 {
        seen.push(late.hear("danmaku").await["emotes"]["hi"].clone());
    }
    assert_eq!(
        seen,
        [
            emote["url"].clone(),
            Value::Null,
            Value::Null,
            other["url"].clone()
        ]
    );
    let url = emote["url"].as_str().unwrap();
    assert_eq!(
        server.get(url).await.status(),
        200,
        "what was said shows it yet"
    );
    let erased = mei.delete(&format!("{LIST}/hi?erase=true")).await;
    assert_eq!(erased, 204);
    for gone in [url, other["url"].as_str().unwrap()] {
        assert_eq!(server.get(gone).await.status(), 404);
    }
}

#[tokio::test]
async fn emotes_survive_restarts_and_are_in_backups() {
    let mut server = Server::start().await;
    let (mei, _) = Person::streamer(&server, "mei").await;
    let emote = uploaded(&mei, "hi", png("64x64").await).await;
    let url = emote["url"].as_str().unwrap();
    let bytes = server.get(url).await.bytes().await.unwrap();
    let (file, dir) = (server.path("all.backup"), server.dir().path().to_owned());
    let (file, dir) = (file.to_str().unwrap(), dir.to_str().unwrap());
    let done = run(&["backup", file, "--data-dir", dir], "").await;
    assert!(done.status.success());
    let fresh = Arc::new(TempDir::new().unwrap());
    let there = fresh.path().to_str().unwrap().to_owned();
    let done = run(&["restore", file, "--data-dir", &there], "").await;
    assert!(done.status.success());
    server.terminate().await;
    for dir in [Arc::clone(server.dir()), fresh] {
        let again = Server::on(dir, &[]).await;
        assert_eq!(again.json(LIST).await["emotes"], json!([emote]));
        assert_eq!(again.get(url).await.bytes().await.unwrap(), bytes);
        // The room knows them when it opens.
        let back = Person::stranger(&again);
        back.sign_in("mei", crate::support::person::PASSWORD).await;
        let mut host = Member::enter(&again, "room=mei").await;
        host.auth(&back, "mei").await;
        host.danmaku(":hi:").await;
        assert_eq!(host.hear("danmaku").await["emotes"]["hi"], emote["url"]);
    }
}
