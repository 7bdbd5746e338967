//! Gifts under load, on a server that is killed again and again, while a provider tells of payments in
//! webhooks: under several names, in any order, more than once. After each kill the ledger is verified; in the
//! end each gift that was acknowledged is in the ledger once, and what is in the ledger was heard once by
//! everybody who returns, and nothing else was; each payment was credited once, and each that went back was
//! taken back once.
//!
//! `make soak-gifts` runs a thousand cycles of it in a directory, and goes on there after it was stopped. Set
//! `SOAK_CYCLES`, `SOAK_SEED` and `SOAK_DIR` to have it otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::server::run;
use crate::support::shop::{SECRET, Shop};
use crate::support::waiting::DEADLINE;
use crate::support::webhooks::{event, now_s, telling, told};
use crate::support::{Encoding, Member, Person, Server, until};

/// Kills in `make test`.
const CYCLES: u64 = 25;

/// Those who give at once, and those who watch.
const GIVERS: usize = 4;
const VIEWERS: usize = 2;

/// How many gifts a giver sends before it is known what became of them.
const AHEAD: usize = 24;

/// Who has fewer coins buys many.
const COINS_LEAST: i64 = 2_000;
const LARGE: &str = "648";

/// What somebody buys while the server is killed.
const SMALL: &str = "6";

/// Nobody is too fast, and the head of the chain moves.
const SETTINGS: [(&str, &str); 9] = [
    ("gifts.burst", "100000"),
    ("gifts.per_second", "100000"),
    ("gifts.seal_every_s", "1"),
    ("chat.connection_burst", "100000"),
    ("chat.connection_per_second", "100000"),
    ("accounts.attempts_per_minute_per_address", "100000"),
    ("rtmp.listen", "127.0.0.1:0"),
    ("webrtc.listen", ""),
    ("https.listen", ""),
];

/// What is known between two cycles.
#[derive(Serialize, Deserialize)]
struct Known {
    seed: u64,
    cycle: u64,
    /// The givers' sessions.
    cookies: Vec<String>,
    /// What was acknowledged, and as which entry of the ledger.
    acknowledged: BTreeMap<String, u64>,
    viewers: Vec<Heard>,
    sold: Vec<Sold>,
    /// The webhooks that the provider has still to send.
    untold: Vec<String>,
}

/// A pack that somebody paid for.
#[derive(Clone, Serialize, Deserialize)]
struct Sold {
    giver: usize,
    top_up: String,
    /// It was paid back.
    is_refunded: bool,
}

/// What a viewer has heard.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Heard {
    /// Where it is on the money lane.
    epoch: u64,
    next: u64,
    seqs: Vec<u64>,
}

/// Where a soak is.
struct Soak {
    known: Known,
    shop: Shop,
    dir: Arc<TempDir>,
    file: Option<PathBuf>,
}

impl Soak {
    /// Begins, or goes on where it was stopped.
    async fn begin() -> Self {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
        let root = std::env::var_os("SOAK_DIR").map(PathBuf::from);
        let file = root.as_ref().map(|root| root.join("soak.json"));
        let kept = file.as_ref().and_then(|file| std::fs::read(file).ok());
        let shop = Shop::start().await;
        if let (Some(root), Some(kept)) = (&root, kept) {
            let known = serde_json::from_slice(&kept).expect("what was known can be read");
            let dir = Arc::new(data_dir(root));
            return Self {
                known,
                shop,
                dir,
                file,
            };
        }
        let dir = Arc::new(match &root {
            Some(root) => {
                std::fs::create_dir_all(root).expect("a directory");
                data_dir(root)
            }
            None => TempDir::new().expect("a directory"),
        });
        let server = Server::on(Arc::clone(&dir), &SETTINGS).await;
        let _ = Person::streamer(&server, "mei").await;
        let mut cookies = Vec::new();
        for giver in 0..GIVERS {
            let person = Person::new(&server, &format!("giver_{giver}")).await;
            cookies.push(person.cookie().expect("a session"));
        }
        let known = Known {
            seed: number("SOAK_SEED").unwrap_or(20_261_123),
            cycle: 0,
            cookies,
            acknowledged: BTreeMap::new(),
            viewers: vec![Heard::default(); VIEWERS],
            sold: Vec::new(),
            untold: Vec::new(),
        };
        Self {
            known,
            shop,
            dir,
            file,
        }
    }

