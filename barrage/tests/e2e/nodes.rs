//! Two servers with one database, one NATS and one Redis: a room on both is one room. These tests run
//! where `scripts/engines` has started those.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, interval};

use crate::support::engines::{Engines, Settings};
use crate::support::waiting::DEADLINE;
use crate::support::{Encoding, Member, Person, Server, Source, until};

const ROOM: &str = "room=stage";

/// Nobody is too fast, and everybody is shown everything.
const FREE: [(&str, &str); 6] = [
    ("chat.user_burst", "100000"),
    ("chat.user_per_minute", "600000"),
    ("chat.connection_burst", "100000"),
    ("chat.connection_per_second", "10000"),
    ("chat.room_per_second", "10000"),
    ("chat.shown_per_second", "10000"),
];

/// Two nodes; the second is there after the first. None where the tests are not about clusters.
async fn two_nodes(more: &[(&str, &str)]) -> Option<(Engines, Server, Server)> {
    let Some(engines) = Engines::start().await else {
        println!("skipped: no NATS and Redis here; scripts/engines runs them");
        return None;
    };
    let settings = engines.settings();
    let settings = with(&settings, more);
    let first = Server::with(&settings).await;
    let second = first.beside(&settings).await;
    Some((engines, first, second))
}

fn with<'a>(settings: &'a Settings, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let engines = settings.iter().map(|(name, value)| (*name, value.as_str()));
    engines.chain(more.iter().copied()).collect()
}

/// Somebody new at `first`, who is in the room at `server`.
async fn member(first: &Server, server: &Server, handle: &str) -> (Person, Member) {
    let person = Person::new(first, handle).await.at(server);
    let mut member = Member::enter(server, ROOM).await;
    member.auth(&person, "stage").await;
    (person, member)
}

#[tokio::test]
async fn who_is_on_one_node_hears_who_is_on_the_other() {
    let Some((_engines, a, b)) = two_nodes(&[]).await else {
        return;
    };
    let (_, mut ann) = member(&a, &a, "ann").await;
    let (bob_there, mut bob) = member(&a, &b, "bob").await;
    assert_eq!(ann.welcome["lanes"]["chat"], bob.welcome["lanes"]["chat"]);

    // Said where the room is held, and where it is not.
    assert_eq!(ann.danmaku("from a").await, 0);
    assert_eq!(bob.danmaku("from b").await, 1);
    assert_eq!(ann.texts(2).await, ["from a", "from b"]);
    assert_eq!(bob.texts(2).await, ["from a", "from b"]);

    // Answered and deleted across.
    let answer = bob
        .ask(json!({ "t": "send", "text": "@ann yes", "reply": 0 }))
        .await;
    assert_eq!(answer["t"], "ack", "{answer}");
    let heard = ann.hear("danmaku").await;
    assert_eq!(
        (&heard["reply"]["handle"], &heard["p"]),
        (&json!("ann"), &json!(2))
    );
    let deleted = bob.ask(json!({ "t": "delete", "of": 1 })).await;
    assert_eq!(deleted["t"], "ack", "{deleted}");
    assert_eq!(ann.hear("deleted").await["of"], 1);
    assert_eq!(bob.hear("deleted").await["of"], 1);

    // Those who keep order hear of it wherever they are.
    for (server, is_host) in [(&b, true), (&a, true), (&b, false)] {
        let mut other = Member::enter(server, ROOM).await;
        let person = if is_host {
            Person::admin(&a).await.at(server)
        } else {
            bob_there.at(server)
        };
        let you = other.auth(&person, "stage").await;
        assert_eq!(you["mods"]["p"].as_u64(), is_host.then_some(1), "{you}");
        if is_host {
            assert_eq!(other.hear("removed").await["text"], "from b");
        }
    }

    // A program at the other node, twice under one key, once at each node.
    let post = async |server: &Server| {
        let request = bob_there
            .at(server)
            .request(Method::POST, "/api/v1/rooms/stage/danmaku")
            .header("idempotency-key", "once")
            .json(&json!({ "text": "by a program" }));
        let answer = bob_there.send(request).await;
        assert_eq!(answer.status(), 201);
        answer.json::<Value>().await.unwrap()["p"].as_u64()
    };
    assert_eq!((post(&b).await, post(&a).await), (Some(3), Some(3)));

    // Who comes later is given the same history, wherever.
    let mut late = [Member::enter(&a, ROOM).await, Member::enter(&b, ROOM).await];
    for late in &mut late {
        assert_eq!(late.texts(3).await, ["from a", "@ann yes", "by a program"]);
    }
}

