//! What programs say in rooms over the API, and read of them.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Clip, Member, Person, Publisher, Server};

const SAY: &str = "/api/v1/rooms/stage/danmaku";

/// A bot of Ann's: an API token with these scopes.
async fn bot(server: &Server, owner: &Person, scopes: &[&str]) -> Person {
    let ask = json!({ "name": "bot", "scopes": scopes });
    let made = owner.ok(Method::POST, "/api/v1/account/tokens", &ask).await;
    Person::with_token(server, made["secret"].as_str().unwrap())
}

/// Says something under a key: the status, and what was answered.
async fn say(bot: &Person, key: &str, text: &str) -> (StatusCode, Value) {
    let request = bot
        .request(Method::POST, SAY)
        .header("idempotency-key", key)
        .json(&json!({ "text": text }));
    let answer = bot.send(request).await;
    let status = answer.status();
    (status, answer.json().await.unwrap())
}

#[tokio::test]
async fn a_bot_says_everything_once_whatever_breaks() {
    let server = Server::start().await;
    let ann = Person::new(&server, "ann").await;
    let bot_of_ann = bot(&server, &ann, &["chat"]).await;
    let mut viewer = Member::enter(&server, "room=stage").await;
    let words = json!({ "text": "a poll", "mode": "top", "colour": 255 });
    let said = bot_of_ann.ok(Method::POST, SAY, &words).await;
    assert_eq!(said["p"], 0);
    let heard = viewer.hear("danmaku").await;
    assert_eq!(
        (&heard["text"], &heard["mode"], &heard["by"]["handle"]),
        (&json!("a poll"), &json!("top"), &json!("ann"))
    );

    // Twice at once: one of them says it, and the other is told where, or to come again.
    let both = tokio::join!(
        say(&bot_of_ann, "k1", "once"),
        say(&bot_of_ann, "k1", "once")
    );
    for (status, answer) in [both.0, both.1] {
        let busy = status == StatusCode::SERVICE_UNAVAILABLE;
        assert!(busy || answer["p"] == 1, "{status} {answer}");
    }
    let (status, answer) = say(&bot_of_ann, "k1", "once").await;
    assert_eq!((status, &answer["p"]), (StatusCode::CREATED, &json!(1)));
    let (_, answer) = say(&bot_of_ann, "k2", "another").await;
    assert_eq!(answer["p"], 2);
    let (status, answer) = say(&bot_of_ann, "k2", "something else").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    assert_eq!(
        (&answer["error"]["field"], &answer["error"]["reason"]),
        (&json!("Idempotency-Key"), &json!("used"))
    );
    assert_eq!(viewer.texts(2).await, ["once", "another"]);

    let dir = Arc::clone(server.dir());
    drop(server);
    let server = Server::on(dir, &[]).await;
    let ann = Person::stranger(&server);
    ann.sign_in("ann", crate::support::person::PASSWORD).await;
    let bot_of_ann = bot(&server, &ann, &["chat"]).await;
    let (_, answer) = say(&bot_of_ann, "k2", "another").await;
    assert_eq!(answer["p"], 2, "it is remembered by the database");
    // A key is its author's.
    let bob = Person::new(&server, "bob").await;
    let bot_of_bob = bot(&server, &bob, &["chat"]).await;
    let (_, answer) = say(&bot_of_bob, "k2", "mine").await;
    assert_eq!(answer["p"], 3);
}

#[tokio::test]
async fn a_bot_is_told_what_is_wrong() {
    let server = Server::start().await;
    let ann = Person::new(&server, "ann").await;
    let reader = bot(&server, &ann, &["read"]).await;
    let refused = reader
        .refused(Method::POST, SAY, &json!({ "text": "x" }))
        .await;
    assert_eq!(refused, (403, "scope_missing".into()));
    let speaker = bot(&server, &ann, &["chat"]).await;
    for (words, expected) in [
        (json!({ "text": "\u{200b}" }), (422, "invalid")),
        (json!({ "text": "x".repeat(101) }), (422, "invalid")),
        (json!({ "text": "x", "reply": 77 }), (422, "invalid")),
        (
            json!({ "text": "x", "mode": "sideways" }),
            (400, "bad_request"),
        ),
        (
            json!({ "text": "x", "colour": 0x0100_0000 }),
            (400, "bad_request"),
        ),
        (json!({ "words": "x" }), (400, "bad_request")),
    ] {
        let (status, code) = speaker.refused(Method::POST, SAY, &words).await;
        assert_eq!((status, &code[..]), expected, "{words}");
    }
    let (status, answer) = say(&speaker, &"k".repeat(65), "x").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    // As fast as a person may, and no faster.
    for number in 0..5 {
        let (status, _) = say(&speaker, &number.to_string(), "x").await;
        assert_eq!(status, StatusCode::CREATED);
    }
    let (status, answer) = say(&speaker, "6", "x").await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{answer}");
}

#[tokio::test]
async fn what_was_said_is_read_again_by_its_picture() {
    let server = Server::start().await;
    let clip = Clip::plain().await;
    let mut publisher = Publisher::start(&server).await;
    publisher.introduce(&clip).await;
    publisher.play(&clip.frames, 100).await.unwrap();
    let live = server.live().await;
    let broadcast = live["broadcast_id"].as_str().unwrap().to_owned();
    let ann = Person::new(&server, "ann").await;
    let mut member = Member::enter(&server, "room=stage").await;
    member.auth(&ann, "stage").await;
    // Out of order, two of them about the same picture.
    for (text, mt) in [
        ("late", 1_000_000),
        ("early", 0),
        ("one", 500_000),
        ("two", 500_000),
    ] {
        let ack = member
            .ask(json!({ "t": "send", "text": text, "mt": mt }))
            .await;
        assert_eq!(ack["t"], "ack", "{ack}");
    }
    let read = async |query: &str| {
        let path = format!("{SAY}?broadcast={broadcast}&{query}");
        let replay = ann.read(&path).await;
        let items = replay["items"].as_array().unwrap();
        let texts = items
            .iter()
            .map(|item| item["text"].as_str().unwrap().to_owned());
        (texts.collect::<Vec<_>>(), replay["next"].clone())
    };
    assert_eq!(
        read("").await,
        (
            vec!["early".into(), "one".into(), "two".into(), "late".into()],
            Value::Null
        )
    );
    assert_eq!(read("from=500000&to=1000000").await.0, ["one", "two"]);
    // In pages, also between two of the same picture.
    let (mut texts, mut next) = read("limit=2").await;
    while let Some(after) = next.as_str() {
        let (more, further) = read(&format!("limit=1&after={after}")).await;
        texts.extend(more);
        next = further;
    }
    assert_eq!(texts, ["early", "one", "two", "late"]);
    // A deletion reaches it.
    let ack = member.ask(json!({ "t": "delete", "of": 2 })).await;
    assert_eq!(ack["t"], "ack", "{ack}");
    assert_eq!(read("").await.0, ["early", "two", "late"]);
    // Nobody reads them in another room.
    Person::streamer(&server, "mei").await;
    let other = ann
        .read(&format!("/api/v1/rooms/mei/danmaku?broadcast={broadcast}"))
        .await;
    assert_eq!(other["items"], json!([]));
    for bad in ["limit=0", "limit=1001", "after=1-2", "from=-1"] {
        let path = format!("{SAY}?broadcast={broadcast}&{bad}");
        let refused = ann.refused(Method::GET, &path, &Value::Null).await;
        assert_eq!(refused, (400, "bad_request".into()), "{bad}");
    }
}
