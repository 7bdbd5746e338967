//! What can be given, how what is given is shared, and what operators did with money.

use std::collections::BTreeMap;

use gifts_core::{Contract, TransactionId};
use media::WallTime;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use utoipa::ToSchema;
use uuid::Uuid;
use wire::{AgencyId, ChannelId, UserId};

use super::{Store, Transaction, parse};

/// Gifts that a server may have.
pub const GIFTS_MAX: i64 = 200;

/// What can be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gift {
    /// Its name for programs.
    pub id: String,
    /// Its names for people, by language.
    pub name: BTreeMap<String, String>,
    /// How many coins one costs.
    pub price: i64,
    /// How much it makes of itself: 1 to 4.
    pub tier: u8,
    /// What is seen of it.
    pub effect: Effect,
    /// A character that stands for it.
    pub glyph: String,
    /// How many there are in all, if there is an end of them.
    pub stock: Option<i64>,
    /// How many of these are given, or are being given.
    pub claimed: i64,
    /// Whether it can be given now.
    pub on_sale: bool,
}

impl Gift {
    /// How many are left, if there is an end of them.
    pub fn left(&self) -> Option<i64> {
        self.stock.map(|stock| stock - self.claimed)
    }
}

/// What is seen of a gift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// It floats up.
    Float,
    /// It bursts.
    Burst,
    /// It rains.
    Rain,
    /// It flies across.
    Rocket,
}

impl Effect {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Burst => "burst",
            Self::Rain => "rain",
            Self::Rocket => "rocket",
        }
    }

    fn of(name: &str) -> Option<Self> {
        let all = [Self::Float, Self::Burst, Self::Rain, Self::Rocket];
        all.into_iter().find(|effect| effect.as_str() == name)
    }
}

/// A gift of which there are not so many, on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whose.
    pub sender: UserId,
    /// What its sender calls it.
    pub word: String,
    /// Of which.
    pub gift: String,
    /// How many.
    pub count: i64,
    /// Which transaction it is, if it gets into the ledger.
    pub transaction: TransactionId,
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// They are kept for it.
    Now,
    /// They were before.
    Before,
    /// There are not so many left.
    SoldOut,
}

/// Who has a share in what some channels earn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agency {
    /// Its identity.
    pub id: AgencyId,
    /// Its name.
    pub name: String,
}

/// What an operator did with money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Its identity; a later one is greater.
    pub id: Uuid,
    /// When.
    pub at: WallTime,
    /// Who.
    pub by: String,
    /// What.
    pub what: String,
    /// With what.
    pub subject: String,
    /// Why.
    pub reason: String,
}

