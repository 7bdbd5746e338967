import { describe, expect, it } from 'vitest';
import { extend, replaceRow } from './listing';

const idOf = (row: { id: string }): string => row.id;
const rows = (...ids: string[]): { id: string }[] => ids.map((id) => ({ id }));

describe('a listing', () => {
  it('has more behind a full page, and no more behind a short one', () => {
    expect(extend(null, rows('a', 'b'), 2, idOf)).toEqual({ rows: rows('a', 'b'), more: true });
    expect(extend(null, rows('a'), 2, idOf).more).toBe(false);
    expect(extend(null, [], 2, idOf)).toEqual({ rows: [], more: false });
  });

  it('grows by the next page, without what it has already', () => {
    const first = extend(null, rows('a', 'b'), 2, idOf);
    expect(extend(first, rows('b', 'c'), 2, idOf)).toEqual({ rows: rows('a', 'b', 'c'), more: true });
    expect(extend(first, [], 2, idOf)).toEqual({ rows: rows('a', 'b'), more: false });
  });

  it('takes what changed in its place', () => {
    const listing = extend(null, [{ id: 'a', n: 1 }, { id: 'b', n: 1 }], 2, idOf);
    expect(replaceRow(listing, { id: 'b', n: 2 }, idOf).rows).toEqual([{ id: 'a', n: 1 }, { id: 'b', n: 2 }]);
  });
});
