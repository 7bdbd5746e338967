//! Coins are bought: a top-up is noted, the provider makes a checkout, and what the provider tells of it
//! later becomes what the ledger has. The database is never held while a provider or the ledger is asked.
//!
//! - `settle`: what one event comes to.
//! - `sweep`: what was left unfinished, and checkouts of which nothing was heard.

use std::sync::Arc;
use std::time::Duration;

use gifts::payment::sandbox::Outcome;
use gifts::payment::{
    Checkout, NoDeal, Pack, PaymentProvider, PaymentsConfig, Refund, Refunding, Sandbox, Stripe,
    Till,
};
use kit::clock;
use media::WallTime;
use uuid::Uuid;
use wire::UserId;

use crate::error::ApiError;
use crate::secrets::ServerKey;
use crate::store::top_ups::{self, NewTopUp, State, TopUp, WantedRefund};
use crate::store::{Store, provider_events::Kept};

mod settle;
mod sweep;

/// How long a checkout can be paid. Stripe takes half an hour to a day.
const CHECKOUT_FOR: Duration = Duration::from_hours(1);

/// How long after a checkout was made, or a refund was asked for, the provider is asked about it.
const ASK_AFTER: Duration = Duration::from_mins(2);

/// Top-ups of one person that can be open.
const OPEN_MAX: i64 = 5;

/// What coins are bought with.
pub struct Payments {
    store: Store,
    config: PaymentsConfig,
    provider: Option<Arc<dyn PaymentProvider>>,
    sandbox: Option<Arc<Sandbox>>,
    till: Arc<dyn Till>,
}

/// Why an event is to be told again.
#[derive(Debug, thiserror::Error)]
pub enum Unsettled {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The ledger does not answer now.
    #[error("the ledger cannot take it now")]
    Ledger,
}

impl From<Unsettled> for ApiError {
    fn from(why: Unsettled) -> Self {
        match why {
            Unsettled::Database(error) => Self::Database(error),
            Unsettled::Ledger => Self::PaymentsUnavailable,
        }
    }
}

impl Payments {
    /// Through the configured provider, into this till.
    ///
    /// # Errors
    /// When the provider cannot be had.
    pub fn new(
        store: Store,
        config: PaymentsConfig,
        till: Arc<dyn Till>,
        server_key: &ServerKey,
    ) -> anyhow::Result<Self> {
        let is = |name: &str| config.provider == name;
        let sandbox = is("sandbox").then(|| Arc::new(Sandbox::new(&server_key.payments_key())));
        let provider: Option<Arc<dyn PaymentProvider>> = match &sandbox {
            Some(sandbox) => Some(Arc::<Sandbox>::clone(sandbox)),
            None if is("stripe") => Some(Arc::new(Stripe::new(&config.stripe)?)),
            None => None,
        };
        if sandbox.is_some() {
            tracing::info!(
                "coins cost nothing: set `payments.provider` before anything is owed for them"
            );
        }
        Ok(Self {
            store,
            config,
            provider,
            sandbox,
            till,
        })
    }

    /// The name of the provider, if there is one.
    pub fn provider(&self) -> Option<String> {
        let provider = self.provider.as_ref();
        provider.map(|provider| provider.name().to_string())
    }

    /// What is sold.
    pub fn packs(&self) -> &[Pack] {
        match self.provider {
            Some(_) => &self.config.packs,
            None => &[],
        }
    }

    fn open_for_business(&self) -> Result<&Arc<dyn PaymentProvider>, ApiError> {
        self.provider.as_ref().ok_or(ApiError::PaymentsOff)
    }

