//! What the room page shows and does: a pure state machine. It knows no clock, no socket and no video element;
//! `now` is passed in, effects are returned. The shell is `Room.svelte`.

import type { Source } from '../player/engine';

export interface Live {
  broadcastId: string;
  /** The publisher has vanished and may come back within the grace time. */
  waiting: boolean;
  hasAudio: boolean;
  source: Source;
}

/** What the video element does, as the player reports it. */
export type Media = 'idle' | 'loading' | 'playing' | 'paused' | 'stalled' | 'ended';

export type Failure = 'network' | 'decode' | 'unsupported';

export type Input =
  | { type: 'channel'; live: Live | null }
  | { type: 'channel-missing' }
  | { type: 'api-failed' }
  | { type: 'media'; media: Media }
  /** The connection broke off: of the network, or because the broadcast is over. */
  | { type: 'lost' }
  /** The manifest was read; `hasAudio` is null when it does not say. */
  | { type: 'manifest'; hasAudio: boolean | null }
  | { type: 'failed'; failure: Failure }
  | { type: 'timeout' };

export type Effect =
  | { type: 'load'; source: Source }
  | { type: 'unload' }
  /** Ask the API now: what we see does not fit what it said last. */
  | { type: 'ask' };

export interface Room {
  readonly api: 'unknown' | 'ok' | 'missing' | 'failing';
  readonly apiFailingSince: number | null;
  readonly everAnswered: boolean;
  readonly live: Live | null;
  readonly loaded: { readonly broadcastId: string; readonly hasAudio: boolean | null } | null;
  /** The broadcast whose source was loaded again because audio appeared; once is enough. */
  readonly audioReloadOf: string | null;
  readonly media: Media;
  /** A picture of the loaded broadcast has been seen, so there is something to keep on the stage. */
  readonly pictured: boolean;
  readonly failure: Failure | null;
  /** The broadcast is over, but its last seconds still play until this time. */
  readonly leavingUntil: number | null;
}

export type View =
  | { state: 'loading' | 'playing' | 'buffering' | 'waiting' | 'offline' | 'not-found' }
  | { state: 'error'; error: Failure | 'api' };

/** How long the last buffered seconds may play after the broadcast has ended. */
export const LEAVING_MS = 10_000;
/** A room known to be offline says so for this long while the API fails; then it says that it cannot tell. */
export const API_SILENCE_MS = 10_000;
/** A picture that stands still while the API fails for this long is not buffering: there is no server. */
export const STILL_SILENCE_MS = 4_000;

export function newRoom(): Room {
  return {
    api: 'unknown',
    apiFailingSince: null,
    everAnswered: false,
    live: null,
    loaded: null,
    audioReloadOf: null,
    media: 'idle',
    pictured: false,
    failure: null,
    leavingUntil: null,
  };
}

export function step(room: Room, now: number, input: Input): [Room, Effect[]] {
  switch (input.type) {
    case 'channel':
      return input.live ? onLive(room, input.live) : onNotLive(room, now);
    case 'channel-missing':
      return [
        { ...newRoom(), api: 'missing' },
        room.loaded ? [{ type: 'unload' }] : [],
      ];
    case 'api-failed':
      return [{ ...room, api: 'failing', apiFailingSince: room.apiFailingSince ?? now }, []];
    case 'media':
      return onMedia(room, input.media);
    case 'lost':
      return onLost(room);
    case 'manifest':
      return onManifest(room, input.hasAudio);
    case 'failed':
      return room.loaded ? [{ ...room, failure: input.failure }, [{ type: 'ask' }]] : [room, []];
    case 'timeout':
      return room.leavingUntil !== null && now >= room.leavingUntil ? leave(room) : [room, []];
  }
}

export function view(room: Room, now: number): View {
  if (room.api === 'missing') return { state: 'not-found' };
  const silence = room.api === 'failing' ? now - (room.apiFailingSince ?? now) : 0;
  if (!room.loaded) {
    if (room.api === 'unknown') return { state: 'loading' };
    if (room.api === 'failing' && (!room.everAnswered || silence >= API_SILENCE_MS)) return { state: 'error', error: 'api' };
    return { state: 'offline' };
  }
  if (room.media === 'playing') return { state: 'playing' };
  if (room.failure === 'unsupported') return { state: 'error', error: 'unsupported' };
  if (room.media !== 'paused' && silence >= STILL_SILENCE_MS) return { state: 'error', error: 'api' };
  if (room.live?.waiting) return { state: 'waiting' };
  if (room.failure) return { state: 'error', error: room.failure };
  if (room.media === 'paused') return { state: 'playing' };
  return { state: room.pictured ? 'buffering' : 'loading' };
}

function onLive(room: Room, live: Live): [Room, Effect[]] {
  const known: Room = { ...room, api: 'ok', apiFailingSince: null, everAnswered: true, live, leavingUntil: null };
  if (room.loaded?.broadcastId !== live.broadcastId) return load(known, live);
  if (live.hasAudio && room.loaded.hasAudio === false && room.audioReloadOf !== live.broadcastId) {
    return load({ ...known, audioReloadOf: live.broadcastId }, live);
  }
  return [known, []];
}

function onNotLive(room: Room, now: number): [Room, Effect[]] {
  const known: Room = { ...room, api: 'ok', apiFailingSince: null, everAnswered: true, live: null };
  if (!room.loaded) return [known, []];
  if (room.media !== 'playing') return leave(known);
  return [{ ...known, leavingUntil: room.leavingUntil ?? now + LEAVING_MS }, []];
}

function onMedia(room: Room, media: Media): [Room, Effect[]] {
  if (!room.loaded || room.media === media) return [room, []];
  const next: Room = { ...room, media };
  if (media === 'playing') return [{ ...next, pictured: true, failure: null }, []];
  if (room.leavingUntil !== null) return leave(next);
  const surprising = media === 'stalled' || media === 'ended';
  return [next, surprising && !room.live?.waiting ? [{ type: 'ask' }] : []];
}

/** Asked also where the picture stood still before: it may have, because the broadcast was ending. */
function onLost(room: Room): [Room, Effect[]] {
  if (!room.loaded) return [room, []];
  if (room.leavingUntil !== null) return leave(room);
  return [{ ...room, media: 'stalled' }, [{ type: 'ask' }]];
}

function onManifest(room: Room, hasAudio: boolean | null): [Room, Effect[]] {
  if (!room.loaded) return [room, []];
  const next: Room = { ...room, loaded: { ...room.loaded, hasAudio } };
  return next.live ? onLive(next, next.live) : [next, []];
}

function load(room: Room, live: Live): [Room, Effect[]] {
  return [
    {
      ...room,
      loaded: { broadcastId: live.broadcastId, hasAudio: null },
      media: 'loading',
      pictured: room.loaded?.broadcastId === live.broadcastId && room.pictured,
      failure: null,
    },
    [{ type: 'load', source: live.source }],
  ];
}

function leave(room: Room): [Room, Effect[]] {
  return [
    { ...room, live: null, loaded: null, media: 'idle', pictured: false, failure: null, leavingUntil: null },
    [{ type: 'unload' }],
  ];
}
