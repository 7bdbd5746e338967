import { describe, expect, it } from 'vitest';
import { ApiFailure } from '../api';
import { checkEmail, checkHandle, checkPassword, problemOf } from './problem';

const invalid = (field: string, reason: string, max: number | null = null): ApiFailure =>
  new ApiFailure(422, 'invalid', { field, reason, max, message: 'No.' });

describe('problemOf', () => {
  it.each([
    ['handle', 'handle_characters', 'error.handle_characters', undefined],
    ['handle', 'handle_length', 'error.handle_length', { count: '4' }],
    ['email', 'not_an_email_address', 'error.email', undefined],
    ['password', 'too_short', 'error.password_short', { count: '4', min: '10' }],
    ['password', 'too_long', 'error.password_long', undefined],
    ['password', 'guessable', 'error.password_guessable', undefined],
    ['current', 'wrong_password', 'error.wrong_current_password', undefined],
    ['name', 'empty', 'error.required', undefined],
    ['language', 'not_a_language', 'error.language', undefined],
    ['picture', 'not_a_picture', 'error.not_a_picture', undefined],
    ['picture', 'too_heavy', 'error.picture_heavy', undefined],
    ['url', 'not_an_address', 'error.not_an_address', undefined],
    ['url', 'private_address', 'error.private_address', undefined],
    ['member', 'is_owner', 'mods.self', undefined],
    ['reason', 'too_few', 'error.too_few', undefined],
    ['streamer_bp', 'too_many_shares', 'error.too_many_shares', undefined],
    ['name', 'something_new', 'error.refused', { message: 'No.' }],
  ])('tells why %s is not taken: %s', (field, reason, key, params) => {
    const message = params === undefined ? { key } : { key, params };
    expect(problemOf(invalid(field, reason), { [field]: '弹幕弹幕' })).toEqual({ field, message });
  });

  it.each([
    ['name', 'too_long', 'error.too_long'],
    ['tags', 'too_many', 'error.too_many'],
    ['days', 'out_of_range', 'error.out_of_range'],
    ['picture', 'too_many_pixels', 'error.too_many_pixels'],
    ['picture', 'too_many_frames', 'error.too_many_frames'],
  ])('takes the most from the server: %s, %s', (field, reason, key) => {
    expect(problemOf(invalid(field, reason, 50))).toEqual({ field, message: { key, params: { max: '50' } } });
  });

  it('leads what is taken to its field', () => {
    expect(problemOf(new ApiFailure(409, 'handle_taken')).field).toBe('handle');
    expect(problemOf(new ApiFailure(409, 'name_taken')).field).toBe('name');
  });

  it('tells how long to wait', () => {
    expect(problemOf(new ApiFailure(429, 'too_many_attempts', { retry_after_s: 7 })).message).toEqual({
      key: 'error.too_many_attempts',
      params: { seconds: '7' },
    });
  });

  it('passes an operator’s reason on', () => {
    expect(problemOf(new ApiFailure(403, 'account_disabled', { reason: 'spam: 3 times' })).message.params).toEqual({ reason: 'spam: 3 times' });
  });

  it.each([
    [new ApiFailure(0, null), 'error.unreachable'],
    [new ApiFailure(502, null), 'error.server'],
    [new ApiFailure(500, 'internal'), 'error.server'],
    [new ApiFailure(503, 'busy'), 'error.busy'],
    [new ApiFailure(503, 'gifts_unavailable'), 'error.gifts_unavailable'],
    [new ApiFailure(503, 'payments_unavailable'), 'error.payments_unavailable'],
    [new ApiFailure(409, 'not_reversible'), 'error.not_reversible'],
    [new ApiFailure(409, 'not_refundable'), 'error.not_refundable'],
    [new ApiFailure(400, 'something_new', { message: 'No.' }), 'error.refused'],
  ])('%s is about the whole form', (failure, key) => {
    expect(problemOf(failure)).toMatchObject({ field: null, message: { key } });
  });
});

describe('what can be told before it is sent', () => {
  it('a handle', () => {
    for (const good of ['mei', 'go_board', ' a23456789012345678901234 ']) expect(checkHandle(good)).toBeNull();
    for (const bad of ['ab', 'Mei', 'me-i', '弹幕弹幕', 'a'.repeat(25)]) expect(checkHandle(bad)).not.toBeNull();
  });

  it('a password counts characters, not their parts', () => {
    expect(checkPassword('弹幕直播间里有很多人')).toBeNull();
    expect(checkPassword('😀😀😀😀😀')?.key).toBe('error.password_short');
  });

  it('an e-mail address may be left out', () => {
    for (const good of ['', 'mei@example.org', '梅@例子.中国']) expect(checkEmail(good)).toBeNull();
    for (const bad of ['mei', 'mei@', 'a b@c']) expect(checkEmail(bad)).not.toBeNull();
  });
});
