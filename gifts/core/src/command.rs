//! What can be asked for, and which transfers it comes to.
//!
//! The identity of a transaction follows from what was asked, and what it comes to from the accounts as
//! they are when it is decided. So whoever asks again, after whatever has happened in between, is given
//! the receipt of the first time.
//!
//! | asked for | transfers, debit → credit |
//! |---|---|
//! | top-up | `psp_clearing` → `fx`; `fx` → `wallet`; what is given on top: `promo` → `wallet_promo` |
//! | gift | coins that were paid for are spent first, then those given away; each part is split by itself. `wallet` → `chargeback_receivable` while something is owed, then `earn_held`; → `fee:gift`. `wallet_promo` → `earn_promo`, → `fee:gift-promo` |
//! | release | `earn_held` → `earn_available`: the amount, or what is left of it |
//! | reversal of a gift | back to where it was spent from. What was earned is taken from `earn_held`, then `earn_available`, then it is owed: from `chargeback_receivable`, or for a minor from `refund_loss` |
//! | reversal of a top-up | `wallet` → `fx`, `fx` → `psp_clearing`, what is left of `wallet_promo` → `promo`. A refund takes all of it or is refused; for a chargeback or a minor, `refund_loss` → `fx` where the wallet has too little |
//! | hold | one pending transfer |
//! | settlement | its post, void or expiry |
//! | freeze, unfreeze, close | none |

use serde::{Deserialize, Serialize};
use wire::{ChannelId, UserId};

use crate::Micros;
use crate::account::{AccountId, Kind, Name, Payee};
use crate::book::{Book, Recorded};
use crate::canonical::{Canonical, Hash};
use crate::money::{Amount, Currency};
use crate::rules::{self, Rejection};
use crate::split::{Contract, Shares};
use crate::transfer::{Code, Leg, Phase, Receipt, Transaction, TransactionId, TransferId};

const FEE_GIFT: Kind = Kind::Fee(Name::new("gift").expect("a name"));
const FEE_GIFT_PROMO: Kind = Kind::Fee(Name::new("gift-promo").expect("a name"));

/// Somebody paid for coins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopUp {
    /// Through which provider.
    pub psp: Name,
    /// Which payment there: it is credited once, however often and in however many events it is told.
    pub payment: Reference,
    /// Who.
    pub user: UserId,
    /// In what.
    pub currency: Currency,
    /// How much.
    pub paid: Amount,
    /// For how many coins.
    pub coins: Amount,
    /// How many were given on top.
    pub bonus: Option<Amount>,
}

/// Somebody gave a gift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gift {
    /// Who.
    pub sender: UserId,
    /// What the sender's program calls it. The same again is the same gift.
    pub key: Reference,
    /// To whom.
    pub channel: ChannelId,
    /// What.
    pub item: Reference,
    /// How many coins it costs.
    pub price: Amount,
    /// How it is shared. It is no part of what was asked: a gift that is sent again while contracts
    /// change is the same.
    pub contract: Contract,
}

/// What was earned on a day may be paid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// By whom.
    pub payee: Payee,
    /// Days since the Unix epoch. A payee's day is released once.
    pub day: i64,
    /// How much that is. It is no part of what was asked: when a job is run again after some of it was
    /// taken back, the day is released as it was.
    pub amount: Amount,
}

/// Something is taken back, whole, at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reversal {
    /// What.
    pub of: TransactionId,
    /// Why.
    pub why: Why,
}

/// Why something is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It was agreed to.
    Refund,
    /// A bank did.
    Chargeback,
    /// Who paid was a minor.
    Minor,
}

impl Why {
    const fn code(self) -> Code {
        match self {
            Self::Refund => Code::Refund,
            Self::Chargeback => Code::Chargeback,
            Self::Minor => Code::MinorRefund,
        }
    }
}

/// An amount is kept for something that is not certain yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// For what.
    pub key: Reference,
    /// From where.
    pub from: AccountId,
    /// To where it would go.
    pub to: AccountId,
    /// How much.
    pub amount: Amount,
    /// Until when.
    pub expires_at: Option<Micros>,
}

/// What was uncertain is certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    /// About which pending transfer.
    pub of: TransferId,
    /// What is.
    pub outcome: Outcome,
}

