//! Texts that people write.

/// One line of a text: control characters, what cannot be seen and the signs that turn the direction
/// of writing are left out, white space is one blank, the ends are trimmed.
pub fn one_line(text: &str) -> impl Iterator<Item = char> {
    let mut in_flag = false;
    let seen = move |character: &char| {
        let is_tag = matches!(character, '\u{E0000}'..='\u{E007F}');
        in_flag = *character == '\u{1F3F4}' || (in_flag && is_tag);
        // Tags spell the flags of regions, and are nothing elsewhere.
        (in_flag || !is_tag)
            && (character.is_whitespace()
                || !(character.is_control()
                    || turns_direction(*character)
                    || is_unseen(*character)))
    };
    let mut characters = text.chars().filter(seen).peekable();
    let mut begun = false;
    std::iter::from_fn(move || {
        let mut gap = false;
        while characters.next_if(|next| next.is_whitespace()).is_some() {
            gap = begun;
        }
        // The end is no place for a blank.
        let next = *characters.peek()?;
        begun = true;
        if gap {
            return Some(' ');
        }
        characters.next();
        Some(next)
    })
}

/// Explicit embeddings, overrides and isolates (UAX #9): with them, a text can rewrite what
/// stands around it.
const fn turns_direction(character: char) -> bool {
    matches!(character, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Characters that show nothing and join nothing: with them a text could seem to be none, or to be
/// somebody else's. Joiners stay, which emoji and several scripts are written with.
const fn is_unseen(character: char) -> bool {
    matches!(
        character,
        '\u{AD}'
            | '\u{115F}'
            | '\u{1160}'
            | '\u{17B4}'
            | '\u{17B5}'
            | '\u{180E}'
            | '\u{200B}'
            | '\u{2060}'..='\u{2064}' | '\u{2800}' | '\u{3164}' | '\u{FEFF}' | '\u{FFA0}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_no_ends_no_gaps_and_nothing_unseen() {
        let line = |text: &str| one_line(text).collect::<String>();
        assert_eq!(line("  two \t\u{200B}\n words\u{7} "), "two words");
        assert_eq!(line("\u{200B} \u{202E}a"), "a");
        assert_eq!(line(" \u{FEFF} \r\n"), "");
        assert_eq!(line("👨‍👩‍👧 ok"), "👨‍👩‍👧 ok");
        let england = "\u{1F3F4}\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}";
        assert_eq!(
            line(&format!("\u{E0041}a{england}b\u{E0042}")),
            format!("a{england}b")
        );
    }
}
