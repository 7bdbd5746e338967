//! What an address says: where to connect, and by which protocol to watch.

use std::path::Path;

use anyhow::bail;
use reqwest::Url;
use serde::Serialize;

use crate::place::Place;

/// By which protocol a stream is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Protocol {
    Rtmp,
    Flv,
    WsFlv,
    LlHls,
    Whep,
}

/// Where and what.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) protocol: Protocol,
    pub(crate) place: Place,
}

impl Target {
    /// Looks an address up.
    pub(crate) fn find(url: &Url, authority: Option<&Path>) -> anyhow::Result<Self> {
        Ok(Self {
            protocol: protocol(url)?,
            place: Place::find(url, authority)?,
        })
    }
}

fn protocol(url: &Url) -> anyhow::Result<Protocol> {
    let ends_with = |end| url.path().ends_with(end);
    Ok(match url.scheme() {
        "rtmp" => Protocol::Rtmp,
        "http" | "https" if ends_with(".flv") => Protocol::Flv,
        "ws" | "wss" if ends_with(".flv") => Protocol::WsFlv,
        "http" | "https" if ends_with(".m3u8") => Protocol::LlHls,
        "http" | "https" if url.path().starts_with("/whep/") => Protocol::Whep,
        _ => bail!(
            "{url} cannot be watched: give rtmp://host/live/name, http://host/live/name.flv, \
             ws://host/live/name.flv, http://host/hls/name/index.m3u8 or http://host/whep/name"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protocol_of(url: &str) -> Option<Protocol> {
        protocol(&Url::parse(url).unwrap()).ok()
    }

    #[test]
    fn the_address_says_the_protocol() {
        for (url, expected) in [
            ("rtmp://x/live/a", Some(Protocol::Rtmp)),
            ("http://x:8080/live/a.flv?start=low", Some(Protocol::Flv)),
            ("wss://x/live/a.flv", Some(Protocol::WsFlv)),
            ("https://x/hls/a/index.m3u8", Some(Protocol::LlHls)),
            ("http://x:8080/whep/a", Some(Protocol::Whep)),
            ("http://x/", None),
            ("srt://x:9000", None),
        ] {
            assert_eq!(protocol_of(url), expected, "{url}");
        }
    }
}
