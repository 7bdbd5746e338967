//! Rooms over server-sent events, for who only reads.

use reqwest::RequestBuilder;
use serde_json::Value;

use crate::support::person::tls_client;
use crate::support::{Member, Person, Server, within};

/// Somebody who reads, as a browser's `EventSource` does.
struct Reader {
    answer: reqwest::Response,
    text: String,
    /// What the last event had as `id`.
    id: String,
}

impl Reader {
    async fn of(request: RequestBuilder) -> Self {
        let answer = within("an answer", request.send()).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self {
            answer,
            text: String::new(),
            id: String::new(),
        }
    }

    async fn open(server: &Server, last: Option<&str>) -> Self {
        let mut request = server.client.get(server.url("/events?room=stage"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        Self::of(request).await
    }

    /// What the next event lists; none at the end.
    async fn next(&mut self) -> Option<Vec<Value>> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let lines = event.lines().filter_map(|line| line.split_once(": "));
                let mut list = None;
                for (name, value) in lines {
                    match name {
                        "id" => value.clone_into(&mut self.id),
                        "data" => list = Some(serde_json::from_str(value).unwrap()),
                        other => panic!("{other} in {event}"),
                    }
                }
                if list.is_some() {
                    return list;
                }
                continue;
            }
            let piece = within("an event", self.answer.chunk()).await.ok()??;
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    /// The texts of the next danmaku.
    async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            let list = self.next().await.expect("the room goes on");
            let said = list.iter().filter(|item| item["t"] == "danmaku");
            texts.extend(said.map(|item| item["text"].as_str().unwrap().to_owned()));
        }
        texts
    }
}

async fn speaker(server: &Server) -> Member {
    let ann = Person::new(server, "ann").await;
    let mut member = Member::enter(server, "room=stage").await;
    member.auth(&ann, "stage").await;
    member
}

#[tokio::test]
async fn who_only_reads_hears_all_and_returns_to_where_they_were() {
    let server = Server::start().await;
    let mut ann = speaker(&server).await;
    ann.danmaku("before").await;
    let mut reader = Reader::open(&server, None).await;
    let welcome = reader.next().await.unwrap();
    assert_eq!(
        (&welcome[0]["t"], &welcome[0]["viewers"]),
        (&"welcome".into(), &2.into())
    );
    assert_eq!(reader.texts(1).await, ["before"]);
    ann.danmaku("first").await;
    ann.danmaku("second").await;
    assert_eq!(reader.texts(2).await, ["first", "second"]);
    assert!(
        reader
            .id
            .contains(&format!("chat:{}:3", welcome[0]["lanes"]["chat"]["e"])),
        "{}",
        reader.id
    );
    let last = reader.id.clone();
    drop(reader);

    ann.danmaku("away").await;
    let mut again = Reader::open(&server, Some(&last)).await;
    assert_eq!(again.texts(1).await, ["away"]);
    ann.danmaku("back").await;
    assert_eq!(again.texts(1).await, ["back"]);
    // Who has gone is no viewer any more.
    loop {
        if ann.hear("count").await["viewers"] == 2 {
            break;
        }
    }
}

#[tokio::test]
async fn over_http2_too_and_the_end_of_the_server_is_told() {
    let mut server = Server::start().await;
    let mut ann = speaker(&server).await;
    let https = server.https.unwrap().port();
    let url = format!("https://localhost:{https}/events?room=stage");
    let mut readers = [
        Reader::of(tls_client().get(url)).await,
        Reader::open(&server, None).await,
    ];
    assert_eq!(readers[0].answer.version(), reqwest::Version::HTTP_2);
    ann.danmaku("to all").await;
    for reader in &mut readers {
        assert_eq!(reader.texts(1).await, ["to all"]);
    }
    server.signal("TERM");
    for reader in &mut readers {
        let mut last = Vec::new();
        while let Some(list) = reader.next().await {
            last = list;
        }
        let last = last.last().expect("the end is told");
        assert_eq!((&last["t"], &last["code"]), (&"over".into(), &4102.into()));
    }
    assert!(server.ended().await.success());
    assert!(
        server
            .log()
            .lines_with(&["ended with connections open"])
            .is_empty()
    );
}

#[tokio::test]
async fn only_pages_that_may_read_and_only_rooms_that_are_there() {
    let server = Server::with(&[("chat.allowed_origins", "[\"https://fans.example\"]")]).await;
    let ask = async |query: &str, origin: Option<&str>| {
        let mut request = server.client.get(server.url(&format!("/events?{query}")));
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        within("an answer", request.send()).await.unwrap()
    };
    assert_eq!(ask("room=nobody", None).await.status(), 404);
    assert_eq!(ask("", None).await.status(), 400);
    assert_eq!(ask("room=stage&since=nowhere", None).await.status(), 400);
    assert_eq!(
        ask("room=stage", Some("https://evil.example"))
            .await
            .status(),
        403
    );
    let fans = ask("room=stage", Some("https://fans.example")).await;
    assert_eq!(fans.status(), 200);
    assert_eq!(
        fans.headers()["access-control-allow-origin"],
        "https://fans.example"
    );
}
