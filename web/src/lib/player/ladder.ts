//! From which way of playing to which, when one fails: WebRTC, then LL-HLS; and with low delay over HTTP, WebSocket, then
//! HTTP, then LL-HLS. Pure.

export type FlvTransport = 'ws-flv' | 'http-flv';
export type Rung = 'webrtc' | FlvTransport | 'standard';

export type FlvFault =
  /** No connection, or one that brought something else. */
  | 'refused'
  /** The connection ended and the broadcast did not. */
  | 'lost'
  /** Nothing moves although it should. */
  | 'stalled'
  /** The browser refuses or cannot decode the media. */
  | 'media';

export type WebrtcFault =
  | FlvFault
  /** Datagrams do not get through. */
  | 'unreachable'
  /** WebRTC cannot carry these pictures as they are encoded. */
  | 'b_frames'
  /** The browser does not have the codec over WebRTC. */
  | 'codec'
  /** The latest keyframe is too long ago to begin with. */
  | 'keyframe_old'
  /** The server has no place left. */
  | 'full'
  /** The browser has no WebRTC. */
  | 'browser';

export type Fault =
  | WebrtcFault
  /** Nobody is live: the room will hear of it. */
  | 'over';

export interface Ladder {
  readonly rung: Rung;
  /** Since when this connection shows pictures. */
  readonly shownSince: number | null;
  /** The last connection was given up for its media. */
  readonly mended: boolean;
  /** Pictures were shown on this rung. */
  readonly worked: boolean;
  /** So many connections in a row were tried again on this rung. */
  readonly tries: number;
}

/** What the viewer is told. */
export type Descent =
  | { from: 'webrtc'; to: 'standard'; why: WebrtcFault }
  | { from: 'low'; to: 'http-flv' | 'standard'; why: FlvFault };

/** What follows a fault: another rung, of which the viewer is told, or the same after a pause. */
export type Step = { ladder: Ladder; descent: Descent } | { ladder: Ladder; descent: null; pause_ms: number };

/** The end of a connection that held this long says nothing against its transport; it is made anew. */
export const PROVEN_MS = 60_000;
/** What worked over WebRTC is asked for again after these pauses; in the first, the room hears whether the broadcast is over. */
const AGAIN_MS = [500, 1_500] as const;
/** The room's word that the broadcast is over, or goes on, comes within seconds. */
const OVER_MS = 1_000;

/** Another attempt would be answered alike. */
const DEFINITE: ReadonlySet<Fault> = new Set<Fault>(['b_frames', 'codec', 'browser']);

export function newLadder(rung: Rung): Ladder {
  return { rung, shownSince: null, mended: false, worked: false, tries: 0 };
}

export function onShown(ladder: Ladder, now: number): Ladder {
  return ladder.shownSince === null ? { ...ladder, shownSince: now, worked: true } : ladder;
}

export function onFault(ladder: Ladder, now: number, why: Fault): Step {
  if (ladder.rung === 'standard') return { ladder, descent: null, pause_ms: 0 };
  return ladder.rung === 'webrtc' ? onWebrtcFault(ladder, now, why) : onFlvFault(ladder, ladder.rung, now, why);
}

function onWebrtcFault(ladder: Ladder, now: number, why: Fault): Step {
  if (why === 'over') return { ladder: { ...ladder, shownSince: null }, descent: null, pause_ms: OVER_MS };
  const tries = isProven(ladder, now) ? 0 : ladder.tries;
  const pause_ms = AGAIN_MS[tries];
  if (ladder.worked && !DEFINITE.has(why) && pause_ms !== undefined) {
    return { ladder: { ...ladder, shownSince: null, tries: tries + 1 }, descent: null, pause_ms };
  }
  return { ladder: newLadder('standard'), descent: { from: 'webrtc', to: 'standard', why } };
}

function onFlvFault(ladder: Ladder, rung: FlvTransport, now: number, why: Fault): Step {
  const media = why === 'media';
  // A decoder starts well at the next connection's keyframe; other tracks than before want another one anyway.
  if (isProven(ladder, now) || (ladder.shownSince !== null && media && !ladder.mended)) {
    return { ladder: { ...newLadder(rung), mended: media }, descent: null, pause_ms: 0 };
  }
  const to = rung === 'ws-flv' ? 'http-flv' : 'standard';
  return { ladder: newLadder(to), descent: { from: 'low', to, why: isOfFlv(why) ? why : 'refused' } };
}

function isProven({ shownSince }: Ladder, now: number): boolean {
  return shownSince !== null && now - shownSince >= PROVEN_MS;
}

/** A connection for FLV has no other faults than these. */
function isOfFlv(why: Fault): why is FlvFault {
  return why === 'refused' || why === 'lost' || why === 'stalled' || why === 'media';
}
