//! Webhooks: told, signed, tried again, disabled; against a receiver of their own.

use std::collections::VecDeque;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::support::server::CHANNEL;
use crate::support::{Clip, Member, Person, Publisher, Server, until, within};

const HOOKS: &str = "/api/v1/channels/stage/webhooks";
const EVERYTHING: [&str; 5] = [
    "broadcast.started",
    "broadcast.ended",
    "channel.followed",
    "danmaku.sent",
    "danmaku.deleted",
];

/// To this machine, and again at once.
const HERE: [(&str, &str); 4] = [
    ("webhooks.allow_private_addresses", "true"),
    ("webhooks.retry_first_ms", "50"),
    ("chat.user_burst", "10000"),
    ("chat.connection_burst", "10000"),
];

/// One delivery, as it came.
#[derive(Clone, Debug)]
struct Came {
    headers: HeaderMap,
    body: Bytes,
}

impl Came {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

/// A program that takes deliveries, and answers as it is told to.
#[derive(Clone, Default)]
struct Receiver {
    came: Arc<Mutex<Vec<Came>>>,
    /// What it answers next; 200 when there is nothing.
    answers: Arc<Mutex<VecDeque<u16>>>,
    url: String,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?a=b", listener.local_addr().unwrap());
        let receiver = Self {
            url,
            ..Self::default()
        };
        let take = async |State(receiver): State<Self>, headers: HeaderMap, body: Bytes| {
            receiver.came.lock().unwrap().push(Came { headers, body });
            let answer = receiver.answers.lock().unwrap().pop_front();
            StatusCode::from_u16(answer.unwrap_or(200)).unwrap()
        };
        let router = Router::new()
            .route("/hook", axum::routing::post(take))
            .with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    fn answer(&self, statuses: &[u16]) {
        self.answers.lock().unwrap().extend(statuses);
    }

    /// What has come, once that is so much.
    async fn has(&self, count: usize) -> Vec<Came> {
        until("the receiver is told", async || {
            let came = self.came.lock().unwrap();
            (came.len() >= count).then(|| came.clone())
        })
        .await
    }

    /// Everything of one type, once it has `count` items.
    async fn items(&self, kind: &str, count: usize) -> Vec<Value> {
        until("the receiver is told of every item", async || {
            let came = self.came.lock().unwrap();
            let bodies = came.iter().map(Came::json);
            let of_kind = bodies.filter(|body| body["type"] == kind);
            let items = of_kind.flat_map(|body| body["data"]["items"].as_array().unwrap().clone());
            let items: Vec<_> = items.collect();
            (items.len() >= count).then_some(items)
        })
        .await
    }
}

async fn make(owner: &Person, url: &str, events: &[&str]) -> Value {
    let new = json!({ "url": url, "events": events });
    owner.ok(Method::POST, HOOKS, &new).await
}

fn path_of(made: &Value, rest: &str) -> String {
    format!("{HOOKS}/{}{rest}", made["webhook"]["id"].as_str().unwrap())
}

async fn host(server: &Server, owner: &Person) -> Member {
    let mut host = Member::enter(server, "room=stage").await;
    host.auth(owner, CHANNEL).await;
    host
}

/// Asks the example of docs/webhooks.md, as a stranger would use it.
async fn is_genuine(secret: &str, came: &Came) -> bool {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/webhooks.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, example) = text.split_once("```python\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let headers: Value = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .map(|name| (name.to_owned(), Value::from(came.header(name))))
        .into_iter()
        .collect::<serde_json::Map<_, _>>()
        .into();
    let script = format!(
        "{example}\nimport json, sys\n\
         sys.exit(0 if is_genuine(sys.argv[1], json.loads(sys.argv[2]), sys.stdin.buffer.read()) else 1)\n"
    );
    let mut child = Command::new("python3")
        .args(["-c", &script, secret, &headers.to_string()])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&came.body).await.unwrap();
    drop(stdin);
    let ended = within("python ends", child.wait_with_output())
        .await
        .unwrap();
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(told.is_empty(), "{told}");
    ended.status.success()
}

