//! LL-HLS viewers: each joins, follows the playlists by blocking reloads and fetches every part,
//! as a player at the live edge does. Or all wait for the same part of the playlist again and again,
//! which tells how long it takes to wake a crowd.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args as ClapArgs;
use reqwest::{Client, Url};
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch as latest};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::say;

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// Most bytes of an answer's head and body in `--crowd`: playlists go out compressed.
const ANSWER_MAX: usize = 64 * 1024;
/// How long an answer may take in `--crowd`.
const ANSWER_WAIT: Duration = Duration::from_secs(15);

/// What `watch` takes.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Args {
    /// The multivariant playlist, such as http://localhost:8080/hls/stage/index.m3u8
    url: Url,
    /// How many viewers.
    #[arg(long, default_value_t = 1)]
    viewers: usize,
    /// How many viewers join each second.
    #[arg(long, default_value_t = 200)]
    joins_per_second: u32,
    /// For how many seconds each watches.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    duration: u64,
    /// Fetch no media: all wait together for a part to stand in the playlist, round after round.
    #[arg(long)]
    crowd: bool,
    /// Tell the result as JSON.
    #[arg(long)]
    json: bool,
}

/// What came of it. Times in milliseconds.
#[derive(Debug, Serialize)]
struct Outcome {
    viewers: usize,
    failed: usize,
    parts: usize,
    bytes: u64,
    /// From the request of the multivariant playlist to the first part in hand.
    join: Spread,
    /// From a part's last frame on the server's clock to the part in hand; this machine's clock
    /// must agree with the server's.
    part_delay: Spread,
    /// Parts that were announced and could not be fetched.
    missed: usize,
}

#[derive(Debug, Serialize)]
struct Spread {
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: usize| {
            values.get((values.len() * share / 100).min(values.len().saturating_sub(1)))
        };
        let pick = |share| at(share).copied().unwrap_or(f64::NAN);
        Self {
            p50_ms: pick(50),
            p99_ms: pick(99),
            max_ms: values.last().copied().unwrap_or(f64::NAN),
        }
    }
}

/// What one viewer saw.
#[derive(Debug, Default)]
struct Seen {
    join_ms: Option<f64>,
    part_delays_ms: Vec<f64>,
    bytes: u64,
    missed: usize,
}

/// Watches, and tells how it went; fails if nobody could.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    if args.crowd {
        return crowd(&args).await;
    }
    let client = Client::builder().tcp_nodelay(true).build()?;
    let joined = Arc::new(AtomicUsize::new(0));
    let mut viewers = JoinSet::new();
    let began = Instant::now();
    for number in 0..args.viewers {
        let (client, args, joined) = (client.clone(), args.clone(), Arc::clone(&joined));
        let joins_at = began
            + Duration::from_secs_f64(number as f64 / f64::from(args.joins_per_second.max(1)));
        viewers.spawn(async move {
            sleep_until(joins_at).await;
            watch(&client, &args, &joined).await
        });
    }
    let progress =
        (!args.json).then(|| tokio::spawn(tell_progress(Arc::clone(&joined), args.viewers)));
    let (mut seen, mut errors) = (Vec::new(), Vec::new());
    while let Some(done) = viewers.join_next().await {
        match done.context("a viewer panicked")? {
            Ok(one) => seen.push(one),
            Err(error) => errors.push(error),
        }
    }
    if let Some(progress) = progress {
        progress.abort();
    }
    if let (true, Some(error)) = (seen.is_empty(), errors.pop()) {
        return Err(error.context("nobody could watch"));
    }
    report(&args, seen, errors.len())
}

fn report(args: &Args, seen: Vec<Seen>, failed: usize) -> anyhow::Result<()> {
    let outcome = Outcome {
        viewers: args.viewers,
        failed,
        parts: seen.iter().map(|one| one.part_delays_ms.len()).sum(),
        bytes: seen.iter().map(|one| one.bytes).sum(),
        missed: seen.iter().map(|one| one.missed).sum(),
        join: Spread::of(seen.iter().filter_map(|one| one.join_ms).collect()),
        part_delay: Spread::of(
            seen.into_iter()
                .flat_map(|one| one.part_delays_ms)
                .collect(),
        ),
    };
    if args.json {
        say(&serde_json::to_string_pretty(&outcome)?);
    } else {
        say(&format!(
            "{} viewers, {} failed; {} parts, {} missed, {:.1} MB\n\
             join        p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms\n\
             part delay  p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            outcome.viewers,
            outcome.failed,
            outcome.parts,
            outcome.missed,
            outcome.bytes as f64 / 1e6,
            outcome.join.p50_ms,
            outcome.join.p99_ms,
            outcome.join.max_ms,
            outcome.part_delay.p50_ms,
            outcome.part_delay.p99_ms,
            outcome.part_delay.max_ms,
        ));
    }
    Ok(())
}

