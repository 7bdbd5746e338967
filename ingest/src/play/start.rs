//! Where a viewer wants to begin: `?start=now`, `keyframe` or `low`. Pure.

use fanout::shard::Entry;

/// Where a viewer begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With the latest keyframe, at once; as far behind as that is old.
    #[default]
    Now,
    /// With the next keyframe, at the live edge.
    Keyframe,
    /// With a still of the latest keyframe and live sound at once, and moving pictures from the
    /// next keyframe: a picture at once, and at the live edge all the same.
    Low,
}

impl Start {
    /// Reads a query; what is not understood is the default.
    pub fn of_query(query: &str) -> Self {
        let value = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("start="));
        match value {
            Some("keyframe") => Self::Keyframe,
            Some("low") => Self::Low,
            _ => Self::Now,
        }
    }

    pub(super) const fn entry(self) -> Entry {
        match self {
            Self::Now => Entry::Now,
            Self::Keyframe => Entry::NextKey,
            Self::Low => Entry::Sound,
        }
    }
}

/// The name of a stream and where to begin, out of `name?start=…`.
pub fn split_name(text: &str) -> (&str, Start) {
    let (name, query) = text.split_once('?').unwrap_or((text, ""));
    (name, Start::of_query(query))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_begins_where_the_query_says() {
        for (query, start) in [
            ("", Start::Now),
            ("start=now", Start::Now),
            ("start=keyframe", Start::Keyframe),
            ("token=x&start=low", Start::Low),
            ("start=yesterday", Start::Now),
            ("restart=low", Start::Now),
        ] {
            assert_eq!(Start::of_query(query), start, "{query}");
        }
        assert_eq!(split_name("stage?start=low"), ("stage", Start::Low));
        assert_eq!(split_name("stage"), ("stage", Start::Now));
    }
}
