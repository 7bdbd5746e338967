//! Which of several stream keys is meant. Pure.

import type { StreamKey } from '../api/channel';

/** The one that was used last; among those never used, the newest, which the server lists first. */
export function likeliestKey(keys: readonly StreamKey[]): StreamKey | null {
  const used = (key: StreamKey): number => (key.last_used_at === null ? 0 : Date.parse(key.last_used_at));
  return keys.reduce<StreamKey | null>((best, key) => (best === null || used(key) > used(best) ? key : best), null);
}