/// What becomes of an amount that was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is paid, or so much of it.
    Post(Option<Amount>),
    /// It is not.
    Void,
    /// Its time is over.
    Expire,
}

/// An account is frozen, unfrozen or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Which one.
    pub account: AccountId,
    /// What is done to it: [`Code::Freeze`], [`Code::Unfreeze`] or [`Code::Close`].
    pub code: Code,
    /// Under which decision. The same decision twice is one.
    pub key: Reference,
}

/// A name that somebody else gave to something: 1 to 64 printable ASCII characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    len: u8,
    letters: [u8; 64],
}

impl Reference {
    /// The text as a reference, if it is one.
    pub fn new(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if !(1..=64).contains(&bytes.len()) || !bytes.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let mut letters = [0; 64];
        letters[..bytes.len()].copy_from_slice(bytes);
        let len = u8::try_from(bytes.len()).ok()?;
        Some(Self { len, letters })
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.letters[..usize::from(self.len)]).expect("a reference is ASCII")
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Debug for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is told of above")]
pub enum What {
    TopUp(TopUp),
    Gift(Gift),
    Release(Release),
    Reversal(Reversal),
    Hold(Hold),
    Settlement(Settlement),
    Mark(Mark),
}

/// Something that is asked of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(What, Micros)", into = "(What, Micros)")]
pub struct Command {
    what: What,
    /// When it happened outside, which is kept and decides nothing.
    event_at: Micros,
    id: TransactionId,
    request: Hash,
}

/// What has to be at hand before the accounts are known, each with its transfers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Nothing.
    None,
    /// A transaction.
    Transaction(TransactionId),
    /// A pending transfer.
    Pending(TransferId),
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// That it is in the ledger.
    pub receipt: Receipt,
    /// Whether it was before.
    pub is_replay: bool,
}

impl From<(What, Micros)> for Command {
    fn from((what, event_at): (What, Micros)) -> Self {
        Self::new(what, event_at)
    }
}

impl From<Command> for (What, Micros) {
    fn from(command: Command) -> Self {
        (command.what, command.event_at)
    }
}

impl Command {
    /// Asks for something that happened then.
    pub fn new(what: What, event_at: Micros) -> Self {
        let (id, request) = identify(&what);
        Self {
            what,
            event_at,
            id,
            request,
        }
    }

    /// What is asked for.
    pub const fn what(&self) -> &What {
        &self.what
    }

    /// Which transaction it would be.
    pub const fn id(&self) -> TransactionId {
        self.id
    }

    /// What was asked, of which the same identity never means anything else.
    pub const fn request(&self) -> &Hash {
        &self.request
    }

    /// What has to be at hand besides [its own identity](Self::id), before anything else.
    pub const fn lookup(&self) -> Lookup {
        match &self.what {
            What::Reversal(reversal) => Lookup::Transaction(reversal.of),
            What::Settlement(settlement) => Lookup::Pending(settlement.of),
            What::TopUp(_) | What::Gift(_) | What::Release(_) | What::Hold(_) | What::Mark(_) => {
                Lookup::None
            }
        }
    }

    /// Tells `wants` which accounts have to be at hand.
    pub fn accounts(&self, book: &Book, mut wants: impl FnMut(AccountId)) {
        let mut coin = |kind| wants(AccountId::coin(kind));
        match &self.what {
            What::TopUp(top_up) => {
                coin(Kind::Wallet(top_up.user));
                coin(Kind::WalletPromo(top_up.user));
                coin(Kind::Promo);
                coin(Kind::Fx(top_up.currency));
                for kind in [Kind::PspClearing(top_up.psp), Kind::Fx(Currency::COIN)] {
                    wants(AccountId {
                        currency: top_up.currency,
                        kind,
                    });
                }
            }
            What::Gift(gift) => {
                coin(Kind::Wallet(gift.sender));
                coin(Kind::WalletPromo(gift.sender));
                coin(FEE_GIFT);
                coin(FEE_GIFT_PROMO);
                let agency = gift.contract.agency().map(Payee::Agency);
                for payee in [Some(Payee::Channel(gift.channel)), agency]
                    .into_iter()
                    .flatten()
                {
                    coin(Kind::EarnHeld(payee));
                    coin(Kind::EarnPromo(payee));
                    coin(Kind::ChargebackReceivable(payee));
                }
            }
            What::Release(release) => {
                coin(Kind::EarnHeld(release.payee));
                coin(Kind::EarnAvailable(release.payee));
            }
            What::Reversal(reversal) => {
                coin(Kind::RefundLoss);
                let original = book.recorded(reversal.of);
                let legs = original.and_then(|original| original.legs.as_ref());
                for leg in legs.into_iter().flatten() {
                    wants(leg.debit);
                    wants(leg.credit);
                    if let Kind::EarnHeld(payee) = leg.credit.kind {
                        wants(AccountId::coin(Kind::EarnAvailable(payee)));
                        wants(AccountId::coin(Kind::ChargebackReceivable(payee)));
                    }
                }
            }
            What::Hold(hold) => {
                wants(hold.from);
                wants(hold.to);
            }
            What::Settlement(settlement) => {
                if let Some(pending) = book.pending(settlement.of) {
                    wants(pending.leg.debit);
                    wants(pending.leg.credit);
                }
            }
            What::Mark(mark) => wants(mark.account),
        }
    }

