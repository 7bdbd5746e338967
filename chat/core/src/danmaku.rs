//! What a viewer may say, and how it is cleaned.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation as _;
use wire::{BroadcastId, EmoteCode, Handle, Person};

use crate::emotes::Emotes;

/// Longest text in bytes, whatever is in it.
pub const TEXT_BYTES_MAX: usize = 2 * 1024;

/// Longest grapheme cluster in bytes. A family emoji with skin tones has 41; what is longer is marks
/// piled on each other.
const GRAPHEME_BYTES_MAX: usize = 64;

/// Marks on one character. Vietnamese and the notation of sounds have three at most.
const MARKS_MAX: usize = 4;

/// What is written as one without a joiner: longer are only piles of vowels.
const PART_CHARS_MAX: usize = 9;

/// Most people that one danmaku calls by name; more are plain text.
const MENTIONS_MAX: usize = 5;

/// Where it moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// From right to left.
    #[default]
    Scroll,
    /// Stands at the top.
    Top,
    /// Stands at the bottom.
    Bottom,
    /// From left to right.
    Reverse,
}

/// How large its letters are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// Smaller.
    Small,
    /// As most.
    #[default]
    Normal,
    /// Larger.
    Large,
}

/// A colour, red, green and blue in a byte each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Colour(u32);

impl Default for Colour {
    fn default() -> Self {
        Self(0xFF_FF_FF)
    }
}

impl TryFrom<u32> for Colour {
    type Error = &'static str;

    fn try_from(rgb: u32) -> Result<Self, Self::Error> {
        if rgb > 0xFF_FF_FF {
            return Err("a colour is at most 16777215");
        }
        Ok(Self(rgb))
    }
}

impl From<Colour> for u32 {
    fn from(colour: Colour) -> Self {
        colour.0
    }
}

/// What is answered, as the one who answers saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// Where it stands on the chat lane.
    pub p: u64,
    /// Whose it is.
    pub handle: Handle,
    /// Its beginning.
    pub text: String,
}

/// Something a viewer says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Danmaku {
    /// Who.
    pub by: Person,
    /// What. One line, cleaned.
    pub text: String,
    /// Where it moves.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mode: Mode,
    /// In which colour.
    #[serde(default, skip_serializing_if = "is_default")]
    pub colour: Colour,
    /// How large.
    #[serde(default, skip_serializing_if = "is_default")]
    pub size: Size,
    /// In which broadcast, if the channel was live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b: Option<BroadcastId>,
    /// At which picture of it: microseconds of its MediaTime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mt: Option<i64>,
    /// What it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reply>,
    /// Whom it calls by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<Handle>,
    /// The pictures that codes in the text stand for, as the channel had them when it was said.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub emotes: BTreeMap<EmoteCode, String>,
}

impl Danmaku {
    /// Who said it, and to whom it is said by name.
    pub fn concerns(&self) -> HashSet<&Handle> {
        let answered = self.reply.as_ref().map(|reply| &reply.handle);
        let by = std::iter::once(&self.by.handle);
        by.chain(&self.mentions).chain(answered).collect()
    }
}

/// What is as most is not said: each byte goes to everybody.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Why a text cannot be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Nothing is left of it.
    #[error("there is nothing to see in it")]
    Empty,
    /// It has too many characters, as people count them.
    #[error("it is longer than {0} characters")]
    TooLong(usize),
    /// A character carries a pile of marks.
    #[error("one of its characters is too tall")]
    TooTall,
}

/// Makes one line of a text: what cannot be seen, turns the direction of writing or controls
/// something is left out.
///
/// # Errors
/// When it is empty, longer than `max` grapheme clusters (UAX #29), or too heavy. An emote counts as
/// one.
pub fn clean(text: &str, max: usize, emotes: &Emotes) -> Result<String, Unfit> {
    // What is left out counts too, or a text of nothing but that would be looked through in vain.
    if text.len() > TEXT_BYTES_MAX {
        return Err(Unfit::TooLong(max));
    }
    let line: String = wire::text::one_line(text).collect();
    if line.is_empty() {
        return Err(Unfit::Empty);
    }
    let places = emotes.places(&line);
    let ends = places.iter().map(|place| place.end);
    let begins = std::iter::once(0).chain(ends);
    let stops = places.iter().map(|place| place.start);
    let stops = stops.chain(std::iter::once(line.len()));
    let mut count = places.len();
    for (begin, stop) in begins.zip(stops) {
        for grapheme in line[begin..stop].graphemes(true) {
            count += 1;
            if count > max {
                return Err(Unfit::TooLong(max));
            }
            if is_too_tall(grapheme) {
                return Err(Unfit::TooTall);
            }
        }
    }
    if count > max {
        return Err(Unfit::TooLong(max));
    }
    Ok(line)
}

/// Whether a character would stand in the lines around it.
fn is_too_tall(grapheme: &str) -> bool {
    let is_mark = |character: &char| {
        // Letters that scripts write above or below each other are none, nor are joiners and what
        // emoji are made of.
        !character.is_alphanumeric()
            && !matches!(
                character,
                '\u{200C}' | '\u{200D}' | '\u{FE00}'..='\u{FE0F}' | '\u{2190}'..='\u{2BFF}'
                    | '\u{1F000}'..='\u{1FAFF}' | '\u{E0000}'..='\u{E007F}'
            )
    };
    let marks = grapheme.chars().skip(1).filter(is_mark).count();
    let parts = grapheme.split('\u{200D}').map(|part| part.chars().count());
    grapheme.len() > GRAPHEME_BYTES_MAX
        || marks > MARKS_MAX
        || parts.max().is_some_and(|longest| longest > PART_CHARS_MAX)
}

