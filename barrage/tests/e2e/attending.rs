//! How long somebody may stay in a room, and speak there: tokens that end, and peers that say nothing.

use std::time::Duration;

use api::secrets::ServerKey;
use kit::clock;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::interval;
use wire::RoomClaims;

use crate::support::frames::Frames;
use crate::support::{Member, Person, Server, until};

const ROOM: &str = "room=stage";

const PING: u8 = 0x89;

#[tokio::test]
async fn a_token_that_ends_leaves_one_reading_and_the_next_lets_one_speak_on_without_a_break() {
    let server = Server::start().await;
    let key = ServerKey::load_or_create(&server.path("server.key")).unwrap();
    let key = key.room_key();
    let ann = Person::new(&server, "ann").await;
    let issue = async || {
        let token = "/api/v1/rooms/stage/token";
        let answer = ann.ok(Method::POST, token, &Value::Null).await;
        answer["token"].as_str().unwrap().to_owned()
    };
    let token = issue().await;
    let claims = key.verify(&token, clock::now().as_micros()).unwrap();
    let good_for = |seconds: i64| {
        let until = clock::now().as_micros() + seconds * 1_000_000;
        (
            key.sign(&RoomClaims {
                until,
                ..claims.clone()
            }),
            until / 1_000,
        )
    };
    let mut member = Member::enter(&server, ROOM).await;
    let auth = async |member: &mut Member, token: &str| {
        member.say(&json!({ "t": "auth", "token": token })).await;
    };

    // The next one before the first has ended: nothing happens when that one ends.
    let (first, first_ends) = good_for(2);
    let (second, second_ends) = good_for(5);
    auth(&mut member, &first).await;
    assert_eq!(member.hear("you").await["until_ms"], first_ends);
    auth(&mut member, &second).await;
    assert_eq!(member.hear("you").await["until_ms"], second_ends);
    until("the first has ended", async || {
        (clock::now().as_millis() > first_ends + 1_000).then_some(())
    })
    .await;
    assert_eq!(member.danmaku("still here").await, 0);

    // It ends: the connection stays, and may only read.
    let you = member.hear("you").await;
    assert_eq!(
        (&you["person"], &you["until_ms"]),
        (&Value::Null, &Value::Null)
    );
    assert!(clock::now().as_millis() >= second_ends);
    let answer = member.ask(json!({ "t": "send", "text": "too late" })).await;
    assert_eq!(answer["code"], "not_signed_in", "{answer}");
    let people = server.json("/api/v1/rooms/stage/people").await;
    assert_eq!(people["count"], 0, "{people}");
    auth(&mut member, &second).await;
    let refused = member.hear("error").await;
    assert_eq!(refused["code"], "bad_token");
    assert!(refused["message"].as_str().unwrap().contains("expired"));

    // And speaks on with another.
    auth(&mut member, &issue().await).await;
    assert_eq!(member.hear("you").await["person"]["handle"], "ann");
    assert_eq!(member.danmaku("again").await, 1);
}

#[tokio::test]
async fn who_gives_no_sign_of_life_is_asked_for_one_and_shown_out_and_who_answers_stays() {
    let server = Server::start().await;
    // What comes to a client is no sign of its life.
    let mut lively = Member::enter(&server, ROOM).await;
    let noise = tokio::spawn(async move {
        let mut ticks = interval(Duration::from_secs(5));
        loop {
            ticks.tick().await;
            lively.say(&json!({ "t": "like" })).await;
        }
    });
    let mut quiet = Member::enter(&server, ROOM).await;
    let answering = tokio::spawn(async move {
        while quiet.hear("count").await["viewers"] != 3 {}
        while quiet.hear("count").await["viewers"] != 2 {}
        // The silent one is gone; this one only ever answered pings.
        quiet
    });
    let mut silent = Frames::open(server.http, ROOM, "").await;
    let (mut pings, mut code) = (0, None);
    while let Some(frame) = silent.next().await {
        pings += u32::from(frame.first == PING);
        code = code.or(frame.code());
    }
    assert_eq!((pings, code), (1, Some(4104)));
    let mut quiet = answering.await.expect("who answers stays");
    quiet.hear("count").await;
    noise.abort();
}