    /// Decides, and enters what it comes to into the book.
    ///
    /// # Errors
    /// When it may not be; then nothing has changed.
    pub fn perform(&self, now: Micros, book: &mut Book) -> Result<Done, Rejection> {
        if let Some(known) = rules::known(book, self.id, &self.request) {
            return known.map(|receipt| Done {
                receipt,
                is_replay: true,
            });
        }
        let transaction = self.plan(book)?;
        let receipt = rules::apply(now, book, &transaction)?;
        Ok(Done {
            receipt,
            is_replay: false,
        })
    }

    /// What it comes to, as the accounts are now.
    fn plan(&self, book: &Book) -> Result<Transaction, Rejection> {
        let mut transaction = Transaction {
            id: self.id,
            request: self.request,
            code: Code::Gift,
            reverses: None,
            contract: None,
            subject: None,
            event_at: self.event_at,
            legs: Vec::new(),
        };
        match &self.what {
            What::TopUp(top_up) => {
                transaction.code = Code::TopUp;
                transaction.legs = plan_top_up(top_up);
            }
            What::Gift(gift) => {
                transaction.contract = Some(gift.contract.version());
                transaction.legs = plan_gift(gift, book)?;
            }
            What::Release(release) => {
                transaction.code = Code::Release;
                transaction.legs = plan_release(release, book)?;
            }
            What::Reversal(reversal) => {
                transaction.code = reversal.why.code();
                transaction.reverses = Some(reversal.of);
                transaction.legs = plan_reversal(reversal, book)?;
            }
            What::Hold(hold) => {
                transaction.code = Code::Hold;
                let phase = Phase::Pending {
                    expires_at: hold.expires_at,
                };
                transaction.legs = vec![Leg {
                    debit: hold.from,
                    credit: hold.to,
                    amount: hold.amount,
                    phase,
                }];
            }
            What::Settlement(settlement) => {
                transaction.code = Code::Settle;
                transaction.legs = vec![plan_settlement(settlement, book)?];
            }
            What::Mark(mark) => {
                transaction.code = mark.code;
                transaction.subject = Some(mark.account);
            }
        }
        Ok(transaction)
    }
}

/// Which transaction it would be, and the hash of what was asked.
fn identify(what: &What) -> (TransactionId, Hash) {
    let mut asked = Canonical::of("barrage ledger request 1");
    let id = match what {
        What::TopUp(top_up) => {
            asked.text("top_up").text(&top_up.user.to_string());
            asked
                .text(top_up.currency.as_str())
                .number(top_up.paid.units());
            asked.number(top_up.coins.units());
            asked.maybe(top_up.bonus.map(Amount::units));
            let parts = [top_up.psp.as_str(), top_up.payment.as_str()];
            TransactionId::of_fact("top_up", &parts)
        }
        What::Gift(gift) => {
            asked.text("gift").text(&gift.channel.to_string());
            asked.text(gift.item.as_str()).number(gift.price.units());
            let parts = [&gift.sender.to_string(), gift.key.as_str()];
            TransactionId::of_fact("gift", &parts)
        }
        What::Release(release) => {
            asked.text("release");
            let parts = [&release.payee.to_string(), &*release.day.to_string()];
            TransactionId::of_fact("release", &parts)
        }
        What::Reversal(reversal) => {
            asked.text("reversal").text(reversal.why.code().as_str());
            TransactionId::of_fact("reversal", &[&reversal.of.to_string()])
        }
        What::Hold(hold) => {
            asked.text("hold").text(&hold.from.to_string());
            asked.text(&hold.to.to_string()).number(hold.amount.units());
            asked.maybe(hold.expires_at);
            TransactionId::of_fact("hold", &[hold.key.as_str()])
        }
        What::Settlement(settlement) => {
            let (word, amount) = match settlement.outcome {
                Outcome::Post(amount) => ("post", amount),
                Outcome::Void => ("void", None),
                Outcome::Expire => ("expire", None),
            };
            asked.text(word).maybe(amount.map(Amount::units));
            let TransferId { transaction, leg } = settlement.of;
            let parts = [&transaction.to_string(), &*leg.to_string()];
            TransactionId::of_fact("settlement", &parts)
        }
        What::Mark(mark) => {
            asked.text(mark.code.as_str());
            let parts = [&mark.account.to_string(), mark.key.as_str()];
            TransactionId::of_fact("mark", &parts)
        }
    };
    (id, asked.hash())
}

