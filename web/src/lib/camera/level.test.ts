import { describe, expect, it } from 'vitest';
import { fallen, levelOf } from './level';

const tone = (amplitude: number) => Float32Array.from({ length: 4_800 }, (_, n) => amplitude * Math.sin((2 * Math.PI * 440 * n) / 48_000));

describe('the level', () => {
  it('is full for the loudest tone, and nothing for silence', () => {
    expect(levelOf(tone(1))).toBeCloseTo(1, 2);
    expect(levelOf(tone(0))).toBe(0);
    expect(levelOf(tone(0.0001))).toBe(0);
  });

  it('goes as the ear does', () => {
    expect(levelOf(tone(0.1))).toBeCloseTo(2 / 3, 2);
    expect(levelOf(tone(0.01))).toBeCloseTo(1 / 3, 2);
  });

  it('rises at once and falls in a while', () => {
    expect(fallen(0.2, 0.9, 0.1)).toBe(0.9);
    expect(fallen(0.9, 0, 0.1)).toBeCloseTo(0.78);
  });
});
