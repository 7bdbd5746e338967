//! Gives: takes what somebody asks for, with what the catalogue and the contracts say, to the ledger.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gifts::gate::{Accepted, Balance, Order, Refused};
use gifts::{Ledger, relay};
use gifts_core::account::{AccountId, Kind};
use gifts_core::command::{Command, Gift as GiftCommand, Reference, What};
use gifts_core::{Account, Amount, Contract};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use kit::clock;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;
use wire::{BroadcastId, ChannelId, Person, UserId, hex};

use crate::store::Store;
use crate::store::catalogue::{self, Claim, Claimed, Effect, Gift};
use crate::unfit::Unfit;

/// The gift that is said something with.
pub const SUPER_CHAT: &str = "super_chat";

/// How many may be given at once.
const COUNT_MAX: u32 = 9_999;

/// Longest name of a combo.
const COMBO_MAX: usize = 32;

/// How long it is believed what the catalogue and the contracts say, on the nodes where they were not
/// changed.
const BELIEVED_FOR: Duration = Duration::from_secs(5);

/// Channels whose terms are believed at once.
const TERMS_MAX: usize = 10_000;

/// A claim of which nothing is known for so long is looked up in the ledger.
const CLAIM_REST: Duration = Duration::from_mins(1);

/// Claims that are looked up at once.
const CLAIMS_AT_ONCE: i64 = 200;

/// For how much how long it is seen what was said with a super chat, and how long that may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SuperChat {
    /// From so many coins on.
    pub from: u32,
    /// How long it is seen, in seconds.
    pub pin_s: u32,
    /// How many characters it may have.
    pub text_max: usize,
    /// In which colour it is seen.
    pub colour: &'static str,
}

/// Each of them, the cheapest first.
pub const SUPER_CHATS: [SuperChat; 6] = [
    tier(30, 60, 40, "#2a60b2"),
    tier(50, 120, 50, "#427d9e"),
    tier(100, 300, 60, "#8a6f2a"),
    tier(500, 1_800, 80, "#a85a3c"),
    tier(1_000, 3_600, 90, "#a23b4a"),
    tier(2_000, 7_200, 100, "#7d2248"),
];

const fn tier(from: u32, pin_s: u32, text_max: usize, colour: &'static str) -> SuperChat {
    SuperChat {
        from,
        pin_s,
        text_max,
        colour,
    }
}

/// What somebody wants to give.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the API describes each")]
pub struct Ask {
    pub key: String,
    pub gift: String,
    pub count: u32,
    pub coins: Option<u32>,
    pub combo: Option<String>,
    pub text: Option<String>,
    pub picture: Option<(BroadcastId, i64)>,
}

/// It is in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Given {
    /// The how many-th entry of the ledger it is.
    pub seq: i64,
    /// Which transaction.
    pub id: String,
    /// Whether it was in the ledger before.
    pub replayed: bool,
    /// How many coins it cost.
    pub coins: i64,
    /// What its sender has now.
    pub wallet: WalletView,
}

/// What somebody has. A later version is newer; each kind of coins has its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct WalletView {
    /// Coins that were paid for.
    pub coins: i64,
    /// Coins that were given away: they can be spent, and are never paid out.
    pub promo: i64,
    /// Of the first.
    pub version: i64,
    /// Of the second.
    pub promo_version: i64,
    /// Whether nothing can be spent.
    pub frozen: bool,
}

impl WalletView {
    /// Of accounts as they are read.
    pub fn of_accounts(accounts: &[Account]) -> Self {
        let balances = accounts.iter().map(|account| Balance {
            account: account.id.to_string(),
            balance: account.balance(),
            available: account.available(),
            version: account.version,
            is_frozen: account.frozen_at.is_some(),
        });
        Self::of(&balances.collect::<Vec<_>>())
    }

    /// Of balances as the gate tells them.
    pub fn of(balances: &[Balance]) -> Self {
        let mut wallet = Self::default();
        for balance in balances {
            match balance.account.parse().map(|id: AccountId| id.kind) {
                Ok(Kind::Wallet(_)) => {
                    wallet.coins = balance.available;
                    wallet.version = balance.version;
                    wallet.frozen = balance.is_frozen;
                }
                Ok(Kind::WalletPromo(_)) => {
                    wallet.promo = balance.available;
                    wallet.promo_version = balance.version;
                }
                _ => {}
            }
        }
        wallet
    }
}

