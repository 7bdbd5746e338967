//! What one event comes to. It does not matter in which order events come, how often, and under how many
//! identities: what the ledger does follows from the fact, and is done once.
//!
//! | fact | of a top-up that is | comes to |
//! |---|---|---|
//! | paid | any | the coins are in the wallet: paid |
//! | failed, expired | open | failed, expired |
//! | refunded, all of it | paid, disputed | taken back: refunded |
//! | refunded, some of it | paid, disputed | nothing; an operator decides |
//! | disputed | paid | the wallet is frozen: disputed |
//! | dispute won | disputed | the wallet is free again: paid |
//! | dispute lost | paid, disputed | taken back, what is missing is our loss; stays frozen: disputed |
//! | any of the last five | open, failed, expired | waits until it is paid |
//!
//! Money that came and is not what was asked for is credited to nobody by itself; the log tells.

use std::time::Duration;

use gifts::payment::{Event, Fact};
use gifts::{Order, Refused};
use gifts_core::account::{AccountId, Kind};
use gifts_core::command::{self, Mark, Reference, Reversal, What, Why};
use gifts_core::transfer::Code;
use gifts_core::{Amount, Command, Name, TransactionId};
use media::WallTime;

use super::{Payments, Unsettled, pause};
use crate::store::provider_events::Kept;
use crate::store::top_ups::{State, TopUp};

/// How long an event waits for what has to be before it.
const WAITS_FOR: Duration = Duration::from_hours(72);

/// How soon an event is tried again that nobody has tried.
const UNTRIED: Duration = Duration::from_secs(5);

/// Events about one payment that are looked at once it is paid.
const WAITING_MAX: i64 = 50;

/// What is left to do about an event.
enum Settled {
    /// Nothing.
    Done(&'static str),
    /// It waits for another.
    Waits,
    /// The ledger will not; somebody should look.
    Stuck,
}

impl Payments {
    /// Keeps an event, and does what it asks for unless that was done.
    pub(super) async fn take(
        &self,
        provider: &str,
        event: &Event,
        now: WallTime,
    ) -> Result<(), Unsettled> {
        let next_at = now + UNTRIED;
        let kept = self.store.keep_event(provider, event, now, next_at).await?;
        if kept.is_done {
            return Ok(());
        }
        self.finish(&kept, now).await
    }

    /// Does what an event asks for, and then what has waited for it.
    pub(super) async fn finish(&self, kept: &Kept, now: WallTime) -> Result<(), Unsettled> {
        self.finish_one(kept, now).await?;
        let (Fact::Paid, Some(payment)) = (kept.event.fact, kept.event.payment) else {
            return Ok(());
        };
        let waiting = self
            .store
            .waiting_events(&kept.provider, &payment, WAITING_MAX)
            .await?;
        for other in waiting
            .iter()
            .filter(|other| other.event.fact != Fact::Paid)
        {
            self.finish_one(other, now).await?;
        }
        Ok(())
    }

    async fn finish_one(&self, kept: &Kept, now: WallTime) -> Result<(), Unsettled> {
        let settled = match self.settle(kept, now).await {
            Ok(settled) => settled,
            Err(why) => {
                // Whether this is noted does not matter: it is tried again anyway.
                let later = now + pause(kept);
                let _ = self.store.put_off_event(kept, "unavailable", later).await;
                return Err(why);
            }
        };
        match settled {
            Settled::Done(outcome) => {
                self.store.end_event(kept, outcome).await?;
                tracing::info!(
                    provider = kept.provider,
                    event.id = kept.event.id,
                    fact = kept.event.fact.as_str(),
                    outcome,
                    "heard of a payment"
                );
            }
            Settled::Waits | Settled::Stuck => {
                let outcome = match settled {
                    Settled::Stuck => "stuck",
                    Settled::Waits | Settled::Done(_) => "waits",
                };
                let later = now + pause(kept);
                self.store.put_off_event(kept, outcome, later).await?;
            }
        }
        Ok(())
    }

