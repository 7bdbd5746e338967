//! The chart of accounts, and what an account counts.
//!
//! | kind | class | limit | holds |
//! |---|---|---|---|
//! | `psp_clearing:PSP` | asset | | what a payment provider has taken for us and not paid out |
//! | `bank:ACCOUNT` | asset | | what is in a bank |
//! | `chargeback_receivable:PAYEE` | asset | credits ≤ debits | what somebody was paid for gifts that were taken back |
//! | `wallet:USER` | liability | debits ≤ credits | coins that were paid for |
//! | `wallet_promo:USER` | liability | debits ≤ credits | coins that were given away: can be spent, never paid out |
//! | `earn_held:PAYEE` | liability | debits ≤ credits | what was earned and may still be taken back |
//! | `earn_available:PAYEE` | liability | debits ≤ credits | what can be paid out |
//! | `earn_promo:PAYEE` | liability | debits ≤ credits | what was earned in coins given away: never paid out |
//! | `payout_in_transit:PAYEE` | liability | debits ≤ credits | what is on its way to a bank |
//! | `deferred_sub:PRODUCT` | liability | debits ≤ credits | subscriptions paid for and not yet given |
//! | `tax_withheld:AUTHORITY` | liability | debits ≤ credits | what is owed to a tax office |
//! | `vat:COUNTRY` | liability | debits ≤ credits | the same, of value added tax |
//! | `royalty_held:HOLDER` | liability | debits ≤ credits | what is owed to somebody who holds rights |
//! | `reserve:PAYEE` | liability | debits ≤ credits | what is kept back from somebody |
//! | `fee:WHAT` | income | | our share: `gift`, `gift-promo`, `sub`, `fx` |
//! | `breakage` | income | | what was paid for and never used |
//! | `psp_fee` | expense | | what payment providers keep |
//! | `refund_loss` | expense | | what was given back and could be had from nobody |
//! | `promo` | expense | | coins given away |
//! | `fx:CURRENCY` | equity | | the other side of what changed into or from a currency |
//!
//! PAYEE is `channel-UUID` or `agency-UUID`. In front of each stands its currency, as in
//! `COIN:wallet:UUID`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use wire::{AgencyId, ChannelId, UserId};

use crate::Micros;
use crate::money::Currency;

/// A short name in the identity of an account: 1 to 31 of `a-z`, `0-9` and the hyphen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name {
    len: u8,
    letters: [u8; 31],
}

impl Name {
    /// The text as a name, if it is one.
    pub const fn new(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let mut letters = [0; 31];
        if bytes.is_empty() || bytes.len() > letters.len() {
            return None;
        }
        let mut index = 0;
        while index < bytes.len() {
            if !matches!(bytes[index], b'a'..=b'z' | b'0'..=b'9' | b'-') {
                return None;
            }
            letters[index] = bytes[index];
            index += 1;
        }
        #[expect(clippy::cast_possible_truncation, reason = "31 at most")]
        let len = bytes.len() as u8;
        Some(Self { len, letters })
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.letters[..usize::from(self.len)]).expect("a name is ASCII")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// Who earns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Payee {
    /// Who broadcasts on a channel.
    Channel(ChannelId),
    /// Who has a share in what it earns.
    Agency(AgencyId),
}

impl fmt::Display for Payee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(id) => write!(f, "channel-{id}"),
            Self::Agency(id) => write!(f, "agency-{id}"),
        }
    }
}

impl FromStr for Payee {
    type Err = ParseAccountError;

    fn from_str(text: &str) -> Result<Self, ParseAccountError> {
        match text.split_once('-') {
            Some(("channel", id)) => id.parse().map(Self::Channel).map_err(|_| ParseAccountError),
            Some(("agency", id)) => id.parse().map(Self::Agency).map_err(|_| ParseAccountError),
            _ => Err(ParseAccountError),
        }
    }
}

/// What an account is for, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the table above says what each holds")]
pub enum Kind {
    PspClearing(Name),
    Bank(Name),
    ChargebackReceivable(Payee),
    Wallet(UserId),
    WalletPromo(UserId),
    EarnHeld(Payee),
    EarnAvailable(Payee),
    EarnPromo(Payee),
    PayoutInTransit(Payee),
    DeferredSub(Name),
    TaxWithheld(Name),
    Vat(Name),
    RoyaltyHeld(Name),
    Reserve(Payee),
    Fee(Name),
    Breakage,
    PspFee,
    RefundLoss,
    Promo,
    Fx(Currency),
}

