//! A small reader of media playlists, strict where it matters for the rules.

/// A partial segment as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its address.
    pub uri: String,
    /// Its duration.
    pub duration_us: i64,
    /// Whether it is said to begin with a keyframe.
    pub independent: bool,
}

/// A segment as it is told; without a duration while it is being filled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Media sequence number.
    pub msn: u64,
    /// Its address; empty while it is being filled.
    pub address: String,
    /// Its duration; `None` while it is being filled.
    pub duration_us: Option<i64>,
    /// Its parts.
    pub parts: Vec<Part>,
    /// Its program date and time, in microseconds since 1970.
    pub shown_at_us: i64,
    /// Address of its init segment.
    pub map: String,
    /// Whether a discontinuity stands before it.
    pub discontinuity: bool,
    /// Discontinuities up to it.
    pub discontinuities: u64,
    /// Whether it is a gap.
    pub gap: bool,
}

impl Segment {
    /// Its duration, or that of its parts so far.
    pub fn duration(&self) -> i64 {
        self.duration_us
            .unwrap_or_else(|| self.parts.iter().map(|part| part.duration_us).sum())
    }

    /// Something to name it by.
    pub fn uri(&self) -> String {
        if self.address.is_empty() {
            format!("segment {}", self.msn)
        } else {
            self.address.clone()
        }
    }
}

/// A media playlist.
#[derive(Clone, Debug, Default)]
pub struct Playlist {
    /// `EXT-X-VERSION`.
    pub version: u32,
    /// `EXT-X-TARGETDURATION`, in seconds.
    pub target_duration: i64,
    /// `PART-TARGET`.
    pub part_target_us: i64,
    /// `HOLD-BACK`.
    pub hold_back_us: i64,
    /// `PART-HOLD-BACK`.
    pub part_hold_back_us: i64,
    /// `CAN-SKIP-UNTIL`.
    pub skip_until_us: i64,
    /// `CAN-BLOCK-RELOAD`.
    pub can_block_reload: bool,
    /// `EXT-X-MEDIA-SEQUENCE`.
    pub media_sequence: u64,
    /// Whether every segment is said to be decodable by itself.
    pub independent_segments: bool,
    /// The segments, the last perhaps still being filled.
    pub segments: Vec<Segment>,
    /// The part that is said to come next.
    pub hint: Option<String>,
    /// What is said of other renditions: address, last segment, last part.
    pub reports: Vec<(String, u64, u64)>,
    /// `EXT-X-ENDLIST`.
    pub ended: bool,
}

impl Playlist {
    /// The newest segment shown, and its newest part.
    pub fn newest(&self) -> (u64, u64) {
        self.segments.last().map_or((0, 0), |last| {
            (last.msn, (last.parts.len() as u64).saturating_sub(1))
        })
    }

    /// Every part shown: segment, index, part.
    pub fn parts(&self) -> impl Iterator<Item = (u64, usize, &Part)> {
        self.segments.iter().flat_map(|segment| {
            segment
                .parts
                .iter()
                .enumerate()
                .map(|(index, part)| (segment.msn, index, part))
        })
    }
}

