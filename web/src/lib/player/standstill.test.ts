import { describe, expect, it } from 'vitest';
import { TICK_MS } from './engine';
import { newStandstill, STUCK_MS, watch, type Movement, type Standstill } from './standstill';

/** Ticks through a sequence of times, and tells what was noticed at its end. */
function after(standstill: Standstill, ms: number, moving: boolean, due = true): [Standstill, Movement] {
  let movement: Movement = 'none';
  for (let passed = 0; passed < ms; passed += TICK_MS) [standstill, movement] = watch(standstill, moving, due);
  return [standstill, movement];
}

describe('watch', () => {
  const [playing] = after(newStandstill(), 1_000, true);

  it('tells the beginning once', () => {
    expect(watch(newStandstill(), true, true)[1]).toBe('began');
    expect(watch(playing, true, true)[1]).toBe('none');
  });

  it('takes a short standstill for a hiccup and one tick for nothing', () => {
    expect(watch(after(playing, 1_000, false)[0], true, true)[1]).toBe('hiccup');
    expect(watch(after(playing, TICK_MS, false)[0], true, true)[1]).toBe('began');
  });

  it('does not blame the network for a slow start or for a publisher who was away', () => {
    expect(watch(after(newStandstill(), 1_000, false)[0], true, true)[1]).toBe('began');
    expect(watch(after(playing, 2 * STUCK_MS, false, false)[0], true, true)[1]).toBe('began');
  });

  it('is stuck only when it should move', () => {
    expect(after(playing, STUCK_MS, false)[1]).toBe('stuck');
    expect(after(playing, 2 * STUCK_MS, false, false)[1]).toBe('none');
  });
});
