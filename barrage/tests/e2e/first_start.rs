//! What a server is born with, and what it tells of itself.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use crate::support::publisher::code_of;
use crate::support::server::{read_json, run};
use crate::support::{Clip, Publisher, Server};

#[tokio::test]
async fn the_first_start_tells_what_it_made_and_the_second_tells_the_same() {
    let mut server = Server::start().await;
    let first_run = server.path("first-run.json");
    let mode = std::fs::metadata(&first_run).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else may read it");
    if crate::support::postgres::url(server.dir().path()).is_none() {
        for name in ["barrage.db", "barrage.db-wal"] {
            let mode = std::fs::metadata(server.path(name)).unwrap().permissions();
            assert_eq!(mode.mode() & 0o777, 0o600, "{name}");
        }
    }
    let told = read_json(&first_run).unwrap();
    assert_eq!(told["admin"]["handle"], "admin");
    assert_eq!(told["channel"]["handle"], "stage");
    let password = told["admin"]["password"].as_str().unwrap().to_owned();
    assert!(password.len() >= 16, "{password}");

    let runtime = read_json(&server.path("runtime.json")).unwrap();
    assert_eq!(runtime["pid"], server.id());
    assert_eq!(runtime["http"]["port"], server.http.port());
    assert_eq!(runtime["rtmp"]["port"], server.rtmp.port());
    let printed = server.banner().await;
    for word in [
        format!("http://localhost:{}/@stage", server.http.port()),
        format!("rtmp://localhost:{}/live", server.rtmp.port()),
        server.key.clone(),
        password,
    ] {
        assert!(printed.contains(&word), "{word} is not in:\n{printed}");
    }

    assert!(server.terminate().await.success());
    assert!(
        !server.path("runtime.json").exists(),
        "nothing runs any more"
    );
    let again = Server::on(Arc::clone(server.dir()), &[]).await;
    assert_eq!(read_json(&again.path("first-run.json")).unwrap(), told);
    assert!(Publisher::with_key(&again, &server.key).await.is_ok());
}

#[tokio::test]
async fn changing_the_password_removes_what_the_first_start_told() {
    let mut server = Server::start().await;
    let first_run = server.path("first-run.json");
    let dir = server.dir().path().to_str().unwrap().to_owned();
    let set = ["admin", "set-password", "admin", "--data-dir", &dir];

    let short = run(&set, "short\n").await;
    assert!(!short.status.success());
    let told = String::from_utf8_lossy(&short.stderr).into_owned();
    assert!(told.contains("at least 10 characters"), "{told}");
    assert!(first_run.exists(), "nothing was changed");
    let nobody = run(
        &["admin", "set-password", "nobody", "--data-dir", &dir],
        "long enough!\n",
    )
    .await;
    assert!(!nobody.status.success());
    assert!(first_run.exists(), "nothing was changed");

    let changed = run(&set, "correct horse battery\n").await;
    assert!(changed.status.success(), "{changed:?}");
    assert!(!first_run.exists());

    assert!(server.terminate().await.success());
    let key = server.key.clone();
    let again = Server::on(Arc::clone(server.dir()), &[]).await;
    assert!(
        !first_run.exists(),
        "nobody is told a password that does not hold"
    );
    assert!(!again.banner().await.contains(&key));
    assert!(
        Publisher::with_key(&again, &key).await.is_ok(),
        "the key still holds"
    );
}

#[tokio::test]
async fn the_stream_key_is_in_no_log_and_in_no_file_but_the_one_that_tells_it() {
    let mut server = Server::with(&[("log.level", "trace"), ("log.format", "json")]).await;
    let clip = Clip::plain().await;
    let mut publisher = Publisher::start(&server).await;
    publisher.introduce(&clip).await;
    publisher.send_all(&clip.frames[..60]).await;
    server.live().await;
    let taken = Publisher::with_key(&server, &server.key).await;
    assert!(taken.is_err(), "somebody publishes");
    let query = format!("{}?password=tell-nobody", server.key);
    assert!(
        Publisher::with_key(&server, &query).await.is_err(),
        "somebody publishes"
    );
    publisher.finish().await;
    server.offline().await;
    // In the wrong place: in the application's name, and in front of a server that ends.
    let mut lost = Publisher::dial(server.rtmp, "127.0.0.1", &server.key, &server.key).await;
    assert_eq!(
        code_of(&lost.farewell().await),
        Some("NetConnection.Connect.InvalidApp")
    );
    let wrong = Publisher::with_key(&server, "bk_guessed").await;
    assert!(wrong.is_err(), "nobody has this key");
    assert!(server.terminate().await.success());

    let log = server.log().text();
    assert!(log.contains("on stage"), "the log tells what happened");
    for secret in [server.key.as_str(), "tell-nobody", "bk_guessed"] {
        assert!(!log.contains(secret), "{secret} stands in the log");
    }
    for entry in std::fs::read_dir(server.dir().path()).unwrap() {
        let path = entry.unwrap().path();
        if path
            .file_name()
            .is_some_and(|name| name == "first-run.json")
        {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let key = server.key.as_bytes();
        let found = bytes.windows(key.len()).any(|window| window == key);
        assert!(!found, "the key stands in {}", path.display());
    }
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused_and_the_first_goes_on() {
    let server = Server::start().await;
    let dir = server.dir().path().to_str().unwrap();
    let free = [
        "--http-listen",
        "127.0.0.1:0",
        "--rtmp-listen",
        "127.0.0.1:0",
        "--webrtc-listen",
        "127.0.0.1:0",
    ];
    let second = run(&[&["serve", "--data-dir", dir], &free[..]].concat(), "").await;
    assert_eq!(second.status.code(), Some(1));
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        told.contains("another Barrage server uses") && told.contains(dir),
        "{told}"
    );
    assert_eq!(
        read_json(&server.path("runtime.json")).unwrap()["pid"],
        server.id()
    );
    assert_eq!(server.text("/readyz").await, "ready\n");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let server = Server::start().await;
    let other = tempfile::tempdir().unwrap();
    let dir = other.path().to_str().unwrap();
    let (http, rtmp) = (server.http.to_string(), server.rtmp.to_string());
    let runtime = read_json(&server.path("runtime.json")).unwrap();
    let webrtc = runtime["webrtc"]["listen"].as_str().unwrap();
    let free = "127.0.0.1:0";
    for (listen, key) in [
        ([http.as_str(), free, free], "http.listen"),
        ([free, rtmp.as_str(), free], "rtmp.listen"),
        ([free, free, webrtc], "webrtc.listen"),
    ] {
        let [http, rtmp, webrtc] = listen;
        let listen = [
            "--http-listen",
            http,
            "--rtmp-listen",
            rtmp,
            "--webrtc-listen",
            webrtc,
        ];
        let second = run(&[&["serve", "--data-dir", dir], &listen[..]].concat(), "").await;
        assert_eq!(second.status.code(), Some(1));
        let told = String::from_utf8_lossy(&second.stderr).into_owned();
        assert!(
            told.contains(key) && told.contains("another server running"),
            "{told}"
        );
        assert!(
            !other.path().join("runtime.json").exists(),
            "nothing runs there"
        );
    }
}