/// Reads a full media playlist.
///
/// # Errors
/// Names the line that cannot be read.
pub fn parse(text: &str) -> Result<Playlist, String> {
    let mut lines = text.lines();
    if lines.next() != Some("#EXTM3U") {
        return Err("does not begin with #EXTM3U".to_owned());
    }
    let mut playlist = Playlist::default();
    let mut discontinuities = 0;
    let mut map = String::new();
    let mut open = Segment::default();
    for line in lines {
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        let bad = || format!("cannot be read: {line}");
        match tag {
            "#EXT-X-VERSION" => playlist.version = value.parse().map_err(|_| bad())?,
            "#EXT-X-TARGETDURATION" => {
                playlist.target_duration = value.parse().map_err(|_| bad())?
            }
            "#EXT-X-SERVER-CONTROL" => {
                let seconds =
                    |name| attribute(value, name).map_or(Ok(0), |v| micros(&v).ok_or(bad()));
                playlist.can_block_reload =
                    attribute(value, "CAN-BLOCK-RELOAD").as_deref() == Some("YES");
                playlist.hold_back_us = seconds("HOLD-BACK")?;
                playlist.part_hold_back_us = seconds("PART-HOLD-BACK")?;
                playlist.skip_until_us = seconds("CAN-SKIP-UNTIL")?;
            }
            "#EXT-X-PART-INF" => {
                let target = attribute(value, "PART-TARGET").and_then(|v| micros(&v));
                playlist.part_target_us = target.ok_or_else(bad)?;
            }
            "#EXT-X-INDEPENDENT-SEGMENTS" => playlist.independent_segments = true,
            "#EXT-X-MEDIA-SEQUENCE" => {
                playlist.media_sequence = value.parse().map_err(|_| bad())?
            }
            "#EXT-X-DISCONTINUITY-SEQUENCE" => {
                discontinuities = value.parse().map_err(|_| bad())?
            }
            "#EXT-X-DISCONTINUITY" => {
                open.discontinuity = true;
                discontinuities += 1;
            }
            "#EXT-X-MAP" => map = attribute(value, "URI").ok_or_else(bad)?,
            "#EXT-X-PROGRAM-DATE-TIME" => open.shown_at_us = date_time(value).ok_or_else(bad)?,
            "#EXT-X-GAP" => open.gap = true,
            "#EXT-X-PART" => open.parts.push(part(value).ok_or_else(bad)?),
            "#EXTINF" => {
                let seconds = value.split(',').next().and_then(micros);
                open.duration_us = Some(seconds.ok_or_else(bad)?);
            }
            "#EXT-X-PRELOAD-HINT" => {
                if playlist.hint.is_some() {
                    return Err("two preload hints".to_owned());
                }
                playlist.hint = Some(attribute(value, "URI").ok_or_else(bad)?);
            }
            "#EXT-X-RENDITION-REPORT" => playlist.reports.push(report(value).ok_or_else(bad)?),
            "#EXT-X-ENDLIST" => playlist.ended = true,
            _ if line.starts_with('#') => return Err(format!("unknown tag: {line}")),
            _ => {
                if open.duration_us.is_none() {
                    return Err(format!("an address without a duration: {line}"));
                }
                line.clone_into(&mut open.address);
                push(
                    &mut playlist,
                    std::mem::take(&mut open),
                    &map,
                    discontinuities,
                );
            }
        }
    }
    if open.shown_at_us != 0 || !open.parts.is_empty() {
        push(&mut playlist, open, &map, discontinuities);
    }
    Ok(playlist)
}

fn push(playlist: &mut Playlist, mut segment: Segment, map: &str, discontinuities: u64) {
    segment.msn = playlist.media_sequence + playlist.segments.len() as u64;
    segment.discontinuities = discontinuities;
    map.clone_into(&mut segment.map);
    playlist.segments.push(segment);
}

fn part(value: &str) -> Option<Part> {
    Some(Part {
        uri: attribute(value, "URI")?,
        duration_us: micros(&attribute(value, "DURATION")?)?,
        independent: attribute(value, "INDEPENDENT").as_deref() == Some("YES"),
    })
}

fn report(value: &str) -> Option<(String, u64, u64)> {
    let uri = attribute(value, "URI")?;
    let msn = attribute(value, "LAST-MSN")?.parse().ok()?;
    let part = attribute(value, "LAST-PART").map_or(Some(0), |part| part.parse().ok())?;
    Some((uri, msn, part))
}

/// One attribute of a list, without its quotes.
fn attribute(list: &str, name: &str) -> Option<String> {
    let mut rest = list;
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => {
                let (value, next) = quoted.split_once('"')?;
                (value, next.strip_prefix(',').unwrap_or(next))
            }
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if key == name {
            return Some(value.to_owned());
        }
        rest = next;
    }
    None
}

