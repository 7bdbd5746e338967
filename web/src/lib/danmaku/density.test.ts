import { describe, expect, it } from 'vitest';
import { Density } from './density';

/** When each comes in of a flood that always has one more. */
function comings(at_once: number, for_ms: number): number[] {
  const density = new Density();
  const came: number[] = [];
  for (let now = 0; now < for_ms; now += 16) {
    density.pass(16, at_once, 8_000);
    for (let tries = 0; tries < 5 && density.isOpen; tries += 1) {
      density.take();
      came.push(now);
    }
  }
  return came;
}

describe('density', () => {
  it('lets a flood in evenly', () => {
    const came = comings(40, 32_000);
    for (let from = 0; from < 32_000; from += 1_000) {
      const inSecond = came.filter((at) => at >= from && at < from + 1_000).length;
      expect(Math.abs(inSecond - 5), `from ${from}`).toBeLessThanOrEqual(1);
    }
  });

  it('lets a few in at once after a silence', () => {
    const density = new Density();
    density.pass(60_000, 40, 8_000);
    let came = 0;
    for (; density.isOpen; came += 1) density.take();
    expect(came).toBe(5);
  });

  it('is open to all where all are wanted, and closes again', () => {
    expect(comings(Infinity, 160).length).toBe(50);
    const density = new Density();
    density.pass(16, Infinity, 8_000);
    density.pass(16, 8, 8_000);
    expect(density.isOpen).toBe(false);
  });
});
