//! The server's own key, and what is found or sealed under it.
//!
//! The key is 32 random bytes in the data directory, readable by the server alone. What it is used
//! for has a subkey of its own, so that no two uses can be played against each other.

use std::path::Path;

use anyhow::{Context as _, bail};
use chacha20poly1305::aead::{Aead, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use kit::private_file;
use sha2::Sha256;
use wire::hex;
use wire::room_token::RoomKey;

/// Letters and digits that no reader mixes up; 32 of them, so that one is five bits.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Random characters of a secret: 160 bits.
const SECRET_LENGTH: usize = 32;
/// Bytes of a XChaCha20 nonce, kept before the ciphertext.
const NONCE_BYTES: usize = 24;

/// What a secret that the server is shown is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// Publishing to a channel.
    StreamKey,
    /// Being signed in.
    Session,
    /// A program that acts for a person.
    ApiToken,
    /// Setting a lost password anew.
    Recovery,
}

impl SecretKind {
    const fn purpose(self) -> &'static str {
        match self {
            Self::StreamKey => "stream key lookup",
            Self::Session => "session lookup",
            Self::ApiToken => "api token lookup",
            Self::Recovery => "recovery lookup",
        }
    }

    /// What such a secret begins with, so that a leaked one can be told by its look.
    const fn prefix(self) -> &'static str {
        match self {
            Self::StreamKey => "bk_",
            Self::Session => "bs_",
            Self::ApiToken => "bt_",
            Self::Recovery => "br_",
        }
    }

    /// A new secret: 160 random bits.
    pub fn generate(self) -> String {
        format!("{}{}", self.prefix(), random_text(SECRET_LENGTH))
    }
}

/// The server's own key.
#[derive(Clone)]
pub struct ServerKey([u8; 32]);

impl std::fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerKey(…)")
    }
}

impl ServerKey {
    /// Reads the key from `path`, or makes it there.
    ///
    /// # Errors
    /// When the file cannot be read or written, or is not a key.
    pub fn load_or_create(path: &Path) -> anyhow::Result<Self> {
        let read = std::fs::read(path);
        match read {
            Ok(bytes) => match <[u8; 32]>::try_from(bytes.as_slice()) {
                Ok(key) => Ok(Self(key)),
                Err(_) => bail!(
                    "{} is not a server key: it has not 32 bytes",
                    path.display()
                ),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key = Self(rand::random());
                key.create(path)?;
                Ok(key)
            }
            Err(error) => Err(error).with_context(|| format!("failed to read {}", path.display())),
        }
    }

    /// The key as text, to be kept as safely as the file.
    pub fn to_text(&self) -> String {
        hex::encode(&self.0)
    }

    /// Reads what [`to_text`](Self::to_text) wrote.
    ///
    /// # Errors
    /// When it is not a key.
    pub fn from_text(text: &str) -> anyhow::Result<Self> {
        let bytes = hex::decode(text).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        bytes.map(Self).context("this is not a server key")
    }

    /// Writes the key to `path`, unless it is there already.
    ///
    /// # Errors
    /// When another key is there, or the file cannot be read or written.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        if !path.exists() {
            return self.create(path);
        }
        if Self::load_or_create(path)?.0 != self.0 {
            bail!("{} is the key of another server", path.display());
        }
        Ok(())
    }

    fn create(&self, path: &Path) -> anyhow::Result<()> {
        private_file::create(path, &self.0)
            .with_context(|| format!("failed to write {}", path.display()))
    }

    fn mac(&self, purpose: &str, message: &[u8]) -> [u8; 32] {
        let subkey = hmac_sha256(&self.0, purpose.as_bytes());
        hmac_sha256(&subkey, message)
    }

    /// What room tokens are signed with.
    pub fn room_key(&self) -> RoomKey {
        RoomKey::new(self.mac("room tokens", b""))
    }

    /// The secret half of the key that the ledger is sealed with, as Ed25519 takes it.
    pub fn ledger_key(&self) -> [u8; 32] {
        self.mac("ledger seals", b"")
    }

    /// What the sandbox of payments signs with.
    pub fn payments_key(&self) -> [u8; 32] {
        self.mac("payments sandbox", b"")
    }

    /// By which it is recognised, and nothing else is learnt of it.
    pub fn fingerprint(&self) -> String {
        wire::hex::encode(&self.mac("fingerprint", b""))
    }

    /// What a secret is found by. What it is for has a subkey of its own.
    pub fn lookup(&self, kind: SecretKind, secret: &str) -> [u8; 32] {
        self.mac(kind.purpose(), secret.as_bytes())
    }

    /// Seals `secret`; it opens only with the same `context`, so that one row's secret cannot be
    /// passed off as another's.
    pub fn seal(&self, secret: &str, context: &str) -> Vec<u8> {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let payload = Payload {
            msg: secret.as_bytes(),
            aad: context.as_bytes(),
        };
        let sealed = self
            .cipher()
            .encrypt(&XNonce::from(nonce), payload)
            .expect("only a message of 256 GB is too long to seal");
        [nonce.as_slice(), &sealed].concat()
    }

    /// Opens what [`seal`](Self::seal) sealed; `None` when it was tampered with.
    pub fn open(&self, sealed: &[u8], context: &str) -> Option<String> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES)?;
        let nonce = <[u8; NONCE_BYTES]>::try_from(nonce).ok()?;
        let payload = Payload {
            msg: sealed,
            aad: context.as_bytes(),
        };
        let secret = self.cipher().decrypt(&XNonce::from(nonce), payload).ok()?;
        String::from_utf8(secret).ok()
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        let key = self.mac("sealing", b"");
        XChaCha20Poly1305::new(&key.into())
    }
}

/// HMAC-SHA256 (RFC 2104).
pub(crate) fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// A random secret of `length` characters, five bits each.
pub fn random_text(length: usize) -> String {
    (0..length)
        .map(|_| char::from(ALPHABET[usize::from(rand::random::<u8>() % 32)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_only_in_its_own_context_and_whole() {
        let key = ServerKey([7; 32]);
        let mut sealed = key.seal("bk_secret", "row 1");
        assert_eq!(key.open(&sealed, "row 1").as_deref(), Some("bk_secret"));
        assert_eq!(key.open(&sealed, "row 2"), None);
        assert_eq!(ServerKey([8; 32]).open(&sealed, "row 1"), None);
        sealed[30] ^= 1;
        assert_eq!(key.open(&sealed, "row 1"), None);
        assert_eq!(key.open(b"short", "row 1"), None);
    }

    #[test]
    fn the_key_is_made_once_and_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.key");
        let made = ServerKey::load_or_create(&path).unwrap();
        let read = ServerKey::load_or_create(&path).unwrap();
        let found_by = |key: &ServerKey, kind| key.lookup(kind, "x");
        assert_eq!(
            found_by(&made, SecretKind::Session),
            found_by(&read, SecretKind::Session)
        );
        assert_ne!(
            found_by(&made, SecretKind::Session),
            found_by(&made, SecretKind::ApiToken)
        );
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        std::fs::write(&path, b"short").unwrap();
        assert!(ServerKey::load_or_create(&path).is_err());
    }
}
