//! Somebody who watches, and writes down every playlist.

use std::time::Duration;

use hls::rules::{Checker, Playlist, Segment, apply_delta, parse};
use m3u8_rs::{MasterPlaylist, parse_master_playlist_res, parse_media_playlist_res};
use tokio::time::Instant;

use super::server::{CHANNEL, Server};
use super::waiting::{DEADLINE, until, within};

/// One track as it is followed.
pub(crate) struct Track {
    /// The playlist's file name, as reports of other playlists name it.
    pub(crate) name: String,
    /// Its address.
    pub(crate) url: String,
    /// The newest playlist, whole.
    pub(crate) text: String,
    /// The same, read.
    pub(crate) playlist: Playlist,
    /// Every playlist, as it was served.
    pub(crate) seen: Vec<String>,
    /// The longest time between one playlist and the next.
    pub(crate) longest_wait: Duration,
    seen_at: Instant,
}

impl Track {
    /// The segment and part that come next.
    pub(crate) fn next(&self) -> (u64, u64) {
        match self.playlist.segments.last() {
            None => (self.playlist.media_sequence, 0),
            Some(last) if last.duration_us.is_some() => (last.msn + 1, 0),
            Some(last) => (last.msn, last.parts.len() as u64),
        }
    }

    /// Segments of which nothing is missing.
    pub(crate) fn complete(&self) -> impl Iterator<Item = &Segment> {
        let segments = self.playlist.segments.iter();
        segments.filter(|segment| segment.duration_us.is_some())
    }

    /// An address that stands in the playlist, whole.
    pub(crate) fn resolve(&self, uri: &str) -> String {
        resolve(&self.url, uri)
    }

    fn take(&mut self, text: String) {
        self.text = if text.contains("#EXT-X-SKIP") {
            apply_delta(&self.text, &text).expect("a delta update applies")
        } else {
            text.clone()
        };
        self.playlist = parse(&self.text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let now = Instant::now();
        self.longest_wait = self.longest_wait.max(now - self.seen_at);
        self.seen_at = now;
        self.seen.push(text);
    }
}

/// Somebody who watches.
pub(crate) struct Viewer {
    client: reqwest::Client,
    pub(crate) multivariant: MasterPlaylist,
    pub(crate) tracks: Vec<Track>,
    checker: Checker,
    violations: Vec<String>,
    /// Whether to ask for delta updates.
    pub(crate) skips: bool,
}

impl Viewer {
    /// Opens the channel, as soon as there is something to see.
    pub(crate) async fn tune_in(server: &Server) -> Self {
        let address = multivariant_url(server);
        let text = until("the stream can be watched", async || {
            let answer = server.client.get(&address).send().await.ok()?;
            (answer.status() == 200)
                .then_some(answer)?
                .text()
                .await
                .ok()
        })
        .await;
        let multivariant = read_multivariant(&text);
        let mut viewer = Self {
            client: super::browser().build().expect("TLS can be had"),
            tracks: Vec::new(),
            multivariant,
            checker: Checker::new(),
            violations: Vec::new(),
            skips: false,
        };
        for uri in uris(&viewer.multivariant) {
            viewer.follow(&resolve(&address, &uri)).await;
        }
        viewer
    }

    /// Goes on with another server, as behind an address that stays.
    pub(crate) fn move_to(&mut self, server: &Server) {
        for track in &mut self.tracks {
            let path = track.url.find("/hls/").expect("it is an address of ours");
            track.url = server.url(&track.url[path..]);
        }
    }

    async fn follow(&mut self, url: &str) {
        let name = url.rsplit('/').next().unwrap_or_default().to_owned();
        self.tracks.push(Track {
            name,
            url: url.to_owned(),
            text: String::new(),
            playlist: Playlist::default(),
            seen: Vec::new(),
            longest_wait: Duration::ZERO,
            seen_at: Instant::now(),
        });
        self.load(self.tracks.len() - 1, url).await;
    }

    /// One track by its kind, `video` or `audio`.
    pub(crate) fn track(&self, kind: &str) -> &Track {
        let name = format!("{kind}.m3u8");
        let track = self.tracks.iter().find(|track| track.name == name);
        track.unwrap_or_else(|| panic!("the stream has no {kind}"))
    }

    pub(crate) fn video(&self) -> &Track {
        self.track("video")
    }

    pub(crate) fn audio(&self) -> &Track {
        self.track("audio")
    }

    /// Asks for a playlist and takes it in.
    async fn load(&mut self, index: usize, url: &str) {
        let text = self.fetch_text(url).await;
        let track = &mut self.tracks[index];
        let found = self.checker.observe(&track.name, &text);
        let shown = found.iter().map(|violation| format!("{violation}\n{text}"));
        self.violations.extend(shown);
        track.take(text);
        let independent = parse_media_playlist_res(track.text.as_bytes());
        let independent = independent.unwrap_or_else(|error| panic!("{error}\n{}", track.text));
        assert_eq!(independent.media_sequence, track.playlist.media_sequence);
        assert_eq!(independent.segments.len(), track.complete().count());
    }

    /// The next playlist of every track that has not ended, each as soon as it shows something new.
    pub(crate) async fn step(&mut self) {
        for index in 0..self.tracks.len() {
            if !self.tracks[index].playlist.ended {
                self.step_of(index).await;
            }
        }
    }

