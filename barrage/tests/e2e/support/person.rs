//! Somebody with a browser's cookies, or a program with a token.

use std::sync::Mutex;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::server::{Server, read_json};
use super::waiting::within;

/// A password that nobody guesses.
pub(crate) const PASSWORD: &str = "three blind mice sing loudly";

/// A person at a server.
pub(crate) struct Person {
    base: String,
    client: reqwest::Client,
    cookie: Mutex<Option<String>>,
    token: Option<String>,
}

impl Person {
    /// Somebody whom the server does not know.
    pub(crate) fn stranger(server: &Server) -> Self {
        Self {
            base: server.url(""),
            client: server.client.clone(),
            cookie: Mutex::default(),
            token: None,
        }
    }

    /// The same over https, with whatever certificate.
    pub(crate) fn over_tls(server: &Server) -> Self {
        let https = server.https.expect("https is on");
        Self {
            base: format!("https://localhost:{}", https.port()),
            client: tls_client(),
            cookie: Mutex::default(),
            token: None,
        }
    }

    /// A program with an API token.
    pub(crate) fn with_token(server: &Server, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..Self::stranger(server)
        }
    }

    /// The same person at another server, which knows their session.
    pub(crate) fn at(&self, server: &Server) -> Self {
        let there = Self::stranger(server);
        there.set_cookie(&self.cookie().expect("somebody who is signed in"));
        there
    }

    /// Somebody who has just signed up.
    pub(crate) async fn new(server: &Server, handle: &str) -> Self {
        let person = Self::stranger(server);
        let account = json!({ "handle": handle, "password": PASSWORD });
        person.ok(Method::POST, "/api/v1/account", &account).await;
        person
    }

    /// Somebody who has just signed up and made a channel; and their stream key.
    pub(crate) async fn streamer(server: &Server, handle: &str) -> (Self, Value) {
        let person = Self::new(server, handle).await;
        person
            .ok(Method::POST, "/api/v1/channels", &json!({}))
            .await;
        let key = person
            .ok(
                Method::POST,
                &format!("/api/v1/channels/{handle}/keys"),
                &json!({ "name": "OBS" }),
            )
            .await;
        (person, key)
    }

    /// The administrator of the first start.
    pub(crate) async fn admin(server: &Server) -> Self {
        let first = read_json(&server.path("first-run.json")).expect("the first start was told");
        let person = Self::stranger(server);
        let password = first["admin"]["password"].as_str().expect("a password");
        person.sign_in("admin", password).await;
        person
    }

    pub(crate) async fn sign_in(&self, handle: &str, password: &str) -> Value {
        let credentials = json!({ "handle": handle, "password": password });
        self.ok(Method::POST, "/api/v1/session", &credentials).await
    }

    /// What the session's cookie says, if there is one.
    pub(crate) fn cookie(&self) -> Option<String> {
        self.cookie.lock().expect("nobody panics here").clone()
    }

    /// Takes a cookie from elsewhere.
    pub(crate) fn set_cookie(&self, cookie: &str) {
        *self.cookie.lock().expect("nobody panics here") = Some(cookie.to_owned());
    }

    /// A request as the browser of this person makes it.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(cookie) = self.cookie() {
            request = request.header("cookie", cookie);
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        request
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Response {
        let answer = within("an answer", request.send())
            .await
            .expect("an answer");
        for cookie in answer.headers().get_all("set-cookie") {
            let cookie = cookie.to_str().expect("a text");
            let pair = cookie.split(';').next().expect("a pair").to_owned();
            let kept = !pair.ends_with('=');
            *self.cookie.lock().expect("nobody panics here") = kept.then_some(pair);
        }
        answer
    }

    /// What comes of a request with a body: the status and the JSON, null if there is none.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> (StatusCode, Value) {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = self.send(request).await;
        let status = answer.status();
        let text = answer.text().await.expect("a text");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// What comes of a request that succeeds.
    pub(crate) async fn ok(&self, method: Method, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(method.clone(), path, Some(body)).await;
        assert!(status.is_success(), "{method} {path}: {status} {answer}");
        answer
    }

    /// What stands at a path.
    pub(crate) async fn read(&self, path: &str) -> Value {
        let (status, answer) = self.ask(Method::GET, path, None).await;
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    /// The status and code with which a request is refused.
    pub(crate) async fn refused(&self, method: Method, path: &str, body: &Value) -> (u16, String) {
        let (status, answer) = self.ask(method.clone(), path, Some(body)).await;
        let code = answer["error"]["code"].as_str().unwrap_or_default();
        assert!(!status.is_success(), "{method} {path} was not refused");
        (status.as_u16(), code.to_owned())
    }

    pub(crate) async fn delete(&self, path: &str) -> StatusCode {
        self.ask(Method::DELETE, path, None).await.0
    }
}

/// What makes HTTP requests.
pub(crate) fn browser() -> reqwest::ClientBuilder {
    // Another test may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}

/// The same, taking any certificate.
pub(crate) fn tls_client() -> reqwest::Client {
    browser()
        .tls_danger_accept_invalid_certs(true)
        .tls_info(true)
        .build()
        .expect("TLS can be had")
}
