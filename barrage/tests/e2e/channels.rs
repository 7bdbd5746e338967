//! Channels and what their owners do with them.

use ingest::rtmp::client::Event;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Clip, Person, Publisher, Server, until};

async fn live(server: &Server, handle: &str) -> Option<Value> {
    let page = server.json(&format!("/api/v1/channels/{handle}")).await;
    Some(page["live"].clone()).filter(Value::is_object)
}

#[tokio::test]
async fn a_viewer_becomes_a_streamer_and_goes_live_under_a_title() {
    let server = Server::start().await;
    let (mei, key) = Person::streamer(&server, "mei").await;
    let me = mei.read("/api/v1/account").await;
    assert_eq!(
        (&me["role"], &me["channels"]),
        (&json!("streamer"), &json!(["mei"]))
    );
    assert_eq!(
        mei.refused(
            Method::POST,
            "/api/v1/channels",
            &json!({ "handle": "second" })
        )
        .await,
        (409, "limit_reached".into())
    );
    let change = json!({
        "title": " 弹幕\u{202E} 测试 ", "category": "Music", "tags": ["#live", "live", "piano"],
        "language": "zh-CN",
    });
    let changed = mei.ok(Method::PATCH, "/api/v1/channels/mei", &change).await;
    assert_eq!(changed["title"], "弹幕 测试");
    assert_eq!(changed["tags"], json!(["live", "piano"]));
    let long = json!({ "title": "x".repeat(141) });
    assert_eq!(
        mei.refused(Method::PATCH, "/api/v1/channels/mei", &long)
            .await
            .0,
        422
    );

    let secret = key["secret"].as_str().unwrap();
    let mut publisher = Publisher::with_key(&server, secret).await.unwrap();
    publisher.introduce(&Clip::plain().await).await;
    let stream = until("mei is live", async || live(&server, "mei").await).await;
    assert_eq!(stream["title"], "弹幕 测试");
    mei.ok(
        Method::PATCH,
        "/api/v1/channels/mei",
        &json!({ "title": "now" }),
    )
    .await;
    assert_eq!(live(&server, "mei").await.unwrap()["title"], "now");
    let past = until("the history knows it", async || {
        let past = mei.read("/api/v1/channels/mei/broadcasts").await;
        past.get(0).cloned()
    })
    .await;
    assert_eq!(
        (&past["title"], &past["ended_at"]),
        (&json!("now"), &Value::Null)
    );
    let keys = mei.read("/api/v1/channels/mei/keys").await;
    assert!(keys[0]["last_used_at"].is_string(), "{keys}");
    assert!(!keys.to_string().contains(secret), "a list shows no keys");
}

#[tokio::test]
async fn a_revoked_key_shows_its_publisher_out_with_the_reason() {
    let server = Server::start().await;
    let (mei, key) = Person::streamer(&server, "mei").await;
    let (id, secret) = (
        key["key"]["id"].as_str().unwrap(),
        key["secret"].as_str().unwrap(),
    );
    let path = format!("/api/v1/channels/mei/keys/{id}");
    assert_eq!(mei.read(&path).await["secret"], secret);
    let mut publisher = Publisher::with_key(&server, secret).await.unwrap();
    publisher.introduce(&Clip::plain().await).await;
    until("mei is live", async || live(&server, "mei").await).await;

    let rotated = mei
        .ok(Method::POST, &format!("{path}/rotate"), &Value::Null)
        .await;
    let told = publisher.farewell().await;
    let said = told
        .iter()
        .any(|event| format!("{event:?}").contains("revoked"));
    assert!(said && told.contains(&Event::Unpublished), "{told:?}");
    let refused = Publisher::with_key(&server, secret)
        .await
        .map(|_| ())
        .unwrap_err();
    assert!(refused.0.contains("NetStream.Publish"), "{refused:?}");
    // The broadcast waits for whoever has the key that took its place.
    let before = live(&server, "mei").await.unwrap();
    assert_eq!(before["state"], "waiting");
    let secret = rotated["secret"].as_str().unwrap();
    let mut publisher = Publisher::with_key(&server, secret).await.unwrap();
    publisher.introduce(&Clip::plain().await).await;
    assert_eq!(
        live(&server, "mei").await.unwrap()["broadcast_id"],
        before["broadcast_id"]
    );

    let id = rotated["key"]["id"].as_str().unwrap();
    let path = format!("/api/v1/channels/mei/keys/{id}");
    assert_eq!(mei.delete(&path).await, 204);
    assert_eq!(mei.delete(&path).await, 404);
    assert!(publisher.farewell().await.contains(&Event::Unpublished));
}

