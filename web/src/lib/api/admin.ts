//! What the server tells its operators, and what they may do.

import { get, send, type Channel } from '../api';
import type { Role } from './account';

export interface User {
  id: string;
  handle: string;
  /** For people; may be empty. */
  name: string;
  email: string | null;
  role: Role;
  created_at: string;
  /** Why they may not sign in, if they may not. */
  disabled: string | null;
}

export interface ListedChannel {
  channel: Channel;
  live: boolean;
}

export interface RecoveryLink {
  link: string;
  expires_at: string;
}

export interface Dependency {
  name: string;
  kind: string;
  ok: boolean;
  answered_us: number | null;
  problem: string | null;
}

export interface Health {
  version: string;
  started_at: string;
  dependencies: Dependency[];
}

const ADMIN = '/api/v1/admin';

const asked = (search: string, after: string | null): string => {
  const query = new URLSearchParams();
  if (search !== '') query.set('search', search);
  if (after !== null) query.set('after', after);
  return query.size === 0 ? '' : `?${query}`;
};

export const getUsers = async (search: string, after: string | null, signal?: AbortSignal): Promise<User[]> =>
  (await get<User[]>(`${ADMIN}/users${asked(search, after)}`, signal)).body;
export const makeUser = (handle: string): Promise<User> => send('POST', `${ADMIN}/users`, { handle });
/** An empty `disabled` opens a closed account again. */
export const changeUser = (handle: string, change: { role?: Role; disabled?: string }): Promise<User> =>
  send('PATCH', `${ADMIN}/users/${encodeURIComponent(handle)}`, change);
export const issueRecovery = (handle: string): Promise<RecoveryLink> =>
  send('POST', `${ADMIN}/users/${encodeURIComponent(handle)}/recovery`);

export const getChannels = async (search: string, after: string | null, signal?: AbortSignal): Promise<ListedChannel[]> =>
  (await get<ListedChannel[]>(`${ADMIN}/channels${asked(search, after)}`, signal)).body;

export const getConfig = async (): Promise<unknown> => (await get<unknown>(`${ADMIN}/config`)).body;
export const getHealth = async (signal?: AbortSignal): Promise<Health> => (await get<Health>(`${ADMIN}/health`, signal)).body;
