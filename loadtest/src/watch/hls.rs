//! LL-HLS: a viewer reads the multivariant playlist, and then follows each track on a connection of
//! its own by blocking reloads (RFC 8216bis §6.2.5.2), as a player at the live edge does.

use std::collections::VecDeque;

use anyhow::{Context as _, bail};
use bytes::{Bytes, BytesMut};
use reqwest::Url;

use super::playlist::{Part, Playlist, media_playlists};
use super::talk::Talk;
use super::tally::Seen;
use super::target::Target;
use crate::http::{Answer, Piece, get, inflate};
use crate::place::path;
use crate::stamp::Stamp;

/// Longest playlist taken.
const PLAYLIST_BYTES_MAX: u64 = 4 * 1024 * 1024;
const COMPRESSED: &str = "Accept-Encoding: gzip\r\n";

/// Reads whole answers, one after the other.
#[derive(Debug, Default)]
struct Whole {
    answer: Answer,
    status: u16,
    body: BytesMut,
}

impl Whole {
    /// The next whole answer: its status and body.
    fn next(&mut self) -> anyhow::Result<Option<(u16, Bytes)>> {
        while let Some(piece) = self.answer.next()? {
            match piece {
                Piece::Head(status) => self.status = status,
                Piece::Body(bytes) => self.body.extend_from_slice(&bytes),
                Piece::End => return Ok(Some((self.status, self.body.split().freeze()))),
            }
        }
        Ok(None)
    }

    fn text(&self, (status, body): &(u16, Bytes)) -> anyhow::Result<String> {
        if *status != 200 {
            bail!("the server answered {status} to a playlist");
        }
        if self.answer.is_gzip() {
            return inflate(body, PLAYLIST_BYTES_MAX);
        }
        Ok(std::str::from_utf8(body)
            .context("a playlist that is no text")?
            .to_owned())
    }
}

/// Reads the multivariant playlist, and goes on as its first track.
pub(crate) struct Index {
    url: Url,
    request: Option<Bytes>,
    whole: Whole,
    /// The connection goes on with this one.
    track: Option<Track>,
    further: Vec<Url>,
}

impl Index {
    pub(crate) fn new(target: &Target) -> Self {
        Self {
            request: Some(get(&target.place.path(), target.place.host(), COMPRESSED)),
            url: target.place.url.clone(),
            whole: Whole::default(),
            track: None,
            further: Vec::new(),
        }
    }
}

impl Talk for Index {
    fn handle_input(&mut self, bytes: &[u8], seen: &mut Seen<'_>) -> anyhow::Result<()> {
        if let Some(track) = &mut self.track {
            return track.handle_input(bytes, seen);
        }
        self.whole.answer.push(bytes);
        let Some(answer) = self.whole.next()? else {
            return Ok(());
        };
        let index = self.whole.text(&answer)?;
        self.further = media_playlists(&index)
            .iter()
            .map(|uri| self.url.join(uri))
            .collect::<Result<_, _>>()?;
        let first = self.further.pop();
        let first = first.with_context(|| format!("{} lists no media playlist", self.url))?;
        seen.seat.tracks = self.further.len() + 1;
        self.track = Some(Track::new(first));
        Ok(())
    }

    fn poll_transmit(&mut self) -> Option<Bytes> {
        let track = || self.track.as_mut().and_then(Talk::poll_transmit);
        self.request.take().or_else(track)
    }

    fn poll_further(&mut self) -> Option<Box<dyn Talk>> {
        Some(Box::new(Track::new(self.further.pop()?)))
    }

    fn is_over(&self) -> bool {
        self.track.as_ref().is_some_and(Talk::is_over)
    }
}

/// Follows one media playlist.
struct Track {
    url: Url,
    request: Option<Bytes>,
    whole: Whole,
    /// Announced and not asked for yet.
    parts: VecDeque<Part>,
    asked: Asked,
    playlist: Playlist,
    /// The newest part that was asked for.
    last: Option<String>,
    map: Option<String>,
    begun: bool,
    over: bool,
}

