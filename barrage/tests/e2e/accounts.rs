//! Accounts: signing up and in, sessions, tokens, lost passwords, and those who try their luck.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::person::PASSWORD;
use crate::support::{Person, Publisher, Server};

const ACCOUNT: &str = "/api/v1/account";
const SESSION: &str = "/api/v1/session";

#[tokio::test]
async fn somebody_signs_up_out_and_in_again() {
    let server = Server::start().await;
    let mei = Person::stranger(&server);
    assert_eq!(
        mei.refused(Method::GET, ACCOUNT, &Value::Null).await,
        (401, "not_signed_in".into())
    );
    let new =
        json!({ "handle": "mei", "password": PASSWORD, "name": "梅", "email": "Mei@Example.org" });
    let made = mei.ok(Method::POST, ACCOUNT, &new).await;
    assert_eq!(made["handle"], "mei");
    assert_eq!(made["role"], "viewer");
    assert_eq!(made["email"], "mei@example.org");
    assert_eq!(mei.read(ACCOUNT).await["name"], "梅");

    let before = mei.cookie().unwrap();
    assert_eq!(mei.delete(SESSION).await, 204);
    assert_eq!(mei.cookie(), None, "the browser is told to forget it");
    mei.set_cookie(&before);
    assert_eq!(
        mei.refused(Method::GET, ACCOUNT, &Value::Null).await.0,
        401,
        "the session is over, not only forgotten"
    );
    mei.sign_in("Mei", PASSWORD).await;
    assert_ne!(mei.cookie().unwrap(), before);

    let again = Person::stranger(&server);
    let taken = json!({ "handle": "mei", "password": PASSWORD });
    assert_eq!(
        again.refused(Method::POST, ACCOUNT, &taken).await,
        (409, "handle_taken".into())
    );
    let reserved = json!({ "handle": "support", "password": PASSWORD });
    assert_eq!(again.refused(Method::POST, ACCOUNT, &reserved).await.0, 409);
    // Whose mail address it is, nobody learns from signing up with it.
    let email = json!({ "handle": "other", "password": PASSWORD, "email": "mei@example.org" });
    again.ok(Method::POST, ACCOUNT, &email).await;
    for (handle, password, field, reason) in [
        ("ab", PASSWORD, "handle", "handle_length"),
        ("Mei Lin", PASSWORD, "handle", "handle_characters"),
        ("linlin", "short", "password", "too_short"),
        ("linlin", "password123", "password", "guessable"),
        ("linlin", "linlin-linlin", "password", "guessable"),
    ] {
        let bad = json!({ "handle": handle, "password": password });
        let (status, answer) = again.ask(Method::POST, ACCOUNT, Some(&bad)).await;
        let told = (&answer["error"]["field"], &answer["error"]["reason"]);
        assert_eq!(status, 422, "{bad}");
        assert_eq!(told, (&json!(field), &json!(reason)), "{bad}");
    }
}

#[tokio::test]
async fn an_account_changes_as_a_whole_or_not_at_all() {
    let server = Server::start().await;
    let mei = Person::new(&server, "mei").await;
    let _lin = Person::new(&server, "lin").await;
    let both = json!({ "handle": "lin", "name": "Lin" });
    assert_eq!(
        mei.refused(Method::PATCH, ACCOUNT, &both).await,
        (409, "handle_taken".into())
    );
    let me = mei.read(ACCOUNT).await;
    assert_eq!((&me["handle"], &me["name"]), (&json!("mei"), &json!("")));
}

#[tokio::test]
async fn the_address_that_opens_the_account_takes_the_password_to_change() {
    let server = Server::start().await;
    let mei = Person::new(&server, "mei").await;
    for current in [json!(null), json!("not the password")] {
        let stolen = json!({ "email": "thief@example.org", "current": current });
        let (status, answer) = mei.ask(Method::PATCH, ACCOUNT, Some(&stolen)).await;
        assert_eq!(status, 422, "{current}");
        assert_eq!(answer["error"]["reason"], "wrong_password", "{current}");
    }
    assert_eq!(mei.read(ACCOUNT).await["email"], Value::Null);
    let own = json!({ "email": "Mei@example.org", "current": PASSWORD });
    mei.ok(Method::PATCH, ACCOUNT, &own).await;
    // The same address once more is no change.
    let same = json!({ "email": "mei@example.org", "name": "Mei" });
    let me = mei.ok(Method::PATCH, ACCOUNT, &same).await;
    assert_eq!(
        (&me["email"], &me["name"]),
        (&json!("mei@example.org"), &json!("Mei"))
    );
}

