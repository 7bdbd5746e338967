//! Statements over many rows, each value of which is bound: to read them out of one text costs SQLite more
//! than to enter them.

use std::sync::OnceLock;

use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, SqliteConnection};

use crate::store::Result;

/// As many rows as one statement takes, in powers of two: so few statements are prepared, and kept. The
/// rows that are left over are nothing but NULL.
const SIZES: usize = 11;
const ROWS_MAX: usize = 1 << (SIZES - 1);

/// A statement over rows, which stand between its two halves as `(VALUES ...)`, with columns named `column1`
/// and so on.
pub(super) struct Many {
    before: &'static str,
    after: &'static str,
    columns: usize,
    texts: [OnceLock<String>; SIZES],
}

impl Many {
    pub(super) const fn new(before: &'static str, columns: usize, after: &'static str) -> Self {
        Self {
            before,
            after,
            columns,
            texts: [const { OnceLock::new() }; SIZES],
        }
    }

    /// Does it with these rows, and tells how many were written.
    pub(super) async fn run<R>(
        &'static self,
        connection: &mut SqliteConnection,
        rows: &[R],
        bind: impl Fn(&R, &mut Bound),
    ) -> Result<u64> {
        let mut written = 0;
        for rows in rows.chunks(ROWS_MAX) {
            let size = rows.len().next_power_of_two();
            let mut bound = Bound(SqliteArguments::default());
            bound.0.reserve(size * self.columns, 0);
            for row in rows {
                bind(row, &mut bound);
            }
            for _ in rows.len() * self.columns..size * self.columns {
                bound.value(None::<i64>);
            }
            let text = self.text(size);
            let done = sqlx::query_with(text, bound.0).execute(&mut *connection);
            written += done.await?.rows_affected();
        }
        Ok(written)
    }

    fn text(&'static self, size: usize) -> &'static str {
        let number = size.trailing_zeros() as usize;
        self.texts[number].get_or_init(|| {
            let row = format!("({})", vec!["?"; self.columns].join(", "));
            let rows = vec![row.as_str(); size].join(", ");
            format!("{} (VALUES {rows}) {}", self.before, self.after)
        })
    }
}

/// The values of rows, one column after another.
pub(super) struct Bound(SqliteArguments);

impl Bound {
    pub(super) fn value<'a, T>(&mut self, value: T) -> &mut Self
    where
        T: sqlx::Encode<'a, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        self.0.add(value).expect("numbers and texts can be bound");
        self
    }
}
