//! A number and a time in every message, by which it is known when it was said and which it is.

use crate::stamp::now_us;

/// Hexadecimal digits of both.
pub(crate) const MARK_BYTES: usize = 24;

/// What stands at the beginning of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// How many were said before it.
    pub(crate) number: u32,
    /// When it was said, in microseconds since the Unix epoch.
    pub(crate) said_us: u64,
}

impl Mark {
    /// A message that is said now.
    pub(crate) fn now(number: u32) -> Self {
        Self {
            number,
            said_us: now_us(),
        }
    }

    /// The message, of so many bytes.
    pub(crate) fn text(self, bytes: usize) -> String {
        let mut text = format!("{:08x}{:016x}", self.number, self.said_us);
        text.extend(std::iter::repeat_n('.', bytes.saturating_sub(MARK_BYTES)));
        text
    }

    /// What stands in a message, if it is one of ours.
    pub(crate) fn of(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text.get(..MARK_BYTES)?).ok()?;
        let (number, said_us) = text.split_at_checked(8)?;
        Some(Self {
            number: u32::from_str_radix(number, 16).ok()?,
            said_us: u64::from_str_radix(said_us, 16).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_again_and_nothing_else_is() {
        let mark = Mark::now(77);
        let text = mark.text(100);
        assert_eq!(text.len(), 100);
        assert_eq!(Mark::of(text.as_bytes()), Some(mark));
        assert_eq!(Mark::of(b"hello"), None);
        assert_eq!(Mark::of("弹幕弹幕弹幕弹幕弹幕".as_bytes()), None);
    }
}