#[tokio::test]
async fn an_operators_token_makes_no_operators_and_opens_no_accounts() {
    let server = Server::start().await;
    let admin = Person::admin(&server).await;
    Person::new(&server, "mei").await;
    let new = json!({ "name": "prometheus", "scopes": ["operator"] });
    let made = admin.ok(Method::POST, "/api/v1/account/tokens", &new).await;
    let token = Person::with_token(&server, made["secret"].as_str().unwrap());
    assert!(token.read("/api/v1/admin/users").await.is_array());
    let users = "/api/v1/admin/users";
    for (method, path, body) in [
        (Method::POST, format!("{users}/admin/recovery"), Value::Null),
        (Method::POST, format!("{users}/mei/recovery"), Value::Null),
        (
            Method::POST,
            users.to_owned(),
            json!({ "handle": "sneaky", "role": "operator" }),
        ),
        (
            Method::PATCH,
            format!("{users}/mei"),
            json!({ "role": "operator" }),
        ),
        (
            Method::PATCH,
            format!("{users}/admin"),
            json!({ "disabled": "gone" }),
        ),
    ] {
        assert_eq!(
            token.refused(method, &path, &body).await,
            (403, "not_allowed".into()),
            "{path} {body}"
        );
    }
    token
        .ok(
            Method::PATCH,
            &format!("{users}/mei"),
            &json!({ "disabled": "spam" }),
        )
        .await;
}

#[tokio::test]
async fn a_handle_that_was_given_up_is_nobody_elses_for_a_while() {
    let server = Server::start().await;
    let mei = Person::new(&server, "mei").await;
    let handle = |to: &str| json!({ "handle": to });
    mei.ok(Method::PATCH, ACCOUNT, &handle("plum")).await;
    let thief = Person::stranger(&server);
    let account = json!({ "handle": "mei", "password": PASSWORD });
    assert_eq!(
        thief.refused(Method::POST, ACCOUNT, &account).await,
        (409, "handle_taken".into())
    );
    // Its owner can take it back, but not go to and fro for ever.
    mei.ok(Method::PATCH, ACCOUNT, &handle("mei")).await;
    for to in ["plum_a", "plum_b", "plum_c", "plum_d"] {
        let _ = mei.ask(Method::PATCH, ACCOUNT, Some(&handle(to))).await;
    }
    assert_eq!(
        mei.refused(Method::PATCH, ACCOUNT, &handle("plum_e")).await,
        (409, "limit_reached".into())
    );
}

#[tokio::test]
async fn an_operator_makes_an_account_where_nobody_can_sign_up() {
    let server = Server::with(&[("accounts.sign_up", "false")]).await;
    let admin = Person::admin(&server).await;
    let new = json!({ "handle": "mei", "role": "streamer" });
    let path = "/api/v1/admin/users";
    let made = admin.ok(Method::POST, path, &new).await;
    assert_eq!(
        (&made["handle"], &made["role"]),
        (&json!("mei"), &json!("streamer"))
    );
    assert_eq!(
        admin.refused(Method::POST, path, &new).await,
        (409, "handle_taken".into())
    );
    let link = admin
        .ok(Method::POST, &format!("{path}/mei/recovery"), &Value::Null)
        .await;
    let secret = link["link"].as_str().unwrap().split('#').nth(1).unwrap();
    let mei = Person::stranger(&server);
    let recovery = json!({ "secret": secret, "password": PASSWORD });
    mei.ok(Method::POST, "/api/v1/recoveries/use", &recovery)
        .await;
    mei.sign_in("mei", PASSWORD).await;
    assert_eq!(mei.read(ACCOUNT).await["role"], "streamer");
}

