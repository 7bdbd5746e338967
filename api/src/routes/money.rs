//! What operators see and do of money. Whatever they do has a reason, and leaves a note.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use gifts::gate::{Order, Refused};
use gifts_core::Contract;
use gifts_core::command::{Command, Mark, Reference, Reversal, What, Why};
use gifts_core::transfer::{Code, TransactionId};
use jiff::Timestamp;
use kit::clock;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use wire::AgencyId;

use super::AppState;
use super::earnings::{AgencyView, contract_of};
use super::payments::TopUpView;
use super::request::{Body, HandlePath, Params};
use super::streams::{find_channel, find_user, timestamp, uncached};
use super::wallet::{LineView, Which, history_of};
use crate::door::Caller;
use crate::error::{ApiError, ErrorBody, Guarded, WithBody};
use crate::giving::{WalletView, wallet_of};
use crate::rooms::Name;
use crate::scope::Scope;
use crate::store::catalogue;
use crate::text;
use crate::unfit::Unfit;

/// Shortest and longest reason, in characters.
const REASON: (u32, usize) = (3, 500);

/// What the ledger calls a change to something that is so already.
const NOTHING_TO_DO: &str = "nothing_to_do";

/// Notes in one answer.
const PAGE: i64 = 50;

/// Somebody's money.
#[derive(Debug, Serialize, ToSchema)]
pub struct MoneyPage {
    /// Whose.
    user: Name,
    /// What they have.
    wallet: WalletView,
    /// What they bought, the last first.
    top_ups: Vec<TopUpView>,
    /// What happened to it, the last first.
    lines: Vec<LineView>,
    /// There may be more: ask again with this as `before`.
    next: Option<i64>,
}

/// What somebody has, and how it came to that.
#[utoipa::path(
    get,
    path = "/api/v1/admin/wallets/{handle}",
    tag = "money",
    security(("session" = []), ("token" = ["operator"])),
    params(("handle" = String, Path, description = "The person's handle.", example = "mei"), Which),
    responses(
        (status = 200, description = "Their money.", body = MoneyPage),
        (status = 400, description = "The query cannot be read.", body = ErrorBody),
        (status = 404, description = "No such person.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn show(
    State(state): State<AppState>,
    caller: Caller,
    HandlePath(handle): HandlePath,
    Params(which): Params<Which>,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Operator)?;
    let user = find_user(&state, &handle).await?;
    let history = history_of(&state, user.id, which).await?;
    let top_ups = state.store.top_ups(user.id).await?;
    Ok(uncached(MoneyPage {
        wallet: state.giving.wallet(user.id).await?,
        user: Name {
            handle: user.handle,
            name: user.name,
        },
        top_ups: top_ups.iter().map(TopUpView::from).collect(),
        lines: history.lines,
        next: history.next,
    }))
}

/// Why something is done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// In words: 3 to 500 characters.
    #[schema(min_length = 3, max_length = 500)]
    reason: String,
}

pub(super) fn reason(words: &str) -> Result<String, ApiError> {
    let (least, most) = REASON;
    let reason = text::some_line("reason", words, most)?;
    if reason.chars().count() < least as usize {
        return Err(ApiError::invalid("reason", Unfit::TooFew(least)));
    }
    Ok(reason)
}

/// What is to be taken back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReversalBody {
    /// Which transaction: a gift.
    #[schema(example = "0199c0de-0000-8000-8000-000000000001")]
    transaction: String,
    /// Why: it was agreed to, a bank did, or who paid was a minor.
    why: WhyBody,
    /// In words: 3 to 500 characters.
    #[schema(min_length = 3, max_length = 500)]
    reason: String,
}

/// Why something is taken back.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhyBody {
    /// It was agreed to.
    Refund,
    /// A bank did.
    Chargeback,
    /// Who paid was a minor.
    Minor,
}

impl From<WhyBody> for Why {
    fn from(why: WhyBody) -> Self {
        match why {
            WhyBody::Refund => Self::Refund,
            WhyBody::Chargeback => Self::Chargeback,
            WhyBody::Minor => Self::Minor,
        }
    }
}

