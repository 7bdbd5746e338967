//! Where danmaku go, so that none lies over another. Pure: sizes and times in, places out.

import type { Mode } from '../chat/protocol';

export interface Stage {
  width: number;
  /** How many lines there is room for. */
  tracks: number;
  /** How long one takes across, or stands. */
  scroll_ms: number;
  stand_ms: number;
}

/** One that has a place. */
export interface Placed {
  mode: Mode;
  track: number;
  width: number;
  begins: number;
  ends: number;
}

/** Pixels that stay free behind one that moves. */
const SPACE = 24;

/** How long after its beginning one has left the edge where it came in. */
function clearsAfter(width: number, stage: Stage): number {
  return ((width + SPACE) / (stage.width + width)) * stage.scroll_ms;
}

/** The places that are taken now. */
export class Tracks {
  #moving = new Map<string, Placed>();

  /** A place for one of this width that begins now; null if there is none without an overlap. */
  place(mode: Mode, width: number, now: number, stage: Stage): Placed | null {
    const moves = mode === 'scroll' || mode === 'reverse';
    const ends = now + (moves ? stage.scroll_ms : stage.stand_ms);
    for (let at = 0; at < stage.tracks; at++) {
      const track = mode === 'bottom' ? stage.tracks - 1 - at : at;
      const key = `${mode} ${track}`;
      const before = this.#moving.get(key);
      const free = before === undefined || (moves ? isBehind(before, width, now, stage) : before.ends <= now);
      if (!free) continue;
      const placed = { mode, track, width, begins: now, ends };
      this.#moving.set(key, placed);
      return placed;
    }
    return null;
  }

  clear(): void {
    this.#moving.clear();
  }
}

/** Whether one that comes in now never reaches the one before it. */
function isBehind(before: Placed, width: number, now: number, stage: Stage): boolean {
  if (now < before.begins + clearsAfter(before.width, stage)) return false;
  // Wider ones are faster: it may come to the other edge only after the one before has left it.
  const arrives = now + (stage.width / (stage.width + width)) * stage.scroll_ms;
  return arrives >= before.ends;
}

/** Where the left edge of one stands at a time. */
export function leftAt(placed: Placed, now: number, stage: Stage): number {
  const share = (now - placed.begins) / (placed.ends - placed.begins);
  const way = stage.width + placed.width;
  switch (placed.mode) {
    case 'scroll':
      return stage.width - share * way;
    case 'reverse':
      return share * way - placed.width;
    case 'top':
    case 'bottom':
      return (stage.width - placed.width) / 2;
  }
}
