//! Chooses what plays here. hls.js is fetched only when it is needed and can play, mpegts.js only when somebody wants it.

import { prepare } from '../webrtc/ready';
import { rememberedDelay, type Delay } from './delay';
import type { Engine, EngineEvents } from './engine';
import { NativeEngine } from './native-engine';
import { wasShut } from './shut';

/** What can be asked for before the stream says what it is. */
const H264 = 'avc1.42E01E';
const AAC = 'mp4a.40.2';

/** True when the browser has Media Source Extensions in any of their names. */
export function hasMediaSource(): boolean {
  return 'ManagedMediaSource' in globalThis || 'MediaSource' in globalThis;
}

/**
 * Whether low delay can be chosen. Not with `ManagedMediaSource` alone, which iPhones have: it asks for media when it
 * likes, and FLV comes when it comes.
 */
export function canPlayFlv(videoCodec: string | null): boolean {
  if (!('MediaSource' in globalThis && 'WebSocket' in globalThis)) return false;
  return MediaSource.isTypeSupported(`video/mp4; codecs="${videoCodec ?? H264}, ${AAC}"`);
}

/** Starts the download early, beside the room page's own code, and makes ready what takes a while to set up. */
export function preloadEngine(): void {
  const delay = rememberedDelay();
  const wanted: Promise<unknown>[] = [];
  if (delay === 'auto' && 'RTCPeerConnection' in globalThis) prepare();
  if (delay !== 'standard') wanted.push(import('./ladder-engine'));
  if (delay === 'low' && canPlayFlv(null)) wanted.push(import('./flv-engine'));
  else if ((delay === 'standard' || wasShut() || !('RTCPeerConnection' in globalThis)) && hasMediaSource()) wanted.push(import('./hls-engine'));
  void Promise.all(wanted).catch(() => undefined);
}

/** Null when nothing here can play the stream. */
export async function openEngine(delay: Delay, video: HTMLVideoElement, events: EngineEvents): Promise<Engine | null> {
  if (delay === 'standard') return openStandard(video, events);
  try {
    const { LadderEngine } = await import('./ladder-engine');
    return new LadderEngine(delay, video, events, openStandard);
  } catch {
    events.descended({ from: delay === 'low' ? 'low' : 'webrtc', to: 'standard', why: 'refused' });
    return openStandard(video, events);
  }
}

async function openStandard(video: HTMLVideoElement, events: EngineEvents): Promise<Engine | null> {
  if (hasMediaSource()) {
    const { HlsEngine } = await import('./hls-engine');
    if (HlsEngine.supported()) return new HlsEngine(video, events);
  }
  return NativeEngine.supported(video) ? new NativeEngine(video, events) : null;
}
