import { describe, expect, it } from 'vitest';
import { csv } from './csv';

const one = (cell: string | number | null): string => csv(['a'], [[cell]]).slice(3, -2);

describe('csv', () => {
  it('has a line for the columns and one for each row', () => {
    expect(csv(['day', 'coins'], [['2026-11-23', 5], ['2026-11-22', null]])).toBe('day,coins\r\n2026-11-23,5\r\n2026-11-22,\r\n');
  });

  it('quotes what would be taken for a border of a cell', () => {
    expect(one('a,b')).toBe('"a,b"');
    expect(one('say "hi"')).toBe('"say ""hi"""');
    expect(one('two\nlines')).toBe('"two\nlines"');
    expect(one('玫瑰')).toBe('玫瑰');
  });

  it.each(['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', ' =1', '＝1', '\r=1'])('lets nothing be computed of %j', (text) => {
    expect(one(text).replace(/^"/, '')).toMatch(/^'/);
  });

  it('quotes a formula too', () => {
    expect(one('=HYPERLINK("http://x.invalid","a")')).toBe('"\'=HYPERLINK(""http://x.invalid"",""a"")"');
  });

  it('leaves numbers below zero as they are', () => {
    expect(one(-12)).toBe('-12');
  });
});