/// A transaction.
#[derive(Debug, Serialize, ToSchema)]
pub struct Done {
    /// Which.
    transaction: String,
}

/// Takes a gift back, whole and once: who gave it has the coins again, and what was earned with it is gone
/// or owed. A top-up is taken back where it was paid.
#[utoipa::path(
    post,
    path = "/api/v1/admin/money/reversals",
    tag = "money",
    security(("session" = []), ("token" = ["operator"])),
    request_body = ReversalBody,
    responses(
        (status = 200, description = "It is taken back.", body = Done),
        (status = 404, description = "No such transaction.", body = ErrorBody),
        (status = 409, description = "It was taken back before, or cannot be.", body = ErrorBody),
        WithBody,
        Guarded,
    )
)]
pub async fn take_back(
    State(state): State<AppState>,
    caller: Caller,
    Body(body): Body<ReversalBody>,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Operator)?;
    let reason = reason(&body.reason)?;
    let not_there = || ApiError::NoSuch("transaction");
    let of: TransactionId = body.transaction.parse().map_err(|_| not_there())?;
    let line = state.giving.ledger().reading().transaction(of).await?;
    let line = line.ok_or_else(not_there)?;
    if line.code != Code::Gift || line.is_reversed {
        return Err(ApiError::NotReversible);
    }
    let why = body.why.into();
    note(&state, &caller, ("reversal", &body.transaction), &reason).await?;
    let command = What::Reversal(Reversal { of, why });
    // Those whom it concerns are told of what.
    let done = perform(&state, command, line.public).await?;
    Ok(uncached(Done { transaction: done }))
}

/// Puts down what an operator is about to do.
pub(super) async fn note(
    state: &AppState,
    caller: &Caller,
    what: (&str, &str),
    reason: &str,
) -> Result<(), ApiError> {
    let mut transaction = state.store.begin().await?;
    catalogue::note(&mut transaction, caller.user.id, what, reason, clock::now()).await?;
    transaction.commit().await?;
    tracing::info!(what = what.0, subject = what.1, by = %caller, "an operator deals with money");
    Ok(())
}

async fn perform(
    state: &AppState,
    what: What,
    public: Option<serde_json::Value>,
) -> Result<String, ApiError> {
    let order = order(what, public);
    let accepted = state.giving.ledger().perform(order).await?;
    Ok(accepted.id)
}

fn order(what: What, public: Option<serde_json::Value>) -> Order {
    Order {
        command: Command::new(what, clock::now().as_micros()),
        key: None,
        public,
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Rejected { code, message } => match code.as_str() {
                "exceeds_credits" | "account_unknown" => Self::CannotPay,
                "account_frozen" => Self::WalletFrozen,
                "transaction_unknown" => Self::NoSuch("transaction"),
                "already_reversed" | "not_reversible" | "id_reused" => Self::NotReversible,
                _ => Self::Internal(anyhow::anyhow!("the ledger refuses it: {message}")),
            },
            Refused::KeyReused => Self::KeyUsed,
            Refused::TooLarge => Self::TooLarge,
            Refused::Impossible => {
                Self::Internal(anyhow::anyhow!("the ledger's database refuses it"))
            }
            Refused::Busy | Refused::Unavailable | Refused::Unknown | Refused::Fenced => {
                Self::GiftsUnavailable
            }
        }
    }
}

impl From<gifts::store::StoreError> for ApiError {
    fn from(error: gifts::store::StoreError) -> Self {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        tracing::error!(%error, source, "the ledger cannot be read");
        Self::GiftsUnavailable
    }
}

/// Freezes somebody's wallet: nothing can be spent from it.
#[utoipa::path(
    post,
    path = "/api/v1/admin/wallets/{handle}/freeze",
    tag = "money",
    security(("session" = []), ("token" = ["operator"])),
    params(("handle" = String, Path, description = "The person's handle.", example = "mei")),
    request_body = Reason,
    responses(
        (status = 204, description = "It is frozen."),
        (status = 404, description = "No such person.", body = ErrorBody),
        WithBody,
        Guarded,
    )
)]
pub async fn freeze(
    State(state): State<AppState>,
    caller: Caller,
    HandlePath(handle): HandlePath,
    Body(body): Body<Reason>,
) -> Result<StatusCode, ApiError> {
    mark(&state, &caller, &handle, &body, Code::Freeze).await
}

