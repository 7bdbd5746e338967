//! An independent reader that checks a sequence of playlists against RFC 8216bis and our own
//! promises. It shares no code with what writes them; tests of this crate and of the whole server
//! use it.

use std::collections::HashMap;

pub use parse::{Part, Playlist, Segment, apply_delta, parse};

mod parse;

/// Declared durations are sums of rounded numbers.
const SUM_TOLERANCE_US: i64 = 1_000;
/// Pictures are shown in another order than they are decoded in, and sound begins between them.
const CLOCK_TOLERANCE_US: i64 = 150_000;

/// A rule that a playlist broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which playlist.
    pub playlist: String,
    /// Which rule, in a few words.
    pub rule: &'static str,
    /// How.
    pub detail: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: {}", self.playlist, self.rule, self.detail)
    }
}

/// What one playlist has shown so far.
#[derive(Debug, Default)]
struct History {
    last: Option<(String, Playlist)>,
    /// Every segment ever shown, in its fullest form.
    segments: HashMap<u64, Segment>,
    /// What each address has stood for: segment, and part if it is one.
    addresses: HashMap<String, (u64, Option<usize>)>,
}

/// Watches playlists by name, in the order they were served.
#[derive(Debug, Default)]
pub struct Checker {
    histories: HashMap<String, History>,
    /// What reports have claimed of a playlist since it was last seen.
    claims: HashMap<String, (u64, u64)>,
    pauses_allowed: bool,
}

impl Checker {
    /// One that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Does not mind when the clock jumps forward between segments without a discontinuity: the
    /// publisher is known to pause or drop frames.
    #[must_use]
    pub const fn with_pauses(mut self) -> Self {
        self.pauses_allowed = true;
        self
    }

    /// Checks the next media playlist served under `name` (its file name, such as `video.m3u8`),
    /// full or delta, by itself and against those before.
    pub fn observe(&mut self, name: &str, text: &str) -> Vec<Violation> {
        let mut found = Found {
            playlist: name,
            violations: Vec::new(),
        };
        let history = self.histories.entry(name.to_owned()).or_default();
        let full = if text.contains("#EXT-X-SKIP") {
            let applied = history.last.as_ref().map_or_else(
                || Err("a delta update without anything to apply it to".to_owned()),
                |(previous, _)| apply_delta(previous, text),
            );
            match applied {
                Ok(full) => full,
                Err(detail) => {
                    found.add("delta update applies", detail);
                    return found.violations;
                }
            }
        } else {
            text.to_owned()
        };
        let playlist = match parse(&full) {
            Ok(playlist) => playlist,
            Err(detail) => {
                found.add("playlist can be read", detail);
                return found.violations;
            }
        };
        alone(&playlist, self.pauses_allowed, &mut found);
        if let Some((previous, before)) = &history.last {
            since(before, &playlist, previous != &full, &mut found);
        }
        remember(history, &playlist, &mut found);
        if let Some(claimed) = self.claims.remove(name)
            && playlist.newest() < claimed
        {
            found.add(
                "reports do not run ahead",
                format!("{claimed:?} of {:?}", playlist.newest()),
            );
        }
        for (other, msn, part) in &playlist.reports {
            let claim = self.claims.entry(other.clone()).or_default();
            *claim = (*claim).max((*msn, *part));
        }
        history.last = Some((full, playlist));
        found.violations
    }

    /// Checks that segments of the same number mean the same time in two playlists.
    pub fn compare(&self, one: &str, other: &str) -> Vec<Violation> {
        let mut found = Found {
            playlist: one,
            violations: Vec::new(),
        };
        let (Some(a), Some(b)) = (self.histories.get(one), self.histories.get(other)) else {
            return found.violations;
        };
        let first = |history: &History| history.segments.keys().min().copied().unwrap_or(0);
        let begun = first(a).max(first(b));
        for (msn, x) in &a.segments {
            let Some(y) = b.segments.get(msn) else {
                continue;
            };
            if x.discontinuities != y.discontinuities {
                found.add(
                    "renditions agree on discontinuities",
                    format!(
                        "segment {msn}: {} and {}",
                        x.discontinuities, y.discontinuities
                    ),
                );
            }
            let apart = (x.shown_at_us - y.shown_at_us).abs();
            if *msn > begun
                && !x.gap
                && !y.gap
                && !self.pauses_allowed
                && apart > CLOCK_TOLERANCE_US
            {
                found.add(
                    "renditions agree on time",
                    format!("segment {msn}: {apart} us apart"),
                );
            }
        }
        found.violations
    }

