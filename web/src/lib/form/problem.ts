//! What the server refused, as a message in the reader's language and, where there is one, the field it is about. Pure.

import type { ApiFailure } from '../api';
import type { Message, MessageKey } from '../i18n/catalogue';

export interface Problem {
  /** Null when it is about the whole form. */
  field: string | null;
  message: Message;
}

/** What was typed, by the names of the fields. */
export type Values = Readonly<Record<string, string>>;

export const PASSWORD_MIN = 10;
const PASSWORD_BYTES_MAX = 256;
const HANDLE_MIN = 3;
const HANDLE_MAX = 24;

/** Codes that say everything by themselves. */
const BY_CODE: Readonly<Record<string, Problem>> = {
  wrong_credentials: whole('error.wrong_credentials'),
  not_signed_in: whole('error.not_signed_in'),
  not_allowed: whole('error.not_allowed'),
  cross_site: whole('error.cross_site'),
  sign_up_closed: whole('error.sign_up_closed'),
  channels_closed: whole('error.channels_closed'),
  handle_taken: { field: 'handle', message: { key: 'error.handle_taken' } },
  channel_is_live: whole('error.channel_is_live'),
  last_operator: whole('error.last_operator'),
  limit_reached: whole('error.limit_reached'),
  link_expired: whole('error.link_expired'),
  channel_not_found: whole('error.gone'),
  user_not_found: whole('error.user_not_found'),
  no_such_thing: whole('error.gone'),
  too_large: whole('error.too_large'),
  too_slow: whole('error.busy'),
  busy: whole('error.busy'),
  database_unavailable: whole('error.database'),
  name_taken: { field: 'name', message: { key: 'error.name_taken' } },
  not_reversible: whole('error.not_reversible'),
  not_refundable: whole('error.not_refundable'),
  gifts_unavailable: whole('error.gifts_unavailable'),
  payments_unavailable: whole('error.payments_unavailable'),
  payments_off: whole('error.payments_off'),
};

/** What the server's refusal means for who typed `values`. */
export function problemOf(failure: ApiFailure, values: Values = {}): Problem {
  if (failure.status === 0) return whole('error.unreachable');
  if (failure.code === 'invalid' && failure.field !== null) {
    return { field: failure.field, message: aboutField(failure, [...(values[failure.field] ?? '')].length) };
  }
  if (failure.code === 'too_many_attempts') {
    return whole('error.too_many_attempts', { seconds: String(failure.retry_after_s ?? 60) });
  }
  if (failure.code === 'account_disabled') return whole('error.account_disabled', { reason: failure.reason ?? '' });
  const known = failure.code === null ? undefined : BY_CODE[failure.code];
  if (known) return known;
  if (failure.status >= 500 || failure.code === null) return whole('error.server', { status: String(failure.status) });
  return whole('error.refused', { message: failure.message });
}

/** `count` is how many characters were typed. */
function aboutField({ reason, max, message }: ApiFailure, count: number): Message {
  switch (reason) {
    case 'empty':
      return { key: 'error.required' };
    case 'too_long':
      return max === null ? { key: 'error.password_long' } : { key: 'error.too_long', params: { max: String(max) } };
    case 'too_short':
      return { key: 'error.password_short', params: { count: String(count), min: String(PASSWORD_MIN) } };
    case 'too_many':
      return { key: 'error.too_many', params: { max: String(max) } };
    case 'too_few':
      return { key: 'error.too_few' };
    case 'too_many_shares':
      return { key: 'error.too_many_shares' };
    case 'out_of_range':
      return { key: 'error.out_of_range', params: { max: String(max) } };
    case 'guessable':
      return { key: 'error.password_guessable' };
    case 'wrong_password':
      return { key: 'error.wrong_current_password' };
    case 'handle_length':
      return { key: 'error.handle_length', params: { count: String(count) } };
    case 'handle_characters':
      return { key: 'error.handle_characters' };
    case 'not_an_email_address':
      return { key: 'error.email' };
    case 'not_a_language':
      return { key: 'error.language' };
    case 'not_an_address':
      return { key: 'error.not_an_address' };
    case 'private_address':
      return { key: 'error.private_address' };
    case 'not_a_code':
      return { key: 'error.handle_characters' };
    case 'not_a_picture':
      return { key: 'error.not_a_picture' };
    case 'too_many_pixels':
      return { key: 'error.too_many_pixels', params: { max: String(max) } };
    case 'too_many_frames':
      return { key: 'error.too_many_frames', params: { max: String(max) } };
    case 'too_heavy':
      return { key: 'error.picture_heavy' };
    case 'is_owner':
      return { key: 'mods.self' };
    default:
      return { key: 'error.refused', params: { message } };
  }
}

export function checkHandle(value: string): Message | null {
  const handle = value.trim();
  if (!/^[a-z0-9_]*$/.test(handle)) return { key: 'error.handle_characters' };
  if (handle.length >= HANDLE_MIN && handle.length <= HANDLE_MAX) return null;
  return { key: 'error.handle_length', params: { count: String(handle.length) } };
}

/** Only what can be told without the server's list of passwords that are tried first. */
export function checkPassword(value: string, min = PASSWORD_MIN): Message | null {
  const count = [...value].length;
  if (count < min) return { key: 'error.password_short', params: { count: String(count), min: String(min) } };
  if (new TextEncoder().encode(value).length > PASSWORD_BYTES_MAX) return { key: 'error.password_long' };
  return null;
}

export function checkEmail(value: string): Message | null {
  const text = value.trim();
  return text === '' || /^[^@\s]+@[^@\s]+$/.test(text) ? null : { key: 'error.email' };
}

function whole(key: MessageKey, params?: Record<string, string>): Problem {
  return { field: null, message: params === undefined ? { key } : { key, params } };
}
