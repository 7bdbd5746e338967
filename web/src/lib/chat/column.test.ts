import { describe, expect, it } from 'vitest';
import { anchorAt, Heights, sliceAt, sliceAtEnd, topOf, type Anchor } from './column';

const keys = Array.from({ length: 100 }, (_, n) => n);
/** Every line 20 high, every fifth 60. */
function measured(): Heights {
  const heights = new Heights();
  for (const key of keys) heights.set(key, key % 5 === 0 ? 60 : 20);
  return heights;
}

describe('a slice', () => {
  it('is what is seen, and the room of the rest', () => {
    // Five lines are 140 high.
    expect(sliceAt(keys, measured(), 280, 420)).toEqual({ from: 10, to: 15, above: 280, below: 17 * 140 });
    expect(sliceAt(keys, measured(), 279, 421)).toEqual({ from: 9, to: 16, above: 260, below: 17 * 140 - 60 });
    expect(sliceAt(keys, measured(), -50, 0)).toEqual({ from: 0, to: 0, above: 0, below: 2_800 });
  });

  it('at the end fills the height', () => {
    expect(sliceAtEnd(keys, measured(), 100)).toEqual({ from: 95, to: 100, above: 19 * 140, below: 0 });
    expect(sliceAtEnd(keys.slice(0, 2), measured(), 100)).toEqual({ from: 0, to: 2, above: 0, below: 0 });
    expect(sliceAtEnd([], measured(), 100)).toEqual({ from: 0, to: 0, above: 0, below: 0 });
  });
});

describe('heights', () => {
  it('are guessed from what was measured', () => {
    const heights = new Heights();
    expect(heights.of(1)).toBe(29);
    expect(heights.set(1, 40)).toBe(true);
    expect(heights.set(1, 40.05)).toBe(false);
    heights.set(2, 60);
    expect(heights.of(3)).toBe(50);
    heights.keepFrom(2);
    expect([heights.of(1), heights.of(2)]).toEqual([60, 60]);
    heights.clear();
    expect(heights.of(2)).toBe(29);
  });
});

describe('an anchor', () => {
  it('stays where it is when lines above it leave or turn out higher', () => {
    const heights = measured();
    const anchor = anchorAt(keys, heights, 305) as Anchor;
    expect(anchor).toEqual({ key: 10, cut: 25 });
    expect(topOf(keys.slice(5), heights, anchor)).toBe(305 - 140);
    heights.set(3, 50);
    expect(topOf(keys, heights, anchor)).toBe(335);
  });

  it('gives way to the next line when its own has left', () => {
    const heights = measured();
    const without = keys.filter((key) => key !== 10);
    expect(topOf(without, heights, { key: 10, cut: 25 })).toBe(280);
    expect(topOf([], heights, { key: 10, cut: 25 })).toBe(0);
    expect(anchorAt([], heights, 0)).toBeNull();
  });
});
