import { describe, expect, it } from 'vitest';
import { checkCode, checkPicture, codeOf, suggestedCode } from './emotes';

describe('a code', () => {
  it('is what stands between the colons', () => {
    expect(codeOf(' :Hi_2: ')).toBe('hi_2');
    expect(codeOf('hi')).toBe('hi');
  });

  it('has few characters of few kinds', () => {
    for (const good of ['hi', ':hi:', 'Wow_2', 'a'.repeat(24)]) expect(checkCode(good)).toBeNull();
    expect(checkCode('嗨嗨')?.key).toBe('error.handle_characters');
    expect(checkCode('h:i')?.key).toBe('error.handle_characters');
    expect(checkCode('a')).toEqual({ key: 'emotes.code_length', params: { count: '1' } });
    expect(checkCode('a'.repeat(25))?.key).toBe('emotes.code_length');
  });

  it.each([
    ['Party Parrot.gif', 'party_parrot'],
    ['wow.final.PNG', 'wow_final'],
    [`${'long'.repeat(9)}.png`, 'longlonglonglonglonglong'],
    ['嗨.png', ''],
    ['x.png', ''],
  ])('is suggested by %s: %s', (file, code) => {
    expect(suggestedCode(file)).toBe(code);
    if (code !== '') expect(checkCode(code)).toBeNull();
  });
});

describe('a picture', () => {
  it('is of a kind and a size that the server takes', () => {
    expect(checkPicture({ type: 'image/png', size: 262_144 })).toBeNull();
    expect(checkPicture(null)?.key).toBe('emotes.picture_missing');
    expect(checkPicture({ type: 'image/svg+xml', size: 10 })?.key).toBe('error.not_a_picture');
    expect(checkPicture({ type: 'image/gif', size: 262_145 })).toEqual({ key: 'emotes.picture_large', params: { size: '257', max: '256' } });
  });
});
