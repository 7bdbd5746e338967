//! Stream keys, which no log may show.

use std::fmt;

/// Text that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Takes the text over.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// What a publisher names its stream by: a key, and the query behind it if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamKey {
    /// What stands before the first `?`.
    pub key: Secret,
    /// What stands behind it, as it came.
    pub query: Option<Secret>,
}

impl StreamKey {
    /// Parts the key from its query.
    pub fn parse(name: &str) -> Self {
        match name.split_once('?') {
            Some((key, query)) => Self {
                key: Secret::new(key),
                query: Some(Secret::new(query)),
            },
            None => Self {
                key: Secret::new(name),
                query: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_and_its_query_are_parted_and_neither_is_shown() {
        let key = StreamKey::parse("sk_abc?user=x&pass=y?z");
        assert_eq!(key.key.expose(), "sk_abc");
        assert_eq!(
            key.query.as_ref().map(Secret::expose),
            Some("user=x&pass=y?z")
        );
        let shown = format!("{key:?}");
        assert!(!shown.contains("abc") && !shown.contains("pass"), "{shown}");
        assert_eq!(StreamKey::parse("plain").query, None);
    }
}
