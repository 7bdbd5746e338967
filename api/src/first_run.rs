//! What a server is born with: an administrator, a channel and its stream key.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use kit::private_file;
use media::WallTime;
use serde::{Deserialize, Serialize};
use wire::{Handle, UserId};

use crate::password;
use crate::secrets::{ServerKey, random_text};
use crate::store::channels::Channel;
use crate::store::stream_keys::NewKey;
use crate::store::users::{NewUser, Role};
use crate::store::{Store, channels, stream_keys, users};

/// The file, in the data directory, that tells what the first start made.
pub const FILE: &str = "first-run.json";

/// The first administrator's handle.
const ADMIN_HANDLE: &str = "admin";
/// The first channel's handle.
const CHANNEL_HANDLE: &str = "stage";
/// The first channel's name.
const CHANNEL_NAME: &str = "Stage";
/// What the first stream key is called.
const FIRST_KEY_NAME: &str = "OBS";
/// Characters of the first password: 100 bits.
const PASSWORD_LENGTH: usize = 20;

/// What the first start made, as it stands in [`FILE`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstRun {
    /// Who runs the server.
    pub admin: Admin,
    /// Where to publish.
    pub channel: FirstChannel,
}

/// The first administrator.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admin {
    /// Name to sign in with.
    pub handle: Handle,
    /// Password to sign in with, until it is changed.
    pub password: String,
}

/// The first channel.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstChannel {
    /// Its name in addresses.
    pub handle: Handle,
    /// What OBS calls the stream key.
    pub stream_key: String,
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

/// Makes the first administrator, channel and key if the database has nobody yet, and gives what
/// [`FILE`] tells while it is there.
///
/// # Errors
/// When the database fails or the file cannot be written or read.
pub async fn ensure(
    store: &Store,
    server_key: &ServerKey,
    data_dir: &Path,
    now: WallTime,
) -> anyhow::Result<Option<FirstRun>> {
    if store.has_users().await? {
        return read(data_dir);
    }
    let mut first_run = FirstRun {
        admin: Admin {
            handle: ADMIN_HANDLE.parse()?,
            password: random_text(PASSWORD_LENGTH),
        },
        channel: FirstChannel {
            handle: CHANNEL_HANDLE.parse()?,
            stream_key: String::new(),
        },
    };
    let (key, secret) = NewKey::make(server_key, FIRST_KEY_NAME, now);
    first_run.channel.stream_key = secret;
    let hash = password::hash(first_run.admin.password.clone()).await?;
    let json = serde_json::to_vec_pretty(&first_run)?;
    // A start that was interrupted between the file and the commit leaves a file that lies.
    remove(data_dir)?;
    let mut transaction = store.begin().await?;
    let admin = UserId::new();
    let operator = NewUser {
        id: admin,
        handle: &first_run.admin.handle,
        name: "",
        email: None,
        role: Role::Operator,
        password_hash: &hash,
    };
    users::insert(&mut transaction, &operator, now).await?;
    let handle = first_run.channel.handle.clone();
    let channel = Channel::new(admin, handle, CHANNEL_NAME.to_owned());
    channels::insert(&mut transaction, &channel, now).await?;
    stream_keys::insert(&mut transaction, channel.id, &key).await?;
    let path = path(data_dir);
    private_file::create(&path, &json)
        .with_context(|| format!("failed to write {}", path.display()))?;
    transaction.commit().await?;
    Ok(Some(first_run))
}