fn plan_top_up(top_up: &TopUp) -> Vec<Leg> {
    let money = |kind| AccountId {
        currency: top_up.currency,
        kind,
    };
    let clearing = money(Kind::PspClearing(top_up.psp));
    let wallet = AccountId::coin(Kind::Wallet(top_up.user));
    let wallet_promo = AccountId::coin(Kind::WalletPromo(top_up.user));
    let changed = AccountId::coin(Kind::Fx(top_up.currency));
    let mut legs = vec![
        Leg::single(clearing, money(Kind::Fx(Currency::COIN)), top_up.paid),
        Leg::single(changed, wallet, top_up.coins),
    ];
    let bonus = top_up
        .bonus
        .map(|bonus| Leg::single(AccountId::coin(Kind::Promo), wallet_promo, bonus));
    legs.extend(bonus);
    legs
}

fn plan_gift(gift: &Gift, book: &Book) -> Result<Vec<Leg>, Rejection> {
    let wallet = AccountId::coin(Kind::Wallet(gift.sender));
    let wallet_promo = AccountId::coin(Kind::WalletPromo(gift.sender));
    let paid = take(book, wallet, gift.price.units())?;
    let promo = take(book, wallet_promo, gift.price.units() - paid)?;
    if paid + promo < gift.price.units() {
        return Err(Rejection::ExceedsCredits(wallet));
    }
    let channel = Payee::Channel(gift.channel);
    let mut legs = Vec::with_capacity(4);
    if let Some(paid) = Amount::new(paid) {
        let shares = gift.contract.split(paid);
        for (payee, share) in payees(channel, shares) {
            let owed = AccountId::coin(Kind::ChargebackReceivable(payee));
            let repaid = take(book, owed, share.units())?;
            let held = AccountId::coin(Kind::EarnHeld(payee));
            for (account, units) in [(owed, repaid), (held, share.units() - repaid)] {
                let leg = Amount::new(units).map(|units| Leg::single(wallet, account, units));
                legs.extend(leg);
            }
        }
        let fee = |share| Leg::single(wallet, AccountId::coin(FEE_GIFT), share);
        legs.extend(shares.platform.map(fee));
    }
    if let Some(promo) = Amount::new(promo) {
        let shares = gift.contract.split(promo);
        for (payee, share) in payees(channel, shares) {
            let account = AccountId::coin(Kind::EarnPromo(payee));
            legs.push(Leg::single(wallet_promo, account, share));
        }
        let fee = |share| Leg::single(wallet_promo, AccountId::coin(FEE_GIFT_PROMO), share);
        legs.extend(shares.platform.map(fee));
    }
    Ok(legs)
}

/// Who earns what of the shares.
fn payees(channel: Payee, shares: Shares) -> impl Iterator<Item = (Payee, Amount)> {
    let streamer = shares.streamer.map(|share| (channel, share));
    let agency = shares.agency.map(|(id, share)| (Payee::Agency(id), share));
    streamer.into_iter().chain(agency)
}

