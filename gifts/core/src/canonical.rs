//! Bytes of which a hash means one thing.
//!
//! A text is its length in bytes and the bytes; a number is its eight bytes, the most significant
//! first; what may be missing is a zero byte, or a one byte and itself. So no two values are written
//! alike, whatever stands beside them.

use ring::digest::{Context, SHA256};

/// A SHA-256 hash (FIPS 180-4).
pub type Hash = [u8; 32];

/// Something that is hashed piece by piece.
pub struct Canonical(Context);

impl std::fmt::Debug for Canonical {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Canonical").finish_non_exhaustive()
    }
}

impl Canonical {
    /// What it is that is hashed, and in which version, comes first.
    pub fn of(domain: &str) -> Self {
        let mut all = Self(Context::new(&SHA256));
        all.text(domain);
        all
    }

    /// A text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.number(text.len().cast_signed() as i64);
        self.0.update(text.as_bytes());
        self
    }

    /// A number.
    pub fn number(&mut self, number: i64) -> &mut Self {
        self.0.update(&number.to_be_bytes());
        self
    }

    /// Bytes, whose number is known to who reads them.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(bytes);
        self
    }

    /// A number that may be missing.
    pub fn maybe(&mut self, number: Option<i64>) -> &mut Self {
        match number {
            None => self.bytes(&[0]),
            Some(number) => self.bytes(&[1]).number(number),
        }
    }

    /// A text that may be missing.
    pub fn maybe_text(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            None => self.bytes(&[0]),
            Some(text) => self.bytes(&[1]).text(text),
        }
    }

    /// The hash of all of it.
    pub fn hash(self) -> Hash {
        let digest = self.0.finish();
        digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_hashed_to_something_else() {
        let hash = |write: &dyn Fn(&mut Canonical)| {
            let mut all = Canonical::of("test");
            write(&mut all);
            all.hash()
        };
        let hashes = [
            hash(&|all| _ = all.text("ab").text("c")),
            hash(&|all| _ = all.text("a").text("bc")),
            hash(&|all| _ = all.text("abc")),
            hash(&|all| _ = all.maybe(None).maybe(Some(0))),
            hash(&|all| _ = all.maybe(Some(0)).maybe(None)),
            hash(&|all| _ = all.maybe_text(None)),
            hash(&|all| _ = all.maybe_text(Some(""))),
            Canonical::of("another").hash(),
        ];
        for (index, hash) in hashes.iter().enumerate() {
            assert!(!hashes[..index].contains(hash), "{index}");
        }
    }
}
