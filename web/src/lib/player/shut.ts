//! That WebRTC did not get through to this server when it was last tried, remembered between visits: the next one begins with
//! LL-HLS instead of waiting in vain, and finds out beside it whether that still holds.

import { forget, remember, remembered } from '../settings';

/** Networks change, and so does what they let through. */
export const SHUT_MS = 24 * 3_600_000;

/** Whether `text`, which was remembered, says so at `now`, both in Unix milliseconds. */
export function isShut(text: string | null, now: number): boolean {
  const since = text ? Number(text) : Number.NaN;
  return since <= now && now - since < SHUT_MS;
}

export function wasShut(): boolean {
  return isShut(remembered('webrtc_shut'), Date.now());
}

export function rememberShut(): void {
  remember('webrtc_shut', String(Date.now()));
}

export function forgetShut(): void {
  forget('webrtc_shut');
}
