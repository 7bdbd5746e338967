//! From which way of playing to which, when low delay fails: WebSocket, HTTP, then LL-HLS. Pure.

export type FlvTransport = 'ws-flv' | 'http-flv';
export type Rung = FlvTransport | 'standard';

export type FlvFault =
  /** No connection, or one that brought no FLV. */
  | 'refused'
  /** The connection ended and the broadcast did not. */
  | 'lost'
  /** Nothing moves although it should. */
  | 'stalled'
  /** The browser refuses or cannot decode the media. */
  | 'media';

export interface Ladder {
  readonly rung: Rung;
  /** Since when this connection shows pictures. */
  readonly shownSince: number | null;
  /** The last connection was given up for its media. */
  readonly mended: boolean;
}

/** What the viewer is told. */
export interface Descent {
  to: Exclude<Rung, 'ws-flv'>;
  why: FlvFault;
}

/** The end of a connection that held this long says nothing against its transport; it is made anew. */
export const PROVEN_MS = 60_000;

const BELOW = { 'ws-flv': 'http-flv', 'http-flv': 'standard' } as const;

export function newLadder(): Ladder {
  return { rung: 'ws-flv', shownSince: null, mended: false };
}

export function onShown(ladder: Ladder, now: number): Ladder {
  return ladder.shownSince === null ? { ...ladder, shownSince: now } : ladder;
}

/** Null when the same is tried again. */
export function onFault(ladder: Ladder, now: number, why: FlvFault): [Ladder, Descent | null] {
  if (ladder.rung === 'standard') return [ladder, null];
  const media = why === 'media';
  if (ladder.shownSince !== null) {
    const proven = now - ladder.shownSince >= PROVEN_MS;
    // A decoder starts well at the next connection's keyframe; other tracks than before want another one anyway.
    if (proven || (media && !ladder.mended)) return [{ rung: ladder.rung, shownSince: null, mended: media }, null];
  }
  const to = BELOW[ladder.rung];
  return [{ rung: to, shownSince: null, mended: false }, { to, why }];
}
