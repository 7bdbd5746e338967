//! What an earlier release wrote is there after the upgrade, on whichever engine.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

use std::process::Command;

use api::secrets::{SecretKind, ServerKey};
use api::store::users::Role;
use api::{MIGRATIONS, Store};
use kit::database::{Database, DatabaseConfig};

/// The PostgreSQL server of the environment, or SQLite.
fn config() -> DatabaseConfig {
    let Ok(server) = std::env::var("BARRAGE_TEST_POSTGRES") else {
        return DatabaseConfig::default();
    };
    let name = format!("upgrade_{}", std::process::id());
    let sql = format!("CREATE DATABASE {name}");
    let psql = Command::new("psql")
        .args([&server, "--quiet", "--command", &sql])
        .output()
        .unwrap();
    assert!(psql.status.success(), "{psql:?}");
    DatabaseConfig {
        url: server.replace("/postgres?", &format!("/{name}?")),
        ..DatabaseConfig::default()
    }
}

/// A row of each table as release 0.1.0 wrote them.
async fn write_as_the_first_release(database: &Database, lookup: &[u8], sealed: &[u8]) {
    for sql in [
        "INSERT INTO users (id, handle, password_hash, role, created_at) VALUES
         ('01a1fdd0-1055-7258-a992-929f863ef95e', 'admin', '$argon2id$x', 'operator', 1)",
        "INSERT INTO channels (id, owner, handle, name, title, second_publisher, created_at) VALUES
         ('01a1fdd0-1e19-717c-8046-06bfb59e2386', '01a1fdd0-1055-7258-a992-929f863ef95e',
          'stage', 'Stage', '', 'replace', 2)",
        "INSERT INTO broadcasts (id, channel, began_at, ended_at) VALUES
         ('01a1fdae-f9e0-7790-b108-41b4e3f0c42f', '01a1fdd0-1e19-717c-8046-06bfb59e2386', 3, 4)",
    ] {
        sqlx::query(sql).execute(&database.pool).await.unwrap();
    }
    sqlx::query(
        "INSERT INTO stream_keys (id, channel, lookup, sealed, created_at) VALUES
         ('01a1fdd0-0db2-768d-af88-30a17fd5c104', '01a1fdd0-1e19-717c-8046-06bfb59e2386', $1, $2, 5)",
    )
    .bind(lookup)
    .bind(sealed)
    .execute(&database.pool)
    .await
    .unwrap();
}

#[tokio::test]
async fn what_the_first_release_wrote_is_there_after_the_upgrade() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::connect(&config(), dir.path()).await.unwrap();
    database.migrate_to(&MIGRATIONS, 1).await.unwrap();
    let server_key = ServerKey::load_or_create(&dir.path().join("server.key")).unwrap();
    let lookup = server_key.lookup(SecretKind::StreamKey, "bk_secret");
    let sealed = server_key.seal("bk_secret", "01a1fdd0-0db2-768d-af88-30a17fd5c104");
    write_as_the_first_release(&database, &lookup, &sealed).await;

    database.migrate(&MIGRATIONS).await.unwrap();
    database.migrate(&MIGRATIONS).await.unwrap();
    let store = Store::new(database);
    let admin = store
        .user(&"admin".parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((admin.role, admin.name.as_str()), (Role::Operator, ""));
    assert_eq!(admin.disabled, None);
    let stage = store
        .channel(&"stage".parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((stage.owner, stage.second_replaces), (admin.id, true));
    assert!(stage.tags.is_empty() && stage.title.is_empty());
    let owner = store.key_owner(&lookup).await.unwrap().unwrap();
    assert_eq!((owner.channel, owner.revoked), (stage.id, false));
    let key = store.stream_keys(stage.id).await.unwrap().remove(0);
    let shown = server_key.open(&key.sealed, &key.id.to_string());
    assert_eq!(shown.as_deref(), Some("bk_secret"));
    let past = store.broadcasts(stage.id, None, 10).await.unwrap();
    assert_eq!(past[0].ended_at.unwrap().as_micros(), 4);
}
