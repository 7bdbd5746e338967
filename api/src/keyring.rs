//! Whose stream key this is.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use kit::client::network_of;
use uuid::Uuid;

use crate::secrets::{SecretKind, ServerKey};
use crate::store::Store;
use crate::store::stream_keys::KeyOwner;

/// Wrong keys an address may show in a row; after that, one every [`REFILL`].
const WRONG_KEYS: NonZeroU32 = NonZeroU32::new(10).expect("ten is not zero");

/// How long until an address may be wrong once more.
const REFILL: Duration = Duration::from_secs(6);

/// Longest key looked at. Ours have 35 characters.
const MAX_KEY_BYTES: usize = 128;

/// How long the database may take.
const DEADLINE: Duration = Duration::from_secs(3);

/// Why a key opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nobody has this key.
    #[error("the stream key is not known")]
    Unknown,
    /// The key was revoked.
    #[error("the stream key was revoked")]
    Revoked,
    /// The channel's owner may not sign in, and so may not publish.
    #[error("the account of the channel's owner is closed")]
    OwnerMayNot,
    /// This address was wrong too often.
    #[error("too many wrong stream keys from this address")]
    TooManyAttempts,
    /// The database does not answer.
    #[error("stream keys cannot be checked at the moment")]
    Unavailable,
}

/// Checks stream keys, and slows down those who guess.
#[derive(Debug)]
pub struct Keyring {
    store: Store,
    server_key: ServerKey,
    wrong: DefaultKeyedRateLimiter<IpAddr>,
}

impl Keyring {
    /// Over the keys in `store`.
    pub fn new(store: Store, server_key: ServerKey) -> Self {
        let quota = Quota::with_period(REFILL)
            .expect("the period is not zero")
            .allow_burst(WRONG_KEYS);
        Self {
            store,
            server_key,
            wrong: RateLimiter::keyed(quota),
        }
    }

    /// What `key`, shown by `address`, opens.
    ///
    /// # Errors
    /// When it opens nothing.
    pub async fn owner(&self, key: &str, address: IpAddr) -> Result<KeyOwner, KeyError> {
        let found = self.find(key).await;
        match found {
            Ok(Some(owner)) if owner.revoked => Err(KeyError::Revoked),
            Ok(Some(owner)) if owner.owner_may_not => Err(KeyError::OwnerMayNot),
            Ok(Some(owner)) => {
                self.note_use(owner.key);
                Ok(owner)
            }
            // A right key is never throttled: guessing cannot lock its owner out.
            Ok(None) => match self.wrong.check_key(&network_of(address)) {
                Ok(()) => Err(KeyError::Unknown),
                Err(_) => Err(KeyError::TooManyAttempts),
            },
            Err(error) => {
                tracing::error!(%error, "failed to check a stream key");
                Err(KeyError::Unavailable)
            }
        }
    }

    /// By itself: a slow disk keeps nobody from going live.
    fn note_use(&self, key: Uuid) {
        let store = self.store.clone();
        tokio::spawn(async move {
            if let Err(error) = store.stream_key_used(key, kit::clock::now()).await {
                tracing::warn!(%error, key.id = %key, "failed to note that a stream key was used");
            }
        });
    }

    async fn find(&self, key: &str) -> anyhow::Result<Option<KeyOwner>> {
        if key.len() > MAX_KEY_BYTES {
            return Ok(None);
        }
        let lookup = self.server_key.lookup(SecretKind::StreamKey, key);
        Ok(tokio::time::timeout(DEADLINE, self.store.key_owner(&lookup)).await??)
    }

    /// Forgets addresses that have behaved since.
    pub fn forget_idle(&self) {
        self.wrong.retain_recent();
        self.wrong.shrink_to_fit();
    }
}
