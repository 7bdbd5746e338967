//! Passwords: argon2id, off the async threads and few at a time.

use anyhow::{Context as _, anyhow};
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::Semaphore;

/// Hashes at once. Each holds 19 MiB and a core for some tens of milliseconds (argon2id, m=19456,
/// t=2, p=1: the OWASP minimum), and media must not wait for it.
static HASHERS: Semaphore = Semaphore::const_new(2);

/// Hashes a password, to be kept as a PHC string.
///
/// # Errors
/// When there is no memory for it.
pub async fn hash(password: String) -> anyhow::Result<String> {
    let _turn = HASHERS
        .acquire()
        .await
        .context("the hashers are never closed")?;
    tokio::task::spawn_blocking(move || {
        Argon2::default()
            .hash_password(password.as_bytes())
            .map(|hash| hash.to_string())
            .map_err(|error| anyhow!("failed to hash a password: {error}"))
    })
    .await?
}

/// Whether `password` is the one that `hash` was made of.
///
/// # Errors
/// When `hash` is not a PHC string.
pub async fn verify(password: String, hash: String) -> anyhow::Result<bool> {
    let _turn = HASHERS
        .acquire()
        .await
        .context("the hashers are never closed")?;
    tokio::task::spawn_blocking(move || {
        let hash = PasswordHash::new(&hash)
            .map_err(|error| anyhow!("a stored password hash is damaged: {error}"))?;
        Ok(Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok())
    })
    .await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_by_its_hash_alone() {
        let hash = hash("correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$") && !hash.contains("horse"));
        assert!(verify("correct horse".into(), hash.clone()).await.unwrap());
        assert!(!verify("wrong horse".into(), hash).await.unwrap());
    }
}
