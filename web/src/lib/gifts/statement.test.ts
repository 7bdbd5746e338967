import { expect, test } from 'vitest';
import { kindOf, price, signed } from './statement';

test('a line is called what it is, and what a later server calls otherwise is an entry', () => {
  expect(kindOf({ kind: 'top_up' })).toBe('wallet.kind.top_up');
  expect(kindOf({ kind: 'payout' })).toBe('wallet.kind.other');
});

test('what is more or less has its sign', () => {
  expect(signed('en', 1200)).toBe('+1,200');
  expect(signed('en', -3)).toBe('-3');
  expect(signed('en', 0)).toBe('0');
});

test('a price has as many digits behind the point as its currency', () => {
  expect(price('en', 'CNY', 600)).toBe('CN¥6.00');
  expect(price('zh-CN', 'CNY', 600)).toBe('¥6.00');
  expect(price('en', 'JPY', 600)).toBe('¥600');
});
