//! What the server says of one's own account, and the ways to change it.

import { get, send, type Channel } from '../api';

export type Role = 'viewer' | 'streamer' | 'operator';

/** A channel that somebody moderates, or was asked to. */
export interface Post {
  channel: string;
  name: string;
  accepted: boolean;
}

export interface Me {
  id: string;
  handle: string;
  /** For people; may be empty. */
  name: string;
  email: string | null;
  role: Role;
  created_at: string;
  /** Handles of their channels. */
  channels: string[];
  moderates: Post[];
  may_make_channel: boolean;
}

/** What the server lets strangers do. */
export interface Entrance {
  sign_up: boolean;
  recovery_by_mail: boolean;
  password_min: number;
  /** Where publishers connect, if the server says. */
  rtmp_port?: number;
  /** The port of https, if that is on. */
  https_port?: number | null;
  /** Whether browsers can publish. */
  whip?: boolean;
  /** Whether channels may have their pictures made anew for viewers over WebRTC. */
  transcodes_pictures?: boolean;
}

export interface Session {
  id: string;
  current: boolean;
  agent: string;
  address: string;
  created_at: string;
  last_seen_at: string;
}

export type Scope = 'read' | 'channel' | 'chat' | 'gifts' | 'operator';

export interface Token {
  id: string;
  name: string;
  scopes: Scope[];
  created_at: string;
  expires_at: string | null;
  last_used_at: string | null;
}

export interface MadeToken {
  /** Shown this once. */
  secret: string;
  token: Token;
}

const ACCOUNT = '/api/v1/account';

export const getEntrance = async (): Promise<Entrance> => (await get<Entrance>('/api/v1/entrance')).body;
export const getMe = async (): Promise<Me> => (await get<Me>(ACCOUNT)).body;
export const getSessions = async (): Promise<Session[]> => (await get<Session[]>(`${ACCOUNT}/sessions`)).body;
export const getTokens = async (): Promise<Token[]> => (await get<Token[]>(`${ACCOUNT}/tokens`)).body;

export const signIn = (handle: string, password: string): Promise<Me> => send('POST', '/api/v1/session', { handle, password });
export const signOut = (): Promise<void> => send('DELETE', '/api/v1/session');
export const signUp = (account: { handle: string; password: string; name: string; email: string | null }): Promise<Me> =>
  send('POST', ACCOUNT, account);

export const changeAccount = (change: { handle?: string; name?: string; email?: string; current?: string }): Promise<Me> =>
  send('PATCH', ACCOUNT, change);
export const changePassword = (current: string, password: string): Promise<void> =>
  send('POST', `${ACCOUNT}/password`, { current, new: password });

export const mailRecovery = (email: string): Promise<void> => send('POST', '/api/v1/recoveries', { email });
export const recover = (secret: string, password: string): Promise<{ handle: string }> =>
  send('POST', '/api/v1/recoveries/use', { secret, password });

export const endSession = (id: string): Promise<void> => send('DELETE', `${ACCOUNT}/sessions/${id}`);
/** All but the one that asks. */
export const endOtherSessions = (): Promise<void> => send('DELETE', `${ACCOUNT}/sessions`);
export const makeToken = (token: { name: string; scopes: Scope[]; days?: number }): Promise<MadeToken> =>
  send('POST', `${ACCOUNT}/tokens`, token);
export const endToken = (id: string): Promise<void> => send('DELETE', `${ACCOUNT}/tokens/${id}`);

export const acceptPost = (channel: string): Promise<Me> => send('PUT', `${ACCOUNT}/moderates/${channel}`);
export const leavePost = (channel: string): Promise<Me> => send('DELETE', `${ACCOUNT}/moderates/${channel}`);

/** Without a handle and a name the channel takes its owner's. */
export const makeChannel = (channel: { handle?: string; name?: string } = {}): Promise<Channel> =>
  send('POST', '/api/v1/channels', channel);
