//! The pages, as they leave the binary.

use std::io::Read as _;

use crate::support::Server;

async fn ask(server: &Server, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
    // One that shows the body as it comes.
    let client = crate::support::browser().no_gzip().build().unwrap();
    let mut request = client.get(server.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

fn header<'a>(answer: &'a reqwest::Response, name: &str) -> &'a str {
    let value = answer.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

/// The addresses under `/assets/` that a page names.
fn assets_of(html: &str) -> Vec<String> {
    let mut assets: Vec<_> = html
        .split(['"', '\''])
        .filter(|text| text.starts_with("/assets/") || text.starts_with("./assets/"))
        .map(|text| text.trim_start_matches('.').to_owned())
        .collect();
    assets.dedup();
    assets
}

#[tokio::test]
async fn the_front_page_and_every_room_are_the_app_and_load_nothing_from_elsewhere() {
    let server = Server::start().await;
    for path in ["/", "/@stage"] {
        let answer = ask(&server, path, &[]).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(header(&answer, "content-type"), "text/html; charset=utf-8");
        assert_eq!(header(&answer, "cache-control"), "no-cache");
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
        let policy = header(&answer, "content-security-policy").to_owned();
        for rule in [
            "default-src 'self'",
            "frame-ancestors 'none'",
            "object-src 'none'",
        ] {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert!(
            !policy.contains("script-src"),
            "scripts come from here alone: {policy}"
        );
        let tag = header(&answer, "etag").to_owned();
        let html = answer.text().await.unwrap();
        assert!(
            html.contains("<script") && !assets_of(&html).is_empty(),
            "{html}"
        );
        assert!(
            !html.contains("<script>"),
            "the policy forbids scripts in the page: {html}"
        );
        let again = ask(&server, path, &[("if-none-match", &tag)]).await;
        assert_eq!(again.status(), 304, "{path} has not changed");
    }
}

#[tokio::test]
async fn assets_are_compressed_and_kept_for_ever() {
    let server = Server::start().await;
    let html = ask(&server, "/", &[]).await.text().await.unwrap();
    let scripts: Vec<_> = assets_of(&html)
        .into_iter()
        .filter(|a| a.ends_with(".js"))
        .collect();
    assert!(!scripts.is_empty(), "{html}");
    for path in assets_of(&html) {
        let plain = ask(&server, &path, &[]).await;
        assert_eq!(plain.status(), 200, "{path}");
        let cache = header(&plain, "cache-control").to_owned();
        assert!(
            cache.contains("immutable") && cache.contains("max-age=31536000"),
            "{path}: {cache}"
        );
        assert_eq!(header(&plain, "content-encoding"), "");
        assert_eq!(header(&plain, "vary").to_lowercase(), "accept-encoding");
        let body = plain.bytes().await.unwrap();
        if !path.ends_with(".js") && !path.ends_with(".css") {
            continue;
        }
        let small = ask(&server, &path, &[("accept-encoding", "gzip")]).await;
        assert_eq!(header(&small, "content-encoding"), "gzip", "{path}");
        assert_eq!(header(&small, "cache-control"), cache);
        let small = small.bytes().await.unwrap();
        assert!(small.len() < body.len(), "{path}");
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&small[..])
            .read_to_end(&mut unpacked)
            .unwrap();
        assert!(unpacked == body, "{path} is the same either way");
        let smallest = ask(&server, &path, &[("accept-encoding", "gzip, br")]).await;
        assert_eq!(header(&smallest, "content-encoding"), "br", "{path}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_page_that_says_so() {
    let server = Server::start().await;
    for path in [
        "/nothing",
        "/@no",
        "/@UPPER",
        "/a/b/c",
        "/index.html",
        "/@stage/x",
    ] {
        let answer = ask(&server, path, &[]).await;
        assert_eq!(answer.status(), 404, "{path}");
        assert_eq!(
            header(&answer, "content-type"),
            "text/html; charset=utf-8",
            "{path}"
        );
        assert!(header(&answer, "content-security-policy").contains("default-src 'self'"));
    }
    for path in ["/assets/nothing.js", "/assets/../index.html.br"] {
        let (status, body) = crate::support::raw::http(server.http, path).await;
        assert_eq!(status, 404, "{path}: {body}");
    }
}

#[tokio::test]
async fn the_page_of_nobody_says_so_by_its_status() {
    let server = Server::start().await;
    assert_eq!(server.get("/@stage").await.status(), 200);
    let nobody = server.get("/@nobody_at_all").await;
    assert_eq!(nobody.status(), 404);
    let tag = nobody.headers()["etag"].clone();
    assert!(nobody.text().await.unwrap().contains("<div id=\"app\""));
    let request = server.client.get(server.url("/@nobody_at_all"));
    let again = request.header("if-none-match", tag).send().await.unwrap();
    assert_eq!(again.status(), 404, "also to somebody who has the page");
}
