//! How loud it is, for the eye. Pure.

/** Below this nothing is shown, in decibels under the loudest there is. */
const FLOOR_DB = -60;
/** So much a second the meter goes down; it goes up at once. */
const FALL_PER_S = 1.2;
/** From here on it is too loud. */
export const LOUD = 0.95;

/** 0 to 1, of samples between -1 and 1. */
export function levelOf(samples: Float32Array): number {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  if (sum === 0) return 0;
  const decibels = 10 * Math.log10(sum / samples.length) + 3;
  return Math.min(1, Math.max(0, 1 - decibels / FLOOR_DB));
}

export function fallen(before: number, now: number, elapsed_s: number): number {
  return Math.max(now, before - FALL_PER_S * elapsed_s);
}
