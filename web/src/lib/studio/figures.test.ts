import { describe, expect, it } from 'vitest';
import type { Stream } from '../api';
import { codecName, figures, mbps, stopwatch, type FigureName } from './figures';

const STREAM: Stream = {
  broadcast_id: 'b',
  channel: { id: 'c', handle: 'stage', name: 'Stage', title: '', category: '', tags: [], language: '', second_publisher: 'refuse', transcodes: false },
  title: '',
  state: 'live',
  started_at: '2026-05-01T20:00:00Z',
  uptime_ms: 0,
  protocol: 'rtmp',
  video: { codec: 'avc1.64001f', width: 1280, height: 720, fps: 29.97, bitrate_bps: 6_000_000, keyframe_interval_ms: 10_000, frames: 9 },
  audio: { codec: 'mp4a.40.2', sample_rate: 48_000, channels: 2, bitrate_bps: 160_000, frames: 9 },
  dropped_frames: 3,
  viewers: { hls: 1_234, flv: 0, rtmp: 0, webrtc: 0, total: 1_234 },
  playback: { hls: '/hls/stage/index.m3u8', flv: '/live/stage.flv', whep_anew: false, sound_alone: [] },
  problems: [{ code: 'keyframes_far_apart', interval_ms: 10_000 }],
};
const NOW = Date.parse('2026-05-01T21:05:09Z');

describe('the figures of a broadcast', () => {
  const said = (stream: Stream | null): Record<string, string> =>
    Object.fromEntries(figures('en', stream, NOW).map(({ name, value, unit }) => [name, `${value} ${unit}`.trim()]));

  it('are said in units', () => {
    expect(said(STREAM)).toEqual({
      bitrate: '6.2 Mbit/s',
      fps: '30 fps',
      keyframes: '10 s',
      dropped: '3',
      viewers: '1,234 watching',
      picture: '1280 × 720 H.264',
      uptime: '1:05:09',
    } satisfies Record<FigureName, string>);
  });

  it('stay open while nothing is known', () => {
    expect(new Set(Object.values(said(null)))).toEqual(new Set(['–']));
    expect(said({ ...STREAM, video: null, audio: null })).toMatchObject({ bitrate: '–', fps: '–', picture: '–', viewers: '1,234 watching' });
  });

  it('are marked where there is a problem', () => {
    expect(figures('en', STREAM, NOW).filter((figure) => figure.troubled).map((figure) => figure.name)).toEqual(['keyframes']);
  });
});

describe('the words of figures', () => {
  it('count hours only where there are any', () => {
    expect(stopwatch(-5)).toBe('0:00');
    expect(stopwatch(309_999)).toBe('5:09');
    expect(stopwatch(27 * 3_600_000)).toBe('27:00:00');
  });

  it('tell little bitrates from none', () => {
    expect(mbps('en', 69_000)).toBe('0.07');
    expect(mbps('zh-CN', 12_340_000)).toBe('12.3');
  });

  it('know codecs by their usual names', () => {
    expect(codecName('hvc1.1.6.L93.B0')).toBe('H.265');
    expect(codecName('x-new.1')).toBe('x-new.1');
  });
});
