//! What the server tells the owner of a channel, and the ways to change it.

import { get, send, type Channel, type SecondPublisher } from '../api';

/** What is left out stays. */
export interface ChannelChange {
  handle?: string;
  name?: string;
  title?: string;
  category?: string;
  tags?: string[];
  language?: string;
  second_publisher?: SecondPublisher;
  transcodes?: boolean;
}

/** A stream key, without the key. */
export interface StreamKey {
  id: string;
  name: string;
  created_at: string;
  last_used_at: string | null;
}

export interface ShownKey {
  secret: string;
  key: StreamKey;
}

export interface Moderator {
  handle: string;
  /** For people; may be empty. */
  name: string;
  invited_at: string;
  accepted: boolean;
}

export interface PastBroadcast {
  id: string;
  title: string;
  category: string;
  started_at: string;
  ended_at: string | null;
  /** Why somebody ended it from outside. */
  /** Null while it goes on. */
  ended_how: string | null;
  /** In the words of whoever stopped it. */
  end_reason: string | null;
}

/** Rows in one answer of everything that is asked for page by page. */
export const PAGE_ROWS = 50;

const at = (handle: string): string => `/api/v1/channels/${encodeURIComponent(handle)}`;
const key = (handle: string, id: string): string => `${at(handle)}/keys/${encodeURIComponent(id)}`;
const moderator = (handle: string, member: string): string => `${at(handle)}/moderators/${encodeURIComponent(member)}`;

/** How many follow a channel, and whether who asks does. */
export interface Following {
  followers: number;
  follows: boolean;
}

export const getFollowing = async (handle: string): Promise<Following> => (await get<Following>(`${at(handle)}/follow`)).body;
export const follow = (handle: string): Promise<void> => send('PUT', `${at(handle)}/follow`);
export const unfollow = (handle: string): Promise<void> => send('DELETE', `${at(handle)}/follow`);

export const changeChannel = (handle: string, change: ChannelChange): Promise<Channel> => send('PATCH', at(handle), change);

export const getKeys = async (handle: string): Promise<StreamKey[]> => (await get<StreamKey[]>(`${at(handle)}/keys`)).body;
export const showKey = async (handle: string, id: string): Promise<ShownKey> => (await get<ShownKey>(key(handle, id))).body;
export const makeKey = (handle: string, name: string): Promise<ShownKey> => send('POST', `${at(handle)}/keys`, { name });
export const rotateKey = (handle: string, id: string): Promise<ShownKey> => send('POST', `${key(handle, id)}/rotate`);
export const revokeKey = (handle: string, id: string): Promise<void> => send('DELETE', key(handle, id));

export const getModerators = async (handle: string): Promise<Moderator[]> =>
  (await get<Moderator[]>(`${at(handle)}/moderators`)).body;
export const inviteModerator = (handle: string, member: string): Promise<Moderator[]> => send('PUT', moderator(handle, member));
export const removeModerator = (handle: string, member: string): Promise<void> => send('DELETE', moderator(handle, member));

/** Newest first; those from before `before`. */
export async function getBroadcasts(handle: string, before: string | null): Promise<PastBroadcast[]> {
  const query = before === null ? '' : `?before=${encodeURIComponent(before)}`;
  return (await get<PastBroadcast[]>(`${at(handle)}/broadcasts${query}`)).body;
}

/** `reason` is told to the publisher, and kept. */
export const endBroadcast = (handle: string, reason: string): Promise<void> =>
  send('POST', `/api/v1/streams/${encodeURIComponent(handle)}/end`, { reason });
