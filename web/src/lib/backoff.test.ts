import { describe, expect, it } from 'vitest';
import { backoffDelay } from './backoff';

describe('backoffDelay', () => {
  it('grows to its bound and spreads around it', () => {
    const backoff = { base_ms: 1_000, max_ms: 10_000, factor: 2, jitter: 0.5 };
    expect([1, 2, 3, 4, 5, 6].map((n) => backoffDelay(backoff, n, 0.5))).toEqual([
      1_000, 2_000, 4_000, 8_000, 10_000, 10_000,
    ]);
    expect(backoffDelay(backoff, 9, 0)).toBe(5_000);
    expect(backoffDelay(backoff, 9, 1)).toBe(15_000);
  });
});