    async fn server(&self) -> Server {
        let settings = [&SETTINGS[..], &self.shop.settings()].concat();
        Server::on(Arc::clone(&self.dir), &settings).await
    }

    fn save(&self) {
        if let Some(file) = &self.file {
            let whole = serde_json::to_vec(&self.known).expect("it is plain data");
            let next = file.with_extension("next");
            let written = std::fs::write(&next, whole);
            written
                .and_then(|()| std::fs::rename(next, file))
                .expect("it can be written down");
        }
    }

    fn givers(&self, server: &Server) -> Vec<Person> {
        let cookies = self.known.cookies.iter();
        let givers = cookies.map(|cookie| {
            let person = Person::stranger(server);
            person.set_cookie(cookie);
            person
        });
        givers.collect()
    }

    /// Lets them give until so many gifts are acknowledged, and kills the server in the midst of it.
    async fn cycle(&mut self) {
        let Known { seed, cycle, .. } = self.known;
        let mut rng = StdRng::seed_from_u64(seed.wrapping_mul(1_000_003) ^ cycle);
        let server = self.server().await;
        let givers = self.givers(&server);
        for (number, person) in givers.iter().enumerate() {
            let wallet = person.read("/api/v1/wallet").await;
            if wallet["wallet"]["coins"].as_i64() < Some(COINS_LEAST) {
                self.sell(person, number, LARGE, false).await;
            }
        }
        self.tell_all(&server).await;
        let buyer = rng.random_range(0..GIVERS);
        let is_refunded = rng.random_range(0..4) == 0;
        self.sell(&givers[buyer], buyer, SMALL, is_refunded).await;
        let count = Arc::new(AtomicU64::new(0));
        // Whoever has never been here hears from now on.
        let mut watching = tokio::task::JoinSet::new();
        for (number, heard) in self.known.viewers.iter().cloned().enumerate() {
            let viewer = return_to(&server, &heard).await;
            watching.spawn(async move { (number, watch(viewer, heard, None).await) });
        }
        let mut giving = tokio::task::JoinSet::new();
        for (number, person) in givers.into_iter().enumerate() {
            let mut member = Member::enter(&server, "room=mei").await;
            member.auth(&person, "mei").await;
            let rng = StdRng::seed_from_u64(rng.random());
            let keys = format!("{cycle}-{number}");
            giving.spawn(give(person, member, keys, rng, Arc::clone(&count)));
        }
        let enough = rng.random_range(1..300);
        let acknowledged = async |least: u64| {
            until("so many are acknowledged", async || {
                (count.load(Ordering::Relaxed) >= least).then_some(())
            })
            .await;
        };
        acknowledged(rng.random_range(0..enough)).await;
        let untold = std::mem::take(&mut self.known.untold);
        let telling = StdRng::seed_from_u64(rng.random());
        let heard = tell(&server, &untold, telling, acknowledged(enough)).await;
        drop(server);
        // Whatever was not heard for certain is told again.
        let untold = untold.into_iter().enumerate();
        let untold = untold.filter(|(number, _)| !heard.contains(number));
        self.known.untold = untold.map(|(_, body)| body).collect();
        while let Some(acknowledged) = giving.join_next().await {
            for (key, seq) in acknowledged.expect("giving ends by itself") {
                let before = self.known.acknowledged.insert(key.clone(), seq);
                assert!(
                    before.is_none_or(|before| before == seq),
                    "{key} is twice in the ledger"
                );
            }
        }
        while let Some(watched) = watching.join_next().await {
            let (number, heard) = watched.expect("watching ends by itself");
            self.known.viewers[number] = heard;
        }
        self.verify().await;
        self.known.cycle += 1;
    }

