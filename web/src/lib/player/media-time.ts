//! Which picture of the broadcast an FLV player shows.

import type Mpegts from 'mpegts.js';

/** FLV counts milliseconds in so many; mpegts.js reads them with a sign. */
const ROUND_MS = 2 ** 32;

/** How the player of mpegts.js is made inside. It begins a stream's clock at zero, and of what it takes away only this tells. */
interface Inside {
  _player_engine?: { _transmuxer?: { _controller?: { _remuxer?: { getTimestampBase?(): number | undefined } } } };
}

/** In milliseconds, but for whole rounds; null as long as nothing has come. `shown_s` is where its element is. */
export function mediaTime(player: Mpegts.Player, shown_s: number): number | null {
  const { _player_engine: engine } = player as unknown as Inside;
  const base = engine?._transmuxer?._controller?._remuxer?.getTimestampBase?.();
  return base === undefined || !Number.isFinite(base) ? null : base + shown_s * 1000;
}

/** The time with these low bits that is the nearest to a guess. */
export function inRound(time_ms: number, guess_ms: number): number {
  return time_ms + Math.round((guess_ms - time_ms) / ROUND_MS) * ROUND_MS;
}
