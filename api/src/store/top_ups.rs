//! Coins that somebody buys.

use gifts_core::Currency;
use gifts_core::command::Reference;
use media::WallTime;
use serde::Serialize;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use utoipa::ToSchema;
use uuid::Uuid;
use wire::UserId;

use super::{Store, Transaction, count, parse};

/// Top-ups of one person that are listed.
const LISTED_MAX: i64 = 100;

/// How a top-up stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = TopUpState)]
pub enum State {
    /// It can be paid.
    Open,
    /// It was paid, and the coins are in the wallet.
    Paid,
    /// It will not be paid.
    Failed,
    /// It was not paid in time.
    Expired,
    /// It was given back.
    Refunded,
    /// A bank asks for it back, or has taken it back.
    Disputed,
}

impl State {
    const ALL: [Self; 6] = [
        Self::Open,
        Self::Paid,
        Self::Failed,
        Self::Expired,
        Self::Refunded,
        Self::Disputed,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Paid => "paid",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Refunded => "refunded",
            Self::Disputed => "disputed",
        }
    }

    /// Whether its coins are in the ledger.
    pub const fn was_paid(self) -> bool {
        matches!(self, Self::Paid | Self::Refunded | Self::Disputed)
    }
}

/// Coins that somebody buys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopUp {
    /// Its identity.
    pub id: Uuid,
    /// Who buys.
    pub owner: UserId,
    /// What.
    pub pack: String,
    /// Through whom.
    pub provider: String,
    /// In what it is paid.
    pub currency: Currency,
    /// What it costs.
    pub amount: i64,
    /// How many coins it is.
    pub coins: i64,
    /// How many are given on top.
    pub bonus: i64,
    /// How it stands.
    pub state: State,
    /// What the provider calls the checkout, and where it is.
    pub checkout: Option<(String, String)>,
    /// What the provider calls the payment.
    pub payment: Option<Reference>,
    /// When it was made.
    pub made_at: WallTime,
    /// How long it can be paid.
    pub expires_at: WallTime,
    /// When it was paid.
    pub paid_at: Option<WallTime>,
    /// A refund that an operator wants.
    pub refund: Option<WantedRefund>,
}

/// A refund that an operator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedRefund {
    /// Its identity at the provider.
    pub id: Uuid,
    /// Whether who paid was a minor.
    pub is_minor: bool,
}

/// What makes a top-up.
#[derive(Debug)]
pub struct NewTopUp<'a> {
    /// It, open.
    pub top_up: &'a TopUp,
    /// What its owner's program calls it.
    pub request_key: &'a str,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, owner, pack, provider, currency, amount, coins, bonus, state, checkout,
                    checkout_url, payment, made_at, expires_at, paid_at, refund_id, refund_why
             FROM top_ups ",
            $rest
        )
    };
}

fn damaged(column: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(format!("top_ups.{column} makes no sense").into())
}

fn read(row: &AnyRow) -> sqlx::Result<TopUp> {
    let state: &str = row.try_get("state")?;
    let state = State::ALL.into_iter().find(|known| known.as_str() == state);
    let checkout: Option<String> = row.try_get("checkout")?;
    let url: Option<String> = row.try_get("checkout_url")?;
    let payment: Option<String> = row.try_get("payment")?;
    let payment = payment.map(|text| Reference::new(&text).ok_or_else(|| damaged("payment")));
    let paid_at: Option<i64> = row.try_get("paid_at")?;
    let refund: Option<String> = row.try_get("refund_id")?;
    let why: Option<String> = row.try_get("refund_why")?;
    let refund = match refund {
        Some(id) => Some(WantedRefund {
            id: parse(&id)?,
            is_minor: why.as_deref() == Some("minor"),
        }),
        None => None,
    };
    Ok(TopUp {
        id: parse(row.try_get("id")?)?,
        owner: parse(row.try_get("owner")?)?,
        pack: row.try_get("pack")?,
        provider: row.try_get("provider")?,
        currency: parse(row.try_get("currency")?)?,
        amount: row.try_get("amount")?,
        coins: row.try_get("coins")?,
        bonus: row.try_get("bonus")?,
        state: state.ok_or_else(|| damaged("state"))?,
        checkout: checkout.zip(url),
        payment: payment.transpose()?,
        made_at: WallTime::from_micros(row.try_get("made_at")?),
        expires_at: WallTime::from_micros(row.try_get("expires_at")?),
        paid_at: paid_at.map(WallTime::from_micros),
        refund,
    })
}