#[tokio::test]
async fn who_is_made_a_viewer_is_off_the_air() {
    let server = Server::start().await;
    let admin = Person::admin(&server).await;
    let (mei, key) = Person::streamer(&server, "mei").await;
    let secret = key["secret"].as_str().unwrap();
    let mut publisher = Publisher::with_key(&server, secret).await.unwrap();
    let role = |role: &str| json!({ "role": role });
    let path = "/api/v1/admin/users/mei";
    admin.ok(Method::PATCH, path, &role("viewer")).await;
    let told = publisher.farewell().await;
    assert!(
        format!("{told:?}").contains("may not broadcast any more"),
        "{told:?}"
    );
    assert!(Publisher::with_key(&server, secret).await.is_err());
    assert_eq!(mei.read(ACCOUNT).await["role"], "viewer");
    admin.ok(Method::PATCH, path, &role("streamer")).await;
    assert!(Publisher::with_key(&server, secret).await.is_ok());
}

#[tokio::test]
async fn the_address_that_people_are_told_is_ours() {
    let public = "http://live.example:8000";
    let server = Server::with(&[("public_url", public)]).await;
    let mei = Person::new(&server, "mei").await;
    for (origin, status) in [(public, 200), ("http://live.example", 403)] {
        let request = mei
            .request(Method::PATCH, ACCOUNT)
            .header("origin", origin)
            .json(&json!({ "name": "Mei" }));
        assert_eq!(mei.send(request).await.status(), status, "{origin}");
    }
    assert!(
        server
            .banner()
            .await
            .contains("http://live.example:8000/@stage")
    );
    assert!(server.banner().await.contains("rtmp://live.example:"));
}

#[tokio::test]
async fn signing_up_can_be_closed() {
    let server = Server::with(&[("accounts.sign_up", "false")]).await;
    let stranger = Person::stranger(&server);
    assert_eq!(stranger.read("/api/v1/entrance").await["sign_up"], false);
    let new = json!({ "handle": "mei", "password": PASSWORD });
    assert_eq!(
        stranger.refused(Method::POST, ACCOUNT, &new).await,
        (403, "sign_up_closed".into())
    );
}

#[tokio::test]
async fn a_wrong_password_tells_nothing_and_guessing_is_slowed_down() {
    let server = Server::with(&[("accounts.attempts_per_minute_per_account", "3")]).await;
    let mei = Person::new(&server, "mei").await;
    let home = mei.cookie().unwrap();
    let guesser = Person::stranger(&server);
    let guess = async |handle: &str| {
        let body = json!({ "handle": handle, "password": "three blind rats sing" });
        let (status, answer) = guesser.ask(Method::POST, SESSION, Some(&body)).await;
        (status.as_u16(), answer)
    };
    let (known, unknown) = (guess("mei").await, guess("nobody").await);
    assert_eq!(known.0, 401);
    assert_eq!(known, unknown, "whether there is an account is not told");
    guess("mei").await;
    guess("mei").await;
    // The account is signed in at this address, so whoever is here is not shut out by it…
    assert_eq!(guess("mei").await.0, 401);
    mei.sign_in("mei", PASSWORD).await;
    mei.delete(SESSION).await;
    mei.set_cookie(&home);
    mei.delete(SESSION).await;
    // …and once it is not, the account is closed to guesses for a while, also to right ones.
    let (status, answer) = guess("mei").await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (429, &json!("too_many_attempts"))
    );
}

#[tokio::test]
async fn an_address_that_tries_too_much_has_to_wait() {
    let server = Server::with(&[("accounts.attempts_per_minute_per_address", "5")]).await;
    let guesser = Person::stranger(&server);
    // More than a slow machine is allowed anew meanwhile; claiming to be others does not help.
    let mut refused = None;
    for n in 0..60 {
        let body = json!({ "handle": format!("user{n}"), "password": "x" });
        let request = guesser
            .request(Method::POST, SESSION)
            .header("x-forwarded-for", format!("198.51.100.{n}"))
            .json(&body);
        let answer = guesser.send(request).await;
        if answer.status() == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status(), 401);
    }
    let answer = refused.expect("somebody who tries on is told to wait");
    let wait: u64 = answer.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=60).contains(&wait), "{wait} s");
}

