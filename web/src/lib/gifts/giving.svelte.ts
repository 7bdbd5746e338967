//! Giving gifts in a room, until it is known what became of each.

import type { GiveRefusal, Said } from '../chat/protocol';
import { keep, kept } from '../kept';
import { freshKey } from '../key';
import { Combo, isOver, parsePending, PENDING_MAX, type Pending, type Wish } from './pending';
import { purse } from './purse.svelte';
import type { Wallet } from './wallet';

/** Without an answer for so long it is asked again. */
const ANSWER_MS = 8_000;
const AGAIN_MS = 2_000;

/** `unknown`: asked often enough in vain. `too_many`: further ones have to wait for answers. */
export type NotGiven = { why: GiveRefusal | 'unknown' | 'too_many'; wish: Wish };

interface Ways {
  say: (what: Said) => boolean;
  nextId: () => number;
}

export class Giving {
  pending = $state.raw<readonly Pending[]>([]);
  refusal = $state.raw<NotGiven | null>(null);
  /** Counts up with each gift that was taken. */
  given = $state(0);

  readonly #ways: Ways;
  readonly #room: string;
  readonly #combo = new Combo();
  #person: string | null = null;
  #asked = new Map<number, string>();
  #timers = new Map<string, ReturnType<typeof setTimeout>>();

  constructor(room: string, ways: Ways) {
    this.#room = room;
    this.#ways = ways;
  }

  give(wish: Wish): void {
    this.refusal = null;
    if (this.pending.length >= PENDING_MAX) {
      this.refusal = { why: 'too_many', wish };
      return;
    }
    const combo = wish.gift === 'super_chat' ? {} : { combo: this.#combo.press(wish.gift, performance.now(), freshKey) };
    const one: Pending = { ...wish, ...combo, key: freshKey(), made_ms: Date.now(), asked: 0 };
    this.#keep([...this.pending, one]);
    this.#ask(one.key);
  }

  /** The room knows who we are: what is not answered is asked about again, also what another load of the page sent. */
  ready(person: string): void {
    if (this.#person !== person) {
      this.#person = person;
      const sent = parsePending(kept(this.#place));
      this.#keep([...sent, ...this.pending.filter(({ key }) => sent.every((one) => one.key !== key))].slice(0, PENDING_MAX));
    }
    for (const { key } of this.pending) this.#ask(key);
  }

  /** Answers to what was asked will not come. */
  broken(): void {
    this.#asked.clear();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  hearGiven(id: number, wallet: Wallet): void {
    purse.note(wallet);
    const key = this.#answered(id);
    if (key === undefined) return;
    this.given += 1;
    this.#drop(key);
  }

  /** False if it is about something else. */
  hearRefused(id: number, code: GiveRefusal, retry_ms: number | undefined): boolean {
    const key = this.#answered(id);
    if (key === undefined) return false;
    if (code === 'unavailable' || code === 'too_fast') {
      this.#tell(key, code);
      this.#askIn(key, Math.max(retry_ms ?? AGAIN_MS, 100));
      return true;
    }
    // The room has forgotten who we are, and is told again.
    if (code === 'not_signed_in') return true;
    this.#tell(key, code);
    this.#drop(key);
    // What we know of the balance may be old.
    if (code === 'cannot_pay') void purse.load();
    return true;
  }

  #answered(id: number): string | undefined {
    const key = this.#asked.get(id);
    this.#asked.delete(id);
    return key;
  }

  #ask(key: string): void {
    const one = this.pending.find((each) => each.key === key);
    if (!one) return;
    if (isOver(one, Date.now())) {
      this.#tell(key, 'unknown');
      this.#drop(key);
      return;
    }
    const { made_ms: _, asked, ...what } = one;
    const id = this.#ways.nextId();
    // Where it goes nowhere, the next connection asks.
    if (!this.#ways.say({ t: 'give', id, ...what })) return;
    this.#asked.set(id, key);
    this.#keep(this.pending.map((each) => (each.key === key ? { ...each, asked: asked + 1 } : each)));
    this.#askIn(key, ANSWER_MS);
  }

  #askIn(key: string, ms: number): void {
    clearTimeout(this.#timers.get(key));
    this.#timers.set(key, setTimeout(() => this.#ask(key), ms));
  }

  #tell(key: string, why: NotGiven['why']): void {
    const wish = this.pending.find((one) => one.key === key);
    if (wish) this.refusal = { why, wish };
  }

  #drop(key: string): void {
    clearTimeout(this.#timers.get(key));
    this.#timers.delete(key);
    this.#keep(this.pending.filter((one) => one.key !== key));
    const passes = this.refusal?.why === 'unavailable' || this.refusal?.why === 'too_fast';
    if (passes && this.pending.length === 0) this.refusal = null;
  }

  #keep(pending: readonly Pending[]): void {
    this.pending = pending;
    if (this.#person !== null) keep(this.#place, pending.length === 0 ? null : JSON.stringify(pending));
  }

  get #place(): string {
    return `giving.${this.#person}.${this.#room}`;
  }
}
