//! What a channel earns, line by line.

use std::collections::HashMap;

use axum::extract::State;
use axum::response::IntoResponse;
use gifts::reading::{Day, Line};
use gifts::release::{day_of, of_day};
use gifts_core::account::{AccountId, Kind};
use gifts_core::transfer::Code;
use gifts_core::{Account, Contract, Payee};
use jiff::Timestamp;
use kit::clock;
use media::WallTime;
use serde::Serialize;
use utoipa::ToSchema;
use wire::ChannelId;

use super::AppState;
use super::request::{HandlePath, Params};
use super::streams::{find_channel, timestamp, uncached};
use super::wallet::{GiftOfLine, Which, sender_of};
use crate::door::Caller;
use crate::error::{ApiError, ErrorBody, Guarded};
use crate::rooms::Name;
use crate::scope::Scope;
use crate::store::channels::Channel;

/// Days that are told of.
const DAYS: i64 = 30;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// What a channel has earned.
#[derive(Debug, Serialize, ToSchema)]
pub struct Earnings {
    /// What is held for some days, in coins, so that what is taken back is still there.
    held: i64,
    /// What may be paid out.
    available: i64,
    /// What came of coins that were given away: it is never paid out.
    promo: i64,
    /// What was taken back after it was paid out, and is kept from what is earned next.
    owed: i64,
    /// For how many days it is held.
    hold_days: u32,
    /// How what is given is shared.
    contract: ContractView,
    /// What was earned lately, the last day first. Days are those of UTC.
    days: Vec<DayView>,
}

/// How what a channel is given is shared, in basis points.
#[derive(Debug, Serialize, ToSchema)]
pub struct ContractView {
    /// Which version of it this is.
    version: i64,
    /// The streamer's share.
    #[schema(example = 7000)]
    streamer_bp: u16,
    /// The agency's.
    agency_bp: u16,
    /// The platform's.
    platform_bp: u16,
    /// Who else has a share, if somebody has.
    agency: Option<AgencyView>,
    /// Whether it is the channel's own, and not the one that all have who have none.
    own: bool,
}

/// Who has a share in what some channels earn.
#[derive(Debug, Serialize, ToSchema)]
pub struct AgencyView {
    /// Its identity.
    pub(super) id: String,
    /// Its name.
    pub(super) name: String,
}

/// What a channel earned on a day.
#[derive(Debug, Serialize, ToSchema)]
pub struct DayView {
    /// Which, in UTC.
    #[schema(value_type = String, format = Date)]
    day: String,
    /// How many gifts that were paid for.
    gifts: i64,
    /// What of them is the channel's.
    earned: i64,
    /// What of that was taken back.
    taken_back: i64,
    /// From when on it may be paid out.
    #[schema(value_type = String, format = Date)]
    releases_on: String,
    /// Whether it may be by now.
    released: bool,
}

fn accounts_of(channel: ChannelId) -> [AccountId; 4] {
    let payee = Payee::Channel(channel);
    [
        AccountId::coin(Kind::EarnHeld(payee)),
        AccountId::coin(Kind::EarnAvailable(payee)),
        AccountId::coin(Kind::EarnPromo(payee)),
        AccountId::coin(Kind::ChargebackReceivable(payee)),
    ]
}

async fn own_channel(state: &AppState, caller: &Caller, handle: &str) -> Result<Channel, ApiError> {
    let channel = find_channel(state, handle).await?;
    if channel.owner == caller.user.id {
        caller.require(Scope::Read)?;
    } else {
        caller.require(Scope::Operator)?;
    }
    Ok(channel)
}

