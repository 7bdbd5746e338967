//! Gifts: from the wallet to the room, and what the streamer earns with them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::coins::top_up;
use crate::support::till::Hold;
use crate::support::{Encoding, Member, Person, Server};

const ROOM: &str = "room=mei";

/// Nobody is too fast.
const FREE: [(&str, &str); 5] = [
    ("gifts.burst", "10000"),
    ("gifts.per_second", "10000"),
    ("chat.connection_burst", "10000"),
    ("chat.connection_per_second", "10000"),
    ("chat.user_burst", "1000"),
];

/// A channel, and somebody with coins who is in its room.
async fn giver(server: &Server) -> (Person, Person, Member) {
    let (streamer, _) = Person::streamer(server, "mei").await;
    let ann = Person::new(server, "ann").await;
    top_up(&ann).await;
    let mut member = Member::enter(server, ROOM).await;
    member.auth(&ann, "mei").await;
    (streamer, ann, member)
}

async fn coins_of(person: &Person) -> i64 {
    let wallet = person.read("/api/v1/wallet").await;
    wallet["wallet"]["coins"].as_i64().expect("a balance")
}

fn rose(key: &str) -> Value {
    json!({ "t": "give", "key": key, "gift": "rose" })
}

#[tokio::test]
async fn a_gift_is_paid_for_seen_by_everybody_and_earned() {
    let server = Server::start().await;
    let (streamer, ann, mut member) = giver(&server).await;
    let mut viewers = [
        Member::with(&server, ROOM, Encoding::Json).await,
        Member::with(&server, ROOM, Encoding::Msgpack).await,
    ];
    // Elsewhere, on a connection of her own.
    let mut elsewhere = Member::enter(&server, ROOM).await;
    elsewhere.auth(&ann, "mei").await;
    let before = coins_of(&ann).await;

    let given = member
        .ask(json!({ "t": "give", "key": "k1", "gift": "tea", "count": 3 }))
        .await;
    assert_eq!(given["t"], "given", "{given}");
    let wallet = &given["wallet"];
    assert_eq!(wallet["coins"], before - 30);
    for viewer in &mut viewers {
        let gift = viewer.hear("gift").await;
        assert_eq!(gift["seq"], given["seq"]);
        assert_eq!((&gift["l"], &gift["p"]), (&json!("money"), &json!(0)));
        assert_eq!(gift["by"]["handle"], "ann");
        assert_eq!(gift["gift"]["id"], "tea");
        assert_eq!(gift["gift"]["name"]["zh-CN"], "一杯茶");
        assert_eq!((&gift["count"], &gift["coins"]), (&json!(3), &json!(30)));
        // What she has is nobody else's business.
        assert!(!gift.to_string().contains("wallet"), "{gift}");
        assert!(!gift.to_string().contains("balance"), "{gift}");
    }
    let told = elsewhere.hear("wallet").await;
    assert_eq!(&told["wallet"], wallet);
    assert_eq!(&ann.read("/api/v1/wallet").await["wallet"], wallet);

    let history = ann.read("/api/v1/wallet/history").await;
    let line = &history["lines"][0];
    assert_eq!(
        (&line["kind"], &line["coins"]),
        (&json!("gift"), &json!(-30))
    );
    assert_eq!(line["channel"]["handle"], "mei");
    assert_eq!(line["gift"]["count"], 3);
    assert_eq!(history["lines"][1]["kind"], "top_up");

    let earned = streamer.read("/api/v1/channels/mei/earnings").await;
    assert_eq!(
        (&earned["held"], &earned["available"]),
        (&json!(15), &json!(0))
    );
    assert_eq!(earned["contract"]["streamer_bp"], 5_000);
    assert_eq!(earned["days"][0]["earned"], 15);
    assert_eq!(earned["days"][0]["released"], false);
    let lines = streamer.read("/api/v1/channels/mei/earnings/lines").await;
    let line = &lines["lines"][0];
    assert_eq!((&line["earned"], &line["coins"]), (&json!(15), &json!(30)));
    assert_eq!(line["by"]["handle"], "ann");
    // Others do not see it.
    let (status, _) = ann
        .refused(Method::GET, "/api/v1/channels/mei/earnings", &Value::Null)
        .await;
    assert_eq!(status, 403);
}

