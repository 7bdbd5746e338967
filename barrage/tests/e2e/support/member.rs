//! Somebody in a room, over a WebSocket of tokio-tungstenite's own.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{Person, Server, within};

/// Shakes hands with a server that has made its own certificate.
pub(crate) async fn tls_over(server: &Server, socket: TcpStream) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    let certificate = std::fs::read(server.path("self-signed.crt")).unwrap();
    let certificate = PemObject::from_pem_slice(&certificate);
    roots.add(certificate.unwrap()).unwrap();
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tls = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").unwrap();
    let shaken = within("a TLS handshake", tls.connect(name, socket)).await;
    shaken.unwrap()
}

/// How a member speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Msgpack,
}

/// A socket, plain or not.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

/// A connection to a room.
pub(crate) struct Member {
    socket: WebSocketStream<Box<dyn Socket>>,
    encoding: Encoding,
    heard: VecDeque<Value>,
    /// The first thing it was told.
    pub(crate) welcome: Value,
    /// The code with which it was ended.
    pub(crate) ended: Option<u16>,
    next_id: u64,
}

impl Member {
    /// Enters the room that a query names.
    pub(crate) async fn enter(server: &Server, query: &str) -> Self {
        let member = Self::try_enter(server, query, Encoding::Msgpack, &[]).await;
        member.expect("the room lets everybody in")
    }

    pub(crate) async fn with(server: &Server, query: &str, encoding: Encoding) -> Self {
        let member = Self::try_enter(server, query, encoding, &[]).await;
        member.expect("the room lets everybody in")
    }

    /// The same with headers; or the status of the refusal.
    pub(crate) async fn try_enter(
        server: &Server,
        query: &str,
        encoding: Encoding,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, u16> {
        let socket = TcpStream::connect(server.http).await.unwrap();
        let url = format!("ws://{}/ws?{query}", server.http);
        Self::over(Box::new(socket), &url, encoding, headers).await
    }

    /// Enters at an address, if somebody lets it in there.
    pub(crate) async fn at(address: SocketAddr, query: &str, encoding: Encoding) -> Option<Self> {
        let socket = TcpStream::connect(address).await.ok()?;
        let url = format!("ws://{address}/ws?{query}");
        Self::over(Box::new(socket), &url, encoding, &[]).await.ok()
    }

    /// The same over TLS.
    pub(crate) async fn over_tls(server: &Server, query: &str) -> Self {
        let address = server.https.expect("the server has https");
        let socket = TcpStream::connect(address).await.unwrap();
        let socket = tls_over(server, socket).await;
        let url = format!("wss://localhost:{}/ws?{query}", address.port());
        let member = Self::over(Box::new(socket), &url, Encoding::Json, &[]).await;
        member.expect("the room lets everybody in")
    }

    async fn over(
        socket: Box<dyn Socket>,
        url: &str,
        encoding: Encoding,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, u16> {
        let mut request = url.into_client_request().unwrap();
        let protocol = match encoding {
            Encoding::Json => "barrage.v1.json",
            Encoding::Msgpack => "barrage.v1.msgpack",
        };
        let protocol = [("sec-websocket-protocol", protocol)];
        for (name, value) in protocol.iter().chain(headers) {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (socket, _) = match within("a handshake", client_async(request, socket)).await {
            Ok(agreed) => agreed,
            Err(Error::Http(answer)) => return Err(answer.status().as_u16()),
            // Nobody is there any more.
            Err(_) => return Err(0),
        };
        let mut member = Self {
            socket,
            encoding,
            heard: VecDeque::new(),
            welcome: Value::Null,
            ended: None,
            next_id: 0,
        };
        member.welcome = member.next().await.ok_or(0_u16)?;
        assert_eq!(member.welcome["t"], "welcome");
        Ok(member)
    }

    /// The next thing heard; none when it was ended.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return Some(heard);
            }
            let message = within("a message", self.socket.next()).await?;
            let list = match (message, self.encoding) {
                (Ok(Message::Text(text)), Encoding::Json) => serde_json::from_str(&text).unwrap(),
                (Ok(Message::Binary(bytes)), Encoding::Msgpack) => {
                    rmp_serde::from_slice(&bytes).unwrap()
                }
                (Ok(Message::Close(frame)), _) => {
                    self.ended = frame.map(|frame| frame.code.into());
                    continue;
                }
                (Ok(Message::Ping(_) | Message::Pong(_)), _) => continue,
                (Err(_), _) => return None,
                (other, encoding) => panic!("{other:?} over {encoding:?}"),
            };
            let Value::Array(list) = list else {
                panic!("{list} is no list")
            };
            self.heard.extend(list);
        }
    }

    /// The next thing heard whose `t` is this.
    pub(crate) async fn hear(&mut self, t: &str) -> Value {
        let hearing = async {
            loop {
                let heard = self.next().await;
                let heard =
                    heard.unwrap_or_else(|| panic!("ended with {:?} before {t}", self.ended));
                if heard["t"] == t {
                    return heard;
                }
            }
        };
        // The room may say much else all the while.
        within(t, hearing).await
    }

    /// The texts of the next danmaku.
    pub(crate) async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            let danmaku = self.hear("danmaku").await;
            texts.push(danmaku["text"].as_str().unwrap().to_owned());
        }
        texts
    }

    /// Says something.
    pub(crate) async fn say(&mut self, value: &Value) {
        let message = match self.encoding {
            Encoding::Json => Message::text(value.to_string()),
            Encoding::Msgpack => Message::binary(rmp_serde::to_vec_named(value).unwrap()),
        };
        self.send(message).await;
    }

    /// Sends whatever it is.
    pub(crate) async fn send(&mut self, message: Message) {
        // Somebody who was ended hears of it by reading.
        let _ = within("it is sent", self.socket.send(message)).await;
    }

    /// Says who it is, by the token that the API gives that person for the room.
    pub(crate) async fn auth(&mut self, person: &Person, room: &str) -> Value {
        let path = format!("/api/v1/rooms/{room}/token");
        let token = person.ok(Method::POST, &path, &Value::Null).await["token"].clone();
        self.say(&json!({ "t": "auth", "token": token })).await;
        self.hear("you").await
    }

    /// Sends a danmaku; tells where it stands.
    pub(crate) async fn danmaku(&mut self, text: &str) -> u64 {
        let answer = self.ask(json!({ "t": "send", "text": text })).await;
        assert_eq!(answer["t"], "ack", "{answer}");
        answer["p"].as_u64().unwrap()
    }

    /// Says something with a number, and gives what is answered. What is heard meanwhile stays.
    pub(crate) async fn ask(&mut self, mut what: Value) -> Value {
        self.next_id += 1;
        what["id"] = self.next_id.into();
        self.say(&what).await;
        let mut before = VecDeque::new();
        loop {
            let heard = self.next().await.expect("an answer");
            assert!(heard["t"] != "error" || heard["id"].is_u64(), "{heard}");
            let answers = ["ack", "given", "error"].iter().any(|t| heard["t"] == *t);
            if heard["id"] == self.next_id && answers {
                before.append(&mut self.heard);
                self.heard = before;
                return heard;
            }
            before.push_back(heard);
        }
    }

    /// Where it is after having heard everything up to a place of the chat lane.
    pub(crate) fn since(&self, chat: u64) -> String {
        let lane = |name: &str, p: u64| format!("{name}:{}:{p}", self.welcome["lanes"][name]["e"]);
        let control = self.welcome["lanes"]["control"]["p"].as_u64().unwrap();
        format!("{},{}", lane("chat", chat), lane("control", control))
    }
}
