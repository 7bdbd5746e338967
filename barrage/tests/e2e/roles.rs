//! Every route as every role: who may, who may not, and what a stranger learns.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Person, Server};

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// Anybody.
    All,
    /// Whoever is signed in.
    Known,
    /// The channel's owner, and operators.
    Owner,
    /// The same, and the channel's moderators.
    Staff,
    /// Operators.
    Operator,
}

use Who::{All, Known, Operator, Owner, Staff};

const NOBODY: &str = "01a1fdf6-9c6c-7189-ab4f-2d7777a7ec9d";

/// Every operation of the API, with a body that changes nothing that other rows lean on.
fn table() -> Vec<(Who, Method, &'static str, Value)> {
    let (get, post, put) = (Method::GET, Method::POST, Method::PUT);
    let (patch, delete) = (Method::PATCH, Method::DELETE);
    let none = || Value::Null;
    vec![
        (All, get.clone(), "/api/openapi.json", none()),
        (All, get.clone(), "/healthz", none()),
        (All, get.clone(), "/readyz", none()),
        // From this machine.
        (All, get.clone(), "/metrics", none()),
        (All, get.clone(), "/api/v1/entrance", none()),
        (All, get.clone(), "/api/v1/streams", none()),
        (All, get.clone(), "/api/v1/streams/{handle}", none()),
        (
            All,
            get.clone(),
            "/api/v1/streams/{handle}/thumbnail.jpg",
            none(),
        ),
        (All, get.clone(), "/api/v1/channels/{handle}", none()),
        (All, get.clone(), "/api/v1/channels/{handle}/emotes", none()),
        (All, get.clone(), "/emotes/{id}", none()),
        (All, get.clone(), "/api/v1/channels/{handle}/follow", none()),
        (
            Known,
            put.clone(),
            "/api/v1/channels/{handle}/follow",
            none(),
        ),
        (
            Known,
            delete.clone(),
            "/api/v1/channels/{handle}/follow",
            none(),
        ),
        (Known, get.clone(), "/api/v1/account/follows", none()),
        (
            All,
            post.clone(),
            "/api/v1/account",
            json!({ "handle": "x", "password": "x" }),
        ),
        (
            All,
            post.clone(),
            "/api/v1/recoveries",
            json!({ "email": "a@example.org" }),
        ),
        (
            All,
            post.clone(),
            "/api/v1/recoveries/use",
            json!({ "secret": "x", "password": "x" }),
        ),
        (Known, get.clone(), "/api/v1/account", none()),
        (Known, patch.clone(), "/api/v1/account", json!({})),
        (
            Known,
            post.clone(),
            "/api/v1/account/password",
            json!({ "current": "x", "new": "" }),
        ),
        (Known, get.clone(), "/api/v1/account/sessions", none()),
        (Known, delete.clone(), "/api/v1/account/sessions", none()),
        (
            Known,
            delete.clone(),
            "/api/v1/account/sessions/{id}",
            none(),
        ),
        (Known, get.clone(), "/api/v1/account/tokens", none()),
        (
            Known,
            post.clone(),
            "/api/v1/account/tokens",
            json!({ "name": "", "scopes": [] }),
        ),
        (Known, delete.clone(), "/api/v1/account/tokens/{id}", none()),
        (
            Known,
            put.clone(),
            "/api/v1/account/moderates/{handle}",
            none(),
        ),
        (
            Known,
            delete.clone(),
            "/api/v1/account/moderates/{handle}",
            none(),
        ),
        (
            Known,
            post.clone(),
            "/api/v1/wallet/top-ups",
            json!({ "pack": "none" }),
        ),
        (Known, get.clone(), "/api/v1/wallet/top-ups", none()),
        (Known, get.clone(), "/api/v1/wallet/top-ups/{id}", none()),
        (Known, get.clone(), "/api/v1/payments/sandbox/{id}", none()),
        (
            Known,
            post.clone(),
            "/api/v1/payments/sandbox/{id}",
            json!({ "outcome": "pay" }),
        ),
        (All, post.clone(), "/api/v1/payments/stripe/events", none()),
        (
            Operator,
            post.clone(),
            "/api/v1/admin/money/payments/{id}/refund",
            json!({ "reason": "asked for", "why": "refund" }),
        ),
        (
            Known,
            post.clone(),
            "/api/v1/channels",
            json!({ "handle": "x" }),
        ),
        (Known, post.clone(), "/api/v1/rooms/{handle}/token", none()),
        (All, get.clone(), "/api/v1/rooms/{handle}/people", none()),
        (All, get.clone(), "/api/v1/rooms/{handle}/danmaku", none()),
        (
            Known,
            post.clone(),
            "/api/v1/rooms/{handle}/danmaku",
            json!({ "text": "" }),
        ),
        (Owner, patch.clone(), "/api/v1/channels/{handle}", json!({})),
        (
            Owner,
            get.clone(),
            "/api/v1/channels/{handle}/broadcasts",
            none(),
        ),
        (Owner, get.clone(), "/api/v1/channels/{handle}/keys", none()),
        (
            Owner,
            post.clone(),
            "/api/v1/channels/{handle}/keys",
            json!({ "name": "" }),
        ),
        (
            Owner,
            get.clone(),
            "/api/v1/channels/{handle}/keys/{id}",
            none(),
        ),
        (
            Owner,
            delete.clone(),
            "/api/v1/channels/{handle}/keys/{id}",
            none(),
        ),
        (
            Owner,
            post.clone(),
            "/api/v1/channels/{handle}/keys/{id}/rotate",
            none(),
        ),
        (
            Owner,
            post.clone(),
            "/api/v1/channels/{handle}/emotes",
            none(),
        ),
        (
            Owner,
            delete.clone(),
            "/api/v1/channels/{handle}/emotes/{code}",
            none(),
        ),
        (
            Owner,
            get.clone(),
            "/api/v1/channels/{handle}/webhooks",
            none(),
        ),
        (
            Owner,
            post.clone(),
            "/api/v1/channels/{handle}/webhooks",
            json!({ "url": "", "events": [] }),
        ),
        (
            Owner,
            delete.clone(),
            "/api/v1/channels/{handle}/webhooks/{id}",
            none(),
        ),
        (
            Owner,
            get.clone(),
            "/api/v1/channels/{handle}/webhooks/{id}/deliveries",
            none(),
        ),
        (
            Owner,
            post.clone(),
            "/api/v1/channels/{handle}/webhooks/{id}/test",
            none(),
        ),
        (
            Staff,
            get.clone(),
            "/api/v1/channels/{handle}/moderators",
            none(),
        ),
        (
            Owner,
            put.clone(),
            "/api/v1/channels/{handle}/moderators/{member}",
            none(),
        ),
        (
            Owner,
            delete.clone(),
            "/api/v1/channels/{handle}/moderators/{member}",
            none(),
        ),
        (
            Owner,
            post.clone(),
            "/api/v1/streams/{handle}/end",
            json!({ "reason": "x" }),
        ),
        (All, get.clone(), "/api/v1/gifts", none()),
        (
            Known,
            post.clone(),
            "/api/v1/rooms/{handle}/gifts",
            json!({ "key": "k", "gift": "none" }),
        ),
        (Known, get.clone(), "/api/v1/wallet", none()),
        (Known, get.clone(), "/api/v1/wallet/history", none()),
        (
            Owner,
            get.clone(),
            "/api/v1/channels/{handle}/earnings",
            none(),
        ),
        (
            Owner,
            get.clone(),
            "/api/v1/channels/{handle}/earnings/lines",
            none(),
        ),
        (Operator, get.clone(), "/api/v1/admin/gifts", none()),
        (
            Operator,
            post.clone(),
            "/api/v1/admin/gifts",
            json!({ "id": "" }),
        ),
        (
            Operator,
            patch.clone(),
            "/api/v1/admin/gifts/{id}",
            json!({}),
        ),
        (
            Operator,
            get.clone(),
            "/api/v1/admin/wallets/{handle}",
            none(),
        ),
        (
            Operator,
            post.clone(),
            "/api/v1/admin/wallets/{handle}/freeze",
            json!({ "reason": "" }),
        ),
        (
            Operator,
            post.clone(),
            "/api/v1/admin/wallets/{handle}/unfreeze",
            json!({ "reason": "" }),
        ),
        (Operator, get.clone(), "/api/v1/admin/money/notes", none()),
        (
            Operator,
            post.clone(),
            "/api/v1/admin/money/reversals",
            json!({ "transaction": "x", "why": "refund", "reason": "a typo" }),
        ),
        (
            Operator,
            get.clone(),
            "/api/v1/admin/channels/{handle}/contract",
            none(),
        ),
        (
            Operator,
            put.clone(),
            "/api/v1/admin/channels/{handle}/contract",
            json!({ "streamer_bp": 1, "reason": "" }),
        ),
        (Operator, get.clone(), "/api/v1/admin/agencies", none()),
        (
            Operator,
            post.clone(),
            "/api/v1/admin/agencies",
            json!({ "name": "" }),
        ),
        (Operator, get.clone(), "/api/v1/admin/users", none()),
        (
            Operator,
            post.clone(),
            "/api/v1/admin/users",
            json!({ "handle": "newcomer" }),
        ),
        (Operator, patch, "/api/v1/admin/users/{handle}", json!({})),
        (
            Operator,
            post.clone(),
            "/api/v1/admin/users/{handle}/recovery",
            none(),
        ),
        (Operator, get.clone(), "/api/v1/admin/channels", none()),
        (Operator, get.clone(), "/api/v1/admin/config", none()),
        (Operator, get.clone(), "/api/v1/admin/health", none()),
        (Operator, get.clone(), "/api/v1/admin/webrtc", none()),
        (Operator, get, "/api/v1/admin/webrtc/{session}", none()),
        // Last: they end what the others lean on.
        (
            All,
            post,
            "/api/v1/session",
            json!({ "handle": "x", "password": "x" }),
        ),
        (Known, delete, "/api/v1/session", none()),
    ]
}