async fn tell_progress(joined: Arc<AtomicUsize>, viewers: usize) {
    let mut ticks = tokio::time::interval(TELL_EVERY);
    loop {
        ticks.tick().await;
        say(&format!(
            "{} of {viewers} viewers have joined",
            joined.load(Ordering::Relaxed)
        ));
    }
}

async fn watch(client: &Client, args: &Args, joined: &AtomicUsize) -> anyhow::Result<Seen> {
    let began = Instant::now();
    let until = began + Duration::from_secs(args.duration);
    let index = text(client, args.url.clone()).await?;
    let mut seen = Seen::default();
    let mut tracks = JoinSet::new();
    for uri in media_playlists(&index) {
        let (client, url) = (client.clone(), args.url.join(&uri)?);
        tracks.spawn(async move { follow(&client, url, began, until).await });
    }
    if tracks.is_empty() {
        bail!("{} lists no media playlist", args.url);
    }
    while let Some(track) = tracks.join_next().await {
        let track = track.context("a track panicked")??;
        if seen.join_ms.is_none() {
            joined.fetch_add(1, Ordering::Relaxed);
        }
        // A viewer has joined when it has both pictures and sound.
        seen.join_ms = match (seen.join_ms, track.join_ms) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        seen.part_delays_ms.extend(track.part_delays_ms);
        seen.bytes += track.bytes;
        seen.missed += track.missed;
    }
    Ok(seen)
}

/// The URIs of the media playlists a multivariant playlist names.
fn media_playlists(index: &str) -> Vec<String> {
    let audio = index
        .lines()
        .filter(|line| line.starts_with("#EXT-X-MEDIA:"))
        .filter_map(|line| line.split("URI=\"").nth(1)?.split('"').next())
        .map(str::to_owned);
    let streams = index
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    audio.chain(streams.map(str::to_owned)).collect()
}

/// Follows one media playlist to the end of the time.
async fn follow(client: &Client, url: Url, began: Instant, until: Instant) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let mut playlist = Playlist::parse(&text(client, url.clone()).await?)?;
    let mut last = playlist.parts.last().map(|part| part.uri.clone());
    if let Some(part) = playlist.parts.last() {
        seen.bytes += fetch(client, url.join(&part.uri)?).await? as u64;
        seen.join_ms = Some(millis(began.elapsed()));
    }
    while !playlist.ended {
        let mut next = url.clone();
        next.set_query(Some(&format!(
            "_HLS_msn={}&_HLS_part={}",
            playlist.next_msn, playlist.next_part
        )));
        let Ok(reloaded) = timeout_at(until, text(client, next)).await else {
            break;
        };
        playlist = Playlist::parse(&reloaded?)?;
        let fresh = playlist
            .parts
            .iter()
            .rposition(|part| Some(&part.uri) == last.as_ref());
        for part in &playlist.parts[fresh.map_or(0, |index| index + 1)..] {
            match fetch(client, url.join(&part.uri)?).await {
                Ok(bytes) => {
                    seen.bytes += bytes as u64;
                    seen.join_ms.get_or_insert(millis(began.elapsed()));
                    seen.part_delays_ms
                        .extend(part.ends_at_ms.map(|at| now_ms() - at));
                }
                Err(_) => seen.missed += 1,
            }
        }
        last = playlist.parts.last().map(|part| part.uri.clone()).or(last);
    }
    Ok(seen)
}

/// What came of the rounds of a crowd. Times in milliseconds.
#[derive(Debug, Serialize)]
struct CrowdOutcome {
    viewers: usize,
    rounds: usize,
    /// Rounds left out because not everyone was waiting when the part came.
    late_rounds: usize,
    /// From the first answer in hand to any other.
    after_first: Spread,
    /// From the first answer of a round to the last.
    whole: Spread,
    /// When the first answer of each round was in hand, since the Unix epoch, and the last after it.
    each_ms: Vec<(f64, f64)>,
}

