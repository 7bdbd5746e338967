//! What the column holds: the latest lines, without those that are blocked. While somebody reads further up, what is new
//! waits, so that nothing moves or leaves under their eyes. Pure.

export class Lines<T extends { p: number; key: number }> {
  #all: readonly T[] = [];
  #shown: readonly T[] = [];
  #waiting: T[] = [];
  #held = false;
  readonly #most: number;
  readonly #isHidden: (line: T) => boolean;

  constructor(most: number, isHidden: (line: T) => boolean) {
    this.#most = most;
    this.#isHidden = isHidden;
  }

  get shown(): readonly T[] {
    return this.#shown;
  }

  /** With those that are blocked, and those that wait. */
  all(): readonly T[] {
    return [...this.#all, ...this.#waiting];
  }

  /** How many wait that would be seen. At most as many as the column holds. */
  get waiting(): number {
    return this.#waiting.filter((line) => !this.#isHidden(line)).length;
  }

  add(lines: readonly T[]): void {
    if (this.#held) {
      this.#waiting = [...this.#waiting, ...lines].slice(-this.#most);
      return;
    }
    this.#all = [...this.#all, ...lines].slice(-this.#most);
    const seen = [...this.#shown, ...lines.filter((line) => !this.#isHidden(line))];
    const oldest = this.#all[0] as T | undefined;
    const from = this.#all.length < this.#most || !oldest ? 0 : seen.findIndex((line) => line.key >= oldest.key);
    this.#shown = from === 0 ? seen : seen.slice(from === -1 ? seen.length : from);
  }

  /** Puts a line in the place of the one that has its key. False if there is none. */
  replace(line: T): boolean {
    const put = (one: T): T => (one.key === line.key ? line : one);
    if (!this.#all.some(({ key }) => key === line.key) && !this.#waiting.some(({ key }) => key === line.key)) return false;
    this.#all = this.#all.map(put);
    this.#shown = this.#shown.map(put);
    this.#waiting = this.#waiting.map(put);
    return true;
  }

  remove(p: number): void {
    const stays = (line: T): boolean => line.p !== p;
    this.#all = this.#all.filter(stays);
    this.#shown = this.#shown.filter(stays);
    this.#waiting = this.#waiting.filter(stays);
  }

  hold(held: boolean): void {
    if (this.#held === held) return;
    this.#held = held;
    if (held) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    this.add(waiting);
  }

  /** What is blocked has changed. */
  sift(): void {
    this.#shown = this.#all.filter((line) => !this.#isHidden(line));
  }
}