#[tokio::test]
async fn an_operator_ends_a_broadcast_with_a_reason_that_everybody_concerned_reads() {
    let server = Server::start().await;
    let admin = Person::admin(&server).await;
    let (mei, key) = Person::streamer(&server, "mei").await;
    let secret = key["secret"].as_str().unwrap();
    let mut publisher = Publisher::with_key(&server, secret).await.unwrap();
    publisher.introduce(&Clip::plain().await).await;
    until("mei is live", async || live(&server, "mei").await).await;
    let end = json!({ "reason": "This is not allowed here." });
    admin
        .ok(Method::POST, "/api/v1/streams/mei/end", &end)
        .await;
    let told = publisher.farewell().await;
    assert!(
        format!("{told:?}").contains("This is not allowed here."),
        "{told:?}"
    );
    assert_eq!(
        live(&server, "mei").await,
        None,
        "without waiting for anybody"
    );
    let past = until("the history tells why", async || {
        let past = mei.read("/api/v1/channels/mei/broadcasts").await[0].clone();
        (past["ended_at"].is_string() && past["end_reason"].is_string()).then_some(past)
    })
    .await;
    assert_eq!(past["end_reason"], "This is not allowed here.");
    assert_eq!(past["ended_how"], "stopped");
    assert_eq!(
        admin
            .refused(Method::POST, "/api/v1/streams/mei/end", &end)
            .await,
        (404, "not_live".into())
    );
}

#[tokio::test]
async fn a_closed_account_is_off_the_air() {
    let server = Server::start().await;
    let admin = Person::admin(&server).await;
    let (_, key) = Person::streamer(&server, "mei").await;
    let secret = key["secret"].as_str().unwrap();
    let mut publisher = Publisher::with_key(&server, secret).await.unwrap();
    publisher.introduce(&Clip::plain().await).await;
    until("mei is live", async || live(&server, "mei").await).await;
    let close = json!({ "disabled": "terms broken" });
    admin
        .ok(Method::PATCH, "/api/v1/admin/users/mei", &close)
        .await;
    assert!(format!("{:?}", publisher.farewell().await).contains("terms broken"));
    assert!(Publisher::with_key(&server, secret).await.is_err());
    let past = admin.read("/api/v1/channels/mei/broadcasts").await;
    assert_eq!(past[0]["end_reason"], "terms broken");
}

#[tokio::test]
async fn a_renamed_channel_is_found_by_what_it_was_called() {
    let server = Server::start().await;
    let (mei, key) = Person::streamer(&server, "mei").await;
    let rename = |to: &str| json!({ "handle": to });
    let channel = "/api/v1/channels/mei";
    let secret = key["secret"].as_str().unwrap();
    let mut publisher = Publisher::with_key(&server, secret).await.unwrap();
    publisher.introduce(&Clip::plain().await).await;
    until("mei is live", async || live(&server, "mei").await).await;
    assert_eq!(
        mei.refused(Method::PATCH, channel, &rename("mei_mei"))
            .await,
        (409, "channel_is_live".into())
    );
    mei.ok(
        Method::POST,
        "/api/v1/streams/mei/end",
        &json!({ "reason": "done" }),
    )
    .await;
    mei.ok(Method::PATCH, channel, &rename("mei_mei")).await;

    assert_eq!(server.json(channel).await["channel"]["handle"], "mei_mei");
    let raw = crate::support::browser()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    for (from, to) in [
        (channel, "/api/v1/channels/mei_mei"),
        ("/@mei", "/@mei_mei"),
        ("/hls/mei/index.m3u8", "/hls/mei_mei/index.m3u8"),
    ] {
        let answer = raw.get(server.url(from)).send().await.unwrap();
        assert_eq!(answer.status(), 308, "{from}");
        assert_eq!(answer.headers()["location"], to);
    }
    // Programs that know it by its former handle go on working.
    assert!(mei.read("/api/v1/channels/mei/keys").await.is_array());
    // Nobody else can take it, and its owner can take it back.
    let thief = Person::new(&server, "thief").await;
    assert_eq!(
        thief
            .refused(Method::POST, "/api/v1/channels", &rename("mei"))
            .await,
        (409, "handle_taken".into())
    );
    mei.ok(Method::PATCH, "/api/v1/channels/mei_mei", &rename("mei"))
        .await;
    let back = raw.get(server.url("/@mei_mei")).send().await.unwrap();
    assert_eq!(back.headers()["location"], "/@mei");
    assert_eq!(
        raw.get(server.url("/@mei")).send().await.unwrap().status(),
        200
    );
}

