import { expect, it } from 'vitest';
import { inkOn, nameOf, tierOf } from './words';

const TIERS = [30, 100, 500].map((from) => ({ from, pin_s: 60, text_max: 50, colour: '#2a60b2' }));

it('names a gift in the reader’s language, or in the one there is', () => {
  expect(nameOf({ id: 'rose', name: { en: 'Rose', 'zh-CN': '玫瑰' } }, 'zh-CN')).toBe('玫瑰');
  expect(nameOf({ id: 'rose', name: { fr: 'Rose de France' } }, 'zh-CN')).toBe('Rose de France');
  expect(nameOf({ id: 'rose', name: {} }, 'en')).toBe('rose');
});

it('takes the greatest tier that the coins reach', () => {
  expect(tierOf(TIERS, 29)).toBeNull();
  expect(tierOf(TIERS, 100)?.from).toBe(100);
  expect(tierOf(TIERS, 9_999)?.from).toBe(500);
});

it('writes on a colour in what is read better', () => {
  expect(inkOn('#ffd54f')).toBe('#000000');
  expect(inkOn('#1a237e')).toBe('#ffffff');
});
