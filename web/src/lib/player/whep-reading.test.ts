import { describe, expect, it } from 'vitest';
import { delayOf, heldFor, readingOf } from './whep-reading';

const pair = { type: 'candidate-pair', state: 'succeeded', nominated: true, currentRoundTripTime: 0.04 };
const sound = { type: 'inbound-rtp', kind: 'audio', packetsReceived: 50, jitterBufferDelay: 9 };
const pictures = { type: 'inbound-rtp', kind: 'video', packetsReceived: 300, retransmittedPacketsReceived: 7, framesDecoded: 30, framesPerSecond: 30, jitterBufferDelay: 1.2, totalDecodeTime: 0.3 };

describe('a reading', () => {
  it('tells when the picture was taken, counted from 1970', () => {
    const reading = readingOf(5, [pair, sound, { ...pictures, estimatedPlayoutTimestamp: 2_208_988_800_000 + 1_790_000_000_000 }]);
    expect(reading).toEqual({ at: 5, frames: 30, picturePackets: 300, packets: 350, repaired: 7, fps: 30, taken_ms: 1_790_000_000_000, held_s: 1.5, way_ms: 20, seen: { freezes: 0, frozen_ms: 0, dropped: 0 } });
  });

  it('tells what was seen of it', () => {
    const { seen } = readingOf(5, [{ ...pictures, freezeCount: 2, totalFreezesDuration: 0.7124, framesDropped: 3 }]);
    expect(seen).toEqual({ freezes: 2, frozen_ms: 712, dropped: 3 });
  });

  it('knows nothing before anything came', () => {
    expect(readingOf(0, [])).toMatchObject({ frames: 0, packets: 0, taken_ms: null });
    expect(readingOf(0, [{ type: 'inbound-rtp', kind: 'video', estimatedPlayoutTimestamp: 0 }]).taken_ms).toBeNull();
  });

  it('tells by the buffer how late pictures are, where nothing else does', () => {
    const before = readingOf(0, [pair, pictures]);
    const after = readingOf(1, [pair, { ...pictures, framesDecoded: 40, jitterBufferDelay: 1.9, totalDecodeTime: 0.35 }]);
    expect(before.taken_ms).toBeNull();
    expect(heldFor(before, after)).toBeCloseTo(75);
    expect(heldFor(after, after)).toBeNull();
  });
});

describe('the delay', () => {
  it('is what the browser says, and what the screen takes besides', () => {
    expect(delayOf(120, 90, 60, 20)).toBe(150);
    expect(delayOf(120, 50, 60, 20)).toBe(120);
    expect(delayOf(120, null, 60, 20)).toBe(120);
  });

  it('is otherwise the way and the time that pictures spend here', () => {
    expect(delayOf(null, 90, 60, 20)).toBe(110);
    expect(delayOf(null, null, 60, 20)).toBe(80);
    expect(delayOf(null, null, null, 20)).toBeNull();
  });
});