#[tokio::test]
async fn a_moderator_is_asked_accepts_and_goes() {
    let server = Server::start().await;
    let (mei, _) = Person::streamer(&server, "mei").await;
    let lin = Person::new(&server, "lin").await;
    let (list, post_of_lin) = (
        "/api/v1/channels/mei/moderators",
        "/api/v1/channels/mei/moderators/lin",
    );
    let post = "/api/v1/account/moderates/mei";
    assert_eq!(
        lin.refused(Method::PUT, post, &Value::Null).await.0,
        404,
        "nobody asked"
    );
    assert_eq!(lin.refused(Method::GET, list, &Value::Null).await.0, 403);
    mei.ok(Method::PUT, post_of_lin, &Value::Null).await;
    let me = lin.read("/api/v1/account").await;
    assert_eq!(
        me["moderates"],
        json!([{ "channel": "mei", "name": "mei", "accepted": false }])
    );
    assert_eq!(
        lin.refused(Method::GET, list, &Value::Null).await.0,
        403,
        "not yet"
    );
    lin.ok(Method::PUT, post, &Value::Null).await;
    assert_eq!(lin.read(list).await[0]["accepted"], true);
    // A moderator moderates; the channel is not theirs.
    assert_eq!(
        lin.refused(Method::GET, "/api/v1/channels/mei/keys", &Value::Null)
            .await
            .0,
        403
    );
    assert_eq!(mei.delete(post_of_lin).await, 204);
    assert_eq!(lin.refused(Method::GET, list, &Value::Null).await.0, 403);
    let owner = "/api/v1/channels/mei/moderators/mei";
    assert_eq!(mei.refused(Method::PUT, owner, &Value::Null).await.0, 422);
}

#[tokio::test]
async fn the_history_tells_how_each_broadcast_ended() {
    let server = Server::with(&[("ingest.grace_ms", "300")]).await;
    let (mei, key) = Person::streamer(&server, "mei").await;
    let (id, secret) = (&key["key"]["id"], key["secret"].as_str().unwrap());
    let clip = Clip::plain().await;
    let mut ways = Vec::new();
    for way in ["finished", "lost", "shown_out"] {
        let mut publisher = Publisher::with_key(&server, secret).await.unwrap();
        publisher.introduce(&clip).await;
        publisher.send_all(&clip.frames[..30]).await;
        until("mei is live", async || live(&server, "mei").await).await;
        match way {
            "finished" => publisher.finish().await,
            "lost" => drop(publisher),
            _ => {
                let path = format!("/api/v1/channels/mei/keys/{}", id.as_str().unwrap());
                assert_eq!(mei.delete(&path).await, 204);
            }
        }
        ways.insert(0, json!(way));
        until("the history tells it", async || {
            let past = mei.read("/api/v1/channels/mei/broadcasts").await;
            let told: Vec<_> = past
                .as_array()?
                .iter()
                .map(|one| one["ended_how"].clone())
                .collect();
            (told == ways).then_some(())
        })
        .await;
    }
}
