//! How long to wait before the next attempt. Pure: randomness is passed in.

export interface Backoff {
  base_ms: number;
  max_ms: number;
  factor: number;
  /** Share of the delay that is spread at random around it, 0–1. */
  jitter: number;
}

export function backoffDelay(backoff: Backoff, failures: number, random: number): number {
  const exact = Math.min(backoff.max_ms, backoff.base_ms * backoff.factor ** Math.max(0, failures - 1));
  return withJitter(exact, backoff.jitter, random);
}

/** `random` is in [0, 1). */
export function withJitter(delayMs: number, jitter: number, random: number): number {
  return Math.round(delayMs * (1 + jitter * (random * 2 - 1)));
}
