//! Rows that come page by page, as state: asked for, asked for again, extended.

import { ApiFailure } from './api';
import { PAGE_ROWS } from './api/channel';
import { extend, replaceRow, type Listing } from './listing';

export interface ListingOptions<Row> {
  /** The rows after the one of this identity; the first, if null. */
  ask: (after: string | null) => Promise<Row[]>;
  idOf: (row: Row) => string;
  /** Null for what comes whole. */
  pageRows?: number | null;
}

export class Rows<Row> {
  #listing = $state.raw<Listing<Row> | null>(null);
  failure = $state.raw<ApiFailure | null>(null);
  busy = $state(false);
  /** An answer to what was asked before the latest question comes too late. */
  #asked = 0;

  constructor(private readonly options: ListingOptions<Row>) {}

  /** Null while nothing has come yet. */
  get rows(): readonly Row[] | null {
    return this.#listing?.rows ?? null;
  }

  get more(): boolean {
    return this.#listing?.more ?? false;
  }

  /** From the first row on; what is there stays until the answer comes. */
  load(): Promise<void> {
    return this.#ask(null);
  }

  extend(): Promise<void> {
    const last = this.#listing?.rows.at(-1);
    return this.#ask(last === undefined ? null : this.options.idOf(last));
  }

  /** What the server just said of one row. */
  changed(row: Row): void {
    if (this.#listing) this.#listing = replaceRow(this.#listing, row, this.options.idOf);
  }

  async #ask(after: string | null): Promise<void> {
    this.#asked += 1;
    const asked = this.#asked;
    this.busy = true;
    try {
      const page = await this.options.ask(after);
      if (asked !== this.#asked) return;
      const { idOf, pageRows = PAGE_ROWS } = this.options;
      this.#listing = extend(after === null ? null : this.#listing, page, pageRows ?? Number.POSITIVE_INFINITY, idOf);
      this.failure = null;
    } catch (error) {
      if (asked !== this.#asked) return;
      this.failure = error instanceof ApiFailure ? error : new ApiFailure(0, null);
    } finally {
      if (asked === this.#asked) this.busy = false;
    }
  }
}
