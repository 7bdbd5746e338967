//! What went wrong, and how often.

use std::collections::BTreeMap;

/// Different errors that are told apart; the rest counts as others.
const ERRORS_MAX: usize = 20;

/// Errors by their text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Errors(BTreeMap<String, u64>);

impl Errors {
    /// One more.
    pub(crate) fn add(&mut self, error: &anyhow::Error) {
        let text = format!("{error:#}");
        let known = self.0.len() < ERRORS_MAX || self.0.contains_key(&text);
        let text = if known { text } else { "others".to_owned() };
        *self.0.entry(text).or_default() += 1;
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (text, count) in other.0 {
            *self.0.entry(text).or_default() += count;
        }
    }

    pub(crate) fn into_inner(self) -> BTreeMap<String, u64> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_without_end_take_bounded_room() {
        let mut errors = Errors::default();
        for number in 0..1000 {
            errors.add(&anyhow::anyhow!("error {number}"));
        }
        let errors = errors.into_inner();
        assert_eq!(errors.len(), ERRORS_MAX + 1);
        assert_eq!(errors.values().sum::<u64>(), 1000);
    }
}