    /// Every segment ever shown under a name, by media sequence number.
    pub fn segments(&self, name: &str) -> Option<&HashMap<u64, Segment>> {
        self.histories.get(name).map(|history| &history.segments)
    }
}

struct Found<'a> {
    playlist: &'a str,
    violations: Vec<Violation>,
}

impl Found<'_> {
    fn add(&mut self, rule: &'static str, detail: String) {
        self.violations.push(Violation {
            playlist: self.playlist.to_owned(),
            rule,
            detail,
        });
    }

    fn check(&mut self, rule: &'static str, holds: bool, detail: impl FnOnce() -> String) {
        if !holds {
            self.add(rule, detail());
        }
    }
}

/// What must hold in every single playlist.
fn alone(playlist: &Playlist, pauses_allowed: bool, found: &mut Found<'_>) {
    let target_us = playlist.target_duration * 1_000_000;
    let part_us = playlist.part_target_us;
    found.check("version has delta updates", playlist.version >= 9, || {
        playlist.version.to_string()
    });
    found.check(
        "hold-back is three targets",
        playlist.hold_back_us >= target_us * 3,
        String::new,
    );
    found.check(
        "part hold-back is three parts",
        playlist.part_hold_back_us >= part_us * 3,
        || format!("{} for {part_us}", playlist.part_hold_back_us),
    );
    found.check(
        "skip boundary is six targets",
        playlist.skip_until_us >= target_us * 6,
        String::new,
    );
    found.check("reload can block", playlist.can_block_reload, String::new);
    found.check(
        "the end has no hint",
        !(playlist.ended && playlist.hint.is_some()),
        String::new,
    );
    let total_us: i64 = playlist.segments.iter().map(Segment::duration).sum();
    let mut end_us = 0;
    for (index, segment) in playlist.segments.iter().enumerate() {
        end_us += segment.duration();
        segment_alone(playlist, segment, found);
        let old = total_us - end_us > target_us * 3;
        found.check(
            "old segments list no parts",
            !old || segment.parts.is_empty(),
            || segment.uri(),
        );
        let Some(next) = playlist.segments.get(index + 1) else {
            continue;
        };
        found.check(
            "only the last segment is open",
            segment.duration_us.is_some(),
            || segment.uri(),
        );
        let jump = next.shown_at_us - segment.shown_at_us - segment.duration();
        let continues = !next.discontinuity && !segment.gap && !next.gap;
        let forward = !pauses_allowed && continues && jump > CLOCK_TOLERANCE_US;
        found.check(
            "time runs on",
            !forward && (next.discontinuity || jump > -CLOCK_TOLERANCE_US),
            || format!("{jump} us between {} and {}", segment.msn, next.msn),
        );
    }
}

fn segment_alone(playlist: &Playlist, segment: &Segment, found: &mut Found<'_>) {
    let part_us = playlist.part_target_us;
    found.check("every segment has a map", !segment.map.is_empty(), || {
        segment.uri()
    });
    found.check("every segment has a time", segment.shown_at_us != 0, || {
        segment.uri()
    });
    if let Some(duration_us) = segment.duration_us {
        let rounded = (duration_us + 500_000) / 1_000_000;
        found.check(
            "segments round to the target at most",
            rounded <= playlist.target_duration,
            || format!("{} is {duration_us} us", segment.uri()),
        );
        found.check("segments last", duration_us > 0, || segment.uri());
        let sum: i64 = segment.parts.iter().map(|part| part.duration_us).sum();
        let adds_up = segment.parts.is_empty() || (sum - duration_us).abs() <= SUM_TOLERANCE_US;
        found.check("parts add up to the segment", adds_up, || {
            format!("{}: {sum} and {duration_us}", segment.uri())
        });
    }
    for (index, part) in segment.parts.iter().enumerate() {
        found.check(
            "parts last the part target at most",
            part.duration_us <= part_us,
            || format!("{} is {} us", part.uri, part.duration_us),
        );
        let last = index + 1 == segment.parts.len();
        let shortest = part_us * 85 / 100;
        found.check(
            "parts last 85 % of the part target",
            last || part.duration_us >= shortest,
            || format!("{} is {} us of {part_us}", part.uri, part.duration_us),
        );
    }
}

