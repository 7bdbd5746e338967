import { describe, expect, it } from 'vitest';
import type { Reading } from './whep-reading';
import { Reserve } from './whep-reserve';

/** Readings four times a second of a path that loses this share of 250 packets a second. */
function after(seconds: number, share: number, reserve = new Reserve(), from_s = 0, before = 0, way_ms = 50): number {
  let told = 0;
  for (let n = 0; n <= seconds * 4; n += 1) {
    const s = from_s + n / 4;
    const reading: Reading = { at: s * 1_000, frames: s * 30, picturePackets: s * 250, repaired: before + (n / 4) * 250 * share, packets: s * 300, fps: 30, taken_ms: null, held_s: 0, way_ms, seen: { freezes: 0, frozen_ms: 0, dropped: 0 } };
    told = reserve.take(reading);
  }
  return told;
}

describe('the reserve', () => {
  it('is none where nothing is lost, or next to nothing', () => {
    expect(after(20, 0)).toBe(0);
    expect(after(20, 0.001)).toBe(0);
  });

  it('lets what is lost be sent again, and again where more is lost', () => {
    expect(after(5, 0.01)).toBe(300);
    expect(after(5, 0.05)).toBe(400);
  });

  it('has an end', () => {
    expect(after(5, 0.05, new Reserve(), 0, 0, 400)).toBe(600);
  });

  it('is given up some time after the last loss', () => {
    const reserve = new Reserve();
    expect(after(5, 0.05, reserve)).toBe(400);
    expect(after(4, 0, reserve, 5.25, 62.5)).toBe(400);
    expect(after(12, 0, reserve, 9.5, 62.5)).toBe(0);
  });
});
