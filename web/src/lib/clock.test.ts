import { describe, expect, it } from 'vitest';
import { ServerClock } from './clock';

describe('ServerClock', () => {
  it('knows nothing before the first answer', () => {
    expect(new ServerClock().now(0)).toBeNull();
  });

  it('believes the answer with the shortest round trip', () => {
    const clock = new ServerClock();
    clock.observe(1_000_000, 0, 800);
    clock.observe(1_001_000, 1_490, 1_510);
    expect(clock.now(2_500)).toBe(1_002_000);
  });

  it('forgets old answers', () => {
    const clock = new ServerClock();
    clock.observe(1_000_000, 0, 2);
    clock.observe(2_000_000, 100_000, 100_400);
    expect(clock.now(100_200)).toBe(2_000_000);
  });
});