/// Somebody, and for whom they count on mei's channel.
struct Role {
    name: &'static str,
    person: Person,
    may: &'static [Who],
}

async fn roles(server: &Server) -> Vec<Role> {
    let (owner, _) = Person::streamer(server, "mei").await;
    let moderator = Person::new(server, "lin").await;
    owner
        .ok(
            Method::PUT,
            "/api/v1/channels/mei/moderators/lin",
            &Value::Null,
        )
        .await;
    moderator
        .ok(Method::PUT, "/api/v1/account/moderates/mei", &Value::Null)
        .await;
    let role = |name, person, may| Role { name, person, may };
    vec![
        role("a stranger", Person::stranger(server), &[All]),
        role("a viewer", Person::new(server, "eve").await, &[All, Known]),
        role(
            "another streamer",
            Person::streamer(server, "bob").await.0,
            &[All, Known],
        ),
        role("the owner", owner, &[All, Known, Owner, Staff]),
        role(
            "an operator",
            Person::admin(server).await,
            &[All, Known, Owner, Staff, Operator],
        ),
        // Last: some of the rows end being a moderator.
        role("a moderator", moderator, &[All, Known, Staff]),
    ]
}

#[tokio::test]
async fn every_route_lets_in_whom_it_should_and_tells_others_nothing() {
    let server = Server::with(&[("accounts.attempts_per_minute_per_address", "10000")]).await;
    let document = server.json("/api/openapi.json").await;
    let mut described: Vec<String> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().keys();
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    let mut known: Vec<String> = table()
        .iter()
        .map(|(_, method, path, _)| format!("{method} {path}"))
        .collect();
    described.sort();
    known.sort();
    assert_eq!(described, known, "the description and this table differ");

    for role in roles(&server).await {
        for (who, method, template, body) in table() {
            // A moderator stays one until their last row.
            if role.name == "a moderator" && template.contains("account/moderates") {
                continue;
            }
            let handle = if template.contains("/admin/users") {
                "eve"
            } else {
                "mei"
            };
            let path = template
                .replace("{handle}", handle)
                .replace("{code}", "hi")
                .replace("{member}", "nobody_here")
                .replace("{id}", NOBODY);
            let body = Some(&body).filter(|body| !body.is_null());
            let (status, answer) = role.person.ask(method.clone(), &path, body).await;
            let what = format!("{} asks {method} {template}: {status} {answer}", role.name);
            let code = answer["error"]["code"].as_str();
            if role.may.contains(&who) {
                assert!(!status.is_server_error(), "{what}");
                let kept_out = matches!(code, Some("not_signed_in" | "not_allowed"));
                assert!(!kept_out, "{what}");
                continue;
            }
            let expected = if role.name == "a stranger" {
                (401, Some("not_signed_in"))
            } else {
                (403, Some("not_allowed"))
            };
            assert_eq!((status.as_u16(), code), expected, "{what}");
            let told: Vec<_> = answer["error"].as_object().unwrap().keys().collect();
            assert_eq!(told, ["code", "message"], "{what}");
        }
    }
}
