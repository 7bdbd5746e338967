//! Tells of what is in the ledger, each until it has arrived: to the room that a gift was given in, and to
//! those whose balance is another now. What has arrived is noted by a flag of its own row. Whoever has the
//! ledger does it; after a crash some is told again, and who hears it knows it by its number.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use gifts_core::Micros;
use gifts_core::account::{AccountId, Kind};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use wire::{ChannelId, UserId};

use crate::gate::{Balance, Gate};
use crate::reading::{Reading, Told};

/// What is read at once.
const PAGE: i64 = 500;

/// How much may be on its way.
const FLYING_MAX: usize = 8_192;

/// While nothing new is told of, how often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long what has not arrived waits at first, and at most, before it is told again.
const AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// A combo of which this long nothing has come is over.
const COMBO_REST: Micros = 600_000_000;

/// Transactions that are looked at for combos that go on.
const COMBOS_WITHIN: i64 = 100_000;

/// What a trait object answers later.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Something that a room is to hear.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    /// The how many-th transaction it is: who has heard of it does not hear it again.
    pub seq: i64,
    /// What.
    pub what: What,
}

/// What a room hears of.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Somebody gave a gift, as it was told to the gate; in a combo, the how many-th of it.
    Gift {
        /// What everybody may know.
        public: Value,
        /// How many of its combo there are up to and with this one.
        combo: Option<i64>,
    },
    /// A gift was taken back.
    TakenBack {
        /// Which transaction it was.
        of: i64,
    },
}

/// Who brings it to people.
pub trait Crier: Send + Sync + 'static {
    /// Tells a channel's room, in this order; answers for each whether it is kept there.
    fn tell(&self, channel: ChannelId, news: Vec<News>) -> Later<'_, Vec<bool>>;
    /// Tells somebody, wherever they are, what is on their accounts.
    fn tell_balances(&self, user: UserId, balances: Vec<Balance>);
    /// Tells every room since when nothing can be given, in milliseconds since the Unix epoch.
    fn tell_health(&self, down_since_ms: Option<i64>);
}

/// What the gate wrote.
#[derive(Deserialize)]
struct Payload {
    at: Micros,
    public: Option<Value>,
    #[serde(default)]
    balances: Vec<Balance>,
}

/// Tells until the gate leads nowhere any more.
pub(crate) async fn run(gate: Gate, reading: Reading, crier: Arc<dyn Crier>) {
    let slots = Arc::new(Semaphore::new(FLYING_MAX));
    let mut flights = JoinSet::new();
    let mut combos = loop {
        match Combos::take_up(&reading).await {
            Ok(combos) => break combos,
            Err(error) => tracing::warn!(%error, "failed to read what is to be told of gifts"),
        }
        sleep(LOOK_EVERY).await;
    };
    let mut after = 0;
    // The latest flight to each room, which tells when it has ended.
    let mut latest: HashMap<ChannelId, oneshot::Receiver<()>> = HashMap::new();
    while gate.is_open() {
        while flights.try_join_next().is_some() {}
        latest.retain(|_, flight| flight.try_recv() == Err(TryRecvError::Empty));
        let told = match reading.untold(after, PAGE).await {
            Ok(told) => told,
            Err(error) => {
                tracing::warn!(%error, "failed to read what is to be told of gifts");
                sleep(LOOK_EVERY).await;
                continue;
            }
        };
        let Some(last) = told.last() else {
            // Nothing is missed: who is told beforehand does not wait.
            let _ = timeout(LOOK_EVERY, gate.has_told()).await;
            continue;
        };
        after = last.number;
        let count = u32::try_from(told.len()).unwrap_or(u32::MAX);
        let Ok(slot) = Arc::clone(&slots).acquire_many_owned(count).await else {
            return;
        };
        let slot = Arc::new(slot);
        for (channel, news) in sort(&told, &mut combos, &*crier, &gate).await {
            let (gate, crier) = (gate.clone(), Arc::clone(&crier));
            let slot = Arc::clone(&slot);
            let (ends, flight) = oneshot::channel();
            let before = latest.insert(channel, flight);
            flights.spawn(async move {
                // A room hears of gifts in the order of the ledger.
                if let Some(before) = before {
                    let _ = before.await;
                }
                fly(channel, news, &gate, &*crier).await;
                drop((slot, ends));
            });
        }
    }
}