#[tokio::test]
async fn what_is_asked_twice_is_given_once_whatever_way_and_at_once() {
    let server = Server::with(&FREE).await;
    let (_, ann, mut member) = giver(&server).await;
    let mut viewer = Member::enter(&server, ROOM).await;
    let before = coins_of(&ann).await;
    let body = json!({ "key": "same", "gift": "rose" });
    let path = "/api/v1/rooms/mei/gifts";
    let asked = (0..20).map(|_| ann.ok(Method::POST, path, &body));
    let answers = futures_util::future::join_all(asked).await;
    let over_socket = member.ask(rose("same")).await;
    let seqs: BTreeSet<_> = answers
        .iter()
        .chain([&over_socket])
        .map(|answer| answer["seq"].as_i64().expect("a number"))
        .collect();
    assert_eq!(seqs.len(), 1, "{answers:?}");
    let first = answers.iter().filter(|answer| answer["replayed"] == false);
    assert_eq!(first.count(), 1);
    assert_eq!(coins_of(&ann).await, before - 1);
    // Something else under the same key is refused, and costs nothing.
    for other in [
        json!({ "key": "same", "gift": "tea" }),
        json!({ "key": "same", "gift": "rose", "count": 2 }),
    ] {
        let refused = ann.refused(Method::POST, path, &other).await;
        assert_eq!(refused, (409, "key_used".into()));
    }
    assert_eq!(coins_of(&ann).await, before - 1);
    let last = member.ask(rose("last")).await;
    assert_eq!(viewer.hear("gift").await["seq"], *seqs.first().unwrap());
    assert_eq!(viewer.hear("gift").await["seq"], last["seq"]);
}

#[tokio::test]
async fn what_cannot_be_given_costs_nothing_and_says_why() {
    let server = Server::with(&FREE).await;
    let (streamer, ann, mut member) = giver(&server).await;
    let poor = Person::new(&server, "poor").await;
    let before = coins_of(&ann).await;
    let give = |change: Value| {
        let mut give = rose("k");
        for (name, value) in change.as_object().unwrap() {
            give[name] = value.clone();
        }
        give
    };
    for (change, code) in [
        (json!({ "gift": "nothing" }), "not_there"),
        (json!({ "count": 0 }), "unfit"),
        (json!({ "count": 10_000 }), "unfit"),
        (json!({ "count": -1 }), "bad_message"),
        (json!({ "count": 1.5 }), "bad_message"),
        (json!({ "count": 4_294_967_296_u64 }), "bad_message"),
        (json!({ "key": "" }), "unfit"),
        (json!({ "key": "x".repeat(65) }), "unfit"),
        (json!({ "key": "两" }), "unfit"),
        (json!({ "combo": "x".repeat(33) }), "unfit"),
        (json!({ "text": "only super chats say something" }), "unfit"),
        (
            json!({ "gift": "super_chat", "coins": 29, "text": "x" }),
            "unfit",
        ),
        (
            json!({ "gift": "super_chat", "coins": 30, "text": " \u{200B} " }),
            "unfit",
        ),
        (
            json!({ "gift": "super_chat", "coins": 30, "text": "x".repeat(41) }),
            "unfit",
        ),
        (json!({ "gift": "rocket", "count": 9_999 }), "cannot_pay"),
    ] {
        let answer = member.ask(give(change.clone())).await;
        assert_eq!(answer["code"], code, "{change}: {answer}");
    }
    assert_eq!(coins_of(&ann).await, before);
    let path = "/api/v1/rooms/mei/gifts";
    let body = json!({ "key": "k", "gift": "rose" });
    assert_eq!(
        poor.refused(Method::POST, path, &body).await,
        (402, "cannot_pay".into())
    );
    let own = streamer.refused(Method::POST, path, &body).await;
    assert_eq!(own, (403, "own_channel".into()));
    // Nobody is signed in.
    let mut stranger = Member::enter(&server, ROOM).await;
    assert_eq!(stranger.ask(rose("k")).await["code"], "not_signed_in");
    // Of nothing of this anybody hears.
    let mut viewer = Member::enter(&server, ROOM).await;
    let given = member.ask(rose("at-last")).await;
    assert_eq!(viewer.hear("gift").await["seq"], given["seq"]);
}

