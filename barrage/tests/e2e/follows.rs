//! Following a channel and passing it on: who may, who hears of it, and what is kept.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Member, Person, Server};

const FOLLOW: &str = "/api/v1/channels/stage/follow";
const ROOM: &str = "room=stage";

async fn standing(person: &Person) -> (u64, bool) {
    let now = person.read(FOLLOW).await;
    let follows = now["follows"].as_bool().unwrap();
    (now["followers"].as_u64().unwrap(), follows)
}

#[tokio::test]
async fn who_follows_is_counted_and_the_room_hears_of_it_once() {
    let server = Server::start().await;
    let ann = Person::new(&server, "ann").await;
    let mut viewer = Member::enter(&server, ROOM).await;
    assert_eq!(standing(&ann).await, (0, false));
    ann.ok(Method::PUT, FOLLOW, &Value::Null).await;
    let heard = viewer.hear("followed").await;
    assert_eq!(
        (&heard["count"], &heard["followers"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(heard["named"][0]["handle"], "ann");
    assert_eq!(standing(&ann).await, (1, true));
    assert_eq!(standing(&Person::stranger(&server)).await, (1, false));
    let list = ann.read("/api/v1/account/follows").await;
    assert_eq!(
        (&list[0]["handle"], &list[0]["live"]),
        (&json!("stage"), &json!(false))
    );

    // Twice is once, and following again is no news: the next that is told is somebody else's.
    ann.ok(Method::PUT, FOLLOW, &Value::Null).await;
    assert_eq!(ann.delete(FOLLOW).await, StatusCode::NO_CONTENT);
    assert_eq!(standing(&ann).await, (0, false));
    assert_eq!(ann.read("/api/v1/account/follows").await, json!([]));
    ann.ok(Method::PUT, FOLLOW, &Value::Null).await;
    let bob = Person::new(&server, "bob").await;
    bob.ok(Method::PUT, FOLLOW, &Value::Null).await;
    let heard = viewer.hear("followed").await;
    assert_eq!(
        (&heard["count"], &heard["followers"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(heard["named"][0]["handle"], "bob");
}

#[tokio::test]
async fn only_people_follow_and_only_what_is_there() {
    let server = Server::start().await;
    let stranger = Person::stranger(&server);
    let refused = stranger.refused(Method::PUT, FOLLOW, &Value::Null).await;
    assert_eq!(refused, (401, "not_signed_in".into()));
    let ann = Person::new(&server, "ann").await;
    let nobody = "/api/v1/channels/nobody/follow";
    let refused = ann.refused(Method::PUT, nobody, &Value::Null).await;
    assert_eq!(refused.0, 404);
}

#[tokio::test]
async fn the_room_hears_who_passes_it_on_but_not_again_and_again() {
    let server = Server::start().await;
    let ann = Person::new(&server, "ann").await;
    let [mut member, mut viewer] = [
        Member::enter(&server, ROOM).await,
        Member::enter(&server, ROOM).await,
    ];
    member.auth(&ann, "stage").await;
    for _ in 0..3 {
        member.say(&json!({ "t": "share" })).await;
    }
    viewer.say(&json!({ "t": "share" })).await;
    let (mut shared, mut named) = (0, Vec::new());
    while shared < 2 {
        let heard = viewer.hear("shared").await;
        shared += heard["count"].as_u64().unwrap();
        named.extend(heard["named"].as_array().unwrap().clone());
    }
    assert_eq!(shared, 2);
    assert_eq!(named.len(), 1);
    assert_eq!(named[0]["handle"], "ann");
}
