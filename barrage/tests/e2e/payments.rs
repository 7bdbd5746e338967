//! Coins are bought: in the sandbox, and at a provider of another make that tells of it in signed webhooks.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::shop::{KEY, SECRET, Shop};
use crate::support::till::{Hold, balance, entered, number};
use crate::support::webhooks::{event, now_s, tell_as, telling, told};
use crate::support::{Person, Server, until};

const TOP_UPS: &str = "/api/v1/wallet/top-ups";

/// Somebody asks to buy a pack: the status and what is answered.
async fn ask_for(person: &Person, pack: &str, key: &str) -> (u16, Value) {
    let request = person.request(Method::POST, TOP_UPS);
    let request = request.header("idempotency-key", key);
    let answer = person.send(request.json(&json!({ "pack": pack }))).await;
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn buys(person: &Person, pack: &str, key: &str) -> Value {
    let (status, top_up) = ask_for(person, pack, key).await;
    assert_eq!(status, 201, "{top_up}");
    assert_eq!(top_up["state"], "open");
    top_up
}

fn id_of(top_up: &Value) -> &str {
    top_up["id"].as_str().unwrap()
}

async fn state_of(person: &Person, top_up: &Value) -> String {
    let now = person.read(&format!("{TOP_UPS}/{}", id_of(top_up))).await;
    now["state"].as_str().unwrap().to_owned()
}

async fn becomes(person: &Person, top_up: &Value, state: &str) {
    until(&format!("the top-up is {state}"), async || {
        (state_of(person, top_up).await == state).then_some(())
    })
    .await;
}

/// Coins that were paid for, in all wallets.
fn coins(server: &Server) -> i64 {
    balance(server.dir().path(), "COIN:wallet:%")
}

fn top_ups_entered(server: &Server) -> i64 {
    let question = "SELECT COUNT(*) FROM transactions WHERE code = 1";
    entered(server.dir().path(), question)
}

async fn tell(server: &Server, body: &str) -> u16 {
    tell_as(server, body, SECRET, now_s()).await.0
}

#[tokio::test]
async fn in_the_sandbox_coins_are_bought_once_and_given_back() {
    let server = Server::start().await;
    let (mei, eve) = (
        Person::new(&server, "mei").await,
        Person::new(&server, "eve").await,
    );
    let top_up = buys(&mei, "68", "first").await;
    assert_eq!(top_up["amount"], 6_800);
    assert_eq!(top_up["checkout_url"], format!("/pay/{}", id_of(&top_up)));
    assert_eq!(buys(&mei, "68", "first").await["id"], top_up["id"]);
    let (status, answer) = ask_for(&mei, "6", "first").await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (409, &json!("key_used"))
    );
    // Another's key is another's.
    assert_ne!(buys(&eve, "68", "first").await["id"], top_up["id"]);
    let (status, _) = ask_for(&mei, "no such", "other").await;
    assert_eq!(status, 404);
    let bare = mei
        .refused(Method::POST, TOP_UPS, &json!({ "pack": "6" }))
        .await;
    assert_eq!(bare, (400, "bad_request".into()));

    let checkout = format!("/api/v1/payments/sandbox/{}", id_of(&top_up));
    let pay = json!({ "outcome": "pay" });
    let kept_out = eve.refused(Method::POST, &checkout, &pay).await;
    assert_eq!(kept_out, (404, "no_such_thing".into()));
    assert_eq!(coins(&server), 0);
    for _ in 0..2 {
        let paid = mei.ok(Method::POST, &checkout, &pay).await;
        assert_eq!(paid["state"], "paid");
        assert!(
            paid["paid_at"].is_string() && paid["checkout_url"].is_null(),
            "{paid}"
        );
        assert_eq!(coins(&server), 680);
    }
    let dir = server.dir().path();
    assert_eq!(balance(dir, "COIN:wallet_promo:%"), 20);
    assert_eq!(balance(dir, "CNY:psp_clearing:sandbox"), -6_800);

    let declined = buys(&eve, "6", "second").await;
    let path = format!("/api/v1/payments/sandbox/{}", id_of(&declined));
    let answer = json!({ "outcome": "decline" });
    assert_eq!(
        eve.ok(Method::POST, &path, &answer).await["state"],
        "failed"
    );
    // It is over.
    assert_eq!(eve.ok(Method::POST, &path, &pay).await["state"], "failed");
    assert_eq!(top_ups_entered(&server), 1);

    let admin = Person::admin(&server).await;
    let refund = format!("/api/v1/admin/money/payments/{}/refund", id_of(&top_up));
    let why = json!({ "reason": "bought by mistake", "why": "refund" });
    let (status, _) = admin
        .ask(
            Method::POST,
            &refund,
            Some(&json!({ "reason": "x", "why": "refund" })),
        )
        .await;
    assert_eq!(status, 422);
    for _ in 0..2 {
        let refunded = admin.ok(Method::POST, &refund, &why).await;
        assert_eq!(refunded["state"], "refunded");
        assert_eq!(coins(&server), 0);
    }
    assert_eq!(balance(dir, "COIN:wallet_promo:%"), 0);
    assert_eq!(balance(dir, "CNY:psp_clearing:sandbox"), 0);
    let open = format!("/api/v1/admin/money/payments/{}/refund", id_of(&declined));
    assert_eq!(
        admin.refused(Method::POST, &open, &why).await.1,
        "not_refundable"
    );

    for n in 0..4 {
        buys(&eve, "6", &format!("open-{n}")).await;
    }
    let (status, answer) = ask_for(&eve, "6", "one-too-many").await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (409, &json!("limit_reached"))
    );
}

