//! What a connection's statistics tell of the picture it brings. Pure.

import type { Seen } from '../webrtc/session';

export interface Reading {
  /** Our monotonic time, in milliseconds. */
  readonly at: number;
  /** Pictures decoded so far. */
  readonly frames: number;
  /** Packets so far, of pictures and of everything. */
  readonly picturePackets: number;
  readonly packets: number;
  /** Packets of pictures that came because they were asked for again. */
  readonly repaired: number;
  readonly fps: number | null;
  /** When the picture that is shown was taken, in Unix milliseconds by the sender's clock, if the browser tells. */
  readonly taken_ms: number | null;
  /** Seconds that pictures spent in the browser until they were decoded, all together. */
  readonly held_s: number;
  /** Half the time to the server and back. */
  readonly way_ms: number;
  /** How often the picture stood still, for how long all together, and pictures that were not shown. */
  readonly seen: Seen;
}

/** Sender reports count from 1900. */
const NTP_TO_UNIX_MS = 2_208_988_800_000;

/** What is read of a statistics object, whichever kind it is of. */
interface Told {
  type: string;
  kind?: string;
  framesDecoded?: number;
  framesPerSecond?: number;
  packetsReceived?: number;
  retransmittedPacketsReceived?: number;
  estimatedPlayoutTimestamp?: number;
  freezeCount?: number;
  totalFreezesDuration?: number;
  framesDropped?: number;
  jitterBufferDelay?: number;
  totalDecodeTime?: number;
  state?: string;
  nominated?: boolean;
  currentRoundTripTime?: number;
}

export function readingOf(at: number, report: Iterable<object>): Reading {
  const reading = { at, frames: 0, picturePackets: 0, packets: 0, repaired: 0, fps: null as number | null, taken_ms: null as number | null, held_s: 0, way_ms: 0, seen: { freezes: 0, frozen_ms: 0, dropped: 0 } };
  for (const one of report as Iterable<Told>) {
    if (one.type === 'candidate-pair' && one.state === 'succeeded' && one.nominated) {
      reading.way_ms = (one.currentRoundTripTime ?? 0) * 500;
    }
    if (one.type !== 'inbound-rtp') continue;
    reading.packets += one.packetsReceived ?? 0;
    if (one.kind !== 'video') continue;
    reading.picturePackets = one.packetsReceived ?? 0;
    reading.repaired = one.retransmittedPacketsReceived ?? 0;
    reading.frames = one.framesDecoded ?? 0;
    reading.fps = one.framesPerSecond ?? null;
    reading.held_s = (one.jitterBufferDelay ?? 0) + (one.totalDecodeTime ?? 0);
    reading.seen = { freezes: one.freezeCount ?? 0, frozen_ms: Math.round((one.totalFreezesDuration ?? 0) * 1_000), dropped: one.framesDropped ?? 0 };
    const taken_ms = (one.estimatedPlayoutTimestamp ?? 0) - NTP_TO_UNIX_MS;
    reading.taken_ms = taken_ms > 0 ? taken_ms : null;
  }
  return reading;
}

/** How long the pictures between two readings took from their arrival until they were decoded, in milliseconds. */
export function heldFor(before: Reading, after: Reading): number | null {
  const frames = after.frames - before.frames;
  return frames > 0 ? ((after.held_s - before.held_s) / frames) * 1000 : null;
}

/**
 * How late the picture on the screen is. `taken` is how late the browser says it is, which counts until it is decoded;
 * `shown_ms` is how long pictures take from their arrival until they stand on the screen, `held_ms` until they are decoded.
 * Any of them may be unknown.
 */
export function delayOf(taken_ms: number | null, shown_ms: number | null, held_ms: number | null, way_ms: number): number | null {
  if (taken_ms !== null) return taken_ms + (shown_ms === null || held_ms === null ? 0 : Math.max(0, shown_ms - held_ms));
  const here_ms = shown_ms ?? held_ms;
  return here_ms === null ? null : here_ms + way_ms;
}
