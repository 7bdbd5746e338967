import { describe, expect, it } from 'vitest';
import { ACTS_MAX, OF_ONE_MAX, Show, STALE_MS, type Act } from './show';

let keys = 0;
const act = (changes: Partial<Act>): Act => ({ key: (keys += 1), by: 'mei', tier: 2, at: 0, ...changes });

function of(...acts: Act[]): Show<Act> {
  const show = new Show<Act>();
  for (const one of acts) show.add(one, 0);
  return show;
}

function all(show: Show<Act>, now = 0): Act[] {
  const seen: Act[] = [];
  for (let one = show.next(now); one !== null; one = show.next(now)) seen.push(one);
  return seen;
}

describe('Show', () => {
  it('holds no more than so many, of one sender and of all, and the lowest leave', () => {
    const mine = of(...Array.from({ length: OF_ONE_MAX + 5 }, () => act({})));
    expect(mine.size).toBe(OF_ONE_MAX);
    const high = act({ by: 'high', tier: 4 });
    const many = of(high, ...Array.from({ length: ACTS_MAX * 2 }, (_, i) => act({ by: `b${i}` })));
    expect(many.size).toBe(ACTS_MAX);
    expect(many.next(0)).toBe(high);
  });

  it('lets senders take turns', () => {
    const show = of(act({ by: 'a' }), act({ by: 'a' }), act({ by: 'a' }), act({ by: 'b' }), act({ by: 'c' }));
    expect(all(show).map(({ by }) => by)).toEqual(['a', 'b', 'c', 'a', 'a']);
  });

  it('shows the higher tier first', () => {
    const show = of(act({ by: 'a', tier: 2 }), act({ by: 'b', tier: 4 }), act({ by: 'c', tier: 3 }));
    expect(all(show).map(({ tier }) => tier)).toEqual([4, 3, 2]);
  });

  it('starves no lower one, however many higher ones come', () => {
    const low = act({ by: 'low' });
    const show = of(low);
    const turns = Array.from({ length: 20 }, (_, i) => {
      show.add(act({ by: `high${i}`, tier: 4 }), 0);
      return show.next(0);
    });
    expect(turns.indexOf(low)).toBeGreaterThan(0);
  });

  it('grows a combo where it is, waiting or shown', () => {
    const first = act({ by: 'a', tier: 3 });
    const second = act({ by: 'b' });
    const show = of(first, second);
    show.next(0);
    const more = { ...first, at: 5 };
    const later = { ...second, at: 5 };
    show.add(more, 5);
    show.add(later, 5);
    expect([show.now, show.size]).toEqual([more, 1]);
    expect(show.next(5)).toBe(later);
  });

  it('plays nothing that is too old', () => {
    const show = of(act({}), act({ by: 'b', at: 10_000 }));
    expect(all(show, STALE_MS + 1).map(({ by }) => by)).toEqual(['b']);
    show.add(act({}), STALE_MS + 1);
    expect(show.size).toBe(0);
  });

  it('loses what was taken back', () => {
    const one = act({});
    const other = act({ by: 'b' });
    const show = of(one, other);
    show.next(0);
    show.remove(one.key);
    show.remove(other.key);
    expect([show.now, show.size]).toEqual([null, 0]);
  });
});
