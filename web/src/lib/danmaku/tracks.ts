//! Where danmaku go, so that none lies over another: sizes and times in, places out. Pure. What moves and what stands lie in
//! two layers, the standing ones above on a ground of their own; within a layer nothing ever touches.

import type { Mode } from '../chat/protocol';

export interface Stage {
  width: number;
  /** How many lines there is room for. */
  tracks: number;
  /** How many of them, from above and from below, may be taken by what stands. */
  standing: number;
  /** How long one takes across, or stands. */
  scroll_ms: number;
  stand_ms: number;
}

export interface Wanted {
  mode: Mode;
  width: number;
  /** How many lines it is high. */
  rows: number;
}

/** One that has a place. */
export interface Placed extends Wanted {
  /** Its uppermost line. */
  track: number;
  begins: number;
  ends: number;
}

/** Pixels that stay free between two that move. */
const SPACE = 24;
/** Wider ones are faster, to be across in the same time; from this many times the pace of the narrowest on they take longer. */
const FASTEST = 1.5;
/** How finely a later moment is looked for. */
const STEP_MS = 100;

function moves(mode: Mode): boolean {
  return mode === 'scroll' || mode === 'reverse';
}

/** How long one is there. */
function lasts(mode: Mode, width: number, stage: Stage): number {
  if (!moves(mode)) return stage.stand_ms;
  return stage.scroll_ms * Math.max(1, (stage.width + width) / (stage.width * FASTEST));
}

/** The places that are taken. */
export class Tracks {
  /** By line; one of several lines stands in each. */
  #moving: Placed[][] = [];
  #standing: Placed[][] = [];

  /** A place for one that begins now; null if there is none. */
  place(wanted: Wanted, now: number, stage: Stage): Placed | null {
    return this.#placeAt(wanted, now, now, stage);
  }

  /** A place for one that is not left out: it begins at the first moment when there is room, if there is any until then. */
  placeUntil(wanted: Wanted, now: number, until: number, stage: Stage): Placed | null {
    for (let begins = now; begins <= until; begins += STEP_MS) {
      const placed = this.#placeAt(wanted, begins, now, stage);
      if (placed) return placed;
    }
    return null;
  }

  /** What has been taken away leaves its place. */
  keep(test: (placed: Placed) => boolean): void {
    this.#moving = this.#moving.map((line) => line.filter(test));
    this.#standing = this.#standing.map((line) => line.filter(test));
  }

  clear(): void {
    this.#moving = [];
    this.#standing = [];
  }

  #placeAt({ mode, width, rows }: Wanted, begins: number, now: number, stage: Stage): Placed | null {
    const lines = moves(mode) ? this.#moving : this.#standing;
    while (lines.length < stage.tracks) lines.push([]);
    // On a very low stage even a high one has its place.
    const high = Math.min(rows, stage.tracks);
    const ends = begins + lasts(mode, width, stage);
    const reach = moves(mode) ? stage.tracks : Math.min(stage.tracks, Math.max(high, stage.standing));
    for (let at = 0; at + high <= reach; at++) {
      const track = mode === 'bottom' ? stage.tracks - high - at : at;
      const placed: Placed = { mode, width, rows: high, track, begins, ends };
      if (!isFree(lines, placed, now, stage)) continue;
      for (let row = track; row < track + high; row++) lines[row]?.push(placed);
      return placed;
    }
    return null;
  }
}

function isFree(lines: Placed[][], placed: Placed, now: number, stage: Stage): boolean {
  for (let row = placed.track; row < placed.track + placed.rows; row++) {
    const line = lines[row] as Placed[];
    while (line[0] && line[0].ends <= now) line.shift();
    // The latest is the likeliest to be in the way.
    for (let at = line.length - 1; at >= 0; at--) if (doMeet(line[at] as Placed, placed, stage)) return false;
  }
  return true;
}

/** Whether two on the same line ever come too near. Both move evenly, so that only the first and last moment count. */
function doMeet(a: Placed, b: Placed, stage: Stage): boolean {
  const from = Math.max(a.begins, b.begins);
  const to = Math.min(a.ends, b.ends);
  if (from >= to) return false;
  if (!moves(a.mode)) return true;
  const isLeft = (one: Placed, other: Placed, at: number): boolean =>
    leftAt(one, at, stage) + one.width + SPACE <= leftAt(other, at, stage) + 0.01;
  return !((isLeft(a, b, from) && isLeft(a, b, to)) || (isLeft(b, a, from) && isLeft(b, a, to)));
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
