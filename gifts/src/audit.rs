//! Seals what is kept, and verifies it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use gifts_core::Micros;
use gifts_core::row::{TransactionRow, TransferRow};
use gifts_core::seal::{LINK_MAX, Link, SealKey, Sealing};
use gifts_core::verify::{Report, Verifier};
use kit::clock;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use wire::hex;

use crate::store::{Result, Snapshot, Store, StoreError, Writer};

/// How many rows are read at once.
const PAGE: i64 = 4_096;

/// And how many links.
const LINKS: i64 = 64;

/// Seals what was entered since the last link, as far as one link reaches; `None` where there is nothing.
/// Whoever has the ledger seals it: `fence` tells that it still does.
///
/// # Errors
/// When the database fails, or the ledger is another's.
pub async fn seal<S: Store>(
    store: &S,
    key: &SealKey,
    fence: i64,
    now: Micros,
) -> Result<Option<Link>> {
    let mut snapshot = store.snapshot().await?;
    let last = snapshot.last_link().await?;
    let (before, sealed) = last.map_or(([0; 32], 0), |link| (link.hash, link.last));
    let page = snapshot.transactions(sealed, LINK_MAX).await?;
    let (Some((first, _)), Some((end, _))) = (page.first(), page.last()) else {
        return Ok(None);
    };
    let last_seq = end.first_seq + end.legs - 1;
    let transfers = snapshot.transfers(first.first_seq, last_seq).await?;
    let mut numbers: Vec<_> = transfers
        .iter()
        .flat_map(|transfer| [transfer.debit, transfer.credit])
        .chain(page.iter().filter_map(|(row, _)| row.subject))
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    let names: HashMap<_, _> = snapshot.names(&numbers).await?.into_iter().collect();
    let mut transfers = transfers.into_iter().peekable();
    let named = |number: i64| {
        let name = names.get(&number).map(String::as_str);
        name.ok_or_else(|| StoreError::Damaged(format!("the account {number}")))
    };
    let mut sealing = Sealing::after(before, sealed + 1);
    for (row, _) in &page {
        let subject = row.subject.map(named).transpose()?;
        sealing.transaction(row, subject);
        while let Some(transfer) = transfers.next_if(|transfer| transfer.txn == row.number) {
            sealing.transfer(&transfer, named(transfer.debit)?, named(transfer.credit)?);
        }
    }
    let link = sealing.sign(key, now);
    let mut writer = store.writer().await?;
    writer.begin(fence).await?;
    writer.write_link(&link).await?;
    writer.commit().await?;
    Ok(Some(link))
}

/// Seals all that was entered since the last link, with as many as it takes; gives their number. What is entered
/// meanwhile waits for the next time.
///
/// # Errors
/// When the database fails, or the ledger is another's. What was sealed before stays.
pub async fn seal_all<S: Store>(store: &S, key: &SealKey, fence: i64) -> Result<u64> {
    let mut links = 0;
    while let Some(link) = seal(store, key, fence, clock::now().as_micros()).await? {
        links += 1;
        // Who publishes this line elsewhere has what nobody can change here afterwards.
        tracing::info!(
            ledger.last = link.last,
            ledger.hash = hex::encode(&link.hash),
            ledger.key = hex::encode(&link.key),
            "sealed the ledger"
        );
        if link.last - link.first + 1 < LINK_MAX {
            break;
        }
    }
    Ok(links)
}

/// Seals what was entered, every so often, until the ledger is another's.
pub async fn keep_sealed<S: Store>(store: S, key: Arc<SealKey>, fence: i64, every: Duration) {
    let mut times = tokio::time::interval(every);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        times.tick().await;
        match seal_all(&store, &key, fence).await {
            Ok(_) => {}
            Err(StoreError::Fenced) => return,
            Err(error) => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, source, "failed to seal the ledger");
            }
        }
    }
}

/// How it is verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verifying {
    /// What time it is.
    pub now: Micros,
    /// With which key all links must be signed, if it is known.
    pub trusted: Option<[u8; 32]>,
}

/// Counts all of the ledger again, as it is now, page by page. `progress` is told how many transactions have
/// been counted, and of how many.
///
/// # Errors
/// When the database fails. What is not right is in the report.
pub async fn verify_with<S: Store>(
    store: &S,
    how: Verifying,
    mut progress: impl FnMut(i64, i64) + Send,
) -> Result<Report> {
    let mut snapshot = store.snapshot().await?;
    let next = snapshot.next().await?;
    let mut verifier = Verifier::default().trusting(how.trusted);
    let mut after = 0;
    loop {
        let page = snapshot.accounts(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.number;
        page.into_iter().for_each(|row| verifier.account(row));
    }
    let mut pages = pages(snapshot);
    let mut linked = VecDeque::new();
    while let Some(page) = pages.recv().await {
        let page = page?;
        linked.extend(page.links);
        let mut rest = page.transfers.as_slice();
        for (row, is_announced) in &page.transactions {
            while verifier.wants_link() {
                verifier.link(linked.pop_front());
            }
            let count = rest
                .iter()
                .take_while(|transfer| transfer.txn <= row.number)
                .count();
            let (own, later) = rest.split_at(count);
            verifier.transaction(row, own, *is_announced);
            rest = later;
        }
        if let Some((last, _)) = page.transactions.last() {
            progress(last.number, next.transaction - 1);
        }
    }
    // What is sealed and not there.
    for link in linked {
        verifier.link(Some(link));
    }
    Ok(verifier.finish(how.now, next))
}

/// The same, whoever signed it.
///
/// # Errors
/// When the database fails. What is not right is in the report.
pub async fn verify<S: Store>(store: &S, now: Micros) -> Result<Report> {
    let how = Verifying { now, trusted: None };
    verify_with(store, how, |_, _| {}).await
}

/// What is read at once.
struct Page {
    transactions: Vec<(TransactionRow, bool)>,
    transfers: Vec<TransferRow>,
    /// The next links, until past its transactions or until there are no more.
    links: Vec<Link>,
}

/// Reads one page while another is counted. The last has no transactions.
fn pages(mut snapshot: impl Snapshot) -> mpsc::Receiver<Result<Page>> {
    let (pages, read) = mpsc::channel(1);
    tokio::spawn(async move {
        let (mut after, mut linked) = (0, 0);
        loop {
            let page = page(&mut snapshot, after, linked).await;
            let last = page.as_ref().ok().and_then(|page| page.transactions.last());
            let last = last.map(|(row, _)| row.number);
            if let Some(link) = page.as_ref().ok().and_then(|page| page.links.last()) {
                linked = link.last;
            }
            if pages.send(page).await.is_err() {
                return;
            }
            let Some(last) = last else { return };
            after = last;
        }
    });
    read
}

async fn page(snapshot: &mut impl Snapshot, after: i64, mut linked: i64) -> Result<Page> {
    let transactions = snapshot.transactions(after, PAGE).await?;
    let transfers = match (transactions.first(), transactions.last()) {
        (Some((first, _)), Some((last, _))) => {
            // A number that was left out is found as such, not as its transfers.
            let last_seq = last.first_seq + last.legs - 1;
            snapshot.transfers(first.first_seq, last_seq).await?
        }
        _ => Vec::new(),
    };
    let until = transactions.last().map_or(i64::MAX, |(row, _)| row.number);
    let mut links = Vec::new();
    while linked < until {
        let more = snapshot.links(linked, LINKS).await?;
        let Some(last) = more.last() else { break };
        linked = last.last;
        links.extend(more);
    }
    Ok(Page {
        transactions,
        transfers,
        links,
    })
}
