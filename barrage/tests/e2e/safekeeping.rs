//! Backup and restore, upgrades, and accounts in bulk.

use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use tempfile::TempDir;

use crate::support::person::PASSWORD;
use crate::support::server::run;
use crate::support::{Clip, Person, Publisher, Server};

async fn succeeds(args: &[&str]) -> String {
    let output = run(args, "").await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn fails(args: &[&str]) -> String {
    let output = run(args, "").await;
    assert!(!output.status.success(), "{args:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_backup_of_a_running_server_is_a_server_again() {
    let mut server = Server::start().await;
    let (mei, key) = Person::streamer(&server, "mei").await;
    mei.ok(
        Method::PATCH,
        "/api/v1/channels/mei",
        &json!({ "title": "弹幕 'quoted'" }),
    )
    .await;
    let file = server.path("all.backup");
    let file = file.to_str().unwrap();
    let dir = server.dir().path().to_str().unwrap().to_owned();
    let told = succeeds(&["backup", file, "--data-dir", &dir]).await;
    assert!(told.contains("rows"), "{told}");
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "it opens everything");
    let again = fails(&["backup", file, "--data-dir", &dir]).await;
    assert!(
        again.contains("all.backup"),
        "nothing is overwritten: {again}"
    );

    let fresh = Arc::new(TempDir::new().unwrap());
    let there = fresh.path().to_str().unwrap().to_owned();
    succeeds(&["restore", file, "--data-dir", &there]).await;
    server.terminate().await;
    let restored = Server::on(Arc::clone(&fresh), &[]).await;
    let page = restored.json("/api/v1/channels/mei").await;
    assert_eq!(page["channel"]["title"], "弹幕 'quoted'");
    let back = Person::stranger(&restored);
    back.sign_in("mei", PASSWORD).await;
    let id = key["key"]["id"].as_str().unwrap();
    let path = format!("/api/v1/channels/mei/keys/{id}");
    assert_eq!(back.read(&path).await["secret"], key["secret"]);
    let secret = key["secret"].as_str().unwrap();
    let mut publisher = Publisher::with_key(&restored, secret).await.unwrap();
    publisher.introduce(&Clip::plain().await).await;
    let refused = fails(&["restore", file, "--data-dir", &there]).await;
    assert!(refused.contains("another Barrage server uses"), "{refused}");
}

#[tokio::test]
async fn a_backup_that_is_cut_off_restores_nothing() {
    let server = Server::start().await;
    let file = server.path("all.backup");
    let dir = server.dir().path().to_str().unwrap();
    succeeds(&["backup", file.to_str().unwrap(), "--data-dir", dir]).await;
    let whole = std::fs::read_to_string(&file).unwrap();
    let without_tail = whole.trim_end().rsplit_once('\n').unwrap().0.to_owned() + "\n";
    for (name, text, why) in [
        ("half", without_tail.as_str(), "cut off"),
        ("torn", &whole[..whole.len() - 4], "cut off"),
        ("none", "", "empty"),
        ("other", "{\"hello\": 1}\n", "no backup of Barrage"),
    ] {
        let bad = server.path(name);
        std::fs::write(&bad, text).unwrap();
        let fresh = TempDir::new().unwrap();
        let there = fresh.path().to_str().unwrap();
        let told = fails(&["restore", bad.to_str().unwrap(), "--data-dir", there]).await;
        assert!(told.contains(why), "{name}: {told}");
        // What was refused leaves room for what is whole.
        succeeds(&["restore", file.to_str().unwrap(), "--data-dir", there]).await;
    }
}

#[tokio::test]
async fn accounts_for_load_tests_are_made_in_bulk() {
    let server = Server::start().await;
    let dir = server.dir().path().to_str().unwrap().to_owned();
    let out = server.path("accounts.jsonl");
    let out = out.to_str().unwrap();
    let args = [
        "admin",
        "seed",
        "--users",
        "20",
        "--channels",
        "2",
        "--out",
        out,
        "--data-dir",
        &dir,
    ];
    let told = succeeds(&args).await;
    assert!(told.contains("20 accounts"), "{told}");
    let made: Vec<Value> = std::fs::read_to_string(out)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(made.len(), 20);
    assert_eq!(
        made.iter()
            .filter(|one| one["stream_key"].is_string())
            .count(),
        2
    );
    let text = |n: usize, name: &str| made[n][name].as_str().unwrap().to_owned();
    let program = Person::with_token(&server, &text(19, "token"));
    assert_eq!(program.read("/api/v1/account").await["handle"], "load_20");
    Person::stranger(&server)
        .sign_in(&text(4, "handle"), &text(4, "password"))
        .await;
    Publisher::with_key(&server, &text(1, "stream_key"))
        .await
        .unwrap();

    let other = server.path("more.jsonl");
    let taken = [
        "admin",
        "seed",
        "--users",
        "30",
        "--out",
        other.to_str().unwrap(),
        "--data-dir",
        &dir,
    ];
    assert!(fails(&taken).await.contains("@load_1 is taken"));
    assert!(!other.exists());
}

#[tokio::test]
async fn what_was_sealed_under_a_lost_server_key_is_told_and_made_anew() {
    let mut server = Server::start().await;
    assert!(server.terminate().await.success());
    std::fs::remove_file(server.path("server.key")).unwrap();
    let again = Server::on(Arc::clone(server.dir()), &[]).await;
    let admin = Person::admin(&again).await;
    let keys = "/api/v1/channels/stage/keys";
    let id = admin.read(keys).await[0]["id"].clone();
    let path = format!("{keys}/{}", id.as_str().unwrap());
    assert_eq!(
        admin.refused(Method::GET, &path, &Value::Null).await,
        (410, "unreadable".into())
    );
    let anew = admin
        .ok(Method::POST, &format!("{path}/rotate"), &Value::Null)
        .await;
    let secret = anew["secret"].as_str().unwrap();
    assert!(Publisher::with_key(&again, secret).await.is_ok());
}
