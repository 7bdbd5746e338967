//! A provider in the server itself, for trying things out and for tests. It takes no money: on a page of ours
//! who buys says what becomes of it. What they say comes as a signed webhook, through the same door and in the
//! same form as Stripe's.

use gifts_core::{Currency, Name};
use serde_json::json;
use uuid::Uuid;

use super::event::{self, BadEvent, Event, Fact};
use super::signature::{self, Secret};
use super::{Asked, Begun, Checkout, Open, PaymentProvider, Refund, Refunding};

/// The provider in the server.
#[derive(Debug)]
pub struct Sandbox {
    secrets: [Secret; 1],
}

/// What becomes of a checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is paid.
    Pay,
    /// It is not.
    Decline,
}

/// A webhook as it is sent.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// The header that signs it.
    pub signature: String,
    /// The body.
    pub body: String,
}

impl Sandbox {
    /// Its name in the ledger.
    pub const NAME: Name = Name::new("sandbox").expect("a name");

    /// One that signs with these bytes.
    pub fn new(secret: &[u8]) -> Self {
        Self {
            secrets: [Secret::new(secret)],
        }
    }

    /// What it tells once somebody has said what becomes of a checkout.
    pub fn answer(
        &self,
        top_up: Uuid,
        currency: Currency,
        amount: i64,
        outcome: Outcome,
        now_s: i64,
    ) -> Webhook {
        let (kind, status) = match outcome {
            Outcome::Pay => ("checkout.session.completed", "paid"),
            Outcome::Decline => ("checkout.session.async_payment_failed", "unpaid"),
        };
        let session = json!({
            "id": checkout_id(top_up),
            "object": "checkout.session",
            "client_reference_id": top_up,
            "payment_intent": payment_id(top_up),
            "payment_status": status,
            "currency": currency.as_str().to_ascii_lowercase(),
            "amount_total": amount,
        });
        let body = json!({
            "id": format!("evt_{}", Uuid::now_v7().simple()),
            "object": "event",
            "type": kind,
            "created": now_s,
            "data": { "object": session },
        })
        .to_string();
        Webhook {
            signature: signature::sign(&self.secrets[0], now_s, body.as_bytes()),
            body,
        }
    }
}

fn checkout_id(top_up: Uuid) -> String {
    format!("cs_{}", top_up.simple())
}

fn payment_id(top_up: Uuid) -> String {
    format!("pi_{}", top_up.simple())
}

impl PaymentProvider for Sandbox {
    fn name(&self) -> Name {
        Self::NAME
    }

    fn begin<'a>(&'a self, checkout: &'a Checkout) -> Asked<'a, Begun> {
        let begun = Begun {
            id: checkout_id(checkout.top_up),
            url: format!("/pay/{}", checkout.top_up),
        };
        Box::pin(async { Ok(begun) })
    }

    fn look<'a>(&'a self, open: &'a Open) -> Asked<'a, Option<Event>> {
        let has_expired = open.now_s >= open.until_s;
        let event = has_expired.then(|| Event {
            id: format!("asked-{}-expired", open.id),
            fact: Fact::Expired,
            top_up: Some(open.top_up),
            payment: None,
            money: None,
            object: None,
            occurred_at: open.until_s.saturating_mul(1_000_000),
        });
        Box::pin(async { Ok(event) })
    }

    fn refund<'a>(&'a self, _refund: &'a Refund) -> Asked<'a, Refunding> {
        Box::pin(async { Ok(Refunding::Done) })
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
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_tells_goes_through_the_door() {
        let (sandbox, top_up) = (Sandbox::new(b"secret"), Uuid::now_v7());
        let currency = "CNY".parse().unwrap();
        let webhook = sandbox.answer(top_up, currency, 600, Outcome::Pay, 1_000);
        let read = |sandbox: &Sandbox, now_s| {
            sandbox.read(Some(&webhook.signature), webhook.body.as_bytes(), now_s)
        };
        let event = read(&sandbox, 1_001).unwrap().unwrap();
        assert_eq!((event.fact, event.top_up), (Fact::Paid, Some(top_up)));
        assert!(read(&Sandbox::new(b"other"), 1_001).is_err());
        assert!(read(&sandbox, 2_000).is_err());
        let declined = sandbox.answer(top_up, currency, 600, Outcome::Decline, 1_000);
        let signature = Some(declined.signature.as_str());
        let event = sandbox.read(signature, declined.body.as_bytes(), 1_000);
        assert_eq!(event.unwrap().unwrap().fact, Fact::Failed);
    }
}