/// What each room is to hear. Whom else it concerns is told at once.
async fn sort(
    told: &[Told],
    combos: &mut Combos,
    crier: &dyn Crier,
    gate: &Gate,
) -> HashMap<ChannelId, Vec<News>> {
    let mut rooms: HashMap<ChannelId, Vec<News>> = HashMap::new();
    for row in told {
        let payload: Option<Payload> = serde_json::from_str(&row.payload).ok();
        let Some(payload) = payload else {
            tracing::error!(ledger.number = row.number, "what is to be told is damaged");
            gate.note_sent(row.number).await;
            continue;
        };
        for (user, balances) in by_owner(payload.balances) {
            crier.tell_balances(user, balances);
        }
        let news = match (row.topic.as_str(), &row.takes_back, payload.public) {
            ("gift", _, Some(public)) => {
                let combo = combos.count(row.number, payload.at, &row.part_key, &public);
                let what = What::Gift { public, combo };
                row.part_key.parse().ok().map(|channel| (channel, what))
            }
            ("reversal", Some((of, whose)), _) => {
                let what = What::TakenBack { of: *of };
                // Of a top-up no room knows.
                let is_gift = row.takes_back_gift;
                let channel = is_gift.then(|| whose.parse().ok()).flatten();
                channel.map(|channel| (channel, what))
            }
            _ => None,
        };
        match news {
            Some((channel, what)) => rooms.entry(channel).or_default().push(News {
                seq: row.number,
                what,
            }),
            None => gate.note_sent(row.number).await,
        }
    }
    rooms
}

/// Tells a room until all of it has arrived.
async fn fly(channel: ChannelId, mut news: Vec<News>, gate: &Gate, crier: &dyn Crier) {
    let (mut wait, longest) = AGAIN;
    while gate.is_open() {
        let kept = crier.tell(channel, news.clone()).await;
        let mut kept = kept.into_iter();
        let mut left = Vec::new();
        for one in news {
            if kept.next().unwrap_or(false) {
                metrics::counter!("barrage_gifts_told_total").increment(1);
                gate.note_sent(one.seq).await;
            } else {
                left.push(one);
            }
        }
        if left.is_empty() {
            return;
        }
        news = left;
        sleep(wait).await;
        wait = longest.min(wait * 2);
    }
}

/// Balances, by whose they are.
pub fn by_owner(balances: Vec<Balance>) -> HashMap<UserId, Vec<Balance>> {
    let mut owners: HashMap<UserId, Vec<Balance>> = HashMap::new();
    for balance in balances {
        let account: Option<AccountId> = balance.account.parse().ok();
        if let Some(Kind::Wallet(user) | Kind::WalletPromo(user)) = account.map(|id| id.kind) {
            owners.entry(user).or_default().push(balance);
        }
    }
    owners
}

/// How many of each combo there are. A combo is what one sender calls by one name, of one gift in one
/// channel; it is over when nothing has come of it for [`COMBO_REST`].
#[derive(Debug, Default)]
struct Combos {
    counts: HashMap<Combo, (i64, Micros)>,
    /// What was counted at the beginning, of those that are yet to be told.
    counted: HashMap<i64, i64>,
    counted_to: i64,
    swept_at: Micros,
}

type Combo = (String, String, String, String);

impl Combos {
    /// As they are after what was told before.
    async fn take_up(reading: &Reading) -> Result<Self, crate::store::StoreError> {
        let mut combos = Self::default();
        let first = reading.untold(0, 1).await?;
        let since = first.first().map_or(i64::MAX, |told| told.at);
        let now = kit::clock::now().as_micros();
        let since = since.min(now).saturating_sub(COMBO_REST);
        for told in reading.gifts_since(since, COMBOS_WITHIN).await? {
            let payload: Option<Payload> = serde_json::from_str(&told.payload).ok();
            let public = payload.and_then(|payload| payload.public);
            let count = public.and_then(|public| combos.add(told.at, &told.part_key, &public));
            if let Some(count) = count {
                combos.counted.insert(told.number, count);
            }
            combos.counted_to = told.number;
        }
        Ok(combos)
    }

    /// The how many-th of its combo a gift is.
    fn count(&mut self, number: i64, at: Micros, channel: &str, public: &Value) -> Option<i64> {
        if number <= self.counted_to {
            return self.counted.remove(&number);
        }
        self.counted.clear();
        self.add(at, channel, public)
    }