#[tokio::test]
async fn counts_likes_and_people_are_those_of_all_nodes() {
    let Some((_engines, a, b)) = two_nodes(&[]).await else {
        return;
    };
    let (_, mut ann) = member(&a, &a, "ann").await;
    let (_, mut bob) = member(&a, &b, "bob").await;
    for member in [&mut ann, &mut bob] {
        member.say(&json!({ "t": "like" })).await;
    }
    for member in [&mut ann, &mut bob] {
        let (mut counted, mut joined) = (false, false);
        while !(counted && joined) {
            let heard = member.next().await.expect("the connection stays");
            counted |= heard["t"] == "count" && heard["viewers"] == 2 && heard["likes"] == 2;
            let named = heard["named"].as_array();
            joined |= named.is_some_and(|named| named.iter().any(|one| one["handle"] == "bob"));
        }
    }
    for server in [&a, &b] {
        until("both are known", async || {
            let people = server.json("/api/v1/rooms/stage/people").await;
            (people["count"] == 2 && people["people"].as_array()?.len() == 2).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_live_on_one_node_is_known_on_the_other() {
    let Some((_engines, a, b)) = two_nodes(&[]).await else {
        return;
    };
    let (_, mut ann) = member(&a, &a, "ann").await;
    let (_, mut bob) = member(&a, &b, "bob").await;
    // The room is held by `a`, and the publisher comes to `b`.
    let mut source = Source::new().publish_to(&b.publish_url_with(&a.key));
    for member in [&mut ann, &mut bob] {
        assert_eq!(member.hear("broadcast").await["state"], "live");
    }
    let broadcast = b.live().await["broadcast_id"].clone();
    let late = Member::enter(&a, ROOM).await;
    assert_eq!(
        late.welcome["broadcast"]["b"], broadcast,
        "{}",
        late.welcome
    );
    ann.danmaku("about a picture").await;
    let heard = bob.hear("danmaku").await;
    assert_eq!(heard["b"], broadcast, "{heard}");
    assert!(heard["mt"].as_i64().unwrap() > 0, "{heard}");
    source.kill();
}

#[tokio::test]
async fn what_was_on_at_a_node_that_does_not_return_ends_for_the_others() {
    let Some((_engines, mut a, b)) = two_nodes(&[("ingest.grace_ms", "0")]).await else {
        return;
    };
    let (_, mut bob) = member(&a, &b, "bob").await;
    let mut source = Source::new().publish_to(&a.publish_url_with(&a.key));
    let live = bob.hear("broadcast").await;
    assert_eq!(live["state"], "live");
    let admin = Person::admin(&a).await.at(&b);
    a.kill();
    source.kill();
    let ended = bob.hear("broadcast").await;
    assert_eq!(
        (&ended["state"], &ended["b"]),
        (&json!("ended"), &live["b"]),
        "{ended}"
    );
    let late = Member::enter(&b, ROOM).await;
    assert!(late.welcome["broadcast"].is_null(), "{}", late.welcome);
    let past = admin.read("/api/v1/channels/stage/broadcasts").await;
    assert_eq!(past[0]["ended_how"], "server_lost", "{past}");
}

#[tokio::test]
async fn limits_are_those_of_all_nodes_together() {
    let few = [("chat.user_burst", "4"), ("chat.user_per_minute", "1")];
    let Some((_engines, a, b)) = two_nodes(&few).await else {
        return;
    };
    let (ann_here, mut here) = member(&a, &a, "ann").await;
    let mut there = Member::enter(&b, ROOM).await;
    there.auth(&ann_here.at(&b), "stage").await;
    let mut said = 0;
    for member in [&mut here, &mut there] {
        for _ in 0..4 {
            let answer = member.ask(json!({ "t": "send", "text": "again" })).await;
            match answer["t"].as_str().unwrap() {
                "ack" => said += 1,
                _ => assert_eq!(answer["code"], "too_fast", "{answer}"),
            }
        }
    }
    assert_eq!(said, 4, "not so many on each");
}

#[tokio::test]
async fn a_key_that_the_others_do_not_have_is_refused_at_the_start() {
    let Some(engines) = Engines::start().await else {
        return;
    };
    let settings = engines.settings();
    let first = Server::with(&with(&settings, &[])).await;
    let other = tempfile::TempDir::new().unwrap();
    let database = crate::support::postgres::url(first.dir().path()).unwrap();
    let database = [("database.url", database.as_str())];
    let dir = other.path().to_str().unwrap();
    let args = ["serve", "--data-dir", dir, "--http-listen", "127.0.0.1:0"];
    let output = crate::support::server::run_with(&args, &with(&settings, &database), "").await;
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("server.key"), "{told}");
}

/// A place on the chat lane: its epoch and offset.
type Place = (u64, u64);

/// What one viewer heard.
#[derive(Default)]
struct Heard {
    danmaku: BTreeMap<Place, String>,
    /// Epoch, from, to: what it was told that it will not hear.
    gaps: Vec<(u64, u64, u64)>,
    /// From where on it was there.
    from: Option<Place>,
}

impl Heard {
    fn knows_of(&self, place: Place, text: &str) -> bool {
        let covers = |gap: &(u64, u64, u64)| gap.0 == place.0 && (gap.1..gap.2).contains(&place.1);
        self.danmaku
            .get(&place)
            .map_or_else(|| self.gaps.iter().any(covers), |heard| heard == text)
    }
}

/// Clients that speak and listen, and return to whichever node lets them in.
struct Crowd {
    nodes: [SocketAddr; 2],
    /// Nobody says anything more.
    silent: AtomicBool,
    acknowledged: AtomicU64,
    /// The last place that was acknowledged, once all is said.
    last: OnceLock<Place>,
}

fn place_of(member: &Member, p: &Value) -> Place {
    let epoch = member.welcome["lanes"]["chat"]["e"].as_u64().unwrap();
    (epoch, p.as_u64().unwrap())
}

impl Crowd {
    /// In the room, at the node `home` if that is there.
    async fn enter(&self, home: usize, query: &str) -> Member {
        let (mut looks, began) = (interval(Duration::from_millis(50)), Instant::now());
        for tried in home.. {
            let node = self.nodes[tried % self.nodes.len()];
            if let Some(member) = Member::at(node, query, Encoding::Msgpack).await {
                return member;
            }
            assert!(began.elapsed() < DEADLINE, "no node lets anybody in");
            looks.tick().await;
        }
        unreachable!("there are many numbers")
    }

    /// Says two hundred and fifty things a second; gives what of it was acknowledged.
    async fn speak(
        self: Arc<Self>,
        home: usize,
        name: String,
        token: Value,
    ) -> Vec<(Place, String)> {
        let (mut acknowledged, mut said) = (Vec::new(), 0_u64);
        while !self.silent.load(Ordering::Relaxed) {
            let mut member = self.enter(home, ROOM).await;
            member.say(&json!({ "t": "auth", "token": token })).await;
            let mut ticks = interval(Duration::from_millis(20));
            loop {
                tokio::select! {
                    _ = ticks.tick() => {
                        if self.silent.load(Ordering::Relaxed) {
                            break;
                        }
                        for _ in 0..5 {
                            let text = format!("{name} {said}");
                            member.say(&json!({ "t": "send", "id": said, "text": text })).await;
                            said += 1;
                        }
                    }
                    heard = member.next() => {
                        let Some(heard) = heard else { break };
                        if heard["t"] == "ack" {
                            let text = format!("{name} {}", heard["id"]);
                            acknowledged.push((place_of(&member, &heard["p"]), text));
                            self.acknowledged.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            }
        }
        acknowledged
    }

    /// Listens until it has heard all.
    async fn listen(self: Arc<Self>, home: usize) -> Heard {
        let (mut record, mut next): (Heard, Option<Place>) = Default::default();
        loop {
            let since = next.map_or(String::new(), |(e, p)| format!("&since=chat:{e}:{p}"));
            let mut member = self.enter(home, &format!("{ROOM}{since}")).await;
            let now = place_of(&member, &member.welcome["lanes"]["chat"]["p"]);
            let (epoch, mut at) = match next {
                Some(next) if next.0 == now.0 => next,
                Some(_) => panic!("the lanes begin anew although nothing was lost"),
                None => now,
            };
            let from = *record.from.get_or_insert((epoch, at));
            while self.last.get().is_none_or(|last| at <= last.1) {
                let Some(heard) = member.next().await else {
                    break;
                };
                let p = |name: &str| heard[name].as_u64().unwrap();
                if heard["t"] == "danmaku" && (epoch, p("p")) >= from {
                    assert_eq!(p("p"), at, "in order, once, nothing undeclared");
                    let text = heard["text"].as_str().unwrap().to_owned();
                    record.danmaku.insert((epoch, at), text);
                    at += 1;
                } else if heard["t"] == "gap" && heard["l"] == "chat" {
                    assert_eq!(p("from"), at, "in order, once, nothing undeclared");
                    at = p("to");
                    record.gaps.push((epoch, p("from"), at));
                }
            }
            if self.last.get().is_some_and(|last| at > last.1) {
                return record;
            }
            next = Some((epoch, at));
        }
    }

    async fn hears_of(&self, more: u64) {
        let before = self.acknowledged.load(Ordering::Relaxed);
        until("as much is acknowledged", async || {
            (self.acknowledged.load(Ordering::Relaxed) >= before + more).then_some(())
        })
        .await;
    }
}

/// A thousand danmaku a second on two nodes, while something is killed; afterwards everybody who was
/// there knows of everything that was acknowledged.
async fn nothing_is_lost_while(kill: impl AsyncFnOnce(&mut Engines, &mut Server, &Crowd)) {
    let Some((mut engines, mut a, b)) = two_nodes(&FREE).await else {
        return;
    };
    let crowd = Arc::new(Crowd {
        nodes: [a.http, b.http],
        silent: AtomicBool::new(false),
        acknowledged: AtomicU64::new(0),
        last: OnceLock::new(),
    });
    // The first node is the one that holds the room.
    let _first = Member::enter(&a, ROOM).await;
    let listeners: Vec<_> = (0..4)
        .map(|number| tokio::spawn(Arc::clone(&crowd).listen(number % 2)))
        .collect();
    let mut speakers = Vec::new();
    for (number, name) in ["ann", "bob", "cat", "dan"].into_iter().enumerate() {
        let person = Person::new(&a, name).await;
        let token = "/api/v1/rooms/stage/token";
        let token = person.ok(Method::POST, token, &Value::Null).await["token"].clone();
        let speaker = Arc::clone(&crowd).speak(number % 2, name.to_owned(), token);
        speakers.push(tokio::spawn(speaker));
    }
    crowd.hears_of(1_500).await;
    kill(&mut engines, &mut a, &crowd).await;
    crowd.hears_of(1_500).await;
    crowd.silent.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for speaker in speakers {
        acknowledged.extend(speaker.await.expect("a speaker ends"));
    }
    let places: BTreeMap<_, _> = acknowledged.iter().cloned().collect();
    assert_eq!(places.len(), acknowledged.len(), "no place is given twice");
    let last = *places.last_key_value().expect("something is said").0;
    crowd.last.set(last).expect("it is set once");
    // What comes last of all shows to all who are quiet by then that they have heard everything.
    let closing = Person::new(&b, "eve").await;
    let mut eve = Member::enter(&b, ROOM).await;
    eve.auth(&closing, "stage").await;
    eve.danmaku("over").await;
    for listener in listeners {
        let heard = listener.await.expect("a listener hears all");
        let from = heard.from.expect("it was there");
        for (place, text) in places.range(from..) {
            assert!(heard.knows_of(*place, text), "{text} at {place:?} is lost");
        }
        let declared: u64 = heard.gaps.iter().map(|(_, from, to)| to - from).sum();
        println!(
            "{} heard, {declared} declared of {}",
            heard.danmaku.len(),
            places.len()
        );
    }
}

#[tokio::test]
async fn nothing_is_lost_when_the_holder_of_a_room_is_killed() {
    nothing_is_lost_while(async |_, holder, _| holder.kill()).await;
}

#[tokio::test]
async fn nothing_is_lost_when_the_holder_of_a_room_hangs_and_wakes_up_again() {
    nothing_is_lost_while(async |_, holder, crowd| {
        holder.signal("STOP");
        // Those at the other node wait for the lease to run out, and go on.
        crowd.hears_of(1_000).await;
        holder.signal("CONT");
    })
    .await;
}

#[tokio::test]
async fn nothing_is_lost_when_nats_is_killed() {
    nothing_is_lost_while(async |engines, _, crowd| {
        engines.kill_nats();
        // Those at the holder go on.
        crowd.hears_of(1_000).await;
        engines.start_nats().await;
    })
    .await;
}

#[tokio::test]
async fn nothing_is_lost_when_redis_is_killed() {
    nothing_is_lost_while(async |engines, _, crowd| {
        engines.kill_redis();
        crowd.hears_of(1_500).await;
        engines.start_redis().await;
    })
    .await;
}

#[tokio::test]
async fn a_node_that_is_cut_off_says_so_and_since_when() {
    let Some((mut engines, a, b)) = two_nodes(&[]).await else {
        return;
    };
    let (_, mut ann) = member(&a, &a, "ann").await;
    let (_, mut bob) = member(&a, &b, "bob").await;
    ann.danmaku("before").await;
    bob.texts(1).await;
    engines.kill_nats();
    let degraded = bob.hear("degraded").await;
    let since = degraded["chat_since_ms"]
        .as_i64()
        .expect("it is told since when");
    let refused = bob
        .ask(json!({ "t": "send", "text": "nobody hears" }))
        .await;
    assert_eq!(refused["code"], "unavailable", "{refused}");
    let late = Member::enter(&b, ROOM).await;
    assert_eq!(late.welcome["chat_down_since_ms"], since);
    // Those where the room is held go on.
    ann.danmaku("meanwhile").await;
    engines.start_nats().await;
    assert_eq!(bob.texts(1).await, ["meanwhile"]);
    loop {
        if bob.hear("degraded").await["chat_since_ms"].is_null() {
            break;
        }
    }
    bob.danmaku("after").await;
    assert_eq!(ann.texts(3).await, ["before", "meanwhile", "after"]);
}

#[tokio::test]
async fn a_node_that_ends_gives_its_rooms_to_the_others() {
    let Some((_engines, mut a, b)) = two_nodes(&FREE).await else {
        return;
    };
    let (ann, mut here) = member(&a, &a, "ann").await;
    let (_, mut bob) = member(&a, &b, "bob").await;
    assert_eq!(here.danmaku("before").await, 0);
    assert!(a.terminate().await.success());
    let place = until("somebody holds the room", async || {
        let answer = bob.ask(json!({ "t": "send", "text": "after" })).await;
        answer["p"].as_u64()
    })
    .await;
    assert_eq!(place, 1);
    let mut again = Member::enter(&b, &format!("{ROOM}&since={}", here.since(1))).await;
    assert_eq!(again.texts(1).await, ["after"]);
    again.auth(&ann.at(&b), "stage").await;
}

#[tokio::test]
async fn a_holder_that_was_away_for_a_moment_opens_its_rooms_when_the_others_ask() {
    let Some((engines, mut a, b)) = two_nodes(&FREE).await else {
        return;
    };
    let (_, mut ann) = member(&a, &a, "ann").await;
    let (_, mut bob) = member(&a, &b, "bob").await;
    assert_eq!(ann.danmaku("before").await, 0);
    a.kill();
    // Back before its lease has run out; nobody comes to the room there.
    let settings = engines.settings();
    let a = Server::on(Arc::clone(a.dir()), &with(&settings, &FREE)).await;
    let place = until("somebody holds the room", async || {
        let answer = bob.ask(json!({ "t": "send", "text": "after" })).await;
        answer["p"].as_u64()
    })
    .await;
    assert_eq!(place, 1);
    let mut late = Member::enter(&a, ROOM).await;
    assert_eq!(late.texts(2).await, ["before", "after"]);
}

#[tokio::test]
async fn who_held_a_room_before_it_hung_writes_nothing_more() {
    let Some((_engines, a, b)) = two_nodes(&FREE).await else {
        return;
    };
    let (_, mut ann) = member(&a, &a, "ann").await;
    let (_, mut bob) = member(&a, &b, "bob").await;
    assert_eq!(ann.danmaku("before").await, 0);
    bob.texts(1).await;
    a.signal("STOP");
    let late = json!({ "t": "send", "id": 99, "text": "to one who is gone" });
    ann.say(&late).await;
    b.logged(&["took a room over"]).await;
    a.signal("CONT");
    // It is the first thing that `a` does, before it knows that the room is another's.
    while let Some(heard) = ann.next().await {
        if heard["id"] == 99 {
            assert_eq!(heard["code"], "unavailable", "{heard}");
            break;
        }
    }
    assert_eq!(bob.danmaku("after").await, 1);
    let mut late = Member::enter(&a, ROOM).await;
    assert_eq!(late.texts(2).await, ["before", "after"]);
}

#[tokio::test]
async fn who_comes_from_a_node_that_is_ahead_hears_nothing_twice() {
    let Some((_engines, a, b)) = two_nodes(&FREE).await else {
        return;
    };
    let (_, mut ann) = member(&a, &a, "ann").await;
    let (_, _bob) = member(&a, &b, "bob").await;
    b.signal("STOP");
    for place in 0..20 {
        assert_eq!(ann.danmaku("said while b hangs").await, place);
    }
    let (query, node) = (format!("{ROOM}&since={}", ann.since(20)), b.http);
    let comes = tokio::spawn(async move { Member::at(node, &query, Encoding::Json).await });
    // It stands at the door when `b` wakes up.
    tokio::task::yield_now().await;
    b.signal("CONT");
    let mut ann_there = comes.await.unwrap().expect("the room lets everybody in");
    ann.danmaku("after").await;
    assert_eq!(ann_there.texts(1).await, ["after"]);
}

#[tokio::test]
async fn gifts_are_given_on_any_node_and_outlive_the_one_that_has_the_ledger() {
    let free = [
        &FREE[..],
        &[("gifts.burst", "10000"), ("gifts.per_second", "10000")],
    ]
    .concat();
    let Some((_engines, mut a, b)) = two_nodes(&free).await else {
        return;
    };
    let mut ann_there = Member::enter(&b, ROOM).await;
    let ann = Person::new(&a, "ann").await;
    crate::support::coins::top_up(&ann).await;
    let ann = ann.at(&b);
    ann_there.auth(&ann, "stage").await;
    let mut viewers = [
        Member::enter(&a, ROOM).await,
        Member::with(&b, ROOM, Encoding::Msgpack).await,
    ];
    let give = |key: String| json!({ "t": "give", "key": key, "gift": "rose" });
    // The first node has the ledger; it is given on the second.
    let mut seqs = Vec::new();
    for number in 0..5 {
        let given = ann_there.ask(give(format!("k{number}"))).await;
        assert_eq!(given["t"], "given", "{given}");
        seqs.push(given["seq"].clone());
    }
    for viewer in &mut viewers {
        for seq in &seqs {
            assert_eq!(viewer.hear("gift").await["seq"], *seq);
        }
    }
    // On each connection of hers, wherever it is.
    let mut on_a = Member::enter(&a, ROOM).await;
    on_a.auth(&ann.at(&a), "stage").await;
    let given = ann_there.ask(give("k5".into())).await;
    assert_eq!(on_a.hear("wallet").await["wallet"], given["wallet"]);
    let last = viewers[1].hear("gift").await;
    let (epoch, next) = (
        &viewers[1].welcome["lanes"]["money"]["e"],
        last["p"].as_u64().unwrap() + 1,
    );
    let returning = format!("{ROOM}&since=money:{epoch}:{next}");

    a.kill();
    // Whatever is not known to be given is asked again, under the same key.
    let given = loop {
        let given = ann_there.ask(give("after".into())).await;
        if given["t"] == "given" {
            break given;
        }
        assert_eq!(given["code"], "unavailable", "{given}");
        tokio::task::yield_now().await;
    };
    let mut viewer = Member::enter(&b, &returning).await;
    assert_eq!(viewer.hear("gift").await["seq"], given["seq"]);
    let history = ann.read("/api/v1/wallet/history").await;
    let gifts = history["lines"].as_array().unwrap().iter();
    let gifts: Vec<_> = gifts.filter(|line| line["kind"] == "gift").collect();
    assert_eq!(gifts.len(), 7);
    assert_eq!(gifts[0]["seq"], given["seq"]);
}
