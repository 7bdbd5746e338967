//! Passwords: which are good enough, and argon2id, off the async threads and few at a time.

use std::sync::LazyLock;

use anyhow::{Context as _, anyhow};
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::{Semaphore, SemaphorePermit};
use zxcvbn::Score;

/// Hashes at once. Each holds 19 MiB and a core for some tens of milliseconds (argon2id, m=19456,
/// t=2, p=1: the OWASP minimum), and media must not wait for it.
static HASHERS: Semaphore = Semaphore::const_new(2);

/// Requests that may wait for a hasher; one more is told that the server is busy.
static QUEUE: Semaphore = Semaphore::const_new(32);

/// Shortest password, in characters.
pub const MIN_CHARS: usize = 10;

/// Longest password, in bytes: hashing has a cost by length.
pub const MAX_BYTES: usize = 256;

/// Why a password is not good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Weakness {
    /// Too short.
    #[error("A password has at least {MIN_CHARS} characters.")]
    Short,
    /// Too long.
    #[error("A password has at most {MAX_BYTES} bytes.")]
    Long,
    /// Among those that leaked from other sites, or one of the first a guesser tries.
    #[error("This password is among those that attackers try first. Choose another.")]
    Guessable,
}

/// No hasher was free, and too many wait for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked")]
pub struct Busy;

/// Whether `password` is good enough for somebody about whom attackers know `about`: no rule on
/// kinds of characters, but a length, and an estimate of how many guesses it withstands, which
/// knows the tens of thousands of passwords that leaks show most, and words, names, dates and
/// keyboard walks.
///
/// # Errors
/// When it is not.
pub fn check(password: &str, about: &[&str]) -> Result<(), Weakness> {
    if password.chars().count() < MIN_CHARS {
        return Err(Weakness::Short);
    }
    if password.len() > MAX_BYTES {
        return Err(Weakness::Long);
    }
    if without(password, about).chars().count() < MIN_CHARS / 2 {
        return Err(Weakness::Guessable);
    }
    // The estimate takes time by length, and its first characters suffice to find it good.
    let start: String = password.chars().take(64).collect();
    if zxcvbn::zxcvbn(&start, about).score() < Score::Three {
        return Err(Weakness::Guessable);
    }
    Ok(())
}

/// What is left of a password when what everybody knows of its owner is taken out.
fn without(password: &str, about: &[&str]) -> String {
    about
        .iter()
        .map(|known| known.to_lowercase())
        .filter(|known| known.chars().count() >= 3)
        .fold(password.to_lowercase(), |left, known| {
            left.replace(&known, "")
        })
}

/// A place in the queue for a hasher.
///
/// # Errors
/// When the queue is full.
pub fn queue() -> Result<SemaphorePermit<'static>, Busy> {
    QUEUE.try_acquire().map_err(|_| Busy)
}

/// Hashes a password, to be kept as a PHC string.
///
/// # Errors
/// When there is no memory for it.
pub async fn hash(password: String) -> anyhow::Result<String> {
    let _turn = HASHERS
        .acquire()
        .await
        .context("the hashers are never closed")?;
    tokio::task::spawn_blocking(move || hash_now(&password)).await?
}

fn hash_now(password: &str) -> anyhow::Result<String> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| anyhow!("failed to hash a password: {error}"))
}

/// Whether `password` is the one that `hash` was made of. Without a hash it is not, and finding
/// that out takes as long: who asks does not learn whether there is an account.
///
/// # Errors
/// When `hash` is not a PHC string.
pub async fn verify(password: String, hash: Option<String>) -> anyhow::Result<bool> {
    /// The hash of a password that nobody has.
    static NOBODY: LazyLock<String> = LazyLock::new(|| {
        hash_now(&crate::secrets::random_text(32)).expect("there was memory at the start")
    });
    let _turn = HASHERS
        .acquire()
        .await
        .context("the hashers are never closed")?;
    tokio::task::spawn_blocking(move || {
        let hash = hash.as_deref().unwrap_or(&NOBODY);
        let hash = PasswordHash::new(hash)
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
        assert!(
            verify("correct horse".into(), Some(hash.clone()))
                .await
                .unwrap()
        );
        assert!(!verify("wrong horse".into(), Some(hash)).await.unwrap());
        assert!(!verify("correct horse".into(), None).await.unwrap());
    }

    #[test]
    fn what_guessers_try_first_is_refused() {
        for bad in [
            "password123",
            "1234567890",
            "qwertyuiop",
            "iloveyou123",
            "letmein2024",
            "aaaaaaaaaaaaaaaa",
            "Passw0rd1!",
            "zhangwei_zhangwei",
        ] {
            assert_eq!(
                check(bad, &["zhangwei", "barrage"]),
                Err(Weakness::Guessable),
                "{bad}"
            );
        }
        assert_eq!(check("x7#kQ", &[]), Err(Weakness::Short));
        assert_eq!(check(&"é7Qz".repeat(80), &[]), Err(Weakness::Long));
        for good in [
            "three blind mice sing loudly",
            "弹幕直播间里有很多有趣的人",
            "k2j4h5g6f7d8x",
        ] {
            assert_eq!(check(good, &["zhangwei"]), Ok(()), "{good}");
        }
    }
}
