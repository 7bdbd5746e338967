//! From where a page that is loaded again hears the gifts of its room once more. Pure.

/** So many of the latest are shown again. */
export const RECENT = 20;
/** Older places are not asked for, however long a super chat there is paid for. */
export const BACK_MAX = 1_000;

interface Place {
  e: number;
  p: number;
}

export class Recent {
  #items: { p: number; until: number }[] = [];

  /** `until` is when it is seen no longer, for a super chat; else 0. */
  note(p: number, until: number, now: number): void {
    this.#items.push({ p, until });
    const old = this.#items.length - RECENT;
    this.#items = this.#items.filter((item, at) => at >= old || (item.until > now && item.p > p - BACK_MAX));
  }

  /** Null if nothing was given. */
  get from(): number | null {
    const oldest = this.#items[0];
    return oldest === undefined ? null : Math.max(oldest.p, (this.#items.at(-1)?.p ?? 0) - BACK_MAX + 1);
  }

  clear(): void {
    this.#items = [];
  }
}

/** As it was kept; null if it cannot be read. */
export function parsePlace(text: string | null): Place | null {
  const [, e, p] = /^(\d{1,15}):(\d{1,15})$/.exec(text ?? '') ?? [];
  return e === undefined || p === undefined ? null : { e: Number(e), p: Number(p) };
}