/// Lets everyone wait for the same part, for as many rounds as there is time.
async fn crowd(args: &Args) -> anyhow::Result<()> {
    let client = Client::builder().tcp_nodelay(true).build()?;
    let index = text(&client, args.url.clone()).await?;
    let uri = media_playlists(&index).pop().context("a media playlist")?;
    let url = args.url.join(&uri)?;
    let (asks, asked) = latest::channel(None);
    let (tells, mut told) = mpsc::unbounded_channel();
    let mut viewers = JoinSet::new();
    for _ in 0..args.viewers {
        let one = Waiter::connect(&url).await?;
        viewers.spawn(one.run(asked.clone(), tells.clone()));
    }
    drop((asked, tells));
    let until = Instant::now() + Duration::from_secs(args.duration);
    let (mut late_rounds, mut after_first) = (0, Vec::new());
    let mut each_ms: Vec<(f64, f64)> = Vec::new();
    while Instant::now() < until {
        let now = Playlist::parse(&text(&client, url.clone()).await?)?;
        if now.ended {
            break;
        }
        // The part after the next, so that everyone waits before it comes.
        let wanted = (now.next_msn, now.next_part + 1);
        asks.send_replace(Some(wanted));
        let mut rounds = Vec::with_capacity(args.viewers);
        while rounds.len() < args.viewers {
            let round = timeout(ANSWER_WAIT, told.recv()).await?;
            rounds.push(round.context("every viewer failed")??);
        }
        let unix_ms = now_ms();
        let here = Instant::now();
        let last_asked = rounds.iter().map(|round| round.asked).max().unwrap_or(here);
        let first = rounds
            .iter()
            .map(|round| round.answered)
            .min()
            .unwrap_or(here);
        let last = rounds
            .iter()
            .map(|round| round.answered)
            .max()
            .unwrap_or(here);
        if last_asked >= first {
            late_rounds += 1;
            continue;
        }
        after_first.extend(rounds.iter().map(|round| millis(round.answered - first)));
        each_ms.push((unix_ms - millis(here - first), millis(last - first)));
    }
    let outcome = CrowdOutcome {
        viewers: args.viewers,
        rounds: each_ms.len(),
        late_rounds,
        after_first: Spread::of(after_first),
        whole: Spread::of(each_ms.iter().map(|(_, whole)| *whole).collect()),
        each_ms,
    };
    if args.json {
        say(&serde_json::to_string_pretty(&outcome)?);
    } else {
        say(&format!(
            "{} viewers, {} rounds, {} left out\n\
             first to last answer  p50 {:.1} ms, max {:.1} ms\n\
             first to any answer   p50 {:.1} ms, p99 {:.1} ms",
            outcome.viewers,
            outcome.rounds,
            outcome.late_rounds,
            outcome.whole.p50_ms,
            outcome.whole.max_ms,
            outcome.after_first.p50_ms,
            outcome.after_first.p99_ms,
        ));
    }
    Ok(())
}

/// One answer to one who waited.
#[derive(Debug)]
struct Round {
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
    async fn connect(url: &Url) -> anyhow::Result<Self> {
        let addresses = url.socket_addrs(|| None)?;
        let stream = TcpStream::connect(&addresses[..]).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            path: url.path().to_owned(),
            host: url.authority().to_owned(),
        })
    }

    /// Asks for whatever part it is told to, until nobody tells it any more.
    async fn run(
        mut self,
        mut asked: latest::Receiver<Option<(u64, usize)>>,
        tells: mpsc::UnboundedSender<anyhow::Result<Round>>,
    ) {
        while asked.changed().await.is_ok() {
            let wanted = *asked.borrow_and_update();
            let Some((msn, part)) = wanted else { continue };
            let round = self.ask(msn, part).await;
            let failed = round.is_err();
            if tells.send(round).is_err() || failed {
                return;
            }
        }
    }

    async fn ask(&mut self, msn: u64, part: usize) -> anyhow::Result<Round> {
        let request = format!(
            "GET {}?_HLS_msn={msn}&_HLS_part={part} HTTP/1.1\r\nhost: {}\r\n\
             user-agent: barrage-load\r\naccept-encoding: gzip\r\n\r\n",
            self.path, self.host
        );
        self.stream.write_all(request.as_bytes()).await?;
        let asked = Instant::now();
        let mut answer = Vec::new();
        loop {
            // Nothing is set aside while it waits.
            self.stream.readable().await?;
            if self.stream.read_buf(&mut answer).await? == 0 || answer.len() > ANSWER_MAX {
                bail!("no answer of a known length");
            }
            if is_whole(&answer)? {
                break;
            }
        }
        let answered = Instant::now();
        Ok(Round { asked, answered })
    }
}

