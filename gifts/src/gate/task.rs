//! The task behind the gate.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use gifts_core::account::{AccountId, Kind};
use gifts_core::canonical::Canonical;
use gifts_core::command::{Done, Lookup, What};
use gifts_core::{Account, Book, Command, Micros};
use kit::clock;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use wire::hex;

use super::{Accepted, Balance, Entry, Key, Order, Refused, Signs};
use crate::store::{AnswerRow, Opened, OutboxRow, Result, Store, StoreError, Writer};

/// What is kept in one transaction of the database.
const BATCH_MAX: usize = 512;

/// How long that may take, all of it.
const WITHIN: Duration = Duration::from_millis(900);

/// How long nothing is tried after the database has failed.
const REST: Duration = Duration::from_millis(500);

/// While nobody asks for anything, how often it is tried whether something could be kept, and what was sent
/// is noted.
const IDLE_MAX: Duration = Duration::from_millis(250);

/// How long that may take.
const LOOK_WITHIN: Duration = Duration::from_millis(500);

/// Rows of the outbox that are noted at once.
const SENT_AT_ONCE: usize = 4_096;

/// How many accounts are held in memory.
const ACCOUNTS_MAX: usize = 200_000;

type Outcome = std::result::Result<Accepted, Refused>;

pub(super) struct Task<S: Store> {
    store: S,
    fence: i64,
    signs: Arc<Signs>,
    noted: mpsc::Receiver<i64>,
    /// When the latest transaction was entered: time does not go back in the ledger.
    last_at: Micros,
    writer: Option<S::Writer>,
    /// The accounts in it are as they are kept while the ledger's next numbers are the book's: nobody else
    /// has entered anything.
    book: Book,
    is_ending: bool,
    rests_until: Option<Instant>,
}

/// What is decided of a batch.
#[derive(Default)]
struct Decided {
    outcomes: Vec<Outcome>,
    outbox: Vec<OutboxRow>,
    answers: Vec<AnswerRow>,
}

/// An answer as it is kept under a key.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Kept {
    Accepted(Accepted),
    Rejected { code: String, message: String },
}

impl<S: Store> Task<S> {
    pub(super) fn new(
        store: S,
        opened: Opened,
        signs: Arc<Signs>,
        noted: mpsc::Receiver<i64>,
    ) -> Self {
        Self {
            store,
            signs,
            noted,
            fence: opened.fence,
            last_at: opened.last_at,
            writer: None,
            book: Book::default(),
            is_ending: false,
            rests_until: None,
        }
    }

    pub(super) async fn run(mut self, mut waiting: mpsc::Receiver<Entry>) {
        loop {
            let is_ours = match timeout(IDLE_MAX, waiting.recv()).await {
                Ok(None) => return,
                Ok(Some(first)) => {
                    let batch = gather(first, &mut waiting).await;
                    self.serve(batch).await
                }
                Err(_) if self.rests() => true,
                Err(_) if !self.noted.is_empty() => self.serve(Vec::new()).await,
                Err(_) => self.look().await,
            };
            if !is_ours {
                tracing::warn!(ledger.fence = self.fence, "another node has the ledger");
                waiting.close();
                while let Some(entry) = waiting.recv().await {
                    answer(vec![entry], &Refused::Fenced);
                }
                return;
            }
        }
    }

    /// While nobody asks for anything: whether it could be kept. False when the ledger is another's.
    async fn look(&mut self) -> bool {
        let looked = match timeout(LOOK_WITHIN, self.try_to_write()).await {
            Ok(looked) => looked,
            Err(_) => Err(StoreError::Failed(late())),
        };
        match looked {
            Ok(()) => self.signs.set_health(true),
            Err(StoreError::Fenced) => return false,
            Err(error) => {
                tracing::debug!(%error, "nothing can be kept in the ledger");
                self.fail();
            }
        }
        true
    }

