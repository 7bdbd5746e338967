//! A ledger for a test: a file of its own, or a database of its own on the server that
//! `BARRAGE_TEST_POSTGRES` names.

use std::path::PathBuf;
use std::process::Command as Program;
use std::time::{SystemTime, UNIX_EPOCH};

use gifts::{Accepted, Gate, Order, PgStore, Refused, SqliteStore};
use gifts_core::account::{AccountId, Kind, Payee};
use gifts_core::command::{Gift, Reference, TopUp, What};
use gifts_core::{Amount, Command, Contract, Name};
use sqlx::{Connection as _, PgConnection, SqliteConnection};
use tempfile::TempDir;
use wire::{ChannelId, UserId};

/// Where a test's ledger is.
pub(crate) enum Place {
    File(TempDir),
    Server(String),
}

impl Place {
    pub(crate) fn new() -> Self {
        let Ok(server) = std::env::var("BARRAGE_TEST_POSTGRES") else {
            return Self::File(tempfile::tempdir().expect("a directory"));
        };
        let name = format!("ledger_{}", UserId::new().to_string().replace('-', "_"));
        let made = Program::new("psql")
            .args([
                &server,
                "--quiet",
                "--command",
                &format!("CREATE DATABASE {name}"),
            ])
            .output()
            .expect("psql runs");
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        Self::Server(server.replace("/postgres?", &format!("/{name}?")))
    }

    /// As another process is told of it.
    pub(crate) fn told(&self) -> String {
        match self {
            Self::File(dir) => dir.path().to_string_lossy().into_owned(),
            Self::Server(url) => url.clone(),
        }
    }

    /// Does something behind the ledger's back.
    pub(crate) async fn execute(&self, statement: &'static str) -> sqlx::Result<()> {
        match self {
            Self::File(dir) => {
                let mut connection = sqlite(dir.path().join("ledger.db")).await?;
                sqlx::raw_sql(statement).execute(&mut connection).await?;
                connection.close().await
            }
            Self::Server(url) => {
                let mut connection = PgConnection::connect(url).await?;
                sqlx::raw_sql("SET search_path = ledger")
                    .execute(&mut connection)
                    .await?;
                sqlx::raw_sql(statement).execute(&mut connection).await?;
                connection.close().await
            }
        }
    }

    /// Asks for a number behind the ledger's back.
    pub(crate) async fn number(&self, question: &'static str) -> i64 {
        match self {
            Self::File(dir) => {
                let connection = sqlite(dir.path().join("ledger.db")).await;
                let mut connection = connection.expect("it opens");
                let number = sqlx::query_scalar(question)
                    .fetch_one(&mut connection)
                    .await;
                number.expect("a number")
            }
            Self::Server(url) => {
                let mut connection = PgConnection::connect(url).await.expect("it opens");
                let path = sqlx::raw_sql("SET search_path = ledger")
                    .execute(&mut connection)
                    .await;
                path.expect("there is a ledger");
                let number = sqlx::query_scalar(question)
                    .fetch_one(&mut connection)
                    .await;
                number.expect("a number")
            }
        }
    }

    /// Keeps everybody from writing until it is dropped.
    pub(crate) async fn lock(&self) -> Lock {
        match self {
            Self::File(dir) => {
                let connection = sqlite(dir.path().join("ledger.db")).await;
                let mut connection = connection.expect("it opens");
                let begun = sqlx::raw_sql("BEGIN IMMEDIATE")
                    .execute(&mut connection)
                    .await;
                begun.expect("nobody writes");
                Lock::File(connection)
            }
            Self::Server(url) => {
                let mut connection = PgConnection::connect(url).await.expect("it opens");
                let locked = sqlx::raw_sql("BEGIN; SELECT * FROM ledger.gate FOR UPDATE")
                    .execute(&mut connection)
                    .await;
                locked.expect("nobody writes");
                Lock::Server(connection)
            }
        }
    }
}

/// Holds the ledger.
pub(crate) enum Lock {
    File(SqliteConnection),
    Server(PgConnection),
}

impl Lock {
    pub(crate) async fn release(self) {
        match self {
            Self::File(connection) => connection.close().await.expect("it closes"),
            Self::Server(connection) => connection.close().await.expect("it closes"),
        }
    }
}

async fn sqlite(path: PathBuf) -> sqlx::Result<SqliteConnection> {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    SqliteConnection::connect_with(&options).await
}

/// The store of a place, whichever it is, as `$store`.
macro_rules! with_store {
    ($told:expr, |$store:ident| $body:expr) => {{
        let told: &str = $told;
        if told.starts_with("postgres") {
            let $store = $crate::support::load_postgres(told).await;
            $body
        } else {
            let $store = $crate::support::load_sqlite(told).await;
            $body
        }
    }};
}

pub(crate) use with_store;

pub(crate) async fn load_postgres(url: &str) -> PgStore {
    PgStore::load(url).await.expect("the ledger opens")
}

pub(crate) async fn load_sqlite(dir: &str) -> SqliteStore {
    SqliteStore::load(dir.as_ref())
        .await
        .expect("the ledger opens")
}

pub(crate) fn amount(units: i64) -> Amount {
    Amount::new(units).expect("an amount")
}

pub(crate) fn reference(text: &str) -> Reference {
    Reference::new(text).expect("a reference")
}

pub(crate) fn halves() -> Contract {
    Contract::new(1, 5_000, None).expect("a contract")
}

pub(crate) fn order(what: What) -> Order {
    Order {
        command: Command::new(what, 0),
        key: None,
        public: None,
    }
}

pub(crate) fn top_up(payment: &str, user: UserId, coins: i64) -> Order {
    order(What::TopUp(TopUp {
        psp: Name::new("sandbox").expect("a name"),
        payment: reference(payment),
        user,
        currency: "CNY".parse().expect("a currency"),
        paid: amount(coins * 10),
        coins: amount(coins),
        bonus: Amount::new(coins / 10),
    }))
}

pub(crate) fn gift(key: &str, sender: UserId, channel: ChannelId, price: i64) -> Order {
    order(What::Gift(Gift {
        sender,
        key: reference(key),
        channel,
        item: reference("rocket"),
        price: amount(price),
        contract: halves(),
    }))
}

pub(crate) fn wallet(user: UserId) -> AccountId {
    AccountId::coin(Kind::Wallet(user))
}

pub(crate) fn held(channel: ChannelId) -> AccountId {
    AccountId::coin(Kind::EarnHeld(Payee::Channel(channel)))
}

/// What is on an account, by an answer that tells of it.
pub(crate) fn told_of(accepted: &Accepted, account: AccountId) -> i64 {
    let mut balances = accepted.balances.iter();
    let told = balances.find(|balance| balance.account == account.to_string());
    told.expect("it is told").balance
}

/// Asks for all of them at once, each from a task of its own.
pub(crate) async fn all(gate: &Gate, orders: Vec<Order>) -> Vec<Result<Accepted, Refused>> {
    let asked: Vec<_> = orders
        .into_iter()
        .map(|order| {
            let gate = gate.clone();
            tokio::spawn(async move { gate.perform(order).await })
        })
        .collect();
    let mut answers = Vec::new();
    for asked in asked {
        answers.push(asked.await.expect("it is answered"));
    }
    answers
}

pub(crate) fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock");
    i64::try_from(since.as_micros()).expect("a time")
}
