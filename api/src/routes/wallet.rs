//! What somebody has, and how it came to that.

use std::collections::HashMap;

use axum::extract::State;
use axum::response::IntoResponse;
use gifts::payment::Pack;
use gifts::reading::Line;
use gifts_core::account::{AccountId, Kind};
use gifts_core::transfer::Code;
use jiff::Timestamp;
use media::WallTime;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use wire::{ChannelId, Handle, UserId};

use super::AppState;
use super::request::Params;
use super::streams::{timestamp, uncached};
use crate::door::Caller;
use crate::error::{ApiError, ErrorBody, Guarded};
use crate::giving::{WalletView, wallet_of};
use crate::rooms::Name;
use crate::scope::Scope;

/// Most lines in one answer.
const LINES_MAX: i64 = 200;

/// Somebody's wallet.
#[derive(Debug, Serialize, ToSchema)]
pub struct WalletPage {
    /// What they have.
    wallet: WalletView,
    /// Since when nothing can be given, in milliseconds since the Unix epoch; none when it works.
    down_since_ms: Option<i64>,
    /// Who takes money for coins, if somebody does: `sandbox` takes none.
    #[schema(example = "sandbox")]
    provider: Option<String>,
    /// What is sold.
    packs: Vec<PackView>,
}

/// So many coins for so much.
#[derive(Debug, Serialize, ToSchema)]
pub struct PackView {
    /// What it is bought by.
    #[schema(example = "6")]
    id: String,
    /// A code of ISO 4217.
    #[schema(example = "CNY")]
    currency: String,
    /// What it costs, in the currency's smallest unit.
    amount: i64,
    /// How many coins it is.
    coins: i64,
    /// How many are given on top; they can be spent, and are never paid out.
    bonus: i64,
}

impl From<&Pack> for PackView {
    fn from(pack: &Pack) -> Self {
        Self {
            id: pack.id.clone(),
            currency: pack.currency.clone(),
            amount: pack.amount,
            coins: pack.coins,
            bonus: pack.bonus,
        }
    }
}

/// What the caller has.
#[utoipa::path(
    get,
    path = "/api/v1/wallet",
    tag = "wallet",
    security(("session" = []), ("token" = ["read"])),
    responses((status = 200, description = "The wallet.", body = WalletPage), Guarded)
)]
pub async fn show(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Read)?;
    let packs = state.payments.packs().iter();
    Ok(uncached(WalletPage {
        wallet: state.giving.wallet(caller.user.id).await?,
        down_since_ms: state.giving.ledger().down_since_ms(),
        provider: state.payments.provider(),
        packs: packs.map(PackView::from).collect(),
    }))
}

/// Which lines.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
pub struct Which {
    /// Those before this one; the last, if left out.
    pub(super) before: Option<i64>,
    /// How many at most.
    #[serde(default = "fifty")]
    #[param(minimum = 1, maximum = 200)]
    pub(super) limit: i64,
}

const fn fifty() -> i64 {
    50
}

impl Which {
    /// As the ledger is asked for them.
    pub(super) fn check(self) -> Result<(i64, i64), ApiError> {
        if !(1..=LINES_MAX).contains(&self.limit) {
            let text = format!("`limit` is between 1 and {LINES_MAX}.");
            return Err(ApiError::BadRequest(text));
        }
        Ok((self.before.unwrap_or(i64::MAX), self.limit))
    }
}

/// What happened to somebody's coins.
#[derive(Debug, Serialize, ToSchema)]
pub struct History {
    /// The last first.
    pub(super) lines: Vec<LineView>,
    /// There may be more: ask again with this as `before`.
    pub(super) next: Option<i64>,
}