    /// Notes that somebody buys a pack, and has the provider make a page where they can pay. The same
    /// request again is the same top-up.
    ///
    /// # Errors
    /// When it cannot be bought now, or the request was another one.
    pub async fn buy(
        &self,
        owner: UserId,
        pack: &str,
        request_key: &str,
        origin: &str,
    ) -> Result<TopUp, ApiError> {
        let provider = self.open_for_business()?;
        let (sold, now) = (self.config.pack(pack), clock::now());
        let mut transaction = self.store.begin().await?;
        let known = top_ups::of_request(&mut transaction, owner, request_key).await?;
        let top_up = if let Some(known) = known {
            if known.pack != pack {
                return Err(ApiError::KeyUsed);
            }
            known
        } else {
            let sold = sold.ok_or(ApiError::NoSuch("pack"))?;
            if provider.is_out() {
                return Err(ApiError::PaymentsUnavailable);
            }
            if top_ups::open_of(&mut transaction, owner).await? >= OPEN_MAX {
                return Err(ApiError::LimitReached {
                    what: "open top-ups",
                    max: OPEN_MAX,
                });
            }
            let top_up = new_top_up(owner, sold, &provider.name().to_string(), now);
            let new = NewTopUp {
                top_up: &top_up,
                request_key,
            };
            top_ups::insert(&mut transaction, &new, now + ASK_AFTER).await?;
            top_up
        };
        transaction.commit().await?;
        if top_up.checkout.is_some() || top_up.state != State::Open {
            return Ok(top_up);
        }
        self.begin_checkout(provider, top_up, origin).await
    }

    async fn begin_checkout(
        &self,
        provider: &Arc<dyn PaymentProvider>,
        top_up: TopUp,
        origin: &str,
    ) -> Result<TopUp, ApiError> {
        let amount = gifts_core::Amount::new(top_up.amount);
        let checkout = Checkout {
            top_up: top_up.id,
            currency: top_up.currency,
            amount: amount
                .ok_or_else(|| ApiError::Internal(anyhow::anyhow!("it costs nothing")))?,
            coins: top_up.coins + top_up.bonus,
            until_s: top_up.expires_at.as_micros() / 1_000_000,
            origin: origin.to_owned(),
        };
        let begun = match provider.begin(&checkout).await {
            Ok(begun) => begun,
            Err(NoDeal::Unavailable) => return Err(ApiError::PaymentsUnavailable),
            Err(NoDeal::Refused(why)) => {
                tracing::error!(top_up.id = %top_up.id, why, "the payment provider refuses a checkout");
                self.store
                    .move_top_up(top_up.id, [State::Open, State::Open], State::Failed)
                    .await?;
                return Err(ApiError::PaymentRefused(why));
            }
        };
        self.store
            .set_checkout(top_up.id, &begun.id, &begun.url)
            .await?;
        tracing::info!(top_up.id = %top_up.id, provider = top_up.provider, "began a top-up");
        Ok(TopUp {
            checkout: Some((begun.id, begun.url)),
            ..top_up
        })
    }

    /// Takes a webhook of the provider of this name: what it tells is kept before it is answered.
    ///
    /// # Errors
    /// When it is not the provider's, or is to be told again.
    pub async fn hear(
        &self,
        name: &str,
        signature: Option<&str>,
        body: &[u8],
    ) -> Result<(), ApiError> {
        let provider = self.provider.as_ref();
        let provider = provider.filter(|provider| provider.name().as_str() == name);
        let provider = provider.ok_or(ApiError::NoSuch("payment provider"))?;
        let now = clock::now();
        let event = provider
            .read(signature, body, now.as_micros() / 1_000_000)
            .map_err(|why| ApiError::BadWebhook(why.to_string()))?;
        match event {
            Some(event) => Ok(self.take(name, &event, now).await?),
            None => Ok(()),
        }
    }

    /// A checkout of the sandbox, for who is to pay it.
    ///
    /// # Errors
    /// When there is none.
    pub async fn sandbox_checkout(&self, owner: UserId, id: Uuid) -> Result<TopUp, ApiError> {
        let missing = || ApiError::NoSuch("checkout");
        self.sandbox.as_ref().ok_or_else(missing)?;
        let found = self.store.top_up(id).await?;
        let own = found.filter(|found| {
            found.owner == owner
                && found.provider == Sandbox::NAME.as_str()
                && found.checkout.is_some()
        });
        own.ok_or_else(missing)
    }

    /// What somebody says becomes of their checkout in the sandbox.
    ///
    /// # Errors
    /// When there is none that is open, or it is to be said again.
    pub async fn answer_sandbox(
        &self,
        owner: UserId,
        id: Uuid,
        outcome: Outcome,
    ) -> Result<TopUp, ApiError> {
        let top_up = self.sandbox_checkout(owner, id).await?;
        let now = clock::now();
        if let Some(sandbox) = &self.sandbox
            && top_up.state == State::Open
            && now < top_up.expires_at
        {
            let now_s = now.as_micros() / 1_000_000;
            let webhook = sandbox.answer(id, top_up.currency, top_up.amount, outcome, now_s);
            let (name, body) = (Sandbox::NAME, webhook.body.as_bytes());
            self.hear(name.as_str(), Some(&webhook.signature), body)
                .await?;
        }
        self.sandbox_checkout(owner, id).await
    }

