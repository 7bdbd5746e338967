import { describe, expect, it } from 'vitest';
import { leftAt, Tracks, type Placed, type Stage } from './tracks';

const stage: Stage = { width: 1000, tracks: 4, scroll_ms: 8_000, stand_ms: 4_000 };

describe('tracks', () => {
  it('never let one lie over another, whatever their widths', () => {
    const tracks = new Tracks();
    let seed = 7;
    const random = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
    const placed: Placed[] = [];
    for (let now = 0; now < 60_000; now += 150) {
      const one = tracks.place('scroll', 40 + random() * 600, now, stage);
      if (one) placed.push(one);
    }
    expect(placed.length).toBeGreaterThan(40);
    for (let now = 0; now < 68_000; now += 40) {
      const there = placed.filter((one) => one.begins <= now && now < one.ends);
      for (const [n, a] of there.entries()) {
        for (const b of there.slice(n + 1)) {
          if (a.track !== b.track) continue;
          const [left, right] = [a, b].sort((x, y) => leftAt(x, now, stage) - leftAt(y, now, stage)) as [Placed, Placed];
          expect(leftAt(left, now, stage) + left.width).toBeLessThanOrEqual(leftAt(right, now, stage) + 0.5);
        }
      }
    }
  });

  it('say so when there is no room', () => {
    const tracks = new Tracks();
    const top = Array.from({ length: 5 }, () => tracks.place('top', 100, 0, stage)?.track ?? null);
    expect(top).toEqual([0, 1, 2, 3, null]);
    expect(tracks.place('bottom', 100, 0, stage)?.track).toBe(3);
    expect(tracks.place('top', 100, 4_000, stage)?.track).toBe(0);
  });

  it('move from edge to edge', () => {
    const one = new Tracks().place('scroll', 200, 0, stage) as Placed;
    expect([leftAt(one, 0, stage), leftAt(one, 8_000, stage)]).toEqual([1000, -200]);
    const back = new Tracks().place('reverse', 200, 0, stage) as Placed;
    expect([leftAt(back, 0, stage), leftAt(back, 8_000, stage)]).toEqual([-200, 1000]);
  });
});