/// What a channel has earned. For its owner and operators.
#[utoipa::path(
    get,
    path = "/api/v1/channels/{handle}/earnings",
    tag = "earnings",
    security(("session" = []), ("token" = ["read"])),
    params(("handle" = String, Path, description = "The channel's handle.", example = "stage")),
    responses(
        (status = 200, description = "What it has earned.", body = Earnings),
        (status = 404, description = "No such channel.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn show(
    State(state): State<AppState>,
    caller: Caller,
    HandlePath(handle): HandlePath,
) -> Result<impl IntoResponse, ApiError> {
    let channel = own_channel(&state, &caller, &handle).await?;
    let ledger = state.giving.ledger();
    let reading = ledger.reading();
    let ids = accounts_of(channel.id);
    let accounts = reading.accounts(&ids).await?;
    let balance = |id: &AccountId| {
        let account = accounts.iter().find(|account| account.id == *id);
        account.map_or(0, Account::balance)
    };
    let [held, available, promo, owed] = ids;
    let hold_days = ledger.config().hold_days;
    let days = match accounts.iter().find(|account| account.id == held) {
        Some(account) => days(&state, channel.id, account).await?,
        None => Vec::new(),
    };
    Ok(uncached(Earnings {
        held: balance(&held),
        available: balance(&available),
        promo: balance(&promo),
        owed: balance(&owed),
        hold_days,
        contract: contract_of(&state, channel.id).await?,
        days,
    }))
}

async fn days(
    state: &AppState,
    channel: ChannelId,
    held: &Account,
) -> Result<Vec<DayView>, ApiError> {
    let ledger = state.giving.ledger();
    let today = day_of(clock::now().as_micros());
    let mut days = ledger.reading().days(held, today - DAYS, today + 1).await?;
    days.reverse();
    let release = |day: &Day| of_day(Payee::Channel(channel), day.day);
    let ids: Vec<_> = days.iter().map(release).collect();
    let released = ledger.reading().known(&ids).await?;
    let hold_days = i64::from(ledger.config().hold_days);
    let views = days.iter().zip(&ids).map(|(day, id)| DayView {
        day: date(day.day),
        gifts: day.gifts,
        earned: day.earned,
        taken_back: day.taken_back,
        releases_on: date(day.day + hold_days + 1),
        released: released.contains(id),
    });
    Ok(views.collect())
}

fn date(day: i64) -> String {
    let at = timestamp(WallTime::from_micros(day.saturating_mul(DAY)));
    at.strftime("%Y-%m-%d").to_string()
}

/// How what a channel is given is shared now.
pub(super) async fn contract_of(
    state: &AppState,
    channel: ChannelId,
) -> Result<ContractView, ApiError> {
    let own = state.store.contract(Some(channel)).await?;
    let is_own = own.is_some();
    let contract: Option<Contract> = match own {
        Some(own) => Some(own),
        None => state.store.contract(None).await?,
    };
    let contract = contract.ok_or(ApiError::NoSuch("contract"))?;
    let agency = match contract.agency() {
        Some(id) => state.store.agency(id).await?,
        None => None,
    };
    let [streamer_bp, agency_bp, platform_bp] = contract.basis_points();
    Ok(ContractView {
        version: contract.version(),
        streamer_bp,
        agency_bp,
        platform_bp,
        agency: agency.map(|agency| AgencyView {
            id: agency.id.to_string(),
            name: agency.name,
        }),
        own: is_own,
    })
}

/// What happened to what a channel has earned.
#[derive(Debug, Serialize, ToSchema)]
pub struct EarningLines {
    /// The last first.
    lines: Vec<EarningLine>,
    /// There may be more: ask again with this as `before`.
    next: Option<i64>,
}

/// Something that happened to what a channel has earned.
#[derive(Debug, Serialize, ToSchema)]
pub struct EarningLine {
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
    /// What was given, if something was.
    #[serde(skip_serializing_if = "Option::is_none")]
    gift: Option<GiftOfLine>,
    /// By whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<Name>,
    /// What it cost who gave it, if something was given.
    coins: Option<i64>,
    /// What the channel has more or less by it, held or available, without what is owed.
    earned: i64,
    /// What it has more or less of what is never paid out.
    promo: i64,
    /// What may be paid out from then on, of a release.
    released: i64,
    /// Whether it was taken back.
    reversed: bool,
}

/// What happened to what a channel has earned. For its owner and operators.
#[utoipa::path(
    get,
    path = "/api/v1/channels/{handle}/earnings/lines",
    tag = "earnings",
    security(("session" = []), ("token" = ["read"])),
    params(("handle" = String, Path, description = "The channel's handle.", example = "stage"), Which),
    responses(
        (status = 200, description = "The lines.", body = EarningLines),
        (status = 400, description = "The query cannot be read.", body = ErrorBody),
        (status = 404, description = "No such channel.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn lines(
    State(state): State<AppState>,
    caller: Caller,
    HandlePath(handle): HandlePath,
    Params(which): Params<Which>,
) -> Result<impl IntoResponse, ApiError> {
    let (before, limit) = which.check()?;
    let channel = own_channel(&state, &caller, &handle).await?;
    let ids = accounts_of(channel.id);
    let reading = state.giving.ledger().reading();
    let lines = reading.lines(&ids, before, limit).await?;
    let is_full = i64::try_from(lines.len()).is_ok_and(|count| count == limit);
    Ok(uncached(EarningLines {
        next: lines.last().filter(|_| is_full).map(|line| line.number),
        lines: lines.iter().map(|line| view(line, &ids)).collect(),
    }))
}

fn view(line: &Line, [held, available, promo, owed]: &[AccountId; 4]) -> EarningLine {
    let amounts: &HashMap<AccountId, i64> = &line.amounts;
    let amount = |id: &AccountId| amounts.get(id).copied().unwrap_or_default();
    let coins = line
        .public
        .as_ref()
        .and_then(|public| public["coins"].as_i64());
    EarningLine {
        seq: line.number,
        transaction: line.id.to_string(),
        at: timestamp(WallTime::from_micros(line.at)),
        kind: line.code.as_str(),
        gift: GiftOfLine::of(line),
        by: sender_of(line),
        coins,
        earned: amount(held) + amount(available) - amount(owed),
        promo: amount(promo),
        released: if line.code == Code::Release {
            amount(available)
        } else {
            0
        },
        reversed: line.is_reversed,
    }
}
