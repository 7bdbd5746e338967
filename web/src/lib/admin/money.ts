//! What operators do with money, in words. Pure.

import type { Note, Why } from '../api/money';
import type { Message, MessageKey } from '../i18n/catalogue';

/** Characters of a reason. */
export const REASON_MIN = 3;
export const REASON_MAX = 500;

export type Deed = 'reverse' | 'refund' | 'freeze' | 'unfreeze';

const WHYS: Readonly<Record<Deed, readonly Why[]>> = {
  reverse: ['refund', 'chargeback', 'minor'],
  refund: ['refund', 'minor'],
  freeze: [],
  unfreeze: [],
};

/** What kinds there are of it. */
export const whysOf = (deed: Deed): readonly Why[] => WHYS[deed];

export function checkReason(text: string): Message | null {
  return [...text.trim()].length < REASON_MIN ? { key: 'money.reason_short', params: { min: String(REASON_MIN) } } : null;
}

const NOTED = ['reversal', 'refund', 'freeze', 'unfreeze', 'contract', 'gift'] as const;

/** Null for what a later server may note. */
export function noteKey({ what }: Pick<Note, 'what'>): MessageKey | null {
  const known = NOTED.find((one) => one === what);
  return known === undefined ? null : `money.note.${known}`;
}
