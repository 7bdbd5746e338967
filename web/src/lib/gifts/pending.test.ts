import { describe, expect, it } from 'vitest';
import { ASKED_MAX, Combo, isOver, KEPT_MS, parsePending, type Pending } from './pending';

const rose: Pending = { key: 'k1', gift: 'rose', count: 1, made_ms: 1_000, asked: 1 };

describe('Combo', () => {
  it('holds presses together that follow each other within three seconds', () => {
    const combo = new Combo();
    let made = 0;
    const press = (gift: string, now: number): string => combo.press(gift, now, () => `c${(made += 1)}`);
    expect([press('rose', 0), press('rose', 2_900), press('rose', 5_900)]).toEqual(['c1', 'c1', 'c1']);
    expect(press('rose', 8_901)).toBe('c2');
    expect(press('rocket', 9_000)).toBe('c3');
  });
});

describe('parsePending', () => {
  it('brings back what was kept, and nothing that is no gift', () => {
    expect(parsePending(JSON.stringify([rose, { key: 'k2' }, 7, null]))).toEqual([rose]);
    expect(parsePending('{')).toEqual([]);
    expect(parsePending(null)).toEqual([]);
  });
});

describe('isOver', () => {
  it('ends the asking after a number of times, or when it is long ago', () => {
    expect(isOver(rose, 2_000)).toBe(false);
    expect(isOver({ ...rose, asked: ASKED_MAX }, 2_000)).toBe(true);
    expect(isOver(rose, 1_000 + KEPT_MS)).toBe(true);
  });
});
