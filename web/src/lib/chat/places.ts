import type { At, Heard, Lane, Welcome } from './protocol';

/** Where a client is on each lane, to hear what it missed when it returns. Pure. */
export class Places {
  #lanes = new Map<Lane, At>();

  /** Where an earlier load of the page was, to hear again from there. */
  constructor(money: At | null = null) {
    if (money) this.#lanes.set('money', money);
  }

  /** Takes note of something heard; false if it was heard before. */
  note(heard: Heard): boolean {
    if (heard.t === 'welcome') {
      this.#welcome(heard);
      return true;
    }
    if (!('l' in heard) || heard.l === 'mods') return true;
    if (heard.t === 'gap') {
      this.#reach(heard.l, heard.to);
      return true;
    }
    const place = this.#lanes.get(heard.l);
    const history = this.#fresh.has(heard.l) && place !== undefined && heard.p < place.p;
    if (place && heard.p < place.p && !history) return false;
    if (!history) this.#reach(heard.l, heard.p + 1);
    return true;
  }

  /** Lanes that were not known at the last welcome: the last of them may follow. */
  #fresh = new Set<Lane>();

  #welcome(welcome: Welcome): void {
    for (const [name, now] of Object.entries(welcome.lanes)) {
      const lane = name as Lane;
      const was = this.#lanes.get(lane);
      // What was missed follows, from where it was.
      if (was?.e === now.e) {
        this.#fresh.delete(lane);
        continue;
      }
      if (lane === 'chat' || lane === 'money') this.#fresh.add(lane);
      this.#lanes.set(lane, { ...now });
    }
  }

  #reach(lane: Lane, p: number): void {
    const place = this.#lanes.get(lane);
    if (place) place.p = Math.max(place.p, p);
  }

  /** As the address of the next connection says it. */
  toString(): string {
    return [...this.#lanes].map(([lane, { e, p }]) => `${lane}:${e}:${p}`).join(',');
  }
}
