//! Coins are bought through a payment provider. It takes the money on a page of its own, and tells in signed
//! webhooks what has happened; what it says decides, not what a browser says that comes back from there.
//!
//! - [`config`]: which provider, and what is sold.
//! - [`event`]: facts, as they are read from a webhook.
//! - [`signature`]: that a webhook is the provider's.
//! - [`sandbox`]: a provider in the server itself, which takes no money.
//! - [`stripe`]: Stripe, and what speaks like it.
//! - `client`, `breaker`: how a provider is asked, and how long it is not.

use std::pin::Pin;

use gifts_core::command::Reference;
use gifts_core::{Amount, Currency, Name};
use uuid::Uuid;

mod breaker;
mod client;
pub mod config;
pub mod event;
pub mod sandbox;
pub mod signature;
pub mod stripe;

pub use config::{Pack, PaymentsConfig};
pub use event::{BadEvent, Event, Fact, Money};
pub use sandbox::Sandbox;
pub use stripe::Stripe;

use crate::gate::{Accepted, Gate, Order, Refused};

/// What comes of asking a provider, some time.
pub type Asked<'a, T> = Pin<Box<dyn Future<Output = Result<T, NoDeal>> + Send + 'a>>;

/// Takes money for us.
pub trait PaymentProvider: Send + Sync {
    /// Its name in the ledger and the database.
    fn name(&self) -> Name;

    /// Makes a page where somebody can pay. The same top-up again is the same page.
    fn begin<'a>(&'a self, checkout: &'a Checkout) -> Asked<'a, Begun>;

    /// Asks what became of a checkout; nothing, while it is open.
    fn look<'a>(&'a self, open: &'a Open) -> Asked<'a, Option<Event>>;

    /// Gives all of a payment back. The same refund again is the same.
    fn refund<'a>(&'a self, refund: &'a Refund) -> Asked<'a, Refunding>;

    /// Reads a webhook, if it is the provider's; nothing, if it is about something else.
    ///
    /// # Errors
    /// When it is not the provider's, too old, or makes no sense.
    fn read(
        &self,
        signature: Option<&str>,
        body: &[u8],
        now_s: i64,
    ) -> Result<Option<Event>, BadEvent>;

    /// Whether it is not asked at present because it has failed.
    fn is_out(&self) -> bool;
}

/// What is to be paid.
#[derive(Clone, Debug)]
pub struct Checkout {
    /// For which top-up.
    pub top_up: Uuid,
    /// In what.
    pub currency: Currency,
    /// How much.
    pub amount: Amount,
    /// How many coins that are, as the provider's page tells.
    pub coins: i64,
    /// How long it can be paid, in seconds since the Unix epoch.
    pub until_s: i64,
    /// Where who has paid, or does not want to, is led to; without a slash at the end.
    pub origin: String,
}

/// A page where somebody can pay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// What the provider calls it.
    pub id: String,
    /// Where it is.
    pub url: String,
}

/// A checkout of which nothing was heard.
#[derive(Clone, Debug)]
pub struct Open {
    /// For which top-up.
    pub top_up: Uuid,
    /// What the provider calls it.
    pub id: String,
    /// How long it can be paid, in seconds since the Unix epoch.
    pub until_s: i64,
    /// What it is now.
    pub now_s: i64,
}

/// A payment that is to be given back.
#[derive(Clone, Debug)]
pub struct Refund {
    /// Which refund: the same is done once.
    pub id: Uuid,
    /// Of which top-up.
    pub top_up: Uuid,
    /// Which payment.
    pub payment: Reference,
}

/// How a refund stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refunding {
    /// The money is on its way back.
    Done,
    /// It is not certain yet; a webhook will tell.
    UnderWay,
}

/// A provider did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoDeal {
    /// It did not answer, or cannot now. Whether it did it is not known.
    #[error("the payment provider cannot be reached")]
    Unavailable,
    /// It will not. In its own words.
    #[error("the payment provider refuses: {0}")]
    Refused(String),
}

/// Where what was paid goes to.
pub trait Till: Send + Sync {
    /// Asks the ledger for something, and waits until it is kept or refused.
    fn perform(
        &self,
        order: Order,
    ) -> Pin<Box<dyn Future<Output = Result<Accepted, Refused>> + Send + '_>>;
}

impl Till for Gate {
    fn perform(
        &self,
        order: Order,
    ) -> Pin<Box<dyn Future<Output = Result<Accepted, Refused>> + Send + '_>> {
        Box::pin(Self::perform(self, order))
    }
}
