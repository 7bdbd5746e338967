import { describe, expect, it } from 'vitest';
import { pieces } from './emotes';

const urls = { hi: '/emotes/1', 'a_b': '/emotes/2' };

describe('pieces', () => {
  it.each([
    ['plain', [{ text: 'plain' }]],
    [':hi:', [{ code: 'hi', url: '/emotes/1' }]],
    ['say :hi::a_b: now', [{ text: 'say ' }, { code: 'hi', url: '/emotes/1' }, { code: 'a_b', url: '/emotes/2' }, { text: ' now' }]],
    ['12:30:hi:', [{ text: '12:30' }, { code: 'hi', url: '/emotes/1' }]],
    [':no: :constructor: :hi', [{ text: ':no: :constructor: :hi' }]],
  ])('of %s', (text, expected) => {
    expect(pieces(text, urls)).toEqual(expected);
  });

  it('are one where the server named none', () => {
    expect(pieces(':hi:', undefined)).toEqual([{ text: ':hi:' }]);
  });
});
