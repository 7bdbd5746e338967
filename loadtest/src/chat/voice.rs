//! Who says something: at its time, whatever the server does.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Client, Response, Url};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::mark::Mark;
use super::row::Progress;
use crate::place::Place;
use crate::times::{Times, Window};

const SUBPROTOCOL: &str = "barrage.v1.json";
/// How long answers are waited for after the last message.
const ANSWERS_WAIT: Duration = Duration::from_secs(10);
/// Requests under way at once, where messages are posted.
const POSTS_MAX: usize = 64;

/// What is said: so many messages a second of so many bytes, within the window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speech {
    pub(crate) window: Window,
    pub(crate) rate: u32,
    pub(crate) bytes: usize,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spoken {
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    /// By the code of the refusal.
    pub(crate) refused: BTreeMap<String, u64>,
    /// From saying something to the acknowledgement.
    pub(crate) answers: Times,
}

/// A connection to a room that may speak there.
#[derive(Debug)]
pub(crate) struct Voice {
    socket: WebSocketStream<TcpStream>,
}

#[derive(Deserialize)]
struct RoomToken {
    token: String,
}

#[derive(Serialize)]
#[serde(tag = "t", rename_all = "snake_case")]
enum Said<'a> {
    Auth { token: &'a str },
    Send { id: u32, text: String },
}

#[derive(Deserialize)]
struct Told {
    t: String,
    #[serde(default)]
    id: Option<usize>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

impl Speech {
    /// When the next message is to be said, if it is still in the window.
    fn due(&self, number: usize) -> Option<Instant> {
        let after = Duration::from_secs_f64(number as f64 / f64::from(self.rate.max(1)));
        let due = self.window.from + after;
        (self.rate > 0 && due < self.window.until).then_some(due)
    }
}

impl Voice {
    /// Comes into the room and says who it is, with an API token that has the scope `chat`.
    pub(crate) async fn join(place: &Place, token: &str) -> anyhow::Result<Self> {
        let room = room_of(&place.url)?;
        let mut url = place.url.clone();
        if url.set_scheme("http").is_err() {
            bail!("{url} has no HTTP beside it");
        }
        let url = url.join(&format!("/api/v1/rooms/{room}/token"))?;
        let answer = Client::new().post(url).bearer_auth(token).send().await?;
        let answer = answer
            .error_for_status()
            .context("the server gives no room token")?;
        let RoomToken { token } = answer.json().await?;

        let mut request = place.url.as_str().into_client_request()?;
        let protocol = SUBPROTOCOL.parse().context("a subprotocol")?;
        request
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", protocol);
        let socket = TcpStream::connect(place.address).await?;
        socket.set_nodelay(true)?;
        let (socket, _) = tokio_tungstenite::client_async(request, socket).await?;
        let mut voice = Self { socket };
        let auth = message(&Said::Auth { token: &token })?;
        voice.socket.send(auth).await?;
        loop {
            for told in voice.hear().await? {
                match told.t.as_str() {
                    "you" => return Ok(voice),
                    "error" => bail!("{}", told.message.unwrap_or_default()),
                    _ => {}
                }
            }
        }
    }

    /// Says what there is to say, and waits for the answers.
    pub(crate) async fn speak(mut self, speech: Speech) -> anyhow::Result<Spoken> {
        let mut spoken = Spoken::default();
        let mut said_at: Vec<Instant> = Vec::new();
        loop {
            let due = speech.due(said_at.len());
            if due.is_none() && spoken.answered() >= said_at.len() as u64 {
                break;
            }
            let until = due.unwrap_or(speech.window.until + ANSWERS_WAIT);
            tokio::select! {
                biased;
                () = sleep_until(until.into()) => {
                    if due.is_none() {
                        break;
                    }
                    self.say_what_is_due(&speech, &mut said_at).await?;
                }
                told = self.hear() => {
                    for told in told? {
                        spoken.take(told, &said_at);
                    }
                }
            }
        }
        spoken.sent = said_at.len() as u64;
        Ok(spoken)
    }

    /// What is late goes out together.
    async fn say_what_is_due(
        &mut self,
        speech: &Speech,
        said_at: &mut Vec<Instant>,
    ) -> anyhow::Result<()> {
        while speech
            .due(said_at.len())
            .is_some_and(|due| due <= Instant::now())
        {
            let id = u32::try_from(said_at.len())?;
            let text = Mark::now(id).text(speech.bytes);
            said_at.push(Instant::now());
            let said = Said::Send { id, text };
            self.socket.feed(message(&said)?).await?;
        }
        Ok(self.socket.flush().await?)
    }

    async fn hear(&mut self) -> anyhow::Result<Vec<Told>> {
        let message = self.socket.next().await;
        told(message.context("the server ended the connection")??)
    }
}

/// Posts messages to where they are given on, as they are.
pub(crate) async fn post(url: &Url, speech: Speech, progress: &Progress) -> anyhow::Result<Spoken> {
    let client = Client::builder().tcp_nodelay(true).build()?;
    let mut spoken = Spoken::default();
    let mut posts = JoinSet::new();
    let mut number = 0;
    while let Some(due) = speech.due(number) {
        sleep_until(due.into()).await;
        let text = Mark::now(u32::try_from(number)?).text(speech.bytes);
        let request = client.post(url.clone()).body(text);
        number += 1;
        posts.spawn(async move {
            let began = Instant::now();
            let answer = request.send().await.and_then(Response::error_for_status);
            (began.elapsed(), answer.map(|_| ()))
        });
        while posts.len() >= POSTS_MAX || (speech.due(number).is_none() && !posts.is_empty()) {
            let (took, outcome) = posts.join_next().await.context("a request")??;
            match outcome {
                Ok(()) => {
                    spoken.acknowledged += 1;
                    spoken.answers.add_duration(took);
                    progress.said.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => *spoken.refused.entry(error.to_string()).or_default() += 1,
            }
        }
    }
    spoken.sent = number as u64;
    Ok(spoken)
}

impl Spoken {
    fn answered(&self) -> u64 {
        self.acknowledged + self.refused.values().sum::<u64>()
    }

    fn take(&mut self, told: Told, said_at: &[Instant]) {
        match told.t.as_str() {
            "ack" => {
                self.acknowledged += 1;
                let said_at = told.id.and_then(|id| said_at.get(id));
                self.answers
                    .add_duration(said_at.map_or(Duration::ZERO, Instant::elapsed));
            }
            "error" => {
                let code = told.code.unwrap_or_default();
                *self.refused.entry(code).or_default() += 1;
            }
            _ => {}
        }
    }
}

fn message(said: &Said<'_>) -> anyhow::Result<Message> {
    Ok(Message::text(serde_json::to_string(said)?))
}

fn told(message: Message) -> anyhow::Result<Vec<Told>> {
    match message {
        Message::Text(text) => Ok(serde_json::from_str(&text)?),
        Message::Close(_) => bail!("the server ended the connection"),
        Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {
            Ok(Vec::new())
        }
    }
}

fn room_of(url: &Url) -> anyhow::Result<String> {
    let mut query = url.query_pairs();
    let room = query.find(|(name, _)| name == "room");
    room.map(|(_, room)| room.into_owned())
        .context("which room? An address is as ws://host/ws?room=name")
}