/// Whether head and body of a good answer are there.
fn is_whole(answer: &[u8]) -> anyhow::Result<bool> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(false);
    };
    let head = std::str::from_utf8(&answer[..end])?;
    if !head.starts_with("HTTP/1.1 200") {
        bail!("{}", head.lines().next().unwrap_or_default());
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    Ok(answer.len() >= end + 4 + length.context("a length")?)
}

/// What a viewer at the live edge needs of a media playlist.
#[derive(Debug, Default)]
struct Playlist {
    parts: Vec<Part>,
    next_msn: u64,
    next_part: usize,
    ended: bool,
}

#[derive(Debug)]
struct Part {
    uri: String,
    /// When its last frame was over, in milliseconds since the Unix epoch.
    ends_at_ms: Option<f64>,
}

impl Playlist {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut playlist = Self::default();
        let mut clock_ms: Option<f64> = None;
        for line in text.lines() {
            if let Some(msn) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
                playlist.next_msn = msn.trim().parse().context("a media sequence number")?;
            } else if let Some(skipped) = line.strip_prefix("#EXT-X-SKIP:SKIPPED-SEGMENTS=") {
                playlist.next_msn += skipped
                    .trim()
                    .parse::<u64>()
                    .context("a count of segments")?;
            } else if let Some(date) = line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:") {
                let date: jiff::Timestamp = date.trim().parse().context("a date")?;
                clock_ms = Some(date.as_microsecond() as f64 / 1000.0);
            } else if line.starts_with("#EXT-X-PART:") {
                let duration: f64 = attribute(line, "DURATION")
                    .and_then(|d| d.parse().ok())
                    .context("a part's duration")?;
                let uri = attribute(line, "URI")
                    .context("a part's address")?
                    .to_owned();
                clock_ms = clock_ms.map(|at| at + duration * 1000.0);
                playlist.parts.push(Part {
                    uri,
                    ends_at_ms: clock_ms,
                });
                playlist.next_part += 1;
            } else if line == "#EXT-X-ENDLIST" {
                playlist.ended = true;
            } else if !line.starts_with('#') && !line.is_empty() {
                playlist.next_msn += 1;
                playlist.next_part = 0;
            }
        }
        Ok(playlist)
    }
}

/// The value of an attribute of a tag.
fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, list) = line.split_once(':')?;
    let at = list.match_indices(name).find(|(at, _)| {
        (*at == 0 || list.as_bytes()[at - 1] == b',')
            && list.as_bytes().get(at + name.len()) == Some(&b'=')
    })?;
    let value = &list[at.0 + name.len() + 1..];
    match value.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => value.split(',').next(),
    }
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

async fn fetch(client: &Client, url: Url) -> anyhow::Result<usize> {
    Ok(client
        .get(url)
        .send()
        .await?
        .error_for_status()?
        .bytes()
        .await?
        .len())
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn now_ms() -> f64 {
    jiff::Timestamp::now().as_microsecond() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_playlist_gives_the_part_to_wait_for_and_when_parts_ended() {
        let playlist = Playlist::parse(
            "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:10.000Z\n\
             #EXT-X-PART:DURATION=0.200,URI=\"video/7.0.m4s\",INDEPENDENT=YES\n#EXTINF:0.2,\nvideo/7.m4s\n\
             #EXT-X-PART:DURATION=0.201,URI=\"video/8.0.m4s\"\n",
        )
        .unwrap();
        assert_eq!(
            (playlist.next_msn, playlist.next_part, playlist.ended),
            (8, 1, false)
        );
        let ends: Vec<_> = playlist
            .parts
            .iter()
            .map(|part| part.ends_at_ms.unwrap().round())
            .collect();
        assert_eq!(ends, [10_200.0, 10_401.0]);
        assert_eq!(playlist.parts[0].uri, "video/7.0.m4s");
    }

    #[test]
    fn an_answer_is_whole_with_the_last_byte_of_its_body() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        assert!(is_whole(answer).unwrap());
        assert!((0..answer.len()).all(|len| !is_whole(&answer[..len]).unwrap()));
        assert!(is_whole(b"HTTP/1.1 503 Busy\r\n\r\n").is_err());
    }

    #[test]
    fn a_multivariant_playlist_gives_every_media_playlist() {
        let index = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",URI=\"../b/1/audio.m3u8\"\n\
                     #EXT-X-STREAM-INF:BANDWIDTH=1\n../b/1/video.m3u8\n";
        assert_eq!(
            media_playlists(index),
            ["../b/1/audio.m3u8", "../b/1/video.m3u8"]
        );
    }
}