/// What is in somebody's wallet can be spent again.
#[utoipa::path(
    post,
    path = "/api/v1/admin/wallets/{handle}/unfreeze",
    tag = "money",
    security(("session" = []), ("token" = ["operator"])),
    params(("handle" = String, Path, description = "The person's handle.", example = "mei")),
    request_body = Reason,
    responses(
        (status = 204, description = "It can be spent."),
        (status = 404, description = "No such person.", body = ErrorBody),
        WithBody,
        Guarded,
    )
)]
pub async fn unfreeze(
    State(state): State<AppState>,
    caller: Caller,
    HandlePath(handle): HandlePath,
    Body(body): Body<Reason>,
) -> Result<StatusCode, ApiError> {
    mark(&state, &caller, &handle, &body, Code::Unfreeze).await
}

async fn mark(
    state: &AppState,
    caller: &Caller,
    handle: &str,
    body: &Reason,
    code: Code,
) -> Result<StatusCode, ApiError> {
    caller.require(Scope::Operator)?;
    let reason = reason(&body.reason)?;
    let user = find_user(state, handle).await?;
    note(
        state,
        caller,
        (code.as_str(), user.handle.as_str()),
        &reason,
    )
    .await?;
    let key = Reference::new(&Uuid::now_v7().to_string()).expect("an identity is printable");
    for account in wallet_of(user.id) {
        let marked = state
            .giving
            .ledger()
            .perform(order(What::Mark(Mark { account, code, key }), None));
        match marked.await {
            Ok(_) => {}
            // It is so already.
            Err(Refused::Rejected { code, .. }) if code == NOTHING_TO_DO => {}
            Err(refused) => return Err(refused.into()),
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Which notes.
#[derive(Debug, Deserialize, IntoParams)]
pub struct WhichNotes {
    /// Those before this one; the last, if left out.
    before: Option<Uuid>,
}

/// What operators did with money.
#[derive(Debug, Serialize, ToSchema)]
pub struct Notes {
    /// The last first.
    notes: Vec<NoteView>,
    /// There may be more: ask again with this as `before`.
    next: Option<Uuid>,
}

/// What an operator did with money.
#[derive(Debug, Serialize, ToSchema)]
pub struct NoteView {
    /// Its identity.
    id: Uuid,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The operator's handle.
    by: String,
    /// What they did.
    #[schema(example = "reversal")]
    what: String,
    /// With what.
    subject: String,
    /// Why.
    reason: String,
}

/// What operators did with money, and why.
#[utoipa::path(
    get,
    path = "/api/v1/admin/money/notes",
    tag = "money",
    security(("session" = []), ("token" = ["operator"])),
    params(WhichNotes),
    responses((status = 200, description = "The notes.", body = Notes), Guarded)
)]
pub async fn notes(
    State(state): State<AppState>,
    caller: Caller,
    Params(which): Params<WhichNotes>,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Operator)?;
    let notes = state.store.money_notes(which.before, PAGE).await?;
    let is_full = i64::try_from(notes.len()).is_ok_and(|count| count == PAGE);
    let next = notes.last().filter(|_| is_full).map(|note| note.id);
    let notes = notes.into_iter().map(|note| NoteView {
        id: note.id,
        at: timestamp(note.at),
        by: note.by,
        what: note.what,
        subject: note.subject,
        reason: note.reason,
    });
    Ok(uncached(Notes {
        notes: notes.collect(),
        next,
    }))
}

/// How what a channel is given is to be shared, in basis points. The rest is the platform's.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContractBody {
    /// The streamer's share.
    #[schema(maximum = 10000)]
    streamer_bp: u16,
    /// Who else has a share, if somebody has.
    agency: Option<Uuid>,
    /// And how much.
    #[serde(default)]
    #[schema(maximum = 10000)]
    agency_bp: u16,
    /// Why: 3 to 500 characters.
    #[schema(min_length = 3, max_length = 500)]
    reason: String,
}

