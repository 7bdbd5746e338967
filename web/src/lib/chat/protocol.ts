//! What a room says and is told, as docs/protocol.md describes it. JSON here: browsers read it fastest.

import type { Wish } from '../gifts/pending';
import type { Wallet } from '../gifts/wallet';

export type Lane = 'control' | 'money' | 'chat' | 'ambient';

export interface Person {
  id: string;
  handle: string;
  name?: string;
  badges?: Badge[];
}

export type Badge = 'host' | 'moderator' | 'operator';

export type Mode = 'scroll' | 'top' | 'bottom' | 'reverse';
export type Size = 'small' | 'normal' | 'large';

/** A place on a lane: which life of it, and the next item. */
export interface At {
  e: number;
  p: number;
}

interface Placed {
  l: Lane;
  p: number;
  at: number;
}

export interface Danmaku extends Placed {
  t: 'danmaku';
  by: Person;
  text: string;
  mode: Mode;
  size: Size;
  colour: number;
  /** The broadcast, and the picture in microseconds of its media time. */
  b?: string;
  mt?: number;
  reply?: { p: number; handle: string; text: string };
  mentions?: string[];
  /** Where the pictures of its `:codes:` are. */
  emotes?: Record<string, string>;
}

/** How a danmaku looks. */
export type Look = Pick<Danmaku, 'mode' | 'size' | 'colour'>;

/** As the room sends it: what is missing is as most. */
export type SentDanmaku = Omit<Danmaku, keyof Look> & Partial<Look>;

export interface Broadcast {
  b: string;
  state: 'live' | 'waiting' | 'ended';
  zero_ms: number;
}

export interface Welcome {
  t: 'welcome';
  room: string;
  lanes: Record<Lane, At>;
  broadcast: Broadcast | null;
  server_ms: number;
  text_max: number;
  viewers: number;
  likes: number;
  chat_down_since_ms: number | null;
  gifting_down_since_ms?: number | null;
}

export type Tier = 1 | 2 | 3 | 4;
export const EFFECTS = ['float', 'burst', 'rain', 'rocket'] as const;
export type Effect = (typeof EFFECTS)[number];

export interface GiftKind {
  id: string;
  /** By language. */
  name: Record<string, string>;
  tier: Tier;
  effect: Effect;
  /** An emoji, drawn large. */
  glyph: string;
}

/** A gift that was given: it is in the ledger under `seq`. */
export interface GiftItem extends Placed {
  t: 'gift';
  seq: number;
  by: Person;
  gift: GiftKind;
  count: number;
  coins: number;
  /** How many of it this sender gave in this combo, with this one. */
  combo?: { id: string; n: number };
  text?: string;
  pinned_ms?: number;
  b?: string;
  mt?: number;
}

/** People of whom the room is told together: how many, and some of them. */
export interface Gathered {
  count: number;
  named: { handle: string; name?: string }[];
}

/** What was deleted, and by whom; those who keep order are told alone. */
export interface Removed {
  of: number;
  by: Gathered['named'][number];
  whose: Gathered['named'][number];
  text: string;
}

export type ErrorCode =
  | 'bad_message'
  | 'bad_token'
  | 'not_signed_in'
  | 'unfit'
  | 'too_fast'
  | 'not_there'
  | 'not_allowed'
  | 'unavailable';

/** Why a gift was not taken. */
export type GiveRefusal = ErrorCode | 'cannot_pay' | 'sold_out' | 'used';

export type Heard =
  | Welcome
  | SentDanmaku
  | (Placed & { t: 'deleted'; of: number })
  | (Placed & { t: 'broadcast' } & Broadcast)
  | (Placed & { t: 'clock'; b: string; zero_ms: number })
  /** With what was said and left out in the last second, where a room is so loud that not all of it is passed on. */
  | (Placed & { t: 'count'; viewers: number; likes: number; kept?: number; dropped?: number })
  /** The channel has others now. */
  | (Placed & { t: 'emotes' })
  | (Placed & { t: 'degraded'; chat_since_ms: number | null })
  | (Placed & { t: 'joined' } & Gathered)
  /** For the first time; `followers` is how many follow the channel now. */
  | (Placed & { t: 'followed'; followers: number } & Gathered)
  /** Passed the channel on. */
  | (Placed & { t: 'shared' } & Gathered)
  /** One that not everybody is given, since it is ours or calls us; moves no position. */
  | { t: 'yours'; item: SentDanmaku }
  | ({ t: 'removed'; l: 'mods'; p: number; at: number } & Removed)
  | { t: 'gap'; l: Lane | 'mods'; from: number; to: number; sampled?: boolean }
  /** `mods` is where that lane is, for who begins to hear it. */
  | { t: 'you'; person: Person | null; until_ms: number | null; mods?: At }
  | { t: 'ack'; id: number; p: number }
  | GiftItem
  /** The gift of this `seq` was taken back. */
  | (Placed & { t: 'taken_back'; of: number })
  | (Placed & { t: 'gifting'; down_since_ms: number | null })
  | { t: 'wallet'; wallet: Wallet }
  | { t: 'given'; id: number; seq: number; wallet: Wallet }
  | { t: 'error'; id?: number; code: GiveRefusal; message: string; retry_ms?: number };

export type Said =
  | { t: 'auth'; token: string; mods?: At }
  | { t: 'send'; id: number; text: string; mode?: Mode; size?: Size; colour?: number; mt?: number; reply?: number }
  | { t: 'delete'; id: number; of: number }
  | ({ t: 'give'; id: number; key: string } & Wish)
  | { t: 'like' }
  | { t: 'share' };

/** Names it in the handshake. */
export const SUBPROTOCOL = 'barrage.v1.json';
