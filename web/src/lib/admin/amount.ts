//! Amounts as operators type them. Pure: nothing is guessed of what is not plainly a number.

import type { Message } from '../i18n/catalogue';

/** Most coins that a gift costs, and most there are of one. */
export const PRICE_MAX = 1_000_000;

/** A whole number in plain digits; null of anything else. */
export function whole(text: string): number | null {
  const digits = text.trim();
  return /^\d{1,9}$/.test(digits) ? Number(digits) : null;
}

/** What is wrong with a whole number that is to be between these. */
export function checkWhole(text: string, min: number, max = PRICE_MAX): Message | null {
  const number = whole(text);
  if (number !== null && number >= min && number <= max) return null;
  return { key: 'catalogue.whole', params: { min: String(min), max: String(max) } };
}
