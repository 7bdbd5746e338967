//! What is said in rooms, and heard.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::person::PASSWORD;
use crate::support::{Clip, Encoding, Member, Person, Publisher, Server, until};

const ROOM: &str = "room=stage";

/// Many may be said at once.
const GENEROUS: [(&str, &str); 4] = [
    ("chat.user_burst", "10000"),
    ("chat.user_per_minute", "60000"),
    ("chat.connection_burst", "10000"),
    ("chat.connection_per_second", "1000"),
];

async fn someone(server: &Server, name: &str) -> (Person, Member) {
    let person = Person::new(server, name).await;
    let mut member = Member::enter(server, ROOM).await;
    member.auth(&person, "stage").await;
    (person, member)
}

#[tokio::test]
async fn what_one_says_everybody_hears_in_either_encoding() {
    let server = Server::start().await;
    let mut viewers = [
        Member::with(&server, ROOM, Encoding::Json).await,
        Member::with(&server, ROOM, Encoding::Msgpack).await,
        Member::over_tls(&server, ROOM).await,
    ];
    let (_, mut ann) = someone(&server, "ann").await;
    let sent = json!({
        "t": "send", "text": " 弹幕\u{202E} @bob_1 ", "mode": "top", "colour": 0xFF8800, "size": "large",
    });
    let ack = ann.ask(sent).await;
    assert_eq!((&ack["t"], &ack["p"]), (&json!("ack"), &json!(0)));
    let mut seen = vec![ann.hear("danmaku").await];
    for viewer in &mut viewers {
        seen.push(viewer.hear("danmaku").await);
    }
    let first = &seen[0];
    assert!(seen.iter().all(|one| one == first), "{seen:?}");
    assert_eq!(first["text"], "弹幕 @bob_1");
    assert_eq!(
        (&first["mode"], &first["colour"], &first["size"]),
        (&json!("top"), &json!(0xFF8800), &json!("large"))
    );
    assert_eq!(first["by"]["handle"], "ann");
    assert_eq!(first["mentions"], json!(["bob_1"]));
    assert_eq!((&first["l"], &first["p"]), (&json!("chat"), &json!(0)));
    let reply = ann
        .ask(json!({ "t": "send", "text": "two", "reply": 0 }))
        .await;
    assert_eq!(reply["t"], "ack");
    let heard = viewers[0].hear("danmaku").await;
    assert_eq!(
        (&heard["reply"]["p"], &heard["reply"]["handle"]),
        (&json!(0), &json!("ann"))
    );
}