    async fn settle(&self, kept: &Kept, now: WallTime) -> Result<Settled, Unsettled> {
        let Some(top_up) = self.top_up_of(kept).await? else {
            // Of another program on the same account, or of a payment that was not heard of yet.
            let is_over = kept.event.top_up.is_some() || kept.received_at + WAITS_FOR <= now;
            return Ok(if is_over {
                Settled::Done("unknown")
            } else {
                Settled::Waits
            });
        };
        let comes_first = matches!(kept.event.fact, Fact::Paid | Fact::Failed | Fact::Expired);
        if !comes_first && !top_up.state.was_paid() {
            return Ok(Settled::Waits);
        }
        match kept.event.fact {
            Fact::Paid => self.paid(kept, &top_up).await,
            Fact::Failed | Fact::Expired => {
                let has_expired = kept.event.fact == Fact::Expired;
                let to = if has_expired {
                    State::Expired
                } else {
                    State::Failed
                };
                let from = [State::Open, State::Open];
                let moved = self.store.move_top_up(top_up.id, from, to).await?;
                Ok(Settled::Done(if moved { "done" } else { "late" }))
            }
            Fact::Refunded => self.refunded(kept, &top_up).await,
            Fact::Disputed => self.disputed(kept, &top_up).await,
            Fact::DisputeWon => self.dispute_won(kept, &top_up).await,
            Fact::DisputeLost => self.dispute_lost(kept, &top_up).await,
        }
    }

    async fn top_up_of(&self, kept: &Kept) -> Result<Option<TopUp>, Unsettled> {
        let provider = kept.provider.as_str();
        if let Some(id) = kept.event.top_up {
            let found = self.store.top_up(id).await?;
            return Ok(found.filter(|top_up| top_up.provider == provider));
        }
        match kept.event.payment {
            Some(payment) => Ok(self.store.top_up_paid_by(provider, &payment).await?),
            None => Ok(None),
        }
    }

    async fn paid(&self, kept: &Kept, top_up: &TopUp) -> Result<Settled, Unsettled> {
        let event = &kept.event;
        let is_price = event.money.as_ref().is_some_and(|money| {
            money.amount == top_up.amount && money.currency == top_up.currency.as_str()
        });
        let (true, Some(payment)) = (is_price, event.payment) else {
            tracing::error!(
                top_up.id = %top_up.id,
                event.id = event.id,
                "something else was paid than was asked for; nothing is credited"
            );
            return Ok(Settled::Done("mismatch"));
        };
        if !self.store.tie_payment(top_up.id, &payment).await? {
            tracing::error!(
                top_up.id = %top_up.id,
                event.id = event.id,
                "a second payment for one top-up, or one for two; nothing is credited"
            );
            return Ok(Settled::Done("second_payment"));
        }
        let Some(command) = top_up_command(top_up, payment, event.occurred_at) else {
            return Ok(Settled::Stuck);
        };
        if let Err(code) = self.perform(command).await? {
            tracing::error!(top_up.id = %top_up.id, code, "the ledger refuses coins that were paid for");
            return Ok(Settled::Stuck);
        }
        let at = WallTime::from_micros(event.occurred_at);
        self.store.mark_paid(top_up.id, at).await?;
        Ok(Settled::Done("done"))
    }

    async fn refunded(&self, kept: &Kept, top_up: &TopUp) -> Result<Settled, Unsettled> {
        if top_up.state == State::Refunded {
            return Ok(Settled::Done("late"));
        }
        let is_whole = kept.event.money.as_ref().is_some_and(|money| {
            money.amount >= top_up.amount && money.currency == top_up.currency.as_str()
        });
        if !is_whole {
            tracing::warn!(top_up.id = %top_up.id, "a part was refunded; the coins stay");
            return Ok(Settled::Done("partial"));
        }
        let why = match &top_up.refund {
            Some(refund) if refund.is_minor => Why::Minor,
            Some(_) | None => Why::Refund,
        };
        if !self.take_back(top_up, why, kept.event.occurred_at).await? {
            return Ok(Settled::Stuck);
        }
        let from = [State::Paid, State::Disputed];
        self.store
            .move_top_up(top_up.id, from, State::Refunded)
            .await?;
        Ok(Settled::Done("done"))
    }

    async fn disputed(&self, kept: &Kept, top_up: &TopUp) -> Result<Settled, Unsettled> {
        let closings = [Fact::DisputeWon, Fact::DisputeLost];
        if top_up.state != State::Paid || self.store.was_told(kept, closings).await? {
            return Ok(Settled::Done("late"));
        }
        for account in wallets(top_up) {
            self.mark(kept, account, Code::Freeze).await?;
        }
        let from = [State::Paid, State::Paid];
        self.store
            .move_top_up(top_up.id, from, State::Disputed)
            .await?;
        Ok(Settled::Done("done"))
    }