    /// A turn to write tells enough, and costs no disk.
    async fn try_to_write(&mut self) -> Result<()> {
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.store.writer().await?,
        };
        writer.begin(self.fence).await?;
        writer.roll_back().await?;
        self.writer = Some(writer);
        Ok(())
    }

    /// The database failed: what is not known of it is forgotten, and nothing is tried for a moment.
    fn fail(&mut self) {
        // With its connection ends whatever was begun on it.
        self.writer = None;
        self.book = Book::default();
        self.rests_until = Some(Instant::now() + REST);
        self.signs.set_health(false);
    }

    /// Keeps a batch, and answers all of it; false when the ledger is another's.
    async fn serve(&mut self, batch: Vec<Entry>) -> bool {
        let mut is_ours = true;
        // One of them is to blame, and the others are not.
        for one in self.serve_together(batch, &mut is_ours).await {
            self.serve_together(vec![one], &mut is_ours).await;
        }
        is_ours
    }

    /// Keeps a batch, and answers it; or gives it back, if each should be tried for itself.
    async fn serve_together(&mut self, batch: Vec<Entry>, is_ours: &mut bool) -> Vec<Entry> {
        if self.rests() {
            answer(batch, &Refused::Unavailable);
            return Vec::new();
        }
        match self.try_serve(batch).await {
            Ok(()) => Vec::new(),
            Err((batch, Refused::Impossible)) if batch.len() > 1 => batch,
            Err((batch, refused)) => {
                *is_ours &= refused != Refused::Fenced;
                answer(batch, &refused);
                Vec::new()
            }
        }
    }

    /// Whether the database failed a moment ago.
    fn rests(&self) -> bool {
        self.rests_until.is_some_and(|until| Instant::now() < until)
    }

    /// Keeps a batch, and answers it, or gives it back with why it is not kept.
    async fn try_serve(
        &mut self,
        batch: Vec<Entry>,
    ) -> std::result::Result<(), (Vec<Entry>, Refused)> {
        self.is_ending = false;
        let orders: Vec<&Order> = batch.iter().map(|entry| &entry.order).collect();
        let kept = match timeout(WITHIN, self.keep(&orders)).await {
            Ok(kept) => kept,
            Err(_) => Err(if self.is_ending {
                StoreError::Unknown(late())
            } else {
                StoreError::Failed(late())
            }),
        };
        let error = match kept {
            Ok(outcomes) => {
                self.signs.set_health(true);
                for (entry, outcome) in batch.into_iter().zip(outcomes) {
                    // Who asked may have stopped waiting.
                    let _ = entry.answer.send(outcome);
                }
                return Ok(());
            }
            Err(error) => error,
        };
        // With its connection ends whatever was begun on it.
        self.writer = None;
        self.book = Book::default();
        let refused = match &error {
            StoreError::Fenced => Refused::Fenced,
            StoreError::Refused(_) | StoreError::Damaged(_) => Refused::Impossible,
            StoreError::Failed(_) => Refused::Unavailable,
            StoreError::Unknown(_) => Refused::Unknown,
        };
        if matches!(refused, Refused::Unavailable | Refused::Unknown) {
            self.fail();
        }
        if refused != Refused::Fenced {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, source, commands = batch.len(), "failed to keep what the ledger was asked for");
        }
        Err((batch, refused))
    }

    /// Decides a batch and keeps what it comes to, all of it or nothing.
    async fn keep(&mut self, orders: &[&Order]) -> Result<Vec<Outcome>> {
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.store.writer().await?,
        };
        let next = writer.begin(self.fence).await?;
        if self.book.next() != next {
            self.book = Book::new(next);
        }
        let answers = look_up(&mut self.book, &mut writer, orders).await?;
        self.last_at = self.last_at.max(clock::now().as_micros());
        let decided = decide(self.last_at, &mut self.book, &mut writer, orders, answers).await?;
        let changes = self.book.take_changes();
        let sent = self.take_noted();
        if changes.transactions.is_empty() && decided.answers.is_empty() && sent.is_empty() {
            writer.roll_back().await?;
        } else {
            writer
                .write(&changes, &decided.outbox, &decided.answers)
                .await?;
            writer.note_sent(&sent, self.last_at).await?;
            self.is_ending = true;
            writer.commit().await?;
            if !decided.outbox.is_empty() {
                self.signs.has_told.notify_one();
            }
        }
        self.writer = Some(writer);
        if self.book.accounts().count() > ACCOUNTS_MAX {
            self.book.forget_accounts(|_| false);
        }
        Ok(decided.outcomes)
    }

    /// Which rows of the outbox have arrived since the last time. What is not kept with this is sent once more.
    fn take_noted(&mut self) -> Vec<i64> {
        let noted = std::iter::from_fn(|| self.noted.try_recv().ok());
        noted.take(SENT_AT_ONCE).collect()
    }
}

