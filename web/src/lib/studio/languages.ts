//! The languages a broadcast may be said to be in, by their names in the reader's language. Pure.

import type { Language } from '../i18n/language';

const SPOKEN = ['zh-CN', 'zh-TW', 'yue', 'en', 'ja', 'ko', 'es', 'pt', 'fr', 'de', 'it', 'ru', 'uk', 'pl', 'tr', 'ar', 'hi', 'id', 'vi', 'th'];

/** `current` is among them, whatever it is: what a program set is not lost by saving. */
export function spokenLanguages(reader: Language, current: string): { value: string; label: string }[] {
  const names = new Intl.DisplayNames(reader, { type: 'language' });
  const tags = current === '' || SPOKEN.includes(current) ? SPOKEN : [current, ...SPOKEN];
  return tags.map((value) => ({ value, label: names.of(value) ?? value }));
}
