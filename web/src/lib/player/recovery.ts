//! What to do about a fatal player error, so that playback goes on without a click. Pure.

import { backoffDelay, type Backoff } from '../backoff';
import type { Failure } from '../room/core';

export type Fault =
  /** A playlist or segment cannot be loaded. */
  | 'network'
  /** The manifest itself cannot be loaded or read. */
  | 'manifest'
  /** A playlist has no whole segment yet: the broadcast has just begun. */
  | 'empty'
  /** The browser refuses or cannot decode the media. */
  | 'media'
  /** Nothing moves although it should. */
  | 'stuck';

export type Remedy = 'start-load' | 'recover-media' | 'rebuild';

export interface Recovery {
  readonly attempts: number;
  readonly mediaAttempts: number;
  readonly since: number | null;
}

/** After this long without a picture the viewer is told; trying goes on. */
export const TELL_AFTER_MS = 8_000;

const BACKOFF: Backoff = { base_ms: 400, max_ms: 5_000, factor: 1.6, jitter: 0.2 };
/** `startLoad` alone is tried this often before everything is built anew. */
const START_LOADS = 3;
/** A broadcast that has just begun has its first segment any moment. */
const EMPTY_DELAY_MS = 400;

export function newRecovery(): Recovery {
  return { attempts: 0, mediaAttempts: 0, since: null };
}

export function onFault(
  recovery: Recovery,
  now: number,
  fault: Fault,
  random: number,
): { recovery: Recovery; remedy: Remedy; delay_ms: number; tell: Failure | null } {
  const attempts = recovery.attempts + 1;
  const mediaAttempts = recovery.mediaAttempts + (fault === 'media' ? 1 : 0);
  const since = recovery.since ?? now;
  const failure: Failure = fault === 'media' ? 'decode' : 'network';
  return {
    recovery: { attempts, mediaAttempts, since },
    remedy: remedyFor(fault, attempts, mediaAttempts),
    delay_ms: delayFor(fault, attempts, mediaAttempts, random),
    tell: now - since >= TELL_AFTER_MS ? failure : null,
  };
}

function delayFor(fault: Fault, attempts: number, mediaAttempts: number, random: number): number {
  if (fault === 'empty') return EMPTY_DELAY_MS;
  if (fault === 'media' && mediaAttempts === 1) return 0;
  return backoffDelay(BACKOFF, attempts, random);
}

function remedyFor(fault: Fault, attempts: number, mediaAttempts: number): Remedy {
  switch (fault) {
    case 'manifest':
    case 'empty':
    case 'stuck':
      return 'rebuild';
    case 'network':
      return attempts <= START_LOADS ? 'start-load' : 'rebuild';
    case 'media':
      return mediaAttempts === 1 ? 'recover-media' : 'rebuild';
  }
}