#[tokio::test]
async fn another_password_ends_every_other_session() {
    let server = Server::start().await;
    let (here, there) = (Person::new(&server, "mei").await, Person::stranger(&server));
    there.sign_in("mei", PASSWORD).await;
    let listed = here.read("/api/v1/account/sessions").await;
    let sessions = listed.as_array().unwrap();
    assert_eq!(sessions.len(), 2);
    assert_eq!(sessions.iter().filter(|s| s["current"] == true).count(), 1);

    let wrong = json!({ "current": "not the one it was", "new": "four blind mice sing" });
    let path = "/api/v1/account/password";
    let (status, answer) = here.ask(Method::POST, path, Some(&wrong)).await;
    assert_eq!(status, 422);
    assert_eq!(
        (&answer["error"]["field"], &answer["error"]["reason"]),
        (&json!("current"), &json!("wrong_password"))
    );
    let right = json!({ "current": PASSWORD, "new": "four blind mice sing" });
    here.ok(Method::POST, path, &right).await;
    assert_eq!(
        there.refused(Method::GET, ACCOUNT, &Value::Null).await.0,
        401
    );
    assert_eq!(here.read(ACCOUNT).await["handle"], "mei");
    there.sign_in("mei", "four blind mice sing").await;

    // A session of another can be ended by its owner, and by nobody else.
    let other = Person::new(&server, "lin").await;
    let listed = here.read("/api/v1/account/sessions").await;
    let theirs = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|s| s["current"] == false);
    let path = format!(
        "/api/v1/account/sessions/{}",
        theirs.unwrap()["id"].as_str().unwrap()
    );
    assert_eq!(other.delete(&path).await, 404);
    assert_eq!(here.delete(&path).await, 204);
    assert_eq!(
        there.refused(Method::GET, ACCOUNT, &Value::Null).await.0,
        401
    );
}

#[tokio::test]
async fn all_other_sessions_are_ended_at_once_and_nobody_elses() {
    let server = Server::start().await;
    let here = Person::new(&server, "mei").await;
    let elsewhere = [Person::stranger(&server), Person::stranger(&server)];
    for one in &elsewhere {
        one.sign_in("mei", PASSWORD).await;
    }
    let other = Person::new(&server, "lin").await;
    assert_eq!(here.delete("/api/v1/account/sessions").await, 204);
    for one in &elsewhere {
        assert_eq!(one.refused(Method::GET, ACCOUNT, &Value::Null).await.0, 401);
    }
    let left = here.read("/api/v1/account/sessions").await;
    assert_eq!(left.as_array().unwrap().len(), 1);
    assert_eq!(other.read(ACCOUNT).await["handle"], "lin");
}