/// Something that happened to somebody's coins.
#[derive(Debug, Serialize, ToSchema)]
pub struct LineView {
    /// The how many-th entry of the ledger it is.
    seq: i64,
    /// Which transaction.
    transaction: String,
    /// Since when it is there.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// What kind of thing it is.
    #[schema(example = "gift")]
    kind: &'static str,
    /// What it came to in coins that were paid for.
    coins: i64,
    /// What it came to in coins that were given away.
    promo: i64,
    /// What was given, if something was.
    #[serde(skip_serializing_if = "Option::is_none")]
    gift: Option<GiftOfLine>,
    /// To which channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<Name>,
    /// Whether it was taken back.
    reversed: bool,
    /// Whether it can be taken back.
    reversible: bool,
}

/// What was given.
#[derive(Debug, Serialize, ToSchema)]
pub struct GiftOfLine {
    /// Its name for programs.
    id: String,
    /// Its names for people, by language.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    name: serde_json::Value,
    /// How many.
    count: i64,
}

impl GiftOfLine {
    /// As it was told of the line.
    pub(super) fn of(line: &Line) -> Option<Self> {
        let public = line.public.as_ref()?;
        Some(Self {
            id: public["gift"]["id"].as_str()?.to_owned(),
            name: public["gift"]["name"].clone(),
            count: public["count"].as_i64()?,
        })
    }
}

/// What happened to the caller's coins.
#[utoipa::path(
    get,
    path = "/api/v1/wallet/history",
    tag = "wallet",
    security(("session" = []), ("token" = ["read"])),
    params(Which),
    responses(
        (status = 200, description = "The lines.", body = History),
        (status = 400, description = "The query cannot be read.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn history(
    State(state): State<AppState>,
    caller: Caller,
    Params(which): Params<Which>,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Read)?;
    Ok(uncached(history_of(&state, caller.user.id, which).await?))
}

/// What happened to somebody's coins.
pub(super) async fn history_of(
    state: &AppState,
    user: UserId,
    which: Which,
) -> Result<History, ApiError> {
    let (before, limit) = which.check()?;
    let accounts = wallet_of(user);
    let reading = state.giving.ledger().reading();
    let lines = reading.lines(&accounts, before, limit).await?;
    let is_full = i64::try_from(lines.len()).is_ok_and(|count| count == limit);
    let next = lines.last().filter(|_| is_full).map(|line| line.number);
    let channels = channels_of(state, &lines).await?;
    let lines = lines.iter().map(|line| view(line, &accounts, &channels));
    Ok(History {
        lines: lines.collect(),
        next,
    })
}

/// The channels that lines are about.
pub(super) async fn channels_of(
    state: &AppState,
    lines: &[Line],
) -> Result<HashMap<String, Name>, ApiError> {
    let ids = lines.iter().filter_map(|line| line.part_key.parse().ok());
    let mut ids: Vec<ChannelId> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    let channels = state.store.channels_by_id(&ids).await?;
    let named = channels.into_iter().map(|channel| {
        let name = Name {
            handle: channel.handle,
            name: channel.name,
        };
        (channel.id.to_string(), name)
    });
    Ok(named.collect())
}

fn view(line: &Line, accounts: &[AccountId; 2], channels: &HashMap<String, Name>) -> LineView {
    let amount = |is_paid: bool| {
        let mut amounts = line.amounts.iter().filter(|(id, _)| {
            accounts.contains(id) && matches!(id.kind, Kind::Wallet(_)) == is_paid
        });
        amounts.next().map_or(0, |(_, amount)| *amount)
    };
    LineView {
        seq: line.number,
        transaction: line.id.to_string(),
        at: timestamp(WallTime::from_micros(line.at)),
        kind: line.code.as_str(),
        coins: amount(true),
        promo: amount(false),
        gift: GiftOfLine::of(line),
        channel: channels.get(&line.part_key).cloned(),
        reversed: line.is_reversed,
        reversible: line.code == Code::Gift && !line.is_reversed,
    }
}

/// Who gave what a line tells of, as they were called then.
pub(super) fn sender_of(line: &Line) -> Option<Name> {
    let by = &line.public.as_ref()?["by"];
    let handle: Handle = by["handle"].as_str()?.parse().ok()?;
    let name = by["name"].as_str().unwrap_or_default().to_owned();
    Some(Name { handle, name })
}
