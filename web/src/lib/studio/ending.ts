//! How a broadcast came to its end, in words. Pure.

import type { PastBroadcast } from '../api/channel';
import { translate, type MessageKey } from '../i18n/catalogue';
import type { Language } from '../i18n/language';

const WAYS: Readonly<Record<string, MessageKey>> = {
  finished: 'past.end.finished',
  lost: 'past.end.lost',
  shown_out: 'past.end.shown_out',
  unusable: 'past.end.unusable',
  stopped: 'past.end.stopped',
  server_ended: 'past.end.server_ended',
  server_lost: 'past.end.server_lost',
};

/** Whoever stopped it has said why; what ended under another version of the server may have no way that we know. */
export function ending(language: Language, past: Pick<PastBroadcast, 'ended_how' | 'end_reason'>): string {
  return past.end_reason ?? translate(language, WAYS[past.ended_how ?? ''] ?? 'past.end.unknown', {});
}