/// Decimal seconds as microseconds.
fn micros(seconds: &str) -> Option<i64> {
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
    Some(whole.parse::<i64>().ok()? * 1_000_000 + digits.parse::<i64>().ok()?)
}

/// `2026-11-21T07:08:09.123Z` as microseconds since 1970.
fn date_time(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let mut time = time.splitn(3, ':');
    let (hour, minute) = (
        time.next()?.parse::<i64>().ok()?,
        time.next()?.parse::<i64>().ok()?,
    );
    let second = micros(time.next()?)?;
    // Days of the civil calendar, counted from a March so that the leap day comes last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let era_days = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = era_days + (month * 153 + 2) / 5 + day - 1 - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60_000_000 + second)
}

/// Puts what a delta update skipped back from the playlist before it.
///
/// # Errors
/// Says what is missing.
pub fn apply_delta(previous: &str, delta: &str) -> Result<String, String> {
    let skip = delta
        .lines()
        .find_map(|line| line.strip_prefix("#EXT-X-SKIP:SKIPPED-SEGMENTS="));
    let skipped: usize = skip
        .and_then(|n| n.parse().ok())
        .ok_or("no count of skipped segments")?;
    let sequence = |text: &str| -> Option<usize> {
        text.lines()
            .find_map(|l| l.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"))?
            .parse()
            .ok()
    };
    let from = sequence(previous).ok_or("no media sequence")?;
    let to = sequence(delta).ok_or("no media sequence")?;
    let gone = to.checked_sub(from).ok_or("the media sequence went back")?;
    let blocks = blocks(previous);
    let kept = blocks
        .get(gone..gone + skipped)
        .ok_or("skips segments that were never shown")?;
    let mut out = String::new();
    for line in delta.lines() {
        if line.starts_with("#EXT-X-SKIP:") {
            let mut map = blocks[..gone]
                .iter()
                .rev()
                .find_map(|block| map_line(block));
            for (index, block) in kept.iter().enumerate() {
                // The first segment of a playlist says which init segment it needs.
                let own = map_line(block);
                for line in block {
                    let discontinuity = *line == "#EXT-X-DISCONTINUITY";
                    if index == 0
                        && own.is_none()
                        && !discontinuity
                        && let Some(map) = map.take()
                    {
                        out.push_str(map);
                        out.push('\n');
                    }
                    // Parts leave the playlist with time; what is skipped has none.
                    if !line.starts_with("#EXT-X-PART:") {
                        out.push_str(line);
                        out.push('\n');
                    }
                }
            }
        } else {
            out.push_str(line);
            out.push('\n');
        }
    }
    Ok(out)
}

fn map_line<'a>(block: &[&'a str]) -> Option<&'a str> {
    block
        .iter()
        .find(|line| line.starts_with("#EXT-X-MAP:"))
        .copied()
}

/// The lines of each complete segment of a full playlist.
fn blocks(text: &str) -> Vec<Vec<&str>> {
    const OF_SEGMENTS: [&str; 6] = [
        "#EXT-X-DISCONTINUITY",
        "#EXT-X-MAP:",
        "#EXT-X-PROGRAM-DATE-TIME:",
        "#EXT-X-PART:",
        "#EXT-X-GAP",
        "#EXTINF:",
    ];
    let mut blocks = Vec::new();
    let mut block = Vec::new();
    for line in text.lines() {
        let of_segment = OF_SEGMENTS.iter().any(|tag| line.starts_with(tag))
            && !line.starts_with("#EXT-X-DISCONTINUITY-SEQUENCE");
        if of_segment {
            block.push(line);
        } else if !line.starts_with('#') {
            block.push(line);
            blocks.push(std::mem::take(&mut block));
        }
    }
    blocks
}