/// Whom a text calls: `@handle`, where the `@` begins a word.
pub fn mentions(text: &str) -> Vec<Handle> {
    let mut found: Vec<Handle> = Vec::new();
    let mut before = ' ';
    for (at, character) in text.char_indices() {
        let begins = character == '@' && !before.is_alphanumeric();
        before = character;
        if !begins {
            continue;
        }
        let name = &text[at + 1..];
        let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let name = &name[..end.unwrap_or(name.len())];
        if let Ok(handle) = name.to_ascii_lowercase().parse()
            && !found.contains(&handle)
        {
            found.push(handle);
        }
        if found.len() == MENTIONS_MAX {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clean(text: &str, max: usize) -> Result<String, Unfit> {
        super::clean(text, max, &Emotes::default())
    }

    #[test]
    fn an_emote_counts_as_one() {
        let emotes = [("hi".parse().unwrap(), wire::EmoteId::new())];
        let emotes = emotes.into_iter().collect();
        let clean = |text: &str, max| super::clean(text, max, &emotes);
        assert_eq!(clean(":hi::hi:a", 3), Ok(":hi::hi:a".into()));
        assert_eq!(clean(":hi::hi::hi:a", 3), Err(Unfit::TooLong(3)));
        assert_eq!(clean(":hi::hi::hi:", 2), Err(Unfit::TooLong(2)));
        assert_eq!(clean(":no:", 3), Err(Unfit::TooLong(3)));
        assert_eq!(clean(" a :hi: ", 3), Ok("a :hi:".into()));
    }

    #[test]
    fn a_character_carries_few_marks_and_what_people_write_passes() {
        for tall in [
            "e\u{301}\u{302}\u{303}\u{304}\u{305}".to_owned(),
            format!("ก{}", "\u{E47}".repeat(9)),
            format!("ก{}", "\u{E34}".repeat(9)),
            format!("ا{}", "\u{64B}".repeat(9)),
        ] {
            assert_eq!(clean(&tall, 9), Err(Unfit::TooTall), "{tall}");
        }
        for fine in [
            "Tiếng Việt",
            "e\u{31B}\u{302}\u{301}",
            "ที่นี่ น้ำ",
            "क्ष्म्य हिन्दी",
            "בְּרֵאשִׁ֖ית",
            "السَّلَامُ",
            "བསྒྲུབས",
            "👨🏽‍👩🏾‍👧🏿‍👦🏻 ❤️‍🔥 1️⃣ 🏴󠁧󠁢󠁥󠁮󠁧󠁿 🇵🇹",
        ] {
            assert_eq!(clean(fine, 40), Ok(fine.into()));
        }
    }

    #[test]
    fn a_text_is_counted_as_people_do() {
        let family = "👨‍👩‍👧‍👦";
        assert_eq!(clean(&family.repeat(3), 3), Ok(family.repeat(3)));
        assert_eq!(clean(&family.repeat(4), 3), Err(Unfit::TooLong(3)));
        assert_eq!(clean("弹幕来了", 4), Ok("弹幕来了".into()));
        assert_eq!(clean("e\u{301}e\u{301}", 2), Ok("e\u{301}e\u{301}".into()));
    }

    #[test]
    fn what_cannot_be_seen_or_turns_the_line_is_left_out() {
        assert_eq!(
            clean(" a\u{202E}b\r\nc\u{200B}\u{7} ", 9),
            Ok("ab c".into())
        );
        for nothing in ["", " \n", "\u{200B}\u{2060}", "\u{202E}"] {
            assert_eq!(clean(nothing, 9), Err(Unfit::Empty), "{nothing:?}");
        }
    }

    #[test]
    fn a_tower_of_marks_is_refused() {
        assert_eq!(
            clean(&format!("a{}", "\u{301}".repeat(40)), 9),
            Err(Unfit::TooTall)
        );
        assert_eq!(clean(&"\u{200B}".repeat(2_000), 9), Err(Unfit::TooLong(9)));
    }

    #[test]
    fn people_are_called_where_a_word_begins() {
        let names = |text: &str| {
            let all: Vec<_> = mentions(text).iter().map(ToString::to_string).collect();
            all.join(" ")
        };
        assert_eq!(names("@ann hi @bob_2, (@Cat!) @ann"), "ann bob_2 cat");
        assert_eq!(names("me@example.com @ab @弹幕"), "");
        assert_eq!(
            mentions(&"@aaa @bbb @ccc @ddd @eee @fff ".repeat(2)).len(),
            MENTIONS_MAX
        );
    }

    proptest! {
        #[test]
        fn what_is_cleaned_is_clean(text in "\\PC{0,60}|[\u{0}-\u{2FFF}]{0,60}") {
            if let Ok(clean_once) = clean(&text, 40) {
                prop_assert_eq!(clean(&clean_once, 40), Ok(clean_once.clone()));
                prop_assert!(clean_once.graphemes(true).count() <= 40);
                prop_assert!(!clean_once.contains(char::is_control));
            }
        }
    }
}