/// How what a channel is given is shared.
#[utoipa::path(
    get,
    path = "/api/v1/admin/channels/{handle}/contract",
    tag = "money",
    security(("session" = []), ("token" = ["operator"])),
    params(("handle" = String, Path, description = "The channel's handle.", example = "stage")),
    responses(
        (status = 200, description = "The contract.", body = super::earnings::ContractView),
        (status = 404, description = "No such channel.", body = ErrorBody),
        Guarded,
    )
)]
pub async fn contract(
    State(state): State<AppState>,
    caller: Caller,
    HandlePath(handle): HandlePath,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Operator)?;
    let channel = find_channel(&state, &handle).await?;
    Ok(uncached(contract_of(&state, channel.id).await?))
}

/// From now on what a channel is given is shared so. What was given before stays shared as it was.
#[utoipa::path(
    put,
    path = "/api/v1/admin/channels/{handle}/contract",
    tag = "money",
    security(("session" = []), ("token" = ["operator"])),
    params(("handle" = String, Path, description = "The channel's handle.", example = "stage")),
    request_body = ContractBody,
    responses(
        (status = 200, description = "The contract.", body = super::earnings::ContractView),
        (status = 404, description = "No such channel or agency.", body = ErrorBody),
        WithBody,
        Guarded,
    )
)]
pub async fn agree(
    State(state): State<AppState>,
    caller: Caller,
    HandlePath(handle): HandlePath,
    Body(body): Body<ContractBody>,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Operator)?;
    let channel = find_channel(&state, &handle).await?;
    let reason = reason(&body.reason)?;
    let agency = body.agency.map(AgencyId::from_uuid);
    if let Some(agency) = agency
        && state.store.agency(agency).await?.is_none()
    {
        return Err(ApiError::NoSuch("agency"));
    }
    let agency = agency.map(|agency| (agency, body.agency_bp));
    Contract::new(0, body.streamer_bp, agency)
        .map_err(|_| ApiError::invalid("streamer_bp", Unfit::Shares))?;
    let now = clock::now();
    let mut transaction = state.store.begin().await?;
    let what = ("contract", channel.handle.as_str());
    catalogue::note(&mut transaction, caller.user.id, what, &reason, now).await?;
    let of = Some(channel.id);
    catalogue::agree(&mut transaction, of, body.streamer_bp, agency, now).await?;
    transaction.commit().await?;
    state.giving.forget();
    Ok(uncached(contract_of(&state, channel.id).await?))
}

/// Every agency.
#[utoipa::path(
    get,
    path = "/api/v1/admin/agencies",
    tag = "money",
    security(("session" = []), ("token" = ["operator"])),
    responses((status = 200, description = "The agencies.", body = Vec<AgencyView>), Guarded)
)]
pub async fn agencies(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Operator)?;
    let agencies = state.store.agencies().await?.into_iter();
    let views = agencies.map(|agency| AgencyView {
        id: agency.id.to_string(),
        name: agency.name,
    });
    Ok(uncached(views.collect::<Vec<_>>()))
}

/// An agency that is to be there.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAgency {
    /// Its name.
    #[schema(max_length = 50)]
    name: String,
}

/// Adds an agency, which then can have a share in what channels earn.
#[utoipa::path(
    post,
    path = "/api/v1/admin/agencies",
    tag = "money",
    security(("session" = []), ("token" = ["operator"])),
    request_body = NewAgency,
    responses(
        (status = 201, description = "The agency.", body = AgencyView),
        (status = 409, description = "There is one of this name.", body = ErrorBody),
        WithBody,
        Guarded,
    )
)]
pub async fn add_agency(
    State(state): State<AppState>,
    caller: Caller,
    Body(NewAgency { name }): Body<NewAgency>,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Operator)?;
    let name = text::some_line("name", &name, text::NAME_MAX)?;
    let mut transaction = state.store.begin().await?;
    let added = catalogue::add_agency(&mut transaction, &name, clock::now()).await?;
    let Some(id) = added else {
        return Err(ApiError::NameTaken(name));
    };
    transaction.commit().await?;
    let id = id.to_string();
    Ok((StatusCode::CREATED, uncached(AgencyView { id, name })))
}
