import { describe, expect, it } from 'vitest';
import { credibleDelay } from './engine';

describe('credibleDelay', () => {
  it('is the server clock minus the date of the picture', () => {
    expect(credibleDelay(10_840, 10_000)).toBe(840);
  });

  it('takes a little less than nothing for nothing, and disbelieves the rest', () => {
    expect(credibleDelay(9_900, 10_000)).toBe(0);
    expect(credibleDelay(5_000, 10_000)).toBeNull();
    expect(credibleDelay(1_790_000_000_000, 10_000)).toBeNull();
    expect(credibleDelay(null, 10_000)).toBeNull();
  });
});
