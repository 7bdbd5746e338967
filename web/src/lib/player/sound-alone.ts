//! Where a way of playing carries the sound of a stream and not its pictures: what shows them instead. Pure.

import type { Delay } from './delay';
import type { Stats } from './engine';

/** The ways that have sound alone, as the API names them. */
export type SoundAlone = readonly ('hls' | 'flv')[];

/** Whether `protocol` is among them. */
export function hasSoundAlone(protocol: Stats['protocol'], alone: SoundAlone): boolean {
  switch (protocol) {
    case 'webrtc':
      return false;
    case 'll-hls':
    case 'hls':
      return alone.includes('hls');
    case 'ws-flv':
    case 'http-flv':
      return alone.includes('flv');
  }
}

/** What to choose for the pictures: the nearest to live of what can be chosen; null if nothing has them here. */
export function withPictures(delays: readonly Delay[], alone: SoundAlone): Delay | null {
  if (delays.includes('auto')) return 'auto';
  return alone.includes('hls') ? null : 'standard';
}

/** How people call a codec that stands in RFC 6381's form, or in the API's. */
export function codecName(codec: string): string {
  const known: [RegExp, string][] = [
    [/^vp0?8/i, 'VP8'],
    [/^vp0?9/i, 'VP9'],
    [/^av0?1/i, 'AV1'],
    [/^avc/i, 'H.264'],
  ];
  return known.find(([form]) => form.test(codec))?.[1] ?? codec;
}
