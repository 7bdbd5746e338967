//! What does not work, is told, and comes back by itself, while the picture goes on.

use reqwest::Method;
use serde_json::json;

use crate::support::person::PASSWORD;
use crate::support::{Member, Person, Server, Source, Viewer, postgres};

const ROOM: &str = "room=stage";

#[tokio::test]
async fn a_full_disk_keeps_words_back_and_nothing_else() {
    let server = Server::with(&[("accounts.attempts_per_minute_per_address", "10000")]).await;
    if postgres::url(server.dir().path()).is_some() {
        println!("skipped: this database is on no disk of the server's");
        return;
    }
    let _source = Source::new().publish_to(&server.publish_url());
    let mut picture = Viewer::tune_in(&server).await;
    let ann = Person::new(&server, "ann").await;
    let mut member = Member::enter(&server, ROOM).await;
    member.auth(&ann, "stage").await;
    let mut viewer = Member::enter(&server, ROOM).await;
    assert_eq!(member.danmaku("before").await, 0);

    server.fill_disk(true);
    for _ in 0..3 {
        let refused = member.ask(json!({ "t": "send", "text": "lost" })).await;
        assert_eq!(refused["code"], "unavailable", "{refused}");
    }
    let since = viewer.hear("degraded").await["chat_since_ms"].clone();
    assert!(since.is_i64(), "{since}");
    // Who comes is let in, reads, and is told.
    let mut late = Member::enter(&server, ROOM).await;
    assert_eq!(late.welcome["chat_down_since_ms"], since);
    assert_eq!(late.texts(1).await, ["before"]);
    // Whatever else writes fails, on every connection that there is.
    for number in 0..10 {
        let somebody = json!({ "handle": format!("new_{number}"), "password": PASSWORD });
        let stranger = Person::stranger(&server);
        let asked = stranger
            .request(Method::POST, "/api/v1/account")
            .json(&somebody);
        assert!(stranger.send(asked).await.status().is_server_error());
    }
    let before = picture.video().next();
    while picture.video().next() <= before {
        picture.step().await;
    }

    // Nobody says anything, and it is told that it works again; nobody was shown out.
    server.fill_disk(false);
    loop {
        if viewer.hear("degraded").await["chat_since_ms"].is_null() {
            break;
        }
    }
    for number in 0..10 {
        Person::new(&server, &format!("new_{number}")).await;
    }
    assert_eq!(member.danmaku("after").await, 1);
    assert_eq!(viewer.texts(1).await, ["after"]);
}

#[tokio::test]
async fn a_database_that_is_gone_is_told_also_while_nobody_speaks() {
    let server = Server::start().await;
    if postgres::url(server.dir().path()).is_none() {
        println!("skipped: this database is in the server itself");
        return;
    }
    let mut viewer = Member::enter(&server, ROOM).await;
    assert!(postgres::set_reachable(server.dir().path(), false));
    let since = viewer.hear("degraded").await["chat_since_ms"].clone();
    assert!(since.is_i64(), "{since}");
    assert!(postgres::set_reachable(server.dir().path(), true));
    while !viewer.hear("degraded").await["chat_since_ms"].is_null() {}
}
