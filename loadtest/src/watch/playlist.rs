//! Playlists of LL-HLS, as far as a viewer at the live edge reads them.

use anyhow::{Context as _, bail};

/// What a viewer at the live edge needs of a media playlist.
#[derive(Debug, Default)]
pub(crate) struct Playlist {
    /// Where the init segment is.
    pub(crate) map: Option<String>,
    pub(crate) parts: Vec<Part>,
    /// The part to wait for.
    pub(crate) next_msn: u64,
    pub(crate) next_part: usize,
    pub(crate) ended: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) uri: String,
    /// Whether a decoder can begin with it.
    pub(crate) independent: bool,
    /// When its last frame was over, in milliseconds since the Unix epoch.
    pub(crate) ends_at_ms: Option<f64>,
}

impl Playlist {
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        if !text.starts_with("#EXTM3U") {
            bail!("an answer that is no playlist");
        }
        let mut playlist = Self::default();
        let mut clock_ms: Option<f64> = None;
        for line in text.lines() {
            if let Some(msn) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
                playlist.next_msn = msn.trim().parse().context("a media sequence number")?;
            } else if let Some(skipped) = line.strip_prefix("#EXT-X-SKIP:SKIPPED-SEGMENTS=") {
                let skipped = skipped.trim().parse::<u64>();
                playlist.next_msn += skipped.context("a count of segments")?;
            } else if let Some(date) = line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:") {
                let date: jiff::Timestamp = date.trim().parse().context("a date")?;
                clock_ms = Some(date.as_microsecond() as f64 / 1000.0);
            } else if line.starts_with("#EXT-X-MAP:") {
                playlist.map = attribute(line, "URI").map(str::to_owned);
            } else if line.starts_with("#EXT-X-PART:") {
                let part = Part::parse(line, &mut clock_ms)?;
                playlist.parts.push(part);
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

    /// The parts after one; from where a decoder can begin, as late as possible, if that is gone.
    pub(crate) fn after(&self, last: Option<&str>) -> &[Part] {
        let known = last.and_then(|last| self.parts.iter().rposition(|part| part.uri == last));
        let from = known.map_or_else(
            || {
                self.parts
                    .iter()
                    .rposition(|part| part.independent)
                    .unwrap_or(0)
            },
            |index| index + 1,
        );
        &self.parts[from..]
    }
}

impl Part {
    fn parse(line: &str, clock_ms: &mut Option<f64>) -> anyhow::Result<Self> {
        let duration: f64 = attribute(line, "DURATION")
            .and_then(|duration| duration.parse().ok())
            .context("a part's duration")?;
        *clock_ms = clock_ms.map(|at| at + duration * 1000.0);
        Ok(Self {
            uri: attribute(line, "URI")
                .context("a part's address")?
                .to_owned(),
            independent: attribute(line, "INDEPENDENT") == Some("YES"),
            ends_at_ms: *clock_ms,
        })
    }
}

/// The URIs of the media playlists a multivariant playlist names.
pub(crate) fn media_playlists(index: &str) -> Vec<String> {
    let audio = index
        .lines()
        .filter(|line| line.starts_with("#EXT-X-MEDIA:"))
        .filter_map(|line| attribute(line, "URI"));
    let streams = index
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    audio.chain(streams).map(str::to_owned).collect()
}

/// The value of an attribute of a tag.
fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, list) = line.split_once(':')?;
    let (at, _) = list.match_indices(name).find(|(at, _)| {
        (*at == 0 || list.as_bytes()[at - 1] == b',')
            && list.as_bytes().get(at + name.len()) == Some(&b'=')
    })?;
    let value = &list[at + name.len() + 1..];
    match value.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => value.split(',').next(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAYLIST: &str = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-MAP:URI=\"video/init.mp4\"\n\
        #EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:10.000Z\n\
        #EXT-X-PART:DURATION=0.200,URI=\"video/7.0.m4s\",INDEPENDENT=YES\n#EXTINF:0.2,\nvideo/7.m4s\n\
        #EXT-X-PART:DURATION=0.201,URI=\"video/8.0.m4s\"\n";

    #[test]
    fn a_playlist_gives_the_part_to_wait_for_and_when_parts_ended() {
        let playlist = Playlist::parse(PLAYLIST).unwrap();
        assert_eq!(
            (playlist.next_msn, playlist.next_part, playlist.ended),
            (8, 1, false)
        );
        let ends = |part: &Part| part.ends_at_ms.unwrap().round();
        let ends: Vec<_> = playlist.parts.iter().map(ends).collect();
        assert_eq!(ends, [10_200.0, 10_401.0]);
        assert_eq!(playlist.map.as_deref(), Some("video/init.mp4"));
    }

    #[test]
    fn a_viewer_begins_where_a_decoder_can_and_goes_on_after_what_it_has() {
        let playlist = Playlist::parse(PLAYLIST).unwrap();
        let after = |last| {
            let parts = playlist.after(last).iter();
            parts.map(|part| part.uri.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(after(None), ["video/7.0.m4s", "video/8.0.m4s"]);
        assert_eq!(after(Some("video/7.0.m4s")), ["video/8.0.m4s"]);
        assert_eq!(after(Some("video/8.0.m4s")), [""; 0]);
        assert_eq!(after(Some("video/1.0.m4s")).len(), 2);
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
