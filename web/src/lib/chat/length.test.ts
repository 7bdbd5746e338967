import { expect, it } from 'vitest';
import { lengthOf } from './length';

it.each([['', 0], ['弹幕', 2], ['👨‍👩‍👧‍👦🇨🇳', 2], ['e\u0301', 1], [':hi::no:', 5]])('%s is %d long', (text, length) => {
  expect(lengthOf(text, { hi: '/emotes/1' })).toBe(length);
});
