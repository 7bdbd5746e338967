//! The code of an emote: what stands between two colons in a danmaku and is seen as a picture.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Shortest code, in characters.
pub const MIN_LEN: usize = 2;
/// Longest code, in characters.
pub const MAX_LEN: usize = 24;

/// What an emote is called in its channel: `[a-z0-9_]{2,24}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmoteCode(String);

/// The text is no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the code of an emote has {MIN_LEN} to {MAX_LEN} of the characters a-z, 0-9 and _")]
pub struct EmoteCodeError;

impl EmoteCode {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a character can stand in a code.
    pub const fn has(character: char) -> bool {
        matches!(character, 'a'..='z' | '0'..='9' | '_')
    }
}

impl FromStr for EmoteCode {
    type Err = EmoteCodeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (MIN_LEN..=MAX_LEN).contains(&text.len()) && text.chars().all(Self::has);
        fits.then(|| Self(text.to_owned())).ok_or(EmoteCodeError)
    }
}

impl TryFrom<String> for EmoteCode {
    type Error = EmoteCodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<EmoteCode> for String {
    fn from(code: EmoteCode) -> Self {
        code.0
    }
}

impl std::borrow::Borrow<str> for EmoteCode {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EmoteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EmoteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ":{}:", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_alphabet_within_its_length_is_a_code() {
        for good in ["hi", "a_1", "x23456789012345678901234"] {
            let read = good.parse().map(|code: EmoteCode| code.to_string());
            assert_eq!(read, Ok(good.to_owned()));
        }
        for bad in [
            "",
            "a",
            "x234567890123456789012345",
            "Hi",
            "h-i",
            ":hi:",
            "嗨嗨",
            "h i",
        ] {
            assert_eq!(bad.parse::<EmoteCode>(), Err(EmoteCodeError), "{bad}");
        }
    }
}