    /// The next playlist of one track, as soon as it shows something new.
    pub(crate) async fn step_of(&mut self, index: usize) {
        let track = &self.tracks[index];
        let (msn, part) = track.next();
        let mut url = format!("{}?_HLS_msn={msn}&_HLS_part={part}", track.url);
        if self.skips {
            url.push_str("&_HLS_skip=YES");
        }
        self.load(index, &url).await;
    }

    /// Watches until it is as wanted.
    pub(crate) async fn watch_until(&mut self, what: &str, wanted: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !wanted(self) {
            assert!(began.elapsed() < DEADLINE * 2, "watched in vain: {what}");
            assert!(!self.has_ended(), "the stream ended: {what}");
            self.step().await;
        }
    }

    /// Watches so many seconds of every track from here on.
    pub(crate) async fn watch(&mut self, seconds: u32) {
        let goals: Vec<i64> = self
            .tracks
            .iter()
            .map(|track| newest_us(track) + i64::from(seconds) * 1_000_000)
            .collect();
        self.watch_until("time goes on", |viewer| {
            viewer
                .tracks
                .iter()
                .zip(&goals)
                .all(|(track, goal)| newest_us(track) >= *goal)
        })
        .await;
    }

    /// Watches to the end of every track.
    pub(crate) async fn watch_to_the_end(&mut self) {
        let began = Instant::now();
        while !self.has_ended() {
            assert!(began.elapsed() < DEADLINE * 2, "the stream never ends");
            self.step().await;
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.tracks.iter().all(|track| track.playlist.ended)
    }

    /// Every segment ever seen of a track, oldest first.
    pub(crate) fn segments(&self, track: &Track) -> Vec<Segment> {
        let segments = self.checker.segments(&track.name);
        let mut segments: Vec<_> = segments
            .into_iter()
            .flat_map(|all| all.values().cloned())
            .collect();
        segments.sort_by_key(|segment| segment.msn);
        // One that was complete and without its parts when it was seen last keeps those it had.
        let complete = |msn| track.complete().find(|segment| segment.msn == msn);
        for segment in &mut segments {
            if let Some(last) = complete(segment.msn) {
                segment.duration_us = last.duration_us;
                segment.address.clone_from(&last.address);
            }
        }
        segments
    }

    /// Every rule that a playlist broke, as text; nothing if all were kept.
    pub(crate) fn assert_rules_kept(&self) {
        self.assert_rules_kept_but(&[]);
    }

    /// The same, but those rules that the test itself makes impossible to keep.
    pub(crate) fn assert_rules_kept_but(&self, excused: &[&str]) {
        let mut violations = self.violations.clone();
        violations.retain(|found| !excused.iter().any(|rule| found.contains(rule)));
        if let [one, other] = self.tracks.as_slice() {
            let compared = self.checker.compare(&one.name, &other.name);
            violations.extend(compared.iter().map(ToString::to_string));
        }
        let playlists: usize = self.tracks.iter().map(|track| track.seen.len()).sum();
        assert!(
            violations.is_empty(),
            "{} violations in {playlists} playlists; the first:\n{}",
            violations.len(),
            violations[..violations.len().min(3)].join("\n")
        );
    }

    pub(crate) async fn send(&self, url: &str) -> reqwest::Response {
        let answer = within(url, self.client.get(url).send()).await;
        answer.unwrap_or_else(|error| panic!("no answer to {url}: {error}"))
    }

    /// The body at an address that must be there.
    pub(crate) async fn fetch(&self, url: &str) -> Vec<u8> {
        let answer = self.send(url).await;
        assert_eq!(answer.status(), 200, "{url}");
        let body = within(url, answer.bytes()).await;
        body.expect("the body arrives whole").to_vec()
    }

    async fn fetch_text(&self, url: &str) -> String {
        String::from_utf8(self.fetch(url).await).expect("a playlist is text")
    }

    /// An init segment and what follows it, as one file's bytes.
    pub(crate) async fn recording(&self, track: &Track, segments: &[Segment]) -> Vec<u8> {
        let mut bytes = self.fetch(&track.resolve(&segments[0].map)).await;
        for segment in segments.iter().filter(|segment| !segment.gap) {
            bytes.extend(self.fetch(&track.resolve(&segment.address)).await);
        }
        bytes
    }

    /// The broadcast's identity, as it stands in every address.
    pub(crate) fn broadcast(&self) -> &str {
        let mut parts = self.tracks[0].url.rsplit('/');
        parts.nth(1).expect("it stands before the file name")
    }
}

/// When the newest thing in a playlist ends, by its own clock.
fn newest_us(track: &Track) -> i64 {
    let last = track.playlist.segments.last();
    last.map_or(0, |last| last.shown_at_us + last.duration())
}

/// The address a player is given.
pub(crate) fn multivariant_url(server: &Server) -> String {
    server.url(&format!("/hls/{CHANNEL}/index.m3u8"))
}

pub(crate) fn read_multivariant(text: &str) -> MasterPlaylist {
    parse_master_playlist_res(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Every media playlist that a multivariant playlist names.
fn uris(multivariant: &MasterPlaylist) -> Vec<String> {
    let variants = multivariant
        .variants
        .iter()
        .map(|variant| variant.uri.clone());
    let beside = multivariant.alternatives.iter();
    variants
        .chain(beside.filter_map(|media| media.uri.clone()))
        .collect()
}

/// A relative address beside another one.
pub(crate) fn resolve(base: &str, uri: &str) -> String {
    let base = base.split('?').next().unwrap_or_default();
    let url = reqwest::Url::parse(base).and_then(|base| base.join(uri));
    url.expect("an address").to_string()
}
