import { describe, expect, it } from 'vitest';
import { ApiFailure } from '../api';
import { checkEmail, checkHandle, checkPassword, problemOf } from './problem';

const invalid = (field: string, message = 'No.'): ApiFailure => new ApiFailure(422, 'invalid', { field, message });

describe('problemOf', () => {
  it.each([
    ['handle', { handle: 'Mei Lin' }, 'error.handle_characters'],
    ['handle', { handle: 'me' }, 'error.handle_length'],
    ['handle', { handle: 'mei' }, 'error.handle'],
    ['email', { email: 'mei' }, 'error.email'],
    ['password', { password: 'short' }, 'error.password_short'],
    ['password', { password: '弹'.repeat(90) }, 'error.password_long'],
    ['password', { password: 'password123' }, 'error.password_guessable'],
    ['name', { name: '  ' }, 'error.required'],
  ])('tells what is wrong with %s %j', (field, values, key) => {
    expect(problemOf(invalid(field), values)).toMatchObject({ field, message: { key } });
  });

  it('takes the longest length from the server', () => {
    expect(problemOf(invalid('name', 'At most 50 characters, please.'), { name: 'x'.repeat(51) })).toEqual({
      field: 'name',
      message: { key: 'error.too_long', params: { max: '50' } },
    });
  });

  it('leads what is taken to its field', () => {
    expect(problemOf(new ApiFailure(409, 'handle_taken')).field).toBe('handle');
    expect(problemOf(new ApiFailure(409, 'email_taken')).field).toBe('email');
  });

  it('tells how long to wait', () => {
    expect(problemOf(new ApiFailure(429, 'too_many_attempts', { retry_after_s: 7 })).message).toEqual({
      key: 'error.too_many_attempts',
      params: { seconds: '7' },
    });
  });

  it('passes an operator’s reason on', () => {
    const message = 'This account was closed by an operator: spam: 3 times';
    expect(problemOf(new ApiFailure(403, 'account_disabled', { message })).message.params).toEqual({ reason: 'spam: 3 times' });
  });

  it.each([
    [new ApiFailure(0, null), 'error.unreachable'],
    [new ApiFailure(502, null), 'error.server'],
    [new ApiFailure(500, 'internal'), 'error.server'],
    [new ApiFailure(503, 'busy'), 'error.busy'],
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