impl Store {
    /// Everything that can be given, or could once, the cheapest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn gifts(&self) -> sqlx::Result<Vec<Gift>> {
        let rows = sqlx::query(
            "SELECT id, name, price, tier, effect, glyph, stock, claimed, on_sale
             FROM gifts ORDER BY price, id LIMIT $1",
        )
        .bind(GIFTS_MAX)
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(gift).collect()
    }

    /// The contract that is in force for a channel; of none, for those that have none of their own.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn contract(&self, channel: Option<ChannelId>) -> sqlx::Result<Option<Contract>> {
        let channel = channel.map(|channel| channel.to_string());
        let row = sqlx::query(
            "SELECT version, streamer_bp, agency, agency_bp FROM contracts
             WHERE channel = $1 OR ($1 IS NULL AND channel IS NULL) ORDER BY version DESC LIMIT 1",
        )
        .bind(channel)
        .fetch_optional(self.pool())
        .await?;
        row.map(|row| contract(&row)).transpose()
    }

    /// An agency.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn agency(&self, id: AgencyId) -> sqlx::Result<Option<Agency>> {
        let row = sqlx::query("SELECT id, name FROM agencies WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.pool())
            .await?;
        row.map(|row| agency(&row)).transpose()
    }

    /// Every agency, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn agencies(&self) -> sqlx::Result<Vec<Agency>> {
        let rows = sqlx::query("SELECT id, name FROM agencies ORDER BY name LIMIT 1000")
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(agency).collect()
    }

    /// What operators did with money, the last first, from before `before` on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn money_notes(&self, before: Option<Uuid>, limit: i64) -> sqlx::Result<Vec<Note>> {
        let rows = sqlx::query(
            "SELECT n.id, n.at, u.handle, n.what, n.subject, n.reason
             FROM money_notes n JOIN users u ON u.id = n.by_user
             WHERE n.id < $1 ORDER BY n.id DESC LIMIT $2",
        )
        .bind(before.map_or_else(|| "~".to_owned(), |before| before.to_string()))
        .bind(limit)
        .fetch_all(self.pool())
        .await?;
        let notes = rows.iter().map(|row| {
            let at: i64 = row.try_get(1)?;
            Ok(Note {
                id: parse(row.try_get(0)?)?,
                at: WallTime::from_micros(at),
                by: row.try_get(2)?,
                what: row.try_get(3)?,
                subject: row.try_get(4)?,
                reason: row.try_get(5)?,
            })
        });
        notes.collect()
    }

    /// Keeps so many of a gift for somebody who gives them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim_gifts(&self, claim: &Claim, at: WallTime) -> sqlx::Result<Claimed> {
        let mut transaction = self.begin().await?;
        let inserted = sqlx::query(
            "INSERT INTO gift_claims (sender, word, gift, count, transaction_id, at)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (sender, word) DO NOTHING",
        )
        .bind(claim.sender.to_string())
        .bind(&claim.word)
        .bind(&claim.gift)
        .bind(claim.count)
        .bind(claim.transaction.to_string())
        .bind(at.as_micros())
        .execute(&mut *transaction)
        .await?;
        if inserted.rows_affected() == 0 {
            return Ok(Claimed::Before);
        }
        let kept = sqlx::query(
            "UPDATE gifts SET claimed = claimed + $2
             WHERE id = $1 AND (stock IS NULL OR claimed + $2 <= stock)",
        )
        .bind(&claim.gift)
        .bind(claim.count)
        .execute(&mut *transaction)
        .await?;
        if kept.rows_affected() == 0 {
            return Ok(Claimed::SoldOut);
        }
        transaction.commit().await?;
        Ok(Claimed::Now)
    }

    /// What was kept for somebody is free again: it did not get into the ledger.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn free_gifts(&self, claim: &Claim) -> sqlx::Result<()> {
        let mut transaction = self.begin().await?;
        let deleted =
            sqlx::query("DELETE FROM gift_claims WHERE sender = $1 AND word = $2 AND settled = 0")
                .bind(claim.sender.to_string())
                .bind(&claim.word)
                .execute(&mut *transaction)
                .await?;
        if deleted.rows_affected() == 1 {
            sqlx::query("UPDATE gifts SET claimed = claimed - $2 WHERE id = $1")
                .bind(&claim.gift)
                .bind(claim.count)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await
    }

    /// What was kept for somebody is given.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settle_gifts(&self, claim: &Claim) -> sqlx::Result<()> {
        sqlx::query("UPDATE gift_claims SET settled = 1 WHERE sender = $1 AND word = $2")
            .bind(claim.sender.to_string())
            .bind(&claim.word)
            .execute(self.pool())
            .await
            .map(|_| ())
    }

    /// Claims of before then of which nobody knows what became of them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_claims(&self, before: WallTime, limit: i64) -> sqlx::Result<Vec<Claim>> {
        let rows = sqlx::query(
            "SELECT sender, word, gift, count, transaction_id FROM gift_claims
             WHERE settled = 0 AND at < $1 ORDER BY at LIMIT $2",
        )
        .bind(before.as_micros())
        .bind(limit)
        .fetch_all(self.pool())
        .await?;
        let claims = rows.iter().map(|row| {
            Ok(Claim {
                sender: parse(row.try_get(0)?)?,
                word: row.try_get(1)?,
                gift: row.try_get(2)?,
                count: row.try_get(3)?,
                transaction: parse(row.try_get(4)?)?,
            })
        });
        claims.collect()
    }
}

/// Adds something that can be given; false when something is called so.
///
/// # Errors
/// When the database fails.
pub async fn add(transaction: &mut Transaction, gift: &Gift, at: WallTime) -> sqlx::Result<bool> {
    let added = sqlx::query(
        "INSERT INTO gifts (id, name, price, tier, effect, glyph, stock, on_sale, made_at, changed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9) ON CONFLICT (id) DO NOTHING",
    );
    let added = bound(added, gift)
        .bind(at.as_micros())
        .execute(&mut **transaction)
        .await?;
    Ok(added.rows_affected() == 1)
}

/// Changes something that can be given; false when more of it are given than there would be.
///
/// # Errors
/// When the database fails.
pub async fn change(
    transaction: &mut Transaction,
    gift: &Gift,
    at: WallTime,
) -> sqlx::Result<bool> {
    let changed = sqlx::query(
        "UPDATE gifts SET name = $2, price = $3, tier = $4, effect = $5, glyph = $6, stock = $7, on_sale = $8,
             changed_at = $9
         WHERE id = $1 AND ($7 IS NULL OR claimed <= $7)",
    );
    let changed = bound(changed, gift)
        .bind(at.as_micros())
        .execute(&mut **transaction)
        .await?;
    Ok(changed.rows_affected() == 1)
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments>;

fn bound<'q>(query: Query<'q>, gift: &Gift) -> Query<'q> {
    let name = serde_json::to_string(&gift.name).expect("names are plain data");
    query
        .bind(gift.id.clone())
        .bind(name)
        .bind(gift.price)
        .bind(i64::from(gift.tier))
        .bind(gift.effect.as_str())
        .bind(gift.glyph.clone())
        .bind(gift.stock)
        .bind(i64::from(gift.on_sale))
}