/// Takes what waits behind the first, and before that lets those come who are about to ask: all who were
/// answered a moment ago are. Whoever asks alone waits for nobody.
async fn gather(first: Entry, waiting: &mut mpsc::Receiver<Entry>) -> Vec<Entry> {
    let mut batch = vec![first];
    let mut before = None;
    while before != Some(waiting.len()) && waiting.len() < BATCH_MAX {
        before = Some(waiting.len());
        tokio::task::yield_now().await;
    }
    if !waiting.is_empty() {
        waiting.recv_many(&mut batch, BATCH_MAX - 1).await;
    }
    batch
}

/// The database did not answer in time.
fn late() -> sqlx::Error {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

fn answer(batch: Vec<Entry>, refused: &Refused) {
    for entry in batch {
        // Who asked may have stopped waiting.
        let _ = entry.answer.send(Err(refused.clone()));
    }
}

/// Has at hand what a batch needs, set by set; tells what was answered before under its keys.
async fn look_up(
    book: &mut Book,
    writer: &mut impl Writer,
    orders: &[&Order],
) -> Result<HashMap<Key, AnswerRow>> {
    let mut ids: HashSet<_> = orders.iter().map(|order| order.command.id()).collect();
    let mut whole = Vec::new();
    let mut pending = Vec::new();
    for order in orders {
        match order.command.lookup() {
            Lookup::None => {}
            Lookup::Transaction(id) => {
                ids.insert(id);
                whole.push(id);
            }
            Lookup::Pending(id) => pending.push(id),
        }
    }
    let ids: Vec<_> = ids.into_iter().collect();
    let mut recorded: HashMap<_, _> = writer
        .recorded(&ids)
        .await?
        .into_iter()
        .map(|recorded| (recorded.receipt.id, recorded))
        .collect();
    if !whole.is_empty() {
        for id in &whole {
            if let Some(recorded) = recorded.get_mut(id) {
                recorded.legs = Some(Vec::new());
            }
        }
        for (id, leg) in writer.legs(&whole).await? {
            let legs = recorded
                .get_mut(&id)
                .and_then(|recorded| recorded.legs.as_mut());
            legs.ok_or_else(|| StoreError::Damaged(format!("the transaction {id}")))?
                .push(leg);
        }
    }
    for recorded in recorded.into_values() {
        book.put_recorded(recorded);
    }
    if !pending.is_empty() {
        for (id, pending) in writer.pending(&pending).await? {
            book.put_pending(id, pending);
        }
    }
    have_accounts(book, writer, orders).await?;
    answered_before(writer, orders).await
}

/// Has the accounts of commands at hand.
async fn have_accounts(book: &mut Book, writer: &mut impl Writer, orders: &[&Order]) -> Result<()> {
    let mut missing = HashSet::new();
    for order in orders {
        order.command.accounts(book, |id| {
            if book.account(&id).is_none() {
                missing.insert(id);
            }
        });
    }
    if missing.is_empty() {
        return Ok(());
    }
    let missing: Vec<_> = missing.into_iter().collect();
    for account in writer.accounts(&missing).await? {
        book.put_account(account);
    }
    for id in missing {
        if book.account(&id).is_none() {
            book.put_account(Account::new(id));
        }
    }
    Ok(())
}

async fn answered_before(
    writer: &mut impl Writer,
    orders: &[&Order],
) -> Result<HashMap<Key, AnswerRow>> {
    let keys = orders.iter().filter_map(|order| order.key.as_ref());
    let keys: Vec<_> = keys
        .map(|key| (key.scope.clone(), key.word.clone()))
        .collect();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = writer.answers(&keys).await?.into_iter();
    let keyed = rows.map(|row| {
        let key = Key {
            scope: row.scope.clone(),
            word: row.word.clone(),
        };
        (key, row)
    });
    Ok(keyed.collect())
}

/// Decides a batch, one after another.
async fn decide(
    now: Micros,
    book: &mut Book,
    writer: &mut impl Writer,
    orders: &[&Order],
    mut known: HashMap<Key, AnswerRow>,
) -> Result<Decided> {
    let mut decided = Decided::default();
    for order in orders {
        let request = requested(&order.command);
        if let Some(answer) = order.key.as_ref().and_then(|key| known.get(key)) {
            decided.outcomes.push(replay(answer, &request)?);
            continue;
        }
        // What it is about may have been entered by this batch, and so its accounts be others.
        have_accounts(book, writer, &[*order]).await?;
        let done = order.command.perform(now, book);
        let outcome = done.map_err(Refused::from).map(|done| {
            let accepted = accept(book, &order.command, done);
            if !done.is_replay {
                decided.outbox.push(tell(order, &accepted));
            }
            accepted
        });
        if let Some(key) = &order.key {
            let row = AnswerRow {
                scope: key.scope.clone(),
                word: key.word.clone(),
                request,
                answer: keep_answer(&outcome),
                at: now,
            };
            known.insert(key.clone(), row.clone());
            decided.answers.push(row);
        }
        decided.outcomes.push(outcome);
    }
    Ok(decided)
}

/// The hash of what was asked for.
fn requested(command: &Command) -> String {
    let mut asked = Canonical::of("barrage ledger order 1");
    asked
        .text(&command.id().to_string())
        .bytes(command.request());
    hex::encode(&asked.hash())
}

fn keep_answer(outcome: &Outcome) -> String {
    let kept = match outcome.clone() {
        Ok(accepted) => Kept::Accepted(accepted),
        Err(Refused::Rejected { code, message }) => Kept::Rejected { code, message },
        Err(_) => unreachable!("the rules only reject"),
    };
    serde_json::to_string(&kept).expect("an answer is plain data")
}

/// What was answered, if the same was asked for.
fn replay(row: &AnswerRow, request: &str) -> Result<Outcome> {
    if row.request != request {
        return Ok(Err(Refused::KeyReused));
    }
    let kept = serde_json::from_str(&row.answer);
    let kept = kept.map_err(|_| StoreError::Damaged(format!("the answer to {}", row.word)))?;
    Ok(match kept {
        Kept::Accepted(accepted) => Ok(Accepted {
            is_replay: true,
            ..accepted
        }),
        Kept::Rejected { code, message } => Err(Refused::Rejected { code, message }),
    })
}

/// That a command is done, with what those have whom it concerns.
fn accept(book: &Book, command: &Command, done: Done) -> Accepted {
    let mut balances = Vec::new();
    command.accounts(book, |id| {
        let account = book.account(&id).filter(|account| account.number != 0);
        if let Some(account) = account.filter(|account| is_somebodys(&account.id)) {
            balances.push(Balance {
                account: id.to_string(),
                balance: account.balance(),
                available: account.available(),
                version: account.version,
                is_frozen: account.frozen_at.is_some(),
            });
        }
    });
    Accepted {
        id: done.receipt.id.to_string(),
        number: done.receipt.number,
        at: done.receipt.at,
        is_replay: done.is_replay,
        balances,
    }
}

/// Whether somebody is told what is on an account.
const fn is_somebodys(id: &AccountId) -> bool {
    matches!(
        id.kind,
        Kind::Wallet(_)
            | Kind::WalletPromo(_)
            | Kind::EarnHeld(_)
            | Kind::EarnAvailable(_)
            | Kind::EarnPromo(_)
    )
}

/// What others are to be told of what a command did.
fn tell(order: &Order, accepted: &Accepted) -> OutboxRow {
    #[derive(Serialize)]
    struct Told<'a> {
        id: &'a str,
        number: i64,
        at: Micros,
        public: Option<&'a Value>,
        balances: &'a [Balance],
    }
    let told = Told {
        id: &accepted.id,
        number: accepted.number,
        at: accepted.at,
        public: order.public.as_ref(),
        balances: &accepted.balances,
    };
    let (topic, part_key) = match order.command.what() {
        What::TopUp(top_up) => ("top_up", top_up.user.to_string()),
        What::Gift(gift) => ("gift", gift.channel.to_string()),
        What::Release(release) => ("release", release.payee.to_string()),
        What::Reversal(reversal) => ("reversal", reversal.of.to_string()),
        What::Hold(hold) => ("hold", hold.from.to_string()),
        What::Settlement(settlement) => ("settlement", settlement.of.transaction.to_string()),
        What::Mark(mark) => (mark.code.as_str(), mark.account.to_string()),
    };
    OutboxRow {
        number: accepted.number,
        topic,
        part_key,
        payload: serde_json::to_string(&told).expect("events are plain data"),
        at: accepted.at,
    }
}