#[tokio::test]
async fn a_program_is_told_what_happens_signed_as_the_documentation_says() {
    let server = Server::with(&HERE).await;
    let owner = Person::admin(&server).await;
    let receiver = Receiver::start().await;
    let made = make(&owner, &receiver.url, &EVERYTHING).await;
    let secret = made["secret"].as_str().unwrap();
    let clip = Clip::plain().await;
    let mut publisher = Publisher::start(&server).await;
    publisher.introduce(&clip).await;
    let live = server.live().await;
    let came = receiver.has(1).await.remove(0);
    let body = came.json();
    assert_eq!(body["type"], "broadcast.started");
    assert_eq!(body["data"]["channel"]["handle"], CHANNEL);
    assert_eq!(body["data"]["broadcast"]["id"], live["broadcast_id"]);
    assert_eq!(came.header("content-type"), "application/json");
    assert!(is_genuine(secret, &came).await);
    let mut forged = came.clone();
    forged.body = Bytes::from(came.body.to_vec().repeat(2));
    assert!(!is_genuine(secret, &forged).await);
    let mut host = host(&server, &owner).await;
    let p = host.danmaku("弹幕").await;
    host.ask(json!({ "t": "delete", "of": p })).await;
    let said = receiver.items("danmaku.sent", 1).await.remove(0);
    assert_eq!((&said["text"], &said["p"]), (&json!("弹幕"), &json!(p)));
    assert_eq!(said["by"]["handle"], "admin");
    assert_eq!(said["e"], host.welcome["lanes"]["chat"]["e"]);
    let deleted = receiver.items("danmaku.deleted", 1).await.remove(0);
    assert_eq!((&deleted["of"], &deleted["e"]), (&json!(p), &said["e"]));
    let ann = Person::new(&server, "ann").await;
    let follow = format!("/api/v1/channels/{CHANNEL}/follow");
    ann.ok(Method::PUT, &follow, &Value::Null).await;
    let came = receiver.has(4).await.remove(3).json();
    assert_eq!(came["type"], "channel.followed");
    assert_eq!(came["data"]["follow"]["by"]["handle"], "ann");
    assert_eq!(came["data"]["follow"]["followers"], 1);
    publisher.finish().await;
    let came = receiver.has(5).await.remove(4);
    assert_eq!(came.json()["type"], "broadcast.ended");
    assert_eq!(came.json()["data"]["broadcast"]["ended_how"], "finished");
    let listed = owner.read(HOOKS).await;
    assert_eq!(listed[0]["url"], receiver.url);
    assert_eq!(listed[0]["secret"], Value::Null);
    assert_eq!(owner.delete(&path_of(&made, "")).await, 204);
    assert_eq!(owner.read(HOOKS).await, json!([]));
}

#[tokio::test]
async fn danmaku_go_many_at_once_in_order_and_each_once() {
    let server = Server::with(&HERE).await;
    let owner = Person::admin(&server).await;
    let receiver = Receiver::start().await;
    make(&owner, &receiver.url, &["danmaku.sent"]).await;
    let mut host = host(&server, &owner).await;
    for number in 0..250 {
        let send = json!({ "t": "send", "id": number, "text": number.to_string() });
        host.say(&send).await;
    }
    let items = receiver.items("danmaku.sent", 250).await;
    let texts: Vec<_> = items.iter().map(|item| item["text"].clone()).collect();
    let expected: Vec<_> = (0..250).map(|number| json!(number.to_string())).collect();
    assert_eq!(texts, expected);
    let came = receiver.has(3).await;
    assert!(came.len() < 50, "{} deliveries", came.len());
    for one in &came {
        assert!(one.json()["data"]["items"].as_array().unwrap().len() <= 100);
    }
}

#[tokio::test]
async fn what_fails_is_tried_again_under_the_same_identity_also_after_kill_9() {
    let settings = HERE.map(|(name, value)| match name {
        // Within the first pauses the server is killed.
        "webhooks.retry_first_ms" => (name, "300"),
        _ => (name, value),
    });
    let server = Server::with(&settings).await;
    let owner = Person::admin(&server).await;
    let receiver = Receiver::start().await;
    let made = make(&owner, &receiver.url, &["danmaku.sent"]).await;
    receiver.answer(&[500, 302, 404]);
    let mut host = host(&server, &owner).await;
    host.danmaku("kept").await;
    receiver.has(2).await;
    let dir = Arc::clone(server.dir());
    drop(server);
    let server = Server::on(dir, &settings).await;
    let came = receiver.has(4).await;
    let ids: Vec<_> = came.iter().map(|one| one.header("webhook-id")).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert!(came.iter().all(|one| one.body == came[0].body));
    for one in &came {
        assert!(is_genuine(made["secret"].as_str().unwrap(), one).await);
    }
    let again = owner.at(&server);
    let delivered = until("it is delivered", async || {
        let deliveries = again.read(&path_of(&made, "/deliveries")).await;
        (deliveries[0]["state"] == "delivered").then(|| deliveries[0].clone())
    })
    .await;
    assert_eq!(delivered["id"], ids[0]);
    assert_eq!(
        (&delivered["last_status"], &delivered["events"]),
        (&json!(200), &json!(1))
    );
    // One may have been under way when the server was killed.
    assert!(delivered["attempts"].as_i64().unwrap() >= 3);
    let listed = again.read(HOOKS).await;
    assert_eq!(
        (&listed[0]["waiting"], &listed[0]["failing_since"]),
        (&json!(0), &Value::Null)
    );
}

