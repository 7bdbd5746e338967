//! Whether the picture moves, seen tick by tick. Pure.

import { TICK_MS } from './engine';

export interface Standstill {
  readonly still_ms: number;
  readonly moved: boolean;
  /** There was a picture since the source was opened. */
  readonly pictured: boolean;
}

export type Movement =
  | 'none'
  /** It moves again, or for the first time. */
  | 'began'
  /** It moves again after a short standstill that nobody wanted. */
  | 'hiccup'
  /** It does not move although it should, for too long. */
  | 'stuck';

/** A standstill this long, while pictures should come, is a fault. */
export const STUCK_MS = 4_000;
/** A shorter one is a seek or a late tick. */
const HICCUP_MS = 500;

export function newStandstill(): Standstill {
  return { still_ms: 0, moved: false, pictured: false };
}

/** `due` says that it should move. */
export function watch(before: Standstill, moving: boolean, due: boolean): [Standstill, Movement] {
  if (!moving) {
    const still_ms = before.still_ms + (due ? TICK_MS : 0);
    return [{ ...before, still_ms, moved: false }, due && still_ms >= STUCK_MS ? 'stuck' : 'none'];
  }
  const after = { still_ms: 0, moved: true, pictured: true };
  if (before.moved) return [after, 'none'];
  // A long standstill is an outage of the publisher and says nothing about this viewer's network.
  const hiccup = before.pictured && before.still_ms >= HICCUP_MS && before.still_ms < STUCK_MS;
  return [after, hiccup ? 'hiccup' : 'began'];
}
