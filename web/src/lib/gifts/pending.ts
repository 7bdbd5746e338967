//! Gifts that were sent and are not answered yet. They are kept across a lost connection and a reload, and are asked about
//! again under the same key, so that none is paid for twice. Pure.

export interface Wish {
  gift: string;
  count: number;
  /** What a super chat is worth. */
  coins?: number;
  text?: string;
  mt?: number;
  combo?: string;
}

export interface Pending extends Wish {
  key: string;
  made_ms: number;
  /** How often the server was asked. */
  asked: number;
}

/** So many wait at once; further presses have to wait for an answer. */
export const PENDING_MAX = 50;
/** Then nobody knows here what became of it, and the history tells. */
export const ASKED_MAX = 12;
export const KEPT_MS = 10 * 60_000;
/** Presses of one gift that are no further apart belong together. */
export const COMBO_MS = 3_000;

export function isOver({ asked, made_ms }: Pending, now: number): boolean {
  return asked >= ASKED_MAX || now - made_ms >= KEPT_MS;
}

/** As they were kept; what cannot be read is left out. */
export function parsePending(text: string | null): Pending[] {
  let kept: unknown;
  try {
    kept = JSON.parse(text ?? '[]');
  } catch {
    return [];
  }
  if (!Array.isArray(kept)) return [];
  return kept.filter(isPending).slice(0, PENDING_MAX);
}

function isPending(value: unknown): value is Pending {
  if (typeof value !== 'object' || value === null) return false;
  const { key, gift, count, made_ms, asked } = value as Record<string, unknown>;
  return typeof key === 'string' && typeof gift === 'string' && [count, made_ms, asked].every(Number.isFinite);
}

/** Which combo a press belongs to. */
export class Combo {
  #id = '';
  #gift = '';
  #at = -Infinity;

  press(gift: string, now: number, fresh: () => string): string {
    if (this.#gift !== gift || now - this.#at > COMBO_MS) this.#id = fresh();
    this.#gift = gift;
    this.#at = now;
    return this.#id;
  }
}