#[tokio::test]
async fn a_combo_counts_each_press_and_a_super_chat_is_pinned() {
    let server = Server::with(&FREE).await;
    let (_, _, mut member) = giver(&server).await;
    let mut viewer = Member::enter(&server, ROOM).await;
    for press in 0..30 {
        let key = format!("press {press}").replace(' ', "-");
        let give = json!({ "t": "give", "key": key, "gift": "rose", "combo": "c1" });
        assert_eq!(member.ask(give).await["t"], "given");
    }
    for n in 1..=30 {
        let gift = viewer.hear("gift").await;
        assert_eq!(gift["combo"], json!({ "id": "c1", "n": n }));
    }
    let give = json!({ "t": "give", "key": "sc", "gift": "super_chat", "coins": 120, "text": " 加油\u{202E} " });
    let given = member.ask(give).await;
    assert_eq!(given["t"], "given", "{given}");
    let gift = viewer.hear("gift").await;
    assert_eq!(gift["text"], "加油");
    assert_eq!(
        (&gift["coins"], &gift["pinned_ms"]),
        (&json!(120), &json!(300_000))
    );
    assert_eq!(gift["combo"], Value::Null);
}

#[tokio::test]
async fn who_returns_hears_each_gift_once_also_after_kill_9() {
    let server = Server::with(&FREE).await;
    let (_, ann, mut member) = giver(&server).await;
    let mut viewer = Member::enter(&server, ROOM).await;
    let mut acknowledged = BTreeSet::new();
    for number in 0..10 {
        let given = member.ask(rose(&format!("before-{number}"))).await;
        acknowledged.insert(given["seq"].as_u64().expect("a number"));
    }
    let mut heard = Vec::new();
    for _ in 0..10 {
        heard.push(viewer.hear("gift").await["seq"].as_u64().unwrap());
    }
    let since = format!("money:{}:10", viewer.welcome["lanes"]["money"]["e"]);
    drop(viewer);
    // Given at once; the server is killed while they are under way.
    for number in 0..300 {
        let give = json!({ "t": "give", "id": 10_000 + number, "key": format!("during-{number}"), "gift": "rose" });
        member.say(&give).await;
    }
    for _ in 0..20 {
        acknowledged.insert(member.hear("given").await["seq"].as_u64().unwrap());
    }
    let before = ann.cookie().expect("a session");
    let dir = Arc::clone(server.dir());
    drop(server);
    while let Some(answer) = member.next().await {
        if answer["t"] == "given" {
            acknowledged.insert(answer["seq"].as_u64().unwrap());
        }
    }
    let server = Server::on(dir, &FREE).await;
    let mut viewer = Member::enter(&server, &format!("{ROOM}&since={since}")).await;
    let ann = Person::stranger(&server);
    ann.set_cookie(&before);
    let last = ann
        .ok(
            Method::POST,
            "/api/v1/rooms/mei/gifts",
            &json!({ "key": "last", "gift": "rose" }),
        )
        .await["seq"]
        .as_u64()
        .unwrap();
    while heard.last() != Some(&last) {
        heard.push(viewer.hear("gift").await["seq"].as_u64().unwrap());
    }
    let once: BTreeSet<u64> = heard.iter().copied().collect();
    assert_eq!(once.len(), heard.len(), "twice: {heard:?}");
    assert!(acknowledged.is_subset(&once), "{acknowledged:?} {once:?}");
    // Whatever is in the ledger was heard, and nothing else.
    let history = ann.read("/api/v1/wallet/history?limit=200").await;
    let mut lines = history["lines"].as_array().unwrap().clone();
    let next = history["next"].as_i64();
    if let Some(next) = next {
        let more = ann
            .read(&format!("/api/v1/wallet/history?limit=200&before={next}"))
            .await;
        lines.extend(more["lines"].as_array().unwrap().iter().cloned());
    }
    let kept: BTreeSet<u64> = lines
        .iter()
        .filter(|line| line["kind"] == "gift")
        .map(|line| line["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(kept, once);
}

#[tokio::test]
async fn there_is_never_more_given_than_there_is() {
    let server = Server::with(&FREE).await;
    let admin = Person::admin(&server).await;
    let (_, ann, _) = giver(&server).await;
    let gift =
        json!({ "id": "star", "name": { "en": "Star" }, "price": 2, "glyph": "⭐", "stock": 10 });
    admin.ok(Method::POST, "/api/v1/admin/gifts", &gift).await;
    let before = coins_of(&ann).await;
    let asked = (0..30).map(|number| {
        let body = json!({ "key": format!("star-{number}"), "gift": "star" });
        let ann = &ann;
        async move {
            ann.ask(Method::POST, "/api/v1/rooms/mei/gifts", Some(&body))
                .await
        }
    });
    let answers = futures_util::future::join_all(asked).await;
    let given = answers
        .iter()
        .filter(|(status, _)| status.is_success())
        .count();
    assert_eq!(given, 10);
    let sold_out = answers
        .iter()
        .filter(|(_, body)| body["error"]["code"] == "sold_out");
    assert_eq!(sold_out.count(), 20);
    assert_eq!(coins_of(&ann).await, before - 20);
    let catalogue = ann.read("/api/v1/gifts").await;
    let gifts = catalogue["gifts"].as_array().unwrap();
    let star = gifts.iter().find(|gift| gift["id"] == "star").unwrap();
    assert_eq!(star["left"], 0);
    // Who cannot pay keeps none from others; and there cannot be fewer than were given.
    let fewer = admin
        .refused(
            Method::PATCH,
            "/api/v1/admin/gifts/star",
            &json!({ "stock": 9 }),
        )
        .await;
    assert_eq!(fewer.0, 422);
    admin
        .ok(
            Method::PATCH,
            "/api/v1/admin/gifts/star",
            &json!({ "stock": 11 }),
        )
        .await;
    let poor = Person::new(&server, "poor").await;
    let body = json!({ "key": "k", "gift": "star" });
    let refused = poor
        .refused(Method::POST, "/api/v1/rooms/mei/gifts", &body)
        .await;
    assert_eq!(refused, (402, "cannot_pay".into()));
    ann.ok(Method::POST, "/api/v1/rooms/mei/gifts", &body).await;
}

#[tokio::test]
async fn an_operator_takes_back_freezes_and_leaves_notes() {
    let server = Server::with(&FREE).await;
    let admin = Person::admin(&server).await;
    let (streamer, ann, mut member) = giver(&server).await;
    let mut viewer = Member::enter(&server, ROOM).await;
    let before = coins_of(&ann).await;
    let given = member
        .ask(json!({ "t": "give", "key": "k", "gift": "tea" }))
        .await;
    assert_eq!(viewer.hear("gift").await["seq"], given["seq"]);
    let money = admin.read("/api/v1/admin/wallets/ann").await;
    let line = &money["lines"][0];
    assert_eq!(line["reversible"], true);
    let body = |reason: &str| json!({ "transaction": line["transaction"], "why": "refund", "reason": reason });
    let path = "/api/v1/admin/money/reversals";
    for reason in ["", "no", " \u{200B}  "] {
        let (status, _) = admin.refused(Method::POST, path, &body(reason)).await;
        assert_eq!(status, 422);
    }
    admin
        .ok(Method::POST, path, &body("pressed by a child"))
        .await;
    let again = admin.refused(Method::POST, path, &body("once more")).await;
    assert_eq!(again, (409, "not_reversible".into()));
    assert_eq!(viewer.hear("taken_back").await["of"], given["seq"]);
    assert_eq!(coins_of(&ann).await, before);
    let earned = streamer.read("/api/v1/channels/mei/earnings").await;
    assert_eq!(earned["held"], 0);
    assert_eq!(earned["days"][0]["taken_back"], 5);
    // A top-up is taken back where it was paid.
    let lines = admin.read("/api/v1/admin/wallets/ann").await["lines"].clone();
    let bought = lines
        .as_array()
        .unwrap()
        .iter()
        .find(|line| line["kind"] == "top_up")
        .unwrap();
    let reversal =
        json!({ "transaction": bought["transaction"], "why": "refund", "reason": "typed wrong" });
    assert_eq!(
        admin.refused(Method::POST, path, &reversal).await,
        (409, "not_reversible".into())
    );

    let reason = json!({ "reason": "a stolen card" });
    // Who presses twice has done it once.
    for _ in 0..2 {
        let path = "/api/v1/admin/wallets/ann/freeze";
        let (status, _) = admin.ask(Method::POST, path, Some(&reason)).await;
        assert_eq!(status, 204);
    }
    assert_eq!(member.ask(rose("frozen")).await["code"], "not_allowed");
    assert_eq!(ann.read("/api/v1/wallet").await["wallet"]["frozen"], true);
    for _ in 0..2 {
        let path = "/api/v1/admin/wallets/ann/unfreeze";
        let (status, _) = admin.ask(Method::POST, path, Some(&reason)).await;
        assert_eq!(status, 204);
    }
    assert_eq!(member.ask(rose("thawed")).await["t"], "given");
    let notes = admin.read("/api/v1/admin/money/notes").await;
    let what: Vec<&str> = notes["notes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|note| note["what"].as_str().unwrap())
        .collect();
    assert_eq!(
        what,
        ["unfreeze", "unfreeze", "freeze", "freeze", "reversal"]
    );
    assert_eq!(notes["notes"][2]["reason"], "a stolen card");
    assert_eq!(notes["notes"][2]["by"], "admin");
}

#[tokio::test]
async fn a_contract_shares_what_is_given_from_then_on() {
    let server = Server::with(&FREE).await;
    let admin = Person::admin(&server).await;
    let (streamer, _, mut member) = giver(&server).await;
    let tea = |key: &str| json!({ "t": "give", "key": key, "gift": "tea" });
    assert_eq!(member.ask(tea("first")).await["t"], "given");
    let agency = admin
        .ok(
            Method::POST,
            "/api/v1/admin/agencies",
            &json!({ "name": "Lanterns" }),
        )
        .await;
    let path = "/api/v1/admin/channels/mei/contract";
    let contract = |streamer: u32, agency_bp: u32| json!({ "streamer_bp": streamer, "agency": agency["id"], "agency_bp": agency_bp, "reason": "as signed" });
    let (status, _) = admin
        .refused(Method::PUT, path, &contract(9_000, 1_001))
        .await;
    assert_eq!(status, 422);
    let agreed = admin.ok(Method::PUT, path, &contract(6_000, 1_000)).await;
    assert_eq!(agreed["platform_bp"], 3_000);
    assert_eq!(agreed["agency"]["name"], "Lanterns");
    assert_eq!(member.ask(tea("second")).await["t"], "given");
    // Five of ten, then six.
    let earned = streamer.read("/api/v1/channels/mei/earnings").await;
    assert_eq!(earned["held"], 11);
    assert_eq!(earned["contract"]["version"], agreed["version"]);
}

#[tokio::test]
async fn while_the_ledger_stands_still_gifts_say_so_and_all_else_goes_on() {
    let server = Server::with(&FREE).await;
    let (_, ann, mut member) = giver(&server).await;
    let mut viewer = Member::enter(&server, ROOM).await;
    let before = coins_of(&ann).await;
    assert_eq!(viewer.welcome["gifting_down_since_ms"], Value::Null);
    let lock = Hold::take(server.dir().path());
    let locked = Instant::now();
    let told = viewer.hear("gifting").await;
    // A second to notice, a half to look at it, and a slow machine.
    assert!(
        locked.elapsed() < Duration::from_secs(4),
        "{:?}",
        locked.elapsed()
    );
    assert!(told["down_since_ms"].is_i64(), "{told}");
    let refused = member.ask(rose("meanwhile")).await;
    assert_eq!(refused["code"], "unavailable", "{refused}");
    assert!(refused["retry_ms"].is_u64());
    let body = json!({ "key": "meanwhile", "gift": "rose" });
    let refused = ann
        .refused(Method::POST, "/api/v1/rooms/mei/gifts", &body)
        .await;
    assert_eq!(refused, (503, "gifts_unavailable".into()));
    assert!(ann.read("/api/v1/gifts").await["down_since_ms"].is_i64());
    let late = Member::enter(&server, ROOM).await;
    assert!(late.welcome["gifting_down_since_ms"].is_i64());
    // What people say goes on, and what they have can be read.
    member.danmaku("still here").await;
    assert_eq!(viewer.texts(1).await, ["still here"]);
    assert_eq!(coins_of(&ann).await, before);
    drop(lock);
    while !viewer.hear("gifting").await["down_since_ms"].is_null() {}
    // The same is asked again, and given once.
    let given = member.ask(rose("meanwhile")).await;
    assert_eq!(given["t"], "given", "{given}");
    assert_eq!(viewer.hear("gift").await["seq"], given["seq"]);
    assert_eq!(coins_of(&ann).await, before - 1);
}
