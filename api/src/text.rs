//! Texts that people write: cleaned and bounded.

use crate::error::ApiError;
use crate::unfit::Unfit;

/// Longest name, in characters.
pub const NAME_MAX: usize = 50;
/// Longest title.
pub const TITLE_MAX: usize = 140;
/// Longest category.
pub const CATEGORY_MAX: usize = 50;
/// Longest tag.
pub const TAG_MAX: usize = 30;
/// Most tags.
pub const TAGS_MAX: usize = 10;
/// Longest reason.
pub const REASON_MAX: usize = 200;

/// One line: control characters and the signs that turn the direction of writing are left out,
/// white space is one blank, the ends are trimmed.
///
/// # Errors
/// When it is longer than `max` characters.
pub fn line(field: &'static str, text: &str, max: usize) -> Result<String, ApiError> {
    let mut line = String::with_capacity(text.len().min(max * 4));
    for (count, character) in wire::text::one_line(text).enumerate() {
        if count == max {
            return Err(ApiError::invalid(field, Unfit::TooLong(max)));
        }
        line.push(character);
    }
    Ok(line)
}

/// The same, and not empty.
///
/// # Errors
/// When it is empty, or longer than `max` characters.
pub fn some_line(field: &'static str, text: &str, max: usize) -> Result<String, ApiError> {
    let line = line(field, text, max)?;
    if line.is_empty() {
        return Err(ApiError::invalid(field, Unfit::Empty));
    }
    Ok(line)
}

/// Tags: each one line, none twice.
///
/// # Errors
/// When there are too many, or one is too long.
pub fn tags(tags: &[String]) -> Result<Vec<String>, ApiError> {
    let mut clean: Vec<String> = Vec::new();
    for tag in tags {
        let tag = line("tags", tag.trim_start_matches('#'), TAG_MAX)?;
        if !tag.is_empty() && !clean.contains(&tag) {
            clean.push(tag);
        }
    }
    if clean.len() > TAGS_MAX {
        return Err(ApiError::invalid("tags", Unfit::TooMany(TAGS_MAX)));
    }
    Ok(clean)
}

/// A language as BCP 47 writes it, such as `zh-CN`; empty for none.
///
/// # Errors
/// When it cannot be one.
pub fn language(text: &str) -> Result<String, ApiError> {
    let text = text.trim();
    let part = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    if text.is_empty() || (text.len() <= 35 && text.split('-').all(part)) {
        return Ok(text.to_owned());
    }
    Err(ApiError::invalid("language", Unfit::Language))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_and_nothing_hidden() {
        assert_eq!(
            line("name", "  a\n\t b\u{0}\u{202E}c  ", 10).unwrap(),
            "a bc"
        );
        assert_eq!(line("name", "弹幕直播", 4).unwrap(), "弹幕直播");
        assert!(line("name", "弹幕直播间", 4).is_err());
        assert!(some_line("name", " \u{2066} ", 4).is_err());
        assert!(some_line("name", "\u{3164}\u{200B}", 4).is_err());
        assert_eq!(line("name", "👩\u{200D}🚀", 4).unwrap(), "👩\u{200D}🚀");
    }

    #[test]
    fn tags_are_few_and_different() {
        let texts = |texts: &[&str]| texts.iter().map(|&t| t.to_owned()).collect::<Vec<_>>();
        assert_eq!(
            tags(&texts(&["#rust", "rust", " ", "弹幕"])).unwrap(),
            ["rust", "弹幕"]
        );
        let many: Vec<String> = (0..11).map(|n| n.to_string()).collect();
        assert!(tags(&many).is_err());
    }

    #[test]
    fn a_language_has_the_shape_of_one() {
        assert_eq!(language(" zh-Hans-CN ").unwrap(), "zh-Hans-CN");
        assert_eq!(language("").unwrap(), "");
        for bad in ["zh_CN", "<script>", "a--b", "-"] {
            assert!(language(bad).is_err(), "{bad}");
        }
    }
}