/// What must hold from one playlist to the next.
fn since(before: &Playlist, now: &Playlist, changed: bool, found: &mut Found<'_>) {
    found.check(
        "target duration never changes",
        before.target_duration == now.target_duration,
        String::new,
    );
    found.check(
        "part target never changes",
        before.part_target_us == now.part_target_us,
        String::new,
    );
    found.check(
        "nothing follows the end",
        !(before.ended && changed),
        String::new,
    );
    found.check(
        "media sequence never goes back",
        before.media_sequence <= now.media_sequence,
        || format!("{} after {}", now.media_sequence, before.media_sequence),
    );
    found.check(
        "nothing leaves at the end",
        before.newest() <= now.newest(),
        || format!("{:?} after {:?}", now.newest(), before.newest()),
    );
    if now.media_sequence > before.media_sequence {
        let total: i64 = now.segments.iter().map(Segment::duration).sum();
        found.check(
            "three targets stay",
            total >= now.target_duration * 3_000_000,
            || total.to_string(),
        );
    }
    let Some(hint) = &before.hint else { return };
    let new = now
        .parts()
        .filter(|(msn, index, _)| (*msn, *index as u64) > before.newest());
    let mut new = new.peekable();
    // The hinted part comes next, unless its segment ended without it.
    if let Some((msn, index, part)) = new.peek() {
        let ended_short = *index == 0 && *msn == before.newest().0 + 1;
        found.check(
            "the hinted part comes next",
            part.uri == *hint || ended_short,
            || format!("{} instead of {hint}", part.uri),
        );
    }
}

/// Checks that what was shown before still stands, and adds what is new.
fn remember(history: &mut History, playlist: &Playlist, found: &mut Found<'_>) {
    for segment in &playlist.segments {
        let mut addresses: Vec<_> = segment
            .parts
            .iter()
            .enumerate()
            .map(|(index, part)| (part.uri.clone(), (segment.msn, Some(index))))
            .collect();
        if segment.duration_us.is_some() {
            addresses.push((segment.address.clone(), (segment.msn, None)));
        }
        for (uri, meaning) in addresses {
            let known = *history.addresses.entry(uri.clone()).or_insert(meaning);
            found.check("addresses keep their meaning", known == meaning, || uri);
        }
        let Some(known) = history.segments.get_mut(&segment.msn) else {
            history.segments.insert(segment.msn, segment.clone());
            continue;
        };
        let stands = known.shown_at_us == segment.shown_at_us
            && known.map == segment.map
            && known.discontinuity == segment.discontinuity
            && known.discontinuities == segment.discontinuities
            && known.gap <= segment.gap
            && (known.duration_us.is_none() || known.duration_us == segment.duration_us);
        found.check("segments stay what they are", stands, || {
            format!("{known:?} became {segment:?}")
        });
        let common = known.parts.iter().zip(&segment.parts);
        found.check(
            "parts stay what they are",
            common.clone().all(|(a, b)| a == b),
            || segment.uri(),
        );
        let grown = segment.parts.len() >= known.parts.len();
        found.check(
            "parts leave together",
            grown || segment.parts.is_empty(),
            || segment.uri(),
        );
        found.check(
            "complete segments get no more parts",
            known.duration_us.is_none() || segment.parts.len() <= known.parts.len(),
            || segment.uri(),
        );
        if grown {
            *known = segment.clone();
        }
    }
}
