//! Accounts, channels, stream keys and API tokens in bulk, for load testers.

use anyhow::{Context as _, bail};
use media::WallTime;
use serde::Serialize;
use uuid::Uuid;
use wire::{Handle, UserId};

use crate::password;
use crate::scope::{Scope, Scopes};
use crate::secrets::{SecretKind, ServerKey, random_text};
use crate::store::channels::Channel;
use crate::store::stream_keys::NewKey;
use crate::store::tokens::Token;
use crate::store::users::{NewUser, Role};
use crate::store::{Store, Transaction, channels, handles, stream_keys, tokens, users};

/// Most accounts at once.
pub const USERS_MAX: u32 = 100_000;

/// What seeding makes for one account; one line of JSON each.
#[derive(Clone, Debug, Serialize)]
pub struct Seeded {
    /// Name to sign in with.
    pub handle: Handle,
    /// Password to sign in with; the same for all of one seeding, because hashing one for each
    /// would take minutes.
    pub password: String,
    /// API token.
    pub token: String,
    /// What to publish with, for those with a channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_key: Option<String>,
}

/// Makes `users` accounts called `PREFIX_1`, `PREFIX_2` …, the first `channels` of them with a
/// channel and a stream key. All of them or none.
///
/// # Errors
/// When one of the handles is taken or none at all, or the database fails.
pub async fn seed(
    store: &Store,
    server_key: &ServerKey,
    prefix: &str,
    count: u32,
    with_channel: u32,
    now: WallTime,
) -> anyhow::Result<Vec<Seeded>> {
    if count > USERS_MAX {
        bail!("at most {USERS_MAX} accounts at once");
    }
    let password = random_text(20);
    let hash = password::hash(password.clone()).await?;
    let mut transaction = store.begin().await?;
    let mut made = Vec::new();
    for n in 1..=count {
        let handle: Handle = format!("{prefix}_{n}")
            .parse()
            .with_context(|| format!("{prefix}_{n} cannot be a handle"))?;
        if handles::is_taken(&mut transaction, &handle, None, now).await? {
            bail!("@{handle} is taken; choose another --prefix");
        }
        let id = UserId::new();
        let has_channel = n <= with_channel;
        let user = NewUser {
            id,
            handle: &handle,
            name: "",
            email: None,
            role: if has_channel {
                Role::Streamer
            } else {
                Role::Viewer
            },
            password_hash: &hash,
        };
        users::insert(&mut transaction, &user, now).await?;
        let token = add_token(&mut transaction, server_key, id, now).await?;
        let stream_key = if has_channel {
            Some(add_channel(&mut transaction, server_key, id, &handle, now).await?)
        } else {
            None
        };
        made.push(Seeded {
            handle,
            password: password.clone(),
            token,
            stream_key,
        });
    }
    transaction.commit().await?;
    Ok(made)
}

async fn add_token(
    transaction: &mut Transaction,
    server_key: &ServerKey,
    owner: UserId,
    now: WallTime,
) -> anyhow::Result<String> {
    let secret = SecretKind::ApiToken.generate();
    let scopes: Scopes = [Scope::Read, Scope::Channel].into_iter().collect();
    let token = Token {
        id: Uuid::now_v7(),
        owner,
        name: "seed".into(),
        scopes: scopes.to_string(),
        created_at: now,
        expires_at: None,
        last_used_at: None,
    };
    let lookup = server_key.lookup(SecretKind::ApiToken, &secret);
    tokens::insert(transaction, &token, &lookup).await?;
    Ok(secret)
}

async fn add_channel(
    transaction: &mut Transaction,
    server_key: &ServerKey,
    owner: UserId,
    handle: &Handle,
    now: WallTime,
) -> anyhow::Result<String> {
    let channel = Channel::new(owner, handle.clone(), handle.to_string());
    channels::insert(transaction, &channel, now).await?;
    let (key, secret) = NewKey::make(server_key, "seed", now);
    stream_keys::insert(transaction, channel.id, &key).await?;
    Ok(secret)
}
