//! What is told of people who came, follow the channel or passed it on, and of what was deleted. Pure.

import type { MessageKey } from '../i18n/catalogue';
import type { Gathered, Removed } from './protocol';

export type News = { of: 'joined' | 'followed' | 'shared'; gathered: Gathered } | { of: 'removed'; removed: Removed };

export interface NewsText {
  key: MessageKey;
  values: Record<string, string>;
}

/** In words: of people, the first of those who are named, and how many others. */
export function newsText(news: News, number: (value: number) => string): NewsText {
  if (news.of === 'removed') return removedText(news.removed);
  const { of, gathered } = news;
  const [first] = gathered.named;
  if (!first) return { key: `chat.news.${of}.many`, values: { count: number(gathered.count) } };
  const name = nameOf(first);
  if (gathered.count === 1) return { key: `chat.news.${of}.one`, values: { name } };
  return { key: `chat.news.${of}.more`, values: { name, count: number(gathered.count - 1) } };
}

function removedText({ by, whose, text }: Removed): NewsText {
  const name = nameOf(by);
  if (by.handle === whose.handle) return { key: 'chat.news.removed.own', values: { name, text } };
  return { key: 'chat.news.removed', values: { name, whose: nameOf(whose), text } };
}

function nameOf({ name, handle }: Gathered['named'][number]): string {
  return name || handle;
}
