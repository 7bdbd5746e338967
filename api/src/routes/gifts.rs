//! What can be given, and giving it.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use kit::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wire::Person;

use super::AppState;
use super::request::{Body, HandlePath};
use super::rooms::person;
use super::streams::{find_channel, uncached};
use crate::door::Caller;
use crate::error::{ApiError, ErrorBody, Guarded, WithBody};
use crate::giving::{Ask, Given, NotGiven, SUPER_CHAT, SUPER_CHATS, SuperChat};
use crate::scope::Scope;
use crate::store::catalogue::{self, Effect, GIFTS_MAX, Gift};
use crate::text;
use crate::unfit::Unfit;

/// Longest name of a gift for programs.
const ID_MAX: usize = 32;

/// Most coins that one costs, and most there are of one.
const PRICE_MAX: u32 = 1_000_000;

/// Characters of which one can be seen as one: a family and its skin is a few of them.
const GLYPH_MAX: usize = 12;

/// Languages in which a gift has a name.
const LANGUAGES_MAX: usize = 20;

/// What can be given.
#[derive(Debug, Serialize, ToSchema)]
pub struct CatalogueView {
    /// Each, the cheapest first.
    gifts: Vec<GiftView>,
    /// For how much how long it is seen what was said with a super chat, the cheapest first.
    super_chat: &'static [SuperChat],
    /// Since when nothing can be given, in milliseconds since the Unix epoch; none when it works.
    down_since_ms: Option<i64>,
}

/// A gift.
#[derive(Debug, Serialize, ToSchema)]
pub struct GiftView {
    /// Its name for programs.
    #[schema(example = "rose")]
    id: String,
    /// Its names for people, by language.
    name: BTreeMap<String, String>,
    /// How many coins one costs.
    price: i64,
    /// How much it makes of itself: 1 to 4.
    tier: u8,
    /// What is seen of it.
    effect: Effect,
    /// A character that stands for it.
    glyph: String,
    /// How many are left, if there is an end of them.
    left: Option<i64>,
}

impl From<&Gift> for GiftView {
    fn from(gift: &Gift) -> Self {
        Self {
            id: gift.id.clone(),
            name: gift.name.clone(),
            price: gift.price,
            tier: gift.tier,
            effect: gift.effect,
            glyph: gift.glyph.clone(),
            left: gift.left(),
        }
    }
}

/// What can be given. A super chat costs what its sender says, and is not among them.
#[utoipa::path(
    get,
    path = "/api/v1/gifts",
    tag = "gifts",
    responses(
        (status = 200, description = "The gifts.", body = CatalogueView),
        (status = 503, description = "The database does not answer.", body = ErrorBody),
    )
)]
pub async fn list(State(state): State<AppState>) -> Result<impl IntoResponse, ApiError> {
    let catalogue = state.giving.catalogue().await?;
    let gifts = catalogue
        .iter()
        .filter(|gift| gift.on_sale && gift.id != SUPER_CHAT);
    Ok(uncached(CatalogueView {
        gifts: gifts.map(GiftView::from).collect(),
        super_chat: &SUPER_CHATS,
        down_since_ms: state.giving.ledger().down_since_ms(),
    }))
}

/// A gift as it is given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GiveBody {
    /// What its sender calls it: the same again is the same gift. 1 to 64 printable ASCII characters.
    #[schema(max_length = 64, example = "0199c0de-0000-7000-8000-000000000001")]
    key: String,
    /// Its name for programs; `super_chat` for a super chat.
    #[schema(example = "rose")]
    gift: String,
    /// How many; one, if left out.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 9999)]
    count: u32,
    /// For how many coins, of a super chat.
    coins: Option<u32>,
    /// The combo that it belongs to: what its sender calls gifts in a row.
    #[schema(max_length = 32)]
    combo: Option<String>,
    /// What is said with a super chat.
    text: Option<String>,
}

const fn one() -> u32 {
    1
}

