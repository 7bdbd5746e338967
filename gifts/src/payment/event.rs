//! What a webhook tells, in the form of Stripe's events. Only what is needed of them is read, and only of
//! the kinds that tell a fact.
//!
//! | event | fact |
//! |---|---|
//! | `checkout.session.completed` that is paid, `checkout.session.async_payment_succeeded`, `payment_intent.succeeded` | paid |
//! | `checkout.session.async_payment_failed`, `payment_intent.canceled` | failed |
//! | `checkout.session.expired` | expired |
//! | `charge.refunded` | refunded, so much of it in all |
//! | `charge.dispute.created`, `charge.dispute.funds_withdrawn` | disputed |
//! | `charge.dispute.closed` | won or lost |
//!
//! A card that is refused (`payment_intent.payment_failed`) is no fact: another may be tried on the same page.

use gifts_core::Micros;
use gifts_core::command::Reference;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::signature::BadSignature;

/// Longest identity of an event.
const ID_BYTES_MAX: usize = 255;

/// Longest name of a currency.
const CURRENCY_BYTES_MAX: usize = 8;

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// It was paid.
    Paid,
    /// It will not be paid.
    Failed,
    /// It was not paid in time.
    Expired,
    /// So much of it, in all, was given back.
    Refunded,
    /// A bank asks for it back.
    Disputed,
    /// The bank leaves it to us.
    DisputeWon,
    /// The bank has taken it back.
    DisputeLost,
}

impl Fact {
    /// Each of them.
    pub const ALL: [Self; 7] = [
        Self::Paid,
        Self::Failed,
        Self::Expired,
        Self::Refunded,
        Self::Disputed,
        Self::DisputeWon,
        Self::DisputeLost,
    ];

    /// Its name, as it is kept.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Refunded => "refunded",
            Self::Disputed => "disputed",
            Self::DisputeWon => "dispute_won",
            Self::DisputeLost => "dispute_lost",
        }
    }

    /// The fact of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fact| fact.as_str() == name)
    }
}

/// An amount as a provider tells it, in whatever currency that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Money {
    /// A code of ISO 4217, in capitals.
    pub currency: String,
    /// In smallest units.
    pub amount: i64,
}

/// Something that a provider tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What the provider calls this telling of it.
    pub id: String,
    /// What has happened.
    pub fact: Fact,
    /// To which top-up, if it says so itself.
    pub top_up: Option<Uuid>,
    /// To which payment.
    pub payment: Option<Reference>,
    /// What was paid, or given back in all.
    pub money: Option<Money>,
    /// What it is about, besides: of a dispute, which.
    pub object: Option<Reference>,
    /// When, by the provider's clock.
    pub occurred_at: Micros,
}

/// Why a webhook is not taken.
#[derive(Debug, thiserror::Error)]
pub enum BadEvent {
    /// It is not the provider's.
    #[error(transparent)]
    Signature(#[from] BadSignature),
    /// It makes no sense.
    #[error("the event cannot be read")]
    Unreadable,
}

#[derive(Deserialize)]
struct Envelope {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    created: i64,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    object: Value,
}

/// Of a checkout session, a payment intent, a charge or a dispute, what any of them has.
#[derive(Deserialize)]
pub(super) struct Object {
    id: String,
    payment_intent: Option<String>,
    client_reference_id: Option<String>,
    #[serde(default)]
    metadata: Metadata,
    currency: Option<String>,
    amount: Option<i64>,
    amount_total: Option<i64>,
    amount_refunded: Option<i64>,
    payment_status: Option<String>,
    status: Option<String>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    top_up: Option<String>,
}

/// Reads the body of a webhook; nothing, if it tells no fact.
///
/// # Errors
/// When it makes no sense.
pub fn read(body: &[u8]) -> Result<Option<Event>, BadEvent> {
    let envelope: Envelope = serde_json::from_slice(body).map_err(|_| BadEvent::Unreadable)?;
    let is_id = |id: &str| id.bytes().all(|byte| byte.is_ascii_graphic());
    if !(1..=ID_BYTES_MAX).contains(&envelope.id.len()) || !is_id(&envelope.id) {
        return Err(BadEvent::Unreadable);
    }
    let Some(kind) = Kind::of(&envelope.kind) else {
        return Ok(None);
    };
    let object = Object::deserialize(envelope.data.object).map_err(|_| BadEvent::Unreadable)?;
    let Some(fact) = kind.fact(&object) else {
        return Ok(None);
    };
    let event = object.tells(envelope.id, kind, fact, envelope.created);
    event.map(Some).ok_or(BadEvent::Unreadable)
}

/// What an event is about.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Session(Option<Fact>),
    Intent(Fact),
    Charge,
    Dispute(Option<Fact>),
}

impl Kind {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "checkout.session.completed" => Self::Session(None),
            "checkout.session.async_payment_succeeded" => Self::Session(Some(Fact::Paid)),
            "checkout.session.async_payment_failed" => Self::Session(Some(Fact::Failed)),
            "checkout.session.expired" => Self::Session(Some(Fact::Expired)),
            "payment_intent.succeeded" => Self::Intent(Fact::Paid),
            "payment_intent.canceled" => Self::Intent(Fact::Failed),
            "charge.refunded" => Self::Charge,
            "charge.dispute.created" | "charge.dispute.funds_withdrawn" => {
                Self::Dispute(Some(Fact::Disputed))
            }
            "charge.dispute.closed" => Self::Dispute(None),
            _ => return None,
        })
    }

    fn fact(self, object: &Object) -> Option<Fact> {
        match self {
            Self::Session(None) => object.is_paid().then_some(Fact::Paid),
            Self::Session(Some(fact)) | Self::Intent(fact) | Self::Dispute(Some(fact)) => {
                Some(fact)
            }
            Self::Charge => Some(Fact::Refunded),
            Self::Dispute(None) => match object.status.as_deref() {
                Some("lost") => Some(Fact::DisputeLost),
                // An inquiry that came to nothing took nothing either.
                Some("won" | "warning_closed") => Some(Fact::DisputeWon),
                Some(_) | None => None,
            },
        }
    }
}

