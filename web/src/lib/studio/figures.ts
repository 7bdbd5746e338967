//! The health of a broadcast as figures. Pure.

import type { Stream } from '../api';
import { translate, type MessageKey } from '../i18n/catalogue';
import type { Language } from '../i18n/language';
import type { ProblemCode } from './problems';

export type FigureName = 'bitrate' | 'fps' | 'keyframes' | 'dropped' | 'viewers' | 'uptime' | 'picture';

export interface Figure {
  name: FigureName;
  value: string;
  /** What stands smaller behind the value: a unit, a codec. */
  unit: string;
  /** The broadcast has a problem with this. */
  troubled: boolean;
}

/** Stands for what is not known yet. */
const UNKNOWN = '–';

const TROUBLES: Partial<Record<FigureName, ProblemCode>> = {
  bitrate: 'few_bits',
  fps: 'few_frames',
  keyframes: 'keyframes_far_apart',
  dropped: 'frames_dropped',
  picture: 'no_picture',
};

const CODECS: readonly [prefix: string, name: string][] = [
  ['avc', 'H.264'],
  ['hvc', 'H.265'],
  ['hev', 'H.265'],
  ['av01', 'AV1'],
  ['vp09', 'VP9'],
  ['mp4a', 'AAC'],
  ['opus', 'Opus'],
];

/** `stream` is null while nothing is live: the same figures, without a value. */
export function figures(language: Language, stream: Stream | null, serverNow: number): Figure[] {
  const codes = new Set<string>(stream?.problems.map((problem) => problem.code));
  const figure = (name: FigureName, value: string | null, unit: string): Figure => {
    const trouble = TROUBLES[name];
    return { name, value: value ?? UNKNOWN, unit: value === null ? '' : unit, troubled: trouble !== undefined && codes.has(trouble) };
  };
  const say = (key: MessageKey): string => translate(language, key, {});
  const video = stream?.video ?? null;
  const bitrate = stream ? (video?.bitrate_bps ?? 0) + (stream.audio?.bitrate_bps ?? 0) : 0;
  const interval = video?.keyframe_interval_ms ?? 0;
  return [
    figure('bitrate', bitrate > 0 ? mbps(language, bitrate) : null, 'Mbit/s'),
    figure('fps', video && video.fps > 0 ? wholeCount(language, Math.round(video.fps)) : null, say('figure.fps.unit')),
    figure('keyframes', interval > 0 ? seconds(language, interval) : null, say('figure.keyframes.unit')),
    figure('dropped', stream ? wholeCount(language, stream.dropped_frames) : null, ''),
    figure('viewers', stream ? wholeCount(language, stream.viewers.total) : null, say('figure.viewers.unit')),
    figure('uptime', stream ? stopwatch(serverNow - Date.parse(stream.started_at)) : null, ''),
    figure('picture', video ? `${video.width} × ${video.height}` : null, video ? codecName(video.codec) : ''),
  ];
}

export function codecName(codec: string): string {
  return CODECS.find(([prefix]) => codec.toLowerCase().startsWith(prefix))?.[1] ?? codec;
}

/** "1:05:09", and "5:09" within the first hour. */
export function stopwatch(ms: number): string {
  const total = Math.max(0, Math.floor(ms / 1000));
  const [hours, minutes] = [Math.floor(total / 3600), Math.floor(total / 60) % 60];
  const tail = String(total % 60).padStart(2, '0');
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, '0')}:${tail}` : `${minutes}:${tail}`;
}

/** "6.2": megabits a second. */
export function mbps(language: Language, bps: number): string {
  const number = bps / 1_000_000;
  const digits = number < 0.1 ? 2 : 1;
  return new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(number);
}

/** "2500": kilobits a second, as it is typed into an encoder. */
export function kbps(language: Language, bps: number): string {
  return new Intl.NumberFormat(language, { maximumFractionDigits: 0, useGrouping: false }).format(bps / 1000);
}

/** "2" or "2.1". */
export function seconds(language: Language, ms: number): string {
  return new Intl.NumberFormat(language, { maximumFractionDigits: 1 }).format(ms / 1000);
}

export function wholeCount(language: Language, count: number): string {
  return new Intl.NumberFormat(language, { maximumFractionDigits: 0 }).format(count);
}