fn plan_release(release: &Release, book: &Book) -> Result<Vec<Leg>, Rejection> {
    let held = AccountId::coin(Kind::EarnHeld(release.payee));
    let available = AccountId::coin(Kind::EarnAvailable(release.payee));
    let units = take(book, held, release.amount.units())?;
    let amount = Amount::new(units).ok_or(Rejection::NothingToDo)?;
    Ok(vec![Leg::single(held, available, amount)])
}

fn plan_reversal(reversal: &Reversal, book: &Book) -> Result<Vec<Leg>, Rejection> {
    let original = book.recorded(reversal.of);
    let original = original.ok_or(Rejection::TransactionUnknown(reversal.of))?;
    if original.is_reversed {
        return Err(Rejection::AlreadyReversed(reversal.of));
    }
    let Recorded {
        code,
        legs: Some(legs),
        ..
    } = original
    else {
        return Err(Rejection::TransactionUnknown(reversal.of));
    };
    match code {
        Code::Gift => take_back_gift(legs, reversal.why, book),
        Code::TopUp => take_back_top_up(legs, reversal.why, book),
        Code::Release
        | Code::Refund
        | Code::Chargeback
        | Code::MinorRefund
        | Code::Hold
        | Code::Settle
        | Code::Freeze
        | Code::Unfreeze
        | Code::Close => Err(Rejection::NotReversible(reversal.of)),
    }
}

fn take_back_gift(gift: &[Leg], why: Why, book: &Book) -> Result<Vec<Leg>, Rejection> {
    let mut legs = Vec::with_capacity(2 * gift.len());
    for leg in gift {
        let Kind::EarnHeld(payee) = leg.credit.kind else {
            legs.push(Leg::single(leg.credit, leg.debit, leg.amount));
            continue;
        };
        let mut missing = leg.amount.units();
        let available = AccountId::coin(Kind::EarnAvailable(payee));
        for account in [leg.credit, available] {
            let units = take(book, account, missing)?;
            missing -= units;
            let leg = Amount::new(units).map(|units| Leg::single(account, leg.debit, units));
            legs.extend(leg);
        }
        let owed = match why {
            Why::Minor => Kind::RefundLoss,
            Why::Refund | Why::Chargeback => Kind::ChargebackReceivable(payee),
        };
        let owed = AccountId::coin(owed);
        legs.extend(Amount::new(missing).map(|units| Leg::single(owed, leg.debit, units)));
    }
    Ok(legs)
}

fn take_back_top_up(top_up: &[Leg], why: Why, book: &Book) -> Result<Vec<Leg>, Rejection> {
    let mut legs = Vec::with_capacity(top_up.len() + 1);
    for leg in top_up {
        let units = match (leg.credit.kind, why) {
            (Kind::Wallet(_), Why::Chargeback | Why::Minor) => {
                take(book, leg.credit, leg.amount.units())?
            }
            // What was given away and spent is not asked for.
            (Kind::WalletPromo(_), _) => take(book, leg.credit, leg.amount.units())?,
            _ => leg.amount.units(),
        };
        let back = Amount::new(units).map(|units| Leg::single(leg.credit, leg.debit, units));
        legs.extend(back);
        if matches!(leg.credit.kind, Kind::Wallet(_)) {
            let loss = AccountId::coin(Kind::RefundLoss);
            let missing = Amount::new(leg.amount.units() - units);
            legs.extend(missing.map(|units| Leg::single(loss, leg.debit, units)));
        }
    }
    Ok(legs)
}

fn plan_settlement(settlement: &Settlement, book: &Book) -> Result<Leg, Rejection> {
    let Settlement { of, outcome } = *settlement;
    let pending = book.pending(of).ok_or(Rejection::PendingUnknown(of))?;
    let (amount, phase) = match outcome {
        Outcome::Post(amount) => (amount.unwrap_or(pending.leg.amount), Phase::Post(of)),
        Outcome::Void => (pending.leg.amount, Phase::Void(of)),
        Outcome::Expire => (pending.leg.amount, Phase::Expire(of)),
    };
    Ok(Leg {
        amount,
        phase,
        ..pending.leg
    })
}

/// So much of an account, or what there is. Nothing that is planned takes from one account twice.
fn take(book: &Book, id: AccountId, units: i64) -> Result<i64, Rejection> {
    if units == 0 {
        return Ok(0);
    }
    let account = book.account(&id);
    let account = account.ok_or(Rejection::AccountUnknown(id))?;
    Ok(units.min(account.available()).max(0))
}