impl Object {
    pub(super) fn is_paid(&self) -> bool {
        self.payment_status.as_deref() == Some("paid")
    }

    pub(super) fn has_expired(&self) -> bool {
        self.status.as_deref() == Some("expired")
    }

    /// The event that tells a fact of it, unless something in it makes no sense.
    pub(super) fn tells(self, id: String, kind: Kind, fact: Fact, created_s: i64) -> Option<Event> {
        let (payment, amount) = match kind {
            Kind::Session(_) => (self.payment_intent, self.amount_total),
            Kind::Intent(_) => (Some(self.id.clone()), self.amount),
            Kind::Charge => (self.payment_intent, self.amount_refunded),
            Kind::Dispute(_) => (self.payment_intent, self.amount),
        };
        let payment = match payment {
            Some(text) => Some(Reference::new(&text)?),
            None => None,
        };
        let named = self.client_reference_id.or(self.metadata.top_up);
        let currency = self.currency.unwrap_or_default().to_ascii_uppercase();
        if currency.len() > CURRENCY_BYTES_MAX {
            return None;
        }
        Some(Event {
            id,
            fact,
            // Another program may use the same account, and names of its own.
            top_up: named.and_then(|text| text.parse().ok()),
            payment,
            money: amount.map(|amount| Money { currency, amount }),
            object: Reference::new(&self.id),
            occurred_at: created_s.checked_mul(1_000_000)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TOP_UP: &str = "01a1fdf6-9c6c-7189-ab4f-2d7777a7ec9d";

    fn told(kind: &str, object: &Value) -> Result<Option<Event>, BadEvent> {
        let event =
            json!({ "id": "evt_1", "type": kind, "created": 7, "data": { "object": object } });
        read(event.to_string().as_bytes())
    }

    fn fact(kind: &str, object: &Value) -> Option<Fact> {
        told(kind, object).unwrap().map(|event| event.fact)
    }

    #[test]
    fn both_tellings_of_a_payment_name_the_same() {
        let session = json!({ "id": "cs_1", "payment_intent": "pi_1", "client_reference_id": TOP_UP,
            "currency": "cny", "amount_total": 600, "payment_status": "paid" });
        let intent = json!({ "id": "pi_1", "metadata": { "top_up": TOP_UP }, "currency": "cny",
            "amount": 600 });
        let one = told("checkout.session.completed", &session)
            .unwrap()
            .unwrap();
        let other = told("payment_intent.succeeded", &intent).unwrap().unwrap();
        for event in [&one, &other] {
            assert_eq!(event.fact, Fact::Paid);
            assert_eq!(event.top_up, Some(TOP_UP.parse().unwrap()));
            assert_eq!(event.payment, Reference::new("pi_1"));
            let money = Money {
                currency: "CNY".into(),
                amount: 600,
            };
            assert_eq!(event.money, Some(money));
            assert_eq!(event.occurred_at, 7_000_000);
        }
    }

    #[test]
    fn facts_are_told_apart_from_what_is_on_its_way() {
        let unpaid = json!({ "id": "cs_1", "payment_status": "unpaid" });
        assert_eq!(fact("checkout.session.completed", &unpaid), None);
        let failed = fact("checkout.session.async_payment_failed", &unpaid);
        assert_eq!(failed, Some(Fact::Failed));
        assert_eq!(
            fact("checkout.session.expired", &unpaid),
            Some(Fact::Expired)
        );
        assert_eq!(
            fact("payment_intent.payment_failed", &json!({ "id": 5 })),
            None
        );
        assert_eq!(fact("customer.created", &json!("anything")), None);
        for (status, expected) in [
            ("won", Some(Fact::DisputeWon)),
            ("warning_closed", Some(Fact::DisputeWon)),
            ("lost", Some(Fact::DisputeLost)),
            ("under_review", None),
        ] {
            let dispute = json!({ "id": "dp_1", "payment_intent": "pi_1", "status": status });
            assert_eq!(
                fact("charge.dispute.closed", &dispute),
                expected,
                "{status}"
            );
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let overflow = format!(
            r#"{{"id":"e","type":"charge.refunded","created":1,"data":{{"object":{{"id":"ch_1","amount_refunded":{}0}}}}}}"#,
            i64::MAX
        );
        let late = json!({ "id": "e", "type": "charge.refunded", "created": i64::MAX,
            "data": { "object": { "id": "ch_1" } } });
        let nameless = json!({ "id": "", "type": "x", "created": 1, "data": { "object": 1 } });
        let deep = "[".repeat(100_000);
        for body in [
            "",
            "{}",
            "null",
            &overflow,
            &late.to_string(),
            &nameless.to_string(),
            &deep,
        ] {
            assert!(read(body.as_bytes()).is_err(), "{body:.60}");
        }
        let kind = "payment_intent.succeeded";
        for object in [
            json!({ "id": "pi_1", "amount": 6.5 }),
            json!({ "id": "pi 1" }),
            json!({ "id": "p".repeat(65) }),
            json!({ "id": "pi_1", "currency": "x".repeat(9) }),
            json!({ "id": null }),
            json!([]),
        ] {
            assert!(told(kind, &object).is_err(), "{object}");
        }
    }
}