/// How many top-ups of somebody are open.
///
/// # Errors
/// When the database fails.
pub async fn open_of(transaction: &mut Transaction, owner: UserId) -> sqlx::Result<i64> {
    let sql = "SELECT COUNT(*) FROM top_ups WHERE owner = $1 AND state = 'open'";
    count(transaction, sql, &owner.to_string()).await
}

/// The top-up that its owner's program calls so.
///
/// # Errors
/// When the database fails.
pub async fn of_request(
    transaction: &mut Transaction,
    owner: UserId,
    request_key: &str,
) -> sqlx::Result<Option<TopUp>> {
    let row = sqlx::query(select!("WHERE owner = $1 AND request_key = $2"))
        .bind(owner.to_string())
        .bind(request_key)
        .fetch_optional(&mut **transaction)
        .await?;
    row.as_ref().map(read).transpose()
}

/// Notes a top-up that is to be paid, and when the provider is asked about it.
///
/// # Errors
/// When the database fails, or its owner's program calls another so.
pub async fn insert(
    transaction: &mut Transaction,
    new: &NewTopUp<'_>,
    ask_at: WallTime,
) -> sqlx::Result<()> {
    let top_up = new.top_up;
    sqlx::query(
        "INSERT INTO top_ups (id, owner, request_key, pack, provider, currency, amount, coins, bonus,
                              state, made_at, expires_at, ask_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'open', $10, $11, $12)",
    )
    .bind(top_up.id.to_string())
    .bind(top_up.owner.to_string())
    .bind(new.request_key)
    .bind(&top_up.pack)
    .bind(&top_up.provider)
    .bind(top_up.currency.as_str())
    .bind(top_up.amount)
    .bind(top_up.coins)
    .bind(top_up.bonus)
    .bind(top_up.made_at.as_micros())
    .bind(top_up.expires_at.as_micros())
    .bind(ask_at.as_micros())
    .execute(&mut **transaction)
    .await
    .map(|_| ())
}