#[tokio::test]
async fn who_fails_for_long_is_disabled_and_enabled_by_a_test_that_is_answered() {
    let mut settings = HERE.to_vec();
    settings.push(("webhooks.disable_after_s", "0"));
    settings.push(("webhooks.timeout_ms", "500"));
    let server = Server::with(&settings).await;
    let owner = Person::admin(&server).await;
    let (receiver, other) = (Receiver::start().await, Receiver::start().await);
    let made = make(&owner, &receiver.url, &["danmaku.sent"]).await;
    make(&owner, &other.url, &["danmaku.sent"]).await;
    // One that takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    make(&owner, &url, &["danmaku.sent"]).await;
    receiver.answer(&[500, 410, 410]);
    let mut host = host(&server, &owner).await;
    host.danmaku("one").await;
    let disabled = until("those who fail are disabled", async || {
        let listed = owner.read(HOOKS).await;
        let all = [0, 2].map(|at: usize| listed[at]["disabled"]["why"].clone());
        (all == ["failing", "failing"]).then_some(listed)
    })
    .await;
    assert_eq!(disabled[1]["disabled"], Value::Null);
    assert_eq!(disabled[0]["waiting"], 0);
    host.danmaku("two").await;
    let told = other.items("danmaku.sent", 2).await;
    assert_eq!(told[1]["text"], "two");
    assert_eq!(receiver.has(1).await.len(), 1);

    let test = async || {
        owner
            .ok(Method::POST, &path_of(&made, "/test"), &Value::Null)
            .await
    };
    let failed = test().await;
    assert_eq!(
        (&failed["state"], &failed["last_status"]),
        (&json!("failed"), &json!(410))
    );
    assert_eq!(failed["type"], "webhook.test");
    assert_ne!(owner.read(HOOKS).await[0]["disabled"], Value::Null);
    receiver.answers.lock().unwrap().clear();
    assert_eq!(test().await["state"], "delivered");
    assert_eq!(owner.read(HOOKS).await[0]["disabled"], Value::Null);
    host.danmaku("three").await;
    let told = receiver.items("danmaku.sent", 2).await;
    assert_eq!(told[1]["text"], "three");
    // Who says that it is gone is believed at once.
    receiver.answer(&[410]);
    host.danmaku("four").await;
    until("who is gone is disabled", async || {
        (owner.read(HOOKS).await[0]["disabled"]["why"] == "gone").then_some(())
    })
    .await;
    let text = server.text("/metrics").await;
    let attempts = crate::support::server::sum_of(&text, "barrage_webhook_attempts_total");
    assert!(attempts >= 7.0, "{attempts}");
}

#[tokio::test]
async fn what_is_inside_is_not_reached_and_nonsense_is_refused() {
    let server = Server::with(&[
        ("webhooks.per_channel", "2"),
        ("webhooks.retry_first_ms", "50"),
    ])
    .await;
    let owner = Person::admin(&server).await;
    let receiver = Receiver::start().await;
    let why = async |url: &str, events: &[&str]| {
        let new = json!({ "url": url, "events": events });
        let (status, answer) = owner.ask(Method::POST, HOOKS, Some(&new)).await;
        let error = &answer["error"];
        (
            status.as_u16(),
            error["field"].clone(),
            error["reason"].clone(),
        )
    };
    let refused = |field: &str, reason: &str| (422, json!(field), json!(reason));
    let sent: &[&str] = &["danmaku.sent"];
    for inside in [
        &receiver.url,
        "http://10.0.0.1/",
        "http://[::1]:80/",
        "https://169.254.169.254/",
    ] {
        assert_eq!(
            why(inside, sent).await,
            refused("url", "private_address"),
            "{inside}"
        );
    }
    for nonsense in [
        "",
        "example.org",
        "ftp://example.org/",
        "https://a:b@example.org/",
    ] {
        assert_eq!(
            why(nonsense, sent).await,
            refused("url", "not_an_address"),
            "{nonsense}"
        );
    }
    let good = "https://example.org/";
    assert_eq!(why(good, &[]).await, refused("events", "empty"));
    assert_eq!(
        why(good, &["webhook.test"]).await,
        refused("events", "empty")
    );
    assert_eq!(why(good, &["danmaku.liked"]).await.0, 400);
    // A name that leads inside is looked through when it is to be reached.
    let port = receiver.url.split([':', '/']).nth(4).unwrap();
    let made = make(&owner, &format!("http://localhost:{port}/hook"), sent).await;
    let tested = owner
        .ok(Method::POST, &path_of(&made, "/test"), &Value::Null)
        .await;
    assert_eq!(tested["last_error"], "private_address");
    assert_eq!(tested["last_status"], Value::Null);
    let mut host = host(&server, &owner).await;
    host.danmaku("secret").await;
    until("it is tried", async || {
        let deliveries = owner.read(&path_of(&made, "/deliveries")).await;
        let newest = &deliveries[0];
        (newest["type"] == "danmaku.sent" && newest["attempts"] != 0).then_some(())
    })
    .await;
    assert!(receiver.came.lock().unwrap().is_empty());
    make(&owner, good, sent).await;
    assert_eq!(why(good, sent).await.0, 409);
}
