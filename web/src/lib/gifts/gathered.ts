//! A gift as it stands in the room: presses of one combo are one line, whose number rises. Pure.

import type { GiftItem, GiftKind } from '../chat/protocol';

export interface Given {
  gift: GiftKind;
  /** How many, as the server counts. */
  n: number;
  coins: number;
  combo: string | null;
  pinned_ms: number | null;
  /** What it is made of, to be taken back one by one. */
  parts: readonly { seq: number; count: number }[];
  /** How many were taken back. */
  taken: number;
}

/** Of a longer combo the latest can be taken back from its line. */
const PARTS_MAX = 500;

export function begun(item: GiftItem): Given {
  return {
    gift: item.gift,
    n: item.combo?.n ?? item.count,
    coins: item.coins,
    combo: item.combo ? `${item.by.id} ${item.gift.id} ${item.combo.id}` : null,
    pinned_ms: item.pinned_ms ?? null,
    parts: [{ seq: item.seq, count: item.count }],
    taken: 0,
  };
}

export function grown(given: Given, item: GiftItem): Given {
  return {
    ...given,
    n: Math.max(given.n, (item.combo?.n ?? 0) - given.taken),
    coins: given.coins + item.coins,
    parts: [...given.parts, { seq: item.seq, count: item.count }].slice(-PARTS_MAX),
  };
}

/** Without the gift that was taken back; null if nothing is left of it. */
export function without(given: Given, seq: number): Given | null {
  const gone = given.parts.find((part) => part.seq === seq);
  if (!gone) return given;
  const n = given.n - gone.count;
  if (n <= 0) return null;
  return { ...given, n, taken: given.taken + gone.count, parts: given.parts.filter((part) => part !== gone) };
}
