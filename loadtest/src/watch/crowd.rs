//! Everybody waits for the same part of an LL-HLS playlist, again and again: how long it takes to
//! wake a crowd.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{Client, Url};
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch as latest};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::playlist::{Playlist, media_playlists};
use super::target::Target;
use crate::http::{Answer, Piece, get};
use crate::say;
use crate::times::{Spread, Times};

/// Most bytes of an answer's head and body: playlists go out compressed.
const ANSWER_MAX: usize = 64 * 1024;
/// How long an answer may take.
const ANSWER_WAIT: Duration = Duration::from_secs(15);

/// What came of the rounds of a crowd. Times in milliseconds.
#[derive(Debug, Serialize)]
struct Outcome {
    /// What this is, and in which form.
    schema: &'static str,
    url: String,
    viewers: usize,
    rounds: usize,
    /// Rounds left out because not everyone was waiting when the part came.
    late_rounds: usize,
    /// From the first answer of a round to any other.
    after_first_ms: Spread,
    /// From the first answer of a round to the last.
    whole_ms: Spread,
}

/// Lets everyone wait for the same part, for as many rounds as there is time.
pub(crate) async fn run(
    target: &Target,
    viewers: usize,
    duration: Duration,
    json: bool,
) -> anyhow::Result<()> {
    let client = Client::builder().tcp_nodelay(true).build()?;
    let index = text(&client, target.place.url.clone()).await?;
    let uri = media_playlists(&index).pop().context("a media playlist")?;
    let playlist = target.place.url.join(&uri)?;
    let (asks, asked) = latest::channel(None);
    let (tells, mut told) = mpsc::unbounded_channel();
    let mut waiters = JoinSet::new();
    for _ in 0..viewers {
        let one = Waiter::connect(target.place.address, &playlist).await?;
        waiters.spawn(one.run(asked.clone(), tells.clone()));
    }
    drop((asked, tells));
    let until = Instant::now() + duration;
    let (mut rounds, mut late_rounds) = (0, 0);
    let (mut after_first, mut whole) = (Times::default(), Times::default());
    while Instant::now() < until {
        let now = Playlist::parse(&text(&client, playlist.clone()).await?)?;
        if now.ended {
            break;
        }
        // The part after the next, so that everyone waits before it comes.
        asks.send_replace(Some((now.next_msn, now.next_part + 1)));
        let mut answers = Vec::with_capacity(viewers);
        while answers.len() < viewers {
            let answer = timeout(ANSWER_WAIT, told.recv()).await?;
            answers.push(answer.context("every viewer failed")??);
        }
        let Some(first) = answers.iter().map(|answer| answer.answered).min() else {
            break;
        };
        if answers.iter().any(|answer| answer.asked >= first) {
            late_rounds += 1;
            continue;
        }
        rounds += 1;
        let since_first = answers.iter().map(|answer| answer.answered - first);
        whole.add_duration(since_first.clone().max().unwrap_or_default());
        since_first.for_each(|time| after_first.add_duration(time));
    }
    let outcome = Outcome {
        schema: "barrage-load/crowd/1",
        url: target.place.url.to_string(),
        viewers,
        rounds,
        late_rounds,
        after_first_ms: Spread::of(&after_first),
        whole_ms: Spread::of(&whole),
    };
    if json {
        say(&serde_json::to_string_pretty(&outcome)?);
    } else {
        say(&format!(
            "{viewers} viewers, {rounds} rounds, {late_rounds} left out\n\
             first to last answer  {}\n\
             first to any answer   {}",
            outcome.whole_ms, outcome.after_first_ms,
        ));
    }
    Ok(())
}

/// One answer to one who waited.
#[derive(Debug)]
struct Answered {
    asked: Instant,
    answered: Instant,
}

/// A viewer of a crowd: a bare connection, so that thousands cost little beside the server.
#[derive(Debug)]
struct Waiter {
    stream: TcpStream,
    path: String,
    host: String,
}

impl Waiter {
    async fn connect(address: SocketAddr, playlist: &Url) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            path: playlist.path().to_owned(),
            host: playlist.authority().to_owned(),
        })
    }

    /// Asks for whatever part it is told to, until nobody tells it any more.
    async fn run(
        mut self,
        mut asked: latest::Receiver<Option<(u64, usize)>>,
        tells: mpsc::UnboundedSender<anyhow::Result<Answered>>,
    ) {
        while asked.changed().await.is_ok() {
            let wanted = *asked.borrow_and_update();
            let Some((msn, part)) = wanted else { continue };
            let answer = self.ask(msn, part).await;
            let failed = answer.is_err();
            if tells.send(answer).is_err() || failed {
                return;
            }
        }
    }

    async fn ask(&mut self, msn: u64, part: usize) -> anyhow::Result<Answered> {
        let path = format!("{}?_HLS_msn={msn}&_HLS_part={part}", self.path);
        let request = get(&path, &self.host, "Accept-Encoding: gzip\r\n");
        self.stream.write_all(&request).await?;
        let asked = Instant::now();
        let (mut answer, mut length) = (Answer::default(), 0);
        loop {
            // Nothing is set aside while it waits.
            self.stream.readable().await?;
            let mut bytes = Vec::new();
            let read = self.stream.read_buf(&mut bytes).await?;
            length += read;
            if read == 0 || length > ANSWER_MAX {
                bail!("no answer of a known length");
            }
            answer.push(&bytes);
            if is_whole(&mut answer)? {
                break;
            }
        }
        let answered = Instant::now();
        Ok(Answered { asked, answered })
    }
}

/// Whether head and body of a good answer have come.
fn is_whole(answer: &mut Answer) -> anyhow::Result<bool> {
    while let Some(piece) = answer.next()? {
        match piece {
            Piece::Head(200) | Piece::Body(_) => {}
            Piece::Head(status) => bail!("the server answered {status}"),
            Piece::End => return Ok(true),
        }
    }
    Ok(false)
}

async fn text(client: &Client, url: Url) -> anyhow::Result<String> {
    Ok(client
        .get(url)
        .send()
        .await?
        .error_for_status()?
        .text()
        .await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_the_last_byte_of_its_body() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        let mut answer = Answer::default();
        for (number, byte) in bytes.iter().enumerate() {
            answer.push(&[*byte]);
            assert_eq!(is_whole(&mut answer).unwrap(), number + 1 == bytes.len());
        }
        answer.push(b"HTTP/1.1 503 Busy\r\n\r\n");
        assert!(is_whole(&mut answer).is_err());
    }
}
