import { describe, expect, it } from 'vitest';
import { delayAt, onArrived, type LiveEdge } from './live-edge';

/** The stream's second 0 is our 100; `late_s` is what a frame needed more than the quickest. */
const arrive = (edge: LiveEdge | null, end_s: number, late_s = 0): LiveEdge => onArrived(edge, (100 + end_s + late_s) * 1000, end_s);

describe('the live edge', () => {
  it('is where the quickest frame stands, not the newest', () => {
    let edge = arrive(null, 8, 2);
    edge = arrive(edge, 10);
    edge = arrive(edge, 10.5, 1.5);
    expect(delayAt(edge, 112_000, 10.2)).toBeCloseTo(1_800);
  });

  it('goes on by the clock while nothing comes', () => {
    let edge = arrive(null, 10);
    edge = onArrived(edge, 140_000, 10);
    expect(delayAt(edge, 140_000, 10)).toBeCloseTo(30_000);
  });

  it('forgets a clock that stood otherwise', () => {
    let edge = arrive(null, 10);
    for (let end_s = 11; end_s < 60; end_s += 1) edge = arrive(edge, end_s, 0.4);
    expect(delayAt(edge, 160_400, 59.5)).toBeCloseTo(500);
  });

  it('is never ahead of live', () => {
    expect(delayAt(arrive(null, 10), 110_000, 10.2)).toBe(0);
  });
});
