//! What payment providers tell, each telling once.

use gifts::payment::{Event, Fact, Money};
use gifts_core::command::Reference;
use media::WallTime;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{Store, parse};

/// An event that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Who tells it.
    pub provider: String,
    /// What.
    pub event: Event,
    /// When it came.
    pub received_at: WallTime,
    /// How often it was tried to do what it asks for.
    pub attempts: i64,
    /// Whether that is done.
    pub is_done: bool,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT provider, id, fact, top_up, payment, object, currency, amount, occurred_at,
                    received_at, attempts, next_at FROM provider_events ",
            $rest
        )
    };
}

fn read(row: &AnyRow) -> sqlx::Result<Kept> {
    let damaged = || sqlx::Error::Decode("an event makes no sense".into());
    let reference = |name: &str| -> sqlx::Result<Option<Reference>> {
        let text: Option<String> = row.try_get(name)?;
        let read = text.map(|text| Reference::new(&text).ok_or_else(damaged));
        read.transpose()
    };
    let top_up: Option<String> = row.try_get("top_up")?;
    let currency: Option<String> = row.try_get("currency")?;
    let amount: Option<i64> = row.try_get("amount")?;
    let next_at: Option<i64> = row.try_get("next_at")?;
    Ok(Kept {
        provider: row.try_get("provider")?,
        event: Event {
            id: row.try_get("id")?,
            fact: Fact::of_name(row.try_get("fact")?).ok_or_else(damaged)?,
            top_up: top_up.map(|text| parse(&text)).transpose()?,
            payment: reference("payment")?,
            money: currency
                .zip(amount)
                .map(|(currency, amount)| Money { currency, amount }),
            object: reference("object")?,
            occurred_at: row.try_get("occurred_at")?,
        },
        received_at: WallTime::from_micros(row.try_get("received_at")?),
        attempts: row.try_get("attempts")?,
        is_done: next_at.is_none(),
    })
}

impl Store {
    /// Keeps an event, to be tried again from then on, and gives what is kept under its identity: it, or
    /// what came before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep_event(
        &self,
        provider: &str,
        event: &Event,
        now: WallTime,
        next_at: WallTime,
    ) -> sqlx::Result<Kept> {
        let money = event.money.as_ref();
        sqlx::query(
            "INSERT INTO provider_events (provider, id, fact, top_up, payment, object, currency,
                                          amount, occurred_at, received_at, next_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             ON CONFLICT (provider, id) DO NOTHING",
        )
        .bind(provider)
        .bind(&event.id)
        .bind(event.fact.as_str())
        .bind(event.top_up.map(|id| id.to_string()))
        .bind(event.payment.map(|payment| payment.as_str().to_owned()))
        .bind(event.object.map(|object| object.as_str().to_owned()))
        .bind(money.map(|money| money.currency.clone()))
        .bind(money.map(|money| money.amount))
        .bind(event.occurred_at)
        .bind(now.as_micros())
        .bind(next_at.as_micros())
        .execute(self.pool())
        .await?;
        let row = sqlx::query(select!("WHERE provider = $1 AND id = $2"))
            .bind(provider)
            .bind(&event.id)
            .fetch_one(self.pool())
            .await?;
        read(&row)
    }

    /// The events that are to be tried by now, longest due first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due_events(&self, now: WallTime, limit: i64) -> sqlx::Result<Vec<Kept>> {
        let rows = sqlx::query(select!("WHERE next_at <= $1 ORDER BY next_at LIMIT $2"))
            .bind(now.as_micros())
            .bind(limit)
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(read).collect()
    }

    /// The events about a payment that wait for another, in the order in which they happened.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn waiting_events(
        &self,
        provider: &str,
        payment: &Reference,
        limit: i64,
    ) -> sqlx::Result<Vec<Kept>> {
        let sql = select!(
            "WHERE provider = $1 AND payment = $2 AND next_at IS NOT NULL
             ORDER BY occurred_at, id LIMIT $3"
        );
        let rows = sqlx::query(sql)
            .bind(provider)
            .bind(payment.as_str())
            .bind(limit)
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(read).collect()
    }

    /// Whether one of these facts was told of a payment and a dispute about it, and done.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn was_told(&self, of: &Kept, facts: [Fact; 2]) -> sqlx::Result<bool> {
        let text = |reference: Option<Reference>| {
            reference.map_or_else(String::new, |reference| reference.as_str().to_owned())
        };
        let found = sqlx::query(
            "SELECT 1 FROM provider_events
             WHERE provider = $1 AND payment = $2 AND object = $3 AND fact IN ($4, $5)
               AND next_at IS NULL LIMIT 1",
        )
        .bind(&of.provider)
        .bind(text(of.event.payment))
        .bind(text(of.event.object))
        .bind(facts[0].as_str())
        .bind(facts[1].as_str())
        .fetch_optional(self.pool())
        .await?;
        Ok(found.is_some())
    }

    /// Notes what came of an event.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_event(&self, of: &Kept, outcome: &str) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE provider_events SET next_at = NULL, outcome = $1, attempts = attempts + 1
             WHERE provider = $2 AND id = $3",
        )
        .bind(outcome)
        .bind(&of.provider)
        .bind(&of.event.id)
        .execute(self.pool())
        .await
        .map(|_| ())
    }

    /// Notes why nothing came of an event yet, and when it is tried again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_off_event(
        &self,
        of: &Kept,
        outcome: &str,
        next_at: WallTime,
    ) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE provider_events SET next_at = $1, outcome = $2, attempts = attempts + 1
             WHERE provider = $3 AND id = $4 AND next_at IS NOT NULL",
        )
        .bind(next_at.as_micros())
        .bind(outcome)
        .bind(&of.provider)
        .bind(&of.event.id)
        .execute(self.pool())
        .await
        .map(|_| ())
    }
}
