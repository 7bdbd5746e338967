//! What an operator does on the server's machine, beside the running server or without it.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use api::secrets::ServerKey;
use api::store::users::Role;
use api::{backup, first_run, seed};
use kit::clock;
use kit::database::Database;
use kit::private_file;
use wire::Handle;

use crate::app::{lock, make_private_dir, open_store};
use crate::config::Config;
use crate::ledger;

/// Gives an account another password; what the first start told is removed.
///
/// # Errors
/// When the password is not good enough, there is no such account, or the database fails.
pub async fn set_password(config: &Config, handle: &Handle, text: &str) -> anyhow::Result<()> {
    api::password::check(text, &[handle.as_str()])?;
    let (store, _) = open_store(config).await?;
    let user = store.user(handle).await?;
    let user = user.with_context(|| format!("nobody is called {handle}"))?;
    let hash = api::password::hash(text.to_owned()).await?;
    store.reset_password(user.id, &hash).await?;
    store.close().await;
    first_run::forget_password_of(config.data_dir(), handle)
}

/// Says what happens to a second publisher on a channel.
///
/// # Errors
/// When there is no such channel, or the database fails.
pub async fn set_second_publisher(
    config: &Config,
    handle: &Handle,
    replaces: bool,
) -> anyhow::Result<()> {
    let (store, _) = open_store(config).await?;
    let channel = store.channel(handle).await?;
    let mut channel = channel.with_context(|| format!("no channel is called @{handle}"))?;
    channel.second_replaces = replaces;
    store.update_channel(&channel).await?;
    store.close().await;
    Ok(())
}

/// Says what an account may do.
///
/// # Errors
/// When there is no such account, the server would be left without an operator, or the database
/// fails.
pub async fn set_role(config: &Config, handle: &Handle, role: Role) -> anyhow::Result<()> {
    let (store, _) = open_store(config).await?;
    let user = store.user(handle).await?;
    let user = user.with_context(|| format!("nobody is called {handle}"))?;
    if !store.change_role(user.id, role).await? {
        bail!("the server would be left without an operator");
    }
    store.close().await;
    Ok(())
}

/// Makes accounts in bulk, and writes one line of JSON for each to `out`.
///
/// # Errors
/// When a handle is taken, or the database or the file fails; no account is made then.
pub async fn seed(
    config: &Config,
    prefix: &str,
    users: u32,
    channels: u32,
    out: &Path,
) -> anyhow::Result<()> {
    if channels > users {
        bail!("{channels} channels need as many accounts: raise --users");
    }
    let (store, server_key) = open_store(config).await?;
    // Opened before anything is made: accounts whose secrets could not be written are of no use.
    let file = create_empty(out)?;
    let made = seed::seed(&store, &server_key, prefix, users, channels, clock::now()).await;
    store.close().await;
    let made = match made {
        Ok(made) => made,
        Err(error) => {
            // It is empty, and ours.
            let _ = std::fs::remove_file(out);
            return Err(error);
        }
    };
    let mut file = BufWriter::new(file);
    for account in &made {
        serde_json::to_writer(&mut file, account)?;
        file.write_all(b"\n")?;
    }
    file.flush()
        .with_context(|| format!("failed to write {}", out.display()))
}

/// A new file that only we can read, to be written to.
pub(crate) fn create_empty(path: &Path) -> anyhow::Result<File> {
    private_file::create(path, b"")
        .and_then(|()| File::options().append(true).open(path))
        .with_context(|| format!("failed to write {}", path.display()))
}

/// Writes the whole database, the ledger and the server's key to a file; the server may run meanwhile. Gives
/// the number of rows.
///
/// # Errors
/// When the database or the file fails; a file that is not whole is removed.
pub async fn back_up(config: &Config, path: &Path) -> anyhow::Result<u64> {
    let server_key = config.data_dir().join("server.key");
    if !server_key.exists() {
        bail!(
            "{} is no data directory of Barrage",
            config.data_dir().display()
        );
    }
    let server_key = ServerKey::load_or_create(&server_key)?;
    let database = Database::connect(&config.database, config.data_dir()).await?;
    let mut out = BufWriter::new(create_empty(path)?);
    let mut ledger = ledger::Part::new(config);
    let written = backup::write(&database, &mut ledger, &server_key, &mut out, clock::now()).await;
    let synced = out
        .into_inner()
        .map_err(|error| error.into_error())
        .and_then(|file| file.sync_all());
    database.pool.close().await;
    if written.is_err() || synced.is_err() {
        // What is left of it would pass for a backup.
        let _ = std::fs::remove_file(path);
    }
    synced.with_context(|| format!("failed to write {}", path.display()))?;
    written
}

/// Reads a backup into a server that holds nothing yet. Gives the number of rows.
///
/// # Errors
/// When a server runs on the directory, it holds something, or the file is no whole backup.
pub async fn restore(config: &Config, path: &Path) -> anyhow::Result<u64> {
    let file = File::open(path).with_context(|| format!("failed to open {}", path.display()))?;
    let data_dir = config.data_dir();
    make_private_dir(data_dir)?;
    let _lock = lock(data_dir)?;
    let database = Database::connect(&config.database, data_dir).await?;
    let mut input = BufReader::new(file);
    let ledger = ledger::Part::new(config);
    let read = backup::read(&database, ledger, &mut input, |server_key| {
        server_key.save(&data_dir.join("server.key"))
    });
    let read = read.await;
    database.pool.close().await;
    read
}
