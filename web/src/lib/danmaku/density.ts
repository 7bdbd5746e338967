//! How many danmaku may be there at once, spread evenly: without this a flood would fill the picture, let nothing in until
//! that has left, and fill it again. Pure.

export class Density {
  /** How many may come in now. */
  #credit = 0;

  /** Time passes in which `at_once` come in over the time that each is there. */
  pass(ms: number, at_once: number, there_ms: number): void {
    if (at_once === Infinity) this.#credit = Infinity;
    else this.#credit = Math.min(Math.max(2, at_once / 8), (this.#credit === Infinity ? 0 : this.#credit) + (ms * at_once) / there_ms);
  }

  get isOpen(): boolean {
    return this.#credit >= 1;
  }

  /** One has come in. */
  take(): void {
    this.#credit -= 1;
  }
}
