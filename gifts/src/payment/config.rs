//! The settings of payments.

use std::collections::HashSet;

use gifts_core::{Amount, Currency};
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::stripe;

/// Most packs that are sold.
const PACKS_MAX: usize = 32;

/// Most coins of one pack, and most of what it costs: nothing that is added up comes near what can be written.
const UNITS_MAX: i64 = 1_000_000_000;

/// How coins are bought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PaymentsConfig {
    /// `sandbox`, `stripe`, or empty to sell none.
    pub provider: String,
    /// What is sold.
    pub packs: Vec<Pack>,
    /// The account at Stripe.
    pub stripe: StripeConfig,
}

/// So many coins for so much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// What a client names it by.
    pub id: String,
    /// A code of ISO 4217.
    pub currency: String,
    /// What it costs, in smallest units.
    pub amount: i64,
    /// How many coins it is.
    pub coins: i64,
    /// How many are given on top; they can be spent, and are never paid out.
    pub bonus: i64,
}

/// The account at Stripe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StripeConfig {
    /// What it knows us by.
    pub secret_key: String,
    /// What its webhooks are signed with. Two, while one is changed for the other.
    pub webhook_secrets: Vec<String>,
    /// Where it is.
    pub api_url: String,
}

impl Default for PaymentsConfig {
    fn default() -> Self {
        let pack = |id: &str, amount, coins, bonus| Pack {
            id: id.into(),
            currency: "CNY".into(),
            amount,
            coins,
            bonus,
        };
        Self {
            provider: "sandbox".into(),
            packs: vec![
                pack("6", 600, 60, 0),
                pack("30", 3_000, 300, 0),
                pack("68", 6_800, 680, 20),
                pack("328", 32_800, 3_280, 150),
                pack("648", 64_800, 6_480, 400),
            ],
            stripe: StripeConfig::default(),
        }
    }
}

impl Default for StripeConfig {
    fn default() -> Self {
        Self {
            secret_key: String::new(),
            webhook_secrets: Vec::new(),
            api_url: "https://api.stripe.com".into(),
        }
    }
}

impl PaymentsConfig {
    /// Checks what types alone cannot.
    ///
    /// # Errors
    /// At the first value that makes no sense.
    pub fn validate(&self, has_public_url: bool) -> Result<(), String> {
        match self.provider.as_str() {
            "" | "sandbox" => {}
            "stripe" => self.validate_stripe(has_public_url)?,
            other => {
                return Err(format!(
                    "`payments.provider` takes sandbox, stripe or nothing, not {other:?}"
                ));
            }
        }
        if self.packs.len() > PACKS_MAX {
            return Err(format!("`payments.packs` has at most {PACKS_MAX}"));
        }
        let mut known = HashSet::new();
        for pack in &self.packs {
            pack.validate()?;
            if !known.insert(&pack.id) {
                return Err(format!("`payments.packs` has two called {:?}", pack.id));
            }
        }
        Ok(())
    }

    fn validate_stripe(&self, has_public_url: bool) -> Result<(), String> {
        if !has_public_url {
            return Err(
                "`payments.provider` stripe needs `public_url`: who has paid is led back there"
                    .into(),
            );
        }
        if self.stripe.secret_key.is_empty() {
            return Err("`payments.stripe.secret_key` is empty".into());
        }
        let secrets = &self.stripe.webhook_secrets;
        if secrets.is_empty() || secrets.iter().any(String::is_empty) {
            return Err("`payments.stripe.webhook_secrets` is empty: nothing that is paid would be heard of".into());
        }
        Client::new(&self.stripe.api_url, &self.stripe.secret_key)
            .map_err(|error| format!("`payments.stripe.api_url`: {error:#}"))?;
        for pack in &self.packs {
            let currency = pack.currency.parse();
            if currency.is_ok_and(|currency| !stripe::takes(currency, pack.amount)) {
                return Err(format!(
                    "`payments.packs` {:?}: Stripe does not take {} {} as we mean it",
                    pack.id, pack.amount, pack.currency
                ));
            }
        }
        Ok(())
    }

