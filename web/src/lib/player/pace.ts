//! Keeps playback at its distance from live: a little faster when late, a little slower when too close, a jump when the
//! way is long. Pure. (hls.js has a controller of its own, but it stops one second before the buffer's end, which is
//! further from live than we aim; it is switched off.)

export interface Pace {
  readonly rate: number;
  /** Added to the target after stalls on this network, fades away. */
  readonly caution_s: number;
  /** The next good occasion to jump is taken: playback has just begun or come back. */
  readonly settle: boolean;
}

export interface Reading {
  /** Seconds between the live edge and the picture on the screen, smoothed. */
  latency_s: number;
  /** The distance the playlist asks for (PART-HOLD-BACK or HOLD-BACK). */
  target_s: number;
  /** Seconds of media ahead of the picture. */
  buffered_s: number;
  /** The viewer has not paused or otherwise chosen to be behind. */
  following: boolean;
}

export type PaceAction = { type: 'none' } | { type: 'jump' };

export const RATE_MAX = 1.1;
const RATE_MIN = 0.95;
/** Within this of the target nothing is done. */
const TOLERANCE_S = 0.08;
/** Speeding up begins here and goes on until the target is reached. */
const LATE_S = 0.12;
/** Faster than real time needs a reserve. */
const RESERVE_S = 0.25;
/** Seconds too late that a jump is worth when playback has just begun. */
const SETTLE_S = 0.5;
/** Seconds too late that a jump is worth at any time. */
const FAR_S = 4;
const CAUTION_STEP_S = 0.3;
const CAUTION_MAX_S = 1.5;
const CAUTION_FADES_PER_S = 0.01;

export function newPace(): Pace {
  return { rate: 1, caution_s: 0, settle: true };
}

export function onStall(pace: Pace): Pace {
  return { ...pace, caution_s: Math.min(CAUTION_MAX_S, pace.caution_s + CAUTION_STEP_S) };
}

/** Playback begins, comes back after an outage, or the viewer asked for live. */
export function onSettle(pace: Pace): Pace {
  return { ...pace, settle: true };
}

export function keepPace(pace: Pace, elapsed_s: number, reading: Reading): [Pace, PaceAction] {
  const caution_s = Math.max(0, pace.caution_s - elapsed_s * CAUTION_FADES_PER_S);
  if (!reading.following) return [{ rate: 1, caution_s, settle: false }, { type: 'none' }];

  const late_s = reading.latency_s - (reading.target_s + caution_s);
  const reachable = reading.buffered_s > late_s + RESERVE_S;
  if (late_s > FAR_S || (pace.settle && late_s > SETTLE_S && reachable)) {
    return [{ rate: 1, caution_s, settle: false }, { type: 'jump' }];
  }
  const settle = pace.settle && late_s > SETTLE_S;
  return [{ rate: rateFor(pace.rate, late_s, reading.buffered_s), caution_s, settle }, { type: 'none' }];
}

function rateFor(rate: number, late_s: number, buffered_s: number): number {
  if (buffered_s > RESERVE_S) {
    if (late_s > 1) return RATE_MAX;
    if (late_s > LATE_S || (rate > 1 && late_s > TOLERANCE_S / 2)) return 1.05;
  }
  if (late_s < -2 * TOLERANCE_S || (rate < 1 && late_s < -TOLERANCE_S / 2)) return RATE_MIN;
  return 1;
}