#[tokio::test]
async fn a_session_is_never_one_that_was_planted_before_signing_in() {
    let server = Server::start().await;
    let attacker = Person::new(&server, "eve").await;
    let planted = attacker.cookie().unwrap();
    let victim = Person::stranger(&server);
    victim.set_cookie("barrage=bs_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    victim
        .ok(
            Method::POST,
            ACCOUNT,
            &json!({ "handle": "mei", "password": PASSWORD }),
        )
        .await;
    assert!(!victim.cookie().unwrap().contains("aaaaaaaa"));
    victim.set_cookie(&planted);
    victim.sign_in("mei", PASSWORD).await;
    assert_ne!(victim.cookie().unwrap(), planted);
    assert_eq!(attacker.read(ACCOUNT).await["handle"], "eve");
}

#[tokio::test]
async fn a_page_of_another_site_can_do_nothing() {
    let server = Server::start().await;
    let mei = Person::new(&server, "mei").await;
    let change = json!({ "name": "changed" });
    let forged = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ];
    for (name, value) in forged {
        let request = mei
            .request(Method::PATCH, ACCOUNT)
            .header(name, value)
            .json(&change);
        let answer = mei.send(request).await;
        assert_eq!(answer.status(), 403, "{name}: {value}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["error"]["code"], "cross_site", "{name}: {value}");
    }
    // Nor sign somebody in to an account of its own.
    let credentials = json!({ "handle": "mei", "password": PASSWORD });
    let request = mei
        .request(Method::POST, SESSION)
        .header("origin", "https://evil.example")
        .json(&credentials);
    assert_eq!(mei.send(request).await.status(), 403);
    // A form cannot send JSON by its type.
    let request = mei
        .request(Method::PATCH, ACCOUNT)
        .header("content-type", "text/plain")
        .body(change.to_string());
    assert_eq!(mei.send(request).await.status(), 415);
    assert_eq!(mei.read(ACCOUNT).await["name"], "");
    let own = [
        ("sec-fetch-site", "same-origin".to_owned()),
        ("origin", server.url("")),
    ];
    for (name, value) in own {
        let request = mei
            .request(Method::PATCH, ACCOUNT)
            .header(name, value)
            .json(&change);
        assert_eq!(mei.send(request).await.status(), 200, "{name}");
    }
}

#[tokio::test]
async fn bodies_that_are_too_long_or_are_something_else_are_refused() {
    let server = Server::start().await;
    let stranger = Person::stranger(&server);
    let long = json!({ "handle": "mei", "password": "x".repeat(20_000) });
    assert_eq!(
        stranger.refused(Method::POST, SESSION, &long).await,
        (413, "too_large".into())
    );
    let nonsense = json!({ "handle": "mei", "pass": 1 });
    assert_eq!(
        stranger.refused(Method::POST, SESSION, &nonsense).await,
        (400, "bad_request".into())
    );
}

#[tokio::test]
async fn a_lost_password_is_set_anew_by_a_link_of_the_operator_once() {
    let server = Server::start().await;
    let admin = Person::admin(&server).await;
    let mei = Person::new(&server, "mei").await;
    let issued = admin
        .ok(
            Method::POST,
            "/api/v1/admin/users/mei/recovery",
            &Value::Null,
        )
        .await;
    let link = issued["link"].as_str().unwrap();
    let (page, secret) = link.split_once('#').unwrap();
    assert_eq!(page, server.url("/recover"));

    let stranger = Person::stranger(&server);
    let path = "/api/v1/recoveries/use";
    let weak = json!({ "secret": secret, "password": "short" });
    assert_eq!(stranger.refused(Method::POST, path, &weak).await.0, 422);
    let good = json!({ "secret": secret, "password": "five blind mice sing" });
    assert_eq!(
        stranger.ok(Method::POST, path, &good).await["handle"],
        "mei"
    );
    assert_eq!(
        stranger.refused(Method::POST, path, &good).await,
        (410, "link_expired".into())
    );
    assert_eq!(mei.refused(Method::GET, ACCOUNT, &Value::Null).await.0, 401);
    mei.sign_in("mei", "five blind mice sing").await;
}

#[tokio::test]
async fn a_token_reaches_as_far_as_its_scopes() {
    let server = Server::start().await;
    let (mei, _) = Person::streamer(&server, "mei").await;
    let make = async |scopes: &[&str]| {
        let new = json!({ "name": "bot", "scopes": scopes, "days": 1 });
        let made = mei.ok(Method::POST, "/api/v1/account/tokens", &new).await;
        let secret = made["secret"].as_str().unwrap().to_owned();
        (
            Person::with_token(&server, &secret),
            made["token"]["id"].as_str().unwrap().to_owned(),
        )
    };
    let (reader, _) = make(&["read"]).await;
    let (keeper, id) = make(&["channel"]).await;
    let channel = "/api/v1/channels/mei";
    let change = json!({ "title": "by a bot" });
    assert_eq!(reader.read(ACCOUNT).await["handle"], "mei");
    assert_eq!(
        reader.refused(Method::PATCH, channel, &change).await,
        (403, "scope_missing".into())
    );
    assert_eq!(
        keeper.ok(Method::PATCH, channel, &change).await["title"],
        "by a bot"
    );
    // What guards the account is for nobody but the account.
    for (method, path, body) in [
        (Method::PATCH, ACCOUNT, json!({ "name": "x" })),
        (
            Method::POST,
            "/api/v1/account/tokens",
            json!({ "name": "x", "scopes": ["read"] }),
        ),
        (Method::GET, "/api/v1/account/sessions", Value::Null),
        (
            Method::POST,
            "/api/v1/account/password",
            json!({ "current": PASSWORD, "new": "six blind mice sing" }),
        ),
    ] {
        assert_eq!(
            keeper.refused(method, path, &body).await,
            (403, "not_allowed".into()),
            "{path}"
        );
    }
    let operator = json!({ "name": "x", "scopes": ["operator"] });
    assert_eq!(
        mei.refused(Method::POST, "/api/v1/account/tokens", &operator)
            .await
            .0,
        403
    );
    assert_eq!(
        mei.delete(&format!("/api/v1/account/tokens/{id}")).await,
        204
    );
    assert_eq!(
        keeper.refused(Method::GET, ACCOUNT, &Value::Null).await.0,
        401
    );
}

#[tokio::test]
async fn an_operator_closes_an_account_and_cannot_lock_everybody_out() {
    let server = Server::start().await;
    let admin = Person::admin(&server).await;
    let mei = Person::new(&server, "mei").await;
    let path = "/api/v1/admin/users/mei";
    let closed = admin
        .ok(Method::PATCH, path, &json!({ "disabled": "spam" }))
        .await;
    assert_eq!(closed["disabled"], "spam");
    assert_eq!(mei.refused(Method::GET, ACCOUNT, &Value::Null).await.0, 401);
    let credentials = json!({ "handle": "mei", "password": PASSWORD });
    let (status, answer) = mei.ask(Method::POST, SESSION, Some(&credentials)).await;
    assert_eq!(status, 403);
    assert!(
        answer["error"]["message"]
            .as_str()
            .unwrap()
            .contains("spam")
    );
    admin
        .ok(Method::PATCH, path, &json!({ "disabled": "" }))
        .await;
    mei.sign_in("mei", PASSWORD).await;

    for lockout in [json!({ "role": "viewer" }), json!({ "disabled": "me" })] {
        assert_eq!(
            admin
                .refused(Method::PATCH, "/api/v1/admin/users/admin", &lockout)
                .await,
            (409, "last_operator".into())
        );
    }
    let found = admin.read("/api/v1/admin/users?search=EI").await;
    let handles: Vec<_> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|u| &u["handle"])
        .collect();
    assert_eq!(handles, ["mei"]);
}