#[tokio::test]
async fn what_a_provider_of_another_make_is_paid_comes_once_and_goes_back() {
    let shop = Shop::start().await;
    let server = Server::with(&shop.settings()).await;
    shop.tells(&server).await;
    let mei = Person::new(&server, "mei").await;
    let top_up = buys(&mei, "6", "first").await;
    let payment = shop.pays(top_up["checkout_url"].as_str().unwrap()).await;
    becomes(&mei, &top_up, "paid").await;
    assert_eq!(coins(&server), 60);
    // The other telling of the same.
    let again = event(
        "evt_other",
        "checkout.session.completed",
        &told(&top_up, 600, "cny").session,
    );
    assert_eq!(tell(&server, &again).await, 200);
    assert_eq!((coins(&server), top_ups_entered(&server)), (60, 1));

    let admin = Person::admin(&server).await;
    let refund = format!("/api/v1/admin/money/payments/{}/refund", id_of(&top_up));
    let why = json!({ "reason": "bought by mistake", "why": "refund" });
    let refunded = admin.ok(Method::POST, &refund, &why).await;
    assert_eq!(refunded["state"], "refunded");
    assert_eq!(shop.refunded(&payment).await, 600);
    assert_eq!(coins(&server), 0);
    // Stripe tells of it as well.
    let charge = json!({ "id": "ch_1", "payment_intent": payment, "amount_refunded": 600, "currency": "cny" });
    assert_eq!(
        tell(&server, &event("evt_refund", "charge.refunded", &charge)).await,
        200
    );
    assert_eq!(coins(&server), 0);
    let config = admin.read("/api/v1/admin/config").await.to_string();
    assert!(!config.contains(KEY) && !config.contains(SECRET));
}

#[tokio::test]
async fn webhooks_that_are_forged_old_or_wrong_credit_nothing_and_order_does_not_matter() {
    let shop = Shop::start().await;
    let server = Server::with(&shop.settings()).await;
    let mei = Person::new(&server, "mei").await;
    let top_up = buys(&mei, "6", "first").await;
    let right = told(&top_up, 600, "cny");
    let paid = event("evt_1", "payment_intent.succeeded", &right.intent);
    let bad = (400, json!("bad_webhook"));
    assert_eq!(tell_as(&server, &paid, "whsec_guessed", now_s()).await, bad);
    assert_eq!(tell_as(&server, &paid, SECRET, now_s() - 301).await, bad);
    assert_eq!(tell_as(&server, &paid, SECRET, now_s() + 400).await, bad);
    assert_eq!(tell_as(&server, "garbage", SECRET, now_s()).await, bad);
    let large = "x".repeat(300_000);
    assert_eq!(tell_as(&server, &large, SECRET, now_s()).await.0, 413);
    for (n, (amount, currency)) in [(599, "cny"), (600, "usd"), (i64::MAX, "cny"), (-600, "cny")]
        .into_iter()
        .enumerate()
    {
        let wrong = told(&top_up, amount, currency).intent;
        let wrong = event(
            &format!("evt_wrong_{n}"),
            "payment_intent.succeeded",
            &wrong,
        );
        assert_eq!(tell(&server, &wrong).await, 200);
    }
    assert_eq!(
        (coins(&server), state_of(&mei, &top_up).await),
        (0, "open".into())
    );

    // First that it was given back, then that it expired, then that it was paid.
    let charge = json!({ "id": "ch_1", "payment_intent": right.payment, "amount_refunded": 600, "currency": "cny" });
    assert_eq!(
        tell(&server, &event("evt_2", "charge.refunded", &charge)).await,
        200
    );
    assert_eq!(
        tell(
            &server,
            &event("evt_3", "checkout.session.expired", &right.session)
        )
        .await,
        200
    );
    assert_eq!(state_of(&mei, &top_up).await, "expired");
    for _ in 0..2 {
        assert_eq!(tell(&server, &paid).await, 200);
    }
    assert_eq!(state_of(&mei, &top_up).await, "refunded");
    assert_eq!((coins(&server), top_ups_entered(&server)), (0, 1));

    // A dispute that is won before it is heard of, and one that is lost.
    let other = buys(&mei, "30", "second").await;
    let right = told(&other, 3_000, "cny");
    let paid = event("evt_4", "checkout.session.completed", &right.session);
    assert_eq!(tell(&server, &paid).await, 200);
    assert_eq!(coins(&server), 300);
    let dispute = |id: &str, status: &str| json!({ "id": id, "payment_intent": right.payment, "amount": 3_000, "currency": "cny", "status": status });
    let closed = |id: &str, status: &str| {
        event(
            &format!("evt_{id}_{status}"),
            "charge.dispute.closed",
            &dispute(id, status),
        )
    };
    let opened = |id: &str| {
        event(
            &format!("evt_{id}"),
            "charge.dispute.created",
            &dispute(id, "needs_response"),
        )
    };
    assert_eq!(tell(&server, &closed("dp_1", "won")).await, 200);
    assert_eq!(tell(&server, &opened("dp_1")).await, 200);
    assert_eq!(state_of(&mei, &other).await, "paid");
    let frozen = || {
        entered(
            server.dir().path(),
            "SELECT COUNT(*) FROM accounts WHERE frozen_at IS NOT NULL",
        )
    };
    assert_eq!(tell(&server, &opened("dp_2")).await, 200);
    assert_eq!(
        (state_of(&mei, &other).await, frozen()),
        ("disputed".into(), 2)
    );
    assert_eq!(tell(&server, &closed("dp_2", "won")).await, 200);
    assert_eq!((state_of(&mei, &other).await, frozen()), ("paid".into(), 0));
    assert_eq!(tell(&server, &opened("dp_3")).await, 200);
    assert_eq!(tell(&server, &closed("dp_3", "lost")).await, 200);
    assert_eq!(state_of(&mei, &other).await, "disputed");
    assert_eq!(coins(&server), 0);
}

