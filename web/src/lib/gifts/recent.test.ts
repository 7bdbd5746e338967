import { describe, expect, it } from 'vitest';
import { BACK_MAX, parsePlace, RECENT, Recent } from './recent';

describe('Recent', () => {
  it('goes back to the latest gifts, whenever they were', () => {
    const recent = new Recent();
    expect(recent.from).toBeNull();
    for (let p = 0; p < RECENT + 5; p += 1) recent.note(p, 0, 1_000);
    expect(recent.from).toBe(5);
  });

  it('goes further back to a super chat for as long as it is paid for', () => {
    const recent = new Recent();
    recent.note(3, 60_000, 0);
    for (let p = 4; p < 40; p += 1) recent.note(p, 0, 59_999);
    expect(recent.from).toBe(3);
    recent.note(40, 0, 60_000);
    expect(recent.from).toBe(41 - RECENT);
  });

  it('goes back no further than what may be asked for', () => {
    const recent = new Recent();
    recent.note(0, 60_000, 0);
    recent.note(BACK_MAX - 1, 0, 1);
    expect(recent.from).toBe(0);
    recent.note(BACK_MAX, 0, 2);
    expect(recent.from).toBe(1);
  });
});

it('reads a place as it was kept, and nothing else', () => {
  expect(parsePlace('1763772000000:17')).toEqual({ e: 1_763_772_000_000, p: 17 });
  for (const text of [null, '', '1', '1:x', '1:2:3', '-1:2']) expect(parsePlace(text)).toBeNull();
});