/// The accounts of somebody's coins.
pub const fn wallet_of(user: UserId) -> [AccountId; 2] {
    [
        AccountId::coin(Kind::Wallet(user)),
        AccountId::coin(Kind::WalletPromo(user)),
    ]
}

/// Why something is not given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each says it")]
pub enum NotGiven {
    #[error("{0}: {1}")]
    Unfit(&'static str, Unfit),
    #[error("there is no such gift")]
    NotThere,
    #[error("there are no more of it")]
    SoldOut,
    #[error("there are too few coins in the wallet")]
    CannotPay,
    #[error("the wallet is frozen")]
    Frozen,
    #[error("nobody gives to their own channel")]
    Own,
    #[error("something else was given under this key")]
    Used,
    #[error("this is too much at once")]
    TooFast(Duration),
    #[error("nothing can be given now")]
    Unavailable,
}

/// Gives.
pub struct Giving {
    store: Store,
    ledger: Arc<Ledger>,
    catalogue: Mutex<Option<(Instant, Arc<Catalogue>)>>,
    terms: Mutex<HashMap<ChannelId, (Instant, Terms)>>,
    limits: DefaultKeyedRateLimiter<UserId>,
    clock: DefaultClock,
}

/// What can be given.
type Catalogue = Vec<Gift>;

/// On which terms something is given to a channel.
#[derive(Clone, Copy, Debug)]
struct Terms {
    owner: UserId,
    contract: Contract,
}

impl std::fmt::Debug for Giving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Giving").finish_non_exhaustive()
    }
}

