//! What can be told of an emote before it is uploaded. Pure.

import { PICTURE_BYTES_MAX, PICTURE_KINDS } from '../api/emotes';
import type { Message } from '../i18n/catalogue';

const CODE_MIN = 2;
const CODE_MAX = 24;
const KIB = 1_024;

/** The code within what was typed: colons around it are what one sees, not what it is. */
export function codeOf(typed: string): string {
  return typed.trim().replace(/^:|:$/g, '').toLowerCase();
}

export function checkCode(typed: string): Message | null {
  const code = codeOf(typed);
  if (!/^[a-z0-9_]*$/.test(code)) return { key: 'error.handle_characters' };
  if (code.length >= CODE_MIN && code.length <= CODE_MAX) return null;
  return { key: 'emotes.code_length', params: { count: String(code.length) } };
}

/** A code that the name of a file suggests; empty if it suggests none. */
export function suggestedCode(fileName: string): string {
  const stem = fileName.replace(/\.[^.]*$/, '').toLowerCase();
  const code = stem
    .replace(/[^a-z0-9]+/g, '_')
    .slice(0, CODE_MAX)
    .replace(/^_+|_+$/g, '');
  return code.length < CODE_MIN ? '' : code;
}

/** What is wrong with a picture that can be told without decoding it. */
export function checkPicture(picture: { type: string; size: number } | null): Message | null {
  if (!picture) return { key: 'emotes.picture_missing' };
  if (!PICTURE_KINDS.includes(picture.type)) return { key: 'error.not_a_picture' };
  if (picture.size <= PICTURE_BYTES_MAX) return null;
  const params = { size: String(Math.ceil(picture.size / KIB)), max: String(PICTURE_BYTES_MAX / KIB) };
  return { key: 'emotes.picture_large', params };
}
