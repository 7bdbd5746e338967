import { describe, expect, it } from 'vitest';
import { Places } from './places';
import type { Heard, Welcome } from './protocol';

const welcome = (e: number, p: number): Welcome => ({
  t: 'welcome',
  room: 'stage',
  lanes: { control: { e, p: 1 }, money: { e, p: 0 }, chat: { e, p }, ambient: { e: e + 1, p: 0 } },
  broadcast: null,
  server_ms: 0,
  text_max: 100,
  viewers: 1,
  likes: 0,
  chat_down_since_ms: null,
});
const said = (p: number): Heard => ({
  t: 'danmaku', l: 'chat', p, at: 0, text: String(p), by: { id: 'x', handle: 'ann' }, mode: 'scroll', size: 'normal', colour: 0,
});
const given = (p: number): Heard => ({
  t: 'gift', l: 'money', p, at: 0, seq: p + 100, by: { id: 'x', handle: 'ann' }, count: 1, coins: 30, text: 'hi', pinned_ms: 60_000,
  gift: { id: 'super_chat', name: {}, tier: 2, effect: 'float', glyph: '💬' },
});

describe('places', () => {
  it('begin with the welcome and go on with what is heard', () => {
    const places = new Places();
    places.note(welcome(7, 3));
    expect(places.note(said(1)), 'the last of what was said before').toBe(true);
    expect(places.note(said(3))).toBe(true);
    expect(String(places)).toBe('control:7:1,money:7:0,chat:7:4,ambient:8:0');
  });

  it('pass over gaps, and know what was heard before', () => {
    const places = new Places();
    places.note(welcome(7, 3));
    places.note(said(3));
    places.note(welcome(7, 20));
    expect(String(places)).toContain('chat:7:4');
    expect(places.note(said(3))).toBe(false);
    expect(places.note({ t: 'gap', l: 'chat', from: 4, to: 9 })).toBe(true);
    expect(places.note(said(9))).toBe(true);
    expect(String(places)).toContain('chat:7:10');
  });

  it('begin anew in another epoch', () => {
    const places = new Places();
    places.note(welcome(7, 30));
    places.note(welcome(9, 2));
    expect(places.note(said(2))).toBe(true);
    expect(String(places)).toContain('chat:9:3');
  });

  it('hear gifts again from where an earlier load of the page was', () => {
    const places = new Places({ e: 7, p: 2 });
    expect(String(places)).toBe('money:7:2');
    const there = welcome(7, 3);
    places.note({ ...there, lanes: { ...there.lanes, money: { e: 7, p: 4 } } });
    expect([given(2), given(3), given(3), given(4)].map((one) => places.note(one))).toEqual([true, true, false, true]);
  });

  it('take the last gifts that a room gives to who comes', () => {
    const places = new Places();
    const there = welcome(7, 3);
    places.note({ ...there, lanes: { ...there.lanes, money: { e: 7, p: 4 } } });
    expect(places.note(given(3))).toBe(true);
    expect(String(places)).toContain('money:7:4');
    places.note(welcome(7, 3));
    expect(places.note(given(3)), 'it was heard before').toBe(false);
  });
});
