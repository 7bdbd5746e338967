import { describe, expect, it } from 'vitest';
import { bitrateOf, LIMITED_MS, sentOf, troubleOf } from './health';

const REPORT = [
  { type: 'outbound-rtp', kind: 'audio', bytesSent: 1_000 },
  { type: 'outbound-rtp', kind: 'video', bytesSent: 9_000, framesPerSecond: 30, frameWidth: 1280, frameHeight: 720, codecId: 'c', qualityLimitationReason: 'none' },
  { type: 'codec', id: 'c', mimeType: 'video/H264' },
  { type: 'remote-inbound-rtp', kind: 'video', roundTripTime: 0.045, fractionLost: 0.01 },
];

describe('what is sent', () => {
  it('is read off the statistics', () => {
    expect(sentOf(7, REPORT)).toEqual({
      at: 7, bytes: 10_000, fps: 30, width: 1280, height: 720, codec: 'H264', round_trip_ms: 45, loss: 0.01, limited: null,
    });
    expect(sentOf(7, [])).toMatchObject({ bytes: 0, fps: null, codec: null, loss: null });
  });

  it('has a bitrate between two readings of one connection', () => {
    const [before, after] = [sentOf(0, REPORT), { ...sentOf(2_000, REPORT), bytes: 35_000 }];
    expect(bitrateOf(before, after)).toBe(100_000);
    expect(bitrateOf(null, after)).toBeNull();
    expect(bitrateOf(after, { ...before, at: 3_000 })).toBeNull();
  });

  it('is in trouble once it lasts', () => {
    const fine = sentOf(0, REPORT);
    expect(troubleOf(fine, 0)).toBeNull();
    expect(troubleOf({ ...fine, limited: 'cpu' }, LIMITED_MS - 1)).toBeNull();
    expect(troubleOf({ ...fine, limited: 'cpu' }, LIMITED_MS)).toBe('cpu');
    expect(troubleOf({ ...fine, loss: 0.2 }, 0)).toBe('loss');
    expect(troubleOf({ ...fine, round_trip_ms: 900 }, 0)).toBe('far');
  });
});
