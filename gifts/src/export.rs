//! All of the ledger, for other programs: as plain-text accounting that [beancount] reads and checks, or as
//! a table. It is written as it is read, page by page.
//!
//! [beancount]: https://beancount.github.io/docs/beancount_language_syntax.html

use std::collections::HashMap;
use std::io::Write;

use anyhow::Context as _;
use gifts_core::account::{AccountId, Class, Kind};
use gifts_core::row::{AccountRow, TransactionRow, TransferRow};
use gifts_core::{Code, Currency, Micros};

use crate::store::{Snapshot, Store};

/// How many rows are read at once.
const PAGE: i64 = 4_096;

const DAY: Micros = 86_400_000_000;

/// In which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A journal that ends with what each account must come to.
    Beancount,
    /// A line for each transfer.
    Csv,
}

/// Writes all of it as it is now.
///
/// # Errors
/// When the database fails, what is kept makes no sense, or `out` takes no more.
pub async fn export<S: Store>(
    store: &S,
    format: Format,
    out: &mut (impl Write + Send),
) -> anyhow::Result<()> {
    let mut snapshot = store.snapshot().await?;
    let accounts = accounts(&mut snapshot).await?;
    match format {
        Format::Beancount => open_accounts(&accounts, out)?,
        Format::Csv => writeln!(
            out,
            "seq,transaction,id,code,at,ledger,debit,credit,amount,phase,resolves,contract"
        )?,
    }
    let mut after = 0;
    let mut last_at = 0;
    loop {
        let page = snapshot.transactions(after, PAGE).await?;
        let (Some((first, _)), Some((last, _))) = (page.first(), page.last()) else {
            break;
        };
        after = last.number;
        last_at = last.created_at;
        let last_seq = last.first_seq + last.legs - 1;
        let transfers = snapshot.transfers(first.first_seq, last_seq).await?;
        let mut rest = transfers.as_slice();
        for (row, _) in &page {
            let (own, later) = rest.split_at(
                rest.iter()
                    .take_while(|transfer| transfer.txn == row.number)
                    .count(),
            );
            match format {
                Format::Beancount => write_entry(row, own, &accounts, out)?,
                Format::Csv => write_lines(row, own, &accounts, out)?,
            }
            rest = later;
        }
    }
    if format == Format::Beancount {
        close_accounts(&accounts, last_at, out)?;
    }
    out.flush().context("failed to write the export")
}

/// An account as other programs know it.
struct Named {
    row: AccountRow,
    id: AccountId,
    /// As beancount writes accounts.
    path: String,
}

async fn accounts(snapshot: &mut impl Snapshot) -> anyhow::Result<HashMap<i64, Named>> {
    let mut accounts = HashMap::new();
    let mut after = 0;
    loop {
        let page = snapshot.accounts(after, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(accounts);
        };
        after = last.number;
        for row in page {
            let id: AccountId = row
                .id
                .parse()
                .with_context(|| format!("of the account {:?}", row.id))?;
            let path = path(&id);
            accounts.insert(row.number, Named { row, id, path });
        }
    }
}

/// `Liabilities:COIN:Wallet:U-018f…`: each part begins with a capital.
fn path(id: &AccountId) -> String {
    let class = match id.kind.class() {
        Class::Asset => "Assets",
        Class::Liability => "Liabilities",
        Class::Equity => "Equity",
        Class::Income => "Income",
        Class::Expense => "Expenses",
    };
    let words = id.kind.word().split('_').map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    });
    let word = words.collect::<Vec<_>>().join("-");
    let owner = id.kind.owner();
    let owner = if owner.is_empty() {
        owner
    } else if matches!(id.kind, Kind::Fx(_)) {
        format!(":{owner}")
    } else {
        format!(":O-{owner}")
    };
    format!("{class}:{}:{word}{owner}", id.currency)
}

fn open_accounts(accounts: &HashMap<i64, Named>, out: &mut impl Write) -> anyhow::Result<()> {
    writeln!(out, "option \"title\" \"Barrage\"")?;
    for account in sorted(accounts) {
        let Named { row, id, path } = account;
        writeln!(out, "{} open {path} {}", date(row.opened_at), id.currency)?;
    }
    Ok(())
}

fn sorted(accounts: &HashMap<i64, Named>) -> Vec<&Named> {
    let mut sorted: Vec<_> = accounts.values().collect();
    sorted.sort_by_key(|account| account.row.number);
    sorted
}

fn named(accounts: &HashMap<i64, Named>, number: i64) -> anyhow::Result<&Named> {
    accounts
        .get(&number)
        .with_context(|| format!("there is no account {number}"))
}

/// What is pending, or was called off, moved nothing.
fn write_entry(
    row: &TransactionRow,
    transfers: &[TransferRow],
    accounts: &HashMap<i64, Named>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let moved = || {
        transfers
            .iter()
            .filter(|transfer| matches!(transfer.phase, 0 | 2))
    };
    if moved().next().is_none() {
        return Ok(());
    }
    writeln!(out, "\n{} * \"{}\"", date(row.created_at), code(row))?;
    writeln!(out, "  number: {}", row.number)?;
    writeln!(out, "  transaction: \"{}\"", row.id)?;
    for transfer in moved() {
        let (debit, credit) = (
            named(accounts, transfer.debit)?,
            named(accounts, transfer.credit)?,
        );
        let amount = debit.id.currency.write(transfer.amount);
        let currency = debit.id.currency;
        writeln!(out, "  {} {amount} {currency}", debit.path)?;
        writeln!(out, "  {} -{amount} {currency}", credit.path)?;
    }
    Ok(())
}

/// What each account must have come to by the day after. No tolerance: to the smallest unit.
fn close_accounts(
    accounts: &HashMap<i64, Named>,
    last_at: Micros,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    writeln!(out)?;
    for account in sorted(accounts) {
        let Named { row, id, path } = account;
        let balance = row.counters.debits_posted - row.counters.credits_posted;
        let (balance, none) = (id.currency.write(balance), id.currency.write(0));
        let day = date(last_at + DAY);
        writeln!(
            out,
            "{day} balance {path} {balance} ~ {none} {}",
            id.currency
        )?;
    }
    Ok(())
}

fn write_lines(
    row: &TransactionRow,
    transfers: &[TransferRow],
    accounts: &HashMap<i64, Named>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let maybe = |number: Option<i64>| number.map_or_else(String::new, |number| number.to_string());
    for transfer in transfers {
        let currency: Currency = transfer.ledger.parse()?;
        let phase = match transfer.phase {
            0 => "single",
            1 => "pending",
            2 => "post",
            3 => "void",
            4 => "expire",
            phase => anyhow::bail!("the transfer {} has the phase {phase}", transfer.seq),
        };
        writeln!(
            out,
            "{},{},{},{},{},{},{},{},{},{phase},{},{}",
            transfer.seq,
            row.number,
            row.id,
            code(row),
            time(row.created_at),
            transfer.ledger,
            named(accounts, transfer.debit)?.row.id,
            named(accounts, transfer.credit)?.row.id,
            currency.write(transfer.amount),
            maybe(transfer.resolves),
            maybe(row.contract),
        )?;
    }
    Ok(())
}

fn code(row: &TransactionRow) -> &'static str {
    Code::of_number(row.code).map_or("unknown", Code::as_str)
}

fn date(at: Micros) -> String {
    stamp(at).map_or_else(String::new, |at| at.strftime("%Y-%m-%d").to_string())
}

fn time(at: Micros) -> String {
    stamp(at).map_or_else(String::new, |at| at.to_string())
}

fn stamp(at: Micros) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_microsecond(at).ok()
}
