import { describe, expect, it } from 'vitest';
import type { StreamProblem } from '../api';
import { LANGUAGES } from '../i18n/language';
import { explain, PROBLEM_CODES, type ProblemCode } from './problems';

const EXAMPLES: Record<ProblemCode, StreamProblem> = {
  publisher_gone: { code: 'publisher_gone' },
  key_revoked: { code: 'key_revoked' },
  no_picture: { code: 'no_picture' },
  pictures_in_webrtc_alone: { code: 'pictures_in_webrtc_alone', codec: 'vp8' },
  no_sound: { code: 'no_sound' },
  keyframes_far_apart: { code: 'keyframes_far_apart', interval_ms: 10_000 },
  few_frames: { code: 'few_frames', fps: 14.8 },
  few_bits: { code: 'few_bits', bitrate_bps: 812_345, wanted_bps: 1_244_160 },
  b_frames: { code: 'b_frames', could_transcode: false },
  transcoding_no_room: { code: 'transcoding_no_room' },
  transcoding_slow: { code: 'transcoding_slow' },
  transcoding_fails: { code: 'transcoding_fails' },
  frames_dropped: { code: 'frames_dropped', frames: 1_234 },
};

describe.each(LANGUAGES)('problems in %s', (language) => {
  it.each(PROBLEM_CODES)('%s is told with a remedy, and nothing is left open', (code) => {
    const { what, remedy } = explain(language, EXAMPLES[code]);
    for (const text of [what, remedy]) {
      expect(text).not.toBe('');
      expect(text).not.toMatch(/[{}]/);
    }
    expect(what).not.toBe(remedy);
    expect(remedy).toContain('OBS');
  });

  it('does not fall silent about a code that it does not know', () => {
    const { what, remedy } = explain(language, { code: 'clock_runs_backwards' });
    expect(what).toContain('clock_runs_backwards');
    expect(remedy).not.toMatch(/[{}]/);
  });
});

describe('problems', () => {
  it('name the figure and the setting', () => {
    expect(explain('en', EXAMPLES.keyframes_far_apart)).toEqual({
      grave: false,
      what: 'Keyframes every 10 s make viewers wait',
      remedy: 'In OBS: Settings → Output → Keyframe Interval → 2 s',
    });
    expect(explain('zh-CN', EXAMPLES.keyframes_far_apart).what).toBe('关键帧每10秒才有一个，观众进来要等');
    expect(explain('en', EXAMPLES.few_frames).what).toBe('14.8 frames a second look like stuttering');
    expect(explain('en', EXAMPLES.frames_dropped).what).toMatch(/^1,234 /);
  });

  it('ask for a bitrate that somebody would type', () => {
    const { what, remedy } = explain('en', EXAMPLES.few_bits);
    expect(what).toContain('812 kbit/s');
    expect(remedy).toContain('1500 Kbps');
  });

  it('are grave when there is no picture', () => {
    expect(PROBLEM_CODES.filter((code) => explain('en', EXAMPLES[code]).grave)).toEqual(['publisher_gone', 'key_revoked', 'no_picture', 'pictures_in_webrtc_alone']);
  });
});
