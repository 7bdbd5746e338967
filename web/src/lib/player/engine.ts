//! What the room needs from whatever plays the stream: `whep-engine.ts` (WebRTC), `hls-engine.ts` (Media Source
//! Extensions), `native-engine.ts` (iPhones without them), `flv-engine.ts`, and `ladder-engine.ts` over all of them.

import type { Picture } from '../format';
import type { Failure } from '../room/core';
import type { Descent, FlvTransport } from './ladder';

/** Where a broadcast is played from. */
export interface Source {
  hls: string;
  flv: string;
  /** Only while the server has WebRTC. */
  whep?: string;
}

export interface Engine {
  load(source: Source): void;
  unload(): void;
  destroy(): void;
  goLive(): void;
  /** Called every `TICK_MS` while a source is loaded. */
  tick(now: number, context: Context): Stats;
  /** The media time of the picture that is shown, in milliseconds, where the stream itself tells it; null if not now. */
  mediaTime?(): number | null;
  /** Whether the picture goes on, where the element's own clock does not tell; null where it does. */
  comes?(): boolean | null;
}

export interface Context {
  /** Unix milliseconds by the server's clock. */
  serverNow: number | null;
  /** The API says that pictures are coming, so a standstill is a fault. */
  expecting: boolean;
  /** The viewer stays at live. */
  following: boolean;
  /** The playhead moved since the last tick. */
  moving: boolean;
}

export interface Stats {
  protocol: 'webrtc' | 'll-hls' | 'hls' | FlvTransport;
  delay_ms: number | null;
  /** How much of the delay is more than the stream itself asks for. */
  late_ms: number;
  picture: Picture | null;
}

export interface EngineEvents {
  manifest(hasAudio: boolean | null): void;
  failed(failure: Failure): void;
  /** The picture is about to vanish from the element; keep it if it is of use. */
  detaching(): void;
  /** A source stands ready; playback may be asked for. */
  attached(): void;
  /** A way of playing failed here and another takes over. */
  descended(descent: Descent): void;
  /** Why a better way of playing does not go, while this one plays on. */
  told(descent: Descent): void;
  /** A better way of playing works after all, and takes over. */
  climbed(): void;
  /** The connection is made anew; nothing plays meanwhile. */
  again(): void;
}

/** What plays at live and nowhere else: after a pause it goes on there. */
export function isLiveOnly(protocol: Stats['protocol']): boolean {
  return protocol === 'webrtc' || protocol === 'ws-flv' || protocol === 'http-flv';
}

export const TICK_MS = 250;

/** A delay beyond this is a wrong date in the playlist, not a delay. */
const DELAY_CREDIBLE_MS = 6 * 3_600_000;

export function credibleDelay(serverNow: number | null, playing: number | null): number | null {
  if (serverNow === null || playing === null) return null;
  const delay = serverNow - playing;
  return delay > -500 && delay < DELAY_CREDIBLE_MS ? Math.max(0, delay) : null;
}
