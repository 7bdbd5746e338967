//! The webhooks of a channel, as its owner sees and changes them.

import { get, send } from '../api';

export const WEBHOOK_EVENTS = ['broadcast.started', 'broadcast.ended', 'channel.followed', 'danmaku.sent', 'danmaku.deleted'] as const;
export type WebhookEvent = (typeof WEBHOOK_EVENTS)[number];

export interface Webhook {
  id: string;
  url: string;
  events: WebhookEvent[];
  created_at: string;
  /** Since when nothing was delivered that was tried. */
  failing_since: string | null;
  /** `failing` for days, or `gone`: it answered 410. */
  disabled: { at: string; why: string } | null;
  /** Deliveries that wait. */
  waiting: number;
  /** Events it was not told of because too many waited. */
  dropped: number;
}

export interface MadeWebhook {
  secret: string;
  webhook: Webhook;
}

export interface Delivery {
  id: string;
  type: string;
  events: number;
  state: 'waiting' | 'delivered' | 'failed';
  made_at: string;
  attempts: number;
  last_at: string | null;
  last_status: number | null;
  /** Why there was no answer: a code. */
  last_error: string | null;
  next_at: string | null;
}

const at = (handle: string): string => `/api/v1/channels/${encodeURIComponent(handle)}/webhooks`;
const one = (handle: string, id: string): string => `${at(handle)}/${encodeURIComponent(id)}`;

export const getWebhooks = async (handle: string): Promise<Webhook[]> => (await get<Webhook[]>(at(handle))).body;
export const makeWebhook = (handle: string, url: string, events: readonly WebhookEvent[]): Promise<MadeWebhook> =>
  send('POST', at(handle), { url, events });
export const removeWebhook = (handle: string, id: string): Promise<void> => send('DELETE', one(handle, id));
export const getDeliveries = async (handle: string, id: string): Promise<Delivery[]> =>
  (await get<Delivery[]>(`${one(handle, id)}/deliveries`)).body;
export const testWebhook = (handle: string, id: string): Promise<Delivery> => send('POST', `${one(handle, id)}/test`);