/// Gives a gift to a channel, as the caller. The room hears of it once it is in the ledger.
#[utoipa::path(
    post,
    path = "/api/v1/rooms/{handle}/gifts",
    tag = "gifts",
    security(("session" = []), ("token" = ["gifts"])),
    params(("handle" = String, Path, description = "The channel's handle.", example = "stage")),
    request_body = GiveBody,
    responses(
        (status = 200, description = "It is in the ledger.", body = Given),
        (status = 402, description = "There are too few coins in the wallet.", body = ErrorBody),
        (status = 404, description = "No such channel or gift.", body = ErrorBody),
        (status = 409, description = "There are no more of it, or something else was given under this key.", body = ErrorBody),
        (status = 429, description = "Too much at once.", body = ErrorBody),
        Guarded,
        WithBody,
    )
)]
pub async fn give(
    State(state): State<AppState>,
    caller: Caller,
    HandlePath(handle): HandlePath,
    Body(body): Body<GiveBody>,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Gifts)?;
    let channel = find_channel(&state, &handle).await?;
    let person: Person = person(&state, caller, &channel).await?;
    let GiveBody {
        key,
        gift,
        count,
        coins,
        combo,
        text,
    } = body;
    let ask = Ask {
        key,
        gift,
        count,
        coins,
        combo,
        text,
        picture: state.rooms.picture(channel.id),
    };
    let given = state.giving.give(channel.id, &person, ask).await?;
    Ok(uncached(given))
}

impl From<NotGiven> for ApiError {
    fn from(why: NotGiven) -> Self {
        match why {
            NotGiven::Unfit(field, why) => Self::invalid(field, why),
            NotGiven::NotThere => Self::NoSuch("gift"),
            NotGiven::SoldOut => Self::SoldOut,
            NotGiven::CannotPay => Self::CannotPay,
            NotGiven::Frozen => Self::WalletFrozen,
            NotGiven::Own => Self::OwnChannel,
            NotGiven::Used => Self::KeyUsed,
            NotGiven::TooFast(wait) => Self::TooManyAttempts(wait),
            NotGiven::Unavailable => Self::GiftsUnavailable,
        }
    }
}

/// A gift, as operators see it.
#[derive(Debug, Serialize, ToSchema)]
pub struct OwnGiftView {
    #[serde(flatten)]
    gift: GiftView,
    /// How many there are in all, if there is an end of them.
    stock: Option<i64>,
    /// How many were given, of those of which there is an end.
    sold: i64,
    /// Whether it can be given now.
    on_sale: bool,
}

impl From<&Gift> for OwnGiftView {
    fn from(gift: &Gift) -> Self {
        Self {
            gift: gift.into(),
            stock: gift.stock,
            sold: gift.claimed,
            on_sale: gift.on_sale,
        }
    }
}

/// Everything that can be given, or could once.
#[utoipa::path(
    get,
    path = "/api/v1/admin/gifts",
    tag = "gifts",
    security(("session" = []), ("token" = ["operator"])),
    responses((status = 200, description = "The gifts.", body = Vec<OwnGiftView>), Guarded)
)]
pub async fn all(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Operator)?;
    let gifts = state.store.gifts().await?;
    Ok(uncached(
        gifts.iter().map(OwnGiftView::from).collect::<Vec<_>>(),
    ))
}

/// A gift that is to be there.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGift {
    /// Its name for programs, which stays: 1 to 32 of a-z, 0-9, _ and -.
    #[schema(example = "lantern")]
    id: String,
    #[serde(flatten)]
    change: GiftChange,
}

/// What can be changed of a gift; what is left out stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct GiftChange {
    /// Its names for people, by language; one of them in English (`en`).
    name: Option<BTreeMap<String, String>>,
    /// How many coins one costs.
    #[schema(minimum = 1, maximum = 1_000_000)]
    price: Option<u32>,
    /// How much it makes of itself.
    #[schema(minimum = 1, maximum = 4)]
    tier: Option<u8>,
    /// What is seen of it.
    effect: Option<Effect>,
    /// A character that stands for it.
    glyph: Option<String>,
    /// How many there are in all; null where there is no end of them.
    #[serde(default, deserialize_with = "told")]
    #[schema(value_type = Option<u32>)]
    stock: Option<Option<u32>>,
    /// Whether it can be given now.
    on_sale: Option<bool>,
}

/// Something that was told, be it nothing.
#[expect(clippy::option_option, reason = "what is left out is not what is null")]
fn told<'de, D: serde::Deserializer<'de>>(reader: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::deserialize(reader).map(Some)
}

impl GiftChange {
    fn apply(self, gift: &mut Gift) -> Result<(), ApiError> {
        if let Some(name) = self.name {
            gift.name = names(name)?;
        }
        if let Some(price) = self.price {
            if !(1..=PRICE_MAX).contains(&price) {
                return Err(ApiError::invalid("price", Unfit::OutOfRange(PRICE_MAX)));
            }
            gift.price = i64::from(price);
        }
        if let Some(tier) = self.tier {
            if !(1..=4).contains(&tier) {
                return Err(ApiError::invalid("tier", Unfit::OutOfRange(4)));
            }
            gift.tier = tier;
        }
        if let Some(glyph) = self.glyph {
            gift.glyph = text::some_line("glyph", &glyph, GLYPH_MAX)?;
        }
        if let Some(stock) = self.stock {
            if stock.is_some_and(|stock| stock > PRICE_MAX) {
                return Err(ApiError::invalid("stock", Unfit::OutOfRange(PRICE_MAX)));
            }
            gift.stock = stock.map(i64::from);
        }
        gift.effect = self.effect.unwrap_or(gift.effect);
        gift.on_sale = self.on_sale.unwrap_or(gift.on_sale);
        Ok(())
    }
}