#[tokio::test]
async fn who_returns_hears_exactly_what_was_missed() {
    let server = Server::with(&GENEROUS).await;
    let (_, mut ann) = someone(&server, "ann").await;
    let mut bob = Member::enter(&server, ROOM).await;
    for number in 0..3 {
        ann.danmaku(&format!("before {number}")).await;
    }
    assert_eq!(bob.texts(3).await, ["before 0", "before 1", "before 2"]);
    let since = bob.since(3);
    drop(bob);
    // More than what one who has never been here is shown.
    for number in 0..120 {
        ann.danmaku(&format!("missed {number}")).await;
    }
    let mut bob = Member::enter(&server, &format!("{ROOM}&since={since}")).await;
    let last = ann.danmaku("after").await;
    let expected: Vec<String> = (0..120).map(|number| format!("missed {number}")).collect();
    assert_eq!(bob.texts(120).await, expected);
    let after = bob.hear("danmaku").await;
    assert_eq!(
        (&after["text"], &after["p"]),
        (&json!("after"), &json!(last))
    );
    let mut new = Member::enter(&server, ROOM).await;
    assert_eq!(new.texts(50).await[49], "after");
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9_in_order_and_once() {
    let server = Server::with(&GENEROUS).await;
    let (_, mut speaker) = someone(&server, "ann").await;
    let mut bob = Member::enter(&server, ROOM).await;
    for number in 0..40 {
        speaker.danmaku(&number.to_string()).await;
    }
    let mut heard = bob.texts(40).await;
    let since = bob.since(40);
    // Said at once; the server is killed while they are under way.
    let mut acknowledged = 40;
    for number in 40..400 {
        let send = json!({ "t": "send", "id": 1_000 + number, "text": number.to_string() });
        speaker.say(&send).await;
    }
    let dir = Arc::clone(server.dir());
    while acknowledged < 60 {
        acknowledged = speaker.hear("ack").await["p"].as_u64().unwrap() + 1;
    }
    drop(server);
    while let Some(answer) = speaker.next().await {
        if answer["t"] == "ack" {
            acknowledged = answer["p"].as_u64().unwrap() + 1;
        }
    }
    let server = Server::on(dir, &GENEROUS).await;
    let mut bob = Member::enter(&server, &format!("{ROOM}&since={since}")).await;
    let (epoch, next) = (
        &bob.welcome["lanes"]["chat"]["e"],
        &bob.welcome["lanes"]["chat"]["p"],
    );
    assert!(
        since.contains(&format!("chat:{epoch}:")),
        "the tail is proven"
    );
    let next = next.as_u64().unwrap();
    assert!(
        next >= acknowledged,
        "{next} kept of {acknowledged} acknowledged"
    );
    heard.extend(bob.texts(usize::try_from(next).unwrap() - 40).await);
    let expected: Vec<String> = (0..next).map(|number| number.to_string()).collect();
    assert_eq!(heard, expected);
    let mut speaker = Member::enter(&server, ROOM).await;
    let ann = Person::stranger(&server);
    ann.sign_in("ann", PASSWORD).await;
    speaker.auth(&ann, "stage").await;
    assert_eq!(speaker.danmaku("again").await, next);
}

#[tokio::test]
async fn what_is_deleted_is_seen_no_more() {
    let server = Server::start().await;
    let (_, mut ann) = someone(&server, "ann").await;
    let (_, mut bob) = someone(&server, "bob").await;
    let (first, _) = (ann.danmaku("first").await, ann.danmaku("second").await);
    let answer = bob.ask(json!({ "t": "delete", "of": first })).await;
    assert_eq!(answer["code"], "not_allowed");
    let answer = ann.ask(json!({ "t": "delete", "of": first })).await;
    assert_eq!(answer["t"], "ack");
    assert_eq!(bob.hear("deleted").await["of"], first);
    let mut new = Member::enter(&server, ROOM).await;
    assert_eq!(new.texts(1).await, ["second"]);
    let answer = ann.ask(json!({ "t": "delete", "of": first })).await;
    assert_eq!(answer["code"], "not_there");
    // Whose room it is may delete what others say.
    let mut host = Member::enter(&server, ROOM).await;
    let you = host.auth(&Person::admin(&server).await, "stage").await;
    assert_eq!(you["person"]["badges"], json!(["host"]));
    let answer = host.ask(json!({ "t": "delete", "of": 1 })).await;
    assert_eq!(answer["t"], "ack");
}

#[tokio::test]
async fn what_was_deleted_is_told_to_those_who_keep_order_and_to_nobody_else() {
    let mut server = Server::start().await;
    let admin = Person::admin(&server).await;
    let mut host = Member::enter(&server, ROOM).await;
    let you = host.auth(&admin, "stage").await;
    assert_eq!(you["mods"]["p"], 0, "{you}");
    let (_, mut ann) = someone(&server, "ann").await;
    for (of, text) in ["one", "two"].into_iter().enumerate() {
        ann.danmaku(text).await;
        let answer = ann.ask(json!({ "t": "delete", "of": of })).await;
        assert_eq!(answer["t"], "ack");
        let removed = host.hear("removed").await;
        assert_eq!((&removed["l"], &removed["p"]), (&json!("mods"), &json!(of)));
        assert_eq!(
            (&removed["of"], &removed["text"]),
            (&json!(of), &json!(text))
        );
        let name = json!({ "handle": "ann" });
        assert_eq!((&removed["by"], &removed["whose"]), (&name, &name));
    }
    // It survives the server, as what it tells of.
    let since = |you: &Value, p: u64| json!({ "e": you["mods"]["e"], "p": p });
    server.kill();
    let server = Server::on(Arc::clone(server.dir()), &[]).await;
    let admin = admin.at(&server);
    let token = "/api/v1/rooms/stage/token";
    let token = admin.ok(Method::POST, token, &Value::Null).await["token"].clone();
    for (mods, expected) in [
        (since(&you, 1), ["two"].as_slice()),
        (since(&you, 2), &[]),
        (Value::Null, &["one", "two"]),
    ] {
        let mut host = Member::enter(&server, &format!("{ROOM}&since={}", host.since(0))).await;
        host.say(&json!({ "t": "auth", "token": token, "mods": mods }))
            .await;
        let now = host.hear("you").await;
        assert_eq!(now["mods"], since(&you, 2));
        // Whatever was there comes with the answer; this comes after it.
        host.say(&json!({ "t": "delete", "id": 1, "of": 99 })).await;
        let mut texts = Vec::new();
        loop {
            let heard = host.next().await.expect("it stays");
            match heard["t"].as_str().unwrap() {
                "removed" => texts.push(heard["text"].as_str().unwrap().to_owned()),
                "error" => break,
                _ => {}
            }
        }
        assert_eq!(texts, expected);
    }
    // Nobody else was told, nor is by asking.
    let mut bob = Member::enter(&server, ROOM).await;
    assert!(bob.welcome["lanes"]["mods"].is_null());
    let you = bob.auth(&Person::new(&server, "bob").await, "stage").await;
    assert!(you["mods"].is_null(), "{you}");
    bob.danmaku("last").await;
    while let Some(heard) = bob.next().await {
        assert!(heard["l"] != "mods" && heard["t"] != "removed", "{heard}");
        if heard["text"] == "last" {
            break;
        }
    }
    let query = format!("{ROOM}&since=mods:{}:0", since(&you, 0)["e"]);
    assert_eq!(
        Member::try_enter(&server, &query, Encoding::Json, &[])
            .await
            .err(),
        Some(400)
    );
}

#[tokio::test]
async fn who_may_not_come_in_is_told_why() {
    let server = Server::with(&[("chat.connections_per_address", "1")]).await;
    let refused = async |query: &str, headers: &[(&'static str, &str)]| {
        let entered = Member::try_enter(&server, query, Encoding::Json, headers).await;
        entered.err().expect("nobody comes in like this")
    };
    assert_eq!(refused("room=nobody", &[]).await, 404);
    assert_eq!(refused("room=N0+body", &[]).await, 404);
    assert_eq!(refused("", &[]).await, 400);
    assert_eq!(refused("room=stage&since=chat", &[]).await, 400);
    assert_eq!(
        refused(ROOM, &[("origin", "http://evil.example")]).await,
        403
    );
    assert_eq!(
        refused(ROOM, &[("sec-websocket-protocol", "chat")]).await,
        400
    );
    let ours = format!("http://{}", server.http);
    let entered = Member::try_enter(&server, ROOM, Encoding::Json, &[("origin", &ours)]).await;
    assert!(entered.is_ok());
    assert_eq!(refused(ROOM, &[]).await, 429);
    drop(entered);
    until("there is room again", async || {
        Member::try_enter(&server, ROOM, Encoding::Json, &[])
            .await
            .ok()
    })
    .await;
    assert_eq!(server.get("/ws?room=stage").await.status(), 400);
}

#[tokio::test]
async fn what_cannot_be_said_is_refused_with_a_reason() {
    let server = Server::with(&[("chat.text_max", "10"), ("chat.user_burst", "2")]).await;
    let mut stranger = Member::enter(&server, ROOM).await;
    let answer = stranger.ask(json!({ "t": "send", "text": "hi" })).await;
    assert_eq!(answer["code"], "not_signed_in");
    stranger
        .say(&json!({ "t": "auth", "token": "00.00" }))
        .await;
    assert_eq!(stranger.hear("error").await["code"], "bad_token");
    let (person, mut ann) = someone(&server, "ann").await;
    for text in [
        "",
        " \u{200B}",
        "12345678901",
        &format!("a{}", "\u{301}".repeat(40)),
    ] {
        let answer = ann.ask(json!({ "t": "send", "text": text })).await;
        assert_eq!(answer["code"], "unfit", "{text:?}");
    }
    for bad in [
        json!({ "t": "shout" }),
        json!([]),
        json!({ "t": "send", "id": 1, "text": 5 }),
    ] {
        ann.say(&bad).await;
        assert_eq!(ann.hear("error").await["code"], "bad_message", "{bad}");
    }
    // What cannot be read is answered by its number where it has one.
    for (name, value) in [
        ("mode", json!("sideways")),
        ("colour", json!(0x1_000_000)),
        ("size", json!(9)),
        ("mt", json!("now")),
    ] {
        let mut bad = json!({ "t": "send", "text": "hi" });
        bad[name] = value;
        assert_eq!(ann.ask(bad).await["code"], "bad_message", "{name}");
    }
    ann.send(Message::text("{}")).await;
    assert_eq!(ann.hear("error").await["code"], "bad_message");
    ann.danmaku("one").await;
    ann.danmaku("two").await;
    let answer = ann.ask(json!({ "t": "send", "text": "three" })).await;
    assert_eq!(answer["code"], "too_fast");
    assert!(
        (1..=2_001).contains(&answer["retry_ms"].as_u64().unwrap()),
        "{answer}"
    );
    // A token of another room.
    Person::streamer(&server, "mei").await;
    let token = person
        .ok(Method::POST, "/api/v1/rooms/mei/token", &Value::Null)
        .await;
    ann.say(&json!({ "t": "auth", "token": token["token"] }))
        .await;
    assert_eq!(ann.hear("error").await["code"], "bad_token");
    // A position that nobody has reached is where the lane is.
    let since = ann.since(9_999_999);
    let mut bob = Member::enter(&server, &format!("{ROOM}&since={since}")).await;
    assert_eq!(bob.welcome["lanes"]["chat"]["p"], 2);
    let mut speaker = Member::enter(&server, ROOM).await;
    speaker
        .auth(&Person::new(&server, "cat").await, "stage")
        .await;
    speaker.danmaku("three").await;
    assert_eq!(bob.texts(1).await, ["three"]);
}

#[tokio::test]
async fn who_breaks_the_rules_of_the_wire_is_shown_out_and_nobody_else() {
    let server = Server::start().await;
    let (_, mut ann) = someone(&server, "ann").await;
    let mut large = Member::enter(&server, ROOM).await;
    large.send(Message::binary(vec![0; 20_000])).await;
    while large.next().await.is_some() {}
    assert_eq!(large.ended, Some(1009));
    let mut flooding = Member::enter(&server, ROOM).await;
    for _ in 0..500 {
        flooding.send(Message::Ping(vec![0; 100].into())).await;
    }
    while flooding.next().await.is_some() {}
    assert_eq!(flooding.ended, Some(4300));
    ann.danmaku("still here").await;
    assert_eq!(ann.texts(1).await, ["still here"]);
}

#[tokio::test]
async fn a_room_hears_of_its_broadcast_and_danmaku_of_their_picture() {
    let mut settings = GENEROUS.to_vec();
    settings.push(("chat.delay_max_ms", "1000"));
    let server = Server::with(&settings).await;
    let (_, mut ann) = someone(&server, "ann").await;
    assert_eq!(ann.welcome["broadcast"], Value::Null);
    let clip = Clip::plain().await;
    let mut publisher = Publisher::start(&server).await;
    publisher.introduce(&clip).await;
    let began = ann.hear("broadcast").await;
    assert_eq!(
        (&began["state"], &began["l"]),
        (&json!("live"), &json!("control"))
    );
    let live = server.live().await;
    assert_eq!(began["b"], live["broadcast_id"]);
    publisher.play(&clip.frames, 100).await.unwrap();
    // Everything that was published has arrived once the edge stands still.
    let mut edge = Value::Null;
    loop {
        ann.danmaku("x").await;
        let now = ann.hear("danmaku").await["mt"].clone();
        if now == edge {
            break;
        }
        edge = now;
    }
    let mut pictures = Vec::new();
    for mt in [Value::Null, json!(-5), json!(i64::MAX)] {
        ann.ask(json!({ "t": "send", "text": "x", "mt": mt })).await;
        let heard = ann.hear("danmaku").await;
        assert_eq!(heard["b"], live["broadcast_id"]);
        pictures.push(heard["mt"].as_i64().unwrap());
    }
    let [edge, earliest, latest] = pictures[..] else {
        panic!("{pictures:?}")
    };
    assert!(edge > 1_000_000, "{edge}");
    assert_eq!(latest, edge);
    assert_eq!(earliest, edge - 1_000_000);
    publisher.finish().await;
    assert_eq!(ann.hear("broadcast").await["state"], "ended");
    ann.danmaku("afterwards").await;
    assert_eq!(ann.hear("danmaku").await["mt"], Value::Null);
}

#[tokio::test]
async fn viewers_and_likes_are_counted_and_the_end_is_told() {
    let mut server = Server::start().await;
    let mut ann = Member::enter(&server, ROOM).await;
    let others = [
        Member::enter(&server, ROOM).await,
        Member::enter(&server, ROOM).await,
    ];
    while ann.hear("count").await["viewers"] != 3 {}
    ann.say(&json!({ "t": "like" })).await;
    while ann.hear("count").await["likes"] != 1 {}
    drop(others);
    while ann.hear("count").await["viewers"] != 1 {}
    server.terminate().await;
    while ann.next().await.is_some() {}
    assert_eq!(ann.ended, Some(4100));
}