    /// Somebody asks for a pack and pays, of which nothing is told yet.
    async fn sell(&mut self, person: &Person, giver: usize, pack: &str, is_refunded: bool) {
        let request = person.request(Method::POST, "/api/v1/wallet/top-ups");
        let key = format!("{}-{}", self.known.cycle, self.known.sold.len());
        let request = request.header("idempotency-key", key);
        let answer = person.send(request.json(&json!({ "pack": pack }))).await;
        assert_eq!(answer.status(), 201);
        let top_up: Value = answer.json().await.expect("a top-up");
        let amount = top_up["amount"].as_i64().expect("an amount");
        let told = told(&top_up, amount, "cny");
        let id = top_up["id"].as_str().expect("an identity").to_owned();
        let back = json!({ "id": format!("ch_{id}"), "payment_intent": told.payment,
            "amount_refunded": amount, "currency": "cny" });
        let mut tell = |name: &str, kind: &str, object: &Value| {
            let body = event(&format!("evt_{name}_{id}"), kind, object);
            self.known.untold.push(body);
        };
        tell("a", "payment_intent.succeeded", &told.intent);
        tell("b", "checkout.session.completed", &told.session);
        tell("c", "payment_intent.succeeded", &told.intent);
        if is_refunded {
            tell("d", "charge.refunded", &back);
            tell("e", "charge.refunded", &back);
        }
        self.known.sold.push(Sold {
            giver,
            top_up: id,
            is_refunded,
        });
    }

