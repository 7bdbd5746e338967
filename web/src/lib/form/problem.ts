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
  email_taken: { field: 'email', message: { key: 'error.email_taken' } },
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
  database_unavailable: whole('error.busy'),
};

/** What the server's refusal means for who typed `values`. */
export function problemOf(failure: ApiFailure, values: Values = {}): Problem {
  if (failure.status === 0) return whole('error.unreachable');
  if (failure.code === 'invalid' && failure.field !== null) {
    return { field: failure.field, message: aboutField(failure.field, values[failure.field] ?? '', failure.message) };
  }
  if (failure.code === 'too_many_attempts') {
    return whole('error.too_many_attempts', { seconds: String(failure.retry_after_s ?? 60) });
  }
  if (failure.code === 'account_disabled') return whole('error.account_disabled', { reason: reasonIn(failure.message) });
  const known = failure.code === null ? undefined : BY_CODE[failure.code];
  if (known) return known;
  if (failure.status >= 500 || failure.code === null) return whole('error.server', { status: String(failure.status) });
  return whole('error.refused', { message: failure.message });
}

/** The server tells its reason in English alone, so it is found again in what was typed. */
function aboutField(field: string, value: string, message: string): Message {
  if (field === 'handle') return checkHandle(value) ?? { key: 'error.handle' };
  if (field === 'email') return { key: 'error.email' };
  if (field === 'password') return checkPassword(value) ?? { key: 'error.password_guessable' };
  if (value.trim() === '') return { key: 'error.required' };
  const most = /^At most (\d+) characters/.exec(message)?.[1];
  if (most !== undefined) return { key: 'error.too_long', params: { max: most } };
  return { key: 'error.refused', params: { message } };
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

/** The operator's words, which follow the server's. */
function reasonIn(message: string): string {
  return message.slice(message.indexOf(': ') + 2);
}

function whole(key: MessageKey, params?: Record<string, string>): Problem {
  return { field: null, message: params === undefined ? { key } : { key, params } };
}
