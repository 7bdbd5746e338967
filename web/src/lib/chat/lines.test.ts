import { beforeEach, describe, expect, it } from 'vitest';
import { Lines } from './lines';

const hidden = new Set<number>();
const shown = (lines: Lines<{ p: number; key: number }>) => lines.shown.map(({ p }) => p);
const some = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => ({ p: from + n, key: from + n }));
let lines: Lines<{ p: number; key: number }>;

beforeEach(() => {
  hidden.clear();
  lines = new Lines(5, ({ p }) => hidden.has(p));
});

describe('lines', () => {
  it('are the latest', () => {
    lines.add(some(0, 3));
    lines.add(some(3, 7));
    expect(shown(lines)).toEqual([2, 3, 4, 5, 6]);
    lines.remove(4);
    expect(shown(lines)).toEqual([2, 3, 5, 6]);
    lines.add(some(7, 20));
    expect(shown(lines)).toEqual([15, 16, 17, 18, 19]);
  });

  it('wait while somebody reads, and none leaves meanwhile', () => {
    lines.add(some(0, 5));
    lines.hold(true);
    lines.add(some(5, 7));
    expect([shown(lines), lines.waiting]).toEqual([[0, 1, 2, 3, 4], 2]);
    lines.remove(3);
    lines.remove(5);
    expect([shown(lines), lines.waiting]).toEqual([[0, 1, 2, 4], 1]);
    lines.add(some(7, 30));
    expect(lines.waiting, 'no more than there is room for').toBe(5);
    lines.hold(false);
    expect([shown(lines), lines.waiting]).toEqual([[25, 26, 27, 28, 29], 0]);
  });

  it('come back when they are no longer blocked', () => {
    hidden.add(1).add(6);
    lines.add(some(0, 4));
    expect(shown(lines)).toEqual([0, 2, 3]);
    lines.add(some(4, 8));
    expect(shown(lines)).toEqual([3, 4, 5, 7]);
    hidden.clear();
    lines.sift();
    expect(shown(lines)).toEqual([3, 4, 5, 6, 7]);
    hidden.add(8);
    lines.hold(true);
    lines.add(some(8, 10));
    expect(lines.waiting).toBe(1);
  });
});
