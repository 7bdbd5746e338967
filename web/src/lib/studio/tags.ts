//! Tags as they are typed, one after another, and as the server takes them. Pure.

import type { Message } from '../i18n/catalogue';

export const TAGS_MAX = 10;
export const TAG_CHARS_MAX = 30;

/** By commas, also the Chinese ones; a # before a tag is no part of it. */
export function parseTags(text: string): string[] {
  const tags = text.split(/[,，、;；\n]/).map((tag) => tag.trim().replace(/^#+/, '').trim());
  return [...new Set(tags)].filter((tag) => tag !== '');
}

export function checkTags(text: string): Message | null {
  const tags = parseTags(text);
  if (tags.length > TAGS_MAX) return { key: 'channel.tags_many', params: { max: String(TAGS_MAX) } };
  const long = tags.find((tag) => [...tag].length > TAG_CHARS_MAX);
  return long === undefined ? null : { key: 'channel.tag_long', params: { tag: long, max: String(TAG_CHARS_MAX) } };
}