/// On which side of the books an account stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "they are what accountants call them")]
pub enum Class {
    Asset,
    Liability,
    Equity,
    Income,
    Expense,
}

impl Class {
    /// Whether its balance grows by debits.
    pub const fn is_debit_normal(self) -> bool {
        matches!(self, Self::Asset | Self::Expense)
    }
}

/// What an account must not come to. Pending amounts count as if they were posted against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Anything goes.
    None,
    /// Debits are at most what is credited: nobody spends what is not there.
    Debits,
    /// Credits are at most what is debited: nobody pays back more than is owed.
    Credits,
}

impl Limit {
    /// As it is kept.
    pub const fn number(self) -> i64 {
        match self {
            Self::None => 0,
            Self::Debits => 1,
            Self::Credits => 2,
        }
    }
}

impl Kind {
    /// The word for it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::PspClearing(_) => "psp_clearing",
            Self::Bank(_) => "bank",
            Self::ChargebackReceivable(_) => "chargeback_receivable",
            Self::Wallet(_) => "wallet",
            Self::WalletPromo(_) => "wallet_promo",
            Self::EarnHeld(_) => "earn_held",
            Self::EarnAvailable(_) => "earn_available",
            Self::EarnPromo(_) => "earn_promo",
            Self::PayoutInTransit(_) => "payout_in_transit",
            Self::DeferredSub(_) => "deferred_sub",
            Self::TaxWithheld(_) => "tax_withheld",
            Self::Vat(_) => "vat",
            Self::RoyaltyHeld(_) => "royalty_held",
            Self::Reserve(_) => "reserve",
            Self::Fee(_) => "fee",
            Self::Breakage => "breakage",
            Self::PspFee => "psp_fee",
            Self::RefundLoss => "refund_loss",
            Self::Promo => "promo",
            Self::Fx(_) => "fx",
        }
    }

    /// Whose it is; empty for those of which there is one.
    pub fn owner(&self) -> String {
        match self {
            Self::PspClearing(name)
            | Self::Bank(name)
            | Self::DeferredSub(name)
            | Self::TaxWithheld(name)
            | Self::Vat(name)
            | Self::RoyaltyHeld(name)
            | Self::Fee(name) => name.to_string(),
            Self::ChargebackReceivable(payee)
            | Self::EarnHeld(payee)
            | Self::EarnAvailable(payee)
            | Self::EarnPromo(payee)
            | Self::PayoutInTransit(payee)
            | Self::Reserve(payee) => payee.to_string(),
            Self::Wallet(user) | Self::WalletPromo(user) => user.to_string(),
            Self::Fx(currency) => currency.to_string(),
            Self::Breakage | Self::PspFee | Self::RefundLoss | Self::Promo => String::new(),
        }
    }

    /// On which side it stands.
    pub const fn class(&self) -> Class {
        match self {
            Self::PspClearing(_) | Self::Bank(_) | Self::ChargebackReceivable(_) => Class::Asset,
            Self::Wallet(_)
            | Self::WalletPromo(_)
            | Self::EarnHeld(_)
            | Self::EarnAvailable(_)
            | Self::EarnPromo(_)
            | Self::PayoutInTransit(_)
            | Self::DeferredSub(_)
            | Self::TaxWithheld(_)
            | Self::Vat(_)
            | Self::RoyaltyHeld(_)
            | Self::Reserve(_) => Class::Liability,
            Self::Fee(_) | Self::Breakage => Class::Income,
            Self::PspFee | Self::RefundLoss | Self::Promo => Class::Expense,
            Self::Fx(_) => Class::Equity,
        }
    }

    /// What it must not come to.
    pub const fn limit(&self) -> Limit {
        if matches!(self, Self::ChargebackReceivable(_)) {
            return Limit::Credits;
        }
        match self.class() {
            Class::Liability => Limit::Debits,
            Class::Asset | Class::Equity | Class::Income | Class::Expense => Limit::None,
        }
    }

    fn of(word: &str, owner: &str) -> Option<Self> {
        let name = || Name::new(owner);
        let payee = || owner.parse::<Payee>().ok();
        let alone = |kind| owner.is_empty().then_some(kind);
        match word {
            "psp_clearing" => name().map(Self::PspClearing),
            "bank" => name().map(Self::Bank),
            "chargeback_receivable" => payee().map(Self::ChargebackReceivable),
            "wallet" => owner.parse().ok().map(Self::Wallet),
            "wallet_promo" => owner.parse().ok().map(Self::WalletPromo),
            "earn_held" => payee().map(Self::EarnHeld),
            "earn_available" => payee().map(Self::EarnAvailable),
            "earn_promo" => payee().map(Self::EarnPromo),
            "payout_in_transit" => payee().map(Self::PayoutInTransit),
            "deferred_sub" => name().map(Self::DeferredSub),
            "tax_withheld" => name().map(Self::TaxWithheld),
            "vat" => name().map(Self::Vat),
            "royalty_held" => name().map(Self::RoyaltyHeld),
            "reserve" => payee().map(Self::Reserve),
            "fee" => name().map(Self::Fee),
            "breakage" => alone(Self::Breakage),
            "psp_fee" => alone(Self::PspFee),
            "refund_loss" => alone(Self::RefundLoss),
            "promo" => alone(Self::Promo),
            "fx" => owner.parse().ok().map(Self::Fx),
            _ => None,
        }
    }
}

