//! Which gift is shown over the picture, one after the other. Higher tiers come first, and each turn of waiting counts for a
//! lower one, so that none waits forever; senders take turns. Pure.

import type { Tier } from '../chat/protocol';

/** What is shown of a gift; one more of a combo has the same key. */
export interface Act {
  key: number;
  by: string;
  tier: Tier;
  /** Unix milliseconds. */
  at: number;
}

/** So many wait. */
export const ACTS_MAX = 60;
export const OF_ONE_MAX = 10;
/** What is older is no news any more. */
export const STALE_MS = 30_000;
/** A lower tier stands like the next one after being passed over so often. */
const TURNS_A_TIER = 4;
/** Who was shown so many turns ago has the next turn after who was not. */
const TURN_OF_SENDER = 3;

interface Waiting<One extends Act> {
  act: One;
  passed: number;
}

export class Show<One extends Act> {
  #waiting: Waiting<One>[] = [];
  #now: One | null = null;
  /** Who was shown of late; the latest last. */
  #senders: string[] = [];

  get now(): One | null {
    return this.#now;
  }

  get size(): number {
    return this.#waiting.length;
  }

  /** What is shown or waits under this key becomes this; else it waits at the end. */
  add(act: One, now: number): void {
    if (this.#now?.key === act.key) {
      this.#now = act;
      return;
    }
    const known = this.#waiting.find((one) => one.act.key === act.key);
    if (known) {
      known.act = act;
      return;
    }
    this.#leaveStale(now);
    if (now - act.at > STALE_MS) return;
    this.#waiting.push({ act, passed: 0 });
    this.#bound(this.#waiting.filter((one) => one.act.by === act.by), OF_ONE_MAX);
    this.#bound(this.#waiting, ACTS_MAX);
  }

  /** The one that was shown is over. */
  next(now: number): One | null {
    this.#now = null;
    this.#leaveStale(now);
    const best = this.#waiting.reduce<Waiting<One> | null>((best, one) => (best === null || this.#rank(one) > this.#rank(best) ? one : best), null);
    if (best === null) return null;
    this.#waiting = this.#waiting.filter((one) => one !== best);
    for (const one of this.#waiting) one.passed += 1;
    this.#senders = [...this.#senders, best.act.by].slice(-TURN_OF_SENDER);
    this.#now = best.act;
    return best.act;
  }

  /** It was taken back. */
  remove(key: number): void {
    this.#waiting = this.#waiting.filter((one) => one.act.key !== key);
    if (this.#now?.key === key) this.#now = null;
  }

  clear(): void {
    this.#waiting = [];
    this.#now = null;
  }

  /** Tiers are apart by more than what a sender's turn is worth, unless they waited. */
  #rank({ act, passed }: Waiting<One>): number {
    const recent = this.#senders.filter((by) => by === act.by).length;
    return act.tier + passed / TURNS_A_TIER - recent / (TURN_OF_SENDER + 1);
  }

  #leaveStale(now: number): void {
    this.#waiting = this.#waiting.filter(({ act }) => now - act.at <= STALE_MS);
  }

  /** Of too many, the lowest tier's oldest leaves. */
  #bound(among: Waiting<One>[], most: number): void {
    if (among.length <= most) return;
    const least = among.reduce((least, one) => (one.act.tier < least.act.tier ? one : least));
    this.#waiting = this.#waiting.filter((one) => one !== least);
  }
}
