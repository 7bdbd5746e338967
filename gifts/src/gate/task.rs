//! The task behind the gate. It decides one batch while the one before is being kept.

use std::sync::Arc;
use std::time::Duration;

use gifts_core::book::{Changes, Next};
use gifts_core::{Book, Micros};
use kit::clock;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::decide::{Answers, Decided, Outcome, decide};
use super::{Entry, Order, Refused, Signs};
use crate::store::{AnswerRow, Opened, OutboxRow, Result, Store, StoreError, Writer};

/// What is kept in one transaction of the database.
const BATCH_MAX: usize = 512;

/// So few are not divided among two batches.
const BATCH_MIN: usize = 32;

/// How long it may take to decide a batch, and to keep it.
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

pub(super) struct Task<S: Store> {
    store: S,
    fence: i64,
    signs: Arc<Signs>,
    noted: mpsc::Receiver<i64>,
    /// When the latest transaction was entered: time does not go back in the ledger.
    last_at: Micros,
    /// What batches are decided by is read over one connection, and they are kept over another.
    reader: Option<S::Writer>,
    writer: Option<S::Writer>,
    /// What the ledger is once everything that was decided is kept. None while that is not known.
    book: Option<Book>,
    /// What the batch before answered under keys.
    latest: Answers,
    on_its_way: Option<OnItsWay<S::Writer>>,
    rests_until: Option<Instant>,
    /// Whether the ledger is still this task's.
    is_ours: bool,
}

/// A batch that is being kept.
struct OnItsWay<W> {
    len: usize,
    written: JoinHandle<Written<W>>,
}

/// A batch about which everything is decided.
struct Batch {
    entries: Vec<Entry>,
    outcomes: Vec<Outcome>,
    /// How the ledger numbers things before it.
    first: Next,
    changes: Changes,
    outbox: Vec<OutboxRow>,
    answers: Vec<AnswerRow>,
    /// Rows of the outbox that have arrived.
    sent: Vec<i64>,
    at: Micros,
}

/// What became of a batch: it is kept, and answered, or given back.
type Written<W> = std::result::Result<W, (Vec<Entry>, StoreError)>;