    fn add(&mut self, at: Micros, channel: &str, public: &Value) -> Option<i64> {
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        let combo = text(&public["combo"])?;
        let sender = text(&public["by"]["id"])?;
        let gift = text(&public["gift"]["id"])?;
        let more = public["count"].as_i64()?;
        if at - self.swept_at > COMBO_REST {
            self.swept_at = at;
            self.counts.retain(|_, (_, last)| at - *last <= COMBO_REST);
        }
        let combo = (channel.to_owned(), sender, gift, combo);
        let (count, last) = self.counts.entry(combo).or_insert((0, at));
        if at - *last > COMBO_REST {
            *count = 0;
        }
        *count += more;
        *last = at;
        Some(*count)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use gifts_core::command::{Gift, Reference, TopUp, What as Asked};
    use gifts_core::{Amount, Command, Contract, Name};
    use serde_json::json;
    use tokio::sync::Notify;

    use super::*;
    use crate::gate::Order;
    use crate::store::place::Place;

    /// A room that is slow to hear of the first gift, unless it hears of another meanwhile.
    #[derive(Default)]
    struct Slow {
        heard: Mutex<Vec<i64>>,
        told: AtomicUsize,
        begins: Notify,
        another: Notify,
    }

    impl Crier for Slow {
        fn tell(&self, _: ChannelId, news: Vec<News>) -> Later<'_, Vec<bool>> {
            Box::pin(async move {
                if self.told.fetch_add(1, Ordering::Relaxed) == 0 {
                    self.begins.notify_one();
                    let _ = timeout(Duration::from_secs(1), self.another.notified()).await;
                } else {
                    self.another.notify_one();
                }
                let heard = news.iter().map(|one| one.seq);
                self.heard.lock().unwrap().extend(heard);
                vec![true; news.len()]
            })
        }

        fn tell_balances(&self, _: UserId, _: Vec<Balance>) {}

        fn tell_health(&self, _: Option<i64>) {}
    }

    #[tokio::test]
    async fn a_room_hears_of_gifts_in_the_order_of_the_ledger() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::load(dir.path(), None).await.unwrap();
        let (gate, _) = place.open_gate().await.unwrap();
        let reading = Reading::open(&place).await.unwrap();
        let crier = Arc::<Slow>::default();
        let relaying = tokio::spawn(run(gate.clone(), reading, crier.clone()));
        let (user, channel) = (UserId::new(), ChannelId::new());
        let perform = async |what, public| {
            let order = Order {
                command: Command::new(what, 0),
                key: None,
                public,
            };
            gate.perform(order).await.unwrap().number
        };
        let amount = |units| Amount::new(units).unwrap();
        let top_up = TopUp {
            psp: Name::new("sandbox").unwrap(),
            payment: Reference::new("first").unwrap(),
            user,
            currency: "CNY".parse().unwrap(),
            paid: amount(600),
            coins: amount(60),
            bonus: None,
        };
        perform(Asked::TopUp(top_up), None).await;
        let mut given = Vec::new();
        for key in ["g1", "g2", "g3"] {
            let gift = Gift {
                sender: user,
                key: Reference::new(key).unwrap(),
                channel,
                item: Reference::new("rose").unwrap(),
                price: amount(1),
                contract: Contract::new(1, 5_000, None).unwrap(),
            };
            given.push(perform(Asked::Gift(gift), Some(json!({ "gift": "rose" }))).await);
            if given.len() == 1 {
                crier.begins.notified().await;
            }
        }
        let all_heard = async {
            while crier.heard.lock().unwrap().len() < given.len() {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(30), all_heard).await.unwrap();
        assert_eq!(*crier.heard.lock().unwrap(), given);
        relaying.abort();
    }

    fn gift(sender: &str, combo: &str, count: i64) -> Value {
        json!({ "by": { "id": sender }, "gift": { "id": "rose" }, "count": count, "combo": combo })
    }

    #[test]
    fn each_combo_is_counted_for_itself_and_ends_by_itself() {
        let mut combos = Combos::default();
        let mut number = 0;
        let mut count = |at, channel, gift| {
            number += 1;
            combos.count(number, at, channel, &gift)
        };
        assert_eq!(count(1, "a", gift("ann", "x", 1)), Some(1));
        assert_eq!(count(2, "a", gift("ann", "x", 10)), Some(11));
        assert_eq!(count(3, "a", gift("bob", "x", 1)), Some(1));
        assert_eq!(count(4, "b", gift("ann", "x", 1)), Some(1));
        assert_eq!(count(5, "a", gift("ann", "y", 1)), Some(1));
        assert_eq!(count(6, "a", gift("ann", "x", 1)), Some(12));
        assert_eq!(count(6 + COMBO_REST, "a", gift("ann", "x", 1)), Some(13));
        assert_eq!(count(8 + 2 * COMBO_REST, "a", gift("ann", "x", 1)), Some(1));
        let alone = json!({ "by": { "id": "ann" }, "gift": { "id": "rose" }, "count": 1 });
        assert_eq!(count(9 + 2 * COMBO_REST, "a", alone), None);
    }
}
