//! Shares as operators type them, in per cent; counted in basis points, so that together they are exactly all of it. Pure.

import type { Message } from '../i18n/catalogue';

/** All of it. */
export const WHOLE_BP = 10_000;

/** "62.5" or "62,5" as 6250; null of anything that is no share. */
export function basisPoints(text: string): number | null {
  const [, whole, part = ''] = /^(\d{1,3})(?:[.,](\d{1,2}))?$/.exec(text.trim()) ?? [];
  if (whole === undefined) return null;
  const points = Number(whole) * 100 + Number(part.padEnd(2, '0'));
  return points <= WHOLE_BP ? points : null;
}

/** As it is typed: "62.5". */
export function perCent(points: number): string {
  return String(points / 100);
}

export function checkShare(text: string): Message | null {
  return basisPoints(text) === null ? { key: 'contracts.share_wrong' } : null;
}

/** What is left for the platform: less than nothing where the others have too much, null where one is no share. */
export function restOf(streamer: string, agency: string): number | null {
  const [first, second] = [basisPoints(streamer), basisPoints(agency)];
  return first === null || second === null ? null : WHOLE_BP - first - second;
}
