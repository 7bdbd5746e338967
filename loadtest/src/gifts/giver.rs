//! Somebody who gives.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Client, Url};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{sleep, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::Account;
use crate::place::Place;
use crate::times::{Times, Window};

/// What the room is asked for.
pub(crate) const SUBPROTOCOL: &str = "barrage.v1.json";

/// How long answers are waited for after the last gift, and coins after they were paid for.
const ANSWERS_WAIT: Duration = Duration::from_secs(10);

/// How often it is looked whether coins are there.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Somebody in the room, with coins.
#[derive(Debug)]
pub(crate) struct Giver {
    socket: WebSocketStream<TcpStream>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub(crate) sent: u64,
    /// By their numbers in the ledger, when they were sent.
    pub(crate) seqs: Vec<(u64, Instant)>,
    /// By the code of the refusal.
    pub(crate) refused: BTreeMap<String, u64>,
    /// From sending to the answer.
    pub(crate) answers: Times,
}

impl Given {
    pub(crate) fn merge(&mut self, other: Self) {
        self.sent += other.sent;
        self.seqs.extend(other.seqs);
        for (code, count) in other.refused {
            *self.refused.entry(code).or_default() += count;
        }
        self.answers.merge(&other.answers);
    }
}

impl Giver {
    /// Signs in, buys what coins it needs in the sandbox, and comes into the room.
    pub(crate) async fn come(
        place: &Place,
        account: &Account,
        gift: &str,
        each: u64,
    ) -> anyhow::Result<Self> {
        let mut site = place.url.clone();
        if site.set_scheme("http").is_err() {
            bail!("{site} has no HTTP beside it");
        }
        let purse = Purse::open(site, account).await?;
        purse.fill(gift, each).await?;
        let room = place.url.query_pairs().find(|(name, _)| name == "room");
        let room = room.context("which room? An address is as ws://host/ws?room=name")?;
        let token = purse
            .post(&format!("/api/v1/rooms/{}/token", room.1), &Value::Null)
            .await?;
        let mut request = place.url.as_str().into_client_request()?;
        let protocol = SUBPROTOCOL.parse().context("a subprotocol")?;
        request
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", protocol);
        let socket = TcpStream::connect(place.address).await?;
        socket.set_nodelay(true)?;
        let (socket, _) = tokio_tungstenite::client_async(request, socket).await?;
        let mut giver = Self { socket };
        let auth = json!({ "t": "auth", "token": token["token"] });
        giver.socket.send(Message::text(auth.to_string())).await?;
        loop {
            for told in giver.hear().await? {
                match told["t"].as_str() {
                    Some("you") => return Ok(giver),
                    Some("error") => bail!("{}", told["message"]),
                    _ => {}
                }
            }
        }
    }

    /// Gives at its times, and waits for the answers. What breaks is told as a refusal.
    pub(crate) async fn give(
        mut self,
        gift: String,
        every: Duration,
        window: Window,
        answered: Arc<AtomicU64>,
    ) -> Given {
        let mut given = Given::default();
        let done = self.give_all(&gift, every, window, &answered, &mut given);
        if let Err(error) = done.await {
            given.refused.insert(format!("{error:#}"), 1);
        }
        given
    }

    async fn give_all(
        &mut self,
        gift: &str,
        every: Duration,
        window: Window,
        answered: &AtomicU64,
        given: &mut Given,
    ) -> anyhow::Result<()> {
        let run: u64 = rand::random();
        let mut waiting: HashMap<u64, Instant> = HashMap::new();
        let mut due = window.from;
        loop {
            let is_over = due >= window.until;
            if is_over && waiting.is_empty() {
                return Ok(());
            }
            let until = if is_over {
                window.until + ANSWERS_WAIT
            } else {
                due
            };
            tokio::select! {
                biased;
                () = sleep_until(until.into()) => {
                    if is_over {
                        return Ok(());
                    }
                    given.sent += 1;
                    let key = format!("{run:x}-{}", given.sent);
                    let give = json!({ "t": "give", "id": given.sent, "key": key, "gift": gift });
                    // From when it was to be, not from when there was time for it.
                    waiting.insert(given.sent, due);
                    self.socket.send(Message::text(give.to_string())).await?;
                    due += every;
                }
                told = self.hear() => {
                    for told in told? {
                        let sent = told["id"].as_u64().and_then(|id| waiting.remove(&id));
                        let Some(sent) = sent else { continue };
                        if let Some(seq) = told["seq"].as_u64() {
                            answered.fetch_add(1, Ordering::Relaxed);
                            given.answers.add_duration(sent.elapsed());
                            given.seqs.push((seq, sent));
                        } else {
                            let code = told["code"].as_str().unwrap_or_default();
                            *given.refused.entry(code.to_owned()).or_default() += 1;
                        }
                    }
                }
            }
        }
    }

