//! The emotes of a channel, as its owner sees and changes them.

import { get, send, upload } from '../api';

export interface Emote {
  /** What is written for it, between two colons. */
  code: string;
  /** Another picture has another address. */
  url: string;
  width: number;
  height: number;
}

/** Longest upload, in bytes. */
export const PICTURE_BYTES_MAX = 256 * 1024;

/** What the server takes; it looks at the bytes itself. */
export const PICTURE_KINDS = ['image/png', 'image/webp', 'image/gif', 'image/jpeg'];

const at = (handle: string): string => `/api/v1/channels/${encodeURIComponent(handle)}/emotes`;

export const getEmotes = async (handle: string): Promise<Emote[]> => (await get<{ emotes: Emote[] }>(at(handle))).body.emotes;
export const uploadEmote = (handle: string, code: string, picture: Blob): Promise<Emote> =>
  upload(`${at(handle)}?code=${encodeURIComponent(code)}`, picture);
export const deleteEmote = (handle: string, code: string): Promise<void> => send('DELETE', `${at(handle)}/${encodeURIComponent(code)}`);
