//! Lines of a wallet in words. Pure.

import type { TopUp, WalletLine } from '../api/money';
import type { Message, MessageKey } from '../i18n/catalogue';
import type { Language } from '../i18n/language';

const KINDS = ['top_up', 'gift', 'refund', 'chargeback', 'minor_refund', 'freeze', 'unfreeze'] as const;

export function kindOf({ kind }: Pick<WalletLine, 'kind'>): MessageKey {
  const known = KINDS.find((one) => one === kind);
  return known === undefined ? 'wallet.kind.other' : `wallet.kind.${known}`;
}

/** With its sign, and the sign that typographers use. */
export function signed(language: Language, count: number): string {
  return new Intl.NumberFormat(language, { signDisplay: 'exceptZero' }).format(count);
}

/** `amount` is in the currency's smallest unit. */
export function price(language: Language, currency: string, amount: number): string {
  const format = new Intl.NumberFormat(language, { style: 'currency', currency });
  const digits = format.resolvedOptions().maximumFractionDigits ?? 2;
  return format.format(amount / 10 ** digits);
}

/** What became of a top-up, in a sentence; null of one that was never paid for and may still be. */
export function outcomeOf({ state }: Pick<TopUp, 'state'>): MessageKey | null {
  return state === 'open' ? null : `pay.closed.${state}`;
}

/** The coins of a top-up, and what is given on top. */
export function coinsOf(language: Language, { coins, bonus }: Pick<TopUp, 'coins' | 'bonus'>): Message {
  const number = (count: number): string => count.toLocaleString(language);
  return bonus > 0
    ? { key: 'wallet.pack.bonus', params: { coins: number(coins), bonus: number(bonus) } }
    : { key: 'wallet.pack', params: { coins: number(coins) } };
}