/// How many gifts there are.
///
/// # Errors
/// When the database fails.
pub async fn count(transaction: &mut Transaction) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT COUNT(*) FROM gifts")
        .fetch_one(&mut **transaction)
        .await
}

/// From now on what a channel is given is shared so; of none, what those are given that have no contract
/// of their own. Gives its version.
///
/// # Errors
/// When the database fails.
pub async fn agree(
    transaction: &mut Transaction,
    channel: Option<ChannelId>,
    streamer_bp: u16,
    agency: Option<(AgencyId, u16)>,
    at: WallTime,
) -> sqlx::Result<i64> {
    let last: Option<i64> = sqlx::query_scalar("SELECT MAX(version) FROM contracts")
        .fetch_one(&mut **transaction)
        .await?;
    let version = last.unwrap_or_default() + 1;
    sqlx::query(
        "INSERT INTO contracts (version, channel, streamer_bp, agency, agency_bp, since)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(version)
    .bind(channel.map(|channel| channel.to_string()))
    .bind(i64::from(streamer_bp))
    .bind(agency.map(|(agency, _)| agency.to_string()))
    .bind(agency.map_or(0, |(_, share)| i64::from(share)))
    .bind(at.as_micros())
    .execute(&mut **transaction)
    .await?;
    Ok(version)
}

/// Adds an agency; none when one is called so.
///
/// # Errors
/// When the database fails.
pub async fn add_agency(
    transaction: &mut Transaction,
    name: &str,
    at: WallTime,
) -> sqlx::Result<Option<AgencyId>> {
    let id = AgencyId::new();
    let added = sqlx::query(
        "INSERT INTO agencies (id, name, made_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING",
    )
    .bind(id.to_string())
    .bind(name)
    .bind(at.as_micros())
    .execute(&mut **transaction)
    .await?;
    Ok((added.rows_affected() == 1).then_some(id))
}

/// Notes what an operator does with money, and why.
///
/// # Errors
/// When the database fails.
pub async fn note(
    transaction: &mut Transaction,
    by: UserId,
    (what, subject): (&str, &str),
    reason: &str,
    at: WallTime,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO money_notes (id, at, by_user, what, subject, reason) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(Uuid::now_v7().to_string())
    .bind(at.as_micros())
    .bind(by.to_string())
    .bind(what)
    .bind(subject)
    .bind(reason)
    .execute(&mut **transaction)
    .await
    .map(|_| ())
}

fn gift(row: &AnyRow) -> sqlx::Result<Gift> {
    let (name, effect): (&str, &str) = (row.try_get(1)?, row.try_get(4)?);
    let damaged = || sqlx::Error::Decode("a gift is damaged".into());
    let (tier, on_sale): (i64, i64) = (row.try_get(3)?, row.try_get(8)?);
    Ok(Gift {
        id: row.try_get(0)?,
        name: serde_json::from_str(name).map_err(|_| damaged())?,
        price: row.try_get(2)?,
        tier: u8::try_from(tier).map_err(|_| damaged())?,
        effect: Effect::of(effect).ok_or_else(damaged)?,
        glyph: row.try_get(5)?,
        stock: row.try_get(6)?,
        claimed: row.try_get(7)?,
        on_sale: on_sale != 0,
    })
}

fn contract(row: &AnyRow) -> sqlx::Result<Contract> {
    let (version, streamer, share): (i64, i64, i64) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(3)?);
    let agency: Option<&str> = row.try_get(2)?;
    let points =
        |number: i64| u16::try_from(number).map_err(|error| sqlx::Error::Decode(error.into()));
    let agency = agency.map(parse).transpose()?;
    let agency = match agency {
        Some(agency) => Some((agency, points(share)?)),
        None => None,
    };
    let contract = Contract::new(version, points(streamer)?, agency);
    contract.map_err(|error| sqlx::Error::Decode(error.into()))
}

fn agency(row: &AnyRow) -> sqlx::Result<Agency> {
    Ok(Agency {
        id: parse(row.try_get(0)?)?,
        name: row.try_get(1)?,
    })
}
