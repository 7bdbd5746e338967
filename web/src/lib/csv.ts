//! Tables as text that spreadsheets read (RFC 4180). Pure.

export type Cell = string | number | null;

/** What a spreadsheet takes for a formula when a cell begins with it, also in its full-width form. */
const FORMULA = /^[\s\u0000]*[=+\-@＝＋－＠\t\r]/u;

/** Others choose their names: what would be computed is marked as text. Numbers are ours, and stay numbers. */
function cellOf(cell: Cell): string {
  if (cell === null) return '';
  if (typeof cell === 'number') return String(cell);
  const text = FORMULA.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function csv(columns: readonly string[], rows: readonly (readonly Cell[])[]): string {
  return [columns, ...rows].map((row) => `${row.map(cellOf).join(',')}\r\n`).join('');
}
