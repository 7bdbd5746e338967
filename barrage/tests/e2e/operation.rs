//! What operators and programs see: health, metrics, the API and its description.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::server::CHANNEL;
use crate::support::{Clip, Member, Person, Publisher, Server, Viewer, postgres, until};

/// The names in the table of metrics of docs/operating.md.
fn documented_metrics() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operating.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows.filter_map(|row| row.split(['`', '{']).next());
    let of_ours = |name: &&str| name.starts_with("barrage_") || name.starts_with("process_");
    names
        .filter(of_ours)
        .filter(|name| !name.contains('.'))
        .map(str::to_owned)
        .collect()
}

/// The names that `/metrics` tells, without those of a histogram's pieces.
fn told_metrics(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .filter_map(|rest| rest.split(' ').next())
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn every_documented_metric_is_told_and_the_counts_move() {
    let server = Server::start().await;
    let clip = Clip::plain().await;
    let mut publisher = Publisher::start(&server).await;
    publisher.introduce(&clip).await;
    // A picture before any keyframe is not lost on anybody; one that is no picture is counted.
    let torn = crate::support::clip::tag(media::flv::TagKind::Video, 0, &[0x17, 1, 0, 0, 0, 9, 9]);
    publisher.send(&torn).await.unwrap();
    publisher
        .send_all(&clip.frames[..clip.frames.len() / 2])
        .await;
    let mut viewer = Viewer::tune_in(&server).await;
    let mut member = Member::enter(&server, &format!("room={CHANNEL}")).await;
    let ann = Person::new(&server, "ann").await;
    member.auth(&ann, CHANNEL).await;
    member.danmaku("counted").await;
    let first = server.text("/metrics").await;
    let sum = |text: &str, name: &str| crate::support::server::sum_of(text, name);
    assert!((sum(&first, "barrage_rtmp_connections") - 1.0).abs() < 0.1);
    let bytes = sum(&first, "barrage_rtmp_received_bytes_total");
    assert!(bytes > 100_000.0, "{bytes}");
    assert!(sum(&first, "process_resident_memory_bytes") > 1e6);

    publisher
        .send_all(&clip.frames[clip.frames.len() / 2..])
        .await;
    viewer.step().await;
    assert!(Publisher::with_key(&server, "bk_wrong").await.is_err());
    let text = until("the counts move", async || {
        let text = server.text("/metrics").await;
        let moved = sum(&text, "barrage_rtmp_received_bytes_total") > bytes
            && sum(&text, "barrage_rtmp_refused_total") >= 1.0
            && sum(&text, "barrage_ingest_dropped_frames_total") >= 1.0;
        moved.then_some(text)
    })
    .await;
    assert!(
        text.contains("barrage_rtmp_refused_total{reason=\"publish\"}"),
        "{text}"
    );
    publisher.finish().await;
    until("nobody publishes", async || {
        let open = server.metric("barrage_rtmp_connections").await;
        (open < 0.5).then_some(())
    })
    .await;

    let (documented, told) = (documented_metrics(), told_metrics(&text));
    assert!(documented.len() >= 6, "{documented:?}");
    for name in &documented {
        assert!(
            told.contains(name),
            "{name} is documented and not told:\n{text}"
        );
    }
    for name in &told {
        assert!(
            documented.contains(name),
            "{name} is told and not documented"
        );
    }
}

#[tokio::test]
async fn the_description_lists_every_route_and_every_route_answers() {
    let server = Server::start().await;
    let clip = Clip::plain().await;
    let mut publisher = Publisher::start(&server).await;
    publisher.introduce(&clip).await;
    publisher.play(&clip.frames[..120], 2).await.unwrap();
    let measured = |now: &Value| now["video"].is_object() && now["audio"].is_object();
    server
        .stream_until("the tracks are measured", measured)
        .await;

    let description = server.json("/api/openapi.json").await;
    let paths = description["paths"].as_object().unwrap();
    // Those that ask who it is are asked by every role elsewhere, and one thing among many by those
    // who made it.
    let open = paths
        .iter()
        .filter(|(_, methods)| methods["get"].is_object() && methods["get"]["security"].is_null())
        .filter(|(path, _)| !path.contains("{id}"));
    for (path, methods) in open {
        let get = &methods["get"];
        let mut url = path.replace("{handle}", CHANNEL);
        if url.ends_with("/danmaku") {
            url.push_str("?broadcast=00000000-0000-0000-0000-000000000000");
        }
        assert!(!url.contains('{'), "nobody told the test what {path} takes");
        let answer = server.get(&url).await;
        assert_eq!(answer.status(), 200, "{path}");
        let kind = answer.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        let described = get["responses"]["200"]["content"].as_object().unwrap();
        assert!(
            described.keys().any(|name| kind.starts_with(name)),
            "{path} is {kind}"
        );
        let body = answer.text().await.unwrap();
        if kind.starts_with("application/json") {
            let body: Value = serde_json::from_str(&body).unwrap();
            let schema = &described["application/json"]["schema"];
            assert_described(&description, schema, &body, path);
        }
    }
}

/// Checks that a body has the members that its schema names, and no others.
fn assert_described(description: &Value, schema: &Value, body: &Value, place: &str) {
    let schema = resolved(description, schema);
    match body {
        Value::Object(members) => {
            let Some(described) = schema["properties"].as_object() else {
                return;
            };
            for (name, value) in members {
                let place = format!("{place} {name}");
                let schema = described.get(name);
                let schema = schema.unwrap_or_else(|| panic!("{place} is not described"));
                assert_described(description, schema, value, &place);
            }
            for name in schema["required"].as_array().into_iter().flatten() {
                let name = name.as_str().unwrap();
                assert!(members.contains_key(name), "{place} {name} is promised");
            }
        }
        Value::Array(items) => {
            for item in items {
                assert_described(description, &schema["items"], item, place);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The schema behind references, and that of something that may be missing.
fn resolved<'a>(description: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.trim_start_matches('#');
        let target = description.pointer(pointer);
        return target.unwrap_or_else(|| panic!("{reference} leads nowhere"));
    }
    let choices = schema["oneOf"].as_array().into_iter().flatten();
    let mut some = choices.filter(|choice| choice["type"] != "null");
    some.next()
        .map_or(schema, |choice| resolved(description, choice))
}

#[tokio::test]
async fn errors_are_json_with_a_stable_code() {
    let server = Server::start().await;
    for (path, code) in [
        ("/api/v1/streams/stage", "not_live"),
        ("/api/v1/streams/nobody", "channel_not_found"),
        ("/api/v1/streams/%00%ff", "channel_not_found"),
        ("/api/v1/channels/nobody", "channel_not_found"),
        (
            "/api/v1/channels/..%2f..%2fetc%2fpasswd",
            "channel_not_found",
        ),
        ("/api/v1/nothing", "not_found"),
        ("/api/v2/streams", "not_found"),
        ("/api/", "not_found"),
        ("/api", "not_found"),
    ] {
        let (status, body) = crate::support::raw::http(server.http, path).await;
        assert_eq!(status, 404, "{path}: {body}");
        let body: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {body}"));
        assert_eq!(body["error"]["code"], code, "{path}");
        assert!(
            body["error"]["message"]
                .as_str()
                .is_some_and(|text| text.len() > 10),
            "{path}"
        );
    }
    let posted = server
        .client
        .post(server.url("/api/v1/streams"))
        .send()
        .await;
    let posted = posted.unwrap();
    assert_eq!(posted.status(), 405);
    let body: Value = posted.json().await.unwrap();
    assert_eq!(body["error"]["code"], "method_not_allowed");
    let listed = server.json("/api/v1/streams").await;
    assert_eq!(listed["streams"], Value::Array(Vec::new()));
    let page = server.json("/api/v1/channels/stage").await;
    assert_eq!(page["channel"]["handle"], "stage");
    assert!(
        page["live"].is_null() && page["last_live_at"].is_null(),
        "{page}"
    );
}

#[tokio::test]
async fn a_server_that_runs_is_alive_and_ready() {
    let server = Server::start().await;
    assert_eq!(server.text("/healthz").await, "ok\n");
    assert_eq!(server.text("/readyz").await, "ready\n");
}

/// SQLite is part of the process and is not gone while that runs.
#[tokio::test]
async fn an_outage_of_the_database_is_seen_and_what_is_live_plays_on() {
    let server = Server::start().await;
    let clip = Clip::plain().await;
    let mut publisher = Publisher::start(&server).await;
    publisher.introduce(&clip).await;
    publisher
        .send_all(&clip.frames[..clip.frames.len() / 2])
        .await;
    let mut viewer = Viewer::tune_in(&server).await;
    let answers = async || server.metric("barrage_database_ok").await > 0.5;
    assert!(answers().await);
    // Somebody has looked, so it is known what is on.
    server.live().await;
    if !postgres::set_reachable(server.dir().path(), false) {
        return;
    }
    until("the outage is told", async || {
        (!answers().await).then_some(())
    })
    .await;
    assert_eq!(server.get("/readyz").await.status(), 503);
    assert_eq!(server.get("/healthz").await.status(), 200);
    // Who comes now finds it, too.
    assert_eq!(
        server.json("/api/v1/streams").await["streams"][0]["state"],
        "live"
    );
    let page = server.json(&format!("/api/v1/channels/{CHANNEL}")).await;
    assert_eq!(page["live"]["state"], "live");
    publisher
        .send_all(&clip.frames[clip.frames.len() / 2..])
        .await;
    viewer.step().await;

    postgres::set_reachable(server.dir().path(), true);
    until("the database is back", async || {
        answers().await.then_some(())
    })
    .await;
    assert_eq!(server.text("/readyz").await, "ready\n");
}

#[test]
fn the_dashboard_and_the_alerts_ask_for_metrics_that_are_told() {
    // Another test sees that each of these is told.
    let told = documented_metrics();
    let files = [
        include_str!("../../../docs/monitoring/grafana.json"),
        include_str!("../../../docs/monitoring/alerts.yml"),
    ];
    for text in files {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let asked: Vec<&str> = words
            .filter(|word| word.starts_with("barrage_") || word.starts_with("process_"))
            .map(|word| word.trim_end_matches("_bucket"))
            .collect();
        assert!(asked.len() >= 6, "{asked:?}");
        for name in asked {
            assert!(
                told.iter().any(|one| one == name),
                "{name} is asked for and not told"
            );
        }
    }
    let dashboard: Value = serde_json::from_str(files[0]).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 5);
}
