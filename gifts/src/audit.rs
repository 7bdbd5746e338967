//! Seals what is kept, and verifies it.

use std::collections::HashMap;

use gifts_core::Micros;
use gifts_core::seal::{LINK_MAX, Link, SealKey, Sealing};
use gifts_core::verify::{Report, Verifier};

use crate::store::{Result, Snapshot, Store, StoreError, Writer};

/// How many rows are read at once.
const PAGE: i64 = 4_096;

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

/// Counts all of the ledger again, as it is now, page by page.
///
/// # Errors
/// When the database fails. What is not right is in the report.
pub async fn verify<S: Store>(store: &S, now: Micros) -> Result<Report> {
    let mut snapshot = store.snapshot().await?;
    let mut verifier = Verifier::default();
    let mut after = 0;
    loop {
        let page = snapshot.accounts(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.number;
        page.into_iter().for_each(|row| verifier.account(row));
    }
    let (mut after, mut linked) = (0, 0);
    loop {
        let page = snapshot.transactions(after, PAGE).await?;
        let (Some((first, _)), Some((last, _))) = (page.first(), page.last()) else {
            break;
        };
        after = last.number;
        // A number that was left out is found as such, not as its transfers.
        let (first_seq, last_seq) = (first.first_seq, last.first_seq + last.legs - 1);
        let transfers = snapshot.transfers(first_seq, last_seq).await?;
        let mut rest = transfers.as_slice();
        for (row, is_announced) in &page {
            while verifier.wants_link() {
                let mut links = snapshot.links(linked, 1).await?;
                linked = links.first().map_or(linked, |link| link.last);
                verifier.link(links.pop());
            }
            let count = rest
                .iter()
                .take_while(|transfer| transfer.txn <= row.number)
                .count();
            let (own, later) = rest.split_at(count);
            verifier.transaction(row, own, *is_announced);
            rest = later;
        }
    }
    // What is sealed and not there.
    for link in snapshot.links(linked, PAGE).await? {
        verifier.link(Some(link));
    }
    let next = snapshot.next().await?;
    Ok(verifier.finish(now, next))
}