/// What happens next.
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
enum Event<W> {
    Asked(Entry),
    Written(Written<W>),
    Idle,
    Closed,
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
            reader: None,
            writer: None,
            book: None,
            latest: Answers::new(),
            on_its_way: None,
            rests_until: None,
            is_ours: true,
        }
    }

    pub(super) async fn run(mut self, mut waiting: mpsc::Receiver<Entry>) {
        while self.is_ours {
            match self.event(&mut waiting).await {
                Event::Asked(first) => {
                    let on_its_way = self.on_its_way.as_ref().map_or(0, |batch| batch.len);
                    let batch = gather(first, &mut waiting, on_its_way).await;
                    self.serve(batch).await;
                }
                Event::Written(written) => self.settle(written).await,
                Event::Idle if self.rests() => {}
                Event::Idle if !self.noted.is_empty() => self.serve(Vec::new()).await,
                Event::Idle => self.look().await,
                Event::Closed => {
                    self.wait().await;
                    return;
                }
            }
        }
        self.wait().await;
        tracing::warn!(ledger.fence = self.fence, "another node has the ledger");
        waiting.close();
        while let Some(entry) = waiting.recv().await {
            answer(vec![entry], &Refused::Fenced);
        }
    }

    async fn event(&mut self, waiting: &mut mpsc::Receiver<Entry>) -> Event<S::Writer> {
        let asked = |entry: Option<Entry>| entry.map_or(Event::Closed, Event::Asked);
        let Some(batch) = &mut self.on_its_way else {
            let entry = timeout(IDLE_MAX, waiting.recv()).await;
            return entry.map_or(Event::Idle, asked);
        };
        tokio::select! {
            biased;
            written = &mut batch.written => {
                self.on_its_way = None;
                Event::Written(written.expect("nothing panics while a batch is kept"))
            }
            entry = waiting.recv() => asked(entry),
        }
    }

    /// While nobody asks for anything: whether it could be kept.
    async fn look(&mut self) {
        match within(LOOK_WITHIN, self.try_to_write()).await {
            Ok(()) => self.signs.set_health(true),
            Err(StoreError::Fenced) => self.is_ours = false,
            Err(error) => {
                tracing::debug!(%error, "nothing can be kept in the ledger");
                self.fail();
            }
        }
    }

    /// A turn to write tells enough, and costs no disk.
    async fn try_to_write(&mut self) -> Result<()> {
        let mut writer = connection(&self.store, self.writer.take()).await?;
        writer.begin(self.fence).await?;
        writer.roll_back().await?;
        self.writer = Some(writer);
        Ok(())
    }

    /// The database failed: nothing is tried for a moment.
    fn fail(&mut self) {
        self.forget();
        self.rests_until = Some(Instant::now() + REST);
        self.signs.set_health(false);
    }

    /// What is not known to be in the ledger is forgotten.
    fn forget(&mut self) {
        // With its connection ends whatever was begun on it.
        self.writer = None;
        self.reader = None;
        self.book = None;
        self.latest.clear();
    }

    /// Whether the database failed a moment ago.
    fn rests(&self) -> bool {
        self.rests_until.is_some_and(|until| Instant::now() < until)
    }

    /// Decides a batch, and begins to keep it once the one before is kept.
    async fn serve(&mut self, entries: Vec<Entry>) {
        for one in self.serve_together(entries).await {
            self.serve_together(vec![one]).await;
            self.wait().await;
        }
    }

    /// Does that, or gives the batch back, if each should be tried for itself.
    async fn serve_together(&mut self, entries: Vec<Entry>) -> Vec<Entry> {
        loop {
            if !self.is_ours {
                answer(entries, &Refused::Fenced);
                return Vec::new();
            }
            if self.rests() {
                answer(entries, &Refused::Unavailable);
                return Vec::new();
            }
            self.forget_accounts().await;
            let orders: Vec<&Order> = entries.iter().map(|entry| &entry.order).collect();
            let decided = within(WITHIN, self.decide(&orders)).await;
            let is_kept = self.wait().await;
            match decided {
                // It was decided on what never came to be.
                Ok(_) | Err(_) if !is_kept => {}
                Ok(batch) => {
                    self.keep(Batch { entries, ..batch });
                    return Vec::new();
                }
                Err(error) => return self.refuse(entries, &error),
            }
        }
    }

    /// Decides what a batch comes to, whatever becomes of the one before.
    async fn decide(&mut self, orders: &[&Order]) -> Result<Batch> {
        let mut reader = connection(&self.store, self.reader.take()).await?;
        let mut book = match self.book.take() {
            Some(book) => book,
            None => {
                let next = reader.begin(self.fence).await?;
                reader.roll_back().await?;
                Book::new(next)
            }
        };
        let first = book.next();
        self.last_at = self.last_at.max(clock::now().as_micros());
        let decided = decide(
            self.last_at,
            &mut book,
            &mut reader,
            orders,
            &mut self.latest,
        );
        let Decided {
            outcomes,
            outbox,
            answers,
        } = decided.await?;
        let changes = book.take_changes();
        self.book = Some(book);
        self.reader = Some(reader);
        Ok(Batch {
            entries: Vec::new(),
            outcomes,
            first,
            changes,
            outbox,
            answers,
            sent: self.take_noted(),
            at: self.last_at,
        })
    }

    /// Which rows of the outbox have arrived since the last time. What is not kept with this is sent once more.
    fn take_noted(&mut self) -> Vec<i64> {
        let noted = std::iter::from_fn(|| self.noted.try_recv().ok());
        noted.take(SENT_AT_ONCE).collect()
    }

    /// Begins to keep a batch.
    fn keep(&mut self, batch: Batch) {
        let (store, writer) = (self.store.clone(), self.writer.take());
        let (fence, signs) = (self.fence, Arc::clone(&self.signs));
        self.on_its_way = Some(OnItsWay {
            len: batch.entries.len(),
            written: tokio::spawn(async move { write(&store, writer, fence, batch, &signs).await }),
        });
    }

    /// Waits until nothing is on its way; false when that was not kept.
    async fn wait(&mut self) -> bool {
        let Some(batch) = self.on_its_way.take() else {
            return true;
        };
        let written = batch.written.await;
        let written = written.expect("nothing panics while a batch is kept");
        let is_kept = written.is_ok();
        Box::pin(self.settle(written)).await;
        is_kept
    }

    /// Notes what became of a batch.
    async fn settle(&mut self, written: Written<S::Writer>) {
        match written {
            Ok(writer) => {
                self.writer = Some(writer);
                self.signs.set_health(true);
            }
            Err((entries, error)) => {
                // One of them is to blame, and the others are not.
                for one in self.refuse(entries, &error) {
                    self.serve_together(vec![one]).await;
                    self.wait().await;
                }
            }
        }
    }

    /// Answers a batch that is not kept, or gives it back, if each should be tried for itself.
    fn refuse(&mut self, entries: Vec<Entry>, error: &StoreError) -> Vec<Entry> {
        let refused = match error {
            StoreError::Fenced => Refused::Fenced,
            StoreError::Refused(_) | StoreError::Damaged(_) => Refused::Impossible,
            StoreError::Failed(_) => Refused::Unavailable,
            StoreError::Unknown(_) => Refused::Unknown,
        };
        self.forget();
        if refused == Refused::Fenced {
            self.is_ours = false;
        } else {
            let source = std::error::Error::source(error).map(ToString::to_string);
            tracing::error!(%error, source, commands = entries.len(), "failed to keep what the ledger was asked for");
        }
        if matches!(refused, Refused::Unavailable | Refused::Unknown) {
            self.fail();
        }
        if refused == Refused::Impossible && entries.len() > 1 {
            return entries;
        }
        answer(entries, &refused);
        Vec::new()
    }

    /// Forgets accounts, if they are many and all of them are kept.
    async fn forget_accounts(&mut self) {
        let is_full = |book: &Book| book.accounts().len() > ACCOUNTS_MAX;
        if self.book.as_ref().is_some_and(is_full)
            && self.wait().await
            && let Some(book) = &mut self.book
        {
            book.forget_accounts(|_| false);
        }
    }
}

