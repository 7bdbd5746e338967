import { describe, expect, it } from 'vitest';
import type { GiftItem } from '../chat/protocol';
import { begun, grown, without } from './gathered';

const item = (seq: number, n: number): GiftItem => ({
  t: 'gift',
  l: 'money',
  p: seq,
  at: 0,
  seq,
  by: { id: 'u1', handle: 'mei' },
  gift: { id: 'rose', name: { en: 'Rose' }, tier: 1, effect: 'float', glyph: '🌹' },
  count: 1,
  coins: 1,
  combo: { id: 'abc', n },
});

describe('a combo', () => {
  it('shows the number of the server, also to who came in the middle of it', () => {
    const given = grown(begun(item(20, 7)), item(21, 8));
    expect(given.n).toBe(8);
  });

  it('never counts down because an older one came late', () => {
    expect(grown(begun(item(21, 8)), item(20, 7)).n).toBe(8);
  });

  it('loses what is taken back, and is gone with the last of it', () => {
    const two = grown(begun(item(1, 1)), item(2, 2));
    const one = without(two, 1);
    expect(one?.n).toBe(1);
    expect(one && without(one, 2)).toBeNull();
    expect(without(two, 99)).toBe(two);
  });
});
