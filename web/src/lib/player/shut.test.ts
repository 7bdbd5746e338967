import { expect, it } from 'vitest';
import { isShut, SHUT_MS } from './shut';

it('a way that was shut counts as shut for a day', () => {
  expect(isShut('1000', 1_000)).toBe(true);
  expect(isShut('1000', 999 + SHUT_MS)).toBe(true);
  expect(isShut('1000', 1_000 + SHUT_MS)).toBe(false);
});

it('what is not remembered, of another clock or no time at all shuts nothing', () => {
  for (const text of [null, '', 'yes', '2000']) expect(isShut(text, 1_000)).toBe(false);
});