impl Store {
    /// A top-up.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn top_up(&self, id: Uuid) -> sqlx::Result<Option<TopUp>> {
        let row = sqlx::query(select!("WHERE id = $1"))
            .bind(id.to_string())
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// The top-up of a payment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn top_up_paid_by(
        &self,
        provider: &str,
        payment: &Reference,
    ) -> sqlx::Result<Option<TopUp>> {
        let row = sqlx::query(select!("WHERE provider = $1 AND payment = $2"))
            .bind(provider)
            .bind(payment.as_str())
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// The last hundred top-ups of somebody, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn top_ups(&self, owner: UserId) -> sqlx::Result<Vec<TopUp>> {
        let sql = select!("WHERE owner = $1 ORDER BY made_at DESC, id DESC LIMIT $2");
        let rows = sqlx::query(sql)
            .bind(owner.to_string())
            .bind(LISTED_MAX)
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(read).collect()
    }

    /// Those about which, or for whose refunds, the provider is to be asked by now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn top_ups_to_ask(
        &self,
        provider: &str,
        now: WallTime,
        limit: i64,
    ) -> sqlx::Result<Vec<TopUp>> {
        let sql = select!("WHERE provider = $1 AND ask_at <= $2 ORDER BY ask_at LIMIT $3");
        let rows = sqlx::query(sql)
            .bind(provider)
            .bind(now.as_micros())
            .bind(limit)
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(read).collect()
    }

    /// Notes when the provider is to be asked about a top-up next.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ask_about_top_up(&self, id: Uuid, at: Option<WallTime>) -> sqlx::Result<()> {
        sqlx::query("UPDATE top_ups SET ask_at = $1 WHERE id = $2")
            .bind(at.map(WallTime::as_micros))
            .bind(id.to_string())
            .execute(self.pool())
            .await
            .map(|_| ())
    }

    /// Notes where a top-up can be paid.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_checkout(&self, id: Uuid, checkout: &str, url: &str) -> sqlx::Result<()> {
        sqlx::query("UPDATE top_ups SET checkout = $1, checkout_url = $2 WHERE id = $3")
            .bind(checkout)
            .bind(url)
            .bind(id.to_string())
            .execute(self.pool())
            .await
            .map(|_| ())
    }

    /// Ties a payment to a top-up that has none, or this one. Tells whether it is tied.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tie_payment(&self, id: Uuid, payment: &Reference) -> sqlx::Result<bool> {
        let tied = sqlx::query(
            "UPDATE top_ups SET payment = $1 WHERE id = $2 AND (payment IS NULL OR payment = $1)
             AND NOT EXISTS (SELECT 1 FROM top_ups AS other
                             WHERE other.provider = top_ups.provider AND other.payment = $1
                               AND other.id <> $2)",
        )
        .bind(payment.as_str())
        .bind(id.to_string())
        .execute(self.pool())
        .await?;
        Ok(tied.rows_affected() == 1)
    }

    /// Notes that the coins of a top-up are in the ledger.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn mark_paid(&self, id: Uuid, at: WallTime) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE top_ups SET state = 'paid', paid_at = $1, ask_at = NULL
             WHERE id = $2 AND state IN ('open', 'failed', 'expired')",
        )
        .bind(at.as_micros())
        .bind(id.to_string())
        .execute(self.pool())
        .await
        .map(|_| ())
    }

    /// Moves a top-up from one of these states to another. Tells whether it was in one of them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn move_top_up(&self, id: Uuid, from: [State; 2], to: State) -> sqlx::Result<bool> {
        let moved = sqlx::query(
            "UPDATE top_ups SET state = $1, ask_at = NULL WHERE id = $2 AND state IN ($3, $4)",
        )
        .bind(to.as_str())
        .bind(id.to_string())
        .bind(from[0].as_str())
        .bind(from[1].as_str())
        .execute(self.pool())
        .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Notes that an operator wants a top-up refunded, unless somebody wanted it before. It is what is
    /// meant by an earlier one then.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn want_refund(
        &self,
        id: Uuid,
        refund: &WantedRefund,
        (by, reason): (UserId, &str),
        now: WallTime,
        ask_at: WallTime,
    ) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE top_ups SET refund_id = $1, refund_why = $2, refund_reason = $3, refund_by = $4,
                                refund_at = $5, ask_at = $6
             WHERE id = $7 AND refund_id IS NULL AND state IN ('paid', 'disputed')",
        )
        .bind(refund.id.to_string())
        .bind(if refund.is_minor { "minor" } else { "refund" })
        .bind(reason)
        .bind(by.to_string())
        .bind(now.as_micros())
        .bind(ask_at.as_micros())
        .bind(id.to_string())
        .execute(self.pool())
        .await
        .map(|_| ())
    }

    /// Forgets a refund that the provider will not make.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_refund(&self, id: Uuid, refund: Uuid) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE top_ups SET refund_id = NULL, refund_why = NULL, refund_reason = NULL,
                                refund_by = NULL, refund_at = NULL, ask_at = NULL
             WHERE id = $1 AND refund_id = $2",
        )
        .bind(id.to_string())
        .bind(refund.to_string())
        .execute(self.pool())
        .await
        .map(|_| ())
    }
}
