import { describe, expect, it } from 'vitest';
import type { Delivery, Webhook } from '../api/webhooks';
import { answerOf, checkUrl, standingOf } from './webhooks';

const webhook: Webhook = {
  id: 'x',
  url: 'https://example.org/',
  events: ['danmaku.sent'],
  created_at: '2026-11-22T01:00:00Z',
  failing_since: null,
  disabled: null,
  waiting: 3,
  dropped: 0,
};
const delivery: Delivery = {
  id: 'x',
  type: 'danmaku.sent',
  events: 2,
  state: 'waiting',
  made_at: '2026-11-22T01:00:00Z',
  attempts: 0,
  last_at: null,
  last_status: null,
  last_error: null,
  next_at: null,
};

describe('a webhook', () => {
  it('stands as badly as the worst that is known of it', () => {
    expect(standingOf(webhook).kind).toBe('well');
    const failing = { ...webhook, failing_since: '2026-11-22T01:00:00Z' };
    expect(standingOf(failing)).toEqual({ kind: 'failing', message: { key: 'hooks.failing', params: { count: '3' } } });
    const at = '2026-11-22T01:00:00Z';
    expect(standingOf({ ...failing, disabled: { at, why: 'failing' } }).message.key).toBe('hooks.disabled');
    expect(standingOf({ ...failing, disabled: { at, why: 'gone' } }).message.key).toBe('hooks.gone');
  });

  it('is at a whole address', () => {
    for (const good of ['https://example.org', ' http://127.0.0.1:8000/hook?a=b ']) expect(checkUrl(good)).toBeNull();
    for (const bad of ['', 'example.org', 'ftp://example.org/', 'https://a:b@example.org/', 'https://a b/']) {
      expect(checkUrl(bad)).toEqual({ key: 'error.not_an_address' });
    }
  });
});

describe('a delivery', () => {
  it('tells what came of it', () => {
    expect(answerOf(delivery).key).toBe('hooks.untried');
    expect(answerOf({ ...delivery, attempts: 1, last_status: 500 })).toEqual({ key: 'hooks.answered', params: { status: '500' } });
    expect(answerOf({ ...delivery, attempts: 1, last_error: 'tls' }).key).toBe('hooks.no_answer.tls');
    expect(answerOf({ ...delivery, attempts: 1, last_error: 'new' })).toEqual({ key: 'hooks.no_answer.unknown', params: { code: 'new' } });
  });
});
