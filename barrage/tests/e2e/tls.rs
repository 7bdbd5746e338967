//! HTTPS, and proxies before the server.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::person::{PASSWORD, tls_client};
use crate::support::{Person, Server, until, within};

/// The certificate that a client is shown.
async fn shown(server: &Server) -> Vec<u8> {
    let url = format!("https://localhost:{}/healthz", server.https.unwrap().port());
    let answer = within(&url, tls_client().get(url.as_str()).send())
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let tls = answer.extensions().get::<reqwest::tls::TlsInfo>().unwrap();
    tls.peer_certificate().unwrap().to_vec()
}

fn write_certificate(dir: &Path, name: &str) -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    std::fs::write(dir.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(dir.join("tls.crt"), made.cert.pem()).unwrap();
    made.cert.der().to_vec()
}

/// For the key that is there, good until a moment in the past.
fn write_expired_certificate(dir: &Path) {
    let pem = std::fs::read_to_string(dir.join("tls.key")).unwrap();
    let key = rcgen::KeyPair::from_pem(&pem).unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(dir.join("tls.crt"), certificate.pem()).unwrap();
}

#[tokio::test]
async fn a_certificate_that_expired_before_the_start_is_told_and_our_own_made_anew() {
    let files = TempDir::new().unwrap();
    write_certificate(files.path(), "localhost");
    write_expired_certificate(files.path());
    let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (path("tls.crt"), path("tls.key"));
    let given = [("https.certificate", &*certificate), ("https.key", &*key)];
    let server = Server::with(&given).await;
    assert!(server.metric("barrage_certificate_ok").await < 0.5);
    assert!(server.metric("barrage_certificate_good_seconds").await < 1.0);
    server.logged(&["the certificate has expired"]).await;

    let own = Server::start().await;
    let dir = Arc::clone(own.dir());
    assert!(own.metric("barrage_certificate_good_seconds").await > 300.0 * 86_400.0);
    drop(own);
    for (from, to) in [
        ("tls.crt", "self-signed.crt"),
        ("tls.key", "self-signed.key"),
    ] {
        std::fs::copy(files.path().join(from), dir.path().join(to)).unwrap();
    }
    let own = Server::on(dir, &[]).await;
    assert!(own.metric("barrage_certificate_good_seconds").await > 300.0 * 86_400.0);
}

#[tokio::test]
async fn pages_come_over_http2_with_a_certificate_of_the_servers_own() {
    let server = Server::start().await;
    let url = format!("https://localhost:{}/", server.https.unwrap().port());
    let page = tls_client().get(url).send().await.unwrap();
    assert_eq!(
        (page.status().as_u16(), page.version()),
        (200, reqwest::Version::HTTP_2)
    );
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("default-src 'self'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
    assert!(!page.headers().contains_key("strict-transport-security"));
    let html = page.text().await.unwrap();
    assert!(
        !html.contains("<script>") && !html.contains("<style"),
        "nothing inline"
    );
    // The same certificate the next time: who trusted it once is not asked again.
    let before = shown(&server).await;
    let dir = Arc::clone(server.dir());
    drop(server);
    assert_eq!(shown(&Server::on(dir, &[]).await).await, before);
}

#[tokio::test]
async fn a_given_certificate_is_read_again_and_a_bad_one_changes_nothing() {
    let files = TempDir::new().unwrap();
    let first = write_certificate(files.path(), "localhost");
    let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (path("tls.crt"), path("tls.key"));
    let server = Server::with(&[
        ("https.certificate", &certificate),
        ("https.key", &key),
        ("public_url", "https://localhost"),
    ])
    .await;
    assert_eq!(shown(&server).await, first);
    let second = write_certificate(files.path(), "localhost");
    until("the new one is shown", async || {
        (shown(&server).await == second).then_some(())
    })
    .await;
    let admin = Person::admin(&server).await;
    let told = async || {
        let health = admin.read("/api/v1/admin/health").await;
        let all = health["dependencies"].as_array().unwrap().clone();
        all.into_iter()
            .find(|one| one["name"] == "certificate")
            .unwrap()
    };
    assert_eq!(told().await["ok"], true);
    std::fs::write(&certificate, "not a certificate").unwrap();
    let problem = until("the operator is told", async || {
        let told = told().await;
        (told["ok"] == false).then(|| told["problem"].to_string())
    })
    .await;
    assert!(problem.contains("tls.crt"), "{problem}");
    assert_eq!(shown(&server).await, second, "the last good one stays");
    write_expired_certificate(files.path());
    until(
        "the operator is told what is wrong with this one",
        async || {
            let problem = told().await["problem"].to_string();
            problem.contains("has expired").then_some(())
        },
    )
    .await;
    assert_eq!(shown(&server).await, second, "the last good one stays");
    let third = write_certificate(files.path(), "localhost");
    until("a good one is taken again", async || {
        (shown(&server).await == third).then_some(())
    })
    .await;
    let url = format!("https://localhost:{}/healthz", server.https.unwrap().port());
    let answer = tls_client().get(url).send().await.unwrap();
    assert!(answer.headers().contains_key("strict-transport-security"));
}

#[tokio::test]
async fn only_a_trusted_proxy_says_for_whom_it_asks() {
    let headers = [
        ("x-forwarded-for", "198.51.100.7"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "live.example"),
    ];
    let cookie_and_address = async |server: &Server| {
        let person = Person::stranger(server);
        let account = json!({ "handle": "mei", "password": PASSWORD });
        let mut request = person
            .request(reqwest::Method::POST, "/api/v1/account")
            .json(&account);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = person.send(request).await;
        assert_eq!(answer.status(), 201);
        let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
        let mut request = person.request(reqwest::Method::GET, "/api/v1/account/sessions");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let sessions: serde_json::Value = person.send(request).await.json().await.unwrap();
        (cookie, sessions[0]["address"].as_str().unwrap().to_owned())
    };
    let (cookie, address) = cookie_and_address(&Server::start().await).await;
    assert!(cookie.starts_with("barrage="), "{cookie}");
    assert_eq!(address, "127.0.0.1");
    let trusting = Server::with(&[("trusted_proxies", "127.0.0.0/8")]).await;
    let (cookie, address) = cookie_and_address(&trusting).await;
    assert!(cookie.starts_with("__Host-barrage="), "{cookie}");
    assert_eq!(address, "198.51.100.7");
}

#[tokio::test]
async fn a_proxy_header_comes_before_the_first_byte_on_every_listener() {
    let server = Server::with(&[
        ("trusted_proxies", "127.0.0.1"),
        ("proxy_protocol", "http,rtmp"),
    ])
    .await;
    let header = "PROXY TCP4 198.51.100.7 127.0.0.1 4711 80\r\n";
    let mut http = TcpStream::connect(server.http).await.unwrap();
    let request = format!("{header}GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    http.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("an answer", http.read_to_string(&mut answer))
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let mut rtmp = TcpStream::connect(server.rtmp).await.unwrap();
    rtmp.write_all(format!("{header}nonsense").as_bytes())
        .await
        .unwrap();
    rtmp.write_all(&[0; 2000]).await.unwrap();
    server
        .logged(&["broke the protocol", "198.51.100.7:4711"])
        .await;

    let mut bare = TcpStream::connect(server.http).await.unwrap();
    bare.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    // Closed with or without a word that was not read; in no case served.
    let _ = within("the end", bare.read_to_string(&mut answer)).await;
    assert_eq!(
        answer, "",
        "a proxy that does not say for whom is not served"
    );
    server
        .logged(&["refused a connection of a proxy", "127.0.0.1"])
        .await;
}