    async fn hear(&mut self) -> anyhow::Result<Vec<Value>> {
        let message = self.socket.next().await;
        told(message.context("the server ended the connection")??)
    }
}

/// What a message from the room tells.
pub(crate) fn told(message: Message) -> anyhow::Result<Vec<Value>> {
    match message {
        Message::Text(text) => Ok(serde_json::from_str(&text)?),
        Message::Close(_) => bail!("the server ended the connection"),
        Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {
            Ok(Vec::new())
        }
    }
}

/// Somebody who is signed in.
struct Purse {
    client: Client,
    site: Url,
    cookie: String,
}

impl Purse {
    async fn open(site: Url, account: &Account) -> anyhow::Result<Self> {
        let client = Client::new();
        let body = json!({ "handle": account.handle, "password": account.password });
        let request = client.post(site.join("/api/v1/session")?).json(&body);
        let answer = request.send().await?.error_for_status();
        let answer = answer.with_context(|| format!("{} cannot sign in", account.handle))?;
        let cookie = answer.headers().get("set-cookie");
        let cookie = cookie.and_then(|cookie| cookie.to_str().ok());
        let cookie = cookie.and_then(|cookie| cookie.split(';').next());
        let cookie = cookie.context("the server gives no session")?.to_owned();
        Ok(Self {
            client,
            site,
            cookie,
        })
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = self.client.get(self.site.join(path)?);
        let answer = request.header("cookie", &self.cookie).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.client.post(self.site.join(path)?).json(body);
        let request = request
            .header("cookie", &self.cookie)
            .header("idempotency-key", format!("{:x}", rand::random::<u128>()));
        let answer = request.send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// Has coins for so many of a gift.
    async fn fill(&self, gift: &str, count: u64) -> anyhow::Result<()> {
        let catalogue = self.get("/api/v1/gifts").await?;
        let gifts = catalogue["gifts"].as_array().into_iter().flatten();
        let gift = gifts.into_iter().find(|one| one["id"] == *gift);
        let price = gift.and_then(|gift| gift["price"].as_u64());
        let wanted = price.context("there is no such gift")? * count;
        loop {
            let page = self.get("/api/v1/wallet").await?;
            let coins = page["wallet"]["coins"].as_u64().unwrap_or_default();
            if coins >= wanted {
                return Ok(());
            }
            let packs = page["packs"].as_array().into_iter().flatten();
            let pack = packs.max_by_key(|pack| pack["coins"].as_u64());
            let pack = pack.filter(|_| page["provider"] == "sandbox");
            let pack =
                pack.context("coins cost money here: set payments.provider = \"sandbox\"")?;
            self.buy(pack, coins).await?;
        }
    }

    async fn buy(&self, pack: &Value, coins: u64) -> anyhow::Result<()> {
        let bought = self
            .post("/api/v1/wallet/top-ups", &json!({ "pack": pack["id"] }))
            .await?;
        let id = bought["id"].as_str().context("a top-up has no identity")?;
        let checkout = format!("/api/v1/payments/sandbox/{id}");
        self.post(&checkout, &json!({ "outcome": "pay" })).await?;
        let began = Instant::now();
        while began.elapsed() < ANSWERS_WAIT {
            let page = self.get("/api/v1/wallet").await?;
            if page["wallet"]["coins"].as_u64() > Some(coins) {
                return Ok(());
            }
            sleep(LOOK_EVERY).await;
        }
        bail!("coins that were paid for do not come");
    }
}
