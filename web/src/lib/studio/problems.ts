//! What is the matter with a broadcast, in words: what viewers notice, and what to change in OBS. Pure.

import type { StreamProblem } from '../api';
import { translate, type MessageKey, type Params } from '../i18n/catalogue';
import type { Language } from '../i18n/language';
import { kbps, seconds, wholeCount } from './figures';

export type ProblemCode = StreamProblem['code'];

/** Every code there is, in the order in which the server tells them. */
export const PROBLEM_CODES = [
  'publisher_gone',
  'key_revoked',
  'no_picture',
  'pictures_in_webrtc_alone',
  'no_sound',
  'keyframes_far_apart',
  'few_frames',
  'few_bits',
  'b_frames',
  'transcoding_no_room',
  'transcoding_slow',
  'transcoding_fails',
  'frames_dropped',
] as const satisfies readonly ProblemCode[];

/** Without these nobody sees anything. */
const GRAVE: readonly ProblemCode[] = ['publisher_gone', 'key_revoked', 'no_picture', 'pictures_in_webrtc_alone'];

export interface Explained {
  /** Viewers have no picture at all. */
  grave: boolean;
  what: string;
  remedy: string;
}

/** A server newer than this page may name a problem that the page does not know. */
export function explain(language: Language, problem: StreamProblem | { code: string }): Explained {
  const say = (key: MessageKey, params: Params = {}): string => translate(language, key, params);
  if (!isKnown(problem)) {
    return { grave: false, what: say('problem.unknown.what', { code: problem.code }), remedy: say('problem.unknown.remedy') };
  }
  const params = paramsOf(language, problem);
  return {
    grave: GRAVE.includes(problem.code),
    what: say(`problem.${problem.code}.what`, params),
    remedy: say(remedyOf(problem), params),
  };
}

function remedyOf(problem: StreamProblem): MessageKey {
  return problem.code === 'b_frames' && problem.could_transcode ? 'problem.b_frames.remedy_or' : `problem.${problem.code}.remedy`;
}

function isKnown(problem: { code: string }): problem is StreamProblem {
  return (PROBLEM_CODES as readonly string[]).includes(problem.code);
}

function paramsOf(language: Language, problem: StreamProblem): Params {
  switch (problem.code) {
    case 'keyframes_far_apart':
      return { interval: seconds(language, problem.interval_ms) };
    case 'few_frames':
      return { fps: new Intl.NumberFormat(language, { maximumFractionDigits: 1 }).format(problem.fps) };
    case 'few_bits':
      return { bitrate: kbps(language, problem.bitrate_bps), wanted: kbps(language, roundUp(problem.wanted_bps)) };
    case 'frames_dropped':
      return { frames: wholeCount(language, problem.frames) };
    case 'pictures_in_webrtc_alone':
      return { codec: problem.codec.toUpperCase() };
    case 'publisher_gone':
    case 'key_revoked':
    case 'no_picture':
    case 'no_sound':
    case 'b_frames':
    case 'transcoding_no_room':
    case 'transcoding_slow':
    case 'transcoding_fails':
      return {};
  }
}

/** A number that somebody would type: whole steps of 500 kbit/s. */
function roundUp(bps: number): number {
  return Math.ceil(bps / 500_000) * 500_000;
}