    /// The pack of a name.
    pub fn pack(&self, id: &str) -> Option<&Pack> {
        self.packs.iter().find(|pack| pack.id == id)
    }

    /// The same without what opens anything, to be shown.
    #[must_use]
    pub fn redacted(&self) -> Self {
        let mut shown = self.clone();
        let secrets = &mut shown.stripe.webhook_secrets;
        for secret in secrets.iter_mut().chain([&mut shown.stripe.secret_key]) {
            if !secret.is_empty() {
                *secret = "…".into();
            }
        }
        shown
    }
}

impl Pack {
    fn validate(&self) -> Result<(), String> {
        let wrong = |why: &str| Err(format!("`payments.packs` {:?}: {why}", self.id));
        let is_plain = self.id.bytes().all(|byte| byte.is_ascii_graphic());
        if !(1..=32).contains(&self.id.len()) || !is_plain {
            return wrong("its id has 1 to 32 printable ASCII characters");
        }
        match self.currency.parse::<Currency>() {
            Ok(currency) if currency != Currency::COIN => {}
            Ok(_) | Err(_) => return wrong("its currency is no code of ISO 4217 in use"),
        }
        if !(1..=UNITS_MAX).contains(&self.amount) || !(1..=UNITS_MAX).contains(&self.coins) {
            return wrong("what it costs and its coins are between 1 and 1000000000");
        }
        if !(0..=UNITS_MAX).contains(&self.bonus) {
            return wrong("its bonus is between 0 and 1000000000");
        }
        Ok(())
    }

    /// Its currency and what it costs.
    ///
    /// # Panics
    /// When it was not validated.
    pub fn price(&self) -> (Currency, Amount) {
        let currency = self.currency.parse().expect("the pack was validated");
        let amount = Amount::new(self.amount).expect("the pack was validated");
        (currency, amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_good_and_what_makes_no_sense_is_named() {
        let error = |change: fn(&mut PaymentsConfig), has_public_url| {
            let mut config = PaymentsConfig::default();
            change(&mut config);
            config
                .validate(has_public_url)
                .expect_err("it makes no sense")
        };
        assert_eq!(PaymentsConfig::default().validate(false), Ok(()));
        assert!(error(|c| c.provider = "bank".into(), true).contains("payments.provider"));
        assert!(error(|c| c.provider = "stripe".into(), false).contains("public_url"));
        assert!(error(|c| c.provider = "stripe".into(), true).contains("secret_key"));
        assert!(error(|c| c.packs[0].amount = 0, true).contains("what it costs"));
        assert!(error(|c| c.packs[0].coins = i64::MAX, true).contains("coins"));
        assert!(error(|c| c.packs[0].bonus = -1, true).contains("bonus"));
        assert!(error(|c| c.packs[0].currency = "cny".into(), true).contains("currency"));
        assert!(error(|c| c.packs[0].currency = "COIN".into(), true).contains("currency"));
        assert!(error(|c| c.packs[0].id = "30".into(), true).contains("two called"));
        assert!(error(|c| c.packs[0].id.clear(), true).contains("its id"));
        let on = |c: &mut PaymentsConfig| {
            c.provider = "stripe".into();
            c.stripe.secret_key = "sk_x".into();
            c.stripe.webhook_secrets = vec!["whsec_x".into()];
        };
        let mut config = PaymentsConfig::default();
        on(&mut config);
        assert_eq!(config.validate(true), Ok(()));
        let shown = format!("{:?}", config.redacted());
        assert!(!shown.contains("sk_x") && !shown.contains("whsec_x"));
        config.packs[0].currency = "ISK".into();
        assert!(config.validate(true).is_err());
        config.packs.remove(0);
        config.stripe.api_url = "stripe".into();
        assert!(config.validate(true).unwrap_err().contains("api_url"));
    }
}
