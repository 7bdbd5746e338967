//! localstripe, a server of another make that speaks like Stripe; and before it what it lacks. It has no
//! Checkout Sessions, so that a session here is a payment intent there that waits for its buyer, and it tells
//! nobody of refunds and has no disputes. Payments, refunds and signed webhooks are its own.

use std::collections::HashMap;
use std::process::Command;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::server::Process;
use super::{Server, browser, until};

const LOCALSTRIPE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../.tools/venv/bin/localstripe"
);

/// What webhooks are signed with.
pub(crate) const SECRET: &str = "whsec_of_the_tests";

/// What the shop knows us by.
pub(crate) const KEY: &str = "sk_test_of_the_tests";

/// A payment provider.
pub(crate) struct Shop {
    _process: Process,
    stripe: Stripe,
    /// Where a server asks it.
    pub(crate) url: String,
}

#[derive(Clone)]
struct Stripe {
    url: String,
    client: reqwest::Client,
}

impl Stripe {
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let request = self.client.request(method, format!("{}{path}", self.url));
        let request = request.basic_auth(KEY, None::<&str>);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let answer = request.send().await.expect("localstripe answers");
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap_or_default();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn ok(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.ask(method, path, body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }
}

/// A session, as a payment intent stands.
fn session(intent: &Value) -> Value {
    let is_paid = intent["status"] == "succeeded";
    let id = intent["id"].as_str().expect("an identity");
    json!({
        "id": format!("cs_{id}"),
        "object": "checkout.session",
        "url": format!("https://checkout.example/{id}"),
        "payment_intent": id,
        "amount_total": intent["amount"],
        "currency": intent["currency"],
        "client_reference_id": intent["metadata"]["top_up"],
        "status": if is_paid { "complete" } else { "open" },
        "payment_status": if is_paid { "paid" } else { "unpaid" },
    })
}

async fn make_session(State(stripe): State<Stripe>, body: String) -> Response {
    let uri: Uri = format!("/?{body}").parse().expect("a form");
    let Query(form): Query<HashMap<String, String>> = Query::try_from_uri(&uri).expect("a form");
    let item = |name: &str| form[&format!("line_items[0][price_data][{name}]")].clone();
    let card =
        json!({ "number": "4242424242424242", "exp_month": 12, "exp_year": 2030, "cvc": "123" });
    let card = json!({ "type": "card", "card": card });
    let card = stripe
        .ok(Method::POST, "/v1/payment_methods", Some(card))
        .await;
    let intent = json!({
        "amount": item("unit_amount").parse::<i64>().expect("an amount"),
        "currency": item("currency"),
        "payment_method": card["id"],
        "metadata": { "top_up": form["payment_intent_data[metadata][top_up]"] },
    });
    let intent = stripe
        .ok(Method::POST, "/v1/payment_intents", Some(intent))
        .await;
    axum::Json(session(&intent)).into_response()
}

async fn show_session(State(stripe): State<Stripe>, Path(id): Path<String>) -> Response {
    let id = id.strip_prefix("cs_").expect("a session");
    let path = format!("/v1/payment_intents/{id}");
    axum::Json(session(&stripe.ok(Method::GET, &path, None).await)).into_response()
}

/// What localstripe can do by itself.
async fn pass_on(
    State(stripe): State<Stripe>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut request = stripe
        .client
        .request(method, format!("{}{}", stripe.url, uri.path()))
        .body(body);
    for name in ["authorization", "content-type"] {
        if let Some(value) = headers.get(name) {
            request = request.header(name, value);
        }
    }
    let answer = request.send().await.expect("localstripe answers");
    let status = StatusCode::from_u16(answer.status().as_u16()).expect("a status");
    (status, answer.bytes().await.expect("a body")).into_response()
}

impl Shop {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        // One that is free now, for a program that takes no other.
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut command = Command::new(LOCALSTRIPE);
        command.args(["--from-scratch", "--port", &port.to_string()]);
        let process = Process::start("localstripe", &mut command);
        until("localstripe listens", async || {
            let tried = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
            tried.ok()
        })
        .await;
        let stripe = Stripe {
            url: format!("http://127.0.0.1:{port}"),
            client: browser().build().unwrap(),
        };
        let router = Router::new()
            .route("/v1/checkout/sessions", post(make_session))
            .route("/v1/checkout/sessions/{id}", get(show_session))
            .fallback(pass_on)
            .with_state(stripe.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            _process: process,
            stripe,
            url,
        }
    }

    /// The settings of a server that sells through it.
    pub(crate) fn settings(&self) -> [(&'static str, &str); 5] {
        [
            ("public_url", "https://live.example"),
            ("payments.provider", "stripe"),
            ("payments.stripe.api_url", &self.url),
            ("payments.stripe.secret_key", KEY),
            ("payments.stripe.webhook_secrets", SECRET),
        ]
    }

    /// Has it send its webhooks to a server.
    pub(crate) async fn tells(&self, server: &Server) {
        let hook = json!({
            "url": server.url("/api/v1/payments/stripe/events"),
            "secret": SECRET,
        });
        let path = "/_config/webhooks/barrage";
        let (status, answer) = self.stripe.ask(Method::POST, path, Some(hook)).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// Somebody pays at the address of a checkout; gives the payment.
    pub(crate) async fn pays(&self, checkout_url: &str) -> String {
        let (_, id) = checkout_url.rsplit_once('/').expect("an address");
        let path = format!("/v1/payment_intents/{id}/confirm");
        let intent = self.stripe.ok(Method::POST, &path, Some(json!({}))).await;
        assert_eq!(intent["status"], "succeeded", "{intent}");
        id.to_owned()
    }

    /// How much of a payment was given back.
    pub(crate) async fn refunded(&self, payment: &str) -> Value {
        let path = format!("/v1/payment_intents/{payment}");
        let intent = self.stripe.ok(Method::GET, &path, None).await;
        intent["charges"]["data"][0]["amount_refunded"].clone()
    }
}
