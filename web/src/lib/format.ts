//! Numbers and times in the reader's language. Pure: language and now are passed in.

import type { Language } from './i18n/language';
import { translate, type MessageKey } from './i18n/catalogue';

export function compactCount(language: Language, count: number): string {
  return new Intl.NumberFormat(language, { notation: 'compact', maximumFractionDigits: 1 }).format(count);
}

/** How long something has lasted, in its two largest units: "1 h 5 min". */
export function duration(language: Language, ms: number): string {
  const minutes = Math.floor(Math.max(0, ms) / 60_000);
  const hours = Math.floor(minutes / 60);
  const days = Math.floor(hours / 24);
  const say = (key: MessageKey, params: Record<string, string>): string => translate(language, key, params);
  if (minutes < 1) return say('duration.under_a_minute', {});
  if (hours < 1) return say('duration.minutes', { minutes: String(minutes) });
  if (days < 1) {
    return minutes % 60 === 0
      ? say('duration.hours', { hours: String(hours) })
      : say('duration.hours_minutes', { hours: String(hours), minutes: String(minutes % 60) });
  }
  return hours % 24 === 0
    ? say('duration.days', { days: String(days) })
    : say('duration.days_hours', { days: String(days), hours: String(hours % 24) });
}

/** Delay behind live in seconds: one decimal below ten, none above; minutes from 100 s on. */
export function delay(language: Language, ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds >= 100) return duration(language, ms);
  const digits = seconds < 9.95 ? 1 : 0;
  const number = new Intl.NumberFormat(language, {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(seconds);
  return translate(language, 'duration.seconds', { seconds: number });
}

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ['year', 31_536_000_000],
  ['month', 2_592_000_000],
  ['week', 604_800_000],
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
];

/** "3 hours ago". */
export function ago(language: Language, then: number, now: number): string {
  const format = new Intl.RelativeTimeFormat(language, { numeric: 'auto' });
  const elapsed = Math.max(0, now - then);
  for (const [unit, ms] of STEPS) {
    if (elapsed >= ms) return format.format(-Math.floor(elapsed / ms), unit);
  }
  return translate(language, 'time.just_now', {});
}

/** The date in the reader's zone. */
export function dateTime(language: Language, then: number, timeZone?: string): string {
  return new Intl.DateTimeFormat(language, {
    dateStyle: 'medium',
    timeStyle: 'short',
    ...(timeZone === undefined ? {} : { timeZone }),
  }).format(then);
}

/** The day alone, in the reader's zone. */
/** Hours and minutes, as in 21:05. */
export function clockTime(language: Language, then: number, timeZone?: string): string {
  return new Intl.DateTimeFormat(language, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23', ...(timeZone ? { timeZone } : {}) }).format(then);
}

export function date(language: Language, then: number, timeZone?: string): string {
  return new Intl.DateTimeFormat(language, {
    dateStyle: 'medium',
    ...(timeZone === undefined ? {} : { timeZone }),
  }).format(then);
}

export interface Picture {
  width: number;
  height: number;
  fps: number | null;
}

/** "720p60": the shorter side names it, whichever way the picture stands. */
export function quality(picture: Picture): string | null {
  const lines = Math.min(picture.width, picture.height);
  if (!(lines > 0)) return null;
  const fps = picture.fps !== null && picture.fps > 0 ? String(Math.round(picture.fps)) : '';
  return `${lines}p${fps}`;
}

/** First letter or character of a name, for a tile without a picture. */
export function initial(name: string): string {
  const [first] = name.trim();
  return (first ?? '·').toLocaleUpperCase();
}

/** The quiet colour of a channel without a picture, as a hue in degrees. */
export function hue(handle: string): number {
  return [...handle].reduce((sum, char) => (sum * 31 + char.charCodeAt(0)) % 360, 7);
}