#[tokio::test]
async fn another_password_of_the_administrator_removes_the_first_one_from_the_disk() {
    let server = Server::start().await;
    let admin = Person::admin(&server).await;
    let first = crate::support::server::read_json(&server.path("first-run.json")).unwrap();
    let change = json!({ "current": first["admin"]["password"], "new": "seven blind mice sing" });
    admin
        .ok(Method::POST, "/api/v1/account/password", &change)
        .await;
    assert!(!server.path("first-run.json").exists());
}

#[tokio::test]
async fn cookies_are_as_safe_as_the_connection() {
    let server = Server::start().await;
    let set_cookie = async |person: &Person| {
        let credentials = json!({ "handle": "mei", "password": PASSWORD });
        let request = person.request(Method::POST, SESSION).json(&credentials);
        let answer = person.send(request).await;
        assert_eq!(answer.status(), 200);
        answer.headers()["set-cookie"].to_str().unwrap().to_owned()
    };
    let mei = Person::new(&server, "mei").await;
    let plain = set_cookie(&mei).await;
    assert!(
        plain.starts_with("barrage=bs_") && !plain.contains("Secure"),
        "{plain}"
    );
    let safe = Person::over_tls(&server);
    let secure = set_cookie(&safe).await;
    assert!(secure.starts_with("__Host-barrage=bs_"), "{secure}");
    for part in ["Path=/", "HttpOnly", "SameSite=Strict"] {
        assert!(plain.contains(part) && secure.contains(part), "{part}");
    }
    assert!(
        secure.contains("; Secure") && !secure.contains("Domain"),
        "{secure}"
    );
    assert_eq!(safe.read(ACCOUNT).await["handle"], "mei");
    // A cookie that plain http could have planted is none over https.
    let token = plain.split(';').next().unwrap();
    safe.set_cookie(token);
    assert_eq!(
        safe.refused(Method::GET, ACCOUNT, &Value::Null).await.0,
        401
    );
}