    /// Tells a server that nobody kills all that is untold.
    async fn tell_all(&mut self, server: &Server) {
        let untold = std::mem::take(&mut self.known.untold);
        until("all is told", async || {
            for body in &untold {
                let told = telling(server, body, SECRET, now_s()).send().await;
                if told.expect("the server is there").status() != 200 {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }

    /// What the command finds in the ledger that nobody has open.
    async fn verify(&self) {
        let dir = self.dir.path().to_str().expect("a text");
        let found = run(&["ledger", "verify", "--data-dir", dir], "").await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            found.status.success(),
            "cycle {}: {}{}",
            self.known.cycle,
            text(&found.stdout),
            text(&found.stderr)
        );
    }

    /// Compares what was acknowledged, what is in the ledger and what was heard.
    async fn compare(&mut self) {
        let server = self.server().await;
        let person = self.givers(&server).remove(0);
        self.sell(&person, 0, LARGE, false).await;
        self.tell_all(&server).await;
        let key = format!("calm-{}", self.known.cycle);
        let last = person
            .ok(
                Method::POST,
                "/api/v1/rooms/mei/gifts",
                &json!({ "key": key, "gift": "rose" }),
            )
            .await["seq"]
            .as_u64()
            .expect("a number");
        for number in 0..VIEWERS {
            let heard = self.known.viewers[number].clone();
            let viewer = return_to(&server, &heard).await;
            self.known.viewers[number] = watch(viewer, heard, Some(last)).await;
        }
        for sold in &self.known.sold {
            let person = &self.givers(&server)[sold.giver];
            let path = format!("/api/v1/wallet/top-ups/{}", sold.top_up);
            let state = if sold.is_refunded { "refunded" } else { "paid" };
            assert_eq!(person.read(&path).await["state"], state, "{path}");
        }
        let credited = self.in_the_ledger("top_up").await.len();
        assert_eq!(
            credited,
            self.known.sold.len(),
            "each payment is credited once"
        );
        let back = self.known.sold.iter().filter(|sold| sold.is_refunded);
        assert_eq!(self.in_the_ledger("refund").await.len(), back.count());
        let entered = self.in_the_ledger("gift").await;
        for (number, heard) in self.known.viewers.iter().enumerate() {
            let once: BTreeSet<u64> = heard.seqs.iter().copied().collect();
            assert_eq!(
                once.len(),
                heard.seqs.len(),
                "viewer {number} heard something twice"
            );
            let missing: Vec<_> = entered.difference(&once).take(9).collect();
            assert!(
                missing.is_empty(),
                "viewer {number} never heard {missing:?}"
            );
            let more: Vec<_> = once.difference(&entered).take(9).collect();
            assert!(
                more.is_empty(),
                "viewer {number} heard {more:?}, which is nowhere"
            );
        }
        let acknowledged: BTreeSet<u64> = self.known.acknowledged.values().copied().collect();
        assert_eq!(
            acknowledged.len(),
            self.known.acknowledged.len(),
            "two gifts are one"
        );
        let lost: Vec<_> = acknowledged.difference(&entered).take(9).collect();
        assert!(
            lost.is_empty(),
            "{lost:?} were acknowledged and are nowhere"
        );
        println!(
            "{} cycles: {credited} payments, {} gifts in the ledger, {} acknowledged, each heard once by {VIEWERS}",
            self.known.cycle,
            entered.len(),
            acknowledged.len(),
        );
    }

    /// The numbers of all transactions of a kind.
    async fn in_the_ledger(&self, kind: &str) -> BTreeSet<u64> {
        let dir = self.dir.path().to_str().expect("a text");
        let args = ["ledger", "export", "--format", "csv", "--data-dir", dir];
        let written = run(&args, "").await;
        assert!(written.status.success());
        let text = String::from_utf8(written.stdout).expect("a text");
        let gifts = text.lines().filter_map(|line| {
            let mut columns = line.split(',');
            let number = columns.nth(1)?.parse().ok()?;
            (columns.nth(1)? == kind).then_some(number)
        });
        gifts.collect()
    }
}

/// A directory that stays, and may be there already.
fn data_dir(root: &Path) -> TempDir {
    let (path, aside) = (root.join("data"), root.join("aside"));
    let is_there = path.exists();
    if is_there {
        std::fs::rename(&path, &aside).expect("it can be moved");
    }
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("data").rand_bytes(0).disable_cleanup(true);
    let dir = builder.tempdir_in(root).expect("a directory");
    if is_there {
        std::fs::remove_dir(&path).expect("it is empty");
        std::fs::rename(&aside, &path).expect("it can be moved");
    }
    dir
}

async fn return_to(server: &Server, heard: &Heard) -> Member {
    let Heard { epoch, next, .. } = heard;
    let query = format!("room=mei&since=money:{epoch}:{next}");
    Member::with(server, &query, Encoding::Json).await
}

/// Hears until the connection ends, or until something was heard.
async fn watch(mut viewer: Member, mut heard: Heard, last: Option<u64>) -> Heard {
    let lane = &viewer.welcome["lanes"]["money"];
    let epoch = lane["e"].as_u64().expect("an epoch");
    if heard.epoch != epoch {
        // Nobody has been here before.
        assert_eq!(heard.epoch, 0, "the room began anew");
        heard.epoch = epoch;
    }
    while last.is_none() || heard.seqs.last() != last.as_ref() {
        let Some(item) = viewer.next().await else {
            assert!(last.is_none(), "the connection ended");
            return heard;
        };
        if item["l"] == "money" {
            assert_ne!(item["t"], "gap", "{item}");
            assert_eq!(item["p"], heard.next, "{item}");
            heard.next += 1;
            heard.seqs.push(item["seq"].as_u64().expect("a number"));
        }
    }
    heard
}

/// Gives until the connection ends: each gift once, twice or three times, over the connection or the API, in
/// any order. Gives what was acknowledged.
async fn give(
    person: Person,
    mut member: Member,
    keys: String,
    mut rng: StdRng,
    count: Arc<AtomicU64>,
) -> Vec<(String, u64)> {
    let mut acknowledged = Vec::new();
    let mut sent: BTreeMap<u64, String> = BTreeMap::new();
    let mut number = 0_u64;
    let mut id = 0_u64;
    loop {
        let mut keys: Vec<String> = (0..AHEAD / 2)
            .flat_map(|_| {
                number += 1;
                let key = format!("{keys}-{number}");
                std::iter::repeat_n(key, rng.random_range(1..=3))
            })
            .collect();
        for place in (1..keys.len()).rev() {
            keys.swap(place, rng.random_range(0..=place));
        }
        let mut waiting = 0;
        let mut over_http = Vec::new();
        for key in keys {
            if rng.random_range(0..6) == 0 {
                over_http.push(give_over_http(&person, key));
                continue;
            }
            id += 1;
            let give = json!({ "t": "give", "id": id, "key": key, "gift": "rose" });
            member.say(&give).await;
            sent.insert(id, key);
            waiting += 1;
        }
        let answered = futures_util::future::join_all(over_http).await;
        let answered: Vec<_> = answered.into_iter().flatten().collect();
        count.fetch_add(answered.len() as u64, Ordering::Relaxed);
        acknowledged.extend(answered);
        while waiting > 0 {
            let Some(answer) = member.next().await else {
                return acknowledged;
            };
            let Some(key) = answer["id"].as_u64().and_then(|id| sent.remove(&id)) else {
                continue;
            };
            waiting -= 1;
            match answer["t"].as_str() {
                Some("given") => {
                    count.fetch_add(1, Ordering::Relaxed);
                    acknowledged.push((key, answer["seq"].as_u64().expect("a number")));
                }
                // On its way into the ground it may be.
                _ => assert!(
                    ["unavailable", "too_fast", "cannot_pay"]
                        .contains(&answer["code"].as_str().unwrap_or("")),
                    "{answer}"
                ),
            }
        }
    }
}

/// Tells events in any order, each once, twice or three times, until it is `enough`; gives which were heard.
async fn tell(
    server: &Server,
    events: &[String],
    mut rng: StdRng,
    enough: impl Future<Output = ()>,
) -> BTreeSet<usize> {
    let each = 0..events.len();
    let mut order: Vec<usize> = each
        .flat_map(|number| std::iter::repeat_n(number, rng.random_range(1..=3)))
        .collect();
    for place in (1..order.len()).rev() {
        order.swap(place, rng.random_range(0..=place));
    }
    let mut heard = BTreeSet::new();
    let telling = async {
        for number in order {
            let request = telling(server, &events[number], SECRET, now_s());
            let answer = request.send().await.expect("the server is there");
            match answer.status().as_u16() {
                200 => heard.insert(number),
                // The ledger is not there yet.
                503 => false,
                other => panic!("{other}"),
            };
        }
    };
    tokio::pin!(enough);
    tokio::select! {
        () = &mut enough => return heard,
        () = telling => {}
    }
    enough.await;
    heard
}

/// Somebody whose server is killed hears nothing.
async fn give_over_http(person: &Person, key: String) -> Option<(String, u64)> {
    let request = person.request(Method::POST, "/api/v1/rooms/mei/gifts");
    let request = request.json(&json!({ "key": key, "gift": "rose" }));
    let answer = tokio::time::timeout(DEADLINE, request.send())
        .await
        .ok()?
        .ok()?;
    if !answer.status().is_success() {
        return None;
    }
    let given: Value = answer.json().await.ok()?;
    Some((key, given["seq"].as_u64()?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_kill_at_any_moment_loses_or_doubles_a_gift() {
    let cycles = std::env::var("SOAK_CYCLES").ok();
    let cycles = cycles.map_or(CYCLES, |text| text.parse().expect("a number of cycles"));
    let mut soak = Soak::begin().await;
    while soak.known.cycle < cycles {
        soak.cycle().await;
        soak.save();
        if soak.known.cycle % 50 == 0 {
            soak.compare().await;
            soak.save();
        }
    }
    soak.compare().await;
}