impl Giving {
    /// Into this ledger, as the database's catalogue and contracts say.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn new(store: Store, ledger: Arc<Ledger>) -> anyhow::Result<Self> {
        let config = ledger.config();
        if store.gifts().await?.is_empty() {
            let mut transaction = store.begin().await?;
            for gift in first_gifts() {
                catalogue::add(&mut transaction, &gift, clock::now()).await?;
            }
            transaction.commit().await?;
        }
        // What is set is a contract like others: gifts of before keep the one that they were given under.
        let known = store.contract(None).await?;
        let wanted = Contract::new(0, config.streamer_bp, None)?;
        if known.is_none_or(|known| !known.shares_as(wanted)) {
            let mut transaction = store.begin().await?;
            catalogue::agree(
                &mut transaction,
                None,
                config.streamer_bp,
                None,
                clock::now(),
            )
            .await?;
            transaction.commit().await?;
        }
        let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(number(config.per_second)).allow_burst(number(config.burst));
        Ok(Self {
            store,
            ledger,
            catalogue: Mutex::default(),
            terms: Mutex::default(),
            limits: RateLimiter::keyed(quota),
            clock: DefaultClock::default(),
        })
    }

    /// The ledger that is given into.
    pub const fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// What can be given, or could once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn catalogue(&self) -> sqlx::Result<Arc<Catalogue>> {
        let believed = lock(&self.catalogue).clone();
        if let Some((since, catalogue)) = &believed
            && since.elapsed() < BELIEVED_FOR
        {
            return Ok(Arc::clone(catalogue));
        }
        match self.store.gifts().await {
            Ok(gifts) => {
                let gifts = Arc::new(gifts);
                *lock(&self.catalogue) = Some((Instant::now(), Arc::clone(&gifts)));
                Ok(gifts)
            }
            // What was true a while ago is better than nothing.
            Err(error) => believed.map(|(_, gifts)| gifts).ok_or(error),
        }
    }

    /// What was believed is believed no longer: an operator has changed something.
    pub fn forget(&self) {
        *lock(&self.catalogue) = None;
        lock(&self.terms).clear();
    }

    /// Forgets who has given nothing for a while.
    pub fn forget_idle(&self) {
        self.limits.retain_recent();
    }

    /// Gives something, once for each key.
    ///
    /// # Errors
    /// When it is not given, or not known to be.
    pub async fn give(
        &self,
        channel: ChannelId,
        person: &Person,
        ask: Ask,
    ) -> Result<Given, NotGiven> {
        let given = self.try_to_give(channel, person, ask).await;
        let outcome = match &given {
            Ok(_) => "given",
            Err(NotGiven::CannotPay | NotGiven::Frozen) => "cannot_pay",
            Err(NotGiven::Unavailable) => "unavailable",
            Err(NotGiven::TooFast(_)) => "too_fast",
            Err(_) => "refused",
        };
        metrics::counter!("barrage_gifts_total", "outcome" => outcome).increment(1);
        given
    }

    async fn try_to_give(
        &self,
        channel: ChannelId,
        person: &Person,
        ask: Ask,
    ) -> Result<Given, NotGiven> {
        let limited = self.limits.check_key(&person.id);
        limited.map_err(|until| NotGiven::TooFast(until.wait_time_from(self.clock.now())))?;
        let catalogue = self.catalogue().await.map_err(unavailable)?;
        let gift = catalogue
            .iter()
            .find(|gift| gift.id == ask.gift && gift.on_sale)
            .ok_or(NotGiven::NotThere)?;
        let wanted = Wanted::new(gift, &ask)?;
        let terms = self.terms(channel).await?;
        if terms.owner == person.id {
            return Err(NotGiven::Own);
        }
        let command = GiftCommand {
            sender: person.id,
            key: wanted.key,
            channel,
            item: wanted.item,
            price: wanted.price,
            contract: terms.contract,
        };
        let command = Command::new(What::Gift(command), clock::now().as_micros());
        let order = Order {
            command,
            key: None,
            public: Some(wanted.public(gift, person, &ask)),
        };
        let accepted = if gift.stock.is_some() {
            let claim = Claim {
                sender: person.id,
                word: ask.key,
                gift: gift.id.clone(),
                count: i64::from(ask.count),
                transaction: order.command.id(),
            };
            self.give_of_few(claim, order).await?
        } else {
            self.ledger.perform(order).await.map_err(not_given)?
        };
        Ok(self.given(accepted, wanted.price))
    }

    fn given(&self, accepted: Accepted, price: Amount) -> Given {
        Given {
            seq: accepted.number,
            wallet: WalletView::of(&accepted.balances),
            id: accepted.id,
            replayed: accepted.is_replay,
            coins: price.units(),
        }
    }

    /// Gives something of which there are not so many: they are kept for it until it is known what became
    /// of it.
    async fn give_of_few(&self, claim: Claim, order: Order) -> Result<Accepted, NotGiven> {
        let claimed = self.store.claim_gifts(&claim, clock::now()).await;
        match claimed.map_err(unavailable)? {
            Claimed::Now | Claimed::Before => {}
            Claimed::SoldOut => {
                self.forget();
                return Err(NotGiven::SoldOut);
            }
        }
        let performed = self.ledger.perform(order).await;
        let noted = match &performed {
            Ok(_) => self.store.settle_gifts(&claim).await,
            // Nobody knows: it is looked up later.
            Err(Refused::Unknown) => Ok(()),
            // Something else was given under this key, for which they are kept.
            Err(Refused::Rejected { code, .. }) if code == "id_reused" => Ok(()),
            Err(_) => self.store.free_gifts(&claim).await,
        };
        if let Err(error) = noted {
            tracing::warn!(%error, "failed to note what became of a gift; it is looked up later");
        }
        performed.map_err(not_given)
    }

    /// Looks up what became of gifts of which there are not so many, and of which nobody knows.
    ///
    /// # Errors
    /// When the database or the ledger cannot be read.
    pub async fn look_up_claims(&self) -> anyhow::Result<()> {
        let before = clock::now() - CLAIM_REST;
        let claims = self.store.open_claims(before, CLAIMS_AT_ONCE).await?;
        let ids: Vec<_> = claims.iter().map(|claim| claim.transaction).collect();
        let known = self.ledger.reading().known(&ids).await?;
        for claim in &claims {
            if known.contains(&claim.transaction) {
                self.store.settle_gifts(claim).await?;
            } else {
                self.store.free_gifts(claim).await?;
            }
        }
        Ok(())
    }

    /// What somebody has.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn wallet(&self, user: UserId) -> Result<WalletView, gifts::store::StoreError> {
        let accounts = self.ledger.reading().accounts(&wallet_of(user)).await?;
        Ok(WalletView::of_accounts(&accounts))
    }

    async fn terms(&self, channel: ChannelId) -> Result<Terms, NotGiven> {
        let believed = lock(&self.terms).get(&channel).copied();
        if let Some((since, terms)) = believed
            && since.elapsed() < BELIEVED_FOR
        {
            return Ok(terms);
        }
        match self.read_terms(channel).await {
            Ok(terms) => {
                let terms = terms.ok_or(NotGiven::NotThere)?;
                let mut all = lock(&self.terms);
                if all.len() >= TERMS_MAX {
                    all.clear();
                }
                all.insert(channel, (Instant::now(), terms));
                Ok(terms)
            }
            Err(error) => believed
                .map(|(_, terms)| terms)
                .ok_or_else(|| unavailable(error)),
        }
    }

    async fn read_terms(&self, channel: ChannelId) -> sqlx::Result<Option<Terms>> {
        let found = self.store.channels_by_id(&[channel]).await?.pop();
        let own = self.store.contract(Some(channel)).await?;
        let contract = match own {
            Some(own) => Some(own),
            None => self.store.contract(None).await?,
        };
        Ok(found.zip(contract).map(|(found, contract)| Terms {
            owner: found.owner,
            contract,
        }))
    }
}

