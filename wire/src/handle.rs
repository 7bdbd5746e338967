//! The handle: the name a channel has in addresses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Shortest handle, in characters.
pub const MIN_LEN: usize = 3;
/// Longest handle, in characters.
pub const MAX_LEN: usize = 24;

/// A channel's name in addresses: `[a-z0-9_]{3,24}`. It can be renamed; identity is the
/// [`ChannelId`](crate::ChannelId) behind it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Handle(String);

/// Why a text is not a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandleError {
    /// Too short or too long.
    #[error("a handle has {MIN_LEN} to {MAX_LEN} characters")]
    Length,
    /// A character outside the alphabet.
    #[error("a handle has only a-z, 0-9 and _")]
    Character,
}

impl Handle {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Handle {
    type Err = HandleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !(MIN_LEN..=MAX_LEN).contains(&text.len()) {
            return Err(HandleError::Length);
        }
        if !text
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
        {
            return Err(HandleError::Character);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Handle {
    type Error = HandleError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Handle> for String {
    fn from(handle: Handle) -> Self {
        handle.0
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_alphabet_within_its_length_is_a_handle() {
        for good in ["abc", "a_1", "x23456789012345678901234"] {
            assert_eq!(
                good.parse::<Handle>().map(|h| h.to_string()),
                Ok(good.to_owned())
            );
        }
        for long_or_short in ["", "ab", "x234567890123456789012345"] {
            assert_eq!(long_or_short.parse::<Handle>(), Err(HandleError::Length));
        }
        for bad in ["Abc", "a-b", "a/b", "../x", "弹幕弹", "a b", "abc\0"] {
            assert_eq!(bad.parse::<Handle>(), Err(HandleError::Character));
        }
    }
}
