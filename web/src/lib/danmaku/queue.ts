//! Danmaku that wait for their picture, and then for a place. Pure: times in, decisions out.

export interface Entry<T> {
  it: T;
  /** Never left out: one's own, or one that calls the viewer. */
  first: boolean;
  /** The picture that it is about, in microseconds; null where it is shown at once. */
  picture: number | null;
  since: number;
}

/** One waits no longer than this for its picture. */
const PICTURE_MAX_MS = 30_000;
/** One waits no longer than this for a place, so that a burst is spread and a flood is not shown late. */
const PLACE_MAX_MS = 1_000;
/** At 200 a second for a viewer who is 20 s behind those who speak. */
const WAITING_MAX = 4_000;

export class Queue<T> {
  #waiting: Entry<T>[] = [];
  /** Those whose picture has come. */
  #due: { entry: Entry<T>; since: number }[] = [];
  /** How many found no place. */
  dropped = 0;

  get size(): number {
    return this.#waiting.length + this.#due.length;
  }

  add(entry: Entry<T>): void {
    this.#waiting.push(entry);
    if (this.#waiting.length <= WAITING_MAX) return;
    const oldest = this.#waiting.findIndex(({ first }) => !first);
    this.#waiting.splice(Math.max(0, oldest), 1);
    this.dropped += 1;
  }

  /** `position` is the picture that is shown, null if that is not known; `place` says whether one found its place. */
  admit(now: number, position: number | null, place: (entry: Entry<T>) => boolean): void {
    const waiting: Entry<T>[] = [];
    for (const entry of this.#waiting) {
      if (isDue(entry, now, position)) this.#due.push({ entry, since: now });
      else waiting.push(entry);
    }
    this.#waiting = waiting;
    if (this.#due.length === 0) return;
    const first = this.#due.filter(({ entry }) => entry.first);
    // In their order: where one finds no place, those behind it need not ask.
    let placed = 0;
    while (placed < first.length && place((first[placed] as (typeof first)[0]).entry)) placed += 1;
    const others = this.#due.filter(({ entry, since }) => {
      if (entry.first || place(entry)) return false;
      if (now - since < PLACE_MAX_MS) return true;
      this.dropped += 1;
      return false;
    });
    this.#due = [...first.slice(placed), ...others];
  }

  keep(test: (it: T) => boolean): void {
    this.#waiting = this.#waiting.filter(({ it }) => test(it));
    this.#due = this.#due.filter(({ entry }) => test(entry.it));
  }

  clear(): void {
    this.#waiting = [];
    this.#due = [];
  }
}

function isDue({ picture, since }: Entry<unknown>, now: number, position: number | null): boolean {
  return picture === null || position === null || position >= picture || now - since > PICTURE_MAX_MS;
}