fn names(names: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, ApiError> {
    if names.len() > LANGUAGES_MAX {
        return Err(ApiError::invalid("name", Unfit::TooMany(LANGUAGES_MAX)));
    }
    if !names.contains_key("en") {
        return Err(ApiError::invalid("name", Unfit::Empty));
    }
    let clean = names.into_iter().map(|(language, name)| {
        let language = text::language(&language)?;
        if language.is_empty() {
            return Err(ApiError::invalid("name", Unfit::Language));
        }
        Ok((
            language,
            text::some_line("name", &name, text::CATEGORY_MAX)?,
        ))
    });
    clean.collect()
}

/// Adds a gift.
#[utoipa::path(
    post,
    path = "/api/v1/admin/gifts",
    tag = "gifts",
    security(("session" = []), ("token" = ["operator"])),
    request_body = NewGift,
    responses(
        (status = 201, description = "The gift.", body = OwnGiftView),
        (status = 409, description = "There is one of this name, or there are too many.", body = ErrorBody),
        WithBody,
        Guarded,
    )
)]
pub async fn add(
    State(state): State<AppState>,
    caller: Caller,
    Body(NewGift { id, change }): Body<NewGift>,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Operator)?;
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
    if !(1..=ID_MAX).contains(&id.len()) || !id.bytes().all(fits) {
        return Err(ApiError::invalid("id", Unfit::Name));
    }
    for (field, is_there) in [
        ("name", change.name.is_some()),
        ("price", change.price.is_some()),
        ("glyph", change.glyph.is_some()),
    ] {
        if !is_there {
            return Err(ApiError::invalid(field, Unfit::Empty));
        }
    }
    let mut gift = Gift {
        id,
        name: BTreeMap::new(),
        price: 1,
        tier: 1,
        effect: Effect::Float,
        glyph: String::new(),
        stock: None,
        claimed: 0,
        on_sale: true,
    };
    change.apply(&mut gift)?;
    let mut transaction = state.store.begin().await?;
    if catalogue::count(&mut transaction).await? >= GIFTS_MAX {
        return Err(ApiError::LimitReached {
            what: "gifts",
            max: GIFTS_MAX,
        });
    }
    if !catalogue::add(&mut transaction, &gift, clock::now()).await? {
        return Err(ApiError::NameTaken(gift.id));
    }
    let by = caller.user.id;
    let what = ("gift", gift.id.as_str());
    catalogue::note(&mut transaction, by, what, "added", clock::now()).await?;
    transaction.commit().await?;
    state.giving.forget();
    Ok((StatusCode::CREATED, uncached(OwnGiftView::from(&gift))))
}

/// Changes a gift. What was given before stays as it was.
#[utoipa::path(
    patch,
    path = "/api/v1/admin/gifts/{id}",
    tag = "gifts",
    security(("session" = []), ("token" = ["operator"])),
    params(("id" = String, Path, description = "Its name for programs.", example = "rose")),
    request_body = GiftChange,
    responses(
        (status = 200, description = "The gift.", body = OwnGiftView),
        (status = 404, description = "No such gift.", body = ErrorBody),
        WithBody,
        Guarded,
    )
)]
pub async fn change(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    Body(change): Body<GiftChange>,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Scope::Operator)?;
    let gifts = state.store.gifts().await?;
    let gift = gifts.into_iter().find(|gift| gift.id == id);
    let mut gift = gift.ok_or(ApiError::NoSuch("gift"))?;
    change.apply(&mut gift)?;
    let mut transaction = state.store.begin().await?;
    if !catalogue::change(&mut transaction, &gift, clock::now()).await? {
        let given = u32::try_from(gift.claimed).unwrap_or(u32::MAX);
        return Err(ApiError::invalid("stock", Unfit::TooFew(given)));
    }
    let by = caller.user.id;
    let what = ("gift", gift.id.as_str());
    catalogue::note(&mut transaction, by, what, "changed", clock::now()).await?;
    transaction.commit().await?;
    state.giving.forget();
    Ok(uncached(OwnGiftView::from(&gift)))
}