fn read(data_dir: &Path) -> anyhow::Result<Option<FirstRun>> {
    let path = path(data_dir);
    match std::fs::read(&path) {
        Ok(json) => serde_json::from_slice(&json)
            .map(Some)
            .with_context(|| format!("{} is damaged; it can be deleted", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("failed to read {}", path.display())),
    }
}

/// Removes the file if it tells the password of `handle`, which was changed.
///
/// # Errors
/// When it is there and cannot be read or removed.
pub fn forget_password_of(data_dir: &Path, handle: &Handle) -> anyhow::Result<()> {
    match read(data_dir)? {
        Some(first_run) if first_run.admin.handle == *handle => remove(data_dir),
        Some(_) | None => Ok(()),
    }
}

fn remove(data_dir: &Path) -> anyhow::Result<()> {
    let path = path(data_dir);
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("failed to remove {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MIGRATIONS;
    use crate::keyring::{KeyError, Keyring};
    use kit::database::{Database, DatabaseConfig};
    use std::os::unix::fs::PermissionsExt as _;

    async fn store(dir: &Path) -> Store {
        let database = Database::connect(&DatabaseConfig::default(), dir)
            .await
            .unwrap();
        database.migrate(&MIGRATIONS).await.unwrap();
        Store::new(database)
    }

    #[tokio::test]
    async fn the_first_start_makes_a_channel_that_its_key_opens_and_the_second_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let server_key = ServerKey::load_or_create(&dir.path().join("server.key")).unwrap();
        let store = store(dir.path()).await;
        let now = WallTime::from_micros(1);
        let made = ensure(&store, &server_key, dir.path(), now)
            .await
            .unwrap()
            .unwrap();
        let again = ensure(&store, &server_key, dir.path(), now)
            .await
            .unwrap()
            .unwrap();
        assert!(made == again, "the file tells what was made");
        let mode = std::fs::metadata(path(dir.path()))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);

        let keyring = Keyring::new(store.clone(), server_key.clone());
        let here = "192.0.2.1".parse().unwrap();
        let owner = keyring.owner(&made.channel.stream_key, here).await.unwrap();
        assert_eq!(owner.handle, made.channel.handle);
        assert_eq!(
            keyring.owner("bk_wrong", here).await,
            Err(KeyError::Unknown)
        );

        let known = store.password_hash(&made.admin.handle).await.unwrap();
        let hash = known.map(|(_, hash)| hash);
        assert!(
            password::verify(made.admin.password.clone(), hash)
                .await
                .unwrap()
        );

        let keys = store.stream_keys(owner.channel).await.unwrap();
        assert_eq!(
            server_key.open(&keys[0].sealed, &keys[0].id.to_string()),
            Some(made.channel.stream_key)
        );
    }

    #[tokio::test]
    async fn guessing_is_slowed_down_by_address_and_the_right_key_never_is() {
        let dir = tempfile::tempdir().unwrap();
        let server_key = ServerKey::load_or_create(&dir.path().join("server.key")).unwrap();
        let store = store(dir.path()).await;
        let made = ensure(&store, &server_key, dir.path(), WallTime::default())
            .await
            .unwrap()
            .unwrap();
        let keyring = Keyring::new(store, server_key);
        let guesser = "192.0.2.1".parse().unwrap();
        let mut last = Err(KeyError::Unknown);
        for guess in 0..11 {
            last = keyring.owner(&format!("bk_{guess}"), guesser).await;
        }
        assert_eq!(last, Err(KeyError::TooManyAttempts));
        let neighbour = "192.0.2.2".parse().unwrap();
        assert_eq!(
            keyring.owner("bk_x", neighbour).await,
            Err(KeyError::Unknown)
        );
        assert!(
            keyring
                .owner(&made.channel.stream_key, guesser)
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn nothing_of_a_stream_key_stands_in_the_database_in_clear() {
        let dir = tempfile::tempdir().unwrap();
        let server_key = ServerKey::load_or_create(&dir.path().join("server.key")).unwrap();
        let store = store(dir.path()).await;
        let made = ensure(&store, &server_key, dir.path(), WallTime::default())
            .await
            .unwrap()
            .unwrap();
        let needle = made.channel.stream_key.as_bytes();
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().is_some_and(|name| name != FILE) {
                let bytes = std::fs::read(&path).unwrap();
                let found = bytes.windows(needle.len()).any(|window| window == needle);
                assert!(!found, "{}", path.display());
            }
        }
    }
}
