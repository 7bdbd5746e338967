//! What makes a danmaku stand out for one viewer. Pure.

import type { Danmaku, Person } from './protocol';

/** It is theirs, or it calls them by name or answers them. */
export type Mark = 'own' | 'called' | null;

export function markOf({ by, mentions, reply }: Pick<Danmaku, 'by' | 'mentions' | 'reply'>, me: Person | null): Mark {
  if (me === null) return null;
  if (by.id === me.id) return 'own';
  return reply?.handle === me.handle || mentions?.includes(me.handle) ? 'called' : null;
}