/// What can be given before an operator says otherwise.
fn first_gifts() -> impl Iterator<Item = Gift> {
    [
        ("rose", "Rose", "玫瑰", 1, 1, Effect::Float, "🌹"),
        ("clap", "Applause", "鼓掌", 2, 1, Effect::Float, "👏"),
        ("tea", "A cup of tea", "一杯茶", 10, 2, Effect::Float, "🍵"),
        (
            "lantern",
            "Sky lantern",
            "孔明灯",
            66,
            2,
            Effect::Float,
            "🏮",
        ),
        ("firework", "Firework", "烟花", 188, 3, Effect::Burst, "🎆"),
        ("dragon", "Dragon dance", "舞龙", 520, 3, Effect::Rain, "🐉"),
        ("rocket", "Rocket", "火箭", 1_314, 4, Effect::Rocket, "🚀"),
        (
            SUPER_CHAT,
            "Super chat",
            "醒目留言",
            1,
            2,
            Effect::Float,
            "💬",
        ),
    ]
    .into_iter()
    .map(|(id, en, zh, price, tier, effect, glyph)| Gift {
        id: id.to_owned(),
        name: [("en", en), ("zh-CN", zh)]
            .map(|(language, name)| (language.to_owned(), name.to_owned()))
            .into(),
        price,
        tier,
        effect,
        glyph: glyph.to_owned(),
        stock: None,
        claimed: 0,
        on_sale: true,
    })
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    // It is whole between any two statements.
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::needless_pass_by_value, reason = "it is the end of it")]
fn unavailable(error: sqlx::Error) -> NotGiven {
    tracing::warn!(%error, "nothing can be given");
    NotGiven::Unavailable
}

fn not_given(refused: Refused) -> NotGiven {
    match refused {
        Refused::Rejected { code, .. } => match code.as_str() {
            "exceeds_credits" | "account_unknown" => NotGiven::CannotPay,
            "account_frozen" | "account_closed" => NotGiven::Frozen,
            "id_reused" => NotGiven::Used,
            _ => NotGiven::Unavailable,
        },
        Refused::KeyReused => NotGiven::Used,
        Refused::TooLarge
        | Refused::Busy
        | Refused::Unavailable
        | Refused::Unknown
        | Refused::Fenced
        | Refused::Impossible => NotGiven::Unavailable,
    }
}

/// What is asked for, in order.
struct Wanted {
    key: Reference,
    item: Reference,
    price: Amount,
    text: Option<String>,
    pinned_ms: Option<u64>,
}

