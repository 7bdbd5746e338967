//! The emotes of a channel: which codes stand for a picture, and where they stand in a text.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use wire::{EmoteCode, EmoteId};

/// The emotes of a channel, by their codes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Emotes(HashMap<EmoteCode, EmoteId>);

impl FromIterator<(EmoteCode, EmoteId)> for Emotes {
    fn from_iter<I: IntoIterator<Item = (EmoteCode, EmoteId)>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

impl Emotes {
    /// The pictures that a text needs, by their codes.
    pub fn of(&self, text: &str) -> BTreeMap<EmoteCode, String> {
        self.places(text)
            .into_iter()
            .filter_map(|place| {
                // A place has its two colons around it.
                let code = &text[place.start + 1..place.end - 1];
                let (code, id) = self.0.get_key_value(code)?;
                Some((code.clone(), format!("/emotes/{id}")))
            })
            .collect()
    }

    /// Where emotes stand in a text, colons included, from left to right. A colon that ends an emote
    /// begins no other.
    pub(crate) fn places(&self, text: &str) -> Vec<Range<usize>> {
        let mut places = Vec::new();
        let mut from = 0;
        while let Some(start) = text[from..].find(':').map(|at| from + at) {
            let inner = start + 1;
            let ends = text[inner..].find(|character| !EmoteCode::has(character));
            let Some(end) = ends.map(|at| inner + at) else {
                break;
            };
            if text[end..].starts_with(':') && self.0.contains_key(&text[inner..end]) {
                places.push(start..end + 1);
                from = end + 1;
            } else {
                // What ended this one may begin the next.
                from = end;
            }
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn emotes(codes: &[&str]) -> Emotes {
        codes
            .iter()
            .map(|code| (code.parse().unwrap(), EmoteId::new()))
            .collect()
    }

    fn found(text: &str) -> Vec<&str> {
        let places = emotes(&["hi", "wow_2"]).places(text);
        places.into_iter().map(|place| &text[place]).collect()
    }

    #[test]
    fn codes_of_the_channel_between_colons_are_emotes() {
        assert_eq!(found(":hi:"), [":hi:"]);
        assert_eq!(found("嗨:hi::wow_2:弹幕:hi:!"), [":hi:", ":wow_2:", ":hi:"]);
        assert_eq!(found("12:hi:30"), [":hi:"]);
        // A colon that ends one begins no other; that of none may.
        assert_eq!(found(":hi:hi:"), [":hi:"]);
        assert_eq!(found(":no:hi:"), [":hi:"]);
        for none in [
            "", ":", "::", ":hi", "hi:", ":HI:", ": hi:", ":no:", ":嗨:", ":hi :",
        ] {
            assert_eq!(found(none), [""; 0], "{none:?}");
        }
    }

    #[test]
    fn a_text_names_each_of_its_pictures_once() {
        let all = emotes(&["hi", "no"]);
        let named = all.of(":hi: and :hi: and :yes:");
        assert_eq!(named.len(), 1);
        let url = &named["hi"];
        assert!(url.starts_with("/emotes/"), "{url}");
        assert!(all.of("hi").is_empty());
    }

    proptest! {
        #[test]
        fn places_are_whole_and_apart(text in "[:a弹h i]{0,30}") {
            let all = emotes(&["hi", "aa", "ha"]);
            let mut end = 0;
            for place in all.places(&text) {
                prop_assert!(place.start >= end);
                end = place.end;
                prop_assert!(all.of(&text[place]).len() == 1);
            }
        }
    }
}
