//! Rooms in which more is said than people can read, and who is there.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Encoding, Member, Person, Server};

const ROOM: &str = "room=stage";
const SAID: u64 = 300;

#[tokio::test]
async fn of_too_much_everybody_is_given_the_same_part_and_told_so() {
    let server = Server::with(&[
        ("chat.user_burst", "10000"),
        ("chat.connection_burst", "10000"),
        ("chat.shown_per_second", "10"),
    ])
    .await;
    let people = [
        Person::new(&server, "ann").await,
        Person::new(&server, "bob").await,
    ];
    let mut viewers = [
        Member::with(&server, ROOM, Encoding::Json).await,
        Member::with(&server, ROOM, Encoding::Msgpack).await,
    ];
    let [mut ann, mut bob] = [
        Member::enter(&server, ROOM).await,
        Member::enter(&server, ROOM).await,
    ];
    ann.auth(&people[0], "stage").await;
    bob.auth(&people[1], "stage").await;
    for number in 0..SAID {
        let text = if number % 50 == 7 {
            "@bob hello"
        } else {
            "hello"
        };
        let send = json!({ "t": "send", "id": number, "text": text });
        ann.say(&send).await;
    }
    let mut shown = Vec::new();
    for viewer in &mut viewers {
        shown.push(shown_to(viewer).await);
    }
    assert_eq!(shown[0], shown[1], "everybody is given the same");
    let count = shown[0].len() as u64;
    assert!(count < SAID / 2, "{count} of {SAID}");
    assert!(count >= 10, "{count}");

    // Who said it, and whom it mentions, is given all of theirs.
    let own = given_alone(&mut ann, |_| true).await;
    assert_eq!(own, (0..SAID).collect());
    let mentions = given_alone(&mut bob, |item| item["text"] == "@bob hello").await;
    let expected = (0..SAID).filter(|number| number % 50 == 7).collect();
    assert_eq!(mentions, expected);
}

/// The places of the danmaku that a viewer is given, until it knows of all; nothing undeclared.
async fn shown_to(viewer: &mut Member) -> Vec<u64> {
    let (mut next, mut shown, mut told) = (0, Vec::new(), (0, 0));
    while next < SAID || told.0 + told.1 < SAID {
        let heard = viewer.next().await.expect("the connection stays");
        if heard["t"] == "count" {
            told.0 += heard["kept"].as_u64().unwrap_or(0);
            told.1 += heard["dropped"].as_u64().unwrap_or(0);
        }
        if heard["t"] == "danmaku" {
            assert_eq!(heard["p"], next);
            shown.push(next);
            next += 1;
        }
        if heard["t"] == "gap" {
            assert_eq!(heard["from"], next);
            next = heard["to"].as_u64().unwrap();
        }
    }
    assert_eq!(
        told.0,
        shown.len() as u64,
        "the count tells how many were given"
    );
    shown
}

/// The places of danmaku that a member is given, to all or to it alone, until it knows of all.
async fn given_alone(member: &mut Member, is_wanted: impl Fn(&Value) -> bool) -> BTreeSet<u64> {
    let (mut next, mut given) = (0, BTreeSet::new());
    while next < SAID {
        let heard = member.next().await.expect("the connection stays");
        let item = if heard["t"] == "yours" {
            &heard["item"]
        } else {
            &heard
        };
        if item["t"] == "danmaku" && is_wanted(item) {
            let is_new = given.insert(item["p"].as_u64().unwrap());
            assert!(is_new, "nothing comes twice: {item}");
        }
        match heard["t"].as_str() {
            Some("danmaku") => next = heard["p"].as_u64().unwrap() + 1,
            Some("gap") => next = heard["to"].as_u64().unwrap(),
            _ => {}
        }
    }
    given
}

#[tokio::test]
async fn a_room_hears_who_comes_and_tells_who_is_there() {
    let server = Server::start().await;
    let mut viewer = Member::enter(&server, ROOM).await;
    let ann = Person::new(&server, "ann").await;
    let mut member = Member::enter(&server, ROOM).await;
    member.auth(&ann, "stage").await;
    let joined = viewer.hear("joined").await;
    assert_eq!(
        (&joined["count"], &joined["named"][0]["handle"]),
        (&json!(1), &json!("ann"))
    );
    let people = ann.read("/api/v1/rooms/stage/people").await;
    assert_eq!(people["count"], 1);
    assert_eq!(people["people"][0]["handle"], "ann");
    // Who only reads is counted, and not named; who returns at once has not come anew.
    drop(member);
    let mut again = Member::enter(&server, ROOM).await;
    again.auth(&ann, "stage").await;
    let bob = Person::new(&server, "bob").await;
    let mut another = Member::enter(&server, ROOM).await;
    another.auth(&bob, "stage").await;
    let joined = viewer.hear("joined").await;
    assert_eq!(joined["named"], json!([{ "handle": "bob" }]));
}