    /// Gives a top-up back, at the provider and then in the ledger.
    ///
    /// # Errors
    /// When it was not paid, or that cannot be done now: what was begun goes on by itself.
    pub async fn refund(
        &self,
        id: Uuid,
        is_minor: bool,
        by: UserId,
        reason: &str,
    ) -> Result<TopUp, ApiError> {
        let found = || async {
            let found = self.store.top_up(id).await?;
            found.ok_or(ApiError::NoSuch("top-up"))
        };
        let top_up = found().await?;
        match top_up.state {
            State::Paid | State::Disputed => {}
            State::Refunded => return Ok(top_up),
            State::Open | State::Failed | State::Expired => {
                return Err(ApiError::NotRefundable(top_up.state.as_str()));
            }
        }
        let provider = self.open_for_business()?;
        if top_up.provider != provider.name().as_str() {
            return Err(ApiError::PaymentRefused(format!(
                "{} took this payment, and is not configured",
                top_up.provider
            )));
        }
        if provider.is_out() {
            return Err(ApiError::PaymentsUnavailable);
        }
        let (now, wanted) = (clock::now(), Uuid::now_v7());
        let wanted = WantedRefund {
            id: wanted,
            is_minor,
        };
        self.store
            .want_refund(id, &wanted, (by, reason), now, now + ASK_AFTER)
            .await?;
        self.give_back(&found().await?).await?;
        found().await
    }

    /// Has the provider make the refund that is wanted of a top-up, and does what that comes to.
    async fn give_back(&self, top_up: &TopUp) -> Result<(), ApiError> {
        let provider = self.open_for_business()?;
        let (Some(wanted), Some(payment)) = (&top_up.refund, top_up.payment) else {
            return Ok(());
        };
        let refund = Refund {
            id: wanted.id,
            top_up: top_up.id,
            payment,
        };
        let now = clock::now();
        match provider.refund(&refund).await {
            Ok(Refunding::Done) => {}
            // A webhook tells how it ends.
            Ok(Refunding::UnderWay) => {
                return Ok(self.store.ask_about_top_up(top_up.id, None).await?);
            }
            Err(NoDeal::Unavailable) => return Err(ApiError::PaymentsUnavailable),
            Err(NoDeal::Refused(why)) => {
                tracing::error!(top_up.id = %top_up.id, why, "the payment provider refuses a refund");
                self.store.forget_refund(top_up.id, wanted.id).await?;
                return Err(ApiError::PaymentRefused(why));
            }
        }
        let event = gifts::payment::Event {
            id: format!("refund-{}", wanted.id),
            fact: gifts::payment::Fact::Refunded,
            top_up: Some(top_up.id),
            payment: Some(payment),
            money: Some(gifts::payment::Money {
                currency: top_up.currency.to_string(),
                amount: top_up.amount,
            }),
            object: None,
            occurred_at: now.as_micros(),
        };
        // From here on the event is what is left to do, and not the refund.
        self.take(&top_up.provider, &event, now).await?;
        Ok(self.store.ask_about_top_up(top_up.id, None).await?)
    }
}

fn new_top_up(owner: UserId, pack: &Pack, provider: &str, now: WallTime) -> TopUp {
    let (currency, amount) = pack.price();
    TopUp {
        id: Uuid::now_v7(),
        owner,
        pack: pack.id.clone(),
        provider: provider.to_owned(),
        currency,
        amount: amount.units(),
        coins: pack.coins,
        bonus: pack.bonus,
        state: State::Open,
        checkout: None,
        payment: None,
        made_at: now,
        expires_at: now + CHECKOUT_FOR,
        paid_at: None,
        refund: None,
    }
}

/// How long an event that was tried so often rests.
fn pause(of: &Kept) -> Duration {
    let doubled = u32::try_from(of.attempts).unwrap_or(u32::MAX).min(10);
    Duration::from_secs((5_u64 << doubled).min(3_600))
}
