//! Rows that come page by page. Pure: what a page's arrival makes of what is there.

export interface Listing<Row> {
  readonly rows: readonly Row[];
  /** There may be rows after these. */
  readonly more: boolean;
}

/** `page` follows `before`; a full page may have another behind it. What is there already is not listed twice. */
export function extend<Row>(
  before: Listing<Row> | null,
  page: readonly Row[],
  pageRows: number,
  idOf: (row: Row) => string,
): Listing<Row> {
  const known = new Set(before?.rows.map(idOf));
  return {
    rows: [...(before?.rows ?? []), ...page.filter((row) => !known.has(idOf(row)))],
    more: page.length >= pageRows,
  };
}

export function replaceRow<Row>(listing: Listing<Row>, changed: Row, idOf: (row: Row) => string): Listing<Row> {
  return { ...listing, rows: listing.rows.map((row) => (idOf(row) === idOf(changed) ? changed : row)) };
}