    async fn dispute_won(&self, kept: &Kept, top_up: &TopUp) -> Result<Settled, Unsettled> {
        let lost = [Fact::DisputeLost, Fact::DisputeLost];
        if top_up.state != State::Disputed || self.store.was_told(kept, lost).await? {
            return Ok(Settled::Done("late"));
        }
        for account in wallets(top_up) {
            // The freeze of this dispute again: if another froze it before, it is not for us to free.
            if self.mark(kept, account, Code::Freeze).await? {
                self.mark(kept, account, Code::Unfreeze).await?;
            }
        }
        let from = [State::Disputed, State::Disputed];
        self.store.move_top_up(top_up.id, from, State::Paid).await?;
        Ok(Settled::Done("done"))
    }

    async fn dispute_lost(&self, kept: &Kept, top_up: &TopUp) -> Result<Settled, Unsettled> {
        if top_up.state == State::Refunded {
            tracing::error!(top_up.id = %top_up.id, "a bank has taken back what was refunded already");
            return Ok(Settled::Done("late"));
        }
        let at = kept.event.occurred_at;
        if !self.take_back(top_up, Why::Chargeback, at).await? {
            return Ok(Settled::Stuck);
        }
        let from = [State::Paid, State::Paid];
        self.store
            .move_top_up(top_up.id, from, State::Disputed)
            .await?;
        Ok(Settled::Done("done"))
    }

    /// Takes a top-up back in the ledger. The money is gone already: where a refund asks for more than is
    /// there, what is missing is our loss, as after a chargeback.
    async fn take_back(&self, top_up: &TopUp, why: Why, at: i64) -> Result<bool, Unsettled> {
        let Some(of) = transaction_of(top_up) else {
            return Ok(false);
        };
        let reverse = |why| Command::new(What::Reversal(Reversal { of, why }), at);
        let mut refused = self.perform(reverse(why)).await?.err();
        if why == Why::Refund && refused.as_deref() == Some("exceeds_credits") {
            refused = self.perform(reverse(Why::Chargeback)).await?.err();
        }
        match refused.as_deref() {
            // The latter: it was taken back for another reason.
            None | Some("already_reversed" | "id_reused") => Ok(true),
            Some(code) => {
                tracing::error!(top_up.id = %top_up.id, code, "the ledger does not take a top-up back");
                Ok(false)
            }
        }
    }

    /// Freezes an account for a dispute, or frees it. Tells whether that is in the ledger.
    async fn mark(&self, kept: &Kept, account: AccountId, code: Code) -> Result<bool, Unsettled> {
        let dispute = kept.event.object.or(kept.event.payment);
        let Some(key) = dispute else {
            return Ok(false);
        };
        let mark = Mark {
            account,
            code,
            key: marked(key, code),
        };
        let command = Command::new(What::Mark(mark), kept.event.occurred_at);
        Ok(self.perform(command).await?.is_ok())
    }

    /// Asks the ledger for something: kept, or refused with a code.
    async fn perform(&self, command: Command) -> Result<Result<(), String>, Unsettled> {
        let order = Order {
            command,
            key: None,
            public: None,
        };
        match self.till.perform(order).await {
            Ok(_) => Ok(Ok(())),
            Err(Refused::Rejected { code, .. }) => Ok(Err(code)),
            Err(Refused::Busy | Refused::Unavailable | Refused::Unknown | Refused::Fenced) => {
                Err(Unsettled::Ledger)
            }
            Err(refused @ (Refused::KeyReused | Refused::TooLarge | Refused::Impossible)) => {
                Ok(Err(refused.to_string()))
            }
        }
    }
}

fn wallets(top_up: &TopUp) -> [AccountId; 2] {
    [Kind::Wallet(top_up.owner), Kind::WalletPromo(top_up.owner)].map(AccountId::coin)
}

/// The freeze and its end are two decisions about one dispute.
fn marked(dispute: Reference, code: Code) -> Reference {
    let text = format!("{}.{}", dispute.as_str(), code.as_str());
    Reference::new(&text).unwrap_or(dispute)
}

fn top_up_command(top_up: &TopUp, payment: Reference, event_at: i64) -> Option<Command> {
    let what = command::TopUp {
        psp: Name::new(&top_up.provider)?,
        payment,
        user: top_up.owner,
        currency: top_up.currency,
        paid: Amount::new(top_up.amount)?,
        coins: Amount::new(top_up.coins)?,
        bonus: Amount::new(top_up.bonus),
    };
    Some(Command::new(What::TopUp(what), event_at))
}

fn transaction_of(top_up: &TopUp) -> Option<TransactionId> {
    let command = top_up_command(top_up, top_up.payment?, 0)?;
    Some(command.id())
}
