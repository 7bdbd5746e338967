//! Coins for a test.

use reqwest::Method;
use serde_json::json;

use super::{Person, until};

/// Somebody pays for the largest pack, in the sandbox; tells how many coins they have then.
pub(crate) async fn top_up(person: &Person) -> i64 {
    let wallet = person.read("/api/v1/wallet").await;
    let before = wallet["wallet"]["coins"].as_i64().expect("a balance");
    let version = wallet["wallet"]["version"].as_i64().expect("a version");
    let packs = wallet["packs"].as_array().expect("packs");
    let pack = packs
        .iter()
        .max_by_key(|pack| pack["coins"].as_i64())
        .expect("a pack");
    let request = person.request(Method::POST, "/api/v1/wallet/top-ups");
    let request = request.header("idempotency-key", format!("{before}-{version}"));
    let answer = person
        .send(request.json(&json!({ "pack": pack["id"] })))
        .await;
    assert_eq!(answer.status(), 201);
    let top_up: serde_json::Value = answer.json().await.expect("a top-up");
    let id = top_up["id"].as_str().expect("an identity");
    let checkout = format!("/api/v1/payments/sandbox/{id}");
    person
        .ok(Method::POST, &checkout, &json!({ "outcome": "pay" }))
        .await;
    let wanted = before + pack["coins"].as_i64().expect("coins");
    until("the coins are there", async || {
        let wallet = person.read("/api/v1/wallet").await;
        let coins = wallet["wallet"]["coins"].as_i64();
        coins.filter(|coins| *coins >= wanted)
    })
    .await
}
