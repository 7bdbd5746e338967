//! How long pictures are held back on a path that loses packets, so that what is sent again comes in time. Browsers keep
//! themselves ready for one repair, and the picture stands still whenever that is lost as well. Pure.

import type { Reading } from './whep-reading';

/** Over how long losses are counted, and how long after the last a path is believed to lose nothing more. */
const SPAN_MS = 10_000;
/** A share below this is a mishap. */
const SHARE_MIN = 0.002;
/** From this on, a repair is lost now and then, and the next one as well. */
const SHARE_MANY = 0.02;
const TRIES = 2;
const TRIES_MANY = 3;
/** From the loss until the next packet shows it, and because browsers ask more seldom each time. */
const NOTICED_MS = 100;
/** Who is further away sees it late and standing still at times, or even later. */
const RESERVE_MAX_MS = 600;
/** A change below this is not worth one. */
const STEP_MS = 40;

export class Reserve {
  #span: Reading[] = [];
  #ms = 0;

  /** Takes a reading; tells for how long pictures are to be held back, in milliseconds. */
  take(reading: Reading): number {
    this.#span = [...this.#span.filter(({ at }) => reading.at - at <= SPAN_MS), reading];
    const first = this.#span[0] ?? reading;
    const came = reading.picturePackets - first.picturePackets;
    const repaired = reading.repaired - first.repaired;
    const share = came > 0 ? repaired / came : 0;
    const tries = share < SHARE_MIN ? 0 : share < SHARE_MANY ? TRIES : TRIES_MANY;
    const wanted = tries === 0 ? 0 : Math.min(RESERVE_MAX_MS, tries * reading.way_ms * 2 + NOTICED_MS);
    if (wanted === 0 || Math.abs(wanted - this.#ms) > STEP_MS) this.#ms = Math.round(wanted);
    return this.#ms;
  }
}