/// Which account.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId {
    /// In which currency; it has no other.
    pub currency: Currency,
    /// What for, and whose.
    pub kind: Kind,
}

impl AccountId {
    /// The account of a kind in coins.
    pub const fn coin(kind: Kind) -> Self {
        Self {
            currency: Currency::COIN,
            kind,
        }
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.currency, self.kind.word())?;
        let owner = self.kind.owner();
        if owner.is_empty() {
            return Ok(());
        }
        write!(f, ":{owner}")
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text names no account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an account is written CURRENCY:KIND or CURRENCY:KIND:OWNER")]
pub struct ParseAccountError;

impl FromStr for AccountId {
    type Err = ParseAccountError;

    fn from_str(text: &str) -> Result<Self, ParseAccountError> {
        let mut parts = text.splitn(3, ':');
        let currency = parts.next().and_then(|code| code.parse().ok());
        let word = parts.next().unwrap_or_default();
        let owner = parts.next();
        // One account has one spelling: no colon at the end.
        let kind = Kind::of(word, owner.unwrap_or_default()).filter(|_| owner != Some(""));
        match (currency, kind) {
            (Some(currency), Some(kind)) => Ok(Self { currency, kind }),
            _ => Err(ParseAccountError),
        }
    }
}

/// What was ever debited and credited, and what will be if it is not called off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is what it says")]
pub struct Counters {
    pub debits_pending: i64,
    pub debits_posted: i64,
    pub credits_pending: i64,
    pub credits_posted: i64,
}

/// An account as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Which.
    pub id: AccountId,
    /// Its number in the store; zero until something touches it.
    pub number: i64,
    /// What it counts.
    pub counters: Counters,
    /// The transfer that touched it last: a later balance has a greater one.
    pub version: i64,
    /// Since when nothing may be taken from it.
    pub frozen_at: Option<Micros>,
    /// Since when nothing may touch it.
    pub closed_at: Option<Micros>,
}

impl Account {
    /// One that nothing has touched.
    pub fn new(id: AccountId) -> Self {
        Self {
            id,
            number: 0,
            counters: Counters::default(),
            version: 0,
            frozen_at: None,
            closed_at: None,
        }
    }

    /// What is posted, on the side where it grows.
    pub const fn balance(&self) -> i64 {
        let counters = &self.counters;
        // Neither is negative, so that their difference can be written.
        if self.id.kind.class().is_debit_normal() {
            counters.debits_posted - counters.credits_posted
        } else {
            counters.credits_posted - counters.debits_posted
        }
    }

