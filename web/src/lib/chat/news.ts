//! What is told of people who came, follow the channel or passed it on. Pure.

import type { MessageKey } from '../i18n/catalogue';
import type { Gathered } from './protocol';

export type News = 'joined' | 'followed' | 'shared';

export interface NewsText {
  key: MessageKey;
  values: Record<string, string>;
}

/** In words: the first of those who are named, and how many others. */
export function newsText(news: News, { count, named }: Gathered, number: (value: number) => string): NewsText {
  const [first] = named;
  if (!first) return { key: `chat.news.${news}.many`, values: { count: number(count) } };
  const name = first.name || first.handle;
  if (count === 1) return { key: `chat.news.${news}.one`, values: { name } };
  return { key: `chat.news.${news}.more`, values: { name, count: number(count - 1) } };
}