async fn connection<S: Store>(store: &S, kept: Option<S::Writer>) -> Result<S::Writer> {
    match kept {
        Some(kept) => Ok(kept),
        None => store.writer().await,
    }
}

/// Keeps a batch, all of it or nothing, and answers it; or gives it back.
async fn write<S: Store>(
    store: &S,
    writer: Option<S::Writer>,
    fence: i64,
    batch: Batch,
    signs: &Signs,
) -> Written<S::Writer> {
    let mut is_ending = false;
    let putting_down = put_down(store, writer, fence, &batch, &mut is_ending);
    let written = match timeout(WITHIN, putting_down).await {
        Ok(written) => written,
        Err(_) if is_ending => Err(StoreError::Unknown(late())),
        Err(_) => Err(StoreError::Failed(late())),
    };
    let writer = match written {
        Ok(writer) => writer,
        Err(error) => return Err((batch.entries, error)),
    };
    if !batch.outbox.is_empty() {
        signs.has_told.notify_one();
    }
    for (entry, outcome) in batch.entries.into_iter().zip(batch.outcomes) {
        // Who asked may have stopped waiting.
        let _ = entry.answer.send(outcome);
    }
    Ok(writer)
}

async fn put_down<S: Store>(
    store: &S,
    writer: Option<S::Writer>,
    fence: i64,
    batch: &Batch,
    is_ending: &mut bool,
) -> Result<S::Writer> {
    let mut writer = connection(store, writer).await?;
    if writer.begin(fence).await? != batch.first {
        return Err(StoreError::Damaged("how the ledger numbers things".into()));
    }
    let Batch {
        changes,
        outbox,
        answers,
        sent,
        ..
    } = batch;
    if changes.transactions.is_empty() && answers.is_empty() && sent.is_empty() {
        // Whoever has the ledger has to say even what changes nothing.
        writer.roll_back().await?;
    } else {
        writer.write(changes, outbox, answers).await?;
        writer.note_sent(sent, batch.at).await?;
        *is_ending = true;
        writer.commit().await?;
    }
    Ok(writer)
}

/// Takes what waits behind the first, and before that lets those come who are about to ask: all who were
/// answered a moment ago are. Whoever asks alone waits for nobody. A crowd is divided into two batches, so
/// that one is decided while the other is kept.
async fn gather(
    first: Entry,
    waiting: &mut mpsc::Receiver<Entry>,
    on_its_way: usize,
) -> Vec<Entry> {
    let mut batch = vec![first];
    let mut before = None;
    while before != Some(waiting.len()) && waiting.len() < BATCH_MAX {
        before = Some(waiting.len());
        tokio::task::yield_now().await;
    }
    let all = on_its_way + 1 + waiting.len();
    let len = all.div_ceil(2).clamp(BATCH_MIN, BATCH_MAX);
    if !waiting.is_empty() {
        waiting.recv_many(&mut batch, len - 1).await;
    }
    batch
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    let done = timeout(limit, work).await;
    done.unwrap_or_else(|_| Err(StoreError::Failed(late())))
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