#[tokio::test]
async fn a_server_killed_between_webhook_and_ledger_finishes_and_hears_what_it_missed() {
    let shop = Shop::start().await;
    let mut server = Server::with(&shop.settings()).await;
    let dir = server.dir().clone();
    let mei = Person::new(&server, "mei").await;
    let told_of = buys(&mei, "6", "first").await;
    let missed = buys(&mei, "30", "second").await;
    let paid = event(
        "evt_1",
        "payment_intent.succeeded",
        &told(&told_of, 600, "cny").intent,
    );
    let hold = Hold::take(dir.path());
    let request = telling(&server, &paid, SECRET, now_s());
    let telling = tokio::spawn(async move { request.send().await.map(|answer| answer.status()) });
    until("the event is kept", async || {
        let kept = number(dir.path(), "SELECT COUNT(*) FROM provider_events");
        (kept == 1).then_some(())
    })
    .await;
    server.kill();
    // Whoever told it was not told that it is done.
    let answered = telling.await.unwrap();
    assert!(answered.is_err() || answered.is_ok_and(|status| status == 503));
    // Nobody hears of this one.
    shop.pays(missed["checkout_url"].as_str().unwrap()).await;
    drop(hold);
    let question = "SELECT COUNT(*) FROM transactions WHERE code = 1";
    assert_eq!(entered(dir.path(), question), 0);

    let server = Server::on(dir, &shop.settings()).await;
    let mei = mei.at(&server);
    becomes(&mei, &told_of, "paid").await;
    becomes(&mei, &missed, "paid").await;
    assert_eq!((coins(&server), top_ups_entered(&server)), (360, 2));
}

#[tokio::test]
async fn a_ledger_that_does_not_answer_has_webhooks_sent_again() {
    let shop = Shop::start().await;
    let server = Server::with(&shop.settings()).await;
    let mei = Person::new(&server, "mei").await;
    let top_up = buys(&mei, "6", "first").await;
    let paid = event(
        "evt_1",
        "payment_intent.succeeded",
        &told(&top_up, 600, "cny").intent,
    );
    let hold = Hold::take(server.dir().path());
    let again = (503, json!("payments_unavailable"));
    assert_eq!(tell_as(&server, &paid, SECRET, now_s()).await, again);
    assert_eq!(state_of(&mei, &top_up).await, "open");
    drop(hold);
    until("it is taken", async || {
        (tell(&server, &paid).await == 200).then_some(())
    })
    .await;
    assert_eq!(state_of(&mei, &top_up).await, "paid");
    assert_eq!((coins(&server), top_ups_entered(&server)), (60, 1));
}

#[tokio::test]
async fn a_provider_that_is_gone_keeps_nobody_waiting() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let server = Server::with(&[
        ("public_url", "https://live.example"),
        ("payments.provider", "stripe"),
        ("payments.stripe.api_url", &gone),
        ("payments.stripe.secret_key", KEY),
        ("payments.stripe.webhook_secrets", SECRET),
    ])
    .await;
    let mei = Person::new(&server, "mei").await;
    for _ in 0..6 {
        let began = Instant::now();
        let (status, answer) = ask_for(&mei, "6", "first").await;
        assert_eq!(status, 503);
        assert_eq!(answer["error"]["code"], "payments_unavailable");
        assert!(began.elapsed() < Duration::from_secs(1));
    }
    assert_eq!(
        number(server.dir().path(), "SELECT COUNT(*) FROM top_ups"),
        1
    );
}
