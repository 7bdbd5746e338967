//! What a provider tells in signed webhooks.

use gifts::payment::signature::{self, Secret};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::{Server, within};

const EVENTS: &str = "/api/v1/payments/stripe/events";

pub(crate) fn now_s() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_secs()).unwrap()
}

pub(crate) fn event(id: &str, kind: &str, object: &Value) -> String {
    let data = json!({ "object": object });
    json!({ "id": id, "type": kind, "created": now_s(), "data": data }).to_string()
}

/// The telling of something, signed with a secret at a time.
pub(crate) fn telling(server: &Server, body: &str, secret: &str, time_s: i64) -> RequestBuilder {
    let signed = signature::sign(&Secret::new(secret.as_bytes()), time_s, body.as_bytes());
    let request = server.client.post(server.url(EVENTS));
    let request = request.header("stripe-signature", signed);
    request.body(body.to_owned())
}

/// Tells the server something; gives the status and the code of an error.
pub(crate) async fn tell_as(
    server: &Server,
    body: &str,
    secret: &str,
    time_s: i64,
) -> (u16, Value) {
    let request = telling(server, body, secret, time_s);
    let answer = within("an answer", request.send()).await;
    let answer = answer.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    (status, body["error"]["code"].clone())
}

/// The two tellings of a payment, and what is told later.
pub(crate) struct Told {
    pub(crate) session: Value,
    pub(crate) intent: Value,
    pub(crate) payment: String,
}

pub(crate) fn told(top_up: &Value, amount: i64, currency: &str) -> Told {
    let (_, payment) = top_up["checkout_url"]
        .as_str()
        .unwrap()
        .rsplit_once('/')
        .unwrap();
    Told {
        session: json!({ "id": format!("cs_{payment}"), "payment_intent": payment, "payment_status": "paid",
            "client_reference_id": top_up["id"], "amount_total": amount, "currency": currency }),
        intent: json!({ "id": payment, "metadata": { "top_up": top_up["id"] },
            "amount": amount, "currency": currency }),
        payment: payment.to_owned(),
    }
}
