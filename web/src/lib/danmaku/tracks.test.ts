import { describe, expect, it } from 'vitest';
import type { Mode } from '../chat/protocol';
import { leftAt, Tracks, type Placed, type Stage } from './tracks';

const stage: Stage = { width: 1000, tracks: 4, standing: 4, scroll_ms: 8_000, stand_ms: 4_000 };
const wanted = (mode: Mode, width: number, rows = 1) => ({ mode, width, rows });

/** The same numbers each time. */
function numbers(): () => number {
  let seed = 7;
  return () => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
}

/** The narrowest gap between two of a layer that are there at the same time on the same line. */
function narrowest(placed: readonly Placed[], moving: boolean): number {
  let least = Infinity;
  const layer = placed.filter(({ mode }) => (mode === 'scroll' || mode === 'reverse') === moving);
  for (let now = 0; now < 90_000; now += 40) {
    const there = layer.filter((one) => one.begins <= now && now < one.ends);
    for (const [n, a] of there.entries()) {
      for (const b of there.slice(n + 1)) {
        if (a.track + a.rows <= b.track || b.track + b.rows <= a.track) continue;
        const [left, right] = [a, b].sort((x, y) => leftAt(x, now, stage) - leftAt(y, now, stage)) as [Placed, Placed];
        least = Math.min(least, leftAt(right, now, stage) - leftAt(left, now, stage) - left.width);
      }
    }
  }
  return least;
}

describe('tracks', () => {
  it('never let one lie over another, whatever their widths, heights and ways', () => {
    const tracks = new Tracks();
    const random = numbers();
    const modes: Mode[] = ['scroll', 'scroll', 'scroll', 'reverse', 'top', 'bottom'];
    const placed: Placed[] = [];
    for (let now = 0; now < 60_000; now += 50) {
      const one = wanted(modes[Math.floor(random() * 6)] as Mode, 40 + random() * 1_400, random() < 0.2 ? 2 : 1);
      const got = random() < 0.02 ? tracks.placeUntil(one, now, now + 10_000, stage) : tracks.place(one, now, stage);
      if (got) placed.push(got);
    }
    expect(new Set(placed.map(({ mode }) => mode)).size).toBe(4);
    expect(placed.length).toBeGreaterThan(60);
    expect(narrowest(placed, true)).toBeGreaterThanOrEqual(23.5);
    expect(narrowest(placed, false), 'one at a time stands on a line').toBe(Infinity);
  });

  it('say so when there is no room', () => {
    const tracks = new Tracks();
    const top = Array.from({ length: 5 }, () => tracks.place(wanted('top', 100), 0, stage)?.track ?? null);
    expect(top).toEqual([0, 1, 2, 3, null]);
    expect(tracks.place(wanted('bottom', 100), 0, stage), 'the standing ones share their lines').toBeNull();
    expect(tracks.place(wanted('top', 100), 4_000, stage)?.track).toBe(0);
  });

  it('fill from below what stands at the bottom, and give two lines to what is high', () => {
    const tracks = new Tracks();
    expect(tracks.place(wanted('bottom', 100, 2), 0, stage)?.track).toBe(2);
    expect(tracks.place(wanted('bottom', 100), 0, stage)?.track).toBe(1);
    expect(tracks.place(wanted('top', 100, 2), 0, stage)).toBeNull();
  });

  it('leave most lines to what moves', () => {
    const tracks = new Tracks();
    const two = { ...stage, standing: 1 };
    const got = (['top', 'top', 'bottom', 'bottom'] as const).map((mode) => tracks.place(wanted(mode, 100), 0, two)?.track ?? null);
    expect(got).toEqual([0, null, 3, null]);
  });

  it('find the next free moment for what is not left out, ahead of those who come later', () => {
    const tracks = new Tracks();
    const one = { ...stage, tracks: 1 };
    const random = numbers();
    tracks.place(wanted('scroll', 300), 0, one);
    const own = tracks.placeUntil(wanted('scroll', 700), 10, 10_010, one) as Placed;
    expect(own.begins).toBeGreaterThan(1_000);
    const others: Placed[] = [];
    for (let now = 20; now < 9_000; now += 20) {
      const other = tracks.place(wanted('scroll', 40 + random() * 200), now, one);
      if (other) others.push(other);
    }
    expect(narrowest([own, ...others], true)).toBeGreaterThanOrEqual(23.5);
    expect(tracks.placeUntil(wanted('scroll', 700), 10, 11, one), 'no later than asked').toBeNull();
  });

  it('move from edge to edge, the longest no faster than can be read', () => {
    const one = new Tracks().place(wanted('scroll', 200), 0, stage) as Placed;
    expect([leftAt(one, 0, stage), leftAt(one, 8_000, stage)]).toEqual([1000, -200]);
    const back = new Tracks().place(wanted('reverse', 200), 0, stage) as Placed;
    expect([leftAt(back, 0, stage), leftAt(back, 8_000, stage)]).toEqual([-200, 1000]);
    const long = new Tracks().place(wanted('scroll', 3_000), 0, stage) as Placed;
    expect(leftAt(long, 0, stage) - leftAt(long, 1_000, stage)).toBeCloseTo((1.5 * 1000) / 8, 5);
  });

  it('have room again where something was taken away', () => {
    const tracks = new Tracks();
    const one = { ...stage, tracks: 1 };
    const gone = tracks.place(wanted('top', 100), 0, one);
    expect(tracks.place(wanted('top', 100), 0, one)).toBeNull();
    tracks.keep((placed) => placed !== gone);
    expect(tracks.place(wanted('top', 100), 0, one)).not.toBeNull();
  });
});