    /// What its limit leaves to be taken from it, or paid back into it: pending amounts are not there.
    pub const fn available(&self) -> i64 {
        let Counters {
            debits_pending,
            debits_posted,
            credits_pending,
            credits_posted,
        } = self.counters;
        match self.id.kind.limit() {
            Limit::None => i64::MAX,
            Limit::Debits => credits_posted - debits_posted - debits_pending,
            Limit::Credits => debits_posted - credits_posted - credits_pending,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn name() -> impl Strategy<Value = Name> {
        "[a-z0-9-]{1,31}".prop_map(|text| Name::new(&text).unwrap())
    }

    fn payee() -> impl Strategy<Value = Payee> {
        any::<(bool, u128)>().prop_map(|(channel, id)| {
            let id = Uuid::from_u128(id);
            if channel {
                Payee::Channel(ChannelId::from_uuid(id))
            } else {
                Payee::Agency(AgencyId::from_uuid(id))
            }
        })
    }

    fn kind() -> impl Strategy<Value = Kind> {
        let user = any::<u128>().prop_map(|id| UserId::from_uuid(Uuid::from_u128(id)));
        prop_oneof![
            name().prop_map(Kind::PspClearing),
            name().prop_map(Kind::Bank),
            payee().prop_map(Kind::ChargebackReceivable),
            user.clone().prop_map(Kind::Wallet),
            user.prop_map(Kind::WalletPromo),
            payee().prop_map(Kind::EarnHeld),
            payee().prop_map(Kind::EarnAvailable),
            payee().prop_map(Kind::EarnPromo),
            payee().prop_map(Kind::PayoutInTransit),
            name().prop_map(Kind::DeferredSub),
            name().prop_map(Kind::TaxWithheld),
            name().prop_map(Kind::Vat),
            name().prop_map(Kind::RoyaltyHeld),
            payee().prop_map(Kind::Reserve),
            name().prop_map(Kind::Fee),
            Just(Kind::Breakage),
            Just(Kind::PspFee),
            Just(Kind::RefundLoss),
            Just(Kind::Promo),
            Just(Kind::Fx(Currency::COIN)),
        ]
    }

    proptest! {
        #[test]
        fn an_account_reads_back_from_its_own_text(kind in kind(), coin in any::<bool>()) {
            let currency = if coin { Currency::COIN } else { "CNY".parse().unwrap() };
            let id = AccountId { currency, kind };
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn a_text_that_names_an_account_is_its_own(text in "(COIN|CNY):[a-z_]{0,12}:?[a-z-]{0,40}") {
            if let Ok(id) = text.parse::<AccountId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn a_name_is_one_to_31_letters_digits_and_hyphens() {
        for text in ["a", "z-09", &"x".repeat(31)] {
            assert_eq!(Name::new(text).unwrap().as_str(), text);
        }
        for text in ["", "A", "a b", "a_b", "é", "{", "/", ":", &"x".repeat(32)] {
            assert_eq!(Name::new(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_kept_is_in_the_balance_and_not_available() {
        let counted = |kind,
                       [
            debits_pending,
            debits_posted,
            credits_pending,
            credits_posted,
        ]: [i64; 4]| {
            let counters = Counters {
                debits_pending,
                debits_posted,
                credits_pending,
                credits_posted,
            };
            let account = Account {
                counters,
                ..Account::new(AccountId::coin(kind))
            };
            (account.balance(), account.available())
        };
        let user = UserId::from_uuid(Uuid::nil());
        let payee = Payee::Channel(ChannelId::from_uuid(Uuid::nil()));
        assert_eq!(counted(Kind::Wallet(user), [7, 20, 500, 100]), (80, 73));
        let owed = Kind::ChargebackReceivable(payee);
        assert_eq!(counted(owed, [500, 100, 7, 20]), (80, 73));
        assert_eq!(counted(Kind::Promo, [7, 20, 5, 100]), (-80, i64::MAX));
        assert_eq!(counted(Kind::Breakage, [7, 20, 5, 100]), (80, i64::MAX));
    }

    #[test]
    fn the_chart_above_is_the_chart() {
        let rows = include_str!("account.rs").lines();
        let rows = rows.filter_map(|line| line.strip_prefix("//! | `"));
        let mut count = 0;
        for row in rows {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            let text = cells[0].trim_end_matches('`');
            let (word, owner) = text.split_once(':').unwrap_or((text, ""));
            let owner = match owner {
                "PAYEE" => format!("channel-{}", Uuid::nil()),
                "USER" => Uuid::nil().to_string(),
                "CURRENCY" => "CNY".to_owned(),
                name => name.to_lowercase(),
            };
            let kind = Kind::of(word, &owner).expect("the chart names it");
            assert_eq!(format!("{:?}", kind.class()).to_lowercase(), cells[1]);
            let limit = match kind.limit() {
                Limit::None => "",
                Limit::Debits => "debits ≤ credits",
                Limit::Credits => "credits ≤ debits",
            };
            assert_eq!(limit, cells[2], "{word}");
            count += 1;
        }
        assert_eq!(count, 20);
    }
}