impl Wanted {
    fn new(gift: &Gift, ask: &Ask) -> Result<Self, NotGiven> {
        let key = Reference::new(&ask.key).ok_or(NotGiven::Unfit("key", Unfit::TooLong(64)))?;
        if !(1..=COUNT_MAX).contains(&ask.count) {
            return Err(NotGiven::Unfit("count", Unfit::OutOfRange(COUNT_MAX)));
        }
        let is_short = |combo: &String| combo.len() <= COMBO_MAX && Reference::new(combo).is_some();
        if !ask.combo.as_ref().is_none_or(is_short) {
            return Err(NotGiven::Unfit("combo", Unfit::TooLong(COMBO_MAX)));
        }
        let (price, text, pinned_ms) = if gift.id == SUPER_CHAT {
            let (coins, text, pin_s) = said_with(ask)?;
            (i64::from(coins), Some(text), Some(u64::from(pin_s) * 1_000))
        } else if ask.text.as_ref().is_some_and(|text| !text.is_empty()) {
            return Err(NotGiven::Unfit("text", Unfit::TooLong(0)));
        } else {
            let price = gift.price.checked_mul(i64::from(ask.count));
            let price = price.ok_or(NotGiven::Unfit("count", Unfit::OutOfRange(COUNT_MAX)))?;
            (price, None, None)
        };
        // What is said with it is of what was asked: something else under the same key is refused.
        let said = text.as_deref().unwrap_or_default();
        let said = hex::encode(&Sha256::digest(said.as_bytes())[..4]);
        let item = Reference::new(&format!("{}:{}:{said}", gift.id, ask.count));
        Ok(Self {
            key,
            item: item.ok_or(NotGiven::NotThere)?,
            price: Amount::new(price).ok_or(NotGiven::NotThere)?,
            text,
            pinned_ms,
        })
    }

    /// What everybody may know.
    fn public(&self, gift: &Gift, person: &Person, ask: &Ask) -> serde_json::Value {
        let mut public = json!({
            "by": person,
            "gift": {
                "id": gift.id,
                "name": gift.name,
                "tier": gift.tier,
                "effect": gift.effect,
                "glyph": gift.glyph,
            },
            "count": ask.count,
            "coins": self.price.units(),
        });
        if let Some(combo) = &ask.combo {
            public["combo"] = combo.as_str().into();
        }
        if let Some(text) = &self.text {
            public["text"] = text.as_str().into();
        }
        if let Some(pinned_ms) = self.pinned_ms {
            public["pinned_ms"] = pinned_ms.into();
        }
        if let Some((broadcast, media_time)) = ask.picture {
            public["b"] = broadcast.to_string().into();
            public["mt"] = media_time.into();
        }
        public
    }
}

/// What a super chat costs, what is said with it, and how many seconds it is seen.
fn said_with(ask: &Ask) -> Result<(u32, String, u32), NotGiven> {
    let cheapest = SUPER_CHATS[0].from;
    let coins = ask.coins.unwrap_or(cheapest);
    let tier = SUPER_CHATS.iter().rev().find(|tier| tier.from <= coins);
    let tier = tier.ok_or(NotGiven::Unfit("coins", Unfit::TooFew(cheapest)))?;
    if ask.count != 1 {
        return Err(NotGiven::Unfit("count", Unfit::OutOfRange(1)));
    }
    let text = ask.text.as_deref().unwrap_or_default();
    let text: String = wire::text::one_line(text).collect();
    if text.is_empty() {
        return Err(NotGiven::Unfit("text", Unfit::Empty));
    }
    if text.chars().count() > tier.text_max {
        return Err(NotGiven::Unfit("text", Unfit::TooLong(tier.text_max)));
    }
    Ok((coins, text, tier.pin_s))
}

/// What somebody has of balances that concern several, as [`relay::by_owner`] parts them.
pub fn wallets(balances: Vec<Balance>) -> impl Iterator<Item = (UserId, WalletView)> {
    let owners = relay::by_owner(balances).into_iter();
    owners.map(|(user, balances)| (user, WalletView::of(&balances)))
}
