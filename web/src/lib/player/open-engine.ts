//! Chooses what plays here. hls.js is fetched only when it can play.

import type { Engine, EngineEvents } from './engine';
import { NativeEngine } from './native-engine';

/** True when the browser has Media Source Extensions in any of their names. */
export function hasMediaSource(): boolean {
  return 'ManagedMediaSource' in globalThis || 'MediaSource' in globalThis;
}

/** Starts the download early, beside the room page's own code. */
export function preloadEngine(): void {
  if (hasMediaSource()) void import('./hls-engine').catch(() => undefined);
}

/** Null when nothing here can play HLS. */
export async function openEngine(video: HTMLVideoElement, events: EngineEvents): Promise<Engine | null> {
  if (hasMediaSource()) {
    const { HlsEngine } = await import('./hls-engine');
    if (HlsEngine.supported()) return new HlsEngine(video, events);
  }
  return NativeEngine.supported(video) ? new NativeEngine(video, events) : null;
}