/// What the next answer is to.
enum Asked {
    Playlist,
    Map,
    Part(Part),
}

impl Track {
    fn new(url: Url) -> Self {
        let request = get(&path(&url), url.authority(), COMPRESSED);
        Self {
            url,
            request: Some(request),
            whole: Whole::default(),
            parts: VecDeque::new(),
            asked: Asked::Playlist,
            playlist: Playlist::default(),
            last: None,
            map: None,
            begun: false,
            over: false,
        }
    }

    fn handle_playlist(&mut self, text: &str) -> anyhow::Result<()> {
        self.playlist = Playlist::parse(text)?;
        let fresh = self.playlist.after(self.last.as_deref());
        self.last = fresh
            .last()
            .map(|part| part.uri.clone())
            .or(self.last.take());
        self.parts.extend(fresh.iter().cloned());
        Ok(())
    }

    fn handle_part(&mut self, part: &Part, answer: &(u16, Bytes), seen: &mut Seen<'_>) {
        let (status, body) = answer;
        if *status != 200 {
            seen.tally.parts_missed += 1;
            return;
        }
        if !self.begun {
            self.begun = true;
            seen.seat.tracks = seen.seat.tracks.saturating_sub(1);
            let torn = !part.independent && Stamp::all(body).next().is_some();
            seen.tally.torn_starts += usize::from(torn);
            if seen.seat.tracks == 0 {
                seen.join(Stamp::all(body).next());
            }
        } else if let Some(ends_at_ms) = part.ends_at_ms
            && seen.window.has(seen.now)
        {
            let delay_ms = seen.now_us as f64 / 1000.0 - ends_at_ms;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the cast saturates, and clocks that disagree by more tell nothing"
            )]
            seen.tally.part_delays.add((delay_ms * 1000.0) as u64);
        }
        seen.heard();
        for stamp in Stamp::all(body) {
            seen.picture(Some(stamp));
        }
    }

    /// Asks for what comes next.
    fn ask(&mut self) -> anyhow::Result<()> {
        let map = self
            .playlist
            .map
            .clone()
            .filter(|map| self.map.as_ref() != Some(map));
        let (asked, url) = if let Some(map) = map {
            let url = self.url.join(&map)?;
            self.map = Some(map);
            (Asked::Map, url)
        } else if let Some(part) = self.parts.pop_front() {
            let url = self.url.join(&part.uri)?;
            (Asked::Part(part), url)
        } else if self.playlist.ended {
            self.over = true;
            return Ok(());
        } else {
            let mut url = self.url.clone();
            let (msn, part) = (self.playlist.next_msn, self.playlist.next_part);
            url.set_query(Some(&format!("_HLS_msn={msn}&_HLS_part={part}")));
            (Asked::Playlist, url)
        };
        let headers = if matches!(asked, Asked::Playlist) {
            COMPRESSED
        } else {
            ""
        };
        self.asked = asked;
        self.request = Some(get(&path(&url), url.authority(), headers));
        Ok(())
    }
}

impl Talk for Track {
    fn handle_input(&mut self, bytes: &[u8], seen: &mut Seen<'_>) -> anyhow::Result<()> {
        self.whole.answer.push(bytes);
        while let Some(answer) = self.whole.next()? {
            match std::mem::replace(&mut self.asked, Asked::Playlist) {
                Asked::Playlist => self.handle_playlist(&self.whole.text(&answer)?)?,
                Asked::Map if answer.0 != 200 => {
                    bail!("the server answered {} to an init segment", answer.0);
                }
                Asked::Map => {}
                Asked::Part(part) => self.handle_part(&part, &answer, seen),
            }
            self.ask()?;
        }
        Ok(())
    }

    fn poll_transmit(&mut self) -> Option<Bytes> {
        self.request.take()
    }

    fn is_over(&self) -> bool {
        self.over
    }
}
