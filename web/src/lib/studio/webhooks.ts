//! What is said of a webhook and of what it was told. Pure.

import type { Delivery, Webhook } from '../api/webhooks';
import type { Message, MessageKey } from '../i18n/catalogue';

export interface Standing {
  kind: 'well' | 'failing' | 'disabled';
  message: Message;
}

/** How a webhook stands; the worst there is to tell. */
export function standingOf({ disabled, failing_since, waiting }: Webhook): Standing {
  if (disabled) return { kind: 'disabled', message: { key: disabled.why === 'gone' ? 'hooks.gone' : 'hooks.disabled' } };
  if (failing_since !== null) return { kind: 'failing', message: { key: 'hooks.failing', params: { count: String(waiting) } } };
  return { kind: 'well', message: { key: 'hooks.well' } };
}

const NO_ANSWER: Readonly<Record<string, MessageKey>> = {
  bad_address: 'hooks.no_answer.bad_address',
  secret_lost: 'hooks.no_answer.secret_lost',
  no_such_name: 'hooks.no_answer.no_such_name',
  private_address: 'error.private_address',
  no_connection: 'hooks.no_answer.no_connection',
  tls: 'hooks.no_answer.tls',
  broken: 'hooks.no_answer.broken',
  not_http: 'hooks.no_answer.not_http',
  timeout: 'hooks.no_answer.timeout',
};

/** What came of the last attempt. */
export function answerOf({ last_status, last_error, attempts }: Delivery): Message {
  if (last_status !== null) return { key: 'hooks.answered', params: { status: String(last_status) } };
  if (last_error !== null) return { key: NO_ANSWER[last_error] ?? 'hooks.no_answer.unknown', params: { code: last_error } };
  return { key: attempts === 0 ? 'hooks.untried' : 'hooks.given_up' };
}

export function checkUrl(typed: string): Message | null {
  return /^https?:\/\/[^\s@/]+(\/\S*)?$/.test(typed.trim()) ? null : { key: 'error.not_an_address' };
}
