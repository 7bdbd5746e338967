//! Stripe, and what speaks like it: Checkout Sessions, refunds, signed webhooks (docs.stripe.com/api).

use gifts_core::{Currency, Name};
use http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::client::{Answer, Client};
use super::config::StripeConfig;
use super::event::{self, BadEvent, Event, Fact, Kind, Object};
use super::signature::{self, Secret};
use super::{Asked, Begun, Checkout, NoDeal, Open, PaymentProvider, Refund, Refunding};

/// How much of a refusal is told.
const MESSAGE_CHARS_MAX: usize = 300;

/// Longest address of a checkout.
const URL_BYTES_MAX: usize = 2_048;

/// Currencies whose smallest unit is another one to Stripe than to ISO 4217
/// (docs.stripe.com/currencies, "Special cases" and "Zero-decimal currencies").
const OTHER_UNITS: [&str; 4] = ["CLF", "ISK", "MGA", "UGX"];

/// Stripe.
pub struct Stripe {
    client: Client,
    secrets: Vec<Secret>,
}

/// Whether an amount means the same to Stripe as to us.
pub fn takes(currency: Currency, amount: i64) -> bool {
    // Of three digits behind the point it takes two.
    let is_whole = currency.digits() < 3 || amount % 10 == 0;
    is_whole && !OTHER_UNITS.contains(&currency.as_str())
}

impl Stripe {
    /// Its name in the ledger.
    pub const NAME: Name = Name::new("stripe").expect("a name");

    /// With this account.
    ///
    /// # Errors
    /// When its address cannot be read.
    pub fn new(config: &StripeConfig) -> anyhow::Result<Self> {
        let secrets = config.webhook_secrets.iter();
        Ok(Self {
            client: Client::new(&config.api_url, &config.secret_key)?,
            secrets: secrets
                .map(|secret| Secret::new(secret.as_bytes()))
                .collect(),
        })
    }

    async fn make_session(&self, checkout: &Checkout) -> Result<Begun, NoDeal> {
        let id = checkout.top_up.to_string();
        let currency = checkout.currency.as_str().to_ascii_lowercase();
        let (amount, until) = (checkout.amount.to_string(), checkout.until_s.to_string());
        let name = format!("{} coins", checkout.coins);
        let back = format!("{}/wallet?top_up={id}", checkout.origin);
        let form = [
            ("mode", "payment"),
            ("client_reference_id", &id),
            ("metadata[top_up]", &id),
            ("payment_intent_data[metadata][top_up]", &id),
            ("line_items[0][quantity]", "1"),
            ("line_items[0][price_data][currency]", &currency),
            ("line_items[0][price_data][unit_amount]", &amount),
            ("line_items[0][price_data][product_data][name]", &name),
            ("expires_at", &until),
            ("success_url", &back),
            ("cancel_url", &back),
        ];
        let path = "/v1/checkout/sessions";
        let asked = self.client.ask(Method::POST, path, Some(&id), &form).await;
        let session: Session = read(&asked?)?;
        let is_whole = session.id.len() <= 255 && session.url.len() <= URL_BYTES_MAX;
        let is_address = session.url.starts_with("https://") || session.url.starts_with("http://");
        if !is_whole || !is_address {
            return Err(NoDeal::Refused("its checkout has no address".into()));
        }
        Ok(Begun {
            id: session.id,
            url: session.url,
        })
    }

    async fn look_at(&self, open: &Open) -> Result<Option<Event>, NoDeal> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if !open.id.bytes().all(is_plain) {
            return Err(NoDeal::Refused("this is none of its checkouts".into()));
        }
        let path = format!("/v1/checkout/sessions/{}", open.id);
        let asked = self.client.ask(Method::GET, &path, None, &[]).await;
        let session: Object = read(&asked?)?;
        let fact = match (session.is_paid(), session.has_expired()) {
            (true, _) => Fact::Paid,
            (false, true) => Fact::Expired,
            (false, false) => return Ok(None),
        };
        let id = format!("asked-{}-{}", open.id, fact.as_str());
        let event = session.tells(id, Kind::Session(None), fact, open.now_s);
        let event = event.ok_or_else(|| NoDeal::Refused("its answer makes no sense".into()))?;
        Ok(Some(Event {
            top_up: Some(open.top_up),
            ..event
        }))
    }

    async fn give_back(&self, refund: &Refund) -> Result<Refunding, NoDeal> {
        let (once, top_up) = (refund.id.to_string(), refund.top_up.to_string());
        let form = [
            ("payment_intent", refund.payment.as_str()),
            ("metadata[top_up]", &top_up),
        ];
        let asked = self
            .client
            .ask(Method::POST, "/v1/refunds", Some(&once), &form)
            .await?;
        if code_of(&asked).as_deref() == Some("charge_already_refunded") {
            return Ok(Refunding::Done);
        }
        let made: Made = read(&asked)?;
        match made.status.as_str() {
            "succeeded" => Ok(Refunding::Done),
            "pending" | "requires_action" => Ok(Refunding::UnderWay),
            other => Err(NoDeal::Refused(format!("the refund is {other:.40}"))),
        }
    }
}

#[derive(Deserialize)]
struct Session {
    id: String,
    url: String,
}

#[derive(Deserialize)]
struct Made {
    status: String,
}

/// An answer that is what was asked for, or the refusal.
fn read<T: for<'a> Deserialize<'a>>((status, body): &Answer) -> Result<T, NoDeal> {
    if (200..300).contains(status) {
        let read = serde_json::from_slice(body);
        return read.map_err(|_| NoDeal::Refused("its answer makes no sense".into()));
    }
    let refusal: Option<Value> = serde_json::from_slice(body).ok();
    let message = refusal.and_then(|value| Some(value["error"]["message"].as_str()?.to_owned()));
    let message = message.unwrap_or_default();
    let message: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
    Err(NoDeal::Refused(format!("{message} (status {status})")))
}

fn code_of((status, body): &Answer) -> Option<String> {
    let refusal: Value = serde_json::from_slice(body).ok()?;
    let code = refusal["error"]["code"].as_str()?;
    (*status >= 400).then(|| code.to_owned())
}

impl PaymentProvider for Stripe {
    fn name(&self) -> Name {
        Self::NAME
    }

    fn begin<'a>(&'a self, checkout: &'a Checkout) -> Asked<'a, Begun> {
        Box::pin(self.make_session(checkout))
    }

    fn look<'a>(&'a self, open: &'a Open) -> Asked<'a, Option<Event>> {
        Box::pin(self.look_at(open))
    }

    fn refund<'a>(&'a self, refund: &'a Refund) -> Asked<'a, Refunding> {
        Box::pin(self.give_back(refund))
    }

    fn read(
        &self,
        signature: Option<&str>,
        body: &[u8],
        now_s: i64,
    ) -> Result<Option<Event>, BadEvent> {
        signature::verify(signature, body, &self.secrets, now_s)?;
        event::read(body)
    }

    fn is_out(&self) -> bool {
        self.client.is_out()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_that_it_would_read_otherwise_are_not_sent() {
        let takes = |code: &str, amount| takes(code.parse().unwrap(), amount);
        assert!(takes("CNY", 601) && takes("JPY", 7) && takes("KWD", 1_230));
        assert!(!takes("KWD", 1_231) && !takes("ISK", 100) && !takes("UGX", 100));
    }
}
